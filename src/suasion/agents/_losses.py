"""What a gradient step minimises: policy, value and entropy of every head, and the auxiliary losses.

Letters of the shapes: t steps, b environments, n agents.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from suasion.agents._auxiliary import AuxiliaryLoss
from suasion.agents._metrics import Metric
from suasion.agents._returns import Targets, next_values, vtrace_returns
from suasion.agents._rewards import Streams
from suasion.agents._shards import moments
from suasion.agents._trajectory import Params, Trajectory
from suasion.networks import Output, Policy, log_probability


class Batch(NamedTuple):
    """A trajectory with what was made of it.

    Attributes:
        trajectory: as acted.
        streams: the weighted reward of each head.
        targets: advantages and value targets of each head.
        auxiliary_memory: of each auxiliary loss at the first step.
        value_scale: by which each agent's value loss is multiplied, by head: [n]; empty before `scaled`.
        advantage_scale: (centre, deviation) of each agent's advantages, by head; empty where they are not normalised.
    """

    trajectory: Trajectory
    streams: Streams
    targets: dict[str, Targets]
    auxiliary_memory: dict[str, Any]
    value_scale: dict[str, Float[Array, " n"]]
    advantage_scale: dict[str, tuple[Float[Array, " n"], Float[Array, " n"]]]

    def scaled(self, normalise: bool, floor: float, shards: int) -> Batch:
        """Advantages normalised per agent, and the scale of each value loss, both over the whole batch."""
        targets, value_scale, advantage_scale = {}, {}, {}
        for head, target in self.targets.items():
            advantage = target.advantage
            if normalise:
                advantage_scale[head] = spread_of(advantage, floor, shards)
                advantage = rescaled(advantage, advantage_scale[head])
            targets[head] = Targets(advantage, target.value)
            value_scale[head] = 1.0 / (1.0 + moments(target.value, shards)[1])
        return self._replace(targets=targets, value_scale=value_scale, advantage_scale=advantage_scale)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """The part of an experiment that a loss needs; see `LearnerConfig`."""

    algorithm: Literal["a2c", "ppo"]
    v_trace: bool
    discount: float
    lambda_: float
    value_weight: float
    clip: float
    policy: Policy
    auxiliary: tuple[tuple[str, AuxiliaryLoss], ...]
    message_weight: float = 1.0


def spread_of(
    advantage: Float[Array, "t b n"], floor: float, shards: int = 1
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Mean, and deviation + floor, of each agent's advantages over all its steps; 1 for a deviation and floor of 0.

    Args:
        advantage: A.
        floor: in reward units, 0 or more.
        shards: over which the environments are spread, when called on one of them.
    """
    mean, variance = moments(advantage, shards)
    scale = jnp.sqrt(variance) + floor
    return mean, jnp.where(scale > 0, scale, 1.0)


def rescaled(
    advantage: Float[Array, "t b n"], scale: tuple[Float[Array, " n"], Float[Array, " n"]]
) -> Float[Array, "t b n"]:
    """(A - centre) / scale, agent by agent; see `spread_of`."""
    centre, width = scale
    return (advantage - centre[None, None, :]) / width[None, None, :]


def normalised(advantage: Float[Array, "t b n"], floor: float) -> Float[Array, "t b n"]:
    """(A - mean) / (deviation + floor), for each agent over all its steps; 0 where that is 0 / 0.

    Args:
        advantage: A.
        floor: in reward units, 0 or more.
    """
    return rescaled(advantage, spread_of(advantage, floor))


def select(batch: Batch, environments: Int[Array, " k"]) -> Batch:
    """Some of the environments, all steps."""

    def early(tree: Any) -> Any:  # environments first
        return jax.tree.map(lambda x: x[environments], tree)

    def late(tree: Any) -> Any:  # steps first
        return jax.tree.map(lambda x: x[:, environments], tree)

    trajectory = batch.trajectory
    memory, bootstrap = early(trajectory.memory), early(trajectory.bootstrap)
    return Batch(
        trajectory=late(trajectory._replace(memory=(), bootstrap={}))._replace(memory=memory, bootstrap=bootstrap),
        streams=late(batch.streams),
        targets=late(batch.targets),
        auxiliary_memory=early(batch.auxiliary_memory),
        value_scale=batch.value_scale,
        advantage_scale=batch.advantage_scale,
    )


def fit_loss(
    settings: Fit, params: Params, batch: Batch, entropy_weight: dict[str, Float[Array, "*n"]]
) -> tuple[Float[Array, ""], dict[str, Metric]]:
    """The loss of a batch, and its parts per agent; entropy weights are one per head, or one per head and agent.

    Independent agents: the sum over agents, so that each set of parameters descends its own mean loss. Shared
    parameters: the mean over agents.
    """
    trajectory, policy = batch.trajectory, settings.policy
    features = policy.features(params.policy, trajectory.observation)
    _, outputs = policy.unroll_from_features(
        params.policy, trajectory.memory, features, trajectory.observation, trajectory.start
    )
    logs = log_probability(outputs, trajectory.symbols)
    total = jnp.zeros(())
    metrics: dict[str, Metric] = {}
    for head, output in outputs.items():
        log_ratio = logs[head] - trajectory.log_probabilities[head]
        target = batch.targets[head]
        if settings.v_trace:
            target = _v_trace(settings, batch, head, output, log_ratio)
        surrogate, clipped = _surrogate(settings, logs[head], log_ratio, target.advantage)
        policy_loss = -jnp.mean(surrogate, (0, 1))
        value_loss = 0.5 * jnp.mean(jnp.square(output.value - target.value), (0, 1)) * batch.value_scale[head]
        entropy = jnp.mean(_entropy(output.logits), (0, 1))
        loss = policy_loss + settings.value_weight * value_loss - entropy_weight[head] * entropy
        share = settings.message_weight if head == "message" else 1.0
        total = total + share * jnp.sum(loss) * (policy.groups / policy.spec.agents)
        metrics |= {
            f"{head}/policy_loss": policy_loss,
            f"{head}/value_loss": value_loss,
            f"{head}/entropy": entropy,
            f"{head}/kl": jnp.mean(jnp.expm1(log_ratio) - log_ratio, (0, 1)),
            f"{head}/clipped": clipped,
        }
    for name, auxiliary in settings.auxiliary:
        loss, parts = auxiliary.loss(
            params.auxiliary[name], batch.auxiliary_memory[name], params.policy, policy, trajectory, features
        )
        total = total + loss
        metrics |= {f"{name}/loss": loss} | {f"{name}/{part}": value for part, value in parts.items()}
    return total, metrics


def _surrogate(
    settings: Fit, log_probability: Array, log_ratio: Array, advantage: Array
) -> tuple[Float[Array, "t b n"], Float[Array, " n"]]:
    """What the policy maximises, and the share of steps on which the ratio left its interval."""
    if settings.algorithm == "a2c":
        return advantage * log_probability, jnp.zeros(advantage.shape[-1])
    ratio = jnp.exp(log_ratio)
    inside = jnp.clip(ratio, 1.0 - settings.clip, 1.0 + settings.clip)
    outside = jnp.mean(jnp.abs(ratio - 1.0) > settings.clip, (0, 1))
    return jnp.minimum(ratio * advantage, inside * advantage), outside


def _v_trace(settings: Fit, batch: Batch, head: str, output: Output, log_ratio: Array) -> Targets:
    """Targets from the present values and ratios, without a gradient; PPO's surrogate has the advantages' ratio itself.

    Advantages are put on the scale that those of the acting policy had over the whole batch: a chunk's own would make
    the gradient depend on how the environments are cut.
    """
    trajectory = batch.trajectory
    values, log_ratio = jax.lax.stop_gradient((output.value, log_ratio))
    terminated = jnp.broadcast_to(trajectory.terminated[..., None], values.shape)
    truncated = jnp.broadcast_to(trajectory.truncated[..., None], values.shape)
    following = next_values(
        values, trajectory.bootstrap[head], trajectory.value_at_truncation[head], terminated, truncated
    )
    targets = vtrace_returns(
        batch.streams[head],
        values,
        following,
        terminated | truncated,
        log_ratio,
        discount=settings.discount,
        lambda_=settings.lambda_,
        weighted=settings.algorithm == "a2c",
    )
    if head not in batch.advantage_scale:
        return targets
    return Targets(rescaled(targets.advantage, batch.advantage_scale[head]), targets.value)


def _entropy(logits: Float[Array, "t b n a"]) -> Float[Array, "t b n"]:
    """Entropy of the softmax in nats; actions that are not available count 0."""
    logs = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(logs) * logs, -1)
