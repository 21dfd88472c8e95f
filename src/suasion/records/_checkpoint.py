"""Checkpoints: a few envelopes in a folder, the newest valid one counts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suasion.records._disk import RecordError, make_folder, remove
from suasion.records._envelope import read_envelope, write_envelope

_KIND = "checkpoint"
_NAME = re.compile(r"checkpoint-([0-9]{12,19})\.suasion")
_LARGEST_STEP = 2**63 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """The newest checkpoint that can be trusted.

    Attributes:
        step: the step at which it was saved, as in its name.
        header: as given to `save_checkpoint`.
        arrays: by name; read-only.
        path: the file.
        rejected: a message for each newer file that was refused, newest first; each names its file.
    """

    step: int
    header: dict[str, Any]
    arrays: dict[str, np.ndarray]
    path: Path
    rejected: tuple[str, ...]


def save_checkpoint(
    folder: str | Path, step: int, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any], keep: int = 3
) -> Path:
    """Write `checkpoint-<step>.suasion`, then remove the oldest ones beyond `keep`.

    Older files go only after the new one is safe on the disk. Files of a later step are left alone: they are
    bad ones that `newest_checkpoint` passed over, and are overwritten when the run gets there.

    Args:
        folder: made if missing.
        step: environment steps so far, at least 0.
        arrays: the whole state; see `write_envelope`.
        header: whatever is needed to go on, such as the metrics' byte offset. No time stamps: equal runs must
            leave equal bytes.
        keep: how many to keep, the new one included, at least 1.

    Returns:
        The new file.

    Raises:
        RecordError: step or keep out of range, or a value that cannot be written.
        OSError: the disk refused; then the older files are all still there.
    """
    if not 0 <= step <= _LARGEST_STEP:
        raise RecordError(f"step is {step}; must be within 0 and {_LARGEST_STEP}")
    if keep < 1:
        raise RecordError(f"keep is {keep}; must be at least 1")
    folder = Path(folder)
    make_folder(folder)
    path = folder / f"checkpoint-{step:012d}.suasion"
    write_envelope(path, _KIND, arrays, {"step": step, "state": dict(header)})
    drop_checkpoints(folder, step, keep)
    return path


def drop_checkpoints(folder: str | Path, step: int, keep: int = 3) -> None:
    """Remove the oldest checkpoints beyond `keep`, those of a step after `step` not counted and left alone.

    `save_checkpoint` ends with it; a run that goes on begins with it, as the process before may have died in between.

    Raises:
        OSError: the disk refused.
    """
    for _, old in [entry for entry in _files(Path(folder)) if entry[0] <= step][keep:]:
        remove(old)


def newest_checkpoint(folder: str | Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; None if there are no checkpoints at all.

    A damaged, truncated or foreign file is passed over, and its message kept in `rejected`.

    Raises:
        RecordError: there are checkpoints, but all are bad: starting anew in silence would lose the run.
    """
    rejected: list[str] = []
    for step, path in _files(Path(folder)):
        try:
            envelope = read_envelope(path, _KIND)
            state = _state(envelope.header, step, path)
        except RecordError as error:
            rejected.append(str(error))
            continue
        return Checkpoint(step=step, header=state, arrays=envelope.arrays, path=path, rejected=tuple(rejected))
    if rejected:
        raise RecordError(f"{folder}: none of {len(rejected)} checkpoints can be used: " + "; ".join(rejected))
    return None


def _state(header: dict[str, Any], step: int, path: Path) -> dict[str, Any]:
    if header.keys() != {"state", "step"} or not isinstance(header["state"], dict):
        raise RecordError(f"{path}: header: must hold state and step, and nothing else")
    if type(header["step"]) is not int or header["step"] != step:
        raise RecordError(f"{path}: was saved at step {header['step']}, not at its name's {step}")
    return header["state"]


def _files(folder: Path) -> list[tuple[int, Path]]:
    """Step and file of each checkpoint, newest first."""
    if not folder.is_dir():
        return []
    named = [(match, entry) for entry in folder.iterdir() if (match := _NAME.fullmatch(entry.name))]
    return sorted(((int(match[1]), entry) for match, entry in named), reverse=True)
