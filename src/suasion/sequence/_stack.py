"""A stack: an input, blocks one after the other, and a head that reads them.

Letters of the shapes: t steps, b batch, i input symbols or numbers, d channels, c classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from suasion.sequence._block import Block, RMSNorm
from suasion.sequence._diagonal import MinGRU
from suasion.sequence._layer import Layer, Memory, check_size, product, uniform
from suasion.sequence._lstm import LSTM
from suasion.sequence._mamba import Mamba
from suasion.sequence._time_invariant import S4D

CORES: Mapping[str, Callable[..., Layer]] = {
    "mamba": Mamba.init,
    "s4d": S4D.init,
    "diagonal": MinGRU.init,
    "lstm": LSTM.init,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a stack is made of.

    Attributes:
        core: `mamba`, `s4d`, `diagonal` (`MinGRU`) or `lstm`, each with the sizes that it has by itself.
        width: channels d.
        layers: blocks.

    Raises:
        ValueError: an unknown core, or a size below 1.
    """

    core: str = "mamba"
    width: int = 32
    layers: int = 2

    def __post_init__(self) -> None:
        if self.core not in CORES:
            raise ValueError(f"core is {self.core!r}: must be one of {', '.join(CORES)}")
        check_size("width", self.width)
        check_size("layers", self.layers)


class Stack(eqx.Module):
    r"""$x_0 = \mathrm{in}(u)$, $x_k = \mathrm{block}_k(x_{k-1})$, scores of classes $\mathrm{norm}(x_n) W + b$.

    Symbols enter as rows of `inward`; numbers by its product and `inward_bias`, without which a norm would hide the
    size of a single number.
    """

    inward: Float[Array, "i d"]
    inward_bias: Float[Array, " d"] | None
    blocks: tuple[Block, ...]
    norm: RMSNorm
    outward: Float[Array, "d c"]
    outward_bias: Float[Array, " c"]

    @staticmethod
    def init(
        key: Key[Array, ""], architecture: Architecture, *, inputs: int, classes: int, symbols: bool = True
    ) -> Stack:
        """Fresh parameters.

        Args:
            key: of the random numbers.
            architecture: the blocks.
            inputs: i, kinds of symbols, or numbers that enter at a step.
            classes: c.
            symbols: whether inputs are symbols.

        Raises:
            ValueError: a size below 1.
        """
        check_size("inputs", inputs)
        check_size("classes", classes)
        width = architecture.width
        key_in, key_bias, key_out, key_blocks = jax.random.split(key, 4)
        make = CORES[architecture.core]
        return Stack(
            inward=jax.random.normal(key_in, (inputs, width)),
            inward_bias=None if symbols else jax.random.normal(key_bias, (width,)),
            blocks=tuple(
                Block.init(make(each, width=width)) for each in jax.random.split(key_blocks, architecture.layers)
            ),
            norm=RMSNorm.init(width),
            outward=uniform(key_out, width, (width, classes)),
            outward_bias=jnp.zeros(classes),
        )

    def initial(self, batch: int) -> Memory:
        """The memories of all blocks at the start."""
        return tuple(block.initial(batch) for block in self.blocks)

    def step(self, memory: Memory, u: Int[Array, " b"] | Float[Array, "b i"]) -> tuple[Memory, Float[Array, "b c"]]:
        """One step, to generate: the memory for the next, and the scores."""
        x, after = self._enter(u), []
        for block, before in zip(self.blocks, memory, strict=True):
            kept, x = block.step(before, x)
            after.append(kept)
        return tuple(after), self.norm(x) @ self.outward + self.outward_bias[None]

    def scan(
        self, memory: Memory, u: Int[Array, "t b"] | Float[Array, "t b i"], start: Bool[Array, "t b"] | None = None
    ) -> tuple[Memory, Float[Array, "t b c"]]:
        """All steps at once: `step` repeated.

        Args:
            memory: `initial`, or what an earlier part returned.
            u: symbols, or numbers.
            start: true where a new episode begins with this very input; nowhere if None.

        Raises:
            ValueError: a symbol that there is not, with its place (not under `jit`); or shapes that disagree.
        """
        x, after = self._enter(u), []
        for block, before in zip(self.blocks, memory, strict=True):
            kept, x = block.scan(before, x, start)
            after.append(kept)
        return tuple(after), product(self.norm(x), self.outward) + self.outward_bias[None, None]

    def _enter(self, u: Any) -> Array:
        if self.inward_bias is not None:
            return product(u, self.inward) + self.inward_bias.reshape((1,) * (u.ndim - 1) + (-1,))
        if not isinstance(u, jax.core.Tracer):
            check_symbols(u, len(self.inward))
        return self.inward[u]


def check_symbols(u: Int[Array, "..."], count: int) -> None:
    """Refuse what is no symbol.

    Raises:
        ValueError: with its place.
    """
    wrong = np.argwhere((np.asarray(u) < 0) | (np.asarray(u) >= count))
    if wrong.size:
        place = tuple(int(i) for i in wrong[0])
        raise ValueError(f"u[{', '.join(map(str, place))}] is {int(u[place])}: must be within 0 and {count - 1}")
