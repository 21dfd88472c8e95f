r"""The smoother by two filters, compiled: what the past says of a state, times what the future says.

The future's word on $x_t$ is $\exp(-\frac12 \lVert U^T x_t - z \rVert^2)$, carried backwards by reflections only:
nothing is inverted that can be singular, and nothing grows that does not grow in truth. (The RTS gain is
$A^{-1}$ where Q is 0, and then loses a stable system's past.) It needs an R that can be inverted. With the filtered
$x_t = m + S w$, $w \sim N(0, I)$, the smoothed root is $S K^{-1}$ with $K^T K = I + S^T U U^T S$: K is at least I.

U, and what reflections do to z, do not depend on observations: `future_path` computes them, once where they repeat, and
`smooth_means` carries z. Large rows come first in each array, which keeps Householder's reflections accurate row
by row.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit

from suasion.statespace._gaussian_kernels import equal, equal_matrices, invert_seen, triangularise

_compiled = njit(cache=True, nogil=True)


@_compiled
@typing.no_type_check
def future_path(A, C, Q, R, seen, filtered, place, freeze, future, carry, gain, smoothed, whiten, slot):
    """The smoother's covariances; step t is entry `slot[t]`, as in `root_path`, whose entries `place` tells.

    `future` is U^T, float64[entries, n + p, n], rows of y_t included; `carry` takes z of the step after to z of this
    one; `gain` takes z - U^T m to the correction of the mean; `smoothed` is a root; `whiten` inverts the noise's root.
    """
    T, p = seen.shape
    n, noise = A.shape[1], Q.shape[2]
    rows = np.zeros((n + p, n))
    pivot, nothing = np.empty(n + p + noise, np.int64), np.zeros(n + p + noise)
    both, before = np.empty((2 * n, 2 * n)), np.empty((noise + 2 * n + p, n + p + noise))
    root, loose = np.empty((p, R.shape[2])), np.zeros((n + p, n))
    last = T - 1
    count, anchor, window, t = 0, last, 0, last
    while t >= 0:
        if t < last:
            if freeze and anchor < last and equal(seen[t], seen[t + 1]):
                if place[t] == place[anchor] and equal_matrices(rows, future[slot[anchor + 1]]):
                    period = anchor - t
                    while t >= 0 and place[t] == place[t + period] and equal(seen[t], seen[t + period]):
                        slot[t] = slot[t + period]
                        t -= 1
                    if t < 0:
                        break
                    anchor, window = t, 0
                    rows[:] = future[slot[t + 1]]
                elif anchor - t > window:  # Brent: the step compared with moves on, and waits twice as long
                    anchor, window = t, 2 * (anchor - t)
            else:
                anchor, window = t, 0
            _earlier(A[min(t, len(A) - 1)], Q[min(t, len(Q) - 1)], rows, loose, before, pivot, nothing)
        slot[t] = count
        carry[count] = loose
        _combine(rows, filtered[place[t]], gain[count], smoothed[count], both, pivot, nothing)
        _observe(C[min(t, len(C) - 1)], R[min(t, len(R) - 1)], seen[t], rows, root, whiten[count], pivot, nothing)
        future[count] = rows
        count += 1
        t -= 1
    return count


@_compiled
@typing.no_type_check
def smooth_means(drive, y, mean, slot, future, carry, gain, whiten, smoothed):
    """The smoother's means, with its covariances at hand; `mean` is the filter's."""
    T, n, q = mean.shape
    p = y.shape[1]
    z, gap, after = np.zeros((n + p, q)), np.empty((n, q)), np.empty((n + p, q))
    for t in range(T - 1, -1, -1):
        U = future[slot[t]]
        if t < T - 1:
            b, W, E = drive[min(t, len(drive) - 1)], future[slot[t + 1]], carry[slot[t]]
            for k in range(n + p):
                for s in range(q):
                    after[k, s] = z[k, s]
                for j in range(n):
                    for s in range(q):
                        after[k, s] -= W[k, j] * b[j, s]
            for i in range(n):
                for s in range(q):
                    z[i, s] = 0.0
                for k in range(n + p):
                    for s in range(q):
                        z[i, s] += E[k, i] * after[k, s]
        for i in range(n):
            for s in range(q):
                gap[i, s] = z[i, s]
            for j in range(n):
                for s in range(q):
                    gap[i, s] -= U[i, j] * mean[t, j, s]
        for i in range(n):
            for s in range(q):
                smoothed[t, i, s] = mean[t, i, s]
            for j in range(n):
                for s in range(q):
                    smoothed[t, i, s] += gain[slot[t], i, j] * gap[j, s]
        for i in range(p):
            for s in range(q):
                z[n + i, s] = 0.0
            for k in range(i + 1):
                for s in range(q):
                    z[n + i, s] += whiten[slot[t], i, k] * y[t, k, s]


@_compiled
@typing.no_type_check
def _combine(rows, root, gain, smoothed, M, pivot, nothing):
    """The smoothed root and the gain, from the filtered root and the future's word."""
    n = len(root)
    M[:] = 0.0
    for i in range(n):
        for k in range(n):
            total = 0.0
            for j in range(n):
                total += root[j, i] * rows[k, j]
            M[i, k] = total
        M[i, n + i] = 1.0
        M[n + i, i] = 1.0
    triangularise(M, 0, n, 0, 2 * n, 2 * n, nothing, pivot)
    for s in range(n):
        for i in range(n - 1, -1, -1):
            for k in range(i + 1, n):
                M[n + s, i] -= M[k, i] * M[n + s, k]
            M[n + s, i] /= M[i, i]
        for i in range(n):
            total = 0.0
            for j in range(n):
                total += root[i, j] * M[n + s, j]
            gain[i, s] = total
    for i in range(n):
        for j in range(n):
            total = root[i, j]
            for k in range(j):
                total -= smoothed[i, k] * M[j, k]
            smoothed[i, j] = total / M[j, j]
    triangularise(smoothed, 0, n, 0, n, n, nothing, pivot)


@_compiled
@typing.no_type_check
def _observe(C, R, seen, rows, root, whiten, pivot, nothing):
    """Rows from n on: what is observed, in units of its noise; 0 where nothing is."""
    p, n = C.shape
    rows[n:] = 0.0
    whiten[:] = 0.0
    count = 0
    for i in range(p):
        if seen[i]:
            root[count] = R[i]
            count += 1
    triangularise(root, 0, count, 0, count, R.shape[1], nothing, pivot)
    invert_seen(root, seen, whiten)
    for i in range(p):
        for k in range(i + 1):
            for j in range(n):
                rows[n + i, j] += whiten[i, k] * C[k, j]


@_compiled
@typing.no_type_check
def _earlier(A, L, rows, carry, M, pivot, nothing):
    """From a word on x_{t+1} to one on x_t: x_{t+1} = A x_t + drive + L xi, and xi is eliminated.

    `carry` becomes the columns of the reflections that take z along.
    """
    height, n = rows.shape
    noise = L.shape[1]
    M[:] = 0.0
    for k in range(height):
        for i in range(noise):
            for j in range(n):
                M[i, k] += L[j, i] * rows[k, j]
        for i in range(n):
            for j in range(n):
                M[noise + i, k] += A[j, i] * rows[k, j]
        M[noise + n + k, k] = 1.0
    for i in range(noise):
        M[i, height + i] = 1.0
    triangularise(M, 0, noise, 0, noise + n + height, height + noise, nothing, pivot)
    triangularise(M, noise, n, noise, noise + n + height, height + noise, nothing, pivot)
    rows[:] = 0.0
    for k in range(n):
        for j in range(n):
            rows[k, j] = M[noise + j, noise + k]
        for h in range(height):
            carry[h, k] = M[noise + n + h, noise + k]
