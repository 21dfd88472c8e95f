r"""Batch learning: the same finite experience again and again, until nothing changes.

TD then says what the model that fits the experience best would be worth (certainty equivalence), Monte Carlo the mean
of the returns that followed each state.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
from jaxtyping import Float64, Int64
from numba import njit
from numpy import ndarray

from suasion.markov import Walks


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BatchValues:
    r"""What a batch of experience says about a policy's values.

    Attributes:
        v: float64[S]; `start` in states that were never left.
        visits: steps from each state, int64[S].
        converged: whether the residual fell to the tolerance.
        iterations: sweeps over the experience.
        residual: greatest mean TD error of a state, in reward units; 0 of Monte Carlo, which needs no iteration.
    """

    v: Float64[ndarray, "S"]
    visits: Int64[ndarray, "S"]
    converged: bool
    iterations: int
    residual: float


def batch_td(
    walks: Walks,
    states: int,
    discount: float,
    *,
    step_size: float = 1.0,
    start: float = 0.0,
    tolerance: float = 1e-10,
    limit: int = 100_000,
) -> BatchValues:
    r"""Batch TD(0): $V(s) \leftarrow V(s) + \alpha \, \text{mean}_{t: S_t = s} [R_{t+1} + \gamma V(S_{t+1}) - V(s)]$.

    Its fixed point is $(I - \hat\gamma \hat P)^{-1} \hat r$ of the frequencies in the experience. A walk that has not
    ended is followed by the value of its last state.

    Args:
        walks: the experience, of `suasion.markov.simulate`.
        states: S.
        discount: $\gamma$ in [0, 1].
        step_size: $\alpha$ in (0, 1].
        start: first value of all states that are not terminal.
        tolerance: of the residual, in reward units, > 0.
        limit: of sweeps, >= 1.

    Raises:
        ValueError: a number is outside its range, or a walk visits what is no state.

    References:
        Sutton & Barto (2018), section 6.3.
    """
    _check(walks, states, discount)
    if not 0 < step_size <= 1:
        raise ValueError(f"step_size is {step_size!r}, outside (0, 1]")
    if not tolerance > 0 or limit < 1:
        raise ValueError(f"tolerance is {tolerance!r} and limit {limit}: not above 0, or below 1")
    before, after, rewards = _steps(walks)
    v = np.full(states, float(start))
    v[walks.states[walks.ended]] = 0.0
    visits = np.bincount(before, minlength=states)
    iterations, residual = _sweeps(before, after, rewards, visits, v, discount, step_size, tolerance, limit)
    return BatchValues(
        v=v, visits=visits, converged=residual <= tolerance, iterations=iterations, residual=float(residual)
    )


def batch_mc(walks: Walks, states: int, discount: float, *, start: float = 0.0) -> BatchValues:
    r"""Batch Monte Carlo: the mean of $G_t$ over all visits, which constant-step replay tends to as its step vanishes.

    Args:
        walks: the experience, of `suasion.markov.simulate`; each walk has ended.
        states: S.
        discount: $\gamma$ in [0, 1].
        start: value of states that were never visited.

    Raises:
        ValueError: a walk has not ended, its return is not known; which, with its steps. Or as `batch_td`.

    References:
        Sutton & Barto (2018), section 6.3.
    """
    _check(walks, states, discount)
    if (open_ := ~walks.ended[:, -1]).any():
        raise ValueError(f"walk {int(np.argmax(open_))} has not ended after {walks.rewards.shape[1]} steps")
    returns = np.zeros_like(walks.rewards)
    total = np.zeros(len(returns))
    for t in range(returns.shape[1] - 1, -1, -1):
        total = returns[:, t] = walks.rewards[:, t] + discount * total
    left = ~walks.ended[:, :-1]
    before = walks.states[:, :-1][left]
    visits = np.bincount(before, minlength=states)
    sums = np.bincount(before, returns[left], minlength=states)
    v = np.where(visits > 0, sums / np.maximum(visits, 1), float(start))
    v[walks.states[walks.ended]] = 0.0
    return BatchValues(v=v, visits=visits, converged=True, iterations=1, residual=0.0)


def _steps(walks: Walks) -> tuple[ndarray, ndarray, ndarray]:
    """S, S' and R of all steps that were made."""
    left = ~walks.ended[:, :-1]
    return walks.states[:, :-1][left], walks.states[:, 1:][left], walks.rewards[left]


def _check(walks: Walks, states: int, discount: float) -> None:
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is {discount!r}, outside [0, 1]")
    bad = (walks.states < 0) | (walks.states >= states)
    if bad.any():
        w, t = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"walk {w} is in {int(walks.states[w, t])} at step {t}: states are 0 to {states - 1}")


@njit(cache=True, nogil=True)
@typing.no_type_check
def _sweeps(before, after, rewards, visits, v, discount, step_size, tolerance, limit):
    """Sweep until the residual is small; the sweeps made, and the residual."""
    error = np.empty(len(v))
    residual = np.inf
    for sweep in range(limit):
        error[:] = 0.0
        for i in range(len(before)):
            error[before[i]] += rewards[i] + discount * v[after[i]] - v[before[i]]
        residual = 0.0
        for s in range(len(v)):
            if visits[s]:
                mean = error[s] / visits[s]
                residual = max(residual, abs(mean))
                v[s] += step_size * mean
        if residual <= tolerance:
            return sweep + 1, residual
    return limit, residual
