"""Sweeps over the rows of a model, compiled (`_reference.py` says the same in NumPy).

Where all states have A choices and all choices K branches, targets lie in an array of S x A x K, and the compiler
unrolls; else offsets are read (`_rows.Rows.packed`). Kernels work on a range of states, so that two threads can share a
sweep; they hold no lock of the interpreter. In a state without choices the value stays 0.

With `keep`, the rows of the choices that win are copied side by side as they pass by, one row a state: to read them
again from where they lie costs as much as a sweep over all choices.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

Kernel = Callable[..., Any]
_compiled = numba.njit(cache=True, nogil=True)


def backup(A: int, K: int, keep: bool) -> Kernel:
    """W = T V, the choices that attain it, and the least and greatest W - V."""
    return _backup_equal(A, K, keep) if A else _backup_varied(keep)


@functools.cache
def _backup_equal(A: int, K: int, keep: bool) -> Kernel:
    @_compiled
    @typing.no_type_check
    def kernel(first, last, rows, own, discount, value, out, choice):
        target, probability, reward = rows
        own_target, own_probability, own_reward = own
        low, high = np.inf, -np.inf
        for s in range(first, last):
            best, arg = -np.inf, 0
            for a in range(A):
                total = 0.0
                for k in range(K):
                    total += probability[s, a, k] * value[target[s, a, k]]
                q = reward[s, a] + discount * total
                if q > best:
                    best, arg = q, a
            if keep:
                own_reward[s] = reward[s, arg]
                for k in range(K):
                    own_target[s, k] = target[s, arg, k]
                    own_probability[s, k] = probability[s, arg, k]
            out[s] = best
            choice[s] = s * A + arg
            change = best - value[s]
            low = min(low, change)
            high = max(high, change)
        return low, high

    return kernel


@functools.cache
def _backup_varied(keep: bool) -> Kernel:
    @_compiled
    @typing.no_type_check
    def kernel(first, last, rows, own, discount, value, out, choice):
        choice_start, start, target, probability, reward = rows
        low, high = np.inf, -np.inf
        for s in range(first, last):
            best, arg = -np.inf, -1
            for c in range(choice_start[s], choice_start[s + 1]):
                q = reward[c] + discount * _expected(start[c], start[c + 1], target, probability, value)
                if q > best:
                    best, arg = q, c
            if arg < 0:
                best = 0.0
            elif keep:
                _keep(s, arg, rows, own)
            out[s] = best
            choice[s] = arg
            change = best - value[s]
            low = min(low, change)
            high = max(high, change)
        return low, high

    return kernel


@_compiled
@typing.no_type_check
def _expected(first: Any, last: Any, target: Any, probability: Any, value: Any) -> Any:
    """Sum of p v over a row, in four parts: each addition would have to wait for the one before."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    i = first
    while i + 4 <= last:
        a += probability[i] * value[target[i]]
        b += probability[i + 1] * value[target[i + 1]]
        c += probability[i + 2] * value[target[i + 2]]
        d += probability[i + 3] * value[target[i + 3]]
        i += 4
    while i < last:
        a += probability[i] * value[target[i]]
        i += 1
    return (a + b) + (c + d)


@_compiled
@typing.no_type_check
def _keep(s: Any, c: Any, rows: Any, own: Any) -> None:
    """Copy a choice's row to its state's; what is left of the room gets a probability of 0."""
    _, start, target, probability, reward = rows
    own_start, own_target, own_probability, own_reward = own
    own_reward[s] = reward[c]
    row, length = own_start[s], start[c + 1] - start[c]
    for k in range(length):
        own_target[row + k] = target[start[c] + k]
        own_probability[row + k] = probability[start[c] + k]
    for b in range(row + length, own_start[s + 1]):
        own_probability[b] = 0.0


def evaluate(K: int) -> Kernel:
    """W = T_pi V for the rows of a policy, one a state, and the least and greatest W - V."""
    return _evaluate_equal(K) if K else _evaluate_varied


@functools.cache
def _evaluate_equal(K: int) -> Kernel:
    @_compiled
    @typing.no_type_check
    def kernel(first, last, own, discount, value, out):
        target, probability, reward = own
        low, high = np.inf, -np.inf
        for s in range(first, last):
            total = 0.0
            for k in range(K):
                total += probability[s, k] * value[target[s, k]]
            result = reward[s] + discount * total
            out[s] = result
            change = result - value[s]
            low = min(low, change)
            high = max(high, change)
        return low, high

    return kernel


@_compiled
@typing.no_type_check
def _evaluate_varied(first: Any, last: Any, own: Any, discount: Any, value: Any, out: Any) -> Any:
    start, target, probability, reward = own
    low, high = np.inf, -np.inf
    for s in range(first, last):
        result = reward[s] + discount * _expected(start[s], start[s + 1], target, probability, value)
        out[s] = result
        change = result - value[s]
        low = min(low, change)
        high = max(high, change)
    return low, high


def sweep(A: int, K: int) -> Kernel:
    """One Gauss-Seidel sweep in place, from the first to the last state or back; the greatest |change|.

    The rows of the choices that win are kept.
    """
    return _sweep_equal(A, K) if A else _sweep_varied


@functools.cache
def _sweep_equal(A: int, K: int) -> Kernel:
    @_compiled
    @typing.no_type_check
    def kernel(backward, rows, own, value):
        target, probability, reward = rows
        own_target, own_probability, own_reward = own
        greatest, states = 0.0, len(value)
        for i in range(states):
            s = states - 1 - i if backward else i
            best, arg = -np.inf, 0
            for a in range(A):
                q = reward[s, a]
                for k in range(K):
                    q += probability[s, a, k] * value[target[s, a, k]]
                if q > best:
                    best, arg = q, a
            if best == -np.inf:
                continue
            own_reward[s] = reward[s, arg]
            for k in range(K):
                own_target[s, k] = target[s, arg, k]
                own_probability[s, k] = probability[s, arg, k]
            greatest = max(greatest, abs(best - value[s]))
            value[s] = best
        return greatest

    return kernel


@_compiled
@typing.no_type_check
def _sweep_varied(backward: Any, rows: Any, own: Any, value: Any) -> Any:
    choice_start, start, target, probability, reward = rows
    greatest, states = 0.0, len(value)
    for i in range(states):
        s = states - 1 - i if backward else i
        best, arg = -np.inf, -1
        for c in range(choice_start[s], choice_start[s + 1]):
            q = reward[c] + _expected(start[c], start[c + 1], target, probability, value)
            if q > best:
                best, arg = q, c
        if arg < 0:
            continue
        _keep(s, arg, rows, own)
        greatest = max(greatest, abs(best - value[s]))
        value[s] = best
    return greatest


def sweep_policy(K: int) -> Kernel:
    """The same over the rows of a policy, one a state."""
    return _policy_equal(K) if K else _policy_varied


@functools.cache
def _policy_equal(K: int) -> Kernel:
    @_compiled
    @typing.no_type_check
    def kernel(backward, own, value):
        target, probability, reward = own
        greatest, states = 0.0, len(value)
        for i in range(states):
            s = states - 1 - i if backward else i
            result = reward[s]
            for k in range(K):
                result += probability[s, k] * value[target[s, k]]
            greatest = max(greatest, abs(result - value[s]))
            value[s] = result
        return greatest

    return kernel


@_compiled
@typing.no_type_check
def _policy_varied(backward: Any, own: Any, value: Any) -> Any:
    start, target, probability, reward = own
    greatest, states = 0.0, len(value)
    for i in range(states):
        s = states - 1 - i if backward else i
        result = reward[s] + _expected(start[s], start[s + 1], target, probability, value)
        greatest = max(greatest, abs(result - value[s]))
        value[s] = result
    return greatest


@_compiled
@typing.no_type_check
def blocks(
    order: Any,
    block: Any,
    choice_start: Any,
    start: Any,
    target: Any,
    probability: Any,
    reward: Any,
    discount: Any,
    value: Any,
    small: Any,
    limit: Any,
) -> Any:
    """Gauss-Seidel block by block, each until its greatest |change| is small; how many updates, and whether done.

    Self-loops are solved for, so that a block of one state is done after one update.
    """
    updates, finished = 0, True
    for i in range(len(block) - 1):
        size = block[i + 1] - block[i]
        swept = 0
        while True:
            greatest = 0.0
            for j in range(block[i], block[i + 1]):
                s = order[j]
                best = -np.inf
                for c in range(choice_start[s], choice_start[s + 1]):
                    total, stays = 0.0, 0.0
                    for b in range(start[c], start[c + 1]):
                        if target[b] == s:
                            stays += probability[b]
                        else:
                            total += probability[b] * value[target[b]]
                    leaves = 1 - discount * stays
                    if leaves > 0:
                        best = max(best, (reward[c] + discount * total) / leaves)
                if best > -np.inf:
                    greatest = max(greatest, abs(best - value[s]))
                    value[s] = best
            swept += 1
            updates += size
            if size == 1 or greatest <= small:
                break
            if swept >= limit:
                finished = False
                break
    return updates, finished


@_compiled
@typing.no_type_check
def folded(
    A: Any,
    K: Any,
    order: Any,
    place: Any,
    choice_start: Any,
    start: Any,
    target: Any,
    probability: Any,
    reward: Any,
    discount: Any,
    targets: Any,
    probabilities: Any,
) -> Any:
    """Rows in another order, the discount inside, self-loops solved for; padded to A choices of K branches unless 0.

    The first choice is repeated where there are fewer than A; a state without choices has empty ones. A choice that
    stays for certain is worth minus infinity.
    """
    states = len(choice_start) - 1
    choices = states * A if A else len(reward)
    begins, starts = np.empty(states + 1, np.int64), np.empty(choices + 1, np.int64)
    rewards = np.empty(choices)
    at, end = 0, 0
    for i in range(states):
        s = order[i] if len(order) else i
        first, count = choice_start[s], choice_start[s + 1] - choice_start[s]
        begins[i] = at
        for a in range(A if A else count):
            starts[at] = end
            used = 0
            rewards[at] = 0.0
            if count > 0:
                c = first + a if a < count else first
                stays = 0.0
                for b in range(start[c], start[c + 1]):
                    if target[b] == s:
                        stays += probability[b]
                leaves = 1 - discount * stays
                scale = 1 / leaves if leaves > 0 else 0.0
                rewards[at] = reward[c] * scale if leaves > 0 else -np.inf
                used = start[c + 1] - start[c]
                for k in range(used):
                    j = target[start[c] + k]
                    p = discount * probability[start[c] + k] * scale
                    targets[end + k] = place[j] if len(order) else j
                    probabilities[end + k] = p if j != s else 0.0
            for k in range(used, K if A else used):
                targets[end + k] = i
                probabilities[end + k] = 0.0
            at += 1
            end += K if A else used
    begins[states], starts[choices] = at, end
    return begins, starts, rewards


@_compiled
@typing.no_type_check
def pad(K: Any, start: Any, target: Any, probability: Any, targets: Any, probabilities: Any) -> None:
    """Rows of K branches each, the last ones of probability 0. NumPy's own arrays have large pages, hence the room."""
    choices = len(start) - 1
    for c in range(choices):
        length = start[c + 1] - start[c]
        for k in range(length):
            targets[c * K + k] = target[start[c] + k]
            probabilities[c * K + k] = probability[start[c] + k]
        for k in range(length, K):
            targets[c * K + k] = 0
            probabilities[c * K + k] = 0.0
