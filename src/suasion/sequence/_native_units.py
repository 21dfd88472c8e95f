r"""Compiled loops (Numba) of the causal convolution, alone and in front of a gated unit; see `_native_kernels`.

Letters of the shapes: t steps, b batch, d channels, k taps, w = k - 1 inputs in the window.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit

from suasion._foreign_functions import sigmoid, tanh
from suasion.sequence._native_kernels import (
    _EVER,
    _FAST,
    _ONE,
    _ZERO,
    _add,
    _add_product,
    _product,
)


@njit(cache=True)
@typing.no_type_check
def _seen(x, first, window, nothing, t, r, back, age):
    """The input of `back` steps before t in an episode that is `age` steps old: from the window before the first.

    The convolution's channels are those of x from `first` on, as many as `nothing` has.
    """
    if back > age:
        return nothing
    if t >= back:
        return x[t - back, r, first : first + nothing.size]
    return window[r, window.shape[1] + t - back]


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _convolve(x, first, weight, bias, window, nothing, t, r, age, out):
    """The convolution at one step of one sequence."""
    taps = weight.shape[0]
    out[:] = bias
    for j in range(taps):
        _add_product(weight[j], _seen(x, first, window, nothing, t, r, taps - 1 - j, age), out)


@njit(cache=True)
@typing.no_type_check
def _ages(start, r, ages):
    """How many steps ago the episode of every step began."""
    age = _EVER
    for t in range(start.shape[0]):
        age = 0 if start[t, r] else age + 1
        ages[t] = age


@njit(cache=True)
@typing.no_type_check
def _keep(x, first, window, nothing, r, age, kept):
    """The window after the last step."""
    room = window.shape[1]
    for i in range(room):
        kept[r, i] = _seen(x, first, window, nothing, x.shape[0] - 1, r, room - 1 - i, age)


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _carry(weight, d_c, adjoint, d_x):
    """The adjoint of the input of one step; that of the window before it, from that of the window after it."""
    taps = weight.shape[0]
    _product(weight[taps - 1], d_c, d_x)
    if taps > 1:
        _add(adjoint[taps - 2], d_x)
    for j in range(taps - 2, -1, -1):
        _product(weight[j], d_c, adjoint[j])  # what was here has gone to the tap behind
        if j > 0:
            _add(adjoint[j - 1], adjoint[j])


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _silu(x, out):
    for d in range(out.size):
        out[d] = x[d] * sigmoid(x[d])


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _silu_back(x, d_y, out):
    for d in range(out.size):
        s = sigmoid(x[d])
        out[d] = d_y[d] * (s * (_ONE + x[d] * (_ONE - s)))


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def convolve_silu(x, weight, bias, window, start, y, kept):
    """y = silu(convolution of x), and the window after the last step."""
    steps, batch, channels = x.shape
    nothing, c = np.zeros(channels, np.float32), np.empty(channels, np.float32)
    for r in range(batch):
        age = _EVER
        for t in range(steps):
            age = 0 if start[t, r] else age + 1
            _convolve(x, 0, weight, bias, window, nothing, t, r, age, c)
            _silu(c, y[t, r])
        _keep(x, 0, window, nothing, r, age, kept)


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def convolve_silu_adjoint(x, weight, bias, window, start, d_y, d_kept, d_x, d_weight, d_bias, d_window):
    """The gradients of `convolve_silu`."""
    steps, batch, channels = x.shape
    taps = weight.shape[0]
    nothing, c, d_c = np.zeros(channels, np.float32), np.empty(channels, np.float32), np.empty(channels, np.float32)
    adjoint, own = np.empty((taps - 1, channels), np.float32), np.empty((taps + 1, channels), np.float32)
    ages = np.empty(steps, np.int64)
    d_weight[:] = _ZERO
    d_bias[:] = _ZERO
    for r in range(batch):
        _ages(start, r, ages)
        adjoint[:] = d_kept[r]
        own[:] = _ZERO
        for t in range(steps - 1, -1, -1):
            _convolve(x, 0, weight, bias, window, nothing, t, r, ages[t], c)
            _silu_back(c, d_y[t, r], d_c)
            for j in range(taps):
                _add_product(d_c, _seen(x, 0, window, nothing, t, r, taps - 1 - j, ages[t]), own[j])
            _add(d_c, own[taps])
            _carry(weight, d_c, adjoint, d_x[t, r])
            if start[t, r]:
                adjoint[:] = _ZERO
        for j in range(taps):
            _add(own[j], d_weight[j])
        _add(own[taps], d_bias)
        d_window[r] = adjoint


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _blend(s, c, before, after):
    """The state, moved towards the candidate."""
    for d in range(after.size):
        gate = sigmoid(s[d])
        stay = sigmoid(-s[d])
        after[d] = stay * before[d] + gate * c[d]


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _shown(o, h, y):
    for d in range(y.size):
        y[d] = sigmoid(o[d]) * tanh(h[d])


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def gated_unit(drive, weight, bias, window, state, start, y, h, kept):
    """`Diagonal.run`: the drive is (s, u, o), 3 d wide; outputs, all states, and the window after the last step."""
    steps, batch, channels = y.shape
    nothing, c = np.zeros(channels, np.float32), np.empty(channels, np.float32)
    for r in range(batch):
        age = _EVER
        for t in range(steps):
            age = 0 if start[t, r] else age + 1
            _convolve(drive, channels, weight, bias, window, nothing, t, r, age, c)
            before = state[r] if t == 0 else h[t - 1, r]
            _blend(drive[t, r, :channels], c, nothing if start[t, r] else before, h[t, r])
            _shown(drive[t, r, 2 * channels :], h[t, r], y[t, r])
        _keep(drive, channels, window, nothing, r, age, kept)


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _shown_back(o, h, d_y, g, d_o):
    """The adjoint of a state after its output was read, in place; that of the output's gate."""
    for d in range(g.size):
        open_, value = sigmoid(o[d]), tanh(h[d])
        d_o[d] = d_y[d] * value * open_ * (_ONE - open_)
        g[d] += d_y[d] * open_ * (_ONE - value * value)


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _gates(s, gate, stay):
    for d in range(s.size):
        gate[d] = sigmoid(s[d])
        stay[d] = sigmoid(-s[d])


@njit(cache=True, fastmath=_FAST)
@typing.no_type_check
def _blend_back(g, c, before, gate, stay, d_s):
    for d in range(d_s.size):
        d_s[d] = g[d] * (c[d] - before[d]) * gate[d] * stay[d]


@njit(cache=True, fastmath=_FAST, error_model="numpy")
@typing.no_type_check
def gated_unit_adjoint(
    drive, weight, bias, window, state, start, h, d_y, d_last, d_kept, d_drive, d_weight, d_bias, d_window, d_state
):
    """The gradients of `gated_unit`; `d_last` is that of the last state."""
    steps, batch, channels = h.shape
    taps = weight.shape[0]
    nothing, rows = np.zeros(channels, np.float32), np.empty((5, channels), np.float32)
    c, d_c, gate, stay, g = rows[0], rows[1], rows[2], rows[3], rows[4]
    adjoint, own = np.empty((taps - 1, channels), np.float32), np.empty((taps + 1, channels), np.float32)
    ages = np.empty(steps, np.int64)
    d_weight[:] = _ZERO
    d_bias[:] = _ZERO
    for r in range(batch):
        _ages(start, r, ages)
        g[:] = d_last[r]
        adjoint[:] = d_kept[r]
        own[:] = _ZERO
        for t in range(steps - 1, -1, -1):
            _convolve(drive, channels, weight, bias, window, nothing, t, r, ages[t], c)
            earlier = state[r] if t == 0 else h[t - 1, r]
            before = nothing if start[t, r] else earlier
            _shown_back(drive[t, r, 2 * channels :], h[t, r], d_y[t, r], g, d_drive[t, r, 2 * channels :])
            _gates(drive[t, r, :channels], gate, stay)
            _blend_back(g, c, before, gate, stay, d_drive[t, r, :channels])
            _product(g, gate, d_c)
            _product(g, stay, g)
            for j in range(taps):
                _add_product(d_c, _seen(drive, channels, window, nothing, t, r, taps - 1 - j, ages[t]), own[j])
            _add(d_c, own[taps])
            _carry(weight, d_c, adjoint, d_drive[t, r, channels : 2 * channels])
            if start[t, r]:
                g[:] = _ZERO
                adjoint[:] = _ZERO
        for j in range(taps):
            _add(own[j], d_weight[j])
        _add(own[taps], d_bias)
        d_window[r] = adjoint
        d_state[r] = g
