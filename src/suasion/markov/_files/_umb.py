"""UMB, the unified Markov binary format, version 1: a tar archive of `index.json` and arrays (little-endian).

Read: discrete time, one player or none, probabilities and rewards of type double, observations of states. Beyond the
standard we keep in `file-data.parameters` what else a model of ours holds: question, names of states and observations;
and in the group `suasion` of annotations the distribution of the first state.

References:
    https://github.com/pmc-tools/umb (spec.md, format version 1)
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy import ndarray

from suasion.markov._files import _tar
from suasion.markov._files._index import INDEX, Index, read_index
from suasion.markov._files._parts import Parts, assemble, chosen, reward_states, set_initial
from suasion.markov._files._seen import Seen, observed
from suasion.markov._files._source import LONGEST_JSON, FormatError, Stream, short
from suasion.markov._mdp import MDP
from suasion.markov._pomdp import POMDP
from suasion.markov._question import Question

MOST_STATES = 2**31 - 1


def read_umb(path: Path, rewards: str | None = None) -> tuple[MDP | POMDP, Question]:
    """Read a UMB file, compressed or not.

    Args:
        path: the file.
        rewards: alias of the reward model (identifier, if it has none); may be left out if there is at most one.

    Raises:
        FormatError: anything that is not a sound file of what is read here.
    """
    index, files = _unpack(path)
    archive = _Archive(path, files)
    parts = _structure(index, archive)
    _rewards(index, archive, parts, rewards)
    for label, name in index.labels.items():
        parts.labels[label] = archive.bits(f"annotations/aps/{name}/states/values.bin", index.states)
    initial = archive.bits("state-is-initial.bin", index.states) if index.initial_states else None
    if initial is not None and int(initial.sum()) != index.initial_states:
        raise archive.error("state-is-initial.bin", f"marks {initial.sum()} states, not {index.initial_states}")
    parts.states = index.state_names
    if "initial" in index.own:
        parts.initial = archive.array("annotations/suasion/initial/states/values.bin", "<f8", index.states).copy()
    else:
        set_initial(parts, initial)
    seen = _observations(index, archive)
    model = assemble(parts, path)
    if seen is None:
        return model, index.question
    return observed(model, seen, index.observation_names, path), index.question


class _Archive:
    """Members by name, taken as arrays of the size that the index declares."""

    def __init__(self, path: Path, files: dict[str, memoryview]) -> None:
        self.path = path
        self.files = files

    def error(self, member: str, message: str) -> FormatError:
        return FormatError(f"{self.path}: {member}: {message}")

    def bytes(self, member: str) -> memoryview:
        if member not in self.files:
            raise self.error(member, "is missing")
        return self.files[member]

    def array(self, member: str, dtype: str, length: int) -> ndarray:
        """A view of the member; refused if it is not of that length."""
        held = self.bytes(member)
        wanted = length * np.dtype(dtype).itemsize
        if len(held) != wanted:
            raise self.error(member, f"has {len(held)} bytes; {length} entries take {wanted}")
        return np.frombuffer(held, dtype)

    def bits(self, member: str, length: int) -> ndarray:
        """A set of `length` elements."""
        held = self.array(member, "u1", -(-length // 64) * 8)
        every = np.unpackbits(held, bitorder="little")
        if every[length:].any():
            raise self.error(member, f"marks an element beyond the last, {length - 1}")
        return every[:length].astype(bool)

    def rows(self, member: str, length: int, end: int) -> ndarray:
        """Offsets of `length` rows into `end` entries, int64; one entry a row if the member is absent."""
        if member not in self.files:
            if length != end:
                raise self.error(member, f"is missing, and {length} rows cannot hold one of {end} entries each")
            return np.arange(length + 1, dtype=np.int64)
        start = self.array(member, "<u8", length + 1)
        if start[0] != 0 or start[-1] != end:
            raise self.error(member, f"goes from {start[0]} to {start[-1]}, not from 0 to {end}")
        falls = start[1:] < start[:-1]
        if falls.any():
            i = int(np.argmax(falls))
            raise self.error(member, f"entry {i + 1} is {start[i + 1]}, below entry {i} = {start[i]}")
        return start.astype(np.int64)

    def indices(self, member: str, dtype: str, length: int, end: int) -> ndarray:
        """Indices below `end`, int32."""
        held = self.array(member, dtype, length)
        if length and held.max() >= end:
            i = int(np.argmax(held >= end))
            raise self.error(member, f"entry {i} is {held[i]}; there are {end}")
        return held.astype(np.int32)


def _unpack(path: Path) -> tuple[Index, dict[str, memoryview]]:
    """The index and the members that it declares; no other is kept."""
    stream = Stream(path)
    index: list[Index] = []

    def accept(name: str, size: int) -> None:
        if name == INDEX and size > LONGEST_JSON:
            raise FormatError(f"{path}: {INDEX} of {size} bytes; limit {LONGEST_JSON}")
        if index and (wanted := index[0].sizes.get(name)) is not None and size != wanted:
            raise FormatError(f"{path}: {name}: has {size} bytes; by {INDEX} it takes {wanted}")

    places: dict[str, tuple[int, int]] = {}
    for name, start, size in _tar.members(stream, accept):
        places[name] = (start, size)
        if name == INDEX:
            index.append(read_index(bytes(stream.content[start : start + size]), path))
    if not index:
        raise FormatError(f"{path}: {INDEX} is missing: not a UMB file")
    view = memoryview(stream.content).toreadonly()
    return index[0], {name: view[start : start + size] for name, (start, size) in places.items()}


def _structure(index: Index, archive: _Archive) -> Parts:
    """States, choices, branches and actions; every count is held against bytes that are there."""
    if index.states > MOST_STATES:
        raise archive.error(INDEX, f"{index.states} states; limit {MOST_STATES}")
    target = archive.indices("branch-to-target.bin", "<u8", index.branches, index.states)
    probability = archive.array("branch-to-probability.bin", "<f8", index.branches)
    branch_start = archive.rows("choice-to-branches.bin", index.choices, index.branches)
    parts = Parts(
        choice_start=archive.rows("state-to-choices.bin", index.states, index.choices),
        branch_start=branch_start,
        target=target,
        probability=probability.copy(),
        choice_reward=np.zeros(index.choices),
    )
    values = "actions/choices/values.bin"
    if index.choice_actions and values in archive.files:
        parts.action = archive.indices(values, "<u4", index.choices, index.choice_actions)
    elif index.choice_actions or not index.players:
        parts.action = np.zeros(index.choices, np.int32)
    if "actions/choices/string-mapping.bin" in archive.files:
        parts.actions = _names(archive, "actions/choices", index.choice_actions)
    return parts


def _names(archive: _Archive, folder: str, count: int) -> tuple[str, ...]:
    """Strings, cut out of their common bytes."""
    text = archive.bytes(f"{folder}/strings.bin")
    start = archive.rows(f"{folder}/string-mapping.bin", count, len(text)).tolist()
    try:
        return tuple(str(text[a:b], "utf-8") for a, b in pairwise(start))
    except UnicodeDecodeError as error:
        raise archive.error(f"{folder}/strings.bin", f"a name is not UTF-8: {error}") from error


def _rewards(index: Index, archive: _Archive, parts: Parts, wanted: str | None) -> None:
    """Rewards of states are added to the choices of the state; those of branches stay apart."""
    alias = chosen(index.rewards, wanted, archive.path)
    if alias is None:
        return
    name, where = index.rewards[alias]
    if not where:
        raise archive.error(INDEX, f"the reward {short(alias)} is not of type double: not read")
    folder = f"annotations/rewards/{name}"
    if "choices" in where:
        parts.choice_reward = archive.array(f"{folder}/choices/values.bin", "<f8", index.choices).copy()
    if "states" in where:
        reward = archive.array(f"{folder}/states/values.bin", "<f8", index.states)
        reward_states(parts, reward, f"{archive.path}: {folder}/states/values.bin")
    if "branches" in where:
        parts.branch_reward = archive.array(f"{folder}/branches/values.bin", "<f8", index.branches).copy()


def _observations(index: Index, archive: _Archive) -> Seen | None:
    if not index.observations:
        return None
    folder = "observations/states"
    length = len(archive.bytes(f"{folder}/values.bin")) // 8
    symbol = archive.indices(f"{folder}/values.bin", "<u8", length, index.observations)
    start = archive.rows(f"{folder}/distribution-mapping.bin", index.states, length)
    probability = None
    if index.stochastic and f"{folder}/probabilities.bin" in archive.files:
        probability = archive.array(f"{folder}/probabilities.bin", "<f8", length)
    elif length != index.states:
        raise archive.error(f"{folder}/values.bin", f"has {length} entries for {index.states} states")
    return Seen(
        start=start,
        symbol=symbol,
        probability=probability,
        symbols=index.observations,
        actions=max(index.choice_actions, index.seen_actions),
    )
