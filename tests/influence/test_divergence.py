"""Divergences of hand-made and random tables: known sums, mutual information, bounds; weights exact and drawn."""

import types

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.influence import Imagined, divergence
from suasion.influence._divergence import averaged, by_pair, over_steps, weights

# j answers 0 or 1 to each of k's three actions.
TABLE = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
CHOICE = np.array([0.5, 0.3, 0.2])


def imagined(table, choice, a):
    """The room's own mixture of the rows of a table, as one step of one environment and one pair."""
    logits = jnp.asarray(np.log(table)[:, None], jnp.float32)
    both = averaged(logits, jnp.asarray(choice[:, None], jnp.float32), jnp.array([a]))
    return Imagined(*(part.reshape(1, 1, 1, 1, -1) for part in both))


def number(kind, table, choice, a, realised=0):
    return divergence(kind, imagined(table, choice, a), jnp.full((1, 1, 1), realised)).item()


def entropy(p):
    return -sum(x * np.log(x) for x in p if x > 0)


def test_hand_made_numbers():
    """The marginal is (0.61, 0.39)."""
    p, q = (0.9, 0.1), (0.61, 0.39)
    m = (0.755, 0.245)
    kl = 0.9 * np.log(0.9 / 0.61) + 0.1 * np.log(0.1 / 0.39)
    jsd = entropy(m) - (entropy(p) + entropy(q)) / 2
    assert number("kl", TABLE, CHOICE, 0) == pytest.approx(kl, abs=1e-6)
    assert number("jsd", TABLE, CHOICE, 0) == pytest.approx(jsd, abs=1e-6)
    assert number("pmi", TABLE, CHOICE, 0, 0) == pytest.approx(np.log(0.9 / 0.61), abs=1e-6)
    assert number("pmi", TABLE, CHOICE, 0, 1) == pytest.approx(np.log(0.1 / 0.39), abs=1e-6)


def test_mean_influence_is_mutual_information_of_the_hand_made_table():
    mean = sum(w * number("kl", TABLE, CHOICE, a) for a, w in enumerate(CHOICE))
    exact = entropy(CHOICE @ TABLE) - sum(w * entropy(row) for w, row in zip(CHOICE, TABLE, strict=True))
    assert mean == pytest.approx(exact, abs=1e-6)
    assert exact > 0.1


def distributions(rows, size):
    """Random distributions, some of them with zeros."""
    row = st.lists(st.sampled_from([0.0, 0.01, 0.2, 1.0, 3.0]), min_size=size, max_size=size).filter(any)
    return st.lists(row, min_size=rows, max_size=rows).map(lambda x: np.array(x) / np.sum(x, 1, keepdims=True))


@hypothesis.settings(max_examples=20)
@hypothesis.given(table=distributions(3, 4), choice=distributions(1, 3))
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_any_table_keeps_the_identities(table, choice):
    """E over k's action of KL = I; E over j's action of PMI = KL; 0 <= JSD <= ln 2; 0 <= KL."""
    choice = choice[0]
    mean = 0.0
    for a in np.flatnonzero(choice):
        kl = number("kl", table, choice, a)
        pmi = sum(p * number("pmi", table, choice, a, o) for o, p in enumerate(table[a]) if p > 0)
        assert pmi == pytest.approx(kl, abs=2e-6)
        assert -1e-6 <= kl <= -np.log(choice[a]) + 1e-6
        assert -1e-6 <= number("jsd", table, choice, a) <= np.log(2) + 1e-6
        mean += choice[a] * kl
    exact = entropy(choice @ table) - sum(w * entropy(row) for w, row in zip(choice, table, strict=True))
    assert mean == pytest.approx(exact, abs=2e-6)


def test_what_cannot_overlap_is_ln_2_apart():
    one, other = jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.0, 1.0]))
    both = Imagined(one.reshape(1, 1, 1, 1, 2), other.reshape(1, 1, 1, 1, 2))
    assert divergence("jsd", both, jnp.zeros((1, 1, 1), int)).item() == pytest.approx(np.log(2), abs=1e-6)


@pytest.mark.parametrize("kind", ["kl", "jsd", "pmi"])
def test_equal_rows_are_no_influence(kind):
    same = np.repeat(TABLE[:1], 3, 0)
    assert number(kind, same, CHOICE, 1, 1) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", ["kl", "jsd", "pmi"])
def test_a_sure_influencer_has_no_influence(kind):
    """Who has no alternative changes nothing."""
    assert number(kind, TABLE, np.array([0.0, 1.0, 0.0]), 1, 1) == pytest.approx(0.0, abs=1e-6)


def test_an_action_that_is_not_available_counts_nothing():
    """The logit of -1e9 that policies give it makes no NaN."""
    logits = jnp.array([[[0.0, 1.0, -1e9]], [[0.5, 0.0, -1e9]]])
    actual, marginal = averaged(logits, jnp.array([[0.5], [0.5]]), jnp.array([0]))
    with_it = Imagined(actual.reshape(1, 1, 1, 1, 3), marginal.reshape(1, 1, 1, 1, 3))
    actual, marginal = averaged(logits[..., :2], jnp.array([[0.5], [0.5]]), jnp.array([0]))
    without = Imagined(actual.reshape(1, 1, 1, 1, 2), marginal.reshape(1, 1, 1, 1, 2))
    for kind in ("kl", "jsd", "pmi"):
        x, y = (divergence(kind, each, jnp.ones((1, 1, 1), int)).item() for each in (with_it, without))
        assert x == pytest.approx(y, abs=1e-6)
        assert np.isfinite(x)


def test_an_unknown_divergence_is_refused():
    # The annotation would refuse it first: it is taken off here.
    bare = getattr(divergence, "__wrapped__", divergence)
    with pytest.raises(ValueError, match="'tv', must be one of kl, jsd, pmi"):
        bare("tv", imagined(TABLE, CHOICE, 0), jnp.zeros((1, 1, 1), int))


def _logits(steps=3, environments=2, agents=2, actions=4):
    return jnp.asarray(np.random.default_rng(0).normal(size=(steps, environments, agents, actions)), jnp.float32)


def _as_acted(logits):
    """All of a trajectory that weights read."""
    key = jax.random.split(jax.random.key(5), logits.shape[:2])
    return types.SimpleNamespace(
        logits={"action": logits}, symbols={"action": jax.random.categorical(jax.random.key(6), logits)}, key=key
    )


def bare_weights(*args):
    return getattr(weights, "__wrapped__", weights)(*args)


def test_weights_are_ones_own_policy():
    logits = np.asarray(_logits(), float)
    exact = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(bare_weights(_as_acted(_logits())), exact, atol=1e-6)


def test_average_weights_are_those_of_all_states():
    acted = _as_acted(_logits())
    mean = np.asarray(bare_weights(acted)).mean((0, 1), keepdims=True)
    average = np.asarray(bare_weights(acted, 0, "action", "average"))
    np.testing.assert_allclose(average, np.broadcast_to(mean, average.shape), atol=1e-6)


@pytest.mark.parametrize(("choice", "worth"), [(np.eye(4)[2], 0.0), (np.full(4, 0.25), np.log(4))])
def test_what_a_perfect_code_is_worth(choice, worth):
    """Nothing beside what its state determines, ln V beside what is said on average."""
    code = np.full((4, 4), 1e-9) + np.eye(4) * (1 - 4e-9)
    assert number("kl", code, choice, 2) == pytest.approx(worth, abs=1e-6)


def test_drawn_weights_are_frequencies_that_converge(quick):
    """4,000 draws: a frequency's deviation is below 0.008; all 48 lie within 5 of them: false alarm below 3e-5."""
    acted = _as_acted(_logits())
    exact = np.asarray(bare_weights(acted))
    drawn, few = (np.asarray(quick(lambda n=n: bare_weights(acted, n))()) for n in (4000, 3))
    np.testing.assert_allclose(drawn.sum(-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(drawn * 4001, np.round(drawn * 4001), atol=1e-2)  # the action taken is a draw as well
    np.testing.assert_allclose(drawn, exact, atol=0.04)
    np.testing.assert_allclose(few * 4, np.round(few * 4), atol=1e-5)
    assert (np.take_along_axis(few, np.asarray(acted.symbols["action"])[..., None], -1) >= 0.25 - 1e-6).all()
    assert len(np.unique(few.reshape(-1, 4), axis=0)) > 1  # every step and agent draws its own


def test_pairs_of_slots_are_pairs_of_agents():
    agents = 4
    named = np.array([[(i + d) % agents for d in range(1, agents)] for i in range(agents)], float)
    found = np.asarray(by_pair(jnp.asarray(named[..., None])))[..., 0]
    for i in range(agents):
        for j in set(range(agents)) - {i}:
            assert found[i, j] == j


@pytest.mark.parametrize("numbers", [1, 1 << 18, 1 << 30])
def test_steps_are_the_same_however_many_are_taken_at_once(numbers):
    x = jnp.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(over_steps(lambda row: row**2, x, numbers), x**2)
