r"""Where a chain ends up, and when: linear systems $(I - Q) x = b$ over its transient states.

S states, K closed classes, m transient states. Which probabilities are 0 or 1, and which times are infinite, is decided
on the graph; only the rest is computed.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from scipy import sparse
from scipy.sparse import linalg

from suasion.markov._elimination import transient_by_elimination
from suasion.markov._graph import Classes, reaches

_SMALL = 1500
_LARGE = 50_000
_KRYLOV_STEPS = 400
_ROUNDS = 6
_ROUNDING = 1e-14


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Absorption:
    r"""Absorption of a chain in its closed classes.

    Attributes:
        probability: of ending in each closed class, in the order of their first states, float64[S, K].
        time: expected steps until some closed class is entered, float64[S]; 0 in recurrent states.
        residual: largest $\lvert b - (I - Q) x \rvert$ over the transient states, relative to 1 + |x|.
    """

    probability: Float64[ndarray, "_ _"]
    time: Float64[ndarray, "_"]
    residual: float


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Hitting:
    r"""Whether and when a chain first visits a set A; 1 and 0 in A itself.

    Attributes:
        probability: of ever visiting A, float64[S].
        time: expected steps to the first visit, float64[S]; infinite where the probability is below 1.
        residual: as of `Absorption`.
    """

    probability: Float64[ndarray, "_"]
    time: Float64[ndarray, "_"]
    residual: float


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Fundamental:
    r"""Expected visits before absorption, $N = (I - Q)^{-1} = \sum_k Q^k$.

    Attributes:
        states: the transient states, ascending, int64[m].
        visits: to the state of the column from that of the row, the start counted, float64[m, m].
    """

    states: Int64[ndarray, "_"]
    visits: Float64[ndarray, "_ _"]


def absorption(transition: sparse.csr_array, classes: Classes) -> Absorption:
    """Probability of ending in each closed class, and the expected time to it."""
    closed = np.flatnonzero(classes.closed)
    column = np.full(len(classes.closed), -1)
    column[closed] = np.arange(len(closed))
    home = column[classes.label]
    transient = np.flatnonzero(home < 0)
    probability = np.zeros((len(home), len(closed)))
    settled = np.flatnonzero(home >= 0)
    probability[settled, home[settled]] = 1.0
    time = np.zeros(len(home))
    within, outside = _split(transition, transient)
    sides = np.ones((len(transient), 1))
    if len(closed) > 1:
        sides = np.hstack([outside @ probability, sides])
    found, residual = solve_transient(within, outside.sum(axis=1), sides)
    probability[transient] = found[:, :-1] if len(closed) > 1 else 1.0
    time[transient] = found[:, -1]
    return Absorption(probability=probability, time=time, residual=residual)


def hitting(transition: sparse.csr_array, goal: ndarray) -> Hitting:
    """Probability and expected time of the first visit to the goal, bool[S]."""
    possible = reaches(transition, goal)
    doubtful = reaches(transition, ~possible, ~goal)  # may miss it for ever
    sure = ~doubtful
    probability = sure.astype(np.float64)
    time = np.where(sure, 0.0, np.inf)
    maybe = np.flatnonzero(possible & doubtful & ~goal)
    within, outside = _split(transition, maybe)
    chance, first = solve_transient(within, outside.sum(axis=1), (outside @ probability)[:, None])
    probability[maybe] = chance[:, 0]
    before = np.flatnonzero(sure & ~goal)
    within, outside = _split(transition, before)
    steps, second = solve_transient(within, outside.sum(axis=1), np.ones((len(before), 1)))
    time[before] = steps[:, 0]
    return Hitting(probability=probability, time=time, residual=max(first, second))


def fundamental(transition: sparse.csr_array, transient: ndarray) -> Fundamental:
    """Expected visits among the transient states, given as indices."""
    within, outside = _split(transition, transient)
    visits, _ = solve_transient(within, outside.sum(axis=1), np.eye(len(transient)))
    return Fundamental(states=transient, visits=visits)


def _split(transition: sparse.csr_array, chosen: ndarray) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Rows of the chosen states: their flows among themselves, and those to the others (in all S columns)."""
    rows = transition[chosen]
    inside = np.zeros(transition.shape[1])
    inside[chosen] = 1.0
    return rows[:, chosen], sparse.csr_array(rows @ sparse.diags_array(1.0 - inside))


def solve_transient(
    within: sparse.csr_array, exits: Float64[ndarray, "m"], sides: Float64[ndarray, "m _"]
) -> tuple[ndarray, float]:
    r"""$(I - Q)^{-1} b$ for each column b of `sides`, and the largest residual relative to 1 + |x|.

    By elimination, which keeps the accuracy of each entry, up to 1500 states; beyond, a sparse factorisation, and above
    50,000 states a Krylov method where it converges.

    Args:
        within: Q, the flows among the states.
        exits: the flow out of them, >= 0; with Q's rows it sums to 1.
        sides: right-hand sides.
    """
    size = within.shape[0]
    if not size:
        return sides, 0.0
    if size <= _SMALL:
        found = transient_by_elimination(within.toarray(), exits, sides)
    else:
        found = _solve_sparse(within, exits, sides)
    error = np.abs(sides + within @ found - found) / (1 + np.abs(found))
    return found, float(error.max(initial=0.0))


def _solve_sparse(within: sparse.csr_array, exits: ndarray, sides: ndarray) -> ndarray:
    off = sparse.csr_array(within)
    off.setdiag(0.0)
    off.eliminate_zeros()
    outflow = off.sum(axis=1) + exits  # 1 - q_kk, without subtraction
    scaled = sparse.csr_array(sparse.diags_array(1 / outflow) @ off)
    matrix = sparse.csr_array(sparse.eye_array(len(outflow)) - scaled)
    sides = sides / outflow[:, None]
    if len(outflow) > _LARGE and (found := _krylov(matrix, sides)) is not None:
        return found
    return linalg.splu(sparse.csc_array(matrix)).solve(sides)


def _krylov(matrix: sparse.csr_array, sides: ndarray) -> ndarray | None:
    """Each column solved to a few digits, and the rest again, down to rounding; None where that does not converge."""
    found = np.zeros_like(sides)
    for column in range(sides.shape[1]):
        x, left = found[:, column], sides[:, column].copy()
        for _ in range(_ROUNDS):
            step, failed = linalg.bicgstab(matrix, left, rtol=1e-6, maxiter=_KRYLOV_STEPS)
            if failed:
                return None
            x += step
            left = sides[:, column] - matrix @ x
            if np.abs(left).max() <= _ROUNDING * np.abs(x).max():
                break
        else:
            return None
    return found
