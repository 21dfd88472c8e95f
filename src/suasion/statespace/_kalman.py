r"""Kalman filter and smoother, for one sequence or groups that share a pass of covariances.

A diffuse start is exact and needs no filter of its own: the unknown components $\delta$ of $x_0$ are regression
coefficients. One more column of means per component carries what a unit of it would do; $\hat\delta$ is by least
squares on the innovations (de Jong 1991), and its uncertainty joins each root as columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace import _gaussian_kernels as kernels
from suasion.statespace._checks import check_shape
from suasion.statespace._gaussian import LinearGaussianSSM, timed
from suasion.statespace._information_kernels import future_path, smooth_means
from suasion.statespace._sequences import Form, put_together, take_apart

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


class Records(NamedTuple):
    """Results of a group, still together.

    Attributes:
        kind: of a sequence's record.
        fields: its entries in order, for all sequences.
        forms: for each, a word: `means` have sequences on the last axis, `each` on the only one, `shared` on none.
    """

    kind: Any
    fields: tuple[ndarray, ...]
    forms: str

    def one(self, c: int) -> Any:
        """The record of a sequence."""
        split = zip(self.fields, self.forms.split(), strict=True)
        return self.kind(*(held if form == "shared" else held[..., c] for held, form in split))

    def stacked(self, count: int) -> Any:
        """One record with a leading axis; what is shared is not copied (and read-only)."""
        lead = {
            "means": lambda held: np.ascontiguousarray(np.moveaxis(held, -1, 0)),
            "each": lambda held: held,
            "shared": lambda held: np.broadcast_to(held, (count, *held.shape)),
        }
        return self.kind(*(lead[form](held) for held, form in zip(self.fields, self.forms.split(), strict=True)))


def each_group(model: LinearGaussianSSM, y: Any, inputs: Any, do: Callable[[Group], Records]) -> Any:
    """Records of all sequences, in the form in which they were handed in."""
    form, count, held = groups(model, y, inputs)
    if form == "stack" and len(held) == 1:
        return do(held[0]).stacked(count)
    results: list[Any] = [None] * count
    for group in held:
        records = do(group)
        for c, q in enumerate(group.members):
            results[q] = records.one(c)
    return put_together(form, results)


class Pass(NamedTuple):
    """Filter arrays of a group: the q sequences, then the k unknown components, as columns of means.

    Covariances of step t are entry `slot[t]` of `predicted_root`, `filtered_root`, `gain` and `inverse`.
    """

    slot: ndarray
    predicted_root: ndarray
    filtered_root: ndarray
    gain: ndarray
    inverse: ndarray
    logs: ndarray
    predicted: ndarray
    filtered: ndarray
    error: ndarray


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
    if form == "stack" and inputs is None and not model.n_inputs and np.isfinite(y).all():
        _check(model, each[0], None, "y[0]")
        return form, len(each), [_whole(model, y)]
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


def _whole(model: LinearGaussianSSM, y: ndarray) -> Group:
    """A stack without gaps and inputs."""
    count, steps, p = y.shape
    drive, none = np.zeros((1, model.n_components, count)), np.zeros((steps, 0, count))
    together = np.ascontiguousarray(y.transpose(1, 2, 0), np.float64)
    return Group(list(range(count)), together, np.ones((steps, p), bool), drive, none)


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


def run_filter(model: LinearGaussianSSM, group: Group, *, freeze: bool = True) -> Pass:
    """Filter a group.

    Args:
        model: the model.
        group: of sequences.
        freeze: compute covariances that repeat to the last bit once only, where nothing changes with time.

    Raises:
        ValueError: an innovation without variance; the step.
    """
    steps, p, q = group.y.shape
    n, k = model.unknown.shape
    mean = np.concatenate([np.repeat(model.m0[:, None], q, axis=1), model.unknown], axis=1)
    y, drive = padded(model, group)
    slot = np.empty(steps, np.int64)
    predicted, filtered = np.empty((2, steps, n, n))
    gain, inverse, logs = np.empty((steps, n, p)), np.empty((steps, p, p)), np.empty(steps)
    fixed = timed(model.A), timed(model.C)
    roots = model.process_root, model.observation_root, model.start_root
    out = predicted, filtered, gain, inverse, logs, slot
    failed, count = kernels.root_path(*fixed, *roots, group.seen, freeze and model.constant, *out)
    if failed >= 0:
        raise ValueError(f"at step {failed} the innovation has no variance in some direction: no density there")
    means = np.empty((steps, n, q + k)), np.empty((steps, n, q + k)), np.empty((steps, p, q + k))
    kernels.filter_means(q + k == 1)(*fixed, gain, inverse, slot, mean, drive, y, *means)
    return Pass(slot, predicted[:count], filtered[:count], gain[:count], inverse[:count], logs[slot], *means)


def padded(model: LinearGaussianSSM, group: Group) -> tuple[ndarray, ndarray]:
    """Observations and drive with the columns of the diffuse components, to which neither adds anything."""
    k = model.unknown.shape[1]
    if not k:
        return group.y, group.drive
    y = np.concatenate([group.y, np.zeros((*group.y.shape[:2], k))], axis=2)
    return y, np.concatenate([group.drive, np.zeros((*group.drive.shape[:2], k))], axis=2)


def run_smoother(model: LinearGaussianSSM, group: Group, passed: Pass, *, freeze: bool = True) -> Back:
    """Smooth what was filtered: by two filters, and by the RTS recursion where R cannot be inverted."""
    steps, n, q = passed.filtered.shape
    p = model.n_observed
    smoothed = np.empty((steps, n, q))
    if not model.invertible:
        root, (gain, rest) = np.empty((steps, n, n)), np.zeros((2, steps, n, n))
        inputs = passed.predicted, passed.filtered, passed.filtered_root[passed.slot]
        kernels.smooth_roots(timed(model.A), model.process_root, *inputs, smoothed, root, gain, rest)
        return Back(smoothed, root, None)
    y, drive = padded(model, group)
    slot = np.empty(steps, np.int64)
    future, carry = np.empty((2, steps, n + p, n))
    gain, root, whiten = np.empty((steps, n, n)), np.empty((steps, n, n)), np.empty((steps, p, p))
    fixed = timed(model.A), timed(model.C), model.process_root, model.observation_root, group.seen
    out = future, carry, gain, root, whiten, slot
    future_path(*fixed, passed.filtered_root, passed.slot, freeze and model.constant, *out)
    smooth_means(drive, y, passed.filtered, slot, future, carry, gain, whiten, smoothed)
    return Back(smoothed, root[slot], future[slot])


def log_density(group: Group, logs: ndarray, error: ndarray) -> ndarray:
    r"""$\log p(y_t \mid y_{<t})$, float64[T, q], from log det of the innovations' roots and `error` in their units."""
    constant = -group.seen.sum(1) * (np.log(2 * np.pi) / 2) - logs
    return constant[:, None] - 0.5 * np.einsum("tpq,tpq->tq", error, error)


def gains(model: LinearGaussianSSM, group: Group, passed: Pass) -> tuple[ndarray, Start | None]:
    r"""$\log p(y_t \mid y_{<t})$, float64[T, q], and what is known of the diffuse components.

    Of a diffuse start the first step at which it is determined carries all up to it.

    Raises:
        ValueError: the observations never determine it.
    """
    q, k = group.y.shape[2], model.unknown.shape[1]
    if not k:
        return log_density(group, passed.logs, passed.error), None
    constant = -group.seen.sum(1) * np.log(2 * np.pi) / 2 - passed.logs
    steps = len(group.y)
    error = np.concatenate([passed.error[:, :, q:], passed.error[:, :, :q]], axis=2)
    squares, factors = np.empty((steps, q)), np.empty((steps, k + q, k))
    kernels.regress_start(error, squares, factors)
    first = next((t for t in range(steps) if np.linalg.cond(factors[t, :k]) < 1 / _DETERMINED), -1)
    if first < 0:
        raise ValueError("the observations do not determine the diffuse start")
    upper = factors[first:, :k].transpose(0, 2, 1)
    right = np.concatenate([-factors[first:, k:].transpose(0, 2, 1), np.broadcast_to(np.eye(k), upper.shape)], axis=2)
    found = np.full((steps, k, q + k), np.nan)
    found[first:] = np.linalg.solve(upper, right)
    determinant = np.log(np.diagonal(upper, axis1=1, axis2=2)).sum(1)
    total = np.zeros((steps, q))
    total[first:] = constant.cumsum()[first:, None] - squares[first:] / 2 - determinant[:, None]
    return np.diff(total, axis=0, prepend=np.zeros((1, q))), Start(found[:, :, :q], found[:, :, q:], first)


def with_start(mean: ndarray, root: ndarray, estimate: ndarray, spread: ndarray) -> tuple[ndarray, ndarray]:
    """Means float64[T, n, q] and roots, the diffuse components put in; NaN where they are not determined."""
    q = estimate.shape[2]
    columns = mean[:, :, q:]
    means = mean[:, :, :q] + columns @ estimate
    roots = np.full_like(root, np.nan)
    there = ~np.isnan(spread[:, 0, 0])
    wide = np.concatenate([root[there], columns[there] @ spread[there]], axis=2)
    joined = np.empty((len(wide), *root.shape[1:]))
    kernels.join_roots(wide, joined)
    roots[there] = joined
    return means, roots


def later(held: ndarray) -> ndarray:
    """What is known before each step: that of the step before, NaN at the first."""
    return np.concatenate([np.full_like(held[:1], np.nan), held[:-1]])


def final(held: ndarray) -> ndarray:
    """What is known in the end, at each step."""
    return np.repeat(held[-1:], len(held), axis=0)
