"""Random small decision processes, for properties."""

import numpy as np
import pytest

from suasion.markov import MDP


def random_mdp(seed, *, states=5, actions=3, outcomes=3, ends=True):
    """Different numbers of actions, rewards that differ on one target; two ends, one of them in the middle."""
    rng = np.random.default_rng(seed)
    terminal = np.zeros(states, bool)
    if ends:
        terminal[[1, states - 1]] = True
    counts = np.where(terminal, 0, rng.integers(1, actions + 1, states))
    choice_start = np.concatenate([[0], np.cumsum(counts)])
    choices = choice_start[-1]
    return MDP.from_branches(
        choice_start=choice_start,
        branch_start=np.arange(choices + 1) * outcomes,
        target=rng.integers(0, states, choices * outcomes),
        probability=rng.dirichlet(np.ones(outcomes), choices).ravel(),
        choice_reward=rng.normal(size=choices).round(1),
        branch_reward=rng.integers(-2, 3, choices * outcomes).astype(float),
        terminal=terminal,
        initial=np.full(states, 1 / states),
    )


@pytest.fixture(scope="session")
def build():
    return random_mdp
