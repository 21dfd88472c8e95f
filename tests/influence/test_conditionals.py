"""Tables of what others would have done, against plain loops; influence recomputed from what a record keeps of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import Experiment, Rewards, constant
from suasion.influence import (
    Foreseen,
    Influence,
    Tabled,
    moment_tables,
    step_tables,
    table_steps,
    tabled,
)

NAMES = (
    *("basic harvest", "basic three shared"),
    *("model harvest", "model box", "model three shared"),
    *("simulator harvest", "simulator box", "simulator three shared"),
    *("messages harvest", "messages three shared"),
)
HALF = 1 / 510  # the most by which a probability is rounded


@pytest.fixture(scope="module")
def asked(world, quick):
    """World, experiment and steps of a name, and the tables of all steps of all episodes as [t, b, k, j, ...]."""
    made = {}

    def make(name, marginal="policy"):
        if (name, marginal) in made:
            return made[name, marginal]
        w = world(name)
        everybody = tuple(range(w.policy.spec.agents))
        influencers = getattr(w.source, "influencers", everybody)
        term = Influence(counterfactual=w.source, influencers=influencers, influenced=everybody, marginal=marginal)
        experiment = Experiment(
            game=w.game,
            policy=w.policy,
            rewards=Rewards((("influence", term, constant(1.0)),)),
            auxiliary=() if w.model is None else (("model", w.model),),
            states=True,
        )
        assert isinstance(w.source, Tabled)
        if isinstance(w.source, Foreseen):  # here the models' memory before the first step is not that of a start
            read = w.model.steps(w.params.auxiliary["model"], w.model_memory, w.policy, w.trajectory)
            steps = (read, jnp.asarray(w.weights, jnp.float32))
        else:
            steps = table_steps(experiment, w.params, w.trajectory)
        ask = quick(step_tables, static_argnums=0)
        which = jnp.arange(w.trajectory.start.shape[0])
        each = [ask(experiment, w.params, steps, jnp.asarray(b), which) for b in range(w.trajectory.start.shape[1])]
        tables = [np.stack(part, 1).astype(float) for part in zip(*each, strict=True)]
        made[name, marginal] = w, experiment, steps, *tables
        return made[name, marginal]

    return make


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_those_of_plain_loops(name, asked):
    """Every row, every pair, every step; and their mean over k's own policy is the marginal."""
    w, _, _, conditional, marginal = asked(name)
    known = ~np.isnan(w.table).any((-1, -2))
    assert known.any()
    np.testing.assert_allclose(np.exp(conditional)[known], w.table[known], atol=2e-5)
    mean = (w.weights[:, :, :, None, :, None] * np.exp(conditional)).sum(-2)
    np.testing.assert_allclose(np.exp(marginal)[known], mean[known], atol=1e-5)


def between(kind, p, q, least, followed):
    """The smallest and the largest influence of distributions of which p and q are the roundings.

    Each term is taken in the form that is jointly convex, zero and flat where p = q: KL is the sum of
    p log(p / q) - p + q, the Jensen-Shannon divergence half of two such sums. A convex term is largest in a corner of
    the box of what may have been rounded, and smallest where p and q are nearest. q >= least p: k did take its action.
    """
    low_p, high_p = np.maximum(p - HALF, 0), np.minimum(p + HALF, 1)
    low_q, high_q = np.maximum(q - HALF, 0), np.minimum(q + HALF, 1)
    if kind == "pmi":
        return np.log(low_p[followed] / high_q[followed]), np.log(high_p[followed] / low_q[followed])

    def log_ratio(x, y):
        return np.log(np.where(x > 0, x, 1.0) / np.where(x > 0, y, 1.0))

    def one(x, y):
        return np.where(x > 0, x * log_ratio(x, y) - x + y, y)

    def term(x, y):
        return one(x, y) if kind == "kl" else (one(x, (x + y) / 2) + one(y, (x + y) / 2)) / 2

    most_p = np.minimum(high_p, high_q / least)
    corners = [term(x, np.maximum(low_q, least * x)) for x in (low_p, most_p)]
    corners += [term(x, high_q) for x in (low_p, most_p)]
    near_p, near_q = np.clip(low_q, low_p, high_p), np.clip(low_p, low_q, high_q)
    return term(near_p, near_q).sum(), np.max(corners, 0).sum()


@pytest.mark.parametrize("kind", ["kl", "jsd", "pmi"])
@pytest.mark.parametrize("name", ["basic three shared", "model harvest", "simulator harvest", "messages harvest"])
def test_influence_from_what_is_kept(name, kind, asked):
    """The divergence recomputed from bytes is the recorded influence but for what was rounded; the bound is exact."""
    w, _, _, conditional, marginal = asked(name)
    influence = w.naive(kind)
    kept_p, kept_q = (np.rint(255 * np.exp(part)) / 255 for part in (conditional, marginal))
    # Rounded rows, averaged with k's policy, are within two roundings of the rounded marginal.
    mean = (w.weights[:, :, :, None, :, None] * kept_p).sum(-2)
    assert np.abs(mean - kept_q)[influence != 0].max() <= 2 * HALF + 1e-6
    widths = []
    for t, b, k, j in np.argwhere(influence > 0.001):
        a, followed = w.chosen[t, b, k], w.actions[min(t + w.source.ahead, len(w.actions) - 1), b, j]
        p, q = kept_p[t, b, k, j, a], kept_q[t, b, k, j]
        if kind == "pmi" and min(p[followed], q[followed]) < 3 * HALF:
            continue  # a logarithm of next to nothing: the bytes say nothing of it
        low, high = between(kind, p, q, w.weights[t, b, k, a], followed)
        assert low - 1e-5 <= influence[t, b, k, j] <= high + 1e-5
        widths.append(high - low)
    assert len(widths) > 5
    assert np.median(widths) < (0.2 if kind == "pmi" else 0.02)


@pytest.mark.parametrize("marginal", ["policy", "average"])
@pytest.mark.parametrize("name", ["messages harvest", "messages three shared"])
def test_tables_of_messages_are_the_influence(name, marginal, asked, oracle):
    """Had k said m, its influence would be the divergence of row m from the marginal: of every message, the spoken one
    too. Its mean over what k says is the information between message and action, by either marginal.
    """
    w, _, (_, weights), conditional, marginal_logs = asked(name, marginal)
    weights = np.asarray(weights, float)
    averages = w.weights if marginal == "policy" else np.broadcast_to(w.weights.mean((0, 1)), w.weights.shape)
    np.testing.assert_allclose(weights, averages, atol=2e-5)
    p, q = np.exp(conditional), np.exp(marginal_logs)
    known = ~np.isnan(w.table).any((-1, -2))
    np.testing.assert_allclose(q[known], np.einsum("tbkc,tbkjca->tbkja", averages, w.table)[known], atol=1e-5)
    rows = (p * (conditional - marginal_logs[..., None, :])).sum(-1)
    said = w.trajectory.symbols["message"]
    every = [
        w.fast("kl", weights=weights, trajectory=w.trajectory._replace(symbols={**w.trajectory.symbols, "message": m}))
        for m in (jnp.full_like(said, c) for c in range(p.shape[-2]))
    ]
    recorded = w.fast("kl", weights=weights)
    chosen = np.take_along_axis(rows, w.chosen[:, :, :, None, None], -1)[..., 0]
    np.testing.assert_allclose(chosen[known], recorded[known], atol=1e-5)
    assert recorded[known].max() > 0.01
    for c, influence in enumerate(every):
        np.testing.assert_allclose(rows[known][:, c], influence[known], atol=1e-5)
    for t, b, k, j in np.argwhere(known):
        mean = sum(weights[t, b, k, c] * influence[t, b, k, j] for c, influence in enumerate(every))
        assert abs(mean - oracle.information(averages[t, b, k], w.table[t, b, k, j])) < 1e-5


def test_moments_are_taken_from_the_tables(asked, quick):
    """Any moments of any episodes in any order, also one twice."""
    for name in ("basic three shared", "simulator harvest"):
        w, experiment, steps, conditional, marginal = asked(name)
        known = np.argwhere(~np.isnan(w.table).any((-1, -2)))
        rng = np.random.default_rng(0)
        moments = np.stack([rng.choice(known[known[:, 1] == b], 5)[:, [0, 2, 3]] for b in range(2)], 1)
        moments[4] = moments[0]
        found = quick(moment_tables, static_argnums=0)(experiment, w.params, steps, jnp.asarray(moments, jnp.int32))
        for m, b in np.ndindex(5, 2):
            t, k, j = moments[m, b]
            np.testing.assert_allclose(found.conditional[m, b], conditional[t, b, k, j], atol=1e-5)
            np.testing.assert_allclose(found.marginal[m, b], marginal[t, b, k, j], atol=1e-5)


def test_what_has_no_tables_says_so(asked):
    """Agents that act in stages without a reward for influence: nothing is measured, nothing can be asked."""
    w, experiment, *_ = asked("basic three shared")
    alone = Experiment(game=w.game, policy=w.policy, states=True)
    assert tabled(alone) is None
    with pytest.raises(ValueError, match="no tables"):
        table_steps(alone, w.params, w.trajectory)
    assert tabled(experiment) is not None
    w, experiment, *_ = asked("model box")
    with pytest.raises(ValueError, match="no model of others called 'minds'"):
        Foreseen("minds").alternatives(experiment, w.params, None)


def test_a_start_is_the_models_own(asked, quick):
    """For whole episodes the models begin with an empty memory, as in `measure`."""
    w, experiment, *_ = asked("model box")
    start = w.trajectory.start.at[0].set(True)
    whole = w.trajectory._replace(start=start)
    got, _ = table_steps(experiment, w.params, whole)
    model = w.model.steps(w.params.auxiliary["model"], w.model_memory, w.policy, whole)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(model), strict=True):
        np.testing.assert_array_equal(a, b)
