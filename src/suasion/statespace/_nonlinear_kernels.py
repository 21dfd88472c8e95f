"""One step of a filter or smoother whose joint covariances are given by roots, compiled.

Rows of what is seen next, or of the next state, stand above rows of the state: `M M'` is their joint covariance.
Triangularised from the right, the upper block is the root of what is above, the lower left block the gain in its units,
and the lower right block the root of the state given what is above. No covariance is ever subtracted.
"""

from __future__ import annotations

import math
import typing

import numpy as np
from numba import njit

from suasion.statespace._gaussian_kernels import solve_gain, triangularise

_compiled = njit(cache=True, nogil=True)


@_compiled
@typing.no_type_check
def predict_root(M, scale, root):
    """Root of the next state, from M = [what was known, noise]."""
    n, width = M.shape
    pivot = np.empty(n, np.int64)
    triangularise(M, 0, n, 0, n, width, scale, pivot)
    root[:] = M[:, :n]


@_compiled
@typing.no_type_check
def update(M, count, scale, error, mean, root):
    """Mean and root given `count` observations that are off by `error`; gives their log-density, NaN if none.

    `error` is left in units of standard deviations.
    """
    height, width = M.shape
    n = height - count
    pivot = np.empty(height, np.int64)
    if triangularise(M, 0, count, 0, height, width, scale[:count], pivot) < count:
        return np.nan
    total = -0.5 * count * math.log(2 * math.pi)
    for i in range(count):
        for j in range(i):
            error[i] -= M[i, j] * error[j]
        error[i] /= M[i, i]
        total -= 0.5 * error[i] * error[i] + math.log(M[i, i])
        for j in range(n):
            mean[j] += M[count + j, i] * error[i]
    triangularise(M, count, n, count, height, width, scale[count:], pivot)
    root[:] = M[count:, count : count + n]
    return total


@_compiled
@typing.no_type_check
def regress(M, scale, slope):
    """G with G S = V, from M = [S, V] one above the other; 0 in directions in which nothing is unknown."""
    n = M.shape[1]
    pivot = np.empty(n, np.int64)
    triangularise(M, 0, n, 0, len(M), n, scale, pivot)
    solve_gain(M, n, pivot, slope)
