r"""The way from XLA on a CPU to compiled loops, and their gradients; see `suasion._foreign`.

Letters of the shapes: t steps, b batch, d channels, n states of a channel, k taps, w = k - 1; g is 3 d.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
from jaxtyping import Array, Bool, Float

from suasion._foreign import Shape, call, like
from suasion._foreign import suits as suits
from suasion.sequence._step import Discretization

_call = functools.partial(call, "suasion.sequence._native_calls")


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_by_loops(
    discretization: Discretization,
    x: Float[Array, "t b d"],
    delta: Float[Array, "t b d"],
    A: Float[Array, "n d"],
    B: Float[Array, "t b n"],
    C: Float[Array, "t b n"],
    state: Float[Array, "b n d"],
    start: Bool[Array, "t b"],
) -> tuple[Float[Array, "t b d"], Float[Array, "b n d"]]:
    """`scan_by_chunks`."""
    return _scan_forward(discretization, x, delta, A, B, C, state, start)[0]


_LOOPS = {"euler": ("scan", "scan_adjoint"), "zoh": ("scan_held", "scan_held_adjoint")}


def _scan_forward(
    rule: Discretization, x: Array, delta: Array, A: Array, B: Array, C: Array, state: Array, start: Array
) -> tuple[tuple[Array, Array], Any]:
    from suasion.sequence._native_kernels import CHUNK

    kept = Shape((-(-x.shape[0] // CHUNK), *state.shape), x.dtype)
    y, last, before = _call(_LOOPS[rule][0], (*like(x, state), kept), x, delta, A, B, C, state, start)
    return (y, last), (x, delta, A, B, C, start, before)


def _scan_backward(rule: Discretization, saved: Any, cotangents: tuple[Array, Array]) -> tuple[Any, ...]:
    x, delta, A, B, C, *_ = saved
    return (*_call(_LOOPS[rule][1], like(x, delta, A, B, C, cotangents[1]), *saved, *cotangents), None)


scan_by_loops.defvjp(_scan_forward, _scan_backward)


@jax.custom_vjp
def convolve_silu(
    x: Float[Array, "t b d"],
    weight: Float[Array, "k d"],
    bias: Float[Array, " d"],
    window: Float[Array, "b w d"],
    start: Bool[Array, "t b"],
) -> tuple[Float[Array, "t b d"], Float[Array, "b w d"]]:
    """silu of `CausalConvolution.run`, and the window after the last step."""
    return _convolve_forward(x, weight, bias, window, start)[0]


def _convolve_forward(
    x: Array, weight: Array, bias: Array, window: Array, start: Array
) -> tuple[tuple[Array, Array], Any]:
    saved = (x, weight, bias, window, start)
    y, kept = _call("convolve_silu", like(x, window), *saved)
    return (y, kept), saved


def _convolve_backward(saved: Any, cotangents: tuple[Array, Array]) -> tuple[Any, ...]:
    return (*_call("convolve_silu_adjoint", like(*saved[:4]), *saved, *cotangents), None)


convolve_silu.defvjp(_convolve_forward, _convolve_backward)


@jax.custom_vjp
def unit_by_loops(
    drive: Float[Array, "t b g"],
    weight: Float[Array, "k d"],
    bias: Float[Array, " d"],
    window: Float[Array, "b w d"],
    state: Float[Array, "b d"],
    start: Bool[Array, "t b"],
) -> tuple[Float[Array, "t b d"], Float[Array, "b w d"], Float[Array, "b d"]]:
    """`suasion.sequence.gated_unit`."""
    return _unit_forward(drive, weight, bias, window, state, start)[0]


def _unit_forward(
    drive: Array, weight: Array, bias: Array, window: Array, state: Array, start: Array
) -> tuple[tuple[Array, Array, Array], Any]:
    each = Shape((*drive.shape[:2], state.shape[1]), drive.dtype)
    given = (drive, weight, bias, window, state, start)
    y, h, kept = _call("gated_unit", (each, each, *like(window)), *given)
    return (y, kept, h[-1]), (*given, h)


def _unit_backward(saved: Any, cotangents: tuple[Array, Array, Array]) -> tuple[Any, ...]:
    d_y, d_kept, d_last = cotangents
    return (*_call("gated_unit_adjoint", like(*saved[:5]), *saved, d_y, d_last, d_kept), None)


unit_by_loops.defvjp(_unit_forward, _unit_backward)
