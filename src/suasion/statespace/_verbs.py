"""The verbs of the room: one meaning for every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from suasion.statespace import (
    _baum_welch,
    _covariance_form,
    _finite_score,
    _finite_verbs,
    _gaussian_em,
    _gaussian_score,
    _kalman_verbs,
    _maximum_likelihood,
)
from suasion.statespace._baum_welch import Fit
from suasion.statespace._finite import FiniteSSM
from suasion.statespace._finite_score import FiniteScore
from suasion.statespace._finite_verbs import FiniteStream
from suasion.statespace._gaussian import LinearGaussianSSM
from suasion.statespace._gaussian_score import GaussianScore
from suasion.statespace._kalman_verbs import GaussianStream
from suasion.statespace._nonlinear import NonlinearSSM
from suasion.statespace._nonlinear_filter import Method, Unscented, filter_nonlinear, smooth_nonlinear
from suasion.statespace._nonlinear_verbs import NonlinearStream, forecast_nonlinear, simulate_nonlinear
from suasion.statespace._particle_compiled import CompiledSSM
from suasion.statespace._particles import StateSpaceModel

Model = FiniteSSM | LinearGaussianSSM
Every = Model | NonlinearSSM | StateSpaceModel | CompiledSSM
Form = Literal["root", "covariance"]


def filter(model: Every, y: Any, *, inputs: Any = None, form: Form = "root", method: Method | None = None) -> Any:
    r"""What is known of the state at each step from the observations so far, $p(x_t \mid y_{1:t})$.

    Args:
        model: a `FiniteSSM`, a `LinearGaussianSSM` or a `NonlinearSSM`.
        y: one sequence (int[T] or float64[T, d], as the model observes), a stack of them with a leading axis, or a list
            of sequences of any lengths. -1 or NaN where missing, single components too. float64[T] will do where one
            component is observed by a `LinearGaussianSSM`.
        inputs: u of a model that has them: float64[T, m] of a `LinearGaussianSSM`, actions int[T] of a `FiniteSSM`;
            for stacks and lists one for each sequence. $u_t$ leads from step t to the next.
        form: of a `LinearGaussianSSM`: `root`, exact for ill-conditioned models as well, or `covariance`, which is
            faster, and is not.
        method: of a `NonlinearSSM`: `Extended()` or `Unscented()`, the latter if None. Both approximate; the
            log-likelihood is that of the approximation.

    Returns:
        `FiniteFiltered`, `GaussianFiltered` or `CovarianceFiltered`; of a list a tuple of them.

    Raises:
        ValueError: a sequence of length 0, of another shape, or with an observation that is none; which.

    References:
        Rabiner (1989), with each step's log-likelihoods less their maximum, so that they may be of any size; Kaminski,
        Bryson & Schmidt (1971) for the square-root form.
    """
    _check_form(model, form)
    if isinstance(model, NonlinearSSM):
        return filter_nonlinear(model, y, method or Unscented(), inputs)
    _refuse_method(method)
    if isinstance(model, LinearGaussianSSM):
        if form == "covariance":
            return _covariance_form.filter_covariance(model, y, inputs, smooth=False)
        return _kalman_verbs.filter_gaussian(model, y, inputs)
    return _finite_verbs.filter_finite(_finite_only(model, "filter"), y, inputs)


def smooth(model: Every, y: Any, *, inputs: Any = None, form: Form = "root", method: Method | None = None) -> Any:
    r"""What is known of the state at each step from all observations, $p(x_t \mid y_{1:T})$.

    Args:
        model: as in `filter`.
        y: as in `filter`.
        inputs: as in `filter`.
        form: as in `filter`.
        method: as in `filter`.

    Returns:
        `FiniteSmoothed`, `GaussianSmoothed` or `CovarianceSmoothed`; of a list a tuple of them.

    Raises:
        ValueError: as in `filter`.
    """
    _check_form(model, form)
    if isinstance(model, NonlinearSSM):
        return smooth_nonlinear(model, y, method or Unscented(), inputs)
    _refuse_method(method)
    if isinstance(model, LinearGaussianSSM):
        if form == "covariance":
            return _covariance_form.filter_covariance(model, y, inputs, smooth=True)
        return _kalman_verbs.smooth_gaussian(model, y, inputs)
    return _finite_verbs.smooth_finite(_finite_only(model, "smooth"), y, inputs)


def decode(model: Every, y: Any, *, inputs: Any = None) -> Any:
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
    return _finite_verbs.decode_finite(_finite_only(model, "decode"), y, inputs)


def sample(model: Every, y: Any, rng: np.random.Generator, draws: int = 1, *, inputs: Any = None) -> Any:
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
    return _finite_verbs.sample_finite(_finite_only(model, "sample"), y, rng, draws, inputs)


def simulate(
    model: Every, steps: int, rng: np.random.Generator, *, count: int | None = None, inputs: Any = None
) -> Any:
    """States and observations from the model itself.

    Args:
        model: as in `filter`.
        steps: T >= 1.
        rng: generator.
        count: how many walks; None gives one, without the leading axis.
        inputs: float64[steps, m], or actions int[steps]; the same for all walks.

    Returns:
        States and observations.

    Raises:
        ValueError: `steps` or `count` below 1.
    """
    _check_count("steps", steps)
    if count is not None:
        _check_count("count", count)
    if isinstance(model, NonlinearSSM):
        return simulate_nonlinear(model, steps, rng, count, inputs)
    if isinstance(model, LinearGaussianSSM):
        return _kalman_verbs.simulate_gaussian(model, steps, rng, count, inputs)
    return _finite_verbs.simulate_finite(_finite_only(model, "simulate"), steps, rng, count, inputs)


def forecast(model: Every, y: Any, steps: int, *, inputs: Any = None, method: Method | None = None) -> Any:
    """The states and observations to come.

    Args:
        model: as in `filter`.
        y: one sequence.
        steps: h >= 1.
        inputs: float64[T + h, m], or actions int[T + h]: those of the steps to come as well.
        method: as in `filter`.

    Returns:
        `FiniteForecast` or `GaussianForecast`.

    Raises:
        ValueError: as in `filter`; impossible observations; `steps` below 1.
    """
    _check_count("steps", steps)
    if isinstance(model, NonlinearSSM):
        return forecast_nonlinear(model, y, steps, method or Unscented(), inputs)
    _refuse_method(method)
    if isinstance(model, LinearGaussianSSM):
        return _kalman_verbs.forecast_gaussian(model, y, steps, inputs)
    return _finite_verbs.forecast_finite(_finite_only(model, "forecast"), y, steps, inputs)


def fit(
    model: Every,
    y: Any,
    *,
    method: Literal["em", "ml"] = "em",
    free: Sequence[str] | Mapping[str, Any] | None = None,
    tied: Sequence[Sequence[tuple[Any, ...]]] = (),
    iterations: int = 200,
    tolerance: float = 1e-9,
    prior: float = 0.0,
    inputs: Any = None,
) -> Fit:
    r"""A more likely model, from this one.

    By expectation and maximisation (`em`; for a finite chain Baum-Welch), or by a search along exact gradients (`ml`:
    L-BFGS, then Newton steps), which needs far fewer iterations near the end, bears a singular R or Q that is not free,
    and can free single entries and share them. Either never lowers the likelihood; zeros of a transition matrix stay
    zeros.

    Args:
        model: where to start.
        y: as in `filter`.
        method: `em` or `ml`.
        free: which parameters. Of a finite chain `initial`, `transition`, `emission`; all if None. Of a
            `LinearGaussianSSM` A, B, C, D, Q, R, m0, P0; Q and R if None. A free one must not change with time. With
            `ml` also names of the emission's parameters (`probability`, `mean`, `covariance`, `rate`), and a mapping
            from names to bool arrays of entries that are free: any coefficients, whole distributions, whole covariances
            or variances that nothing is correlated with.
        tied: with `ml`, groups of what is one number: each a tuple of a parameter's name and the beginning of an index,
            such as `(("Q", 0, 0), ("Q", 1, 1))` of free variances, or `(("covariance", 0), ("covariance", 1))`. They
            must be equal at the start.
        iterations: at most so many, >= 0.
        tolerance: it stops when one gains less than this times $\lvert L \rvert$ (`em`), or when no derivative by a
            free coordinate is greater than this times $\max(1, \lvert L \rvert)$ (`ml`); in [0, 1).
        prior: pseudo-counts for each possible first state and each possible transition, >= 0; with them, what never
            falls is the log-likelihood plus the log of that Dirichlet prior. For EM of finite chains.
        inputs: as in `filter`.

    Returns:
        `Fit`; `converged` says whether it stopped by itself.

    Raises:
        ValueError: as in `filter`; impossible observations; a state that dies, or a Gaussian that collapses; which. R
            of a `LinearGaussianSSM` has no inverse, or loses it on the way (`em`). A free covariance is singular at the
            start, or what is tied differs there (`ml`).
        ArithmeticError: the likelihood fell by more than rounding, or the search met no model.

    References:
        Baum, Petrie, Soules & Weiss (1970); Rabiner (1989); Shumway & Stoffer (1982); Koopman & Shephard (1992).
    """
    if iterations < 0 or not 0 <= tolerance < 1 or not 0 <= prior < np.inf:
        raise ValueError(f"iterations is {iterations}, tolerance {tolerance!r}, prior {prior!r}: see their ranges")
    if prior and (method == "ml" or isinstance(model, LinearGaussianSSM)):
        raise ValueError("a prior of pseudo-counts is for EM of finite chains")
    if not isinstance(model, LinearGaussianSSM):
        model = _finite_only(model, "fit")
    if method == "ml":
        return _maximum_likelihood.maximise(model, y, free, tied, iterations, tolerance, inputs)
    if method != "em":
        raise ValueError(f"method is {method!r}: must be em or ml")
    if tied or isinstance(free, Mapping):
        raise ValueError("EM frees whole parameters: entries and ties are for method='ml'")
    if isinstance(model, LinearGaussianSSM):
        return _gaussian_em.fit_gaussian(model, y, free, iterations, tolerance, inputs)
    return _baum_welch.fit_finite(model, y, free, iterations, tolerance, prior, inputs)


def score(model: Every, y: Any, *, inputs: Any = None) -> GaussianScore | FiniteScore:
    r"""The log-likelihood and its exact derivatives by all parameters, for about the price of smoothing.

    By Fisher's identity, $\nabla \log p(y) = E[\nabla \log p(x, y) \mid y]$.

    Args:
        model: as in `filter`; a `LinearGaussianSSM` may have a diffuse start and singular Q, R and P0.
        y: as in `filter`; of several sequences the log-likelihoods are added.
        inputs: as in `filter`.

    Returns:
        `GaussianScore` or `FiniteScore`.

    Raises:
        ValueError: as in `filter`; impossible observations.

    References:
        Koopman & Shephard (1992).
    """
    if isinstance(model, LinearGaussianSSM):
        return _gaussian_score.score_gaussian(model, y, inputs)
    return _finite_score.score_finite(_finite_only(model, "score"), y, inputs)


def online(model: Every, *, method: Method | None = None) -> FiniteStream | GaussianStream | NonlinearStream:
    """A stream: `step(y)` takes one observation more and gives the filtered state, in constant memory.

    Args:
        model: as in `filter`.
        method: as in `filter`.
    """
    if isinstance(model, NonlinearSSM):
        return NonlinearStream(model, method or Unscented())
    _refuse_method(method)
    if isinstance(model, LinearGaussianSSM):
        return GaussianStream(model)
    return FiniteStream(_finite_only(model, "online"))


def _check_form(model: Every, form: Form) -> None:
    if form not in get_args(Form):
        raise ValueError(f"form is {form!r}: must be one of {', '.join(get_args(Form))}")
    if form != "root" and isinstance(model, FiniteSSM):
        raise ValueError(f"form is {form!r}, and a finite chain has no covariances")
    if form != "root" and isinstance(model, NonlinearSSM):
        raise ValueError(f"form is {form!r}, and a NonlinearSSM is filtered by roots only")


def _refuse_method(method: Method | None) -> None:
    if method is not None:
        raise ValueError(f"method is {method!r}, and this model is filtered exactly")


_OTHERS = {
    NonlinearSSM: "filter, smooth, simulate, forecast and online",
    StateSpaceModel: "particle_filter and backward_sample",
    CompiledSSM: "particle_filter and backward_sample",
}


def _finite_only(model: Any, verb: str) -> FiniteSSM:
    """The model, if it is a finite chain: what is left when others have gone their way.

    Raises:
        TypeError: it is not; with the verbs that it has.
    """
    if isinstance(model, FiniteSSM):
        return model
    for kind, verbs in _OTHERS.items():
        if isinstance(model, kind):
            raise TypeError(f"{verb} does not take a {kind.__name__}: there are {verbs}")
    raise TypeError(f"{verb} takes a FiniteSSM or a LinearGaussianSSM, not a {type(model).__name__}")


def _check_count(name: str, number: int) -> None:
    if number < 1:
        raise ValueError(f"{name} is {number}: must be at least 1")
