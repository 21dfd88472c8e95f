"""What the room shares: the arrays' own library, logarithms and expectations that bear zeros, units, checks.

Zeros are found by `p == 0` and not by `p > 0`, so that NaN stays NaN. Wherever a branch is discarded, its input is
replaced as well ("double where"): a discarded infinity would otherwise come back as NaN in the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.lib.array_utils import normalize_axis_tuple

Unit = Literal["nats", "bits"]

_TOLERANCE = {64: 1e-6, 32: 1e-4}  # of sums, by the bits of a number
_TOLERANCE_HALF = 1e-2


def namespace(*arrays: Any) -> Any:
    """The library of the arrays; where NumPy's meet another's, the other one, which takes NumPy's in."""
    spaces = [array.__array_namespace__() for array in arrays]
    return next((space for space in spaces if space is not np), np)


def log(xp: Any, p: Any, at_zero: float) -> Any:
    """log p, and `at_zero` where p is 0."""
    zero = p == 0
    return xp.where(zero, at_zero, xp.log(xp.where(zero, 1.0, p)))


def expectation(xp: Any, p: Any, x: Any, axis: int | tuple[int, ...] = -1) -> Any:
    """sum p x, to which x adds nothing where p is 0, be it infinite or NaN."""
    zero = p == 0
    return xp.sum(xp.where(zero, 0.0, p * xp.where(zero, 0.0, x)), axis=axis)


def half_divergence(xp: Any, p: Any, q: Any, log_p: Any) -> Any:
    """Half of KL(p || m), m the mean of p and q; their Jensen-Shannon divergence is two of these."""
    # m is 0 where p is, or by underflow, where p log p is nothing: no infinity there.
    return expectation(xp, p, log_p - log(xp, (p + q) / 2, at_zero=0.0)) / 2


def in_unit(nats: Any, unit: Unit) -> Any:
    """A number of nats in the unit wanted."""
    if unit not in get_args(Unit):
        raise ValueError(f"unit is {unit!r}, must be 'nats' or 'bits'")
    return nats if unit == "nats" else nats / math.log(2)


def check_shapes(first: str, shape: Sequence[int], second: str, other: Sequence[int], same: int) -> None:
    """Refuses shapes that are not equal up to axes of length 1, and axis `same` must be equal."""
    fits = len(shape) == len(other) > 0 and shape[same] == other[same]
    if not fits or any(m != n and 1 not in (m, n) for m, n in zip(shape, other, strict=True)):
        raise ValueError(f"{first} is {list(shape)}, {second} {list(other)}: their shapes do not agree")


def check_distribution(p: Float[Any, "..."], name: str = "p", *, axis: int | tuple[int, ...] = -1) -> None:
    """Refuses what is no distribution, naming the place and the number: "p[2, 1] sums to 0.9, not 1".

    Sums may be off by 1e-6 in float64, 1e-4 in float32 and 1e-2 in shorter numbers. Inside a JAX transformation
    (`jit`, `grad`, `vmap`) values are unknown and nothing is refused.

    Args:
        p: probabilities.
        name: what the message calls it.
        axis: over which p sums to 1; the last two, (-2, -1), for a joint table.

    Raises:
        ValueError: an entry that is negative, NaN or infinite, a sum that is not 1, an axis that p does not have.
    """
    axes = normalize_axis_tuple(axis, p.ndim)
    try:
        values = np.asarray(p)
    except TypeError:  # a tracer: JAX's concretization errors are all TypeErrors
        return
    for place in np.argwhere(~((values >= 0) & (values < np.inf))).tolist():
        raise ValueError(f"{name}{_index(place)} is {values[tuple(place)]}, must be a probability")
    sums = values.sum(axis=axes, keepdims=True, dtype=np.float64)
    tolerance = _TOLERANCE.get(8 * values.itemsize, _TOLERANCE_HALF)
    for place in np.argwhere(np.abs(sums - 1) > tolerance).tolist():
        shown = [":" if k in axes else index for k, index in enumerate(place)]
        raise ValueError(f"{name}{_index(shown)} sums to {sums[tuple(place)]:.7g}, not 1")


def _index(place: list[Any]) -> str:
    """A place as one writes it: [2, 1], without the colons at the end."""
    while place and place[-1] == ":":
        place.pop()
    return f"[{', '.join(map(str, place))}]" if place else ""
