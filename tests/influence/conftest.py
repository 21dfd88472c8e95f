"""What the tests of this room share: small worlds with a trajectory in each, and the oracle beside them."""

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion import agents
from suasion.games import SMALL_HARVEST_MAP, BoxTrapped, Harvest, MatrixGame
from suasion.influence import Basic, Foreseen, Imagined, ModelConfig, ModelOfOthers, Simulated, Spoken, divergence
from suasion.networks import Policy, PolicyConfig

_spec = importlib.util.spec_from_file_location("influence_oracle", Path(__file__).with_name("oracle.py"))
_oracle = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _oracle
_spec.loader.exec_module(_oracle)

B, T = 2, 9


def three(horizon=4):
    """A matrix game of three agents; nothing depends on its payoffs."""
    payoffs = np.random.default_rng(0).normal(size=(3, 3, 3, 3)).round(2).tolist()
    return MatrixGame(payoffs=payoffs, horizon=horizon)


def box(horizon=5):
    return BoxTrapped(view=3, horizon=horizon)


def harvest(horizon=7):
    return Harvest(map=SMALL_HARVEST_MAP, agents=3, view=5, horizon=horizon)


@dataclasses.dataclass(frozen=True)
class World:
    """A counterfactual in a game, with everything that its oracle needs, in NumPy where it reads it."""

    game: Any
    policy: Any
    source: Any
    params: Any
    trajectory: Any
    weights: np.ndarray
    imagine: Any
    table: np.ndarray
    model: Any
    model_memory: Any

    @property
    def actions(self):
        return np.asarray(self.trajectory.symbols["action"])

    @property
    def chosen(self):
        return np.asarray(self.trajectory.symbols[self.source.head])

    @property
    def ended(self):
        return np.asarray(self.trajectory.terminated | self.trajectory.truncated)

    def naive(self, kind):
        ahead = self.source.ahead
        return _oracle.influence(kind, self.table, self.weights, self.chosen, self.actions, ahead, self.ended)

    def imagined(self, *, params=None, trajectory=None, weights=None):
        """What the room imagines; arguments: other than those of this world."""
        weights = jnp.asarray(self.weights if weights is None else weights, jnp.float32)
        return self.imagine(params or self.params, trajectory or self.trajectory, weights)

    def fast(self, kind, **changes):
        """Influence as the room computes it, zero for pairs and steps of which the oracle says nothing."""
        return self.masked(kind, self.imagined(**changes))

    def masked(self, kind, imagined):
        ahead, unknown = self.source.ahead, np.isnan(self.table).any((-1, -2))
        uniform = -np.log(self.table.shape[-1])
        imagined = Imagined(*(jnp.where(unknown[..., None], uniform, part) for part in imagined))
        realised = jnp.asarray(np.concatenate([self.actions[ahead:], self.actions[:ahead]]))
        values = np.array(divergence(kind, imagined, realised))
        if ahead:
            values[:-1][self.ended[:-1]] = 0.0
            values[-1] = 0.0
        values[unknown] = 0.0
        return values


@pytest.fixture(scope="session")
def oracle():
    return _oracle


@pytest.fixture(scope="session")
def games():
    return SimpleNamespace(three=three, box=box, harvest=harvest)


@pytest.fixture(scope="session")
def make_policy():
    """A small policy for a game; every option of `PolicyConfig` may be given."""

    def make(game, stages=(), **config):
        sizes = {"encoder": "classes", "hidden": (5,), "width": 4, "core": "lstm", "last_actions": True}
        return Policy(spec=game.spec, config=PolicyConfig(**(sizes | config)), stages=stages)

    return make


@pytest.fixture(scope="session")
def at_random():
    """A tree of the same shapes with random numbers: agents that are neither uniform nor sure, and heed each other."""

    def make(tree, seed):
        rng = np.random.default_rng(seed)

        def leaf(path, x):
            product = x.ndim == 3 and path[-1:] != (jax.tree_util.GetAttrKey("table"),)
            scale = 2 / np.sqrt(x.shape[1]) if product else 1.2 if x.ndim == 3 else 0.3
            return jnp.asarray(rng.normal(size=x.shape) * scale, jnp.float32)

        return jax.tree_util.tree_map_with_path(leaf, tree)

    return make


@pytest.fixture(scope="session")
def acted(quick, at_random):
    """Parameters at random and a trajectory that begins, in every other environment, in the middle of an episode."""

    def act(game, policy, steps=T, environments=B, seed=0):
        def run(network, key):
            keys = jax.random.split(key)
            actors = agents.begin(game, policy, network, keys[0], environments, staggered=True)
            begun = jnp.arange(environments) % 2 == 0
            actors = actors._replace(memory=at_random(actors.memory, seed + 2), start=~begun)
            return agents.rollout(game, policy, network, actors, keys[1], steps, states=True)[1]

        network = at_random(jax.eval_shape(policy.init, jax.random.key(0)), seed + 1)
        return network, quick(run)(network, jax.random.key(seed))

    return act


def _worlds():
    """Name -> game, stages, policy, counterfactual (of the game), model."""
    own = ModelConfig(encoder="classes", hidden=(6,), width=5)
    shared = ModelConfig(encoder="shared", hidden=(6,), width=5, core="gru")
    return {
        "basic harvest": (harvest(), ((0,), (1, 2)), {}, lambda game: Basic(), None),
        "basic three shared": (
            three(),
            ((2,), (0,), (1,)),
            {"core": "gru", "shared": True, "vocabulary": 2},
            lambda game: Basic(),
            None,
        ),
        "model harvest": (harvest(), (), {}, lambda game: Foreseen(), own),
        "model box": (box(), (), {"last_actions": False}, lambda game: Foreseen(), shared),
        "model three shared": (three(), (), {"shared": True}, lambda game: Foreseen(), shared),
        "messages harvest": (harvest(), (), {"last_actions": False, "vocabulary": 4}, lambda game: Spoken(), None),
        "messages three shared": (
            three(),
            (),
            {"core": "gru", "shared": True, "vocabulary": 2},
            lambda game: Spoken(),
            None,
        ),
        "simulator harvest": (harvest(), (), {}, lambda game: Simulated(game, (0, 2)), None),
        "simulator box": (box(), (), {"core": "gru"}, lambda game: Simulated(game, (0, 1)), None),
        "simulator three shared": (
            three(),
            (),
            {"core": "gru", "shared": True, "vocabulary": 2},
            lambda game: Simulated(game, (1, 2)),
            None,
        ),
    }


SEEDS = {
    "simulator three shared": 1,
    "messages three shared": 1,
}  # of worlds in which the seed 0 leaves no influence to speak of


@pytest.fixture(scope="session")
def world(quick, make_policy, acted, at_random):
    """The world of a name, made once."""
    made = {}

    def make(name):
        if name in made:
            return made[name]
        game, stages, config, source, model_config = _worlds()[name]
        policy, source = make_policy(game, stages, **config), source(game)
        network, trajectory = acted(game, policy, seed=SEEDS.get(name, 0))
        if name == "model harvest":  # nobody meets in so few steps; what is visible is read by no network
            seen = np.random.default_rng(9).random(trajectory.observation.visible.shape) < 0.5
            trajectory = trajectory._replace(observation=trajectory.observation._replace(visible=jnp.asarray(seen)))
        model, parameters, memory = None, {}, None
        if model_config is not None:
            model = ModelOfOthers(config=model_config)
            parameters = {"model": at_random(jax.eval_shape(lambda: model.init(jax.random.key(0), policy)), 7)}
            memory = at_random(jax.eval_shape(lambda: model.initial(policy, B)), 8)
        params = agents.Params(network, parameters)

        def imagine(params, trajectory, weights):
            if model is not None:
                _, seen = model.observe(params.auxiliary["model"], memory, params.policy, policy, trajectory)
                trajectory = trajectory._replace(auxiliary={"model": seen})
            return source.imagine(params, policy, trajectory, weights)

        if model is not None:
            table = _oracle.foreseen(policy, network, trajectory, model, parameters["model"], memory)
        elif isinstance(source, Basic):
            table = _oracle.basic(policy, network, trajectory)
        elif isinstance(source, Spoken):
            table = _oracle.spoken(policy, network, trajectory)
        else:
            table = _oracle.simulated(policy, network, trajectory, _again(quick, game, trajectory), source.influencers)
        logs, _ = _oracle.played(policy, network, trajectory, source.head)
        np.testing.assert_allclose(jax.nn.log_softmax(trajectory.logits[source.head]), logs, atol=2e-5)
        made[name] = World(game, policy, source, params, trajectory, np.exp(logs), quick(imagine), table, model, memory)
        return made[name]

    return make


def _again(quick, game, trajectory):
    """One step of one environment played again with another joint action."""

    @quick
    def step(key, state, joint):
        after, _ = game.step(key, state, joint)
        return game.observe(after).codes, game.available_actions(after)

    def after(t, b, joint):
        state = jax.tree.map(lambda x: x[t, b], trajectory.states)
        return jax.device_get(step(trajectory.key[t, b], state, jnp.asarray(joint, jnp.int32)))

    return after
