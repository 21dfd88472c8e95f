"""Worker: filters and smoothers of suasion, or of the peers under their interpreter, on the same numbers.

One case in one process: the least of many calls after a first one, and results to compare. Data are drawn from a seed
by NumPy alone. Ours are imported by the first kind of contender only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._measure import tell

TREND = {"A": [[1.0, 1], [0, 1]], "C": [[1.0, 0]], "Q": [[0.1, 0], [0, 0.01]], "R": [[1.0]]}


def series(steps: int, count: int) -> np.ndarray:
    """Local linear trends, float64[count, steps, 1]."""
    rng = np.random.default_rng(0)
    slope = np.cumsum(0.1 * rng.normal(size=(count, steps)), axis=1)
    level = np.cumsum(slope + np.sqrt(0.1) * rng.normal(size=(count, steps)), axis=1)
    return (level + rng.normal(size=(count, steps)))[..., None]


def chain(states: int, steps: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transition, means and observations float64[count, steps, 2] of a chain with unit Gaussians."""
    rng = np.random.default_rng(1)
    transition = rng.dirichlet(np.full(states, 2.0), states) * 0.5 + np.eye(states) * 0.5
    mean = 3 * rng.normal(size=(states, 2))
    sums, at = np.cumsum(transition, axis=1), rng.integers(states, size=count)
    y = np.empty((count, steps, 2))
    for t in range(steps):
        y[:, t] = mean[at] + rng.normal(size=(count, 2))
        at = np.minimum((sums[at] < rng.random(count)[:, None]).sum(1), states - 1)
    return transition, mean, y


def ours_kalman(y: np.ndarray, form: str) -> Callable[[], Any]:
    from suasion.statespace import LinearGaussianSSM, smooth

    parts = {name: np.array(held) for name, held in TREND.items()}
    model = LinearGaussianSSM(**parts, m0=np.zeros(2), P0=10 * np.eye(2))
    y = y[0] if len(y) == 1 else y
    return lambda: smooth(model, y, form=form).mean


def statsmodels(y: np.ndarray) -> Callable[[], Any]:
    from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

    peer = KalmanSmoother(k_endog=1, k_states=2, k_posdef=2)
    peer["transition"], peer["design"] = np.array(TREND["A"]), np.array(TREND["C"])
    peer["selection"], peer["state_cov"], peer["obs_cov"] = np.eye(2), np.array(TREND["Q"]), np.array(TREND["R"])
    peer.initialize_known(np.zeros(2), 10 * np.eye(2))
    peer.bind(y[0])
    peer.set_smoother_output(0, smoother_state=True, smoother_state_cov=True)
    return lambda: peer.smooth().smoothed_state.T


def simdkalman(y: np.ndarray) -> Callable[[], Any]:
    import simdkalman as peer

    model = peer.KalmanFilter(
        state_transition=np.array(TREND["A"]),
        process_noise=np.array(TREND["Q"]),
        observation_model=np.array(TREND["C"]),
        observation_noise=np.array(TREND["R"]),
    )
    start = {"initial_value": np.zeros(2), "initial_covariance": 10 * np.eye(2)}
    return lambda: model.smooth(y[..., 0], **start).states.mean


def ours_chain(states: int, y: np.ndarray, task: str) -> Callable[[], Any]:
    from suasion.statespace import FiniteSSM, Gaussian, decode, fit, smooth

    transition, mean, _ = chain(states, 2, 1)
    emission = Gaussian(mean=mean, covariance=np.stack([np.eye(2)] * states))
    model = FiniteSSM(transition=transition, initial=np.full(states, 1 / states), emission=emission)
    y = y[0] if len(y) == 1 else y
    tasks = {
        "smooth": lambda: smooth(model, y).smoothed.reshape(-1, states),
        "decode": lambda: decode(model, y).path.ravel(),
        "fit": lambda: fit(model, y, iterations=1).model.matrix,
    }
    return tasks[task]


def hmmlearn(states: int, y: np.ndarray, task: str, implementation: str) -> Callable[[], Any]:
    from hmmlearn.hmm import GaussianHMM

    transition, mean, _ = chain(states, 2, 1)
    model = GaussianHMM(states, "diag", implementation=implementation, n_iter=1, init_params="", min_covar=0)
    rows, lengths = y.reshape(-1, 2), [y.shape[1]] * len(y)

    def fresh() -> Any:
        model.startprob_, model.transmat_ = np.full(states, 1 / states), transition
        model.means_, model.covars_ = mean, np.ones((states, 2))
        return model

    fresh()
    tasks = {
        "smooth": lambda: model.score_samples(rows, lengths)[1],
        "decode": lambda: model.decode(rows, lengths)[1],
        "fit": lambda: fresh().fit(rows, lengths).transmat_,
    }
    return tasks[task]


def measured(call: Callable[[], Any], seconds: float) -> tuple[float, float, Any]:
    """The first call's time, the median of later ones, at least three, and the result."""
    began = time.perf_counter()
    result = call()
    first, times = time.perf_counter() - began, []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return first, float(np.median(times)), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=("root", "covariance", "statsmodels", "simdkalman", "suasion", "log", "scaling"))
    parser.add_argument("task", choices=("smooth", "decode", "fit"))
    parser.add_argument("states", type=int, help="0 of a Kalman filter")
    parser.add_argument("steps", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    peers = {"statsmodels": statsmodels, "simdkalman": simdkalman}
    if given.states:
        y = chain(given.states, given.steps, given.count)[2]
        ours = given.who == "suasion"
        more = () if ours else (given.who,)
        call = (ours_chain if ours else hmmlearn)(given.states, y, given.task, *more)
    else:
        y = series(given.steps, given.count)
        call = peers[given.who](y) if given.who in peers else ours_kalman(y, given.who)
    first, wall, result = measured(call, given.seconds)
    package = {"log": "hmmlearn", "scaling": "hmmlearn"}.get(given.who, given.who)
    version = importlib.metadata.version(package) if package in ("hmmlearn", *peers) else "ours"
    weights = np.cos(np.arange(result.size)).reshape(result.shape)  # a figure that any difference changes
    tell(
        first=first,
        wall=wall,
        version=version,
        result=float((weights * result).sum()),
        size=float(np.abs(result).max()),
    )


if __name__ == "__main__":
    main()
