"""The verbs, of nonlinear models, besides `filter` and `smooth`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.statespace._checks import check_shape
from suasion.statespace._emission import Moments
from suasion.statespace._kalman_verbs import GaussianForecast, square
from suasion.statespace._nonlinear import NonlinearSSM, entry
from suasion.statespace._nonlinear_filter import Method, look_at, move_on, run_filter, update


def simulate_nonlinear(
    model: NonlinearSSM, steps: int, rng: np.random.Generator, count: int | None, inputs: ndarray | None
) -> tuple[Float64[ndarray, "..."], Float64[ndarray, "..."]]:
    """`simulate` of a nonlinear model."""
    model.check_steps(steps)
    _check_inputs(inputs, steps)
    n, p, number = model.n_components, model.n_observed, count or 1
    states, seen = np.empty((number, steps, n)), np.empty((number, steps, p))
    x = model.m0[:, None] + model.start_root @ rng.standard_normal((n, number))
    for t in range(steps):
        u = None if inputs is None else inputs[t]
        if t:
            before = None if inputs is None else inputs[t - 1]
            noise = entry(model.process_root, t - 1) @ rng.standard_normal((n, number))
            x = model.evaluate("transition", x, before, t - 1) + noise
        noise = entry(model.observation_root, t) @ rng.standard_normal((p, number))
        states[:, t], seen[:, t] = x.T, (model.evaluate("observation", x, u, t) + noise).T
    return (states[0], seen[0]) if count is None else (states, seen)


def forecast_nonlinear(
    model: NonlinearSSM, y: ndarray, steps: int, method: Method, inputs: ndarray | None
) -> GaussianForecast:
    """`forecast` of a nonlinear model: a filter that runs on without observations; inputs run on as well."""
    if y.ndim == 1 and model.n_observed == 1:
        y = y[:, None]
    check_shape("y", y, (len(y), model.n_observed))
    length = len(y)
    _check_inputs(inputs, length + steps)
    model.check_steps(length + steps)
    blank = np.full((steps, model.n_observed), np.nan)
    held = run_filter(model, np.concatenate([y, blank]), method, inputs).filtered
    mean, covariance = held.mean[length:], held.covariance[length:]
    looks = [look_at(model, method, held.mean[t], held.root[t], inputs, t) for t in range(length, length + steps)]
    spread = [square(wide) for _, wide in looks]
    return GaussianForecast(mean, covariance, Moments(np.array([m for m, _ in looks]), np.array(spread)))


def _check_inputs(inputs: ndarray | None, steps: int) -> None:
    if inputs is not None and len(inputs) != steps:
        raise ValueError(f"inputs have length {len(inputs)}, and there are {steps} steps")


class NonlinearStream:
    """A nonlinear model seen as it goes: constant memory; `online` makes one.

    Attributes:
        mean: filtered mean after the last step, float64[n]; before the first that of the start.
        root: root of its covariance, float64[n, n].
        log_likelihood: of all steps so far, in nats.
    """

    def __init__(self, model: NonlinearSSM, method: Method) -> None:
        self._model, self._method = model, method
        self._steps = 0
        self._input: Any = None
        self.mean, self.root, self.log_likelihood = model.m0.copy(), model.start_root.copy(), 0.0

    def step(self, y: Float64[ndarray, "_"], u: Any = None) -> tuple[ndarray, float]:
        r"""One observation more.

        Args:
            y: float64[p], NaN where missing.
            u: the input $u_t$, if f and h take one.

        Returns:
            Filtered mean, float64[n], and $\log p(y_t \mid y_{0:t-1})$ of the approximation.
        """
        model, t = self._model, self._steps
        check_shape("y", y, (model.n_observed,))
        model.check_steps(t + 1)
        mean, root = self.mean.copy(), self.root.copy()
        if t:
            mean, root, _ = move_on(model, self._method, mean, root, self._input, t - 1)
        gained, _ = update(model, self._method, y, mean, root, u, t)
        self.mean, self.root, self._input = mean, root, u
        self.log_likelihood += gained
        self._steps += 1
        return mean, gained
