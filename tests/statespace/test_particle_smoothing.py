"""Backward simulation against exact smoothers: a linear-Gaussian model and a chain, all weights and rejection."""

import dataclasses

import numpy as np
import pytest

from suasion.statespace import (
    FiniteSSM,
    LinearGaussianSSM,
    StateSpaceModel,
    Table,
    backward_sample,
    particle_filter,
    simulate,
    smooth,
)

ONE = np.ones((1, 1))
EXACT = LinearGaussianSSM(A=0.9 * ONE, C=ONE, Q=ONE, R=0.25 * ONE, m0=np.zeros(1), P0=ONE / 0.19)
PEAK = -0.5 * np.log(2 * np.pi)
MOVING = StateSpaceModel(
    initial=lambda rng, n: rng.standard_normal((n, 1)) / np.sqrt(0.19),
    transition=lambda rng, x, t: 0.9 * x + rng.standard_normal(x.shape),
    log_observation=lambda x, y, t: -2 * (y[0] - x[:, 0]) ** 2,
    log_transition=lambda before, x, t: PEAK - 0.5 * ((x - 0.9 * before) ** 2)[:, 0],
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


def draws(model, y, bound):
    """Paths [600, 10, T] of 600 filters of 300 particles; those of one filter are not independent."""
    rng = np.random.default_rng(0)
    kept = (particle_filter(model, y, rng, particles=300, keep=True) for _ in range(600))
    return np.array([backward_sample(model, got, rng, 10, bound=bound) for got in kept])


def check(each, expected):
    """Filters are independent: within 4.5 standard errors in some 10 places, a false alarm in 15,000."""
    assert (np.abs(each.mean(0) - expected) <= 4.5 * each.std(0) / np.sqrt(len(each)) + 1e-12).all()


@pytest.mark.parametrize("bound", [None, PEAK], ids=["all weights", "rejection"])
def test_paths_are_from_the_kalman_smoother(bound):
    _, y = simulate(EXACT, 7, np.random.default_rng(3))
    exact = smooth(EXACT, y)
    paths = draws(MOVING, y, bound)
    assert paths.shape == (600, 10, 7, 1)
    off = paths[..., 0] - exact.mean[:, 0]
    check(off.mean(1), 0.0)
    check((off**2).mean(1), exact.covariance[:, 0, 0])


@pytest.mark.parametrize("bound", [None, 0.0], ids=["all weights", "rejection"])
def test_paths_are_from_the_smoother_of_a_chain(bound):
    _, y = simulate(CHAIN, 7, np.random.default_rng(3))
    exact = smooth(CHAIN, y)
    paths = draws(HOPPING, y, bound)
    assert paths.dtype == np.int64
    check(paths.mean(1), exact.smoothed[:, 1])
    pairs = np.array([[(paths[:, :, :-1] == i) & (paths[:, :, 1:] == j) for j in (0, 1)] for i in (0, 1)])
    check(pairs.sum(-1).mean(-1).transpose(2, 0, 1), exact.pairwise)


def test_rejection_gives_up_where_the_bound_is_far_too_high():
    _, y = simulate(EXACT, 5, np.random.default_rng(3))
    got = particle_filter(MOVING, y, np.random.default_rng(0), particles=100, keep=True)
    paths = backward_sample(MOVING, got, np.random.default_rng(0), 3, bound=50.0)
    assert all(np.isin(paths[:, t], got.history.particles[t]).all() for t in range(5))


def test_wrong_questions_are_refused():
    y, rng = np.zeros((3, 1)), np.random.default_rng(0)
    got = particle_filter(MOVING, y, rng, particles=5, keep=True)
    with pytest.raises(ValueError, match="draws is 0"):
        backward_sample(MOVING, got, rng, 0)
    with pytest.raises(ValueError, match="a model with log_transition"):
        backward_sample(dataclasses.replace(MOVING, log_transition=None), got, rng)
    with pytest.raises(ValueError, match=r"were not kept"):
        backward_sample(MOVING, got._replace(history=None), rng)
    with pytest.raises(ValueError, match="explain the observation at step 2"):
        backward_sample(MOVING, got._replace(impossible=2), rng)
    with pytest.raises(ValueError, match=r"log_transition is .* at step 2: the bound is -50\.0"):
        backward_sample(MOVING, got, rng, bound=-50.0)
    never = dataclasses.replace(MOVING, log_transition=lambda before, x, t: np.full(len(x), -np.inf))
    with pytest.raises(ValueError, match="-inf from every particle of step 1 to one of step 2"):
        backward_sample(never, got, rng)
    nan = dataclasses.replace(MOVING, log_transition=lambda before, x, t: np.full(len(x), np.nan))
    with pytest.raises(ValueError, match="NaN or \\+inf from particle 0 of step 1"):
        backward_sample(nan, got, rng)
