"""Between file and model: ends of the process, initial states, rewards chosen by name.

Formats of model checkers know no terminal states. We write one as a state whose only choice leads back to itself with
reward 0, labelled "terminal"; all that is so written is read back as terminal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray

from suasion.markov._files._source import FormatError, short
from suasion.markov._mdp import MDP, _ascending, _ordinal

TERMINAL = "terminal"
INITIAL = "init"
DEADLOCK = "deadlock"
_MOST_MARKS = 2**28


@dataclasses.dataclass(kw_only=True)
class Parts:
    """What a reader found; the fields of `MDP`, not yet checked, offsets excepted."""

    choice_start: ndarray
    branch_start: ndarray
    target: ndarray
    probability: ndarray
    choice_reward: ndarray
    branch_reward: ndarray | None = None
    action: ndarray | None = None
    initial: ndarray | None = None
    states: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    labels: dict[str, ndarray] = dataclasses.field(default_factory=dict)


def assemble(parts: Parts, path: Path) -> MDP:
    """The model; exactly the arrays found, if their outcomes are in order.

    Raises:
        FormatError: what `MDP` refuses, with the file's name.
    """
    terminal = _open_ends(parts)
    if parts.action is None:
        parts.action = _ordinal(parts.choice_start)
    fields = {field.name: getattr(parts, field.name) for field in dataclasses.fields(parts)}
    try:
        if (parts.probability > 0).all() and _ascending(parts.branch_start, parts.target, parts.branch_reward).all():
            return MDP(**fields, terminal=terminal)
        return MDP.from_branches(**fields, terminal=terminal)
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error


def _open_ends(parts: Parts) -> ndarray:
    """Which states are terminal; their loops are taken out, and the label that marks them."""
    empty = np.diff(parts.choice_start) == 0
    marked = parts.labels.get(TERMINAL)
    if marked is not None:
        loops = _loops(parts) & marked
        if (marked == (loops | empty) & marked).all():
            parts.labels = {name: held for name, held in parts.labels.items() if name != TERMINAL}
            _remove(parts, loops)
            return marked
    declared = np.zeros(len(empty), bool)
    for name in (TERMINAL, DEADLOCK):
        declared |= parts.labels.get(name, declared)
    return empty & declared


def _loops(parts: Parts) -> ndarray:
    """States with one choice, with one outcome: themselves, at reward 0."""
    states = np.flatnonzero(np.diff(parts.choice_start) == 1)
    choices = parts.choice_start[states]
    first = parts.branch_start[choices]
    single = parts.branch_start[choices + 1] - first == 1
    states, choices, first = states[single], choices[single], first[single]
    rewarded = parts.choice_reward[choices] != 0
    if parts.branch_reward is not None:
        rewarded |= parts.branch_reward[first] != 0
    loops = np.zeros(len(parts.choice_start) - 1, bool)
    loops[states] = (parts.target[first] == states) & (parts.probability[first] == 1) & ~rewarded
    return loops


def _remove(parts: Parts, loops: ndarray) -> None:
    """Take out the only choice, and its only branch, of each of these states."""
    if not loops.any():
        return
    choices = parts.choice_start[:-1][loops]
    branches = parts.branch_start[choices]
    keep = np.ones(len(parts.choice_reward), bool)
    keep[choices] = False
    kept = np.ones(len(parts.target), bool)
    kept[branches] = False
    widths = np.diff(parts.branch_start)[keep]
    parts.choice_start = offsets(np.diff(parts.choice_start) - loops)
    parts.branch_start = offsets(widths)
    parts.choice_reward = parts.choice_reward[keep]
    parts.target, parts.probability = parts.target[kept], parts.probability[kept]
    parts.branch_reward = None if parts.branch_reward is None else parts.branch_reward[kept]
    parts.action = None if parts.action is None else parts.action[keep]


def offsets(counts: ndarray) -> ndarray:
    """Starts of rows of these lengths, and the end of the last: int64."""
    start = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=start[1:])
    return start


def close_ends(model: MDP, path: Path) -> Parts:
    """The model's arrays with a loop in each terminal state, and the label that marks them.

    Raises:
        FormatError: there is a label of that name, for other states.
    """
    parts = Parts(**{field.name: getattr(model, field.name) for field in dataclasses.fields(Parts)})
    parts.labels = dict(model.labels)
    held = parts.labels.pop(TERMINAL, model.terminal)
    if (held != model.terminal).any():
        raise FormatError(f"{path}: the label {TERMINAL!r} would mark other states than the terminal ones; rename it")
    ends = np.flatnonzero(model.terminal)
    if not len(ends):
        return parts
    parts.labels[TERMINAL] = model.terminal
    choices = model.choice_start[ends]
    branches = model.branch_start[choices]
    counts = np.insert(np.diff(model.branch_start), choices, 1)
    parts.choice_start = offsets(np.diff(model.choice_start) + model.terminal)
    parts.branch_start = offsets(counts)
    parts.choice_reward = np.insert(model.choice_reward, choices, 0.0)
    parts.action = np.insert(model.action, choices, 0)
    parts.target = np.insert(model.target, branches, ends)
    parts.probability = np.insert(model.probability, branches, 1.0)
    if model.branch_reward is not None:
        parts.branch_reward = np.insert(model.branch_reward, branches, 0.0)
    return parts


def initial_set(parts: Parts, path: Path) -> ndarray | None:
    """The states that may be first, bool[S]; the label of that name is taken out.

    Raises:
        FormatError: label and distribution disagree.
    """
    held = parts.labels.pop(INITIAL, None)
    if parts.initial is None:
        return held
    support = parts.initial > 0
    if held is not None and (held != support).any():
        raise FormatError(f"{path}: the label {INITIAL!r} is not the set of states that `initial` gives; rename it")
    return support


def set_initial(parts: Parts, initial: ndarray | None) -> None:
    """One initial state is a distribution; of several, no distribution is known: they stay a label."""
    if initial is None:
        return
    count = int(initial.sum())
    if count == 1:
        parts.initial = initial.astype(np.float64)
    elif count > 1:
        parts.labels = {INITIAL: initial, **parts.labels}


def chosen(names: Iterable[str], wanted: str | None, path: Path) -> str | None:
    """The reward model to read: the one named, or the only one, or none.

    Raises:
        FormatError: there is none of that name, or several and none is named.
    """
    held = list(names)
    listed = ", ".join(short(name) for name in held[:20]) or "none"
    if wanted is not None:
        if wanted not in held:
            raise FormatError(f"{path}: has no reward model {short(wanted)}; there are: {listed}")
        return wanted
    if len(held) > 1:
        raise FormatError(f"{path}: has several reward models; name one by `rewards=`: {listed}")
    return held[0] if held else None


def marked(sets: Mapping[str, Sequence[int]], states: int, path: Path) -> dict[str, ndarray]:
    """Labels as the record holds them, one byte for each state.

    Raises:
        FormatError: that would be too many: a short text can name a label for each of its states.
    """
    if len(sets) * states > _MOST_MARKS:
        raise FormatError(f"{path}: {len(sets)} labels of {states} states; limit {_MOST_MARKS} marks")
    labels = {name: np.zeros(states, bool) for name in sets}
    for name, held in sets.items():
        labels[name][np.array(held, np.int64)] = True
    return labels


def lift(parts: Parts) -> None:
    """Rewards that are equal within each choice become the choices'."""
    held = parts.branch_reward
    if held is None or not len(held):
        parts.branch_reward = None
        return
    own = held[parts.branch_start[:-1]]
    if (held == np.repeat(own, np.diff(parts.branch_start))).all():
        parts.choice_reward, parts.branch_reward = parts.choice_reward + own, None


def reward_states(parts: Parts, reward: ndarray, place: str) -> None:
    """Add rewards of states to all their choices.

    Raises:
        FormatError: a state has a reward and no choice.
    """
    counts = np.diff(parts.choice_start)
    lost = (counts == 0) & (reward != 0)
    if lost.any():
        s = int(np.argmax(lost))
        raise FormatError(f"{place}: state {s} has reward {float(reward[s])} and no choice")
    parts.choice_reward = parts.choice_reward + np.repeat(reward, counts)
