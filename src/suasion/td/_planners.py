"""Learning a model and from it: Dyna-Q and prioritised sweeping, step by step.

The model is how often each outcome of each choice was met. Nothing else is read of the true one: its branches give
outcomes their numbers, and one that was never met has the count 0.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit

from suasion.td._choices import scan, towards
from suasion.td._random import uniform

_compiled = njit(cache=True, nogil=True)


@_compiled
@typing.no_type_check
def observe(tried, listed, held, low, width, choice):
    """Count a choice, and list its state when it is left for the first time; how many are listed."""
    known = False
    for a in range(width):
        known |= tried[low + a] > 0
    if not known:
        listed[held] = low
        held += 1
    tried[choice] += 1
    return held


@_compiled
@typing.no_type_check
def below(s0, s1, count):
    """A whole number below a count, all alike; without a draw where there is only one."""
    if count == 1:
        return np.int64(0), s0, s1
    number, s0, s1 = uniform(s0, s1)
    return min(np.int64(number * count), np.int64(count) - 1), s0, s1


@_compiled
@typing.no_type_check
def imagine(
    s0,
    s1,
    row,
    visits,
    counts,
    tried,
    last,
    listed,
    held,
    widths,
    branches,
    steps,
    planning,
    bonus,
    step_size,
    discount,
):
    """Dyna's planning: updates of Q-learning from the model, for states and choices that were met, all alike.

    With a bonus, choices never made in such a state count as well: they are thought to lead back to it for nothing.
    """
    for _ in range(planning):
        place, s0, s1 = below(s0, s1, held)
        low = listed[place]
        width = widths[low]
        known = width
        if bonus == 0.0:
            known = 0
            for a in range(width):
                known += tried[low + a] > 0
        left, s0, s1 = below(s0, s1, known)
        choice = low
        for a in range(width):
            if bonus > 0.0 or tried[low + a] > 0:
                if left == 0:
                    choice = low + a
                    break
                left -= 1
        reward, value = 0.0, 0.0
        if tried[choice] == 0:
            value, _, _ = scan(row, low, width)
        else:
            left, s0, s1 = below(s0, s1, tried[choice])
            b = branches.start[choice]
            while left >= counts[b]:
                left -= counts[b]
                b += 1
            reward = branches.reward[b]
            if branches.width[b] > 0:
                value, _, _ = scan(row, branches.low[b], branches.width[b])
        if bonus > 0.0:
            reward += bonus * np.sqrt(np.float64(steps - last[choice]))
        towards(row, visits, choice, reward + discount * value, step_size)
    return s0, s1


@_compiled
@typing.no_type_check
def backup(row, counts, tried, branches, choice, discount):
    """What a choice is worth by the frequencies of its outcomes."""
    total = 0.0
    for b in range(branches.start[choice], branches.start[choice + 1]):
        if counts[b] > 0:
            value = branches.reward[b]
            if branches.width[b] > 0:
                best, _, _ = scan(row, branches.low[b], branches.width[b])
                value += discount * best
            total += counts[b] * value
    return total / tried[choice]


@_compiled
@typing.no_type_check
def before(urgency, one, other):
    """Whether one choice is more urgent than another; of equal ones the first is."""
    return urgency[one] > urgency[other] or (urgency[one] == urgency[other] and one < other)


@_compiled
@typing.no_type_check
def put(heap, place, urgency, at, choice):
    """Put a choice in a place of the heap, and let it rise to where it belongs. `place` is one more than that."""
    while at > 0 and before(urgency, choice, heap[(at - 1) // 2]):
        heap[at] = heap[(at - 1) // 2]
        place[heap[at]] = at + 1
        at = (at - 1) // 2
    heap[at] = choice
    place[choice] = at + 1


@_compiled
@typing.no_type_check
def pop(heap, place, urgency, held):
    """Take the most urgent choice; how many are left."""
    place[heap[0]] = 0
    held -= 1
    last, at = heap[held], 0
    while 2 * at + 1 < held:
        child = 2 * at + 1
        if child + 1 < held and before(urgency, heap[child + 1], heap[child]):
            child += 1
        if before(urgency, last, heap[child]):
            break
        heap[at] = heap[child]
        place[heap[at]] = at + 1
        at = child
    if held > 0:
        heap[at] = last
        place[last] = at + 1
    return held


@_compiled
@typing.no_type_check
def demand(row, counts, tried, heap, place, urgency, held, branches, choice, threshold, discount):
    """Queue a choice by how far its value is off, if that is more than the threshold; how many are in the queue."""
    off = abs(backup(row, counts, tried, branches, choice, discount) - row[choice])
    if off <= threshold:
        return held
    if place[choice] == 0:
        urgency[choice] = off
        put(heap, place, urgency, held, choice)
        return held + 1
    if off > urgency[choice]:
        urgency[choice] = off
        put(heap, place, urgency, place[choice] - 1, choice)
    return held


@_compiled
@typing.no_type_check
def sweep(
    row,
    visits,
    counts,
    tried,
    heap,
    place,
    urgency,
    held,
    lows,
    branches,
    choice,
    planning,
    threshold,
    step_size,
    discount,
):
    """Prioritised sweeping after a step: the most urgent backups, and what they make urgent; how many are left."""
    held = demand(row, counts, tried, heap, place, urgency, held, branches, choice, threshold, discount)
    for _ in range(planning):
        if held == 0:
            break
        top = heap[0]
        held = pop(heap, place, urgency, held)
        towards(row, visits, top, backup(row, counts, tried, branches, top, discount), step_size)
        low = lows[top]
        for i in range(branches.into_start[low], branches.into_start[low + 1]):
            b = branches.into[i]
            if counts[b] > 0:
                leads = branches.choice[b]
                held = demand(row, counts, tried, heap, place, urgency, held, branches, leads, threshold, discount)
    return held
