"""The verbs, of linear-Gaussian models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.statespace._emission import Moments
from suasion.statespace._gaussian import LinearGaussianSSM
from suasion.statespace._kalman import (
    Group,
    Records,
    each_group,
    final,
    gains,
    later,
    run_filter,
    run_smoother,
    with_start,
)


class GaussianFiltered(NamedTuple):
    r"""What is known of the state at each step from the observations so far.

    Covariances are $S S^T$ of their roots S: never with a negative eigenvalue. Of a diffuse start, what is not
    determined yet is NaN. Of a stack, every entry has a leading axis.

    Attributes:
        mean: $E[x_t \mid y_{0:t}]$, float64[T, n].
        root: root of its covariance, float64[T, n, n].
        predicted_mean: $E[x_t \mid y_{0:t-1}]$, float64[T, n].
        predicted_root: root of its covariance, float64[T, n, n].
        log_likelihood: $\log p(y_{0:T-1})$, in nats; of a diffuse start the limit of it plus $\frac{k}{2} \log \kappa$
            for k components of variance $\kappa \to \infty$.
        increments: $\log p(y_t \mid y_{0:t-1})$, float64[T].
    """

    mean: ndarray
    root: ndarray
    predicted_mean: ndarray
    predicted_root: ndarray
    log_likelihood: Any
    increments: ndarray

    @property
    def covariance(self) -> ndarray:
        """Of the filtered state, float64[T, n, n]."""
        return square(self.root)

    @property
    def predicted_covariance(self) -> ndarray:
        """Of the predicted state, float64[T, n, n]."""
        return square(self.predicted_root)


class GaussianSmoothed(NamedTuple):
    r"""What is known of the state at each step from all observations.

    Attributes:
        mean: $E[x_t \mid y_{0:T-1}]$, float64[T, n].
        root: root of its covariance, float64[T, n, n].
        log_likelihood: in nats.
    """

    mean: ndarray
    root: ndarray
    log_likelihood: Any

    @property
    def covariance(self) -> ndarray:
        """Float64[T, n, n]."""
        return square(self.root)


class GaussianForecast(NamedTuple):
    """The steps to come.

    Attributes:
        mean: of the state, float64[h, n].
        covariance: of the state, float64[h, n, n].
        observations: mean float64[h, p] and covariance float64[h, p, p] of what will be seen.
    """

    mean: ndarray
    covariance: ndarray
    observations: Moments


class _Drawn(NamedTuple):
    paths: ndarray


def square(root: ndarray) -> ndarray:
    """S S'."""
    return root @ np.swapaxes(root, -1, -2)


def filter_gaussian(model: LinearGaussianSSM, y: Any, inputs: Any) -> Any:
    """`filter` of a linear-Gaussian model."""

    def do(group: Group) -> Records:
        passed = run_filter(model, group)
        increments, start = gains(model, group, passed)
        now = passed.filtered, passed.filtered_root[passed.slot]
        before = passed.predicted, passed.predicted_root[passed.slot]
        if start is not None:
            now = with_start(*now, start.estimate, start.root)
            before = with_start(*before, later(start.estimate), later(start.root))
        held = now[0], now[1], before[0], before[1], increments.sum(0), increments
        return Records(GaussianFiltered, held, "means shared means shared each means")

    return each_group(model, y, inputs, do)


def smooth_gaussian(model: LinearGaussianSSM, y: Any, inputs: Any) -> Any:
    """`smooth` of a linear-Gaussian model."""

    def do(group: Group) -> Records:
        passed = run_filter(model, group)
        increments, start = gains(model, group, passed)
        back = run_smoother(model, group, passed)
        mean, root = back.smoothed, back.smoothed_root
        if start is not None:
            mean, root = with_start(mean, root, final(start.estimate), final(start.root))
        return Records(GaussianSmoothed, (mean, root, increments.sum(0)), "means shared each")

    return each_group(model, y, inputs, do)


def sample_gaussian(model: LinearGaussianSSM, y: Any, rng: np.random.Generator, draws: int, inputs: Any) -> Any:
    """`sample` of a linear-Gaussian model: $x^+ + E[x \\mid y] - E[x \\mid y^+]$ with $x^+, y^+$ from the model.

    Means are linear in the observations, so the difference $y - y^+$ is smoothed, all draws as columns of one pass;
    its mean at the start, and what inputs do, cancel.

    References:
        Durbin & Koopman (2002).
    """
    blank = replace(model, m0=np.zeros(model.n_components))

    def do(group: Group) -> Records:
        drawn = [_draw(model, blank, group, c, rng, draws) for c in range(len(group.members))]
        return Records(_Drawn, (np.stack(drawn, axis=-1),), "means")

    held = each_group(model, y, inputs, do)
    return held.paths if isinstance(held, _Drawn) else tuple(one.paths for one in held)


def _draw(
    model: LinearGaussianSSM, blank: LinearGaussianSSM, group: Group, c: int, rng: np.random.Generator, draws: int
) -> ndarray:
    """Paths float64[draws, T, n] of one sequence."""
    steps = len(group.y)
    states, seen = _walk(model, steps, rng, draws, group.drive[:, :, min(c, group.drive.shape[2] - 1)])
    gap = np.where(group.seen[:, :, None], group.y[:, :, c, None] - seen.transpose(1, 2, 0), 0.0)
    one = Group([], gap, group.seen, np.zeros((1, model.n_components, draws)), group.inputs)
    passed = run_filter(blank, one)
    _, start = gains(blank, one, passed)
    back = run_smoother(blank, one, passed)
    paths = states + back.smoothed[:, :, :draws].transpose(2, 0, 1)
    if start is not None:
        paths += (back.smoothed[:, :, draws:] @ start.estimate[-1]).transpose(2, 0, 1)
    return paths


def _walk(
    model: LinearGaussianSSM, steps: int, rng: np.random.Generator, number: int, drive: ndarray
) -> tuple[ndarray, ndarray]:
    """States and observations from the model, less what inputs do to the latter; diffuse components start at m0."""
    n, p = model.n_components, model.n_observed
    states, seen = np.empty((number, steps, n)), np.empty((number, steps, p))
    x = model.m0 + rng.standard_normal((number, n)) @ model.start_root.T
    for t in range(steps):
        states[:, t] = x
        noise = model.observation_root[min(t, len(model.observation_root) - 1)]
        seen[:, t] = x @ model.at("C", t).T + rng.standard_normal((number, p)) @ noise.T
        noise = model.process_root[min(t, len(model.process_root) - 1)]
        x = x @ model.at("A", t).T + rng.standard_normal((number, n)) @ noise.T + drive[min(t, len(drive) - 1)]
    return states, seen


def simulate_gaussian(
    model: LinearGaussianSSM, steps: int, rng: np.random.Generator, count: int | None, inputs: ndarray | None
) -> tuple[Float64[ndarray, "..."], Float64[ndarray, "..."]]:
    """`simulate` of a linear-Gaussian model."""
    model.check_steps(steps)
    if model.unknown.shape[1]:
        raise ValueError("a diffuse start has no distribution to draw from")
    given = _inputs(model, inputs, steps)
    drive = np.zeros((1, model.n_components))
    if given is not None and model.B is not None:
        drive = np.stack([model.at("B", t) @ given[t] for t in range(steps)])
    states, seen = _walk(model, steps, rng, count or 1, drive)
    if given is not None and model.D is not None:
        seen += np.stack([model.at("D", t) @ given[t] for t in range(steps)])
    return (states[0], seen[0]) if count is None else (states, seen)


def forecast_gaussian(model: LinearGaussianSSM, y: Any, steps: int, inputs: Any) -> GaussianForecast:
    """`forecast` of a linear-Gaussian model; inputs run on over the steps to come."""
    length = len(y)
    model.check_steps(length + steps)
    given = _inputs(model, inputs, length + steps)
    held = filter_gaussian(model, y, None if inputs is None else inputs[:length])
    if not isinstance(held, GaussianFiltered) or held.mean.ndim != 2:
        raise ValueError("forecast takes one sequence")
    x, root = held.mean[-1], held.root[-1]
    means, covariances, seen, spread = [], [], [], []
    for t in range(length, length + steps):
        noise = model.process_root[min(t - 1, len(model.process_root) - 1)]
        x = model.at("A", t - 1) @ x + _add(model, "B", given, t - 1)
        wide = np.concatenate([model.at("A", t - 1) @ root, noise], axis=1)
        root = np.asarray(np.linalg.qr(wide.T, mode="r")).T
        C = model.at("C", t)
        means.append(x)
        covariances.append(square(root))
        seen.append(C @ x + _add(model, "D", given, t))
        spread.append(square(C @ root) + model.at("R", t))
    return GaussianForecast(np.array(means), np.array(covariances), Moments(np.array(seen), np.array(spread)))


def _inputs(model: LinearGaussianSSM, inputs: ndarray | None, steps: int) -> ndarray | None:
    if (inputs is None) != (model.n_inputs == 0) or (inputs is not None and inputs.shape != (steps, model.n_inputs)):
        shape = None if inputs is None else list(inputs.shape)
        raise ValueError(f"inputs is {shape}, not {[steps, model.n_inputs]}")
    return inputs


def _add(model: LinearGaussianSSM, name: str, inputs: ndarray | None, t: int) -> Any:
    return 0.0 if inputs is None or getattr(model, name) is None else model.at(name, t) @ inputs[t]


class GaussianStream:
    """A linear-Gaussian model seen as it goes: constant memory; `online` makes one.

    Attributes:
        mean: filtered mean after the last step, float64[n]; before the first that of the start.
        root: root of its covariance, float64[n, n].
        log_likelihood: of all steps so far, in nats.
    """

    def __init__(self, model: LinearGaussianSSM) -> None:
        if model.unknown.shape[1]:
            raise ValueError("a stream needs a start that is not diffuse")
        self._model = model
        self._steps = 0
        self._input: ndarray | None = None
        self.mean, self.root, self.log_likelihood = model.m0, model.start_root, 0.0

    def step(self, y: Float64[ndarray, "_"], u: Float64[ndarray, "_"] | None = None) -> tuple[ndarray, float]:
        r"""One observation more.

        Args:
            y: float64[p], NaN where missing.
            u: the input $u_t$, float64[m], if the model has inputs.

        Returns:
            Filtered mean, float64[n], and $\\log p(y_t \\mid y_{0:t-1})$.
        """
        model, t = self._model, self._steps
        model.check_steps(t + 1)
        inputs = None if u is None else u[None]
        one = _slice(model, t, self.mean, self.root)
        if t:
            one = _slice(model, t - 1, self.mean, self.root, t)
            blank = np.full((1, model.n_observed), np.nan)
            held = np.concatenate([blank, y[None]])
            inputs = None if u is None or self._input is None else np.stack([self._input, u])
        else:
            held = y[None]
        got = filter_gaussian(one, held, inputs)
        self.mean, self.root, self._input = got.mean[-1], got.root[-1], u
        gained = float(got.increments[-1])
        self.log_likelihood += gained
        self._steps += 1
        return self.mean, gained


def _slice(
    model: LinearGaussianSSM, t: int, mean: ndarray, root: ndarray, then: int | None = None
) -> LinearGaussianSSM:
    """The model of one step, or of two, from what is known."""
    window = slice(t, (t if then is None else then) + 1)
    held = {name: getattr(model, name) for name in ("A", "B", "C", "D", "Q", "R")}
    parts = {name: value[window] if value is not None and value.ndim == 3 else value for name, value in held.items()}
    one = LinearGaussianSSM(**parts, m0=mean, P0=np.zeros_like(root))
    for name, roots in (("process_root", model.process_root), ("observation_root", model.observation_root)):
        one.__dict__[name] = roots if len(roots) == 1 else roots[window]
    one.__dict__["start_root"] = np.ascontiguousarray(root)
    return one
