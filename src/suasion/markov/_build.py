"""Decision processes from the forms in which others hold them; all through `MDP.from_branches`.

S states, A actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray
from scipy import sparse

from suasion.markov._mdp import MDP

Outcome = tuple[Any, ...]


def from_arrays(
    transition: Float[ndarray, "_ _ _"] | Sequence[Any],
    reward: Float[ndarray, "..."] | Sequence[Any],
    **others: Any,
) -> MDP:
    r"""From arrays in the shapes of MDPtoolbox: each state has all A actions, and none is terminal.

    Args:
        transition: $p(s' \mid s, a)$, float[A, S, S], or A matrices [S, S], dense or sparse.
        reward: r(s), float[S]; r(s, a), float[S, A]; or r(s, a, s'), float[A, S, S] or A matrices. In a sparse matrix
            what is not stored is 0.
        others: further fields of `MDP`.

    Raises:
        ValueError: shapes disagree, or as `MDP`; with state and action.
    """
    matrices = [sparse.csr_array(m) for m in transition]
    if not matrices:
        raise ValueError("transition holds no action")
    size = matrices[0].shape[0]
    for a, m in enumerate(matrices):
        if m.shape != (size, size):
            raise ValueError(f"transition of action {a} is {m.shape[0]} by {m.shape[1]}, not {size} by {size}")
        m.sum_duplicates()
    choice_reward, each = _rewards(matrices, reward)
    counts = np.stack([np.diff(m.indptr) for m in matrices], axis=1)  # [S, A]
    rows = np.concatenate([np.repeat(np.arange(size), counts[:, a]) for a in range(len(matrices))])
    action = np.repeat(np.arange(len(matrices)), counts.sum(axis=0))
    order = np.argsort(rows * len(matrices) + action, kind="stable")
    return MDP.from_branches(
        choice_start=np.arange(size + 1) * len(matrices),
        branch_start=np.concatenate([[0], np.cumsum(counts.ravel())]),
        target=np.concatenate([m.indices for m in matrices])[order],
        probability=np.concatenate([m.data for m in matrices]).astype(np.float64)[order],
        choice_reward=choice_reward,
        branch_reward=None if each is None else each[order],
        **others,
    )


def _rewards(
    matrices: list[sparse.csr_array], reward: Float[ndarray, "..."] | Sequence[Any]
) -> tuple[Float64[ndarray, "_"], Float64[ndarray, "_"] | None]:
    """Of choices, and of the stored entries of each action's matrix in turn if they depend on s'."""
    size, actions = matrices[0].shape[0], len(matrices)
    shape = reward.shape if isinstance(reward, ndarray) else (len(reward), *np.shape(reward[0]))
    nothing = np.zeros(size * actions)
    if shape == (size,):
        return np.repeat(np.asarray(reward, np.float64), actions), None
    if shape == (size, actions):
        return np.asarray(reward, np.float64).ravel(), None
    if shape != (actions, size, size):
        raise ValueError(
            f"reward is {shape}: neither ({size},) nor ({size}, {actions}) nor ({actions}, {size}, {size})"
        )
    each = []
    for a, (m, r) in enumerate(zip(matrices, reward, strict=True)):
        if r.shape != (size, size):
            raise ValueError(f"reward of action {a} is {r.shape[0]} by {r.shape[1]}, not {size} by {size}")
        held = r if isinstance(r, ndarray) else sparse.csr_array(r)
        each.append(np.asarray(held[np.repeat(np.arange(size), np.diff(m.indptr)), m.indices], np.float64).ravel())
    return nothing, np.concatenate(each)


def from_dict(
    model: Mapping[Hashable, Mapping[Hashable, Iterable[Outcome]]], *, terminal: Iterable[Hashable] = (), **others: Any
) -> MDP:
    r"""From state -> action -> outcomes, each (probability, next state) or (probability, next state, reward).

    States are numbered in the order of the dictionary, and after them terminal states that it does not hold; actions in
    the order in which they first occur. Their names are those written by `str`.

    Args:
        model: the outcomes; a state without actions must be declared terminal.
        terminal: the terminal states.
        others: further fields of `MDP`; `initial` may be a dictionary state -> probability.

    Raises:
        ValueError: an outcome is no such tuple or leads to an unknown state, or as `MDP`; with state and action.
    """
    ends = list(terminal)
    states = list(dict.fromkeys([*model, *ends]))
    number = {s: i for i, s in enumerate(states)}
    actions = list(dict.fromkeys(a for choices in model.values() for a in choices))
    table = _Branches({a: i for i, a in enumerate(actions)})
    for s in states:
        choices = model.get(s, {})
        for a, listed in choices.items():
            table.add_choice(a)
            for outcome in listed:
                place = f"state {s!r}, action {a!r}"
                p, after, r = _outcome(place, outcome)
                if after not in number:
                    raise ValueError(f"{place} leads to {after!r}, which is no state")
                table.add_branch(p, number[after], r)
        table.close_state()
    ended = np.zeros(len(states), bool)
    ended[[number[s] for s in ends]] = True
    if isinstance(others.get("initial"), Mapping):
        others["initial"] = _named_distribution(others["initial"], number)
    names = {"states": tuple(map(str, states)), "actions": tuple(map(str, actions))}
    return table.build(terminal=ended, **(names | others))


def from_gymnasium(
    model: Mapping[int, Mapping[int, Iterable[Outcome]]],
    *,
    initial: Float[ndarray, "_"] | None = None,
    **others: Any,
) -> MDP:
    r"""From the table of a Gymnasium environment (`env.unwrapped.P`): state -> action -> (p, s', r, terminated).

    Outcomes that terminate lead to one state added at the end, S, terminal and worth 0; a state of the table that they
    name keeps its own actions, for what happens there never counts. If nothing terminates, no state is added.

    Args:
        model: the table; states are 0 to S - 1, actions integers.
        initial: distribution of the first state, float[S] or, with the added one, float[S + 1].
        others: further fields of `MDP`; names and labels count the added state.

    Raises:
        ValueError: states are not 0 to S - 1, an outcome is no such tuple or leads elsewhere, or as `MDP`; with state
            and action.
    """
    size = len(model)
    missing = next((s for s in range(size) if s not in model), None)
    if missing is not None:
        raise ValueError(f"the table has {size} states, and none is {missing}: they must be 0 to {size - 1}")
    highest = max((int(a) for choices in model.values() for a in choices), default=-1)
    table = _Branches({a: a for a in range(highest + 1)})
    ends = False
    for s in range(size):
        for a, listed in model[s].items():
            table.add_choice(int(a))
            for outcome in listed:
                place = f"state {s}, action {a}"
                if len(outcome) != 4:
                    raise ValueError(f"{place}: {outcome!r} is not (probability, next state, reward, terminated)")
                p, after, r = _outcome(place, outcome[:3])
                if not 0 <= after < size or after != int(after):
                    raise ValueError(f"{place} leads to {after!r}: states are 0 to {size - 1}")
                ended = bool(outcome[3])
                ends |= ended and p > 0
                table.add_branch(p, size if ended and p > 0 else int(after), r)
        table.close_state()
    terminal = np.zeros(size + ends, bool)
    if ends:
        table.close_state()
        terminal[size] = True
    if initial is not None:
        padding = np.zeros(1 if ends and len(initial) == size else 0)
        others["initial"] = np.concatenate([np.asarray(initial, np.float64), padding])
    return table.build(terminal=terminal, **others)


def from_function(
    states: Iterable[Hashable],
    actions: Callable[[Any], Iterable[Hashable]] | Sequence[Hashable],
    transition: Callable[[Any, Any], Iterable[Outcome]],
    *,
    limit: int = 1_000_000,
    **others: Any,
) -> MDP:
    r"""From a function (state, action) -> outcomes, over all states that can be reached from those given.

    Outcomes are as in `from_dict`. States are numbered in the order in which they are found, in breadth.

    Args:
        states: where exploration begins: the initial states, or all of them.
        actions: the actions of a state, or one list for all; a state with none is terminal.
        transition: the outcomes of an action.
        limit: most states.
        others: further fields of `MDP`; `initial` may be a dictionary state -> probability.

    Raises:
        ValueError: more than `limit` states, an outcome is no such tuple, or as `MDP`; with state and action.
    """
    offered = actions if callable(actions) else lambda state: actions
    found: dict[Hashable, int] = {}
    for s in states:
        found.setdefault(s, len(found))
    queue = list(found)
    table = _Branches({})
    terminal = []
    for s in queue:  # grows while it is read
        before = len(table.action)
        for a in offered(s):
            table.add_choice(a)
            place = f"state {s!r}, action {a!r}"
            for outcome in transition(s, a):
                p, after, r = _outcome(place, outcome)
                if after not in found:
                    if len(found) >= limit:
                        raise ValueError(f"{place} leads to {after!r}, and there are {limit} states already")
                    found[after] = len(found)
                    queue.append(after)
                table.add_branch(p, found[after], r)
        table.close_state()
        terminal.append(len(table.action) == before)
    if isinstance(others.get("initial"), Mapping):
        others["initial"] = _named_distribution(others["initial"], found)
    names = {"states": tuple(map(str, queue)), "actions": tuple(map(str, table.number))}
    return table.build(terminal=np.array(terminal, bool), **(names | others))


class _Branches:
    """Choices and branches as they come, state after state; `number` gains actions that it does not know."""

    def __init__(self, number: dict[Hashable, int]) -> None:
        self.number = number
        self.action: list[int] = []
        self.choice_start, self.branch_start = [0], [0]
        self.target: list[int] = []
        self.probability: list[float] = []
        self.reward: list[float] = []

    def add_choice(self, action: Hashable) -> None:
        self._close_choice()
        self.action.append(self.number.setdefault(action, len(self.number)))

    def add_branch(self, probability: float, target: int, reward: float) -> None:
        self.probability.append(probability)
        self.target.append(target)
        self.reward.append(reward)

    def close_state(self) -> None:
        self._close_choice()
        self.choice_start.append(len(self.action))

    def _close_choice(self) -> None:
        if len(self.branch_start) <= len(self.action):
            self.branch_start.append(len(self.target))

    def build(self, **fields: Any) -> MDP:
        return MDP.from_branches(
            choice_start=np.array(self.choice_start, np.int64),
            branch_start=np.array(self.branch_start, np.int64),
            target=np.array(self.target, np.int64),
            probability=np.array(self.probability, np.float64),
            branch_reward=np.array(self.reward, np.float64),
            action=np.array(self.action, np.int32),
            **fields,
        )


def _outcome(place: str, outcome: Outcome) -> tuple[float, Any, float]:
    """(probability, next state, reward), the reward 0 if not given."""
    if not isinstance(outcome, tuple | list) or len(outcome) not in (2, 3):
        raise ValueError(
            f"{place}: {outcome!r} is neither (probability, next state) nor (probability, next state, reward)"
        )
    probability, after = outcome[:2]
    reward = outcome[2] if len(outcome) == 3 else 0.0
    if not 0 <= probability < math.inf:
        raise ValueError(f"a probability of {place} is {float(probability)!r}")
    if not math.isfinite(reward):
        raise ValueError(f"a reward of {place} is {float(reward)!r}")
    return float(probability), after, float(reward)


def _named_distribution(given: Mapping[Hashable, float | int], number: Mapping[Hashable, int]) -> ndarray:
    """As an array over the numbered states."""
    held = np.zeros(len(number))
    for state, probability in given.items():
        if state not in number:
            raise ValueError(f"initial holds {state!r}, which is no state")
        held[number[state]] = probability
    return held
