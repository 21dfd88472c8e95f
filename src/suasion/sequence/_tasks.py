"""Tasks for sequence models whose data are drawn: pure functions of a key.

Letters of the shapes: t steps, b batch, i numbers at a step, k tokens to copy, p positions.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

LONGEST = 2**16  # steps of a sequence
_EVALUATED = 512  # sequences that an evaluation draws


class Batch(NamedTuple):
    """Sequences, and what is asked of them.

    Attributes:
        u: symbols, or numbers.
        target: the right class at every step; 0 where none is asked.
        asked: where one is.
    """

    u: Int[Array, "t b"] | Float[Array, "t b i"]
    target: Int[Array, "t b"]
    asked: Bool[Array, "t b"]


class Task(eqx.Module):
    """What a stack is trained on: classes to tell at some steps of sequences of one length."""

    @property
    @abc.abstractmethod
    def inputs(self) -> int:
        """Kinds of symbols, or numbers at a step."""

    @property
    @abc.abstractmethod
    def classes(self) -> int:
        """Kinds of answers."""

    @property
    def symbols(self) -> bool:
        """Whether inputs are symbols, rather than numbers."""
        return True

    @property
    @abc.abstractmethod
    def length(self) -> int:
        """Steps of a sequence."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], batch: int) -> Batch:
        """Sequences to learn from: equal keys, equal sequences."""

    @abc.abstractmethod
    def held_out(self) -> Batch:
        """Sequences to be judged by, always the same."""

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Name and numbers, all that the data depend on, as JSON values."""


class SelectiveCopying(Task):
    """Tokens lie at random places among noise; after the last place they are to be told in their order.

    Symbols 0 ... n - 1 are tokens, n is noise, n + 1 asks. A system whose step does not depend on the input has to tell
    tokens from noise by their places, which are different every time.

    Attributes:
        tokens: kinds of tokens n.
        copied: tokens in a sequence k.
        positions: places p; a sequence has p + k steps.

    Raises:
        ValueError: a number out of range.

    References:
        Gu & Dao (2023), section 3.1.
    """

    tokens: int = eqx.field(static=True, default=8)
    copied: int = eqx.field(static=True, default=4)
    positions: int = eqx.field(static=True, default=64)

    def __check_init__(self) -> None:
        at_least("tokens", self.tokens, 2)
        at_least("copied", self.copied, 1)
        if self.positions < self.copied:
            raise ValueError(f"positions is {self.positions}: {self.copied} tokens need at least as many")
        check_length(self.length)

    @property
    def inputs(self) -> int:
        """Tokens, noise and the question."""
        return self.tokens + 2

    @property
    def classes(self) -> int:
        """Tokens."""
        return self.tokens

    @property
    def length(self) -> int:
        """Steps p + k."""
        return self.positions + self.copied

    def draw(self, key: Key[Array, ""], batch: int) -> Batch:
        """Places are a uniform subset, tokens independent and uniform."""
        key_place, key_token = jax.random.split(key)
        order = jnp.argsort(jax.random.uniform(key_place, (self.positions, batch)), 0)
        place = jnp.sort(order[: self.copied], 0)
        token = jax.random.randint(key_token, (self.copied, batch), 0, self.tokens)
        shown = jnp.full((self.positions, batch), self.tokens).at[place, jnp.arange(batch)[None]].set(token)
        target = jnp.zeros((self.length, batch), token.dtype).at[self.positions :].set(token)
        question = jnp.full_like(token, self.tokens + 1)
        return Batch(jnp.concatenate([shown, question]), target, _at_the_end(self.length, batch, self.copied))

    def held_out(self) -> Batch:
        """Drawn once."""
        return self.draw(_other_key(), _EVALUATED)

    def to_json(self) -> dict[str, Any]:
        """Its numbers."""
        sizes = {"tokens": self.tokens, "copied": self.copied, "positions": self.positions}
        return {"name": "selective-copying", **sizes}


class Induction(Task):
    """A mark occurs once among random symbols, and again at the end: what followed it the first time?

    Symbols 0 ... n - 1 are the ordinary ones, n is the mark. Two layers can do it: one that knows what lies one step
    back, and one that keeps what followed the mark.

    Attributes:
        ordinary: kinds of ordinary symbols n.
        steps: of a sequence, the second mark included.

    Raises:
        ValueError: a number out of range.

    References:
        Olsson et al. (2022); Gu & Dao (2023), section 4.1.2.
    """

    ordinary: int = eqx.field(static=True, default=15)
    steps: int = eqx.field(static=True, default=64)

    def __check_init__(self) -> None:
        at_least("ordinary", self.ordinary, 2)
        at_least("steps", self.steps, 3)
        check_length(self.length)

    @property
    def inputs(self) -> int:
        """Ordinary symbols and the mark."""
        return self.ordinary + 1

    @property
    def classes(self) -> int:
        """Ordinary symbols."""
        return self.ordinary

    @property
    def length(self) -> int:
        """Steps."""
        return self.steps

    def draw(self, key: Key[Array, ""], batch: int) -> Batch:
        """The first mark's place is uniform on 0 ... steps - 3, symbols are independent and uniform."""
        key_place, key_symbol = jax.random.split(key)
        place = jax.random.randint(key_place, (batch,), 0, self.length - 2)
        symbol = jax.random.randint(key_symbol, (self.length, batch), 0, self.ordinary)
        row = jnp.arange(batch)
        u = symbol.at[place, row].set(self.ordinary).at[-1].set(self.ordinary)
        target = jnp.zeros_like(symbol).at[-1].set(symbol[place + 1, row])
        return Batch(u, target, _at_the_end(self.length, batch, 1))

    def held_out(self) -> Batch:
        """Drawn once."""
        return self.draw(_other_key(), _EVALUATED)

    def to_json(self) -> dict[str, Any]:
        """Its numbers."""
        return {"name": "induction", "ordinary": self.ordinary, "length": self.length}


def check_length(length: int) -> None:
    """Refuse a sequence that is too long.

    Raises:
        ValueError: above 65,536 steps.
    """
    if length > LONGEST:
        raise ValueError(f"a sequence has {length:,} steps: must be at most {LONGEST:,}")


def at_least(name: str, value: int, least: int) -> None:
    """Refuse a number that makes no task.

    Raises:
        ValueError: with its name and value.
    """
    if value < least:
        raise ValueError(f"{name} is {value}: must be at least {least}")


def _at_the_end(length: int, batch: int, count: int) -> Bool[Array, "t b"]:
    return jnp.tile((jnp.arange(length) >= length - count)[:, None], (1, batch))


def _other_key() -> Key[Array, ""]:
    """Of what is held out. Keys to learn by are folded from seeds: none of them is this one."""
    return jax.random.fold_in(jax.random.key(2**31 - 1), 2**31 - 1)
