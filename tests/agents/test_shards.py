"""Two shards learn what one would: the same batch, split over two devices, gives the same step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from suasion.agents import Experiment, LearnerConfig, advantages, init, rollout, update
from suasion.agents._learner import fit
from suasion.agents._losses import Batch
from suasion.agents._shards import SPLIT, WHOLE, mesh, spread
from suasion.games import make
from suasion.networks import Policy, PolicyConfig

pytestmark = pytest.mark.skipif(jax.device_count() < 2, reason="needs two devices")


def _experiment(**changes):
    game = make("recall", horizon=5, agents=2)
    policy = Policy(spec=game.spec, config=PolicyConfig(encoder="classes", hidden=(8,), width=8))
    config = LearnerConfig(algorithm="a2c", environments=4, steps=6, staggered=False)
    return Experiment(game=game, policy=policy, config=dataclasses.replace(config, **changes))


def _split(batch):
    """Environments are the second axis of whatever has steps in front, else the first."""
    late = PartitionSpec(None, *SPLIT)
    specification = jax.tree.map(lambda _: late, batch)
    trajectory = specification.trajectory._replace(
        memory=jax.tree.map(lambda _: SPLIT, batch.trajectory.memory),
        bootstrap=jax.tree.map(lambda _: SPLIT, batch.trajectory.bootstrap),
    )
    return specification._replace(trajectory=trajectory)


def test_a_step_on_two_shards_is_the_step_on_one():
    one = _experiment()
    learner = jax.jit(init, static_argnums=0)(one, jax.random.key(0))
    _, trajectory, _ = rollout(one.game, one.policy, learner.params.policy, learner.actors, jax.random.key(1), 6)
    streams = {"action": trajectory.rewards}
    batch = Batch(trajectory, streams, advantages(one.config, trajectory, streams), {}, {}, {})

    def step(experiment, params, optimisers, batch):
        return fit(experiment, params, optimisers, batch, jnp.zeros(()), jax.random.key(2))

    alone = step(one, learner.params, learner.optimisers, batch)
    two = _experiment(shards=2)
    both = spread(lambda *args: step(two, *args), 2, (WHOLE, WHOLE, _split(batch)), (WHOLE, WHOLE, WHOLE))(
        learner.params, learner.optimisers, batch
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), alone, both)


def test_shards_play_different_games_and_agree_on_the_parameters():
    experiment = _experiment(shards=2)
    learner = jax.jit(init, static_argnums=0)(experiment, jax.random.key(0))
    learner, report = jax.jit(update, static_argnums=0)(experiment, learner)
    shown = np.asarray(
        learner.actors.state.symbol if hasattr(learner.actors.state, "symbol") else learner.actors.last_actions
    )
    assert not np.array_equal(shown[:2], shown[2:])
    for leaf in jax.tree.leaves(learner.params):
        first, second = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        np.testing.assert_array_equal(first, second)
    assert np.isfinite(report.metrics["action/value_loss"]).all()


def test_more_shards_than_devices_are_refused():
    with pytest.raises(ValueError, match="need 1000 devices"):
        mesh(1000)
