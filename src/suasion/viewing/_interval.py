"""The interval of a mean over seeds."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import stdtrit


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None]:
    r"""Mean and half-width of its Student t interval.

    $\bar x \pm t_{n-1,(1+c)/2} \, s / \sqrt n$ with the sample deviation $s$ (divisor $n-1$): exact for
    independent normal values, and never narrower than the normal interval.

    Args:
        values: one a seed, in any unit; at least one.
        level: confidence $c$ in (0, 1).

    Returns:
        The mean, and the half-width or None for a single value.

    Raises:
        ValueError: no value, or one that is not finite, or a level out of range.
    """
    if not values:
        raise ValueError("0 values; a mean needs at least 1")
    for place, value in enumerate(values):
        if not math.isfinite(value):
            raise ValueError(f"values[{place}] is {value}; must be finite")
    mean, half = column_intervals(np.asarray(values, np.float64)[:, None], level)
    if len(values) > 1 and not math.isfinite(half[0]):
        raise ValueError(f"the values from {min(values)} to {max(values)} spread too far for a number")
    return float(mean[0]), None if len(values) == 1 else float(half[0])


def column_intervals(
    values: Float[np.ndarray, "n p"], level: float = 0.95
) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
    """Means and half-widths of p columns of n values; NaN wherever a value is NaN, and half-widths for n =
    1."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; must be within 0 and 1")
    count = len(values)
    # Powers of two bring each column near 1, exactly: squares of what a diverging run logs would overflow.
    _, exponent = np.frexp(np.abs(values).max(axis=0))
    scaled = np.ldexp(values, -exponent[None, :])
    with np.errstate(over="ignore"):
        mean = np.ldexp(scaled.mean(axis=0), exponent)
        if count == 1:
            return mean, np.full_like(mean, np.nan)
        factor = float(stdtrit(count - 1, (1 + level) / 2)) / math.sqrt(count)
        return mean, np.ldexp(factor * scaled.std(axis=0, ddof=1), exponent)
