"""A long short-term memory as a layer: the recurrence that cannot be made parallel, for comparison.

Letters of the shapes: t steps, b batch, d channels.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from suasion.sequence._layer import Layer, Memory, check_size, clear, product, uniform


class LSTMMemory(NamedTuple):
    """What an LSTM carries: its output and its cell."""

    output: Float[Array, "b d"]
    cell: Float[Array, "b d"]


class LSTM(Layer):
    r"""$(i, f, g, o) = x W + h U + b$, $c' = \sigma(f) c + \sigma(i) \tanh g$, $h' = \sigma(o) \tanh c'$.

    References:
        Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000), for the gate f.
    """

    inward: Float[Array, "d 4*d"]
    recurrent: Float[Array, "d 4*d"]
    bias: Float[Array, " 4*d"]

    @staticmethod
    def init(key: Key[Array, ""], *, width: int) -> LSTM:
        """Fresh parameters: weights uniform on +-1/sqrt(width), and a bias of 1 for f, so that it begins by keeping.

        Raises:
            ValueError: a width below 1.
        """
        check_size("width", width)
        key_in, key_recurrent = jax.random.split(key)
        shape = (width, 4 * width)
        return LSTM(
            inward=uniform(key_in, width, shape),
            recurrent=uniform(key_recurrent, width, shape),
            bias=jnp.zeros(4 * width).at[width : 2 * width].set(1.0),
        )

    @property
    def width(self) -> int:
        """Channels d."""
        return self.inward.shape[0]

    def initial(self, batch: int) -> Memory:
        """Zeros."""
        zero = jnp.zeros((batch, self.width), self.inward.dtype)
        return LSTMMemory(zero, zero)

    def recur(self, memory: Memory, x: Float[Array, "b d"]) -> tuple[Memory, Float[Array, "b d"]]:
        """One step."""
        return self._advance(memory, x @ self.inward + self.bias[None])

    def run(
        self, memory: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """All steps: the inputs' product over all of them at once, then one after the other."""
        begun = jnp.zeros(x.shape[:2], bool) if start is None else start

        def step(memory: Memory, now: tuple[Array, Array]) -> tuple[Memory, Array]:
            entering, start = now
            return self._advance(clear(start, memory), entering)

        return jax.lax.scan(step, memory, (product(x, self.inward) + self.bias[None, None], begun))

    def _advance(self, memory: LSTMMemory, entering: Float[Array, "b _"]) -> tuple[LSTMMemory, Float[Array, "b d"]]:
        i, f, g, o = jnp.split(entering + memory.output @ self.recurrent, 4, -1)
        cell = jax.nn.sigmoid(f) * memory.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        output = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return LSTMMemory(output, cell), output
