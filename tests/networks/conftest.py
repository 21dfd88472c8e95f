"""What the tests of this room share: made-up games, random observations, and a jit that compiles quickly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.games import Spec
from suasion.networks import Observation, Policy, PolicyConfig


@pytest.fixture(scope="session")
def make_spec():
    """A game that nobody plays: only its sizes matter."""

    def make(agents=3, actions=4, classes=6, view=(5, 4)):
        rng = np.random.default_rng(classes)
        return Spec(
            name="made-up",
            agents=agents,
            actions=tuple(f"a{k}" for k in range(actions)),
            classes=tuple(f"c{k}" for k in range(classes)),
            palette=tuple(tuple(int(x) for x in row) for row in rng.integers(0, 256, (classes, 3))),
            view=view,
            board=view,
            horizon=None,
        )

    return make


@pytest.fixture(scope="session")
def make_policy(make_spec):
    """A small policy; every option of `PolicyConfig` may be given."""

    def make(stages=(), spec=None, **config):
        sizes = {"filters": 2, "hidden": (6, 5), "width": 4}
        return Policy(spec=spec or make_spec(), config=PolicyConfig(**(sizes | config)), stages=stages)

    return make


@pytest.fixture(scope="session")
def observe_at_random():
    """Random observations [*shape, n, ...] of a policy, symbols that are not known among them."""

    def make(policy, seed, *shape):
        rng = np.random.default_rng(seed)
        spec = policy.spec
        n, a = spec.agents, len(spec.actions)
        available = rng.random((*shape, n, a)) < 0.6
        available[..., 0] |= ~available.any(-1)

        def symbols(size):
            return jnp.asarray(rng.integers(0, size + 1, (*shape, n, n)), jnp.int32)

        return Observation(
            codes=jnp.asarray(rng.integers(0, len(spec.classes), (*shape, n, *spec.view)), jnp.uint8),
            last_actions=symbols(a),
            visible=jnp.asarray(rng.random((*shape, n, n)) < 0.5),
            current_actions=symbols(a) if len(policy.stages) > 1 else None,
            messages=symbols(policy.config.vocabulary) if policy.config.vocabulary else None,
            available=jnp.asarray(available),
        )

    return make


@pytest.fixture(scope="session")
def at_random():
    """A tree with the same shapes, filled with normal numbers: parameters without zeros, memories in the middle."""

    def make(tree, seed, scale=0.5):
        rng = np.random.default_rng(seed)
        return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) * scale, jnp.float32), tree)

    return make
