"""Proven bounds of optimal values, rounding included."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.planning._operator import Backup, Operator
from suasion.planning._rows import UNIT

Bounds = tuple[Float64[ndarray, "S"], Float64[ndarray, "S"]]


def discounted(operator: Operator, value: Float64[ndarray, "S"], found: Backup) -> Bounds:
    r"""$T V + \frac{\gamma}{1 - \gamma} l \le v_\pi \le v_* \le T V + \frac{\gamma}{1 - \gamma} h$.

    l and h bound T V - V, and pi is the greedy policy of V. Where the process can end, l is at most and h at least 0:
    T (V + c) = T V + gamma c needs all probability to stay inside.

    References:
        Puterman (1994), theorem 6.6.3; MacQueen (1966); Porteus (1971).
    """
    low, high = shifts(operator, found)
    error = operator.rows.backup_error(operator.discount, value)
    return widened(operator, found.value + (low - error), found.value + (high + error))


def shifts(operator: Operator, found: Backup) -> tuple[float, float]:
    """What the bounds add to T V."""
    gamma = operator.discount
    if gamma == 0:
        return 0.0, 0.0
    ends = operator.rows.terminal
    low, high = (min(found.low, 0.0), max(found.high, 0.0)) if ends else (found.low, found.high)
    scale = gamma / (1 - gamma)
    return scale * low - 4 * UNIT * abs(scale * low), scale * high + 4 * UNIT * abs(scale * high)


def widened(operator: Operator, lower: Float64[ndarray, "S"], upper: Float64[ndarray, "S"]) -> Bounds:
    """Rounded outwards; 0 in terminal states."""
    lower = lower - 4 * UNIT * np.abs(lower)
    upper = upper + 4 * UNIT * np.abs(upper)
    if operator.rows.terminal:
        done = operator.rows.ends
        lower[done], upper[done] = 0.0, 0.0
    return lower, upper


class Discounted:
    """Bounds for a discount below 1; they cost nothing beyond the backup at hand."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def gap(self, value: Float64[ndarray, "S"], found: Backup) -> float:
        """Width of `bounds`, up to rounding outwards."""
        low, high = shifts(self.operator, found)
        return high - low + 2 * self.operator.rows.backup_error(self.operator.discount, value)

    def bounds(self, value: Float64[ndarray, "S"], found: Backup) -> Bounds:
        """As `discounted`."""
        return discounted(self.operator, value, found)

    def policy(self, found: Backup) -> Int64[ndarray, "S"]:
        """The policy of which the lower bound is one: the greedy one."""
        return found.choice


def stagnated(operator: Operator, value: Float64[ndarray, "S"], found: Backup) -> bool:
    """Whether what is left of T V - V may be no more than rounding."""
    error = operator.rows.backup_error(operator.discount, value)
    if operator.rows.terminal:
        return max(found.high, -found.low) <= 5 * error
    return found.high - found.low <= 8 * error
