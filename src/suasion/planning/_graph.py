"""The graph of a model: who can reach the end, in how many steps, and what hangs together. Compiled.

S states, C choices, B branches; branches of probability 0 are padding and no edges.
"""

from __future__ import annotations

import typing
from typing import Any, NamedTuple

import numba
import numpy as np
from jaxtyping import Int, Int64
from numpy import ndarray

from suasion.planning._rows import Rows

_compiled = numba.njit(cache=True, nogil=True)


class Components(NamedTuple):
    """Strongly connected components, each after all that it leads to.

    Attributes:
        order: the states, component by component, int32[S].
        start: int64[N + 1]; component i has the states order[start[i] : start[i + 1]].
    """

    order: Int[ndarray, "_"]
    start: Int64[ndarray, "_"]


def components(rows: Rows) -> Components:
    """Strongly connected components of the states in topological order, the last ones first (Tarjan 1972)."""
    order, start, count = _tarjan(rows.choice_start, rows.start, rows.target, rows.probability)
    return Components(order, start[: count + 1])


def outwards(rows: Rows, goal: ndarray) -> tuple[Int[ndarray, "_"], Int[ndarray, "_"]]:
    """States in the order of a breadth-first search against the arrows, from the goal.

    Args:
        rows: the model.
        goal: bool[S].

    Returns:
        The states that can reach the goal, nearest first, int32; and the least number of steps there of each state,
        int32[S], -1 where there is no way.
    """
    return _search(rows.choice_start, rows.start, rows.target, rows.probability, goal)


@_compiled
@typing.no_type_check
def _tarjan(choice_start: Any, start: Any, target: Any, probability: Any) -> Any:
    states = len(choice_start) - 1
    unseen = -1
    index = np.full(states, unseen, np.int32)  # order of discovery; states + 1 once its component is closed
    low = np.empty(states, np.int32)
    edge = np.empty(states, np.int64)  # next branch to look at
    path = np.empty(states, np.int32)
    stack = np.empty(states, np.int32)
    order = np.empty(states, np.int32)
    begin = np.zeros(states + 1, np.int64)
    closed, placed, count, held = states + 1, 0, 0, 0
    number = 0
    for root in range(states):
        if index[root] != unseen:
            continue
        depth = 0
        path[0] = root
        index[root] = low[root] = number
        number += 1
        edge[root] = start[choice_start[root]]
        stack[held] = root
        held += 1
        while depth >= 0:
            s = path[depth]
            last = start[choice_start[s + 1]]
            descended = False
            b = edge[s]
            while b < last:
                j = target[b]
                if probability[b] > 0 and j != s:
                    if index[j] == unseen:
                        descended = True
                        break
                    if index[j] != closed:
                        low[s] = min(low[s], index[j])
                b += 1
            edge[s] = b + 1
            if descended:
                j = target[b]
                index[j] = low[j] = number
                number += 1
                edge[j] = start[choice_start[j]]
                stack[held] = j
                held += 1
                depth += 1
                path[depth] = j
                continue
            if low[s] == index[s]:
                while True:
                    held -= 1
                    j = stack[held]
                    index[j] = closed
                    order[placed] = j
                    placed += 1
                    if j == s:
                        break
                count += 1
                begin[count] = placed
            depth -= 1
            if depth >= 0:
                low[path[depth]] = min(low[path[depth]], low[s])
    return order, begin, count


@_compiled
@typing.no_type_check
def predecessors(choice_start: Any, start: Any, target: Any, probability: Any) -> Any:
    """The states that lead to each state: offsets and states, self-loops left out, one entry for each branch."""
    states = len(choice_start) - 1
    offsets = np.zeros(states + 1, np.int64)
    for s in range(states):
        for b in range(start[choice_start[s]], start[choice_start[s + 1]]):
            if probability[b] > 0 and target[b] != s:
                offsets[target[b] + 1] += 1
    for s in range(states):
        offsets[s + 1] += offsets[s]
    place = offsets[:-1].copy()
    source = np.empty(offsets[states], np.int32)
    for s in range(states):
        for b in range(start[choice_start[s]], start[choice_start[s + 1]]):
            if probability[b] > 0 and target[b] != s:
                source[place[target[b]]] = s
                place[target[b]] += 1
    return offsets, source


@_compiled
@typing.no_type_check
def _search(choice_start: Any, start: Any, target: Any, probability: Any, goal: Any) -> Any:
    offsets, source = predecessors(choice_start, start, target, probability)
    states = len(choice_start) - 1
    distance = np.full(states, -1, np.int32)
    queue = np.empty(states, np.int32)
    end = 0
    for s in range(states):
        if goal[s]:
            distance[s] = 0
            queue[end] = s
            end += 1
    first = 0
    while first < end:
        s = queue[first]
        first += 1
        for i in range(offsets[s], offsets[s + 1]):
            j = source[i]
            if distance[j] < 0:
                distance[j] = distance[s] + 1
                queue[end] = j
                end += 1
    return queue[:end].copy(), distance


@_compiled
@typing.no_type_check
def nearer(choice_start: Any, start: Any, target: Any, probability: Any, distance: Any) -> Any:
    """How many states have a state one step nearer to the goal before them, how many after them, out of how many."""
    before, after, count = 0, 0, 0
    for s in range(len(choice_start) - 1):
        if distance[s] <= 0:
            continue
        count += 1
        earlier, later = False, False
        for b in range(start[choice_start[s]], start[choice_start[s + 1]]):
            if probability[b] > 0 and distance[target[b]] == distance[s] - 1:
                earlier = earlier or target[b] < s
                later = later or target[b] > s
        before += earlier
        after += later
    return before, after, count
