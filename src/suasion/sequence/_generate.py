r"""Text from a language model: a prompt read in pieces, then one token after the other.

A prompt of any length is read in pieces of one size, and its rest in powers of two; so there are few shapes to compile
for. What comes after it is one `lax.scan`: reading the last token, drawing the next.

Letters of the shapes: t steps of a prompt, n of what is generated, b batch, v tokens of the vocabulary, k of them kept.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key

from suasion.sequence._language import MambaLM, check_tokens
from suasion.sequence._layer import Memory, check_size

_COLDEST, _HOTTEST = 1e-6, 1e6


@dataclass(frozen=True, kw_only=True)
class Sampling:
    r"""How the next token is drawn from its logits.

    They are divided by the temperature; the `top_k` likeliest stay; of these the fewest stay whose probabilities, after
    the cut before, reach `top_p`; and what stays is drawn from in proportion. Of equal logits the lower token is the
    likelier.

    Attributes:
        temperature: 0 takes the likeliest token, always; else from 1e-6 to 1e6, and 1 is what the model says.
        top_k: all if None.
        top_p: within (0, 1]; all if None.

    Raises:
        ValueError: a number out of range.

    References:
        Fan et al. (2018), top-k; Holtzman et al. (2020), top-p.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature != 0 and not _COLDEST <= self.temperature <= _HOTTEST:
            raise ValueError(f"temperature is {self.temperature}: must be 0, or from {_COLDEST} to {_HOTTEST}")
        if self.top_k is not None:
            check_size("top_k", self.top_k)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: must be above 0, and at most 1")

    @property
    def greedy(self) -> bool:
        """Nothing is drawn."""
        return self.temperature == 0

    def check(self, vocabulary: int) -> None:
        """Refuse a vocabulary that is too small for it.

        Raises:
            ValueError: `top_k` is larger.
        """
        if self.top_k is not None and self.top_k > vocabulary:
            raise ValueError(f"top_k is {self.top_k}: must be at most the vocabulary's {vocabulary}")


class Generated(NamedTuple):
    """What came after a prompt.

    Attributes:
        tokens: in the order of their drawing.
        memory: the model's, before it reads the last of these: to go on, the last one is the next prompt.
    """

    tokens: Integer[Array, "n b"]
    memory: Memory


class _Cut(eqx.Module):
    """`Sampling` for a compiler: what changes shapes is static, the numbers are not."""

    temperature: Float[Array, ""]
    top_p: Float[Array, ""] | None
    top_k: int | None = eqx.field(static=True)
    greedy: bool = eqx.field(static=True)

    @staticmethod
    def of(sampling: Sampling) -> _Cut:
        top_p = None if sampling.top_p in (None, 1.0) else jnp.float32(sampling.top_p)
        return _Cut(jnp.float32(sampling.temperature), top_p, sampling.top_k, sampling.greedy)

    def kept(self, logits: Float[Array, "b v"]) -> tuple[Float[Array, "b k"], Integer[Array, "b k"] | None]:
        """Logits of what may be drawn (-inf: may not), and which tokens they are of; of all, in order, if None."""
        scaled = (logits - jnp.max(logits, -1, keepdims=True)) / self.temperature
        if self.top_k is None and self.top_p is None:
            return scaled, None
        sorted_, tokens = jax.lax.top_k(scaled, self.top_k or logits.shape[-1])
        if self.top_p is not None:
            before = jnp.cumsum(jax.nn.softmax(sorted_, -1), -1)[:, :-1]  # the mass of the likelier ones
            stays = jnp.pad(before < self.top_p, ((0, 0), (1, 0)), constant_values=True)
            sorted_ = jnp.where(stays, sorted_, -jnp.inf)
        return sorted_, tokens

    def draw(self, key: Key[Array, ""], logits: Float[Array, "b v"]) -> Integer[Array, " b"]:
        """One token for each sequence."""
        if self.greedy:
            return jnp.argmax(logits, -1).astype(jnp.int32)
        kept, tokens = self.kept(logits)
        place = jax.random.categorical(key, kept, -1)
        drawn = place if tokens is None else jnp.take_along_axis(tokens, place[:, None], -1)[:, 0]
        return drawn.astype(jnp.int32)


def sample(key: Key[Array, ""], logits: Float[Array, "b v"], sampling: Sampling) -> Integer[Array, " b"]:
    """The next token of each sequence, drawn from its logits; independent of each other.

    Raises:
        ValueError: `top_k` is larger than the vocabulary.
    """
    sampling.check(logits.shape[-1])
    return _Cut.of(sampling).draw(key, logits)


def prefill(
    model: MambaLM, prompt: Integer[Array, "..."], *, memory: Memory | None = None, chunk: int = 256
) -> tuple[Memory, Float[Array, "b v"]]:
    """Read a prompt, compiled, in pieces: of `chunk` tokens, and powers of two for the rest.

    Args:
        model: the language model.
        prompt: [t, b].
        memory: of what was read before; `model.initial` if None.
        chunk: tokens of a piece. It changes time and memory, and the numbers by rounding only.

    Returns:
        The memory after the prompt, and the logits of the next token.

    Raises:
        ValueError: no tokens, more than `longest`, one out of range, a memory of another batch, or a chunk below 1.
    """
    check_size("chunk", chunk)
    check_tokens("prompt", prompt, model.config)
    now = model.initial(prompt.shape[1]) if memory is None else memory
    place = 0
    for size in pieces(prompt.shape[0], chunk):
        now, logits = _read(model, now, prompt[place : place + size])
        place += size
    return now, logits


def pieces(length: int, chunk: int) -> Iterator[int]:
    """Sizes whose sum is the length: `chunk`, as often as it fits, and falling powers of two."""
    yield from (chunk for _ in range(length // chunk))
    rest = length % chunk
    yield from (1 << bit for bit in reversed(range(rest.bit_length())) if rest >> bit & 1)


def generate(
    model: MambaLM,
    prompt: Integer[Array, "..."],
    length: int,
    *,
    key: Key[Array, ""] | None = None,
    sampling: Sampling = Sampling(),
    memory: Memory | None = None,
    chunk: int = 256,
) -> Generated:
    """Go on with a prompt, token after token, each drawn from what the model says after all before it.

    Equal keys give equal tokens, and the first of them do not depend on how many follow. The loop is compiled once for
    each length, batch and kind of sampling; temperature and `top_p` are numbers in it.

    Args:
        model: the language model.
        prompt: [t, b].
        length: n, tokens to generate.
        key: of the random numbers; not needed where sampling is greedy.
        sampling: how a token is drawn.
        memory: of what was read before; `model.initial` if None.
        chunk: see `prefill`.

    Raises:
        ValueError: as `prefill`; a length below 1, prompt and length together above the model's `longest`, no key where
            one is needed, `top_k` above the vocabulary, or logits that are not finite, with their place.

    Example:
        To go on after that: `generate(model, found.tokens[-1:], 100, memory=found.memory, key=another)`.
    """
    length = operator.index(length)
    check_size("length", length)
    check_tokens("prompt", prompt, model.config)
    sampling.check(model.config.vocabulary)
    if prompt.shape[0] + length > model.config.longest:
        raise ValueError(
            f"a prompt of {prompt.shape[0]} tokens and {length} more: must be at most {model.config.longest} together"
        )
    if key is None and not sampling.greedy:
        raise ValueError("key is None: needed unless the temperature is 0")
    key = jax.random.key(0) if key is None else key  # nothing is drawn from it
    memory, logits = prefill(model, prompt, memory=memory, chunk=chunk)
    tokens, memory, sound = _decode(model, memory, logits, key, _Cut.of(sampling), length)
    wrong = np.flatnonzero(~np.asarray(sound))
    if len(wrong):
        raise ValueError(f"logits of token {wrong[0]} after the prompt are not finite: nor are weights or memory")
    return Generated(tokens, memory)


@eqx.filter_jit
def _read(model: MambaLM, memory: Memory, tokens: Array) -> tuple[Memory, Array]:
    return model.read(memory, tokens)


@eqx.filter_jit
def _decode(
    model: MambaLM, memory: Memory, logits: Array, key: Key[Array, ""], cut: _Cut, length: int
) -> tuple[Array, Memory, Array]:
    """Tokens, the memory before the last one is read, and whether the logits of each were finite."""

    def draw(place: int | Array, logits: Array) -> tuple[Array, Array]:
        return cut.draw(jax.random.fold_in(key, place), logits), jnp.isfinite(logits).all()

    def step(carry: tuple[Memory, Array], place: Array) -> tuple[tuple[Memory, Array], tuple[Array, Array]]:
        memory, logits = model.step(*carry)
        token, sound = draw(place, logits)
        return (memory, token), (token, sound)

    first, sound = draw(0, logits)
    (memory, _), (tokens, sounds) = jax.lax.scan(step, (memory, first), jnp.arange(1, length))
    join = functools.partial(jnp.concatenate, axis=0)
    return join([first[None], tokens]), memory, join([sound[None], sounds])
