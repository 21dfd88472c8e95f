"""Extended and unscented filters and smoothers: exact where the model is linear, and as their books say where not."""

import dataclasses

import numpy as np
import pytest

from suasion.statespace import (
    Extended,
    FiniteSSM,
    LinearGaussianSSM,
    NonlinearSSM,
    Table,
    Unscented,
    decode,
    filter,
    fit,
    forecast,
    online,
    particle_filter,
    sample,
    score,
    simulate,
    smooth,
)

METHODS = [Extended(), Unscented(), Unscented(alpha=0.8, beta=2.0, kappa=1.0)]
NAMES = ["extended", "unscented", "scaled"]
STATION = np.array([0.5, -1.0])


def turn(angle):
    """An angle, in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def bearings(**changed):
    """A ship that keeps its speed, seen from a station by range and bearing."""
    A = np.eye(4) + np.eye(4, k=2)
    given = {
        "transition": lambda x, u, t: A @ x,
        "observation": lambda x, u, t: np.stack(
            [np.hypot(x[0] - STATION[0], x[1] - STATION[1]), np.arctan2(x[1] - STATION[1], x[0] - STATION[0])]
        ),
        "Q": np.diag([0.0, 0.0, 0.01, 0.02]), "R": np.diag([0.09, 0.0025]),
        "m0": np.array([6.0, 4.0, -0.7, 0.1]), "P0": np.diag([1.0, 1.0, 0.1, 0.1]),
        "transition_jacobian": lambda x, u, t: A,
        "difference": lambda a, b: np.stack([a[0] - b[0], turn(a[1] - b[1])]),
    }  # fmt: skip
    return NonlinearSSM(**{**given, **changed})


def growth(**changed):
    """A scalar model that is quadratic in what is seen."""
    given = {
        "transition": lambda x, u, t: 0.5 * x + 2 * x / (1 + x * x) + (0 if u is None else u[0]),
        "observation": lambda x, u, t: x * x / 4 + x,
        "Q": np.array([[0.3]]), "R": np.array([[0.5]]), "m0": np.array([1.0]), "P0": np.array([[0.4]]),
    }  # fmt: skip
    return NonlinearSSM(**{**given, **changed})


def linear(seed, radius=0.8, **changed):
    """A linear model in both forms."""
    rng = np.random.default_rng(seed)
    A, C, B, D = (rng.normal(size=shape) for shape in ((4, 4), (2, 4), (4, 2), (2, 2)))
    L = rng.normal(size=(4, 2))
    A *= radius / np.abs(np.linalg.eigvals(A)).max()
    given = {"Q": L @ L.T, "R": np.diag([0.3, 0.2]), "m0": np.ones(4), "P0": np.eye(4), **changed}
    both = LinearGaussianSSM(A=A, B=B, C=C, D=D, **given)

    model = NonlinearSSM(
        transition=lambda x, u, t: A @ x + (B @ u).reshape(-1, *[1] * (x.ndim - 1)),
        observation=lambda x, u, t: C @ x + (D @ u).reshape(-1, *[1] * (x.ndim - 1)),
        transition_jacobian=lambda x, u, t: A, observation_jacobian="complex", **given,
    )  # fmt: skip
    return both, model


def gappy(model, steps, seed, **more):
    """Observations, a step and a component of which are missing."""
    _, y = simulate(model, steps, np.random.default_rng(seed), **more)
    y[5], y[9, 0] = np.nan, np.nan
    return y


CASES = {
    "singular Q": {}, "R without an inverse": {"R": np.diag([0.3, 0.0])}, "known start": {"P0": np.zeros((4, 4))},
    "vague start": {"P0": 1e8 * np.eye(4)}, "varying": {"R": np.array([np.diag([0.1 + t, 1.0]) for t in range(30)])},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
@pytest.mark.parametrize("case", CASES)
def test_a_linear_model_has_the_kalman_filter_and_smoother(case, method):
    exact, model = linear(0, **CASES[case])
    u = np.random.default_rng(1).normal(size=(30, 2))
    y = gappy(exact, 30, 2, inputs=u)
    a, b = filter(exact, y, inputs=u), filter(model, y, inputs=u, method=method)
    c, d = smooth(exact, y, inputs=u), smooth(model, y, inputs=u, method=method)
    unit = max(1.0, np.abs(a.covariance).max())  # covariances of 1e8 are right to as many digits
    np.testing.assert_allclose(b.log_likelihood, a.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(b.increments, a.increments, rtol=1e-11, atol=1e-12)
    digits = 1e-12 if unit == 1 else 1e-9
    np.testing.assert_allclose(b.mean, a.mean, rtol=digits, atol=digits)
    np.testing.assert_allclose(b.covariance, a.covariance, rtol=digits, atol=1e-12 * unit)
    np.testing.assert_allclose(d.mean, c.mean, rtol=digits, atol=digits)
    np.testing.assert_allclose(d.covariance, c.covariance, rtol=digits, atol=1e-12 * unit)


@pytest.mark.parametrize("radius", [0.8, 0.1])
@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_smoothers_are_right_without_noise_in_the_state(method, radius):
    """Where the recursion of Rauch, Tung & Striebel would divide by what a contracting model forgets."""
    exact, model = linear(0, radius, Q=np.zeros((4, 4)))
    u = np.random.default_rng(1).normal(size=(40, 2))
    y = gappy(exact, 40, 2, inputs=u)
    a, b = smooth(exact, y, inputs=u), smooth(model, y, inputs=u, method=method)
    np.testing.assert_allclose(b.mean, a.mean, atol=1e-11)
    np.testing.assert_allclose(b.covariance, a.covariance, atol=1e-12)
    start = regressed(exact, y, u)
    np.testing.assert_allclose(b.mean[0], start, atol=1e-9)


def regressed(model, y, u):
    """The first state given all, as least squares: without noise it is all that is unknown."""
    rows, targets = [np.eye(4)], [model.m0]
    x, move = np.zeros(4), np.eye(4)
    for t in range(len(y)):
        seen = ~np.isnan(y[t])
        scale = np.sqrt(np.diag(model.R))[seen]
        rows.append((model.C @ move)[seen] / scale[:, None])
        targets.append((y[t] - model.C @ x - model.D @ u[t])[seen] / scale)
        x, move = model.A @ x + model.B @ u[t], model.A @ move
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets))[0]


def textbook(model, y, method):
    """Covariance form, symmetric and unstable: Särkkä (2013), algorithms 5.4, 5.14, 9.1 and 9.3."""

    def joint(name, g, jacobian, m, P):
        if isinstance(method, Extended):
            G = jacobian(m)
            return g(m[:, None])[:, 0], G @ P @ G.T, P @ G.T
        n = len(m)
        kappa = max(0, 3 - n) if method.kappa is None else method.kappa
        lam = method.alpha**2 * (n + kappa) - n
        root = np.linalg.cholesky((n + lam) * P)
        x = m[:, None] + np.concatenate([np.zeros((n, 1)), root, -root], axis=1)
        w = np.full(2 * n + 1, 0.5 / (n + lam))
        v = w.copy()
        w[0] = lam / (n + lam)
        v[0] = w[0] + 1 - method.alpha**2 + method.beta
        values = g(x)
        mean = values @ w
        off = values - mean[:, None]
        return mean, (off * v) @ off.T, ((x - m[:, None]) * v) @ off.T

    def f(x):
        return model.transition(x, None, 0)

    def h(x):
        return model.observation(x, None, 0)

    def slope(g):
        return lambda m: np.stack([(g(m + d) - g(m - d)) / 2e-5 for d in 1e-5 * np.eye(len(m))], axis=1)

    m, P, total, kept = model.m0, model.P0, 0.0, []
    for t, seen in enumerate(y):
        G = np.zeros((len(m), len(m)))
        if t:
            before = m, P
            m, P, cross = joint("f", f, slope(f), m, P)
            P = P + model.Q
            G = cross @ np.linalg.inv(P)
        predicted = m, P
        mean, S, cross = joint("h", h, slope(h), m, P)
        S = S + model.R
        K = cross @ np.linalg.inv(S)
        total -= 0.5 * ((seen - mean) @ np.linalg.solve(S, seen - mean) + np.log(np.linalg.det(2 * np.pi * S)))
        m, P = m + K @ (seen - mean), P - K @ S @ K.T
        kept.append((G, before if t else None, predicted, (m, P)))
    smoothed = [(m, P)]
    for G, before, predicted, _ in kept[:0:-1]:
        m = before[0] + G @ (smoothed[-1][0] - predicted[0])
        smoothed.append((m, before[1] + G @ (smoothed[-1][1] - predicted[1]) @ G.T))
    return total, [held[3] for held in kept], smoothed[::-1]


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
@pytest.mark.parametrize("model", [growth(), bearings(Q=np.diag([0.02, 0.03, 0.01, 0.02]))], ids=["growth", "bearings"])
def test_the_textbooks_formulas(model, method):
    if isinstance(method, Unscented) and model.n_components == 4 and method.kappa == 1:
        method = Unscented(alpha=0.95, beta=2.0, kappa=1.0)
    _, y = simulate(model, 15, np.random.default_rng(5))
    total, filtered, smoothed = textbook(model, y, method)
    got, after = filter(model, y, method=method), smooth(model, y, method=method)
    digits = 1e-6 if isinstance(method, Extended) else 1e-9  # the book's Jacobians are differences here
    np.testing.assert_allclose(got.log_likelihood, total, rtol=digits)
    np.testing.assert_allclose(got.mean, [m for m, _ in filtered], rtol=digits, atol=digits)
    np.testing.assert_allclose(got.covariance, [P for _, P in filtered], rtol=digits, atol=digits)
    np.testing.assert_allclose(after.mean, [m for m, _ in smoothed], rtol=digits, atol=digits)
    np.testing.assert_allclose(after.covariance, [P for _, P in smoothed], rtol=digits, atol=digits)


def test_points_have_the_moments_of_a_square():
    """$E[x^2] = m^2 + P$ and $Var[x^2] = 4 m^2 P + 2 P^2$: three points have a Gaussian's first five moments."""
    model = growth(transition=lambda x, u, t: x * x, Q=np.zeros((1, 1)), m0=np.array([1.5]), P0=np.array([[0.7]]))
    got = filter(model, np.array([np.nan, np.nan]))
    np.testing.assert_allclose(got.predicted_mean[1], 1.5**2 + 0.7, rtol=1e-14)
    np.testing.assert_allclose(got.predicted_covariance[1, 0, 0], 4 * 1.5**2 * 0.7 + 2 * 0.7**2, rtol=1e-13)
    assert got.log_likelihood == 0


@pytest.mark.parametrize("method", METHODS[:2], ids=NAMES[:2])
def test_angles_have_no_seam(method):
    """A compass with another zero: bearings cross from pi to -pi, and nothing else changes."""
    model = bearings()
    _, y = simulate(model, 12, np.random.default_rng(4))
    plain = filter(model, y, method=method)
    zero = np.array([0.0, np.pi - y[5, 1] + 0.01])

    def from_there(x, u, t):
        held = model.observation(x, u, t)
        return np.stack([held[0], turn(held[1] + zero[1])])

    seen = np.stack([y[:, 0], turn(y[:, 1] + zero[1])], axis=1)
    assert np.abs(np.diff(seen[:, 1])).max() > 5
    other = bearings(observation=from_there)
    np.testing.assert_allclose(filter(other, seen, method=method).mean, plain.mean, atol=1e-8)
    got = smooth(other, seen, method=method)
    np.testing.assert_allclose(got.mean, smooth(model, y, method=method).mean, atol=1e-8)
    np.testing.assert_allclose(got.log_likelihood, plain.log_likelihood, atol=1e-8)


@pytest.mark.parametrize("method", METHODS[:2], ids=NAMES[:2])
def test_covariances_are_not_negative_however_ill_the_model(method):
    model = bearings(P0=np.diag([1e8, 1e8, 1e-8, 0.0]), R=np.diag([1e-10, 1e-14]), Q=np.diag([0, 0, 1e-12, 0]))
    _, y = simulate(bearings(), 20, np.random.default_rng(4))
    for got in (filter(model, y, method=method), smooth(model, y, method=method)):
        assert np.isfinite(got.root).all()
        least = np.array([np.linalg.eigvalsh(P)[0] for P in got.covariance])
        size = np.array([np.linalg.norm(P, 2) for P in got.covariance])
        assert (least >= -1e-15 * size).all()  # of S S' as multiplied out in floating point


@pytest.mark.parametrize("way", ["complex", "central"])
def test_jacobians_by_steps(way):
    exact = growth(
        transition_jacobian=lambda x, u, t: np.array([[0.5 + 2 * (1 - x[0] ** 2) / (1 + x[0] ** 2) ** 2]]),
        observation_jacobian=lambda x, u, t: np.array([[x[0] / 2 + 1]]),
    )
    steps = dataclasses.replace(exact, transition_jacobian=way, observation_jacobian=way)
    _, y = simulate(exact, 30, np.random.default_rng(0))
    a, b = filter(exact, y, method=Extended()), filter(steps, y, method=Extended())
    np.testing.assert_allclose(b.mean, a.mean, rtol=1e-13 if way == "complex" else 1e-8)
    np.testing.assert_allclose(b.covariance, a.covariance, rtol=1e-13 if way == "complex" else 1e-8)


def test_the_unscented_filter_is_nearer_to_the_posterior_where_h_bends():
    """Against 10,000 particles, over 100 steps of the scalar model."""
    model = growth(R=np.array([[0.2]]))
    _, y = simulate(model, 100, np.random.default_rng(0))
    truth = particle_filter(model.as_particles(), y, np.random.default_rng(0), particles=10_000)
    off = {m: np.abs(filter(model, y, method=m).mean - truth.mean).mean() for m in METHODS[:2]}
    assert off[METHODS[1]] < 0.15
    assert off[METHODS[1]] < off[METHODS[0]]


def test_particles_of_a_linear_model_are_the_kalman_filter():
    exact, model = linear(0, Q=np.diag([0.5, 0.2, 0.3, 0.1]))
    u = np.random.default_rng(1).normal(size=(12, 2))
    y = gappy(exact, 12, 2, inputs=u)
    particles = model.as_particles(u)
    got = particle_filter(particles, y, np.random.default_rng(0), particles=40_000)
    a = filter(exact, y, inputs=u)
    np.testing.assert_allclose(got.mean, a.mean, atol=0.1)
    np.testing.assert_allclose(got.log_likelihood, a.log_likelihood, atol=0.5)  # sd 0.1
    x = np.random.default_rng(0).normal(size=(3, 4))
    after = x + 1
    gap = after - x @ exact.A.T - exact.B @ u[2]
    density = -0.5 * (gap**2 / np.diag(exact.Q)).sum(1) - 0.5 * np.log(2 * np.pi * np.diag(exact.Q)).sum()
    np.testing.assert_allclose(particles.log_transition(x, after, 3), density, rtol=1e-12)
    np.testing.assert_allclose(particles.log_initial(x), -0.5 * ((x - 1) ** 2 + np.log(2 * np.pi)).sum(1), rtol=1e-12)
    assert bearings().as_particles().log_transition is None


@pytest.mark.parametrize("method", METHODS[:2], ids=NAMES[:2])
def test_stack_list_and_stream_are_the_single_sequence(method):
    model = growth()
    u = np.random.default_rng(0).normal(size=(3, 14, 1))
    y = np.stack([gappy(model, 14, seed, inputs=u[seed]) for seed in range(3)])
    one = [filter(model, y[q], inputs=u[q], method=method) for q in range(3)]
    stack = filter(model, y, inputs=u, method=method)
    ragged = smooth(model, [y[0], y[1][:8, 0]], inputs=[u[0], u[1][:8]], method=method)
    np.testing.assert_array_equal(stack.mean, [got.mean for got in one])
    np.testing.assert_array_equal(ragged[0].root, smooth(model, y[0], inputs=u[0], method=method).root)
    assert ragged[1].mean.shape == (8, 1)
    stream = online(model, method=method)
    for t in range(14):
        mean, gained = stream.step(y[2, t], u[2, t])
        np.testing.assert_allclose(mean, one[2].mean[t], rtol=1e-14)
        np.testing.assert_allclose(gained, one[2].increments[t], rtol=1e-13)
    np.testing.assert_allclose(stream.log_likelihood, one[2].log_likelihood, rtol=1e-13)


def test_forecasts_are_those_of_the_kalman_filter():
    exact, model = linear(0)
    u = np.random.default_rng(1).normal(size=(25, 2))
    y = gappy(exact, 20, 2, inputs=u[:20])
    a = forecast(exact, y, 5, inputs=u)
    for method in METHODS[:2]:
        b = forecast(model, y, 5, inputs=u, method=method)
        np.testing.assert_allclose(b.mean, a.mean, rtol=1e-11)
        np.testing.assert_allclose(b.covariance, a.covariance, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(b.observations.mean, a.observations.mean, rtol=1e-11)
        np.testing.assert_allclose(b.observations.variance, a.observations.variance, rtol=1e-11, atol=1e-12)


def test_walks_are_those_of_the_model():
    """Without noise f and h again and again; with it, variances of 20,000 walks within 5 standard errors."""
    quiet = growth(Q=np.zeros((1, 1)), R=np.zeros((1, 1)), P0=np.zeros((1, 1)))
    states, seen = simulate(quiet, 4, np.random.default_rng(0))
    x = 1.0
    for t in range(4):
        np.testing.assert_allclose([states[t, 0], seen[t, 0]], [x, x * x / 4 + x], rtol=1e-14)
        x = 0.5 * x + 2 * x / (1 + x * x)
    exact, model = linear(0)
    u = np.random.default_rng(1).normal(size=(6, 2))
    states, seen = simulate(model, 6, np.random.default_rng(0), count=20_000, inputs=u)
    assert states.shape == (20_000, 6, 4)
    blank = filter(exact, np.full((6, 2), np.nan), inputs=u)
    spread = np.diagonal(blank.covariance, axis1=1, axis2=2)
    assert (np.abs(states.mean(0) - blank.mean) <= 5 * np.sqrt(spread / 20_000)).all()
    np.testing.assert_allclose(states.var(0), spread, rtol=0.05)
    noise = seen - np.stack([states[:, t] @ exact.C.T + exact.D @ u[t] for t in range(6)], axis=1)
    np.testing.assert_allclose(noise.var((0, 1)), [0.3, 0.2], rtol=0.03)


def test_weights_that_would_break_the_promise_are_refused():
    y = np.zeros((2, 2))
    for wrong in (Unscented(alpha=1e-3, beta=2.0, kappa=0.0), Unscented(kappa=-1.0)):
        with pytest.raises(ValueError, match=r"give the centre the weight -.* in covariances of 4 components"):
            filter(bearings(), y, method=wrong)
    with pytest.raises(ValueError, match=r"kappa is -4\.0: must be above -4"):
        filter(bearings(), y, method=Unscented(kappa=-4.0))
    with pytest.raises(ValueError, match=r"alpha is 0"):
        Unscented(alpha=0.0)


def test_wrong_questions_are_refused():
    y = np.zeros(3)
    with pytest.raises(ValueError, match=r"transition gives \[\] of \[1, 3\] at step 0, not \[1, 3\]"):
        filter(growth(transition=lambda x, u, t: np.float64(1.0)), y)
    with pytest.raises(ValueError, match=r"observation gives nan at \[0, 0\] at step 0"):
        filter(growth(observation=lambda x, u, t: x * np.nan), y)
    with pytest.raises(ValueError, match=r"transition_jacobian at step 0 is \[1\], not \[1, 1\]"):
        filter(growth(transition_jacobian=lambda x, u, t: np.ones(1)), y, method=Extended())
    rounded = growth(observation=lambda x, u, t: np.abs(x), observation_jacobian="complex")
    with pytest.raises(ValueError, match="a complex step needs"):
        filter(rounded, y, method=Extended())
    with pytest.raises(ValueError, match="at step 0 the innovation has no variance"):
        filter(growth(R=np.zeros((1, 1)), P0=np.zeros((1, 1))), y)
    with pytest.raises(ValueError, match=r"y\[1, 0\] is inf"):
        filter(growth(), np.array([0.0, np.inf]))
    with pytest.raises(ValueError, match=r"Q is \[2, 2\], not \[1, 1\]"):
        growth(Q=np.eye(2))
    with pytest.raises(ValueError, match="Q has a negative eigenvalue"):
        bearings(Q=np.eye(4) + 2 * np.eye(4, k=1) + 2 * np.eye(4, k=-1))
    with pytest.raises(ValueError, match="R is given for 2 steps, and 3 are asked for"):
        filter(growth(R=np.ones((2, 1, 1))), y)
    with pytest.raises(ValueError, match="inputs have length 2"):
        filter(growth(), y, inputs=np.zeros((2, 1)))
    with pytest.raises(ValueError, match="filtered by roots only"):
        filter(growth(), y, form="covariance")
    with pytest.raises(ValueError, match="length 0"):
        filter(growth(), np.zeros(0))
    with pytest.raises(ValueError, match="R has no inverse"):
        growth(R=np.zeros((1, 1))).as_particles()
    chain = FiniteSSM(transition=np.eye(2), initial=np.ones(2) / 2, emission=Table(probability=np.eye(2)))
    with pytest.raises(ValueError, match="this model is filtered exactly"):
        filter(chain, np.array([0, 0]), method=Extended())


def test_verbs_that_there_are_not_say_which_there_are():
    linear_one, model = linear(0)
    y, rng = np.zeros((3, 2)), np.random.default_rng(0)
    particles = model.as_particles()
    for verb in (decode, fit, score):
        with pytest.raises(TypeError, match=f"{verb.__name__} does not take a NonlinearSSM: there are filter, smooth"):
            verb(model, y)
        with pytest.raises(TypeError, match="does not take a StateSpaceModel: there are particle_filter"):
            verb(particles, y)
    with pytest.raises(TypeError, match="sample does not take a NonlinearSSM"):
        sample(model, y, rng)
    with pytest.raises(TypeError, match="fit does not take a NonlinearSSM"):
        fit(model, y, method="ml")
    for verb in (filter, smooth):
        with pytest.raises(TypeError, match=f"{verb.__name__} does not take a StateSpaceModel"):
            verb(particles, y)
    with pytest.raises(TypeError, match="online does not take a StateSpaceModel"):
        online(particles)
    assert decode(linear_one, y, inputs=np.zeros((3, 2))).mean.shape == (3, 4)
