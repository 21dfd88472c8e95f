"""PettingZoo's parallel interface to any game. Importing this module needs the extra `interop`."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from suasion.games._game import Game, GameError
from suasion.games._match import Match, Observation
from suasion.games._spaces import view_space

try:
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "parallel_env needs pettingzoo, which is not installed: pip install 'suasion[interop]'",
        name="pettingzoo",
    ) from error


def parallel_env(game: Game, *, render_mode: str | None = None, observation: Observation = "codes") -> ParallelEnv:
    """A game as a PettingZoo `ParallelEnv`.

    Agents are `agent_0`, `agent_1`, ...; all act at once and end together. Observations are uint8 arrays,
    rewards and infos are dictionaries by agent. The infos hold `action_mask` (int8[actions]), `visible`
    (bool[agents]) and, after a step, `events` (the agent's own counts and the society's). `state()` is the
    class codes of the whole map. Episodes are a function of the seed; a reset without a seed goes on with
    the generator of the one before.

    Args:
        game: any game of this room.
        render_mode: `rgb_array` for pictures of the whole map (uint8, 16 pixels a cell), else None.
        observation: `codes` for class codes [v, w], `rgb` for colours [v, w, 3], 0 to 255.

    Returns:
        The environment.

    Raises:
        ModuleNotFoundError: pettingzoo is not installed (when this name is imported).
        GameError: an unknown render mode or observation; in use, missing, surplus or impossible actions, and
            a step outside an episode.
    """
    return _Parallel(game, render_mode, observation)


class _Parallel(ParallelEnv):  # type: ignore[misc, unused-ignore]
    """See `parallel_env`."""

    def __init__(self, game: Game, render_mode: str | None, observation: Observation) -> None:
        self.metadata = {"name": game.spec.name, "render_modes": ["rgb_array"], "render_fps": 10}
        self.render_mode = render_mode
        self._match = Match(game, observation, render_mode)
        self._generator = np.random.default_rng()
        self.possible_agents = [f"agent_{i}" for i in range(game.spec.agents)]
        self.agents: list[str] = []
        self.observation_spaces = {name: view_space(game.spec, observation) for name in self.possible_agents}
        self.action_spaces = {name: spaces.Discrete(len(game.spec.actions)) for name in self.possible_agents}
        self.state_space = spaces.Box(0, len(game.spec.classes) - 1, game.spec.board, np.uint8)

    def observation_space(self, agent: str) -> spaces.Space:
        """The agent's observations: the same object at each call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """The agent's actions: the same object at each call."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begins an episode; there are no options."""
        if seed is not None:
            self._generator = np.random.default_rng(seed)
        self._match.start(self._generator)
        self.agents = list(self.possible_agents)
        return self._observations(), self._infos()

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Everybody acts at once."""
        if set(actions) != set(self.agents):
            wrong = sorted(set(actions) ^ set(self.agents))
            raise GameError(f"actions must name each of {self.agents} once; missing or surplus: {wrong}")
        joint = np.array([operator.index(actions[name]) for name in self.agents], np.int64)
        outcome = self._match.play(joint)
        names = self.possible_agents
        rewards = {name: float(outcome.reward[i]) for i, name in enumerate(names)}
        if self._match.over:
            self.agents = []
        terminated, truncated = (
            dict.fromkeys(names, outcome.terminated),
            dict.fromkeys(names, outcome.truncated),
        )
        return self._observations(), rewards, terminated, truncated, self._infos()

    def render(self) -> np.ndarray | None:
        """The whole map as uint8[rows, columns, 3], or None without a render mode."""
        return self._match.picture() if self.render_mode == "rgb_array" else None

    def state(self) -> np.ndarray:
        """Class codes of the whole map."""
        return self._match.board()

    def close(self) -> None:
        """Nothing to release."""

    def _observations(self) -> dict[str, np.ndarray]:
        return {name: view.copy() for name, view in zip(self.possible_agents, self._match.views(), strict=True)}

    def _infos(self) -> dict[str, dict[str, Any]]:
        return {name: self._match.info(i) for i, name in enumerate(self.possible_agents)}
