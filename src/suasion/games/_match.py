"""A game played from Python, one compiled step at a time: what the adapters to other libraries share."""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from suasion.games._game import Game, GameError, Sight, Step

Observation = Literal["codes", "rgb"]
PIXELS = 16  # side of a cell in a rendered picture


class _Moment(NamedTuple):
    """A state and what there is to see and do in it."""

    state: Any
    sight: Sight
    available: Bool[Array, "n a"]


@functools.partial(jax.jit, static_argnums=0)
def _begin(game: Game, key: Key[Array, ""]) -> _Moment:
    return _moment(game, game.reset(key))


@functools.partial(jax.jit, static_argnums=0)
def _turn(game: Game, key: Key[Array, ""], state: Any, actions: Int[Array, " n"]) -> tuple[_Moment, Step]:
    key_step = jax.random.fold_in(key, state.time)
    state, step = game.step(key_step, state, actions)
    return _moment(game, state), step


@functools.partial(jax.jit, static_argnums=0)
def _board(game: Game, state: Any) -> Array:
    return game.board(state)


def _moment(game: Game, state: Any) -> _Moment:
    return _Moment(state, game.observe(state), game.available_actions(state))


class Outcome(NamedTuple):
    """`Step` as Python numbers and NumPy arrays."""

    reward: Float[np.ndarray, " n"]
    terminated: bool
    truncated: bool
    events: dict[str, np.ndarray]


class Match:
    """One game in progress. Everything it returns is a fresh NumPy copy that the caller may keep and change.

    Attributes:
        game: the game.
        observation: `codes` or `rgb`.
        over: no episode has begun, or the last one has ended.
    """

    def __init__(self, game: Game, observation: str, render_mode: str | None) -> None:
        if observation not in ("codes", "rgb"):
            raise GameError(f"observation is {observation!r}, not 'codes' or 'rgb'")
        if render_mode not in (None, "rgb_array"):
            raise GameError(f"render_mode is {render_mode!r}, not None or 'rgb_array'")
        self.game, self.observation, self.over = game, observation, True
        self._moment: _Moment | None = None

    def start(self, generator: np.random.Generator) -> None:
        """Begins an episode whose chance is one draw of `generator`."""
        self._key = jax.random.key(int(generator.integers(2**31)))
        self._moment = _begin(self.game, self._key)
        self._events: dict[str, np.ndarray] = {}
        self.over = False

    def play(self, actions: Int[np.ndarray, " n"]) -> Outcome:
        """One step.

        Raises:
            GameError: an action that does not exist; an episode that has not begun or is over.
        """
        if self.over or self._moment is None:
            raise GameError("the episode is over (or none has begun): call reset first")
        choices = len(self.game.spec.actions)
        for i, action in enumerate(actions):
            if not 0 <= action < choices:
                raise GameError(f"agent {i}: action {action} is not 0 to {choices - 1}")
        self._moment, step = _turn(self.game, self._key, self._moment.state, np.asarray(actions, np.int32))
        self._events = {name: np.array(values) for name, values in step.events.items()}
        outcome = Outcome(np.array(step.reward), bool(step.terminated), bool(step.truncated), self._events)
        self.over = outcome.terminated or outcome.truncated
        return outcome

    def codes(self) -> UInt8[np.ndarray, "n v w"]:
        """Class codes of every agent's view."""
        return np.array(self._now().sight.codes)

    def views(self) -> UInt8[np.ndarray, "n v w *rgb"]:
        """Every agent's view, as `observation` says."""
        codes = self.codes()
        return codes if self.observation == "codes" else self.game.spec.colours[codes]

    def available(self) -> Bool[np.ndarray, "n a"]:
        """The actions that each agent may take."""
        return np.array(self._now().available)

    def info(self, agent: int) -> dict[str, Any]:
        """What else one agent is told: `action_mask`, `visible` and the `events` of the step.

        Args:
            agent: index of the agent.

        Returns:
            `action_mask` int8[a], 1 where an action is available; `visible` bool[n], whom the agent sees;
            `events`, its own counts and the society's, by name; empty after a reset.
        """
        now, spec = self._now(), self.game.spec
        own = {event.name: event.per_agent for event in spec.events}
        events = {name: float(v[agent] if own[name] else v) for name, v in self._events.items()}
        visible = np.array(now.sight.visible[agent])
        return {"action_mask": self.available()[agent].astype(np.int8), "visible": visible, "events": events}

    def board(self) -> UInt8[np.ndarray, "h w"]:
        """Class codes of the whole map."""
        return np.array(_board(self.game, self._now().state))

    def picture(self) -> UInt8[np.ndarray, "rows columns rgb"]:
        """The whole map in colour, `PIXELS` pixels a cell."""
        return self.game.spec.colours[self.board()].repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)

    def _now(self) -> _Moment:
        if self._moment is None:
            raise GameError("no episode has begun: call reset first")
        return self._moment
