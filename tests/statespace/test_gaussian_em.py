"""EM of linear-Gaussian models: it rises, and stops where the gradient of the likelihood is 0."""

from dataclasses import replace

import numpy as np
import pytest

from suasion.statespace import LinearGaussianSSM, filter, fit, simulate

MODEL = LinearGaussianSSM(
    A=np.array([[0.9, 0.2], [-0.1, 0.7]]), C=np.array([[1.0, 0], [0.5, 1], [0, 1]]),
    Q=np.array([[0.5, 0.1], [0.1, 0.3]]),
    R=np.array([[0.4, 0.1, 0], [0.1, 0.6, 0.2], [0, 0.2, 0.5]]), m0=np.array([1.0, -1]), P0=np.eye(2),
    B=np.array([[0.5], [1.0]]), D=np.array([[1.0], [0], [-1]]),
)  # fmt: skip


def series(gaps=True):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(T, 1)) for T in (60, 60, 35)]
    ys = [simulate(MODEL, len(u), rng, inputs=u)[1] for u in inputs]
    if gaps:
        for y in ys[1:]:
            y[rng.random(y.shape) < 0.15] = np.nan
            y[5] = np.nan
    return ys, inputs


def score(model, ys, inputs):
    return sum(held.log_likelihood for held in filter(model, ys, inputs=inputs))


@pytest.mark.parametrize(
    "free", [("Q", "R"), ("A", "B", "C", "D", "Q", "R", "m0", "P0"), ("A",), ("D", "m0"), ("C", "R")]
)
def test_it_rises(free):
    ys, inputs = series()
    fitted = fit(MODEL, ys, inputs=inputs, free=free, iterations=15)
    assert fitted.iterations == 15 or fitted.converged
    assert fitted.log_likelihood > fitted.history[0] + 0.01
    np.testing.assert_allclose(fitted.log_likelihood, score(fitted.model, ys, inputs), rtol=1e-12)
    for name in {"A", "B", "C", "D", "Q", "R", "m0", "P0"} - set(free):
        assert getattr(fitted.model, name) is getattr(MODEL, name)


@pytest.mark.parametrize("free", [("Q", "R"), ("A", "B", "Q"), ("C", "D", "R"), ("m0",)])
def test_it_stops_where_the_gradient_is_zero(free):
    ys, inputs = series()
    fitted = fit(MODEL, ys, inputs=inputs, free=free, iterations=3000, tolerance=1e-13)
    assert fitted.converged
    h = 1e-5
    for name in free:
        held = getattr(fitted.model, name)
        for place in np.ndindex(held.shape):
            step = np.zeros(held.shape)
            step[place] = h
            if name in "QR":
                step = np.maximum(step, step.T)
            up, down = (score(replace(fitted.model, **{name: held + s * step}), ys, inputs) for s in (1, -1))
            assert abs(up - down) / 2 / h < 0.02, (name, place)


def test_what_changes_with_time_stays(nile):
    one = np.ones((1, 1))
    R = np.where(np.arange(100) < 50, 1.0, 2.0)[:, None, None] * 15000
    model = LinearGaussianSSM(A=one, C=one, Q=2000 * one, R=R, m0=np.full(1, 1000.0), P0=1e5 * one)
    fitted = fit(model, nile, free=("Q",), iterations=30)
    assert fitted.log_likelihood > fitted.history[0]
    with pytest.raises(ValueError, match="free holds 'R', which changes with time"):
        fit(model, nile)
    with pytest.raises(ValueError, match="R changes with time, and free holds one of C, D"):
        fit(model, nile, free=("C",))


def test_the_niles_variances_from_a_diffuse_start(nile):
    one = np.ones((1, 1))
    model = LinearGaussianSSM(
        A=one, C=one, Q=1000 * one, R=10000 * one, m0=np.zeros(1), P0=0 * one, diffuse=np.ones(1, bool)
    )
    fitted = fit(model, nile, iterations=2000, tolerance=1e-13)
    np.testing.assert_allclose(fitted.log_likelihood, -633.4645636362, atol=1e-7)
    np.testing.assert_allclose([fitted.model.Q[0, 0], fitted.model.R[0, 0]], [1469.1764, 15098.518], rtol=1e-3)


def test_wrong_questions_are_refused(nile):
    one = np.ones((1, 1))
    model = LinearGaussianSSM(A=one, C=one, Q=one, R=0 * one, m0=np.zeros(1), P0=one)
    with pytest.raises(ValueError, match="R has no inverse"):
        fit(model, nile)
    with pytest.raises(ValueError, match="free holds 'B', which the model does not have"):
        fit(replace(model, R=one), nile, free=("B",))
    with pytest.raises(ValueError, match="pseudo-counts"):
        fit(replace(model, R=one), nile, prior=1.0)
    with pytest.raises(ValueError, match="the start is diffuse"):
        fit(replace(model, R=one, P0=0 * one, diffuse=np.ones(1, bool)), nile, free=("m0",))
    with pytest.raises(ValueError, match="no step tells anything of A or B or Q"):
        fit(replace(model, R=one), nile[:1], free=("Q",))
