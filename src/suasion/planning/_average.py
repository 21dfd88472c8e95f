r"""Average reward: $\lim \frac{1}{T} E \sum_t R_t$, the best there is from each state.

Within a maximal end component the best average g is one number, and $\min (T V - V) \le g \le \max (T V - V)$ for any V
(Puterman 1994, theorem 8.5.5); where to end up is then a question of total reward, each component being worth its g.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from suasion.markov import MDP
from suasion.planning import _discounted as discounted
from suasion.planning import _quotient as quotients
from suasion.planning import _reference as reference
from suasion.planning._components import Graph
from suasion.planning._effort import Effort
from suasion.planning._operator import Operator
from suasion.planning._rows import Rows, padded, restricted, rows
from suasion.planning._solution import Solution, Status
from suasion.planning._total import planned, run, steps_to_end

FEW = 600  # states up to which policies are evaluated by linear systems
DAMPING = 0.9  # of each step of T, so that periodic models converge


class Gain(NamedTuple):
    """The best average reward of a component.

    Attributes:
        low: bound from below, attained by `choice`.
        high: bound from above.
        choice: of the component's rows.
        iterations: how many.
    """

    low: float
    high: float
    choice: Int64[ndarray, "_"]
    iterations: int


def average(mdp: MDP, effort: Effort, *, maximise: bool) -> Solution:
    """The best average reward from each state."""
    plain = rows(mdp, maximise=maximise, pad=False)
    graph = Graph(plain)
    component, inside = graph.end_components(np.ones(len(plain.reward), bool))
    count = int(component.max(initial=-1)) + 1
    gains = [_component(plain, graph, component == k, inside, effort) for k in range(count)]
    low, high = (np.array([getattr(gain, side) for gain in gains]) for side in ("low", "high"))
    within = np.full(mdp.n_states, -1)
    for k, gain in enumerate(gains):
        within[component == k] = gain.choice
    silent = dataclasses.replace(plain, reward=np.zeros(len(plain.reward)), reward_error=0.0)
    left = quotients.collapsed(silent, component, inside, low + (high - low) / 2)
    half = float(np.max(high - low, initial=0.0)) / 2 * (1 + 1e-15)
    plan = planned(left.rows, "auto")
    further = dataclasses.replace(effort, tolerance=max(effort.tolerance - half, 0.1 * effort.tolerance))
    operator, goal, outcome = run(left.rows, plan, steps_to_end(left.rows), further)
    lower, upper = goal.certificate.bounds(outcome.value, outcome.found)
    choice = operator.rows.original(goal.certificate.policy(outcome.found))
    lower, upper, value = (lower - half)[left.label], (upper + half)[left.label], outcome.value[left.label]
    ends = plain.ends
    lower[ends], upper[ends] = 0.0, 0.0
    policy = quotients.policy(plain, graph, left, choice, within)
    status = outcome.status
    if status is Status.CONVERGED and 2 * half > 2 * effort.tolerance:
        status = Status.LIMIT if max(gain.iterations for gain in gains) >= effort.limit else Status.STAGNATED
    plan = plan._replace(why=f"{count} end components; {plan.why}", method="average_reward")
    total = outcome.iterations + sum(gain.iterations for gain in gains)
    outcome = outcome._replace(status=status, iterations=total)
    return discounted.oriented(value, lower, upper, policy, outcome, plan, effort.tolerance, maximise)


def _component(
    plain: Rows, graph: Graph, members: Bool[ndarray, "S"], inside: Bool[ndarray, "C"], effort: Effort
) -> Gain:
    own = restricted(plain, np.flatnonzero(members), inside & members[graph.state])
    return component_gain(own, effort.tolerance, effort.limit)


def component_gain(own: Rows, tolerance: float = 1e-9, limit: int = 100_000) -> Gain:
    """The best average reward in a model that is one end component; choices as `own.original` tells."""
    if own.n_states <= FEW:
        return _by_policies(own, tolerance)
    own = padded(own)
    operator = Operator(own, 1.0)
    value = np.zeros(own.n_states)
    best, since = np.inf, 0
    for iteration in range(1, limit + 1):
        found = operator.optimal(value)
        width = found.high - found.low
        best, since = (width, 0) if width < best else (best, since + 1)
        if width <= tolerance or since >= 50 or iteration == limit:
            break
        value = value + DAMPING * (found.value - value)
        value -= value[0]
    return Gain(found.low, found.high, own.original(found.choice), iteration)


def _by_policies(own: Rows, tolerance: float) -> Gain:
    """Policy iteration; each policy is led into its best recurrent class, which the component allows.

    Haviv & Puterman (1991), An improved algorithm for solving communicating average reward Markov decision processes.
    """
    operator = Operator(own, 1.0)
    graph = Graph(own)
    _, choice = reference.greedy(own, own.reward)
    seen: set[bytes] = set()
    iteration = 0
    while True:
        iteration += 1
        choice, bias, gain = _evaluated(own, graph, choice)
        found = operator.optimal(bias)
        q = reference.action_values(own, 1.0, bias)
        slack = 1e-13 * (1 + abs(gain) + float(np.max(np.abs(bias), initial=0.0)))
        improved = np.where(found.value > q[choice] + slack, found.choice, choice)
        done = (improved == choice).all() or improved.tobytes() in seen
        if done or found.high - found.low <= 0.01 * tolerance:
            return Gain(found.low, found.high, own.original(found.choice), iteration)
        seen.add(improved.tobytes())
        choice = improved


def _evaluated(own: Rows, graph: Graph, choice: Int64[ndarray, "S"]) -> tuple[Int64[ndarray, "S"], ndarray, float]:
    """A policy with one recurrent class, as good as the best one of this policy, its bias and its gain."""
    states = own.n_states
    matrix = _matrix(own, choice)
    classes = _recurrent(matrix)
    found = [(_class_gain(matrix, own.reward[choice], members), i) for i, members in enumerate(classes)]
    members = classes[max(found)[1]]
    if len(classes) > 1:
        inside = np.zeros(states, bool)
        inside[members] = True
        nearing = quotients.nearing(own, graph, graph.reaching(inside))
        choice = np.where(inside, choice, nearing)
        matrix = _matrix(own, choice)
    reference_state = int(members[0])
    system = np.eye(states) - matrix
    system[:, reference_state] = 1.0  # the bias there is 0; its place is taken by the gain
    solved = np.linalg.solve(system, own.reward[choice])
    gain = float(solved[reference_state])
    solved[reference_state] = 0.0
    return choice, solved, gain


def _matrix(own: Rows, choice: Int64[ndarray, "S"]) -> Float64[ndarray, "S S"]:
    matrix = np.zeros((own.n_states, own.n_states))
    for s, c in enumerate(choice):
        branches = slice(int(own.start[c]), int(own.start[c + 1]))
        np.add.at(matrix[s], own.target[branches], own.probability[branches])
    return matrix


def _recurrent(matrix: Float64[ndarray, "S S"]) -> list[ndarray]:
    """The closed classes of a chain."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(matrix > 0, connection="strong")
    leaves = np.zeros(count, bool)
    source, target = np.nonzero(matrix > 0)
    leaves[label[source[label[source] != label[target]]]] = True
    return [np.flatnonzero(label == k) for k in range(count) if not leaves[k]]


def _class_gain(matrix: Float64[ndarray, "S S"], reward: Float64[ndarray, "S"], members: ndarray) -> float:
    own = np.eye(len(members)) - matrix[np.ix_(members, members)]
    own[:, 0] = 1.0
    return float(np.linalg.solve(own, reward[members])[0])
