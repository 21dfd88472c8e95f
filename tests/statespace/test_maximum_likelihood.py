"""Maximum likelihood by gradients: the Nile, EM's fixed points, what is fixed or shared, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from suasion.statespace import FiniteSSM, Gaussian, LinearGaussianSSM, Poisson, Table, filter, fit, score, simulate


def level(q=1000.0, r=10000.0):
    one = np.ones((1, 1))
    start = {"m0": np.zeros(1), "P0": 0 * one, "diffuse": np.ones(1, bool)}
    return LinearGaussianSSM(A=one, C=one, Q=q * one, R=r * one, **start)


@pytest.mark.parametrize(
    ("gaps", "r", "q", "total"),
    [(False, 15098.518, 1469.1764, -633.4645636362), (True, 17899.842, 685.821, -380.9266676543)],
)
def test_the_nile(nile, gaps, r, q, total):
    y = nile.copy()
    if gaps:
        y[20:40] = y[60:80] = np.nan
    found = fit(level(), y, method="ml")
    assert found.converged
    assert found.gradient < 1e-6
    assert found.iterations < 40
    np.testing.assert_allclose(found.log_likelihood, total, atol=6e-11)
    np.testing.assert_allclose(found.model.R[0, 0], r, atol=6e-4)
    np.testing.assert_allclose(found.model.Q[0, 0], q, atol=6e-4 if gaps else 6e-5)
    assert (np.diff(found.history) >= -1e-12 * abs(total)).all()
    # Second differences of the likelihood by R and Q give the same errors as those of the score by their logs.
    h = np.array([r, q]) * 1e-3

    def at(i, j):
        return filter(level(r=found.model.R[0, 0] + i * h[0], q=found.model.Q[0, 0] + j * h[1]), y).log_likelihood

    mixed = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    second = np.array([[at(1, 0) - 2 * at(0, 0) + at(-1, 0), mixed], [mixed, at(0, 1) - 2 * at(0, 0) + at(0, -1)]])
    expected = np.sqrt(np.diag(np.linalg.inv(-second))) * h
    np.testing.assert_allclose([found.errors["R"][0, 0], found.errors["Q"][0, 0]], expected, rtol=1e-3)


TWO = LinearGaussianSSM(
    A=np.array([[0.9, 0.2], [-0.1, 0.7]]), C=np.array([[1.0, 0], [0.5, 1]]), Q=np.diag([0.5, 0.3]),
    R=np.array([[0.4, 0.1], [0.1, 0.6]]), m0=np.array([1.0, -1]), P0=np.eye(2),
    B=np.array([[0.5], [1.0]]), D=np.array([[1.0], [0]]),
)  # fmt: skip


def series():
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(60, 1)) for _ in range(3)]
    ys = [simulate(TWO, 60, rng, inputs=u)[1] for u in inputs]
    ys[0][5] = ys[1][7, 0] = np.nan
    return ys, inputs


def test_em_stops_where_it_stops():
    ys, inputs = series()
    free = ("A", "B", "Q")
    em = fit(TWO, ys, inputs=inputs, free=free, iterations=3000, tolerance=1e-13)
    ml = fit(TWO, ys, inputs=inputs, free=free, method="ml")
    assert ml.converged
    assert ml.iterations < 60
    np.testing.assert_allclose(ml.log_likelihood, em.log_likelihood, rtol=1e-8)
    assert ml.log_likelihood >= em.log_likelihood - 1e-9
    for name in free:
        np.testing.assert_allclose(getattr(ml.model, name), getattr(em.model, name), atol=2e-3)
    assert ml.model.C is TWO.C


def test_entries_are_fixed_and_shared():
    ys, inputs = series()
    start = replace(TWO, Q=0.4 * np.eye(2))
    free = {"A": np.array([[True, False], [True, True]]), "Q": np.eye(2, dtype=bool), "D": None}
    tied = [(("Q", 0, 0), ("Q", 1, 1)), (("A", 0, 0), ("A", 1, 1))]
    start = replace(start, A=np.array([[0.8, 0.2], [-0.1, 0.8]]))
    found = fit(start, ys, inputs=inputs, free=free, tied=tied, method="ml")
    assert found.converged
    assert found.model.A[0, 1] == 0.2
    assert found.model.A[0, 0] == found.model.A[1, 1]
    assert found.model.Q[0, 0] == found.model.Q[1, 1]
    assert not found.model.Q[[0, 1], [1, 0]].any()
    slope = score(found.model, ys, inputs=inputs)
    assert abs(slope.A[0, 0] + slope.A[1, 1]) < 1e-5  # only their sum is at rest
    assert abs(slope.A[0, 0]) > 1e-2
    assert abs(slope.Q[0, 0] + slope.Q[1, 1]) < 1e-5
    assert found.errors["A"][0, 1] == 0
    assert found.errors["A"][0, 0] == found.errors["A"][1, 1] > 0


def chain(emission):
    transition = np.array([[0.8, 0.2, 0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]])
    return FiniteSSM(transition=transition, initial=np.array([0.5, 0.3, 0.2]), emission=emission)


COVARIANCE = np.stack([np.array([[1.0, 0.2], [0.2, 0.5]])] * 3)
EMISSIONS = {
    "table": Table(probability=np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.3, 0.5]])),
    "gaussian": Gaussian(mean=np.array([[0.0, 0], [3, 0], [0, 3]]), covariance=COVARIANCE),
    "poisson": Poisson(rate=np.array([0.5, 3.0, 9.0])),
}


@pytest.mark.parametrize("kind", EMISSIONS)
def test_chains(kind):
    model = chain(EMISSIONS[kind])
    y = simulate(model, 200, np.random.default_rng(2))[1]
    free = ("transition", "emission")
    em = fit(model, y, free=free, iterations=2000, tolerance=1e-13)
    # The table's maximum is at a boundary, where the search ends as rounding has it, now above and now below 1e-9.
    ml = fit(model, y, free=free, method="ml", iterations=500, tolerance=1e-8)
    assert ml.converged
    np.testing.assert_allclose(ml.log_likelihood, em.log_likelihood, rtol=1e-7)
    assert ml.model.matrix[0, 2] == ml.model.matrix[2, 0] == 0
    if kind != "gaussian":
        return
    pooled = fit(model, y, free=("covariance",), tied=[[("covariance", k) for k in range(3)]], method="ml")
    np.testing.assert_array_equal(pooled.model.emission.covariance[0], pooled.model.emission.covariance[2])
    assert filter(model, y).log_likelihood < pooled.log_likelihood < ml.log_likelihood


def test_a_variance_that_wants_to_be_zero():
    """It goes down and down in logs, without end; nothing is said of its error."""
    y = np.where(np.arange(50) % 2, 1.0, -1.0) + 0.1 * np.random.default_rng(0).normal(size=50)
    found = fit(level(q=1.0, r=1.0), y, method="ml", iterations=100)
    assert found.model.Q[0, 0] < 1e-4
    assert found.errors is None or found.errors["Q"][0, 0] > found.model.Q[0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": 1.0}, "pseudo-counts"),
        ({"free": ("Q", "E")}, "free holds 'E'"),
        ({"free": ("m0",)}, "start is diffuse"),
        ({"free": ("B",)}, "which the model does not have"),
        ({"free": ()}, "free holds nothing"),
        ({"free": {"Q": np.ones(2, bool)}}, r"free\['Q'\] is \[2\], not \[1, 1\]"),
        ({"tied": [(("A",), ("Q",))]}, r"\('A',\), which names no free coordinates"),
        ({"tied": [(("Q",), ("R",))]}, "differ at the start"),
        ({"method": "em", "tied": [(("Q",), ("R",))]}, "are for method='ml'"),
    ],
)
def test_wrong_questions_are_refused(nile, change, message):
    with pytest.raises(ValueError, match=message):
        fit(level(), nile, **{"method": "ml", **change})


def test_wrong_starts_are_refused(nile):
    with pytest.raises(ValueError, match="Q is singular, and free"):
        fit(level(q=0.0), nile, method="ml")
    model = chain(EMISSIONS["table"])
    mask = np.zeros((3, 3), bool)
    mask[0, 0] = True
    with pytest.raises(ValueError, match="part of a distribution"):
        fit(model, np.zeros(5, int), method="ml", free={"transition": mask})
    with pytest.raises(ValueError, match="part of what is free only as a whole"):
        fit(model, np.zeros(5, int), method="ml", tied=[(("transition", 0, 1), ("transition", 1, 0))])
    with pytest.raises(ValueError, match="variances that nothing is correlated with"):
        fit(TWO, np.zeros((5, 2)), inputs=np.zeros((5, 1)), method="ml", free={"R": np.eye(2, dtype=bool)})
    with pytest.raises(ValueError, match=r"rate\[0\] is 0"):
        fit(chain(Poisson(rate=np.array([0.0, 1, 2]))), np.zeros(5, int), method="ml", free=("rate",))
