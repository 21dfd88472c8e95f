r"""Kalman filter and smoother, for one sequence or groups that share a pass of covariances.

A diffuse start is exact and needs no filter of its own: the unknown components $\delta$ of $x_0$ are regression
coefficients. One more column of means per component carries what a unit of it would do; $\hat\delta$ is by least
squares on the innovations (de Jong 1991), and its uncertainty joins each root as columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray
from scipy import linalg

from suasion.statespace import _gaussian_kernels as kernels
from suasion.statespace._checks import check_shape
from suasion.statespace._gaussian import LinearGaussianSSM, timed
from suasion.statespace._information_kernels import smooth_information
from suasion.statespace._sequences import Form, take_apart

_DETERMINED = 1e-12


class Group(NamedTuple):
    """Sequences of one length that miss the same components.

    Attributes:
        members: their numbers.
        y: float64[T, p, q], less what inputs do to it; 0 where missing.
        seen: bool[T, p].
        drive: B u, float64[T, n, q] (or one step of zeros).
        inputs: u, float64[T, m, q].
    """

    members: list[int]
    y: ndarray
    seen: ndarray
    drive: ndarray
    inputs: ndarray


class Pass(NamedTuple):
    """Filter arrays of a group: the q sequences, then the k unknown components, as columns of means."""

    predicted: ndarray
    predicted_root: ndarray
    filtered: ndarray
    filtered_root: ndarray
    error: ndarray
    logs: ndarray


class Back(NamedTuple):
    """Smoother arrays of a group; `future` is what `_information_kernels` says, None if R cannot be inverted."""

    smoothed: ndarray
    smoothed_root: ndarray
    future: ndarray | None


class Start(NamedTuple):
    r"""What steps 0 to t say of the diffuse components: $\hat\delta$ and a root of its covariance, for every t.

    Attributes:
        estimate: float64[T, k, q].
        root: float64[T, k, k].
        step: the first at which they are determined.
    """

    estimate: ndarray
    root: ndarray
    step: int


def groups(model: LinearGaussianSSM, y: Any, inputs: Any) -> tuple[Form, int, list[Group]]:
    """Take sequences apart and put those together that can share a pass.

    Raises:
        ValueError: lengths or shapes disagree, or a number is infinite; which.
    """
    if isinstance(y, ndarray) and y.ndim == 1 and model.n_observed == 1:
        y = y[:, None]
    if isinstance(y, list | tuple) and model.n_observed == 1:
        y = [held[:, None] if held.ndim == 1 else held for held in y]
    form, each = take_apart(y, 1)
    given = [inputs] if form == "one" else [None] * len(each) if inputs is None else list(inputs)
    if len(given) != len(each):
        raise ValueError(f"there are {len(each)} sequences and inputs for {len(given)}")
    kinds: dict[tuple[int, bytes], list[int]] = {}
    for q, held in enumerate(each):
        _check(model, held, given[q], "y" if form == "one" else f"y[{q}]")
        kinds.setdefault((len(held), np.isnan(held).tobytes()), []).append(q)
    return form, len(each), [_group(model, each, given, members) for members in kinds.values()]


def _check(model: LinearGaussianSSM, y: ndarray, u: ndarray | None, name: str) -> None:
    check_shape(name, y, (len(y), model.n_observed))
    if (bad := np.isinf(y)).any():
        place = [int(i) for i in np.argwhere(bad)[0]]
        raise ValueError(f"{name}{place} is {float(y[tuple(place)])!r}")
    model.check_steps(len(y))
    if (u is None) != (model.n_inputs == 0):
        raise ValueError(f"the model has {model.n_inputs} inputs, and {'none are' if u is None else 'some are'} given")
    if u is not None:
        check_shape("inputs", u, (len(y), model.n_inputs))


def _group(model: LinearGaussianSSM, each: list[ndarray], given: list[Any], members: list[int]) -> Group:
    y = np.stack([each[q] for q in members], axis=-1)
    steps, _, count = y.shape
    seen = ~np.isnan(y[:, :, 0])
    drive = np.zeros((1, model.n_components, count))
    u = np.zeros((steps, 0, count))
    if model.n_inputs:
        u = np.stack([given[q] for q in members], axis=-1)
        if model.B is not None:
            drive = timed(model.B)[:steps] @ u
        if model.D is not None:
            y = y - timed(model.D)[:steps] @ u
    return Group(members, np.where(seen[:, :, None], y, 0.0), seen, drive, u)


def run_filter(model: LinearGaussianSSM, group: Group) -> Pass:
    """Filter a group.

    Raises:
        ValueError: an innovation without variance; the step.
    """
    steps, p, q = group.y.shape
    n, k = model.unknown.shape
    mean = np.concatenate([np.repeat(model.m0[:, None], q, axis=1), model.unknown], axis=1)
    y, drive = padded(model, group)
    means, roots_shape = (steps, n, q + k), (steps, n, n)
    empty = np.empty(means), np.empty(roots_shape), np.empty(means), np.empty(roots_shape)
    passed = Pass(*empty, error=np.zeros((steps, p, q + k)), logs=np.zeros(steps))
    roots = timed(model.A), timed(model.C), model.process_root, model.observation_root
    failed = kernels.filter_roots(*roots, model.start_root, mean, drive, y, group.seen, *passed)
    if failed >= 0:
        raise ValueError(f"at step {failed} the innovation has no variance in some direction: no density there")
    return passed


def padded(model: LinearGaussianSSM, group: Group) -> tuple[ndarray, ndarray]:
    """Observations and drive with the columns of the diffuse components, to which neither adds anything."""
    k = model.unknown.shape[1]
    y = np.concatenate([group.y, np.zeros((*group.y.shape[:2], k))], axis=2)
    return y, np.concatenate([group.drive, np.zeros((*group.drive.shape[:2], k))], axis=2)


def run_smoother(model: LinearGaussianSSM, group: Group, passed: Pass) -> Back:
    """Smooth what was filtered: by two filters, and by the RTS recursion where R cannot be inverted."""
    steps, n, q = passed.filtered.shape
    smoothed, root = np.empty((steps, n, q)), np.empty((steps, n, n))
    if not model.invertible:
        gain, rest = np.zeros((2, steps, n, n))
        inputs = passed.predicted, passed.filtered, passed.filtered_root
        kernels.smooth_roots(timed(model.A), model.process_root, *inputs, smoothed, root, gain, rest)
        return Back(smoothed, root, None)
    y, drive = padded(model, group)
    future = np.empty((steps, n + model.n_observed, n))
    fixed = timed(model.A), timed(model.C), model.process_root, model.observation_root
    smooth_information(*fixed, drive, y, group.seen, passed.filtered, passed.filtered_root, smoothed, root, future)
    return Back(smoothed, root, future)


def gains(model: LinearGaussianSSM, group: Group, passed: Pass) -> tuple[ndarray, Start | None]:
    r"""$\log p(y_t \mid y_{<t})$, float64[T, q], and what is known of the diffuse components.

    Of a diffuse start the first step at which it is determined carries all up to it.

    Raises:
        ValueError: the observations never determine it.
    """
    q, k = group.y.shape[2], model.unknown.shape[1]
    constant = -group.seen.sum(1) * np.log(2 * np.pi) / 2 - passed.logs
    e = passed.error[:, :, :q]
    if not k:
        return constant[:, None] - 0.5 * (e * e).sum(1), None
    steps = len(group.y)
    held, residual = np.zeros((0, k + q)), np.zeros(q)
    estimate, root = np.full((steps, k, q), np.nan), np.full((steps, k, k), np.nan)
    total, first = np.zeros((steps, q)), -1
    for t in range(steps):
        rows = np.concatenate([passed.error[t][:, q:], passed.error[t][:, :q]], axis=1)
        held = np.asarray(np.linalg.qr(np.concatenate([held, rows]), mode="r"))
        square = held[:k, :k]
        if first < 0 and (len(square) < k or np.linalg.cond(square) > 1 / _DETERMINED):
            continue
        first = t if first < 0 else first
        estimate[t] = -linalg.solve_triangular(square, held[:k, k:])
        root[t] = linalg.solve_triangular(square, np.eye(k))
        residual = residual + (held[k:, k:] ** 2).sum(0)
        held = held[:k]
        total[t] = constant[: t + 1].sum() - residual / 2 - np.log(np.abs(np.diag(square))).sum()
    if first < 0:
        raise ValueError("the observations do not determine the diffuse start")
    return np.diff(total, axis=0, prepend=np.zeros((1, q))), Start(estimate, root, first)


def with_start(mean: ndarray, root: ndarray, estimate: ndarray, spread: ndarray) -> tuple[ndarray, ndarray]:
    """Means float64[T, n, q] and roots, the diffuse components put in; NaN where they are not determined."""
    q = estimate.shape[2]
    columns = mean[:, :, q:]
    means = mean[:, :, :q] + columns @ estimate
    roots = np.full_like(root, np.nan)
    there = ~np.isnan(spread[:, 0, 0])
    wide = np.concatenate([root[there], columns[there] @ spread[there]], axis=2)
    roots[there] = np.asarray(np.linalg.qr(wide.transpose(0, 2, 1), mode="r")).transpose(0, 2, 1)
    return means, roots


def later(held: ndarray) -> ndarray:
    """What is known before each step: that of the step before, NaN at the first."""
    return np.concatenate([np.full_like(held[:1], np.nan), held[:-1]])


def final(held: ndarray) -> ndarray:
    """What is known in the end, at each step."""
    return np.repeat(held[-1:], len(held), axis=0)
