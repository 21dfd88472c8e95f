"""Resampling: N indices, each expected N times its weight."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.statespace._emission import check_rows

Resampler = Literal["systematic", "stratified", "residual", "multinomial"]


def check_resampler(resampler: str) -> None:
    """Refuse another name.

    Raises:
        ValueError: the name, and those there are.
    """
    if resampler not in get_args(Resampler):
        raise ValueError(f"resampler is {resampler!r}: must be one of {', '.join(get_args(Resampler))}")


def resample(
    weights: Float64[ndarray, "_"], rng: np.random.Generator, resampler: Resampler = "systematic"
) -> Int64[ndarray, "_"]:
    """N indices, each i expected N W_i times, in rising order.

    Args:
        weights: W, float64[N], summing to 1 within 1e-9.
        rng: generator.
        resampler: `multinomial` draws independently; `stratified` once in each of N equal parts of [0, 1];
            `systematic` at one place in all of them; `residual` takes the whole part of N W_i and draws the rest.

    Raises:
        ValueError: weights are no distribution, or the resampler has another name.

    References:
        Douc, Cappe & Moulines (2005).
    """
    check_resampler(resampler)
    check_rows("weights", weights)
    n = len(weights)
    if resampler == "systematic":
        return pick(weights, (np.arange(n) + rng.random()) / n)
    if resampler == "stratified":
        return pick(weights, (np.arange(n) + rng.random(n)) / n)
    if resampler == "multinomial":
        return pick(weights, np.sort(rng.random(n)))
    whole = np.floor(n * weights).astype(np.int64)
    left = n - int(whole.sum())
    index = np.repeat(np.arange(n), whole)
    if left <= 0:
        return index
    rest = n * weights - whole
    return np.sort(np.concatenate([index, pick(rest / rest.sum(), np.sort(rng.random(left)))]))


def pick(weights: ndarray, level: ndarray) -> ndarray:
    """Where sums of weights first exceed these levels, shares of their total; never where a weight is 0."""
    sums = np.cumsum(weights)
    likely = int(np.flatnonzero(weights)[-1])
    return np.minimum(np.searchsorted(sums, level * sums[-1], side="right"), likely)
