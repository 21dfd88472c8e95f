r"""A decision process under a policy is a reward process."""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from scipy import sparse

from suasion.markov._chain import MarkovChain
from suasion.markov._mdp import MDP
from suasion.markov._policy import Policy
from suasion.markov._reward_process import MarkovRewardProcess


def under(mdp: MDP, policy: Policy, discount: float) -> MarkovRewardProcess:
    r"""The reward process that the policy makes of the model.

    $P_{ss'} = \sum_{a, r} \pi(a \mid s) \, p(s', r \mid s, a)$; $r(s, s')$ and the variance of the reward beyond it
    come from the same joint probabilities, so that values and variances of returns are the model's. A terminal state
    stays where it is with reward 0.

    Args:
        mdp: S states; its rows and the policy's are divided by their sums.
        policy: over the same choices.
        discount: in [0, 1].

    Raises:
        ValueError: the policy is for other choices, or `discount` is outside [0, 1].
    """
    policy.check_fits(mdp)
    size = mdp.n_states
    source, target, weight, reward = _outcomes(mdp, policy)
    key, entry = np.unique(source * size + target, return_inverse=True)
    probability = np.bincount(entry, weights=weight, minlength=len(key))
    mean = np.bincount(entry, weights=weight * reward, minlength=len(key)) / probability
    spread = np.bincount(source, weights=weight * (reward - mean[entry]) ** 2, minlength=size).astype(np.float64)
    expected = np.bincount(key // size, weights=probability * mean, minlength=size).astype(np.float64)

    ends = np.flatnonzero(mdp.terminal)
    rows, columns = np.concatenate([key // size, ends]), np.concatenate([key % size, ends])
    order = np.argsort(rows, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))])

    def matrix(entries: ndarray, at_ends: float) -> sparse.csr_array:
        held = np.concatenate([entries, np.full(len(ends), at_ends)])[order]
        return sparse.csr_array((held, columns[order], start), shape=(size, size))

    return MarkovRewardProcess(
        chain=MarkovChain(transition=matrix(probability, 1.0), initial=mdp.initial, states=mdp.states),
        reward=expected,
        discount=discount,
        transition_reward=matrix(mean, 0.0),
        reward_variance=spread,
    )


def _outcomes(mdp: MDP, policy: Policy) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """State, next state, probability given the state, and reward of each branch that the policy may take."""
    choice = np.repeat(np.arange(mdp.n_choices), np.diff(mdp.branch_start))
    source = np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))[choice]
    weight = policy.probability[choice] * mdp.probability
    reward = mdp.choice_reward[choice]
    if mdp.branch_reward is not None:
        reward = reward + mdp.branch_reward
    taken = weight > 0
    source, weight = source[taken], weight[taken]
    weight = weight / np.bincount(source, weights=weight, minlength=mdp.n_states)[source]
    return source, mdp.target[taken].astype(np.int64), weight, reward[taken]
