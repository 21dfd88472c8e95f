"""The counterfactuals against plain loops; mutual information on real trajectories; mutations that are caught."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import Params
from suasion.influence import Basic, Foreseen, Imagined, Influence, Simulated, Spoken, divergence, influences

KINDS = ("kl", "jsd", "pmi")
NAMES = (
    *("basic harvest", "basic three shared"),
    *("model harvest", "model box", "model three shared"),
    *("messages harvest", "messages three shared"),
    *("simulator harvest", "simulator box", "simulator three shared"),
)


@pytest.mark.parametrize("name", NAMES)
def test_episodes_end_and_begin_inside_the_trajectory(name, world):
    """Otherwise nothing below would notice how starts and ends are kept."""
    w = world(name)
    assert w.ended[:-1].any()
    assert np.asarray(w.trajectory.start)[1:].any()
    assert all(np.abs(leaf).max() > 0.01 for leaf in jax.tree.leaves(w.trajectory.memory))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_influence_is_that_of_plain_loops(name, kind, world):
    w = world(name)
    naive = w.naive(kind)
    assert np.abs(naive).max() > 0.01
    np.testing.assert_allclose(w.fast(kind), naive, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_over_own_actions_is_mutual_information(name, world, oracle):
    """Sum over a of pi(a) D[p(. | a) || marginal] = I, where the marginal is the room's and the rest the oracle's."""
    w = world(name)
    known = ~np.isnan(w.table).any((-1, -2))
    pairs, choice = w.table[known], np.broadcast_to(w.weights[:, :, :, None], (*known.shape, w.table.shape[-2]))[known]
    marginal, mean = np.asarray(w.imagined().marginal)[known], 0.0
    for a in range(pairs.shape[1]):
        both = Imagined(*(jnp.asarray(x, jnp.float32)[None, None, None] for x in (np.log(pairs[:, a]), marginal)))
        mean += choice[:, a] * np.asarray(divergence("kl", both, jnp.zeros((1, 1, len(pairs)), int)))[0, 0, 0]
    exact = [oracle.information(w.weights[t, b, k], w.table[t, b, k, j]) for t, b, k, j in np.argwhere(known)]
    assert max(exact) > 0.01
    np.testing.assert_allclose(mean, exact, atol=1e-6)


def _forgets_nothing(w):
    return {"trajectory": w.trajectory._replace(start=jnp.zeros_like(w.trajectory.start))}


def _a_step_late(w):
    head = w.source.head
    symbol = jnp.roll(w.trajectory.symbols[head], 1, 0)
    return {"trajectory": w.trajectory._replace(symbols=w.trajectory.symbols | {head: symbol})}


def _weighs_by_anothers_policy(w):
    head = w.source.head
    logits = jnp.roll(w.trajectory.logits[head], 1, -2)
    trajectory = w.trajectory._replace(logits=w.trajectory.logits | {head: logits})
    return {"trajectory": trajectory, "weights": np.roll(w.weights, 1, -2)}


@pytest.mark.parametrize("mutation", [_forgets_nothing, _a_step_late, _weighs_by_anothers_policy])
@pytest.mark.parametrize("name", NAMES)
def test_a_mutation_is_caught(name, mutation, world):
    """A reset left out, the action of another step, j's weights (or a third agent's) for k's."""
    w = world(name)
    assert np.abs(w.fast("kl", **mutation(w)) - w.naive("kl")).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_pairs_the_wrong_way_round_are_caught(name, world):
    w = world(name)
    known = ~np.isnan(w.table).any((-1, -2))[..., None]
    uniform = -np.log(w.table.shape[-1])
    turned = Imagined(*(jnp.swapaxes(jnp.where(known, part, uniform), 2, 3) for part in w.imagined()))
    assert not np.allclose(w.masked("kl", turned), w.naive("kl"), atol=1e-3)


def _without_rows(core, rows):
    return eqx.tree_at(lambda c: c.product.table, core, core.product.table.at[:, rows].set(0.0))


def _deaf(w):
    """The parameters of agents (or models) that read nothing of what k does."""
    policy, network, auxiliary = w.policy, w.params.policy, w.params.auxiliary
    size = len(policy.spec.actions)
    if isinstance(w.source, Foreseen):
        model = auxiliary["model"]
        own = eqx.tree_at(lambda m: m.core, model, _without_rows(model.core, np.arange(size)))
        return Params(network, {"model": own})
    if not isinstance(w.source, Simulated):
        field = "current_actions" if isinstance(w.source, Basic) else "messages"
        size = policy.heads[w.source.head]
        rows = [policy.row(field, slot, symbol) for slot in range(policy.spec.agents) for symbol in range(size)]
        return Params(eqx.tree_at(lambda n: n.core, network, _without_rows(network.core, np.array(rows))), auxiliary)
    blind = jax.tree.map(jnp.zeros_like, network.encoder)
    deaf = _without_rows(network.core, np.arange(network.core.product.table.shape[1]))
    return Params(eqx.tree_at(lambda n: (n.encoder, n.core), network, (blind, deaf)), auxiliary)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["basic three shared", "model harvest", "messages harvest", "simulator harvest"])
def test_nobody_influences_those_who_do_not_listen(name, kind, world):
    w = world(name)
    np.testing.assert_allclose(w.fast(kind, params=_deaf(w)), 0.0, atol=1e-6)


def test_the_simulator_plays_the_real_step_for_the_real_action(world):
    """What j would do in the state that followed is what j's policy did say there, where the episode went on."""
    w = world("simulator harvest")
    actual = np.asarray(w.imagined().actual)[:-1]
    said = np.asarray(jax.nn.log_softmax(w.trajectory.logits["action"]))[1:]
    on = ~w.ended[:-1]
    for k in w.source.influencers:
        for j in {0, 1, 2} - {k}:
            np.testing.assert_allclose(actual[on][:, k, j], said[on][:, j], atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_influence_can_be_computed_without_jit(kind, world):
    """Where the information room checks its numbers: agents that are no influencers have distributions as well."""
    w = world("simulator harvest")
    term = Influence(counterfactual=w.source, divergence=kind, influencers=(0, 2), influenced=(0, 1, 2))
    np.testing.assert_allclose(influences(term, w.policy, w.trajectory, w.imagined()), w.naive(kind), atol=1e-5)


def test_basic_influence_is_what_the_policy_said(world):
    """Under the action that k took, j's distribution is the one that j acted on."""
    w = world("basic three shared")
    actual = np.asarray(w.imagined().actual)
    said = np.asarray(jax.nn.log_softmax(w.trajectory.logits["action"]))
    for k, j in np.argwhere(w.source.reaches(w.policy)):
        np.testing.assert_allclose(actual[:, :, k, j], said[:, :, j], atol=2e-5)


def test_an_exchanged_message_is_exact(world):
    """Under the message that k sent, j's distribution is the one on which it acts in the next step."""
    w = world("messages harvest")
    actual = np.asarray(w.imagined().actual)
    said = np.asarray(jax.nn.log_softmax(w.trajectory.logits["action"]))
    on = ~np.asarray(w.trajectory.start)[1:]
    for k, j in np.argwhere(w.source.reaches(w.policy)):
        np.testing.assert_allclose(actual[:-1, :, k, j][on], said[1:, :, j][on], atol=2e-5)


def test_who_reaches_whom(games, make_policy):
    game = games.three()
    staged, flat = make_policy(game, ((2,), (0, 1))), make_policy(game)
    nobody, other = np.zeros((3, 3), bool), ~np.eye(3, dtype=bool)
    first = nobody.copy()
    first[2, [0, 1]] = True
    np.testing.assert_array_equal(Basic().reaches(staged), first)
    np.testing.assert_array_equal(Foreseen().reaches(flat), other)
    np.testing.assert_array_equal(Simulated(game, (1,)).reaches(flat), other & [[False], [True], [False]])
    np.testing.assert_array_equal(Spoken().reaches(make_policy(game, vocabulary=2)), other)
    sources = Basic(), Foreseen(), Simulated(game, (0,)), Spoken()
    assert [(source.ahead, source.head) for source in sources] == [(0, "action"), *[(1, "action")] * 2, (1, "message")]
    with pytest.raises(ValueError, match="give the policy stages"):
        Basic().reaches(flat)
    with pytest.raises(ValueError, match="vocabulary is 0"):
        Spoken().reaches(flat)
    with pytest.raises(ValueError, match="one stage only"):
        Simulated(game, (0,)).reaches(staged)


def test_what_is_missing_is_asked_for(world):
    w = world("simulator three shared")
    weights = jnp.asarray(w.weights, jnp.float32)
    without = w.trajectory._replace(states=None)
    with pytest.raises(ValueError, match="states"):
        w.source.imagine(w.params, w.policy, without, weights)
    with pytest.raises(ValueError, match="features"):
        w.source.imagine(w.params, w.policy, w.trajectory._replace(features=None), weights)
    with pytest.raises(ValueError, match="no model of others called 'minds'"):
        Foreseen("minds").imagine(w.params, w.policy, w.trajectory, weights)
