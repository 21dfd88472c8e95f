"""Inputs of the scans that are compared, and what they must give: NumPy alone, for any interpreter."""

from __future__ import annotations

import numpy as np

SIZES = {"1x1024": (1, 1024, 256, 16), "8x1024": (8, 1024, 256, 16)}  # B, L, D, N
Arrays = dict[str, np.ndarray]


def inputs(name: str, seed: int = 0) -> Arrays:
    """x, delta, A, B, C, D and the weights of the outputs, batch first, float32."""
    batch, steps, channels, states = SIZES[name]
    rng = np.random.default_rng(seed)
    arrays = {
        "x": rng.normal(size=(batch, steps, channels)),
        "delta": np.logaddexp(0, rng.normal(size=(batch, steps, channels)) - 3),
        "A": -np.tile(np.arange(1.0, states + 1), (channels, 1)),
        "B": rng.normal(size=(batch, steps, states)),
        "C": rng.normal(size=(batch, steps, states)),
        "D": rng.normal(size=channels),
        "weights": rng.normal(size=(batch, steps, channels)),
    }
    return {key: value.astype(np.float32) for key, value in arrays.items()}


def expected(given: Arrays, discretization: str = "euler") -> np.ndarray:
    """The outputs by the equation in float64, batch first."""
    x, delta, A, B, C, D, _ = (value.astype(float) for value in given.values())
    y = np.empty_like(x)
    h = np.zeros((len(x), *A.shape))
    for t in range(x.shape[1]):
        step = delta[:, t, :, None]
        held = step if discretization == "euler" else np.expm1(step * A) / A
        h = np.exp(step * A) * h + held * B[:, t, None, :] * x[:, t, :, None]
        y[:, t] = (h * C[:, t, None, :]).sum(-1) + D * x[:, t]
    return y


def apart(found: np.ndarray, given: Arrays, discretization: str = "euler") -> float:
    """The greatest difference from `expected`, relative to the largest output."""
    truth = expected(given, discretization)
    return float(np.abs(found - truth).max() / np.abs(truth).max())
