r"""The smoother by two filters, compiled: what the past says of a state, times what the future says.

The future's word on $x_t$ is $\exp(-\frac12 \lVert U^T x_t - z \rVert^2)$, carried backwards by reflections only:
nothing is inverted that can be singular, and nothing grows that does not grow in truth. (The RTS gain is
$A^{-1}$ where Q is 0, and then loses a stable system's past.) It needs an R that can be inverted. With the filtered
$x_t = m + S w$, $w \sim N(0, I)$, the smoothed root is $S K^{-1}$ with $K^T K = I + S^T U U^T S$: K is at least I.

Large rows come first in each array, which keeps Householder's reflections accurate row by row.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit

from suasion.statespace._gaussian_kernels import triangularise

_compiled = njit(cache=True, nogil=True)


@_compiled
@typing.no_type_check
def smooth_information(A, C, Q, R, drive, y, seen, filtered, filtered_root, smoothed, smoothed_root, future):
    """Fills smoothed means and roots, and `future[t]`: rows of U^T, those of y_t included, float64[T, n + p, n]."""
    T, n, q = filtered.shape
    p = y.shape[1]
    noise = Q.shape[2]
    rows, z = np.zeros((n + p, n)), np.zeros((n + p, q))  # U^T and z
    pivot, nothing = np.empty(n + p + noise, np.int64), np.zeros(n + p + noise)
    both, before = np.empty((n + q, 2 * n)), np.empty((noise + n + q, n + p + noise))
    whiten = np.empty((p, R.shape[2]))
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            held = Q[min(t, len(Q) - 1)]
            _earlier(A[min(t, len(A) - 1)], held, drive[min(t, len(drive) - 1)], rows, z, before, pivot, nothing)
        _combine(rows, z, filtered[t], filtered_root[t], smoothed[t], smoothed_root[t], both, pivot, nothing)
        _observe(C[min(t, len(C) - 1)], R[min(t, len(R) - 1)], y[t], seen[t], rows, z, whiten, pivot, nothing)
        future[t] = rows


@_compiled
@typing.no_type_check
def _combine(rows, z, mean, root, smoothed, smoothed_root, M, pivot, nothing):
    """The smoothed state from the filtered one and the future's word."""
    n, q = mean.shape
    M[:] = 0.0
    for i in range(n):
        for k in range(n):
            total = 0.0
            for j in range(n):
                total += root[j, i] * rows[k, j]
            M[i, k] = total
        M[i, n + i] = 1.0
    for s in range(q):
        for k in range(n):
            total = z[k, s]
            for j in range(n):
                total -= rows[k, j] * mean[j, s]
            M[n + s, k] = total
    triangularise(M, 0, n, 0, n + q, 2 * n, nothing, pivot)
    for s in range(q):
        for i in range(n - 1, -1, -1):
            for k in range(i + 1, n):
                M[n + s, i] -= M[k, i] * M[n + s, k]
            M[n + s, i] /= M[i, i]
        for i in range(n):
            total = mean[i, s]
            for j in range(n):
                total += root[i, j] * M[n + s, j]
            smoothed[i, s] = total
    for i in range(n):
        for j in range(n):
            total = root[i, j]
            for k in range(j):
                total -= smoothed_root[i, k] * M[j, k]
            smoothed_root[i, j] = total / M[j, j]
    triangularise(smoothed_root, 0, n, 0, n, n, nothing, pivot)


@_compiled
@typing.no_type_check
def _observe(C, R, y, seen, rows, z, noise, pivot, nothing):
    """Rows from n on: what is observed, in units of its noise."""
    p, n = C.shape
    q = y.shape[1]
    rows[n:] = 0.0
    z[n:] = 0.0
    count = 0
    for i in range(p):
        if seen[i]:
            noise[count] = R[i]
            rows[n + count] = C[i]
            z[n + count] = y[i]
            count += 1
    triangularise(noise, 0, count, 0, count, R.shape[1], nothing, pivot)
    for i in range(count):
        unit = 1.0 / noise[i, i]
        for k in range(i):
            for j in range(n):
                rows[n + i, j] -= noise[i, k] * rows[n + k, j]
            for s in range(q):
                z[n + i, s] -= noise[i, k] * z[n + k, s]
        for j in range(n):
            rows[n + i, j] *= unit
        for s in range(q):
            z[n + i, s] *= unit


@_compiled
@typing.no_type_check
def _earlier(A, L, drive, rows, z, M, pivot, nothing):
    """From a word on x_{t+1} to one on x_t: x_{t+1} = A x_t + drive + L xi, and xi is eliminated."""
    height, n = rows.shape
    noise, q = L.shape[1], z.shape[1]
    M[:] = 0.0
    for k in range(height):
        for i in range(noise):
            for j in range(n):
                M[i, k] += L[j, i] * rows[k, j]
        for i in range(n):
            for j in range(n):
                M[noise + i, k] += A[j, i] * rows[k, j]
        for s in range(q):
            M[noise + n + s, k] = z[k, s]
            for j in range(n):
                M[noise + n + s, k] -= rows[k, j] * drive[j, s]
    for i in range(noise):
        M[i, height + i] = 1.0
    triangularise(M, 0, noise, 0, noise + n + q, height + noise, nothing, pivot)
    triangularise(M, noise, n, noise, noise + n + q, height + noise, nothing, pivot)
    rows[:] = 0.0
    z[:] = 0.0
    for k in range(n):
        for j in range(n):
            rows[k, j] = M[noise + j, noise + k]
        for s in range(q):
            z[k, s] = M[noise + n + s, noise + k]
