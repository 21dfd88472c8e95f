r"""Nonlinear models with additive Gaussian noise: the record.

$x_0 \sim N(m_0, P_0)$, $x_{t+1} = f(x_t, u_t, t) + w_t$, $y_t = h(x_t, u_t, t) + v_t$, $w_t \sim N(0, Q)$,
$v_t \sim N(0, R)$: n state components, p observed ones, m inputs, T steps. The first observation is of $x_0$.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.statespace._checks import check_finite, check_shape, covariance_root
from suasion.statespace._particles import StateSpaceModel

Mean = Callable[[ndarray, Any, int], ndarray]
Numerical = Literal["central", "complex"]
Jacobian = Mean | Numerical
Name = Literal["transition", "observation"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class NonlinearSSM:
    r"""A state-space model with nonlinear means and additive Gaussian noise.

    f and h take x as float64[n], and as float64[n, k]: k points side by side. Written with x[0], x[1] and `A @ x` they
    do both. Noise that is not additive becomes additive if it is made part of the state.

    Attributes:
        transition: f, takes (x, u, t), gives the mean of $x_{t+1}$, float64[n] or [n, k]; u is None without inputs.
        observation: h, takes (x, u, t), gives the mean of $y_t$, float64[p] or [p, k].
        Q: covariance of the state's noise, float64[n, n], or with a first axis of time (entry t leads to $x_{t+1}$).
        R: covariance of the observation's noise, float64[p, p], or with a first axis of time.
        m0: mean of $x_0$, float64[n].
        P0: covariance of $x_0$, float64[n, n]. Covariances may be singular or zero.
        transition_jacobian: $\partial f / \partial x$, takes (x, u, t) with x float64[n], gives float64[n, n]. Or
            `complex`: by complex steps, exact, if f is analytic and takes complex arrays. Or `central`: by central
            differences, about ten digits.
        observation_jacobian: $\partial h / \partial x$, float64[p, n], or one of these names.
        difference: takes (a, b) of the shape of h's values, gives a - b; for angles the one that is nearest to 0. A
            plain difference if None. A state that is an angle needs nothing: let it grow.

    Raises:
        ValueError: shapes disagree, an entry is not finite, a covariance is not symmetric or has a negative eigenvalue,
            no such way to a Jacobian; which, and how much.
    """

    transition: Mean
    observation: Mean
    Q: Float64[ndarray, "..."]
    R: Float64[ndarray, "..."]
    m0: Float64[ndarray, "_"]
    P0: Float64[ndarray, "_ _"]
    transition_jacobian: Jacobian = "central"
    observation_jacobian: Jacobian = "central"
    difference: Callable[[ndarray, ndarray], ndarray] | None = None

    def __post_init__(self) -> None:
        n, p = len(self.m0), self.R.shape[-1]
        for name, size in (("Q", n), ("R", p)):
            held = getattr(self, name)
            if held.ndim not in (2, 3) or held.shape[-2:] != (size, size) or not len(held):
                raise ValueError(
                    f"{name} is {list(held.shape)}, not {[size, size]} (a first axis of time may be added)"
                )
        check_finite("m0", self.m0)
        check_shape("P0", self.P0, (n, n))
        _ = self.process_root, self.observation_root, self.start_root  # refuses what is no covariance
        for name in ("transition_jacobian", "observation_jacobian"):
            held = getattr(self, name)
            if not callable(held) and held not in get_args(Numerical):
                raise ValueError(f"{name} is {held!r}: must be a function, or one of {', '.join(get_args(Numerical))}")

    def __repr__(self) -> str:
        return f"NonlinearSSM({self.n_components} components, {self.n_observed} observed)"

    @property
    def n_components(self) -> int:
        """n."""
        return len(self.m0)

    @property
    def n_observed(self) -> int:
        """p."""
        return int(self.R.shape[-1])

    @cached_property
    def process_root(self) -> Float64[ndarray, "_ _ _"]:
        """Roots of Q, with an axis of time."""
        return _roots("Q", self.Q)

    @cached_property
    def observation_root(self) -> Float64[ndarray, "_ _ _"]:
        """Roots of R, with an axis of time."""
        return _roots("R", self.R)

    @cached_property
    def start_root(self) -> Float64[ndarray, "_ _"]:
        """Root of P0."""
        return covariance_root("P0", self.P0)

    def subtract(self, a: ndarray, b: ndarray) -> ndarray:
        """a - b, of observations."""
        return a - b if self.difference is None else self.difference(a, b)

    def evaluate(self, name: Name, x: ndarray, u: Any, t: int) -> ndarray:
        """f or h of one point or of several.

        Raises:
            ValueError: the value has another shape, or is not finite; where.
        """
        value = np.asarray(self.transition(x, u, t) if name == "transition" else self.observation(x, u, t))
        wanted = (self.n_components if name == "transition" else self.n_observed, *x.shape[1:])
        if value.shape != wanted:
            raise ValueError(f"{name} gives {list(value.shape)} of {list(x.shape)} at step {t}, not {list(wanted)}")
        if not np.isfinite(value).all():
            place = [int(i) for i in np.argwhere(~np.isfinite(value))[0]]
            raise ValueError(f"{name} gives {value[tuple(place)]!s} at {place} at step {t}")
        return value

    def check_steps(self, steps: int) -> None:
        """Refuse sequences longer than what changes with time.

        Raises:
            ValueError: which, and both lengths.
        """
        for name, needed in (("Q", steps - 1), ("R", steps)):
            held = getattr(self, name)
            if held.ndim == 3 and len(held) < needed:
                raise ValueError(f"{name} is given for {len(held)} steps, and {needed} are asked for")

    def as_particles(self, inputs: Float64[ndarray, "_ _"] | None = None) -> StateSpaceModel:
        """The same model for `particle_filter`, which knows no approximation but the number of particles.

        Densities of the transition and of the start come with it where Q and P0 have inverses.

        Args:
            inputs: u, float64[T, m], if f and h take them.

        Raises:
            ValueError: R has no inverse: there is no density.
        """
        return _as_particles(self, inputs)


def _roots(name: str, held: ndarray) -> ndarray:
    if held.ndim == 2:
        return covariance_root(name, held)[None]
    return np.stack([covariance_root(f"{name}[{t}]", one) for t, one in enumerate(held)])


def entry(held: ndarray, t: int) -> ndarray:
    """That of step t, of roots that may change with time."""
    return held[0] if len(held) == 1 else held[t]


def _invertible(roots: ndarray) -> bool:
    size = np.linalg.norm(roots, axis=2, keepdims=True)
    if not size.all():
        return False
    return bool((np.linalg.svd(roots / size, compute_uv=False)[:, -1] > 1e-7).all())  # as in a linear model


def _as_particles(model: NonlinearSSM, inputs: ndarray | None) -> StateSpaceModel:
    if not _invertible(model.observation_root):
        raise ValueError("R has no inverse: an observation has no density, and particles no weights")

    def u(t: int) -> Any:
        return None if inputs is None else inputs[t]

    def move(x: ndarray, t: int) -> ndarray:
        return model.transition(x.T, u(t - 1), t - 1).T

    def transition(rng: np.random.Generator, x: ndarray, t: int) -> ndarray:
        return move(x, t) + rng.standard_normal(x.shape) @ entry(model.process_root, t - 1).T

    def log_observation(x: ndarray, y: ndarray, t: int) -> ndarray:
        mean = model.observation(x.T, u(t), t)
        seen = ~np.isnan(y)
        gap = model.subtract(np.where(seen[:, None], y[:, None], mean), mean)
        return _log_density(gap[seen], entry(model.observation_root, t)[seen])

    def log_transition(before: ndarray, x: ndarray, t: int) -> ndarray:
        return _log_density((x - move(before, t)).T, entry(model.process_root, t - 1))

    return StateSpaceModel(
        initial=lambda rng, n: model.m0 + rng.standard_normal((n, len(model.m0))) @ model.start_root.T,
        transition=transition,
        log_observation=log_observation,
        log_transition=log_transition if _invertible(model.process_root) else None,
        log_initial=(lambda x: _log_density((x - model.m0).T, model.start_root))
        if _invertible(model.start_root[None])
        else None,
    )


def _log_density(gap: ndarray, root: ndarray) -> ndarray:
    """Of N(0, S S') at each column; 0 of no rows."""
    if not len(gap):
        return np.zeros(gap.shape[1])
    lower = np.asarray(np.linalg.qr(root.T, mode="r")).T
    scaled = np.linalg.solve(lower, gap)
    return -0.5 * (scaled**2).sum(0) - np.log(np.abs(np.diag(lower))).sum() - len(gap) * np.log(2 * np.pi) / 2
