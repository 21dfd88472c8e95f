"""The replay page: episodes that play in any browser, offline, from one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from suasion.records import Episode, RecordError, RunPaths, find_runs, read_episode, refuse
from suasion.viewing._replay_pack import pack
from suasion.viewing._report_page import document, text, write_document

NO_SCRIPT = "<noscript><p>The replay needs JavaScript.</p></noscript>"
_FIRST = 8  # episodes in which influence is looked for


def write_replay(episodes: Mapping[str, Episode], out: str | Path, *, force: bool = False) -> Path:
    """Write a page that plays episodes: one, or two side by side, in step.

    The page needs no network and makes no request; names of unknown origin stay text. See `docs/report.md`.

    Args:
        episodes: by the name that the page gives them; the first two are shown, any two can be chosen.
        out: the file.
        force: replace what is there.

    Raises:
        RecordError: `out` exists and `force` is not given.
        ValueError: no episode, or one too large for a page.
        OSError: the disk refused.
    """
    if not episodes:
        raise ValueError("0 episodes; a replay needs at least 1")
    refuse(out, force=force)
    films = [pack(episode, name) for name, episode in episodes.items()]
    title = "Replay: " + ", ".join(list(episodes)[:2])
    beside = "yes" if len(films) > 1 else "no"
    body = f'<main>\n<h1>{text(title)}</h1>\n{NO_SCRIPT}\n<div id="player" data-beside="{beside}"></div>\n</main>'
    content = document(title, body, style="player.css", scripts=["player.js"], blocks={"films": films})
    return write_document(out, content, force=force)


def recorded_episodes(run: str | Path) -> list[Path]:
    """Files of the episodes that a run has recorded, those of the most trained agents first."""
    folder = RunPaths(Path(run)).episodes
    return sorted(folder.glob("*.suasion"), key=lambda path: (-_step(path), path.name)) if folder.is_dir() else []


def find_episodes(paths: Sequence[str | Path]) -> dict[str, Episode]:
    """Episodes by name: of files as they are, of each run the one that `newest_episode` finds.

    Raises:
        RecordError: no such file or run, a run without episodes, a damaged file.
    """
    found: dict[str, Episode] = {}
    for path in map(Path, paths):
        if path.is_file():
            found[str(path)] = read_episode(path)
            continue
        for run in find_runs(path):
            found[str(run)] = read_episode(newest_episode(run))
    return found


def newest_episode(run: str | Path) -> Path:
    """The episode of a run to look at: of the most trained agents, with influence if one of the first eight has it.

    Raises:
        RecordError: there is none, or those read are damaged.
    """
    files = recorded_episodes(run)
    if not files:
        raise RecordError(f"{run}: no episode recorded; `suasion render` and `suasion influence` record some")
    newest = [file for file in files if _step(file) == _step(files[0])]
    return next((file for file in newest[:_FIRST] if read_episode(file).influence is not None), files[0])


def _step(path: Path) -> int:
    """The number after `step-` in the name of an episode's file; -1 in another's."""
    part = path.name.removeprefix("step-").partition("-")[0]
    return int(part) if part.isascii() and part.isdecimal() and len(part) <= 20 else -1
