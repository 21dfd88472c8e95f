"""Discount below 1: which iteration suits a model, and its run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from suasion.markov import MDP
from suasion.planning import _iterations as iterations
from suasion.planning._bounds import Discounted
from suasion.planning._effort import Effort
from suasion.planning._iterations import Goal, Outcome
from suasion.planning._linear import fills_little
from suasion.planning._operator import Operator
from suasion.planning._rows import Rows, padded
from suasion.planning._solution import Solution, Status, between

FEW = 600  # states up to which linear systems are quicker than anything else is to load
DEEP = 50  # steps to the end from which the order of the states pays
ASKED = "as asked"
PATIENCE = 400  # sweeps over a policy's rows after which a process is slow
JACOBI = ("value_iteration", "modified_policy_iteration", "inexact_policy_iteration")  # many backups of all states


class Plan(NamedTuple):
    """How a model will be solved.

    Attributes:
        method: the algorithm's name.
        why: in words.
        backward: sweep from the last state to the first.
        states: order in which states are swept, or None for the model's own.
        components: strongly connected components, where they are used.
    """

    method: str
    why: str
    backward: bool = False
    states: Int64[ndarray, "_"] | None = None
    components: Any = None


def choose(mdp: MDP, rows: Rows) -> Plan:
    """The method for a model, by tests that cost less than a few sweeps."""
    if rows.n_states <= FEW:
        return Plan("policy_iteration", f"{rows.n_states} states: linear systems are quick")
    ends = ends_of(mdp)
    if not ends.any():
        return Plan(
            "modified_policy_iteration", "the process never ends: no order of the states is better than another"
        )
    return by_graph(rows, ends) or Plan("modified_policy_iteration", "the end is a few steps away from everywhere")


def by_graph(rows: Rows, ends: Bool[ndarray, "S"]) -> Plan | None:
    """Component by component, or outwards from the end; None where neither pays."""
    from suasion.planning import _graph as graph
    from suasion.planning import _sweeps as sweeps

    if not _there_and_back(rows):
        found = graph.components(rows)
        count, largest = len(found.start) - 1, int(np.diff(found.start).max())
        if 2 * largest <= rows.n_states:
            why = f"{count} strongly connected components, of {largest} states at most"
            return Plan("topological", why, components=found)
    queue, distance = graph.outwards(rows, ends)
    deepest = int(distance.max())
    if deepest <= DEEP or 2 * len(queue) < rows.n_states:
        return None
    order = sweeps.order(rows, queue, distance)
    why = f"the end is up to {deepest} steps away; {order.words}"
    return Plan("gauss_seidel", why, backward=order.backward, states=order.states)


def _there_and_back(rows: Rows) -> bool:
    """Whether most states can be come back to in two steps, as some of them tell: then they hang together."""

    def after(s: int) -> ndarray:
        branches = slice(int(rows.start[rows.choice_start[s]]), int(rows.start[rows.choice_start[s + 1]]))
        return np.unique(rows.target[branches])

    asked = np.unique(np.linspace(0, rows.n_states - 1, 32).astype(int)).tolist()
    back = [any(j != s and s in after(int(j)) for j in after(s)[:8]) for s in asked]
    return 2 * sum(back) > len(back)


def ends_of(mdp: MDP) -> Bool[ndarray, "S"]:
    """Terminal states, and those in which every choice stays for certain."""
    start, target, _, _ = mdp.marginals
    ends = mdp.terminal.copy()
    single = np.flatnonzero(np.diff(start) == 1)
    if not len(single):
        return ends
    state = np.searchsorted(mdp.choice_start, single, side="right") - 1
    stays = np.bincount(state[target[start[single]] == state], minlength=mdp.n_states)
    return ends | ((stays > 0) & (stays == np.diff(mdp.choice_start)))


def pessimistic(rows: Rows, discount: float) -> Float64[ndarray, "_"]:
    """A value below that of every policy: the worst reward for ever, 0 in terminal states."""
    worst = float(np.min(rows.reward, initial=np.inf))
    if not np.isfinite(worst):
        return np.zeros(rows.n_states)
    worst = min(worst, 0.0) if rows.terminal else worst
    value = np.full(rows.n_states, worst / (1 - discount))
    value[rows.ends] = 0.0
    return value


def run(
    rows: Rows, discount: float, plan: Plan, effort: Effort, init: Float64[ndarray, "_"] | None = None
) -> tuple[Operator, Goal, Outcome, Plan]:
    """The outcome of a plan, and the plan as it turned out: slow processes on a plane are given to linear systems."""
    rows = padded(rows) if plan.method in JACOBI else rows
    operator = Operator(rows, discount, threads=effort.threads)
    goal = Goal(Discounted(operator), effort.tolerance, effort.limit, effort.report)
    value = pessimistic(rows, discount) if init is None else init
    if plan.method == "modified_policy_iteration" and effort.method == "auto":
        outcome = iterations.modified_policy_iteration(operator, value, goal, budget=float(PATIENCE))
        if outcome.status is not Status.LIMIT or outcome.iterations >= effort.limit:
            return operator, goal, outcome, plan
        value = outcome.value
        if fills_little(rows, outcome.found.choice):
            why = "values spread slowly, and the states form a plane: linear systems are sparse"
            plan = Plan("policy_iteration", why)
            last = iterations.policy_iteration(operator, outcome.found.choice, goal)
        else:
            last = iterations.modified_policy_iteration(operator, value, goal)
        return operator, goal, last._replace(iterations=last.iterations + outcome.iterations), plan
    return operator, goal, iterate(operator, value, goal, plan), plan


def iterate(operator: Operator, value: Float64[ndarray, "_"], goal: Goal, plan: Plan) -> Outcome:
    """Run the method of a plan."""
    if plan.method == "policy_iteration":
        return iterations.policy_iteration(operator, operator.optimal(value).choice, goal)
    if plan.method == "value_iteration":
        return iterations.value_iteration(operator, value, goal)
    if plan.method == "modified_policy_iteration":
        return iterations.modified_policy_iteration(operator, value, goal)
    if plan.method == "inexact_policy_iteration":
        return iterations.inexact_policy_iteration(operator, value, goal)
    from suasion.planning import _graph as graph
    from suasion.planning import _sweeps as sweeps

    if plan.method == "gauss_seidel":
        return sweeps.gauss_seidel(operator, value, goal, backward=plan.backward, order=plan.states)
    if plan.method == "prioritised_sweeping":
        return sweeps.prioritised_sweeping(operator, value, goal)
    found = plan.components or graph.components(operator.rows)
    return sweeps.topological(operator, value, goal, found)


def oriented(
    value: Float64[ndarray, "S"],
    lower: Float64[ndarray, "S"],
    upper: Float64[ndarray, "S"],
    policy: Int64[ndarray, "S"],
    outcome: Outcome,
    plan: Plan,
    tolerance: float,
    maximise: bool,
) -> Solution:
    """Signs as in the model, and a value between the bounds."""
    value = between(lower, upper, value, tolerance)
    if not maximise:
        value, lower, upper = -value, -upper, -lower
    return Solution(
        value=value + 0.0,
        lower=lower + 0.0,
        upper=upper + 0.0,
        policy=policy,
        status=outcome.status,
        iterations=outcome.iterations,
        method=plan.method,
        why=plan.why,
    )
