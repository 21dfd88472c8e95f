"""Densities of observations and their weighted moments, compiled.

Gaussians take `_LANES` steps at a time: what is the same in all of them is a number, and what differs lies side by
side, so that vectors come of it however few states and components there are. Lanes past the last step count for
nothing.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit

_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
_LANES = 64


@_compiled
@typing.no_type_check
def _sum(x):
    """In no order, unlike the method, and so by vectors."""
    total = 0.0
    for b in range(len(x)):
        total += x[b]
    return total


@_compiled
@typing.no_type_check
def inner(x, y):
    """The sum of products; in no order."""
    total = 0.0
    for b in range(len(x)):
        total += x[b] * y[b]
    return total


@_compiled
@typing.no_type_check
def _turn(rows, lanes):
    """Up to `_LANES` rows of float64[T, d] as columns; zeros past them."""
    if len(rows) < _LANES:
        lanes[:] = 0.0
    for i in range(rows.shape[1]):
        lane = lanes[i]
        for b in range(len(rows)):
            lane[b] = rows[b, i]


@_compiled
@typing.no_type_check
def log_density(y, mean, root, out):
    """Gaussian log p(y_t | s), float64[T, K], from roots of the covariances."""
    steps, d = y.shape
    K = len(mean)
    seen, z, total = np.empty((d, _LANES)), np.empty((d, _LANES)), np.empty(_LANES)
    constant = np.full(K, 0.5 * d * np.log(2 * np.pi))
    for s in range(K):
        for i in range(d):
            constant[s] += np.log(root[s, i, i])
    for first in range(0, steps, _LANES):
        part = out[first : first + _LANES]
        _turn(y[first : first + _LANES], seen)
        for s in range(K):
            total[:] = constant[s]
            for i in range(d):
                center, unit = mean[s, i], 1.0 / root[s, i, i]
                for b in range(_LANES):
                    z[i, b] = seen[i, b] - center
                for j in range(i):
                    slope = root[s, i, j]
                    for b in range(_LANES):
                        z[i, b] -= slope * z[j, b]
                for b in range(_LANES):
                    z[i, b] *= unit
                    total[b] += 0.5 * z[i, b] * z[i, b]
            for b in range(len(part)):
                part[b, s] = -total[b]


@_compiled
@typing.no_type_check
def weighted_moments(y, weight, total, mean, covariance, overall):
    """Sums of weights float64[T, K]; means and covariances about these of float64[T, d] so weighted; plain variances.

    A component that is ever NaN has the variance NaN, and then nothing else is of use.
    """
    steps, d = y.shape
    K = len(total)
    seen, w, gap = np.empty((d, _LANES)), np.empty((K, _LANES)), np.empty((d, _LANES))
    center = np.zeros(d)
    total[:], mean[:], covariance[:], overall[:] = 0.0, 0.0, 0.0, 0.0
    for first in range(0, steps, _LANES):
        _turn(y[first : first + _LANES], seen)
        _turn(weight[first : first + _LANES], w)
        for i in range(d):
            center[i] += _sum(seen[i])
        for s in range(K):
            total[s] += _sum(w[s])
            for i in range(d):
                mean[s, i] += inner(w[s], seen[i])
    center /= steps
    for s in range(K):
        for i in range(d):
            mean[s, i] /= total[s]
    for first in range(0, steps, _LANES):
        count = min(_LANES, steps - first)
        _turn(y[first : first + _LANES], seen)
        _turn(weight[first : first + _LANES], w)
        for i in range(d):
            for b in range(count):
                gap[i, b] = seen[i, b] - center[i]
            overall[i] += inner(gap[i, :count], gap[i, :count])
        for s in range(K):
            for i in range(d):
                for b in range(_LANES):
                    gap[i, b] = seen[i, b] - mean[s, i]
                for j in range(i + 1):
                    part = 0.0
                    for b in range(_LANES):
                        part += w[s, b] * gap[i, b] * gap[j, b]
                    covariance[s, i, j] += part
    overall /= steps
    for s in range(K):
        for i in range(d):
            for j in range(i + 1):
                covariance[s, i, j] /= total[s]
                covariance[s, j, i] = covariance[s, i, j]


@_compiled
@typing.no_type_check
def cholesky(covariance, less, root):
    """Lower roots of float64[K, d, d], less so much on each diagonal; False if one has none, or is not symmetric.

    As numpy.linalg.cholesky, without what that costs a small matrix.
    """
    K, d = covariance.shape[:2]
    for s in range(K):
        for i in range(d):
            for j in range(i + 1):
                if covariance[s, i, j] != covariance[s, j, i]:
                    return False
                rest = covariance[s, i, j]
                for k in range(j):
                    rest -= root[s, i, k] * root[s, j, k]
                if j < i:
                    root[s, i, j] = rest / root[s, j, j]
                    root[s, j, i] = 0.0
                elif 0.0 < rest - less[i] < np.inf:
                    root[s, i, i] = np.sqrt(rest - less[i])
                else:
                    return False
    return True


@_compiled
@typing.no_type_check
def are_distributions(rows, tolerance):
    """Whether no entry is negative and all rows sum to 1; of NaN neither is true."""
    for s in range(len(rows)):
        total = 0.0
        for p in rows[s]:
            if not p >= 0.0:
                return False
            total += p
        if not abs(total - 1.0) <= tolerance:
            return False
    return True
