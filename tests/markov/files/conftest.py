"""Small models that use all that the record offers, and what it means that two are the same."""

import dataclasses

import numpy as np
import pytest

from suasion.markov import MDP, POMDP

ARRAYS = ("choice_start", "branch_start", "target", "probability", "choice_reward", "branch_reward")
ARRAYS += ("action", "terminal", "initial")


@pytest.fixture
def build():
    """Four states, the third of them terminal; numbers that need all their digits; -0.0."""

    def make(**changes):
        fields = {
            "choice_start": np.array([0, 2, 3, 3, 4]),
            "branch_start": np.array([0, 3, 5, 6, 7]),
            "target": np.array([0, 1, 3, 0, 2, 2, 3], np.int32),
            "probability": np.array([0.1, 0.2, 0.7000000000000001, 1 / 3, 2 / 3, 1.0, 1.0]),
            "choice_reward": np.array([0.1 + 0.2, -1e-300, -0.0, 5e20]),
            "action": np.array([1, 0, 1, 0], np.int32),
            "terminal": np.array([False, False, True, False]),
            "actions": ("go left", 'say "ü"'),
            "initial": np.array([0.0, 1.0, 0.0, 0.0]),
            "labels": {"goal": np.array([False, False, True, False]), "Big Label": np.array([True, True, False, True])},
        }
        return MDP(**(fields | changes))

    return make


@pytest.fixture
def outcomes():
    """Changes to `build`: rewards of outcomes, two of them on one target."""
    return {
        "target": np.array([0, 1, 1, 0, 2, 2, 3], np.int32),
        "branch_reward": np.array([0.0, -1.5, 1 / 3, 4.0, 2.0, 1.0, 0.0]),
    }


@pytest.fixture
def partial(build):
    """A POMDP with the same noisy observations after every action."""

    def make(rows=((0.25, 0.75, 0.0), (1.0, 0.0, 0.0), (0.1, 0.2, 0.7), (0.0, 1.0, 0.0)), actions=2, **changes):
        return POMDP(
            mdp=build(),
            observation=np.repeat(np.array(rows)[None], actions, 0),
            **{"observations": ("left", "right", "ü"), **changes},
        )

    return make


@pytest.fixture
def same():
    """Assert that two models are equal, bit by bit."""

    def check(one, other):
        if isinstance(one, POMDP):
            assert one.observation.tobytes() == other.observation.tobytes()
            assert (one.observation.shape, one.observations) == (other.observation.shape, other.observations)
            one, other = one.mdp, other.mdp
        for name in ARRAYS:
            a, b = getattr(one, name), getattr(other, name)
            assert (a is None) == (b is None), name
            assert a is None or (a.dtype, a.tobytes()) == (b.dtype, b.tobytes()), name
        assert (one.states, one.actions) == (other.states, other.actions)
        assert {name: held.tolist() for name, held in one.labels.items()} == {
            name: held.tolist() for name, held in other.labels.items()
        }
        assert {field.name for field in dataclasses.fields(MDP)} == {*ARRAYS, "states", "actions", "labels"}

    return check
