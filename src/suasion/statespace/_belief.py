r"""Beliefs over the states of a partially observed decision process (`suasion.markov.POMDP`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.markov import MDP, POMDP
from suasion.statespace._checks import check_shape
from suasion.statespace._emission import Emission, Table, check_rows
from suasion.statespace._finite import FiniteSSM, check_belief


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


def observed_process(pomdp: POMDP, policy: Float64[ndarray, "_ _"], belief: Float64[ndarray, "_"]) -> FiniteSSM:
    r"""What an onlooker sees of a POMDP under a policy that sees the states: a hidden Markov model.

    Hidden is the pair of the last action and the state that it led to, $z_t = (a_{t-1}, s_t)$, at place $a S + s$:
    $p(z_{t+1} \mid z_t) = \pi(a_t \mid s_t)\, p(s_{t+1} \mid s_t, a_t)$, and $o_t \sim p(\cdot \mid a_{t-1}, s_t)$.
    The first observation comes after the first action. In a terminal state the pair stays.

    Args:
        pomdp: the process.
        policy: $\pi(a \mid s)$, float64[S, A]; rows of terminal states are not used.
        belief: of the state before the first action, float64[S]; terminal states must have none of it.

    Raises:
        ValueError: no distribution, a terminal state in the belief, or an action that its state does not have.
    """
    actions, states, _ = pomdp.observation.shape
    check_belief(belief, states)
    check_shape("policy", policy, (states, actions))
    check_rows("policy", policy[~pomdp.mdp.terminal])
    if (bad := (belief > 0) & pomdp.mdp.terminal).any():
        raise ValueError(f"state {int(np.argmax(bad))} is terminal, and in the belief: no action leaves it")
    move = np.zeros((states, actions, states))  # p(a, s' | s)
    for s in np.flatnonzero(~pomdp.mdp.terminal):
        for a in np.flatnonzero(policy[s] > 0):
            move[s, a] = policy[s, a] * _predict(pomdp, np.eye(states)[s], int(a))
    pairs = np.tile(move.reshape(states, -1), (actions, 1))  # from (a, s) to (a', s')
    stays = np.flatnonzero(np.tile(pomdp.mdp.terminal, actions))
    pairs[stays, stays] = 1.0
    first = np.tensordot(belief / belief.sum(), move, axes=1).ravel()
    emission = Table(probability=np.concatenate(list(pomdp.observation)))
    return FiniteSSM(transition=pairs, initial=first, emission=emission)


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


def controlled_process(
    process: MDP | POMDP, belief: Float64[ndarray, "_"], emission: Emission | None = None
) -> FiniteSSM:
    r"""An MDP or a POMDP with its actions as inputs: a hidden Markov model with $u_t = a_t$.

    Of an `MDP`, and of a `POMDP` whose observations say the same after every action, hidden is the state,
    $p(s_{t+1} \mid s_t, a_t)$. Otherwise it is the pair of the last action and the state that it led to, at place
    $a S + s$, as in `observed_process`; before the first action it is $(0, s)$.

    Step 0 is before the first action. A POMDP shows nothing there, so that $y_0 = -1$, and $o_t$, seen after $a_{t-1}$,
    is $y_t$. In a terminal state the process stays, whatever the action.

    Args:
        process: one in which every state that is not terminal has each action once.
        belief: of the state before the first action, float64[S].
        emission: of an `MDP` what its states show; of a `POMDP` None.

    Raises:
        ValueError: the belief is no distribution, a state does not have an action, or the emission is missing or too
            many; which.
    """
    if isinstance(process, MDP):
        if emission is None:
            raise ValueError("an MDP needs an emission: what its states show")
        check_belief(belief, process.n_states)
        return FiniteSSM(transition=_moves(process, _count(process)), initial=belief, emission=emission)
    if emission is not None:
        raise ValueError("a POMDP has its own observations: it takes no emission")
    mdp, actions = process.mdp, len(process.observation)
    check_belief(belief, mdp.n_states)
    move = _moves(mdp, actions)
    if (process.observation == process.observation[0]).all():
        return FiniteSSM(transition=move, initial=belief, emission=Table(probability=process.observation[0]))
    states = mdp.n_states
    pairs = np.zeros((actions, actions, states, actions, states))  # under a, from (b, s) to (a, s')
    for a in range(actions):
        pairs[a, :, :, a] = move[a]
    first = np.concatenate([belief, np.zeros((actions - 1) * states)])
    table = Table(probability=np.concatenate(list(process.observation)))
    return FiniteSSM(transition=pairs.reshape(actions, len(first), len(first)), initial=first, emission=table)


def _count(mdp: MDP) -> int:
    if not mdp.n_choices:
        raise ValueError("the process has no actions: all of its states are terminal")
    return int(mdp.action.max()) + 1


def _moves(mdp: MDP, actions: int) -> ndarray:
    """p(s' | s, a), float64[A, S, S]."""
    state = np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))
    counts = np.zeros((actions, mdp.n_states), np.int64)
    np.add.at(counts, (mdp.action, state), 1)
    if (bad := (counts != 1) & ~mdp.terminal).any():
        a, s = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"state {s} has {int(counts[a, s])} choices with action {a}: an input must be possible anywhere"
        )
    choice = np.repeat(np.arange(mdp.n_choices), np.diff(mdp.branch_start))
    out = np.zeros((actions, mdp.n_states, mdp.n_states))
    np.add.at(out, (mdp.action[choice], state[choice], mdp.target), mdp.probability)
    ends = np.flatnonzero(mdp.terminal)
    out[:, ends, ends] = 1.0
    return out
