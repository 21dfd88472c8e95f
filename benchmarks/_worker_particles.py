"""Worker: a stochastic volatility model filtered by suasion's compiled bootstrap filter."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks._measure import tell


def asked(description: str | None) -> argparse.Namespace:
    """Series, number of particles and parameters."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("returns", help="as npy")
    parser.add_argument("particles", type=int)
    for name in ("mean", "persistence", "noise"):
        parser.add_argument(name, type=float)
    parser.add_argument("--seconds", type=float, default=4.0, help="least time to measure for")
    return parser.parse_args()


def repeat(once: Callable[[], float], seconds: float) -> dict[str, float]:
    """Median wall time of runs after the first, at least one, and the mean of what they say."""
    began = time.perf_counter()
    once()
    first, walls, logs = time.perf_counter() - began, [], []
    while not walls or sum(walls) < seconds:
        began = time.perf_counter()
        logs.append(once())
        walls.append(time.perf_counter() - began)
    return {"first": first, "wall": statistics.median(walls), "log_likelihood": statistics.mean(logs)}


def main() -> None:
    given = asked(__doc__)
    from numba import njit

    from suasion.statespace import CompiledSSM, fast_exp, particle_filter

    @njit
    def initial(rng, p):
        return p[0] + p[2] / math.sqrt(1 - p[1] ** 2) * rng.standard_normal()

    @njit
    def transition(rng, x, t, p):
        return p[0] + p[1] * (x - p[0]) + p[2] * rng.standard_normal()

    @njit
    def log_observation(x, y, t, p):
        return -0.5 * (math.log(2 * math.pi) + x + y * y * fast_exp(-x))

    model = CompiledSSM(
        initial=initial, transition=transition, log_observation=log_observation,
        parameters=(given.mean, given.persistence, given.noise),
    )  # fmt: skip
    y, rng = np.load(given.returns), np.random.default_rng(0)
    tell(**repeat(lambda: particle_filter(model, y, rng, particles=given.particles).log_likelihood, given.seconds))


if __name__ == "__main__":
    main()
