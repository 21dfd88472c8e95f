"""The residual block: a mixer behind a norm, beside the identity.

Letters of the shapes: t steps, b batch, d channels.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from suasion.sequence._layer import Layer, Memory, check_size


class RMSNorm(eqx.Module):
    r"""$y = w \, x / \sqrt{\mathrm{mean}(x^2) + \epsilon}$, over channels.

    References:
        Zhang & Sennrich (2019).
    """

    weight: Float[Array, " d"]
    epsilon: float = eqx.field(static=True, default=1e-5)

    @staticmethod
    def init(width: int) -> RMSNorm:
        """Weights of one.

        Raises:
            ValueError: a width below 1.
        """
        check_size("width", width)
        return RMSNorm(weight=jnp.ones(width))

    def __call__(self, x: Float[Array, "*t b d"]) -> Float[Array, "*t b d"]:
        """The normalised input."""
        scale = jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + self.epsilon)
        return x * scale * self.weight.reshape((1,) * (x.ndim - 1) + (-1,))


class Block(Layer):
    """$y = x + mixer(norm(x))$: what models are stacked of. Its memory is the mixer's."""

    norm: RMSNorm
    mixer: Layer

    @staticmethod
    def init(mixer: Layer) -> Block:
        """A block around a mixer of the same width."""
        return Block(norm=RMSNorm.init(mixer.width), mixer=mixer)

    @property
    def width(self) -> int:
        """Channels d."""
        return self.mixer.width

    def initial(self, batch: int) -> Memory:
        """That of the mixer."""
        return self.mixer.initial(batch)

    def recur(self, memory: Memory, x: Float[Array, "b d"]) -> tuple[Memory, Float[Array, "b d"]]:
        """One step."""
        memory, y = self.mixer.recur(memory, self.norm(x))
        return memory, x + y

    def run(
        self, memory: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """All steps."""
        memory, y = self.mixer.run(memory, self.norm(x), start)
        return memory, x + y
