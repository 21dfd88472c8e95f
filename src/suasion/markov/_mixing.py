"""How fast a chain forgets where it began: spectral gap and mixing time."""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from scipy import sparse
from scipy.sparse import linalg

_SMALL = 600
_LARGEST = 5000  # states whose matrix is squared
_LONGEST = 1 << 52


def spectral_gap(transition: sparse.csr_array) -> float:
    """1 minus the second largest modulus of an eigenvalue, of a chain with one closed class of period 1."""
    size = transition.shape[0]
    if size == 1:
        return 1.0
    if size <= _SMALL:
        moduli = np.sort(np.abs(np.linalg.eigvals(transition.toarray())))
    else:
        start = np.cos(np.arange(size) + 1.0)  # the same at each call
        try:
            found = linalg.eigs(transition, k=2, ncv=60, v0=start, return_eigenvectors=False)
        except linalg.ArpackNoConvergence as stop:
            raise ValueError(f"the second eigenvalue of {size} states was not found: {stop}") from stop
        moduli = np.sort(np.abs(found))
    return float(max(1.0 - moduli[-2], 0.0))


def mixing_time(transition: ndarray, distribution: ndarray, eps: float) -> int:
    """Smallest t at which each row of the t-th power is within eps of the distribution, in total variation.

    Powers 1, 2, 4, ... until one is near enough; then the binary digits of the largest t that is not, from above. The
    distance never rises with t, so this is exact up to rounding.
    """
    if len(transition) > _LARGEST:
        raise ValueError(f"mixing_time squares the matrix, and {len(transition)} states are more than {_LARGEST}")

    def far(power: ndarray) -> bool:
        return bool(0.5 * np.abs(power - distribution).sum(axis=1).max() > eps)

    reached = np.eye(len(transition))
    if not far(reached):
        return 0
    powers = [transition]
    while far(powers[-1]):
        if len(powers) > 52:
            raise ValueError(f"the chain is not within {eps!r} of its stationary distribution after {_LONGEST} steps")
        powers.append(_product(powers[-1], powers[-1]))
    steps = 0
    for exponent in range(len(powers) - 2, -1, -1):
        further = _product(reached, powers[exponent])
        if far(further):
            reached, steps = further, steps + (1 << exponent)
    return steps + 1


def _product(left: ndarray, right: ndarray) -> ndarray:
    """Of stochastic matrices; rows are divided by their sums, for squaring would double what they miss 1 by."""
    both = left @ right
    return both / both.sum(axis=1, keepdims=True)
