"""Random tiny decision processes (`tiny`), and the policies of each looked at one by one (`oracle`)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from suasion.markov import MDP

_spec = importlib.util.spec_from_file_location("planning_oracle", Path(__file__).with_name("oracle.py"))
_oracle = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _oracle
_spec.loader.exec_module(_oracle)


@pytest.fixture(scope="session")
def oracle():
    return _oracle


@pytest.fixture(scope="session", name="tiny")
def tiny_():
    return tiny


def tiny(
    seed: int, *, ends: float = 0.3, outcomes: int = 3, actions: int = 2, states: int = 4, plain: bool = False
) -> MDP:
    """States with different numbers of choices, targets that come twice with different rewards, rewards that cancel.

    `plain` has rewards of 0 much of the time, so that some end components are free.
    """
    rng = np.random.default_rng(seed)
    S = int(rng.integers(1, states + 1))
    terminal = rng.random(S) < ends
    counts = np.where(terminal, 0, rng.integers(1, actions + 1, S))
    lengths = rng.integers(1, outcomes + 1, counts.sum())
    B = int(lengths.sum())
    start = np.concatenate([[0], np.cumsum(lengths)])
    weight = rng.integers(1, 8, B).astype(float)
    probability = weight / np.repeat(np.add.reduceat(weight, start[:-1]), lengths) if B else weight
    rewards = [0, 0, 0, -1, 1, 0.1] if plain else [0, 1, -1, 0.1, -3.7, 1e3]
    return MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=start,
        target=rng.integers(0, S, B),
        probability=probability,
        choice_reward=rng.choice([0, 0, -1, 0.3], counts.sum()).astype(float),
        branch_reward=rng.choice(rewards, B).astype(float),
        terminal=terminal,
    )
