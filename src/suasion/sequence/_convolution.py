"""The causal convolution in front of a scan, channel by channel, with its window as memory.

Letters of the shapes: t steps, b batch, d channels, k taps.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from suasion.sequence._layer import Memory, uniform
from suasion.sequence._native import convolve_silu, suits


class CausalConvolution(eqx.Module):
    r"""$y_t = b + \sum_{j=0}^{k-1} w_{k-1-j} \, x_{t-j}$ in every channel; before an episode x is 0.

    Its memory is the window of the k - 1 last inputs, [b, k - 1, d], the newest last.
    """

    weight: Float[Array, "k d"]
    bias: Float[Array, " d"]

    @staticmethod
    def init(key: Key[Array, ""], *, channels: int, taps: int) -> CausalConvolution:
        """Fresh parameters, uniform on +-1/sqrt(taps)."""
        both = uniform(key, taps, (taps + 1, channels))
        return CausalConvolution(weight=both[:taps], bias=both[taps])

    def initial(self, batch: int) -> Memory:
        """An empty window."""
        taps, channels = self.weight.shape
        return jnp.zeros((batch, taps - 1, channels), self.weight.dtype)

    def recur(self, window: Memory, x: Float[Array, "b d"]) -> tuple[Memory, Float[Array, "b d"]]:
        """One step."""
        seen = jnp.concatenate([window, x[:, None]], 1)
        return seen[:, 1:], jnp.sum(seen * self.weight[None], 1) + self.bias[None]

    def run(
        self, window: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """All steps: k products of whole arrays; XLA's own convolution is many times slower on a CPU."""
        steps, back = x.shape[0], self.weight.shape[0] - 1
        seen = jnp.concatenate([jnp.moveaxis(window, 1, 0), x])
        episode = None
        if start is not None:
            episode = jnp.pad(jnp.cumsum(start, 0, dtype=jnp.int32), ((back, 0), (0, 0)))  # 0 in the window
        y = self.bias[None, None] + self.weight[back][None, None] * x
        for j in range(1, back + 1):
            past = _of_episode(seen, episode, slice(back - j, back - j + steps), slice(back, None))
            y = y + self.weight[back - j][None, None] * past
        kept = _of_episode(seen, episode, slice(steps, None), slice(-1, None))
        return jnp.moveaxis(kept, 0, 1), y

    def run_silu(
        self, window: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """silu of `run`: on a CPU in one pass, see `suasion.sequence._native`."""
        if suits(x, self.weight, self.bias, window):
            begun = jnp.zeros(x.shape[:2], bool) if start is None else start
            y, kept = convolve_silu(x, self.weight, self.bias, window, begun)
            return kept, y
        kept, y = self.run(window, x, start)
        return kept, jax.nn.silu(y)


def _of_episode(seen: Array, episode: Array | None, then: slice, now: slice) -> Array:
    """The inputs of `then`, zero where their episode is not that of `now`."""
    if episode is None:
        return seen[then]
    return jnp.where((episode[then] == episode[now])[..., None], seen[then], 0.0)
