r"""The exponential, for compiled code: a polynomial that loops can be vectorised with."""

from __future__ import annotations

import typing

import numpy as np
from numba import njit, types

from suasion._bits import reinterpreted

_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it leaves a whole number in the low bits
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # the first with 21 zero bits at its end

_as_float, _as_word = reinterpreted(types.int64, types.float64), reinterpreted(types.float64, types.int64)


# Said here, because Numba hands a caller's flags on: the sum with _ROUND is no sum that may be reordered.
@njit(cache=True, nogil=True, fastmath={"contract"})
@typing.no_type_check
def fast_exp(x):
    r"""$e^x$ within two units in the last place, without a branch; to be called from functions that Numba compiles.

    With $x = k \ln 2 + r$, $\lvert r \rvert \le \frac{\ln 2}{2}$: $2^k$ times 13 terms of the series in r. 0 below
    -708, where the exact value is less than 3.4e-308; inf above 709.78; NaN of NaN.

    Args:
        x: a float64.
    """
    held = min(max(x, -708.5), 709.9)
    shifted = held * 1.4426950408889634 + _ROUND
    whole = shifted - _ROUND
    r = (held - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    value = _as_float(_as_word(p) + (_as_word(shifted) << 52))  # k is added to the exponent
    value = 0.0 if x < -708.0 else value
    value = np.inf if x > 709.782712893384 else value
    return value if x == x else x
