"""Linear systems: phi_1, zero-order hold against scipy and an ODE solver, recurrence = convolution, noise."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, linalg, signal

from suasion.statespace import DiscreteSystem, LinearSystem, hold, noise_root, phi_1, zero_order_hold


def exact_phi(z):
    """phi_1 by its series in rationals, halved until short: phi_1(2z) = phi_1(z) (1 + e^z) / 2."""
    z = Fraction(z)
    halvings = 0
    while abs(z) > Fraction(1, 4):
        z, halvings = z / 2, halvings + 1
    term, total, k = Fraction(1), Fraction(0), 0
    while abs(term) > Fraction(1, 10**45):
        total += term
        k += 1
        term = (term * z / (k + 1)).limit_denominator(10**60)
    for _ in range(halvings):
        total = (total * (2 + z * total) / 2).limit_denominator(10**60)
        z *= 2
    return total


GRID = np.concatenate([[0.0], -np.logspace(-18, 2, 161), -np.linspace(0.3, 0.7, 41), -np.linspace(0, 100, 97)])


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 2.5e-7), ("float64", 1e-15)])
@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_phi_is_right_to_the_last_digits(library, dtype, bound):
    z = GRID.astype(dtype)
    with jax.enable_x64(dtype == "float64"):
        got = np.asarray(phi_1(z if library == "numpy" else jnp.asarray(z)))
    assert got.dtype == dtype
    worst = max(abs(Fraction(float(g)) / exact_phi(float(x)) - 1) for g, x in zip(got, z, strict=True))
    assert worst <= bound, float(worst)


def test_phi_has_the_right_gradient_at_and_near_zero():
    with jax.enable_x64(True):
        z = jnp.asarray([0.0, -1e-12, 1e-9, -1e-3, 0.49, -0.51, 2.0, -30.0])
        first = jax.vmap(jax.grad(phi_1))(z)
        second = jax.vmap(jax.grad(jax.grad(phi_1)))(z)
    # phi' = (e^z - phi) / z; near 0 1/2 + z/3 + z^2/8 + z^3/30, and phi'' = 1/3 + z/4 + z^2/10
    x = np.asarray(z)
    near = np.abs(x) < 0.01
    value = phi_1(x)
    with np.errstate(invalid="ignore"):
        slope = np.where(near, 0.5 + x / 3 + x**2 / 8 + x**3 / 30, (np.exp(x) - value) / x)
        bend = np.where(near, 1 / 3 + x / 4 + x**2 / 10, (np.exp(x) - 2 * slope) / x)
    np.testing.assert_allclose(first, slope, rtol=1e-11)
    np.testing.assert_allclose(second, bend, rtol=1e-7)


def test_phi_takes_complex_numbers():
    z = np.array([0.0, 1e-9j, -0.1 + 0.2j, -1 + 3j, 0.4 - 9j])
    safe = np.where(z == 0, 1, z)
    expected = np.where(z == 0, 1, (np.exp(safe) - 1) / safe)
    np.testing.assert_allclose(phi_1(z)[2:], expected[2:], rtol=1e-13)
    np.testing.assert_allclose(phi_1(z)[:2], 1, atol=1e-9)


def test_hold_where_a_is_nearly_zero_and_naive_formulas_fail():
    a, b = hold(np.array([-1e-12, -1e-16, 0.0]), np.ones(3), np.float64(0.1))
    np.testing.assert_allclose(b, 0.1, rtol=1e-12)
    np.testing.assert_allclose(a, 1, rtol=1e-12)


SYSTEMS = {
    "singular": (np.array([[0.0, 1], [0, 0]]), np.array([[0.0], [1]])),
    "diagonal": (np.diag([-1.0, 0.0, -30.0]), np.array([[1.0, 2], [3, 4], [5, 6]])),
    "full": (np.random.default_rng(0).normal(size=(4, 4)), np.random.default_rng(1).normal(size=(4, 2))),
    "large input": (np.array([[-1.0, 2], [0, -3]]), np.array([[1e9], [1.0]])),
    "still": (np.array([[0.0, 1e-300], [0, 0]]), np.array([[1.0], [2.0]])),
}


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("step", [0.1, 1.0])
def test_hold_is_scipys(name, step):
    A, B = SYSTEMS[name]
    C, D = np.eye(len(A)), np.zeros((len(A), B.shape[1]))
    expected = signal.cont2discrete((A, B, C, D), step, method="zoh")
    got = zero_order_hold(A, B, step)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-12, atol=1e-13 * np.abs(B).max())


def test_double_integrator_is_exact():
    A, B = zero_order_hold(*SYSTEMS["singular"], 0.1)
    np.testing.assert_allclose(A, [[1, 0.1], [0, 1]], rtol=1e-15)
    np.testing.assert_allclose(B, [[0.005], [0.1]], rtol=1e-15)


@pytest.mark.parametrize("name", ["singular", "diagonal", "full"])
def test_hold_is_the_solution_of_the_differential_equation(name):
    A, B = SYSTEMS[name]
    rng = np.random.default_rng(3)
    inputs, state = rng.normal(size=(6, B.shape[1])), rng.normal(size=len(A))
    system = LinearSystem(A=A, B=B, C=np.eye(len(A))).discretise(0.2)
    _, states = system.recurrence(inputs, state)
    for k in range(len(inputs)):
        drive = B @ inputs[k]
        solved = integrate.solve_ivp(lambda t, h, d=drive: A @ h + d, (0, 0.2), state, "DOP853", rtol=3e-14, atol=1e-15)
        state = solved.y[:, -1]
        np.testing.assert_allclose(states[k], state, rtol=1e-12, atol=1e-12)


def test_euler_and_bilinear_are_scipys_and_approach_the_exact_solution():
    A, B = SYSTEMS["full"]
    system = LinearSystem(A=A, B=B, C=np.eye(4))
    euler, bilinear = system.discretise(0.1, "euler"), system.discretise(0.1, "bilinear")
    for method, got in (("euler", euler), ("bilinear", bilinear)):
        scipys = signal.cont2discrete((A, B, np.eye(4), np.zeros((4, 2))), 0.1, method=method)
        np.testing.assert_allclose(got.A, scipys[0], rtol=1e-12)
        np.testing.assert_allclose(got.B, scipys[1], rtol=1e-12)
    gaps = [np.abs(system.discretise(h, "bilinear").A - system.discretise(h).A).max() for h in (1e-2, 5e-3)]
    assert 7.5 < gaps[0] / gaps[1] < 8.5  # third order in one step


@pytest.mark.parametrize("name", ["singular", "diagonal", "full"])
@pytest.mark.parametrize("steps", [1, 2, 37])
def test_recurrence_is_convolution(name, steps):
    A, B = SYSTEMS[name]
    rng = np.random.default_rng(5)
    C, D = rng.normal(size=(3, len(A))), rng.normal(size=(3, B.shape[1]))
    system = LinearSystem(A=A, B=B, C=C, D=D).discretise(0.05)
    inputs = rng.normal(size=(steps, B.shape[1]))
    outputs, _ = system.recurrence(inputs)
    np.testing.assert_allclose(system.convolve(inputs), outputs, atol=1e-12 * np.abs(outputs).max())
    powers = [C @ np.linalg.matrix_power(system.A, k) @ system.B for k in range(steps)]
    np.testing.assert_allclose(system.kernel(steps), powers, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("step", [1e-3, 0.1, 1.5])
@pytest.mark.parametrize("name", ["singular", "full", "diagonal"])
def test_noise_is_van_loans(name, step):
    A, L = SYSTEMS[name]
    n = len(A)
    block = np.block([[-A, L @ L.T], [np.zeros((n, n)), A.T]]) * step
    exponential = linalg.expm(block)
    expected = exponential[n:, n:].T @ exponential[:n, n:]
    root = noise_root(A, L, step)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    bound = 1e-12 if name != "diagonal" else 1e-16 * np.exp(60 * step) + 1e-12  # the block exponential's own error
    assert (np.abs(root @ root.T - expected) / scale).max() < bound
    assert (np.diag(root) >= 0).all()
    assert not np.triu(root, 1).any()


def test_noise_of_a_fast_stable_system_is_its_stationary_noise():
    A = np.array([[-900.0, 100], [0, -1000]])
    root = noise_root(A, np.eye(2), 10.0)
    np.testing.assert_allclose(A @ root @ root.T + root @ root.T @ A.T, -np.eye(2), atol=1e-12)


def test_noise_of_the_double_integrator():
    for step in (1e-6, 1.0, 1e3):
        root = noise_root(*SYSTEMS["singular"], step)
        expected = np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        np.testing.assert_allclose(root @ root.T, expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": np.zeros((2, 3))}, r"A is \[2, 3\], not \[2, 2\]"),
        ({"B": np.zeros((3, 1))}, r"B is \[3, 1\], not \[2, 1\]"),
        ({"C": np.zeros((1, 3))}, r"C is \[1, 3\], not \[1, 2\]"),
        ({"D": np.zeros((2, 2))}, r"D is \[2, 2\], not \[1, 1\]"),
        ({"A": np.array([[0.0, np.nan], [0, 0]])}, r"A\[0, 1\] is nan"),
    ],
)
def test_wrong_systems_are_refused(change, message):
    good = {"A": np.zeros((2, 2)), "B": np.ones((2, 1)), "C": np.ones((1, 2)), "D": np.ones((1, 1))}
    for kind in (LinearSystem, DiscreteSystem):
        with pytest.raises(ValueError, match=message):
            kind(**{**good, **change})


def test_wrong_questions_are_refused():
    system = LinearSystem(A=np.diag([20.0, 1.0]), B=np.ones((2, 1)), C=np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"step is 0.0"):
        system.discretise(0.0)
    with pytest.raises(ValueError, match=r"eigenvalue 2 / step = 20\.0"):
        system.discretise(0.1, "bilinear")
    discrete = system.discretise(0.1)
    with pytest.raises(ValueError, match="length 0"):
        discrete.recurrence(np.zeros((0, 1)))
    with pytest.raises(ValueError, match=r"inputs is \[3, 2\], not \[3, 1\]"):
        discrete.convolve(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="length is 0"):
        discrete.kernel(0)
