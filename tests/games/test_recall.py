import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.games import GameError, Recall

sizes = st.builds(
    Recall,
    symbols=st.integers(2, 5),
    delay=st.integers(0, 3),
    agents=st.integers(1, 3),
    horizon=st.integers(4, 7),
)


def play(game, choose, key):
    """Returns [T, n] of an episode in which `choose(seen)` answers from all codes seen so far, [t + 1, n]."""
    state, seen, rewards = game.reset(key), [], []
    step = jax.jit(game.step)
    for t in range(game.horizon):
        seen.append(np.array(game.observe(state).codes[:, 0, 0]))
        state, outcome = step(jax.random.fold_in(key, t), state, jnp.asarray(choose(np.array(seen)), jnp.int32))
        rewards.append(np.array(outcome.reward))
        np.testing.assert_array_equal(outcome.events["correct"], outcome.reward)
        assert bool(outcome.truncated) == (t + 1 == game.horizon)
        assert not outcome.terminated
    return np.array(rewards)


@given(sizes, st.integers(0, 1000))
def test_perfect_memory_reaches_the_ceiling_exactly(game, seed):
    rewards = play(game, lambda seen: seen[max(len(seen) - 1 - game.delay, 0)], jax.random.key(seed))
    late = np.arange(game.horizon)[:, None] >= game.delay
    np.testing.assert_array_equal(rewards, np.broadcast_to(late, rewards.shape))
    assert (rewards.sum(axis=0) == game.ceiling).all()


@given(sizes, st.integers(0, 1000))
def test_an_answer_pays_where_it_is_the_delayed_symbol_and_nowhere_else(game, seed):
    rng = np.random.default_rng(seed)
    answers, shown = [], []

    def choose(seen):
        shown[:] = list(seen)
        answers.append(rng.integers(game.symbols, size=game.agents))
        return answers[-1]

    rewards = play(game, choose, jax.random.key(seed))
    expected = np.zeros_like(rewards)
    for t in range(game.delay, game.horizon):
        expected[t] = answers[t] == shown[t - game.delay]
    np.testing.assert_array_equal(rewards, expected)


def test_symbols_are_uniform_and_answering_what_is_on_show_is_at_chance():
    game = Recall(symbols=4, delay=2, agents=2, horizon=2002)

    def body(state, key):
        codes = game.observe(state).codes[:, 0, 0]
        state, outcome = game.step(key, state, codes.astype(jnp.int32))
        return state, (codes, outcome.reward)

    keys = jax.random.split(jax.random.key(3), game.horizon)
    _, (codes, rewards) = jax.lax.scan(body, game.reset(jax.random.key(4)), keys)
    # Fixed seed; 5 standard deviations, a false alarm below 1e-6 for each comparison.
    counts = np.bincount(np.array(codes).ravel(), minlength=4)
    assert (abs(counts - 1001) < 5 * np.sqrt(4004 * 3 / 16)).all()
    assert (abs(np.array(rewards).sum(axis=0) - game.chance) < 5 * np.sqrt(2000 * 3 / 16)).all()
    assert game.chance == 500


def test_agents_are_independent_and_see_only_themselves():
    game = Recall(agents=3)
    state = game.reset(jax.random.key(0))
    np.testing.assert_array_equal(game.observe(state).visible, np.eye(3, dtype=bool))
    np.testing.assert_array_equal(game.board(state), game.observe(state).codes[:, 0].T)
    symbols = jax.vmap(lambda key: game.reset(key).shown[:, 0])(jax.random.split(jax.random.key(1), 400))
    agree = np.mean(np.array(symbols[:, 0] == symbols[:, 1]))
    assert abs(agree - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 400)


def test_the_largest_uniform_still_gives_a_symbol():
    for symbols in (2, 3, 7, 255):
        game = Recall(symbols=symbols)
        largest = jnp.nextafter(jnp.ones(1, jnp.float32), jnp.zeros(1, jnp.float32))
        assert int(game._symbol(type(game.draw(jax.random.key(0)))(largest))[0]) == symbols - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": 1}, "symbols is 1"),
        ({"symbols": 256}, "symbols is 256"),
        ({"delay": -1}, "delay is -1"),
        ({"agents": 0}, "agents is 0"),
        ({"delay": 5, "horizon": 5}, "horizon is 5: .* above delay, 5"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(GameError, match=message):
        Recall(**options)
