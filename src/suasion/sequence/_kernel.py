r"""The selective scan as a Pallas kernel, for GPUs: one program for each sequence and block of channels.

A program runs through time with its states in registers: agents and batches have parallelism enough without a scan in
parallel. The gradient's program goes through the chunks backwards and makes their states again, as on a CPU
(`suasion.sequence._chunks`); the step is the same text. On a CPU the kernel runs in Pallas' interpreter, which is
slow and only for tests.

Letters of the shapes: t steps, b batch, d channels, n states of a channel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from suasion.sequence._step import Discretization, Steps, adjoint_step, advance, cut

_CHUNK = 32  # steps whose states are made again together
_CHANNELS = 32  # of a program, at most
_WARPS = 1  # a channel for each thread; and no other warp to wait for where states are read back


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_by_kernel(
    discretization: Discretization,
    x: Float[Array, "t b d"],
    delta: Float[Array, "t b d"],
    A: Float[Array, "n d"],
    B: Float[Array, "t b n"],
    C: Float[Array, "t b n"],
    state: Float[Array, "b n d"],
    start: Bool[Array, "t b"],
) -> tuple[Float[Array, "t b d"], Float[Array, "b n d"]]:
    """The outputs of `selective_scan` without D and gate, and the last state; arguments as there, channels last."""
    return _forward(discretization, x, delta, A, B, C, state, start)[0]


def _forward(
    rule: Discretization, x: Array, delta: Array, A: Array, B: Array, C: Array, state: Array, start: Array
) -> tuple[tuple[Array, Array], Any]:
    steps, A_full, first = _fill(Steps(x, delta, B, C, start), A, state)
    y, last, kept = _call(functools.partial(_run, rule), steps, A_full, {"bnd": first}, ("tbd", "bnd", "cbnd"))
    n, d = A.shape
    return (y[: len(x), :, :d], last[:, :n, :d]), (Steps(x, delta, B, C, start), A, kept)


def _backward(rule: Discretization, saved: Any, cotangents: tuple[Array, Array]) -> tuple[Any, ...]:
    (steps, A, kept), (d_y, d_last) = saved, cotangents
    (n, d), t = A.shape, len(steps.x)
    full, A_full, d_last = _fill(steps, A, d_last)
    d_y = _grow(d_y, full.x.shape)
    given = {"cbnd": kept, "tbd": d_y, "bnd": d_last}
    outputs = ("tbd", "tbd", "jtbn", "jtbn", "bnd", "bnd", "sbnd")
    found = _call(functools.partial(_adjoint, rule), full, A_full, given, outputs)
    d_x, d_delta, d_B, d_C, d_A, d_state, _ = found
    d_B, d_C = (each.sum(0)[:t, :, :n] for each in (d_B, d_C))
    return d_x[:t, :, :d], d_delta[:t, :, :d], d_A.sum(0)[:n, :d], d_B, d_C, d_state[:, :n, :d], None


scan_by_kernel.defvjp(_forward, _backward)


def _grow(x: Array, shape: tuple[int, ...]) -> Array:
    return jnp.pad(x, [(0, more - size) for size, more in zip(x.shape, shape, strict=True)])


def _power(size: int) -> int:
    """The next power of two: Triton has no other sizes."""
    return 1 << (size - 1).bit_length()


def _fill(steps: Steps, A: Array, state: Array) -> tuple[Steps, Array, Array]:
    """Whole chunks, blocks of channels and powers of two: a step of delta = 0 and a state of B = C = 0 do nothing."""
    (t, b, d), n = steps.x.shape, _power(len(A))
    t, d = _CHUNK * math.ceil(t / _CHUNK), _channels(d) * math.ceil(d / _channels(d))
    shapes = ((t, b, d), (t, b, d), (t, b, n), (t, b, n), (t, b))
    full = Steps(*(_grow(x, shape) for x, shape in zip(steps, shapes, strict=True)))
    return full, _grow(A, (n, d)), _grow(state, (b, n, d))


def _channels(d: int) -> int:
    """Channels of a program."""
    return min(_CHANNELS, _power(d))


def _call(kernel: Any, steps: Steps, A: Array, more: dict[str, Array], outputs: tuple[str, ...]) -> Any:
    """The kernel over sequences and blocks of channels.

    Arrays are named by their axes: t, b, n and d, c for chunks, s for the steps of a chunk, j for blocks of channels.
    A program sees its own b, d and j, and all of the rest.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    (t, b, d), n = steps.x.shape, A.shape[0]
    block = _channels(d)
    sizes = {"t": t, "b": b, "n": n, "d": d, "c": t // _CHUNK, "s": _CHUNK, "j": d // block}
    seen = sizes | {"b": None, "d": block, "j": None}

    def spec(axes: str) -> Any:
        return pl.BlockSpec(
            tuple(seen[axis] for axis in axes),
            lambda i, j: tuple({"b": i, "d": j, "j": j}.get(axis, 0) for axis in axes),
        )

    return pl.pallas_call(
        kernel,
        grid=(b, d // block),
        in_specs=[spec(axes) for axes in ("tbd", "tbd", "tbn", "tbn", "tb", "nd", *more)],
        out_specs=[spec(axes) for axes in outputs],
        out_shape=[jax.ShapeDtypeStruct(tuple(sizes[axis] for axis in axes), A.dtype) for axes in outputs],
        interpret=jax.default_backend() == "cpu",
        compiler_params=triton.CompilerParams(num_warps=_WARPS),
    )(*steps[:4], steps.start.astype(jnp.int32), A, *more.values())


def _read(refs: Sequence[Any], t: Any) -> Steps:
    """Step t, as one row."""
    from jax.experimental import pallas as pl

    (x, delta, B, C, start), at = refs, pl.ds(t, 1)
    return Steps(x[at, :], delta[at, :], B[at, :], C[at, :], start[at] != 0)


def _run(rule: Discretization, *refs: Any) -> None:
    """One program forwards."""
    *read, A_ref, first, y, last, kept = refs
    A = A_ref[...]

    def step(t: Any, state: Array) -> Array:
        now = _read(read, t)
        state = advance(rule, A, cut(now.start, state), now)
        y[t, :] = jnp.sum(now.C[:, :, None] * state, 1)[0]
        return state

    def chunk(c: Any, state: Array) -> Array:
        kept[c, :, :] = state[0]
        return jax.lax.fori_loop(0, _CHUNK, lambda s, state: step(c * _CHUNK + s, state), state)

    last[...] = jax.lax.fori_loop(0, kept.shape[0], chunk, first[...][None])[0]


def _adjoint(rule: Discretization, *refs: Any) -> None:
    """One program backwards; `states` is room for the states of a chunk."""
    *read, A_ref, kept, d_y, d_last, d_x, d_delta, d_B, d_C, d_A, d_first, states = refs
    A = A_ref[...]

    def again(c: Any, s: Any, state: Array) -> Array:
        now = _read(read, c * _CHUNK + s)
        before = cut(now.start, state)
        states[s, :, :] = before[0]
        return advance(rule, A, before, now)

    def step(t: Any, s: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        now = (_read(read, t), states[s, :, :][None], d_y[t, :][None])
        carry, found = adjoint_step(rule, A, carry, now)
        for ref, value in zip((d_x, d_delta, d_B, d_C), found, strict=True):
            ref[t, :] = value[0]
        return carry

    def chunk(back: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        c = chunks - 1 - back
        jax.lax.fori_loop(0, _CHUNK, functools.partial(again, c), kept[c, :, :][None])
        end = c * _CHUNK + _CHUNK - 1
        return jax.lax.fori_loop(0, _CHUNK, lambda s, carry: step(end - s, _CHUNK - 1 - s, carry), carry)

    chunks = kept.shape[0]
    g, total = jax.lax.fori_loop(0, chunks, chunk, (d_last[...][None], jnp.zeros_like(A)))
    d_first[...], d_A[...] = g[0], total
