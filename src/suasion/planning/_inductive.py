r"""Bounds without a discount: $T U \le U$ proves $v_* \le U$, and $T_\pi L \ge L$ proves $L \le v_\pi$.

Both hold where some policy ends for certain and every other has an end component of negative average reward. U and L
are sought as $V \pm a w$, with a the size of T V - V and w a weight that falls by about 1 with each step: then
$T (V + a w) \le T V + a (w - 1) \le V + a w$. They are then checked, rounding included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from suasion.planning import _reference as reference
from suasion.planning._bounds import Bounds
from suasion.planning._linear import DENSE, Systems
from suasion.planning._operator import Backup, Operator
from suasion.planning._rows import Rows, chosen

LARGEST = 1e15  # expected steps beyond which no bound is sought
TRIES = 6


class Inductive:
    """Bounds for expected total rewards; sought anew whenever T V - V has halved."""

    def __init__(self, operator: Operator, least: float = -np.inf, most: float = np.inf) -> None:
        self.operator = operator
        self.least, self.most = least, most
        self.sought = np.inf
        self.held: Bounds | None = None
        self.choice: ndarray | None = None
        self.acting = ~operator.rows.ends

    def gap(self, value: Float64[ndarray, "S"], found: Backup) -> float:
        """Width of the bounds; infinite where there are none."""
        size = max(found.high, -found.low)
        if not size <= 0.5 * self.sought:
            return self._width()
        self.sought = size
        if (bounds := self._seek(value, found, size)) is not None:
            self.held, self.choice = bounds, found.choice
        return self._width()

    def policy(self, found: Backup) -> Int64[ndarray, "S"]:
        """The policy of which L is a bound; that of a backup where there are no bounds."""
        return found.choice if self.choice is None else self.choice

    def bounds(self, value: Float64[ndarray, "S"], found: Backup) -> Bounds:
        """L and U; the least and the most there can be where none were found."""
        if self.held is None:
            return np.full(len(value), self.least), np.full(len(value), self.most)
        return self.held

    def _width(self) -> float:
        return np.inf if self.held is None else float(np.max(self.held[1] - self.held[0], initial=0.0))

    def _seek(self, value: Float64[ndarray, "S"], found: Backup, size: float) -> Bounds | None:
        lower = upper = None
        self.operator.optimal(value, keep=True)  # the policy for the lower bound
        for weight in self._weights(value, found, size):
            lower = self._try(value, weight, size, -1) if lower is None else lower
            upper = self._try(value, weight, size, 1) if upper is None else upper
            if lower is not None and upper is not None:
                return np.maximum(lower, self.least), np.minimum(upper, self.most)
        return None

    def _try(
        self, value: Float64[ndarray, "S"], weight: Float64[ndarray, "S"], size: float, sign: int
    ) -> ndarray | None:
        scale = 2 * size
        for _ in range(TRIES):
            candidate = value + sign * scale * weight
            candidate[~self.acting] = 0.0
            result = self.operator.optimal(candidate).value if sign > 0 else self.operator.evaluate(candidate)[0]
            change = (result - candidate)[self.acting]
            error = self.operator.rows.backup_error(1.0, candidate)
            worst = float(np.max(sign * change, initial=-np.inf))
            if worst + error <= 0:
                return candidate
            scale *= 4
        return None

    def _weights(self, value: Float64[ndarray, "S"], found: Backup, size: float) -> Iterator[ndarray]:
        """Weights to try, the cheapest first."""
        rows = self.operator.rows
        real = np.repeat(self.acting, np.diff(rows.choice_start)) if rows.terminal else np.ones(len(rows.reward), bool)
        dearest = float(np.max(rows.reward[real], initial=-np.inf))
        if dearest < 0 and (value <= 0).all():
            yield value / dearest  # every step costs that much at least
        mine = np.zeros(len(rows.reward), bool)
        mine[found.choice[self.acting]] = True
        if (weight := steps(rows, mine)) is None:
            return
        yield weight
        q = reference.action_values(rows, 1.0, value)
        slack = np.repeat(value, np.diff(rows.choice_start)) - q
        near = real & (slack <= 8 * size * (1 + float(weight.max(initial=0.0))))
        if (weight := steps(rows, near | mine)) is not None:
            yield weight


def steps(rows: Rows, choices: Bool[ndarray, "C"]) -> Float64[ndarray, "S"] | None:
    """w >= 1/2 + P w for each of these choices, about the greatest expected number of steps; None if infinite."""
    few = chosen(rows, choices)
    few = dataclasses.replace(few, reward=np.ones(len(few.reward)))
    return _steps_dense(few) if few.n_states <= DENSE else _steps_swept(few)


def _steps_dense(rows: Rows) -> Float64[ndarray, "S"] | None:
    """By policy iteration, from the first choices."""
    choice = np.where(rows.ends, -1, rows.choice_start[:-1])
    for _ in range(1 + 2 * len(rows.reward)):
        try:
            weight = Systems(rows, 1.0).value(choice)
        except ArithmeticError:
            return None
        if not (weight >= 0).all() or not weight.max(initial=0.0) <= LARGEST:
            return None
        q = reference.action_values(rows, 1.0, weight)
        best, greedy = reference.greedy(rows, q)
        if float(np.max(best - weight, initial=0.0)) <= 0.5:
            return weight
        choice = np.where(best > weight * (1 + 1e-9), greedy, choice)
    return None


def _steps_swept(rows: Rows) -> Float64[ndarray, "S"] | None:
    """By Gauss-Seidel sweeps, there and back."""
    from suasion.planning import _kernels as kernels
    from suasion.planning._sweeps import folded

    swept = folded(rows, 1.0)
    kernel, packed, own = kernels.sweep(swept.A, swept.K), swept.packed, swept.room()
    operator = Operator(rows, 1.0)
    weight = np.zeros(rows.n_states)
    for sweep in range(1, 100_000):
        change = kernel(sweep % 2 == 0, packed, own, weight)
        if not weight.max(initial=0.0) <= LARGEST:
            return None
        if change <= 0.4 and sweep % 4 == 0 and operator.optimal(weight).high <= 0.5:
            return weight
    return None
