r"""Forward, backward and Viterbi passes over a finite chain, compiled.

Sequences lie one behind the other: `start[q] : start[q + 1]` are the steps of sequence q. `likely` is
$e^{\ell_{tk} - \max_k \ell_{tk}}$. Probabilities are kept as numbers with a scale for each step, which is fast but can
underflow. The forward pass therefore watches for a loss that could matter, and says so (`LOST`); then the sequence is
done again in logarithms, which cannot. Where it does not say so, what was lost is below 1e-20 of every result:

- a step may lose filtered probability below 1e-170 (a state far less likely than another), if the step's own scale is
  above 1e-130, and
- if after it every predicted probability is above 1e-150: what was lost is nothing beside what comes anew.

Where a transition is `thin`, above 0 and at most 1e-100 (Baum-Welch makes such), products with it may be lost at every
step, and every step is held to this.

Transitions have a leading axis of actions: `moves[t]` is the action that leads from step t to the next. A chain without
actions has one, and no moves. Numbers of states up to 16, and whether there are moves, are constants of the compiled
code.
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

LOST = -2
POSSIBLE = -1
_CONSTANT = 16


def forward(K: int, acting: bool) -> Kernel:
    """Filter; gives `POSSIBLE` or `LOST` for each sequence."""
    return _forward(K if K <= _CONSTANT else 0, acting)


def backward(K: int, acting: bool) -> Kernel:
    """Smooth; see `_backward`."""
    return _backward(K if K <= _CONSTANT else 0, acting)


@functools.cache
def _forward(constant: int, acting: bool) -> Kernel:
    @_compiled
    @typing.no_type_check
    def kernel(start, initial, transition, moves, thin, likely, faint, filtered, scale, verdict):
        K = constant if constant else len(initial)
        some_faint = len(faint) > 0
        predicted = np.empty(K)
        for q in range(len(start) - 1):
            verdict[q] = -1
            lost = False
            for t in range(start[q], start[q + 1]):
                if t == start[q]:
                    for k in range(K):
                        predicted[k] = initial[k]
                else:
                    u = moves[t - 1] if acting else 0
                    for k in range(K):
                        predicted[k] = 0.0
                    for j in range(K):
                        a = filtered[t - 1, j]
                        for k in range(K):
                            predicted[k] += a * transition[u, j, k]
                total = 0.0
                least = 1.0
                for k in range(K):
                    a = predicted[k] * likely[t, k]
                    filtered[t, k] = a
                    total += a
                    least = min(least, predicted[k])
                if lost and least < 1e-150:
                    verdict[q] = -2
                    break
                if total < 1e-250:  # impossible perhaps: logarithms decide
                    verdict[q] = -2
                    break
                scale[t] = total
                dim = some_faint and faint[t]
                inverse = 1.0 / total
                lost = thin
                for k in range(K):
                    a = filtered[t, k] * inverse
                    filtered[t, k] = a
                    lost |= (a < 1e-170) & (predicted[k] > 0.0) & ((likely[t, k] > 0.0) | dim)
                if lost and total < 1e-130:
                    verdict[q] = -2
                    break

    return kernel


@functools.cache
def _backward(constant: int, acting: bool) -> Kernel:
    r"""$w_{tk} = \gamma_{tk} / \hat p_{tk}$ and $\gamma_{tj} = a_{tj} \sum_k P_{jk} w_{t+1,k}$, backwards.

    Then $\xi_t(j, k) = a_{tj} P_{jk} w_{t+1,k}$; `pairs[q]` becomes the sum over t, by action, of what is left
    without P. `transposed` is P transposed, so that the inner loop is contiguous. Sequences whose verdict is not
    `POSSIBLE` are left out.
    """

    @_compiled
    @typing.no_type_check
    def kernel(start, transposed, moves, likely, filtered, scale, verdict, smoothed, pairs):
        K = constant if constant else transposed.shape[1]
        future, weight = np.empty(K), np.empty(K)
        for q in range(len(start) - 1):
            if verdict[q] != -1:
                continue
            for t in range(start[q + 1] - 1, start[q] - 1, -1):
                if t == start[q + 1] - 1:
                    for j in range(K):
                        future[j] = 1.0
                else:
                    u = moves[t] if acting else 0
                    for j in range(K):
                        future[j] = 0.0
                    for k in range(K):
                        w = weight[k]
                        for j in range(K):
                            future[j] += transposed[u, k, j] * w
                    for j in range(K):
                        a = filtered[t, j]
                        for k in range(K):
                            pairs[q, u, j, k] += a * weight[k]
                total = 0.0
                for j in range(K):
                    total += filtered[t, j] * future[j]
                inverse, unit = 1.0 / scale[t], 1.0 / total
                for j in range(K):
                    smoothed[t, j] = filtered[t, j] * future[j] * unit
                    # A state that cannot be: what it would have led to may be without bound.
                    weight[j] = likely[t, j] * future[j] * inverse if filtered[t, j] > 0.0 else 0.0

    return kernel


@_compiled
@typing.no_type_check
def level(logs, least, likely, shift, faint):
    """Log-likelihoods less each step's greatest, which goes to `shift`; whether any step is faint, and which.

    Faint: a state is less likely than the best by more than `least` in logs, and not impossible.
    """
    any_faint = False
    for t in range(len(logs)):
        top = -np.inf
        for k in range(logs.shape[1]):
            top = max(top, logs[t, k])
        if top == -np.inf:
            top = 0.0
        shift[t] = top
        faint[t] = False
        for k in range(logs.shape[1]):
            gap = logs[t, k] - top
            likely[t, k] = gap
            faint[t] |= (gap < least) & (gap > -np.inf)
        any_faint |= faint[t]
    return any_faint


@_compiled
@typing.no_type_check
def log_sum(x):
    """log of the sum of e^x, and -inf if all are."""
    top = x.max()
    if top == -np.inf:
        return top
    total = 0.0
    for value in x:
        total += np.exp(value - top)
    return top + np.log(total)


@_compiled
@typing.no_type_check
def log_move(before, log_transition, after):
    """log predicted from log filtered."""
    terms = np.empty(len(before))
    for k in range(len(after)):
        for j in range(len(before)):
            terms[j] = before[j] + log_transition[j, k]
        after[k] = log_sum(terms)


@_compiled
@typing.no_type_check
def log_forward(log_initial, log_transition, moves, logs, log_filtered, increments):
    """The forward pass in logarithms: the step whose observation is impossible, or -1."""
    steps, K = logs.shape
    for t in range(steps):
        if t == 0:
            log_filtered[0] = log_initial
        else:
            u = moves[t - 1] if len(moves) else 0
            log_move(log_filtered[t - 1], log_transition[u], log_filtered[t])
        for k in range(K):
            log_filtered[t, k] += logs[t, k]
        increments[t] = log_sum(log_filtered[t])
        if increments[t] == -np.inf:
            return t
        for k in range(K):
            log_filtered[t, k] -= increments[t]
    return -1


@_compiled
@typing.no_type_check
def log_backward(log_transition, moves, logs, log_filtered, increments, smoothed, pairs):
    """The backward pass in logarithms; adds the expected transitions to `pairs`."""
    steps, K = logs.shape
    future, terms, weight = np.zeros(K), np.empty(K), np.empty(K)
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            u = moves[t] if len(moves) else 0
            for j in range(K):
                for k in range(K):
                    terms[k] = log_transition[u, j, k] + weight[k]
                    pairs[u, j, k] += np.exp(log_filtered[t, j] + terms[k])
                future[j] = log_sum(terms)
        for j in range(K):
            smoothed[t, j] = np.exp(log_filtered[t, j] + future[j])
            gone = log_filtered[t, j] == -np.inf
            weight[j] = -np.inf if gone else logs[t, j] + future[j] - increments[t]


@_compiled
@typing.no_type_check
def log_density(y, mean, root):
    """Gaussian log p(y_t | s), float64[T, K], from roots of the covariances."""
    steps, d = y.shape
    K = len(mean)
    out = np.empty((steps, K))
    inverse, constant = np.empty((K, d)), np.full(K, 0.5 * d * np.log(2 * np.pi))
    for s in range(K):
        for i in range(d):
            inverse[s, i] = 1.0 / root[s, i, i]
            constant[s] += np.log(root[s, i, i])
    z = np.empty(d)
    for t in range(steps):
        for s in range(K):
            total = 0.0
            for i in range(d):
                gap = y[t, i] - mean[s, i]
                for j in range(i):
                    gap -= root[s, i, j] * z[j]
                z[i] = gap * inverse[s, i]
                total += z[i] * z[i]
            out[t, s] = -0.5 * total - constant[s]
    return out


def viterbi(K: int, acting: bool) -> Kernel:
    """The most likely paths by max-plus; `back` is int[T, K] of the caller's width. Ties go to the lowest state."""
    return _viterbi(K if K <= _CONSTANT else 0, acting)


@functools.cache
def _viterbi(constant: int, acting: bool) -> Kernel:
    @_compiled
    @typing.no_type_check
    def kernel(start, log_initial, log_transition, moves, logs, back, path, scores):
        K = constant if constant else len(log_initial)
        best, after, arg = np.empty(K), np.empty(K), np.empty(K, np.int64)
        for q in range(len(start) - 1):
            first, last = start[q], start[q + 1] - 1
            for k in range(K):
                best[k] = log_initial[k] + logs[first, k]
            for t in range(first + 1, last + 1):
                u = moves[t - 1] if acting else 0
                for k in range(K):
                    after[k] = best[0] + log_transition[u, 0, k]
                    arg[k] = 0
                for j in range(1, K):
                    for k in range(K):
                        score = best[j] + log_transition[u, j, k]
                        better = score > after[k]
                        after[k] = score if better else after[k]
                        arg[k] = j if better else arg[k]
                for k in range(K):
                    back[t, k] = arg[k]
                    best[k] = after[k] + logs[t, k]
            path[last] = best.argmax()
            for t in range(last, first, -1):
                path[t - 1] = back[t, path[t]]
            scores[q] = best.max()

    return kernel


@_compiled
@typing.no_type_check
def backward_draws(log_transition, moves, log_filtered, uniform, paths):
    """Paths from the posterior: the last state from the filter, each earlier one given the later."""
    draws, steps = paths.shape
    K = log_filtered.shape[1]
    terms = np.empty(K)
    for n in range(draws):
        for t in range(steps - 1, -1, -1):
            u = moves[t] if len(moves) else 0
            for j in range(K):
                terms[j] = log_filtered[t, j]
                if t < steps - 1:
                    terms[j] += log_transition[u, j, paths[n, t + 1]]
            top = terms.max()
            total = 0.0
            for j in range(K):
                terms[j] = np.exp(terms[j] - top)
                total += terms[j]
            level = uniform[n, t] * total
            chosen = -1
            for j in range(K):
                if terms[j] > 0.0:
                    chosen = j
                    level -= terms[j]
                    if level < 0.0:
                        break
            paths[n, t] = chosen


@_compiled
@typing.no_type_check
def column_sums(held):
    """Of float64[T, K], over T: K is small, and a loop over rows is the fastest."""
    out = np.zeros(held.shape[1])
    for t in range(held.shape[0]):
        for k in range(held.shape[1]):
            out[k] += held[t, k]
    return out


@_compiled
@typing.no_type_check
def column_variances(held):
    """Of float64[T, d], over T; NaN where a column has one."""
    mean = column_sums(held) / len(held)
    out = np.zeros(held.shape[1])
    for t in range(held.shape[0]):
        for k in range(held.shape[1]):
            out[k] += (held[t, k] - mean[k]) ** 2
    return out / len(held)


@_compiled
@typing.no_type_check
def weighted_moments(y, weight, total, mean, covariance):
    """Means and covariances of float64[T, d] with weights float64[T, K] that sum to `total`, about the means."""
    steps, d = y.shape
    K = len(total)
    mean[:] = 0.0
    covariance[:] = 0.0
    for t in range(steps):
        for s in range(K):
            for i in range(d):
                mean[s, i] += weight[t, s] * y[t, i]
    for s in range(K):
        for i in range(d):
            mean[s, i] /= total[s]
    gap = np.empty(d)
    for t in range(steps):
        for s in range(K):
            for i in range(d):
                gap[i] = y[t, i] - mean[s, i]
                scaled = weight[t, s] * gap[i]
                for j in range(i + 1):
                    covariance[s, i, j] += scaled * gap[j]
    for s in range(K):
        for i in range(d):
            for j in range(i + 1):
                covariance[s, i, j] /= total[s]
                covariance[s, j, i] = covariance[s, i, j]
