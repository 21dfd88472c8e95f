"""Particle filters: unbiased against the exact likelihood, and resamplers whose counts are right on average."""

import numpy as np
import pytest

from suasion.statespace import (
    FiniteSSM,
    LinearGaussianSSM,
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
MOVING = StateSpaceModel(
    initial=lambda rng, n: rng.standard_normal(n) / np.sqrt(0.19),
    transition=lambda rng, x, t: 0.9 * x + rng.standard_normal(len(x)),
    log_observation=lambda x, y, t: (
        np.zeros(len(x)) if np.isnan(y) else -2 * (y - x) ** 2 - np.log(2 * np.pi * 0.25) / 2
    ),
)
CHAIN = FiniteSSM(
    transition=np.array([[0.9, 0.1], [0.3, 0.7]]), initial=np.array([0.5, 0.5]),
    emission=Table(probability=np.array([[0.8, 0.2], [0.3, 0.7]])),
)  # fmt: skip
HOPPING = StateSpaceModel(
    initial=lambda rng, n: (rng.random(n) < 0.5).astype(np.int64),
    transition=lambda rng, x, t: (rng.random(len(x)) < CHAIN.matrix[x, 1]).astype(np.int64),
    log_observation=lambda x, y, t: np.log(CHAIN.emission.probability[x, y]),
)


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
    ("model", "exact", "replicates", "resampler"),
    [(MOVING, EXACT, 4000, "systematic"), (HOPPING, CHAIN, 4000, "residual"), (HOPPING, CHAIN, 4000, "multinomial")],
)
def test_the_likelihood_is_unbiased(model, exact, replicates, resampler):
    """4,000 replicates within 4 standard errors: a false alarm in 16,000; the seed is fixed."""
    _, y = simulate(exact, 6, np.random.default_rng(3))
    total = filter(exact, y).log_likelihood
    rng = np.random.default_rng(1)
    seen = y[:, 0] if y.ndim == 2 else y
    logs = [
        particle_filter(model, seen, rng, particles=50, resampler=resampler).log_likelihood for _ in range(replicates)
    ]
    ratio = np.exp(np.array(logs) - total)
    assert np.std(logs) < 1
    assert abs(ratio.mean() - 1) <= 4 * ratio.std() / np.sqrt(replicates)


def test_many_particles_are_the_kalman_filter():
    _, y = simulate(EXACT, 30, np.random.default_rng(3))
    y[7] = np.nan
    exact = filter(EXACT, y)
    got = particle_filter(MOVING, y[:, 0], np.random.default_rng(0), particles=100_000)
    np.testing.assert_allclose(got.mean, exact.mean[:, 0], atol=0.02)
    np.testing.assert_allclose(got.variance, exact.covariance[:, 0, 0], rtol=0.05)
    np.testing.assert_allclose(got.log_likelihood, exact.log_likelihood, atol=0.1)
    again = particle_filter(MOVING, y[:, 0], np.random.default_rng(0), particles=100_000)
    assert again.log_likelihood == got.log_likelihood


def test_what_no_particle_explains():
    model = StateSpaceModel(
        initial=HOPPING.initial, transition=HOPPING.transition,
        log_observation=lambda x, y, t: np.where(y < 2, 0.0, -np.inf) + np.zeros(len(x)),
    )  # fmt: skip
    got = particle_filter(model, np.array([0, 1, 2, 0]), np.random.default_rng(0), particles=10)
    assert got.impossible == 2
    assert got.log_likelihood == -np.inf
    assert not np.isnan(got.mean).any()


def test_wrong_questions_are_refused():
    rng = np.random.default_rng(0)
    nan = StateSpaceModel(
        initial=MOVING.initial, transition=MOVING.transition, log_observation=lambda x, y, t: x * np.nan
    )
    with pytest.raises(ValueError, match="nan for particle 0 at step 0"):
        particle_filter(nan, np.zeros(2), rng, particles=3)
    with pytest.raises(ValueError, match="length 0"):
        particle_filter(MOVING, np.zeros(0), rng)
    with pytest.raises(ValueError, match="particles is 0"):
        particle_filter(MOVING, np.zeros(2), rng, particles=0)
    with pytest.raises(ValueError, match=r"weights sums to 1\.5"):
        resample(np.array([1.0, 0.5]), rng)
