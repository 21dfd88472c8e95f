"""Particle filters: unbiased against the exact likelihood, and resamplers whose counts are right on average."""

import dataclasses

import numpy as np
import pytest

from suasion.statespace import (
    FiniteSSM,
    LinearGaussianSSM,
    Proposal,
    StateSpaceModel,
    Table,
    filter,
    particle_filter,
    resample,
    simulate,
)

RESAMPLERS = ["systematic", "stratified", "residual", "multinomial"]
ONE = np.ones((1, 1))
EXACT = LinearGaussianSSM(A=0.9 * ONE, C=ONE, Q=ONE, R=0.25 * ONE, m0=np.zeros(1), P0=ONE / 0.19)


def normal(x, mean, variance):
    """Log-density."""
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))


MOVING = StateSpaceModel(
    initial=lambda rng, n: rng.standard_normal(n) / np.sqrt(0.19),
    transition=lambda rng, x, t: 0.9 * x + rng.standard_normal(len(x)),
    log_observation=lambda x, y, t: np.zeros(len(x)) if np.isnan(y) else normal(y, x, 0.25),
    log_transition=lambda before, x, t: normal(x, 0.9 * before, 1.0),
    log_initial=lambda x: normal(x, 0.0, 1 / 0.19),
)
START = 1 / (0.19 + 4)  # variance of x_0 given y_0
BEST = Proposal(  # p(x_t | x_{t-1}, y_t)
    draw=lambda rng, x, y, t: (0.9 * x + 4 * y) / 5 + rng.standard_normal(len(x)) / np.sqrt(5),
    log_density=lambda before, x, y, t: normal(x, (0.9 * before + 4 * y) / 5, 0.2),
    initial=lambda rng, n, y: 4 * START * y + np.sqrt(START) * rng.standard_normal(n),
    log_initial=lambda x, y: normal(x, 4 * START * y, START),
)
WIDE = Proposal(  # a poor one, on purpose, and none for the start
    draw=lambda rng, x, y, t: 0.5 * x + 0.3 * y + 1.2 * rng.standard_normal(len(x)),
    log_density=lambda before, x, y, t: normal(x, 0.5 * before + 0.3 * y, 1.44),
)
CHAIN = FiniteSSM(
    transition=np.array([[0.9, 0.1], [0.3, 0.7]]), initial=np.array([0.5, 0.5]),
    emission=Table(probability=np.array([[0.8, 0.2], [0.3, 0.7]])),
)  # fmt: skip
HOPPING = StateSpaceModel(
    initial=lambda rng, n: (rng.random(n) < 0.5).astype(np.int64),
    transition=lambda rng, x, t: (rng.random(len(x)) < CHAIN.matrix[x, 1]).astype(np.int64),
    log_observation=lambda x, y, t: np.log(CHAIN.emission.probability[x, y]),
    log_transition=lambda before, x, t: np.log(CHAIN.matrix[before, x]),
)
COIN = Proposal(
    draw=lambda rng, x, y, t: (rng.random(len(x)) < 0.3 + 0.3 * y).astype(np.int64),
    log_density=lambda before, x, y, t: np.log(np.where(x == 1, 0.3 + 0.3 * y, 0.7 - 0.3 * y)),
)


def promise(x, y, t):
    """log p(y_t | x_{t-1}), of the moving model."""
    return normal(y, 0.9 * x, 1.25)


def wrong_promise(x, y, t):
    return -0.1 * (y - x) ** 2


def promise_of_states(x, y, t):
    return np.log(CHAIN.emission.probability[:, y])[x]  # that x stays


@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_counts_are_expected_to_be_n_w(resampler):
    """Four and a half standard errors in 7 places; the seed is fixed."""
    weights = np.array([0.3, 0.0, 0.05, 0.22, 0.33, 0.1, 0.0])
    rng = np.random.default_rng(0)
    counts = np.array([np.bincount(resample(weights, rng, resampler), minlength=7) for _ in range(8000)])
    assert (counts.sum(1) == 7).all()
    error = counts.std(0) / np.sqrt(8000)
    assert (np.abs(counts.mean(0) - 7 * weights) <= 4.5 * error + 1e-12).all()
    if resampler != "multinomial":
        assert (counts >= np.floor(7 * weights) - (resampler == "stratified")).all()
    assert not counts[:, weights == 0].any()


@pytest.mark.parametrize(
    ("model", "exact", "options"),
    [
        (HOPPING, CHAIN, {"resampler": "residual"}),
        (MOVING, EXACT, {"resampler": "stratified", "proposal": WIDE, "particles": 100}),
        (HOPPING, CHAIN, {"resampler": "stratified", "proposal": COIN}),
        (MOVING, EXACT, {"resampler": "residual", "look_ahead": wrong_promise, "threshold": 0.9}),
        (HOPPING, CHAIN, {"resampler": "multinomial", "look_ahead": promise_of_states, "threshold": 1.0}),
        (MOVING, EXACT, {"resampler": "multinomial", "proposal": BEST, "look_ahead": wrong_promise, "threshold": 1.0}),
    ],
    ids=["bootstrap", "guided-1", "guided-2", "auxiliary-1", "auxiliary-2", "both"],
)
def test_the_likelihood_is_unbiased(model, exact, options):
    """4,000 replicates within 4 standard errors: a false alarm in 16,000 each; the seed is fixed."""
    _, y = simulate(exact, 3, np.random.default_rng(3))
    total = filter(exact, y).log_likelihood
    rng = np.random.default_rng(1)
    seen = y[:, 0] if y.ndim == 2 else y
    options = {"particles": 40, **options}
    logs = [particle_filter(model, seen, rng, **options).log_likelihood for _ in range(4000)]
    ratio = np.exp(np.array(logs) - total)
    assert np.std(logs) < 1
    assert abs(ratio.mean() - 1) <= 4 * ratio.std() / np.sqrt(4000)


def test_what_is_fully_adapted_has_equal_weights():
    r"""With $q = p(x_t | x_{t-1}, y_t)$ and $\eta = p(y_t | x_{t-1})$ no weight depends on the particle."""
    _, y = simulate(EXACT, 20, np.random.default_rng(3))
    rng = np.random.default_rng(0)
    options = {"particles": 300, "threshold": 1.0}
    got = particle_filter(MOVING, y[:, 0], rng, proposal=BEST, look_ahead=promise, **options)
    np.testing.assert_allclose(got.effective, 300, rtol=1e-10)
    total = filter(EXACT, y).log_likelihood
    spread = {}
    for name, more in {"adapted": {"proposal": BEST, "look_ahead": promise}, "bootstrap": {}}.items():
        logs = [particle_filter(MOVING, y[:, 0], rng, **options, **more).log_likelihood for _ in range(50)]
        spread[name] = np.std(np.array(logs) - total)
    assert spread["adapted"] < 0.5 * spread["bootstrap"]


@pytest.mark.parametrize("proposal", [None, BEST])
def test_many_particles_are_the_kalman_filter(proposal):
    _, y = simulate(EXACT, 30, np.random.default_rng(3))
    if proposal is None:
        y[7] = np.nan
    exact = filter(EXACT, y)
    options = {"particles": 100_000, "proposal": proposal}
    got = particle_filter(MOVING, y[:, 0], np.random.default_rng(0), **options)
    np.testing.assert_allclose(got.mean, exact.mean[:, 0], atol=0.02)
    np.testing.assert_allclose(got.variance, exact.covariance[:, 0, 0], rtol=0.05)
    np.testing.assert_allclose(got.log_likelihood, exact.log_likelihood, atol=0.1)
    again = particle_filter(MOVING, y[:, 0], np.random.default_rng(0), **options)
    assert again.log_likelihood == got.log_likelihood


def test_what_is_kept_is_what_was_weighed():
    _, y = simulate(EXACT, 9, np.random.default_rng(3))
    got = particle_filter(MOVING, y[:, 0], np.random.default_rng(0), particles=50, keep=True)
    particles, weights = got.history
    assert particles.shape == weights.shape == (9, 50)
    np.testing.assert_allclose((particles * weights).sum(1), got.mean, rtol=1e-12)
    np.testing.assert_array_equal(particles[-1], got.particles)
    assert particle_filter(MOVING, y[:, 0], np.random.default_rng(0), particles=50).history is None


@pytest.mark.parametrize("look_ahead", [None, lambda x, y, t: np.where(y < 2, 0.0, -np.inf) + np.zeros(len(x))])
def test_what_no_particle_explains(look_ahead):
    model = StateSpaceModel(
        initial=HOPPING.initial, transition=HOPPING.transition,
        log_observation=lambda x, y, t: np.where(y < 2, 0.0, -np.inf) + np.zeros(len(x)),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    got = particle_filter(model, np.array([0, 1, 2, 0]), rng, particles=10, look_ahead=look_ahead, keep=True)
    assert got.impossible == 2
    assert got.log_likelihood == -np.inf
    assert len(got.history.particles) == 2
    assert not np.isnan(got.mean).any()


def test_wrong_questions_are_refused():
    rng = np.random.default_rng(0)
    nan = dataclasses.replace(MOVING, log_observation=lambda x, y, t: x * np.nan)
    bare = dataclasses.replace(MOVING, log_transition=None, log_initial=None)
    with pytest.raises(ValueError, match="log-weight is nan for particle 0 at step 0"):
        particle_filter(nan, np.zeros(2), rng, particles=3)
    with pytest.raises(ValueError, match="look_ahead is inf for particle 0 at step 1"):
        particle_filter(MOVING, np.zeros(2), rng, particles=3, look_ahead=lambda x, y, t: np.full(3, np.inf))
    with pytest.raises(ValueError, match=r"look_ahead is \[1\] at step 1, not \[3\]"):
        particle_filter(MOVING, np.zeros(2), rng, particles=3, look_ahead=lambda x, y, t: np.zeros(1))
    with pytest.raises(ValueError, match="length 0"):
        particle_filter(MOVING, np.zeros(0), rng)
    with pytest.raises(ValueError, match="particles is 0"):
        particle_filter(MOVING, np.zeros(2), rng, particles=0)
    with pytest.raises(ValueError, match=r"weights sums to 1\.5"):
        resample(np.array([1.0, 0.5]), rng)
    with pytest.raises(ValueError, match="a model with log_transition"):
        particle_filter(bare, np.zeros(2), rng, proposal=WIDE)
    with pytest.raises(ValueError, match="a model with log_initial"):
        particle_filter(bare, np.zeros(2), rng, proposal=BEST)
    with pytest.raises(ValueError, match="both initial and log_initial"):
        Proposal(draw=WIDE.draw, log_density=WIDE.log_density, initial=BEST.initial)
