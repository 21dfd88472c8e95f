"""Runs in lockstep end with the bits of runs one after the other: tables, streams, episodes, whatever stops them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.markov import MDP, from_arrays
from suasion.td import EpsilonGreedy, ExpectedSarsa, QLearning, Sarsa, learn
from suasion.td import _play as playing
from suasion.td._lanes import LOCKSTEP, lockstep
from suasion.td._random import undone, uniform

RULES = (Sarsa, ExpectedSarsa, QLearning)


def grown(seed, states, actions, branches, end, integer):
    """A model with one end, whole rewards for many ties or else real ones; no chance where there is one branch."""
    rng = np.random.default_rng(seed)
    counts = np.where(np.arange(states) == end, 0, actions)
    choices = int(counts.sum())
    return MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=branches * np.arange(choices + 1),
        target=np.concatenate([rng.choice(states, branches, replace=False) for _ in range(choices)]),
        probability=rng.dirichlet(np.ones(branches), choices).ravel(),
        choice_reward=rng.integers(-1, 2, choices).astype(float) if integer else rng.normal(size=choices),
        normalise=True,
        terminal=counts == 0,
    )


def both(monkeypatch, *arguments, **asked):
    """The same question to both loops."""
    fast = learn(*arguments, **asked, exact=False)
    with monkeypatch.context() as patch:
        patch.setattr(playing, "LOCKSTEP", ())
        slow = learn(*arguments, **asked, exact=False)
    return fast, slow


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("branches", [1, 3])
@pytest.mark.parametrize(
    "asked",
    [
        {"steps": 400, "checkpoints": [0, 1, 2, 131]},
        {"steps": 700, "time_limit": 3, "runs": 37, "discount": 1.0},
        {"episodes": 25, "checkpoints": [3, 4], "time_limit": 40, "block": 5},
        {"episodes": 300, "time_limit": 2, "runs": 20, "block": 33},
        {"steps": 2000, "time_limit": 2, "runs": 21},
        {"steps": 350, "epsilon": 0.0, "block": 1, "start": 1.0},
        {"steps": 350, "epsilon": 1.0, "integer": True, "threads": 1},
    ],
)
def test_lockstep_is_one_after_the_other(monkeypatch, rule, branches, asked):
    asked = {"runs": 19, "discount": 0.9, "threads": 2, **asked}
    exploration = EpsilonGreedy(epsilon=asked.pop("epsilon", 0.2))
    mdp = grown(branches, 7, 3, branches, 5, asked.pop("integer", False))
    fast, slow = both(monkeypatch, mdp, rule(step_size=0.3, exploration=exploration), seed=4, **asked)
    for name in ("q", "returns", "lengths", "steps"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name), err_msg=name)


@pytest.mark.parametrize("actions", [2, 4, 6])
def test_lockstep_with_any_number_of_choices_and_many_ties(monkeypatch, actions):
    mdp = grown(9, 12, actions, 2, 3, True)
    fast, slow = both(monkeypatch, mdp, QLearning(step_size=1.0), discount=1.0, runs=30, steps=500, time_limit=17)
    np.testing.assert_array_equal(fast.q, slow.q)
    np.testing.assert_array_equal(fast.lengths, slow.lengths)


def test_lockstep_is_what_runs_where_it_can_and_only_there(monkeypatch):
    compiled = []
    monkeypatch.setattr(playing, "lockstep", lambda *key: compiled.append(key) or lockstep(*key))
    mdp = grown(0, 7, 3, 3, 5, False)
    learn(mdp, QLearning(), discount=0.9, runs=3, steps=10, exact=False)
    assert compiled == [(LOCKSTEP[2], 3)]
    learn(mdp, QLearning(), discount=0.9, runs=2, steps=10, exact=False)
    learn(mdp, QLearning(exploration=EpsilonGreedy(ties="first")), discount=0.9, runs=3, steps=10, exact=False)
    assert len(compiled) == 1


def test_values_that_overflow_stay_in_their_table():
    """No value is the greatest of a row that holds none: the choice must still be one of the row."""
    p = np.array([[[0.5, 0.5], [0.5, 0.5]]] * 3)
    mdp = from_arrays(p, np.array([[1.7e308] * 3, [-1.7e308] * 3]))
    with pytest.raises(ValueError, match=r"run 0: the value of .* has become (nan|-?inf)"):
        learn(mdp, QLearning(step_size=1.0), discount=1.0, runs=20, steps=5000, exact=False)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_number_taken_back(s0, s1):
    _, after0, after1 = uniform(np.uint64(s0), np.uint64(s1))
    assert tuple(map(int, undone(np.uint64(after0), np.uint64(after1)))) == (s0, s1)
