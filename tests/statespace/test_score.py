"""Exact derivatives of the log-likelihood against central differences, and where they are 0."""

from dataclasses import replace

import numpy as np
import pytest

from suasion.statespace import (
    FiniteSSM,
    Gaussian,
    Likelihood,
    LinearGaussianSSM,
    Poisson,
    Table,
    filter,
    score,
    simulate,
)


def a_model(seed, n=3, p=2, m=0, *, steps=None, rank_q=None, rank_p=None):
    """Random and stable; with `steps` everything changes with time."""
    rng = np.random.default_rng(seed)
    lead = () if steps is None else (steps,)

    def covariance(*shape):
        root = rng.normal(size=shape)
        return root @ np.swapaxes(root, -1, -2)

    A = rng.normal(size=(*lead, n, n)) / np.sqrt(n) * 0.9
    inputs = {"B": rng.normal(size=(*lead, n, m)), "D": rng.normal(size=(*lead, p, m))} if m else {}
    return LinearGaussianSSM(
        A=A, C=rng.normal(size=(*lead, p, n)), Q=covariance(*lead, n, n if rank_q is None else rank_q),
        R=covariance(*lead, p, p), m0=rng.normal(size=n), P0=covariance(n, n if rank_p is None else rank_p), **inputs,
    )  # fmt: skip


def level(q=1469.1, r=15099.0):
    one = np.ones((1, 1))
    start = {"m0": np.zeros(1), "P0": 0 * one, "diffuse": np.ones(1, bool)}
    return LinearGaussianSSM(A=one, C=one, Q=q * one, R=r * one, **start)


def total(model, y, inputs=None):
    return float(np.sum([held.log_likelihood for held in filter(model, list(y), inputs=inputs)]))


def difference(model, y, inputs, name, place, h=1e-5):
    """By Richardson's rule: central differences of h and 2 h."""
    held = getattr(model, name)
    step = np.zeros(held.shape)
    step[place] = 1.0
    if name in ("Q", "R", "P0"):
        step = np.maximum(step, np.swapaxes(step, -1, -2))

    def slope(h):
        up, down = (total(replace(model, **{name: held + s * h * step}), y, inputs) for s in (1, -1))
        return (up - down) / 2 / h

    return (4 * slope(h) - slope(2 * h)) / 3, step


CASES = {
    "plain": {},
    "inputs": {"m": 2},
    "changing": {"m": 1, "steps": 6},
    "more observed than hidden": {"n": 2, "p": 3},
}


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_each_parameter_against_central_differences(name, gaps):
    model = a_model(3, **CASES[name])
    rng = np.random.default_rng(1)
    given = [rng.normal(size=(6, model.n_inputs)) for _ in range(2)] if model.n_inputs else None
    y = [simulate(model, 6, rng, inputs=given and given[q])[1] for q in range(2)]
    if gaps:
        y[1][2] = y[1][4, 0] = np.nan
    got = score(model, y, inputs=given)
    assert got.log_likelihood == pytest.approx(total(model, y, given), rel=1e-13)
    for part in ("A", "C", "Q", "R", "m0", "P0", "B", "D"):
        held = getattr(got, part)
        if held is None:
            assert part in "BD"
            continue
        assert held.shape == getattr(model, part).shape
        for place in np.ndindex(held.shape):
            if (part in ("Q", "R", "P0") and place[-1] > place[-2]) or (len(place) == 3 and place[0] in (1, 2)):
                continue
            expected, step = difference(model, y, given, part, place)
            np.testing.assert_allclose((held * step).sum(), expected, rtol=1e-6, atol=1e-6, err_msg=f"{part}{place}")


def test_singular_noise_and_known_starts_have_derivatives():
    """One-sided differences there, in directions that stay covariances; 1e-4 is what they are good for."""
    model = a_model(5, rank_q=1, rank_p=0)
    _, y = simulate(model, 30, np.random.default_rng(2))
    got, here = score(model, y), total(model, [y])
    rng = np.random.default_rng(3)
    for name in ("Q", "P0"):
        for _ in range(4):
            root = rng.normal(size=(3, 1))
            step = root @ root.T
            h = 1e-6
            one, two = (
                (total(replace(model, **{name: getattr(model, name) + s * h * step}), [y]) - here) / (s * h)
                for s in (1, 2)
            )
            np.testing.assert_allclose((getattr(got, name) * step).sum(), 2 * one - two, rtol=1e-4, atol=1e-4)
    for place in np.ndindex(3, 3):
        expected, _ = difference(model, [y], None, "A", place)
        np.testing.assert_allclose(got.A[place], expected, rtol=1e-6, atol=1e-6)


def test_a_diffuse_start():
    rng = np.random.default_rng(5)
    model = LinearGaussianSSM(
        A=np.array([[1.0, 1, 0], [0, 0.9, 0.2], [0, 0, 0.5]]), C=np.array([[1.0, 0, 0.3]]),
        Q=np.diag([0.3, 0.1, 1]), R=np.full((1, 1), 0.5), m0=np.zeros(3), P0=np.diag([0.0, 0, 2]),
        diffuse=np.array([True, True, False]),
    )  # fmt: skip
    y = list(np.cumsum(rng.normal(size=(3, 12, 1)), axis=1))
    y[2][1] = np.nan
    got = score(model, y)
    for name in ("A", "C", "Q", "R", "m0"):
        held = getattr(got, name)
        for place in np.ndindex(held.shape):
            if name in "QR" and place[1] != place[0]:
                continue
            expected, step = difference(model, y, None, name, place)
            np.testing.assert_allclose((held * step).sum(), expected, rtol=1e-6, atol=1e-6, err_msg=f"{name}{place}")
    expected, step = difference(model, y, None, "P0", (2, 2))
    np.testing.assert_allclose((got.P0 * step).sum(), expected, rtol=1e-6)
    assert not got.P0[:2].any()


def test_the_niles_score_is_zero_at_its_maximum(nile):
    got = score(level(q=1469.1764, r=15098.518), nile)
    assert abs(got.Q[0, 0] * 1469) < 1e-4
    assert abs(got.R[0, 0] * 15098) < 1e-4
    assert got.log_likelihood == pytest.approx(-633.4645636362, abs=6e-11)


def chain(kind):
    rng = np.random.default_rng(0)
    covariance = np.array([[[1.0, 0.2], [0.2, 0.5]], [[0.6, 0], [0, 0.4]], [[1, -0.3], [-0.3, 2]]])
    emission = {
        "table": Table(probability=rng.dirichlet(np.ones(4), 3)),
        "gaussian": Gaussian(mean=rng.normal(size=(3, 2)), covariance=covariance),
        "poisson": Poisson(rate=np.array([0.5, 2.0, 5.0])),
    }[kind]
    transition = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.0, 0.5, 0.5]])
    return FiniteSSM(transition=transition, initial=np.array([0.5, 0.3, 0.2]), emission=emission)


@pytest.mark.parametrize("kind", ["table", "gaussian", "poisson"])
def test_a_chain_against_central_differences(kind):
    """Along directions that keep rows distributions, and zeros zero."""
    model = chain(kind)
    rng = np.random.default_rng(1)
    y = [simulate(model, T, rng)[1] for T in (25, 12)]
    y[0][3] = -1 if kind != "gaussian" else np.nan
    if kind == "gaussian":
        y[1][2, 0] = np.nan
    got, h = score(model, y), 1e-5
    assert got.log_likelihood == pytest.approx(total(model, y), rel=1e-13)

    def compare(build, held, derivative, direction):
        up, down = (total(build(held + s * h * direction), y) for s in (1, -1))
        np.testing.assert_allclose((derivative * direction).sum(), (up - down) / 2 / h, rtol=1e-6, atol=1e-6)

    for _ in range(3):
        along = rng.normal(size=3)
        compare(lambda x: replace(model, initial=x), model.start, got.initial, along - along.mean())
        along = np.where(model.matrix > 0, rng.normal(size=(3, 3)), 0)
        along = np.where(model.matrix > 0, along - along.sum(1, keepdims=True) / (model.matrix > 0).sum(1)[:, None], 0)
        compare(lambda x: replace(model, transition=x), model.matrix, got.transition, along)
        for name, derivative in got.emission.items():
            held = getattr(model.emission, name)
            along = rng.normal(size=held.shape)
            if name == "probability":
                along -= along.mean(1, keepdims=True)
            if name == "covariance":
                along = along + along.transpose(0, 2, 1)
            emission = model.emission
            compare(
                lambda x, n=name, e=emission: replace(model, emission=replace(e, **{n: x})), held, derivative, along
            )


def test_a_chain_without_derivatives():
    model = FiniteSSM(
        transition=np.eye(2), initial=np.array([0.5, 0.5]), emission=Table(probability=np.array([[1.0, 0], [0, 1]]))
    )
    with pytest.raises(ValueError, match="sequence 0 is impossible at step 1"):
        score(model, np.array([0, 1]))
    own = replace(model, emission=Likelihood(function=lambda y: np.zeros((len(y), 2))))
    assert score(own, np.zeros(3)).emission == {}
