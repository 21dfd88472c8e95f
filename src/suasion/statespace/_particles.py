r"""Particle filters: a state-space model by three functions, and weighted samples of its state.

N particles, T steps. $p(x_t \mid y_{0:t}) \approx \sum_i W_t^i \delta_{x_t^i}$; the product of mean weights is an
unbiased estimate of the likelihood $p(y_{0:T-1})$, not of its logarithm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.statespace._emission import check_rows

Resampler = Literal["systematic", "stratified", "residual", "multinomial"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class StateSpaceModel:
    r"""Any Markov chain, and what is seen of it, by functions over N particles at once.

    Attributes:
        initial: takes (rng, N), gives N draws of $x_0$, an array with first axis N.
        transition: takes (rng, x, t), gives one draw of $x_t$ for each $x_{t-1}$.
        log_observation: takes (x, y, t), gives $\log p(y_t \mid x_t)$, float64[N]: -inf where impossible, 0 for all
            where y_t is missing.
    """

    initial: Callable[[np.random.Generator, int], ndarray]
    transition: Callable[[np.random.Generator, ndarray, int], ndarray]
    log_observation: Callable[[ndarray, Any, int], ndarray]


class ParticleFiltered(NamedTuple):
    r"""What particles say of each step.

    Attributes:
        mean: weighted means $E[x_t \mid y_{0:t}]$, first axis T.
        variance: weighted variances, component by component, the shape of `mean`.
        log_likelihood: log of an unbiased estimate of $p(y_{0:T-1})$; -inf if no particle can explain a step.
        increments: its steps, float64[T].
        effective: effective sample size $1 / \sum_i (W_t^i)^2$ before resampling, float64[T].
        impossible: the first step that no particle can explain, or -1; means and variances are 0 from there on.
        particles: the last step's, first axis N.
        weights: theirs, float64[N].
    """

    mean: ndarray
    variance: ndarray
    log_likelihood: float
    increments: ndarray
    effective: ndarray
    impossible: int
    particles: ndarray
    weights: ndarray


def particle_filter(
    model: StateSpaceModel,
    y: Any,
    rng: np.random.Generator,
    *,
    particles: int = 1000,
    resampler: Resampler = "systematic",
    threshold: float = 0.5,
) -> ParticleFiltered:
    r"""Bootstrap particle filter, resampling when the effective sample size falls below a share of N.

    Args:
        model: three functions.
        y: observations, one for each step.
        rng: generator.
        particles: N >= 1.
        resampler: systematic and stratified vary least.
        threshold: in [0, 1]: resample if the effective size is below this times N; 1 resamples always (unless all
            weights are equal), 0 never.

    Raises:
        ValueError: a sequence of length 0, a number outside its range, or a log-likelihood that is NaN or +inf; which.

    References:
        Gordon, Salmond & Smith (1993); Chopin & Papaspiliopoulos (2020), chapter 10.
    """
    _check(len(y), particles, resampler, threshold)
    steps = len(y)
    x = model.initial(rng, particles)
    shape = (steps, *x.shape[1:])
    mean, variance = np.zeros(shape), np.zeros(shape)
    increments, effective = np.full(steps, -np.inf), np.zeros(steps)
    weights = np.full(particles, 1 / particles)
    impossible = -1
    for t in range(steps):
        if t:
            if effective[t - 1] < threshold * particles:
                x, weights = x[resample(weights, rng, resampler)], np.full(particles, 1 / particles)
            x = model.transition(rng, x, t)
        increments[t], weights = _weigh(weights, model.log_observation(x, y[t], t), t)
        if increments[t] == -np.inf:
            impossible = t
            break
        effective[t] = 1 / (weights @ weights)
        mean[t] = np.tensordot(weights, x, 1)
        variance[t] = np.tensordot(weights, (x - mean[t]) ** 2, 1)
    return ParticleFiltered(mean, variance, float(increments.sum()), increments, effective, impossible, x, weights)


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
    if resampler not in get_args(Resampler):
        raise ValueError(f"resampler is {resampler!r}: must be one of {', '.join(get_args(Resampler))}")
    check_rows("weights", weights)
    n = len(weights)
    if resampler == "systematic":
        return _pick(weights, (np.arange(n) + rng.random()) / n)
    if resampler == "stratified":
        return _pick(weights, (np.arange(n) + rng.random(n)) / n)
    if resampler == "multinomial":
        return _pick(weights, np.sort(rng.random(n)))
    whole = np.floor(n * weights).astype(np.int64)
    left = n - int(whole.sum())
    index = np.repeat(np.arange(n), whole)
    if left <= 0:
        return index
    rest = n * weights - whole
    return np.sort(np.concatenate([index, _pick(rest / rest.sum(), np.sort(rng.random(left)))]))


def _pick(weights: ndarray, level: ndarray) -> ndarray:
    sums = np.cumsum(weights)
    likely = int(np.flatnonzero(weights)[-1])
    return np.minimum(np.searchsorted(sums, level * sums[-1], side="right"), likely)


def _weigh(weights: ndarray, logs: ndarray, t: int) -> tuple[float, ndarray]:
    """Log of the mean weight, and new weights."""
    if logs.shape != weights.shape:
        raise ValueError(f"log_observation gives {list(logs.shape)} at step {t}, not {list(weights.shape)}")
    if (bad := ~(logs < np.inf)).any():
        i = int(np.argmax(bad))
        raise ValueError(f"log_observation gives {float(logs[i])!r} for particle {i} at step {t}")
    top = logs[weights > 0].max()
    if top == -np.inf:
        return -np.inf, weights
    held = np.where(weights > 0, weights * np.exp(np.minimum(logs - top, 0.0)), 0.0)
    total = held.sum()
    return float(top + np.log(total)), held / total


def _check(steps: int, particles: int, resampler: str, threshold: float) -> None:
    if not steps:
        raise ValueError("y has length 0")
    if particles < 1 or not 0 <= threshold <= 1:
        raise ValueError(f"particles is {particles} and threshold {threshold!r}: at least 1, and in [0, 1]")
    if resampler not in get_args(Resampler):
        raise ValueError(f"resampler is {resampler!r}: must be one of {', '.join(get_args(Resampler))}")
