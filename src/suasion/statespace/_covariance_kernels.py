r"""The covariance form, compiled: faster than roots, and exact only where the model is well conditioned.

Backwards $r_{t-1} = A^T (C^T F^{-1} e + (I - K C)^T r_t)$ and likewise N, its covariance (Bryson & Frazier): the
smoothed covariance is the difference $P - P N P$, which rounding can make indefinite.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit

from suasion.statespace._gaussian_kernels import predict_mean

_compiled = njit(cache=True, nogil=True)


@_compiled
@typing.no_type_check
def filter_covariances(
    A, C, Q, R, start, mean, drive, y, seen, predicted, before, filtered, after, error, logs, weight
):
    """Kalman filter; `error` becomes F^-1 e, `weight` F^-1 C. Gives the first step with a singular F, or -1."""
    T, p, q = y.shape
    n = len(mean)
    m, P = mean.copy(), start.copy()
    PC, F, held = np.empty((n, p)), np.empty((p, p)), np.empty((n, n))
    for t in range(T):
        if t > 0:
            a = A[min(t - 1, len(A) - 1)]
            predict_mean(a, filtered[t - 1], drive[min(t - 1, len(drive) - 1)], m)
            sandwich(a, after[t - 1], Q[min(t - 1, len(Q) - 1)], held, P)
        predicted[t], before[t] = m, P
        filtered[t], after[t] = m, P
        c, r = C[min(t, len(C) - 1)], R[min(t, len(R) - 1)]
        _innovate(c, r, P, m, y[t], seen[t], PC, F, error[t], weight[t])
        if not _solve(F, seen[t], error[t], weight[t], logs, t):
            return t
        for j in range(n):
            for i in range(p):
                if seen[t, i]:
                    for s in range(q):
                        filtered[t, j, s] += PC[j, i] * error[t, i, s]
        for j in range(n):
            for k in range(j + 1):
                total = P[j, k]
                for i in range(p):
                    if seen[t, i]:
                        for h in range(n):
                            total -= PC[j, i] * weight[t, i, h] * P[h, k]
                after[t, j, k] = after[t, k, j] = total
    return -1


@_compiled
@typing.no_type_check
def _innovate(C, R, P, mean, y, seen, PC, F, error, weight):
    """P C', the lower half of F = C P C' + R, and innovations, of what is seen."""
    n = len(P)
    for i in range(len(seen)):
        if not seen[i]:
            continue
        for j in range(n):
            total = 0.0
            for k in range(n):
                total += P[j, k] * C[i, k]
            PC[j, i] = total
            weight[i, j] = C[i, j]
        for s in range(y.shape[1]):
            total = y[i, s]
            for j in range(n):
                total -= C[i, j] * mean[j, s]
            error[i, s] = total
        for h in range(i + 1):
            if seen[h]:
                total = R[i, h]
                for j in range(n):
                    total += C[h, j] * PC[j, i]
                F[i, h] = total


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
def _solve(F, seen, error, weight, logs, t):
    """Cholesky of F, and F^-1 put before `error` and `weight`; the squares of L^-1 e go to `logs`."""
    p = len(seen)
    for i in range(p):
        if not seen[i]:
            continue
        for h in range(i + 1):
            if not seen[h]:
                continue
            total = F[i, h]
            for k in range(h):
                if seen[k]:
                    total -= F[i, k] * F[h, k]
            if h < i:
                F[i, h] = total / F[h, h]
            elif total > 0.0:
                F[i, i] = np.sqrt(total)
            else:
                return False
        logs[t, :] -= np.log(F[i, i]) + 0.9189385332046727
        for held in (error, weight):
            for k in range(i):
                if seen[k]:
                    for s in range(held.shape[1]):
                        held[i, s] -= F[i, k] * held[k, s]
            for s in range(held.shape[1]):
                held[i, s] /= F[i, i]
        for s in range(error.shape[1]):
            logs[t, s] -= 0.5 * error[i, s] * error[i, s]
    for i in range(p - 1, -1, -1):
        if not seen[i]:
            continue
        for held in (error, weight):
            for k in range(i + 1, p):
                if seen[k]:
                    for s in range(held.shape[1]):
                        held[i, s] -= F[k, i] * held[k, s]
            for s in range(held.shape[1]):
                held[i, s] /= F[i, i]
    return True


@_compiled
@typing.no_type_check
def smooth_covariances(A, C, seen, predicted, before, error, weight, smoothed, covariance):
    """The backward pass."""
    T, n, q = predicted.shape
    p = seen.shape[1]
    r, N, rest, zero = np.zeros((n, q)), np.zeros((n, n)), np.empty((n, n)), np.zeros((n, n))
    held, part = np.empty((n, n)), np.empty((n, q))
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            a = A[min(t, len(A) - 1)]
            for i in range(n):
                for s in range(q):
                    part[i, s] = 0.0
                    for j in range(n):
                        part[i, s] += a[j, i] * r[j, s]
            r[:] = part
            sandwich(a.T, N, zero, held, N)
        c, P = C[min(t, len(C) - 1)], before[t]
        for i in range(n):  # I - K C = I - P C' F^-1 C
            for j in range(n):
                rest[i, j] = 0.0
                for k in range(p):
                    if seen[t, k]:
                        rest[i, j] += c[k, i] * weight[t, k, j]
        for i in range(n):
            for j in range(n):
                held[i, j] = 1.0 if i == j else 0.0
                for k in range(n):
                    held[i, j] -= P[i, k] * rest[k, j]
        for i in range(n):
            for s in range(q):
                part[i, s] = 0.0
                for j in range(n):
                    part[i, s] += held[j, i] * r[j, s]
                for k in range(p):
                    if seen[t, k]:
                        part[i, s] += c[k, i] * error[t, k, s]
        r[:] = part
        _quadratic(held, N, rest)
        for i in range(n):
            for s in range(q):
                total = predicted[t, i, s]
                for j in range(n):
                    total += P[i, j] * r[j, s]
                smoothed[t, i, s] = total
        sandwich(P, N, zero, held, covariance[t])
        for i in range(n):
            for j in range(n):
                covariance[t, i, j] = P[i, j] - covariance[t, i, j]


@_compiled
@typing.no_type_check
def _quadratic(left, N, rest):
    """N = left' N left + rest, symmetric to the last bit."""
    n = len(N)
    held = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            held[i, j] = 0.0
            for k in range(n):
                held[i, j] += N[i, k] * left[k, j]
    for i in range(n):
        for j in range(i + 1):
            total = rest[i, j]
            for k in range(n):
                total += left[k, i] * held[k, j]
            N[i, j] = N[j, i] = total
