import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.games import GameError, TMaze

FORWARD, LEFT, RIGHT = range(3)
CORRIDOR, JUNCTION, ARM, CUES = 1, 2, 3, (4, 5)

# Few shapes: each is compiled once.
GAMES = [TMaze(length=1, agents=1, horizon=3), TMaze(length=3, agents=2, horizon=8)]
VERBS = {game: (jax.jit(game.reset), jax.jit(game.observe), jax.jit(game.step)) for game in GAMES}


class Oracle:
    """One agent by the rules, in plain Python."""

    def __init__(self, game, cue):
        self.game, self.cue, self.walked, self.turned, self.time = game, cue, 0, None, 0

    def seen(self):
        if self.time == 0:
            return CUES[self.cue]
        if self.turned is not None:
            return ARM
        return JUNCTION if self.walked == self.game.length else CORRIDOR

    def act(self, action):
        self.time += 1
        if self.turned is not None:
            return 0.0
        if action == FORWARD:
            self.walked = min(self.walked + 1, self.game.length)
            return 0.0
        if self.walked < self.game.length:
            return 0.0
        self.turned = action - LEFT
        return float(self.turned == self.cue)


@given(st.sampled_from(GAMES), st.integers(0, 1000))
def test_every_step_is_that_of_the_rules(game, seed):
    rng = np.random.default_rng(seed)
    reset, observe, step = VERBS[game]
    state = reset(jax.random.key(seed))
    oracles = [Oracle(game, int(cue)) for cue in state.cue]
    for t in range(game.horizon):
        np.testing.assert_array_equal(observe(state).codes[:, 0, 0], [one.seen() for one in oracles])
        actions = rng.choice(3, size=game.agents, p=(0.6, 0.2, 0.2))
        state, outcome = step(jax.random.key(seed), state, jnp.asarray(actions, jnp.int32))
        expected = [one.act(action) for one, action in zip(oracles, actions, strict=True)]
        np.testing.assert_array_equal(outcome.reward, expected)
        np.testing.assert_array_equal(outcome.events["correct"], outcome.reward)
        assert bool(outcome.truncated) == (t + 1 == game.horizon)
        assert not outcome.terminated
    np.testing.assert_array_equal(observe(state).codes[:, 0, 0], [one.seen() for one in oracles])


def returns(game, choose, cue):
    """The return of one agent that answers `choose(what it saw so far)` with probabilities of the three actions."""
    total = 0.0
    open_paths = [(Oracle(game, cue), 1.0, ())]
    for _ in range(game.horizon):
        following = []
        for one, weight, seen in open_paths:
            seen = (*seen, one.seen())
            for action, probability in enumerate(choose(seen)):
                if probability:
                    after = Oracle(game, cue)
                    after.walked, after.turned, after.time = one.walked, one.turned, one.time
                    total += weight * probability * after.act(action)
                    following.append((after, weight * probability, seen))
        open_paths = following
    return total


def test_memory_reaches_the_ceiling_and_nothing_gives_more():
    game = TMaze(length=2, horizon=4)

    def remember(seen):
        if seen[-1] != JUNCTION:
            return (1.0, 0.0, 0.0)
        return (0.0, 1.0, 0.0) if seen[0] == CUES[0] else (0.0, 0.0, 1.0)

    assert [returns(game, remember, cue) for cue in (0, 1)] == [game.ceiling] * 2
    for cue, actions in itertools.product((0, 1), itertools.product(range(3), repeat=game.horizon)):
        one = Oracle(game, cue)
        assert sum(one.act(action) for action in actions) <= game.ceiling


def test_without_memory_no_policy_expects_more_than_chance():
    """All policies that map what is seen to one action, and random ones that map it to probabilities."""
    game, rng = TMaze(length=2, horizon=4), np.random.default_rng(0)
    certain = [np.eye(3)[list(actions)] for actions in itertools.product(range(3), repeat=5)]
    best = 0.0
    for table in [*certain, *rng.dirichlet(np.ones(3), size=(40, 5))]:
        value = np.mean([returns(game, lambda seen, table=table: table[seen[-1] - 1], cue) for cue in (0, 1)])
        best = max(best, value)
        assert value <= game.chance + 1e-12
    assert best == game.chance


def test_cues_are_fair_and_independent():
    game = TMaze(agents=2)
    cues = np.array(jax.vmap(lambda key: game.reset(key).cue)(jax.random.split(jax.random.key(1), 2000)))
    # Fixed seed; 5 standard deviations, a false alarm below 1e-6 for each comparison.
    assert (abs(cues.mean(0) - 0.5) < 5 * 0.5 / np.sqrt(2000)).all()
    assert abs(np.mean(cues[:, 0] == cues[:, 1]) - 0.5) < 5 * 0.5 / np.sqrt(2000)
    np.testing.assert_array_equal(game.observe(game.reset(jax.random.key(0))).visible, np.eye(2, dtype=bool))


def test_the_board_shows_the_mazes_and_where_the_agents_are():
    game = TMaze(length=2, agents=2, horizon=5)
    state = game.reset(jax.random.key(0))._replace(cue=jnp.array([0, 1]))
    letters = np.array(list("#.+-<>A"))

    def picture(state):
        return ["".join(row) for row in letters[np.array(game.board(state))]]

    assert picture(state) == ["##-", "<.+", "##-", "##-", ">.+", "##-"]
    for actions in ([0, 0], [0, 0], [1, 0]):
        state, _ = game.step(jax.random.key(0), state, jnp.array(actions))
    assert picture(state) == ["##A", "..+", "##-", "##-", "..A", "##-"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length is 0"),
        ({"agents": 0}, "agents is 0"),
        ({"length": 5, "horizon": 5}, "horizon is 5: .* above length, 5"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(GameError, match=message):
        TMaze(**options)
