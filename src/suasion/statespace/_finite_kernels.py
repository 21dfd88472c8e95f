r"""Forward, backward and Viterbi passes over a finite chain, compiled.

Sequences lie one behind the other: `start[q] : start[q + 1]` are the steps of sequence q. `likely` is
$e^{\ell_{tk} - \max_k \ell_{tk}}$. Probabilities are kept as numbers with a scale for each step, which is fast but can
underflow. The forward pass therefore watches for a loss that could matter, and says so (`LOST`); then the sequence is
done again in logarithms, which cannot. Where it does not say so, what was lost is below 1e-20 of every result:

- a step may lose filtered probability below 1e-170 (a state far less likely than another), and digits of a product
  below 1e-290 (near the end of the normal numbers), if the step's own scale is above 1e-130, and
- if after it every predicted probability is above 1e-150: what was lost is nothing beside what comes anew.

Where a transition is `thin`, above 0 and at most 1e-100 (Baum-Welch makes such), products with it may be lost at every
step, and every step is held to this.

Transitions have a leading axis of actions: `moves[t]` is the action that leads from step t to the next. A chain without
actions has one, and no moves. Whether there are moves, and numbers of states up to 10, are constants of the compiled
code: what one step hands to the next then stays in registers. With more states a step is a product of a matrix and a
vector, four rows at a time.

Compiled code may assume that nothing is NaN (log-likelihoods are numbers or -inf), and in `_sums` take terms in any
order: none are negative. In `_steps` it may not, or it would make (a / b) c of a (c / b), and wait for the division.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import carray, njit

from suasion.statespace._emission_kernels import inner
from suasion.statespace._exponential import fast_exp
from suasion.statespace._registers import frame

Kernel = Callable[..., Any]
_compiled = njit(cache=True, nogil=True)
_steps = njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz", "contract"})
_sums = njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz", "contract", "reassoc"})
_greatest = njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})

LOST = -2
POSSIBLE = -1
_CONSTANT = 10
_BLOCK = 64


@_sums
@typing.no_type_check
def level(logs, likely, shift):
    """e to the log-likelihoods less each step's greatest, which goes to `shift`; 0 where all are -inf."""
    steps, K = logs.shape
    for first in range(0, steps, _BLOCK):
        last = min(first + _BLOCK, steps)
        for t in range(first, last):
            top = -np.inf
            for k in range(K):
                top = max(top, logs[t, k])
            top = top if top > -np.inf else 0.0
            shift[t] = top
            for k in range(K):
                likely[t, k] = logs[t, k] - top
        row = likely[first:last].reshape(-1)
        for i in range(len(row)):
            row[i] = fast_exp(row[i])


@_sums
@typing.no_type_check
def _multiply(matrix, x, out):
    """matrix x; four rows at once, so that x is read a quarter as often and no sum waits for itself."""
    K, k = len(x), 0
    while k + 4 <= K:
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for j in range(K):
            a += matrix[k, j] * x[j]
            b += matrix[k + 1, j] * x[j]
            c += matrix[k + 2, j] * x[j]
            d += matrix[k + 3, j] * x[j]
        out[k], out[k + 1], out[k + 2], out[k + 3] = a, b, c, d
        k += 4
    while k < K:
        a = 0.0
        for j in range(K):
            a += matrix[k, j] * x[j]
        out[k] = a
        k += 1


@_compiled
@typing.no_type_check
def _turned(transition):
    """Each action's matrix transposed."""
    out = np.empty_like(transition)
    for u in range(transition.shape[0]):
        for j in range(transition.shape[1]):
            for k in range(transition.shape[2]):
                out[u, k, j] = transition[u, j, k]
    return out


def forward(K: int, acting: bool) -> Kernel:
    """Filter; see `_forward`."""
    return _forward(K if K <= _CONSTANT else 0, acting)


@functools.cache
def _forward(constant: int, acting: bool) -> Kernel:
    r"""$a_{tk} \propto e_{tk} \sum_j a_{t-1,j} P_{jk}$; gives how many sequences are `LOST`; others are `POSSIBLE`.

    `joint` is what a step hands on, `mass` its sum, `unit` 1 / mass. It is divided by its sum only where that is below
    1e-8: if it were in every step, each would wait for the division of the one before.
    """
    width = constant or 1

    @_steps
    @typing.no_type_check
    def kernel(start, initial, transition, moves, logs, likely, filtered, scale, verdict):
        K = constant if constant else len(initial)
        if constant:
            predicted, joint = carray(frame(width), (width,)), carray(frame(width), (width,))
        else:
            predicted, joint, columns = np.empty(K), np.empty(K), _turned(transition)
        thin, count = False, 0
        for p in transition.flat:
            thin |= (p > 0.0) & (p <= 1e-100)
        for q in range(len(start) - 1):
            first, end = start[q], start[q + 1]
            likely_q, filtered_q, scale_q = likely[first:end], filtered[first:end], scale[first:end]
            verdict[q] = POSSIBLE
            unit, lost = 1.0, False
            for t in range(end - first):
                u = moves[first + t - 1] if acting and t > 0 else 0
                if t == 0:
                    for k in range(K):
                        predicted[k] = initial[k]
                elif constant:
                    for k in range(K):
                        predicted[k] = 0.0
                    for j in range(K):
                        for k in range(K):
                            predicted[k] += joint[j] * transition[u, j, k]
                else:
                    _multiply(columns[u], joint, predicted)
                mass, low = inner(predicted, likely_q[t]), 1.0
                for k in range(K):
                    joint[k] = predicted[k] * likely_q[t, k]
                    low = min(low, joint[k])
                scale_q[t] = mass * unit
                bound = max(1e-170 * mass, 1e-290)
                if lost or thin or low < bound:
                    least = 1.0
                    for k in range(K):
                        least = min(least, predicted[k])
                    if lost and least * unit < 1e-150:
                        verdict[q] = LOST
                        break
                    lost = thin
                    for k in range(K):
                        possible = (predicted[k] > 0.0) & (logs[first + t, k] > -np.inf)
                        lost |= possible & (joint[k] < bound)
                    if lost and scale_q[t] < 1e-130:
                        verdict[q] = LOST
                        break
                unit = 1.0 / mass
                for k in range(K):
                    filtered_q[t, k] = joint[k] * unit
                if mass < 1e-8:
                    if scale_q[t] < 1e-250:  # impossible perhaps: logarithms decide
                        verdict[q] = LOST
                        break
                    for k in range(K):
                        joint[k] = filtered_q[t, k]
                    unit = 1.0
            if verdict[q] == LOST:
                count += 1
                for t in range(end - first):  # their logarithms are taken, and not used
                    scale_q[t] = 1.0
        return count

    return kernel


def backward(K: int, acting: bool) -> Kernel:
    """Smooth; see `_backward`."""
    return _backward(K if K <= _CONSTANT else 0, acting)


@functools.cache
def _backward(constant: int, acting: bool) -> Kernel:
    r"""$w_{tk} = \gamma_{tk} / \hat p_{tk}$ and $\gamma_{tj} = a_{tj} \sum_k P_{jk} w_{t+1,k}$, backwards.

    Then $\xi_t(j, k) = a_{tj} P_{jk} w_{t+1,k}$; `pairs[q]`, zeros before, becomes their sum over t, by action: a
    product of two matrices, times P. w takes the place of `likely`. Sequences that are not `POSSIBLE` are left out.
    """
    width = constant or 1

    @_steps
    @typing.no_type_check
    def kernel(start, transition, moves, likely, filtered, scale, verdict, smoothed, pairs):
        K = constant if constant else transition.shape[1]
        if constant:
            future, weight = carray(frame(width), (width,)), carray(frame(width), (width,))
            columns = _turned(transition)
        else:
            future, weight = np.empty(K), np.empty(K)
        for q in range(len(start) - 1):
            if verdict[q] != POSSIBLE:
                continue
            first, end = start[q], start[q + 1]
            likely_q, filtered_q, smoothed_q = likely[first:end], filtered[first:end], smoothed[first:end]
            last = end - first - 1
            for back in range(last + 1):
                t = last - back
                u = moves[first + t] if acting else 0
                if back == 0:
                    for j in range(K):
                        future[j] = 1.0
                elif constant:
                    for j in range(K):
                        future[j] = 0.0
                    for k in range(K):
                        for j in range(K):
                            future[j] += columns[u, k, j] * weight[k]
                else:
                    _multiply(transition[u], weight, future)
                if acting and back > 0:
                    for j in range(K):
                        for k in range(K):
                            pairs[q, u, j, k] += filtered_q[t, j] * weight[k]
                unit, inverse = 1.0 / inner(filtered_q[t], future), 1.0 / scale[first + t]
                for j in range(K):
                    # A state that cannot be: what it would have led to may be without bound.
                    weight[j] = (likely_q[t, j] * inverse if filtered_q[t, j] > 0.0 else 0.0) * future[j]
                    likely_q[t, j] = weight[j]
                for j in range(K):
                    smoothed_q[t, j] = filtered_q[t, j] * future[j] * unit
            if not acting and last > 0:
                np.dot(filtered_q[:last].T, likely_q[1:], pairs[q, 0])
            for u in range(len(transition)):
                for j in range(K):
                    for k in range(K):
                        pairs[q, u, j, k] *= transition[u, j, k]

    return kernel


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


@_greatest
@typing.no_type_check
def _reach(x, matrix, out):
    """The greatest x[j] + matrix[j, k] over j, four rows at once, so that `out` is touched a quarter as often."""
    K, j = len(x), 0
    for k in range(K):
        out[k] = -np.inf
    while j + 4 <= K:
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        for k in range(K):
            upper = max(a + matrix[j, k], b + matrix[j + 1, k])
            lower = max(c + matrix[j + 2, k], d + matrix[j + 3, k])
            out[k] = max(out[k], max(upper, lower))
        j += 4
    while j < K:
        for k in range(K):
            out[k] = max(out[k], x[j] + matrix[j, k])
        j += 1


def viterbi(K: int, acting: bool) -> Kernel:
    """The most likely paths; see `_viterbi`."""
    return _viterbi(K if K <= _CONSTANT else 0, acting)


@functools.cache
def _viterbi(constant: int, acting: bool) -> Kernel:
    """Max-plus; ties go to the lowest state. `logs` become the scores of the best paths to each step's states.

    Where these came from is looked up on the way back, for the states of the path alone.
    """
    width = constant or 1

    @_greatest
    @typing.no_type_check
    def kernel(start, log_initial, log_transition, moves, logs, path, scores):
        K = constant if constant else len(log_initial)
        if constant:
            best, reached = carray(frame(width), (width,)), carray(frame(width), (width,))
        else:
            best, reached = np.empty(K), np.empty(K)
        for q in range(len(start) - 1):
            first, last = start[q], start[q + 1] - 1
            for t in range(first, last + 1):
                u = moves[t - 1] if acting and t > first else 0
                if t == first:
                    for k in range(K):
                        reached[k] = log_initial[k]
                elif constant:
                    for k in range(K):
                        reached[k] = best[0] + log_transition[u, 0, k]
                    for j in range(1, K):
                        for k in range(K):
                            reached[k] = max(reached[k], best[j] + log_transition[u, j, k])
                else:
                    _reach(best, log_transition[u], reached)
                for k in range(K):
                    best[k] = reached[k] + logs[t, k]
                    logs[t, k] = best[k]
            path[last] = logs[last].argmax()
            scores[q] = logs[last, path[last]]
            for t in range(last, first, -1):
                u, k = moves[t - 1] if acting else 0, path[t]
                top, path[t - 1] = logs[t - 1, 0] + log_transition[u, 0, k], 0
                for j in range(1, K):
                    score = logs[t - 1, j] + log_transition[u, j, k]
                    if score > top:
                        top, path[t - 1] = score, j

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
