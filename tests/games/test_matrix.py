import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suasion.games import GameError, MatrixGame, chicken, prisoners_dilemma, pure_coordination, stag_hunt

KEY = jax.random.key(0)


@st.composite
def tables(draw):
    """A payoff table of 1 to 3 agents as a nested list, with its float32 array [a, ..., n]."""
    agents, actions = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    shape = (actions,) * agents + (agents,)
    numbers = st.floats(-100, 100, width=32)
    array = draw(hnp.arrays(np.float32, shape, elements=numbers))
    return array.tolist(), array


@given(tables())
def test_every_joint_action_pays_what_the_table_says(table):
    nested, array = table
    game = MatrixGame(payoffs=nested, horizon=3)
    joint = np.stack(np.meshgrid(*[range(s) for s in array.shape[:-1]], indexing="ij"), -1)
    joint = joint.reshape(-1, game.spec.agents)
    state = game.reset(KEY)
    after, step = jax.vmap(lambda actions: game.advance((), state, actions))(jnp.asarray(joint))
    np.testing.assert_array_equal(step.reward, array.reshape(-1, game.spec.agents))
    np.testing.assert_array_equal(after.last, joint + 1)
    for k, name in enumerate(game.spec.actions):
        np.testing.assert_array_equal(step.events[name], joint == k)


def test_views_are_cyclic_with_oneself_first():
    table = np.zeros((4, 4, 4, 3)).tolist()
    game = MatrixGame(payoffs=table)
    first = game.reset(KEY)
    np.testing.assert_array_equal(game.observe(first).codes, np.zeros((3, 1, 3)))
    state, _ = game.step(KEY, first, jnp.array([3, 1, 0]))
    sight = game.observe(state)
    np.testing.assert_array_equal(sight.codes[:, 0], [[4, 2, 1], [2, 1, 4], [1, 4, 2]])
    assert sight.codes.dtype == np.uint8
    assert sight.visible.all()
    assert sight.visible.shape == (3, 3)
    np.testing.assert_array_equal(game.board(state), [[4, 2, 1]])


def test_the_last_round_is_truncated_and_never_terminated():
    game = prisoners_dilemma(horizon=4)
    state, ends = game.reset(KEY), []
    for _ in range(4):
        state, step = game.step(KEY, state, jnp.array([0, 1]))
        ends.append((bool(step.terminated), bool(step.truncated)))
    assert ends == [(False, False)] * 3 + [(False, True)]
    assert int(state.time) == 4


def test_the_dilemmas_have_the_order_of_payoffs_that_defines_them():
    def values(game):
        table = np.array(game.payoffs)
        np.testing.assert_array_equal(table[..., 0], table[..., 1].T)  # symmetric
        reward, sucker, temptation, punishment = table[..., 0].ravel()
        return reward, sucker, temptation, punishment

    r, s, t, p = values(prisoners_dilemma())
    assert t > r > p > s
    assert 2 * r > t + s
    r, s, t, p = values(stag_hunt())
    assert r > t > p > s
    r, s, t, p = values(chicken())
    assert t > r > s > p


def test_pure_coordination_pays_equal_choices_only():
    game = pure_coordination(3)
    np.testing.assert_array_equal(np.array(game.payoffs)[..., 0], np.eye(3))
    np.testing.assert_array_equal(np.array(game.payoffs)[..., 1], np.eye(3))
    with pytest.raises(GameError, match="actions is 1"):
        pure_coordination(1)


def test_games_are_equal_and_hashable_by_value():
    assert prisoners_dilemma() == prisoners_dilemma()
    assert hash(stag_hunt()) == hash(stag_hunt())
    assert prisoners_dilemma() != prisoners_dilemma(horizon=7)
    assert MatrixGame(payoffs=[[1.0], [2.0]]) == MatrixGame(payoffs=((1.0,), (2.0,)))


def test_classes_colours_and_masks_fit_together():
    game = pure_coordination(5)
    spec = game.spec
    assert spec.classes == ("none", *spec.actions)
    assert spec.colours.shape == (6, 3)
    assert len(set(spec.palette)) == 6
    assert game.available_actions(game.reset(KEY)).shape == (2, 5)
    assert game.available_actions(game.reset(KEY)).all()


@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        ([[[1, 1], [2, 2]], [[3, 3]]], r"payoffs\[1\] has 1 entries; it needs 2 entries, one per action"),
        ([[[1, 1], [2, 2]], [[3, 3], [4, 4, 4]]], r"payoffs\[1\]\[1\] has 3 entries; it needs 2 payoffs"),
        ([[[1, 1], [2, float("nan")]], [[3, 3], [4, 4]]], r"payoffs\[0\]\[1\]\[1\] is nan, not a finite"),
        ([[[1, 1], [2, 1e39]], [[3, 3], [4, 4]]], r"payoffs\[0\]\[1\]\[1\] is 1e\+39, not a finite float32"),
        ([[[1, 1], [2, "2"]], [[3, 3], [4, 4]]], r"payoffs\[0\]\[1\]\[1\] is '2', not a number"),
        ([[[1, 1], [2, True]], [[3, 3], [4, 4]]], r"payoffs\[0\]\[1\]\[1\] is True, not a number"),
        ([[[1, 1], 2], [[3, 3], [4, 4]]], r"payoffs\[0\]\[1\] is 2, not a sequence of 2 payoffs"),
        ([[[1, 1, 1], [2, 2, 2]], [[3, 3, 3], [4, 4, 4]]], r"payoffs\[0\]\[0\] has 3 entries; it needs 2"),
        ([1.0, 2.0], "nested at least two deep"),
        ([], "nested at least two deep"),
        ([[], []], "nested at least two deep"),
    ],
)
def test_bad_tables_are_refused_by_place(payoffs, message):
    with pytest.raises(GameError, match=message):
        MatrixGame(payoffs=payoffs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actions": ["a"]}, "actions has 1 names for the 2 actions"),
        ({"actions": ["a", "a"]}, r"actions\[1\] is 'a'"),
        ({"actions": ["none", "b"]}, r"actions\[0\] is 'none'"),
        ({"horizon": 0}, "horizon is 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(GameError, match=message):
        MatrixGame(payoffs=[[1.0], [2.0]], **options)
