r"""Baum-Welch: the most likely hidden Markov model, by expectation and maximisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace._emission import check_alive
from suasion.statespace._finite import FiniteSSM
from suasion.statespace._finite_passes import Lined, line_up, put_log_likelihoods, smooth_all

MONOTONE = 1e-10
FREE = ("initial", "transition", "emission")


class Fit(NamedTuple):
    r"""A fitted model.

    Attributes:
        model: of the same kind as the one that was started from.
        log_likelihood: of the observations under `model`, in nats.
        history: log-likelihood before each iteration and after the last; it does not fall.
        iterations: how many were made.
        converged: whether the last one gained less than the tolerance times $\lvert L \rvert$; of maximum likelihood,
            whether no derivative is greater than that.
        gradient: the greatest derivative in size by a coordinate of the search; None of EM.
        errors: standard errors of what was free, by name and in its shape, from the observed information; None of EM,
            of more than 50 coordinates, and where the information is not positive definite: at a boundary (a variance
            of 0), or where the data do not determine the parameters.
    """

    model: Any
    log_likelihood: float
    history: ndarray
    iterations: int
    converged: bool
    gradient: float | None = None
    errors: dict[str, ndarray] | None = None


class Expected(NamedTuple):
    """What an E-step gives of all sequences: smoothed probabilities, first states, transitions, log-likelihood."""

    smoothed: ndarray
    first: ndarray
    pairs: ndarray
    total: float


def fit_finite(
    model: FiniteSSM,
    y: Any,
    free: Sequence[str] | None,
    iterations: int,
    tolerance: float,
    prior: float,
    inputs: Any = None,
) -> Fit:
    """`fit` of a finite chain."""
    chosen = check_free(FREE if free is None else free, FREE)
    with line_up(model, y, inputs) as lined:
        smoothed = np.empty_like(lined.logs)
        sequences = lined.sequences if lined.whole is None else [lined.whole]
        expected = _expect(model, lined, smoothed)
        history = [_score(model, expected, chosen, prior)]
        converged = False
        while len(history) <= iterations and not converged:
            model = _maximise(model, sequences, expected, chosen, prior)
            if "emission" in chosen:
                put_log_likelihoods(model, lined)
            expected = _expect(model, lined, smoothed)
            history.append(_score(model, expected, chosen, prior))
            converged = check_rise(history, tolerance)
    return Fit(model, expected.total, np.array(history), len(history) - 1, converged)


def check_free(free: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Refuse names that are no parameters.

    Raises:
        ValueError: the name.
    """
    for name in free:
        if name not in known:
            raise ValueError(f"free holds {name!r}: must be of {', '.join(known)}")
    return tuple(free)


def check_rise(history: list[float], tolerance: float) -> bool:
    r"""Whether the last iteration gained less than the tolerance.

    Raises:
        ArithmeticError: it lost, by more than 1e-10 of $\lvert L \rvert$, or is not finite.
    """
    before, after = history[-2:]
    if not after - before >= -MONOTONE * abs(before):
        raise ArithmeticError(f"iteration {len(history) - 1} took the log-likelihood from {before!r} to {after!r}")
    return after - before < tolerance * abs(after)


def _expect(model: FiniteSSM, lined: Lined, smoothed: ndarray) -> Expected:
    (verdict, _), pairs, totals = smooth_all(model, lined, smoothed)
    if (bad := verdict >= 0).any():
        q = int(np.argmax(bad))
        raise ValueError(f"sequence {q} is impossible at step {int(verdict[q])} under the model: nothing to fit")
    first = smoothed[lined.start[:-1]].sum(0)
    return Expected(smoothed, first, pairs.sum(0).reshape(model.matrix.shape), float(totals.sum()))


def _score(model: FiniteSSM, expected: Expected, chosen: tuple[str, ...], prior: float) -> float:
    """What EM raises: the log-likelihood, and the log of the prior where there is one."""
    total = expected.total
    if prior and "initial" in chosen:
        total += prior * float(model.logs[0][model.start > 0].sum())
    if prior and "transition" in chosen:
        total += prior * float(model.logs[1][model.matrix > 0].sum())
    return total


def _maximise(
    model: FiniteSSM, sequences: list[Any], expected: Expected, chosen: tuple[str, ...], prior: float
) -> FiniteSSM:
    initial, matrix, emission = model.start, model.matrix, model.emission
    if "initial" in chosen:
        first = expected.first + prior * (initial > 0) if prior else expected.first
        initial = first / first.sum()
    if "transition" in chosen:
        counts = expected.pairs + prior * (matrix > 0) if prior else expected.pairs
        matrix = counts / check_alive(counts.sum(-1))[..., None]
    if "emission" in chosen:
        emission = emission.refit(sequences, [expected.smoothed])
    return dataclasses.replace(model, transition=matrix, initial=initial, emission=emission)
