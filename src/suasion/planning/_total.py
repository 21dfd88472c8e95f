r"""Discount 1: expected total rewards, rewards until a goal, probabilities of reaching one.

What cannot be told apart by iteration is collapsed first (`_quotient`), infinite values are refused with their reason;
then the Bellman equation has one solution, and `_inductive` proves bounds of it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from suasion.markov import MDP
from suasion.planning import _discounted as discounted
from suasion.planning import _iterations as iterations
from suasion.planning import _quotient as quotients
from suasion.planning._components import Graph
from suasion.planning._discounted import Plan
from suasion.planning._effort import Effort
from suasion.planning._inductive import Inductive
from suasion.planning._iterations import Goal, Outcome
from suasion.planning._operator import Operator
from suasion.planning._quotient import InfiniteValueError, Quotient
from suasion.planning._rows import SMALL, Rows, padded, restricted, rows
from suasion.planning._solution import Solution
from suasion.planning._verified import verified


def undiscounted(
    mdp: MDP,
    effort: Effort,
    *,
    maximise: bool,
    may_stay: bool,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Solution:
    """Expected total reward.

    Args:
        mdp: the model.
        effort: how far.
        maximise: whether rewards are good.
        may_stay: whether a policy may go on for ever where that is worth 0; else all must come to an end.
        limits: least and greatest value there can be.
    """
    plain = rows(mdp, maximise=maximise, pad=False)
    left, distance = _finite(mdp, plain, may_stay)
    plan = planned(left.rows, effort.method)
    limits = limits if maximise else (-limits[1], -limits[0])
    operator, goal, outcome = run(left.rows, plan, distance, effort, limits)
    lower, upper = goal.certificate.bounds(outcome.value, outcome.found)
    choice = operator.rows.original(goal.certificate.policy(outcome.found))
    policy = quotients.policy(plain, Graph(plain), left, choice) if left.component.any() else choice
    why = f"; {int(left.component.sum())} states in end components were made one each" if left.component.any() else ""
    value, lower, upper = (x[left.label] for x in (outcome.value, lower, upper))
    plan = plan._replace(why=plan.why + why)
    solution = discounted.oriented(value, lower, upper, policy, outcome, plan, effort.tolerance, maximise)
    return verified(mdp, 1.0, solution, maximise=maximise) if effort.exact else solution


def _finite(mdp: MDP, plain: Rows, may_stay: bool) -> tuple[Quotient, ndarray]:
    """The model with free end components collapsed, and the steps to its end; refused if a value is infinite."""
    left = quotients.whole(plain)
    free = quotients.free(mdp, plain)
    if free.any():
        component, inside = Graph(plain).end_components(free)
        if inside.any():
            stay = np.zeros(int(component.max()) + 1) if may_stay else None
            left = quotients.collapsed(plain, component, inside, stay)
            if not may_stay:
                _refuse_stuck(mdp, left)
    if (left.rows.reward > 0).any():
        _refuse_gain(mdp, left)
    distance = steps_to_end(left.rows)
    if (distance < 0).any():
        surely = Graph(left.rows).surely(left.rows.ends)
        if not surely.all():
            stuck = ~surely[left.label]
            message = f"the total reward is infinite: no policy ends with probability 1 from {names(mdp, stuck)}"
            raise InfiniteValueError(message, np.flatnonzero(stuck).tolist())
    return left, distance


def steps_to_end(left: Rows) -> ndarray:
    """Least number of steps to the end from each state, -1 where there is no way."""
    if len(left.target) <= SMALL:
        return Graph(left).reaching(left.ends)
    from suasion.planning import _graph as compiled

    return compiled.outwards(left, left.ends)[1]


def _refuse_stuck(mdp: MDP, left: Quotient) -> None:
    """Refuse components without a way out."""
    stuck = left.rows.ends[left.label] & left.component
    if stuck.any():
        message = f"no policy reaches the goal from {names(mdp, stuck)}"
        raise InfiniteValueError(message, np.flatnonzero(stuck).tolist())


def _refuse_gain(mdp: MDP, left: Quotient) -> None:
    """Refuse end components of positive average reward, and those for which that is in doubt."""
    graph = Graph(left.rows)
    component, inside = graph.end_components(np.ones(len(left.rows.reward), bool))
    owner = component[graph.state[inside]]
    reward = left.rows.reward[inside]
    for k in np.unique(owner[reward > 0]):
        members = (component == k)[left.label]
        where = names(mdp, members)
        if (reward[owner == k] >= 0).all():
            message = f"the total reward is infinite: it can be collected for ever in {where}"
            raise InfiniteValueError(message, np.flatnonzero(members).tolist())
        from suasion.planning._average import component_gain

        mine = component == k
        own = restricted(left.rows, np.flatnonzero(mine), inside & mine[graph.state])
        low, high, _, _ = component_gain(own)
        if low > 0:
            message = f"the total reward is infinite: an average of {low:.3g} a step can be collected in {where}"
            raise InfiniteValueError(message, np.flatnonzero(members).tolist())
        if high >= 0:
            message = f"the total reward may have no limit: its greatest average is 0 within {high:.2g} in {where}"
            raise InfiniteValueError(message, np.flatnonzero(members).tolist())


def names(mdp: MDP, members: Bool[ndarray, "S"]) -> str:
    """A set of states in words, the first five by name."""
    found = np.flatnonzero(members)
    first = ", ".join(mdp.states[s] if mdp.states else str(s) for s in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"state{'s' if len(found) > 1 else ''} {first}{more}"


def planned(left: Rows, method: str) -> Plan:
    """The method for a model that ends."""
    if method != "auto":
        return Plan(method, discounted.ASKED)
    if left.n_states <= discounted.FEW:
        return Plan("policy_iteration", f"{left.n_states} states: linear systems are quick")
    return discounted.by_graph(left, left.ends) or Plan("gauss_seidel", "the end is a few steps away from everywhere")


def run(
    left: Rows, plan: Plan, distance: ndarray, effort: Effort, limits: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[Operator, Goal, Outcome]:
    """Run a plan from a policy that ends for certain, or from a value far below."""
    if plan.method == "policy_iteration":
        operator = Operator(left, 1.0, threads=effort.threads)
        goal = Goal(Inductive(operator, *limits), effort.tolerance, effort.limit, effort.report)
        start = quotients.nearing(left, Graph(left), distance)
        return operator, goal, iterations.policy_iteration(operator, start, goal)
    value = 10.0 * min(float(np.min(left.reward, initial=0.0)), 0.0) * distance
    found = padded(left) if plan.method in discounted.JACOBI else left
    operator = Operator(found, 1.0, threads=effort.threads)
    goal = Goal(Inductive(operator, *limits), effort.tolerance, effort.limit, effort.report)
    return operator, goal, discounted.iterate(operator, value, goal, plan)
