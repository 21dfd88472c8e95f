r"""Policies of a learner, as it acts and as it would act if it were greedy; and what any of them is worth, exactly.

S states, C choices. Equal best choices are as probable as each other, unless the first is asked for.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from suasion.markov import MDP, Policy
from suasion.planning import InfiniteValueError, average_reward, evaluate
from suasion.td._algorithms import Ties
from suasion.td._simulator import branch_rewards, followed


def epsilon_greedy(mdp: MDP, q: Float64[ndarray, "_"], epsilon: float = 0.0, *, ties: Ties = "uniform") -> Policy:
    r"""$\pi(a \mid s) = \epsilon / |A(s)|$, and $(1 - \epsilon) / m$ more for each of the m best choices.

    Args:
        mdp: the model.
        q: float64[C].
        epsilon: in [0, 1]; 0 is the greedy policy.
        ties: whether equal best choices share, or the first takes all.

    Raises:
        ValueError: `q` has another length or is not finite, epsilon is outside [0, 1], or `ties` is neither.
    """
    if len(q) != mdp.n_choices:
        raise ValueError(f"q has {len(q)} entries, not one for each of {mdp.n_choices} choices")
    if not np.isfinite(q).all():
        c = int(np.argmin(np.isfinite(q)))
        raise ValueError(f"q of {mdp.place(c)} is {float(q[c])!r}")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon!r}, outside [0, 1]")
    if ties not in ("uniform", "first"):
        raise ValueError(f"ties is {ties!r}, neither 'uniform' nor 'first'")
    counts = np.diff(mdp.choice_start)
    live = mdp.choice_start[:-1][counts > 0]
    lengths = counts[counts > 0]
    best = q == np.repeat(np.maximum.reduceat(q, live), lengths) if len(live) else np.zeros(0, bool)
    if ties == "first" and len(live):
        before = np.cumsum(best) - best  # best choices before this one, of all states
        best &= before == np.repeat(before[live], lengths)
    shared = np.repeat(np.add.reduceat(best.astype(np.float64), live), lengths) if len(live) else np.ones(0)
    probability = epsilon / np.repeat(lengths, lengths) + (1 - epsilon) * best / shared
    return Policy(choice_start=mdp.choice_start, probability=probability)


def epsilon_soft(mdp: MDP, epsilon: float) -> MDP:
    r"""The model in which any choice is replaced, with probability epsilon, by one of its state's, all alike.

    Its deterministic policies are the epsilon-soft policies of the model that are greedy but for epsilon, and its
    optimum is the best of them: the limit of Sarsa and Expected Sarsa at that epsilon.

    Args:
        mdp: the model.
        epsilon: in [0, 1].

    Raises:
        ValueError: epsilon outside [0, 1].

    References:
        Sutton & Barto (2018), section 5.4.
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon!r}, outside [0, 1]")
    rewards = branch_rewards(mdp)
    target, probability, reward, start = [], [], [], [0]
    for c in range(mdp.n_choices):
        s = int(np.searchsorted(mdp.choice_start, c, side="right")) - 1
        row = slice(mdp.branch_start[mdp.choice_start[s]], mdp.branch_start[mdp.choice_start[s + 1]])
        own = slice(mdp.branch_start[c], mdp.branch_start[c + 1])
        target += [mdp.target[own], mdp.target[row]]
        reward += [rewards[own], rewards[row]]
        share = epsilon / len(mdp.choices(s))
        probability += [(1 - epsilon) * mdp.probability[own], share * mdp.probability[row]]
        start.append(start[-1] + len(target[-1]) + len(target[-2]))
    empty = np.zeros(0)
    return MDP.from_branches(
        choice_start=mdp.choice_start,
        branch_start=np.array(start, np.int64),
        target=np.concatenate([empty.astype(np.int32), *target]),
        probability=np.concatenate([empty, *probability]),
        branch_reward=np.concatenate([empty, *reward]),
        action=mdp.action,
        normalise=True,
        terminal=mdp.terminal,
        initial=mdp.initial,
        states=mdp.states,
        actions=mdp.actions,
    )


def policy_value(mdp: MDP, policy: Policy, discount: float) -> Float64[ndarray, "_"]:
    r"""$v_\pi$ by `suasion.planning.evaluate`, and infinite where it is: without a discount, and rewards for ever.

    Args:
        mdp: the model.
        policy: over the same choices.
        discount: $\gamma$ in [0, 1].

    Returns:
        float64[S], in reward units; -inf or inf where rewards of one sign may be collected for ever, NaN where that
        leads to neither.

    Raises:
        ValueError: as `evaluate`.
    """
    try:
        return evaluate(mdp, policy, discount).value
    except InfiniteValueError:
        return _partly_infinite(followed(mdp, policy))


def _partly_infinite(chain: MDP) -> Float64[ndarray, "_"]:
    """Values without a discount of a model with one choice in each state, some of them not finite."""
    average = average_reward(chain).value
    endless = {sign: _reaching(chain, sign * average > 1e-12) for sign in (-1, 1)}
    lost = endless[-1] | endless[1]
    rest = _cut(chain, lost)
    try:
        value = evaluate(rest, Policy.uniform(rest), 1.0).value.copy()
    except InfiniteValueError as error:  # an average of 0, and no rewards of 0: a sum that never settles
        unsettled = np.zeros(chain.n_states, bool)
        unsettled[list(error.states)] = True
        unsettled = _reaching(rest, unsettled)
        value = np.where(unsettled, np.nan, 0.0)
        kept = _cut(rest, unsettled)
        value[~unsettled] = evaluate(kept, Policy.uniform(kept), 1.0).value[~unsettled]
    value[endless[-1]] = -np.inf
    value[endless[1]] = np.inf
    value[endless[-1] & endless[1]] = np.nan
    return value


def _reaching(chain: MDP, goal: Bool[ndarray, "_"]) -> Bool[ndarray, "_"]:
    """States from which a set may be reached."""
    row = np.repeat(np.flatnonzero(~chain.terminal), np.diff(chain.branch_start))
    while True:
        grown = goal.copy()
        grown[row[goal[chain.target]]] = True
        if (grown == goal).all():
            return goal
        goal = grown


def _cut(chain: MDP, ends: Bool[ndarray, "_"]) -> MDP:
    """The model with further terminal states."""
    live = ~chain.terminal
    kept = ~ends[live]
    lengths = np.diff(chain.branch_start)
    branches = np.repeat(kept, lengths)
    return MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(live & ~ends)]),
        branch_start=np.concatenate([[0], np.cumsum(lengths[kept])]),
        target=chain.target[branches],
        probability=chain.probability[branches],
        branch_reward=branch_rewards(chain)[branches],
        normalise=True,
        terminal=chain.terminal | ends,
    )
