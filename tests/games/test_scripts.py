import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.games import (
    Cleanup,
    GameError,
    GridState,
    Harvest,
    Recall,
    cleaner,
    forager,
    harvester,
    make,
    play,
    prisoners_dilemma,
    schelling,
    society,
    sustainable,
)
from suasion.games._scripts import FAR, _cleaned, _distances, _neighbours

KEY = jax.random.key(0)
CODES = {"@": 1, " ": 2, "A": 3, "H": 4, "R": 5}
UP, RIGHT, DOWN, LEFT = range(4)


def scene(rows, *agents):
    """A state from rows of letters and (row, column, heading) of each agent."""
    cells = jnp.array([[CODES[letter] for letter in row] for row in rows], jnp.uint8)
    where = jnp.array([agent[:2] for agent in agents], jnp.int32)
    heading = jnp.array([agent[2] for agent in agents], jnp.int32)
    return GridState(jnp.zeros((), jnp.int32), cells, where, heading, jnp.zeros_like(cells))


def harvest(rows, agents):
    """A Harvest on those rows: their apples' sites are sites, everything else that is free may spawn."""
    letters = "\n".join(row.replace(" ", "P") for row in rows)
    return Harvest(map=letters, agents=agents, view=3, horizon=10, generator="threefry")


@functools.partial(jax.jit, static_argnums=0)
def _act(policy, keys, state):
    return jax.vmap(policy, in_axes=(0, None))(keys, state)


def moves(policy, state):
    """Where each agent would step, as (row, column) differences, for 64 keys: [64, n, 2]."""
    ahead = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    quarter = {2: 0, 1: 1, 3: 2, 0: 3}
    actions = np.array(_act(policy, jax.random.split(KEY, 64), state))
    heading = np.array(state.heading)
    return np.array(
        [[ahead[(heading[i] + quarter[a]) % 4] if a != 4 else (0, 0) for i, a in enumerate(row)] for row in actions]
    )


_field = jax.jit(_distances)
_near = jax.jit(_neighbours, static_argnums=1)


def flood(cells, source):
    """Distances by breadth-first search over a set of free cells, the slow way."""
    found, frontier = {source: 0}, [source]
    while frontier:
        frontier = [(r + dr, c + dc) for r, c in frontier for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        depth = max(found.values()) + 1
        frontier = [cell for cell in dict.fromkeys(frontier) if cell in cells and cell not in found]
        found |= dict.fromkeys(frontier, depth)
    return found


@given(st.lists(st.booleans(), min_size=35, max_size=35), st.integers(0, 34))
def test_distances_are_those_of_breadth_first_search(walls, source):
    blocked = np.pad(np.array(walls).reshape(5, 7), 1, constant_values=True)
    start = divmod(source, 7)
    start = (start[0] + 1, start[1] + 1)
    marks = np.zeros_like(blocked)
    marks[start] = True
    free = frozenset(map(tuple, np.argwhere(~blocked).tolist()))
    field = np.array(_field(jnp.asarray(marks), jnp.asarray(blocked)))
    expected = flood(free | {start}, start)
    for cell in np.ndindex(*blocked.shape):
        assert field[cell] == expected.get(cell, FAR)


@given(st.lists(st.booleans(), min_size=20, max_size=20))
def test_neighbours_are_counted_by_the_variant_s_distance(flags):
    apples = np.array(flags).reshape(4, 5)
    for variant, near in (
        ("paper", lambda r, c: r * r + c * c <= 4),
        ("ssd", lambda r, c: max(abs(r), abs(c)) <= 1),
    ):
        counts = np.array(_near(jnp.asarray(apples), variant))
        for a in np.ndindex(4, 5):
            others = [b for b in np.ndindex(4, 5) if b != a and near(a[0] - b[0], a[1] - b[1])]
            assert counts[a] == sum(apples[b] for b in others)


@pytest.mark.parametrize("heading", range(4))
def test_a_forager_goes_the_shortest_way_whatever_its_heading(heading):
    rows = ["@@@@@@", "@  @A@", "@  @ @", "@    @", "@@@@@@"]
    game = harvest(rows, 1)
    state = scene(rows, (1, 1, heading))
    policy = forager(game)
    turn = jax.jit(lambda key, state: game.step(key, state, policy(key, state)))
    for _ in range(7):  # 2 down, 3 right, 2 up
        state, step = turn(KEY, state)
    assert float(step.reward[0]) == 1
    np.testing.assert_array_equal(state.position, [[1, 4]])


def test_what_may_not_be_eaten_is_walked_around():
    rows = ["@@@@@@@", "@ A   @", "@     @", "@   AA@", "@   AA@", "@@@@@@@"]
    game = harvest(rows, 1)
    # The lone apple is nearest; three of the four in the square have three others near.
    state = scene(rows, (1, 1, UP))
    assert (moves(forager(game), state) == (0, 1)).all()
    assert (moves(forager(game, 3), state) == (1, 0)).all()
    # Four neighbours that none has: nobody eats, and who stands off the sites stays.
    assert (moves(forager(game, 4), state) == 0).all()


def test_an_idle_forager_leaves_the_site_it_stands_on():
    rows = ["@@@@@@", "@AAAA@", "@ AA @", "@@@@@@"]
    game = harvest(rows, 1)
    bare = [row.replace("A", " ") for row in rows]
    assert (moves(forager(game, 1), scene(bare, (1, 1, DOWN))) == (1, 0)).all()
    assert (moves(forager(game, 1), scene(bare, (2, 1, DOWN))) == 0).all()


def test_agents_claim_different_apples_and_the_nearer_one_gets_the_nearest():
    rows = ["@@@@@@@@@", "@A  A  A@", "@       @", "@@@@@@@@@"]
    game = harvest(rows, 2)
    # Both are nearest to the apple in the middle; the second is nearer to it.
    took = moves(forager(game), scene(rows, (2, 3, UP), (2, 4, RIGHT)))
    assert (took[:, 1] == (-1, 0)).all()
    # At distance 1 each, chance decides, and the other one goes for the apple at its own end.
    both = moves(forager(game), scene(rows, (1, 3, UP), (1, 5, LEFT)))
    first, second = both[:, 0, 1], both[:, 1, 1]
    assert (first == second).all()
    assert set(first) == {-1, 1}  # fails falsely with probability 2^-63
    # One apple for two: the other one comes along.
    one = moves(forager(game), scene([rows[0], "@A      @", *rows[2:]], (1, 3, UP), (1, 5, UP)))
    assert (one == (0, -1)).all()


def test_two_who_meet_head_on_pass_each_other():
    rows = ["@@@@@@@@@", "@A     A@", "@       @", "@@@@@@@@@"]
    game = harvest(rows, 2)
    policy = forager(game)

    def body(state, key):
        key_game, key_policy = jax.random.split(key)
        state, step = game.step(key_game, state, policy(key_policy, state))
        return state, step.reward

    # Each has just been at the other's end: both apples are claimed, and someone idle never blocks the way.
    start = scene(rows, (1, 4, UP), (1, 5, DOWN))
    keys = jax.vmap(lambda key: jax.random.split(key, 20))(jax.random.split(KEY, 32))
    rewards = jax.vmap(lambda k: jax.lax.scan(body, start, k)[1])(keys)
    assert (np.array(rewards).sum(axis=(1, 2)) >= 2).all()


@jax.jit
def _gains(state):
    return _cleaned(state)


@functools.partial(jax.jit, static_argnums=0)
def _cleans(game, state):
    """Wastes that agent i cleans when it alone fires with heading h: [i, h]."""

    def one(i, heading):
        actions = jnp.full(3, 4).at[i].set(8)
        turned = state._replace(heading=jnp.full(3, heading, jnp.int32))
        return game.advance(game.draw(KEY), turned, actions)[1].events["cleans"][i]

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(jnp.arange(3), jnp.arange(4))


RIVER = Cleanup(map="@@@@@@@@@\n" + "@PPPRRRR@\n@PPPRR@R@\n@PP@RRRR@\n" * 2 + "@BPPRRRR@\n@@@@@@@@@", agents=3, view=3)
DRY = RIVER.reset(KEY)


@given(st.integers(0, 10_000))
def test_beams_clean_what_the_game_says_they_clean(seed):
    rng = np.random.default_rng(seed)
    cells = np.array(DRY.cells)
    cells[(cells == CODES["R"]) & (rng.random(cells.shape) < 0.3)] = CODES["H"]
    spots = rng.permutation(np.argwhere(cells != 1))[:3].astype(np.int32)
    state = DRY._replace(cells=jnp.asarray(cells), position=jnp.asarray(spots))
    np.testing.assert_array_equal(_gains(state), _cleans(RIVER, state))


def test_a_cleaner_fires_turns_or_walks():
    rows = "@@@@@@@@@@@\n@HRRRRRRBP@\n@@@@@@@@@@@"
    game = Cleanup(map=rows, agents=1, view=3)
    policy = jax.jit(cleaner(game, 0.0))
    ground = ["@@@@@@@@@@@", "@HRRRRRR  @", "@@@@@@@@@@@"]
    assert int(policy(KEY, scene(ground, (1, 4, LEFT)))[0]) == 8
    assert int(policy(KEY, scene(ground, (1, 4, UP)))[0]) == 6
    assert int(policy(KEY, scene(ground, (1, 4, DOWN)))[0]) == 5
    assert int(policy(KEY, scene(ground, (1, 4, RIGHT)))[0]) == 5
    assert int(policy(KEY, scene(ground, (1, 9, LEFT)))[0]) == 2
    # Above the limit, 1 / 7, it would rather eat: nothing there, so it stays (or leaves the apple site).
    lazy = jax.jit(cleaner(game, 0.2))
    assert int(lazy(KEY, scene(ground, (1, 9, LEFT)))[0]) == 4
    fruit = ["@@@@@@@@@@@", "@HRRRRRRA @", "@@@@@@@@@@@"]
    assert int(lazy(KEY, scene(fruit, (1, 9, LEFT)))[0]) == 2
    assert int(harvester(game)(KEY, scene(fruit, (1, 9, UP)))[0]) == 0


def test_greed_ruins_the_small_commons_and_restraint_does_not():
    """Standard deviations of single episodes: below 1 (greedy), 8 (sustainable); bars are 5 errors away."""
    game = make("harvest")
    greedy, restrained = (play(game, policy, KEY, 8) for policy in (forager(game), sustainable(game)))
    assert greedy.rewards.shape == (8, 250, 3)
    assert 20 <= greedy.events["apples"].sum(axis=(1, 2)).mean() < 23
    assert (greedy.events["apples_left"][:, -1] == 0).all()
    assert restrained.events["apples"].sum(axis=(1, 2)).mean() > 73
    assert (restrained.events["apples_left"] > 0).all()
    np.testing.assert_array_equal(greedy.rewards, greedy.events["apples"])  # nobody fires
    one = {name: values[0] for name, values in greedy.events.items()}
    assert society(greedy.rewards[0], one)["depletion"].value < 100


@pytest.mark.slow
def test_three_is_the_best_number_to_keep():
    game = make("harvest")
    apples = [play(game, forager(game, keep), KEY, 64).rewards.sum(axis=(1, 2)).mean() for keep in range(6)]
    np.testing.assert_allclose(apples, [20.5, 32.7, 61.7, 88.2, 52.4, 0], atol=5)
    assert np.argmax(apples) == sustainable(game).keep == 3


def test_the_schelling_diagram_of_harvest_is_a_dilemma():
    game = make("harvest")
    diagram = schelling(game, sustainable(game), forager(game, 2), 8, KEY)
    assert diagram.cooperator[0] is None
    assert diagram.defector[3] is None
    assert len(diagram.cooperator) == len(diagram.defector) == len(diagram.collective) == 4
    assert diagram.collective[3] > diagram.collective[0] + 10
    for c in range(3):  # measured gaps 12.7, 16.6 and 18.0; errors of the means about 1
        assert diagram.defector[c] > diagram.cooperator[c + 1] + 5


def test_the_schelling_diagram_of_cleanup_is_a_dilemma():
    game = make("cleanup")
    diagram = schelling(game, cleaner(game), harvester(game), 4, KEY)
    assert diagram.collective[0] == 0  # nobody cleans, nothing grows
    assert diagram.collective[3] > 100
    assert diagram.defector[2] > diagram.cooperator[3] + 30
    assert diagram.defector[1] > diagram.cooperator[2] + 10


def test_schelling_is_exact_for_a_matrix_game():
    game = prisoners_dilemma(horizon=10)
    diagram = schelling(game, Always(0), Always(1), 1, KEY)
    assert diagram.cooperator == (None, 0, 30)
    assert diagram.defector == (10, 40, None)
    assert diagram.collective == (20, 40, 60)


class Always:
    """Plays one action for ever."""

    def __init__(self, action):
        self.action = action

    def __call__(self, key, state):
        return jnp.full(2, self.action, jnp.int32)


def test_play_is_a_function_of_the_key():
    game = Recall(agents=2, horizon=6, symbols=2)
    first, again, other = (play(game, Always(0), jax.random.key(k), 3) for k in (1, 1, 2))
    np.testing.assert_array_equal(first.rewards, again.rewards)
    assert not np.array_equal(first.rewards, other.rewards)
    np.testing.assert_array_equal(first.events["correct"], first.rewards)
    assert not np.array_equal(first.rewards[0], first.rewards[1])


def test_numbers_out_of_range_are_refused():
    game = make("cleanup")
    with pytest.raises(GameError, match="keep is -1"):
        forager(make("harvest"), -1)
    with pytest.raises(GameError, match=r"below is 1.5, not 0 to 1"):
        cleaner(game, 1.5)
    with pytest.raises(GameError, match="episodes is 0"):
        play(game, cleaner(game), KEY, 0)
