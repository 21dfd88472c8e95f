"""What all rules are made of: how choices are made, and how values are moved.

A state's choices are the entries `low` to `low + count - 1` of a table. A choice among several takes one number of the
stream, the only one there is takes none.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit

from suasion.td._random import uniform
from suasion.td._schedules import CONSTANT, LINEAR

_compiled = njit(cache=True, nogil=True)

UNIFORM, FIRST, SOFTMAX, GREEDY, UPPER = range(5)


@_compiled
@typing.no_type_check
def scheduled(schedule, n):
    """The n-th number of a schedule."""
    kind, first, second, third = schedule
    if kind == CONSTANT:
        return first
    if kind == LINEAR:
        return first + (second - first) * min(1.0, (n - 1.0) / (third - 1.0))
    if second == 1.0:
        return first * (1.0 + third) / (n + third)
    return first * ((1.0 + third) / (n + third)) ** second


@_compiled
@typing.no_type_check
def scan(row, low, count):
    """The greatest value of a state's choices, the first that has it, and how many have it."""
    best = row[low]
    for a in range(1, count):
        v = row[low + a]
        best = v if v > best else best
    arg, ties = 0, 0
    for a in range(count - 1, -1, -1):
        if row[low + a] == best:
            arg = a
            ties += 1
    return best, arg, ties


@_compiled
@typing.no_type_check
def pick(row, low, count, best, arg, ties, acting, level, number):
    """A choice by a uniform number, given the scan of its state."""
    if acting == SOFTMAX:
        total = 0.0
        for a in range(count):
            total += np.exp((row[low + a] - best) / level)
        share = number * total
        for a in range(count - 1):
            share -= np.exp((row[low + a] - best) / level)
            if share < 0.0:
                return low + a
        return low + count - 1
    if number < level:
        return low + min(np.int64(number / level * count), count - 1)
    if ties == 1 or acting == FIRST:
        return low + arg
    left = min(np.int64((number - level) / (1.0 - level) * ties), ties - 1)
    for a in range(count):
        if row[low + a] == best:
            if left == 0:
                return low + a
            left -= 1
    return low + arg


@_compiled
@typing.no_type_check
def choose(s0, s1, row, low, count, acting, level):
    """A choice in a state; the only one there is, without a draw. And the state of the stream after it."""
    if count == 1:
        return low, s0, s1
    best, arg, ties = scan(row, low, count)
    number, s0, s1 = uniform(s0, s1)
    return pick(row, low, count, best, arg, ties, acting, level, number), s0, s1


@_compiled
@typing.no_type_check
def bound(row, tried, choice, spread, width):
    """An upper confidence bound; infinite where nothing is known. `spread` is the logarithm of the state's visits."""
    return row[choice] + width * np.sqrt(spread / tried[choice]) if tried[choice] > 0 else np.inf


@_compiled
@typing.no_type_check
def upper(s0, s1, row, tried, low, count, width):
    """A choice whose upper confidence bound is greatest, and the state of the stream after it."""
    if count == 1:
        return low, s0, s1
    total = 0
    for a in range(count):
        total += tried[low + a]
    spread = np.log(total + 1.0)
    best, ties = -np.inf, 0
    for a in range(count):
        score = bound(row, tried, low + a, spread, width)
        if score > best:
            best, ties = score, 1
        elif score == best:
            ties += 1
    number, s0, s1 = uniform(s0, s1)
    left = min(np.int64(number * ties), ties - 1)
    for a in range(count):
        if bound(row, tried, low + a, spread, width) == best:
            if left == 0:
                return low + a, s0, s1
            left -= 1
    return low, s0, s1


@_compiled
@typing.no_type_check
def expectation(row, low, count, choice, acting, level):
    """What a policy expects of its values in a state, and the probability of one choice."""
    best, arg, ties = scan(row, low, count)
    if acting == SOFTMAX:
        total, mean = 0.0, 0.0
        for a in range(count):
            weight = np.exp((row[low + a] - best) / level)
            total += weight
            mean += weight * row[low + a]
        return mean / total, np.exp((row[choice] - best) / level) / total
    share = 0.0 if acting == GREEDY else level
    total = 0.0
    for a in range(count):
        total += row[low + a]
    probability = share / count
    if acting == FIRST:
        probability += (1.0 - share) * (choice == low + arg)
    elif row[choice] == best:
        probability += (1.0 - share) / ties
    return (1.0 - share) * best + share * (total / count), probability


@_compiled
@typing.no_type_check
def rate(step_size, visits, choice):
    """The step size of an update, which is counted; a constant one is not."""
    if step_size[0] == CONSTANT:
        return step_size[1]
    visits[choice] += 1
    return scheduled(step_size, visits[choice])


@_compiled
@typing.no_type_check
def towards(row, visits, choice, target, step_size):
    """Move a value towards its target."""
    row[choice] += rate(step_size, visits, choice) * (target - row[choice])
