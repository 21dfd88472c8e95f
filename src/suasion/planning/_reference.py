"""The equations of the kernels in NumPy; small models are solved with these, and wait for no compiler."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.planning._rows import Rows


def action_values(rows: Rows, discount: float, value: Float64[ndarray, "S"]) -> Float64[ndarray, "_"]:
    r"""$q(s, a) = r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) v(s')$ (N1.3.4-b), for each choice."""
    if not len(rows.reward):
        return np.zeros(0)
    return rows.reward + discount * np.add.reduceat(rows.probability * value[rows.target], rows.start[:-1])


def greedy(rows: Rows, q: Float64[ndarray, "_"]) -> tuple[Float64[ndarray, "_"], Int64[ndarray, "_"]]:
    r"""$\max_a q(s, a)$, and the first choice that attains it (N1.1.2-e); 0 and -1 without choices."""
    value, choice = np.zeros(rows.n_states), np.full(rows.n_states, -1)
    counts = np.diff(rows.choice_start)
    some = np.flatnonzero(counts)
    if not len(some):
        return value, choice
    begin = rows.choice_start[some]
    value[some] = np.maximum.reduceat(q, begin)
    attains = np.where(q == np.repeat(value[some], counts[some]), np.arange(len(q)), len(q))
    choice[some] = np.minimum.reduceat(attains, begin)
    return value, choice


def evaluate(
    rows: Rows, discount: float, choice: Int64[ndarray, "S"], value: Float64[ndarray, "S"]
) -> Float64[ndarray, "S"]:
    r"""$(T_\pi v)(s) = r(s, \pi(s)) + \gamma \sum_{s'} p(s' \mid s, \pi(s)) v(s')$ (N1.1.2-a)."""
    q = np.append(action_values(rows, discount, value), 0.0)
    return q[choice]
