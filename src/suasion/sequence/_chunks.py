r"""The selective scan on a CPU: a scan over time with a fused body, and a gradient that recomputes states.

The state has d n numbers where the input has d; to keep all states costs more time, in memory traffic, than to make
them again. So the states at the starts of chunks are kept; the gradient runs through the chunks backwards, makes a
chunk's states again and the adjoint $g_{t-1} = \bar a_t (g_t + C_t \, dy_t)$ beside them.

A step's work is brought to a size at which the loop's own cost is small and the states stay in the second-level cache:

- a large batch is cut into blocks that run one after the other;
- the long sequences of a small batch are cut into lanes that run in lockstep, in two passes. The first starts every
  lane from 0. Since $\prod_t e^{\Delta_t A} = e^{A \sum_t \Delta_t}$, its ends give the true starts of all lanes, and
  the second pass has them. The gradient does the same from the other end.

What is too short is filled up with $\Delta = 0$, which leaves a state as it is.

Letters of the shapes: t steps, b batch, d channels, n states of a channel; folded: blocks, chunks, t steps of a
chunk, r rows. Inside, channels come last: sums over the states are then sums of contiguous vectors.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from suasion.sequence._step import Discretization, Steps, adjoint_step, advance, cut, decay

_CHUNK = 32  # steps whose states are made again together
_WORK = 2**15  # numbers in the states of all rows of a step
_LEAST_LANES = 3  # two lanes, each run twice, gain nothing


class Plan(NamedTuple):
    """How time and batch are folded.

    Attributes:
        lanes: pieces of a sequence that run in lockstep; 1 if there are blocks.
        blocks: pieces of the batch that run one after the other; 1 if there are lanes.
        size: sequences of a block.
        chunks: of a lane.
        chunk: steps of a chunk.
    """

    lanes: int
    blocks: int
    size: int
    chunks: int
    chunk: int

    @staticmethod
    def of(steps: int, batch: int, width: int) -> Plan:
        """The plan for sequences whose states have `width` numbers."""
        rows = max(1, _WORK // width)
        lanes = min(rows // batch, steps // _CHUNK)
        lanes = lanes if lanes >= _LEAST_LANES else 1
        blocks = math.ceil(batch / rows)
        length = math.ceil(steps / lanes)
        chunks = math.ceil(length / _CHUNK)
        return Plan(lanes, blocks, math.ceil(batch / blocks), chunks, math.ceil(length / chunks))

    def fold(self, x: Array) -> Array:
        """[t, b, ...] to [blocks, chunks, t, r, ...], filled up with zeros."""
        lanes, blocks, size, chunks, chunk = self
        room = (lanes * chunks * chunk - x.shape[0], blocks * size - x.shape[1])
        full = jnp.pad(x, [(0, more) for more in room] + [(0, 0)] * (x.ndim - 2)) if any(room) else x
        parts = full.reshape(lanes, chunks, chunk, blocks, size, *x.shape[2:])
        ordered = jnp.moveaxis(parts, (3, 0), (0, 3))
        return ordered.reshape(blocks, chunks, chunk, lanes * size, *x.shape[2:])

    def unfold(self, x: Array, steps: int, batch: int) -> Array:
        """The inverse of `fold`."""
        lanes, blocks, size, chunks, chunk = self
        parts = x.reshape(blocks, chunks, chunk, lanes, size, *x.shape[4:])
        full = jnp.moveaxis(parts, (0, 3), (3, 0)).reshape(lanes * chunks * chunk, blocks * size, *x.shape[4:])
        return full[:steps, :batch]

    def fold_state(self, state: Array) -> Array:
        """[b, ...] to [blocks, size, ...], filled up with zeros."""
        room = self.blocks * self.size - state.shape[0]
        full = jnp.pad(state, [(0, room)] + [(0, 0)] * (state.ndim - 1)) if room else state
        return full.reshape(self.blocks, self.size, *state.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_by_chunks(
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
    length, batch, _ = x.shape
    plan = Plan.of(length, batch, A.size)
    steps = Steps(x, delta, B, C, start)

    def block(now: tuple[Steps, Array]) -> tuple[Array, Array, Array]:
        each, first = now
        return _run(rule, A, each, _lane_starts(rule, plan, A, each, first))

    y, last, kept = jax.lax.map(block, (jax.tree.map(plan.fold, steps), plan.fold_state(state)))
    last = last[:, -plan.size :].reshape(-1, *A.shape)[:batch]
    return (plan.unfold(y, length, batch), last), (A, steps, kept)


def _backward(rule: Discretization, saved: Any, cotangents: tuple[Array, Array]) -> tuple[Any, ...]:
    (A, steps, kept), (d_y, d_last) = saved, cotangents
    length, batch, _ = steps.x.shape
    plan = Plan.of(length, batch, A.size)

    def block(now: tuple[Steps, Array, Array, Array]) -> tuple[Any, ...]:
        each, kept, d_y, d_last = now
        return _adjoint(rule, A, each, kept, d_y, _lane_ends(plan, A, each, d_y, d_last))

    found = jax.lax.map(block, (jax.tree.map(plan.fold, steps), kept, plan.fold(d_y), plan.fold_state(d_last)))
    d_first, d_A, per_step = found
    d_x, d_delta, d_B, d_C = (plan.unfold(each, length, batch) for each in per_step)
    d_state = d_first[:, : plan.size].reshape(-1, *A.shape)[:batch]
    return d_x, d_delta, d_A.sum(0), d_B, d_C, d_state, None


scan_by_chunks.defvjp(_forward, _backward)


def _run(rule: Discretization, A: Array, steps: Steps, first: Array) -> tuple[Array, Array, Array]:
    """Outputs, the last states, and the states before all chunks."""

    def step(state: Array, now: Steps) -> tuple[Array, Array]:
        state = advance(rule, A, cut(now.start, state), now)
        return state, jnp.sum(now.C[:, :, None] * state, 1)

    def chunk(state: Array, now: Steps) -> tuple[Array, tuple[Array, Array]]:
        after, y = jax.lax.scan(step, state, now)
        return after, (y, state)

    last, (y, kept) = jax.lax.scan(chunk, first, steps)
    return y, last, kept


def in_a_row(x: Array) -> Array:
    """Chunks and steps as one axis."""
    return x.reshape(-1, *x.shape[2:])


def _lane_starts(rule: Discretization, plan: Plan, A: Array, steps: Steps, first: Array) -> Array:
    """The states before all lanes, [lanes * size, n, d]: a pass from zero, then the carry from lane to lane."""
    if plan.lanes == 1:
        return first

    def step(state: Array, now: Steps) -> tuple[Array, None]:
        return advance(rule, A, cut(now.start, state), now), None

    zero = jnp.zeros((plan.lanes * plan.size, *A.shape), first.dtype)
    alone, _ = jax.lax.scan(step, zero, jax.tree.map(in_a_row, steps))
    return _carry(plan, A, steps, alone, first, reverse=False)


def _lane_ends(plan: Plan, A: Array, steps: Steps, d_y: Array, d_last: Array) -> Array:
    """The adjoints of the states after all lanes, [lanes * size, n, d]: as `_lane_starts`, from the other end."""
    if plan.lanes == 1:
        return d_last

    def step(g: Array, now: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        delta, C, start, d_y = now
        return cut(start, decay(A, delta) * (g + C[:, :, None] * d_y[:, None, :])), None

    zero = jnp.zeros((plan.lanes * plan.size, *A.shape), d_last.dtype)
    read = jax.tree.map(in_a_row, (steps.delta, steps.C, steps.start, d_y))
    alone, _ = jax.lax.scan(step, zero, read, reverse=True)
    return _carry(plan, A, steps, alone, d_last, reverse=True)


def _carry(plan: Plan, A: Array, steps: Steps, alone: Array, first: Array, *, reverse: bool) -> Array:
    """What enters every lane, given what leaves it if nothing enters: a lane passes on e^(A sum delta) of it."""
    by_lane = (plan.lanes, plan.size)
    through = jnp.exp(in_a_row(steps.delta).sum(0)[:, None, :] * A[None]).reshape(*by_lane, *A.shape)
    begun = in_a_row(steps.start).any(0).reshape(by_lane)

    def lane(entering: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        alone, through, begun = now
        return alone + cut(begun, through * entering), entering

    _, entering = jax.lax.scan(lane, first, (alone.reshape(through.shape), through, begun), reverse=reverse)
    return entering.reshape(alone.shape)


def _adjoint(
    rule: Discretization, A: Array, steps: Steps, kept: Array, d_y: Array, d_last: Array
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Gradients of a block: of the states before it, of A, and of x, delta, B, C at every step."""

    def again(state: Array, now: Steps) -> tuple[Array, Array]:
        before = cut(now.start, state)
        return advance(rule, A, before, now), before

    def chunk(carry: tuple[Array, Array], now: tuple[Steps, Array, Array]) -> tuple[tuple[Array, Array], Any]:
        each, first, d_y = now
        _, before = jax.lax.scan(again, first, each)
        step = functools.partial(adjoint_step, rule, A)
        return jax.lax.scan(step, carry, (each, before, d_y), reverse=True)

    (d_first, d_A), per_step = jax.lax.scan(chunk, (d_last, jnp.zeros_like(A)), (steps, kept, d_y), reverse=True)
    return d_first, d_A, per_step
