r"""The covariance form, compiled: faster than roots, and exact only where the model is well conditioned.

Backwards $r^f_t = A^T r_{t+1}$, $r_t = \tilde C^T e_t + (I - K \tilde C)^T r^f_t$ with $\tilde C = H^{-1} C$ for an
innovation of covariance $H H^T$, a gain K and innovations e in its units, and likewise N, the covariance of r (Bryson
& Frazier). The smoothed mean is $m + P r$, the covariance the difference $P - P N P$, which rounding can make
indefinite. r and N are also all that the score needs (Koopman & Shephard), whatever form the filter has.

What repeats to the last bit is computed once, as in `_gaussian_kernels.root_path`.
"""

from __future__ import annotations

import functools
import typing

import numpy as np
from numba import njit

from suasion.statespace._gaussian_kernels import Kernel, equal, equal_matrices, invert_seen

_compiled = njit(cache=True, nogil=True)


@_compiled
@typing.no_type_check
def covariance_path(A, C, Q, R, start, seen, freeze, predicted, filtered, gain, inverse, logs, slot):
    """As `root_path`, with covariances for roots. Gives the first step with a singular innovation, or -1, and how many
    entries there are."""
    T, p = seen.shape
    n = len(start)
    P = start.copy()
    cross, F, held = np.empty((n, p)), np.empty((p, p)), np.empty((n, n))
    count, anchor, window, t = 0, 0, 0, 0
    while t < T:
        if t > 0:
            sandwich(A[min(t - 1, len(A) - 1)], filtered[slot[t - 1]], Q[min(t - 1, len(Q) - 1)], held, P)
            if freeze and equal(seen[t], seen[t - 1]):
                if equal_matrices(P, predicted[slot[anchor]]):
                    period = t - anchor
                    while t < T and equal(seen[t], seen[anchor]):
                        slot[t] = slot[t - period]
                        t += 1
                    anchor, window = t, 0
                    continue
                if t - anchor > window:
                    anchor, window = t, 2 * (t - anchor)
            else:
                anchor, window = t, 0
        slot[t] = count
        predicted[count] = P
        _innovate(C[min(t, len(C) - 1)], R[min(t, len(R) - 1)], P, seen[t], cross, F)
        logs[count] = _root(F, seen[t])
        if np.isnan(logs[count]):
            return t, count
        inverse[count] = 0.0
        invert_seen(F, seen[t], inverse[count])
        _reduce(P, cross, seen[t], inverse[count], gain[count], filtered[count])
        count += 1
        t += 1
    return -1, count


@_compiled
@typing.no_type_check
def _innovate(C, R, P, seen, cross, F):
    """P C', and the lower half of F = C P C' + R, of what is seen; F without gaps."""
    n, row = len(P), 0
    for i in range(len(seen)):
        if not seen[i]:
            continue
        for j in range(n):
            cross[j, i] = 0.0
            for k in range(n):
                cross[j, i] += P[j, k] * C[i, k]
        column = 0
        for h in range(i + 1):
            if seen[h]:
                total = R[i, h]
                for j in range(n):
                    total += C[h, j] * cross[j, i]
                F[row, column] = total
                column += 1
        row += 1


@_compiled
@typing.no_type_check
def _root(F, seen):
    """Cholesky of F in place; gives log det of the root, NaN if F is not positive definite."""
    count = 0
    for i in range(len(seen)):
        count += seen[i]
    log = 0.0
    for i in range(count):
        for h in range(i + 1):
            total = F[i, h]
            for k in range(h):
                total -= F[i, k] * F[h, k]
            if h < i:
                F[i, h] = total / F[h, h]
            elif total > 0.0:
                F[i, i] = np.sqrt(total)
            else:
                return np.nan
        log += np.log(F[i, i])
    return log


@_compiled
@typing.no_type_check
def _reduce(P, cross, seen, inverse, gain, filtered):
    """The gain P C' H^-T, and P - K K', symmetric to the last bit."""
    n, p = gain.shape
    for j in range(n):
        for i in range(p):
            gain[j, i] = 0.0
            for k in range(i + 1):
                if seen[k]:
                    gain[j, i] += cross[j, k] * inverse[i, k]
    for j in range(n):
        for k in range(j + 1):
            total = P[j, k]
            for i in range(p):
                total -= gain[j, i] * gain[k, i]
            filtered[j, k] = filtered[k, j] = total


@_compiled
@typing.no_type_check
def sandwich(a, P, Q, held, out):
    """a P a' + Q, symmetric to the last bit."""
    n = len(a)
    for i in range(n):
        for j in range(n):
            held[i, j] = 0.0
            for k in range(n):
                held[i, j] += a[i, k] * P[k, j]
    for i in range(n):
        for j in range(i + 1):
            total = Q[i, j]
            for k in range(n):
                total += held[i, k] * a[j, k]
            out[i, j] = out[j, i] = total


@_compiled
@typing.no_type_check
def back_path(A, C, gain, inverse, seen, place, freeze, after, ahead, before, look, slot):
    r"""N backwards: entry `slot[t]` is that of step t; `place` tells the filter's entries.

    `after` is $N_{t+1}$ (0 at the end), `ahead` $N^f_t$, `before` $N_t$, and `look` $\tilde C$. Gives their number.
    """
    T, p = seen.shape
    n = A.shape[1]
    N, held, rest, zero = np.zeros((n, n)), np.empty((n, n)), np.empty((n, n)), np.zeros((n, n))
    last = T - 1
    count, anchor, window, t = 0, last, 0, last
    while t >= 0:
        if t < last:
            if freeze and anchor < last and equal(seen[t], seen[t + 1]):
                if place[t] == place[anchor] and equal_matrices(N, after[slot[anchor]]):
                    period = anchor - t
                    while t >= 0 and place[t] == place[t + period] and equal(seen[t], seen[t + period]):
                        slot[t] = slot[t + period]
                        t -= 1
                    if t < 0:
                        break
                    anchor, window = t, 0
                    N[:] = before[slot[t + 1]]
                elif anchor - t > window:
                    anchor, window = t, 2 * (anchor - t)
            else:
                anchor, window = t, 0
        slot[t] = count
        after[count] = N
        if t < last:
            sandwich(A[min(t, len(A) - 1)].T, N, zero, held, N)
        ahead[count] = N
        c, K, H = C[min(t, len(C) - 1)], gain[place[t]], inverse[place[t]]
        for i in range(p):
            for j in range(n):
                look[count, i, j] = 0.0
                for k in range(i + 1):
                    look[count, i, j] += H[i, k] * c[k, j]
        for i in range(n):  # (I - K C)', and C' C
            for j in range(n):
                rest[j, i] = 1.0 if i == j else 0.0
                zero[i, j] = 0.0
                for k in range(p):
                    rest[j, i] -= K[i, k] * look[count, k, j]
                    zero[i, j] += look[count, k, i] * look[count, k, j]
        sandwich(rest, N, zero, held, N)
        zero[:] = 0.0
        before[count] = N
        count += 1
        t -= 1
    return count


@functools.cache
def back_means(alone: bool) -> Kernel:
    """r backwards, columns like those of `error`: `ahead` is r^f_t and `before` r_t; `alone` as in `filter_means`."""

    @_compiled
    @typing.no_type_check
    def kernel(A, gain, look, place, slot, error, ahead, before):
        T, p = error.shape[:2]
        q = 1 if alone else error.shape[2]
        n = A.shape[1]
        left = np.empty((p, q))
        for t in range(T - 1, -1, -1):
            for i in range(n):
                for s in range(q):
                    ahead[t, i, s] = 0.0
                if t < T - 1:
                    a = A[min(t, len(A) - 1)]
                    for j in range(n):
                        for s in range(q):
                            ahead[t, i, s] += a[j, i] * before[t + 1, j, s]
            K, c = gain[place[t]], look[slot[t]]
            for i in range(p):
                for s in range(q):
                    left[i, s] = error[t, i, s]
                for j in range(n):
                    for s in range(q):
                        left[i, s] -= K[j, i] * ahead[t, j, s]
            for i in range(n):
                for s in range(q):
                    before[t, i, s] = ahead[t, i, s]
                for k in range(p):
                    for s in range(q):
                        before[t, i, s] += c[k, i] * left[k, s]

    return kernel


@functools.cache
def back_states(alone: bool) -> Kernel:
    """Smoothed means m + P r and covariances P - P N P; `alone` as in `filter_means`.

    Where P and N repeat, so does their product: each P keeps the last that it was in.
    """

    @_compiled
    @typing.no_type_check
    def kernel(P, N, place, slot, predicted, r, smoothed, covariance):
        T, n = predicted.shape[:2]
        q = 1 if alone else predicted.shape[2]
        held, zero = np.empty((n, n)), np.zeros((n, n))
        kept, partner = np.empty((T, n, n)), np.full(T, -1)
        for t in range(T):
            S, product = P[place[t]], kept[place[t]]
            for i in range(n):
                for s in range(q):
                    smoothed[t, i, s] = predicted[t, i, s]
                for j in range(n):
                    for s in range(q):
                        smoothed[t, i, s] += S[i, j] * r[t, j, s]
            if partner[place[t]] != slot[t]:
                partner[place[t]] = slot[t]
                sandwich(S, N[slot[t]], zero, held, product)
            for i in range(n):
                for j in range(n):
                    covariance[t, i, j] = S[i, j] - product[i, j]

    return kernel
