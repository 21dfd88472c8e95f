r"""Kalman filter and RTS smoother, compiled: covariances in square-root form, and the means that go with them.

All roots are lower echelon: $P = S S^T$, made by Householder reflections from the right,
`triangularise`. A row that depends on the rows above it, up to rounding, gets no pivot of its own: so singular noise
and known states need no special case, and the gain of the smoother is a generalised inverse.

Means are matrices float64[n, q]: q sequences that share the model and the pattern of what is missing share one pass of
covariances. Arrays that may change with time have a first axis of 1 or of the length.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

Kernel = Callable[..., Any]
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
def root_path(A, C, Q, R, root, seen, freeze, predicted, filtered, gain, inverse, logs, slot):
    """The filter's covariances, in square-root form, which no observation enters; Q and R are roots.

    What a step is computed from may repeat, to the last bit, some steps later (often one): from then on nothing new
    comes until what is seen changes. Only what is new is kept: step t is entry `slot[t]` of `predicted`, `filtered`
    (roots), `gain` (in units of the innovation's root H), `inverse` (of H) and `logs` (log det H). Columns of `gain`
    and rows and columns of `inverse` are 0 where nothing is seen. `freeze` allows it: A, C, Q and R do not change.

    Gives the first step with a singular innovation, or -1, and the number of entries.
    """
    T, p = seen.shape
    n = len(root)
    S = root.copy()
    pivot, scale = np.empty(n + p, np.int64), np.zeros(n + p)
    move, look = np.empty((n, n + Q.shape[2])), np.empty((p + n, R.shape[2] + n))
    count, anchor, window, t = 0, 0, 0, 0
    while t < T:
        if t > 0:
            before = filtered[slot[t - 1]]
            move_roots(A[min(t - 1, len(A) - 1)], Q[min(t - 1, len(Q) - 1)], before, move, scale)
            triangularise(move, 0, n, 0, n, n + Q.shape[2], scale, pivot)
            S[:] = move[:, :n]
            if freeze and equal(seen[t], seen[t - 1]):
                if equal_matrices(S, predicted[slot[anchor]]):
                    period = t - anchor
                    while t < T and equal(seen[t], seen[anchor]):
                        slot[t] = slot[t - period]
                        t += 1
                    anchor, window = t, 0
                    continue
                if t - anchor > window:  # Brent: the step compared with moves on, and waits twice as long
                    anchor, window = t, 2 * (t - anchor)
            else:
                anchor, window = t, 0
        slot[t] = count
        predicted[count] = S
        c, r = C[min(t, len(C) - 1)], R[min(t, len(R) - 1)]
        if not _look_at(c, r, S, seen[t], look, scale, pivot, filtered, gain, inverse, logs, count):
            return t, count
        count += 1
        t += 1
    return -1, count


@_compiled
@typing.no_type_check
def equal(a, b):
    """Whether two vectors are equal."""
    for i in range(len(a)):  # noqa: SIM110
        if a[i] != b[i]:
            return False
    return True


@_compiled
@typing.no_type_check
def equal_matrices(a, b):
    """Whether two matrices are equal, to the last bit."""
    for i in range(len(a)):  # noqa: SIM110
        if not equal(a[i], b[i]):
            return False
    return True


@_compiled
@typing.no_type_check
def _look_at(C, R, S, seen, look, scale, pivot, filtered, gain, inverse, logs, at):
    """What an observation does to the covariance; False if its innovation is singular."""
    n, extra = len(S), R.shape[1]
    gain[at] = 0.0
    inverse[at] = 0.0
    logs[at] = 0.0
    count = 0
    for i in range(len(seen)):
        count += seen[i]
    if count == 0:
        filtered[at] = S
        return True
    height, width = count + n, extra + n
    _look(C, R, S, seen, look, scale)
    if triangularise(look, 0, count, 0, height, width, scale, pivot) < count:
        return False
    for i in range(count):
        logs[at] += np.log(look[i, i])
    column = 0
    for i in range(len(seen)):
        if seen[i]:
            for j in range(n):
                gain[at, j, i] = look[count + j, column]
            column += 1
    invert_seen(look, seen, inverse[at])
    for i in range(n):
        scale[i] = 0.0
        for j in range(n):
            scale[i] = max(scale[i], abs(S[i, j]))
    triangularise(look, count, n, count, height, width, scale, pivot)
    for i in range(n):
        for j in range(n):
            filtered[at, i, j] = look[count + i, count + j] if count + j < width else 0.0
    return True


@_compiled
@typing.no_type_check
def invert_seen(lower, seen, inverse):
    """The inverse of a lower triangle of what is seen, its rows and columns put where they belong."""
    row = 0
    for i in range(len(seen)):
        if not seen[i]:
            continue
        unit = 1.0 / lower[row, row]
        for j in range(i):
            total, k = 0.0, 0
            for h in range(i):
                if seen[h]:
                    total -= lower[row, k] * inverse[h, j]
                    k += 1
            inverse[i, j] = total * unit
        inverse[i, i] = unit
        row += 1


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


@functools.cache
def filter_means(alone: bool) -> Kernel:
    """The filter's means, with the covariances at hand; `error` is in units of the innovations' deviations.

    `alone`: there is one column of means. The innermost loops are over columns; where the compiler knows that there is
    one, nothing is left of them, and less than half of the time.
    """

    @_compiled
    @typing.no_type_check
    def kernel(A, C, gain, inverse, slot, mean, drive, y, predicted, filtered, error):
        T, p = y.shape[:2]
        q = 1 if alone else y.shape[2]
        n = len(mean)
        m, gap = mean.copy(), np.empty((p, q))
        for t in range(T):
            if t > 0:
                a, before, push = A[min(t - 1, len(A) - 1)], filtered[t - 1], drive[min(t - 1, len(drive) - 1)]
                for i in range(n):
                    for s in range(q):
                        m[i, s] = push[i, s]
                    for j in range(n):
                        for s in range(q):
                            m[i, s] += a[i, j] * before[j, s]
            c, K, H = C[min(t, len(C) - 1)], gain[slot[t]], inverse[slot[t]]
            for i in range(p):
                for s in range(q):
                    gap[i, s] = y[t, i, s]
                for j in range(n):
                    for s in range(q):
                        gap[i, s] -= c[i, j] * m[j, s]
            for i in range(p):
                for s in range(q):
                    error[t, i, s] = 0.0
                for k in range(i + 1):
                    for s in range(q):
                        error[t, i, s] += H[i, k] * gap[k, s]
            for j in range(n):
                for s in range(q):
                    predicted[t, j, s] = m[j, s]
                    filtered[t, j, s] = m[j, s]
                for i in range(p):
                    for s in range(q):
                        filtered[t, j, s] += K[j, i] * error[t, i, s]

    return kernel


@_compiled
@typing.no_type_check
def regress_start(error, squares, factors):
    """Least squares on the innovations, step by step, of columns 0 to k - 1 of `error` (those of the start).

    `squares[t]` is the sum of squares left of each sequence, and `factors[t]` lower echelon, float64[k + q, k].
    """
    T, p, columns = error.shape
    k = factors.shape[2]
    M, pivot, nothing = np.zeros((columns, k + p)), np.empty(k, np.int64), np.zeros(k)
    left = np.zeros(columns - k)
    for t in range(T):
        for i in range(p):
            for c in range(columns):
                M[c, k + i] = error[t, i, c]
        triangularise(M, 0, k, 0, columns, k + p, nothing, pivot)
        for s in range(columns - k):
            for i in range(p):
                left[s] += M[k + s, k + i] ** 2
        squares[t] = left
        factors[t] = M[:, :k]


@_compiled
@typing.no_type_check
def join_roots(wide, out):
    """Lower echelon roots of wide wide', for each step; `wide` is used up."""
    T, n, width = wide.shape
    pivot, nothing = np.empty(n, np.int64), np.zeros(n)
    for t in range(T):
        triangularise(wide[t], 0, n, 0, n, width, nothing, pivot)
        out[t] = wide[t, :, :n]


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
        solve_gain(M, n, pivot, gain[t])
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
def solve_gain(M, n, pivot, gain):
    """G with G S = Y, where S is M[:n] and Y is M[n:], both up to the rank; 0 in columns that S does not determine."""
    for i in range(len(gain)):
        for j in range(n - 1, -1, -1):
            gain[i, j] = 0.0
            column = pivot[j]
            if column < 0:
                continue
            total = M[n + i, column]
            for k in range(j + 1, n):
                total -= gain[i, k] * M[k, column]
            gain[i, j] = total / M[j, column]
