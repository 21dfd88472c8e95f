r"""Beliefs over the states of a partially observed decision process (`suasion.markov.POMDP`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.markov import POMDP
from suasion.statespace._finite import check_belief


class BeliefUpdate(NamedTuple):
    r"""A belief after an action and an observation.

    Attributes:
        belief: $b'(s')$, float64[S]; 0 if the observation is impossible.
        log_likelihood: $\log p(o \mid b, a)$, in nats; -inf if it is impossible. Its exponential is the transition
            probability of the belief process.
    """

    belief: Float64[ndarray, "_"]
    log_likelihood: float


def belief_update(pomdp: POMDP, belief: Float64[ndarray, "_"], action: int, observation: int | None) -> BeliefUpdate:
    r"""$b'(s') \propto p(o \mid a, s') \sum_s p(s' \mid s, a) b(s)$.

    A terminal state keeps its share.

    Args:
        pomdp: the process.
        belief: b, float64[S].
        action: one that every state with b(s) > 0 has, unless it is terminal.
        observation: o, or None if it was missed: then $b'(s') = \sum_s p(s' \mid s, a) b(s)$.

    Raises:
        ValueError: b is no distribution, a state that may be does not have the action or has it twice, or there is no
            such observation; which.
    """
    actions, _, symbols = pomdp.observation.shape
    check_belief(belief, pomdp.mdp.n_states)
    if not 0 <= action < actions:
        raise ValueError(f"action is {action}: actions are 0 to {actions - 1}")
    if observation is not None and not 0 <= observation < symbols:
        raise ValueError(f"observation is {observation}: observations are 0 to {symbols - 1}")
    joint = _predict(pomdp, belief / belief.sum(), action)
    if observation is not None:
        joint = joint * pomdp.observation[action, :, observation]
    total = float(joint.sum())
    if total == 0.0:
        return BeliefUpdate(np.zeros_like(joint), -np.inf)
    return BeliefUpdate(joint / total, float(np.log(total)))


def _predict(pomdp: POMDP, belief: ndarray, action: int) -> ndarray:
    mdp = pomdp.mdp
    out = np.where(mdp.terminal, belief, 0.0)
    for s in np.flatnonzero((belief > 0) & ~mdp.terminal):
        choices = [c for c in mdp.choices(int(s)) if mdp.action[c] == action]
        if len(choices) != 1:
            raise ValueError(f"state {s} has {len(choices)} choices with action {action}, and may be the state")
        first, last = mdp.branch_start[choices[0]], mdp.branch_start[choices[0] + 1]
        probability = mdp.probability[first:last]
        np.add.at(out, mdp.target[first:last], belief[s] * probability / probability.sum())
    return out
