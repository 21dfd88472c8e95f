"""Walks of a decision process under a policy: arrays, many at once."""

from __future__ import annotations

import typing
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from numba import njit
from numpy import ndarray

from suasion.markov._mdp import MDP
from suasion.markov._policy import Policy
from suasion.markov._walk import check_start, count_walks, draw, first_states, running_sums

_AT_ONCE = 1 << 20


class Walks(NamedTuple):
    r"""What happened: $S_t, A_t, R_{t+1}$ of each walk.

    Attributes:
        states: int64[walks, steps + 1]; a terminal state is stayed in.
        choices: index among all C choices, int64[walks, steps]; -1 once a walk has ended.
        rewards: $R_{t+1}$, float64[walks, steps]; 0 once a walk has ended.
        ended: whether the state is terminal, bool[walks, steps + 1].
    """

    states: Int64[ndarray, "_ _"]
    choices: Int64[ndarray, "_ _"]
    rewards: Float64[ndarray, "_ _"]
    ended: Bool[ndarray, "_ _"]


def simulate(
    mdp: MDP,
    policy: Policy,
    steps: int,
    rng: np.random.Generator,
    *,
    start: int | Int[ndarray, "_"] | None = None,
    walks: int | None = None,
) -> Walks:
    r"""Draw $A_t \sim \pi(\cdot \mid S_t)$ and $S_{t+1}, R_{t+1} \sim p(\cdot \mid S_t, A_t)$.

    Args:
        mdp: the model.
        policy: over the same choices.
        steps: of each walk, >= 0; a walk that has ended is filled up.
        rng: generator; it gives two uniform numbers for each step of each walk, ended or not.
        start: a state, or one for each walk; drawn from `mdp.initial` if not given.
        walks: how many; as many as there are starts, if not given.

    Raises:
        ValueError: the policy is for other choices, neither `start` nor `mdp.initial` is given, a start is no state, or
            numbers of walks or steps do not fit.
    """
    policy.check_fits(mdp)
    number = count_walks(walks, start, steps)
    states = np.empty((number, steps + 1), np.int64)
    choices, rewards = np.full((number, steps), -1), np.zeros((number, steps))
    states[:, 0] = first_states(rng, number, start, mdp.initial)
    check_start(states[:, 0], mdp.n_states)
    chosen = running_sums(mdp.choice_start, policy.probability)
    led = running_sums(mdp.branch_start, mdp.probability)
    model = (mdp.choice_start, chosen, mdp.branch_start, led, mdp.target, mdp.choice_reward, _branch_rewards(mdp))
    for done in range(0, steps, block := max(1, _AT_ONCE // max(number, 1))):
        uniform = rng.random((min(block, steps - done), 2, number))
        upto = done + len(uniform)
        _play(*model, uniform, states[:, done : upto + 1], choices[:, done:upto], rewards[:, done:upto])
    return Walks(states, choices, rewards, mdp.terminal[states])


def _branch_rewards(mdp: MDP) -> ndarray:
    """Of each branch; empty where none has one of its own."""
    return np.zeros(0) if mdp.branch_reward is None else mdp.branch_reward


@njit(cache=True)
@typing.no_type_check
def _play(
    choice_start, chosen, branch_start, led, target, choice_reward, branch_reward, uniform, states, choices, rewards
):
    """Fill in each step of each walk from its first state."""
    for t in range(uniform.shape[0]):
        for w in range(uniform.shape[2]):
            s = states[w, t]
            if choice_start[s] == choice_start[s + 1]:
                states[w, t + 1] = s
                continue
            choice = draw(choice_start, chosen, s, uniform[t, 0, w])
            branch = draw(branch_start, led, choice, uniform[t, 1, w])
            states[w, t + 1] = target[branch]
            choices[w, t] = choice
            rewards[w, t] = choice_reward[choice]
            if len(branch_reward):
                rewards[w, t] += branch_reward[branch]
