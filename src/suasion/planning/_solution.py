"""What a solver answers: values between proven bounds, a policy that attains the lower one, and how it went."""

from __future__ import annotations

import dataclasses
import enum
from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray


class Status(enum.Enum):
    """How an iteration ended.

    Attributes:
        CONVERGED: the gap is within twice the tolerance.
        STAGNATED: rounding hides any further progress; the bounds hold, the gap is wider than asked.
        LIMIT: the limit of iterations was reached; the bounds hold, the gap is wider than asked.
    """

    CONVERGED = "converged"
    STAGNATED = "stagnated at the rounding floor"
    LIMIT = "iteration limit reached"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    r"""Optimal values and a policy, with $L \le v_\pi \le v_* \le U$ where rewards are to be great.

    Where costs are to be small, $L \le v_* \le v_\pi \le U$. Bounds hold for the model meant by `MDP` in exact
    arithmetic: the rounding of the solver is inside them.

    Attributes:
        value: float64[S], in reward units; between the bounds, in their middle unless both are near.
        lower: L, float64[S].
        upper: U, float64[S].
        policy: the choice (index into the model's choices) taken in each state, int64[S]; -1 where there is none.
        status: how the iteration ended.
        iterations: what the method counts: sweeps over all states, or policies.
        method: the algorithm's name.
        why: reason for the method, in words.
        verified: whether the bounds were proven in rational arithmetic too.
        exact: the values as rational numbers, where they were asked for and the model is small; None otherwise.
    """

    value: Float64[ndarray, "S"]
    lower: Float64[ndarray, "S"]
    upper: Float64[ndarray, "S"]
    policy: Int64[ndarray, "S"]
    status: Status
    iterations: int
    method: str
    why: str
    verified: bool = False
    exact: tuple[Fraction, ...] | None = None

    @property
    def gap(self) -> float:
        """Greatest width of the bounds, in reward units."""
        return float(np.max(self.upper - self.lower, initial=0.0))

    @property
    def converged(self) -> bool:
        """Whether the gap asked for was reached."""
        return self.status is Status.CONVERGED

    def __repr__(self) -> str:
        return (
            f"Solution({len(self.value)} states, gap {self.gap:.2g}, {self.status.value} after {self.iterations} "
            f"iterations of {self.method})"
        )


def between(lower: ndarray, upper: ndarray, value: ndarray, tolerance: float) -> ndarray:
    """The value itself where that is near enough to both bounds, which keeps a 0 a 0; else their middle."""
    near = np.max(np.maximum(upper - value, value - lower), initial=0.0) <= tolerance
    if near:
        return np.clip(value, lower, upper)
    bounded = np.isfinite(lower) & np.isfinite(upper)
    return np.where(bounded, lower + np.where(bounded, upper - lower, 0.0) / 2, value)
