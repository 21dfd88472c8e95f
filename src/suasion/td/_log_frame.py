r"""A log held against the choices of a model (n steps, S states, C choices), and the model that its frequencies make.

Of a model that is given only the choices are read, never its probabilities or rewards: that is what the log is for.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from scipy import sparse

from suasion.markov import MDP, Policy
from suasion.td._log import Transitions, refuse_row

Choices = MDP | tuple[int, int]
Target = Policy | Float64[ndarray, "_ _"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Frame:
    """The choices of a model, and to which each row of a log belongs.

    Attributes:
        choice_start: int64[S + 1].
        action: of each choice, int64[C].
        owner: state of each choice, int64[C].
        choice: of each row, int64[n].
        low: first choice of each row's next state, int64[n].
        count: of choices there, int64[n]; 0 where the episode terminated.
        visits: of each choice, int64[C].
    """

    choice_start: Int64[ndarray, "_"]
    action: Int64[ndarray, "_"]
    owner: Int64[ndarray, "_"]
    choice: Int64[ndarray, "_"]
    low: Int64[ndarray, "_"]
    count: Int64[ndarray, "_"]
    visits: Int64[ndarray, "_"]

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.choice_start) - 1

    @property
    def terminal(self) -> Bool[ndarray, "_"]:
        """States without choices, bool[S]."""
        return np.diff(self.choice_start) == 0

    def names(self, wanted: Bool[ndarray, "_"]) -> tuple[tuple[int, int], ...]:
        """(state, action) of the choices that are marked."""
        return tuple((int(self.owner[c]), int(self.action[c])) for c in np.flatnonzero(wanted))


def check_distinct(mdp: MDP) -> None:
    """Refuse a model in which an action does not say which choice it is."""
    owner = np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))
    key = owner * (int(mdp.action.max(initial=0)) + 1) + mdp.action
    order = np.argsort(key, kind="stable")
    if (twice := key[order][1:] == key[order][:-1]).any():
        c = int(order[int(np.argmax(twice))])
        raise ValueError(f"{mdp.place(c)}: two choices have this action, and a log could not tell them apart")


def frame(log: Transitions, choices: Choices) -> Frame:
    """The choices, and the rows' places among them.

    Args:
        log: the log.
        choices: a model, or numbers of states and actions: then each state has all actions, but those in which an
            episode terminated have none.

    Raises:
        ValueError: a row has a state or an action that is not there, goes on from a terminal state or ends elsewhere.
    """
    if isinstance(choices, MDP):
        check_distinct(choices)
        start, action = choices.choice_start, choices.action.astype(np.int64)
    else:
        start, action = _all_actions(log, *choices)
    size, owner = len(start) - 1, np.repeat(np.arange(len(start) - 1), np.diff(start))
    state, after = log.state.astype(np.int64), log.next_state.astype(np.int64)
    for name, held in (("state", state), ("next_state", after)):
        refuse_row(held >= size, f"{name} is {{}}: states are 0 to {size - 1}", held)
    width = int(max(action.max(initial=0), log.action.max())) + 1
    order = np.argsort(owner * width + action, kind="stable")
    keys, key = (owner * width + action)[order], state * width + log.action
    at = np.minimum(np.searchsorted(keys, key), len(keys) - 1) if len(keys) else np.zeros(len(key), np.int64)
    missing = keys[at] != key if len(keys) else np.ones(len(key), bool)
    refuse_row(missing, "state {} has no action {}", state, log.action)
    count = np.diff(start)[after]
    refuse_row((count == 0) & ~log.terminated, "state {} is terminal, and the row has not terminated", after)
    refuse_row((count > 0) & log.terminated, "terminated in state {}, which is not terminal", after)
    choice = order[at]
    visits = np.bincount(choice, minlength=len(action))
    return Frame(
        choice_start=start, action=action, owner=owner, choice=choice, low=start[after], count=count, visits=visits
    )


def _all_actions(log: Transitions, states: int, actions: int) -> tuple[ndarray, ndarray]:
    """Offsets and actions where each state has all, but those in which an episode terminated."""
    if states < 1 or actions < 1:
        raise ValueError(f"choices are {states} states and {actions} actions: not 1 at least")
    live = np.ones(states, bool)
    ends = log.next_state[log.terminated & (log.next_state < states)]
    live[ends] = False
    again = np.isin(log.state, ends)
    if again.any():
        i = int(np.argmax(again))
        j = int(np.argmax(log.terminated & (log.next_state == log.state[i])))
        raise ValueError(f"row {i} of the log leaves state {int(log.state[i])}, in which row {j} terminated")
    return np.concatenate([[0], np.cumsum(live * actions)]), np.tile(np.arange(actions), int(live.sum()))


def probabilities(target: Target, held: Frame) -> Float64[ndarray, "_"]:
    r"""$\pi(a \mid s)$ of each choice, float64[C]; rows divided by their sums.

    Raises:
        ValueError: the policy is for other choices, or a table has other sizes, gives an action that is not there a
            probability, or has a row that is no distribution; the state, with the number.
    """
    if isinstance(target, Policy):
        if len(target.choice_start) != held.n_states + 1 or (target.choice_start != held.choice_start).any():
            raise ValueError("the target is a policy for other choices than those of the model")
        chance = target.probability
    else:
        chance = _from_table(target, held)
    sums = np.bincount(held.owner, weights=chance, minlength=held.n_states)
    return chance / sums[held.owner]


def _from_table(table: ndarray, held: Frame) -> ndarray:
    if table.shape[0] != held.n_states or table.shape[1] <= held.action.max(initial=-1):
        raise ValueError(
            f"target is {table.shape[0]} by {table.shape[1]}; there are {held.n_states} states and "
            f"{int(held.action.max(initial=-1)) + 1} actions"
        )
    chance = table[held.owner, held.action].astype(np.float64)
    policy = Policy(choice_start=held.choice_start, probability=chance)
    there = np.zeros(table.shape, bool)
    there[held.owner, held.action] = True
    if (extra := ~there & (table != 0) & ~held.terminal[:, None]).any():
        s, a = (int(i) for i in np.argwhere(extra)[0])
        raise ValueError(f"target[{s}, {a}] is {float(table[s, a])!r}, and state {s} has no action {a}")
    return policy.probability


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Frequencies:
    r"""What a log says of dynamics: $\hat p(s' \mid s, a)$ and $\hat r(s, a)$; rows of choices never made are empty.

    Attributes:
        transition: csr[C, S].
        reward: float64[C]; 0 of choices never made.
        visits: int64[C] (or weights, where episodes were weighted).
        initial: share of episodes that begin in each state, float64[S].
    """

    transition: sparse.csr_array
    reward: Float64[ndarray, "_"]
    visits: ndarray
    initial: Float64[ndarray, "_"]

    def chain(self, chance: Float64[ndarray, "_"], held: Frame) -> sparse.csr_array:
        r"""$\sum_a \pi(a \mid s) \hat p(s' \mid s, a)$, csr[S, S]; rows miss 1 by what was never tried."""
        return under_rows(chance, held) @ self.transition


def under_rows(chance: Float64[ndarray, "_"], held: Frame) -> sparse.csr_array:
    r"""$\pi(a \mid s)$ as a matrix from choices to states, csr[S, C]."""
    return sparse.csr_array((chance, np.arange(len(chance)), held.choice_start), shape=(held.n_states, len(chance)))


def frequencies(log: Transitions, held: Frame, rows: Bool[ndarray, "_"] | None = None) -> Frequencies:
    """Of the whole log, or of the rows that are marked."""
    chosen = np.arange(len(log)) if rows is None else np.flatnonzero(rows)
    choice, size = held.choice[chosen], len(held.action)
    visits = np.bincount(choice, minlength=size)
    share = 1.0 / np.maximum(visits, 1)
    total = np.bincount(choice, weights=log.reward[chosen], minlength=size)
    counts = sparse.csr_array(
        (np.ones(len(chosen)), (choice, log.next_state[chosen].astype(np.int64))), shape=(size, held.n_states)
    )
    counts.sum_duplicates()
    counts.data *= np.repeat(share, np.diff(counts.indptr))
    first = log.state[chosen][log.time[chosen] == 0]
    initial = np.bincount(first, minlength=held.n_states) / max(1, len(first))
    return Frequencies(transition=counts, reward=total * share, visits=visits, initial=initial)
