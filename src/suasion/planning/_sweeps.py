r"""Iterations that use a value as soon as it is there: Gauss-Seidel in a good order, block by block, or by priority.

They work on rows with the discount inside the probabilities and without self-loops:
$V(s) \leftarrow \max_a \frac{r(s, a) + \gamma \sum_{s' \ne s} p(s' \mid s, a) V(s')}{1 - \gamma p(s \mid s, a)}$.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.planning import _graph as graph
from suasion.planning import _kernels as kernels
from suasion.planning._iterations import Goal, Outcome
from suasion.planning._operator import Operator
from suasion.planning._rows import Rows, size
from suasion.planning._solution import Status


def folded(rows: Rows, discount: float, order: Int64[ndarray, "_"] | None = None) -> Rows:
    """Rows with the discount inside and self-loops solved for, in this order, of equal length if that costs little.

    A choice that stays for certain is worth minus infinity.
    """
    A, K = size(rows)
    none = np.zeros(0, np.int64)
    place = none
    if order is not None:
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
    arrays = (rows.choice_start, rows.start, rows.target, rows.probability, rows.reward)
    branches = rows.n_states * A * K if A else len(rows.target)
    target, probability = np.empty(branches, np.int32), np.empty(branches)
    given = (A, K, none if order is None else order, place, *arrays, discount, target, probability)
    choice_start, start, reward = kernels.folded(*given)
    return dataclasses.replace(
        rows,
        choice_start=choice_start,
        start=start,
        target=target,
        probability=probability,
        reward=reward,
        A=A,
        K=K,
        origin=None,
    )


POLICY_SWEEPS = 16  # between two sweeps over all choices
FORCING = 0.1


def gauss_seidel(
    operator: Operator,
    value: Float64[ndarray, "S"],
    goal: Goal,
    *,
    backward: bool = False,
    order: Int64[ndarray, "_"] | None = None,
) -> Outcome:
    """Sweeps in place, always in the same direction: one over all choices, then some over those that won.

    The rows of the winners are copied side by side; they are swept until the changes have fallen to a tenth, 16 times
    at most. A full backup tells the bounds, as soon as the changes let hope that they are close enough.

    Args:
        operator: the model and the discount.
        value: where to begin; from below, values spread from the end in one sweep.
        goal: when to stop.
        backward: from the last state to the first.
        order: of the states, which are copied in it; the model's own if not given.
    """
    rows = folded(operator.rows, operator.discount, order)
    sweep, sweep_policy = kernels.sweep(rows.A, rows.K), kernels.sweep_policy(rows.K)
    packed, own = rows.packed, rows.room()
    swept = value.copy() if order is None else value[order]
    iteration, enough = 0, goal.tolerance * max(1 - operator.discount, 1e-3)
    while True:
        iteration += 1
        change = float(sweep(backward, packed, own, swept))
        if change <= enough or iteration >= goal.limit:
            value = swept.copy()
            if order is not None:
                value[order] = swept
            found = operator.optimal(value)
            gap = goal.certificate.gap(value, found)
            if (status := goal.ended(operator, value, found, gap, iteration)) is not None:
                return Outcome(value, found, status, iteration)
            if change == 0:
                return Outcome(value, found, Status.STAGNATED, iteration)
            enough = change * min(max(1.4 * goal.tolerance / gap, 0.01), 0.5)
        for _ in range(POLICY_SWEEPS):
            if sweep_policy(backward, own, swept) <= FORCING * change:
                break


def topological(operator: Operator, value: Float64[ndarray, "S"], goal: Goal, found: graph.Components) -> Outcome:
    """Component by component, each after all that it leads to; in one of a single state one update is exact.

    Dai, Mausam, Weld & Goldsmith (2011), Topological value iteration algorithms.
    """
    rows = operator.rows
    arrays = (rows.choice_start, rows.start, rows.target, rows.probability, rows.reward)

    def some(value: ndarray, small: float, updates: int) -> tuple[int, bool]:
        sweeps = max(1, updates // max(rows.n_states, 1))
        return kernels.blocks(*found, *arrays, operator.discount, value, small, sweeps)

    return _ever_smaller(operator, value.copy(), goal, some)


def prioritised_sweeping(operator: Operator, value: Float64[ndarray, "S"], goal: Goal) -> Outcome:
    """The state whose value is most in doubt comes next; an iteration is as many updates as there are states."""
    from suasion.planning._priority import prioritised

    rows = folded(operator.rows, operator.discount)
    arrays = (rows.choice_start, rows.start, rows.target, rows.probability, rows.reward)

    def some(value: ndarray, small: float, updates: int) -> tuple[int, bool]:
        return prioritised(*arrays, value, small, updates)

    return _ever_smaller(operator, value.copy(), goal, some)


Updates = Callable[[ndarray, float, int], tuple[int, bool]]


def _ever_smaller(operator: Operator, value: Float64[ndarray, "S"], goal: Goal, some: Updates) -> Outcome:
    """Updates that leave changes of `small` and less, each time a tenth of that before, until the bounds are close."""
    states = max(operator.rows.n_states, 1)
    small, spent = 0.1 * goal.tolerance * max(1 - operator.discount, 1e-4), 0
    while True:
        updates, finished = some(value, small, max(goal.limit * states - spent, 1))
        spent += int(updates)
        iteration = -(-spent // states)
        found = operator.optimal(value)
        status = goal.reached(operator, value, found, iteration)
        if status is None and not finished:
            status = Status.LIMIT
        if status is None and small == 0:
            status = Status.STAGNATED
        if status is not None:
            return Outcome(value, found, status, iteration)
        small = 0.1 * small if small > 1e-300 else 0.0


@dataclasses.dataclass(frozen=True)
class Order:
    """How states are swept.

    Attributes:
        states: the order, int64[S], or None for the model's own.
        backward: from the last to the first.
        words: why.
    """

    states: Int64[ndarray, "_"] | None
    backward: bool
    words: str


NATURAL = 0.9  # share of states with a next state nearer to the end that is swept before them


def order(rows: Rows, queue: ndarray, distance: ndarray) -> Order:
    """The model's own order where nearly all states have a nearer one swept before them; else breadth-first.

    Args:
        rows: the model.
        queue: states that can reach the end, nearest first.
        distance: steps to the end, -1 where there is no way.
    """
    forward, backward = _shares(rows, distance)
    if max(forward, backward) >= NATURAL:
        return Order(None, backward >= forward, "the model's own order already leads away from the end")
    missing = np.flatnonzero(distance < 0)
    return Order(np.concatenate([queue, missing]).astype(np.int64), False, "states sorted by their distance to the end")


def _shares(rows: Rows, distance: ndarray) -> tuple[float, float]:
    """Shares of states that have a nearer state before, and after them."""
    before, after, count = graph.nearer(rows.choice_start, rows.start, rows.target, rows.probability, distance)
    return (before / count, after / count) if count else (0.0, 0.0)
