r"""What is seen of a hidden state: $p(y_t \mid s_t)$ as a table, Gaussians, Poisson counts, or a function.

K states, T steps, d components of an observation, O symbols. A missing observation is -1 where observations are whole
numbers and NaN where they are not; of a vector, single components may be missing.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy import special

from suasion.statespace._checks import check_finite, check_shape, covariance_root
from suasion.statespace._emission_kernels import are_distributions, cholesky, log_density, weighted_moments

ROW_TOLERANCE = 1e-9
_ALIVE = 1e-6  # expected observations of a state, below which its parameters are no longer defined by them
_COLLAPSED = 1e-10  # of the observations' own variance


class Moments(NamedTuple):
    """Mean and (co)variance of observations.

    Attributes:
        mean: float64[h] or float64[h, d].
        variance: float64[h], or covariances float64[h, d, d].
    """

    mean: ndarray
    variance: ndarray


class Emission(abc.ABC):
    """What a hidden state shows; abstract. `rank` is that of one observation: 0 a number, 1 a vector."""

    rank: ClassVar[int | None]

    @property
    @abc.abstractmethod
    def n_states(self) -> int | None:
        """K, or None if any number goes."""

    @abc.abstractmethod
    def log_likelihood(self, y: Any) -> Float64[ndarray, "_ _"]:
        """log p(y_t | s), float64[T, K]; 0 where y_t is missing."""

    def put_log_likelihood(self, y: Any, out: Float64[ndarray, "_ _"]) -> None:
        """Write log p(y_t | s) to an array of the caller's, float64[T, K].

        Raises:
            ValueError: as `log_likelihood`; or its shape is another.
        """
        logs = self.log_likelihood(y)
        check_shape("log-likelihood", logs, out.shape)
        out[:] = logs

    @abc.abstractmethod
    def sample(self, rng: np.random.Generator, states: ndarray) -> ndarray:
        """One observation for each state."""

    @abc.abstractmethod
    def predict(self, probability: Float64[ndarray, "_ _"]) -> Any:
        """What will be seen if states have these probabilities, float64[h, K]."""

    @abc.abstractmethod
    def refit(self, sequences: Sequence[Any], weights: Sequence[ndarray]) -> Emission:
        """Most likely parameters, if y_t came from state s with weight float64[T, K]."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Table(Emission):
    """Symbols 0 to O - 1; -1 is a missing one.

    Attributes:
        probability: p(o | s), float64[K, O]; each row sums to 1 within 1e-9.

    Raises:
        ValueError: an entry is negative or not finite, or a row does not sum to 1; the row, with the number.
    """

    rank: ClassVar[int | None] = 0
    probability: Float64[ndarray, "_ _"]

    def __post_init__(self) -> None:
        check_rows("probability", self.probability)

    @property
    def n_states(self) -> int:
        """K."""
        return len(self.probability)

    def log_likelihood(self, y: ndarray) -> Float64[ndarray, "_ _"]:
        """log p(y_t | s), float64[T, K]; 0 where y_t is -1."""
        held = _counts(y, self.probability.shape[1])
        with np.errstate(divide="ignore"):
            logs = np.log(self.probability).T
        return np.concatenate([logs, np.zeros((1, self.n_states))])[held]  # -1 is the last row

    def sample(self, rng: np.random.Generator, states: ndarray) -> ndarray:
        """One symbol for each state."""
        sums = np.cumsum(self.probability, axis=1)
        level = rng.random(len(states)) * sums[states, -1]
        return (sums[states] <= level[:, None]).sum(1)

    def predict(self, probability: Float64[ndarray, "_ _"]) -> Float64[ndarray, "_ _"]:
        """Probability of each symbol, float64[h, O]."""
        return probability @ self.probability

    def refit(self, sequences: Sequence[ndarray], weights: Sequence[ndarray]) -> Table:
        """Expected shares of the symbols that were seen."""
        y, w = np.concatenate(sequences), np.concatenate(weights)
        counts = np.zeros(self.probability.shape)
        np.add.at(counts.T, y[y >= 0], w[y >= 0])
        total = check_alive(counts.sum(1))
        return Table(probability=counts / total[:, None])


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Gaussian(Emission):
    r"""$y_t \mid s \sim N(\mu_s, \Sigma_s)$; a component that is NaN is missing, and the others still count.

    Attributes:
        mean: $\mu_s$, float64[K, d].
        covariance: $\Sigma_s$, float64[K, d, d], symmetric with positive eigenvalues.

    Raises:
        ValueError: shapes disagree, an entry is not finite, or a covariance is not symmetric or not positive definite;
            which, and how much.
    """

    rank: ClassVar[int | None] = 1
    mean: Float64[ndarray, "_ _"]
    covariance: Float64[ndarray, "_ _ _"]

    def __post_init__(self) -> None:
        n, d = self.mean.shape
        check_finite("mean", self.mean)
        check_shape("covariance", self.covariance, (n, d, d))
        if self._is_plainly_positive():
            return
        for s in range(n):
            covariance_root(f"covariance[{s}]", self.covariance[s])
            if (least := float(np.linalg.eigvalsh(self.covariance[s])[0])) <= 0:
                raise ValueError(f"covariance[{s}] has the eigenvalue {least!r}: a density needs positive ones")

    def _is_plainly_positive(self) -> bool:
        """Whether all covariances are symmetric to the last bit and have Cholesky roots; else each is looked at."""
        held = np.ascontiguousarray(self.covariance, np.float64)
        root = np.empty_like(held)
        if there := cholesky(held, np.zeros(held.shape[1]), root):
            self.__dict__["_root"] = root
        return there

    @property
    def n_states(self) -> int:
        """K."""
        return len(self.mean)

    def log_likelihood(self, y: Float64[ndarray, "_ _"]) -> Float64[ndarray, "_ _"]:
        """log p(y_t | s) of the components that are there, float64[T, K]; 0 where none is."""
        out = np.empty((len(y), self.n_states))
        self.put_log_likelihood(y, out)
        return out

    def put_log_likelihood(self, y: Float64[ndarray, "_ _"], out: Float64[ndarray, "_ _"]) -> None:
        """Write it to an array of the caller's."""
        if self._check(y):
            log_density(np.ascontiguousarray(y), np.ascontiguousarray(self.mean), self._root, out)
            return
        out[:] = 0.0
        for rows, seen in patterns(y):
            part = np.ix_(seen, seen)
            held = y[rows][:, seen]
            if len(seen):
                root = np.stack([np.linalg.cholesky(covariance[part]) for covariance in self.covariance])
                logs = np.empty((len(rows), self.n_states))
                log_density(np.ascontiguousarray(held), np.ascontiguousarray(self.mean[:, seen]), root, logs)
                out[rows] = logs

    @cached_property
    def _root(self) -> ndarray:
        return np.linalg.cholesky(self.covariance)

    def sample(self, rng: np.random.Generator, states: ndarray) -> ndarray:
        """One vector for each state, float64[n, d]."""
        root = self._root
        noise = rng.standard_normal((len(states), self.mean.shape[1]))
        return self.mean[states] + np.einsum("tij,tj->ti", root[states], noise)

    def predict(self, probability: Float64[ndarray, "_ _"]) -> Moments:
        """Mean and covariance of the mixture."""
        mean = probability @ self.mean
        gap = self.mean - mean[:, None]
        spread = np.einsum("hk,hki,hkj->hij", probability, gap, gap)
        return Moments(mean, spread + np.einsum("hk,kij->hij", probability, self.covariance))

    def refit(self, sequences: Sequence[ndarray], weights: Sequence[ndarray]) -> Gaussian:
        """Weighted mean and covariance; a missing component enters by its mean and variance given the others."""
        y, w = (held[0] if len(held) == 1 else np.concatenate(held) for held in (sequences, weights))
        total, overall = np.empty(self.n_states), np.empty(y.shape[1])
        mean, covariance = np.empty_like(self.mean), np.empty_like(self.covariance)
        weighted_moments(np.ascontiguousarray(y), w, total, mean, covariance, overall)
        if np.isnan(overall).any():
            mean, covariance, overall = self._refit_with_gaps(y, w)
        else:
            check_alive(total)
        if not cholesky(covariance, _COLLAPSED * overall, np.empty_like(covariance)):
            least = np.linalg.eigvalsh(covariance / np.sqrt(np.outer(overall, overall)))[:, 0]
            if not (least > _COLLAPSED).all():
                s = int(np.argmin(least))
                raise ValueError(
                    f"state {s} collapses: its least variance is {float(least[s]):.3g} of that of all observations, "
                    "where the likelihood has no maximum"
                )
        return Gaussian(mean=mean, covariance=covariance)

    def _refit_with_gaps(self, y: ndarray, w: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """Means, covariances, and the variances of all that was seen."""
        there = ~np.isnan(y).all(1)
        y, w = y[there], w[there]
        total = check_alive(w.sum(0))
        mean, covariance = np.empty_like(self.mean), np.empty_like(self.covariance)
        for s in range(self.n_states):
            filled, extra = self._fill(y, s, w[:, s])
            mean[s] = w[:, s] @ filled / total[s]
            gap = filled - mean[s]
            covariance[s] = ((gap * w[:, s, None]).T @ gap + extra) / total[s]
        return mean, (covariance + covariance.transpose(0, 2, 1)) / 2, np.nanvar(y, axis=0)

    def _fill(self, y: ndarray, s: int, weight: ndarray) -> tuple[ndarray, ndarray]:
        """Observations with missing components replaced by their means, and the variance that replacing hides."""
        filled, extra = y.copy(), np.zeros(self.covariance.shape[1:])
        for rows, seen in patterns(y):
            gone = np.setdiff1d(np.arange(y.shape[1]), seen)
            if not len(gone):
                continue
            cross = self.covariance[s][np.ix_(seen, gone)]
            gain = np.linalg.solve(self.covariance[s][np.ix_(seen, seen)], cross)
            place = np.ix_(rows, gone)
            filled[place] = self.mean[s, gone] + (y[rows][:, seen] - self.mean[s, seen]) @ gain
            extra[np.ix_(gone, gone)] += weight[rows].sum() * (self.covariance[s][np.ix_(gone, gone)] - cross.T @ gain)
        return filled, extra

    def _check(self, y: ndarray) -> bool:
        """Whether nothing is missing."""
        check_shape("y", y, (len(y), self.mean.shape[1]))
        if np.isfinite(y).all():
            return True
        if np.isinf(y).any():
            t, i = (int(k) for k in np.argwhere(np.isinf(y))[0])
            raise ValueError(f"y[{t}, {i}] is {float(y[t, i])!r}")
        return False


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Poisson(Emission):
    r"""Counts: $p(y \mid s) = \lambda_s^y e^{-\lambda_s} / y!$; -1 is a missing one.

    Attributes:
        rate: $\lambda_s$ in counts a step, float64[K], >= 0.

    Raises:
        ValueError: a rate is negative or not finite; the state, with the number.
    """

    rank: ClassVar[int | None] = 0
    rate: Float64[ndarray, "_"]

    def __post_init__(self) -> None:
        check_finite("rate", self.rate)
        if (self.rate < 0).any():
            s = int(np.argmax(self.rate < 0))
            raise ValueError(f"rate[{s}] is {float(self.rate[s])!r}")

    @property
    def n_states(self) -> int:
        """K."""
        return len(self.rate)

    def log_likelihood(self, y: ndarray) -> Float64[ndarray, "_ _"]:
        """log p(y_t | s), float64[T, K]; 0 where y_t is -1."""
        held = _counts(y, None)[:, None]
        logs = special.xlogy(held, self.rate) - self.rate - special.gammaln(held + 1.0)
        return np.where(held < 0, 0.0, logs)

    def sample(self, rng: np.random.Generator, states: ndarray) -> ndarray:
        """One count for each state."""
        return rng.poisson(self.rate[states])

    def predict(self, probability: Float64[ndarray, "_ _"]) -> Moments:
        """Mean and variance of the mixture."""
        mean = probability @ self.rate
        spread = (probability * (self.rate - mean[:, None]) ** 2).sum(1)
        return Moments(mean, mean + spread)

    def refit(self, sequences: Sequence[ndarray], weights: Sequence[ndarray]) -> Poisson:
        """Weighted means of the counts."""
        y, w = np.concatenate(sequences), np.concatenate(weights)
        total = check_alive(w[y >= 0].sum(0))
        return Poisson(rate=y[y >= 0] @ w[y >= 0] / total)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Likelihood(Emission):
    """A log-likelihood of one's own.

    Attributes:
        function: takes a sequence y, whatever it is, and gives log p(y_t | s), float64[T, K]: -inf where impossible,
            0 in all states where y_t is missing.
    """

    rank: ClassVar[int | None] = None
    function: Callable[[Any], ndarray]

    @property
    def n_states(self) -> None:
        """Any number."""
        return

    def log_likelihood(self, y: Any) -> Float64[ndarray, "_ _"]:
        """What the function says; NaN and +inf are refused."""
        logs = np.asarray(self.function(y), np.float64)
        if (bad := ~(logs < np.inf)).any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"log-likelihood{list(place)} is {float(logs[place])!r}")
        return logs

    def sample(self, rng: np.random.Generator, states: ndarray) -> ndarray:
        """Not known."""
        raise ValueError("a Likelihood can be evaluated, not drawn from")

    def predict(self, probability: Float64[ndarray, "_ _"]) -> None:
        """Not known: None."""
        return

    def refit(self, sequences: Sequence[Any], weights: Sequence[ndarray]) -> Likelihood:
        """Not known."""
        raise ValueError("a Likelihood cannot be fitted: leave 'emission' out of free")


def patterns(y: ndarray) -> list[tuple[ndarray, ndarray]]:
    """Rows that miss the same components, and the components that they have."""
    gone = np.isnan(y)
    if not gone.any():
        return [(np.arange(len(y)), np.arange(y.shape[1]))]
    kinds, label = np.unique(gone, axis=0, return_inverse=True)
    return [(np.flatnonzero(label.ravel() == k), np.flatnonzero(~kind)) for k, kind in enumerate(kinds)]


def check_rows(name: str, held: ndarray) -> None:
    """Refuse rows that are no distributions.

    Raises:
        ValueError: the row, with the number.
    """
    plain = np.ascontiguousarray(held, np.float64)
    if held.size and are_distributions(plain.reshape(-1, held.shape[-1]), ROW_TOLERANCE):
        return
    sums = held.sum(-1)
    bad = ~(held >= 0) | ~np.isfinite(held)
    if bad.any():
        place = [int(i) for i in np.argwhere(bad)[0]]
        raise ValueError(f"{name}{place} is {float(held[tuple(place)])!r}")
    if (off := np.abs(sums - 1) > ROW_TOLERANCE).any():
        place = [int(i) for i in np.argwhere(off)[0]]
        where = f"{name}{place}" if place else name
        raise ValueError(f"{where} sums to {float(sums[tuple(place)])!r}, not 1")


def check_alive(total: ndarray) -> ndarray:
    """Refuse states that no observation speaks for.

    Raises:
        ValueError: the state, with its expected number of observations.
    """
    if not (total > _ALIVE).all():
        *action, s = (int(i) for i in np.unravel_index(np.argmin(total), total.shape))
        least = float(total[(*action, s)])
        if action:
            raise ValueError(
                f"state {s} is dead under action {action[0]}: {least:.3g} transitions are expected to leave it so; "
                "pseudo-counts (`prior`) keep it alive"
            )
        raise ValueError(f"state {s} is dead: {least:.3g} observations are expected to be its own")
    return total


def _counts(y: ndarray, end: int | None) -> ndarray:
    held = np.asarray(y)
    if held.ndim != 1 or not np.issubdtype(held.dtype, np.integer):
        raise ValueError(f"y is {held.dtype}{list(held.shape)}: it must be whole numbers, int[T]")
    bad = (held < -1) if end is None else (held < -1) | (held >= end)
    if bad.any():
        t = int(np.argmax(bad))
        limit = "" if end is None else f" to {end - 1}"
        raise ValueError(f"y[{t}] is {int(held[t])}: must be 0{limit}, or -1 if missing")
    return held
