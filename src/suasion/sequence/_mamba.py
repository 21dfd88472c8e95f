r"""The mixer of Mamba: projection, causal convolution, selective scan, gate, projection.

Letters of the shapes: t steps, b batch, d channels of the layer, e inner channels, n states of a channel, r rank of the
steps, w inputs in the window; g is 2 e, s is r + 2 n.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from suasion.sequence._convolution import CausalConvolution
from suasion.sequence._layer import Layer, Memory, check_size, log_steps, product, uniform
from suasion.sequence._scan import check_rule, scan, step
from suasion.sequence._step import Discretization


class MambaMemory(NamedTuple):
    """What a mixer carries: the convolution's window and the scan's state."""

    window: Float[Array, "b w e"]
    state: Float[Array, "b e n"]


class Mamba(Layer):
    r"""Mamba's mixer.

    $$(u, z) = x W_{in}, \quad v = \mathrm{silu}(\mathrm{conv}(u)), \quad (\rho, B, C) = v W_x, \quad
    \Delta = \mathrm{softplus}(\rho W_\Delta + b_\Delta),$$
    $$y = \big(\mathrm{scan}(v, \Delta, -e^{A_{log}}, B, C) + D v\big) \, \mathrm{silu}(z) \, W_{out}.$$

    Weight decay is not for `A_log`, `D` and `step_bias`.

    References:
        Gu & Dao (2023), section 3.4.
    """

    inward: Float[Array, "d g"]
    convolution: CausalConvolution
    select: Float[Array, "e s"]
    step_weight: Float[Array, "r e"]
    step_bias: Float[Array, " e"]
    A_log: Float[Array, "e n"]
    D: Float[Array, " e"]
    outward: Float[Array, "e d"]
    discretization: Discretization = eqx.field(static=True)

    @staticmethod
    def init(
        key: Key[Array, ""],
        *,
        width: int,
        expand: int = 2,
        states: int = 16,
        taps: int = 4,
        rank: int | None = None,
        gain: float = 1.0,
        discretization: str = "zoh",
    ) -> Mamba:
        r"""Fresh parameters, as in the paper's code.

        A is -1 ... -n in every channel (S4D-real). The first steps are log-uniform on [0.001, 0.1], put into
        `step_bias` through the inverse of softplus.

        Args:
            key: of the random numbers.
            width: d.
            expand: e / d.
            states: n.
            taps: k.
            rank: r; d / 16, rounded up, if None.
            gain: of the part of $W_x$ from which B and C come, positive. What a fresh layer remembers counts in its
                output as $\Delta B C$: with 1, about 1e-4 of what it sees.
            discretization: `zoh` or `euler`, see `selective_scan`.

        Raises:
            ValueError: a size below 1, a gain that is not positive, or an unknown rule.
        """
        if not 0 < gain < math.inf:
            raise ValueError(f"gain is {gain}: must be positive")
        rank = math.ceil(width / 16) if rank is None else rank
        sizes = {"width": width, "expand": expand, "states": states, "taps": taps, "rank": rank}
        for name, value in sizes.items():
            check_size(name, value)
        inner = expand * width
        key_in, key_conv, key_select, key_step, key_bias, key_out = jax.random.split(key, 6)
        first = jnp.exp(log_steps(key_bias, inner))
        select = uniform(key_select, inner, (inner, rank + 2 * states))
        return Mamba(
            inward=uniform(key_in, width, (width, 2 * inner)),
            convolution=CausalConvolution.init(key_conv, channels=inner, taps=taps),
            select=select.at[:, rank:].multiply(gain),
            step_weight=uniform(key_step, rank, (rank, inner)),
            step_bias=first + jnp.log(-jnp.expm1(-first)),
            A_log=jnp.tile(jnp.log(jnp.arange(1.0, states + 1))[None], (inner, 1)),
            D=jnp.ones(inner),
            outward=uniform(key_out, inner, (inner, width)),
            discretization=check_rule(discretization),
        )

    @property
    def width(self) -> int:
        """Channels d."""
        return self.inward.shape[0]

    def initial(self, batch: int) -> Memory:
        """An empty window and a state of zero."""
        return MambaMemory(self.convolution.initial(batch), jnp.zeros((batch, *self.A_log.shape), self.A_log.dtype))

    def recur(self, memory: Memory, x: Float[Array, "b d"]) -> tuple[Memory, Float[Array, "b d"]]:
        """One step."""
        u, gate = jnp.split(x @ self.inward, 2, -1)
        window, v = self.convolution.recur(memory.window, u)
        v = jax.nn.silu(v)
        delta, B, C = self._choose(v)
        y, state = step(self.discretization, v, delta, -jnp.exp(self.A_log), B, C, self.D, memory.state)
        return MambaMemory(window, state), (y * jax.nn.silu(gate)) @ self.outward

    def run(
        self, memory: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """All steps: products over all of them at once, and the scan."""
        inner = self.D.shape[0]
        # Two products: to split one array, and to put its gradient together again, takes as long as the second.
        u, gate = product(x, self.inward[:, :inner]), product(x, self.inward[:, inner:])
        window, v = self.convolution.run_silu(memory.window, u, start)
        delta, B, C = self._choose(v)
        y, state = scan(self.discretization, v, delta, -jnp.exp(self.A_log), B, C, self.D, memory.state, start)
        return MambaMemory(window, state), product(y * jax.nn.silu(gate), self.outward)

    def _choose(self, v: Float[Array, "*t b e"]) -> tuple[Array, Array, Array]:
        """Steps, input weights and output weights, from the input."""
        rank, states = self.step_weight.shape[0], self.A_log.shape[1]
        low, B, C = jnp.split(product(v, self.select), (rank, rank + states), -1)
        bias = self.step_bias.reshape((1,) * (v.ndim - 1) + (-1,))
        return jax.nn.softplus(product(low, self.step_weight) + bias), B, C
