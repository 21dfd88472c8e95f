r"""Particle filters: a state-space model by its functions, and weighted samples of its state.

N particles, T steps. $p(x_t \mid y_{0:t}) \approx \sum_i W_t^i \delta_{x_t^i}$; the product of mean weights is an
unbiased estimate of the likelihood $p(y_{0:T-1})$, not of its logarithm. One loop serves three filters: particles move
by the transition (bootstrap) or by a `Proposal` that has seen $y_t$ (guided), and they are chosen by their weights, or
by these times what they promise for $y_t$ (auxiliary).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace import _particle_compiled
from suasion.statespace._particle_compiled import CompiledSSM
from suasion.statespace._particle_records import ParticleFiltered, ParticleHistory, check_numbers
from suasion.statespace._particle_resampling import Resampler, resample


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class StateSpaceModel:
    r"""Any Markov chain, and what is seen of it, by functions over N particles at once.

    Attributes:
        initial: takes (rng, N), gives N draws of $x_0$, an array with first axis N.
        transition: takes (rng, x, t), gives one draw of $x_t$ for each $x_{t-1}$.
        log_observation: takes (x, y, t), gives $\log p(y_t \mid x_t)$, float64[N]: -inf where impossible, 0 for all
            where y_t is missing.
        log_transition: takes (before, x, t), gives $\log p(x_t \mid x_{t-1})$ of each pair, float64[N]. A `Proposal`
            and `backward_sample` need it.
        log_initial: takes x, gives $\log p(x_0)$, float64[N]. A `Proposal` of $x_0$ needs it.
    """

    initial: Callable[[np.random.Generator, int], ndarray]
    transition: Callable[[np.random.Generator, ndarray, int], ndarray]
    log_observation: Callable[[ndarray, Any, int], ndarray]
    log_transition: Callable[[ndarray, ndarray, int], ndarray] | None = None
    log_initial: Callable[[ndarray], ndarray] | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Proposal:
    r"""Where a guided filter moves its particles: a distribution $q(x_t \mid x_{t-1}, y_t)$ that has seen $y_t$.

    It must be positive wherever $p(x_t \mid x_{t-1}) p(y_t \mid x_t)$ is. Best is
    $p(x_t \mid x_{t-1}, y_t)$: weights then do not depend on the draw.

    Attributes:
        draw: takes (rng, before, y, t), gives one $x_t$ for each $x_{t-1}$.
        log_density: takes (before, x, y, t), gives $\log q(x_t \mid x_{t-1}, y_t)$ of each pair, float64[N].
        initial: takes (rng, N, y), gives N draws of $x_0$; those of the model if None.
        log_initial: takes (x, y), gives the log-density of these, float64[N].

    Raises:
        ValueError: one of `initial` and `log_initial` without the other.
    """

    draw: Callable[[np.random.Generator, ndarray, Any, int], ndarray]
    log_density: Callable[[ndarray, ndarray, Any, int], ndarray]
    initial: Callable[[np.random.Generator, int, Any], ndarray] | None = None
    log_initial: Callable[[ndarray, Any], ndarray] | None = None

    def __post_init__(self) -> None:
        if (self.initial is None) != (self.log_initial is None):
            raise ValueError("a proposal of the start needs both initial and log_initial")


LookAhead = Callable[[ndarray, Any, int], ndarray]


def particle_filter(
    model: StateSpaceModel | CompiledSSM,
    y: Any,
    rng: np.random.Generator,
    *,
    particles: int = 1000,
    resampler: Resampler = "systematic",
    threshold: float = 0.5,
    proposal: Proposal | None = None,
    look_ahead: LookAhead | None = None,
    keep: bool = False,
) -> ParticleFiltered:
    r"""Particle filter, resampling when the effective sample size falls below a share of N.

    Args:
        model: functions over all particles (NumPy), or over one particle (Numba).
        y: observations, one for each step.
        rng: generator; equal ones give equal results.
        particles: N >= 1.
        resampler: systematic and stratified vary least.
        threshold: in [0, 1]: resample if the effective size is below this times N; 1 resamples always (unless all
            weights are equal), 0 never.
        proposal: where particles move (the guided filter); None moves them by the transition (the bootstrap filter).
        look_ahead: takes (x, y, t), gives $\log \eta(x_{t-1}, y_t)$, float64[N], some guess of
            $\log p(y_t \mid x_{t-1})$; particles are chosen by $W \eta$ and then weighted by $1 / \eta$ (the auxiliary
            filter), and the effective size that counts is that of $W \eta$. -inf only where $y_t$ is impossible.
        keep: keep all steps' particles and weights, as `backward_sample` needs them.

    Raises:
        ValueError: a sequence of length 0, a number outside its range, a log-weight that is NaN or +inf, or a density
            that the model does not have; which. A `CompiledSSM` with a proposal or a look ahead.

    References:
        Gordon, Salmond & Smith (1993); Doucet, Godsill & Andrieu (2000); Pitt & Shephard (1999); Chopin &
        Papaspiliopoulos (2020), chapter 10.
    """
    check_numbers(len(y), particles, resampler, threshold)
    if isinstance(model, CompiledSSM):
        if proposal is not None or look_ahead is not None:
            raise ValueError(
                "a CompiledSSM has the bootstrap filter only: a proposal or a look ahead needs a StateSpaceModel"
            )
        return _particle_compiled.run(model, y, rng, particles, resampler, threshold, keep)
    return _run(_Question(model, y, resampler, threshold, proposal, look_ahead), rng, particles, keep)


class _Question(NamedTuple):
    """What does not change from step to step."""

    model: StateSpaceModel
    y: Any
    resampler: Resampler
    threshold: float
    proposal: Proposal | None
    look_ahead: LookAhead | None


def _run(q: _Question, rng: np.random.Generator, particles: int, keep: bool) -> ParticleFiltered:
    steps = len(q.y)
    x, logs = _start(q, rng, particles)
    shape = (steps, *x.shape[1:])
    mean, variance = np.zeros(shape), np.zeros(shape)
    increments, effective = np.full(steps, -np.inf), np.zeros(steps)
    weights, held = np.full(particles, 1 / particles), []
    impossible = -1
    for t in range(steps):
        if t:
            x, weights = _select(q, rng, x, weights, t)
            x, logs = _move(q, rng, x, t)
        increments[t], weights = _weigh(weights, logs, "the log-weight", t)
        if increments[t] == -np.inf:
            impossible = t
            break
        effective[t] = 1 / (weights @ weights)
        mean[t] = np.tensordot(weights, x, 1)
        variance[t] = np.tensordot(weights, (x - mean[t]) ** 2, 1)
        if keep:
            held.append((x, weights))
    history = ParticleHistory(*(np.stack(parts) for parts in zip(*held, strict=True))) if held else None
    total = float(increments.sum())
    return ParticleFiltered(mean, variance, total, increments, effective, impossible, x, weights, history)


def _start(q: _Question, rng: np.random.Generator, particles: int) -> tuple[ndarray, ndarray]:
    """Draws of the first state, and their log-weights."""
    first = q.y[0]
    if q.proposal is None or q.proposal.initial is None or q.proposal.log_initial is None:
        x = q.model.initial(rng, particles)
        return x, q.model.log_observation(x, first, 0)
    if q.model.log_initial is None:
        raise ValueError("a proposal of the start needs a model with log_initial")
    x = q.proposal.initial(rng, particles, first)
    ratio = q.model.log_initial(x) - q.proposal.log_initial(x, first)
    return x, q.model.log_observation(x, first, 0) + ratio


def _select(q: _Question, rng: np.random.Generator, x: ndarray, weights: ndarray, t: int) -> tuple[ndarray, ndarray]:
    """Particles that go on, and weights with which an average over them is unbiased."""
    n = len(weights)
    promise = np.zeros(n) if q.look_ahead is None else q.look_ahead(x, q.y[t], t)
    gained, chances = _weigh(weights, promise, "look_ahead", t)
    if gained == -np.inf:  # no particle can explain y_t: the weights will say so
        return x, weights
    if 1 / (chances @ chances) >= q.threshold * n:
        return x, weights
    index = resample(chances, rng, q.resampler)
    return x[index], np.exp(gained - promise[index]) / n


def _move(q: _Question, rng: np.random.Generator, x: ndarray, t: int) -> tuple[ndarray, ndarray]:
    """Next states, and their log-weights."""
    if q.proposal is None:
        after = q.model.transition(rng, x, t)
        return after, q.model.log_observation(after, q.y[t], t)
    if q.model.log_transition is None:
        raise ValueError("a proposal needs a model with log_transition")
    after = q.proposal.draw(rng, x, q.y[t], t)
    ratio = q.model.log_transition(x, after, t) - q.proposal.log_density(x, after, q.y[t], t)
    return after, q.model.log_observation(after, q.y[t], t) + ratio


def _weigh(weights: ndarray, logs: ndarray, name: str, t: int) -> tuple[float, ndarray]:
    """Log of the sum of weights times exp(logs), and these as shares of it."""
    if logs.shape != weights.shape:
        raise ValueError(f"{name} is {list(logs.shape)} at step {t}, not {list(weights.shape)}")
    if (bad := ~(logs < np.inf)).any():
        i = int(np.argmax(bad))
        raise ValueError(f"{name} is {float(logs[i])!r} for particle {i} at step {t}")
    top = logs[weights > 0].max()
    if top == -np.inf:
        return -np.inf, weights
    held = np.where(weights > 0, weights * np.exp(np.minimum(logs - top, 0.0)), 0.0)
    total = held.sum()
    return float(top + np.log(total)), held / total
