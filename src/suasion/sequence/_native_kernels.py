r"""Compiled loops (Numba) of the selective scan, the causal convolution and the gated unit, forwards and backwards.

One sequence after the other, step after step; within a step rows of channels, which LLVM turns into vector code. What a
step needs lies in the first two caches, and nothing that has states *and* steps is written to memory but the states at
the starts of chunks. XLA makes one loop of each result and writes what lies between.

What each must equal is written in JAX: `suasion.sequence._chunks`, `_convolution` and `_diagonal`. The functions of
rows are short, so that LLVM's checks for overlap are few enough for it to vectorise them.

Letters of the shapes: t steps, b batch, d channels, n states of a channel, k taps, w = k - 1 inputs in the window.
"""

from __future__ import annotations

import math
import typing

import numpy as np
from numba import njit

from suasion._foreign_functions import CONTRACTED as _FAST
from suasion._foreign_functions import decay

CHUNK = 16  # steps whose states are made again together: 16 x 16 x 256 of them fill half of a second-level cache
_SUM = {"contract", "reassoc", "nsz"}  # sums over channels in as many parts as a vector has lanes
_ZERO, _ONE, _NEAR = np.float32(0.0), np.float32(1.0), np.float32(0.5)
# Series of phi_1 and of its slope up to z^7, within 2e-8 below 1/2; beyond it their differences keep 22 bits.
_PHI = tuple(np.float32(1.0 / math.factorial(k + 1)) for k in range(8))
_SLOPE = tuple(np.float32((k + 1) / math.factorial(k + 2)) for k in range(8))
_EVER = 1 << 40  # age of an episode that began before the first step


@njit(cache=True, fastmath=_SUM)
@typing.no_type_check
def _dot(u, v):
    total = _ZERO
    for d in range(u.size):
        total += u[d] * v[d]
    return total


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _product(u, v, out):
    for d in range(out.size):
        out[d] = u[d] * v[d]


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _add_product(u, v, out):
    for d in range(out.size):
        out[d] += u[d] * v[d]


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _add(u, out):
    for d in range(out.size):
        out[d] += u[d]


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _advance(delta, a, driven, b, c, h, y):
    """One state of every channel, and what it adds to the output."""
    for d in range(h.size):
        after = decay(delta[d] * a[d]) * h[d] + b * driven[d]
        h[d] = after
        y[d] += c * after


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _series(c, z):
    p = c[7] * z + c[6]
    p = p * z + c[5]
    p = p * z + c[4]
    p = p * z + c[3]
    p = p * z + c[2]
    p = p * z + c[1]
    return p * z + c[0]


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def _phi(z, e):
    r"""$\varphi_1(z) = (e^z - 1) / z$, given $e^z$."""
    far = (e - _ONE) / z
    return _series(_PHI, z) if abs(z) < _NEAR else far


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def _advance_held(delta, a, driven, b, c, h, y):
    """`_advance` with the input held."""
    for d in range(h.size):
        z = delta[d] * a[d]
        e = decay(z)
        after = e * h[d] + b * (_phi(z, e) * driven[d])
        h[d] = after
        y[d] += c * after


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def scan(x, delta, A, B, C, state, start, held, y, last, kept):
    """`scan_by_chunks`: outputs y, last states, and the states before all chunks, [chunk, b, n, d].

    `held`: by zero-order hold, rather than by Euler's rule.
    """
    steps, batch, channels = x.shape
    h, driven = np.empty(A.shape, np.float32), np.empty(channels, np.float32)
    for r in range(batch):
        h[:] = state[r]
        for t in range(steps):
            if t % CHUNK == 0:
                kept[t // CHUNK, r] = h
            if start[t, r]:
                h[:] = _ZERO
            _product(delta[t, r], x[t, r], driven)
            y[t, r, :] = _ZERO
            for n in range(A.shape[0]):
                if held:
                    _advance_held(delta[t, r], A[n], driven, B[t, r, n], C[t, r, n], h[n], y[t, r])
                else:
                    _advance(delta[t, r], A[n], driven, B[t, r, n], C[t, r, n], h[n], y[t, r])
        last[r] = h


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _decays(delta, a, out):
    for d in range(out.size):
        out[d] = decay(delta[d] * a[d])


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _again(decays, driven, b, h, before):
    """One state of every channel, and what it was before."""
    for d in range(h.size):
        was = h[d]
        before[d] = was
        h[d] = decays[d] * was + b * driven[d]


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _read(g, d_y, c, b, out, through):
    """The adjoint of a state after its output was read, and what of it reaches the input."""
    for d in range(out.size):
        value = g[d] + c * d_y[d]
        out[d] = value
        through[d] += b * value


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _back(after, decays, before, g, d_z):
    """The adjoint of the state before, and that of z = delta A."""
    for d in range(g.size):
        value = after[d] * decays[d]
        g[d] = value
        d_z[d] = value * before[d]


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _spread(d_z, a, delta, d_delta, d_a):
    for d in range(d_z.size):
        value = d_z[d]
        d_delta[d] += value * a[d]
        d_a[d] += value * delta[d]


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def _phis(delta, a, decays, out):
    for d in range(out.size):
        out[d] = _phi(delta[d] * a[d], decays[d])


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _read_held(g, d_y, c, b, phis, out, through):
    """`_read` with the input held."""
    for d in range(out.size):
        value = g[d] + c * d_y[d]
        out[d] = value
        through[d] += b * value * phis[d]


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def _bend(delta, a, decays, phis, out):
    r"""$\varphi_1'(z) = (e^z - \varphi_1(z)) / z$."""
    for d in range(out.size):
        z = delta[d] * a[d]
        far = (decays[d] - phis[d]) / z
        out[d] = _series(_SLOPE, z) if abs(z) < _NEAR else far


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _spread_in_time(g, before, a, b, x, d_delta):
    """A longer step: the state moves on by what drives it at the step's end, A h + B x of the start's h, decayed."""
    for d in range(g.size):
        d_delta[d] += g[d] * (before[d] * a[d] + b * x[d])


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _spread_in_rate(d_z, after, b, driven, bend, delta, d_a):
    for d in range(d_z.size):
        d_a[d] += delta[d] * (d_z[d] + after[d] * (b * driven[d]) * bend[d])


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def scan_adjoint(x, delta, A, B, C, start, kept, d_y, d_last, held, d_x, d_delta, d_A, d_B, d_C, d_first):
    """The gradients of `scan`; sums over steps are made sequence by sequence before they are added up."""
    steps, batch, channels = x.shape
    states = A.shape[0]
    h, g, own = np.empty(A.shape, np.float32), np.empty(A.shape, np.float32), np.empty(A.shape, np.float32)
    decays, before = np.empty((CHUNK, *A.shape), np.float32), np.empty((CHUNK, *A.shape), np.float32)
    phis = np.empty((CHUNK if held else 0, *A.shape), np.float32)
    rows = np.empty((6, channels), np.float32)
    driven, after, d_z, through, bend = rows[0], rows[1], rows[2], rows[3], rows[4]
    inward = rows[5] if held else driven  # what drives a state, but for B
    d_A[:] = _ZERO
    for r in range(batch):
        g[:] = d_last[r]
        own[:] = _ZERO
        for k in range(kept.shape[0] - 1, -1, -1):
            h[:] = kept[k, r]
            begin, end = k * CHUNK, min(steps, (k + 1) * CHUNK)
            for t in range(begin, end):
                i = t - begin
                if start[t, r]:
                    h[:] = _ZERO
                _product(delta[t, r], x[t, r], driven)
                for n in range(states):
                    _decays(delta[t, r], A[n], decays[i, n])
                    if held:
                        _phis(delta[t, r], A[n], decays[i, n], phis[i, n])
                        _product(phis[i, n], driven, inward)
                    _again(decays[i, n], inward, B[t, r, n], h[n], before[i, n])
                    d_C[t, r, n] = _dot(h[n], d_y[t, r])
            for t in range(end - 1, begin - 1, -1):
                i = t - begin
                _product(delta[t, r], x[t, r], driven)
                through[:] = _ZERO
                d_delta[t, r, :] = _ZERO
                for n in range(states):
                    if held:
                        _product(phis[i, n], driven, inward)
                        _read_held(g[n], d_y[t, r], C[t, r, n], B[t, r, n], phis[i, n], after, through)
                    else:
                        _read(g[n], d_y[t, r], C[t, r, n], B[t, r, n], after, through)
                    d_B[t, r, n] = _dot(after, inward)
                    _back(after, decays[i, n], before[i, n], g[n], d_z)
                    if held:
                        _spread_in_time(g[n], before[i, n], A[n], B[t, r, n], x[t, r], d_delta[t, r])
                        _bend(delta[t, r], A[n], decays[i, n], phis[i, n], bend)
                        _spread_in_rate(d_z, after, B[t, r, n], driven, bend, delta[t, r], own[n])
                    else:
                        _spread(d_z, A[n], delta[t, r], d_delta[t, r], own[n])
                _product(through, delta[t, r], d_x[t, r])
                if not held:
                    _add_product(through, x[t, r], d_delta[t, r])
                if start[t, r]:
                    g[:] = _ZERO
        for n in range(states):
            _add(own[n], d_A[n])
        d_first[r] = g
