"""Neighbours of a .tra file: labels, names of states, rewards."""

from __future__ import annotations

import os
import re
from array import array
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from suasion.markov._files._lines import Lines
from suasion.markov._files._source import FormatError, short

_PRISM, _STORM = (".srew", ".trew"), (".state.rew", ".trans.rew")
_DECLARED = re.compile(rb'\s*([0-9]{1,9})="([^"]*)"')


class Kept(NamedTuple):
    """Labels: the states of each, how many lines name a state, and the highest state."""

    sets: dict[str, array]
    lines: int
    highest: int


def read_labels(path: Path) -> Kept:
    """A .lab file of either dialect."""
    lines = Lines(path)
    first = lines.next()
    storm = first.upper() == b"#DECLARATION"
    names: dict[bytes, str] = {}
    if storm:
        for line in lines:
            if line.upper() == b"#END":
                break
            names |= {word: lines.text(word) for word in line.split()}
        else:
            raise lines.error("the file ends before #END")
    else:
        names = _declared(first, lines)
    sets: dict[str, array] = {name: array("q") for name in names.values()}
    count, highest = 0, -1
    for line in lines:
        if not line:
            continue
        state, colon, words = (line.replace(b"\t", b" ")).partition(b" " if storm else b":")
        if not (storm or colon):
            raise lines.error(f"{short(lines.text(line))} is not `state: label ...`")
        s = lines.whole(state.strip())
        for word in words.split():
            if word not in names:
                raise lines.error(f"{short(lines.text(word))} is not a declared label")
            sets[names[word]].append(s)
        count, highest = count + 1, max(highest, s)
    return Kept(sets, count, highest)


def _declared(line: bytes, lines: Lines) -> dict[bytes, str]:
    """The labels of PRISM's first line, by number."""
    names: dict[bytes, str] = {}
    place = 0
    while place < len(line):
        found = _DECLARED.match(line, place)
        if found is None or found[1] in names:
            raise lines.error(f"{short(lines.text(line[place:]))} is neither #DECLARATION nor 0='label' ...")
        names[found[1]] = lines.text(found[2])
        place = found.end()
    if len(set(names.values())) != len(names):
        raise lines.error("a label comes twice")
    return names


def read_states(path: Path, states: int) -> tuple[str, ...]:
    """Names of states: their values as the .sta file shows them."""
    lines = Lines(path)
    if not lines.next().startswith(b"("):
        raise lines.error("no variables in brackets")
    names: list[str] = []
    for line in lines:
        if not line:
            continue
        number, colon, values = line.partition(b":")
        if not colon or lines.whole(number.strip()) != len(names):
            raise lines.error(f"{short(lines.text(line))} where state {len(names)} comes")
        names.append(lines.text(values.strip()))
    if len(names) != states:
        raise lines.error(f"{len(names)} states; there are {states}")
    return tuple(names)


def read_numbers(path: Path, columns: int, *, counts: int) -> tuple[ndarray, ndarray, ndarray]:
    """Lines of some indices and a reward.

    Args:
        path: the file.
        columns: how many indices.
        counts: how many numbers the first line has; the last of them is the number of lines. 0 if there is none.

    Returns:
        Indices, rewards, and the lines that they stand in.
    """
    lines = Lines(path)
    index, values, numbers = array("q"), array("d"), array("q")
    declared: int | None = None
    for line in lines:
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        if counts and declared is None:
            if len(words) != counts:
                raise lines.error(f"{len(words)} counts, not {counts}")
            declared = lines.whole(words[-1])
            continue
        if len(words) != columns + 1:
            raise lines.error(f"{len(words)} columns, not {columns + 1}")
        index.extend([lines.whole(word) for word in words[:-1]])
        values.append(lines.real(words[-1]))
        numbers.append(lines.number)
    if declared is not None and declared != len(values):
        raise lines.error(f"{declared} rewards are declared, {len(values)} are there")
    held = np.array(index, np.int64).reshape(len(values), columns)
    if len(np.unique(held, axis=0)) != len(held):
        raise FormatError(f"{path}: a reward comes twice")
    return held, np.array(values), np.array(numbers, np.int64)


def reward_files(path: Path) -> dict[str, tuple[Path | None, Path | None]]:
    """Names of reward models and their files: of states, of transitions."""
    try:
        there = {name for name in os.listdir(path.parent) if name.startswith(path.stem)}
    except OSError as error:
        raise FormatError(f"{path}: its folder cannot be listed: {error.strerror}") from error
    found: dict[str, tuple[Path | None, Path | None]] = {}
    for name in sorted(there):
        for ends, dotted in ((_PRISM, False), (_STORM, True)):
            stem = name.removesuffix(ends[0]).removesuffix(ends[1])
            rest = stem[len(path.stem) :]
            # PRISM numbers several reward structures; Storm's users put names between dots.
            own = rest.startswith(".") if dotted else rest.isdigit() and f"{stem}.tra" not in there
            if stem != name and (own or not rest):
                pair = [path.with_name(stem + end) if stem + end in there else None for end in ends]
                found[rest.lstrip(".") or "reward"] = (pair[0], pair[1])
    return found
