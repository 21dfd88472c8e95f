r"""The tabular simulator: joint dynamics p(s', r | s, a) as alias tables, one draw and one cell a step (Walker 1977).

S states, C choices, N cells, each with a threshold and two outcomes. All choices have as many cells as the one with
most branches, if that does not take too much memory: then the place of the cell within its choice is known before the
choice is. A state is known by its first choice and their number, so that a table of outcomes leads straight to the next
row of Q; both are 0 in terminal states.
"""

from __future__ import annotations

import typing
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numba import njit
from numpy import ndarray

from suasion.markov import MDP, Policy, check_distribution

_SMALL = 1 << 12  # cells
OUTCOME = np.dtype([("reward", np.float64), ("low", np.uint32), ("count", np.uint32)])


class Branches(NamedTuple):
    """The branches of a model, for rules that count what they met or that weigh it.

    Attributes:
        start: int64[C + 1]; choice c has the branches start[c] : start[c + 1].
        choice: of each branch, int64[B].
        reward: of each branch, float64[B].
        low: first choice of s', int64[B].
        width: number of choices of s', int64[B]; 0 if it is terminal.
        ratio: probability of the branch's choice under a policy by that under another, float64[B], or [1] without one.
        into_start: int64[C + 1]; the state that begins with choice c is entered by into[into_start[c] :
            into_start[c + 1]].
        into: branches by where they lead, int64[_].
    """

    start: ndarray
    choice: ndarray
    reward: ndarray
    low: ndarray
    width: ndarray
    ratio: ndarray
    into_start: ndarray
    into: ndarray


class Tables(NamedTuple):
    """What a kernel knows of a model.

    Attributes:
        stride: cells of each choice, or 0 if they differ; 1 where nothing is left to chance.
        start: int64[C + 2]; choice c has the cells start[c] : start[c + 1], and after the last come the first states.
        threshold: of each cell, float64[N]: the first outcome is taken below it, in [0, 1].
        outcome: (reward, first choice of s', number of choices of s'), OUTCOME[2 N]; two for each cell.
        low: first choice of the state to which a choice belongs, int64[C].
        width: number of choices of that state, int64[C].
        branch: of each outcome, int64[2 N].
        branches: of the model.
    """

    stride: int
    start: ndarray
    threshold: ndarray
    outcome: ndarray
    low: ndarray
    width: ndarray
    branch: ndarray
    branches: Branches


def tables(mdp: MDP, initial: Float64[ndarray, "_"] | None = None, *, counted: bool = True) -> Tables:
    r"""Alias tables of a model.

    Args:
        mdp: the model.
        initial: distribution of $S_0$, float64[S]; that of the model, or uniform over states that are not terminal.
        counted: whether outcomes tell their branches, for rules that count or weigh them; it takes as long as the rest.

    Raises:
        ValueError: all states are terminal, `initial` is no distribution over states, or the process may begin in a
            terminal state; the state, with the number.
    """
    first = _first_states(mdp, initial)
    lengths = np.diff(mdp.branch_start)
    most = int(lengths.max())
    stride = most if most * mdp.n_choices <= 4 * mdp.n_branches + _SMALL else 0
    cells = np.append(np.full(mdp.n_choices, stride) if stride else lengths, np.count_nonzero(first))
    start = np.concatenate([[0], np.cumsum(cells)])
    branch = np.repeat(mdp.branch_start[:-1], cells[:-1])  # what fills the row up has the probability 0
    probability = np.zeros(start[-2])
    held = np.repeat(start[:-2], lengths) + np.arange(mdp.n_branches) - np.repeat(mdp.branch_start[:-1], lengths)
    branch[held], probability[held] = np.arange(mdp.n_branches), mdp.probability
    begins = np.flatnonzero(first)
    target = np.concatenate([mdp.target[branch], begins])
    reward = np.concatenate([branch_rewards(mdp)[branch], np.zeros(len(begins))])
    threshold, other = _aliases(start, np.concatenate([probability, first[begins]]))
    counts = np.diff(mdp.choice_start)
    outcome = np.zeros((len(target), 2), OUTCOME)
    for k, cell in enumerate((np.arange(len(target)), other)):
        outcome["reward"][:, k] = reward[cell]
        outcome["low"][:, k] = np.where(mdp.terminal, 0, mdp.choice_start[:-1])[target[cell]]
        outcome["count"][:, k] = counts[target[cell]]
    low = np.repeat(mdp.choice_start[:-1], counts)
    width = np.repeat(counts, counts)
    if not counted:
        return Tables(stride, start, threshold, outcome.ravel(), low, width, np.zeros(1, np.int64), no_branches())
    of_outcome = np.stack([branch, branch[other[: len(branch)]]], axis=1).ravel()  # aliases stay within their choice
    return Tables(stride, start, threshold, outcome.ravel(), low, width, of_outcome, _branches(mdp))


def no_branches() -> Branches:
    """For rules that do not ask."""
    none, number = np.zeros(1, np.int64), np.zeros(1)
    return Branches(none, none, number, none, none, number, none, none)


def _branches(mdp: MDP) -> Branches:
    counts = np.diff(mdp.choice_start)[mdp.target]
    low = mdp.choice_start[:-1][mdp.target]
    going_on = np.flatnonzero(counts)
    entered = np.bincount(low[going_on], minlength=mdp.n_choices)
    return Branches(
        start=mdp.branch_start,
        choice=np.repeat(np.arange(mdp.n_choices), np.diff(mdp.branch_start)),
        reward=branch_rewards(mdp),
        low=low,
        width=counts,
        ratio=np.ones(1),
        into_start=np.concatenate([[0], np.cumsum(entered)]),
        into=going_on[np.argsort(low[going_on], kind="stable")],
    )


def _first_states(mdp: MDP, initial: Float64[ndarray, "_"] | None) -> Float64[ndarray, "_"]:
    """Their distribution, checked."""
    if mdp.terminal.all():
        raise ValueError(f"all {mdp.n_states} states are terminal: there is nothing to learn")
    if initial is None:
        initial = first_distribution(mdp)
    if len(initial) != mdp.n_states:
        raise ValueError(f"initial has {len(initial)} entries, not {mdp.n_states}")
    check_distribution("initial", initial)
    if (bad := mdp.terminal & (initial > 0)).any():
        s = int(np.argmax(bad))
        raise ValueError(f"initial[{s}] is {float(initial[s])!r}, and state {s} is terminal: no step is made there")
    return initial


def first_distribution(mdp: MDP) -> Float64[ndarray, "_"]:
    """The model's, or uniform over states that are not terminal."""
    if mdp.initial is not None:
        return mdp.initial
    return ~mdp.terminal / max(1, int((~mdp.terminal).sum()))


def branch_rewards(mdp: MDP) -> Float64[ndarray, "_"]:
    """The whole reward of each branch: the choice's and its own."""
    reward = np.repeat(mdp.choice_reward, np.diff(mdp.branch_start))
    return reward if mdp.branch_reward is None else reward + mdp.branch_reward


def followed(mdp: MDP, policy: Policy, reward: Float64[ndarray, "_"] | None = None) -> MDP:
    r"""The process under a policy: one choice in each state, $\sum_a \pi(a \mid s) \, p(s', r \mid s, a)$.

    What is learned of its choices is $v_\pi$ of their states.

    Args:
        mdp: the model.
        policy: over the same choices.
        reward: of each branch, float64[B]; the model's, if not given.

    Raises:
        ValueError: the policy is for other choices.
    """
    policy.check_fits(mdp)
    lengths = np.diff(mdp.branch_start)
    weight = np.repeat(policy.probability, lengths) * mdp.probability
    ends = mdp.branch_start[mdp.choice_start[1:]][~mdp.terminal]
    return MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(~mdp.terminal)]),
        branch_start=np.concatenate([[0], ends]),
        target=mdp.target,
        probability=weight,
        branch_reward=branch_rewards(mdp) if reward is None else reward,
        normalise=True,  # both rows may miss 1 by what an MDP allows
        terminal=mdp.terminal,
        initial=mdp.initial,
        states=mdp.states,
    )


@njit(cache=True)
@typing.no_type_check
def _aliases(start, probability):
    """Thresholds and second outcomes of all rows (Vose 1991): K p of each cell, filled up from those above 1."""
    threshold = np.ones(len(probability))
    other = np.arange(len(probability))
    weight = np.empty(len(probability))
    stack = np.empty(len(probability), np.int64)
    for row in range(len(start) - 1):
        low, high = start[row], start[row + 1]
        total = 0.0
        for b in range(low, high):
            total += probability[b]
        small, large = low, high  # the stack of cells below 1 grows from one end, the others' from the other
        for b in range(low, high):
            weight[b] = probability[b] / total * (high - low)
            if weight[b] < 1.0:
                stack[small] = b
                small += 1
            else:
                large -= 1
                stack[large] = b
        while small > low and large < high:
            small -= 1
            poor, rich = stack[small], stack[large]
            threshold[poor], other[poor] = weight[poor], rich
            weight[rich] = (weight[rich] + weight[poor]) - 1.0
            if weight[rich] < 1.0:
                large += 1
                stack[small] = rich
                small += 1
    return threshold, other


@njit(cache=True, nogil=True)
@typing.no_type_check
def outcome_of(tables, choice, number):
    """Index of the outcome that a uniform number picks."""
    if tables.stride > 0:
        scaled = number * tables.stride
        place = np.int64(scaled)
        cell = choice * tables.stride + place
    else:
        scaled = number * np.float64(tables.start[choice + 1] - tables.start[choice])
        place = np.int64(scaled)
        cell = tables.start[choice] + place
    return 2 * cell + np.int64(scaled - np.float64(place) >= tables.threshold[np.uint64(cell)])


@njit(cache=True, nogil=True)
@typing.no_type_check
def first_of(tables, number):
    """Index of the outcome that begins an episode."""
    low = tables.start[-2]
    scaled = number * np.float64(tables.start[-1] - low)
    place = np.int64(scaled)
    return 2 * (low + place) + np.int64(scaled - np.float64(place) >= tables.threshold[low + place])
