"""The compiled loop of the counterfactuals: equal to plain sums in float64, and to the path through XLA."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.influence import ModelConfig, ModelOfOthers
from suasion.influence import _counterfactual as counterfactual
from suasion.influence import _model as model
from suasion.influence._native import one_pass
from suasion.influence._native_kernels import imagine

# Sets, rows, units, slots, alternatives, others, actions: one vector and less, several, none filled.
SIZES = (
    (2, 3, 5, 1, 3, 2, 3),
    (1, 2, 128, 1, 9, 4, 9),
    (3, 7, 33, 2, 6, 1, 8),
    (1, 6, 64, 1, 11, 3, 5),
    (2, 2, 16, 3, 1, 1, 2),
    (1, 2, 4, 1, 4, 2, 1),
)
STEPS, ASKED = 5, 3


def inputs(sizes, *, seed=0, gates=1.0, cells=1.0, table=0.5, masked=False):
    """What the loop is given, at random; some steps have read nothing. The head is whole, [g, y, a, o]."""
    groups, rows, units, slots, alternatives, others, actions = sizes
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    asked = ASKED * rows
    available = rng.random((asked, groups, actions)) < (0.7 if masked else 2.0)
    available[..., 0] = True
    return SimpleNamespace(
        drive=gates * normal(groups, STEPS, rows, 4 * units),
        recurrent=normal(groups, units, 4 * units) / np.sqrt(np.float32(units)),
        h=normal(groups, rows, units),
        cell=cells * normal(groups, rows, units),
        start=rng.random((STEPS, rows)) < 0.2,
        table=table * normal(groups, slots, alternatives, 4 * units),
        head=2.0 / np.sqrt(np.float32(units)) * normal(groups, units, actions, others),
        bias=np.float32(0.3) * normal(groups, actions, others),
        weights=rng.dirichlet(np.ones(alternatives), (asked, groups, slots)).astype(np.float32),
        old=rng.integers(0, alternatives + 1, (asked, groups, slots)).astype(np.int32),
        chosen=rng.integers(0, alternatives, (asked, groups, slots)).astype(np.int32),
        available=available,
    )


def found(given):
    """(output, cell) after the last step, (actual, marginal)."""
    parts = vars(given) | {"start": given.start.astype(np.uint8), "available": given.available.astype(np.uint8)}
    for name in ("head", "bias"):
        whole = parts[name]
        less = whole[..., :-1, :] - whole[..., -1:, :]
        parts[name] = np.ascontiguousarray(less.reshape(*less.shape[:-2], -1))
    asked, groups, slots, _ = given.weights.shape
    actions, others = given.head.shape[2:]
    last = [np.empty_like(given.h) for _ in range(2)]
    both = [np.empty((asked, groups, slots * others, actions), np.float32) for _ in range(2)]
    imagine(*parts.values(), *last, *both)
    return last, [x.reshape(asked, groups, slots, others, actions) for x in both]


def logistic(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def stepped(gates, cell):
    i, f, candidate, o = np.split(gates, 4, -1)
    cell = logistic(f) * cell + logistic(i) * np.tanh(candidate)
    return logistic(o) * np.tanh(cell), cell


def expected(given):
    """By the equations, in float64."""
    w = SimpleNamespace(**{k: x.astype(float) if x.dtype == np.float32 else x for k, x in vars(given).items()})
    asked, groups, slots, alternatives = w.weights.shape
    rows, (actions, others) = w.h.shape[1], w.head.shape[2:]
    last = np.empty_like(w.h), np.empty_like(w.cell)
    actual = np.empty((asked, groups, slots, others, actions))
    marginal = actual.copy()
    for g, m in np.ndindex(groups, rows):
        h, cell = w.h[g, m], w.cell[g, m]
        for t in range(STEPS):
            if w.start[t, m]:
                h, cell = np.zeros_like(h), np.zeros_like(cell)
            gates = w.drive[g, t, m] + h @ w.recurrent[g]
            r = (t - STEPS + ASKED) * rows + m
            for s in range(slots if r >= 0 else 0):
                old = w.old[r, g, s]
                left = gates - (w.table[g, s, old] if old < alternatives else 0.0)
                logits = np.einsum("cy,yao->coa", stepped(left + w.table[g, s], cell)[0], w.head[g]) + w.bias[g].T
                logits = np.where(w.available[r, g], logits, -1e9)
                logs = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
                actual[r, g, s] = logs[w.chosen[r, g, s]]
                with np.errstate(divide="ignore"):
                    marginal[r, g, s] = np.logaddexp.reduce(np.log(w.weights[r, g, s])[:, None, None] + logs, 0)
            h, cell = stepped(gates, cell)
        last[0][g, m], last[1][g, m] = h, cell
    return last, (actual, marginal)


def assert_equal(given, atol):
    (memory, both), (true_memory, truths) = found(given), expected(given)
    for got, truth in zip(memory, true_memory, strict=True):
        np.testing.assert_allclose(got, truth, rtol=1e-6, atol=atol)
    for got, truth in zip(both, truths, strict=True):
        np.testing.assert_allclose(np.exp(got), np.exp(truth), atol=atol)
        likely = truth > -1e8
        np.testing.assert_allclose(got[likely], truth[likely], rtol=1e-5, atol=20 * atol)
        assert (got[~likely] < -1e8).all()


@pytest.mark.parametrize("sizes", SIZES)
def test_the_loop_is_its_equations(sizes):
    assert_equal(inputs(sizes), 1e-6)
    assert_equal(inputs(sizes, seed=1, masked=True), 1e-6)


@pytest.mark.parametrize(
    ("gates", "cells", "table", "atol"),
    [(8, 3, 0.5, 2e-6), (40, 1, 1, 1e-5), (1, 1, 30, 1e-5), (1e4, 1e6, 1, 2e-3), (1, 1e4, 1, 2e-6)],
)
def test_gates_and_cells_of_any_size(gates, cells, table, atol):
    """Some are within what factors bear and some beyond it; the rounding of a sum of gates grows with the gates."""
    assert_equal(inputs((2, 4, 9, 1, 4, 2, 3), gates=gates, cells=cells, table=table), atol)


@pytest.mark.parametrize("largest", [2.0, 20.5])
def test_on_both_sides_of_the_bound_of_factors(largest):
    """The same steps with a table whose largest entry lets factors be used, or does not."""
    given = inputs((1, 30, 7, 1, 3, 2, 3))
    given.table[0, 0, 2, 5] = largest
    assert_equal(given, 2e-6)


def test_mixtures_of_the_unlikely_do_not_underflow():
    """Logits hundreds apart: e^-300 and e^-310 mixed are right."""
    given = inputs((1, 20, 6, 1, 4, 2, 3))
    given.head *= np.float32(400.0)
    truth = expected(given)[1][1]
    assert truth.min() < -200
    np.testing.assert_allclose(found(given)[1][1], truth, rtol=1e-5, atol=2e-3)


def test_alternatives_without_weight_add_nothing():
    given = inputs((1, 20, 6, 1, 4, 2, 3))
    given.weights[:], given.weights[..., 1], given.chosen[:] = 0.0, 1.0, 1
    _, (actual, marginal) = found(given)
    np.testing.assert_allclose(marginal, actual, atol=1e-6)


# Where a number of the second set is spoiled: steps, rows and units of what is there.
SPOILED = {
    "drive": (1, 2, 1, 2),
    "h": (1, 1, 2),
    "cell": (1, 1, 2),
    "recurrent": (1, 1, 2),
    "table": (1, 0, 1, 2),
    "head": (1, 2, 1, 0),
    "bias": (1, 1, 0),
    "weights": (5, 1, 0, 2),
}


@pytest.mark.parametrize("name", SPOILED)
def test_nan_is_never_lost_and_does_not_cross_sets_or_starts(name):
    """Row 1 of 4 in the first step that is asked about; it begins anew with the last one."""
    given = inputs((2, 4, 6, 1, 4, 2, 3))
    given.start[:], given.start[STEPS - 1, 1] = False, True
    getattr(given, name)[SPOILED[name]] = np.nan
    memory, both = found(given)
    assert np.isnan(both[1][5, 1]).any()
    assert not any(np.isnan(part[:, 0]).any() for part in both)
    assert not any(np.isnan(part[0]).any() for part in memory)
    if name in ("drive", "h", "cell"):
        assert not any(np.isnan(part).any() for part in memory)
        assert not any(np.isnan(part[8:]).any() for part in both)


def world_of(name, acted, games, make_policy):
    """A policy or a model with an LSTM: parameters, trajectory and the verb that imagines."""
    game = games.three() if "three" in name else games.harvest()
    config = {"shared": "shared" in name, "vocabulary": 3 if "messages" in name else 0}
    policy = make_policy(game, ((0,), (1, 2)) if "basic" in name else (), **config)
    network, trajectory = acted(game, policy)
    weights = jax.nn.softmax(trajectory.logits["message" if "messages" in name else "action"])
    return policy, network, trajectory, weights


@pytest.mark.parametrize(
    "name", ["model harvest", "model three shared", "basic harvest", "basic three shared", "messages three"]
)
def test_trajectories_are_imagined_as_through_xla(name, acted, games, make_policy, at_random, quick, monkeypatch):
    """Starts, agents' parameters of their own and shared, and the memory that goes on."""
    policy, network, trajectory, weights = world_of(name, acted, games, make_policy)
    others = ModelOfOthers(config=ModelConfig(encoder="classes", hidden=(6,), width=5))
    parameters = at_random(jax.eval_shape(lambda: others.init(jax.random.key(0), policy)), 7)
    memory = at_random(jax.eval_shape(lambda: others.initial(policy, trajectory.start.shape[1])), 8)

    def run(trajectory):
        if name.startswith("model"):
            return others.observe(parameters, memory, network, policy, trajectory)
        if name.startswith("basic"):
            actions = trajectory.symbols["action"]
            return counterfactual.as_read(network, policy, trajectory, "current_actions", weights, actions)
        sent = trajectory.symbols["message"][:-1]
        return counterfactual.as_read(network, policy, trajectory, "messages", weights[:-1], sent)

    assert one_pass(network.core)
    fast = quick(run)(trajectory)
    for module in (counterfactual, model):
        monkeypatch.setattr(module, "one_pass", lambda core: False)
    for got, truth in zip(jax.tree.leaves(fast), jax.tree.leaves(quick(lambda x: run(x))(trajectory)), strict=True):
        np.testing.assert_allclose(got, truth, atol=5e-6)


def test_batches_of_batches_and_two_devices_are_one_after_the_other(acted, games, make_policy, at_random):
    policy = make_policy(games.three())
    network, trajectory = acted(games.three(), policy)
    others = ModelOfOthers(config=ModelConfig(encoder="classes", hidden=(6,), width=5))
    parameters = at_random(jax.eval_shape(lambda: others.init(jax.random.key(0), policy)), 7)
    memory = at_random(jax.eval_shape(lambda: others.initial(policy, trajectory.start.shape[1])), 8)

    def run(parameters):
        return others.observe(parameters, memory, network, policy, trajectory)

    pair = jax.tree.map(lambda x: jnp.stack([x, 2.0 * x]), parameters)
    apart = [jax.jit(run)(jax.tree.map(lambda x, i=i: x[i], pair)) for i in range(2)]
    expected = jax.tree.map(lambda *each: np.stack(each), *apart)
    assert jax.device_count() == 2
    for together in (jax.jit(jax.vmap(run))(pair), jax.pmap(run)(pair)):
        for got, truth in zip(jax.tree.leaves(together), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(got, truth, atol=1e-6)


def test_other_cores_and_wider_numbers_go_through_xla(games, make_policy, quick):
    def core(**config):
        return quick(make_policy(games.three(), **config).init)(jax.random.key(0)).core

    assert one_pass(core())
    assert not one_pass(core(core="gru"))
    assert not one_pass(jax.tree.map(lambda x: x.astype(jnp.bfloat16), core()))
