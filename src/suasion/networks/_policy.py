"""A policy: encoder, core and named heads, for all agents of a game at once.

The definition (`Policy`) is static; the parameters (`Network`) are a tree of arrays whose first axis g holds one set
per agent, or one set for all where agents share. Data go in and out with environments and agents as axes [b, n].

Letters of the shapes: t steps, b environments, n agents, g sets of parameters, a actions of a head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from suasion.games import Spec
from suasion.networks._core import Core, Memory
from suasion.networks._cores import CoreKind
from suasion.networks._encoder import Dense, Encoder
from suasion.networks._observation import Observation
from suasion.networks._trunk import EncoderKind, Trunk, check_sizes

_NEVER = -1e9  # the logit of an action that is not available: probability exactly 0 in float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """The network of the agents. The defaults are those of Jaques et al. (2019).

    Attributes:
        encoder: `convolution` (3 x 3 on colours) or `classes` (dense, on one-hot codes: for views of a few cells).
        filters: of the convolution.
        hidden: units of the dense layers after it.
        core: the memory: `lstm`, `gru`, `diagonal`, `s4d`, `mamba`, or `none`.
        width: units of the memory.
        shared: one network for all agents, rather than one each.
        last_actions: the core sees everybody's actions of the step before.
        vocabulary: symbols of a message, which all agents read in the next step; 0 for no message head, 2 or more for
            one.
    """

    encoder: EncoderKind = "convolution"
    filters: int = 6
    hidden: tuple[int, ...] = (32, 32)
    core: CoreKind = "lstm"
    width: int = 128
    shared: bool = False
    last_actions: bool = False
    vocabulary: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        check_sizes(self.encoder, self.filters, self.hidden, self.core, self.width)
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
        """Fill in the single stage; refuse stages that are no partition, messages to nobody, and views too small."""
        agents = self.spec.agents
        if self.config.vocabulary and agents < 2:
            raise ValueError(
                f"{self.spec.name} has one agent: there is nobody to read its messages (vocabulary is 0 then)"
            )
        if not self.stages:
            object.__setattr__(self, "stages", (tuple(range(agents)),))
        named = sorted(agent for stage in self.stages for agent in stage)
        if named != list(range(agents)) or not all(self.stages):
            raise ValueError(f"stages {self.stages} must name each of the agents 0..{agents - 1} exactly once")
        _ = self.trunk  # refuses views too small

    @property
    def trunk(self) -> Trunk:
        """The part that reads and remembers."""
        config = self.config
        return Trunk(
            spec=self.spec,
            encoder=config.encoder,
            filters=config.filters,
            hidden=config.hidden,
            core=config.core,
            width=config.width,
            shared=config.shared,
            alphabets=tuple(self.alphabets.items()),
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
        return self.trunk.row(field, slot, symbol)

    def init(self, key: Key[Array, ""]) -> Network:
        """Fresh parameters. Action heads start almost uniform, message heads do not.

        Where neither messages depend on what is seen nor actions on what is heard, no gradient leads away: nobody
        learns to speak until somebody listens, nor to listen until somebody speaks.
        """
        key_encoder, key_core, key_heads = jax.random.split(key, 3)
        trunk, width = self.trunk, self.config.width
        heads = {}
        for name, size, k in zip(
            self.heads, self.heads.values(), jax.random.split(key_heads, len(self.heads)), strict=True
        ):
            logits = Dense.init(k, self.groups, width, size, 1.0 if name == "message" else 0.01)
            heads[name] = Dense(
                weight=jnp.concatenate([logits.weight, jnp.zeros((self.groups, width, 1))], -1),
                bias=jnp.zeros((self.groups, size + 1)),
            )
        return Network(encoder=trunk.init_encoder(key_encoder), core=trunk.init_core(key_core), heads=heads)

    def initial(self, params: Network, environments: int) -> Memory:
        """The memory of all agents at the start of an episode, a tree of arrays [b, n, ...]."""
        return self.trunk.initial(params.core, environments)

    def features(self, params: Network, observation: Observation) -> Float[Array, "g *t m d"]:
        """The encoder alone, in the policy's own order of axes: agents' parameters first."""
        return self.trunk.features(params.encoder, observation)

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
        memory, y = self.trunk.step(params.core, memory, features, observation, start)
        return memory, self._outputs(params, y, observation)

    def unroll(
        self, params: Network, memory: Memory, observation: Observation, start: Bool[Array, "t b"]
    ) -> tuple[Memory, dict[str, Output]]:
        """All steps of a trajectory for learning: the same outputs as `step` repeated."""
        return self.unroll_from_features(params, memory, self.features(params, observation), observation, start)

    def unroll_from_features(
        self,
        params: Network,
        memory: Memory,
        features: Float[Array, "g t m d"],
        observation: Observation,
        start: Bool[Array, "t b"],
    ) -> tuple[Memory, dict[str, Output]]:
        """`unroll` with the encoder's work already done: auxiliary losses share it."""
        memory, y = self.trunk.unroll(params.core, memory, features, observation, start)
        return memory, self._outputs(params, y, observation)

    def memories(
        self,
        params: Network,
        memory: Memory,
        features: Float[Array, "g t m d"],
        observation: Observation,
        start: Bool[Array, "t b"],
    ) -> tuple[Memory, Memory]:
        """The memory after a trajectory, [b, n, ...], and that before each of its steps, [t, b, n, ...].

        The latter are cleared where an episode starts: what counterfactual steps begin from.
        """
        return self.trunk.memories(params.core, memory, features, observation, start)

    def alternatives(
        self,
        params: Network,
        memory: Memory,
        features: Float[Array, "g *t m d"],
        observation: Observation,
        *,
        field: str,
        slot: int,
    ) -> dict[str, Float[Array, "k *t b n a"]]:
        """Counterfactual logits: each head's, had the agent in `slot` done each symbol of its alphabet instead.

        Args:
            params: the parameters.
            memory: before each step, cleared where an episode starts; see `memories`.
            features: of each step.
            observation: of each step, as it was.
            field: `last_actions`, `current_actions` or `messages`.
            slot: whose; slot d of agent i is agent (i + d) mod n. Every agent imagines the same slot.
        """
        y = self.trunk.alternatives(params.core, memory, features, observation, field=field, slot=slot)
        return {name: output.logits for name, output in self._outputs(params, y, observation).items()}

    def _outputs(self, params: Network, y: Float[Array, "g *t m d"], observation: Observation) -> dict[str, Output]:
        outputs = {}
        for name, layer in params.heads.items():
            both = self.trunk.by_environment(layer(y))
            logits, value = both[..., :-1], both[..., -1]
            if name == "action":
                available = observation.available
                available = available.reshape((1,) * (logits.ndim - available.ndim) + available.shape)
                logits = jnp.where(available, logits, _NEVER)
            outputs[name] = Output(logits, value)
        return outputs


def log_probability(outputs: Mapping[str, Output], symbols: Mapping[str, Int[Array, "*t b n"]]) -> dict[str, Any]:
    """log pi of the symbols that each head chose, float[*t, b, n] by head."""
    chosen = {}
    for name, output in outputs.items():
        logs = jax.nn.log_softmax(output.logits)
        chosen[name] = jnp.take_along_axis(logs, symbols[name][..., None], -1)[..., 0]
    return chosen
