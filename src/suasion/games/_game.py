"""The contract of a game: a pure Markov game of n agents, in JAX.

Letters of the shapes: n agents, a actions, v and w rows and columns of an agent's view, h and w of the map.
Every function takes one game state; batches are made with `jax.vmap`. Shapes are static.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8


class GameError(ValueError):
    """A game, map or option that cannot be: the message names the place and the number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a game counts in each step, for measures and logs.

    Attributes:
        name: the key in `Step.events`.
        meaning: one line with the unit, for documentation and tables.
        per_agent: float[n] if true, a scalar of the whole society if false.
        level: a state read after the step (averaged over time) rather than a count (summed over time).
        landmark: it divides an episode: what is measured is told apart before, at and after the step on which it
            first occurs. Only for events of the whole society.
    """

    name: str
    meaning: str
    per_agent: bool = True
    level: bool = False
    landmark: bool = False

    def __post_init__(self) -> None:
        """Refuse a landmark that is each agent's own, or a level."""
        if self.landmark and (self.per_agent or self.level):
            raise GameError(f"event {self.name}: a landmark is counted for the whole society")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What a neighbour may know of a game without playing it.

    Attributes:
        name: of the game, as the command line spells it.
        agents: number n of agents.
        actions: names of the actions, the same list for every agent; an action is its index.
        classes: names of the class codes 0, 1, ... of views and maps.
        palette: RGB of each class, 0 to 255. Codes differ even where colours coincide.
        view: rows and columns of an agent's view.
        board: rows and columns of the whole map, as `Game.board` draws it.
        horizon: time limit in steps; the step that reaches it is truncated, not terminated. None: no limit.
        events: what `Step.events` holds.
    """

    name: str
    agents: int
    actions: tuple[str, ...]
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    view: tuple[int, int]
    board: tuple[int, int]
    horizon: int | None
    events: tuple[Event, ...] = ()

    @property
    def colours(self) -> np.ndarray:
        """The palette as uint8[classes, 3]."""
        return np.array(self.palette, np.uint8)


class Sight(NamedTuple):
    """What the agents see of a state.

    Attributes:
        codes: class codes of each agent's view.
        visible: `visible[i, j]` is true where i sees j. An agent sees itself.
    """

    codes: UInt8[Array, "n v w"]
    visible: Bool[Array, "n n"]


class Step(NamedTuple):
    """What one step gave.

    Attributes:
        reward: of each agent, in the game's unit.
        terminated: the game is over: no reward can follow. Bootstrap with 0.
        truncated: the time limit was reached: bootstrap with the value of the state reached.
        events: float counts or levels by name, as `Spec.events` lists them.
    """

    reward: Float[Array, " n"]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]
    events: dict[str, Array]


State = TypeVar("State", bound=Any)
Draws = TypeVar("Draws", bound=Any)


@runtime_checkable
class Game(Protocol[State, Draws]):
    """A Markov game. Games are frozen and hashable, so that they can be static arguments of `jax.jit`.

    `State` is a tree of arrays with at least `time`, the int32 number of steps since the reset.
    The reset after an end is not the game's business: `agents.rollout` does it.
    """

    @property
    def spec(self) -> Spec:
        """Names, sizes and colours."""
        ...

    def reset(self, key: Key[Array, ""]) -> State:
        """A first state."""
        ...

    def observe(self, state: State) -> Sight:
        """What each agent sees of `state`."""
        ...

    def available_actions(self, state: State) -> Bool[Array, "n a"]:
        """The actions that each agent may take in `state`; at least one each."""
        ...

    def draw(self, key: Key[Array, ""]) -> Draws:
        """All the chance of one step: arrays of uniforms on [0, 1)."""
        ...

    def advance(self, draws: Draws, state: State, actions: Int[Array, " n"]) -> tuple[State, Step]:
        """The step as a deterministic function of its draws."""
        ...

    def step(self, key: Key[Array, ""], state: State, actions: Int[Array, " n"]) -> tuple[State, Step]:
        """`advance` with the draws of `key`."""
        ...

    def board(self, state: State) -> UInt8[Array, "h w"]:
        """Class codes of the whole map, agents and beams included, for pictures and records."""
        ...
