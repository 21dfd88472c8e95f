"""What particle filters give, whatever engine ran them."""

from __future__ import annotations

from typing import NamedTuple

from numpy import ndarray

from suasion.statespace._particle_resampling import check_resampler


class ParticleHistory(NamedTuple):
    """Particles and weights of all steps; of those before an impossible one only.

    Attributes:
        particles: first axes T and N.
        weights: float64[T, N], each row summing to 1.
    """

    particles: ndarray
    weights: ndarray


class ParticleFiltered(NamedTuple):
    r"""What particles say of each step.

    Attributes:
        mean: weighted means $E[x_t \mid y_{0:t}]$, first axis T.
        variance: weighted variances, component by component, the shape of `mean`.
        log_likelihood: log of an unbiased estimate of $p(y_{0:T-1})$; -inf if no particle can explain a step.
        increments: its steps, float64[T].
        effective: effective sample size $1 / \sum_i (W_t^i)^2$ before resampling, float64[T].
        impossible: the first step that no particle can explain, or -1; means and variances are 0 from there on.
        particles: the last step's, first axis N.
        weights: theirs, float64[N].
        history: those of all steps if they were to be kept, else None.
    """

    mean: ndarray
    variance: ndarray
    log_likelihood: float
    increments: ndarray
    effective: ndarray
    impossible: int
    particles: ndarray
    weights: ndarray
    history: ParticleHistory | None = None


def check_numbers(steps: int, particles: int, resampler: str, threshold: float) -> None:
    """Refuse what no particle filter takes.

    Raises:
        ValueError: a sequence of length 0, N below 1, a threshold outside [0, 1], or no such resampler.
    """
    if not steps:
        raise ValueError("y has length 0")
    if particles < 1 or not 0 <= threshold <= 1:
        raise ValueError(f"particles is {particles} and threshold {threshold!r}: at least 1, and in [0, 1]")
    check_resampler(resampler)
