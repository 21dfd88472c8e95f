"""Environments of Gymnasium, played step by step: the slow path.

There is one copy of each rule, the kernel's. It is handed a model without chance, into which the outcome of the step
just made is written before each call: what it draws, decides and learns is what it would on the fast path, so that in
environments without chance both agree to the last bit.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from numba import njit
from numpy import ndarray

from suasion.td._choices import UPPER, scheduled
from suasion.td._kernels import Asked, Kernel, Runs, begun, learner
from suasion.td._play import _LONGEST, Budget, plain, prepared, with_room
from suasion.td._simulator import OUTCOME, Tables, no_branches


@runtime_checkable
class Environment(Protocol):
    """What is used of a `gymnasium.Env`."""

    observation_space: Any
    action_space: Any

    def reset(self, *, seed: int | None = None) -> tuple[Any, Any]:
        """Begin an episode: the first observation."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Any]:
        """Observation, reward, terminated, truncated."""


class Spaces(NamedTuple):
    """The sizes of two discrete spaces, and where they begin.

    Attributes:
        states: how many observations.
        actions: how many actions.
        first_state: the lowest observation.
        first_action: the lowest action.
    """

    states: int
    actions: int
    first_state: int
    first_action: int

    def place(self, choice: int) -> str:
        """A choice in words."""
        return f"state {choice // self.actions + self.first_state}, action {choice % self.actions + self.first_action}"


def spaces_of(env: Environment) -> Spaces:
    """Sizes of an environment's spaces.

    Raises:
        ValueError: one of them is not discrete; which.
    """
    from gymnasium.spaces import Discrete  # a third of a second to load

    found = {"observation_space": env.observation_space, "action_space": env.action_space}
    for name, space in found.items():
        if not isinstance(space, Discrete):
            raise ValueError(f"{name} is {space}: tables need gymnasium.spaces.Discrete")
    seen, done = found.values()
    return Spaces(int(seen.n), int(done.n), int(seen.start), int(done.start))


def play_environment(
    given: Environment | Callable[[], Environment],
    rule: int,
    asked: Asked,
    first_of: Callable[[Spaces], Float64[ndarray, "_"]],
    seed: int | np.random.SeedSequence,
    runs: int,
    budget: Budget,
) -> tuple[Spaces, Float64[ndarray, "n k C"], Runs]:
    """Play all runs, one after the other.

    Returns:
        The sizes, the values at checkpoints, and what the runs hold at their end.

    Raises:
        ValueError: as `play`, spaces are not discrete, or those of a second environment are others.
    """
    env = _made(given)
    spaces = spaces_of(env)
    mailbox = _mailbox(spaces)
    held = prepared(rule, asked, first_of(spaces), seed, runs, budget, mailbox)
    kernel = learner(rule, _known(spaces), plain(asked), asked.acting == UPPER)
    kept = np.empty((runs, len(budget.checkpoints), spaces.states * spaces.actions))
    for run in range(runs):
        if run and not isinstance(given, Environment):
            env = _made(given)
            if spaces_of(env) != spaces:
                raise ValueError(f"the environment of run {run} has other spaces than the first: {spaces_of(env)}")
        player = _Player(env, spaces, kernel, mailbox, rule, asked, budget)
        held = player.play(held, run, kept)
        if not isinstance(given, Environment) and hasattr(env, "close"):
            env.close()
    return spaces, kept, held


class _Player:
    """One run in one environment."""

    def __init__(
        self,
        env: Environment,
        spaces: Spaces,
        kernel: Kernel,
        mailbox: Tables,
        rule: int,
        asked: Asked,
        budget: Budget,
    ) -> None:
        self.env, self.spaces, self.kernel, self.mailbox, self.rule = env, spaces, kernel, mailbox, rule
        self.asked, self.budget, self.cut = asked, budget, asked._replace(limit=1)

    def play(self, held: Runs, run: int, kept: ndarray) -> Runs:
        """From the first step to the last checkpoint."""
        seed: int | None = int(held.rng[run, 0] >> np.uint64(32))  # environments take 32 bits, once
        played = held.episodes if self.budget.episodes else held.steps
        for i, goal in enumerate(self.budget.checkpoints):
            while played[run] < goal:
                held = with_room(held, self.rule, self.budget)
                if held.choice[run] < 0:
                    self._begin(held, run, seed)
                    seed = None
                self._step(held, run)
            kept[run, i] = held.q[run, 0]
        return held

    def _begin(self, held: Runs, run: int, seed: int | None) -> None:
        observation, _ = self.env.reset(seed=seed)
        self.mailbox.outcome[-2:] = (0.0, *self._row(observation, False))
        _begin(run, self.mailbox, held, self.asked, self.asked.acting == UPPER)

    def _step(self, held: Runs, run: int) -> None:
        choice = int(held.choice[run])
        action = choice % self.spaces.actions + self.spaces.first_action
        observation, reward, terminated, truncated, _ = self.env.step(action)
        if not np.isfinite(reward):
            raise ValueError(f"the reward of {self.spaces.place(choice)} is {float(reward)!r}")
        self.mailbox.outcome[2 * choice] = (float(reward), *self._row(observation, bool(terminated)))
        asked = self.cut if truncated and not terminated else self.asked
        steps, forever = int(held.steps[run]) + 1, np.iinfo(np.int64).max
        self.kernel(run, run + 1, steps, forever, self.mailbox, held, asked)
        if self.budget.episodes and held.clock[run] >= _LONGEST:
            raise ValueError(
                f"episode {int(held.episodes[run])} of run {run} has not ended after {_LONGEST} steps: give time_limit"
            )

    def _row(self, observation: Any, terminated: bool) -> tuple[int, int]:
        """First choice of a state and their number, which is 0 at an end."""
        state = int(observation) - self.spaces.first_state
        if not 0 <= state < self.spaces.states:
            low, high = self.spaces.first_state, self.spaces.first_state + self.spaces.states - 1
            raise ValueError(f"the environment is in state {int(observation)}: its space goes from {low} to {high}")
        return state * self.spaces.actions, 0 if terminated else self.spaces.actions


def _made(given: Environment | Callable[[], Environment]) -> Environment:
    env = given if isinstance(given, Environment) else given()
    if not isinstance(env, Environment):
        raise ValueError(f"{env!r} is no environment: it has no reset, step, observation_space and action_space")
    return env


def _mailbox(spaces: Spaces) -> Tables:
    """A model without chance, whose outcomes are written as they come; in the last cell the first state."""
    size = spaces.states * spaces.actions
    return Tables(
        stride=1,
        start=np.arange(size + 2),
        threshold=np.ones(size + 1),
        outcome=np.zeros(2 * (size + 1), OUTCOME),
        low=np.repeat(np.arange(spaces.states) * spaces.actions, spaces.actions),
        width=np.full(size, spaces.actions),
        branch=np.zeros(1, np.int64),
        branches=no_branches(),
    )


def _known(spaces: Spaces) -> int:
    return spaces.actions if spaces.actions <= 8 else 0


@njit(cache=True)
@typing.no_type_check
def _begin(run, tables, runs, asked, counted):
    """Make the first choice of an episode, as the kernel does."""
    tried = runs.memory.tried[min(run, len(runs.memory.tried) - 1)]
    level = scheduled(asked.level, runs.steps[run] + 1)
    of = (runs.q[run, 0], tried, tables, asked.acting, level, counted)
    runs.choice[run], runs.rng[run, 0], runs.rng[run, 1] = begun(runs.rng[run, 0], runs.rng[run, 1], *of)
