"""Prioritised sweeping: the state whose value is most in doubt comes next (Moore & Atkeson 1993). Compiled.

A change of V(s) by d can change V of a predecessor by p d at most, p being the discounted probability of a branch to s:
what has come in since its last update bounds how much a state's value is in doubt. States wait in a binary heap.
"""

from __future__ import annotations

import typing
from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
@typing.no_type_check
def prioritised(
    choice_start: Any, start: Any, target: Any, probability: Any, reward: Any, value: Any, small: Any, limit: Any
) -> Any:
    """Updates until no state is in doubt by more than `small`, `limit` at most; how many, and whether that was so.

    Rows have no self-loops and the discount inside (`_sweeps.folded`).
    """
    states = len(choice_start) - 1
    offsets, source, weight = _influenced(choice_start, start, target, probability)
    doubt = np.empty(states)
    heap = np.arange(states)
    place = np.arange(states)
    for s in range(states):
        doubt[s] = abs(_best(s, choice_start, start, target, probability, reward, value) - value[s])
    for i in range(states // 2 - 1, -1, -1):
        _down(heap, place, doubt, i)
    updates = 0
    while states and doubt[heap[0]] > small:
        if updates >= limit:
            return updates, False
        updates += 1
        s = heap[0]
        best = _best(s, choice_start, start, target, probability, reward, value)
        change = abs(best - value[s])
        value[s] = best
        doubt[s] = 0.0
        _down(heap, place, doubt, 0)
        if change == 0:
            continue
        for i in range(offsets[s], offsets[s + 1]):
            doubt[source[i]] += weight[i] * change
            _up(heap, place, doubt, place[source[i]])
    return updates, True


@_compiled
@typing.no_type_check
def _best(s: Any, choice_start: Any, start: Any, target: Any, probability: Any, reward: Any, value: Any) -> Any:
    best = -np.inf
    for c in range(choice_start[s], choice_start[s + 1]):
        q = reward[c]
        for b in range(start[c], start[c + 1]):
            q += probability[b] * value[target[b]]
        best = max(best, q)
    return best if choice_start[s] < choice_start[s + 1] else 0.0


@_compiled
@typing.no_type_check
def _influenced(choice_start: Any, start: Any, target: Any, probability: Any) -> Any:
    """Of each state the predecessors, and the probability of the branch from there."""
    states = len(choice_start) - 1
    offsets = np.zeros(states + 1, np.int64)
    for b in range(len(target)):
        if probability[b] > 0:
            offsets[target[b] + 1] += 1
    for s in range(states):
        offsets[s + 1] += offsets[s]
    place = offsets[:-1].copy()
    source = np.empty(offsets[states], np.int32)
    weight = np.empty(offsets[states])
    for s in range(states):
        for b in range(start[choice_start[s]], start[choice_start[s + 1]]):
            if probability[b] > 0:
                source[place[target[b]]] = s
                weight[place[target[b]]] = probability[b]
                place[target[b]] += 1
    return offsets, source, weight


@_compiled
@typing.no_type_check
def _down(heap: Any, place: Any, doubt: Any, i: Any) -> None:
    s = heap[i]
    while 2 * i + 1 < len(heap):
        child = 2 * i + 1
        if child + 1 < len(heap) and doubt[heap[child + 1]] > doubt[heap[child]]:
            child += 1
        if doubt[heap[child]] <= doubt[s]:
            break
        heap[i] = heap[child]
        place[heap[i]] = i
        i = child
    heap[i] = s
    place[s] = i


@_compiled
@typing.no_type_check
def _up(heap: Any, place: Any, doubt: Any, i: Any) -> None:
    s = heap[i]
    while i > 0:
        parent = (i - 1) // 2
        if doubt[heap[parent]] >= doubt[s]:
            break
        heap[i] = heap[parent]
        place[heap[i]] = i
        i = parent
    heap[i] = s
    place[s] = i
