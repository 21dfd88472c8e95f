"""Which format a file has, by its name; one verb to read and one to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from suasion.markov._files._cassandra import read_cassandra
from suasion.markov._files._drn import read_drn
from suasion.markov._files._drn_write import write_drn
from suasion.markov._files._npz import read_npz, write_npz
from suasion.markov._files._prism import read_prism
from suasion.markov._files._source import FormatError
from suasion.markov._files._umb import read_umb
from suasion.markov._files._umb_write import write_umb
from suasion.markov._mdp import MDP
from suasion.markov._pomdp import POMDP
from suasion.markov._question import Question


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A file format.

    Attributes:
        title: what it is.
        suffixes: ends of file names, in lower case; .gz and .xz after them where `packs`.
        read: (path, name of the reward model or None) -> (model, question).
        write: (model, path, question), or None if it is only read.
        packs: whether compressed files are read and written.
    """

    title: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, str | None], tuple[MDP | POMDP, Question]]
    write: Callable[[MDP | POMDP, Path, Question], None] | None = None
    packs: bool = False


FORMATS: dict[str, Format] = {
    "umb": Format(
        title="unified Markov binary format",
        suffixes=(".umb",),
        read=read_umb,
        write=write_umb,
        packs=True,
    ),
    "drn": Format(
        title="explicit text of Storm",
        suffixes=(".drn",),
        read=read_drn,
        write=write_drn,
        packs=True,
    ),
    "cassandra": Format(title="Cassandra's text", suffixes=(".pomdp", ".mdp"), read=read_cassandra),
    "prism": Format(title="explicit files of PRISM and Storm", suffixes=(".tra",), read=read_prism),
    "npz": Format(title="arrays of NumPy", suffixes=(".npz",), read=read_npz, write=write_npz),
}


def read_model(
    path: str | Path, *, format: str | None = None, rewards: str | None = None
) -> tuple[MDP | POMDP, Question]:
    """Read a decision process from a file of any format in `FORMATS`.

    Nothing is unpickled or written, and no size is trusted before it is held against the bytes that are there.

    Args:
        path: the file.
        format: key of `FORMATS`; by the file's name if not given.
        rewards: name of the reward model; may be left out if the file has at most one.

    Returns:
        The model, and what the file asks of it: discount, and whether rewards are good.

    Raises:
        FormatError: whatever is wrong with the file; no other exception.
    """
    path = Path(path)
    return _format(path, format).read(path, rewards)


def write_model(
    model: MDP | POMDP, path: str | Path, *, question: Question | None = None, format: str | None = None
) -> None:
    """Write a decision process; `read_model` gives the same one back (docs/formats.md says what a format lacks).

    The file is written whole or not at all; equal input gives equal bytes.

    Args:
        model: what to write.
        path: the file; an old one is replaced.
        question: kept beside the model.
        format: key of `FORMATS`; by the file's name if not given.

    Raises:
        FormatError: the format is unknown or only read, or it cannot hold the model.
        OSError: the disk refused; then an older file of that name is untouched.
    """
    path = Path(path)
    held = _format(path, format)
    if held.write is None:
        raise FormatError(f"{path}: {held.title} is only read here; written are: {_suffixes(written=True)}")
    held.write(model, path, question or Question())


def _format(path: Path, name: str | None) -> Format:
    if name is not None:
        if name not in FORMATS:
            raise FormatError(f"{path}: no format {name!r}; there are: {', '.join(FORMATS)}")
        return FORMATS[name]
    for held in FORMATS.values():
        packing = ("", ".gz", ".xz") if held.packs else ("",)
        if path.name.lower().endswith(tuple(end + pack for end in held.suffixes for pack in packing)):
            return held
    raise FormatError(f"{path}: no known format by its name; known are: {_suffixes(written=False)}")


def _suffixes(*, written: bool) -> str:
    return ", ".join(end for held in FORMATS.values() if held.write or not written for end in held.suffixes)
