r"""Importance sampling: what a policy is worth, learned from episodes of another.

$\rho_t = \pi(A_t \mid S_t) / b(A_t \mid S_t)$ is one more number of each outcome of the process under b.
"""

from __future__ import annotations

import typing

import numpy as np
from jaxtyping import Float64
from numba import njit
from numpy import ndarray

from suasion.markov import MDP, Policy
from suasion.td._choices import rate, towards
from suasion.td._simulator import OUTCOME, Tables, branch_rewards, followed, tables

_compiled = njit(cache=True, nogil=True)
ORDINARY, WEIGHTED, PER_DECISION = range(3)
_NAMED = 5  # choices that an error names


def check_covers(mdp: MDP, policy: Policy, behaviour: Policy) -> None:
    """Refuse a behaviour that never does what the policy does.

    Raises:
        ValueError: it is for other choices, or has the probability 0 where the policy has not; the first such choices.
    """
    policy.check_fits(mdp)
    behaviour.check_fits(mdp)
    bare = np.flatnonzero((behaviour.probability == 0) & (policy.probability > 0))
    if len(bare):
        named = "; ".join(f"{mdp.place(int(c))} (pi is {float(policy.probability[c])!r})" for c in bare[:_NAMED])
        more = f"; and {len(bare) - _NAMED} more" if len(bare) > _NAMED else ""
        raise ValueError(f"the behaviour never makes {len(bare)} choices that the policy makes: {named}{more}")


def weighed_tables(mdp: MDP, policy: Policy, behaviour: Policy, initial: Float64[ndarray, "_"] | None) -> Tables:
    r"""The process under a behaviour, as `followed`, where branches with different ratios are kept apart.

    With b = pi all ratios are 1, and the tables are those of `followed`.
    """
    lengths = np.diff(mdp.branch_start)
    made = behaviour.probability > 0
    ratio = np.divide(policy.probability, behaviour.probability, out=np.zeros(len(made)), where=made)
    pairs, number = np.unique(
        np.stack([branch_rewards(mdp), np.repeat(ratio, lengths)], axis=1), axis=0, return_inverse=True
    )
    # a number in the place of the reward: what an MDP sums are branches with one (s', r), here with one (s', r, rho)
    chain = followed(mdp, behaviour, number.ravel().astype(np.float64))
    held = tables(chain, initial)
    read = held.outcome["reward"].astype(np.int64)
    outcome = np.zeros(len(read), OUTCOME)
    outcome["reward"], outcome["low"], outcome["count"] = pairs[read, 0], held.outcome["low"], held.outcome["count"]
    outcome["reward"][2 * held.start[-2] :] = 0.0  # first states come without
    of_branch = pairs[branch_rewards(chain).astype(np.int64), 1]
    return held._replace(outcome=outcome, branches=held.branches._replace(ratio=of_branch))


@_compiled
@typing.no_type_check
def weighed_step(row, visits, listed, rewards, ratios, clock, after, over, n, step_size, discount):
    """As `n_step`, with steps that are longer by the product of the n ratios."""
    oldest = max(clock - n, 0)
    if oldest + n > clock and not over:
        return
    for t in range(oldest, clock if over else oldest + 1):
        target, weight = 0.0 if after < 0 else row[after], 1.0
        at = (clock - 1) % n
        for _ in range(t, clock):
            target = rewards[at] + discount * target
            weight *= ratios[at]
            at = at - 1 if at > 0 else n - 1
        state = listed[t % n]
        row[state] += rate(step_size, visits, state) * weight * (target - row[state])


@_compiled
@typing.no_type_check
def weighed_episode(
    row, visits, listed, rewards, ratios, sums, trace, held, follows, first_visit, kind, step_size, discount
):
    """As `whole_episode`, with returns that are weighed; `sums` is of each state's weights."""
    total, weight = follows, 1.0
    if first_visit:
        for t in range(held):
            trace[listed[t]] += 1.0
    for t in range(held - 1, -1, -1):
        state = listed[t]
        total = rewards[t] + discount * total
        if kind == PER_DECISION:
            total *= ratios[t]
        else:
            weight *= ratios[t]
        if first_visit:
            trace[state] -= 1.0
            if trace[state] > 0.0:
                continue
        if kind != WEIGHTED:
            towards(row, visits, state, weight * total, step_size)
        elif weight > 0.0:
            sums[state] += weight
            row[state] += weight / sums[state] * (total - row[state])
