"""One question to one model: `solve`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.markov import MDP
from suasion.planning import _discounted as discounted
from suasion.planning._discounted import Plan
from suasion.planning._effort import Effort, check_effort
from suasion.planning._rows import rows
from suasion.planning._solution import Solution
from suasion.planning._total import undiscounted
from suasion.planning._verified import verified

Method = Literal[
    "auto",
    "policy_iteration",
    "modified_policy_iteration",
    "inexact_policy_iteration",
    "value_iteration",
    "gauss_seidel",
    "topological",
    "prioritised_sweeping",
]


def solve(
    mdp: MDP,
    discount: float,
    *,
    maximise: bool = True,
    method: Method = "auto",
    tolerance: float = 1e-6,
    limit: int = 1_000_000,
    init: Float64[ndarray, "_"] | None = None,
    threads: int | None = None,
    report: Callable[[int, float], None] | None = None,
    exact: bool = False,
) -> Solution:
    r"""Optimal values $v_*(s) = \max_a [r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) v_*(s')]$ between proven bounds.

    Args:
        mdp: the model.
        discount: $\gamma$ in [0, 1]. At 1, the expected total reward of a process that may go on for ever where that
            is worth 0; where all policies must come to an end, see `reach_reward`.
        maximise: whether rewards are to be great; else they are costs.
        method: `auto` chooses by cheap tests, and says which and why.
        tolerance: greatest |value - v_*| that is asked for, in reward units.
        limit: of iterations.
        init: values to begin with, float64[S], for a discount below 1; from below all rewards if not given.
        threads: that share a sweep; all processors there are if not given.
        report: called now and then with (iteration, gap).
        exact: go over the result in rational arithmetic: up to 40 states the values are exact, beyond that the bounds
            are proven without any rounding, at some 10 microseconds a branch.

    Returns:
        Values, bounds, policy and status; where rounding or the limit ended the iteration, the status says so.

    Raises:
        ValueError: discount outside [0, 1], tolerance not above 0, limit or threads below 1, or `init` of the
            wrong length.
        ArithmeticError: with `exact`, the bounds could not be proven.
        InfiniteValueError: the discount is 1 and no finite value is optimal; the states that are the reason.

    References:
        Puterman (1994), Markov Decision Processes, chapters 6 and 7.
    """
    check(mdp, discount, method, init)
    check_effort(tolerance, limit, threads)
    effort = Effort(
        method=method, tolerance=tolerance, limit=limit, threads=threads, report=report or Effort.report, exact=exact
    )
    if discount == 1:
        return undiscounted(mdp, effort, maximise=maximise, may_stay=True)
    start = None if init is None else np.asarray(init, np.float64) * (1.0 if maximise else -1.0)
    plain = rows(mdp, maximise=maximise, pad=False)
    plan = discounted.choose(mdp, plain) if method == "auto" else Plan(method, discounted.ASKED)
    operator, goal, outcome, plan = discounted.run(plain, float(discount), plan, effort, start)
    lower, upper = goal.certificate.bounds(outcome.value, outcome.found)
    policy = operator.rows.original(goal.certificate.policy(outcome.found))
    found = discounted.oriented(outcome.found.value, lower, upper, policy, outcome, plan, tolerance, maximise)
    return verified(mdp, discount, found, maximise=maximise) if exact else found


def check(mdp: MDP, discount: float, method: str, init: ndarray | None) -> None:
    """Refuse questions that make no sense."""
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is {discount!r}, outside [0, 1]")
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}, none of {', '.join(get_args(Method))}")
    if init is not None and (len(init) != mdp.n_states or not np.isfinite(init).all()):
        raise ValueError(f"init has {len(init)} entries for {mdp.n_states} states, or one that is not finite")
