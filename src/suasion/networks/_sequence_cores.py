r"""Cores whose recurrence is linear in the memory: diagonal, S4D, Mamba.

What is not linear is done for all steps at once, outside the recurrence. The layers are those of `suasion.sequence`.

Letters of the shapes: as in `suasion.networks._core`.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from suasion.networks._core import Core, InputProduct, Memory
from suasion.sequence import S4D, Block, CausalConvolution, Layer, Mamba, gated_unit

_LONGEST = 32.0  # steps: the longest memory of a fresh diagonal core
_TAPS = 4
_GAIN = 10.0  # of Mamba's fresh B and C, which are of the order of 1 then


class Diagonal(Core):
    r"""A gated core whose gates do not see the memory: what is left of an LSTM where speed is all.

    $(s, u, o) = d_t$; $c = \mathrm{conv}(u)$; $h_t = (1 - \sigma(s)) \, h_{t-1} + \sigma(s) \, c$;
    $y_t = \sigma(o) \tanh h_t$.

    The only product is the input's. The convolution sees the last four steps, unit by unit, and tells their order,
    which averages that merely decay hardly do. Fresh units forget within 1 to 32 steps, in equal ratios.

    References:
        Feng et al. (2024), minGRU; De et al. (2024), Griffin, for the convolution in front of a gated average.
    """

    product: InputProduct
    convolution: CausalConvolution

    @staticmethod
    def init(key: Key[Array, ""], *, features: int, rows: int, width: int) -> Diagonal:
        """Fresh parameters, uniform on +-1/sqrt(width)."""
        key_product, key_convolution = jax.random.split(key)
        product = InputProduct.init(key_product, features=features, rows=rows, drive=3 * width, width=width)
        slowness = jnp.linspace(0.0, math.log(_LONGEST), width)
        bias = product.bias.at[:width].set(-slowness)
        return Diagonal(
            product=InputProduct(features=product.features, table=product.table, bias=bias),
            convolution=CausalConvolution.init(key_convolution, channels=width, taps=_TAPS),
        )

    @property
    def width(self) -> int:
        """Number of outputs."""
        return self.product.bias.shape[0] // 3

    def initial(self, batch: int) -> Memory:
        """An empty window of the convolution, and a state of zero [b, y]."""
        return self.convolution.initial(batch), jnp.zeros((batch, self.width))

    def recur(self, memory: Memory, drive: Float[Array, "b g"]) -> tuple[Memory, Float[Array, "b y"]]:
        """One step."""
        window, h = memory
        s, u, o = jnp.split(drive, 3, -1)
        window, c = self.convolution.recur(window, u)
        h = jax.nn.sigmoid(-s) * h + jax.nn.sigmoid(s) * c
        return (window, h), _gated(h, o)

    def run(
        self, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]
    ) -> tuple[Memory, Float[Array, "t b y"]]:
        """All steps; one after the other only an addition and a product of each unit."""
        window, h = memory
        y, window, h = gated_unit(drive, self.convolution, window, h, start)
        return (window, h), y


def _gated(h: Array, o: Array) -> Array:
    """sigma(o) tanh h, with the hyperbolic tangent for both, which a CPU does fast."""
    return (0.5 + 0.5 * jnp.tanh(0.5 * o)) * jnp.tanh(h)


class SequenceCore(Core):
    r"""The residual block of a sequence model as a memory: $(m_t, y_t) = \mathrm{block}(m_{t-1}, d_t)$.

    The drive is as wide as the output. The start of an episode clears all that the layer carries: Mamba's state and the
    window of its convolution.
    """

    product: InputProduct
    layer: Layer

    @staticmethod
    def s4d(key: Key[Array, ""], *, features: int, rows: int, width: int) -> SequenceCore:
        r"""$y = d + \mathrm{s4d}(\mathrm{norm}(d))$: it cannot choose what to remember. S4D-Lin, 16 modes a unit.

        References:
            Gu, Gupta, Goel & Ré (2022).
        """
        key_product, key_layer = jax.random.split(key)
        product = InputProduct.init(key_product, features=features, rows=rows, drive=width, width=width)
        return SequenceCore(product=product, layer=Block.init(S4D.init(key_layer, width=width)))

    @staticmethod
    def mamba(key: Key[Array, ""], *, features: int, rows: int, width: int) -> SequenceCore:
        r"""$y = d + \mathrm{mamba}(\mathrm{norm}(d))$, in the sizes of the paper: twice as wide inside, 16 states.

        The rule is Euler's, as in all published code; it takes less time than zero-order hold. B and C begin ten
        times as large as there: what a fresh layer then knows of an input ten steps ago is 0.6 % of its output (an
        LSTM 5 %), and not 0.01 %, which no policy gradient finds in its noise.

        References:
            Gu & Dao (2023).
        """
        key_product, key_layer = jax.random.split(key)
        product = InputProduct.init(key_product, features=features, rows=rows, drive=width, width=width)
        layer = Mamba.init(key_layer, width=width, gain=_GAIN, discretization="euler")
        return SequenceCore(product=product, layer=Block.init(layer))

    @property
    def width(self) -> int:
        """Number of outputs."""
        return self.layer.width

    def initial(self, batch: int) -> Memory:
        """That of the layer: zero."""
        return self.layer.initial(batch)

    def recur(self, memory: Memory, drive: Float[Array, "b g"]) -> tuple[Memory, Float[Array, "b y"]]:
        """One step."""
        return self.layer.recur(memory, drive)

    def run(
        self, memory: Memory, drive: Float[Array, "t b g"], start: Bool[Array, "t b"]
    ) -> tuple[Memory, Float[Array, "t b y"]]:
        """All steps at once."""
        return self.layer.run(memory, drive, start)
