r"""Elimination of states without subtraction (Grassmann, Taksar and Heyman), blocked.

Eliminating state k replaces $p_{ij}$ by $p_{ij} + p_{ik} p_{kj} / s_k$, with $s_k$ the flow out of k to what is left.
Taken as the sum of the $p_{kj}$, never as $1 - p_{kk}$, every quantity is a sum, product or quotient of numbers >= 0,
and keeps its relative accuracy however nearly the chain falls apart. Diagonals are not read.

References:
    Grassmann, Taksar & Heyman (1985); O'Cinneide (1993), on the entrywise error.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

_BLOCK = 64
_LARGE = 1e150


def stationary_by_elimination(transition: Float64[ndarray, "S S"]) -> Float64[ndarray, "S"]:
    """Stationary distribution of an irreducible chain, entrywise accurate.

    Raises:
        ValueError: the flow out of a state underflows.
    """
    flow = transition.copy()
    size = len(flow)
    _eliminate(flow, np.zeros(size), np.zeros((size, 0)), until=1)
    weight = np.zeros(size)
    weight[0] = 1.0
    for k in range(1, size):
        weight[k] = weight[:k] @ flow[:k, k]
        if weight[k] > _LARGE:
            weight[: k + 1] /= weight[k]
    return weight / weight.sum()


def transient_by_elimination(
    transition: Float64[ndarray, "m m"], exits: Float64[ndarray, "m"], sides: Float64[ndarray, "m c"]
) -> Float64[ndarray, "m c"]:
    r"""$(I - Q)^{-1} b$ for each column b of `sides`, where each row of Q and its exit sum to 1.

    Entrywise accurate where b >= 0.

    Args:
        transition: Q among transient states; its diagonal is not read.
        exits: flow out of them, >= 0.
        sides: right-hand sides.

    Raises:
        ValueError: the flow out of a state underflows.
    """
    flow, held = transition.copy(), sides.copy()
    outflow = _eliminate(flow, exits.copy(), held, until=0)
    for k in range(len(flow)):
        held[k] = (held[k] + flow[k, :k] @ held[:k]) / outflow[k]
    return held


def _eliminate(flow: ndarray, leave: ndarray, sides: ndarray, until: int) -> ndarray:
    """Eliminate the states from the last down to `until`, in place; column k is left divided by s_k, the result."""
    size = len(flow)
    outflow = np.ones(size)
    high = size
    while high > until:
        low = max(until, high - _BLOCK)
        for k in range(high - 1, low - 1, -1):
            outflow[k] = flow[k, :k].sum() + leave[k]
            if not outflow[k] > 0:
                raise ValueError(f"the flow out of state {k} of its class is {float(outflow[k])!r}: it underflows")
            flow[:k, k] /= outflow[k]
            flow[low:k, :k] += np.outer(flow[low:k, k], flow[k, :k])
            flow[:low, low:k] += np.outer(flow[:low, k], flow[k, low:k])
            leave[low:k] += flow[low:k, k] * leave[k]
            sides[low:k] += np.outer(flow[low:k, k], sides[k])
        upper = flow[:low, low:high]
        flow[:low, :low] += upper @ flow[low:high, :low]
        leave[:low] += upper @ leave[low:high]
        sides[:low] += upper @ sides[low:high]
        high = low
    return outflow
