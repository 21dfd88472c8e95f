"""The two verbs: `learn` a policy from experience, `predict` the values of one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.markov import MDP, Policy
from suasion.td._algorithms import (
    TD,
    Control,
    DoubleQLearning,
    EpsilonGreedy,
    ExpectedSarsa,
    MonteCarlo,
    MonteCarloControl,
    NStepSarsa,
    Prediction,
    QLearning,
    Sarsa,
    SarsaLambda,
    Softmax,
    TDLambda,
    TreeBackup,
    WatkinsQ,
    schedule_of,
)
from suasion.td._kernels import (
    DOUBLE,
    EPISODE,
    EXPECTED,
    FIRST,
    GREEDY,
    LAMBDA,
    N_STEP,
    Q_LEARNING,
    SARSA,
    SOFTMAX,
    TREE,
    UNIFORM,
    WATKINS,
    Asked,
    Runs,
)
from suasion.td._learned import Learned, Predicted, ties_of
from suasion.td._play import _FOREVER, Budget, play
from suasion.td._policies import epsilon_greedy, policy_value
from suasion.td._simulator import followed, tables

_RULES: dict[type, int] = {
    Sarsa: SARSA,
    ExpectedSarsa: EXPECTED,
    QLearning: Q_LEARNING,
    DoubleQLearning: DOUBLE,
    NStepSarsa: N_STEP,
    TreeBackup: TREE,
    SarsaLambda: LAMBDA,
    WatkinsQ: WATKINS,
    MonteCarloControl: EPISODE,
    MonteCarlo: EPISODE,
    TD: N_STEP,
    TDLambda: LAMBDA,
}


def learn(
    mdp: MDP,
    algorithm: Control,
    *,
    discount: float,
    runs: int = 1,
    steps: int | None = None,
    episodes: int | None = None,
    seed: int | np.random.SeedSequence = 0,
    start: float | Float64[ndarray, "_"] = 0.0,
    initial: Float64[ndarray, "_"] | None = None,
    time_limit: int | None = None,
    checkpoints: Sequence[int] | Int64[ndarray, "_"] | None = None,
    exact: bool = True,
    threads: int | None = None,
    block: int = 16,
) -> Learned:
    r"""Learn to act from steps drawn of a model, many independent runs at once.

    Run i has a stream of random numbers of its own, hashed from the seed and i: results do not depend on the number of
    runs, on threads or on blocks. An episode ends in a terminal state, which is worth 0, or is cut off by the limit of
    steps, and then the value of the state in which it was cut is learned from as on any other step.

    Args:
        mdp: the model.
        algorithm: the rule, with its step size and how it explores.
        discount: $\gamma$ in [0, 1].
        runs: how many, >= 1.
        steps: of each run, >= 1; or
        episodes: of each run, >= 1.
        seed: integer >= 0, or a sequence.
        start: the first values, in reward units, one for all or float64[C]; high ones are optimistic: what has not been
            tried looks good.
        initial: distribution of $S_0$, float64[S]; that of the model, or uniform over states that are not terminal.
        time_limit: steps after which an episode is cut off, >= 1.
        checkpoints: ascending, in steps or episodes, at which values are kept; at the end, if not given.
        exact: whether the greedy policy of each checkpoint is evaluated, at about a millisecond each in small models.
        threads: that share the runs; all processors there are, if not given.
        block: runs that one thread plays at a time, >= 1.

    Raises:
        ValueError: a number is outside its range, both or neither of steps and episodes are given, an episode does not
            end, or values grow without bound; which, with the number.

    References:
        Sutton & Barto (2018), chapters 5 to 7 and 12.
    """
    if type(algorithm) not in _RULES or not hasattr(algorithm, "exploration"):
        raise ValueError(f"algorithm is {algorithm!r}, which is none that acts")
    budget = _budget(runs, steps, episodes, time_limit, checkpoints, threads, block)
    asked = _asked(algorithm, discount, time_limit)
    _check_ends(mdp, budget)
    kept = np.empty((runs, len(budget.checkpoints), mdp.n_choices))

    def seen(i: int, q: ndarray) -> None:
        kept[:, i] = _finite(q, mdp)

    first = _first_values(start, mdp.n_choices, "choices")
    held = play(tables(mdp, initial), _RULES[type(algorithm)], asked, first, seed, runs, budget, seen)
    if initial is not None:
        mdp = _beginning(mdp, initial)
    return Learned(
        mdp=mdp,
        algorithm=algorithm,
        discount=float(discount),
        unit="episodes" if budget.episodes else "steps",
        checkpoints=budget.checkpoints,
        q=kept,
        v=_greedy_values(mdp, algorithm, kept, discount) if exact else np.empty((runs, 0, 0)),
        **_episodes(held),
    )


def predict(
    mdp: MDP,
    policy: Policy,
    algorithm: Prediction,
    *,
    discount: float,
    runs: int = 1,
    steps: int | None = None,
    episodes: int | None = None,
    seed: int | np.random.SeedSequence = 0,
    start: float | Float64[ndarray, "_"] = 0.0,
    initial: Float64[ndarray, "_"] | None = None,
    time_limit: int | None = None,
    checkpoints: Sequence[int] | Int64[ndarray, "_"] | None = None,
    threads: int | None = None,
    block: int = 16,
) -> Predicted:
    r"""Learn $v_\pi$ of a policy from steps drawn of a model, many independent runs at once.

    Args:
        mdp: the model.
        policy: pi, over the same choices.
        algorithm: the rule, with its step size.
        discount: $\gamma$ in [0, 1].
        runs: as in `learn`.
        steps: as in `learn`.
        episodes: as in `learn`.
        seed: as in `learn`.
        start: the first values, one for all or float64[S]; terminal states are worth 0 whatever it says.
        initial: as in `learn`.
        time_limit: as in `learn`.
        checkpoints: as in `learn`.
        threads: as in `learn`.
        block: as in `learn`.

    Raises:
        ValueError: as `learn`, or the policy's value is not finite.

    References:
        Sutton & Barto (2018), chapters 5 to 7 and 12.
    """
    if type(algorithm) not in _RULES or hasattr(algorithm, "exploration"):
        raise ValueError(f"algorithm is {algorithm!r}, which is none that predicts")
    budget = _budget(runs, steps, episodes, time_limit, checkpoints, threads, block)
    asked = _asked(algorithm, discount, time_limit)
    chain = followed(mdp, policy)
    _check_ends(chain, budget)
    exact = policy_value(mdp, policy, discount)
    if (bad := ~np.isfinite(exact)).any():
        s = int(np.argmax(bad))
        raise ValueError(f"the policy's value in state {s} is {float(exact[s])!r}: it cannot be learned")
    live = ~mdp.terminal
    kept = np.zeros((runs, len(budget.checkpoints), mdp.n_states))

    def seen(i: int, q: ndarray) -> None:
        kept[:, i, live] = _finite(q, chain)

    first = _first_values(start, mdp.n_states, "states")[live]
    held = play(tables(chain, initial), _RULES[type(algorithm)], asked, first, seed, runs, budget, seen)
    return Predicted(
        mdp=mdp if initial is None else _beginning(mdp, initial),
        algorithm=algorithm,
        discount=float(discount),
        unit="episodes" if budget.episodes else "steps",
        checkpoints=budget.checkpoints,
        v=kept,
        exact=exact,
        **_episodes(held),
    )


def _asked(algorithm: Control | Prediction, discount: float, time_limit: int | None) -> Asked:
    """The numbers that a kernel reads."""
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is {discount!r}, outside [0, 1]")
    exploration = getattr(algorithm, "exploration", EpsilonGreedy(epsilon=0.0))
    acting = SOFTMAX if isinstance(exploration, Softmax) else FIRST if exploration.ties == "first" else UNIFORM
    level = exploration.temperature if isinstance(exploration, Softmax) else exploration.epsilon
    names = ("accumulating", "replacing", "dutch")
    return Asked(
        discount=float(discount),
        decay=float(discount) * float(getattr(algorithm, "lambda_", 0.0)),
        cutoff=float(getattr(algorithm, "cutoff", 0.0)),
        n=int(getattr(algorithm, "n", 1)),
        traces=names.index(getattr(algorithm, "traces", "accumulating")),
        acting=acting,
        target=acting if getattr(algorithm, "target", "greedy") == "behaviour" else GREEDY,
        first_visit=getattr(algorithm, "visits", "first") == "first",
        step_size=schedule_of(algorithm.step_size).coded(),
        level=schedule_of(level).coded(),
        limit=_FOREVER if time_limit is None else int(time_limit),
    )


def _budget(
    runs: int,
    steps: int | None,
    episodes: int | None,
    time_limit: int | None,
    checkpoints: Sequence[int] | ndarray | None,
    threads: int | None,
    block: int,
) -> Budget:
    """Refuse numbers that make no sense."""
    if (steps is None) == (episodes is None):
        raise ValueError(f"steps is {steps} and episodes is {episodes}: give one of them")
    unit, length = ("steps", steps or 0) if episodes is None else ("episodes", episodes)
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = 1 if time_limit is None else time_limit
    for name, number in (("runs", runs), (unit, length), ("time_limit", limit), ("threads", threads), ("block", block)):
        if number < 1:
            raise ValueError(f"{name} is {number}, below 1")
    at = np.array([length] if checkpoints is None else checkpoints)
    if len(at) and not np.issubdtype(at.dtype, np.integer):
        raise ValueError(f"checkpoints are {at.tolist()}: not whole numbers")
    at = at.astype(np.int64)
    if not len(at) or at[0] < 0 or (np.diff(at) <= 0).any() or at[-1] > length:
        raise ValueError(f"checkpoints are {at.tolist()}: they must rise, from 0 at least to {length} at most")
    if at[-1] < length:
        at = np.append(at, length)
    return Budget(checkpoints=at, episodes=episodes is not None, time_limit=time_limit, threads=threads, block=block)


def _check_ends(mdp: MDP, budget: Budget) -> None:
    """Refuse episodes of a process that has no end."""
    if budget.episodes and budget.time_limit is None and not mdp.terminal.any():
        raise ValueError("no state is terminal, so that no episode ends: give steps, or time_limit")


def _first_values(start: float | ndarray, size: int, what: str) -> Float64[ndarray, "_"]:
    values = np.asarray(start, np.float64)
    if values.ndim and values.shape != (size,):
        raise ValueError(f"start has {values.size} entries, not one for each of {size} {what}")
    if (bad := ~np.isfinite(np.atleast_1d(values))).any():
        raise ValueError(f"start[{int(np.argmax(bad))}] is {float(np.atleast_1d(values)[np.argmax(bad)])!r}")
    return np.broadcast_to(values, (size,)).copy()


def _finite(q: ndarray, mdp: MDP) -> ndarray:
    """Refuse values that grew without bound, as some rules' do where steps are large and traces long."""
    if not (right := np.isfinite(q)).all():
        run, choice = (int(i) for i in np.argwhere(~right)[0])
        became = f"{mdp.place(choice)} has become {float(q[run, choice])!r}"
        raise ValueError(f"run {run}: the value of {became}: take a smaller step size")
    return q


def _beginning(mdp: MDP, initial: ndarray) -> MDP:
    return dataclasses.replace(mdp, initial=np.asarray(initial, np.float64))


def _greedy_values(mdp: MDP, algorithm: Control, q: ndarray, discount: float) -> Float64[ndarray, "n k S"]:
    """Each policy evaluated once, however many runs have it."""
    found: dict[bytes, ndarray] = {}
    values = np.empty((*q.shape[:2], mdp.n_states))
    for place in np.ndindex(*q.shape[:2]):
        policy = epsilon_greedy(mdp, q[place], ties=ties_of(algorithm))
        known = policy.probability.tobytes()
        if known not in found:
            found[known] = policy_value(mdp, policy, discount)
        values[place] = found[known]
    return values


def _episodes(held: Runs) -> dict[str, ndarray]:
    """Those that have ended, as wide as the longest list."""
    room = int(held.episodes.max(initial=0))
    there = np.arange(room) < held.episodes[:, None]
    returns = np.where(there, held.returns[:, :room], np.nan)
    return {"returns": returns, "lengths": held.lengths[:, :room].copy(), "steps": held.steps}
