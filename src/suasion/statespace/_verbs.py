"""The verbs of the room: one meaning for every model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from suasion.statespace import _baum_welch, _covariance_form, _finite, _gaussian_em, _kalman_verbs
from suasion.statespace._baum_welch import Fit
from suasion.statespace._finite import FiniteSSM, FiniteStream
from suasion.statespace._gaussian import LinearGaussianSSM
from suasion.statespace._kalman_verbs import GaussianStream

Model = FiniteSSM | LinearGaussianSSM
Form = Literal["root", "covariance"]


def filter(model: Model, y: Any, *, inputs: Any = None, form: Form = "root") -> Any:
    r"""What is known of the state at each step from the observations so far, $p(x_t \mid y_{1:t})$.

    Args:
        model: a `FiniteSSM` or a `LinearGaussianSSM`.
        y: one sequence (int[T] or float64[T, d], as the model observes), a stack of them with a leading axis, or a list
            of sequences of any lengths. -1 or NaN where missing, single components too. float64[T] will do where one
            component is observed by a `LinearGaussianSSM`.
        inputs: u of a `LinearGaussianSSM` that has them, float64[T, m]; for stacks and lists one for each sequence.
        form: of a `LinearGaussianSSM`: `root`, exact for ill-conditioned models as well, or `covariance`, which is
            faster, and is not.

    Returns:
        `FiniteFiltered`, `GaussianFiltered` or `CovarianceFiltered`; of a list a tuple of them.

    Raises:
        ValueError: a sequence of length 0, of another shape, or with an observation that is none; which.

    References:
        Rabiner (1989), with each step's log-likelihoods less their maximum, so that they may be of any size; Kaminski,
        Bryson & Schmidt (1971) for the square-root form.
    """
    _check_form(model, form)
    if isinstance(model, LinearGaussianSSM):
        if form == "covariance":
            return _covariance_form.filter_covariance(model, y, inputs, smooth=False)
        return _kalman_verbs.filter_gaussian(model, y, inputs)
    _refuse_inputs(inputs)
    return _finite.filter_finite(model, y)


def smooth(model: Model, y: Any, *, inputs: Any = None, form: Form = "root") -> Any:
    r"""What is known of the state at each step from all observations, $p(x_t \mid y_{1:T})$.

    Args:
        model: as in `filter`.
        y: as in `filter`.
        inputs: as in `filter`.
        form: as in `filter`.

    Returns:
        `FiniteSmoothed`, `GaussianSmoothed` or `CovarianceSmoothed`; of a list a tuple of them.

    Raises:
        ValueError: as in `filter`.
    """
    _check_form(model, form)
    if isinstance(model, LinearGaussianSSM):
        if form == "covariance":
            return _covariance_form.filter_covariance(model, y, inputs, smooth=True)
        return _kalman_verbs.smooth_gaussian(model, y, inputs)
    _refuse_inputs(inputs)
    return _finite.smooth_finite(model, y)


def decode(model: Model, y: Any, *, inputs: Any = None) -> Any:
    r"""The most likely path of states, $\arg\max p(x_{1:T} \mid y_{1:T})$ (Viterbi).

    Args:
        model: as in `filter`.
        y: as in `filter`.
        inputs: as in `filter`.

    Returns:
        `FiniteDecoded`, or `GaussianSmoothed`, whose mean is the most likely path; of a list a tuple of them.

    Raises:
        ValueError: as in `filter`.
    """
    if isinstance(model, LinearGaussianSSM):
        return smooth(model, y, inputs=inputs)
    _refuse_inputs(inputs)
    return _finite.decode_finite(model, y)


def sample(model: Model, y: Any, rng: np.random.Generator, draws: int = 1, *, inputs: Any = None) -> Any:
    r"""Paths from the posterior $p(x_{1:T} \mid y_{1:T})$, by backward simulation for a finite chain;
    for a `LinearGaussianSSM` a simulated path is corrected by smoothing (Durbin & Koopman 2002).

    Args:
        model: as in `filter`.
        y: as in `filter`.
        rng: generator.
        draws: how many, >= 1.
        inputs: as in `filter`.

    Returns:
        int64[draws, T] or float64[draws, T, n]; with a leading axis for a stack, a tuple for a list.

    Raises:
        ValueError: as in `filter`; impossible observations; `draws` below 1.
    """
    _check_count("draws", draws)
    if isinstance(model, LinearGaussianSSM):
        return _kalman_verbs.sample_gaussian(model, y, rng, draws, inputs)
    _refuse_inputs(inputs)
    return _finite.sample_finite(model, y, rng, draws)


def simulate(
    model: Model, steps: int, rng: np.random.Generator, *, count: int | None = None, inputs: Any = None
) -> Any:
    """States and observations from the model itself.

    Args:
        model: as in `filter`.
        steps: T >= 1.
        rng: generator.
        count: how many walks; None gives one, without the leading axis.
        inputs: float64[steps, m].

    Returns:
        States and observations.

    Raises:
        ValueError: `steps` or `count` below 1.
    """
    _check_count("steps", steps)
    if count is not None:
        _check_count("count", count)
    if isinstance(model, LinearGaussianSSM):
        return _kalman_verbs.simulate_gaussian(model, steps, rng, count, inputs)
    _refuse_inputs(inputs)
    return _finite.simulate_finite(model, steps, rng, count)


def forecast(model: Model, y: Any, steps: int, *, inputs: Any = None) -> Any:
    """The states and observations to come.

    Args:
        model: as in `filter`.
        y: one sequence.
        steps: h >= 1.
        inputs: float64[T + h, m]: those of the steps to come as well.

    Returns:
        `FiniteForecast` or `GaussianForecast`.

    Raises:
        ValueError: as in `filter`; impossible observations; `steps` below 1.
    """
    _check_count("steps", steps)
    if isinstance(model, LinearGaussianSSM):
        return _kalman_verbs.forecast_gaussian(model, y, steps, inputs)
    _refuse_inputs(inputs)
    return _finite.forecast_finite(model, y, steps)


def fit(
    model: Model,
    y: Any,
    *,
    free: Sequence[str] | None = None,
    iterations: int = 200,
    tolerance: float = 1e-9,
    prior: float = 0.0,
    inputs: Any = None,
) -> Fit:
    r"""A more likely model by expectation and maximisation (EM; for a finite chain Baum-Welch), from this one.

    The likelihood never falls; zeros of a transition matrix stay zeros.

    Args:
        model: where to start.
        y: as in `filter`.
        free: which parameters. Of a finite chain `initial`, `transition`, `emission`; all if None. Of a
            `LinearGaussianSSM` A, B, C, D, Q, R, m0, P0; Q and R if None. A free one must not change with time.
        iterations: at most so many, >= 0.
        tolerance: it stops when one gains less than this times $\lvert L \rvert$, in [0, 1).
        prior: pseudo-counts for each possible first state and each possible transition, >= 0; with them, what never
            falls is the log-likelihood plus the log of that Dirichlet prior. For finite chains.
        inputs: as in `filter`.

    Returns:
        `Fit`; `converged` says whether it stopped by itself.

    Raises:
        ValueError: as in `filter`; impossible observations; a state that dies, or a Gaussian that collapses; which. R
            of a `LinearGaussianSSM` has no inverse, or loses it on the way.
        ArithmeticError: the likelihood fell by more than rounding.

    References:
        Baum, Petrie, Soules & Weiss (1970); Rabiner (1989); Shumway & Stoffer (1982).
    """
    if iterations < 0 or not 0 <= tolerance < 1 or not 0 <= prior < np.inf:
        raise ValueError(f"iterations is {iterations}, tolerance {tolerance!r}, prior {prior!r}: see their ranges")
    if isinstance(model, LinearGaussianSSM):
        if prior:
            raise ValueError("a prior of pseudo-counts is for finite chains")
        return _gaussian_em.fit_gaussian(model, y, free, iterations, tolerance, inputs)
    _refuse_inputs(inputs)
    return _baum_welch.fit_finite(model, y, free, iterations, tolerance, prior)


def online(model: Model) -> FiniteStream | GaussianStream:
    """A stream: `step(y)` takes one observation more and gives the filtered state, in constant memory.

    Args:
        model: as in `filter`.
    """
    return GaussianStream(model) if isinstance(model, LinearGaussianSSM) else FiniteStream(model)


def _check_form(model: Model, form: Form) -> None:
    if form not in get_args(Form):
        raise ValueError(f"form is {form!r}: must be one of {', '.join(get_args(Form))}")
    if form != "root" and isinstance(model, FiniteSSM):
        raise ValueError(f"form is {form!r}, and a finite chain has no covariances")


def _refuse_inputs(inputs: Any) -> None:
    if inputs is not None:
        raise ValueError("a finite chain takes no inputs")


def _check_count(name: str, number: int) -> None:
    if number < 1:
        raise ValueError(f"{name} is {number}: must be at least 1")
