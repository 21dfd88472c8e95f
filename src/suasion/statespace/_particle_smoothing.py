r"""Paths from the posterior by backward simulation through the particles of a filter.

$x_{T-1} \sim \sum_i W_{T-1}^i \delta$, then backwards
$P(x_t = x_t^i \mid x_{t+1}) \propto W_t^i\, p(x_{t+1} \mid x_t^i)$.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from suasion.statespace import _particle_compiled
from suasion.statespace._particle_compiled import CompiledSSM, refuse
from suasion.statespace._particle_records import ParticleFiltered
from suasion.statespace._particle_resampling import pick
from suasion.statespace._particles import StateSpaceModel

_PAIRS = 1 << 20  # evaluated at once
_TRIALS = 64  # of rejection, for each draw and step, before all weights are computed


def backward_sample(
    model: StateSpaceModel | CompiledSSM,
    filtered: ParticleFiltered,
    rng: np.random.Generator,
    draws: int = 1,
    *,
    bound: float | None = None,
) -> ndarray:
    r"""Paths from $p(x_{0:T-1} \mid y_{0:T-1})$, as the particles of a filter know it.

    Each step of a path weighs all N particles, unless a bound on the density is known: then particles are proposed by
    their weights and accepted with probability $p(x_{t+1} \mid x_t) / e^{bound}$, which has the same law, and takes a
    time that does not grow with N.

    Args:
        model: as it was filtered; with `log_transition`.
        filtered: of `particle_filter(..., keep=True)`.
        rng: generator.
        draws: how many paths, >= 1.
        bound: $\log \sup p(x_{t+1} \mid x_t)$; for a `StateSpaceModel`. After 64 trials a path weighs all particles.

    Returns:
        float64[draws, T, ...].

    Raises:
        ValueError: no `log_transition`, particles that were not kept, impossible observations, a density above the
            bound, `draws` below 1.

    References:
        Godsill, Doucet & West (2004); Douc, Garivier, Moulines & Olsson (2011) for rejection.
    """
    if draws < 1:
        raise ValueError(f"draws is {draws}: must be at least 1")
    if model.log_transition is None:
        raise ValueError("backward simulation needs a model with log_transition")
    if filtered.impossible >= 0:
        raise ValueError(f"no particle can explain the observation at step {filtered.impossible}")
    if filtered.history is None:
        raise ValueError("the particles were not kept: particle_filter(..., keep=True)")
    if isinstance(model, CompiledSSM):
        if bound is not None:
            raise ValueError("a bound is of use for a StateSpaceModel only")
        return _particle_compiled.sample_back(model, filtered.history, rng, draws)
    return _sample(model.log_transition, *filtered.history, rng, draws, bound)


Density = Callable[[ndarray, ndarray, int], ndarray]


def _sample(
    density: Density, particles: ndarray, weights: ndarray, rng: np.random.Generator, draws: int, bound: float | None
) -> ndarray:
    steps, n = weights.shape
    paths = np.empty((draws, steps, *particles.shape[2:]), particles.dtype)
    paths[:, -1] = particles[-1, pick(weights[-1], rng.random(draws))]
    some = max(1, _PAIRS // n)
    for t in range(steps - 2, -1, -1):
        waiting = np.arange(draws)
        if bound is not None:
            waiting = _reject(density, particles[t], weights[t], paths, t, rng, bound)
        for first in range(0, len(waiting), some):
            chosen = waiting[first : first + some]
            index = _weigh_all(density, particles[t], weights[t], paths[chosen, t + 1], t, rng)
            paths[chosen, t] = particles[t, index]
    return paths


def _reject(
    density: Density, x: ndarray, weights: ndarray, paths: ndarray, t: int, rng: np.random.Generator, bound: float
) -> ndarray:
    """Fill paths[:, t] by rejection; gives those that are still without."""
    waiting = np.arange(len(paths))
    for _ in range(_TRIALS):
        index = pick(weights, rng.random(len(waiting)))
        logs = density(x[index], paths[waiting, t + 1], t + 1)
        if not (logs <= bound).all():
            i = int(np.argmax(~(logs <= bound)))
            raise ValueError(f"log_transition is {float(logs[i])!r} at step {t + 1}: the bound is {bound!r}")
        taken = np.log(1 - rng.random(len(waiting))) <= logs - bound
        paths[waiting[taken], t] = x[index[taken]]
        waiting = waiting[~taken]
        if not len(waiting):
            break
    return waiting


def _weigh_all(
    density: Density, x: ndarray, weights: ndarray, after: ndarray, t: int, rng: np.random.Generator
) -> ndarray:
    """For each state of the next step the index of one before it."""
    m, n = len(after), len(x)
    logs = density(np.concatenate([x] * m), np.repeat(after, n, axis=0), t + 1).reshape(m, n)
    if (bad := ~(logs < np.inf)).any():
        refuse(t, float(np.argwhere(bad)[0, 1]))
    logs = np.where(weights > 0, logs, -np.inf)
    top = logs.max(1, keepdims=True)
    if (top == -np.inf).any():
        refuse(t, -np.inf)
    sums = np.cumsum(weights * np.exp(logs - top), axis=1)
    level = rng.random((m, 1)) * sums[:, -1:]
    return np.minimum((sums <= level).sum(1), np.argmax(sums == sums[:, -1:], axis=1))
