r"""Entropy and mutual information estimated from samples of discrete variables; NumPy, float64.

Letters of the shapes: n samples, r rearrangements of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from suasion.information._array import Unit, in_unit

Estimator = Literal["plug-in", "miller-madow"]
Symbols = Integer[np.ndarray, " n"] | Bool[np.ndarray, " n"]

_AT_ONCE = 1 << 20  # samples that are rearranged together
_ROUNDING = 1e-12  # nats: equal tables of counts, summed in another order


@dataclass(frozen=True, kw_only=True)
class PermutationNull:
    """What a plug-in estimate of mutual information is worth: its distribution if x and y were independent.

    Attributes:
        value: the estimate itself.
        null_mean: mean over the permutations: what the bias alone makes of independent samples.
        null_95: 95th percentile over the permutations.
        p_value: (1 + permutations that reach the value) / (1 + permutations), in (0, 1].
        permutations: how many.
    """

    value: float
    null_mean: float
    null_95: float
    p_value: float
    permutations: int


def entropy_from_samples(x: Symbols, *, estimator: Estimator = "plug-in", unit: Unit = "nats") -> float:
    r"""Estimate of the entropy H(X).

    `plug-in`: $\hat H = -\sum_i \frac{n_i}{n} \log \frac{n_i}{n}$, too low by about $(K - 1) / 2n$ nats on average,
    K the symbols that occur. `miller-madow`: that much is added.

    Args:
        x: symbols, any integers; at least one.
        estimator: which.
        unit: of the result.

    Raises:
        ValueError: no samples, samples that are no integers, another estimator or unit.

    References:
        Miller (1955); Paninski (2003).
    """
    return float(in_unit(_entropy(_codes("x", x), estimator), unit))


def mutual_information_from_samples(
    x: Symbols, y: Symbols, *, estimator: Estimator = "plug-in", unit: Unit = "nats"
) -> float:
    r"""Estimate of the mutual information I(X; Y) from pairs of symbols.

    $\hat H(X) + \hat H(Y) - \hat H(X,Y)$. The plug-in estimate is biased upwards, for independent variables by about
    $(K_x - 1)(K_y - 1) / 2n$ nats: it is positive even then, and `permutation_null` says by how much. `miller-madow`
    removes most of the bias, $(K_{xy} - K_x - K_y + 1) / 2n$ with the numbers K of symbols and pairs that occur, and
    can be negative.

    Args:
        x: symbols, any integers; at least one.
        y: as many.
        estimator: which.
        unit: of the result.

    Raises:
        ValueError: no samples, not as many of x as of y, samples that are no integers, another estimator or unit.

    References:
        Miller (1955); Paninski (2003).
    """
    x_codes, y_codes = _pairs(x, y)
    separate = _entropy(x_codes, estimator) + _entropy(y_codes, estimator)
    return float(in_unit(separate - _entropy(_joint(x_codes, y_codes), estimator), unit))


def permutation_null(
    x: Symbols, y: Symbols, *, permutations: int = 1000, seed: int | np.random.Generator, unit: Unit = "nats"
) -> PermutationNull:
    """Permutation test of independence, and the bias of the plug-in mutual information.

    The estimate is made again with y in random order, which keeps both marginals and destroys what binds them. The
    mean over the permutations is what the upward bias alone makes of such samples. The test is exact: for independent
    exchangeable samples a p-value of u or less has probability at most u. Consecutive steps of one episode are not
    exchangeable; for them p-values are too small.

    Args:
        x: symbols, any integers; at least one.
        y: as many.
        permutations: how many, from 1; p-values cannot be below 1 / (1 + permutations).
        seed: of the permutations, or the generator that makes them.
        unit: of the result.

    Raises:
        ValueError: no samples, not as many of x as of y, samples that are no integers, no permutation, another unit.

    References:
        Phipson & Smyth (2010), on the p-value.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}, must be at least 1")
    x_codes, y_codes = _pairs(x, y)
    separate = _plug_in(x_codes[None]) + _plug_in(y_codes[None])
    value = separate - _plug_in(_joint(x_codes, y_codes)[None])
    generator, rows = np.random.default_rng(seed), max(1, _AT_ONCE // len(x_codes))
    together = []
    for done in range(0, permutations, rows):
        shuffled = np.broadcast_to(y_codes, (min(rows, permutations - done), len(y_codes)))
        together.append(_plug_in(_joint(x_codes[None], generator.permuted(shuffled, axis=1))))
    null = separate - np.concatenate(together)
    reached = np.count_nonzero(null >= value - _ROUNDING)
    return PermutationNull(
        value=float(in_unit(value[0], unit)),
        null_mean=float(in_unit(null.mean(), unit)),
        null_95=float(in_unit(np.quantile(null, 0.95), unit)),
        p_value=(1 + reached) / (1 + permutations),
        permutations=permutations,
    )


def _entropy(codes: Int64[np.ndarray, " n"], estimator: Estimator) -> float:
    if estimator not in get_args(Estimator):
        raise ValueError(f"estimator is {estimator!r}, must be 'plug-in' or 'miller-madow'")
    plug_in = float(_plug_in(codes[None])[0])
    return plug_in if estimator == "plug-in" else plug_in + (len(np.unique(codes)) - 1) / (2 * len(codes))


def _plug_in(codes: Int64[np.ndarray, "r n"]) -> Float64[np.ndarray, " r"]:
    """Plug-in entropies in nats of r rows of samples: log n - sum_i n_i log n_i / n."""
    rows, samples = codes.shape
    codes = np.sort(codes, axis=1)  # equal symbols side by side: no table, which could be large
    first = np.ones(codes.shape, bool)
    first[:, 1:] = codes[:, 1:] != codes[:, :-1]
    starts = np.flatnonzero(first)
    counts = np.diff(starts, append=codes.size)
    sums = np.bincount(starts // samples, weights=counts * np.log(counts), minlength=rows)
    return math.log(samples) - sums / samples


def _joint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """One code for each pair of codes."""
    return x * (int(y.max()) + 1) + y


def _pairs(x: Symbols, y: Symbols) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    x_codes, y_codes = _codes("x", x), _codes("y", y)
    if len(x_codes) != len(y_codes):
        raise ValueError(f"x has {len(x_codes)} samples, y {len(y_codes)}")
    return x_codes, y_codes


def _codes(name: str, symbols: Symbols) -> Int64[np.ndarray, " n"]:
    """Symbols numbered from 0."""
    if symbols.dtype.kind not in "iub":
        raise ValueError(f"{name} is {symbols.dtype}, must be integers")
    if symbols.ndim != 1 or not symbols.size:
        raise ValueError(f"{name} is {list(symbols.shape)}, must be one axis of at least one sample")
    return np.unique(symbols, return_inverse=True)[1]
