"""Sweeps over the rows of a model, compiled; one text for every shape of row (`_reference.py` says the same in NumPy).

`A` is the number of choices of every state and `K` the number of branches of every choice, where these are constant:
the compiler then unrolls. 0 means that they vary, and the offsets are read. Kernels work on a range of states, so that
two threads can share a sweep; they hold no lock of the interpreter. In a state without choices the value stays 0.

With `keep`, the rows of the choices that win are copied side by side as they pass by (`own_`..., one row a state): to
read them again from where they lie costs as much as a sweep over all choices.
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


@functools.cache
def backup(A: int, K: int, keep: bool) -> Kernel:
    """W = T V, the choices that attain it, and the least and greatest W - V."""

    @_compiled
    @typing.no_type_check
    def kernel(first, last, choice_start, start, target, probability, reward, own, discount, value, out, choice):
        own_start, own_target, own_probability, own_reward = own
        low, high = np.inf, -np.inf
        for s in range(first, last):
            begin = s * A if A else choice_start[s]
            end = begin + A if A else choice_start[s + 1]
            best, arg = -np.inf, -1
            for c in range(begin, end):
                total = 0.0
                if K:
                    for b in range(c * K, c * K + K):
                        total += probability[b] * value[target[b]]
                else:
                    total = _expected(start[c], start[c + 1], target, probability, value)
                q = reward[c] + discount * total
                if q > best:
                    best, arg = q, c
            if arg < 0:
                best = 0.0
            elif keep:
                own_reward[s] = reward[arg]
                row = s * K if K else own_start[s]
                source = arg * K if K else start[arg]
                length = K if K else start[arg + 1] - start[arg]
                for k in range(length):
                    own_target[row + k] = target[source + k]
                    own_probability[row + k] = probability[source + k]
                if not K:
                    for b in range(row + length, own_start[s + 1]):
                        own_probability[b] = 0.0
            out[s] = best
            choice[s] = arg
            change = best - value[s]
            low = min(low, change)
            high = max(high, change)
        return low, high

    return kernel


@functools.cache
def evaluate(K: int) -> Kernel:
    """W = T_pi V for the rows of a policy, one a state, and the least and greatest W - V."""

    @_compiled
    @typing.no_type_check
    def kernel(first, last, own, discount, value, out):
        start, target, probability, reward = own
        low, high = np.inf, -np.inf
        for s in range(first, last):
            total = 0.0
            if K:
                for b in range(s * K, s * K + K):
                    total += probability[b] * value[target[b]]
            else:
                total = _expected(start[s], start[s + 1], target, probability, value)
            result = reward[s] + discount * total
            out[s] = result
            change = result - value[s]
            low = min(low, change)
            high = max(high, change)
        return low, high

    return kernel


@functools.cache
def sweep(A: int, K: int, keep: bool) -> Kernel:
    """One Gauss-Seidel sweep in place, from the first to the last state or back; the greatest |change|."""

    @_compiled
    @typing.no_type_check
    def kernel(backward, choice_start, start, target, probability, reward, own, value):
        own_start, own_target, own_probability, own_reward = own
        greatest = 0.0
        states = len(value)
        for i in range(states):
            s = states - 1 - i if backward else i
            begin = s * A if A else choice_start[s]
            end = begin + A if A else choice_start[s + 1]
            best, arg = -np.inf, -1
            for c in range(begin, end):
                q = reward[c]
                if K:
                    for b in range(c * K, c * K + K):
                        q += probability[b] * value[target[b]]
                else:
                    for b in range(start[c], start[c + 1]):
                        q += probability[b] * value[target[b]]
                if q > best:
                    best, arg = q, c
            if arg < 0:
                continue
            if keep:
                own_reward[s] = reward[arg]
                row = s * K if K else own_start[s]
                source = arg * K if K else start[arg]
                length = K if K else start[arg + 1] - start[arg]
                for k in range(length):
                    own_target[row + k] = target[source + k]
                    own_probability[row + k] = probability[source + k]
                if not K:
                    for b in range(row + length, own_start[s + 1]):
                        own_probability[b] = 0.0
            greatest = max(greatest, abs(best - value[s]))
            value[s] = best
        return greatest

    return kernel


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
) -> Any:
    """Rows in another order, the discount inside, self-loops solved for; padded to A choices of K branches unless 0.

    The first choice is repeated where there are fewer than A; a state without choices has empty ones. A choice that
    stays for certain is worth minus infinity.
    """
    states = len(choice_start) - 1
    choices = states * A if A else len(reward)
    begins, starts = np.empty(states + 1, np.int64), np.empty(choices + 1, np.int64)
    targets = np.empty(choices * K if A else len(target), np.int32)
    probabilities, rewards = np.empty(len(targets)), np.empty(choices)
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
    return begins, starts, targets, probabilities, rewards


@_compiled
@typing.no_type_check
def pad(K: Any, start: Any, target: Any, probability: Any) -> Any:
    """Rows of K branches each, the last ones of probability 0."""
    choices = len(start) - 1
    targets, probabilities = np.empty(choices * K, np.int32), np.empty(choices * K)
    for c in range(choices):
        length = start[c + 1] - start[c]
        for k in range(length):
            targets[c * K + k] = target[start[c] + k]
            probabilities[c * K + k] = probability[start[c] + k]
        for k in range(length, K):
            targets[c * K + k] = 0
            probabilities[c * K + k] = 0.0
    return targets, probabilities
