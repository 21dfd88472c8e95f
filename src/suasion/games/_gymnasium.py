"""One agent's side of a game as a Gymnasium environment. Importing this module imports gymnasium."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from suasion.games._game import Game, GameError
from suasion.games._match import Match, Observation
from suasion.games._spaces import view_space

Others = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class SingleAgentEnv(gymnasium.Env):
    """One agent among others that are part of its environment.

    Observations are the agent's view, uint8; the reward is its own. The infos hold `action_mask`, `visible`
    and, after a step, `events`. Everything is a function of the seed of `reset`; a reset without a seed goes
    on with the generator of the one before.

    Args:
        game: any game of this room.
        agent: index of the agent that is played here.
        others: `others(codes[n, v, w], generator) -> actions[n]` chooses for the others from everybody's
            view, with chance from `generator` alone; the entry of `agent` is ignored. None: uniformly random
            among the available actions.
        render_mode: `rgb_array` for pictures of the whole map, else None.
        observation: `codes` for class codes [v, w], `rgb` for colours [v, w, 3], 0 to 255.

    Attributes:
        observation_space: uint8 box of the agent's view.
        action_space: the game's actions.
        metadata: render modes and frames per second.
        render_mode: as given.

    Raises:
        GameError: an agent that the game does not have, an unknown render mode or observation; in use, an
            impossible action of the agent or of `others`, and a step outside an episode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium's own convention)

    def __init__(
        self,
        game: Game,
        agent: int = 0,
        others: Others | None = None,
        *,
        render_mode: str | None = None,
        observation: Observation = "codes",
    ) -> None:
        spec = game.spec
        if not 0 <= agent < spec.agents:
            raise GameError(f"agent is {agent}; {spec.name} has agents 0 to {spec.agents - 1}")
        self.render_mode = render_mode
        self._match = Match(game, observation, render_mode)
        self._agent, self._others = agent, others
        self.observation_space = view_space(spec, observation)
        self.action_space = spaces.Discrete(len(spec.actions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode; there are no options."""
        super().reset(seed=seed)
        self._match.start(self.np_random)
        return self._view(), self._match.info(self._agent)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The agent takes `action`; the others choose theirs."""
        joint = self._choices()
        joint[self._agent] = operator.index(action)
        outcome = self._match.play(joint)
        reward = float(outcome.reward[self._agent])
        return self._view(), reward, outcome.terminated, outcome.truncated, self._match.info(self._agent)

    def render(self) -> np.ndarray | None:  # type: ignore[override, unused-ignore]
        """The whole map as uint8[rows, columns, 3], or None without a render mode."""
        return self._match.picture() if self.render_mode == "rgb_array" else None

    def _view(self) -> np.ndarray:
        return self._match.views()[self._agent].copy()

    def _choices(self) -> np.ndarray:
        """A joint action: the others' choices, and something to overwrite at the agent's own place."""
        available = self._match.available()
        if self._others is None:
            # The largest of independent uniforms is a uniform choice among the available actions.
            return np.where(available, self.np_random.random(available.shape), -1.0).argmax(axis=1)
        joint = np.array(self._others(self._match.codes(), self.np_random))
        if joint.shape != (len(available),) or not np.issubdtype(joint.dtype, np.integer):
            raise GameError(f"others gave {joint.dtype}{list(joint.shape)}, not integers of shape [{len(available)}]")
        return joint.astype(np.int64)
