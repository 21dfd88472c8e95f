"""Filter and smoother of linear-Gaussian models in covariance form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace import _covariance_kernels as kernels
from suasion.statespace._gaussian import LinearGaussianSSM, timed
from suasion.statespace._gaussian_kernels import filter_means
from suasion.statespace._kalman import Group, Records, each_group, log_density


class CovarianceFiltered(NamedTuple):
    r"""As `GaussianFiltered`, with covariances instead of roots.

    Attributes:
        mean: $E[x_t \mid y_{0:t}]$, float64[T, n].
        covariance: its covariance, float64[T, n, n].
        predicted_mean: $E[x_t \mid y_{0:t-1}]$, float64[T, n].
        predicted_covariance: its covariance, float64[T, n, n].
        log_likelihood: in nats.
        increments: $\log p(y_t \mid y_{0:t-1})$, float64[T].
    """

    mean: ndarray
    covariance: ndarray
    predicted_mean: ndarray
    predicted_covariance: ndarray
    log_likelihood: Any
    increments: ndarray


class CovarianceSmoothed(NamedTuple):
    """As `GaussianSmoothed`, with covariances instead of roots.

    Attributes:
        mean: float64[T, n].
        covariance: float64[T, n, n]; a difference: ill-conditioned models can make it indefinite.
        log_likelihood: in nats.
    """

    mean: ndarray
    covariance: ndarray
    log_likelihood: Any


def filter_covariance(model: LinearGaussianSSM, y: Any, inputs: Any, smooth: bool) -> Any:
    """`filter`, or `smooth`, in covariance form."""
    if model.unknown.shape[1]:
        raise ValueError("the covariance form needs a start that is not diffuse")
    return each_group(model, y, inputs, lambda group: _run(model, group, smooth))


def _run(model: LinearGaussianSSM, group: Group, smooth: bool, *, freeze: bool = True) -> Records:
    steps, p, q = group.y.shape
    n = model.n_components
    freeze = freeze and model.constant
    A, C = timed(model.A), timed(model.C)
    mean = np.repeat(model.m0[:, None], q, axis=1)
    slot = np.empty(steps, np.int64)
    before, after = np.empty((2, steps, n, n))
    gain, inverse, logs = np.empty((steps, n, p)), np.empty((steps, p, p)), np.empty(steps)
    fixed = A, C, timed(model.Q), timed(model.R), np.ascontiguousarray(model.P0)
    failed, _ = kernels.covariance_path(*fixed, group.seen, freeze, before, after, gain, inverse, logs, slot)
    if failed >= 0:
        raise ValueError(f"at step {failed} the innovation's covariance is not positive definite")
    predicted, filtered, error = np.empty((steps, n, q)), np.empty((steps, n, q)), np.empty((steps, p, q))
    alone = q == 1
    filter_means(alone)(A, C, gain, inverse, slot, mean, group.drive, group.y, predicted, filtered, error)
    increments = log_density(group, logs[slot], error)
    if not smooth:
        held = filtered, after[slot], predicted, before[slot], increments.sum(0), increments
        return Records(CovarianceFiltered, held, "means shared means shared each means")
    back, (behind, ahead, N) = np.empty(steps, np.int64), np.empty((3, steps, n, n))
    look, (r, r_ahead, smoothed) = np.empty((steps, p, n)), np.empty((3, steps, n, q))
    covariance = np.empty((steps, n, n))
    kernels.back_path(A, C, gain, inverse, group.seen, slot, freeze, behind, ahead, N, look, back)
    kernels.back_means(alone)(A, gain, look, slot, back, error, r_ahead, r)
    kernels.back_states(alone)(before, N, slot, back, predicted, r, smoothed, covariance)
    return Records(CovarianceSmoothed, (smoothed, covariance, increments.sum(0)), "means shared each")
