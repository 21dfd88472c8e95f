r"""Recurrent cores under one contract.

A core is a memory with an input product that is linear in everything it reads. It is written for one set of
parameters and a batch; `Policy` adds the axis of independent parameters. Its input is (x, rows): real features
$x_t$, and the indices of discrete inputs (own and others' actions, messages), each a row of one table W:

$$d_t = x_t V + \sum_{s} W[\mathrm{rows}_{t,s}] + b, \qquad (m_t, y_t) = \mathrm{recur}(m_{t-1}, d_t).$$

Since d is linear, replacing one discrete input by another is the swap of one row of the table: no second product.
The start of an episode clears the memory by `where`, never by a product: NaN does not cross.

Letters of the shapes: t steps, b batch, f features, s discrete inputs, g drive, y output, k alternatives.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from suasion.networks._observation import multi_hot

Memory = Any


class CoreInput(NamedTuple):
    """What a core reads in one step: features, and one table row per discrete input (out of range: nothing)."""

    features: Float[Array, "*t b f"]
    rows: Int[Array, "*t b s"]


class InputProduct(eqx.Module):
    """The linear input product $d = x V + \\sum_s W[r_s] + b$."""

    features: Float[Array, "f g"]
    table: Float[Array, "r g"]
    bias: Float[Array, " g"]

    @staticmethod
    def init(key: Key[Array, ""], *, features: int, rows: int, drive: int, width: int) -> InputProduct:
        """Fresh parameters for a core of `width` units: uniform on +-1/sqrt(width), no bias."""
        key_features, key_table = jax.random.split(key)
        return InputProduct(
            features=_uniform(key_features, width, (features, drive)),
            table=_uniform(key_table, width, (rows, drive)),
            bias=jnp.zeros(drive),
        )

    def __call__(self, inputs: CoreInput) -> Float[Array, "*t b g"]:
        """The drive of every step at once, outside the recurrence."""
        x, weights = inputs.features, self.features
        if self.table.shape[0]:
            x = jnp.concatenate([x, multi_hot(inputs.rows, self.table.shape[0])], -1)
            weights = jnp.concatenate([weights, self.table])
        # One product over all steps, so that its gradient is one as well, without a transpose.
        flat = x.reshape(-1, x.shape[-1]) @ weights + self.bias[None, :]
        return flat.reshape(*x.shape[:-1], -1)

    def replaced(
        self, drive: Float[Array, "*t b g"], old: Int[Array, "*t b"], new: Int[Array, " k"]
    ) -> Float[Array, "k *t b g"]:
        """The drive with the discrete input `old` replaced by each of `new`, other inputs kept."""
        size = self.table.shape[0]
        known = multi_hot(old[..., None], size) @ self.table
        offsets = self.table[new].reshape((len(new),) + (1,) * (drive.ndim - 1) + (-1,))
        return (drive - known)[None] + offsets


class Core(eqx.Module):
    """A recurrent memory. Concrete cores say how big, how to start and how to recur; the rest is written here."""

    product: eqx.AbstractVar[InputProduct]

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """Number of outputs y."""

    @abc.abstractmethod
    def initial(self, batch: int) -> Memory:
        """The memory at the start of an episode, a tree of arrays [b, ...]."""

    @abc.abstractmethod
    def recur(self, memory: Memory, drive: Float[Array, "b g"]) -> tuple[Memory, Float[Array, "b y"]]:
        """One step of the recurrence."""

    @abc.abstractmethod
    def run(
        self, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]
    ) -> tuple[Memory, Float[Array, "t b y"]]:
        """All steps: equal to `recur` step after step, with the memory cleared where `start`."""

    def step(self, memory: Memory, inputs: CoreInput, start: Bool[Array, " b"]) -> tuple[Memory, Float[Array, "b y"]]:
        """One step for acting; `start` says where a new episode begins with this very input."""
        return self.recur(clear(start, memory, self.initial), self.product(inputs))

    def scan(
        self, memory: Memory, inputs: CoreInput, start: Bool[Array, "t b"]
    ) -> tuple[Memory, Float[Array, "t b y"]]:
        """All steps at once for learning: the same outputs as `step` repeated."""
        return self.run(memory, self.product(inputs), start)

    def memories(self, memory: Memory, inputs: CoreInput, start: Bool[Array, "t b"]) -> tuple[Memory, Memory]:
        """The memory after the last step, and that before every step: where counterfactual steps begin.

        The memories before the steps are cleared where an episode starts; their trees have leaves [t, b, ...].
        """
        return self.trace(memory, self.product(inputs), start)

    def trace(self, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]) -> tuple[Memory, Memory]:
        """`memories` from the drive; a core that runs faster than one step after the other has its own."""

        def step(memory: Memory, now: tuple[Array, Array]) -> tuple[Memory, Memory]:
            drive_t, start_t = now
            before = clear(start_t, memory, self.initial)
            return self.recur(before, drive_t)[0], before

        return jax.lax.scan(step, memory, (drive, start))

    def alternatives(
        self, memory: Memory, inputs: CoreInput, old: Int[Array, "*t b"], new: Int[Array, " k"]
    ) -> tuple[Memory, Float[Array, "k *t b y"]]:
        """Counterfactual steps: the output if the discrete input `old` had been each of `new`.

        Args:
            memory: before each step, already cleared where an episode starts.
            inputs: what was really read.
            old: the row to be replaced, one of `inputs.rows` in each batch entry.
            new: the rows to put in its place.

        Returns:
            memories and outputs with the alternatives as leading axis.
        """
        drives = self.product.replaced(self.product(inputs), old, new)
        lead = drives.shape[1:-1]
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(lead) :]), memory)
        found = jax.vmap(self.recur, (None, 0))(flat, drives.reshape(len(new), -1, drives.shape[-1]))
        return jax.tree.map(lambda x: x.reshape(len(new), *lead, *x.shape[2:]), found)


def clear(start: Bool[Array, " b"], memory: Memory, initial: Callable[[int], Memory]) -> Memory:
    """The memory, put back to `initial` where an episode starts: by `where`, so that no NaN crosses."""
    fresh = initial(start.shape[0])
    return jax.tree.map(lambda x, m: jnp.where(start.reshape((-1,) + (1,) * (m.ndim - 1)), x, m), fresh, memory)


def run_cells(
    core: Core, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]
) -> tuple[Memory, Float[Array, "t b y"]]:
    """`Core.run` for cells that have no faster form than one step after the other."""

    def step(memory: Memory, now: tuple[Array, Array]) -> tuple[Memory, Array]:
        drive_t, start_t = now
        return core.recur(clear(start_t, memory, core.initial), drive_t)

    return jax.lax.scan(step, memory, (drive, start))


def _uniform(key: Key[Array, ""], fan_in: int, shape: tuple[int, ...]) -> Array:
    bound = 1.0 / jnp.sqrt(fan_in)
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


class LSTM(Core):
    r"""Long short-term memory.

    $(i, f, g, o) = d_t + h_{t-1} U$; $c_t = \sigma(f) c_{t-1} + \sigma(i) \tanh g$; $h_t = \sigma(o) \tanh c_t$.
    The forget gate's bias starts at 1.

    References:
        Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000).
    """

    product: InputProduct
    recurrent: Float[Array, "y g"]

    @staticmethod
    def init(key: Key[Array, ""], *, features: int, rows: int, width: int) -> LSTM:
        """Fresh parameters, uniform on +-1/sqrt(width)."""
        key_product, key_recurrent = jax.random.split(key)
        product = InputProduct.init(key_product, features=features, rows=rows, drive=4 * width, width=width)
        bias = product.bias.at[width : 2 * width].set(1.0)
        product = InputProduct(features=product.features, table=product.table, bias=bias)
        return LSTM(product=product, recurrent=_uniform(key_recurrent, width, (width, 4 * width)))

    @property
    def width(self) -> int:
        """Number of outputs."""
        return self.recurrent.shape[0]

    def initial(self, batch: int) -> Memory:
        """Zero output and zero cell: (h, c), each [b, y]."""
        return jnp.zeros((batch, self.width)), jnp.zeros((batch, self.width))

    def recur(self, memory: Memory, drive: Float[Array, "b g"]) -> tuple[Memory, Float[Array, "b y"]]:
        """One step."""
        h, c = memory
        h, c = _lstm_cell(drive + h @ self.recurrent, c)
        return (h, c), h

    def run(
        self, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]
    ) -> tuple[Memory, Float[Array, "t b y"]]:
        """All steps, one after the other; the gradient is written by hand, see `_lstm_backward`."""
        h, c = _lstm_run(self.recurrent, *memory, drive, start)
        return (h[-1], c[-1]), h

    def trace(self, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]) -> tuple[Memory, Memory]:
        """As `run`: a step's memory is what the step before left behind."""
        after = _lstm_run(self.recurrent, *memory, drive, start)
        before = jax.tree.map(lambda first, x: jnp.concatenate([first[None], x[:-1]]), memory, after)
        before = jax.tree.map(lambda x: jnp.where(start[..., None], 0.0, x), before)
        return jax.tree.map(lambda x: x[-1], after), before


def _lstm_cell(gates: Float[Array, "b g"], c: Float[Array, "b y"]) -> tuple[Array, Array]:
    """(h, c) after a step, from the gates before their nonlinearities."""
    i, f, g, o = _activated(gates)
    c = f * c + i * g
    return o * jnp.tanh(c), c


def _activated(gates: Float[Array, "*b g"]) -> tuple[Array, Array, Array, Array]:
    """(i, f, g, o) after their nonlinearities: one hyperbolic tangent over all, which a CPU does four times faster."""
    halves = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), gates.shape[-1] // 4)
    i, f, g, o = jnp.split(jnp.tanh(gates * halves.reshape((1,) * (gates.ndim - 1) + (-1,))), 4, -1)
    return 0.5 + 0.5 * i, 0.5 + 0.5 * f, g, 0.5 + 0.5 * o


def _sigmoid(x: Array) -> Array:
    """The logistic function by the hyperbolic tangent, which XLA turns into vector code on a CPU."""
    return 0.5 + 0.5 * jnp.tanh(0.5 * x)


@jax.custom_vjp
def _lstm_run(recurrent: Array, h: Array, c: Array, drive: Array, start: Array) -> tuple[Array, Array]:
    """(h_t, c_t) of all steps."""
    return _lstm_forward(recurrent, h, c, drive, start)[0]


def _lstm_forward(recurrent: Array, h: Array, c: Array, drive: Array, start: Array) -> tuple[tuple[Array, Array], Any]:
    def step(memory: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], Any]:
        drive_t, start_t = now
        h, c = clear(start_t, memory, lambda batch: jax.tree.map(jnp.zeros_like, memory))
        gates = drive_t + h @ recurrent
        after = _lstm_cell(gates, c)
        return after, (*after, gates)

    _, (hs, cs, gates) = jax.lax.scan(step, (h, c), (drive, start))
    return (hs, cs), (recurrent, h, c, hs, cs, gates, start)


def _lstm_backward(saved: Any, cotangents: tuple[Array, Array]) -> tuple[Array, Array, Array, Array, None]:
    """The gradient with everything but the recurrence itself taken out of the loop.

    The local derivatives need no order, so they are made for all steps at once; the loop is one product with the
    transposed weights and a few multiplications; the weights' gradient is one product over all steps (the derivative
    that JAX would take adds to the whole matrix at every step, which costs more than the products).
    """
    recurrent, h, c, hs, cs, gates, start = saved
    begun = start[..., None]
    h_before = jnp.where(begun, 0.0, jnp.concatenate([h[None], hs[:-1]]))
    c_before = jnp.where(begun, 0.0, jnp.concatenate([c[None], cs[:-1]]))
    i, f, g, o = _activated(gates)
    tanh_c = jnp.tanh(cs)
    through = o * (1.0 - tanh_c * tanh_c)  # dh/dc
    local = jnp.stack([g * i * (1.0 - i), c_before * f * (1.0 - f), i * (1.0 - g * g), tanh_c * o * (1.0 - o)], -2)
    forget = jnp.where(begun, 0.0, f)
    transposed = recurrent.T

    def step(carry: tuple[Array, Array], now: Any) -> tuple[tuple[Array, Array], Array]:
        (d_h, d_c), (above_h, above_c, through, local, forget, start) = carry, now
        d_h = d_h + above_h
        d_c = d_c + above_c + d_h * through
        d_gates = (local * jnp.stack([d_c, d_c, d_c, d_h], -2)).reshape(d_h.shape[0], -1)
        return (jnp.where(start[:, None], 0.0, d_gates @ transposed), d_c * forget), d_gates

    zeros = (jnp.zeros_like(h), jnp.zeros_like(c))
    (d_h, d_c), d_gates = jax.lax.scan(step, zeros, (*cotangents, through, local, forget, start), reverse=True)
    width = h.shape[-1]
    d_recurrent = h_before.reshape(-1, width).T @ d_gates.reshape(-1, 4 * width)
    return d_recurrent, d_h, d_c, d_gates, None


_lstm_run.defvjp(_lstm_forward, _lstm_backward)


class GRU(Core):
    r"""Gated recurrent unit.

    $z = \sigma(d^z + h U^z)$, $r = \sigma(d^r + h U^r)$, $\tilde h = \tanh(d^h + r \odot (h U^h + e))$,
    $h_t = z h_{t-1} + (1 - z) \tilde h$.

    References:
        Cho et al. (2014), in the form with the reset gate after the product.
    """

    product: InputProduct
    recurrent: Float[Array, "y g"]
    candidate_bias: Float[Array, " y"]

    @staticmethod
    def init(key: Key[Array, ""], *, features: int, rows: int, width: int) -> GRU:
        """Fresh parameters, uniform on +-1/sqrt(width)."""
        key_product, key_recurrent = jax.random.split(key)
        return GRU(
            product=InputProduct.init(key_product, features=features, rows=rows, drive=3 * width, width=width),
            recurrent=_uniform(key_recurrent, width, (width, 3 * width)),
            candidate_bias=jnp.zeros(width),
        )

    @property
    def width(self) -> int:
        """Number of outputs."""
        return self.recurrent.shape[0]

    def initial(self, batch: int) -> Memory:
        """Zero output [b, y]."""
        return jnp.zeros((batch, self.width))

    def recur(self, memory: Memory, drive: Float[Array, "b g"]) -> tuple[Memory, Float[Array, "b y"]]:
        """One step."""
        drive_z, drive_r, drive_h = jnp.split(drive, 3, -1)
        past_z, past_r, past_h = jnp.split(memory @ self.recurrent, 3, -1)
        z = jax.nn.sigmoid(drive_z + past_z)
        r = jax.nn.sigmoid(drive_r + past_r)
        h = z * memory + (1.0 - z) * jnp.tanh(drive_h + r * (past_h + self.candidate_bias[None, :]))
        return h, h

    def run(
        self, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]
    ) -> tuple[Memory, Float[Array, "t b y"]]:
        """All steps, one after the other."""
        return run_cells(self, memory, drive, start)


class Memoryless(Core):
    r"""No memory at all, $y_t = \tanh d_t$: the control of every claim about memory."""

    product: InputProduct

    @staticmethod
    def init(key: Key[Array, ""], *, features: int, rows: int, width: int) -> Memoryless:
        """Fresh parameters, uniform on +-1/sqrt(width)."""
        return Memoryless(product=InputProduct.init(key, features=features, rows=rows, drive=width, width=width))

    @property
    def width(self) -> int:
        """Number of outputs."""
        return self.product.bias.shape[0]

    def initial(self, batch: int) -> Memory:
        """Nothing."""
        return ()

    def recur(self, memory: Memory, drive: Float[Array, "b g"]) -> tuple[Memory, Float[Array, "b y"]]:
        """One step."""
        return memory, jnp.tanh(drive)

    def run(
        self, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]
    ) -> tuple[Memory, Float[Array, "t b y"]]:
        """All steps at once."""
        return memory, jnp.tanh(drive)
