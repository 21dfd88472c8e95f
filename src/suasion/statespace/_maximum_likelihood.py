r"""Maximum likelihood by exact gradients: L-BFGS over free coordinates, then Newton steps.

References:
    Byrd, Lu, Nocedal & Zhu (1995), as SciPy has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy import ndarray
from scipy import optimize

from suasion.statespace._baum_welch import Fit, check_free
from suasion.statespace._coordinates import Coordinates, Label, coordinates, part
from suasion.statespace._emission import Likelihood
from suasion.statespace._finite import FiniteSSM
from suasion.statespace._finite_score import score_finite
from suasion.statespace._gaussian import VARYING, LinearGaussianSSM
from suasion.statespace._gaussian_score import score_gaussian

GAUSSIAN = ("A", "B", "C", "D", "Q", "R", "m0", "P0")
_STEP = 1e-4  # of differences of the score, which is exact
_MOST = 50  # coordinates for which the information matrix is made


def maximise(
    model: FiniteSSM | LinearGaussianSSM,
    y: Any,
    free: Sequence[str] | Mapping[str, Any] | None,
    tied: Sequence[Sequence[Label]],
    iterations: int,
    tolerance: float,
    inputs: Any,
) -> Fit:
    """`fit` with method "ml"."""
    search = coordinates(_parts(model, free), tied)
    history: list[float] = []

    def ask(at: ndarray) -> tuple[float, ndarray]:
        try:
            value, derivatives = _score(_put(model, search.write(at)), y, inputs)
        except (ValueError, np.linalg.LinAlgError) as error:
            if not history:
                raise
            raise ArithmeticError(f"after {len(history) - 1} iterations the search met no model: {error}") from error
        if not history:
            history.append(value)
        return -value, -search.pull(derivatives, at)

    first = ask(search.start)
    found = optimize.minimize(
        ask,
        search.start,
        jac=True,
        method="L-BFGS-B",
        callback=lambda intermediate_result: history.append(-intermediate_result.fun),
        options={"maxiter": iterations, "maxfun": 20 * iterations + 20, "ftol": 0.0, "gtol": 0.0}
        | {"gtol": tolerance * max(1.0, abs(first[0]))},
    ) if iterations else None  # fmt: skip
    at, value, slope = (search.start, *first) if found is None else (found.x, found.fun, found.jac)
    information = None
    if len(at) <= _MOST:
        information = _information(ask, at)
        at, value, slope, steps = _polish(ask, at, value, slope, information, tolerance if iterations else np.inf)
        history.extend([-value] * steps)
    norm = float(np.abs(slope).max())
    best = _put(model, search.write(at))
    errors = None if information is None else _errors(search, at, information)
    met = norm <= tolerance * max(1.0, abs(value))
    return Fit(best, -value, np.array(history), len(history) - 1, met, norm, errors)


def _information(ask: Any, at: ndarray) -> ndarray:
    """Minus the second derivatives, by central differences of the score."""
    rows = []
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = _STEP * max(1.0, abs(at[i]))
        rows.append((ask(at + step)[1] - ask(at - step)[1]) / (2 * step[i]))
    held = np.array(rows)
    return (held + held.T) / 2


def _polish(
    ask: Any, at: ndarray, value: float, slope: ndarray, information: ndarray, tolerance: float
) -> tuple[ndarray, float, ndarray, int]:
    """Newton's steps while the slope falls: a line search ends where rounding hides what it gains."""
    for steps in range(10):
        if np.abs(slope).max() <= 1e-3 * tolerance * max(1.0, abs(value)) or not _definite(information):
            return at, value, slope, steps
        there = at - np.linalg.solve(information, slope)
        if np.abs(there - at).max() > 0.1:
            return at, value, slope, steps
        new_value, new_slope = ask(there)
        if not (np.abs(new_slope).max() < np.abs(slope).max() and new_value <= value + 1e-13 * abs(value)):
            return at, value, slope, steps
        at, value, slope = there, min(value, new_value), new_slope
    return at, value, slope, 10


def _definite(held: ndarray) -> bool:
    return bool(np.isfinite(held).all() and np.linalg.eigvalsh(held)[0] > 1e-10 * np.abs(held).max())


def _errors(search: Coordinates, at: ndarray, information: ndarray) -> dict[str, ndarray] | None:
    """Standard errors of the parameters, by the delta method; None where the information is not positive definite."""
    if not _definite(information):
        return None
    covariance = np.linalg.inv(information)
    slopes: dict[str, list[ndarray]] = {part.name: [] for part in search.parts}
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = 1e-6 * max(1.0, abs(at[i]))
        up, down = search.write(at + step), search.write(at - step)
        for name in slopes:
            slopes[name].append((up[name] - down[name]) / (2 * step[i]))
    stacked = {name: np.stack(held, axis=-1) for name, held in slopes.items()}
    return {name: np.sqrt(np.einsum("...i,ij,...j->...", J, covariance, J)) for name, J in stacked.items()}


def _parts(model: FiniteSSM | LinearGaussianSSM, free: Sequence[str] | Mapping[str, Any] | None) -> list[Any]:
    finite = isinstance(model, FiniteSSM)
    masks = dict(free) if isinstance(free, Mapping) else dict.fromkeys(free or (), None)
    if isinstance(model, FiniteSSM):
        inner = [] if isinstance(model.emission, Likelihood) else [one.name for one in fields(model.emission)]  # type: ignore[arg-type]
        if free is None:
            masks = dict.fromkeys(("initial", "transition", *inner), None)
        if "emission" in masks:
            if not inner:
                raise ValueError("a Likelihood cannot be fitted: leave 'emission' out of free")
            masks |= dict.fromkeys(inner, masks.pop("emission"))
        check_free(tuple(masks), ("initial", "transition", *inner))
    else:
        masks = masks if free is not None else {"Q": None, "R": None}
        check_free(tuple(masks), GAUSSIAN)
        _check_gaussian(model, masks)
    if not masks:
        raise ValueError("free holds nothing")
    return [part(name, _get_finite(model, name) if finite else getattr(model, name), masks[name]) for name in masks]


def _check_gaussian(model: LinearGaussianSSM, masks: Mapping[str, Any]) -> None:
    for name in masks:
        held = getattr(model, name)
        if held is None:
            raise ValueError(f"free holds {name!r}, which the model does not have")
        if name in VARYING and held.ndim == 3:
            raise ValueError(f"free holds {name!r}, which changes with time")
    if model.unknown.shape[1] and {"m0", "P0"} & set(masks):
        raise ValueError("free holds m0 or P0, and the start is diffuse")


def _get_finite(model: Any, name: str) -> ndarray:
    held = {"initial": model.start, "transition": model.matrix}
    return held[name] if name in held else getattr(model.emission, name)


def _put(model: FiniteSSM | LinearGaussianSSM, held: Mapping[str, ndarray]) -> Any:
    if isinstance(model, LinearGaussianSSM):
        return replace(model, **held)
    inner = {name: value for name, value in held.items() if name not in ("initial", "transition")}
    emission: Any = model.emission
    emission = replace(emission, **inner) if inner else emission
    initial, transition = held.get("initial", model.start), held.get("transition", model.matrix)
    return replace(model, transition=transition, initial=initial, emission=emission)


def _score(model: FiniteSSM | LinearGaussianSSM, y: Any, inputs: Any) -> tuple[float, dict[str, ndarray]]:
    if isinstance(model, FiniteSSM):
        found = score_finite(model, y, inputs)
        return found.log_likelihood, {"initial": found.initial, "transition": found.transition, **found.emission}
    got = score_gaussian(model, y, inputs)
    return got.log_likelihood, {name: held for name in GAUSSIAN if (held := getattr(got, name)) is not None}
