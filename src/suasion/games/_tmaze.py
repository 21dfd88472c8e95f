"""T-maze: a memory task whose cue is shown once, and whose best score is known.

Letters of the shapes: n agents, a actions, v and w rows and columns of an agent's view (1 x 1), h and c rows and
columns of the map.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from suasion.games._game import Event, GameError, Sight, Spec, Step

FORWARD, LEFT, RIGHT = range(3)
WALL, CORRIDOR, JUNCTION, ARM, CUE, AGENT = 0, 1, 2, 3, 4, 6  # CUE + 1: the other cue
_ROWS = 3  # of one maze on the map: the left arm, the corridor, the right arm


class TMazeState(NamedTuple):
    """A state of a T-maze.

    Attributes:
        time: steps since the reset.
        cue: the rewarded turn of each agent: 0 left, 1 right.
        place: cells walked, 0 to `length`, which is the junction.
        turned: -1 before the turn; then 0 left, 1 right.
    """

    time: Int[Array, ""]
    cue: Int[Array, " n"]
    place: Int[Array, " n"]
    turned: Int[Array, " n"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TMaze:
    """Walk down a corridor and turn as the cue said, which was seen in the first step and never again.

    In the first step every agent sees its cue, left or right with probability 1/2. From then on it sees what kind of
    cell it stands on: corridor, junction or arm. `forward` walks one cell; at the junction, after `length` cells, it
    does nothing. `left` and `right` do nothing in the corridor; at the junction they lead into an arm, where the agent
    stays. The turn gives 1 if it is the cue's, else 0. Nothing else gives anything. Agents do not see each other.

    Without memory the junction looks the same after either cue, and so does the corridor: an agent turns left with a
    probability that does not depend on the cue, and earns at most 1/2. Its own last action does not help, for every
    step that leads on is the same one. Nothing moves but the agents, so that all chance is in `reset`.

    Attributes:
        length: cells of the corridor; the cue is to be remembered over at least as many steps.
        agents: independent copies that play side by side.
        horizon: steps in an episode, more than `length`.

    Raises:
        GameError: a number outside its range.

    References:
        Bakker (2001), without its penalties and its noise.
    """

    length: int = 10
    agents: int = 1
    horizon: int = 20

    def __post_init__(self) -> None:
        if self.length < 1:
            raise GameError(f"length is {self.length}, not at least 1")
        if self.agents < 1:
            raise GameError(f"agents is {self.agents}, not at least 1")
        if self.horizon <= self.length:
            raise GameError(f"horizon is {self.horizon}: nobody can turn unless it is above length, {self.length}")

    @property
    def ceiling(self) -> int:
        """Return of one agent that remembers and walks on, per episode: 1."""
        return 1

    @property
    def chance(self) -> float:
        """The most that one agent without memory can expect, per episode: 1/2."""
        return 0.5

    @functools.cached_property
    def spec(self) -> Spec:
        """Names, sizes and colours; the event counts right turns."""
        return Spec(
            name="t-maze",
            agents=self.agents,
            actions=("forward", "left", "right"),
            classes=("wall", "corridor", "junction", "arm", "cue left", "cue right", "agent"),
            palette=(
                (110, 110, 110),
                (0, 0, 0),
                (60, 60, 110),
                (40, 40, 40),
                (230, 120, 30),
                (40, 130, 230),
                (240, 220, 90),
            ),
            view=(1, 1),
            board=(_ROWS * self.agents, self.length + 1),
            horizon=self.horizon,
            events=(Event(name="correct", meaning="turns into the arm that the cue said"),),
        )

    def reset(self, key: Key[Array, ""]) -> TMazeState:
        """Everybody at the corridor's start, with a cue each."""
        none = jnp.zeros(self.agents, jnp.int32)
        cue = jax.random.bernoulli(key, 0.5, (self.agents,)).astype(jnp.int32)
        return TMazeState(jnp.zeros((), jnp.int32), cue, none, none - 1)

    def observe(self, state: TMazeState) -> Sight:
        """The cue in the first step, later the kind of cell, as a view of one cell."""
        codes: UInt8[Array, "n v w"] = self._seen(state)[:, None, None].astype(jnp.uint8)
        return Sight(codes, jnp.eye(self.agents, dtype=bool))

    def available_actions(self, state: TMazeState) -> Bool[Array, "n a"]:
        """All of them, always."""
        return jnp.ones((self.agents, 3), bool)

    def draw(self, key: Key[Array, ""]) -> tuple[()]:
        """No chance after the reset: an empty tuple."""
        return ()

    def advance(self, draws: tuple[()], state: TMazeState, actions: Int[Array, " n"]) -> tuple[TMazeState, Step]:
        """Walks, turns, and pays for turns."""
        time = state.time + 1
        turns = (state.place == self.length) & (state.turned < 0) & (actions != FORWARD)
        turned = jnp.where(turns, (actions == RIGHT).astype(jnp.int32), state.turned)
        place = jnp.minimum(state.place + (actions == FORWARD), self.length)
        correct: Float[Array, " n"] = (turns & (turned == state.cue)).astype(jnp.float32)
        step = Step(correct, jnp.zeros((), bool), time >= self.horizon, {"correct": correct})
        return TMazeState(time, state.cue, place, turned), step

    def step(self, key: Key[Array, ""], state: TMazeState, actions: Int[Array, " n"]) -> tuple[TMazeState, Step]:
        """`advance`; the key is not used."""
        return self.advance(self.draw(key), state, actions)

    def board(self, state: TMazeState) -> UInt8[Array, "h c"]:
        """The mazes, agent 1's first; walking leads to the right, so that the left arm is the upper one.

        In the first step a cue stands where its agent is.
        """
        maze = np.full((_ROWS, self.length + 1), WALL, np.uint8)
        maze[1], maze[[0, 2], self.length], maze[1, self.length] = CORRIDOR, ARM, JUNCTION
        row = _ROWS * np.arange(self.agents) + jnp.where(state.turned < 0, 1, 2 * state.turned)
        shown = jnp.where(state.time == 0, CUE + state.cue, AGENT).astype(jnp.uint8)
        return jnp.tile(jnp.asarray(maze), (self.agents, 1)).at[row, state.place].set(shown)

    def _seen(self, state: TMazeState) -> Int[Array, " n"]:
        cell = jnp.where(state.place == self.length, JUNCTION, CORRIDOR)
        cell = jnp.where(state.turned < 0, cell, ARM)
        return jnp.where(state.time == 0, CUE + state.cue, cell)
