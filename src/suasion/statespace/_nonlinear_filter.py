r"""Extended and unscented Kalman filters and smoothers, in square-root form.

Both replace a function g of $x = m + S z$, $z \sim N(0, I)$, by $\bar g + V z + W e$ with e standard normal and
independent of z. The extended filter takes $V = G S$, G the Jacobian at m, and no W; the unscented one reads V off the
differences of g between opposite points, and W off their sums. All else is the same text, and is linear algebra on
columns: covariances are positive semidefinite because they are sums of squares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace import _nonlinear_kernels as kernels
from suasion.statespace._checks import check_finite, check_shape
from suasion.statespace._gaussian import LinearGaussianSSM
from suasion.statespace._kalman_verbs import GaussianFiltered, GaussianSmoothed, smooth_gaussian
from suasion.statespace._nonlinear import Jacobian, Name, NonlinearSSM, entry
from suasion.statespace._sequences import put_together, take_apart

_COMPLEX_STEP = 2.0**-100
_CENTRAL_STEP = 2.0**-17  # near the cube root of the rounding unit, where both errors are about 1e-11


@dataclasses.dataclass(frozen=True)
class Extended:
    """The extended Kalman filter: means are linear around what is known.

    References:
        Jazwinski (1970); Särkkä (2013), section 5.2, and 9.1 for the smoother.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unscented:
    r"""The unscented Kalman filter: means and covariances over $2n + 1$ points $m$, $m \pm c S_j$.

    $c^2 = \alpha^2 (n + \kappa)$; the weights of the points off the centre are $\frac{1}{2 c^2}$, that of the centre is
    $1 - \frac{n}{c^2}$ in means and $2 - \frac{n}{c^2} - \alpha^2 + \beta$ in covariances. The latter must not be
    negative: a covariance with a negative weight is no sum of squares, and can lose its sign.

    Attributes:
        alpha: > 0; 1 by default, in which case and with beta = 0 both weights of the centre are one.
        beta: adds to the centre's weight in covariances; 0 by default.
        kappa: > -n; by default 3 - n up to n = 3, where the points have the fourth moments of a Gaussian along axes,
            and 0 beyond, where the centre has no weight (the cubature filter).

    Raises:
        ValueError: alpha is not positive, or a number is not finite.

    References:
        Julier & Uhlmann (2004); Wan & van der Merwe (2000); Arasaratnam & Haykin (2009); Särkkä (2008) for
        the smoother.
    """

    alpha: float = 1.0
    beta: float = 0.0
    kappa: float | None = None

    def __post_init__(self) -> None:
        kappa = 0.0 if self.kappa is None else self.kappa
        if not (0 < self.alpha < np.inf and np.isfinite(self.beta) and np.isfinite(kappa)):
            raise ValueError(f"alpha is {self.alpha!r}, beta {self.beta!r} and kappa {self.kappa!r}: see their ranges")

    def weights(self, n: int) -> tuple[float, float]:
        """c, and the weight of the centre in covariances, for n components.

        Raises:
            ValueError: kappa <= -n, or the centre's weight in covariances is negative.
        """
        kappa = max(0.0, 3.0 - n) if self.kappa is None else self.kappa
        square = self.alpha**2 * (n + kappa)
        if square <= 0:
            raise ValueError(f"kappa is {kappa!r}: must be above {-n}, as there are {n} components")
        spread = 2 - n / square - self.alpha**2 + self.beta
        if spread < 0:
            raise ValueError(
                f"alpha = {self.alpha!r}, beta = {self.beta!r} and kappa = {kappa!r} give the centre the weight "
                f"{spread!r} in covariances of {n} components: a negative one can make a covariance indefinite"
            )
        return float(np.sqrt(square)), spread


Method = Extended | Unscented


class _Spread(NamedTuple):
    """What a method makes of a function: its mean, columns [V, W], the size of what each row of them came from, and G.

    Attributes:
        mean: float64[k].
        columns: float64[k, n] or [k, 2 n + 1].
        size: float64[k].
        jacobian: float64[k, n], of the extended filter; else None.
    """

    mean: ndarray
    columns: ndarray
    size: ndarray
    jacobian: ndarray | None


class Pass(NamedTuple):
    """A filter's arrays, and what was made of each transition and of each observation (None if it is missing)."""

    filtered: GaussianFiltered
    moves: list[_Spread]
    looks: list[_Spread | None]


def filter_nonlinear(model: NonlinearSSM, y: Any, method: Method, inputs: Any = None) -> Any:
    r"""An approximation to $p(x_t \mid y_{0:t})$ by Gaussians; exact if f and h are linear.

    Args:
        model: f, h and the noise.
        y: float64[T, p], a stack of such or a list; NaN where missing, single components too.
        method: `Extended()` or `Unscented()`.
        inputs: u, float64[T, m], handed to f and h; for stacks and lists one for each sequence.

    Returns:
        `GaussianFiltered`; of a list a tuple of them. The log-likelihood is that of the approximation.

    Raises:
        ValueError: shapes disagree, a number is infinite, f or h gives another shape or no finite number, an
            innovation has no variance in some direction, a method whose weights may be negative; which, and where.
    """
    return _each(model, y, inputs, lambda seen, u: run_filter(model, seen, method, u).filtered)


def smooth_nonlinear(model: NonlinearSSM, y: Any, method: Method, inputs: Any = None) -> Any:
    r"""An approximation to $p(x_t \mid y_{0:T-1})$ by Gaussians (Rauch, Tung & Striebel); exact if f and h are linear.

    Args:
        model: f, h and the noise.
        y: as in `filter_nonlinear`.
        method: as in `filter_nonlinear`.
        inputs: as in `filter_nonlinear`.

    Returns:
        `GaussianSmoothed`; of a list a tuple of them.

    Raises:
        ValueError: as in `filter_nonlinear`.
    """
    return _each(model, y, inputs, lambda seen, u: _smooth(model, seen, run_filter(model, seen, method, u)))


def _each(model: NonlinearSSM, y: Any, inputs: Any, do: Callable[[ndarray, Any], Any]) -> Any:
    if isinstance(y, ndarray) and y.ndim == 1 and model.n_observed == 1:
        y = y[:, None]
    if isinstance(y, list | tuple) and model.n_observed == 1:
        y = [held[:, None] if held.ndim == 1 else held for held in y]
    form, each = take_apart(y, 1)
    given = [inputs] if form == "one" else [None] * len(each) if inputs is None else list(inputs)
    if len(given) != len(each):
        raise ValueError(f"there are {len(each)} sequences and inputs for {len(given)}")
    for q, (held, u) in enumerate(zip(each, given, strict=True)):
        name = "y" if form == "one" else f"y[{q}]"
        check_shape(name, held, (len(held), model.n_observed))
        if np.isinf(held).any():
            place = [int(i) for i in np.argwhere(np.isinf(held))[0]]
            raise ValueError(f"{name}{place} is {float(held[tuple(place)])!r}")
        model.check_steps(len(held))
        if u is not None and len(u) != len(held):
            raise ValueError(f"inputs have length {len(u)}, and {name} has {len(held)}")
    return put_together(form, [do(held, u) for held, u in zip(each, given, strict=True)])


def run_filter(model: NonlinearSSM, y: ndarray, method: Method, inputs: Any) -> Pass:
    """Filter one sequence."""
    steps, n = len(y), model.n_components
    means, roots = np.empty((2, steps, n)), np.empty((2, steps, n, n))
    increments = np.zeros(steps)
    moves: list[_Spread] = []
    looks: list[_Spread | None] = []
    mean, root = model.m0.copy(), model.start_root.copy()
    for t in range(steps):
        if t:
            mean, root, move = move_on(model, method, mean, root, None if inputs is None else inputs[t - 1], t - 1)
            moves.append(move)
        means[1, t], roots[1, t] = mean, root
        increments[t], look = update(model, method, y[t], mean, root, None if inputs is None else inputs[t], t)
        looks.append(look)
        means[0, t], roots[0, t] = mean, root
    filtered = GaussianFiltered(means[0], roots[0], means[1], roots[1], increments.sum(), increments)
    return Pass(filtered, moves, looks)


def move_on(
    model: NonlinearSSM, method: Method, mean: ndarray, root: ndarray, u: Any, t: int
) -> tuple[ndarray, ndarray, _Spread]:
    """Mean and root of the state after step t, and what was made of the transition."""
    move = _apply(model, "transition", method, mean, root, u, t)
    wide, size = _with_noise(move, entry(model.process_root, t))
    after = np.empty_like(root)
    kernels.predict_root(wide, size, after)
    return move.mean.copy(), after, move


def update(
    model: NonlinearSSM, method: Method, y: ndarray, mean: ndarray, root: ndarray, u: Any, t: int
) -> tuple[float, _Spread | None]:
    """Update mean and root, in place, by an observation; gives its log-density, and what was made of h.

    Raises:
        ValueError: an innovation without variance.
    """
    if np.isnan(y).all():
        return 0.0, None
    look = _apply(model, "observation", method, mean, root, u, t)
    error = _innovation(model, look, y)
    seen = ~np.isnan(error)
    wide, size = _with_noise(look, entry(model.observation_root, t))
    M, scale = np.concatenate([wide[seen], _below(root, wide)]), np.concatenate([size[seen], np.abs(root).max(1)])
    log = float(kernels.update(M, int(seen.sum()), scale, error[seen], mean, root))
    if np.isnan(log):
        raise ValueError(f"at step {t} the innovation has no variance in some direction: no density there")
    return log, look


def look_at(
    model: NonlinearSSM, method: Method, mean: ndarray, root: ndarray, inputs: Any, t: int
) -> tuple[ndarray, ndarray]:
    """Mean of what will be seen, and columns of its covariance."""
    look = _apply(model, "observation", method, mean, root, None if inputs is None else inputs[t], t)
    return look.mean, _with_noise(look, entry(model.observation_root, t))[0]


def _innovation(model: NonlinearSSM, look: _Spread, y: ndarray) -> ndarray:
    """What an observation is off its mean, NaN where it is missing; user's functions never see NaN."""
    seen = ~np.isnan(y)
    return np.where(seen, model.subtract(np.where(seen, y, look.mean), look.mean), np.nan)


def _below(root: ndarray, wide: ndarray) -> ndarray:
    """Rows of the state: S z, and nothing of the noise."""
    return np.concatenate([root, np.zeros((len(root), wide.shape[1] - len(root)))], axis=1)


def _with_noise(spread: _Spread, noise: ndarray) -> tuple[ndarray, ndarray]:
    """[V, W, noise], and the size of each row's terms."""
    return np.concatenate([spread.columns, noise], axis=1), np.maximum(spread.size, np.abs(noise).max(1))


def _smooth(model: NonlinearSSM, y: ndarray, passed: Pass) -> GaussianSmoothed:
    r"""The smoother of the linear model that the filter made of this one.

    The recursion of Rauch, Tung & Striebel would divide by what the model forgets: without noise in the state a
    contracting f leaves it no digits. Here the filter's own regressions, $V z = A (x - m)$ with $A S = V$ and W as
    further noise, are handed to the smoother that inverts nothing. They have the same posterior.
    """
    steps, n, p = len(y), model.n_components, model.n_observed
    filtered = passed.filtered
    A, C = np.tile(np.eye(n), (steps, 1, 1)), np.zeros((steps, p, n))
    drive, seen = np.zeros((steps, n)), np.full((steps, p), np.nan)
    Q, R = _each_step(model.Q, steps), _each_step(model.R, steps)
    for t, move in enumerate(passed.moves):
        A[t] = _slope(move, filtered.root[t])
        Q[t] += _square(move.columns[:, n:])
        drive[t] = move.mean - A[t] @ filtered.mean[t]
    for t, look in enumerate(passed.looks):
        if look is not None:
            C[t] = _slope(look, filtered.predicted_root[t])
            R[t] += _square(look.columns[:, n:])
            seen[t] = _innovation(model, look, y[t]) + C[t] @ filtered.predicted_mean[t]
    linear = LinearGaussianSSM(A=A, B=np.eye(n), C=C, Q=Q, R=R, m0=model.m0, P0=model.P0)
    return smooth_gaussian(linear, seen, drive)._replace(log_likelihood=filtered.log_likelihood)


def _each_step(held: ndarray, steps: int) -> ndarray:
    """A covariance for each step; what leads on from the last one leads nowhere."""
    place = np.zeros(steps, np.int64) if held.ndim == 2 else np.minimum(np.arange(steps), len(held) - 1)
    return (held[None] if held.ndim == 2 else held)[place]


def _slope(spread: _Spread, root: ndarray) -> ndarray:
    """G with G S = V: the Jacobian, or the regression that points make."""
    if spread.jacobian is not None:
        return spread.jacobian
    n = len(root)
    M = np.concatenate([root, spread.columns[:, :n]])
    slope = np.zeros((len(M) - n, n))
    kernels.regress(M, np.abs(root).max(1), slope)
    return slope


def _square(columns: ndarray) -> ndarray:
    held = columns @ columns.T
    return (held + held.T) / 2


def _apply(model: NonlinearSSM, name: Name, method: Method, mean: ndarray, root: ndarray, u: Any, t: int) -> _Spread:
    """What the method makes of f or h of a Gaussian."""
    subtract = np.subtract if name == "transition" else model.subtract

    def g(x: ndarray) -> ndarray:
        return model.evaluate(name, x, u, t)

    if isinstance(method, Unscented):
        return _points(g, subtract, *method.weights(len(mean)), mean, root)
    jacobian = getattr(model, f"{name}_jacobian")
    value = g(mean)
    G = _differentiate(g, subtract, jacobian, mean, u, t)
    check_shape(f"{name}_jacobian at step {t}", G, (len(value), len(mean)))
    check_finite(f"{name}_jacobian at step {t}", G)
    terms = np.abs(G)[:, :, None] * np.abs(root)
    return _Spread(value, G @ root, terms.max((1, 2)), G)


def _points(
    g: Callable[[ndarray], ndarray],
    subtract: Callable[[ndarray, ndarray], ndarray],
    c: float,
    spread: float,
    mean: ndarray,
    root: ndarray,
) -> _Spread:
    """What points make of g.

    As weights of means sum to 1, the mean is the centre's value and a mean of deviations from it: right for angles too.
    """
    n = len(mean)
    x = np.concatenate([mean[:, None], mean[:, None] + c * root, mean[:, None] - c * root], axis=1)
    values = g(x)
    first = values[:, :1]
    moved = first[:, 0] + subtract(values[:, 1:], np.repeat(first, 2 * n, axis=1)).sum(1) / (2 * c * c)
    off = subtract(values, np.repeat(moved[:, None], 2 * n + 1, axis=1))
    ahead, behind = off[:, 1 : n + 1] / (2 * c), off[:, n + 1 :] / (2 * c)
    columns = np.concatenate([ahead - behind, ahead + behind, np.sqrt(spread) * off[:, :1]], axis=1)
    return _Spread(moved, columns, np.abs(values).max(1) / c, None)


def _differentiate(
    g: Callable[[ndarray], ndarray],
    subtract: Callable[[ndarray, ndarray], ndarray],
    jacobian: Jacobian,
    x: ndarray,
    u: Any,
    t: int,
) -> ndarray:
    if not isinstance(jacobian, str):
        return np.asarray(jacobian(x, u, t), np.float64)
    if jacobian == "complex":
        value = g(x[:, None] + 1j * _COMPLEX_STEP * np.eye(len(x)))
        if not np.iscomplexobj(value):
            raise ValueError("a complex step needs a function of complex arrays: give its Jacobian, or 'central'")
        return value.imag / _COMPLEX_STEP
    step = _CENTRAL_STEP * np.maximum(1.0, np.abs(x))
    ahead, behind = x[:, None] + np.diag(step), x[:, None] - np.diag(step)
    return subtract(g(ahead), g(behind)) / np.diag(ahead - behind)
