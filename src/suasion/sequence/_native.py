r"""The way from XLA on a CPU to compiled loops, and their gradients.

XLA calls a function by its address with one argument, the frame of a call (its C interface for foreign functions, FFI),
in which the addresses and shapes of all arrays stand. Numba compiles such a function from Python: no compiler is needed
where the package is installed, and no lock of Python's is held while it runs. The offsets in the frame are those of
version 0.3 of that interface; XLA asks every function which version it was made for, and refuses what it does not know.

The loops are for float32, and run on one thread: on a CPU the command line makes every core a device of its own.

Letters of the shapes: t steps, b batch, d channels, n states of a channel, k taps, w = k - 1; g is 3 d.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Shape = jax.ShapeDtypeStruct


def suits(*arrays: Array) -> bool:
    """Whether the loops take the place of XLA's own: on a CPU, in float32, if this XLA knows the interface."""
    return jax.default_backend() == "cpu" and all(x.dtype == jnp.float32 for x in arrays) and _known()


@functools.cache
def _known() -> bool:
    """Whether XLA takes functions of this version; where it does not, the slower forms give the same numbers."""
    try:
        _register("nothing")
    except jax.errors.JaxRuntimeError:
        return False
    return True


@functools.cache
def _register(name: str) -> None:
    """Compile a loop, or load it from Numba's cache, and tell XLA its address."""
    from suasion.sequence._native_calls import compiled

    # The type of the function does not matter: the capsule holds nothing but its address.
    capsule = jax.ffi.pycapsule(ctypes.CFUNCTYPE(None)(compiled(name).address))
    jax.ffi.register_ffi_target(f"suasion_{name}", capsule, platform="cpu")


def _call(name: str, results: tuple[Shape, ...], *arrays: Array) -> tuple[Array, ...]:
    _register(name)
    found = jax.ffi.ffi_call(f"suasion_{name}", results, vmap_method="sequential")(*arrays)
    return tuple(found)


def _like(*arrays: Array) -> tuple[Shape, ...]:
    return tuple(Shape(x.shape, x.dtype) for x in arrays)


@jax.custom_vjp
def scan_by_loops(
    x: Float[Array, "t b d"],
    delta: Float[Array, "t b d"],
    A: Float[Array, "n d"],
    B: Float[Array, "t b n"],
    C: Float[Array, "t b n"],
    state: Float[Array, "b n d"],
    start: Bool[Array, "t b"],
) -> tuple[Float[Array, "t b d"], Float[Array, "b n d"]]:
    """`scan_by_chunks` by Euler's rule."""
    return _scan_forward(x, delta, A, B, C, state, start)[0]


def _scan_forward(
    x: Array, delta: Array, A: Array, B: Array, C: Array, state: Array, start: Array
) -> tuple[tuple[Array, Array], Any]:
    from suasion.sequence._native_kernels import CHUNK

    kept = Shape((-(-x.shape[0] // CHUNK), *state.shape), x.dtype)
    y, last, before = _call("scan", (*_like(x, state), kept), x, delta, A, B, C, state, start)
    return (y, last), (x, delta, A, B, C, start, before)


def _scan_backward(saved: Any, cotangents: tuple[Array, Array]) -> tuple[Any, ...]:
    x, delta, A, B, C, *_ = saved
    return (*_call("scan_adjoint", _like(x, delta, A, B, C, cotangents[1]), *saved, *cotangents), None)


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
    y, kept = _call("convolve_silu", _like(x, window), *saved)
    return (y, kept), saved


def _convolve_backward(saved: Any, cotangents: tuple[Array, Array]) -> tuple[Any, ...]:
    return (*_call("convolve_silu_adjoint", _like(*saved[:4]), *saved, *cotangents), None)


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
    y, h, kept = _call("gated_unit", (each, each, *_like(window)), *given)
    return (y, kept, h[-1]), (*given, h)


def _unit_backward(saved: Any, cotangents: tuple[Array, Array, Array]) -> tuple[Any, ...]:
    d_y, d_kept, d_last = cotangents
    return (*_call("gated_unit_adjoint", _like(*saved[:5]), *saved, d_y, d_last, d_kept), None)


unit_by_loops.defvjp(_unit_forward, _unit_backward)
