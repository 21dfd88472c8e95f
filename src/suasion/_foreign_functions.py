r"""Elementary functions of float32 for compiled loops; without a branch, so that LLVM makes vector code of them."""

from __future__ import annotations

import typing

import numpy as np
from numba import njit, types

from suasion._bits import reinterpreted

CONTRACTED = {"contract"}  # fused multiply-add; the order of sums stays as written

_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it leaves a whole number in the low bits
_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.1219444005469057e-4)  # the first has 10 bits
_SHIFT = np.int32(23)
_LEAST = np.float32(-87.0)
_E7, _E6, _E5, _E4, _E3 = (np.float32(1.0 / f) for f in (5040, 720, 120, 24, 6))
_T9, _T7, _T5, _T3 = (np.float32(c) for c in (62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0))
_L9, _L7, _L5, _L3 = (np.float32(2.0 / n) for n in (9, 7, 5, 3))
_HALF, _ONE, _TWO, _ZERO, _SMALL = (np.float32(c) for c in (0.5, 1.0, 2.0, 0.0, 0.25))
_ROOT_HALF = np.int32(0x3F3504F3)  # bits of the root of 1/2
_INFINITE = np.float32(np.inf)

as_float, as_word = reinterpreted(types.int32, types.float32), reinterpreted(types.float32, types.int32)


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def decay(x):
    r"""$e^x$ for x up to 88, within a unit in the last place, without a branch; 0 below -87; NaN of NaN.

    With $x = k \ln 2 + r$, $\lvert r \rvert \le \frac{\ln 2}{2}$: $2^k$ times 8 terms of the series in r.
    """
    shifted = x * _LOG2E + _ROUND
    whole = shifted - _ROUND
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = _E7 * r + _E6
    p = p * r + _E5
    p = p * r + _E4
    p = p * r + _E3
    p = p * r + _HALF
    p = p * r + _ONE
    p = p * r + _ONE
    value = as_float(types.int32(as_word(p) + types.int32(as_word(shifted) << _SHIFT)))  # k is added to the exponent
    return _ZERO if x < _LEAST else value


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def sigmoid(x):
    """The logistic function, with a small relative error on both sides."""
    e = decay(-abs(x))
    s = _ONE / (_ONE + e)
    return e * s if x < _ZERO else s


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def tanh(x):
    """The hyperbolic tangent: near 0 five terms of its series, elsewhere from the exponential."""
    e = decay(-_TWO * abs(x))
    far = (_ONE - e) / (_ONE + e)
    square = x * x
    p = _T9 * square + _T7
    p = p * square + _T5
    p = p * square + _T3
    near = x + x * (square * p)
    far = -far if x < _ZERO else far
    return near if abs(x) < _SMALL else far


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def log(x):
    r"""$\ln x$ for x from 2^-126, within two units in the last place; NaN and infinity of themselves.

    With $x = 2^k m$, m between the roots of 1/2 and 2, and $s = \frac{m - 1}{m + 1}$: $k \ln 2$ and 5 terms of the
    series of $2 \operatorname{artanh} s$.
    """
    word = as_word(x)
    k = types.int32(types.int32(word - _ROOT_HALF) >> _SHIFT)
    m = as_float(types.int32(word - types.int32(k << _SHIFT)))
    s = (m - _ONE) / (m + _ONE)
    square = s * s
    p = _L9 * square + _L7
    p = p * square + _L5
    p = p * square + _L3
    whole = types.float32(k)
    value = whole * _LN2_HIGH + (_TWO * s + (s * (square * p) + whole * _LN2_LOW))
    return value if x < _INFINITE else x
