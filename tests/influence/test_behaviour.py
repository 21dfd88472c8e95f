"""Measures of an episode by hand, and influence measured in episodes that were really played."""

import equinox as eqx
import jax
import numpy as np
import pytest

from suasion import agents
from suasion.games import prisoners_dilemma
from suasion.influence import InfluenceConfig, ModelConfig, behaviour, measure
from suasion.records import Episode

EMPTY, APPLE, ONE, TWO = range(4)
# Two agents on a 2 x 5 map in four states.
PLACES = [((0, 0), (0, 1)), ((0, 1), (0, 4)), ((1, 1), (0, 4)), ((1, 1), (1, 4))]
ACTIONS = [["right", "left"], ["down", "stay"], ["fine", "stay"]]
NAMES = ("left", "right", "up", "down", "stay", "clockwise", "fine")
# Apples in the views of the three states that are followed by a step, and of the last, which does not count.
APPLES = [(True, False), (False, False), (True, False), (True, True)]


def episode(**changes):
    boards = np.zeros((4, 2, 5), np.uint8)
    views = np.zeros((4, 2, 3, 3), np.uint8)
    for t, places in enumerate(PLACES):
        for code, place in zip((ONE, TWO), places, strict=True):
            boards[t][place] = code
        for i in range(2):
            views[t, i, 1, 2] = APPLE if APPLES[t][i] else EMPTY
    fields = {
        "game": "made-up",
        "classes": ("empty", "apple", "agent 1", "agent 2"),
        "palette": ((0, 0, 0),) * 4,
        "actions_names": NAMES,
        "boards": boards,
        "views": views,
        "actions": np.array([[NAMES.index(name) for name in step] for step in ACTIONS], np.int16),
        "rewards": np.zeros((3, 2), np.float32),
        "events": {"fires": np.array([[0, 0], [0, 0], [1, 0]], np.float32)},
        "agents": ("agent 1", "agent 2"),
        "seed": 0,
        "step": 0,
        "agent_codes": (ONE, TWO),
    }
    return Episode(**fields | changes)


def pairs(first, second):
    """Influence of agent 1 on agent 2 and of agent 2 on agent 1, step by step."""
    found = np.zeros((len(first), 2, 2), np.float32)
    found[:, 0, 1], found[:, 1, 0] = first, second
    return found


def test_who_moves_when():
    """Turning and firing are no moves; the last state's view is followed by no step."""
    seen = behaviour(episode())
    assert seen.moves_with_apple == (0.5, None)
    assert seen.moves_without_apple == (1.0, pytest.approx(1 / 3))


def test_without_apples_no_step_is_told_apart():
    seen = behaviour(episode(classes=("empty", "pear", "agent 1", "agent 2")))
    assert seen.moves_with_apple == seen.moves_without_apple == (None, None)


def test_distances():
    """The larger of row and column distance: 1, 3 and 3."""
    assert behaviour(episode()).distance == pytest.approx(7 / 3)
    assert behaviour(episode(agent_codes=None)).distance is None
    hidden = episode()
    hidden.boards[1] = EMPTY
    assert behaviour(hidden).distance is None


def test_distance_at_influence():
    """Agent 1 influences more than on average in steps 1 and 3 (1 and 3 cells apart), agent 2 in step 2 (3 cells)."""
    seen = behaviour(episode(influence=pairs([0.5, 0.0, 0.4], [0.0, 0.3, 0.0])))
    assert seen.distance_at_influence == pytest.approx((1 + 3 + 3) / 3)
    assert behaviour(episode(influence=pairs([0.0] * 3, [0.0] * 3))).distance_at_influence is None
    assert behaviour(episode()).distance_at_influence is None
    assert behaviour(episode(influence=pairs([1.0, 0, 0], [0] * 3), agent_codes=None)).distance_at_influence is None


def test_influential_moments():
    """Above its mean agent 1 is in 1 step of 3, with 0.6 nats; agent 2 in 2, with 0.4 and 0.3."""
    seen = behaviour(episode(influence=pairs([0.6, 0.0, 0.0], [0.0, 0.4, 0.3])))
    assert seen.moments == pytest.approx(0.5)
    assert seen.moment_size == pytest.approx((0.6 + 0.35) / 2)


def test_agents_without_influence_have_no_moments():
    seen = behaviour(episode(influence=pairs([0.6, 0.0, 0.0], [0.0] * 3)))
    assert (seen.moments, seen.moment_size) == (pytest.approx(1 / 3), pytest.approx(0.6))
    nobody = behaviour(episode(influence=pairs([0.0] * 3, [0.0] * 3)))
    assert (nobody.moments, nobody.moment_size) == (None, None)
    unmeasured = behaviour(episode())
    assert (unmeasured.moments, unmeasured.moment_size) == (None, None)


def test_fires():
    assert behaviour(episode()).fires == (1.0, 0.0)
    assert behaviour(episode(events={})).fires is None


# Measured in played episodes.


@pytest.fixture(scope="module")
def measured(quick, make_policy, at_random):
    """A trajectory of two episodes of a matrix game, and what `measure` finds in it."""
    found = {}

    def of(mode, *, deaf=False, **fields):
        key = (mode, deaf, *sorted(fields.items()))
        if key in found:
            return found[key]
        game = prisoners_dilemma(6)
        config = None if mode is None else InfluenceConfig(mode=mode, model=SMALL, **fields)
        terms = agents.Rewards().terms
        if config is not None:
            terms = (*terms, ("influence", config.term(game), agents.constant(1.0)))
        experiment = agents.Experiment(
            game=game,
            policy=make_policy(
                game, config.stages(game.spec) if config else (), vocabulary=2 if mode == "communication" else 0
            ),
            rewards=agents.Rewards(terms),
            auxiliary=config.auxiliary() if config else (),
        )

        def run(params, key):
            played = agents.play(game, experiment.policy, params.policy, key, 2)
            return played.trajectory, measure(experiment, params, played.trajectory)

        key_init = jax.random.key(0)
        shapes = jax.eval_shape(
            lambda: agents.Params(
                experiment.policy.init(key_init),
                {name: loss.init(key_init, experiment.policy) for name, loss in experiment.auxiliary},
            )
        )
        params = at_random(shapes, 5)
        if deaf:
            trunk, core = experiment.policy.trunk, params.policy.core
            read = [trunk.row("messages", slot, symbol) for slot in range(2) for symbol in range(2)]
            silent = core.product.table.at[:, np.array(read)].set(0.0)
            params = eqx.tree_at(lambda p: p.policy.core.product.table, params, silent)
        found[key] = quick(run)(params, jax.random.key(2))
        return found[key]

    return of


SMALL = ModelConfig(encoder="classes", hidden=(4,), width=4)


def check(values):
    """A table of pairs in nats: nobody influences itself, nothing follows the last step."""
    assert values.shape == (6, 2, 2, 2)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(np.asarray(values)[:, :, [0, 1], [0, 1]], 0.0)
    assert np.abs(values).max() > 1e-3


def test_the_simulator_is_its_own_yardstick(measured):
    _, found = measured("simulator")
    check(found.own)
    np.testing.assert_array_equal(found.own, found.simulated)
    np.testing.assert_array_equal(found.own[-1], 0.0)


def test_without_influence_the_exact_one_is_there(measured):
    """The same as an experiment that pays for it finds, as nothing else differs."""
    _, found = measured(None)
    assert found.own is None
    np.testing.assert_allclose(found.simulated, measured("simulator")[1].own, atol=1e-6)


def test_the_model_is_compared_with_the_exact_influence_of_the_same_agents(measured):
    _, found = measured("model", influencers=(0,), influenced=(1,))
    check(found.own)
    check(found.simulated)
    others = np.ones((2, 2), bool)
    others[0, 1] = False
    np.testing.assert_array_equal(np.asarray(found.own)[:, :, others], 0.0)
    np.testing.assert_allclose(found.simulated[..., 0, 1], measured("simulator")[1].own[..., 0, 1], atol=1e-6)
    assert not np.allclose(found.own, found.simulated, atol=1e-3)


def test_beside_influence_by_messages_stands_that_of_actions(measured):
    """Two quantities: who does not listen is not influenced by messages, and by actions as before."""
    for found in (measured("communication")[1], measured("communication", deaf=True)[1]):
        check(found.simulated)
    np.testing.assert_allclose(found.own, 0.0, atol=1e-6)
    check(measured("communication")[1].own)


def test_who_acts_in_stages_cannot_be_simulated(measured):
    _, found = measured("basic")
    check(found.own)
    assert found.simulated is None
    assert (np.asarray(found.own)[-1, :, 0, 1] > 0).any()  # the last step counts


def test_measured_influence_is_seen_by_behaviour(measured):
    trajectory, found = measured("simulator")
    influence = np.asarray(found.own[:, 0], np.float32)
    seen = behaviour(
        episode(
            boards=np.zeros((7, 2, 5), np.uint8),
            views=np.zeros((7, 2, 3, 3), np.uint8),
            actions=np.asarray(trajectory.symbols["action"][:, 0], np.int16),
            rewards=np.zeros((6, 2), np.float32),
            events={},
            influence=influence,
            agent_codes=None,
        )
    )
    exerted = influence.sum(2)
    high = exerted > exerted.mean(0)
    assert seen.moments == pytest.approx(high.mean())
    assert seen.moment_size == pytest.approx(np.mean([exerted[high[:, k], k].mean() for k in range(2)]))
