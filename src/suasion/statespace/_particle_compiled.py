r"""Particle filters of models whose functions Numba compiles: moving, weighing and choosing in a few passes over N."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from jaxtyping import Float64
from numba.core.errors import NumbaError
from numpy import ndarray

from suasion.statespace import _particle_kernels as kernels
from suasion.statespace._particle_records import ParticleFiltered, ParticleHistory
from suasion.statespace._particle_resampling import Resampler


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CompiledSSM:
    r"""Any Markov chain, and what is seen of it, by functions of one particle that `numba.njit` has compiled.

    A state is a number, or a tuple of d numbers. `rng` is a `numpy.random.Generator`, whose methods Numba knows;
    `fast_exp` is an exponential that loops can be vectorised with. The first use of a model compiles its filter, which
    takes a second or two.

    Attributes:
        initial: takes (rng, p), gives one draw of $x_0$.
        transition: takes (rng, x, t, p), gives one draw of $x_t$, x being $x_{t-1}$.
        log_observation: takes (x, y, t, p), gives $\log p(y_t \mid x_t)$, -inf where impossible. It is not asked of a
            step at which all of y is NaN: such a step is missing.
        parameters: p, handed to each function: a number, an array, or a tuple of such; other values need no new
            compilation.
        components: d, or None if a state is a number.
        log_transition: takes (before, x, t, p), gives $\log p(x_t \mid x_{t-1})$. `backward_sample` needs it.

    Raises:
        ValueError: a function that is not compiled, or `components` below 1; which.
    """

    initial: Callable[..., Any]
    transition: Callable[..., Any]
    log_observation: Callable[..., Any]
    parameters: Any = ()
    components: int | None = None
    log_transition: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        for name in ("initial", "transition", "log_observation", "log_transition"):
            held = getattr(self, name)
            if held is not None and not hasattr(held, "py_func"):
                raise ValueError(f"{name} is not compiled: put @numba.njit before it, or use a StateSpaceModel")
        if self.components is not None and self.components < 1:
            raise ValueError(f"components is {self.components}: must be at least 1, or None where a state is a number")


def run(
    model: CompiledSSM,
    y: Float64[ndarray, "..."],
    rng: np.random.Generator,
    particles: int,
    resampler: Resampler,
    threshold: float,
    keep: bool,
) -> ParticleFiltered:
    """`particle_filter` of a compiled model.

    Raises:
        ValueError: y is no array of numbers or of rows, the functions do not fit together (Numba's own words), or a
            log-weight that is NaN or +inf.
    """
    if y.ndim not in (1, 2):
        raise ValueError(f"y is {list(y.shape)}, not [T] or [T, components]")
    steps, rest = len(y), () if model.components is None else (model.components,)
    x, weights = np.empty((particles, *rest)), np.full(particles, 1 / particles)
    mean, variance = np.zeros((steps, *rest)), np.zeros((steps, *rest))
    increments, effective = np.full(steps, -np.inf), np.zeros(steps)
    length = steps if keep else 0
    kept, kept_weights = np.empty((length, particles, *rest)), np.empty((length, particles))
    kernel = kernels.build(model.initial, model.transition, model.log_observation, model.components, y.ndim == 2)
    chosen = get_args(Resampler).index(resampler)
    given = rng, np.ascontiguousarray(y), model.parameters, chosen, float(threshold)
    try:
        x, step, fate, logs = kernel(*given, x, weights, mean, variance, increments, effective, kept, kept_weights)
    except NumbaError as error:
        raise ValueError(f"the model's functions do not compile into a filter: {error}") from error
    if fate == kernels.BAD:
        i = int(increments[step])
        raise ValueError(f"log_observation is {float(logs[i])!r} for particle {i} at step {step}")
    impossible = -1 if fate == kernels.DONE else step
    history = ParticleHistory(kept[:step], kept_weights[:step]) if keep and step else None
    total = float(increments.sum())
    return ParticleFiltered(mean, variance, total, increments, effective, impossible, x, weights, history)


def sample_back(model: CompiledSSM, history: ParticleHistory, rng: np.random.Generator, draws: int) -> ndarray:
    """`backward_sample` of a compiled model.

    Raises:
        ValueError: a log-density that is NaN or +inf, or a particle that none of the step before can have led to.
    """
    paths = np.empty((draws, len(history.particles), *history.particles.shape[2:]))
    kernel = kernels.build_backward(model.log_transition, model.components)
    try:
        step, where = kernel(rng, model.parameters, *history, paths)
    except NumbaError as error:
        raise ValueError(f"log_transition does not compile: {error}") from error
    if step >= 0:
        refuse(step, where)
    return paths


def refuse(step: int, where: float) -> None:
    """Say what is wrong with log-densities of transitions from a step.

    Raises:
        ValueError: always.
    """
    if where == -np.inf:
        raise ValueError(f"log_transition is -inf from every particle of step {step} to one of step {step + 1}")
    raise ValueError(f"log_transition is NaN or +inf from particle {int(where)} of step {step}")
