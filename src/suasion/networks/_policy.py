"""A policy: encoder, core and named heads, for all agents of a game at once.

The definition (`Policy`) is static; the parameters (`Network`) are a tree of arrays whose first axis g holds one set
per agent, or one set for all where agents share. Data go in and out with environments and agents as axes [b, n].

Letters of the shapes: t steps, b environments, n agents, g sets of parameters, a actions of a head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from suasion.games import Spec
from suasion.networks._core import CORES, Core, CoreInput, Memory, clear
from suasion.networks._encoder import ClassEncoder, ConvolutionEncoder, Dense, Encoder
from suasion.networks._observation import Observation

_NEVER = -1e9  # the logit of an action that is not available: probability exactly 0 in float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The network of the agents. The defaults are those of Jaques et al. (2019).

    Attributes:
        encoder: `convolution` (3 x 3 on colours) or `classes` (dense, on one-hot codes: for views of a few cells).
        filters: of the convolution.
        hidden: units of the dense layers after it.
        core: the memory: `lstm`, `gru`, or `none`.
        width: units of the memory.
        shared: one network for all agents, rather than one each.
        last_actions: the core sees everybody's actions of the step before.
        vocabulary: symbols of a message; 0 for no message head, 2 or more for one.
    """

    encoder: Literal["convolution", "classes"] = "convolution"
    filters: int = 6
    hidden: tuple[int, ...] = (32, 32)
    core: Literal["lstm", "gru", "none"] = "lstm"
    width: int = 128
    shared: bool = False
    last_actions: bool = False
    vocabulary: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        for name in ("filters", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden is {self.hidden}, must name one layer or more, each of at least 1 unit")
        if self.core not in CORES:
            raise ValueError(f"core is {self.core!r}, must be one of {', '.join(CORES)}")
        if self.encoder not in ("convolution", "classes"):
            raise ValueError(f"encoder is {self.encoder!r}, must be convolution or classes")
        if self.vocabulary < 0 or self.vocabulary == 1:
            raise ValueError(f"vocabulary is {self.vocabulary}, must be 0 (no messages) or at least 2")


class Network(eqx.Module):
    """The parameters of a policy, with the axis g of independent sets in front of every array."""

    encoder: Encoder
    core: Core
    heads: dict[str, Dense]


class Output(NamedTuple):
    """What a head says: the logits of its distribution, and the value of its own reward stream."""

    logits: Float[Array, "*t b n a"]
    value: Float[Array, "*t b n"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """Encoder + core + named heads for the agents of one game.

    Attributes:
        spec: of the game.
        config: sizes and kinds.
        stages: sets of agents that act one after the other inside a step: an agent sees the current actions of all
            earlier stages. One stage of all agents by default. Roles differ by masks, never by structure.
    """

    spec: Spec
    config: PolicyConfig = PolicyConfig()
    stages: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        """Fill in the single stage; refuse stages that are no partition, and views too small for a convolution."""
        agents = self.spec.agents
        if not self.stages:
            object.__setattr__(self, "stages", (tuple(range(agents)),))
        named = sorted(agent for stage in self.stages for agent in stage)
        if named != list(range(agents)) or not all(self.stages):
            raise ValueError(f"stages {self.stages} must name each of the agents 0..{agents - 1} exactly once")
        if self.config.encoder == "convolution" and min(self.spec.view) < 3:
            raise ValueError(
                f"a convolution needs a view of 3 x 3 or more, {self.spec.name} has {self.spec.view}: use classes"
            )

    @property
    def groups(self) -> int:
        """Number g of independent sets of parameters."""
        return 1 if self.config.shared else self.spec.agents

    @property
    def heads(self) -> dict[str, int]:
        """The alphabet's size of each head: `action`, and `message` where there is one."""
        sizes = {"action": len(self.spec.actions)}
        return sizes | ({"message": self.config.vocabulary} if self.config.vocabulary else {})

    @property
    def stage_of(self) -> np.ndarray:
        """The stage in which each agent acts, int[n]."""
        stage_of = np.zeros(self.spec.agents, int)
        for index, stage in enumerate(self.stages):
            stage_of[list(stage)] = index
        return stage_of

    @property
    def alphabets(self) -> dict[str, int]:
        """The discrete inputs of the core, by field of `Observation`, and the alphabet's size of each."""
        actions = len(self.spec.actions)
        return (
            ({"last_actions": actions} if self.config.last_actions else {})
            | ({"current_actions": actions} if len(self.stages) > 1 else {})
            | ({"messages": self.config.vocabulary} if self.config.vocabulary else {})
        )

    def row(self, field: str, slot: int, symbol: int) -> int:
        """The table row by which the core reads that the agent in `slot` did `symbol`: for counterfactuals.

        Raises:
            ValueError: a field that the core does not read, a slot or a symbol that does not exist.
        """
        if field not in self.alphabets:
            raise ValueError(f"the core does not read {field}; it reads {', '.join(self.alphabets) or 'no actions'}")
        size, agents = self.alphabets[field], self.spec.agents
        if not 0 <= slot < agents:
            raise ValueError(f"slot {slot} does not exist: {agents} agents have slots 0..{agents - 1}")
        if not 0 <= symbol < size:
            raise ValueError(f"symbol {symbol} does not exist: {field} has 0..{size - 1}")
        names = list(self.alphabets)
        before = sum(self.alphabets[name] for name in names[: names.index(field)])
        return agents * before + slot * size + symbol

    def init(self, key: Key[Array, ""]) -> Network:
        """Fresh parameters. The action heads start almost uniform."""
        key_encoder, key_core, key_heads = jax.random.split(key, 3)
        config, groups = self.config, self.groups
        encoder: Encoder
        if config.encoder == "convolution":
            encoder = ConvolutionEncoder.init(key_encoder, groups, self.spec.view, config.filters, config.hidden)
        else:
            encoder = ClassEncoder.init(key_encoder, groups, self.spec.view, len(self.spec.classes), config.hidden)
        rows = self.spec.agents * sum(self.alphabets.values())
        make = CORES[config.core]
        core = jax.vmap(lambda k: make(k, features=config.hidden[-1], rows=rows, width=config.width))(
            jax.random.split(key_core, groups)
        )
        heads = {}
        for name, size, k in zip(
            self.heads, self.heads.values(), jax.random.split(key_heads, len(self.heads)), strict=True
        ):
            logits = Dense.init(k, groups, config.width, size, 0.01)
            heads[name] = Dense(
                weight=jnp.concatenate([logits.weight, jnp.zeros((groups, config.width, 1))], -1),
                bias=jnp.zeros((groups, size + 1)),
            )
        return Network(encoder=encoder, core=core, heads=heads)

    def initial(self, params: Network, environments: int) -> Memory:
        """The memory of all agents at the start of an episode, a tree of arrays [b, n, ...]."""
        batch = environments * self.spec.agents // self.groups
        return self._memory_out(jax.vmap(lambda core: core.initial(batch))(params.core))

    def features(self, params: Network, observation: Observation) -> Float[Array, "g *t m d"]:
        """The encoder alone, in the policy's own order of axes: agents' parameters first."""
        codes = self._by_group(observation.codes, 3)
        flat = codes.reshape(codes.shape[0], -1, *codes.shape[-2:])
        return params.encoder(flat, self.spec.colours).reshape(*codes.shape[:-2], -1)

    def step(
        self, params: Network, memory: Memory, observation: Observation, start: Bool[Array, " b"]
    ) -> tuple[Memory, dict[str, Output]]:
        """One step for acting: the new memory, and what each head says; `start`: a new episode begins here."""
        return self.step_from_features(params, memory, self.features(params, observation), observation, start)

    def step_from_features(
        self,
        params: Network,
        memory: Memory,
        features: Float[Array, "g m d"],
        observation: Observation,
        start: Bool[Array, " b"],
    ) -> tuple[Memory, dict[str, Output]]:
        """`step` with the encoder's work already done: stages share it."""
        memory = self._memory_in(memory)
        inputs = CoreInput(features, self._rows(observation))
        memory, y = jax.vmap(lambda core, *args: core.step(*args))(params.core, memory, inputs, self._starts(start))
        return self._memory_out(memory), self._outputs(params, y, observation)

    def unroll(
        self, params: Network, memory: Memory, observation: Observation, start: Bool[Array, "t b"]
    ) -> tuple[Memory, dict[str, Output]]:
        """All steps of a trajectory for learning: the same outputs as `step` repeated."""
        memory = self._memory_in(memory)
        inputs = CoreInput(self.features(params, observation), self._rows(observation))
        memory, y = _each_group(lambda core, *args: core.scan(*args), params.core, memory, inputs, self._starts(start))
        return self._memory_out(memory), self._outputs(params, y, observation)

    def alternatives(
        self,
        params: Network,
        memory: Memory,
        observation: Observation,
        start: Bool[Array, " b"],
        *,
        field: str,
        slot: int,
    ) -> dict[str, Float[Array, "k b n a"]]:
        """Counterfactual logits: each head's, had the agent in `slot` done each symbol of its alphabet instead.

        Args:
            params: the parameters.
            memory: before the step.
            observation: of the step, as it was.
            start: where a new episode begins with it.
            field: `last_actions`, `current_actions` or `messages`.
            slot: whose; slot d of agent i is agent (i + d) mod n. Every agent imagines the same slot.
        """
        memory = self._memory_in(memory)
        inputs = CoreInput(self.features(params, observation), self._rows(observation))
        first = self.row(field, slot, 0)
        size = self.alphabets[field]
        symbol = self._by_group(getattr(observation, field)[..., slot], 1)
        old = jnp.where(symbol < size, first + symbol, -1)

        def imagine(core: Core, memory: Memory, inputs: CoreInput, start: Array, old: Array) -> Array:
            cleared = clear(start, memory, core.initial)
            return core.alternatives(cleared, inputs, old, first + jnp.arange(size))[1]

        y = jax.vmap(imagine)(params.core, memory, inputs, self._starts(start), old)
        outputs = self._outputs(params, y, observation)
        return {name: output.logits for name, output in outputs.items()}

    def _rows(self, observation: Observation) -> Int[Array, "g *t m s"]:
        """The table rows of all discrete inputs; none for what is unknown."""
        fields, offset = [], 0
        for name, size in self.alphabets.items():
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
        return self._by_group(jnp.concatenate(fields, -1), 2)

    def _outputs(self, params: Network, y: Float[Array, "g *t m d"], observation: Observation) -> dict[str, Output]:
        outputs = {}
        for name, layer in params.heads.items():
            both = self._by_environment(layer(y))
            logits, value = both[..., :-1], both[..., -1]
            if name == "action":
                available = observation.available
                available = available.reshape((1,) * (logits.ndim - available.ndim) + available.shape)
                logits = jnp.where(available, logits, _NEVER)
            outputs[name] = Output(logits, value)
        return outputs

    def _starts(self, start: Bool[Array, "*t b"]) -> Bool[Array, "g *t m"]:
        return self._by_group(jnp.repeat(start[..., None], self.spec.agents, -1), 1)

    def _memory_in(self, memory: Memory) -> Memory:
        """Trees of [b, n, ...] to trees of [g, m, ...]."""
        return jax.tree.map(lambda x: self._by_group(x, x.ndim - 1), memory)

    def _memory_out(self, memory: Memory) -> Memory:
        """The inverse."""
        if self.groups == 1:
            return jax.tree.map(lambda x: x[0].reshape(-1, self.spec.agents, *x.shape[2:]), memory)
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), memory)

    def _by_group(self, x: Array, tail: int) -> Array:
        """[..., b, n, ...] to [g, ..., m, ...], where `tail` axes begin with the agents'."""
        axis = x.ndim - tail
        if self.groups == 1:
            merged = x.reshape(*x.shape[: axis - 1], x.shape[axis - 1] * x.shape[axis], *x.shape[axis + 1 :])
            return merged[None]
        return jnp.moveaxis(x, axis, 0)

    def _by_environment(self, x: Array) -> Array:
        """The inverse for results [g, ..., m, d]: [..., b, n, d]."""
        if self.groups == 1:
            return x[0].reshape(*x.shape[1:-2], -1, self.spec.agents, x.shape[-1])
        return jnp.moveaxis(x, 0, -2)


def _each_group(f: Callable[..., Any], *args: Any) -> Any:
    """f for every set of parameters; on a CPU one after the other, so that each one's weights stay in cache."""
    groups = jax.tree.leaves(args)[0].shape[0]
    if jax.default_backend() == "cpu" and groups > 1:
        return jax.lax.map(lambda each: f(*each), args)
    return jax.vmap(f)(*args)


def log_probability(outputs: Mapping[str, Output], symbols: Mapping[str, Int[Array, "*t b n"]]) -> dict[str, Any]:
    """log pi of the symbols that each head chose, float[*t, b, n] by head."""
    chosen = {}
    for name, output in outputs.items():
        logs = jax.nn.log_softmax(output.logits)
        chosen[name] = jnp.take_along_axis(logs, symbols[name][..., None], -1)[..., 0]
    return chosen
