"""What the live page tells: the report of runs that are being written, told anew whenever their files change."""

import dataclasses
import hashlib
import threading
import time
from pathlib import Path
from typing import Any

from suasion.records import MetricsFollower, RecordError, Run, RunPaths, find_runs, is_held, read_run
from suasion.viewing._report import films_of, grouped, laid_out, sections
from suasion.viewing._report_page import document, text
from suasion.viewing._report_replay import recorded_episodes
from suasion.viewing._report_runs import Recorded, Society, Told, recorded_by, told_by

_PAUSE = 0.5  # seconds between two looks at the files, at least
_SHARE = 4  # and so many times as long as the last look took
_SAID = {
    "being written": "Being written: step {step:,}.",
    "stopped before its end": "The run has stopped before its end.",
    "ended": "The run has ended.",
    "damaged": "The run cannot be read.",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What there is to see.

    Attributes:
        number: another for each other content.
        status: a sentence, plain text.
        parts: HTML by the names of the report's parts; empty ones are there.
        films: episodes for the replay, see `pack`.
        recorded: tells which films they are.
    """

    number: int
    status: str
    parts: dict[str, str]
    films: list[dict[str, Any]]
    recorded: str


class _Followed:
    """A run on disk; what has not changed is not read again."""

    def __init__(self, path: Path) -> None:
        self.path, self.damaged = path, False
        self._metrics = MetricsFollower(RunPaths(path).metrics)
        self._run: tuple[Any, Run] | None = None
        self._recorded: tuple[Any, Recorded] | None = None

    def look(self, society: Society | None) -> Told:
        """Raises RecordError: not a run any more, or damaged."""
        marks = [_mark(path) for path in (RunPaths(self.path).config, RunPaths(self.path).manifest)]
        if self._run is None or self._run[0] != marks:
            self._run = marks, read_run(self.path, metrics=False)
        files = [(path.name, _mark(path)) for path in recorded_episodes(self.path)]
        if self._recorded is None or self._recorded[0] != files:
            self._recorded = files, recorded_by(self.path, society)
        self._metrics.look()
        run = dataclasses.replace(self._run[1], metrics=self._metrics.rows, torn=self._metrics.torn)
        return told_by(run, self._recorded[1], live=True)

    @property
    def step(self) -> int:
        """The last step in the metrics; 0 if there is none."""
        return int(self._metrics.rows[-1]["step"]) if self._metrics.rows else 0

    @property
    def state(self) -> str:
        """In a word, a key of `_SAID`."""
        if self.damaged:
            return "damaged"
        try:
            if is_held(self.path):
                return "being written"
        except OSError:  # removed since it was found
            return "damaged"
        asked = None if self._run is None else self._run[1].config.get("steps")
        return "stopped before its end" if isinstance(asked, int) and self.step < asked else "ended"


class Watched:
    """Runs below a folder that may not be there yet. Safe to be asked from several threads at once."""

    def __init__(self, path: str | Path, society: Society | None = None) -> None:
        self.path = Path(path)
        self._society = society
        self._runs: dict[Path, _Followed] = {}
        self._lock = threading.Lock()
        self._next_look = 0.0
        self._seen = Seen(number=0, status="", parts={}, films=[], recorded="")
        self._films: tuple[list[Any], list[dict[str, Any]], list[str]] = ([], [], [])

    def look(self) -> Seen:
        """What there is now; files are looked at at most twice a second, and no more than a fifth of the time."""
        with self._lock:
            begun = time.monotonic()
            if begun >= self._next_look:
                self._look()
                took = time.monotonic() - begun
                self._next_look = begun + took + max(_PAUSE, _SHARE * took)
            return self._seen

    def page(self) -> str:
        """The whole page as it is now."""
        seen = self.look()
        title = f"Watching {self.path}"
        head = (
            f'<main>\n<h1>{text(title)}</h1>\n<p id="live" class="live" role="status">{text(seen.status)}</p>\n'
            '<p id="news" class="note" hidden>Another episode has been recorded. '
            '<button type="button" id="reload">Show it</button></p>\n'
        )
        body = f"{head}{laid_out(seen.parts, seen.films)}\n</main>"
        blocks = {"films": seen.films, "seen": {"number": seen.number, "recorded": seen.recorded}}
        scripts = ["player.js", "report.js", "watch.js"]
        return document(title, body, style="player.css", scripts=scripts, blocks=blocks, asks=True)

    def _look(self) -> None:
        told, faults = self._told()
        groups = grouped(told)
        marks: list[Any] = [(str(one.film), _mark(one.film)) for one in told if one.film is not None]
        if marks != self._films[0]:
            amiss: list[str] = []
            self._films = marks, films_of(groups, amiss), amiss
        _, films, amiss = self._films
        parts = sections(groups, [*faults, *amiss], films)
        seen = Seen(number=0, status=self._status(), parts=parts, films=films, recorded=_digest(marks))
        if dataclasses.replace(self._seen, number=0) != seen:
            self._seen = dataclasses.replace(seen, number=self._seen.number + 1)

    def _told(self) -> tuple[list[Told], list[str]]:
        try:
            found = find_runs(self.path)
        except RecordError:
            found = []
        self._runs = {path: self._runs.get(path) or _Followed(path) for path in found}
        told, faults = [], []
        for run in self._runs.values():
            try:
                told.append(run.look(self._society))
                run.damaged = False
            except RecordError as error:
                run.damaged = True
                faults.append(str(error))
        return told, faults

    def _status(self) -> str:
        if not self._runs:
            return f"There is no run in {self.path} yet: waiting for one."
        states = [run.state for run in self._runs.values()]
        furthest = max(run.step for run in self._runs.values())
        if len(states) == 1:
            return _SAID[states[0]].format(step=furthest)
        counted = [(state, states.count(state)) for state in _SAID]
        said = ", ".join(f"{count} {state}" for state, count in counted if count)
        return f"{len(states)} runs: {said}; the furthest is at step {furthest:,}."


def _digest(marks: object) -> str:
    return hashlib.sha256(repr(marks).encode("utf-8", "replace")).hexdigest()[:16]


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written anew; None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
