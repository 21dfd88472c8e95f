"""Hidden Markov models: enumeration, exact arithmetic on the cases where others fail, and every verb's identities."""

import itertools
from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.markov import MarkovChain
from suasion.statespace import (
    FiniteSSM,
    Gaussian,
    Likelihood,
    Poisson,
    Table,
    decode,
    filter,
    fit,
    forecast,
    online,
    sample,
    simulate,
    smooth,
)
from suasion.statespace._finite_passes import forward, line_up


def own(initial, transition, logs):
    """A model whose log-likelihoods are given."""
    logs = np.asarray(logs, np.float64)
    emission = Likelihood(function=lambda steps: logs[np.asarray(steps)])
    model = FiniteSSM(transition=np.asarray(transition), initial=np.asarray(initial), emission=emission)
    return model, np.arange(len(logs))


def exact(initial, transition, logs):
    """Log-likelihood, smoothed, expected transitions: forward and backward sums in 80 decimal digits."""
    with localcontext(prec=80):
        T, K = np.shape(logs)
        zero = Decimal(0)
        p = [Decimal(float(x)) for x in initial]
        move = [[Decimal(float(x)) for x in row] for row in transition]
        move = [[x / sum(row) for x in row] for row in move]
        p = [x / sum(p) for x in p]
        b = [[Decimal(float(x)).exp() if x > -np.inf else zero for x in row] for row in logs]
        a = [[p[k] * b[0][k] for k in range(K)]]
        for t in range(1, T):
            a.append([b[t][k] * sum(a[-1][j] * move[j][k] for j in range(K)) for k in range(K)])
        total = sum(a[-1])
        f = [[Decimal(1)] * K]
        for t in range(T - 1, 0, -1):
            f.insert(0, [sum(move[j][k] * b[t][k] * f[0][k] for k in range(K)) for j in range(K)])
        smoothed = [[float(a[t][k] * f[t][k] / total) for k in range(K)] for t in range(T)]
        pairs = [
            [
                float(sum(a[t][j] * move[j][k] * b[t + 1][k] * f[t + 1][k] for t in range(T - 1)) / total)
                for k in range(K)
            ]
            for j in range(K)
        ]
        filtered = [[float(x / sum(row)) for x in row] for row in a]
        return float(total.ln()), np.array(filtered), np.array(smoothed), np.array(pairs)


def enumerated(initial, transition, logs):
    """The same by all paths; and the best of them."""
    T, K = np.shape(logs)
    with np.errstate(divide="ignore"):
        first, move = np.log(initial), np.log(transition)
    paths = np.array(list(itertools.product(range(K), repeat=T)))
    score = first[paths[:, 0]] + sum(move[paths[:, t - 1], paths[:, t]] for t in range(1, T))
    score = score + sum(logs[t, paths[:, t]] for t in range(T))
    weight = np.exp(score - score.max())
    smoothed = np.stack([np.bincount(paths[:, t], weight, K) for t in range(T)]) / weight.sum()
    return score.max() + np.log(weight.sum()), smoothed, paths[np.argmax(score)], score.max()


RNG = np.random.default_rng(8)
LEFT_RIGHT = np.array([[0.5, 0.5, 0], [0, 0.9, 0.1], [0, 0, 1.0]])
THIN = np.array([[1, 1e-300, 1e-120], [0.5, 0.5, 1e-110], [1e-150, 0, 1.0]])
SWITCH = np.array([[1 - 1e-16, 1e-16], [1e-16, 1 - 1e-16]])
FLIP = np.where(np.arange(12)[:, None] % 2 == np.arange(2), 0.0, -400.0)
STRESS = {
    "ordinary": ([0.2, 0.3, 0.5], RNG.dirichlet(np.ones(3), 3), RNG.normal(size=(7, 3))),
    "left to right": ([1.0, 0, 0], LEFT_RIGHT, 3 * RNG.normal(size=(9, 3))),
    "rare transition": ([0.5, 0.5], [[1 - 1e-10, 1e-10], [1e-10, 1 - 1e-10]], FLIP[:6] / 10),
    "switch 1e-16": ([0.5, 0.5], SWITCH, FLIP),
    "switch 1e-16, 800 nats": ([0.5, 0.5], SWITCH, 2 * FLIP),
    "switch 1e-16, in pairs": ([0.5, 0.5], SWITCH, np.repeat(FLIP, 2, axis=0)),
    "switch 1e-300": ([0.5, 0.5], [[1.0, 1e-300], [1e-300, 1.0]], FLIP),
    "switch 1e-120": ([0.5, 0.5], [[1.0, 1e-120], [1e-120, 1.0]], FLIP),
    "thin, and odds turn": ([1.0, 1e-200, 0], THIN, np.repeat([[0.0, -350, -700], [-350, 0, -200.0]], [3, 4], axis=0)),
    "thin, and harmless": ([1e-200, 0.5, 0.5], (THIN + [[0, 0.2, 0]] * 3) / 1.2, 5 * RNG.normal(size=(9, 3))),
    "a product of few digits, and odds turn": (
        [1.0, 1e-100, 1e-160],
        np.eye(3),
        [[0.0, 0, 0], [-np.inf, -502, 0], [-np.inf, 0, -700]],
    ),
    "near -2000": ([0.2, 0.3, 0.5], RNG.dirichlet(np.ones(3), 3), -1000 * (1 + RNG.random((9, 3)))),
    "no way back": ([0.5, 0.5], np.eye(2), np.concatenate([FLIP[:1], np.tile([-1.0, 0.0], (500, 1))])),
    "what is likely cannot be": ([1.0, 0, 0], LEFT_RIGHT, np.tile([-1500.0, -1400.0, 0.0], (2, 1))),
    "unreachable, and much more likely": ([1.0, 0.0], np.eye(2), np.tile([-30.0, 0.0], (400, 1))),
    "table of zeros": ([0.5, 0.5], [[0.5, 0.5], [0.1, 0.9]], np.log([[0.5, 1e-320], [1e-310, 1], [1, 0.1]])),
}


@pytest.mark.parametrize("name", STRESS)
def test_exact_where_others_fail(name):
    initial, transition, logs = STRESS[name]
    model, steps = own(initial, transition, logs)
    total, filtered, smoothed, pairs = exact(initial, transition, logs)
    got, after = filter(model, steps), smooth(model, steps)
    bound = 1e-12 * abs(total)
    assert abs(got.log_likelihood - total) <= bound
    assert abs(after.log_likelihood - total) <= bound
    np.testing.assert_allclose(got.filtered, filtered, rtol=2e-11, atol=1e-14)
    np.testing.assert_allclose(after.smoothed, smoothed, rtol=2e-11, atol=1e-14)
    np.testing.assert_allclose(after.pairwise, pairs, rtol=2e-11, atol=1e-12)
    np.testing.assert_allclose(got.predicted[1:], got.filtered[:-1] @ model.matrix, rtol=1e-12)
    assert got.impossible == after.impossible == -1
    stream = online(model)
    for t in steps:
        belief, gained = stream.step(t)
        np.testing.assert_allclose(belief, filtered[t], rtol=2e-11, atol=1e-14)
        np.testing.assert_allclose(gained, got.increments[t], rtol=1e-12, atol=1e-12)
    assert abs(stream.log_likelihood - total) <= bound


@pytest.mark.parametrize("name", ["ordinary", "left to right", "rare transition", "switch 1e-16", "near -2000"])
def test_all_paths_say_the_same(name):
    initial, transition, logs = STRESS[name]
    logs = logs[:7]
    model, steps = own(initial, transition, logs)
    total, smoothed, path, best = enumerated(initial, transition, logs)
    assert abs(filter(model, steps).log_likelihood - total) <= 1e-12 * abs(total)
    np.testing.assert_allclose(smooth(model, steps).smoothed, smoothed, atol=1e-12)
    decoded = decode(model, steps)
    np.testing.assert_array_equal(decoded.path, path)
    assert abs(decoded.log_probability - best) <= 1e-12 * abs(best)


@given(seed=st.integers(0, 10**6), states=st.integers(1, 4), steps=st.integers(1, 5), holes=st.booleans())
def test_random_models_against_all_paths(seed, states, steps, holes):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(states, 0.5), states)
    initial = rng.dirichlet(np.full(states, 0.5))
    if holes:
        transition = np.where(transition < 0.2, 0, transition)
        transition /= transition.sum(1, keepdims=True)
    logs = rng.normal(size=(steps, states)) * rng.choice([1, 30, 900])
    model, y = own(initial, transition, logs)
    total, smoothed, _, best = enumerated(initial, transition, logs)
    assert abs(filter(model, y).log_likelihood - total) <= 1e-12 * abs(total) + 1e-12
    np.testing.assert_allclose(smooth(model, y).smoothed, smoothed, atol=1e-10)
    assert abs(decode(model, y).log_probability - best) <= 1e-12 * abs(best) + 1e-12


def test_twenty_states_use_the_general_kernel():
    rng = np.random.default_rng(2)
    initial, transition, logs = rng.dirichlet(np.ones(20)), rng.dirichlet(np.ones(20), 20), rng.normal(size=(15, 20))
    model, y = own(initial, transition, logs)
    total, filtered, smoothed, pairs = exact(initial, transition, logs)
    after = smooth(model, y)
    assert abs(after.log_likelihood - total) < 1e-12 * abs(total)
    np.testing.assert_allclose(filter(model, y).filtered, filtered, atol=1e-14)
    np.testing.assert_allclose(after.smoothed, smoothed, atol=1e-14)
    np.testing.assert_allclose(after.pairwise, pairs, atol=1e-13)
    best = np.log(initial) + logs[0]
    for t in range(1, 15):
        best = (best[:, None] + np.log(transition)).max(0) + logs[t]
    decoded = decode(model, y)
    path = decoded.path
    score = np.log(initial[path[0]]) + np.log(transition[path[:-1], path[1:]]).sum() + logs[np.arange(15), path].sum()
    np.testing.assert_allclose([decoded.log_probability, score], best.max(), rtol=1e-13)


def test_memory_that_is_lent_is_nobody_elses():
    """A likelihood that smooths another sequence itself, and calls after calls, leave results as they were."""
    initial, transition, logs = STRESS["ordinary"]
    model, steps = own(initial, transition, logs)
    alone = [verb(model, steps) for verb in (filter, smooth, decode)]
    other, lengthy = own(transition[0], transition, np.random.default_rng(1).normal(size=(50, 3)))

    def busy(held):
        smooth(other, lengthy)
        return logs[held]

    nested = FiniteSSM(transition=transition, initial=np.array(initial), emission=Likelihood(function=busy))
    again = [verb(nested, steps) for verb in (filter, smooth, decode)]
    decode(other, lengthy)
    for before, after in zip(alone, again, strict=True):
        for a, b in zip(before, after, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(alone[1].smoothed, exact(initial, transition, logs)[2], atol=1e-14)


def umbrella():
    chain = MarkovChain(transition=np.array([[0.7, 0.3], [0.3, 0.7]]), initial=np.array([0.5, 0.5]))
    return FiniteSSM(transition=chain, emission=Table(probability=np.array([[0.9, 0.1], [0.2, 0.8]])))


def test_the_umbrella_world():
    y = np.array([0, 0, 1, 0, 0])
    got, after, path = filter(umbrella(), y), smooth(umbrella(), y), decode(umbrella(), y)
    np.testing.assert_allclose(
        got.filtered[:, 0], [0.81818182, 0.88335704, 0.19066794, 0.730794, 0.86733889], atol=6e-9
    )
    np.testing.assert_allclose(
        after.smoothed[:, 0], [0.86733889, 0.82041905, 0.30748358, 0.82041905, 0.86733889], atol=6e-9
    )
    np.testing.assert_allclose(got.log_likelihood, -3.372502044332, atol=6e-13)
    np.testing.assert_allclose(path.log_probability, -4.459028291035, atol=6e-13)
    assert path.path.tolist() == [0, 0, 1, 0, 0]
    np.testing.assert_allclose(smooth(umbrella(), y[:2]).smoothed[0, 0], 0.88335704, atol=6e-9)
    model = umbrella()
    total, filtered, smoothed, pairs = exact(model.start, model.matrix, model.log_likelihood(y))
    np.testing.assert_allclose(got.log_likelihood, total, rtol=1e-12)
    np.testing.assert_allclose(got.filtered, filtered, rtol=1e-12)
    np.testing.assert_allclose(after.smoothed, smoothed, rtol=1e-12)
    np.testing.assert_allclose(after.pairwise, pairs, rtol=1e-12)


def three_kinds():
    rng = np.random.default_rng(4)
    transition, initial = rng.dirichlet(np.ones(3) * 3, 3), rng.dirichlet(np.ones(3))
    spread = rng.normal(size=(3, 2, 2))
    gaussian = Gaussian(mean=3 * rng.normal(size=(3, 2)), covariance=spread @ spread.transpose(0, 2, 1) + np.eye(2) / 4)
    return {
        "table": FiniteSSM(
            transition=transition, initial=initial, emission=Table(probability=rng.dirichlet(np.ones(4), 3))
        ),
        "gaussian": FiniteSSM(transition=transition, initial=initial, emission=gaussian),
        "poisson": FiniteSSM(transition=transition, initial=initial, emission=Poisson(rate=np.array([0.5, 4.0, 9.0]))),
    }


def with_gaps(y):
    y = y.copy()
    if y.dtype == np.float64:
        y[3], y[5, 0], y[7, 1] = np.nan, np.nan, np.nan
    else:
        y[[0, 4]] = -1
    return y


@pytest.mark.parametrize("kind", ["table", "gaussian", "poisson"])
def test_batch_is_ragged_is_online_is_single(kind):
    model = three_kinds()[kind]
    _, stack = simulate(model, 40, np.random.default_rng(0), count=6)
    stack = np.stack([with_gaps(y) for y in stack])
    ragged = [y[: 40 - 5 * q] for q, y in enumerate(stack)]
    for verb in (filter, smooth, decode):
        together, apart = verb(model, stack), verb(model, ragged)
        for q in range(6):
            for a, b in zip(together, verb(model, stack[q]), strict=True):
                np.testing.assert_allclose(a[q], b, rtol=1e-12, atol=1e-14)
            for a, b in zip(apart[q], verb(model, ragged[q]), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    stream, whole = online(model), filter(model, stack[2])
    for t in range(40):
        belief, gained = stream.step(stack[2][t])
        np.testing.assert_allclose(belief, whole.filtered[t], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(gained, whole.increments[t], rtol=1e-12, atol=1e-13)


def test_missing_observations_are_summed_out():
    model = three_kinds()["table"]
    y = np.array([2, -1, 0, -1])
    filled = [np.array([2, a, 0, b]) for a in range(4) for b in range(4)]
    total = np.logaddexp.reduce([filter(model, held).log_likelihood for held in filled])
    np.testing.assert_allclose(filter(model, y).log_likelihood, total, rtol=1e-13)


def test_a_missing_component_is_marginalised():
    model = three_kinds()["gaussian"]
    emission = model.emission
    y = np.random.default_rng(3).normal(size=(6, 2))
    y[2, 0] = y[4] = np.nan
    logs = emission.log_likelihood(y)
    for s in range(3):
        m, v = emission.mean[s, 1], emission.covariance[s, 1, 1]
        np.testing.assert_allclose(logs[2, s], -((y[2, 1] - m) ** 2) / 2 / v - np.log(2 * np.pi * v) / 2, rtol=1e-13)
    assert not logs[4].any()


def test_impossible_evidence_names_its_step():
    model = FiniteSSM(
        transition=np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1.0]]),
        initial=np.array([1.0, 0, 0]),
        emission=Table(probability=np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])),
    )
    y = np.array([0, 0, 1, 2, 1])
    got, after, path = filter(model, y), smooth(model, y), decode(model, y)
    assert got.log_likelihood == after.log_likelihood == path.log_probability == -np.inf
    assert got.impossible == after.impossible == 3
    assert not np.isnan(got.filtered).any()
    assert not got.filtered[3:].any()
    assert not after.smoothed.any()
    assert (path.path == -1).all()
    np.testing.assert_allclose(got.increments[:3], np.log([1, 0.5, 0.5]))
    np.testing.assert_allclose(filter(model, [y[:3], y])[0].log_likelihood, np.log(0.25))
    stream = online(model)
    assert [stream.step(o)[1] > -np.inf for o in y] == [True, True, True, False, True]
    for verb in (
        lambda: sample(model, y, np.random.default_rng(0)),
        lambda: forecast(model, y, 2),
        lambda: fit(model, y),
    ):
        with pytest.raises(ValueError, match="impossible at step 3"):
            verb()


def test_draws_have_the_smoothed_and_pairwise_probabilities():
    """Four standard errors in 20 x 3 + 9 places; the seed is fixed."""
    model = three_kinds()["gaussian"]
    _, y = simulate(model, 20, np.random.default_rng(5))
    y[7] = np.nan
    after = smooth(model, y)
    draws = sample(model, y, np.random.default_rng(6), 20_000)
    share = (draws[:, :, None] == np.arange(3)).mean(0)
    error = np.sqrt(after.smoothed * (1 - after.smoothed) / 20_000)
    assert (np.abs(share - after.smoothed) <= 4 * error + 1e-4).all()
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (draws[:, :-1], draws[:, 1:]), 1 / 20_000)
    np.testing.assert_allclose(pairs, after.pairwise, atol=0.05)
    assert sample(model, np.stack([y, y]), np.random.default_rng(0), 3).shape == (2, 3, 20)
    assert [p.shape for p in sample(model, [y, y[:4]], np.random.default_rng(0), 3)] == [(3, 20), (3, 4)]


def test_draws_where_only_logarithms_reach():
    initial, transition, logs = STRESS["no way back"]
    model, y = own(initial, transition, logs)
    draws = sample(model, y, np.random.default_rng(0), 50)
    assert (draws == draws[:, :1]).all()


@pytest.mark.parametrize("kind", ["table", "gaussian", "poisson"])
def test_simulated_observations_have_the_forecast_moments(kind):
    model = three_kinds()[kind]
    states, seen = simulate(model, 4, np.random.default_rng(1), count=40_000)
    first = model.emission.predict(model.start[None] @ np.linalg.matrix_power(model.matrix, 3))
    if kind == "table":
        np.testing.assert_allclose(np.bincount(seen[:, 3], minlength=4) / 40_000, first[0], atol=0.01)
    else:
        last = seen[:, 3]
        np.testing.assert_allclose(last.mean(0), first.mean[0], atol=0.08)
        np.testing.assert_allclose(np.cov(last.T), first.variance[0], atol=0.3)
    assert states.shape == (40_000, 4)


@pytest.mark.parametrize("kind", ["table", "gaussian", "poisson"])
def test_forecast_is_filtering_of_missing_steps(kind):
    model = three_kinds()[kind]
    _, y = simulate(model, 12, np.random.default_rng(1))
    ahead = forecast(model, y, 5)
    longer = np.concatenate([y, np.full((5, *y.shape[1:]), np.nan if kind == "gaussian" else -1, y.dtype)])
    np.testing.assert_allclose(ahead.states, filter(model, longer).filtered[12:], rtol=1e-12)


@pytest.mark.parametrize("kind", ["table", "gaussian", "poisson"])
def test_fit_rises_and_beats_the_truth(kind):
    truth = three_kinds()[kind]
    _, stack = simulate(truth, 150, np.random.default_rng(7), count=3)
    ys = [with_gaps(y)[: 150 - 20 * q] for q, y in enumerate(stack)]
    fitted = fit(truth, ys, iterations=25)
    assert (np.diff(fitted.history) >= -1e-10 * np.abs(fitted.history[:-1])).all()
    assert fitted.log_likelihood > fitted.history[0]
    again = sum(held.log_likelihood for held in filter(fitted.model, ys))
    np.testing.assert_allclose(fitted.log_likelihood, again, rtol=1e-13)
    fixed = fit(truth, ys, free=("transition",), iterations=2)
    assert fixed.model.emission is truth.emission
    np.testing.assert_array_equal(fixed.model.start, truth.start)
    assert fixed.iterations == 2
    assert not fixed.converged


@pytest.mark.parametrize("kind", ["table", "gaussian", "poisson"])
def test_fit_stops_where_the_gradient_is_zero(kind):
    """At the fixed point, moving any free entry within its simplex changes the likelihood in second order only."""
    truth = three_kinds()[kind]
    _, y = simulate(truth, 80, np.random.default_rng(11))
    y = with_gaps(y)
    fitted = fit(truth, y, free=("transition", "emission"), iterations=4000, tolerance=1e-14)
    assert fitted.converged
    best = fitted.model
    h = 1e-4

    def score(**change):
        parts = {"transition": best.matrix, "initial": best.start, "emission": best.emission} | change
        return filter(FiniteSSM(**parts), y).log_likelihood

    if kind == "gaussian":
        for s, i in itertools.product(range(3), range(2)):
            up, down = best.emission.mean.copy(), best.emission.mean.copy()
            up[s, i] += h
            down[s, i] -= h
            pair = [score(emission=Gaussian(mean=m, covariance=best.emission.covariance)) for m in (up, down)]
            assert abs(pair[0] - pair[1]) / 2 / h < 0.05
    for j in range(3):
        k, m = np.argsort(best.matrix[j])[1:]
        if best.matrix[j, k] > 10 * h:
            up, down = best.matrix.copy(), best.matrix.copy()
            up[j, [k, m]] += [h, -h]
            down[j, [k, m]] -= [h, -h]
            assert abs(score(transition=up) - score(transition=down)) / 2 / h < 0.05


def test_what_baum_welch_makes_is_still_fast():
    """It drives first states and transitions towards 0; logarithms, which are slow, must not be needed for that."""
    rng = np.random.default_rng(0)
    mean = 3 * rng.normal(size=(6, 2))
    emission = Gaussian(mean=mean, covariance=np.stack([np.eye(2)] * 6))
    ring = 0.5 * np.eye(6) + 0.5 * np.roll(np.eye(6), 1, axis=1)
    mixed = 0.7 * ring + 0.3 * rng.dirichlet(np.ones(6), 6)
    model = FiniteSSM(transition=mixed, initial=np.full(6, 1 / 6), emission=emission)
    _, y = simulate(model, 300, rng)
    learned = fit(model, y, iterations=60, tolerance=0.0).model
    assert learned.start.min() < 1e-100
    thin = learned.matrix.copy()
    thin[0, 3], thin[2, 5] = 1e-200, 1e-310
    learned = replace(learned, transition=thin / thin.sum(1, keepdims=True))
    with line_up(learned, y, None) as lined:
        assert not forward(learned, lined).in_logs
    total, filtered, smoothed, pairs = exact(learned.start, learned.matrix, learned.log_likelihood(y[:60]))
    after = smooth(learned, y[:60])
    assert abs(after.log_likelihood - total) <= 1e-12 * abs(total)
    np.testing.assert_allclose(after.smoothed, smoothed, atol=1e-12)
    np.testing.assert_allclose(after.pairwise, pairs, atol=1e-11)
    np.testing.assert_allclose(filter(learned, y[:60]).filtered, filtered, atol=1e-12)


def test_a_prior_keeps_rows_alive():
    model = umbrella()
    y = np.array([0, 0, 0, 0, 0, 0])
    fitted = fit(model, y, free=("initial", "transition"), prior=0.5, iterations=300)
    assert (fitted.model.matrix > 0.05).all()
    assert (np.diff(fitted.history) >= -1e-10).all()


def test_dead_and_collapsing_components_are_refused():
    dead = FiniteSSM(
        transition=np.array([[1.0, 0], [0, 1.0]]),
        initial=np.array([1.0, 0]),
        emission=Poisson(rate=np.array([1.0, 5.0])),
    )
    with pytest.raises(ValueError, match="state 1 is dead: 0 observations"):
        fit(dead, np.array([1, 2, 0, 3]))
    y = np.concatenate([np.random.default_rng(0).normal(size=(20, 1)), [[50.0]]])
    thin = FiniteSSM(
        transition=np.full((2, 2), 0.5),
        initial=np.array([0.5, 0.5]),
        emission=Gaussian(mean=np.array([[0.0], [50.0]]), covariance=np.ones((2, 1, 1))),
    )
    with pytest.raises(ValueError, match="state 1 collapses"):
        fit(thin, y, free=("emission",))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: FiniteSSM(transition=np.array([[0.9, 0.2], [0.5, 0.5]]), initial=np.ones(2) / 2, emission=TWO),
            r"sums to 1\.1",
        ),
        (lambda: FiniteSSM(transition=np.eye(2), initial=np.array([0.5, 0.4]), emission=TWO), r"initial sums to 0\.9"),
        (lambda: FiniteSSM(transition=np.eye(2), emission=TWO), "initial is missing"),
        (
            lambda: FiniteSSM(transition=np.eye(3), initial=np.ones(3) / 3, emission=TWO),
            "the chain has 3 states, the emission 2",
        ),
        (lambda: Table(probability=np.array([[0.5, 0.5], [0.5, 0.6]])), r"probability\[1\] sums to 1\.1, not 1"),
        (lambda: Table(probability=np.array([[0.5, 0.5], [-0.5, 1.5]])), r"probability\[1, 0\] is -0\.5"),
        (lambda: Poisson(rate=np.array([1.0, -2.0])), r"rate\[1\] is -2\.0"),
        (
            lambda: Gaussian(mean=np.zeros((1, 2)), covariance=np.array([[[1.0, 2], [2, 1]]])),
            r"covariance\[0\] has a negative eigenvalue: -1\.0",
        ),
        (
            lambda: Gaussian(mean=np.zeros((1, 2)), covariance=np.array([[[1.0, 0.5], [0.4, 1]]])),
            r"covariance\[0\]\[0, 1\] is 0\.5 and \[1, 0\] 0\.4",
        ),
        (
            lambda: Gaussian(mean=np.zeros((1, 1)), covariance=np.zeros((1, 1, 1))),
            r"covariance\[0\] has the eigenvalue 0\.0",
        ),
        (
            lambda: Gaussian(mean=np.zeros((1, 1)), covariance=np.zeros((2, 1, 1))),
            r"covariance is \[2, 1, 1\], not \[1, 1, 1\]",
        ),
        (lambda: filter(umbrella(), np.zeros(0, int)), "y has length 0"),
        (lambda: filter(umbrella(), [np.zeros(2, int), np.zeros(0, int)]), r"y\[1\] has length 0"),
        (lambda: filter(umbrella(), [np.array([0]), np.array([0, 5])]), r"in sequence 1: y\[1\] is 5"),
        (lambda: filter(umbrella(), []), "no sequences"),
        (lambda: filter(umbrella(), np.array([0, 2])), r"y\[1\] is 2: must be 0 to 1, or -1"),
        (lambda: filter(umbrella(), np.array([0.0, 1.0])), "must be whole numbers"),
        (lambda: filter(three_kinds()["gaussian"], np.zeros((4, 3))), r"y is \[4, 3\], not \[4, 2\]"),
        (lambda: filter(three_kinds()["gaussian"], np.zeros(4)), r"y is \[4\], not \[T, components\]"),
        (lambda: filter(own([1.0], [[1.0]], [[np.nan]])[0], np.array([0])), r"log-likelihood\[0, 0\] is nan"),
        (lambda: fit(umbrella(), np.array([0]), free=("noise",)), "free holds 'noise'"),
        (lambda: fit(umbrella(), np.array([0]), iterations=-1), "iterations is -1"),
        (lambda: simulate(umbrella(), 0, np.random.default_rng(0)), "steps is 0"),
        (lambda: sample(umbrella(), np.array([0]), np.random.default_rng(0), 0), "draws is 0"),
    ],
)
def test_wrong_questions_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


TWO = Table(probability=np.array([[0.9, 0.1], [0.2, 0.8]]))
