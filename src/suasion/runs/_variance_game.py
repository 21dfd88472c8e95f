"""Small Harvest, played by the house's networks for the team's reward: the noise of their gradient, for one study.

Policies stand still while they are measured: untrained, and after a short training. What is written of each stage is
what `_gradient_noise.Blocks` keeps, so that several networks can be averaged later.

Letters of the shapes: e estimators, t steps, b environments, n agents, k blocks, d numbers of a gradient.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from suasion.agents import (
    Experiment,
    LearnerConfig,
    Optimiser,
    Rewards,
    Shared,
    Trajectory,
    begin,
    constant,
    init,
    rollout,
    update,
)
from suasion.agents._baselines import Critic, alternative_returns, central_value, explained, fit_values, own_values
from suasion.agents._gradient_noise import BATCHES, BLOCK, Blocks, noise
from suasion.agents._policy_gradient import episode_gradients, returns_to_go
from suasion.agents._team_game import BASELINES
from suasion.games import Game, Harvest
from suasion.networks import Network, Policy, PolicyConfig

STAGES = ("start", "trained")
ESTIMATORS = (*BASELINES, "critic")
DISCOUNT = 0.9
STEPS = 32  # of an episode
UPDATES = 8  # of the training before the second stage
_TOGETHER = 64  # episodes played in lockstep

# Small Harvest with a spawn cell for each of ten agents.
MAP = """\
@@@@@@@@@@@
@P   A   P@
@ P AAA P @
@    A    @
@ A     A @
@AAAP PAAA@
@ A     A @
@    A    @
@ P AAA P @
@P   A   P@
@@@@@@@@@@@"""


def played_game(agents: int) -> Game:
    """Harvest on the small map with a spawn cell for each of ten agents, over `STEPS` steps; a hit costs 5."""
    return Harvest(map=MAP, agents=agents, view=7, horizon=STEPS, hit_cost=5.0)


def experiment_of(agents: int) -> Experiment:
    """How Harvest is learned before the second stage: the team's reward is the sum, n times the house's mean."""
    game = played_game(agents)
    return Experiment(
        game=game,
        policy=Policy(spec=game.spec, config=PolicyConfig(hidden=(32,), width=32)),
        config=LearnerConfig(
            environments=32,
            steps=STEPS,
            discount=DISCOUNT,
            staggered=False,
            optimiser=Optimiser(learning_rate=constant(3e-3)),
        ),
        rewards=Rewards((("shared", Shared(), constant(float(agents))),)),
    )


_init = jax.jit(init, static_argnums=0)
_update = jax.jit(update, static_argnums=0)


def played(budget: int, agents: int, seed: int) -> dict[str, Any]:
    """Both stages of one network."""
    experiment = experiment_of(agents)
    learner = _init(experiment, jax.random.key(seed))
    found = {}
    for place, stage in enumerate(STAGES):
        key = jax.random.fold_in(jax.random.key(1_000_000 + seed), place)
        found[stage] = measure_stage(experiment, learner.params.policy, key, budget)
        if stage != STAGES[-1]:
            for _ in range(UPDATES):
                learner, _ = _update(experiment, learner)
    return found


def measure_stage(experiment: Experiment, params: Network, key: Array, budget: int) -> dict[str, Any]:
    """Noise of the gradient of fixed policies: values are fitted on some episodes, gradients are those of others."""
    key_fit, key_measure = jax.random.split(key)
    game, agents = experiment.game, experiment.game.spec.agents
    fitting = [_episodes(experiment, params, k) for k in _keys(key_fit, budget // 2)]
    codes = np.concatenate([trajectory.observation.codes for trajectory, _ in fitting], axis=1)
    returns = np.concatenate([returns[..., 0] for _, returns in fitting], axis=1)
    critics = fit_values(codes, returns, game.spec.classes)
    del fitting, codes
    kept, told = [], []
    for place, k in enumerate(_keys(key_measure, budget)):
        trajectory, returns = _episodes(experiment, params, k)
        advantage, baselines = _weigh(experiment, critics, trajectory, returns)
        told.append((np.asarray(returns), np.asarray(baselines), np.asarray(trajectory.rewards.sum((0, 2)))))
        for first in range(0, min(_TOGETHER, budget - place * _TOGETHER), BLOCK):
            chosen = first + jnp.arange(BLOCK)
            gradient = _gradients(experiment, params, trajectory, advantage, chosen)
            kept.append(reduced(np.asarray(gradient, np.float64)))
    return record_of(agents, kept, told)


def _keys(key: Array, episodes: int) -> Array:
    return jax.random.split(key, -(-episodes // _TOGETHER))


@functools.partial(jax.jit, static_argnums=0)
def _episodes(experiment: Experiment, params: Network, key: Array) -> tuple[Trajectory, Float[Array, "t b n"]]:
    """Whole episodes, and the team's discounted reward from each step on."""
    key_begin, key_play = jax.random.split(key)
    game, policy = experiment.game, experiment.policy
    actors = begin(game, policy, params, key_begin, _TOGETHER, staggered=False)
    _, trajectory, _ = rollout(game, policy, params, actors, key_play, experiment.config.steps, states=True)
    team = jnp.broadcast_to(jnp.sum(trajectory.rewards, -1, keepdims=True), trajectory.rewards.shape)
    return trajectory, returns_to_go(team, DISCOUNT)


@functools.partial(jax.jit, static_argnums=0)
def _weigh(
    experiment: Experiment, critics: tuple[Critic, Critic], trajectory: Trajectory, returns: Float[Array, "t b n"]
) -> tuple[Float[Array, "e t b n"], Float[Array, "e2 t b n"]]:
    """What multiplies each estimator's scores; and the three baselines."""
    own, central = critics
    codes = trajectory.observation.codes
    clock = jnp.broadcast_to(jnp.arange(codes.shape[0])[:, None], codes.shape[:2])
    value = jnp.broadcast_to(central_value(central, codes, clock)[..., None], returns.shape)
    q = alternative_returns(experiment.game, central, trajectory, discount=DISCOUNT)
    counterfactual = jnp.sum(jax.nn.softmax(trajectory.logits["action"]) * q, -1)
    taken = jnp.take_along_axis(q, trajectory.symbols["action"][..., None], -1)[..., 0]
    baselines = jnp.stack([own_values(own, codes, clock), value, counterfactual])
    advantage = [returns, *(returns - each for each in baselines), taken - counterfactual]
    return jnp.stack(advantage), baselines


@functools.partial(jax.jit, static_argnums=0)
def _gradients(
    experiment: Experiment, params: Network, trajectory: Trajectory, advantage: Array, chosen: Array
) -> Float[Array, "e b n d"]:
    return episode_gradients(experiment.policy, params, trajectory, advantage, chosen)


def reduced(gradient: Float[np.ndarray, "e b n d"]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Of one block: its mean, and the mean square of every batch size, [e, n, d] and [e, n]."""
    squares = {}
    for batch in BATCHES:
        means = gradient.reshape(len(gradient), BLOCK // batch, batch, *gradient.shape[2:]).mean(axis=2)
        squares[batch] = np.square(means).sum(axis=3).mean(axis=1)
    return gradient.mean(axis=1).astype(np.float32), squares


def record_of(
    agents: int, kept: Sequence[tuple[np.ndarray, dict[int, np.ndarray]]], told: Sequence[tuple[np.ndarray, ...]]
) -> dict[str, Any]:
    """What is written of one stage."""
    means = np.stack([mean for mean, _ in kept])
    found: dict[str, Any] = {}
    for e, name in enumerate(ESTIMATORS):
        each = []
        for i in range(agents):
            mine = means[:, e, i].astype(np.float64)
            squares = {batch: np.array([square[batch][e, i] for _, square in kept]) for batch in BATCHES}
            each.append(Blocks(squares=squares, gram=mine @ mine.T))
        ratios = [dataclasses.astuple(noise([blocks]).ratio) for blocks in each]
        found[name] = plain(functools.reduce(Blocks.__add__, each)) | {"agents": rounded(ratios)}
    flat = means.reshape(*means.shape[:2], -1).astype(np.float64)
    crossed = flat[:, ESTIMATORS.index("counterfactual")] @ flat[:, ESTIMATORS.index("critic")].T
    returns = np.concatenate([each for each, _, _ in told], axis=1)
    baselines = np.concatenate([each for _, each, _ in told], axis=2)
    named = zip(ESTIMATORS[1:], baselines, strict=False)
    return {
        "estimators": found,
        "crossed": rounded(crossed),
        "explained": {name: round(explained(returns, each), 6) for name, each in named},
        "return": round(float(np.concatenate([total for _, _, total in told]).mean()), 6),
    }


def plain(blocks: Blocks) -> dict[str, Any]:
    squares = {str(batch): rounded(values) for batch, values in blocks.squares.items()}
    return {"squares": squares, "gram": rounded(blocks.gram)}


def rounded(values: Any) -> Any:
    """Nested lists of numbers with nine significant digits."""
    if isinstance(values, np.ndarray | list | tuple):
        return [rounded(value) for value in values]
    return float(f"{float(values):.9g}")
