r"""The score of a finite chain: exact derivatives of the log-likelihood, from the smoother (Fisher's identity)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace._emission import Emission, Gaussian, Poisson, Table, patterns
from suasion.statespace._finite import FiniteSSM
from suasion.statespace._finite_passes import line_up, smooth_all


class FiniteScore(NamedTuple):
    r"""Derivatives of $\log p(y)$ by each entry of each parameter, as if all entries could change alone.

    A distribution's entries cannot: of those only differences within a row tell how the likelihood changes. An entry
    that is 0 is structure, and its derivative is given as 0.

    Attributes:
        log_likelihood: in nats.
        initial: $\Pr(s_1 = k \mid y) / \pi_k$, float64[K].
        transition: expected transitions over $P_{jk}$, float64[K, K]; with actions float64[A, K, K].
        emission: by the emission's own names: `probability` of a `Table`, `mean` and `covariance` of a `Gaussian` (as
            symmetric matrices), `rate` of a `Poisson`; nothing of a `Likelihood`.
    """

    log_likelihood: float
    initial: ndarray
    transition: ndarray
    emission: dict[str, ndarray]


def score_finite(model: FiniteSSM, y: Any, inputs: Any = None) -> FiniteScore:
    """`score` of a finite chain; of several sequences the sum."""
    with line_up(model, y, inputs) as lined:
        weights = np.empty_like(lined.logs)
        (verdict, _), pairs, totals = smooth_all(model, lined, weights)
    if (bad := verdict >= 0).any():
        q = int(np.argmax(bad))
        raise ValueError(f"sequence {q} is impossible at step {int(verdict[q])} under the model: no derivative")
    first, counts = weights[lined.start[:-1]].sum(0), pairs.sum(0).reshape(model.matrix.shape)
    parts = emission_score(model.emission, lined.sequences, weights)
    return FiniteScore(float(totals.sum()), _over(first, model.start), _over(counts, model.matrix), parts)


def _over(expected: ndarray, probability: ndarray) -> ndarray:
    return np.divide(expected, probability, out=np.zeros_like(probability), where=probability > 0)


def emission_score(emission: Emission, sequences: list[Any], weights: ndarray) -> dict[str, ndarray]:
    r"""Derivatives of $\sum_{tk} w_{tk} \log p(y_t \mid k)$; `weights` are float64[sum of T, K]."""
    if isinstance(emission, Table):
        y = np.concatenate(sequences)
        counts = np.zeros(emission.probability.shape)
        np.add.at(counts.T, y[y >= 0], weights[y >= 0])
        return {"probability": _over(counts, emission.probability)}
    if isinstance(emission, Poisson):
        y = np.concatenate(sequences)
        w, y = weights[y >= 0], y[y >= 0]
        return {"rate": _over(y @ w, emission.rate) - w.sum(0)}
    if isinstance(emission, Gaussian):
        return _gaussian(emission, np.concatenate(sequences), weights)
    return {}


def _gaussian(emission: Gaussian, y: ndarray, weights: ndarray) -> dict[str, ndarray]:
    mean, covariance = np.zeros_like(emission.mean), np.zeros_like(emission.covariance)
    for rows, seen in patterns(y):
        if not len(seen):
            continue
        held = y if len(rows) == len(y) and len(seen) == y.shape[1] else y[np.ix_(rows, seen)]
        w = weights if len(rows) == len(y) else weights[rows]
        middle = held.mean(0)  # moments about it lose fewer digits than about 0
        gap = held - middle
        ones, d = w.sum(0), len(seen)
        first = w.T @ gap
        second = (w.T @ (gap[:, :, None] * gap[:, None, :]).reshape(-1, d * d)).reshape(-1, d, d)
        for k in range(len(mean)):
            inverse = np.linalg.inv(emission.covariance[k][np.ix_(seen, seen)])
            away = emission.mean[k, seen] - middle
            cross = np.outer(first[k], away)
            spread = second[k] - cross - cross.T + ones[k] * np.outer(away, away)
            mean[k, seen] += inverse @ (first[k] - ones[k] * away)
            part = inverse @ spread @ inverse - ones[k] * inverse
            covariance[k][np.ix_(seen, seen)] += (part + part.T) / 4
    return {"mean": mean, "covariance": covariance}
