r"""Stationary distributions: $\pi P = \pi$, one for each closed class.

Dense or small: elimination. Large and sparse: Gauss-Seidel sweeps while they converge fast, aggregation on many levels
where they do not. S states, K closed classes.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from scipy import sparse

from suasion.markov._elimination import stationary_by_elimination
from suasion.markov._graph import Classes
from suasion.markov._multilevel import FLOOR, build_levels, combine, cycle, sweep

_SMALL = 2000
_SWEEPS = 12  # between two looks at the residual
_PATIENCE = 120  # sweeps; where more are needed, cycles are faster
_WINDOW = 6  # earlier iterates that an accelerated one combines
_STALLED = 0.5  # of the residual left after a window of cycles: the groups no longer fit, and are made again


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Stationary:
    r"""The extreme stationary distributions; every other one is a mixture of them.

    Attributes:
        distributions: one for each closed class, in the order of their first states, float64[K, S].
        residual: $\lVert \pi P - \pi \rVert_1$ of each, as computed, float64[K].
        converged: whether the residual is within the tolerance, bool[K].
        iterations: sweeps over the chain (a cycle on many levels counts as its four); 0 where eliminated, int64[K].
    """

    distributions: Float64[ndarray, "_ _"]
    residual: Float64[ndarray, "_"]
    converged: Bool[ndarray, "_"]
    iterations: Int64[ndarray, "_"]

    @property
    def distribution(self) -> Float64[ndarray, "_"]:
        """The only one, float64[S].

        Raises:
            ValueError: there are several.
        """
        if len(self.distributions) != 1:
            raise ValueError(f"there are {len(self.distributions)} closed classes, each with a distribution of its own")
        return self.distributions[0]


def stationary(
    transition: sparse.csr_array, classes: Classes, tolerance: float, limit: int, *, dense: bool
) -> Stationary:
    """All extreme stationary distributions; `limit` sweeps at most for each, or all by elimination if dense."""
    closed = np.flatnonzero(classes.closed)
    held = np.zeros((len(closed), len(classes.label)))
    residual, iterations = np.zeros(len(closed)), np.zeros(len(closed), np.int64)
    order = np.argsort(classes.label, kind="stable")
    bounds = np.searchsorted(classes.label[order], np.arange(len(classes.closed) + 1))
    for row, number in enumerate(closed):
        members = order[bounds[number] : bounds[number + 1]]
        within = transition if len(members) == transition.shape[0] else transition[members][:, members]
        if dense or len(members) <= _SMALL:
            found = stationary_by_elimination(within.toarray())
        else:
            found, iterations[row] = _iterate(within, tolerance, limit)
        held[row, members] = found
        residual[row] = np.abs(found @ within - found).sum()
    return Stationary(distributions=held, residual=residual, converged=residual <= tolerance, iterations=iterations)


def _iterate(transition: sparse.csr_array, tolerance: float, limit: int) -> tuple[ndarray, int]:
    """Sweeps and, where they are slow, accelerated cycles; the iterate with the smallest residual, and the sweeps."""
    into = sparse.csr_array(transition.T)
    into.setdiag(0.0)
    into.eliminate_zeros()
    start, source = into.indptr.astype(np.int64), into.indices.astype(np.int64)
    outflow = np.bincount(source, weights=into.data, minlength=len(start) - 1)
    chain = _Flows(start, source, into.data, outflow)
    state, residual, done = _sweeps(into, chain, tolerance, limit)
    if np.abs(residual).sum() <= tolerance or done >= limit:
        return state, done
    return _cycles(into, chain, state, tolerance, limit, done)


def _cycles(
    into: sparse.csr_array, chain: _Flows, state: ndarray, tolerance: float, limit: int, done: int
) -> tuple[ndarray, int]:
    """Cycles on many levels, each combined with the iterates before it where that helps; the best, and the sweeps."""

    def residual(x: ndarray) -> ndarray:
        return into @ x - chain.outflow * x

    states, residuals, sizes = [state], [residual(state)], [np.inf]
    best, least, levels = state, np.inf, None
    while done < limit and least > tolerance:
        if levels is None or sizes[-1] > _STALLED * sizes[max(len(sizes) - _WINDOW, 0)]:
            levels = build_levels(chain.start, chain.source, chain.flow * np.maximum(states[-1], FLOOR)[chain.source])
            states, residuals, sizes = states[-1:], residuals[-1:], [np.inf]
        improved = np.maximum(states[-1], FLOOR)
        factor = np.ones(len(state))
        cycle(levels, chain.flow * improved[chain.source], factor)
        improved *= factor / (improved @ factor)
        done += 4
        states, residuals = [*states[-_WINDOW:], improved], [*residuals[-_WINDOW:], residual(improved)]
        combined = combine(states, residuals, improved)
        left = residual(combined)
        if np.abs(left).sum() < np.abs(residuals[-1]).sum():
            states[-1], residuals[-1] = combined, left
        sizes.append(float(np.abs(residuals[-1]).sum()))
        if sizes[-1] < least:
            best, least = states[-1], sizes[-1]
    return best, done


class _Flows(NamedTuple):
    """Flows into each state, without the diagonal, and the flow out of it."""

    start: ndarray
    source: ndarray
    flow: ndarray
    outflow: ndarray


def _sweeps(into: sparse.csr_array, chain: _Flows, tolerance: float, limit: int) -> tuple[ndarray, ndarray, int]:
    """Sweeps to and fro while they converge fast; the state, its residual, and how many."""
    state, before, done = np.full(len(chain.outflow), 1.0 / len(chain.outflow)), np.inf, 0
    while True:
        for number in range(_SWEEPS):
            sweep(*chain, state, forwards=number % 2 == 0)
        state /= state.sum()
        done += _SWEEPS
        residual = into @ state - chain.outflow * state
        size = float(np.abs(residual).sum())
        if size <= tolerance or done >= limit or _slow(before, size, tolerance):
            return state, residual, done
        before = size


def _slow(before: float, now: float, tolerance: float) -> bool:
    """Whether sweeps at the rate just seen need more than is patient."""
    if not np.isfinite(before):
        return False
    return now >= before or bool(np.log(tolerance / now) / np.log(now / before) * _SWEEPS > _PATIENCE)
