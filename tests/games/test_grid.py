"""The grid games keep the contract of `Game`, and their random numbers are random.

Rules are tested elsewhere, step by step against an oracle. Statistical tests have fixed keys; each says how
often a sound generator would fail it.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from suasion.games import (
    SMALL_CLEANUP_MAP,
    SMALL_HARVEST_MAP,
    BoxTrapped,
    Cleanup,
    GameError,
    Harvest,
)
from suasion.games import _grid as grid
from suasion.games._cleanup import kth
from suasion.games._random import uniforms

SMALL_HARVEST = Harvest(map=SMALL_HARVEST_MAP, agents=3, view=7, horizon=6, hit_cost=5.0)
SMALL_CLEANUP = Cleanup(map=SMALL_CLEANUP_MAP, agents=4, view=5, horizon=6, variant="ssd", generator="threefry")
GAMES = [SMALL_HARVEST, SMALL_CLEANUP, BoxTrapped(horizon=6)]
each_game = pytest.mark.parametrize("game", GAMES, ids=lambda game: game.spec.name)

first = jax.jit(lambda game, key: game.reset(key), static_argnums=0)
sight = jax.jit(lambda game, state: game.observe(state), static_argnums=0)


def equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def random_actions(game, key):
    return jax.random.randint(key, (game.spec.agents,), 0, len(game.spec.actions))


@functools.partial(jax.jit, static_argnums=0)
def played(game, key):
    """Of 400 random steps: states before, actions, what the steps gave, views and boards before."""

    def body(state, key):
        key_action, key_step = jax.random.split(key)
        actions = random_actions(game, key_action)
        after, step = game.step(key_step, state, actions)
        return after, (state, actions, step, game.observe(state), game.board(state))

    key_reset, key_play = jax.random.split(key)
    return jax.lax.scan(body, game.reset(key_reset), jax.random.split(key_play, 400))[1]


@each_game
def test_a_batch_of_steps_is_advance_of_draw_for_each(game):
    keys = jax.random.split(jax.random.key(4), 3)
    states = jax.vmap(game.reset)(keys)
    actions = jax.vmap(functools.partial(random_actions, game))(keys)
    batch = jax.jit(jax.vmap(game.step))(keys, states, actions)
    sights = jax.jit(jax.vmap(game.observe))(states)
    draw, advance = jax.jit(game.draw), jax.jit(game.advance)
    for i in range(3):
        state, seen, after = jax.tree.map(lambda leaf, i=i: leaf[i], (states, sights, batch))
        assert equal(state, first(game, keys[i]))
        assert equal(seen, sight(game, state))
        assert equal(after, advance(draw(keys[i]), state, actions[i]))


@each_game
def test_draws_are_uniforms_of_their_own(game):
    draws = jax.jit(game.draw)(jax.random.key(1))
    numbers = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(draws)])
    assert numbers.dtype == np.float32
    assert (numbers.min() >= 0, numbers.max() < 1) == (True, True)
    assert len(set(numbers.tolist())) >= len(numbers) - 1


@each_game
def test_games_are_static_arguments(game):
    same = type(game)(**{name: getattr(game, name) for name in game.__dataclass_fields__})
    other = type(game)(**{**{name: getattr(game, name) for name in game.__dataclass_fields__}, "view": 9})
    assert (game == same, hash(game) == hash(same), game == other) == (True, True, False)
    assert sight(other, first(other, jax.random.key(0))).codes.shape[1:] == (9, 9)
    with pytest.raises(AttributeError):
        game.view = 3


@each_game
def test_spec_says_what_is_played(game):
    spec = game.spec
    states, _, steps, sights, boards = played(game, jax.random.key(5))
    assert len(spec.palette) == len(spec.classes) == len(set(spec.classes))
    assert spec.colours.shape == (len(spec.classes), 3)
    assert states.time.tolist() == list(range(400))
    assert sights.codes.shape == (400, spec.agents, *spec.view)
    assert (sights.codes.dtype, boards.dtype) == (jnp.uint8, jnp.uint8)
    assert boards.shape == (400, *spec.board)
    assert max(sights.codes.max(), boards.max()) < len(spec.classes)
    assert sights.visible.shape == (400, spec.agents, spec.agents)
    assert (steps.reward.shape, steps.reward.dtype) == ((400, spec.agents), jnp.float32)
    assert set(steps.events) == {event.name for event in spec.events}
    for event in spec.events:
        assert steps.events[event.name].shape == ((400, spec.agents) if event.per_agent else (400,))
        assert steps.events[event.name].dtype == jnp.float32
    available = game.available_actions(first(game, jax.random.key(0)))
    assert available.shape == (spec.agents, len(spec.actions))
    assert available.all()


@each_game
def test_an_episode_is_cut_at_its_horizon_and_never_over(game):
    steps = played(game, jax.random.key(6))[2]
    assert steps.truncated.tolist() == [False] * 5 + [True] * 395
    assert not steps.terminated.any()


@each_game
def test_a_key_decides_and_another_decides_otherwise(game):
    one, again, other = (played(game, jax.random.key(seed)) for seed in (7, 7, 8))
    assert equal(one, again)
    assert not equal(one[0], other[0])


def test_reset_spreads_the_agents():
    # 4,000 resets; each of the 15 tests below fails once in 10,000 for a sound generator.
    game = SMALL_HARVEST
    states = jax.jit(jax.vmap(game.reset))(jax.random.split(jax.random.key(9), 4000))
    spawns = [(r, c) for r, row in enumerate(game.map.split("\n")) for c in range(len(row)) if row[c] == "P"]
    place = np.array([[spawns.index(tuple(cell)) for cell in agents] for agents in np.asarray(states.position)])
    assert (np.sort(place, 1)[:, 1:] > np.sort(place, 1)[:, :-1]).all()
    for agent in range(3):
        assert stats.chisquare(np.bincount(place[:, agent], minlength=5)).pvalue > 1e-4
        assert stats.chisquare(np.bincount(states.heading[:, agent], minlength=4)).pvalue > 1e-4
        other = (agent + 1) % 3
        pairs = np.bincount(5 * place[:, agent] + place[:, other], minlength=25).reshape(5, 5)
        assert stats.chisquare(pairs[~np.eye(5, dtype=bool)]).pvalue > 1e-4
        headings = np.bincount(4 * states.heading[:, agent] + states.heading[:, other], minlength=16)
        assert stats.chisquare(headings).pvalue > 1e-4
        both = np.bincount(4 * place[:, agent] + states.heading[:, agent], minlength=20)
        assert stats.chisquare(both).pvalue > 1e-4
    assert not states.time.any()
    assert not states.beams.any()


def test_the_free_agent_starts_anywhere_outside_the_box():
    # False alarm: once in 10,000.
    game = BoxTrapped()
    position = jax.jit(jax.vmap(game.reset))(jax.random.split(jax.random.key(10), 8000)).position
    assert (position[:, 1] == jnp.array([[4, 4]])).all()
    counts = np.zeros((9, 9), int)
    np.add.at(counts, tuple(np.asarray(position[:, 0]).T), 1)
    floor = np.array([[letter in " A" for letter in row] for row in game.map.split("\n")])
    assert not counts[~floor].any()
    assert stats.chisquare(counts[floor]).pvalue > 1e-4


@pytest.mark.parametrize(("kind", "text", "agents"), [(Cleanup, SMALL_CLEANUP_MAP, 1), (Harvest, SMALL_HARVEST_MAP, 5)])
def test_from_one_agent_to_one_on_every_spawn_cell(kind, text, agents):
    game = kind(map=text, agents=agents, view=3)
    state = first(game, jax.random.key(11))
    actions = jnp.arange(agents) % 9
    state, step = jax.jit(game.step)(jax.random.key(11), state, actions)
    assert state.position.shape == (agents, 2)
    assert step.reward.shape == (agents,)
    assert (sight(game, state).codes[:, 1, 1] == 9 + np.arange(agents)).all()
    with pytest.raises(GameError, match=f"{text.count('P') + 1} agents"):
        kind(map=text, agents=text.count("P") + 1)


@pytest.mark.parametrize("game", [SMALL_HARVEST, SMALL_CLEANUP], ids=["harvest", "cleanup"])
def test_what_never_changes(game):
    states, actions, steps, _, boards = played(game, jax.random.key(12))
    place = np.asarray(states.position[:, :, 0] * 11 + states.position[:, :, 1])
    assert all(len(set(agents)) == len(agents) for agents in place)
    swaps = (place[1:, :, None] == place[:-1, None, :]) & (place[:-1, :, None] == place[1:, None, :])
    assert not (swaps & (place[1:] != place[:-1])[:, :, None]).any()
    assert (abs(np.diff(states.position, axis=0)).sum(2) <= (actions[:-1] < 4)).all()
    cells, ground = np.asarray(states.cells), game._ground
    assert ((cells == 1) == (ground.start == 1)[None]).all()
    assert not (cells == 3)[:, ~ground.sites].any()
    river = (cells == 4) | (cells == 5)
    assert (river == river[:1]).all()
    events = steps.events
    paid = events["apples"] - game.fire_cost * events["fires"] - game.hit_cost * events["hits"]
    assert np.array_equal(steps.reward, paid)
    assert np.array_equal(events["fires"], actions == 7)
    assert (events["hits"].sum(1) <= 3 * events["fires"].sum(1)).all()
    assert ((boards >= 9).sum((1, 2)) == game.agents).all()
    assert events["apples"].sum() > 0
    assert events["hits"].sum() > 0


def views_by_hand(game, state):
    """The view of each agent by padding, slicing and `np.rot90`."""
    half = game.view // 2
    board = np.where(np.asarray(state.beams) > 0, state.beams, state.cells)
    if game.variant == "ssd":
        board = np.array(state.cells)
    for agent, (row, column) in enumerate(state.position):
        board[row, column] = 9 + agent
    board = np.pad(board, half)
    quarter = [0, 1, 2, 3] if game.variant == "paper" else [0, 3, 2, 1]
    windows = [board[r : r + game.view, c : c + game.view] for r, c in np.asarray(state.position)]
    return [np.rot90(w, quarter[int(heading)]) for w, heading in zip(windows, state.heading, strict=True)]


@pytest.mark.parametrize(("view", "variant"), [(1, "paper"), (7, "paper"), (31, "paper"), (31, "ssd"), (5, "ssd")])
def test_views_of_all_odd_sides(variant, view):
    states = jax.tree.map(lambda leaf: leaf[:12], played(SMALL_HARVEST, jax.random.key(13))[0])
    game = Harvest(map=SMALL_HARVEST_MAP, agents=3, view=view, variant=variant)
    sights = jax.jit(jax.vmap(game.observe))(states)
    assert set(np.unique(states.heading)) == {0, 1, 2, 3}
    assert states.beams.any()
    for t in range(12):
        state = jax.tree.map(lambda leaf, t=t: np.asarray(leaf[t]), states)
        assert np.array_equal(sights.codes[t], views_by_hand(game, state))
        far = abs(state.position[:, None] - state.position[None]).max(2)
        assert np.array_equal(sights.visible[t], far <= view // 2)


@pytest.mark.parametrize(
    ("game", "options", "message"),
    [
        (Harvest, {"view": 8}, "view 8 has no centre"),
        (Harvest, {"view": -3}, "view -3"),
        (Cleanup, {"view": 0}, "view 0"),
        (BoxTrapped, {"view": 2}, "view 2"),
        (Harvest, {"horizon": 0}, "horizon 0 is below 1"),
        (Cleanup, {"horizon": -5}, "horizon -5"),
        (BoxTrapped, {"horizon": 0}, "horizon 0"),
        (Harvest, {"agents": 21}, "21 agents, but the map has 20 spawn cells"),
        (Cleanup, {"agents": 11}, "11 agents, but the map has 10 spawn cells"),
        (Cleanup, {"agents": -1}, "-1 agents"),
        (Harvest, {"fire_cost": float("nan")}, "fire_cost nan"),
        (Cleanup, {"hit_cost": float("inf")}, "hit_cost inf"),
    ],
)
def test_options_that_cannot_be_are_refused(game, options, message):
    with pytest.raises(GameError, match=message):
        game(**options)


def test_words_that_are_no_option_are_refused():
    # Called directly: under the type checker of these tests the constructors never see such a word.
    with pytest.raises(GameError, match="variant 'papers' is neither"):
        grid.check_variant("Harvest", "papers", 1.0, 50.0)
    with pytest.raises(GameError, match="generator 'dice' is neither"):
        grid.check_options("Harvest", 15, 1000, "dice")


def test_colours_of_many_agents_differ():
    colours = grid.agent_colours(247)
    assert colours[:2] == ((0, 0, 255), (2, 81, 154))
    assert len(set(colours)) == 247
    assert grid.agent_colours(3) == colours[:3]


@hypothesis.given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(0, 199))
def test_kth_finds_the_kth(flags, k):
    true = np.flatnonzero(flags)
    if k < len(true):
        assert kth(jnp.array(flags), jnp.array(k)) == true[k]


@hypothesis.given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75]), min_size=1, max_size=12))
def test_ranks_are_those_of_a_stable_sort(values):
    assert np.array_equal(grid.ranks(jnp.array(values)), np.argsort(np.argsort(values, kind="stable")))


def test_a_stage_computed_alone_has_the_same_value():
    x = jnp.arange(12, dtype=jnp.float32).reshape(3, 4)
    stage = lambda x, y: {"sum": jnp.cumsum(x) + y, "least": x.min()}  # noqa: E731
    fenced = jax.jit(jax.vmap(lambda x: grid.alone(stage, x, 2 * x)))
    assert equal(fenced(x), jax.vmap(lambda x: stage(x, 2 * x))(x))
    # If a later compiler sees through the fence, nothing breaks, but steps get many times slower.
    assert "conditional(" in fenced.lower(x).compile().as_text() or jax.default_backend() != "cpu"


def many(generator, keys, count, start=0):
    draw = jax.jit(jax.vmap(lambda key: uniforms(key, count, generator, start)))
    return np.asarray(draw(keys))


def uniform_p(values, bins=256):
    return stats.chisquare(np.bincount((values * bins).astype(int).ravel(), minlength=bins)).pvalue


def pair_p(one, other, bins=16):
    cells = (one * bins).astype(int) * bins + (other * bins).astype(int)
    return stats.chisquare(np.bincount(cells.ravel(), minlength=bins * bins)).pvalue


@pytest.mark.parametrize("generator", ["mixer", "threefry"])
def test_uniforms_are_uniform_and_independent(generator):
    # The same 16 tests for the cheap generator as for JAX's; a sound one fails each once in 10,000.
    neighbours = jax.vmap(jax.random.key)(jnp.arange(512))  # keys that differ in their lowest bits only
    split = jax.random.split(jax.random.key(1), 512)
    for keys in (neighbours, split):
        u = many(generator, keys, 512)
        assert u.dtype == np.float32
        assert (u.min() >= 0, u.max() < 1) == (True, True)
        bits = (u * 2**24).astype(np.int64)
        assert np.array_equal(bits * np.float32(2**-24), u)
        assert uniform_p(u) > 1e-4
        assert uniform_p((bits >> 1 & 255) / 256) > 1e-4  # the low bits (threefry's last is always 0)
        assert pair_p(u[:, :-1], u[:, 1:]) > 1e-4  # next counter
        assert pair_p(u[:-1], u[1:]) > 1e-4  # next key
        assert pair_p(u[:-1, 1:], u[1:, :-1]) > 1e-4  # next key, previous counter
        assert pair_p(u[:, :-8:16], u[:, 8::16]) > 1e-4
        triples = (u[:, :-2] * 8).astype(int) * 64 + (u[:, 1:-1] * 8).astype(int) * 8 + (u[:, 2:] * 8).astype(int)
        assert stats.chisquare(np.bincount(triples.ravel(), minlength=512)).pvalue > 1e-4
        # Sums over a list and over keys vary as sums of independent numbers do.
        for axis in (0, 1):
            score = ((u.sum(axis) - 256) ** 2 / (512 / 12)).sum()
            assert 1e-4 < stats.chi2(512).sf(score) < 1 - 1e-4


def test_one_bit_of_the_key_changes_half_of_the_bits():
    # 128 keys x 64 flips x 64 numbers x 24 bits: the share of changed bits is within 4 standard errors of 1/2
    # for each of the 64 bits of the key; a sound generator fails once in 250 such tests (64 x 6e-5).
    words = np.random.default_rng(0).integers(0, 2**32, (128, 2), dtype=np.uint32)
    flips = np.zeros((64, 2), np.uint32)
    flips[np.arange(64), np.arange(64) // 32] = np.uint32(1) << (np.arange(64) % 32).astype(np.uint32)
    wrap = jax.vmap(jax.random.wrap_key_data)
    bits = [
        (many("mixer", wrap(jnp.asarray(w.reshape(-1, 2))), 64) * 2**24).astype(np.uint32)
        for w in (words, words[None] ^ flips[:, None])
    ]
    changed = np.bitwise_count(bits[0][None] ^ bits[1].reshape(64, 128, 64)).mean((1, 2)) / 24
    assert abs(changed - 0.5).max() < 4 * 0.5 / np.sqrt(128 * 64 * 24)


def test_lists_with_other_counters_and_other_generators():
    key = jax.random.key(2)
    whole = uniforms(key, 100)
    assert np.array_equal(whole[40:], uniforms(key, 60, first=40))
    assert not np.array_equal(uniforms(key, 60, "threefry"), uniforms(key, 60, "threefry", 40))
    wide = jax.random.key(2, impl="rbg")  # four words
    assert uniform_p(np.asarray(uniforms(wide, 2**14)), 64) > 1e-4
    others = [jax.random.wrap_key_data(jax.random.key_data(wide).at[i].add(1), impl="rbg") for i in range(4)]
    assert len({uniforms(other, 1).item() for other in (wide, *others)}) == 5


def test_the_threefry_option_is_jaxs_own():
    key = jax.random.key(5)
    assert np.array_equal(uniforms(key, 50, "threefry"), jax.random.uniform(key, (50,)))
