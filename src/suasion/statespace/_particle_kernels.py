r"""Particle filters, compiled: resampling in O(N), weights, moments, and the loop around a model's functions.

Particles are float64[N], one number each, or float64[N, d]. A function of the model sees one particle: a number, or a
tuple of d. `build` compiles the loop anew for each model, so that its functions become part of it.
"""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

from suasion.statespace._exponential import fast_exp

SYSTEMATIC, STRATIFIED, RESIDUAL, MULTINOMIAL = range(4)
DONE, IMPOSSIBLE, BAD = range(3)
_compiled = njit(cache=True, nogil=True)


@_compiled
@typing.no_type_check
def choose(weights, rng, kind, uniform, index):
    """N indices, each expected N W times, into index[:N]; both arrays are of length N + 1, and nothing is allocated."""
    n = len(weights)
    last = n - 1
    while weights[last] == 0.0:  # rounding of the sums must not choose it
        last -= 1
    if kind in (SYSTEMATIC, STRATIFIED):
        if kind == SYSTEMATIC:
            uniform[:n] = rng.random()
        else:
            for i in range(n):
                uniform[i] = rng.random()
        _pick_regular(weights, last, uniform, index)
        return
    first = 0
    if kind == RESIDUAL:
        for j in range(n):
            for _ in range(int(n * weights[j])):
                if first < n:
                    index[first] = j
                    first += 1
    total, scale = 0.0, n if kind == RESIDUAL else 0
    for j in range(n):
        total += _left(weights[j], n, scale)
    _sorted_uniforms(rng, n - first, uniform)
    sums, j = 0.0, -1
    for i in range(first, n):
        while j < 0 or (sums <= uniform[i - first] * total and j < last):
            j += 1
            sums += _left(weights[j], n, scale)
        index[i] = j


@_compiled
@typing.no_type_check
def _left(weight, n, scale):
    """What residual resampling draws from: the fraction of N W; or the weight itself."""
    return n * weight - math.floor(n * weight) if scale else weight


@_compiled
@typing.no_type_check
def _pick_regular(weights, last, uniform, index):
    """One draw in each of N equal parts, at `uniform` within it.

    Each particle writes its number where its children begin; one without children is overwritten by the next. Then
    every place takes the largest number up to it. No branch depends on a weight.
    """
    n = len(weights)
    index[:] = 0
    sums, begin = 0.0, 0
    for j in range(last + 1):
        index[begin] = j
        sums += weights[j] * n
        part = min(int(sums), n - 1)
        begin = min(part + (uniform[part] < sums - part), n)
    held = 0
    for i in range(n):
        held = max(held, index[i])
        index[i] = held


@_compiled
@typing.no_type_check
def _sorted_uniforms(rng, count, uniform):
    """`count` uniforms in rising order, from sums of exponentials."""
    total = 0.0
    for i in range(count):
        total += rng.standard_exponential()
        uniform[i] = total
    total += rng.standard_exponential()
    for i in range(count):
        uniform[i] /= total


@_compiled
@typing.no_type_check
def weigh(weights, logs):
    """Weights times exp(logs), as shares of their sum; its log, and the sum of squared shares.

    Refuses by (particle, nan) what is no log-weight; gives (-inf, 0) and leaves weights alone if all are impossible.
    """
    top = -np.inf
    for i in range(len(weights)):
        if not logs[i] < np.inf:
            return float(i), np.nan
        if weights[i] > 0.0:
            top = max(top, logs[i])
    if top == -np.inf:
        return top, 0.0
    for i in range(len(weights)):
        weights[i] *= fast_exp(min(logs[i] - top, 0.0))
    total = 0.0
    for i in range(len(weights)):
        total += weights[i]
    inverse, squares = 1.0 / total, 0.0
    for i in range(len(weights)):
        weights[i] *= inverse
        squares += weights[i] * weights[i]
    return top + math.log(total), squares


@_compiled
@typing.no_type_check
def _moments_of_numbers(weights, x, mean, variance, t):
    total = 0.0
    for i in range(len(x)):
        total += weights[i] * x[i]
    spread = 0.0
    for i in range(len(x)):
        spread += weights[i] * (x[i] - total) ** 2
    mean[t], variance[t] = total, spread


@_compiled
@typing.no_type_check
def _moments_of_rows(weights, x, mean, variance, t):
    for k in range(x.shape[1]):
        total = 0.0
        for i in range(len(x)):
            total += weights[i] * x[i, k]
        spread = 0.0
        for i in range(len(x)):
            spread += weights[i] * (x[i, k] - total) ** 2
        mean[t, k], variance[t, k] = total, spread


@_compiled
@typing.no_type_check
def _keep_numbers(x, weights, kept, kept_weights, t):
    for i in range(len(x)):
        kept[t, i], kept_weights[t, i] = x[i], weights[i]


@_compiled
@typing.no_type_check
def _keep_rows(x, weights, kept, kept_weights, t):
    for i in range(len(x)):
        kept_weights[t, i] = weights[i]
        for k in range(x.shape[1]):
            kept[t, i, k] = x[i, k]


@_compiled
@typing.no_type_check
def _squares(weights):
    total = 0.0
    for i in range(len(weights)):
        total += weights[i] * weights[i]
    return total


@_compiled
@typing.no_type_check
def _missing_number(y):
    return math.isnan(y)


@_compiled
@typing.no_type_check
def _missing_row(y):
    seen = False
    for k in range(len(y)):
        seen = seen or not math.isnan(y[k])
    return not seen


@functools.cache
def access(components: int | None) -> tuple[Any, Any]:
    """Compiled `load(x, i)` and `store(x, i, value)` of one particle."""
    if components is None:

        @njit(nogil=True)
        @typing.no_type_check
        def load(x, i):
            return x[i]

        @njit(nogil=True)
        @typing.no_type_check
        def store(x, i, value):
            x[i] = value

        return load, store

    @njit(nogil=True)
    @typing.no_type_check
    def load_row(x, i):
        return to_fixed_tuple(x[i], components)

    @njit(nogil=True)
    @typing.no_type_check
    def store_row(x, i, value):
        for k in range(components):
            x[i, k] = value[k]

    return load_row, store_row


@functools.lru_cache(maxsize=64)
def build(
    initial: Callable[..., Any],
    transition: Callable[..., Any],
    log_observation: Callable[..., Any],
    components: int | None,
    rows: bool,
) -> Any:
    """The compiled filter of a model; `rows` says that an observation is an array."""
    load, store = access(components)
    moments = _moments_of_numbers if components is None else _moments_of_rows
    keep = _keep_numbers if components is None else _keep_rows
    missing = _missing_row if rows else _missing_number

    @njit(nogil=True)
    @typing.no_type_check
    def run(rng, y, p, kind, threshold, x, weights, mean, variance, increments, effective, kept, kept_weights):
        n = len(x)
        other, logs = np.empty_like(x), np.zeros(n)
        uniform, index = np.empty(n + 1), np.empty(n + 1, np.int64)
        for i in range(n):
            store(x, i, initial(rng, p))
        for t in range(len(y)):
            if t > 0:
                if effective[t - 1] < threshold * n:
                    choose(weights, rng, kind, uniform, index)
                    for i in range(n):
                        store(other, i, transition(rng, load(x, index[i]), t, p))
                    weights[:] = 1.0 / n
                else:
                    for i in range(n):
                        store(other, i, transition(rng, load(x, i), t, p))
                x, other = other, x
            seen = y[t]
            if missing(seen):
                increments[t], squares = 0.0, _squares(weights)
            else:
                for i in range(n):
                    logs[i] = log_observation(load(x, i), seen, t, p)
                increments[t], squares = weigh(weights, logs)
            if not squares > 0.0:
                return x, t, BAD if np.isnan(squares) else IMPOSSIBLE, logs
            effective[t] = 1.0 / squares
            moments(weights, x, mean, variance, t)
            if len(kept):
                keep(x, weights, kept, kept_weights, t)
        return x, len(y), DONE, logs

    return run


@functools.lru_cache(maxsize=64)
def build_backward(log_transition: Callable[..., Any], components: int | None) -> Any:
    """Compiled backward simulation: paths[:, t] given paths[:, t + 1], from the particles of each step."""
    load, store = access(components)

    @njit(nogil=True)
    @typing.no_type_check
    def run(rng, p, particles, weights, paths):
        steps, n = weights.shape
        logs, chances = np.empty(n), np.empty(n)
        for m in range(len(paths)):
            chances[:] = weights[steps - 1]
            store(paths[m], steps - 1, load(particles[steps - 1], _draw(chances, rng)))
            for t in range(steps - 2, -1, -1):
                chances[:] = weights[t]
                after = load(paths[m], t + 1)
                for i in range(n):
                    logs[i] = log_transition(load(particles[t], i), after, t + 1, p)
                where, squares = weigh(chances, logs)
                if not squares > 0.0:
                    return t, where
                store(paths[m], t, load(particles[t], _draw(chances, rng)))
        return -1, 0.0

    return run


@_compiled
@typing.no_type_check
def _draw(chances, rng):
    """One index, with these chances."""
    last = len(chances) - 1
    while chances[last] == 0.0:
        last -= 1
    level, j = rng.random() - chances[0], 0
    while level >= 0.0 and j < last:
        j += 1
        level -= chances[j]
    return j
