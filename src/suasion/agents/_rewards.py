"""The grammar of rewards: terms, weights, and their sum for each head.

A term is a pure piece that reads a trajectory and gives a reward to the heads that it means; weights are numbers or
schedules, per agent where given. Learners import no terms: a new reward is one class with `initial` and `__call__`,
and one entry in `Rewards`. Every term is logged under its name, unweighted, in its own unit.

Letters of the shapes: t steps, b environments, n agents.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from suasion.agents._metrics import Metric
from suasion.agents._schedule import Trigger, Weight, at, constant
from suasion.agents._trajectory import Params, Trajectory
from suasion.networks import Policy

Streams = dict[str, Float[Array, "t b n"]]
"""One reward stream per head."""


class Paid(NamedTuple):
    """What a term pays for a trajectory.

    Attributes:
        memory: of the term, after it.
        streams: a reward for every step of each head that the term means.
        metrics: what else it measured, by name.
    """

    memory: Any
    streams: Streams
    metrics: dict[str, Metric]


@runtime_checkable
class RewardTerm(Protocol):
    """A reward: frozen and hashable, pure in its arguments."""

    def initial(self, environments: int) -> Any:
        """What the term remembers from one trajectory to the next, at the beginning; () if nothing.

        Every array in it has the environments as first axis.
        """
        ...

    def __call__(self, memory: Any, params: Params, policy: Policy, trajectory: Trajectory) -> Paid:
        """What the term pays for a trajectory."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extrinsic:
    """The game's own reward, to the agent that earned it.

    Attributes:
        heads: that are paid; heads that the policy does not have are passed over.
    """

    heads: tuple[str, ...] = ("action", "message")

    def initial(self, environments: int) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def __call__(self, memory: Any, params: Params, policy: Policy, trajectory: Trajectory) -> Paid:
        """The rewards of the trajectory."""
        return Paid(memory, {head: trajectory.rewards for head in self.heads if head in policy.heads}, {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtrinsicAction(Extrinsic):
    """The game's own reward, for actions alone: where messages are to be paid by another weight."""

    heads: tuple[str, ...] = ("action",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtrinsicMessage(Extrinsic):
    """The game's own reward, for messages alone: the alpha of Jaques et al. (2019), section 4."""

    heads: tuple[str, ...] = ("message",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shared:
    """The mean of all agents' own rewards, to everybody: a common purpose, on the scale of one agent's reward.

    Attributes:
        heads: that are paid.
    """

    heads: tuple[str, ...] = ("action", "message")

    def initial(self, environments: int) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def __call__(self, memory: Any, params: Params, policy: Policy, trajectory: Trajectory) -> Paid:
        """The mean over agents, for each of them."""
        rewards = trajectory.rewards
        common = jnp.broadcast_to(jnp.mean(rewards, -1, keepdims=True), rewards.shape)
        return Paid(memory, {head: common for head in self.heads if head in policy.heads}, {})


@dataclasses.dataclass(frozen=True)
class Rewards:
    """Terms by name, each with its weight.

    Attributes:
        terms: (name, term, weight), names distinct.
    """

    terms: tuple[tuple[str, RewardTerm, Weight], ...] = (("extrinsic", Extrinsic(), constant(1.0)),)

    def __post_init__(self) -> None:
        """Refuse no terms, and two of one name."""
        names = [name for name, _, _ in self.terms]
        if not names:
            raise ValueError("no reward term: agents without a reward learn nothing")
        for name in names:
            if name == "total":
                raise ValueError("a reward term cannot be called total: that is the weighted sum of all")
            if names.count(name) > 1:
                raise ValueError(f"reward term {name} is given {names.count(name)} times")

    def initial(self, environments: int) -> dict[str, Any]:
        """The memory of every term."""
        return {name: term.initial(environments) for name, term, _ in self.terms}

    def __call__(
        self,
        memory: Mapping[str, Any],
        params: Params,
        policy: Policy,
        trajectory: Trajectory,
        *,
        step: Float[Array, ""],
        fired: Mapping[Trigger, Array],
    ) -> tuple[Streams, dict[str, Paid]]:
        """The weighted sum for every head.

        Returns:
            the sum, for each head of the policy (0 where no term pays it); and what every term paid, unweighted.

        Raises:
            ValueError: a term that pays no head of this policy.
        """
        parts = {}
        total = {head: jnp.zeros_like(trajectory.rewards) for head in policy.heads}
        for name, term, weight in self.terms:
            parts[name] = term(memory[name], params, policy, trajectory)
            if not parts[name].streams:
                raise ValueError(f"reward {name} pays none of the heads of this policy: {', '.join(policy.heads)}")
            each = at(weight, step, fired, policy.spec.agents)
            for head, stream in parts[name].streams.items():
                total[head] = total[head] + each[None, None, :] * stream
        return total, parts


TERMS: dict[str, type[Any]] = {
    "extrinsic": Extrinsic,
    "extrinsic-action": ExtrinsicAction,
    "extrinsic-message": ExtrinsicMessage,
    "shared": Shared,
}
"""The terms of this room by the name that configurations use."""
