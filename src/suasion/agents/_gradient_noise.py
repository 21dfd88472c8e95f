r"""The noise of a policy gradient: trace of its covariance, what is left of its mean, and the ratio of the two.

An estimate g of a gradient is random. Its noise is $\operatorname{tr} \operatorname{Cov} g = E|g|^2 - |E g|^2$, its
signal $|E g|^2$, and the signal-to-noise ratio of one estimate $|E g|^2 / \operatorname{tr} \operatorname{Cov} g$: the
mean of B estimates has B times as much, and 1/ratio estimates are needed for a ratio of 1. $|\bar g|^2$ would count
noise as signal, $E|\bar g|^2 = |E g|^2 + \operatorname{tr} \operatorname{Cov} g / M$; products of different estimates
do not. What is kept of M gradients is small: they are averaged in blocks, and of the blocks only inner products stay.

Letters of the shapes: m estimates of d numbers, k blocks of them, r resamples. NumPy, float64.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float64

BLOCK = 16  # estimates in a block: the largest batch
BATCHES = (1, 4, 16)
LEVEL = 0.95
FEWEST = 4  # blocks: with fewer an interval means nothing


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Blocks:
    """What is kept of independent estimates of a gradient, in blocks of `BLOCK`.

    Attributes:
        squares: for each batch size B the mean of $|g_B|^2$ over the batches of a block, where $g_B$ is the mean of B
            estimates: float64[k].
        gram: inner products of the blocks' means, float64[k, k].
    """

    squares: Mapping[int, Float64[np.ndarray, " k"]]
    gram: Float64[np.ndarray, "k k"]

    def __len__(self) -> int:
        return len(self.gram)

    def __add__(self, other: Blocks) -> Blocks:
        """Of the gradient that has both as parts: other parameters, same episodes."""
        squares = {batch: self.squares[batch] + other.squares[batch] for batch in self.squares}
        return Blocks(squares=squares, gram=self.gram + other.gram)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise:
    """What a batch gradient is worth.

    Attributes:
        trace: of its covariance, in squared units of the gradient.
        signal: the squared length of its mean; unbiased, so it may come out below 0 where there is little.
        ratio: signal / trace; 0 where every estimate was 0, infinite where all were equal.
    """

    trace: Interval
    signal: Interval
    ratio: Interval


def blocks_of(gradients: Float[np.ndarray, "m d"]) -> Blocks:
    """Independent estimates in blocks, in the order given.

    Raises:
        ValueError: their number is not a multiple of `BLOCK`, or one is not finite; named.
    """
    count = len(gradients)
    if count == 0 or count % BLOCK:
        raise ValueError(f"{count} estimates do not divide into blocks of {BLOCK}")
    bad = np.flatnonzero(~np.isfinite(gradients).all(axis=1))
    if bad.size:
        raise ValueError(f"gradients[{bad[0]}] is not finite")
    blocks = np.asarray(gradients, np.float64).reshape(count // BLOCK, BLOCK, -1)
    squares = {}
    for batch in BATCHES:
        means = blocks.reshape(len(blocks), BLOCK // batch, batch, -1).mean(axis=2)
        squares[batch] = np.square(means).sum(axis=2).mean(axis=1)
    means = blocks.mean(axis=1)
    return Blocks(squares=squares, gram=means @ means.T)


def noise(groups: Sequence[Blocks], batch: int = 1, *, resamples: int = 2000, seed: int = 0) -> Noise:
    r"""Noise and signal of the mean of `batch` estimates, averaged over groups, with 95 % intervals.

    With weights w of a group's blocks, $\widehat{|Eg|^2} = \sum_{k \ne l} w_k w_l \bar g_k^\top \bar g_l / \sum_{k \ne
    l} w_k w_l$ and $\widehat{E|g_B|^2} = \sum_k w_k q_k / \sum_k w_k$, unbiased for equal weights; the trace is their
    difference. The intervals are percentiles of the Bayesian bootstrap over blocks: weights are exponential, so no
    resample consists of one block alone. Where there is hardly any signal they are too wide rather than too narrow.

    Args:
        groups: estimates of different gradients, such as those of several seeds: traces and signals are averaged, and
            the ratio is that of the averages. The intervals are about these very groups.
        batch: one of `BATCHES`.
        resamples: of the bootstrap.
        seed: of its weights.

    Raises:
        ValueError: no group, one of fewer than `FEWEST` blocks, or a batch size that was not kept.

    References:
        Rubin (1981); Efron & Tibshirani (1993), section 13.3; the ratio as in Roberts & Tedrake (2008).
    """
    if not groups:
        raise ValueError("0 groups of estimates; at least 1 is needed")
    if batch not in BATCHES:
        raise ValueError(f"batch is {batch}, must be one of {', '.join(map(str, BATCHES))}")
    for place, blocks in enumerate(groups):
        if len(blocks) < FEWEST:
            raise ValueError(f"group {place} has {len(blocks)} blocks of {BLOCK} estimates; at least {FEWEST} needed")
    rng = np.random.default_rng(seed)
    rows = []
    for blocks in groups:
        weights = np.concatenate([np.ones((1, len(blocks))), rng.exponential(size=(resamples, len(blocks)))])
        rows.append(_moments(blocks, batch, weights))
    signal, power = np.mean(rows, axis=0)
    trace = power - signal
    return Noise(trace=_interval(trace), signal=_interval(signal), ratio=_interval(_ratios(signal, trace)))


def _moments(blocks: Blocks, batch: int, weights: Float64[np.ndarray, "r k"]) -> Float64[np.ndarray, "2 r"]:
    """|E g|^2 and E|g_B|^2 under each row of weights."""
    return np.stack([_crossed(blocks.gram, weights), weights @ blocks.squares[batch] / weights.sum(axis=1)])


def _ratios(signal: Float64[np.ndarray, " r"], trace: Float64[np.ndarray, " r"]) -> Float64[np.ndarray, " r"]:
    """signal / trace; 0 where all estimates are 0, as rare successes make them, and infinite without noise."""
    silent = (signal == 0) & (trace == 0)
    quotient = np.divide(signal, trace, out=np.full_like(signal, np.inf), where=trace > 0)
    return np.where(silent, 0.0, quotient)


def _interval(values: Float64[np.ndarray, " r"]) -> Interval:
    """The first value, with the percentiles of the others."""
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return Interval(value=float(values[0]), low=float(low), high=float(high))


def alignment(
    first: Sequence[Blocks],
    second: Sequence[Blocks],
    crossed: Sequence[Float64[np.ndarray, "k k"]],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval | None:
    r"""Cosine of the angle between the means of two estimators, $E g^\top E h / |E g| |E h|$: 1 without bias.

    Only products of different blocks enter, so that noise which both have in common is not taken for agreement.

    Args:
        first: blocks of g, for each group.
        second: of h, from the same episodes.
        crossed: inner products of g's with h's block means.
        resamples: of the bootstrap, as in `noise`.
        seed: of its weights.

    Returns:
        The cosine, or None where a mean is too small to have a direction: in more than 2.5 % of the resamples its
        squared length is not above 0. It may come out beyond 1.

    Raises:
        ValueError: no group.
    """
    if not first:
        raise ValueError("0 groups of estimates; at least 1 is needed")
    rng = np.random.default_rng(seed)
    sums = np.zeros((3, 1 + resamples))
    for g, h, cross in zip(first, second, crossed, strict=True):
        weights = np.concatenate([np.ones((1, len(g))), rng.exponential(size=(resamples, len(g)))])
        sums += [_crossed(gram, weights) for gram in (cross, g.gram, h.gram)]
    defined = (sums[1] > 0) & (sums[2] > 0)
    if not defined[0] or defined.mean() < LEVEL + (1 - LEVEL) / 2:
        return None
    return _interval((sums[0] / np.sqrt(np.where(defined, sums[1] * sums[2], 1)))[defined])


def _crossed(gram: Float64[np.ndarray, "k k"], weights: Float64[np.ndarray, "r k"]) -> Float64[np.ndarray, " r"]:
    """The weighted mean of the products of different blocks."""
    own = np.square(weights)
    sums = np.einsum("rk,rk->r", weights @ gram, weights) - own @ np.diag(gram)
    return sums / (np.square(weights.sum(axis=1)) - own.sum(axis=1))
