"""Solutions gone over in rational arithmetic."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from suasion.markov import MDP
from suasion.planning import _exact as exact
from suasion.planning._components import Graph
from suasion.planning._quotient import free
from suasion.planning._rows import UNIT, rows
from suasion.planning._solution import Solution, Status


def verified(mdp: MDP, discount: float, solution: Solution, *, maximise: bool) -> Solution:
    """The exact values of a small model; else the same bounds, a little wider, once they are proven without rounding.

    Raises:
        ArithmeticError: the bounds could not be proven; the state.
    """
    if not np.isfinite(solution.lower).all() or not np.isfinite(solution.upper).all():
        raise ArithmeticError(f"there are no bounds to be proven: {solution.status.value}")
    model = exact.rational(mdp, maximise=maximise)
    gamma = Fraction(discount)
    places = _places(mdp, solution.policy)
    worthless = _worthless(mdp, maximise) if discount == 1 else np.zeros(mdp.n_states, bool)
    if mdp.n_states <= exact.FEW:
        return _exactly(mdp, model, gamma, solution, places, worthless, maximise)
    lower, upper = (solution.lower, solution.upper) if maximise else (-solution.upper, -solution.lower)
    if discount < 1:
        scale = float(np.max(np.abs(mdp.choice_reward), initial=0.0)) + float(np.max(np.abs(upper), initial=0.0))
        spare = 64 * UNIT * scale / (1 - discount)
        lower, upper = (np.where(mdp.terminal, 0.0, x) for x in (lower - spare, upper + spare))
    if (s := exact.unproven(model, gamma, lower, upper, places, worthless)) is not None:
        raise ArithmeticError(f"the bounds of state {s} could not be proven in rational arithmetic")
    if not maximise:
        lower, upper = -upper, -lower
    why = f"{solution.why}; bounds proven in rational arithmetic"
    return dataclasses.replace(solution, lower=lower + 0.0, upper=upper + 0.0, why=why, verified=True)


def _exactly(
    mdp: MDP,
    model: exact.Model,
    discount: Fraction,
    solution: Solution,
    places: list[int],
    worthless: Bool[ndarray, "S"],
    maximise: bool,
) -> Solution:
    value, places, policies = exact.policy_iteration(model, discount, places)
    if any(worthless[s] and v < 0 for s, v in enumerate(value)):
        raise ArithmeticError(
            "a policy that stays for ever is better than the one found; solve with a smaller tolerance"
        )
    value = value if maximise else [-v for v in value]
    lower, upper = exact.enclosed(value)
    policy = np.where(mdp.terminal, -1, mdp.choice_start[:-1] + np.array(places, np.int64))
    return dataclasses.replace(
        solution,
        value=np.array([float(v) for v in value]),
        lower=lower + 0.0,
        upper=upper + 0.0,
        policy=policy,
        status=Status.CONVERGED,
        exact=tuple(value),
        verified=True,
        why=f"{solution.why}; {policies} policies evaluated in rational numbers",
    )


def _places(mdp: MDP, policy: Int64[ndarray, "S"]) -> list[int]:
    return np.where(policy >= 0, policy - mdp.choice_start[:-1], 0).tolist()


def _worthless(mdp: MDP, maximise: bool) -> Bool[ndarray, "S"]:
    """States in which rewards of 0 can be had for ever."""
    plain = rows(mdp, maximise=maximise, pad=False)
    component, _ = Graph(plain).end_components(free(mdp, plain))
    return component >= 0
