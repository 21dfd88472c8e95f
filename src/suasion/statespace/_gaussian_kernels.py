r"""Kalman filter and RTS smoother, compiled: square-root form and covariance form.

All roots are lower echelon: $P = S S^T$, made by Householder reflections from the right,
`triangularise`. A row that depends on the rows above it, up to rounding, gets no pivot of its own: so singular noise
and known states need no special case, and the gain of the smoother is a generalised inverse.

Means are matrices float64[n, q]: q sequences that share the model and the pattern of what is missing share one pass of
covariances. Arrays that may change with time have a first axis of 1 or of the length.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit

_compiled = njit(cache=True, nogil=True)
_EPS = 2.220446049250313e-16


@_compiled
@typing.no_type_check
def triangularise(M, top, rows, left, height, width, scale, pivot):
    """Reflect M[top:height, left:width] from the right until its first rows are lower echelon; gives the rank.

    `scale` is the size of what each row was computed from: what is left of a row below its rounding counts as nothing.
    `pivot[i]` is the column of row i within the block, or -1.
    """
    column = left
    for i in range(top, top + rows):
        pivot[i - top] = -1
        largest = 0.0
        for k in range(column, width):
            largest = max(largest, abs(M[i, k]))
        if largest == 0.0 or column == width:
            continue
        unit, total = 1.0 / largest, 0.0
        if unit == np.inf:  # a denormal
            unit, largest = 1.0, 1.0
        for k in range(column, width):
            total += (M[i, k] * unit) ** 2
        size = largest * np.sqrt(total)
        if size <= 8 * (width - left) * _EPS * scale[i - top]:
            for k in range(column, width):
                M[i, k] = 0.0
            continue
        if column < width - 1:
            sign = 1.0 if M[i, column] > 0 else -1.0
            for k in range(column, width):
                M[i, k] /= size
            share = 1.0 / (1.0 + abs(M[i, column]))
            M[i, column] += sign
            for r in range(i + 1, height):
                dot = 0.0
                for k in range(column, width):
                    dot += M[i, k] * M[r, k]
                dot *= share
                for k in range(column, width):
                    M[r, k] -= dot * M[i, k]
            M[i, column] = -sign * size
            for k in range(column + 1, width):
                M[i, k] = 0.0
        if M[i, column] < 0:
            for r in range(i, height):
                M[r, column] = -M[r, column]
        pivot[i - top] = column - left
        column += 1
    return column - left


@_compiled
@typing.no_type_check
def _product(A, S, first, last, M, row, column, scale):
    """M[row:, column:] = A[first:last] S, and to `scale` the size of what was added up."""
    inner = A.shape[1]
    for i in range(last - first):
        size = 0.0
        for j in range(S.shape[1]):
            total = 0.0
            for k in range(inner):
                term = A[first + i, k] * S[k, j]
                total += term
                size = max(size, abs(term))
            M[row + i, column + j] = total
        scale[row + i] += size


@_compiled
@typing.no_type_check
def filter_roots(
    A, C, Q, R, root, mean, drive, y, seen, predicted, predicted_root, filtered, filtered_root, error, logs
):
    """Kalman filter in square-root form; Q and R are roots. Gives the first step with a singular innovation, or -1."""
    T, p, _ = y.shape
    n = len(mean)
    noise, extra = Q.shape[2], R.shape[2]
    m, S = mean.copy(), root.copy()
    pivot, scale = np.empty(n + p, np.int64), np.zeros(n + p)
    move, look = np.empty((n, n + noise)), np.empty((p + n, extra + n))
    for t in range(T):
        if t > 0:
            a = A[min(t - 1, len(A) - 1)]
            predict_mean(a, filtered[t - 1], drive[min(t - 1, len(drive) - 1)], m)
            move_roots(a, Q[min(t - 1, len(Q) - 1)], filtered_root[t - 1], move, scale)
            triangularise(move, 0, n, 0, n, n + noise, scale, pivot)
            S[:] = move[:, :n]
        predicted[t], predicted_root[t] = m, S
        c, r = C[min(t, len(C) - 1)], R[min(t, len(R) - 1)]
        count = 0
        for i in range(p):
            count += seen[t, i]
        if count == 0:
            filtered[t], filtered_root[t] = m, S
            continue
        height, width = count + n, extra + n
        _look(c, r, S, seen[t], look, scale)
        if triangularise(look, 0, count, 0, height, width, scale, pivot) < count:
            return t
        _update_mean(look, c, seen[t], count, m, y[t], error[t], filtered[t], logs, t)
        for i in range(n):
            scale[i] = 0.0
            for j in range(n):
                scale[i] = max(scale[i], abs(S[i, j]))
        triangularise(look, count, n, count, height, width, scale, pivot)
        for i in range(n):
            for j in range(n):
                filtered_root[t, i, j] = look[count + i, count + j] if count + j < width else 0.0
    return -1


@_compiled
@typing.no_type_check
def move_roots(A, L, S, M, scale):
    """M[:n] = [A S, L], and the size of each row's terms."""
    n = len(A)
    for i in range(n):
        scale[i] = 0.0
    _product(A, S, 0, n, M, 0, 0, scale)
    for i in range(n):
        for k in range(L.shape[1]):
            M[i, n + k] = L[i, k]
            scale[i] = max(scale[i], abs(L[i, k]))


@_compiled
@typing.no_type_check
def _look(C, R, S, seen, M, scale):
    """M = [[R, C S], [0, S]], rows of what is not seen left out."""
    n, extra, row = len(S), R.shape[1], 0
    for i in range(len(seen)):
        if seen[i]:
            scale[row] = 0.0
            _product(C, S, i, i + 1, M, row, extra, scale)
            for k in range(extra):
                M[row, k] = R[i, k]
                scale[row] = max(scale[row], abs(R[i, k]))
            row += 1
    for i in range(n):
        for k in range(extra):
            M[row + i, k] = 0.0
        for k in range(n):
            M[row + i, extra + k] = S[i, k]


@_compiled
@typing.no_type_check
def predict_mean(a, before, drive, after):
    """a before + drive."""
    for i in range(len(a)):
        for c in range(before.shape[1]):
            after[i, c] = drive[i, c]
        for j in range(len(a)):
            for c in range(before.shape[1]):
                after[i, c] += a[i, j] * before[j, c]


@_compiled
@typing.no_type_check
def _update_mean(M, c, seen, count, m, y, error, filtered, logs, t):
    """Innovations in units of their standard deviations, and the mean that they make."""
    filtered[:] = m
    row = 0
    for i in range(len(seen)):
        if not seen[i]:
            continue
        logs[t] += np.log(M[row, row])
        for s in range(y.shape[1]):
            total = y[i, s]
            for j in range(len(m)):
                total -= c[i, j] * m[j, s]
            error[i, s] = total
        done = 0
        for before in range(i):
            if seen[before]:
                for s in range(y.shape[1]):
                    error[i, s] -= M[row, done] * error[before, s]
                done += 1
        for s in range(y.shape[1]):
            error[i, s] /= M[row, row]
        for j in range(len(m)):
            gain = M[count + j, row]
            for s in range(y.shape[1]):
                filtered[j, s] += gain * error[i, s]
        row += 1


@_compiled
@typing.no_type_check
def smooth_roots(A, Q, predicted, filtered, filtered_root, smoothed, smoothed_root, gain, rest):
    r"""RTS smoother in square-root form: $P^s_t = Z Z^T + G P^s_{t+1} G^T$, never a difference.

    `gain` is G and `rest` is Z, the root of what is unknown of $x_t$ if $x_{t+1}$ is known.
    """
    T, n, q = filtered.shape
    noise = Q.shape[2]
    pivot, scale, nothing = np.empty(n, np.int64), np.zeros(n), np.zeros(n)
    M, wide = np.empty((2 * n, n + noise)), np.empty((n, 2 * n))
    smoothed[T - 1], smoothed_root[T - 1] = filtered[T - 1], filtered_root[T - 1]
    for t in range(T - 2, -1, -1):
        move_roots(A[min(t, len(A) - 1)], Q[min(t, len(Q) - 1)], filtered_root[t], M, scale)
        M[n:] = 0.0
        M[n:, :n] = filtered_root[t]
        rank = triangularise(M, 0, n, 0, 2 * n, n + noise, scale, pivot)
        _solve_gain(M, n, pivot, gain[t])
        triangularise(M, n, n, rank, 2 * n, n + noise, nothing, pivot)
        for i in range(n):
            for j in range(n):
                rest[t, i, j] = M[n + i, rank + j] if rank + j < n + noise else 0.0
        wide[:, :n] = rest[t]
        scale[:] = 0.0
        _product(gain[t], smoothed_root[t + 1], 0, n, wide, 0, n, scale)
        triangularise(wide, 0, n, 0, n, 2 * n, nothing, pivot)
        smoothed_root[t] = wide[:, :n]
        for i in range(n):
            for s in range(q):
                total = filtered[t, i, s]
                for j in range(n):
                    total += gain[t, i, j] * (smoothed[t + 1, j, s] - predicted[t + 1, j, s])
                smoothed[t, i, s] = total


@_compiled
@typing.no_type_check
def _solve_gain(M, n, pivot, gain):
    """G with G S = Y, where S is M[:n] and Y is M[n:], both up to the rank; 0 in columns that S does not determine."""
    for i in range(n):
        for j in range(n - 1, -1, -1):
            gain[i, j] = 0.0
            column = pivot[j]
            if column < 0:
                continue
            total = M[n + i, column]
            for k in range(j + 1, n):
                total -= gain[i, k] * M[k, column]
            gain[i, j] = total / M[j, column]
