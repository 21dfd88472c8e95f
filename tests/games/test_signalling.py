import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.games import GameError, Signalling

sizes = st.builds(Signalling, symbols=st.integers(2, 5), agents=st.integers(2, 4), horizon=st.integers(2, 7))


def play(game, choose, key):
    """What was seen, [T, n], and the rewards, [T, n], of an episode in which `choose(seen so far)` acts."""
    state, seen, rewards, step = game.reset(key), [], [], jax.jit(game.step)
    for t in range(game.horizon):
        seen.append(np.array(game.observe(state).codes[:, 0, 0]))
        actions = jnp.asarray(choose(np.array(seen)), jnp.int32)
        state, outcome = step(jax.random.fold_in(key, t), state, actions)
        rewards.append(np.array(outcome.reward))
        np.testing.assert_array_equal(outcome.reward, outcome.events["correct"])
        assert bool(outcome.truncated) == (t + 1 == game.horizon)
        assert not outcome.terminated
    return np.array(seen), np.array(rewards)


@given(sizes, st.integers(0, 1000))
def test_who_knows_what_was_shown_reaches_the_ceiling(game, seed):
    def told(seen):
        return np.array([seen[-1, 0], *[seen[-2, 0] if len(seen) > 1 else 0] * (game.agents - 1)])

    seen, rewards = play(game, told, jax.random.key(seed))
    np.testing.assert_array_equal(rewards[0], np.arange(game.agents) == 0)
    assert (rewards[1:] == 1).all()
    assert rewards.sum() == game.ceiling
    assert (seen[:, 1:] == game.symbols).all()  # nothing
    assert (seen[:, 0] < game.symbols).all()


@given(sizes, st.integers(0, 1000))
def test_each_is_paid_for_its_own_right_answer(game, seed):
    rng, answers = np.random.default_rng(seed), []

    def choose(seen):
        answers.append(rng.integers(game.symbols, size=game.agents))
        return answers[-1]

    seen, rewards = play(game, choose, jax.random.key(seed))
    for t in range(1, game.horizon):
        right = np.array([seen[t, 0], *[seen[t - 1, 0]] * (game.agents - 1)])
        np.testing.assert_array_equal(rewards[t], answers[t] == right)


def test_symbols_are_uniform_and_answers_that_know_nothing_are_at_chance():
    game = Signalling(symbols=4, agents=3, horizon=2001)

    def body(state, key):
        shown = game.observe(state).codes[0, 0, 0]
        state, outcome = game.step(key, state, jnp.array([shown, 1, 2]).astype(jnp.int32))
        return state, (shown, outcome.reward)

    keys = jax.random.split(jax.random.key(3), game.horizon)
    _, (shown, rewards) = jax.lax.scan(body, game.reset(jax.random.key(4)), keys)
    # Fixed seed; 5 standard deviations, a false alarm below 1e-6 for each of the five comparisons.
    counts = np.bincount(np.array(shown), minlength=4)
    assert (abs(counts - 2001 / 4) < 5 * np.sqrt(2001 * 3 / 16)).all()
    # Of two answers that name different symbols at most one is right: the variance of a step is 1/4.
    assert abs(np.array(rewards).sum() - game.chance) < 5 * np.sqrt(2000 / 4)


def test_what_is_seen_and_shown():
    game = Signalling(symbols=3, agents=3)
    state = game.reset(jax.random.key(0))
    np.testing.assert_array_equal(game.observe(state).visible, np.eye(3, dtype=bool))
    np.testing.assert_array_equal(game.board(state), [[state.shown[0]]])
    assert game.available_actions(state).all()
    largest = type(game.draw(jax.random.key(0)))(jnp.nextafter(jnp.float32(1), jnp.float32(0)))
    for symbols in (2, 3, 7, 255):
        assert int(Signalling(symbols=symbols)._symbol(largest)) == symbols - 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"symbols": 1}, "symbols is 1"),
        ({"symbols": 256}, "symbols is 256"),
        ({"agents": 1}, "agents is 1, not at least 2"),
        ({"horizon": 1}, "horizon is 1"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(GameError, match=message):
        Signalling(**fields)
