"""The part of a network that reads and remembers: encoder and core for all agents of a game at once.

Policies and models of other agents are a trunk with heads. Data go in and out with environments and agents as axes
[b, n]; inside, the axis g of independent parameters comes first, and m is what is left of [b, n].

Letters of the shapes: t steps, b environments, n agents, g sets of parameters, m rows of a set, d features,
y outputs of the core, k alternatives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from suasion.games import Spec
from suasion.networks._core import Core, CoreInput, Memory
from suasion.networks._cores import CORES, CoreKind
from suasion.networks._encoder import ClassEncoder, ConvolutionEncoder, Encoder
from suasion.networks._observation import Observation

EncoderKind = Literal["convolution", "classes"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk:
    """Sizes and kinds of an encoder and a core, and how they read observations.

    Attributes:
        spec: of the game.
        encoder: `convolution` (3 x 3 on colours) or `classes` (dense, on one-hot codes).
        filters: of the convolution.
        hidden: units of the dense layers after it; the last is the number d of features.
        core: the memory, a name in `CORES`.
        width: units of the memory.
        shared: one set of parameters for all agents, rather than one each.
        alphabets: the discrete inputs of the core: field of `Observation`, and size of its alphabet.

    Raises:
        ValueError: sizes that make no network, or a view too small for a convolution.
    """

    spec: Spec
    encoder: EncoderKind
    filters: int
    hidden: tuple[int, ...]
    core: CoreKind
    width: int
    shared: bool
    alphabets: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        check_sizes(self.encoder, self.filters, self.hidden, self.core, self.width)
        if self.encoder == "convolution" and min(self.spec.view) < 3:
            raise ValueError(
                f"a convolution needs a view of 3 x 3 or more, {self.spec.name} has {self.spec.view}: use classes"
            )

    @property
    def groups(self) -> int:
        """Number g of independent sets of parameters."""
        return 1 if self.shared else self.spec.agents

    def row(self, field: str, slot: int, symbol: int) -> int:
        """The table row by which the core reads that the agent in `slot` did `symbol`: for counterfactuals.

        Raises:
            ValueError: a field that the core does not read, a slot or a symbol that does not exist.
        """
        sizes, agents = dict(self.alphabets), self.spec.agents
        if field not in sizes:
            raise ValueError(f"the core does not read {field}; it reads {', '.join(sizes) or 'no actions'}")
        if not 0 <= slot < agents:
            raise ValueError(f"slot {slot} does not exist: {agents} agents have slots 0..{agents - 1}")
        if not 0 <= symbol < sizes[field]:
            raise ValueError(f"symbol {symbol} does not exist: {field} has 0..{sizes[field] - 1}")
        names = list(sizes)
        before = sum(sizes[name] for name in names[: names.index(field)])
        return agents * before + slot * sizes[field] + symbol

    def init_encoder(self, key: Key[Array, ""]) -> Encoder:
        """A fresh encoder for every set of parameters."""
        view, groups = self.spec.view, self.groups
        if self.encoder == "convolution":
            return ConvolutionEncoder.init(key, groups, view, self.filters, self.hidden)
        return ClassEncoder.init(key, groups, view, len(self.spec.classes), self.hidden)

    def init_core(self, key: Key[Array, ""]) -> Core:
        """A fresh core for every set of parameters."""
        rows = self.spec.agents * sum(size for _, size in self.alphabets)
        make = CORES[self.core]
        return jax.vmap(lambda k: make(k, features=self.hidden[-1], rows=rows, width=self.width))(
            jax.random.split(key, self.groups)
        )

    def initial(self, core: Core, environments: int) -> Memory:
        """The memory of all agents at the start of an episode, a tree of arrays [b, n, ...]."""
        batch = environments * self.spec.agents // self.groups
        return self._memory_out(jax.vmap(lambda core: core.initial(batch))(core), 0)

    def features(self, encoder: Encoder, observation: Observation) -> Float[Array, "g *t m d"]:
        """The encoder alone, sets of parameters first."""
        codes = self.by_group(observation.codes, 3)
        flat = codes.reshape(codes.shape[0], -1, *codes.shape[-2:])
        return encoder(flat, self.spec.colours).reshape(*codes.shape[:-2], -1)

    def step(
        self,
        core: Core,
        memory: Memory,
        features: Float[Array, "g m d"],
        observation: Observation,
        start: Bool[Array, " b"],
    ) -> tuple[Memory, Float[Array, "g m y"]]:
        """One step for acting."""
        inputs = CoreInput(features, self.rows(observation))
        memory, y = jax.vmap(lambda core, *args: core.step(*args))(
            core, self._memory_in(memory, 0), inputs, self._starts(start)
        )
        return self._memory_out(memory, 0), y

    def unroll(
        self,
        core: Core,
        memory: Memory,
        features: Float[Array, "g t m d"],
        observation: Observation,
        start: Bool[Array, "t b"],
    ) -> tuple[Memory, Float[Array, "g t m y"]]:
        """All steps of a trajectory for learning: the same outputs as `step` repeated."""
        inputs = CoreInput(features, self.rows(observation))
        memory, y = _each_group(
            lambda core, *args: core.scan(*args), core, self._memory_in(memory, 0), inputs, self._starts(start)
        )
        return self._memory_out(memory, 0), y

    def memories(
        self,
        core: Core,
        memory: Memory,
        features: Float[Array, "g t m d"],
        observation: Observation,
        start: Bool[Array, "t b"],
    ) -> tuple[Memory, Memory]:
        """The memory after the last step, [b, n, ...], and that before every step, [t, b, n, ...]; see `Core`."""
        inputs = CoreInput(features, self.rows(observation))
        last, before = _each_group(
            lambda core, *args: core.memories(*args), core, self._memory_in(memory, 0), inputs, self._starts(start)
        )
        return self._memory_out(last, 0), self._memory_out(before, 1)

    def drives(
        self, core: Core, features: Float[Array, "g t m d"], observation: Observation
    ) -> Float[Array, "g t m k"]:
        """The core's input product of every step."""
        inputs = CoreInput(features, self.rows(observation))
        return _each_group(lambda core, inputs: core.product(inputs), core, inputs)

    def alternatives(
        self,
        core: Core,
        memory: Memory,
        features: Float[Array, "g *t m d"],
        observation: Observation,
        *,
        field: str,
        slot: int,
    ) -> Float[Array, "g k *t m y"]:
        """The core's output, had the agent in `slot` done each symbol of its alphabet instead.

        Args:
            core: of all sets.
            memory: before each step, cleared where an episode starts: [*t, b, n, ...].
            features: of each step.
            observation: of each step, as it was.
            field: one of `alphabets`.
            slot: whose; slot d of agent i is agent (i + d) mod n. Every agent imagines the same slot.
        """
        first, size = self.row(field, slot, 0), dict(self.alphabets)[field]
        inputs = CoreInput(features, self.rows(observation))
        symbol = self.by_group(getattr(observation, field)[..., slot], 1)
        old = jnp.where(symbol < size, first + symbol, -1)

        def imagine(core: Core, memory: Memory, inputs: CoreInput, old: Array) -> Array:
            return core.alternatives(memory, inputs, old, first + jnp.arange(size))[1]

        times = observation.last_actions.ndim - 3
        return jax.vmap(imagine)(core, self._memory_in(memory, times), inputs, old)

    def rows(self, observation: Observation) -> Int[Array, "g *t m s"]:
        """The table rows of all discrete inputs; none for what is unknown.

        Raises:
            ValueError: the observation lacks one of them.
        """
        fields, offset = [], 0
        for name, size in self.alphabets:
            symbols = getattr(observation, name)
            if symbols is None:
                raise ValueError(f"the policy reads {name}, but the observation has none")
            first = offset + size * np.arange(self.spec.agents, dtype=np.int32)
            rows = jnp.where(symbols < size, symbols + first.reshape((1,) * (symbols.ndim - 1) + (-1,)), -1)
            fields.append(rows)
            offset += self.spec.agents * size
        if not fields:
            shape = (*observation.last_actions.shape[:-1], 0)
            fields = [jnp.zeros(shape, jnp.int32)]
        return self.by_group(jnp.concatenate(fields, -1), 2)

    def by_group(self, x: Array, tail: int) -> Array:
        """[..., b, n, ...] to [g, ..., m, ...], where `tail` axes begin with the agents'."""
        axis = x.ndim - tail
        if self.groups == 1:
            merged = x.reshape(*x.shape[: axis - 1], x.shape[axis - 1] * x.shape[axis], *x.shape[axis + 1 :])
            return merged[None]
        return jnp.moveaxis(x, axis, 0)

    def by_environment(self, x: Array) -> Array:
        """The inverse for results [g, ..., m, d]: [..., b, n, d]."""
        if self.groups == 1:
            return x[0].reshape(*x.shape[1:-2], -1, self.spec.agents, x.shape[-1])
        return jnp.moveaxis(x, 0, -2)

    def _starts(self, start: Bool[Array, "*t b"]) -> Bool[Array, "g *t m"]:
        return self.by_group(jnp.repeat(start[..., None], self.spec.agents, -1), 1)

    def _memory_in(self, memory: Memory, times: int) -> Memory:
        """Trees of [*t, b, n, ...] to trees of [g, *t, m, ...], with `times` axes in t."""
        return jax.tree.map(lambda x: self.by_group(x, x.ndim - 1 - times), memory)

    def _memory_out(self, memory: Memory, times: int) -> Memory:
        """The inverse."""
        if self.groups == 1:
            return jax.tree.map(
                lambda x: x[0].reshape(*x.shape[1 : 1 + times], -1, self.spec.agents, *x.shape[2 + times :]), memory
            )
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1 + times), memory)


def check_sizes(encoder: str, filters: int, hidden: tuple[int, ...], core: str, width: int) -> None:
    """Refuse sizes and kinds that make no network.

    Raises:
        ValueError: with the field and its value.
    """
    for name, value in (("filters", filters), ("width", width)):
        if value < 1:
            raise ValueError(f"{name} is {value}, must be at least 1")
    if not hidden or min(hidden) < 1:
        raise ValueError(f"hidden is {hidden}, must name one layer or more, each of at least 1 unit")
    if core not in CORES:
        raise ValueError(f"core is {core!r}, must be one of {', '.join(CORES)}")
    if encoder not in ("convolution", "classes"):
        raise ValueError(f"encoder is {encoder!r}, must be convolution or classes")


def _each_group(f: Callable[..., Any], *args: Any) -> Any:
    """f for every set of parameters; on a CPU one after the other, so that each one's weights stay in cache."""
    groups = jax.tree.leaves(args)[0].shape[0]
    if jax.default_backend() == "cpu" and groups > 1:
        return jax.lax.map(lambda each: f(*each), args)
    return jax.vmap(f)(*args)
