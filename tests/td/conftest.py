"""Models of the textbook, built here from their descriptions, and one without any symmetry."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from suasion.markov import MDP, from_function


def random_walk(n=5, *, left=0.0, right=1.0):
    """Sutton & Barto, example 6.2 and figure 7.2: n states in a row, ends -1 and n, from the middle."""

    def step(s, _):
        return [(0.5, s - 1, left if s == 0 else 0.0), (0.5, s + 1, right if s == n - 1 else 0.0)]

    mdp = from_function(range(n), lambda s: ["go"] if 0 <= s < n else [], step)
    return begin(mdp, n // 2)


def cliff():
    """Example 6.6: 4 x 12, the cliff between start and goal costs 100 and leads back to the start."""

    def step(s, a):
        y, x = min(max(s[0] + a[0], 0), 3), min(max(s[1] + a[1], 0), 11)
        return [(1.0, (3, 0), -100.0)] if y == 3 and 0 < x < 11 else [(1.0, (y, x), -1.0)]

    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    mdp = from_function([(3, 0)], lambda s: [] if s == (3, 11) else moves, step)
    return begin(mdp, 0)


def windy():
    """Example 6.5: 7 x 10, columns push upwards by 0, 0, 0, 1, 1, 1, 2, 2, 1, 0."""
    wind = [0, 0, 0, 1, 1, 1, 2, 2, 1, 0]

    def step(s, a):
        y = min(max(s[0] + a[0] - wind[s[1]], 0), 6)
        return [(1.0, (y, min(max(s[1] + a[1], 0), 9)), -1.0)]

    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    mdp = from_function([(3, 0)], lambda s: [] if s == (3, 7) else moves, step)
    return begin(mdp, 0)


def varied(seed=1, states=6, discount_free=True):
    """Different numbers of choices, several branches, rewards on branches, two ends, any first state."""
    rng = np.random.default_rng(seed)
    counts = np.append(rng.integers(1, 4, states), [0, 0])
    branches = rng.integers(1, 4, counts.sum())
    target = np.concatenate([rng.choice(states + 2, k, replace=False) for k in branches])
    probability = np.concatenate([rng.dirichlet(np.ones(k)) for k in branches])
    return MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=np.concatenate([[0], np.cumsum(branches)]),
        target=target,
        probability=probability,
        branch_reward=rng.normal(size=len(target)),
        normalise=True,
        terminal=counts == 0,
    )


def begin(mdp, s):
    """The model, beginning in one state."""
    import dataclasses

    return dataclasses.replace(mdp, initial=np.eye(mdp.n_states)[s])


def _oracle():
    spec = importlib.util.spec_from_file_location("td_oracle", Path(__file__).with_name("oracle.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["td_oracle"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def oracle():
    return _oracle()


@pytest.fixture(scope="session")
def models():
    """Builders by name."""
    return {"walk": random_walk, "cliff": cliff, "windy": windy, "varied": varied, "begin": begin}
