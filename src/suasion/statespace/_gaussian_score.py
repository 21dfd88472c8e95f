r"""The score of a linear-Gaussian model: exact derivatives of the log-likelihood, by one filter and one pass back.

Fisher's identity: the derivative of $\log p(y)$ is the expected derivative of $\log p(x, y)$ given y. With r and N of
`_covariance_kernels` no Q, R or P0 is inverted, so that singular ones have derivatives as well:
$\partial L / \partial Q = \frac12 \sum_t (r_{t+1} r_{t+1}^T - N_{t+1})$, $\partial L / \partial A = \sum_t (r_{t+1}
\hat x_t^T - N_{t+1} A P_t)$ with the smoothed mean and the filtered covariance, and alike for the others.

References:
    Koopman & Shephard (1992); Fisher (1925).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace import _covariance_kernels as kernels
from suasion.statespace._gaussian import LinearGaussianSSM, timed
from suasion.statespace._kalman import Group, Pass, gains, groups, run_filter


class GaussianScore(NamedTuple):
    r"""Derivatives of $\log p(y)$ by each entry of each parameter, in the parameter's shape; None where it is None.

    Those by covariances are symmetric, as if all entries could change alone: where [i, j] and [j, i] change together,
    the log-likelihood changes by the sum of both. They exist where Q, R or P0 are singular; only directions in which
    these stay covariances then lead to models. Of a diffuse start those by `m0` and `P0` are 0 in its components.

    Attributes:
        log_likelihood: in nats.
        A: like the model's.
        C: like the model's.
        Q: like the model's.
        R: like the model's.
        m0: like the model's.
        P0: like the model's.
        B: like the model's.
        D: like the model's.
    """

    log_likelihood: float
    A: ndarray
    C: ndarray
    Q: ndarray
    R: ndarray
    m0: ndarray
    P0: ndarray
    B: ndarray | None
    D: ndarray | None


class _Back(NamedTuple):
    """What the backward pass leaves; see `_covariance_kernels`. Columns: sequences, then roots of the start's."""

    slot: ndarray
    after: ndarray
    ahead: ndarray
    before: ndarray
    r_ahead: ndarray
    r: ndarray
    error: ndarray
    predicted: ndarray


def score_gaussian(model: LinearGaussianSSM, y: Any, inputs: Any) -> GaussianScore:
    """`score` of a linear-Gaussian model; of several sequences the sum."""
    total = 0.0
    found: dict[str, ndarray] = {}
    for group in groups(model, y, inputs)[2]:
        passed = run_filter(model, group)
        increments, start = gains(model, group, passed)
        total += float(increments.sum())
        back = _back(model, group, passed, start)
        for name, held in _derivatives(model, group, passed, back).items():
            found[name] = found[name] + held if name in found else held
    if model.unknown.shape[1]:
        gone = np.asarray(model.diffuse)
        found["m0"][gone] = 0.0
        found["P0"][gone] = found["P0"][:, gone] = 0.0
    parts = {name: found.get(name) for name in ("A", "C", "Q", "R", "m0", "P0", "B", "D")}
    return GaussianScore(total, **parts)  # type: ignore[arg-type]


def _back(model: LinearGaussianSSM, group: Group, passed: Pass, start: Any) -> _Back:
    steps, p, columns = passed.error.shape
    q, n = group.y.shape[2], model.n_components
    error, predicted = passed.error, passed.predicted
    if start is not None:  # r is linear in the start: its expectation, and what its uncertainty adds to r r'
        mix = np.zeros((columns, columns))
        mix[:q, :q] = np.eye(q)
        mix[q:, :q], mix[q:, q:] = start.estimate[-1], np.sqrt(q) * start.root[-1]
        error, predicted = error @ mix, predicted @ mix
    A, C = timed(model.A), timed(model.C)
    slot, (after, ahead, before) = np.empty(steps, np.int64), np.empty((3, steps, n, n))
    look, (r_ahead, r) = np.empty((steps, p, n)), np.empty((2, steps, n, columns))
    fixed = A, C, passed.gain, passed.inverse, group.seen, passed.slot, model.constant
    count = kernels.back_path(*fixed, after, ahead, before, look, slot)
    kernels.back_means(error.shape[2] == 1)(A, passed.gain, look, passed.slot, slot, error, r_ahead, r)
    return _Back(slot, after[:count], ahead[:count], before[:count], r_ahead, r, error, predicted)


def _derivatives(model: LinearGaussianSSM, group: Group, passed: Pass, back: _Back) -> dict[str, ndarray]:
    q = group.y.shape[2]
    place = np.empty(len(back.after), np.int64)  # an entry of the way back belongs to one of the filter's
    place[back.slot] = passed.slot
    filtered = passed.filtered_root[place]
    P = filtered @ filtered.transpose(0, 2, 1)
    gain, inverse = passed.gain[place], passed.inverse[place]
    root = passed.predicted_root[passed.slot]
    smoothed = back.predicted + root @ (root.transpose(0, 2, 1) @ back.r)
    lost = inverse.transpose(0, 2, 1)
    u = lost[back.slot] @ (back.error - gain.transpose(0, 2, 1)[back.slot] @ back.r_ahead)
    first = back.r[0]
    found = {"m0": first[:, :q].sum(1), "P0": (first @ first.T - q * back.before[back.slot[0]]) / 2}
    if len(group.y) > 1:
        A = timed(model.A)[: len(group.y) - 1]
        slots = back.slot[:-1]
        moved = back.after @ A[0] @ P if len(A) == 1 else _at_entries(back.after, A, back.slot, P)
        found["A"] = _sum(model.A, back.r[1:], smoothed[:-1], q * moved, slots)
        found["Q"] = _sum(model.Q, back.r[1:], back.r[1:], q * back.after, slots) / 2
    else:
        found |= {"A": np.zeros(model.A.shape), "Q": np.zeros(model.Q.shape)}
    unit = np.eye(model.n_components)
    found["C"] = _sum(model.C, u, smoothed, q * lost @ gain.transpose(0, 2, 1) @ (unit - back.ahead @ P), back.slot)
    noise = lost @ (np.eye(model.n_observed) + gain.transpose(0, 2, 1) @ back.ahead @ gain) @ inverse
    found["R"] = _sum(model.R, u, u, q * noise, back.slot) / 2
    if model.B is not None:
        found["B"] = _sum(model.B, back.r[1:, :, :q], group.inputs[:-1], None, back.slot[:-1])
    if model.D is not None:
        found["D"] = _sum(model.D, u[:, :, :q], group.inputs, None, back.slot)
    return found


def _at_entries(N: ndarray, A: ndarray, slot: ndarray, P: ndarray) -> ndarray:
    """N A P by entry, where A changes with time: then each step has its own."""
    out = np.zeros_like(N)
    out[slot[:-1]] = N[slot[:-1]] @ A @ P[slot[:-1]]
    return out


def _sum(parameter: ndarray, left: ndarray, right: ndarray, less: ndarray | None, slot: ndarray) -> ndarray:
    """Sums over time of left right' - less[slot]; step by step where the parameter changes."""
    if parameter.ndim == 3:
        out = np.zeros(parameter.shape)
        out[: len(left)] = left @ right.transpose(0, 2, 1)
        if less is not None:
            out[: len(left)] -= less[slot]
        return out
    total = np.tensordot(left, right, axes=([0, 2], [0, 2]))
    if less is None:
        return total
    return total - np.tensordot(np.bincount(slot, minlength=len(less)).astype(float), less, axes=1)
