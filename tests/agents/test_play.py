"""Whole episodes for the record."""

import jax
import numpy as np
import pytest

from suasion.agents import observe
from suasion.games import Recall, prisoners_dilemma

E = 5


def params_of(policy, quick, at_random, scale=1.0):
    return at_random(quick(policy.init)(jax.random.key(0)), 1, scale)


def without_keys(played):
    """NumPy cannot hold keys, and those of the game differ where nothing depends on them."""
    return played._replace(trajectory=played.trajectory._replace(key=None))


def test_recall_is_recorded_from_the_first_symbol_to_the_last(make_policy, verbs, quick, at_random):
    game = Recall(symbols=3, delay=2, agents=2, horizon=9)
    policy = make_policy(game, last_actions=True, vocabulary=2)
    params = params_of(policy, quick, at_random)
    played = verbs.play(game, policy, params, jax.random.key(3), E)
    assert played.boards.shape == (10, E, 1, 2)
    assert played.views.shape == (10, E, 2, 1, 1)
    assert played.actions.shape == played.messages.shape == played.rewards.shape == (9, E, 2)
    shown = np.asarray(played.views[:, :, :, 0, 0])
    np.testing.assert_array_equal(played.boards[:, :, 0], shown)
    right = np.asarray(played.actions[2:]) == shown[:-3]  # the symbol of two steps before
    np.testing.assert_array_equal(played.rewards[2:], right)
    np.testing.assert_array_equal(played.rewards[:2], 0.0)
    np.testing.assert_array_equal(played.events["correct"], played.rewards)
    assert len({*np.asarray(played.messages).ravel().tolist()}) == 2
    again = verbs.play(game, policy, params, jax.random.key(3), E)
    jax.tree.map(np.testing.assert_array_equal, without_keys(again), without_keys(played))


def test_the_last_state_is_there(clockwork, make_policy, verbs, quick, at_random):
    game = clockwork(immortal=True)
    policy = make_policy(game)
    played = verbs.play(game, policy, params_of(policy, quick, at_random), jax.random.key(0), E)
    np.testing.assert_array_equal(played.boards[:, :, 0, 0], np.broadcast_to(np.arange(7)[:, None], (7, E)))
    np.testing.assert_array_equal(played.views[:, :, 1, 0, 0], played.boards[:, :, 0, 0])
    assert played.messages is None
    np.testing.assert_array_equal(played.trajectory.states.time, np.broadcast_to(np.arange(6)[:, None], (6, E)))
    time = np.arange(1, 7)[:, None]
    np.testing.assert_allclose(played.rewards[..., 1], 2 * time + np.asarray(played.actions[..., 1]) / 10, rtol=1e-6)


def test_greedy_play_leaves_nothing_to_chance(make_policy, verbs, quick, at_random):
    game = prisoners_dilemma(horizon=12)
    policy = make_policy(game)
    params = params_of(policy, quick, at_random, 0.3)
    greedy = [verbs.play(game, policy, params, jax.random.key(k), E, greedy=True) for k in (1, 2)]
    jax.tree.map(np.testing.assert_array_equal, *(without_keys(played) for played in greedy))
    np.testing.assert_array_equal(greedy[0].actions, np.asarray(greedy[0].actions)[:, :1].repeat(E, 1))
    sampled = np.asarray(verbs.play(game, policy, params, jax.random.key(1), E).actions)
    assert (sampled != sampled[:, :1]).any()
    actors = verbs.begin(game, policy, params, jax.random.key(0), E, staggered=False)
    _, outputs = quick(policy.step)(params, actors.memory, observe(game, policy, actors), actors.start)
    np.testing.assert_array_equal(greedy[0].actions[0], np.argmax(outputs["action"].logits, -1))


def test_a_game_without_a_time_limit_is_refused(clockwork, make_policy, verbs, quick, at_random):
    game = clockwork(horizon=None)
    policy = make_policy(game)
    with pytest.raises(ValueError, match="clockwork has no time limit"):
        verbs.play(game, policy, params_of(policy, quick, at_random), jax.random.key(0), 2)
