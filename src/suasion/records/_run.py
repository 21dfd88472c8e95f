"""A run is a directory.

config.json      what was asked for: with the code's version, all that a run depends on
manifest.json    what it ran on: versions, commit, thread settings
metrics.jsonl    rows that are a function of the step alone
timing.jsonl     rows of wall-clock time, outside every comparison
checkpoints/     see `save_checkpoint`
episodes/        see `write_episode`
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suasion.records import _json
from suasion.records._disk import (
    PARTIAL,
    RecordError,
    make_folder,
    natural,
    open_regular,
    read_exactly,
    sync_folder,
    write_whole,
)
from suasion.records._metrics import read_metrics

FORMAT = 1
LONGEST_JSON = 4 * 2**20  # bytes
_DEEPEST_FOLDER = 4


@dataclass(frozen=True)
class RunPaths:
    """Where the parts of a run lie.

    Attributes:
        path: the run's directory.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.path / "config.json"

    @property
    def manifest(self) -> Path:
        """Versions, commit and settings of the machine."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """Rows that are a function of the step."""
        return self.path / "metrics.jsonl"

    @property
    def timing(self) -> Path:
        """Rows of wall-clock time."""
        return self.path / "timing.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def episodes(self) -> Path:
        """The folder of episodes."""
        return self.path / "episodes"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as it lies on disk.

    Attributes:
        path: its directory.
        config: as given to `create_run` (tuples come back as lists).
        manifest: likewise, of the first start.
        metrics: rows of `metrics.jsonl`, empty if none is written yet; see `Metrics`.
        torn: the last line of `metrics.jsonl` was incomplete and is left out.
    """

    path: Path
    config: dict[str, Any]
    manifest: dict[str, Any]
    metrics: list[dict[str, Any]]
    torn: bool


def create_run(path: str | Path, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> RunPaths:
    """Make a run's directory, or find the run of the same configuration that is there already.

    On an existing run nothing is rewritten: its manifest stays that of the first start.

    Args:
        path: the directory; parents are made.
        config: JSON values (see `write_envelope` for what is allowed).
        manifest: JSON values.

    Returns:
        The places of its parts; the two folders exist.

    Raises:
        RecordError: the directory holds something else; or a run with another configuration, whose differing
            keys are listed; or a value that cannot be written.
        OSError: the disk refused.
    """
    run = RunPaths(Path(path))
    # Both are encoded before anything is made, so that a bad value leaves nothing behind.
    config_text = _labelled("config", config, run.config)
    manifest_text = _labelled("manifest", manifest, run.manifest)
    if run.path.exists() and not run.path.is_dir():
        raise RecordError(f"{run.path}: exists and is not a directory")
    make_folder(run.path)
    if run.config.exists():
        _compare(run, _json.decode(config_text, str(run.config))["config"])
    else:
        foreign = sorted(entry.name for entry in run.path.iterdir() if not entry.name.startswith(PARTIAL))
        if foreign:
            raise RecordError(
                f"{run.path}: holds {', '.join(foreign[:5])} but no config.json: not a run, and not empty"
            )
        write_whole(run.config, [config_text])  # first: it marks the directory as ours
    if not run.manifest.exists():
        write_whole(run.manifest, [manifest_text])
    make_folder(run.checkpoints)
    make_folder(run.episodes)
    sync_folder(run.path)
    return run


def find_runs(path: str | Path) -> list[Path]:
    """The run at `path`, or all runs below it, at most 4 folders deep, in natural order (seed-9 before
    seed-10).

    Hidden folders and linked folders are not entered.

    Raises:
        RecordError: there is none.
    """
    root = Path(path)
    if not root.is_dir():
        raise RecordError(f"{root}: no such directory")
    runs = sorted(_below(root, 0), key=lambda run: [natural(part) for part in run.parts])
    if not runs:
        raise RecordError(
            f"{root}: no run here, nor up to {_DEEPEST_FOLDER} folders below: "
            "a run is a folder with config.json and manifest.json"
        )
    return runs


def read_run(path: str | Path, *, metrics: bool = True) -> Run:
    """Read configuration, manifest and metrics of a run, also of one that is being written.

    Args:
        path: its directory.
        metrics: read the rows; else there are none in what is returned.

    Raises:
        RecordError: not a run, of a newer format, or damaged.
    """
    run = RunPaths(Path(path))
    config = _read_labelled("config", run.config)
    manifest = _read_labelled("manifest", run.manifest)
    if not metrics or not run.metrics.exists():
        return Run(path=run.path, config=config, manifest=manifest, metrics=[], torn=False)
    found = read_metrics(run.metrics)
    return Run(path=run.path, config=config, manifest=manifest, metrics=found.rows, torn=found.torn)


def _compare(run: RunPaths, config: dict[str, Any]) -> None:
    lines = _json.differences(_read_labelled("config", run.config), config)
    if lines:
        more = f"; and {len(lines) - 20} more" if len(lines) > 20 else ""
        shown = "; ".join(lines[:20])
        raise RecordError(f"{run.path}: is a run with another configuration (there / asked for): {shown}{more}")


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "config.json").is_file() and (folder / "manifest.json").is_file():
        yield folder
        return
    if depth == _DEEPEST_FOLDER:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise RecordError(f"{folder}: cannot be listed: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _below(Path(entry.path), depth + 1)


def _labelled(kind: str, value: Mapping[str, Any], path: Path) -> bytes:
    """JSON for people: indented, with the format's number."""
    plain = _json.decode(_json.encode(dict(value), str(path)), str(path))
    text = _json.encode_readable({"suasion": kind, "format": FORMAT, kind: plain})
    if len(text) > LONGEST_JSON:
        raise RecordError(f"{path}: {len(text)} bytes; limit {LONGEST_JSON}")
    return text


def _read_labelled(kind: str, path: Path) -> dict[str, Any]:
    with open_regular(path) as file:
        size = file.seek(0, 2)
        if size > LONGEST_JSON:
            raise RecordError(f"{path}: {size} bytes; limit {LONGEST_JSON}")
        file.seek(0)
        content = read_exactly(file, path, size)
    value = _json.decode(content, str(path))
    if not isinstance(value, dict) or value.get("suasion") != kind:
        raise RecordError(f'{path}: not of a run of suasion: "suasion" must be {kind!r}')
    number = value.get("format")
    if type(number) is not int or number != FORMAT:
        age = "newer than" if type(number) is int and number > FORMAT else "unknown to"
        raise RecordError(f"{path}: format {str(number)[:40]}, {age} this program (it reads {FORMAT})")
    if value.keys() != {"suasion", "format", kind} or not isinstance(value[kind], dict):
        raise RecordError(f"{path}: must hold suasion, format and {kind}, and nothing else")
    return value[kind]
