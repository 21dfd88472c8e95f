"""Worker: filters and smoothers of suasion, or of the peers under their interpreter, on the same numbers.

All sizes of a case in one process: for each the median of calls after a first one, and a result to compare. Data are
drawn from a seed by NumPy alone. Ours are imported by the first kind of contender only. A task is two calls: what is
timed, and what is compared.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._measure import tell

CONTENDERS = (
    "suasion", "root", "covariance", "log", "scaling", "dynamax", "statsmodels", "simdkalman", "filterpy", "pykalman",
)  # fmt: skip
EXPECTATIONS = 12  # in a timed call of Baum-Welch: both make as many, and what is told is a twelfth
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


def filterpy(y: np.ndarray) -> Callable[[], Any]:
    from filterpy.kalman import KalmanFilter

    def call() -> Any:
        peer = KalmanFilter(dim_x=2, dim_z=1)
        peer.F, peer.H, peer.Q, peer.R = (np.array(TREND[name]) for name in ("A", "C", "Q", "R"))
        peer.x, peer.P = np.zeros((2, 1)), 10 * np.eye(2)
        mean, covariance, _, _ = peer.batch_filter(y[0], update_first=True)
        return peer.rts_smoother(mean, covariance)[0][..., 0]

    return call


def pykalman(y: np.ndarray) -> Callable[[], Any]:
    from pykalman import KalmanFilter

    peer = KalmanFilter(TREND["A"], TREND["C"], TREND["Q"], TREND["R"], initial_state_mean=np.zeros(2),
                        initial_state_covariance=10 * np.eye(2))  # fmt: skip
    return lambda: peer.smooth(y[0])[0]


def _jax() -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def dynamax_kalman(y: np.ndarray) -> Callable[[], Any]:
    jax = _jax()
    from dynamax.linear_gaussian_ssm.inference import lgssm_smoother, make_lgssm_params

    A, Q, C, R = (np.array(TREND[name]) for name in ("A", "Q", "C", "R"))
    params = make_lgssm_params(np.zeros(2), 10 * np.eye(2), A, Q, C, R)
    run = jax.jit(jax.vmap(lambda held: lgssm_smoother(params, held).smoothed_means))
    return lambda: np.asarray(run(y))


def dynamax_chain(states: int, y: np.ndarray) -> Callable[[], Any]:
    jax = _jax()
    from dynamax.hidden_markov_model import hmm_smoother

    transition, mean, _ = chain(states, 2, 1)
    initial = np.full(states, 1 / states)

    def one(held: Any) -> Any:
        logs = -0.5 * ((held[:, None] - mean) ** 2).sum(-1) - np.log(2 * np.pi)
        return hmm_smoother(initial, transition, logs).smoothed_probs

    run = jax.jit(jax.vmap(one)) if len(y) > 1 else jax.jit(lambda held: one(held[0]))
    return lambda: np.asarray(run(y)).reshape(-1, states)


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


def ours_chain(states: int, y: np.ndarray, task: str) -> tuple[Callable[[], Any], ...]:
    from suasion.statespace import FiniteSSM, Gaussian, decode, fit, smooth

    transition, mean, _ = chain(states, 2, 1)
    emission = Gaussian(mean=mean, covariance=np.stack([np.eye(2)] * states))
    model = FiniteSSM(transition=transition, initial=np.full(states, 1 / states), emission=emission)
    y = y[0] if len(y) == 1 else y
    tasks: dict[str, tuple[Callable[[], Any], ...]] = {
        "smooth": (lambda: smooth(model, y).smoothed.reshape(-1, states),),
        "decode": (lambda: decode(model, y).path.ravel(),),
        "fit": (  # so many iterations and one expectation more
            lambda: fit(model, y, iterations=EXPECTATIONS - 1, tolerance=0.0),
            lambda: fit(model, y, iterations=1).model.matrix,
        ),
    }
    return tasks[task]


def hmmlearn(states: int, y: np.ndarray, task: str, implementation: str) -> tuple[Callable[[], Any], ...]:
    from hmmlearn.hmm import GaussianHMM

    transition, mean, _ = chain(states, 2, 1)
    logging.disable(logging.WARNING)  # it says that the last of few iterations gained
    model = GaussianHMM(
        states, "diag", implementation=implementation, tol=-np.inf, init_params="", min_covar=0, covars_prior=0
    )
    rows, lengths = y.reshape(-1, 2), [y.shape[1]] * len(y)

    def fresh(iterations: int = 1) -> Any:
        model.n_iter = model.monitor_.n_iter = iterations
        model.startprob_, model.transmat_ = np.full(states, 1 / states), transition
        model.means_, model.covars_ = mean, np.ones((states, 2))
        return model

    fresh()
    tasks: dict[str, tuple[Callable[[], Any], ...]] = {
        "smooth": (lambda: model.score_samples(rows, lengths)[1],),
        "decode": (lambda: model.decode(rows, lengths)[1],),
        "fit": (
            lambda: fresh(EXPECTATIONS).fit(rows, lengths),
            lambda: fresh().fit(rows, lengths).transmat_,
        ),
    }
    return tasks[task]


def measured(call: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """The first call's time, and the median of later ones: at least three, or two if they are slow."""
    began = time.perf_counter()
    call()
    first, times = time.perf_counter() - began, []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < (3 if first < 1 else 2):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return first, float(np.median(times))


def calls(who: str, task: str, states: int, steps: int, count: int) -> tuple[Callable[[], Any], ...]:
    """What is timed, and what is compared."""
    if not states:
        y = series(steps, count)
        peers = {"statsmodels": statsmodels, "simdkalman": simdkalman, "filterpy": filterpy, "pykalman": pykalman,
                 "dynamax": dynamax_kalman}  # fmt: skip
        return ((peers[who](y) if who in peers else ours_kalman(y, who)),)
    y = chain(states, steps, count)[2]
    if who == "suasion":
        return ours_chain(states, y, task)
    return (dynamax_chain(states, y),) if who == "dynamax" else hmmlearn(states, y, task, who)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=CONTENDERS)
    parser.add_argument("task", choices=("smooth", "decode", "fit"))
    parser.add_argument("steps", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("sizes", nargs="+", help="STATES:PARTS; 0 states of a Kalman filter; one of PARTS of the steps")
    parser.add_argument("--seconds", type=float, default=0.5)
    given = parser.parse_args()
    told: dict[str, list[float]] = {"first": [], "wall": [], "result": [], "size": []}
    for states, parts in (map(int, size.split(":")) for size in given.sizes):
        held = calls(given.who, given.task, states, given.steps // parts, given.count)
        first, wall = measured(held[0], given.seconds)
        result = np.asarray(held[-1]())
        weights = np.cos(np.arange(result.size)).reshape(result.shape)  # a figure that any difference changes
        found = first, wall * parts / (EXPECTATIONS if given.task == "fit" else 1)
        for name, value in zip(
            told, (*found, float((weights * result).sum()), float(np.abs(result).max())), strict=True
        ):
            told[name].append(value)
    package = {"log": "hmmlearn", "scaling": "hmmlearn"}.get(given.who, given.who)
    tell(version="ours" if given.who in CONTENDERS[:3] else importlib.metadata.version(package), **told)


if __name__ == "__main__":
    main()
