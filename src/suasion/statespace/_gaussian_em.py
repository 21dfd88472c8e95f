r"""EM for linear-Gaussian models.

All second moments are kept as rows whose products they are: a mean is a row, and each column of a root is one. Then
each maximisation is a least-squares problem over rows, and each covariance a sum of squares of what is left: none can
have a negative eigenvalue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace._baum_welch import Fit, check_free, check_rise
from suasion.statespace._emission import patterns
from suasion.statespace._gaussian import VARYING, LinearGaussianSSM, timed
from suasion.statespace._kalman import Group, final, gains, groups, run_filter, run_smoother

FREE = ("A", "B", "C", "D", "Q", "R", "m0", "P0")


class Expected(NamedTuple):
    """What is known of a group's states: means and roots (diffuse components put in).

    Attributes:
        group: the sequences.
        total: sum of their log-likelihoods.
        mean: float64[T, n, q].
        root: float64[T, n, w].
        pair: joint root of x_t and x_{t+1}, float64[T - 1, 2n, w'].
    """

    group: Group
    total: float
    mean: ndarray
    root: ndarray
    pair: ndarray


def fit_gaussian(
    model: LinearGaussianSSM, y: Any, free: Sequence[str] | None, iterations: int, tolerance: float, inputs: Any
) -> Fit:
    """`fit` of a linear-Gaussian model."""
    chosen = check_free(("Q", "R") if free is None else free, FREE)
    _check(model, chosen)
    expected = _expect(model, y, inputs)
    history = [sum(held.total for held in expected)]
    converged = False
    while len(history) <= iterations and not converged:
        model = _maximise(model, expected, chosen)
        expected = _expect(model, y, inputs)
        history.append(sum(held.total for held in expected))
        converged = check_rise(history, tolerance)
    return Fit(model, history[-1], np.array(history), len(history) - 1, converged)


def _check(model: LinearGaussianSSM, chosen: tuple[str, ...]) -> None:
    for name in chosen:
        held = getattr(model, name)
        if held is None:
            raise ValueError(f"free holds {name!r}, which the model does not have")
        if name in VARYING and held.ndim == 3:
            raise ValueError(f"free holds {name!r}, which changes with time")
    for noise, coefficients in (("Q", "AB"), ("R", "CD")):
        if getattr(model, noise).ndim == 3 and set(chosen) & set(coefficients):
            raise ValueError(f"{noise} changes with time, and free holds one of {', '.join(coefficients)}")
    if model.unknown.shape[1] and {"m0", "P0"} & set(chosen):
        raise ValueError("free holds m0 or P0, and the start is diffuse")


def _expect(model: LinearGaussianSSM, y: Any, inputs: Any) -> list[Expected]:
    if not model.invertible:
        raise ValueError("R has no inverse (at the start, or in the end of EM): there is nothing to maximise")
    return [_expect_group(model, group) for group in groups(model, y, inputs)[2]]


def _expect_group(model: LinearGaussianSSM, group: Group) -> Expected:
    """Joint roots of neighbours from what the past and the future say: x_t = m + S w, x_{t+1} = A x_t + L xi."""
    q, n = group.y.shape[2], model.n_components
    passed = run_filter(model, group)
    increments, start = gains(model, group, passed)
    back = run_smoother(model, group, passed)
    S, A = passed.filtered_root[passed.slot[:-1]], timed(model.A)[: len(group.y) - 1]
    L = np.broadcast_to(model.process_root[: len(S)], S.shape)
    later = np.concatenate([A @ S, L], axis=2)
    both = np.concatenate([np.concatenate([S, np.zeros_like(S)], axis=2), later], axis=1)
    future = np.asarray(back.future)  # there, for R has an inverse
    unit = np.broadcast_to(np.eye(2 * n), (len(S), 2 * n, 2 * n))
    square = np.asarray(np.linalg.qr(np.concatenate([future[1:] @ later, unit], axis=1), mode="r"))
    pair = np.linalg.solve(square.transpose(0, 2, 1), both.transpose(0, 2, 1)).transpose(0, 2, 1)
    mean, root = back.smoothed[:, :, :q], back.smoothed_root
    if start is not None:
        columns = back.smoothed[:, :, q:]
        mean = mean + columns @ final(start.estimate)
        spread = columns @ start.root[-1]
        root = np.concatenate([root, spread], axis=2)
        pair = np.concatenate([pair, np.concatenate([spread[:-1], spread[1:]], axis=1)], axis=2)
    return Expected(group, float(increments.sum()), mean, root, pair)


def _maximise(model: LinearGaussianSSM, expected: list[Expected], chosen: tuple[str, ...]) -> LinearGaussianSSM:
    found: dict[str, ndarray] = {}
    if set(chosen) & {"A", "B", "Q"}:
        moves = [_move_rows(model, held, chosen) for held in expected]
        count = sum((len(held.mean) - 1) * held.mean.shape[2] for held in expected)
        found |= _regress(model, moves, count, chosen, ("A", "B", "Q"))
    if set(chosen) & {"C", "D", "R"}:
        looks = [rows for held in expected for rows in _look_rows(model, held, chosen)]
        count = sum(int(held.group.seen.any(1).sum()) * held.mean.shape[2] for held in expected)
        found |= _regress(model, looks, count, chosen, ("C", "D", "R"))
    if set(chosen) & {"m0", "P0"}:
        first = np.concatenate([held.mean[0].T for held in expected])
        m0 = first.mean(0) if "m0" in chosen else model.m0
        roots = [np.sqrt(held.mean.shape[2]) * held.root[0].T for held in expected]
        rows = np.concatenate([first - m0, *roots])
        found |= {"m0": m0, "P0": rows.T @ rows / len(first)}
    return replace(model, **{name: held for name, held in found.items() if name in chosen})


def _regress(
    model: LinearGaussianSSM,
    parts: list[tuple[ndarray, ndarray]],
    count: int,
    chosen: tuple[str, ...],
    names: tuple[str, str, str],
) -> dict[str, ndarray]:
    """Coefficients of least squares, and the covariance of what is left."""
    if not count:
        raise ValueError(f"no step tells anything of {' or '.join(names)}")
    target, regressors = (np.concatenate(held) for held in zip(*parts, strict=True))
    found: dict[str, ndarray] = {}
    if regressors.shape[1]:
        coefficients = np.linalg.lstsq(regressors, target)[0]
        target = target - regressors @ coefficients
        states = model.n_components if names[0] in chosen else 0
        found = {names[0]: coefficients[:states].T.copy(), names[1]: coefficients[states:].T.copy()}
    return {**found, names[2]: target.T @ target / count}


def _move_rows(model: LinearGaussianSSM, held: Expected, chosen: tuple[str, ...]) -> tuple[ndarray, ndarray]:
    """Rows of x_{t+1} less what is fixed, and of what it is regressed on."""
    n, q = model.n_components, held.mean.shape[2]
    steps = slice(0, len(held.mean) - 1)
    now = np.concatenate([held.mean[:-1], np.sqrt(q) * held.pair[:, :n]], axis=2)
    after = np.concatenate([held.mean[1:], np.sqrt(q) * held.pair[:, n:]], axis=2)
    u = _with_blank(held.group.inputs[steps], now.shape[2] - q)
    return _rows(model, after, now, u, chosen, ("A", "B"), steps)


def _look_rows(model: LinearGaussianSSM, held: Expected, chosen: tuple[str, ...]) -> list[tuple[ndarray, ndarray]]:
    """Rows of y_t less what is fixed, and of what it is regressed on; missing components given the others and x_t."""
    q, w = held.mean.shape[2], held.root.shape[2]
    found = []
    for chosen_steps, seen in patterns(np.where(held.group.seen, 0.0, np.nan)):
        if not len(seen):
            continue
        for steps in [chosen_steps] if model.R.ndim == 2 else np.split(chosen_steps, len(chosen_steps)):
            x = np.concatenate([held.mean[steps], np.sqrt(q) * held.root[steps]], axis=2)
            y, extra = _fill(model, held, steps, seen, x)
            x = np.concatenate([x, np.zeros((*x.shape[:2], extra))], axis=2)
            u = _with_blank(held.group.inputs[steps], w + extra)
            found.append(_rows(model, y, x, u, chosen, ("C", "D"), steps))
    return found


def _fill(model: LinearGaussianSSM, held: Expected, steps: ndarray, seen: ndarray, x: ndarray) -> tuple[ndarray, int]:
    """Observations as columns like those of x, and how many columns were added for what is missing."""
    q, p = held.mean.shape[2], model.n_observed
    y = np.zeros((len(steps), p, x.shape[2]))
    y[:, :, :q] = held.group.y[steps]
    if held.group.inputs.shape[1] and model.D is not None:  # it had been taken off
        y[:, :, :q] += timed(model.D)[steps if model.D.ndim == 3 else slice(None)] @ held.group.inputs[steps]
    gone = np.setdiff1d(np.arange(p), seen)
    if not len(gone):
        return y, 0
    C = timed(model.C)[steps if model.C.ndim == 3 else slice(None)]
    expected = C @ x
    if model.D is not None:
        D = timed(model.D)[steps if model.D.ndim == 3 else slice(None)]
        expected[:, :, :q] += D @ held.group.inputs[steps]
    R = model.at("R", int(steps[0]))
    gain = np.linalg.solve(R[np.ix_(seen, seen)], R[np.ix_(seen, gone)]).T
    y[:, gone] = expected[:, gone] + gain @ (y[:, seen] - expected[:, seen])
    left = R[np.ix_(gone, gone)] - gain @ R[np.ix_(seen, gone)]
    added = np.zeros((len(steps), p, len(gone)))
    added[:, gone] = np.sqrt(q) * np.linalg.cholesky((left + left.T) / 2)
    return np.concatenate([y, added], axis=2), len(gone)


def _rows(
    model: LinearGaussianSSM,
    target: ndarray,
    x: ndarray,
    u: ndarray,
    chosen: tuple[str, ...],
    names: tuple[str, str],
    steps: slice | ndarray,
) -> tuple[ndarray, ndarray]:
    """Columns of all steps as rows; what is not free is taken off the target."""
    regressors = [np.zeros((len(x), 0, x.shape[2]))]
    for name, held in zip(names, (x, u), strict=True):
        fixed = getattr(model, name)
        if name in chosen:
            regressors.append(held)
        elif fixed is not None:
            target = target - (fixed if fixed.ndim == 2 else fixed[steps]) @ held
    return _flat(target), _flat(np.concatenate(regressors, axis=1))


def _with_blank(u: ndarray, columns: int) -> ndarray:
    return np.concatenate([u, np.zeros((*u.shape[:2], columns))], axis=2)


def _flat(held: ndarray) -> ndarray:
    return held.transpose(0, 2, 1).reshape(held.shape[0] * held.shape[2], held.shape[1])
