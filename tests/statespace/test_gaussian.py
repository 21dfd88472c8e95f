"""Linear-Gaussian models: dense conditioning, 100-digit recursion, the Nile, and every verb's identities."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import optimize

from suasion.statespace import (
    LinearGaussianSSM,
    decode,
    filter,
    forecast,
    online,
    sample,
    simulate,
    smooth,
)


def a_model(seed, n=3, p=2, m=0, *, steps=None, rank_q=None, rank_p=None, r=1.0):
    """Random and stable; with `steps` everything changes with time."""
    rng = np.random.default_rng(seed)
    lead = () if steps is None else (steps,)

    def covariance(size, rank):
        root = rng.normal(size=(*lead, size, size if rank is None else rank))
        return root @ np.swapaxes(root, -1, -2)

    A = rng.normal(size=(*lead, n, n)) / np.sqrt(n) * 0.9
    start = rng.normal(size=(n, n if rank_p is None else rank_p))
    inputs = {"B": rng.normal(size=(*lead, n, m)), "D": rng.normal(size=(*lead, p, m))} if m else {}
    return LinearGaussianSSM(
        A=A, C=rng.normal(size=(*lead, p, n)), Q=covariance(n, rank_q), R=r * covariance(p, None),
        m0=rng.normal(size=n), P0=start @ start.T, **inputs,
    )  # fmt: skip


def dense(model, y, inputs=None):
    """Log-likelihood, smoothed means and covariances, by conditioning one Gaussian of all states."""
    T, n, p = len(y), model.n_components, model.n_observed
    mean, move = np.zeros((T, n)), np.zeros((T, n, T, n))  # x_t = mean + move (x_0's noise, w_0, ...)
    noise = np.zeros((T * n, T * n))
    noise[:n, :n] = model.P0
    mean[0], move[0, :, 0] = model.m0, np.eye(n)
    C, R, seen_mean = np.zeros((T * p, T * n)), np.zeros((T * p, T * p)), np.zeros((T, p))
    for t in range(T):
        if t:
            A = model.at("A", t - 1)
            mean[t] = A @ mean[t - 1] + (model.at("B", t - 1) @ inputs[t - 1] if inputs is not None else 0)
            move[t] = np.tensordot(A, move[t - 1], 1)
            move[t, :, t] = np.eye(n)
            noise[t * n : t * n + n, t * n : t * n + n] = model.at("Q", t - 1)
        C[t * p : t * p + p, t * n : t * n + n] = model.at("C", t)
        R[t * p : t * p + p, t * p : t * p + p] = model.at("R", t)
        seen_mean[t] = model.at("C", t) @ mean[t] + (model.at("D", t) @ inputs[t] if inputs is not None else 0)
    move = move.reshape(T * n, T * n)
    prior = move @ noise @ move.T
    there = ~np.isnan(y).ravel()
    C, R = C[there], R[np.ix_(there, there)]
    gap = (y - seen_mean).ravel()[there]
    F = C @ prior @ C.T + R
    gain = np.linalg.solve(F, C @ prior).T
    total = -0.5 * (gap @ np.linalg.solve(F, gap) + np.linalg.slogdet(2 * np.pi * F)[1])
    posterior = prior - gain @ C @ prior
    blocks = np.stack([posterior[t * n : t * n + n, t * n : t * n + n] for t in range(T)])
    return total, mean + (gain @ gap).reshape(T, n), blocks


CASES = {
    "plain": {},
    "one step": {"T": 1},
    "large": {"n": 8, "p": 4, "T": 12},
    "inputs": {"m": 2},
    "changing": {"steps": 20, "m": 1},
    "singular noise": {"rank_q": 1},
    "known start": {"rank_p": 0},
    "nothing moves it": {"rank_q": 0},
    "known and noiseless but for one direction": {"rank_q": 1, "rank_p": 1},
    "noiseless observations": {"r": 0.0},
    "more observed than hidden": {"n": 2, "p": 4},
}


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_dense_conditioning_says_the_same(name, gaps):
    case = {"T": 20} | CASES[name]
    T = case.pop("T")
    model = a_model(3, **case)
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(T, model.n_inputs)) if model.n_inputs else None
    _, y = simulate(model, T, rng, inputs=inputs)
    if gaps:
        y[rng.random(y.shape) < 0.3] = np.nan
    if name == "noiseless observations":  # a state of 3 seen in 2 directions, over and over: 6 steps determine F well
        y, T = y[:6], 6
    total, mean, covariance = dense(model, y, inputs)
    got, after = filter(model, y, inputs=inputs), smooth(model, y, inputs=inputs)
    assert abs(got.log_likelihood - total) <= 1e-12 * abs(total) + 1e-12 * T
    assert after.log_likelihood == got.log_likelihood
    scale = max(1.0, np.abs(covariance).max())
    np.testing.assert_allclose(after.mean, mean, atol=1e-10 * max(1.0, np.abs(mean).max()))
    np.testing.assert_allclose(after.covariance, covariance, atol=1e-10 * scale)
    np.testing.assert_allclose(got.mean[-1], mean[-1], atol=1e-10 * max(1.0, np.abs(mean).max()))
    assert np.linalg.eigvalsh(after.covariance).min() >= -1e-15 * scale
    for t in (T // 2, T - 1):
        part = dense(model, y[: t + 1], None if inputs is None else inputs[: t + 1])
        np.testing.assert_allclose(got.mean[t], part[1][-1], atol=1e-10 * max(1.0, np.abs(mean).max()))
        np.testing.assert_allclose(got.covariance[t], part[2][-1], atol=1e-10 * scale)


def recursion(A, C, Q, r, p0, y):
    """Filter and RTS smoother of two components and one observed, in 120 decimal digits."""
    with localcontext(prec=120):
        D = np.vectorize(lambda x: Decimal(float(x)), otypes=[object])
        A, C, Q, r = D(A), D(C), D(Q), Decimal(float(r))
        m, P = D(np.zeros(2)), D(np.eye(2) * p0)
        two_pi = Decimal("6.283185307179586476925286766559005768394338798750211641949889184615632812572417997256069")
        total, held = Decimal(0), []
        for t, value in enumerate(y):
            if t:
                m, P = A @ m, A @ P @ A.T + Q
            predicted = m, P
            F = (C @ P @ C.T)[0, 0] + r
            e = Decimal(float(value)) - (C @ m)[0]
            total -= ((two_pi * F).ln() + e * e / F) / 2
            gain = (P @ C.T)[:, 0] / F
            m, P = m + gain * e, P - np.outer(gain, gain) * F
            held.append((predicted, (m, P)))
        means, covariances = [m], [P]
        for (_, (mf, Pf)), ((mp, Pp), _) in zip(held[-2::-1], held[:0:-1], strict=True):
            det = Pp[0, 0] * Pp[1, 1] - Pp[0, 1] * Pp[1, 0]
            inverse = np.array([[Pp[1, 1], -Pp[0, 1]], [-Pp[1, 0], Pp[0, 0]]]) / det
            G = Pf @ A.T @ inverse
            means.insert(0, mf + G @ (means[0] - mp))
            covariances.insert(0, Pf + G @ (covariances[0] - Pp) @ G.T)
        return float(total), np.array(means).astype(float), np.array(covariances).astype(float)


TREND = np.array([[1.0, 1], [0, 1]])


@pytest.mark.parametrize(
    ("p0", "r", "q", "bound"),
    [
        (1e2, 1e-2, 1, 1e-12),
        (1e4, 1e-4, 1, 1e-12),
        (1e6, 1e-6, 1, 1e-12),
        (1e8, 1e-8, 1, 1e-12),
        (1e12, 1e-12, 1e-6, 1e-10),
    ],
)
def test_ill_conditioned_trends(p0, r, q, bound):
    Q = np.diag([0.1, 0.01]) * q
    C = np.array([[1.0, 0]])
    y = np.cumsum(np.random.default_rng(0).normal(size=(40, 1)), axis=0)
    model = LinearGaussianSSM(A=TREND, C=C, Q=Q, R=np.full((1, 1), r), m0=np.zeros(2), P0=np.eye(2) * p0)
    total, mean, covariance = recursion(TREND, C, Q, r, p0, y[:, 0])
    after = smooth(model, y)
    assert abs(after.log_likelihood - total) <= bound * abs(total)
    np.testing.assert_allclose(after.mean, mean, rtol=1e-6, atol=1e-6)
    assert np.linalg.eigvalsh(after.covariance).min() >= 0
    np.testing.assert_allclose(np.linalg.eigvalsh(after.covariance), np.linalg.eigvalsh(covariance), rtol=1e-3)


def test_static_parameters_are_least_squares():
    """Q = 0: recursive least squares; the first steps are noiseless in the state."""
    rng = np.random.default_rng(2)
    design, truth = rng.normal(size=(30, 3)), np.array([1.0, -2, 0.5])
    y = design @ truth + 0.1 * rng.normal(size=30)
    model = LinearGaussianSSM(
        A=np.eye(3), C=design[:, None, :], Q=np.zeros((3, 3)), R=np.full((1, 1), 0.01), m0=np.zeros(3),
        P0=np.zeros((3, 3)), diffuse=np.ones(3, bool),
    )  # fmt: skip
    after = smooth(model, y)
    expected, inverse = np.linalg.lstsq(design, y)[0], np.linalg.inv(design.T @ design) * 0.01
    np.testing.assert_allclose(after.mean, np.tile(expected, (30, 1)), rtol=1e-10)
    np.testing.assert_allclose(after.covariance, np.tile(inverse, (30, 1, 1)), rtol=1e-9)
    rest = np.sum((y - design @ expected) ** 2)
    total = (
        -15 * np.log(2 * np.pi) - 30 * np.log(0.1) - rest / 0.02 - np.linalg.slogdet(design.T @ design / 0.01)[1] / 2
    )
    np.testing.assert_allclose(after.log_likelihood, total, rtol=1e-12)
    for t in (2, 10):
        part = np.linalg.lstsq(design[: t + 1], y[: t + 1])[0]
        np.testing.assert_allclose(filter(model, y).mean[t], part, rtol=1e-8)


def level(q=1469.1, r=15099.0, p0=None):
    one = np.ones((1, 1))
    start = {"P0": 0 * one, "diffuse": np.ones(1, bool)} if p0 is None else {"P0": p0 * one}
    return LinearGaussianSSM(A=one, C=one, Q=q * one, R=r * one, m0=np.zeros(1), **start)


def test_the_nile(nile):
    got, after = filter(level(), nile), smooth(level(), nile)
    at = [0, 1, 49, 99]
    np.testing.assert_allclose(got.log_likelihood, -633.4645636489, atol=6e-11)
    np.testing.assert_allclose(got.mean[at, 0], [1120, 1140.92783993, 849.07056620, 798.37029261], atol=6e-9)
    np.testing.assert_allclose(got.covariance[at, 0, 0], [15099, 7899.7363794, 4032.15794181, 4032.15794181], atol=6e-8)
    np.testing.assert_allclose(after.mean[at, 0], [1111.66831913, 1110.85766462, 834.76325910, 798.37029261], atol=6e-9)
    np.testing.assert_allclose(
        after.covariance[at, 0, 0], [4032.15794181, 3242.93007322, 2326.75686981, 4032.15794181], atol=6e-9
    )
    np.testing.assert_allclose(filter(level(p0=1e7), nile).log_likelihood, -641.5855784595, atol=6e-11)
    ahead = forecast(level(), nile, 30)
    np.testing.assert_allclose(ahead.mean, 798.3702926084, atol=6e-11)
    np.testing.assert_allclose(np.sqrt(ahead.observations.variance[[0, -1], 0, 0]), [143.5279, 251.4044], atol=6e-5)
    np.testing.assert_allclose(got.increments.sum(), got.log_likelihood, rtol=1e-13)


def test_the_nile_with_gaps(nile):
    gaps = nile.copy()
    gaps[20:40] = gaps[60:80] = np.nan
    after = smooth(level(), gaps)
    np.testing.assert_allclose(after.log_likelihood, -381.5060013083, atol=6e-11)
    np.testing.assert_allclose(after.mean[[29, 69], 0], [903.4211029582, 837.1773237098], atol=6e-11)
    np.testing.assert_allclose(after.covariance[29, 0, 0], 9715.0059, atol=6e-5)


def test_the_niles_most_likely_variances(nile):
    found = optimize.minimize(lambda z: -filter(level(*np.exp(z)), nile).log_likelihood, np.log([1e3, 1e4]), tol=1e-10)
    np.testing.assert_allclose(-found.fun, -633.4645636362, atol=6e-9)
    np.testing.assert_allclose(np.exp(found.x), [1469.1764, 15098.518], rtol=1e-4)


def test_a_diffuse_start_is_the_limit_of_large_variances():
    rng = np.random.default_rng(5)
    C = np.array([[1.0, 0, 0.3]])
    A = np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 0.5]])
    known = np.diag([0.0, 0, 2])
    parts = {"A": A, "C": C, "Q": np.diag([0.3, 0.1, 1]), "R": np.full((1, 1), 0.5), "m0": np.zeros(3)}
    exact = LinearGaussianSSM(**parts, P0=known, diffuse=np.array([True, True, False]))
    kappa = 1e9
    near = LinearGaussianSSM(**parts, P0=known + np.diag([kappa, kappa, 0]))
    y = np.cumsum(rng.normal(size=(25, 1)), axis=0)
    y[1] = np.nan
    a, b = smooth(exact, y), smooth(near, y)
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-6)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-6)
    np.testing.assert_allclose(a.log_likelihood, b.log_likelihood + np.log(kappa), atol=1e-6)
    f, g = filter(exact, y), filter(near, y)
    assert np.isnan(f.mean[:2]).all()
    np.testing.assert_allclose(f.mean[2:], g.mean[2:], atol=1e-5)
    np.testing.assert_allclose(f.covariance[2:], g.covariance[2:], atol=1e-5)
    np.testing.assert_allclose(f.predicted_mean[3:], g.predicted_mean[3:], atol=1e-5)
    np.testing.assert_allclose(f.increments[3:], g.increments[3:], atol=1e-6)


@pytest.mark.parametrize("case", [{}, {"m": 2}, {"steps": 30, "m": 1}, {"rank_q": 1, "rank_p": 0}])
def test_batch_is_ragged_is_online_is_single(case):
    model = a_model(7, **case)
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(30, model.n_inputs)) if model.n_inputs else None
    _, stack = simulate(model, 30, rng, count=5, inputs=inputs)
    stack[3:, 4, 0] = stack[4, 9] = np.nan
    given = None if inputs is None else np.stack([inputs] * 5)
    ragged = [y[: 30 - 3 * q] for q, y in enumerate(stack)]
    some = None if inputs is None else [inputs[: len(y)] for y in ragged]
    for verb in (filter, smooth):
        together, apart = verb(model, stack, inputs=given), verb(model, ragged, inputs=some)
        for q in range(5):
            for a, b in zip(together, verb(model, stack[q], inputs=inputs), strict=True):
                np.testing.assert_allclose(a[q], b, rtol=1e-12, atol=1e-12)
            for a, b in zip(apart[q], verb(model, ragged[q], inputs=None if some is None else some[q]), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    stream, whole = online(model), filter(model, stack[4], inputs=inputs)
    for t in range(30):
        mean, gained = stream.step(stack[4, t], None if inputs is None else inputs[t])
        np.testing.assert_allclose(mean, whole.mean[t], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(gained, whole.increments[t], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(stream.root @ stream.root.T, whole.covariance[-1], atol=1e-12)
    np.testing.assert_allclose(stream.log_likelihood, whole.log_likelihood, rtol=1e-12)


@pytest.mark.parametrize("case", ["plain", "singular", "diffuse"])
def test_draws_have_the_smoothed_moments(case, nile):
    """Means within 4.5 standard errors, variances within 5 %; the seed is fixed."""
    model = level() if case == "diffuse" else a_model(9, rank_q=1 if case == "singular" else None)
    y = nile[:12] if case == "diffuse" else simulate(model, 12, np.random.default_rng(0))[1]
    after, draws = smooth(model, y), sample(model, y, np.random.default_rng(1), 20_000)
    spread = np.sqrt(np.diagonal(after.covariance, axis1=1, axis2=2))
    assert (np.abs(draws.mean(0) - after.mean) <= 4.5 * spread / np.sqrt(20_000)).all()
    np.testing.assert_allclose(draws.std(0), spread, rtol=0.05)
    if case == "plain":
        lag = np.einsum("di,dj->ij", draws[:, 5] - after.mean[5], draws[:, 6] - after.mean[6]) / 20_000
        double = LinearGaussianSSM(  # the covariance of two neighbours, from a model that remembers one step
            A=np.block([[model.A, np.zeros((3, 3))], [np.eye(3), np.zeros((3, 3))]]),
            C=np.concatenate([model.C, np.zeros((2, 3))], axis=1),
            Q=np.block([[model.Q, np.zeros((3, 3))], [np.zeros((3, 6))]]),
            R=model.R, m0=np.concatenate([model.m0, np.zeros(3)]),
            P0=np.block([[model.P0, np.zeros((3, 3))], [np.zeros((3, 6))]]),
        )  # fmt: skip
        expected = smooth(double, y).covariance[6, 3:, :3]
        np.testing.assert_allclose(lag, expected, atol=5 * np.abs(spread).max() ** 2 / np.sqrt(20_000))


def test_forecast_is_filtering_of_missing_steps():
    model = a_model(4, m=1)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(15, 1))
    _, y = simulate(model, 10, rng, inputs=inputs[:10])
    ahead = forecast(model, y, 5, inputs=inputs)
    longer = filter(model, np.concatenate([y, np.full((5, 2), np.nan)]), inputs=inputs)
    np.testing.assert_allclose(ahead.mean, longer.mean[10:], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ahead.covariance, longer.covariance[10:], rtol=1e-11, atol=1e-12)
    seen = longer.mean[10:] @ model.C.T + inputs[10:] @ model.D.T
    np.testing.assert_allclose(ahead.observations.mean, seen, rtol=1e-12)
    np.testing.assert_allclose(decode(model, y, inputs=inputs[:10]).mean, smooth(model, y, inputs=inputs[:10]).mean)


def test_simulated_moments():
    model = a_model(6, m=1)
    inputs = np.ones((4, 1))
    states, seen = simulate(model, 4, np.random.default_rng(2), count=60_000, inputs=inputs)
    blank = filter(model, np.full((4, 2), np.nan), inputs=inputs)
    np.testing.assert_allclose(states[:, 3].mean(0), blank.mean[3], atol=0.05)
    np.testing.assert_allclose(np.cov(states[:, 3].T), blank.covariance[3], atol=0.15)
    assert blank.log_likelihood == 0
    assert seen.shape == (60_000, 4, 2)


def test_from_continuous_time():
    A, L = np.array([[0.0, 1], [0, 0]]), np.array([[0.0], [1]])
    rest = {"C": np.eye(2), "R": np.eye(2), "m0": np.zeros(2), "P0": np.zeros((2, 2))}
    model = LinearGaussianSSM.from_continuous(A=A, L=L, step=0.5, B=L, **rest)
    np.testing.assert_allclose(model.A, [[1, 0.5], [0, 1]], rtol=1e-14)
    np.testing.assert_allclose(model.B, [[0.125], [0.5]], rtol=1e-14)
    np.testing.assert_allclose(model.Q, [[0.125 / 3, 0.125], [0.125, 0.5]], rtol=1e-13)


GOOD = {"A": np.eye(2), "C": np.ones((1, 2)), "Q": np.eye(2), "R": np.eye(1), "m0": np.zeros(2), "P0": np.eye(2)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": np.eye(3)}, r"A is \[3, 3\], not \[2, 2\]"),
        ({"Q": np.array([[1.0, 0.5], [0.4, 1]])}, r"Q\[0, 1\] is 0\.5 and \[1, 0\] 0\.4"),
        ({"Q": np.array([[1.0, 2], [2, 1]])}, r"Q has a negative eigenvalue: -1\.0"),
        ({"Q": np.stack([np.eye(2), -np.eye(2)])}, r"Q\[1\]\[0, 0\] is -1\.0: a variance"),
        ({"R": np.array([[-0.5]])}, r"R\[0, 0\] is -0\.5"),
        ({"P0": np.zeros((3, 3))}, r"P0 is \[3, 3\], not \[2, 2\]"),
        ({"m0": np.array([0.0, np.inf])}, r"m0\[1\] is inf"),
        ({"diffuse": np.array([True, False])}, r"x0\[0\] is diffuse, and its row of P0 is not 0"),
        ({"B": np.ones((2, 1)), "D": np.ones((1, 2))}, r"D is \[1, 2\], not \[1, 1\]"),
    ],
)
def test_wrong_models_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LinearGaussianSSM(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: filter(m, np.zeros((0, 1))), "y has length 0"),
        (lambda m: filter(m, np.zeros((3, 2))), r"y is \[3, 2\], not \[3, 1\]"),
        (lambda m: filter(m, [np.zeros(3), np.array([0.0, np.inf])]), r"y\[1\]\[1, 0\] is inf"),
        (lambda m: filter(m, np.zeros(3), inputs=np.zeros((3, 1))), "the model has 0 inputs"),
        (
            lambda m: filter(LinearGaussianSSM(**{**GOOD, "A": np.stack([np.eye(2)] * 2)}), np.zeros(3)),
            "A is given for 2 steps",
        ),
        (
            lambda m: filter(LinearGaussianSSM(**{**GOOD, "R": np.zeros((1, 1)), "Q": np.zeros((2, 2))}), np.zeros(3)),
            "at step 1 the",
        ),
        (lambda m: smooth(level(), np.full(3, np.nan)), "do not determine the diffuse start"),
        (lambda m: simulate(level(), 3, np.random.default_rng(0)), "diffuse start has no distribution"),
        (lambda m: online(level()), "not diffuse"),
        (lambda m: forecast(m, [np.zeros(3)], 2), "one sequence"),
    ],
)
def test_wrong_questions_are_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(LinearGaussianSSM(**GOOD))


@pytest.mark.parametrize("name", CASES)
def test_the_covariance_form_says_the_same(name):
    case = {"T": 20} | CASES[name]
    T = case.pop("T") if name != "noiseless observations" else 6 * case.pop("T") // 20
    model = a_model(3, **case)
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(T, model.n_inputs)) if model.n_inputs else None
    _, stack = simulate(model, T, rng, count=3, inputs=inputs)
    stack[2][rng.random((T, model.n_observed)) < 0.3] = np.nan
    given = None if inputs is None else np.stack([inputs] * 3)
    scale = 1e-9 * max(1.0, np.nanmax(np.abs(stack)))
    for verb in (filter, smooth):
        a, b = verb(model, stack, inputs=given), verb(model, stack, inputs=given, form="covariance")
        np.testing.assert_allclose(b.mean, a.mean, atol=scale)
        np.testing.assert_allclose(b.covariance, a.covariance, atol=scale)
        np.testing.assert_allclose(b.log_likelihood, a.log_likelihood, rtol=1e-10)
    with pytest.raises(ValueError, match="not diffuse"):
        filter(level(), np.zeros(3), form="covariance")
