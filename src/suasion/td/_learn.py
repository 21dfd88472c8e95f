"""The two verbs: `learn` a policy from experience, `predict` the values of one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.markov import MDP, Policy
from suasion.td._algorithms import (
    IMPORTANCE,
    TD,
    UCB,
    Control,
    DoubleQLearning,
    DynaQ,
    EpsilonGreedy,
    ExpectedSarsa,
    Exploration,
    MonteCarlo,
    MonteCarloControl,
    NStepSarsa,
    Prediction,
    PrioritisedSweeping,
    QLearning,
    Sarsa,
    SarsaLambda,
    Softmax,
    TDLambda,
    TreeBackup,
    WatkinsQ,
    schedule_of,
)
from suasion.td._choices import FIRST, GREEDY, SOFTMAX, UNIFORM, UPPER
from suasion.td._environment import Environment, Spaces, play_environment
from suasion.td._importance import check_covers, weighed_tables
from suasion.td._kernels import (
    DOUBLE,
    DYNA,
    EPISODE,
    EXPECTED,
    LAMBDA,
    N_STEP,
    Q_LEARNING,
    SARSA,
    SWEEP,
    TREE,
    WATKINS,
    WEIGHED_EPISODE,
    WEIGHED_STEP,
    Asked,
    Runs,
)
from suasion.td._learned import Learned, Predicted, ties_of
from suasion.td._play import _FOREVER, Budget, play
from suasion.td._policies import epsilon_greedy, policy_value
from suasion.td._schedules import Schedule
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
    DynaQ: DYNA,
    PrioritisedSweeping: SWEEP,
    MonteCarloControl: EPISODE,
    MonteCarlo: EPISODE,
    TD: N_STEP,
    TDLambda: LAMBDA,
}
_WEIGHED: dict[type, int] = {MonteCarlo: WEIGHED_EPISODE, TD: WEIGHED_STEP}


def learn(
    mdp: MDP | Environment | Callable[[], Environment],
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

    An environment of Gymnasium with discrete spaces is played step by step, one run after the other, by the same rules:
    some thousand times slower. It begins each run by `reset` with a seed of the run's own. Choice $s |A| + a$ is action
    a (counted from the space's start) in state s. `terminated` is an end; `truncated` is a cut, and no end.

    Args:
        mdp: the model; or an environment, or a function that makes one, for each run anew.
        algorithm: the rule, with its step size and how it explores; `DynaQ` and `PrioritisedSweeping` need a model.
        discount: $\gamma$ in [0, 1].
        runs: how many, >= 1.
        steps: of each run, >= 1; or
        episodes: of each run, >= 1.
        seed: integer >= 0, or a sequence.
        start: the first values, in reward units, one for all or float64[C]; high ones are optimistic: what has not been
            tried looks good.
        initial: distribution of $S_0$, float64[S]; that of the model, or uniform over states that are not terminal. An
            environment has its own.
        time_limit: steps after which an episode is cut off, >= 1.
        checkpoints: ascending, in steps or episodes, at which values are kept; at the end, if not given.
        exact: whether the greedy policy of each checkpoint is evaluated, at about a millisecond each in small models.
            Environments have no exact values.
        threads: that share the runs; all processors there are, if not given.
        block: runs that one thread plays at a time, >= 1.

    Raises:
        ValueError: a number is outside its range, both or neither of steps and episodes are given, an episode does not
            end, or values grow without bound; which, with the number. A space is not discrete, or the rule is none for
            environments; its name.

    References:
        Sutton & Barto (2018), chapters 5 to 7 and 12.
    """
    if type(algorithm) not in _RULES or not hasattr(algorithm, "exploration"):
        raise ValueError(f"algorithm is {algorithm!r}, which is none that acts")
    budget = _budget(runs, steps, episodes, time_limit, checkpoints, threads, block)
    asked = _asked(algorithm, discount, time_limit)
    if not isinstance(mdp, MDP):
        return _learn_there(mdp, algorithm, asked, runs, seed, start, initial, budget)
    _check_ends(mdp, budget)
    place = mdp.place
    kept = np.empty((runs, len(budget.checkpoints), mdp.n_choices))

    def seen(i: int, q: ndarray) -> None:
        kept[:, i] = _finite(q, place)

    first = _first_values(start, mdp.n_choices, "choices")
    rule = _RULES[type(algorithm)]
    played = tables(mdp, initial, counted=rule in (DYNA, SWEEP))
    held = play(played, rule, asked, first, seed, runs, budget, seen)
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


def _learn_there(
    env: Environment | Callable[[], Environment],
    algorithm: Control,
    asked: Asked,
    runs: int,
    seed: int | np.random.SeedSequence,
    start: float | ndarray,
    initial: ndarray | None,
    budget: Budget,
) -> Learned:
    """Learn in an environment."""
    name, rule = type(algorithm).__name__, _RULES[type(algorithm)]
    if rule in (DYNA, SWEEP):
        raise ValueError(
            f"{name} counts the outcomes of a model: it does not play environments, but `from_gymnasium` reads some"
        )
    if initial is not None:
        raise ValueError("initial is given, and an environment has first states of its own")

    def first_of(spaces: Spaces) -> ndarray:
        return _first_values(start, spaces.states * spaces.actions, "states and actions")

    spaces, kept, held = play_environment(env, rule, asked, first_of, seed, runs, budget)
    return Learned(
        mdp=None,
        algorithm=algorithm,
        discount=asked.discount,
        unit="episodes" if budget.episodes else "steps",
        checkpoints=budget.checkpoints,
        q=_finite(kept, spaces.place),
        v=np.empty((runs, 0, 0)),
        **_episodes(held),
    )


def predict(
    mdp: MDP,
    policy: Policy,
    algorithm: Prediction,
    *,
    discount: float,
    behaviour: Policy | None = None,
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
        behaviour: b, which plays in the place of pi: off-policy, by importance sampling. It makes each choice that pi
            makes. Episodes in the result, their returns and lengths, are those of b.
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
        ValueError: as `learn`, or the policy's value is not finite; the behaviour never makes a choice that the policy
            makes, which are named; or the rule cannot learn from another policy.

    References:
        Sutton & Barto (2018), chapters 5 to 7 and 12.
    """
    if type(algorithm) not in _RULES or hasattr(algorithm, "exploration"):
        raise ValueError(f"algorithm is {algorithm!r}, which is none that predicts")
    budget = _budget(runs, steps, episodes, time_limit, checkpoints, threads, block)
    asked = _asked(algorithm, discount, time_limit)
    rule, chain = _RULES[type(algorithm)], followed(mdp, policy if behaviour is None else behaviour)
    if behaviour is not None:
        if type(algorithm) not in _WEIGHED:
            raise ValueError(f"{type(algorithm).__name__} learns from the policy's own steps only: no behaviour")
        rule = _WEIGHED[type(algorithm)]
        check_covers(mdp, policy, behaviour)
    _check_ends(chain, budget)
    exact = policy_value(mdp, policy, discount)
    if (bad := ~np.isfinite(exact)).any():
        s = int(np.argmax(bad))
        raise ValueError(f"the policy's value in state {s} is {float(exact[s])!r}: it cannot be learned")
    live = ~mdp.terminal
    kept = np.zeros((runs, len(budget.checkpoints), mdp.n_states))

    def seen(i: int, q: ndarray) -> None:
        kept[:, i, live] = _finite(q, chain.place)

    first = _first_values(start, mdp.n_states, "states")[live]
    played = (
        tables(chain, initial, counted=False) if behaviour is None else weighed_tables(mdp, policy, behaviour, initial)
    )
    held = play(played, rule, asked, first, seed, runs, budget, seen)
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
    acting, level = _acting(exploration)
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
        planning=int(getattr(algorithm, "planning_steps", 0)),
        bonus=float(getattr(algorithm, "bonus", 0.0)),
        threshold=float(getattr(algorithm, "threshold", 0.0)),
        importance=IMPORTANCE.index(getattr(algorithm, "importance", "ordinary")),
    )


def _acting(exploration: Exploration) -> tuple[int, float | Schedule]:
    """How choices are made, and the number that it needs."""
    if isinstance(exploration, Softmax):
        return SOFTMAX, exploration.temperature
    if isinstance(exploration, UCB):
        return UPPER, exploration.c
    return FIRST if exploration.ties == "first" else UNIFORM, exploration.epsilon


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


def _finite(q: ndarray, place: Callable[[int], str]) -> ndarray:
    """Refuse values that grew without bound, as some rules' do where steps are large and traces long."""
    if not (right := np.isfinite(q)).all():
        at = tuple(int(i) for i in np.argwhere(~right)[0])
        run, became = at[0], f"{place(at[-1])} has become {float(q[at])!r}"
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
