r"""Stationary distribution of a large irreducible chain: aggregation and disaggregation on many levels.

The unknown is kept as a factor y on an iterate x. With the flows $B_{ij} = p_{ji} x_j$ (from j to i, i != j) it solves
$\sum_j B_{ij} y_j = d_j y_i$, d the column sums of B: y = 1 once x is stationary. Groups of states that exchange much
flow become the states of a smaller problem of the same kind, whose solution multiplies the groups; Gauss-Seidel sweeps
smooth what a group cannot express. Nothing is subtracted, so entries keep their relative accuracy as in elimination.

References:
    Horton & Leutenegger (1994), multi-level aggregation; Notay (2010), groups by pairing twice.
"""

from __future__ import annotations

import typing
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy import ndarray
from scipy import sparse

from suasion.markov._elimination import stationary_by_elimination

_SMALLEST = 200
_SMOOTHING = 2
FLOOR = 1e-150  # probabilities below are taken for this: products of two of them must not underflow
_WEAK = 0.25  # of the strongest link of a state


class Level(NamedTuple):
    """Pattern of one level; row i of it holds what flows into i, without the diagonal.

    Attributes:
        start: int64[n + 1].
        source: int64[nnz].
        group: state of the next level that each state belongs to, int64[n]; empty on the last.
        place: where each entry is added on the next level, int64[nnz]; -1 within a group.
    """

    start: ndarray
    source: ndarray
    group: ndarray
    place: ndarray


def build_levels(start: ndarray, source: ndarray, flow: ndarray) -> list[Level]:
    """Levels from fine to coarse, grouped by the flows as they are now."""
    levels = []
    while len(start) - 1 > _SMALLEST:
        group = _groups(start, source, flow)
        if group.max() + 1 > 0.9 * len(group):
            break
        coarse_start, coarse_source, place = _coarsen(start, source, group)
        levels.append(Level(start, source, group, place))
        flow = _gather(flow, place, len(coarse_source))
        start, source = coarse_start, coarse_source
    levels.append(Level(start, source, np.zeros(0, np.int64), np.zeros(0, np.int64)))
    return levels


def _groups(start: ndarray, source: ndarray, flow: ndarray) -> ndarray:
    """Pairs of pairs, by the flow both ways."""
    size = len(start) - 1
    into = sparse.csr_array((flow, source, start), shape=(size, size))
    both = sparse.csr_array(into + into.T)
    near, there, flow = both.indptr.astype(np.int64), both.indices.astype(np.int64), both.data
    outflow = _column_sums(there, flow, size)
    group = _pairs(near, there, flow, outflow, np.zeros(size))
    half_near, half_there, place = _coarsen(near, there, group)
    between = _gather(flow, place, len(half_there))
    total = np.bincount(group, weights=outflow)
    inner = 1.0 - _column_sums(half_there, between, len(total)) / total
    return _pairs(half_near, half_there, between, total, inner)[group]


def cycle(levels: list[Level], flow: ndarray, factor: ndarray, depth: int = 0) -> None:
    """Improve `factor`, in place: two visits to each coarser level, combined as well as they can be."""
    level = levels[depth]
    outflow = _column_sums(level.source, flow, len(factor))
    if depth == len(levels) - 1:
        _solve_last(level, flow, outflow, factor)
        return
    for _ in range(_SMOOTHING):
        sweep(level.start, level.source, flow, outflow, factor, forwards=True)
    scaled = _scale(level.source, flow, factor)
    coarse = _gather(scaled, level.place, len(levels[depth + 1].source))
    factor *= _solve_above(levels, coarse, depth + 1)[level.group]
    for _ in range(_SMOOTHING):
        sweep(level.start, level.source, flow, outflow, factor, forwards=False)


def _solve_above(levels: list[Level], flow: ndarray, depth: int) -> ndarray:
    """Factors of a coarser level, from ones: two cycles, and the best combination of what they passed through."""
    level = levels[depth]
    size = len(level.start) - 1
    into = sparse.csr_array((flow, level.source, level.start), shape=(size, size))
    outflow = _column_sums(level.source, flow, size)
    tried, left = [np.ones(size)], [into.sum(axis=1) - outflow]
    for _ in range(1 if depth == len(levels) - 1 else 2):
        factor = tried[-1].copy()
        cycle(levels, flow, factor, depth)
        tried.append(factor / factor.mean())
        left.append(into @ tried[-1] - outflow * tried[-1])
        if depth < len(levels) - 1:
            tried[-1] = combine(tried, left, outflow)
            left[-1] = into @ tried[-1] - outflow * tried[-1]
    return tried[-1]


def combine(states: list[ndarray], residuals: list[ndarray], scale: ndarray) -> ndarray:
    r"""The affine combination of the last iterates whose residual e is smallest: $\sum_i e_i^2 / \text{scale}_i$.

    Entries that it would make negative are left as they are: only the residual says how good an iterate is.
    """
    newest = states[-1]
    weight = 1 / np.sqrt(np.maximum(scale, FLOOR))
    last = residuals[-1] * weight
    steps = np.array([(r * weight - last) for r in residuals[:-1]])
    size = np.abs(steps).max(axis=1)
    if not (np.isfinite(size).all() and (size > 0).all()):
        return newest
    share = np.linalg.lstsq((steps / size[:, None]).T, -last, rcond=1e-12)[0] / size
    combined = newest + sum(c * (x - newest) for c, x in zip(share, states[:-1], strict=True))
    combined = np.where(combined > 0, combined, newest)
    return combined * (newest.sum() / combined.sum())


def _solve_last(level: Level, flow: ndarray, outflow: ndarray, factor: ndarray) -> None:
    """Elimination, if the last level is small; else sweeps."""
    size = len(factor)
    if size <= 4 * _SMALLEST:
        into = sparse.csr_array((flow, level.source, level.start), shape=(size, size)).toarray()
        # Rows of flows do not sum to 1; elimination reads no diagonal, so it balances them as well.
        try:
            factor[:] = stationary_by_elimination(np.ascontiguousarray(into.T) / outflow.max()) * size
        except ValueError:  # flows that underflow; they are too small to matter, so sweeps will do
            pass
        else:
            return
    for number in range(20):
        sweep(level.start, level.source, flow, outflow, factor, forwards=number % 2 == 0)


@njit(cache=True)
@typing.no_type_check
def sweep(start, source, flow, outflow, factor, forwards):
    """Gauss-Seidel: each factor balances the flows into and out of its state."""
    size = len(factor)
    for k in range(size):
        i = k if forwards else size - 1 - k
        total = 0.0
        for e in range(start[i], start[i + 1]):
            total += flow[e] * factor[source[e]]
        if outflow[i] > 0:  # else the flows of this state have underflowed, and its factor does not matter
            factor[i] = total / outflow[i]


@njit(cache=True)
@typing.no_type_check
def _column_sums(source, flow, size):
    """What flows out of each state."""
    total = np.zeros(size)
    for e in range(len(source)):
        total[source[e]] += flow[e]
    return total


@njit(cache=True)
@typing.no_type_check
def _scale(source, flow, factor):
    scaled = np.empty_like(flow)
    for e in range(len(source)):
        scaled[e] = flow[e] * factor[source[e]]
    return scaled


@njit(cache=True)
@typing.no_type_check
def _gather(flow, place, size):
    """Sum the flows between groups."""
    total = np.zeros(size)
    for e in range(len(flow)):
        if place[e] >= 0:
            total[place[e]] += flow[e]
    return total


@njit(cache=True)
@typing.no_type_check
def _pairs(start, source, flow, outflow, inner):
    """Group each state with the free neighbour it exchanges most with; alone, if it exchanges far more with another.

    Never over a weak link: a group that joins two nearly separate parts cannot express how much each part weighs. A
    link's strength is its flow over the smaller outflow of its ends; `inner` is the share that stays within a pair.
    """
    size = len(start) - 1
    group = np.full(size, -1, np.int64)
    count = 0
    for i in range(size):
        if group[i] >= 0:
            continue
        best, most, strongest = -1, 0.0, inner[i]
        for e in range(start[i], start[i + 1]):
            j = source[e]
            strength = flow[e] / min(outflow[i], outflow[j])
            strongest = max(strongest, strength)
            if group[j] < 0 and j != i and strength > most:
                best, most = j, strength
        group[i] = count
        if best >= 0 and most >= _WEAK * strongest:
            group[best] = count
        count += 1
    return group


@njit(cache=True)
@typing.no_type_check
def _coarsen(start, source, group):
    """Pattern between groups, and where each entry goes in it."""
    size, count = len(start) - 1, group.max() + 1
    first = np.zeros(count + 1, np.int64)
    for i in range(size):
        first[group[i] + 1] += 1
    first = np.cumsum(first)
    member = np.empty(size, np.int64)
    fill = first[:-1].copy()
    for i in range(size):
        member[fill[group[i]]] = i
        fill[group[i]] += 1
    place = np.full(len(source), -1, np.int64)
    seen = np.full(count, -1, np.int64)
    coarse_start = np.zeros(count + 1, np.int64)
    coarse_source = np.empty(len(source), np.int64)
    total = 0
    for g in range(count):
        begin = total
        for m in range(first[g], first[g + 1]):
            i = member[m]
            for e in range(start[i], start[i + 1]):
                h = group[source[e]]
                if h == g:
                    continue
                if seen[h] < begin:
                    seen[h] = total
                    coarse_source[total] = h
                    total += 1
                place[e] = seen[h]
        coarse_start[g + 1] = total
    return coarse_start, coarse_source[:total].copy(), place
