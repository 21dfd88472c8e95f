"""Drawing from many discrete distributions at once, for simulation; kernels in Numba.

Each row holds its running sums; a uniform number picks the first entry whose running sum exceeds it.
"""

from __future__ import annotations

import typing

import numpy as np
from numba import njit
from numpy import ndarray


@njit(cache=True)
@typing.no_type_check
def running_sums(start, probability):
    """Running sums of each row, from its first entry."""
    total = np.empty(len(probability))
    for row in range(len(start) - 1):
        held = 0.0
        for e in range(start[row], start[row + 1]):
            held += probability[e]
            total[e] = held
    return total


@njit(cache=True)
@typing.no_type_check
def draw(start, sums, row, uniform):
    """Index of an entry of the row."""
    low, high = start[row], start[row + 1] - 1
    level = uniform * sums[high]
    while low < high:
        middle = (low + high) // 2
        if sums[middle] > level:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
@typing.no_type_check
def walk(start, target, sums, uniform, states):
    """Fill states[w, 1:] from states[w, 0]; uniform[t, w] moves walk w in step t."""
    for t in range(uniform.shape[0]):
        for w in range(uniform.shape[1]):
            states[w, t + 1] = target[draw(start, sums, states[w, t], uniform[t, w])]


def count_walks(walks: int | None, start: ndarray | int | None, steps: int) -> int:
    """How many walks: as told, as many as there are starts, or one.

    Raises:
        ValueError: fewer than one, another number than that of the starts, or a negative number of steps.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}, below 0")
    starts = 1 if start is None else int(np.size(start))
    number = starts if walks is None else walks
    if number < 1 or starts not in (1, number):
        raise ValueError(f"there are {number} walks and {starts} starts: one start, or one for each of 1 walk or more")
    return number


def first_states(rng: np.random.Generator, walks: int, start: ndarray | int | None, initial: ndarray | None) -> ndarray:
    """Where the walks begin: as told, or drawn from the initial distribution.

    Raises:
        ValueError: neither is given, or a start is no state.
    """
    if start is not None:
        return np.broadcast_to(np.asarray(start, np.int64), (walks,))
    if initial is None:
        raise ValueError("give start, or a model with an initial distribution")
    likely = np.flatnonzero(initial)
    sums = np.cumsum(initial[likely])
    return likely[np.minimum(np.searchsorted(sums, rng.random(walks) * sums[-1], side="right"), len(likely) - 1)]


def check_start(states: ndarray, size: int) -> None:
    """Refuse a start that is no state."""
    if ((states < 0) | (states >= size)).any():
        w = int(np.argmax((states < 0) | (states >= size)))
        raise ValueError(f"walk {w} starts in {int(states[w])}: states are 0 to {size - 1}")
