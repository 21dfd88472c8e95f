"""The decision process: joint dynamics p(s', r | s, a) as three levels of index arrays.

S states, C choices (state-action pairs that are there), B branches (outcomes of a choice). Lengths are checked by the
constructor, with an error that names them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64
from numpy import ndarray

ROW_TOLERANCE = 1e-9


class Marginals(NamedTuple):
    """p(s' | s, a) and r(s, a): all that expected values need.

    Attributes:
        start: int64[C + 1]; choice c has the branches start[c] : start[c + 1].
        target: s', int32[B'], ascending and distinct within a choice.
        probability: p(s' | s, a), float64[B'].
        reward: r(s, a) = sum of p(s', r | s, a) r, float64[C].
    """

    start: Int64[ndarray, "_"]
    target: Int[ndarray, "_"]
    probability: Float64[ndarray, "_"]
    reward: Float64[ndarray, "_"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MDP:
    r"""Finite Markov decision process (N1.3.2): $p(s', r \mid s, a)$ over states, choices and branches.

    State s has the choices `choice_start[s] : choice_start[s + 1]`, and choice c the branches
    `branch_start[c] : branch_start[c + 1]`; the actions there are may differ from state to state. A branch is one
    (s', r): reward `choice_reward[c] + branch_reward[b]`. The process ends in a state without choices: its value is 0,
    and it must be declared in `terminal`. The discount belongs to the question, not to the model.

    Rows may miss 1 by what floating point leaves (1e-9); the model meant is the one whose rows are divided by their
    exact sums. Build from unsorted branches with `from_branches`, which sorts and sums; this constructor only checks.

    Attributes:
        choice_start: int64[S + 1], from 0 to C, never falling.
        branch_start: int64[C + 1], from 0 to B, rising: each choice has an outcome.
        target: s' of each branch, int32[B]; within a choice ascending, and distinct for equal rewards.
        probability: of each branch, float64[B], > 0.
        choice_reward: float64[C], in reward units.
        branch_reward: float64[B], added to the choice's, or None where no branch has a reward of its own.
        action: index of each choice's action, int32[C]; within a state not necessarily distinct.
        terminal: bool[S]; true in just the states without choices.
        initial: distribution of the first state, float64[S], or None if not given.
        states: names of states, or empty.
        actions: names of actions, or empty.
        labels: sets of states by name, bool[S] each (the atomic propositions of model checkers).

    Raises:
        ValueError: any of these is not so; the first place where, with the number.
    """

    choice_start: Int64[ndarray, "_"]
    branch_start: Int64[ndarray, "_"]
    target: Int[ndarray, "_"]
    probability: Float64[ndarray, "_"]
    choice_reward: Float64[ndarray, "_"]
    branch_reward: Float64[ndarray, "_"] | None = None
    action: Int[ndarray, "_"]
    terminal: Bool[ndarray, "_"]
    initial: Float64[ndarray, "_"] | None = None
    states: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    labels: Mapping[str, Bool[ndarray, "_"]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_offsets("choice_start", self.choice_start, len(self.action))
        _check_offsets("branch_start", self.branch_start, len(self.target))
        self._check_lengths()
        self._check_ends()
        self._check_branches()
        self._check_rewards()
        self._check_names()

    def __repr__(self) -> str:
        return f"MDP({self.n_states} states, {self.n_choices} choices, {self.n_branches} branches)"

    @classmethod
    def from_branches(
        cls,
        *,
        choice_start: Int[ndarray, "_"],
        branch_start: Int[ndarray, "_"],
        target: Int[ndarray, "_"],
        probability: Float[ndarray, "_"],
        choice_reward: Float[ndarray, "_"] | None = None,
        branch_reward: Float[ndarray, "_"] | None = None,
        action: Int[ndarray, "_"] | None = None,
        normalise: bool = False,
        **others: Any,
    ) -> MDP:
        """From branches in any order within their choice, some perhaps twice: equal (s', r) are summed.

        Branches of probability 0 are left out. Branch rewards that are equal within each choice move to the choice.

        Args:
            choice_start: as in `MDP`.
            branch_start: as in `MDP`; a choice without branches is refused.
            target: s' of each branch.
            probability: of each branch, >= 0.
            choice_reward: of each choice; 0 if not given.
            branch_reward: of each branch, added to the choice's.
            action: of each choice; its place within its state if not given.
            normalise: divide rows by their sums, however far from 1; else such rows are refused.
            others: further fields of `MDP`; `terminal` is none if not given.

        Raises:
            ValueError: as `MDP`.
        """
        choice_start, branch_start = (np.asarray(x, np.int64) for x in (choice_start, branch_start))
        choices = len(branch_start) - 1
        _check_offsets("choice_start", choice_start, choices)
        _check_offsets("branch_start", branch_start, len(target))
        probability = np.asarray(probability, np.float64)
        _check_probabilities(probability, _places(choice_start, branch_start), zero=True)
        target = _narrow(np.asarray(target))
        reward = None if branch_reward is None else np.asarray(branch_reward, np.float64)
        if reward is not None:
            _check_finite("branch_reward", reward, _places(choice_start, branch_start))
        start, target, probability, reward = _canonical(branch_start, target, probability, reward)
        _check_offsets("branch_start", start, len(target))
        if normalise:
            filled = np.flatnonzero(np.diff(start))  # the constructor refuses the others
            sums = np.add.reduceat(probability, start[filled]) if len(filled) else np.zeros(0)
            probability = probability / np.repeat(sums, np.diff(start)[filled])
        base = np.zeros(choices) if choice_reward is None else np.asarray(choice_reward, np.float64)
        base, reward = _lift(start, base, reward)
        return cls(
            choice_start=choice_start,
            branch_start=start,
            target=target,
            probability=probability,
            choice_reward=base,
            branch_reward=reward,
            action=_ordinal(choice_start) if action is None else np.asarray(action, np.int32),
            **{"terminal": np.zeros(len(choice_start) - 1, bool), **others},
        )

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.choice_start) - 1

    @property
    def n_choices(self) -> int:
        """C: state-action pairs."""
        return len(self.branch_start) - 1

    @property
    def n_branches(self) -> int:
        """B."""
        return len(self.target)

    @cached_property
    def marginals(self) -> Marginals:
        r"""$p(s' \mid s, a) = \sum_r p(s', r \mid s, a)$ and $r(s, a)$ (N1.3.2).

        The model's own arrays, where no branch has a reward of its own.
        """
        if self.branch_reward is None:
            return Marginals(self.branch_start, self.target, self.probability, self.choice_reward)
        expected = np.add.reduceat(self.probability * self.branch_reward, self.branch_start[:-1])
        if not self.n_choices:
            expected = np.zeros(0)
        start, target, probability, _ = _canonical(self.branch_start, self.target, self.probability, None)
        return Marginals(start, target, probability, self.choice_reward + expected)

    def choices(self, state: int) -> range:
        """Indices of a state's choices."""
        return range(int(self.choice_start[state]), int(self.choice_start[state + 1]))

    def _check_lengths(self) -> None:
        wanted = {"probability": self.n_branches, "choice_reward": self.n_choices, "terminal": self.n_states}
        wanted |= {"branch_reward": self.n_branches, "initial": self.n_states}
        for name, length in wanted.items():
            held = getattr(self, name)
            if held is not None and len(held) != length:
                raise ValueError(f"{name} has {len(held)} entries, not {length}")

    def _check_ends(self) -> None:
        empty = np.diff(self.choice_start) == 0
        if (s := _first(empty & ~self.terminal)) is not None:
            raise ValueError(f"{self._state(s)} has no action and is not declared terminal")
        if (s := _first(self.terminal & ~empty)) is not None:
            raise ValueError(f"{self._state(s)} is declared terminal and has {len(self.choices(s))} actions")

    def _check_branches(self) -> None:
        if (c := _first(np.diff(self.branch_start) == 0)) is not None:
            raise ValueError(f"{self.place(c)} has no outcome")
        _check_probabilities(self.probability, self._place_of_branch)
        if (b := _first((self.target < 0) | (self.target >= self.n_states))) is not None:
            raise ValueError(
                f"{self._place_of_branch(b)} leads to {self.target[b]}: states are 0 to {self.n_states - 1}"
            )
        if (b := _first(~_ascending(self.branch_start, self.target, self.branch_reward))) is not None:
            raise ValueError(
                f"{self._place_of_branch(b)}: its outcomes are not in order, or one is there twice; "
                "MDP.from_branches sorts and sums"
            )
        sums = _row_sums(self.branch_start, self.probability)
        if (c := _first(np.abs(sums - 1) > ROW_TOLERANCE)) is not None:
            raise ValueError(f"probabilities of {self.place(c)} sum to {float(sums[c])!r}, not 1")

    def _check_rewards(self) -> None:
        _check_finite("choice_reward", self.choice_reward, self.place)
        if self.branch_reward is not None:
            _check_finite("branch_reward", self.branch_reward, self._place_of_branch)
        if (c := _first(self.action < 0)) is not None:
            raise ValueError(f"action[{c}] is {self.action[c]}, below 0")
        if self.initial is not None:
            check_distribution("initial", self.initial)

    def _check_names(self) -> None:
        if self.states and len(self.states) != self.n_states:
            raise ValueError(f"there are {len(self.states)} names for {self.n_states} states")
        highest = int(self.action.max(initial=-1))
        if self.actions and len(self.actions) <= highest:
            raise ValueError(f"there are {len(self.actions)} names of actions, and a choice has action {highest}")
        for name, held in self.labels.items():
            if len(held) != self.n_states:
                raise ValueError(f"label {name!r} has {len(held)} entries, not one for each of {self.n_states} states")

    def _state(self, state: int) -> str:
        return f"state {state} ({self.states[state]})" if self.states else f"state {state}"

    def place(self, choice: int) -> str:
        """A choice in words: its state and action."""
        state = int(np.searchsorted(self.choice_start, choice, side="right")) - 1
        action = int(self.action[choice])
        named = f"action {action} ({self.actions[action]})" if action < len(self.actions) else f"action {action}"
        return f"{self._state(state)}, {named}"

    def _place_of_branch(self, branch: int) -> str:
        return self.place(int(np.searchsorted(self.branch_start, branch, side="right")) - 1)


def check_distribution(name: str, probability: Float[ndarray, "n"]) -> None:
    """Refuse what is not a distribution, with the first place and number.

    Args:
        name: of the array, for the error.
        probability: one-dimensional.

    Raises:
        ValueError: an entry is negative or not finite, or the sum misses 1 by more than 1e-9.
    """
    _check_probabilities(probability, lambda index: f"{name}[{index}]", zero=True)
    if abs((total := float(probability.sum())) - 1) > ROW_TOLERANCE:
        raise ValueError(f"{name} sums to {total!r}, not 1")


def _places(choice_start: ndarray, branch_start: ndarray) -> Any:
    """Branch -> words, before there is a model."""

    def place(branch: int) -> str:
        choice = int(np.searchsorted(branch_start, branch, side="right")) - 1
        state = int(np.searchsorted(choice_start, choice, side="right")) - 1
        return f"state {state}, choice {choice - int(choice_start[state])}"

    return place


def _check_probabilities(probability: ndarray, place: Any, *, zero: bool = False) -> None:
    bad = ~(probability >= 0 if zero else probability > 0) | ~np.isfinite(probability)
    if (b := _first(bad)) is not None:
        raise ValueError(f"a probability of {place(b)} is {float(probability[b])!r}")


def _check_finite(name: str, held: ndarray, place: Any) -> None:
    if (i := _first(~np.isfinite(held))) is not None:
        raise ValueError(f"{name} of {place(i)} is {float(held[i])!r}")


def _check_offsets(name: str, start: ndarray, end: int) -> None:
    if len(start) == 0 or start[0] != 0 or start[-1] != end:
        ends = f"{start[0]} to {start[-1]}" if len(start) else "nothing"
        raise ValueError(f"{name} goes from {ends}, not from 0 to {end}")
    if (i := _first(np.diff(start) < 0)) is not None:
        raise ValueError(f"{name}[{i + 1}] is {start[i + 1]}, below {name}[{i}] = {start[i]}")


def _first(bad: ndarray) -> int | None:
    """Index of the first true entry."""
    if not len(bad):
        return None
    index = int(np.argmax(bad))
    return index if bad[index] else None


def _narrow(target: ndarray) -> ndarray:
    """int32, if nothing is lost."""
    if len(target) and (target.max() > np.iinfo(np.int32).max or target.min() < 0):
        b = int(np.argmax((target > np.iinfo(np.int32).max) | (target < 0)))
        raise ValueError(f"target[{b}] is {target[b]}: states are 0 to 2147483647 at most")
    return target.astype(np.int32, copy=False)


def _ordinal(choice_start: ndarray) -> ndarray:
    """Place of each choice within its state."""
    counts = np.diff(choice_start)
    return (np.arange(choice_start[-1]) - np.repeat(choice_start[:-1], counts)).astype(np.int32)


def _row_sums(start: ndarray, probability: ndarray) -> ndarray:
    """Sum of each row, none of them empty."""
    return np.add.reduceat(probability, start[:-1]) if len(start) > 1 else np.zeros(0)


def _ascending(start: ndarray, target: ndarray, reward: ndarray | None) -> ndarray:
    """Whether each branch comes after the one before it by (target, reward), or is the first of its choice."""
    after = np.ones(len(target), bool)
    after[1:] = target[1:] > target[:-1]
    if reward is not None:
        after[1:] |= (target[1:] == target[:-1]) & (reward[1:] > reward[:-1])
    after[start[:-1][np.diff(start) > 0]] = True
    return after


def _canonical(
    start: ndarray, target: ndarray, probability: ndarray, reward: ndarray | None
) -> tuple[ndarray, ndarray, ndarray, ndarray | None]:
    """Sorted by (choice, target, reward), equal ones summed, zeros left out; copies nothing if that is so already."""
    if (probability != 0).all() and _ascending(start, target, reward).all():
        return start, target, probability, reward
    if reward is None:
        return *_summed(start, target, probability), None
    row = np.repeat(np.arange(len(start) - 1), np.diff(start))
    keep = probability != 0
    row, target, probability = row[keep], target[keep], probability[keep]
    reward = reward[keep] + 0.0  # -0.0 and 0.0 are one reward
    order = np.lexsort((reward, target, row))
    row, target, probability, reward = row[order], target[order], probability[order], reward[order]
    new = np.ones(len(row), bool)
    new[1:] = (row[1:] != row[:-1]) | (target[1:] != target[:-1]) | (reward[1:] != reward[:-1])
    first = np.flatnonzero(new)
    summed = np.add.reduceat(probability, first) if len(first) else probability
    counts = np.bincount(row[first], minlength=len(start) - 1)
    fresh = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return fresh, target[first], summed, reward[first]


def _summed(start: ndarray, target: ndarray, probability: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Rows sorted by target, equal ones summed, zeros left out."""
    from scipy.sparse import csr_array

    shape = (len(start) - 1, int(target.max(initial=0)) + 1)
    rows = csr_array((probability.copy(), target.copy(), start.copy()), shape=shape)
    rows.eliminate_zeros()
    rows.sum_duplicates()
    return rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data


def _lift(start: ndarray, base: ndarray, reward: ndarray | None) -> tuple[ndarray, ndarray | None]:
    """Move branch rewards to their choices where all branches of each choice have the same."""
    if reward is None or not len(reward):
        return base, None
    counts = np.diff(start)
    if not counts.all():
        return base, reward
    own = reward[start[:-1]]
    if (reward == np.repeat(own, counts)).all() and len(base) == len(own):
        return base + own, None
    return base, reward
