r"""The iterations of dynamic programming, on rows that are to be maximised (N1.1.2, N1.1.3).

Each begins at `value`, reports (iteration, gap) and ends at a gap of twice the tolerance, at the rounding floor or at
the limit. What it returns is V with its backup, from which the bounds follow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.planning import _reference as reference
from suasion.planning._bounds import Bounds, stagnated
from suasion.planning._linear import Systems
from suasion.planning._operator import Backup, Operator
from suasion.planning._solution import Status

Report = Callable[[int, float], None]


FORCING = 0.12  # times the cost of a policy's sweep, 1 being one of all choices
PATIENCE = 50  # backups in a row that are no better than the best: rounding has the upper hand


@runtime_checkable
class Certificate(Protocol):
    """Bounds of the optimal value from V and its backup."""

    def gap(self, value: Float64[ndarray, "_"], found: Backup) -> float:
        """Width of the bounds; infinite where there are none yet."""

    def bounds(self, value: Float64[ndarray, "_"], found: Backup) -> Bounds:
        """L and U."""

    def policy(self, found: Backup) -> Int64[ndarray, "_"]:
        """The choices of which L bounds the value."""


@dataclasses.dataclass
class Goal:
    """When to stop.

    Attributes:
        certificate: what says how far it is.
        tolerance: half the gap that is asked for, in reward units.
        limit: of iterations.
        report: called with each (iteration, gap).
        best: the least width of T V - V so far.
        since: how many were no better since then.
    """

    certificate: Certificate
    tolerance: float
    limit: int
    report: Report
    best: float = np.inf
    since: int = 0

    def ended(self, operator: Operator, value: ndarray, found: Backup, gap: float, iteration: int) -> Status | None:
        """How the iteration ends with this gap, if it does."""
        self.report(iteration, gap)
        size = max(found.high, -found.low) if operator.rows.terminal else found.high - found.low
        falls, self.since = size < 0.9 * self.best, 0 if size < self.best else self.since + 1
        self.best = min(size, self.best)
        if gap <= 2 * self.tolerance:
            return Status.CONVERGED
        if self.since >= PATIENCE or (not falls and stagnated(operator, value, found)):
            return Status.STAGNATED
        return Status.LIMIT if iteration >= self.limit else None

    def reached(self, operator: Operator, value: ndarray, found: Backup, iteration: int) -> Status | None:
        """As `ended`, with the gap of the certificate."""
        return self.ended(operator, value, found, self.certificate.gap(value, found), iteration)


class Outcome(NamedTuple):
    """Where an iteration ended.

    Attributes:
        value: V.
        found: its backup.
        status: why it ended.
        iterations: as the method counts.
    """

    value: Float64[ndarray, "_"]
    found: Backup
    status: Status
    iterations: int


def value_iteration(operator: Operator, value: Float64[ndarray, "S"], goal: Goal) -> Outcome:
    r"""$V \leftarrow T V$ for all states at once (N1.1.3-b)."""
    value, spare = value.copy(), np.empty_like(value)
    iteration = 0
    while True:
        iteration += 1
        found = operator.optimal(value, spare)
        if (status := goal.reached(operator, value, found, iteration)) is not None:
            return Outcome(value, found, status, iteration)
        value, spare = found.value, value
        if iteration & (iteration - 1) == 0:
            value += centre(operator, found.low, found.high)


def centre(operator: Operator, low: float, high: float) -> float:
    """What brings T V into the middle of its bounds, where all probability stays inside: large values round badly."""
    gamma = operator.discount
    return 0.0 if operator.rows.terminal or gamma == 1 else gamma / (1 - gamma) * (low + high) / 2


def modified_policy_iteration(
    operator: Operator, value: Float64[ndarray, "S"], goal: Goal, *, budget: float = np.inf
) -> Outcome:
    r"""$V \leftarrow T_\pi^m T V$ with the greedy pi; m grows until $T_\pi V - V$ has fallen to a small share.

    Args:
        operator: the model and the discount.
        value: where to begin.
        goal: when to stop.
        budget: sweeps over a policy's rows after which a slow process is given back, with status LIMIT.

    References:
        Puterman & Shin (1978); the adaptive m as in inexact policy iteration, Gargiani et al. (2023).
    """
    value = value.copy()
    iteration = 0
    while True:
        iteration += 1
        found = operator.optimal(value, keep=True)
        status = goal.reached(operator, value, found, iteration)
        if status is None and budget <= 0:
            status = Status.LIMIT
        if status is not None:
            return Outcome(value, found, status, iteration)
        value, used = _towards(operator, found, value, min(budget, float(goal.limit)))
        budget -= used


def _towards(
    operator: Operator, found: Backup, spare: Float64[ndarray, "S"], budget: float
) -> tuple[Float64[ndarray, "S"], int]:
    """T_pi^m T V, and m; the share is the smaller, the cheaper a policy's sweep is beside one of all choices."""

    def width(low: float, high: float) -> float:
        return max(high, -low) if operator.rows.terminal else high - low

    value, sweeps = found.value, 0
    enough = min(0.1, max(0.01, FORCING * operator.cost)) * width(found.low, found.high)
    last = np.inf
    while True:
        result, low, high = operator.evaluate(value, spare)
        sweeps += 1
        now = width(low, high)
        value, spare = result, value
        if now <= enough or not now < last or sweeps >= budget:
            return value + centre(operator, low, high), sweeps
        last = now


def policy_iteration(operator: Operator, choice: Int64[ndarray, "S"], goal: Goal) -> Outcome:
    r"""$V \leftarrow v_\pi$ by a linear system, pi greedy (N1.1.2-c to e); a choice stays unless another is better.

    Raises:
        ArithmeticError: a policy's system is singular: under it the process does not end, and the discount is 1.
    """
    systems = Systems(operator.rows, operator.discount)
    seen: set[bytes] = set()
    iteration = 0
    while True:
        iteration += 1
        value = systems.value(choice)
        found = operator.optimal(value)
        if (status := goal.reached(operator, value, found, iteration)) is not None:
            return Outcome(value, found, status, iteration)
        improved = _improved(operator, value, choice, found)
        if (improved == choice).all() or improved.tobytes() in seen:  # what is left is rounding
            return Outcome(value, found, Status.STAGNATED, iteration)
        seen.add(improved.tobytes())
        choice = improved


def inexact_policy_iteration(
    operator: Operator, value: Float64[ndarray, "S"], goal: Goal, *, forcing: float = 0.01
) -> Outcome:
    r"""$V \leftarrow V + x$ with $(I - \gamma P_\pi) x \approx T V - V$ by BiCGSTAB, up to `forcing` of the right side.

    References:
        Gargiani et al. (2023), Inexact policy iteration methods for large-scale Markov decision processes.
    """
    from scipy.sparse.linalg import LinearOperator, bicgstab

    states = len(value)
    iteration = 0
    while True:
        iteration += 1
        found = operator.optimal(value, keep=True)
        if (status := goal.reached(operator, value, found, iteration)) is not None:
            return Outcome(value, found, status, iteration)
        constant, _, _ = operator.evaluate(np.zeros(states))

        def system(x: ndarray, constant: ndarray = constant) -> ndarray:
            return x - (operator.evaluate(x)[0] - constant)

        residual = found.value - value
        step, failed = bicgstab(
            LinearOperator((states, states), system, dtype=np.float64), residual, rtol=forcing, atol=0.0, maxiter=200
        )
        value = found.value if failed or not np.isfinite(step).all() else value + step


def _improved(
    operator: Operator, value: Float64[ndarray, "S"], choice: Int64[ndarray, "S"], found: Backup
) -> Int64[ndarray, "S"]:
    kept = reference.evaluate(operator.rows, operator.discount, choice, value)
    better = found.value > kept + 2 * operator.rows.backup_error(operator.discount, value)
    return np.where(better, found.choice, choice)
