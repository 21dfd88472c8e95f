"""What the tests of this room share: a scripted game, a camera, and a jit that compiles quickly."""

import dataclasses
import functools
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion import agents
from suasion.games import Event, Sight, Spec, Step
from suasion.networks import Policy, PolicyConfig


class ClockState(NamedTuple):
    time: jax.Array
    length: jax.Array
    mortal: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clockwork:
    """A game in which everything can be computed in the head.

    The view shows (time, length, mortal). A mortal episode terminates when `length` steps are done; the time limit
    truncates. Agent i earns (i + 1)(time + 1) + action / 10; action (time + i) mod 3 is not available to it.
    """

    agents: int = 2
    horizon: int | None = 6
    immortal: bool = False

    @functools.cached_property
    def spec(self):
        codes = 1 + (self.horizon or 9)
        return Spec(
            name="clockwork",
            agents=self.agents,
            actions=("zero", "one", "two"),
            classes=tuple(str(k) for k in range(codes)),
            palette=tuple((k, k, k) for k in range(codes)),
            view=(1, 3),
            board=(1, 3),
            horizon=self.horizon,
            events=(
                Event(name="chosen", meaning="the index of the action"),
                Event(name="hand", meaning="the time after the step", per_agent=False, level=True),
            ),
        )

    def reset(self, key):
        key_length, key_mortal = jax.random.split(key)
        length = jax.random.randint(key_length, (), 2, (self.horizon or 9) + 1)
        mortal = jax.random.bernoulli(key_mortal) & (not self.immortal)
        return ClockState(jnp.zeros((), jnp.int32), length, mortal)

    def observe(self, state):
        codes = jnp.stack([state.time, state.length, state.mortal.astype(jnp.int32)]).astype(jnp.uint8)
        i = np.arange(self.agents)
        visible = ((state.time + i[:, None] + i[None, :]) % 2 == 0) | np.eye(self.agents, dtype=bool)
        return Sight(jnp.broadcast_to(codes[None, None, :], (self.agents, 1, 3)), visible)

    def available_actions(self, state):
        return np.arange(3)[None, :] != ((state.time + np.arange(self.agents)) % 3)[:, None]

    def draw(self, key):
        return ()

    def advance(self, draws, state, actions):
        time = state.time + 1
        reward = np.arange(1, self.agents + 1, dtype=np.float32) * time + actions / 10.0
        never = jnp.zeros((), bool)
        return state._replace(time=time), Step(
            reward=reward,
            terminated=state.mortal & (time >= state.length),
            truncated=never if self.horizon is None else time >= self.horizon,
            events={"chosen": actions.astype(jnp.float32), "hand": time.astype(jnp.float32)},
        )

    def step(self, key, state, actions):
        return self.advance(self.draw(key), state, actions)

    def board(self, state):
        return self.observe(state).codes[0]


@dataclasses.dataclass(frozen=True)
class Camera:
    """An auxiliary loss that learns nothing and keeps the trajectory in its memory, where a test can find it."""

    optimiser: agents.Optimiser = agents.Optimiser()

    def init(self, key, policy):
        return {"nothing": jnp.zeros((1, 1))}

    def initial(self, policy, environments):
        return ()

    def observe(self, auxiliary, memory, params, policy, trajectory):
        keep = trajectory._replace(memory=(), bootstrap={}, key=None)
        kept = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), keep)
        return kept._replace(memory=trajectory.memory, bootstrap=trajectory.bootstrap), ()

    def loss(self, auxiliary, memory, params, policy, trajectory, features):
        return 0.0 * jnp.sum(auxiliary["nothing"]), {}


def developed(film):
    """The camera's trajectory, time-major again, as NumPy arrays."""
    memory, bootstrap = film.memory, film.bootstrap
    late = jax.tree.map(lambda x: np.moveaxis(np.asarray(x), 1, 0), film._replace(memory=(), bootstrap={}))
    return late._replace(memory=jax.tree.map(np.asarray, memory), bootstrap=jax.tree.map(np.asarray, bootstrap))


@pytest.fixture(scope="session")
def clockwork():
    return Clockwork


@pytest.fixture(scope="session")
def camera():
    return Camera()


@pytest.fixture(scope="session")
def verbs(quick):
    """The room's verbs, compiled once for each experiment."""
    init, update = quick(agents.init, static_argnums=0), quick(agents.update, static_argnums=0)

    def run(experiment, updates, learner=None, seed=0):
        learner = init(experiment, jax.random.key(seed)) if learner is None else learner
        reports = []
        for _ in range(updates):
            learner, report = update(experiment, learner)
            reports.append(report)
        return learner, reports

    return types.SimpleNamespace(
        init=init,
        update=update,
        run=run,
        developed=developed,
        begin=quick(agents.begin, static_argnums=(0, 1, 4), static_argnames="staggered"),
        rollout=quick(agents.rollout, static_argnums=(0, 1, 5)),
        play=quick(agents.play, static_argnums=(0, 1, 4), static_argnames="greedy"),
    )


@pytest.fixture(scope="session")
def make_policy():
    """A small policy for a game; every option of `PolicyConfig` may be given."""

    def make(game, stages=(), **config):
        sizes = {"encoder": "classes", "hidden": (5,), "width": 4, "core": "gru"}
        return Policy(spec=game.spec, config=PolicyConfig(**(sizes | config)), stages=stages)

    return make


@pytest.fixture(scope="session")
def at_random():
    """A tree with the same shapes, filled with normal numbers: policies that are neither uniform nor worth nothing."""

    def make(tree, seed, scale=0.5):
        rng = np.random.default_rng(seed)
        return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) * scale, jnp.float32), tree)

    return make
