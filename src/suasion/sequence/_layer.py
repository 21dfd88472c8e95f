"""What every layer of a sequence model can do, and how a new episode clears it.

Letters of the shapes: t steps, b batch, d channels.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from suasion.sequence._checks import check_kind, check_sequence, check_shape

Memory = Any


class Layer(eqx.Module):
    """A causal map of sequences with a memory. Concrete layers say how to start, how to recur and how to run.

    A sequence may be cut anywhere: with the memory that one part returns the next gives the numbers of the whole.
    """

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """Channels d, of inputs and of outputs."""

    @abc.abstractmethod
    def initial(self, batch: int) -> Memory:
        """The memory at the start of an episode, a tree of arrays [b, ...], all zero."""

    @abc.abstractmethod
    def recur(self, memory: Memory, x: Float[Array, "b d"]) -> tuple[Memory, Float[Array, "b d"]]:
        """One step, from a memory that is cleared already where an episode starts."""

    @abc.abstractmethod
    def run(
        self, memory: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """All steps: equal to `recur` step after step, with the memory cleared where `start`; nowhere if None."""

    def step(
        self, memory: Memory, x: Float[Array, "b d"], start: Bool[Array, " b"] | None = None
    ) -> tuple[Memory, Float[Array, "b d"]]:
        """One step, to act or to generate.

        Args:
            memory: `initial`, or what the step before returned.
            x: input.
            start: true where a new episode begins with this very input; nowhere if None.

        Returns:
            The memory for the next step, and the output.
        """
        return self.recur(memory if start is None else clear(start, memory), x)

    def scan(
        self, memory: Memory, x: Float[Array, "_ _ _"], start: Bool[Array, "_ _"] | None = None
    ) -> tuple[Memory, Float[Array, "_ _ _"]]:
        """All steps at once, to learn or to read a prompt: the outputs of `step` repeated.

        Args:
            memory: `initial`, or what an earlier part returned.
            x: inputs, [t, b, d].
            start: true where a new episode begins with this very input, [t, b]; nowhere if None.

        Returns:
            The memory after the last step, and all outputs.

        Raises:
            ValueError: no steps, shapes that disagree, or a `start` that is not of bool.
        """
        check_sequence("x", x, self.width)
        if start is not None:
            check_shape("start", start, x.shape[:2])
            check_kind("start", start, bool)
        self.check_memory(memory, x.shape[1])
        return self.run(memory, x, start)

    def check_memory(self, memory: Memory, batch: int) -> None:
        """Refuse a memory that is not this layer's, or is of another batch.

        Raises:
            ValueError: with what it is, and what it must be.
        """
        expected = jax.eval_shape(lambda: self.initial(batch))
        have, need = (str(jax.tree.structure(tree)) for tree in (memory, expected))
        if have != need:
            raise ValueError(f"memory is {have}: must be {need}")
        for leaf, must in zip(jax.tree.leaves(memory), jax.tree.leaves(expected), strict=True):
            check_shape("memory", leaf, must.shape)


def clear(start: Bool[Array, " b"], memory: Memory) -> Memory:
    """The memory, zero where an episode starts: by `where`, so that no NaN crosses."""
    return jax.tree.map(lambda m: jnp.where(start.reshape((-1,) + (1,) * (m.ndim - 1)), jnp.zeros_like(m), m), memory)


def uniform(key: Key[Array, ""], fan_in: int, shape: tuple[int, ...]) -> Array:
    """Uniform on +-1/sqrt(fan_in)."""
    bound = fan_in**-0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def check_size(name: str, value: int, least: int = 1) -> None:
    """Refuse a size that makes no layer.

    Raises:
        ValueError: with its name and value.
    """
    if value < least:
        raise ValueError(f"{name} is {value}: must be at least {least}")


def log_steps(key: Key[Array, ""], size: int) -> Array:
    """Logarithms of first steps: uniform between those of 0.001 and 0.1, as in S4 and Mamba."""
    return jax.random.uniform(key, (size,), minval=jnp.log(1e-3), maxval=jnp.log(1e-1))


def product(x: Float[Array, "*t b i"], weight: Float[Array, "i o"]) -> Float[Array, "*t b o"]:
    """One product over all steps, so that its gradient is one as well, without a transpose."""
    return (x.reshape(-1, x.shape[-1]) @ weight).reshape(*x.shape[:-1], weight.shape[1])
