"""Filter and smoother of linear-Gaussian models in covariance form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace import _covariance_kernels as kernels
from suasion.statespace._gaussian import LinearGaussianSSM, timed
from suasion.statespace._kalman import Group, groups
from suasion.statespace._sequences import put_together


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
    form, count, held = groups(model, y, inputs)
    results: list[Any] = [None] * count
    for group in held:
        for q, result in zip(group.members, _run(model, group, smooth), strict=True):
            results[q] = result
    return put_together(form, results)


def _run(model: LinearGaussianSSM, group: Group, smooth: bool) -> list[Any]:
    steps, p, q = group.y.shape
    n = model.n_components
    A, C = timed(model.A), timed(model.C)
    mean = np.repeat(model.m0[:, None], q, axis=1)
    predicted, filtered, smoothed = np.empty((3, steps, n, q))
    before, after, covariance = np.empty((3, steps, n, n))
    error, logs, weight = np.zeros((steps, p, q)), np.zeros((steps, q)), np.zeros((steps, p, n))
    fixed = A, C, timed(model.Q), timed(model.R), np.ascontiguousarray(model.P0), mean, group.drive
    out = predicted, before, filtered, after, error, logs, weight
    failed = kernels.filter_covariances(*fixed, group.y, group.seen, *out)
    if failed >= 0:
        raise ValueError(f"at step {failed} the innovation's covariance is not positive definite")
    totals = logs.sum(0)
    if not smooth:
        return [
            CovarianceFiltered(filtered[..., c], after, predicted[..., c], before, totals[c], logs[:, c])
            for c in range(q)
        ]
    kernels.smooth_covariances(A, C, group.seen, predicted, before, error, weight, smoothed, covariance)
    return [CovarianceSmoothed(smoothed[..., c], covariance, totals[c]) for c in range(q)]
