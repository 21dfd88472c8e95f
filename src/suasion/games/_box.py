"""Box Trapped: one agent can free another and gains nothing by it, unless influence is rewarded."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from suasion.games import _grid as grid
from suasion.games._game import Event, GameError, Sight, Spec, Step
from suasion.games._maps import BOX_TRAPPED_MAP, parse
from suasion.games._random import RESET, Generator, uniforms

OUTSIDE, WALL, EMPTY, APPLE, BOX, FREE, TRAPPED = range(7)
_CODES = {"@": WALL, " ": EMPTY, "A": APPLE, "D": BOX, "T": EMPTY}
_BOX_COLOUR = (205, 133, 63)


class BoxState(NamedTuple):
    """State of Box Trapped.

    Attributes:
        time: steps since the reset.
        cells: class codes of the ground, without agents.
        position: row and column of the free agent, then of the trapped one.
    """

    time: Int[Array, ""]
    cells: UInt8[Array, "h w"]
    position: Int[Array, "2 2"]


class BoxDraws(NamedTuple):
    """The chance of one step of Box Trapped: float32 uniforms on [0, 1).

    Attributes:
        priority: the higher of two movers to one cell gets it.
    """

    priority: Float[Array, " 2"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoxTrapped:
    """Two agents: 0 walks among apples, 1 sits in a box that only 0 can open.

    Stepping onto an apple gives 1, and the apple stays. `open` by agent 0, on a cell 4-adjacent to one of the
    four side pieces of the box, removes that piece for the rest of the episode; elsewhere, and by agent 1, it is
    a stay. (Inside the emptied box several pieces can be adjacent: the first in reading order goes.) Order: open,
    moves, apples. Directions are absolute and views are not rotated.

    Attributes:
        map: text of the letters `@`, space, `A`, `D`, `T`: walls all around, one `T`, its eight neighbours and
            no other cells `D`, and at least one other cell that is not a wall.
        view: odd side of the square that an agent sees, in cells.
        horizon: steps of an episode; its last step is truncated.
        generator: of `draw` and `reset`: `"mixer"` (fast) or `"threefry"` (JAX's own).

    Raises:
        GameError: a map or an option that cannot be.

    References:
        After Jaques et al. (2019), section 10.3, whose layout is not published. Rules in full: the rule book.
    """

    map: str = BOX_TRAPPED_MAP
    view: int = 7
    horizon: int = 50
    generator: Generator = "mixer"

    def __post_init__(self) -> None:
        grid.check_options("Box Trapped", self.view, self.horizon, self.generator)
        self._trap  # noqa: B018  reads the map, and refuses a bad one
        if not len(self._outside):
            raise GameError("map of Box Trapped: no cell outside the box for the free agent to start on")

    @functools.cached_property
    def _letters(self) -> np.ndarray:
        return parse(self.map, "@ ADT", "Box Trapped")

    @functools.cached_property
    def _start(self) -> np.ndarray:
        return np.vectorize(_CODES.__getitem__, otypes=[np.uint8])(self._letters)

    @functools.cached_property
    def _trap(self) -> tuple[int, int]:
        """Where the trapped agent starts."""
        places = [(int(r), int(c)) for r, c in np.argwhere(self._letters == "T")]
        if len(places) != 1:
            raise GameError(f"map of Box Trapped: {len(places)} cells 'T' {places}, not one")
        row, column = places[0]
        for r, c in np.argwhere(self._letters == "D"):
            if max(abs(r - row), abs(c - column)) != 1:
                raise GameError(f"map of Box Trapped: 'D' at ({r}, {c}) is not beside 'T' at ({row}, {column})")
        for r in range(row - 1, row + 2):
            for c in range(column - 1, column + 2):
                if (r, c) != (row, column) and self._letters[r, c] != "D":
                    raise GameError(f"map of Box Trapped: ({r}, {c}) beside 'T' is not box wall 'D'")
        return row, column

    @functools.cached_property
    def _outside(self) -> np.ndarray:
        """Cells on which the free agent may start, int32[k, 2]."""
        return np.argwhere((self._letters == " ") | (self._letters == "A")).astype(np.int32)

    @functools.cached_property
    def _sides(self) -> np.ndarray:
        """The four pieces that can be removed, in reading order, int32[4, 2]."""
        around = np.array([(-1, 0), (0, -1), (0, 1), (1, 0)], np.int32)
        return np.array(self._trap, np.int32) + around

    @functools.cached_property
    def spec(self) -> Spec:
        """Names, sizes and colours."""
        height, width = self._start.shape
        return Spec(
            name="box-trapped",
            agents=2,
            actions=("left", "right", "up", "down", "stay", "open"),
            classes=("outside", "wall", "empty", "apple", "box wall", "agent 1", "agent 2"),
            palette=(*grid.COLOURS[:4], _BOX_COLOUR, *grid.agent_colours(2)),
            view=(self.view, self.view),
            board=(height, width),
            horizon=self.horizon,
            events=(
                Event(name="apples", meaning="steps onto an apple"),
                Event(name="opened", meaning="1 on the step that first opens the box", per_agent=False, landmark=True),
            ),
        )

    def reset(self, key: Key[Array, ""]) -> BoxState:
        """The box closed, the free agent on a uniformly random cell outside it."""
        chance = uniforms(key, 1, self.generator, RESET)[0]
        free = jnp.asarray(self._outside)[(chance * len(self._outside)).astype(jnp.int32)]
        position = jnp.stack([free, jnp.asarray(self._trap, jnp.int32)])
        return BoxState(jnp.zeros((), jnp.int32), jnp.asarray(self._start), position)

    def observe(self, state: BoxState) -> Sight:
        """Views with the agent at the centre, north up, and who sees whom."""
        views = grid.windows(self.board(state), state.position, self.view)
        return Sight(views, grid.seen(state.position, self.view))

    def available_actions(self, state: BoxState) -> Bool[Array, "n a"]:
        """All, always: where `open` does nothing it is a stay."""
        return jnp.ones((2, 6), bool)

    def draw(self, key: Key[Array, ""]) -> BoxDraws:
        """The chance of one step."""
        return BoxDraws(uniforms(key, 2, self.generator))

    def advance(self, draws: BoxDraws, state: BoxState, actions: Int[Array, " n"]) -> tuple[BoxState, Step]:
        """The box is opened, agents move, apples are counted. Actions are indices of `spec.actions`."""
        cells, opened = self._open(state, actions[0] == 5)
        way = jnp.where(actions == 0, 3, jnp.where(actions == 1, 1, jnp.where(actions == 3, 2, 0)))
        position = grid.walk(cells, state.position, way, actions < 4, draws.priority, [WALL, BOX])
        stepped = (position != state.position).any(1)
        there = grid.look(cells.reshape(-1), grid.flat(position, cells.shape[1]))
        apples = (stepped & (there == APPLE)).astype(jnp.float32)
        time = state.time + 1
        events = {"apples": apples, "opened": opened.astype(jnp.float32)}
        after = BoxState(time, cells, position)
        return after, Step(apples, jnp.zeros((), bool), time >= self.horizon, events)

    def step(self, key: Key[Array, ""], state: BoxState, actions: Int[Array, " n"]) -> tuple[BoxState, Step]:
        """`advance` with the draws of `key`."""
        return self.advance(self.draw(key), state, actions)

    def board(self, state: BoxState) -> UInt8[Array, "h w"]:
        """The whole map, agents over ground."""
        agents = grid.overlay(state.position, self._start.shape, FREE).reshape(self._start.shape)
        return jnp.where(agents > 0, agents, state.cells)

    def _open(self, state: BoxState, opens: Bool[Array, ""]) -> tuple[UInt8[Array, "h w"], Bool[Array, ""]]:
        """The ground after `open`, and whether the box was opened for the first time."""
        sides = jnp.asarray(self._sides)
        there = state.cells[self._sides[:, 0], self._sides[:, 1]] == BOX
        beside = abs(sides - state.position[0][None]).sum(1) == 1
        candidates = there & beside
        removes = opens & candidates.any()
        row, column = sides[candidates.argmax()]
        rows, columns = np.indices(self._start.shape)
        piece = (rows == row) & (columns == column)
        return jnp.where(removes & piece, np.uint8(EMPTY), state.cells), removes & there.all()
