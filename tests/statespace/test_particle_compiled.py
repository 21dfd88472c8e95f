"""The compiled particle filter: the same laws as the one in NumPy, reproducible, and its exponential."""

import math

import numpy as np
import pytest
from numba import njit

from suasion.statespace import (
    CompiledSSM,
    FiniteSSM,
    LinearGaussianSSM,
    Table,
    backward_sample,
    fast_exp,
    filter,
    particle_filter,
    simulate,
    smooth,
)
from suasion.statespace import _particle_kernels as kernels

RESAMPLERS = ["systematic", "stratified", "residual", "multinomial"]
ONE = np.ones((1, 1))
EXACT = LinearGaussianSSM(A=0.9 * ONE, C=ONE, Q=ONE, R=0.25 * ONE, m0=np.zeros(1), P0=ONE / 0.19)
CHAIN = FiniteSSM(
    transition=np.array([[0.9, 0.1], [0.3, 0.7]]), initial=np.array([0.5, 0.5]),
    emission=Table(probability=np.array([[0.8, 0.2], [0.3, 0.7]])),
)  # fmt: skip
PLANE = LinearGaussianSSM(
    A=np.array([[1.0, 1.0], [0.0, 1.0]]), C=np.eye(2), Q=np.diag([0.0, 0.04]), R=np.diag([0.5, 1.0]),
    m0=np.zeros(2), P0=np.eye(2),
)  # fmt: skip


@njit
def begin(rng, p):
    return rng.standard_normal() / math.sqrt(1 - p[0] ** 2)


@njit
def move(rng, x, t, p):
    return p[0] * x + rng.standard_normal()


@njit
def look(x, y, t, p):
    return -0.5 * ((y - x) ** 2 / p[1] + math.log(2 * math.pi * p[1]))


@njit
def step_density(before, x, t, p):
    return -0.5 * ((x - p[0] * before) ** 2 + math.log(2 * math.pi))


MOVING = CompiledSSM(
    initial=begin, transition=move, log_observation=look, parameters=(0.9, 0.25), log_transition=step_density
)


@njit
def toss(rng, p):
    return 1.0 if rng.random() < 0.5 else 0.0


@njit
def hop(rng, x, t, p):
    return 1.0 if rng.random() < p[0][int(x), 1] else 0.0


@njit
def read(x, y, t, p):
    return math.log(p[1][int(x), int(y)])


HOPPING = CompiledSSM(
    initial=toss, transition=hop, log_observation=read, parameters=(CHAIN.matrix, CHAIN.emission.probability)
)


@njit
def begin_plane(rng, p):
    return rng.standard_normal(), rng.standard_normal()


@njit
def move_plane(rng, x, t, p):
    return x[0] + x[1], x[1] + 0.2 * rng.standard_normal()


@njit
def look_plane(x, y, t, p):
    total = 0.0
    if not math.isnan(y[0]):
        total -= 0.5 * ((y[0] - x[0]) ** 2 / 0.5 + math.log(2 * math.pi * 0.5))
    if not math.isnan(y[1]):
        total -= 0.5 * ((y[1] - x[1]) ** 2 + math.log(2 * math.pi))
    return total


IN_PLANE = CompiledSSM(initial=begin_plane, transition=move_plane, log_observation=look_plane, components=2)


@njit
def many_exp(x, out):
    for i in range(len(x)):
        out[i] = fast_exp(x[i])


def test_the_exponential_is_within_two_units_in_the_last_place():
    x = np.concatenate([np.random.default_rng(0).uniform(-708, 709.7, 200_000), np.linspace(-1, 1, 100_001)])
    got, exact = np.empty_like(x), np.exp(x)
    many_exp(x, got)
    assert (np.abs(got - exact) <= 2 * np.spacing(exact)).all()
    ends = np.array([0.0, -0.0, 709.78, 710.0, np.inf, -709.0, -1e300, -np.inf, np.nan])
    got = np.empty_like(ends)
    many_exp(ends, got)
    np.testing.assert_allclose(got, [1, 1, np.exp(709.78), np.inf, np.inf, 0, 0, 0, np.nan], rtol=1e-15)


def test_the_exponential_keeps_its_order_in_code_that_may_reorder():
    """Numba compiles what a function calls with the caller's flags, unless it has its own."""
    fresh = njit(fastmath=fast_exp.targetoptions["fastmath"])(fast_exp.py_func)

    @njit(fastmath=True)
    def hasty(x, out):
        for i in range(len(x)):
            out[i] = fresh(x[i])

    x = np.linspace(-20, 20, 1001)
    got = np.empty_like(x)
    hasty(x, got)
    np.testing.assert_allclose(got, np.exp(x), rtol=1e-15)


@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_counts_are_expected_to_be_n_w(resampler):
    """Four and a half standard errors in 7 places; the seed is fixed."""
    weights = np.array([0.3, 0.0, 0.05, 0.22, 0.33, 0.1, 0.0])
    rng, kind = np.random.default_rng(0), RESAMPLERS.index(resampler)
    uniform, index, counts = np.empty(8), np.empty(8, np.int64), np.zeros((20_000, 7))
    for held in counts:
        kernels.choose(weights, rng, kind, uniform, index)
        held += np.bincount(index[:7], minlength=7)
    assert (counts.sum(1) == 7).all()
    error = counts.std(0) / np.sqrt(len(counts))
    assert (np.abs(counts.mean(0) - 7 * weights) <= 4.5 * error + 1e-12).all()
    if resampler != "multinomial":
        assert (counts >= np.floor(7 * weights) - (resampler == "stratified")).all()
    if resampler == "systematic":
        assert (counts <= np.ceil(7 * weights)).all()
    assert not counts[:, weights == 0].any()


@pytest.mark.parametrize("resampler", RESAMPLERS)
@pytest.mark.parametrize(("model", "exact"), [(MOVING, EXACT), (HOPPING, CHAIN)], ids=["kalman", "chain"])
def test_the_likelihood_is_unbiased(model, exact, resampler):
    """4,000 replicates within 4 standard errors: a false alarm in 16,000 each; the seed is fixed."""
    _, y = simulate(exact, 20, np.random.default_rng(3))
    total = filter(exact, y).log_likelihood
    rng, seen = np.random.default_rng(2), y.reshape(20).astype(np.float64)
    logs = [particle_filter(model, seen, rng, particles=300, resampler=resampler).log_likelihood for _ in range(4000)]
    ratio = np.exp(np.array(logs) - total)
    assert np.std(logs) < 1
    assert abs(ratio.mean() - 1) <= 4 * ratio.std() / np.sqrt(len(logs))


def test_many_particles_are_the_kalman_filter():
    _, y = simulate(EXACT, 30, np.random.default_rng(3))
    y[7] = np.nan
    exact = filter(EXACT, y)
    got = particle_filter(MOVING, y[:, 0], np.random.default_rng(0), particles=100_000)
    np.testing.assert_allclose(got.mean, exact.mean[:, 0], atol=0.02)
    np.testing.assert_allclose(got.variance, exact.covariance[:, 0, 0], rtol=0.05)
    np.testing.assert_allclose(got.log_likelihood, exact.log_likelihood, atol=0.1)
    assert got.increments[7] == 0
    again = particle_filter(MOVING, y[:, 0], np.random.default_rng(0), particles=100_000, keep=True)
    assert again.log_likelihood == got.log_likelihood
    np.testing.assert_array_equal(again.history.particles[-1], got.particles)
    np.testing.assert_allclose((again.history.particles * again.history.weights).sum(1), got.mean, atol=1e-12)


def test_states_of_several_components_and_rows_that_are_partly_missing():
    _, y = simulate(PLANE, 25, np.random.default_rng(3))
    y[4], y[9, 0], y[11, 1] = np.nan, np.nan, np.nan
    exact = filter(PLANE, y)
    got = particle_filter(IN_PLANE, y, np.random.default_rng(0), particles=30_000, keep=True)
    assert got.particles.shape == (30_000, 2)
    assert got.history.particles.shape == (25, 30_000, 2)
    np.testing.assert_allclose(got.mean, exact.mean, atol=0.05)
    np.testing.assert_allclose(got.variance, np.diagonal(exact.covariance, axis1=1, axis2=2), rtol=0.12)
    np.testing.assert_allclose(got.log_likelihood, exact.log_likelihood, atol=0.2)


def test_backward_simulation_draws_from_the_smoother():
    """Means and squares of 10 steps over 1,000 filters within 4.5 standard errors: a false alarm in 7,000."""
    _, y = simulate(EXACT, 10, np.random.default_rng(3))
    exact = smooth(EXACT, y)
    rng, paths = np.random.default_rng(0), []
    for _ in range(1000):
        got = particle_filter(MOVING, y[:, 0], rng, particles=300, keep=True)
        paths.append(backward_sample(MOVING, got, rng, 4))
    off = np.array(paths) - exact.mean[:, 0]
    for power, expected in ((1, 0.0), (2, exact.covariance[:, 0, 0])):
        each = (off**power).mean(1)
        assert (np.abs(each.mean(0) - expected) <= 4.5 * each.std(0) / np.sqrt(1000)).all()


def test_wrong_questions_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="transition is not compiled"):
        CompiledSSM(initial=begin, transition=lambda rng, x, t, p: x, log_observation=look)
    with pytest.raises(ValueError, match="components is 0"):
        CompiledSSM(initial=begin, transition=move, log_observation=look, components=0)
    with pytest.raises(ValueError, match="length 0"):
        particle_filter(MOVING, np.zeros(0), rng)
    with pytest.raises(ValueError, match=r"y is \[2, 1, 1\]"):
        particle_filter(MOVING, np.zeros((2, 1, 1)), rng)
    with pytest.raises(ValueError, match="bootstrap filter only"):
        particle_filter(MOVING, np.zeros(2), rng, look_ahead=lambda x, y, t: x)
    broken = CompiledSSM(initial=begin, transition=move, log_observation=look, parameters=(0.9, np.nan))
    with pytest.raises(ValueError, match="log_observation is nan for particle 0 at step 1"):
        particle_filter(broken, np.array([np.nan, 0.0]), rng, particles=5)
    with pytest.raises(ValueError, match="do not compile"):
        particle_filter(CompiledSSM(initial=begin, transition=move, log_observation=look, parameters=2.0), ONE[0], rng)
    got = particle_filter(HOPPING, np.zeros(3), rng, particles=5, keep=True)
    with pytest.raises(ValueError, match="needs a model with log_transition"):
        backward_sample(HOPPING, got, rng)
    sure = CompiledSSM(
        initial=toss, transition=hop, log_observation=read, parameters=(CHAIN.matrix, np.array([[1.0, 0], [1, 0]]))
    )
    with np.errstate(all="ignore"):
        got = particle_filter(sure, np.array([0.0, 0, 1]), rng, particles=5, keep=True)
    assert got.impossible == 2
    assert got.log_likelihood == -np.inf
    assert len(got.history.weights) == 2
