"""To play a model and write everything down: a policy's log, or a learner's own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

import suasion
from suasion.markov import MDP, Policy
from suasion.td._algorithms import EpsilonGreedy, ExpectedSarsa, QLearning, Sarsa, Softmax, schedule_of
from suasion.td._choices import FIRST, SOFTMAX, UNIFORM
from suasion.td._log import Transitions, check_discount
from suasion.td._log_frame import check_distinct
from suasion.td._log_kernels import EXPECTED, FIXED, Q_LEARNING, SARSA, Player, Rows, Rule, gather
from suasion.td._random import streams
from suasion.td._schedules import CONSTANT, Constant
from suasion.td._simulator import branch_rewards, tables

_FOREVER = 1 << 62
_LONGEST = 10_000_000  # steps of an episode after which it is said not to end
_AT_ONCE = 1 << 16  # rows
_RULES: dict[type, int] = {Sarsa: SARSA, ExpectedSarsa: EXPECTED, QLearning: Q_LEARNING}

Behaviour = Policy | Sarsa | ExpectedSarsa | QLearning


def collect(
    mdp: MDP,
    behaviour: Behaviour,
    *,
    steps: int | None = None,
    episodes: int | None = None,
    runs: int = 1,
    seed: int | np.random.SeedSequence = 0,
    time_limit: int | None = None,
    initial: Float64[ndarray, "_"] | None = None,
    discount: float | None = None,
    start: float = 0.0,
) -> Transitions:
    r"""Play a model and write every step down, with the exact probability $b(A_t \mid S_t)$ of the action taken.

    A learner acts by its table as it is at the time, and learns from each step: its log is what
    `learn(mdp, algorithm, seed=seed)` sees, draw for draw. Run i has a stream of random numbers of its own. With
    `steps`, the last episode of each run is cut off where the run ends: to estimate values, collect episodes.

    Args:
        mdp: the model; the actions of a state are distinct.
        behaviour: a policy over its choices, or Sarsa, Expected Sarsa or Q-learning with how it explores.
        steps: of each run, >= 1; or
        episodes: of each run, >= 1.
        runs: how many, >= 1.
        seed: integer >= 0, or a sequence.
        time_limit: steps after which an episode is cut off, >= 1.
        initial: distribution of $S_0$, float64[S]; that of the model, or uniform over states that are not terminal.
        discount: $\gamma$ in [0, 1] by which a learner learns; of a policy's log it is noted.
        start: the first values of a learner, in reward units.

    Returns:
        The log; its `about` holds a hash of the model, the seed, the discount and versions.

    Raises:
        ValueError: a number is outside its range, both or neither of steps and episodes are given, the policy is for
            other choices, a learner has no discount, two choices of a state have one action, or an episode does not end
            within ten million steps.
    """
    _check_numbers(mdp, steps, episodes, runs, time_limit, discount)
    check_distinct(mdp)
    rule = _rule(mdp, behaviour, discount, time_limit)
    tagged = dataclasses.replace(  # each outcome says which branch it is, in place of its reward
        mdp, choice_reward=np.zeros(mdp.n_choices), branch_reward=np.arange(mdp.n_branches, dtype=np.float64)
    )
    held, rewards = tables(tagged, initial), branch_rewards(mdp)
    parts = []
    for number, words in enumerate(streams(seed, runs)):
        row = behaviour.probability if isinstance(behaviour, Policy) else np.full(mdp.n_choices, float(start))
        visits = np.zeros(mdp.n_choices if rule.step_size[0] != CONSTANT else 1, np.int64)
        player = Player(words.copy(), np.array([-1, 0, 0, 0]), np.ones(1))
        given = (held, rewards, row, visits, rule, player)
        parts.append(_columns(mdp, rewards, number, list(_played(given, player, steps, episodes))))
    about = {"model": model_hash(mdp), "behaviour": type(behaviour).__name__, "discount": discount}
    about |= {"seed": repr(seed) if isinstance(seed, np.random.SeedSequence) else int(seed)}
    about |= {"time_limit": time_limit, "suasion": suasion.__version__, "numpy": np.__version__}
    return Transitions(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, about=about)


def _played(given: tuple[Any, ...], player: Player, steps: int | None, episodes: int | None) -> Iterator[Rows]:
    """The rows of a run, a piece at a time."""
    goal = _FOREVER if episodes is None else episodes
    left = _FOREVER if steps is None else steps
    while left > 0 and player.place[3] < goal:
        room = min(left, _AT_ONCE)
        rows = Rows(*(np.zeros(room, kind) for kind in (np.int64, np.int64, np.float64, bool, bool)))
        written = gather(*given, goal, rows)
        left -= written
        if steps is None and player.place[1] >= _LONGEST:
            raise ValueError(
                f"episode {int(player.place[3])} has not ended after {int(player.place[1])} steps: give time_limit"
            )
        yield Rows(*(held[:written] for held in rows))


def _columns(mdp: MDP, rewards: ndarray, number: int, pieces: list[Rows]) -> dict[str, ndarray]:
    """One run as columns."""
    rows = Rows(*(np.concatenate(held) for held in zip(*pieces, strict=True)))
    rows.truncated[-1] |= not rows.terminated[-1]  # the log ends here
    over = rows.terminated | rows.truncated
    episode = np.concatenate([[0], np.cumsum(over[:-1])])
    first = np.concatenate([[0], np.flatnonzero(over[:-1]) + 1])
    owner = np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))
    columns = {
        "run": np.full(len(episode), number),
        "episode": episode,
        "time": np.arange(len(episode)) - first[episode],
        "state": owner[rows.choice],
        "action": mdp.action[rows.choice],
        "next_state": mdp.target[rows.branch],
    }
    held = {name: column.astype(np.int32) for name, column in columns.items()}
    held |= {"reward": rewards[rows.branch], "behaviour": rows.chance}
    return held | {"terminated": rows.terminated, "truncated": rows.truncated}


def _rule(mdp: MDP, behaviour: Behaviour, discount: float | None, time_limit: int | None) -> Rule:
    """How the kernel acts and learns."""
    limit, never = _FOREVER if time_limit is None else time_limit, Constant(0.0).coded()
    if isinstance(behaviour, Policy):
        behaviour.check_fits(mdp)
        return Rule(FIXED, 0.0, UNIFORM, never, never, limit)
    if type(behaviour) not in _RULES:
        raise ValueError(f"behaviour is {behaviour!r}: neither a policy nor Sarsa, Expected Sarsa or Q-learning")
    if discount is None:
        raise ValueError(f"discount is not given, and {type(behaviour).__name__} learns by it")
    exploration = behaviour.exploration
    if isinstance(exploration, Softmax):
        acting, level = SOFTMAX, exploration.temperature
    elif isinstance(exploration, EpsilonGreedy):
        acting, level = (FIRST if exploration.ties == "first" else UNIFORM), exploration.epsilon
    else:
        raise ValueError(
            f"exploration is {exploration!r}: a log needs the probability of each action, as Softmax gives"
        )
    codes = schedule_of(level).coded(), schedule_of(behaviour.step_size).coded()
    return Rule(_RULES[type(behaviour)], float(discount), acting, *codes, limit)


def _check_numbers(
    mdp: MDP, steps: int | None, episodes: int | None, runs: int, time_limit: int | None, discount: float | None
) -> None:
    if (steps is None) == (episodes is None):
        raise ValueError(f"steps is {steps} and episodes is {episodes}: give one of them")
    for name, number in (("steps", steps), ("episodes", episodes), ("runs", runs), ("time_limit", time_limit)):
        if number is not None and number < 1:
            raise ValueError(f"{name} is {number}, below 1")
    if episodes is not None and time_limit is None and not mdp.terminal.any():
        raise ValueError("no state is terminal, so that no episode ends: give steps, or time_limit")
    if discount is not None:
        check_discount(discount)


def model_hash(mdp: MDP) -> str:
    """SHA-256 of a model's dynamics, actions and ends; names, labels and first states do not count."""
    digest = hashlib.sha256()
    for held in (
        mdp.choice_start.astype("<i8"),
        mdp.branch_start.astype("<i8"),
        mdp.action.astype("<i8"),
        mdp.target.astype("<i8"),
        mdp.probability.astype("<f8"),
        (branch_rewards(mdp) + 0.0).astype("<f8"),
        mdp.terminal,
    ):
        digest.update(len(held).to_bytes(8, "little") + held.tobytes())
    return digest.hexdigest()
