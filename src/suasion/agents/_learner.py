"""The learner: rollout, rewards, advantages, fit. A2C and PPO for recurrent agents.

Letters of the shapes: t steps, b environments, n agents, g sets of parameters.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from suasion.agents._auxiliary import AuxiliaryLoss
from suasion.agents._losses import Batch, Fit, fit_loss, select
from suasion.agents._metrics import Metric, measured
from suasion.agents._optimiser import Optimiser
from suasion.agents._returns import Targets, lambda_returns, n_step_returns, next_values, vtrace_returns
from suasion.agents._rewards import Paid, Rewards, Streams
from suasion.agents._rollout import Actors, Finished, begin, rollout
from suasion.agents._schedule import Trigger, Weight, at, constant, triggers
from suasion.agents._shards import SPLIT, WHOLE, average, own_key, place, spread, total
from suasion.agents._trajectory import Params, Trajectory
from suasion.games import Game
from suasion.networks import Policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """How the agents learn.

    Attributes:
        algorithm: `a2c` (one step per rollout, on the policy's gradient) or `ppo` (clipped ratios, several).
        environments: played in lockstep.
        steps: of a rollout, per environment; memory is carried over, gradients are cut at its ends.
        discount: gamma in [0, 1].
        returns: `lambda` (generalised advantages), `n-step`, or `v-trace` (recomputed while fitting).
        lambda_: in [0, 1]; for lambda and v-trace.
        n: steps of n-step returns; 0 for the whole rollout.
        value_weight: of the value loss. The loss of each agent and head is divided by 1 + the variance of its
            targets, so that rewards of any size can share one learning rate.
        entropy_weight: of the entropy bonus, a schedule in environment steps, or one for each agent.
        message_entropy_weight: of the message head's entropy, likewise.
        message_weight: of the whole loss of the message head, beside that of the action head.
        normalise: advantages are centred and divided by their deviation, per agent and head.
        floor: added to that deviation, in reward units: an agent that is paid nothing learns nothing from noise.
        epochs: passes over a rollout (ppo; a2c makes one).
        minibatches: steps per pass, each on its share of the environments (ppo; a2c makes one).
        clip: of the ratio (ppo).
        chunk: environments whose activations are held at once; gradients are summed over chunks. 0 for all.
        shards: devices over which the environments are spread (on a CPU, XLA's host devices: one per core).
        staggered: the environments' first episodes start at random times.
        optimiser: of the policy.
    """

    algorithm: Literal["a2c", "ppo"] = "ppo"
    environments: int = 32
    steps: int = 50
    discount: float = 0.99
    returns: Literal["lambda", "n-step", "v-trace"] = "lambda"
    lambda_: float = 0.95
    n: int = 0
    value_weight: float = 0.5
    entropy_weight: Weight = constant(0.01)
    message_entropy_weight: Weight = constant(0.01)
    message_weight: float = 1.0
    normalise: bool = True
    floor: float = 0.05
    epochs: int = 2
    minibatches: int = 2
    clip: float = 0.2
    chunk: int = 0
    shards: int = 1
    staggered: bool = True
    optimiser: Optimiser = Optimiser()

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and environments that do not divide evenly."""
        if self.algorithm not in ("a2c", "ppo"):
            raise ValueError(f"algorithm is {self.algorithm!r}, must be a2c or ppo")
        if self.returns not in ("lambda", "n-step", "v-trace"):
            raise ValueError(f"returns is {self.returns!r}, must be lambda, n-step or v-trace")
        for name in ("environments", "steps", "epochs", "minibatches", "shards"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        for name in ("discount", "lambda_"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must lie in [0, 1]")
        for name in ("n", "chunk", "value_weight", "message_weight", "floor"):
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"{name} is {getattr(self, name)}, must be 0 or more")
        if not self.clip > 0:
            raise ValueError(f"clip is {self.clip}, must be positive")
        for name in ("entropy_weight", "message_entropy_weight"):
            if triggers((getattr(self, name),)):
                raise ValueError(f"{name} follows the clock, not a trigger")
        if self.environments % (self.parts * self.shards):
            raise ValueError(
                f"{self.environments} environments do not divide into {self.parts} minibatches on {self.shards} shards"
            )
        if self.chunk and self.share % self.chunk:
            raise ValueError(f"a shard's minibatch of {self.share} environments does not divide into {self.chunk}s")

    @property
    def passes(self) -> int:
        """Passes over a rollout."""
        return self.epochs if self.algorithm == "ppo" else 1

    @property
    def parts(self) -> int:
        """Gradient steps per pass."""
        return self.minibatches if self.algorithm == "ppo" else 1

    @property
    def share(self) -> int:
        """Environments of a minibatch on one shard."""
        return self.environments // (self.parts * self.shards)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.environments * self.steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Who learns what, where and how: everything that does not change while learning.

    Attributes:
        game: that is played.
        policy: of its agents.
        config: of the learner.
        rewards: terms and weights.
        auxiliary: further losses by name.
        states: trajectories keep the game's states, for rewards that play steps again.
    """

    game: Game
    policy: Policy
    config: LearnerConfig = LearnerConfig()
    rewards: Rewards = Rewards()
    auxiliary: tuple[tuple[str, AuxiliaryLoss], ...] = ()
    states: bool = False

    def __post_init__(self) -> None:
        """Refuse a policy made for another game, and auxiliary losses of one name."""
        if self.policy.spec != self.game.spec:
            raise ValueError(f"the policy is for {self.policy.spec.name}, the game is {self.game.spec.name}")
        names = [name for name, _ in self.auxiliary]
        if len(set(names)) < len(names):
            raise ValueError(f"auxiliary losses need distinct names, got {', '.join(names)}")
        taken = {"policy", "reward", "gradient", "episode", *self.policy.heads}
        terms = [name for name, _, _ in self.rewards.terms]
        for name in set(terms) & taken:
            raise ValueError(f"a reward term cannot be called {name}: metrics of that name are the learner's")
        for name in set(terms) & set(names):
            raise ValueError(f"a reward term and an auxiliary loss are both called {name}: their metrics would mix")
        for name in names:
            if name in taken:
                raise ValueError(f"an auxiliary loss cannot be called {name}: metrics of that name are the learner's")
        agents = self.game.spec.agents
        weights = {f"reward {name}": weight for name, _, weight in self.rewards.terms}
        weights |= {name: getattr(self.config, name) for name in ("entropy_weight", "message_entropy_weight")}
        for name, weight in weights.items():
            if isinstance(weight, tuple) and len(weight) != agents:
                raise ValueError(f"{name}: {len(weight)} weights for {agents} agents")

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """All triggers of the rewards' weights."""
        return triggers(tuple(weight for _, _, weight in self.rewards.terms))


class Learner(NamedTuple):
    """All that changes while learning: a checkpoint of it is a checkpoint of the run.

    Attributes:
        params: of the policy and of the auxiliary losses.
        optimisers: the policy's moments under "policy", each auxiliary loss's under its name.
        actors: the environments and the agents' memories.
        term_memory: of the reward terms.
        auxiliary_memory: of the auxiliary losses.
        fired: for each trigger the environment step at which it fired, -1 before; at most 2^31 - 1, which a run with
            triggers must not exceed.
        streak: for each trigger the updates in a row that reached its threshold.
        updates: done so far.
        key: of all further chance.
    """

    params: Params
    optimisers: dict[str, Any]
    actors: Actors
    term_memory: dict[str, Any]
    auxiliary_memory: dict[str, Any]
    fired: Int[Array, " k"]
    streak: Int[Array, " k"]
    updates: Int[Array, ""]
    key: Key[Array, ""]


class Report(NamedTuple):
    """What one update has to say: metrics (scalars, one number per agent, or ratios) and the episodes that ended."""

    metrics: dict[str, Metric]
    finished: Finished


def init(experiment: Experiment, key: Key[Array, ""]) -> Learner:
    """A learner at its beginning. Compile it: `jax.jit(init, static_argnums=0)`."""
    key_policy, key_auxiliary, key_actors, key_run = jax.random.split(key, 4)
    game, policy, config = experiment.game, experiment.policy, experiment.config
    network = policy.init(key_policy)
    auxiliary = {
        name: loss.init(jax.random.fold_in(key_auxiliary, i), policy)
        for i, (name, loss) in enumerate(experiment.auxiliary)
    }
    optimisers = {"policy": config.optimiser.init(network)}
    for name, loss in experiment.auxiliary:
        optimisers[name] = loss.optimiser.init(auxiliary[name])
    count = len(experiment.triggers)
    learner = Learner(
        params=Params(network, auxiliary),
        optimisers=optimisers,
        actors=begin(game, policy, network, key_actors, config.environments, staggered=config.staggered),
        term_memory=experiment.rewards.initial(config.environments),
        auxiliary_memory={name: loss.initial(policy, config.environments) for name, loss in experiment.auxiliary},
        fired=jnp.full(count, -1, jnp.int32),
        streak=jnp.zeros(count, jnp.int32),
        updates=jnp.zeros((), jnp.int32),
        key=key_run,
    )
    return placed(experiment, learner)


# In the order of Learner's fields: actors and the memories have environments in front.
_SPECIFICATION: Any = Learner._make([WHOLE, WHOLE, SPLIT, SPLIT, SPLIT, WHOLE, WHOLE, WHOLE, WHOLE])


def placed(experiment: Experiment, learner: Learner) -> Learner:
    """The learner's arrays on the devices where `update` wants them: for one that was read from a checkpoint."""
    return place(learner, experiment.config.shards, _SPECIFICATION)


def update(experiment: Experiment, learner: Learner) -> tuple[Learner, Report]:
    """One update: rollout, rewards, advantages, fit. Compile it: `jax.jit(update, static_argnums=0)`."""
    on_each = functools.partial(_update, experiment)
    return spread(on_each, experiment.config.shards, (_SPECIFICATION,), (_SPECIFICATION, WHOLE))(learner)


def _update(experiment: Experiment, learner: Learner) -> tuple[Learner, Report]:
    """`update` on one shard."""
    shards = experiment.config.shards
    key_next, key_here = jax.random.split(learner.key)
    key_rollout, key_fit = jax.random.split(own_key(key_here, shards))
    step = learner.updates.astype(jnp.float32) * experiment.config.steps_per_update
    actors, trajectory, finished = rollout(
        experiment.game,
        experiment.policy,
        learner.params.policy,
        learner.actors,
        key_rollout,
        experiment.config.steps,
        states=experiment.states,
    )
    auxiliary_memory, trajectory = _observe(experiment, learner, trajectory)
    streams, parts = experiment.rewards(
        learner.term_memory,
        learner.params,
        experiment.policy,
        trajectory,
        step=step,
        fired=dict(zip(experiment.triggers, learner.fired, strict=True)),
    )
    targets = advantages(experiment.config, trajectory, streams)
    trajectory = trajectory._replace(logits={}, features=None, states=None, auxiliary={})
    batch = Batch(trajectory, streams, targets, learner.auxiliary_memory, {}, {})
    params, optimisers, metrics = fit(experiment, learner.params, learner.optimisers, batch, step, key_fit)
    metrics |= average(reward_metrics(streams, parts), shards)
    fired, streak = _pull_triggers(experiment, learner, metrics)
    learner = Learner(
        params=params,
        optimisers=optimisers,
        actors=actors,
        term_memory={name: paid.memory for name, paid in parts.items()},
        auxiliary_memory=auxiliary_memory,
        fired=fired,
        streak=streak,
        updates=learner.updates + 1,
        key=key_next,
    )
    return learner, Report(metrics, total(finished, shards))


def advantages(config: LearnerConfig, trajectory: Trajectory, streams: Streams) -> dict[str, Targets]:
    """Advantages and value targets of each head, from the values that the acting policy had.

    Those of v-trace are recomputed while fitting; what they are here, all ratios 1, sets their scale.
    """
    ended = trajectory.terminated | trajectory.truncated
    targets = {}
    for head, rewards in streams.items():
        values = trajectory.values[head]
        ended_n = jnp.broadcast_to(ended[..., None], values.shape)
        following = next_values(
            values,
            trajectory.bootstrap[head],
            trajectory.value_at_truncation[head],
            jnp.broadcast_to(trajectory.terminated[..., None], values.shape),
            jnp.broadcast_to(trajectory.truncated[..., None], values.shape),
        )
        if config.returns == "n-step":
            n = config.n or config.steps
            targets[head] = n_step_returns(rewards, values, following, ended_n, discount=config.discount, n=n)
        elif config.returns == "v-trace":
            on_policy = jnp.zeros_like(values)
            targets[head] = vtrace_returns(
                rewards, values, following, ended_n, on_policy, discount=config.discount, lambda_=config.lambda_
            )
        else:
            targets[head] = lambda_returns(
                rewards, values, following, ended_n, discount=config.discount, lambda_=config.lambda_
            )
    return targets


def fit(
    experiment: Experiment,
    params: Params,
    optimisers: dict[str, Any],
    batch: Batch,
    step: Float[Array, ""],
    key: Key[Array, ""],
) -> tuple[Params, dict[str, Any], dict[str, Metric]]:
    """All gradient steps of one update; the metrics are means over them."""
    config = experiment.config
    settings = Fit(
        algorithm=config.algorithm,
        v_trace=config.returns == "v-trace",
        discount=config.discount,
        lambda_=config.lambda_,
        value_weight=config.value_weight,
        message_weight=config.message_weight,
        clip=config.clip,
        policy=experiment.policy,
        auxiliary=experiment.auxiliary,
    )
    agents = experiment.game.spec.agents
    entropy = {
        "action": at(config.entropy_weight, step, {}, agents),
        "message": at(config.message_entropy_weight, step, {}, agents),
    }
    batch = batch.scaled(config.normalise, config.floor, config.shards)

    def one(carry: tuple[Params, Any], chosen: Array) -> tuple[tuple[Params, Any], dict[str, Metric]]:
        params, optimisers = carry
        part = batch if config.parts == 1 else select(batch, chosen)
        gradient, metrics = average(_gradient(settings, params, part, entropy, config.chunk), config.shards)
        params, optimisers, norms = _descend(experiment, params, optimisers, gradient, step)
        return (params, optimisers), metrics | norms

    here = config.environments // config.shards
    orders = [jax.random.permutation(k, here) for k in jax.random.split(key, config.passes)]
    chosen = jnp.stack(orders).reshape(config.passes * config.parts, -1)
    if len(chosen) == 1:
        (params, optimisers), metrics = one((params, optimisers), chosen[0])
        return params, optimisers, metrics
    (params, optimisers), metrics = jax.lax.scan(one, (params, optimisers), chosen)
    return params, optimisers, jax.tree.map(lambda value: jnp.mean(value, 0), metrics)


def _gradient(
    settings: Fit, params: Params, batch: Batch, entropy: dict[str, Array], chunk: int
) -> tuple[Params, dict[str, Metric]]:
    """The gradient of the mean loss, summed over chunks of environments so that activations stay in cache."""

    def on(part: Batch) -> tuple[Params, dict[str, Metric]]:
        gradient, metrics = jax.grad(fit_loss, argnums=1, has_aux=True)(settings, params, part, entropy)
        return gradient, metrics

    environments = batch.trajectory.start.shape[1]
    if not chunk or chunk == environments:
        return on(batch)
    count = environments // chunk

    def add(carry: Any, index: Array) -> tuple[Any, None]:
        new = on(select(batch, index * chunk + jnp.arange(chunk)))
        return jax.tree.map(jnp.add, carry, new), None

    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(lambda: on(select(batch, jnp.arange(chunk))))
    )
    total, _ = jax.lax.scan(add, zeros, jnp.arange(count))
    return jax.tree.map(lambda x: x / count, total)


def _descend(
    experiment: Experiment,
    params: Params,
    optimisers: dict[str, Any],
    gradient: Params,
    step: Float[Array, ""],
) -> tuple[Params, dict[str, Any], dict[str, Array]]:
    """One step of the policy's optimiser, and one of each auxiliary loss's own."""
    network, moments, norms = experiment.config.optimiser(gradient.policy, optimisers["policy"], params.policy, step)
    auxiliary, updated, metrics = {}, {"policy": moments}, {"gradient/policy": norms}
    for name, loss in experiment.auxiliary:
        auxiliary[name], updated[name], norms = loss.optimiser(
            gradient.auxiliary[name], optimisers[name], params.auxiliary[name], step
        )
        metrics[f"gradient/{name}"] = norms
    return Params(network, auxiliary), updated, metrics


def _observe(experiment: Experiment, learner: Learner, trajectory: Trajectory) -> tuple[dict[str, Any], Trajectory]:
    """Each auxiliary loss looks at the trajectory once, before anybody learns from it."""
    memory, observed = {}, {}
    for name, loss in experiment.auxiliary:
        memory[name], observed[name] = loss.observe(
            learner.params.auxiliary[name],
            learner.auxiliary_memory[name],
            learner.params.policy,
            experiment.policy,
            trajectory,
        )
    return memory, trajectory._replace(auxiliary=observed)


def reward_metrics(total: Streams, parts: dict[str, Paid]) -> dict[str, Metric]:
    """Mean reward a step, per agent, of every term in its own unit and of their weighted sum, head by head.

    And what the terms measured besides, under `<term>/<name>`.
    """
    named = {"total": total} | {name: paid.streams for name, paid in parts.items()}
    rewards: dict[str, Metric] = {
        f"reward/{name}" + ("" if head == "action" else f"/{head}"): jnp.mean(stream, (0, 1))
        for name, streams in named.items()
        for head, stream in streams.items()
    }
    for name, paid in parts.items():
        rewards |= {f"{name}/{key}": metric for key, metric in paid.metrics.items()}
    return rewards


def _pull_triggers(
    experiment: Experiment, learner: Learner, metrics: dict[str, Metric]
) -> tuple[Int[Array, " k"], Int[Array, " k"]]:
    """Which triggers have fired by the end of this update, and the streaks towards those that have not."""
    if not experiment.triggers:
        return learner.fired, learner.streak
    found = [measured(metrics, trigger.metric) for trigger in experiment.triggers]
    least = jnp.array([trigger.at_least for trigger in experiment.triggers])
    reached = jnp.stack([defined for _, defined in found]) & (jnp.stack([value for value, _ in found]) >= least)
    streak = jnp.where(reached, learner.streak + 1, 0)
    enough = streak >= jnp.array([t.updates for t in experiment.triggers])
    now = (learner.updates + 1) * experiment.config.steps_per_update
    never = jnp.iinfo(jnp.int32).max
    enough |= now >= jnp.array([min(t.latest or never, never) for t in experiment.triggers])
    return jnp.where((learner.fired < 0) & enough, now, learner.fired), streak
