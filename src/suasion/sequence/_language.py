r"""A language model of Mamba blocks.

$$h^0_t = E_{x_t}, \qquad h^l = h^{l-1} + \mathrm{mixer}_l(\mathrm{norm}_l(h^{l-1})), \qquad
p(x_{t+1} \mid x_{\le t}) = \mathrm{softmax}\,(\mathrm{norm}(h^L_t) \, W), \qquad W = E^\top \text{ if tied.}$$

Letters of the shapes: t steps, b batch, d channels, v tokens of the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Key

from suasion.sequence._block import Block, RMSNorm
from suasion.sequence._layer import Memory, check_size, product, uniform
from suasion.sequence._mamba import Mamba
from suasion.sequence._scan import check_rule

_SPREAD = 0.02  # standard deviation of fresh embeddings


@dataclass(frozen=True, kw_only=True)
class MambaLMConfig:
    """The sizes of a language model.

    Attributes:
        vocabulary: tokens are 0 ... vocabulary - 1.
        width: channels d between the blocks.
        layers: blocks.
        expand: channels of a mixer, in units of the width.
        states: of each channel of a mixer.
        taps: of a mixer's convolution.
        rank: of a mixer's steps; width / 16, rounded up, if None.
        tied: the head is the embedding, transposed.
        discretization: see `selective_scan`; published weights mean `euler`, and on a CPU it is the faster one.
        epsilon: of the norms, in units of a mean square.
        longest: tokens of one call at most: a sequence to learn from, or a prompt with what is generated after it.

    Raises:
        ValueError: a size below 1, an unknown rule, an epsilon that is not positive.
    """

    vocabulary: int
    width: int
    layers: int
    expand: int = 2
    states: int = 16
    taps: int = 4
    rank: int | None = None
    tied: bool = True
    discretization: str = "euler"
    epsilon: float = 1e-5
    longest: int = 2**20

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "layers", "expand", "states", "taps", "longest"):
            check_size(name, getattr(self, name))
        if self.rank is not None:
            check_size("rank", self.rank)
        check_rule(self.discretization)
        if not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon is {self.epsilon}: must be positive and finite")

    @property
    def inner(self) -> int:
        """Channels of a mixer."""
        return self.expand * self.width

    @property
    def step_rank(self) -> int:
        """The rank that is meant."""
        return math.ceil(self.width / 16) if self.rank is None else self.rank


class MambaLM(eqx.Module):
    """A language model: logits of the next token, for all steps at once or step by step, with the same numbers.

    Its memory is the tuple of its blocks' memories. A sequence may be cut anywhere, if the memory goes along.

    References:
        Gu & Dao (2023), sections 3.4 and 4.2.
    """

    embedding: Float[Array, "v d"]
    blocks: tuple[Block, ...]
    norm: RMSNorm
    head: Float[Array, "d v"] | None
    config: MambaLMConfig = eqx.field(static=True)

    @staticmethod
    def init(key: Key[Array, ""], config: MambaLMConfig) -> MambaLM:
        """Fresh parameters, as in the paper's code.

        Embeddings are normal with deviation 0.02; the last product of each mixer is divided by the root of the number
        of layers, so that the sum over all of them starts as large as one.
        """
        key_embedding, key_head, *keys = jax.random.split(key, config.layers + 2)
        v, d = config.vocabulary, config.width
        return MambaLM(
            embedding=_SPREAD * jax.random.normal(key_embedding, (v, d)),
            blocks=tuple(_fresh(key, config) for key in keys),
            norm=RMSNorm(jnp.ones(d), config.epsilon),
            head=None if config.tied else uniform(key_head, d, (d, v)),
            config=config,
        )

    def initial(self, batch: int) -> Memory:
        """The memory at the start of a text."""
        return tuple(block.initial(batch) for block in self.blocks)

    def step(
        self, memory: Memory, token: Integer[Array, "..."], start: Bool[Array, " b"] | None = None
    ) -> tuple[Memory, Float[Array, "b v"]]:
        """Read one token of each sequence.

        Args:
            memory: `initial`, or what the step before returned.
            token: [b].
            start: true where a new text begins with this very token; nowhere if None.

        Returns:
            The memory for the next step, and the logits of the next token.

        Raises:
            ValueError: as `scan`.
        """
        check_tokens("token", token, self.config, axes=("sequences",))
        self._check_memory(memory)
        h, after = self._embed(token), []
        for block, before in zip(self.blocks, memory, strict=True):
            block.check_memory(before, token.shape[0])
            kept, h = block.step(before, h, start)
            after.append(kept)
        return tuple(after), self._logits(h)

    def scan(
        self, memory: Memory, tokens: Integer[Array, "..."], start: Bool[Array, "..."] | None = None
    ) -> tuple[Memory, Float[Array, "t b v"]]:
        """Read all tokens: the logits of `step` repeated, at once.

        Args:
            memory: `initial`, or what an earlier part returned.
            tokens: [t, b].
            start: true where a new text begins with this very token, [t, b]; nowhere if None.

        Returns:
            The memory after the last token, and the logits of the next one after each.

        Raises:
            ValueError: no tokens, more than `config.longest`, one that is out of range, or shapes that disagree. Under
                `jit` the numbers are not known: there the outputs are NaN from a token out of range on.
        """
        memory, h = self.run(memory, tokens, start)
        return memory, self._logits(h)

    def read(self, memory: Memory, tokens: Integer[Array, "..."]) -> tuple[Memory, Float[Array, "b v"]]:
        """Read all tokens, for the logits after the last one only: what a prompt is for.

        Raises:
            ValueError: as `scan`.
        """
        memory, h = self.run(memory, tokens, None)
        return memory, self._logits(h[-1])

    def run(
        self, memory: Memory, tokens: Integer[Array, "..."], start: Bool[Array, "..."] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """`scan` up to the head: what the last block gives, not yet normed."""
        check_tokens("tokens", tokens, self.config)
        self._check_memory(memory)
        h, after = self._embed(tokens), []
        for block, before in zip(self.blocks, memory, strict=True):
            kept, h = block.scan(before, h, start)
            after.append(kept)
        return tuple(after), h

    def _check_memory(self, memory: Memory) -> None:
        if not isinstance(memory, tuple) or len(memory) != len(self.blocks):
            found = len(memory) if isinstance(memory, tuple) else f"a {type(memory).__name__}"
            raise ValueError(f"memory is {found}: must be a tuple of {len(self.blocks)} memories, one of each block")

    def _embed(self, tokens: Array) -> Array:
        """A row for each token; NaN where there is none, for JAX would take the nearest."""
        return self.embedding.at[tokens].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)

    def _logits(self, h: Float[Array, "*t b d"]) -> Float[Array, "*t b v"]:
        return product(self.norm(h), self.embedding.T if self.head is None else self.head)


def check_tokens(
    name: str, tokens: Array, config: MambaLMConfig, axes: tuple[str, ...] = ("steps", "sequences")
) -> None:
    """Refuse what is not tokens of this model.

    Raises:
        ValueError: another rank, an empty axis, more steps than `config.longest`; and, unless under `jit`,
            a token out of range, with its place.
    """
    if tokens.ndim != len(axes):
        raise ValueError(f"{name} has shape {tuple(tokens.shape)}: must be [{', '.join(axes)}]")
    for size, what in zip(tokens.shape, axes, strict=True):
        if size == 0:
            raise ValueError(f"{name} has shape {tuple(tokens.shape)}: no {what}")
    if axes[0] == "steps" and tokens.shape[0] > config.longest:
        raise ValueError(f"{name} has {tokens.shape[0]} steps: must be at most {config.longest}")
    if isinstance(tokens, jax.core.Tracer):
        return
    array = np.asarray(tokens)
    wrong = np.argwhere((array < 0) | (array >= config.vocabulary))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise ValueError(
            f"{name}[{', '.join(map(str, place))}] is {array[place]}: must be at least 0 and below {config.vocabulary}"
        )


def _fresh(key: Key[Array, ""], config: MambaLMConfig) -> Block:
    mixer = Mamba.init(
        key,
        width=config.width,
        expand=config.expand,
        states=config.states,
        taps=config.taps,
        rank=config.step_rank,
        discretization=config.discretization,
    )
    mixer = eqx.tree_at(lambda mixer: mixer.outward, mixer, mixer.outward / math.sqrt(config.layers))
    return Block(norm=RMSNorm(jnp.ones(config.width), config.epsilon), mixer=mixer)
