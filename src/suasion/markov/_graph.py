"""Communicating classes, periods and reachability of a transition matrix, in time linear in its entries.

S states, K classes.
"""

from __future__ import annotations

import math
import typing
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from numba import njit
from numpy import ndarray
from scipy import sparse
from scipy.sparse import csgraph


class Classes(NamedTuple):
    """Communicating classes, in the order of their first states.

    Attributes:
        label: class of each state, int64[S].
        closed: whether a class is never left: just these are recurrent, bool[K].
        period: greatest common divisor of the lengths of ways back to a state of the class, int64[K]; 0 where there is
            no way back (a transient state alone).
    """

    label: Int64[ndarray, "_"]
    closed: Bool[ndarray, "_"]
    period: Int64[ndarray, "_"]

    def members(self, number: int | np.integer) -> Int64[ndarray, "_"]:
        """States of a class, ascending."""
        return np.flatnonzero(self.label == number)


def communicating_classes(transition: sparse.csr_array) -> Classes:
    """Strongly connected components, which of them are closed, and their periods; every entry must be positive."""
    count, raw = csgraph.connected_components(transition, directed=True, connection="strong")
    first = np.full(count, len(raw))
    np.minimum.at(first, raw, np.arange(len(raw)))
    rank = np.empty(count, np.int64)
    rank[np.argsort(first)] = np.arange(count)
    label = rank[raw]
    source = np.repeat(label, np.diff(transition.indptr))
    target = label[transition.indices]
    closed = np.ones(count, bool)
    closed[source[source != target]] = False
    period = _periods(
        transition.indptr.astype(np.int64), transition.indices.astype(np.int64), label, np.sort(first).astype(np.int64)
    )
    return Classes(label, closed, period)


def reaches(transition: sparse.csr_array, goal: ndarray, through: ndarray | None = None) -> ndarray:
    """Which states reach the goal, itself included, on ways whose states before it all lie in `through`; bool[S]."""
    into = sparse.csc_array(transition)
    return _backwards(into.indptr.astype(np.int64), into.indices.astype(np.int64), goal, _all(goal, through))


def _all(goal: ndarray, through: ndarray | None) -> ndarray:
    return np.ones(len(goal), bool) if through is None else through


@njit(cache=True)
@typing.no_type_check
def _backwards(start, source, goal, through):
    """Search from the goal against the arrows."""
    found = goal.copy()
    stack = np.empty(len(goal), np.int64)
    top = 0
    for s in range(len(goal)):
        if goal[s]:
            stack[top] = s
            top += 1
    while top:
        top -= 1
        s = stack[top]
        for e in range(start[s], start[s + 1]):
            before = source[e]
            if not found[before] and through[before]:
                found[before] = True
                stack[top] = before
                top += 1
    return found


@njit(cache=True)
@typing.no_type_check
def _periods(start, target, label, first):
    """gcd over the arrows s -> s' within a class of level(s) + 1 - level(s'); levels by a search in breadth."""
    level = np.full(len(label), -1, np.int64)
    queue = np.empty(len(label), np.int64)
    period = np.zeros(len(first), np.int64)
    for number in range(len(first)):
        queue[0], head, tail = first[number], 0, 1
        level[first[number]] = 0
        while head < tail:
            s = queue[head]
            head += 1
            for e in range(start[s], start[s + 1]):
                t = target[e]
                if label[t] != number:
                    continue
                if level[t] < 0:
                    level[t] = level[s] + 1
                    queue[tail] = t
                    tail += 1
                else:
                    period[number] = math.gcd(period[number], level[s] + 1 - level[t])
    return period
