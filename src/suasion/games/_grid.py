"""Pieces shared by the grid games: moves without collisions, beams, regions of a map, views.

Maps lie flat (row by row) inside the functions, because a compiler makes one vector loop of a flat array.
Agents and beams are drawn over the ground when somebody looks; the ground itself never holds them.
Letters: n agents, s spawn cells, h and w rows and columns of the map, m = h w cells, v side of a view, three
rays of a beam and five cells of a ray.
"""

from __future__ import annotations

import colorsys
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt8

from suasion.games._game import Event, GameError, Sight
from suasion.games._maps import parse

OUTSIDE, WALL, EMPTY, APPLE, WASTE, RIVER, STREAM, FINING, CLEANING, FIRST = range(10)
GROUND = {"@": WALL, " ": EMPTY, "P": EMPTY, "A": APPLE, "B": EMPTY, "H": WASTE, "R": RIVER, "S": STREAM}
CLASSES = ("outside", "wall", "empty", "apple", "waste", "river", "stream", "fining beam", "cleaning beam")
ACTIONS = ("left", "right", "up", "down", "stay", "clockwise", "counterclockwise", "fine")
FIRE, CLEAN = 7, 8
COLOURS = ((0, 0, 0), (180, 180, 180), (0, 0, 0), (0, 255, 0), (99, 156, 194), (113, 75, 24), (113, 75, 24))
BEAM_COLOURS = ((255, 255, 0), (100, 255, 255))
EVENTS = (
    Event(name="apples", meaning="apples eaten"),
    Event(name="fires", meaning="fining beams fired"),
    Event(name="hits", meaning="fining beams received"),
    Event(name="apples_left", meaning="apples on the map after growth", per_agent=False, level=True),
)
_NINE = (
    *((0, 0, 255), (2, 81, 154), (204, 0, 204), (216, 30, 54), (254, 151, 0)),
    *((100, 255, 255), (99, 99, 255), (250, 204, 255), (238, 223, 16)),
)
_HEADINGS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left
_SIDES = np.array([-1, 0, 1], np.int32)  # a beam's rays: left, centre, right
_STARTS = np.array([0, 1, 0], np.int32)  # cells ahead of the agent at which they start
_REACH = 5  # cells of a ray


T = TypeVar("T")


class GridState(NamedTuple):
    """State of Harvest and of Cleanup.

    Attributes:
        time: steps since the reset.
        cells: class codes of the ground, without agents and beams; an apple site without apple is empty.
        position: row and column of each agent.
        heading: 0 up, 1 right, 2 down, 3 left.
        beams: 0, or the class code of the beam of the last step, fining over cleaning.
    """

    time: Int[Array, ""]
    cells: UInt8[Array, "h w"]
    position: Int[Array, "n 2"]
    heading: Int[Array, " n"]
    beams: UInt8[Array, "h w"]


class Rays(NamedTuple):
    """What every agent's beam would meet now, were it fired.

    Attributes:
        length: cells that each ray paints: up to a wall (not painted) or an agent (painted).
        hit: `hit[i, j]`: the beam of i ends at j.
    """

    length: Int[Array, "n 3"]
    hit: Bool[Array, "n n"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What a map text says, as constants for the compiler.

    Attributes:
        start: class codes at the reset, uint8[h, w].
        sites: where apples grow, bool[h, w].
        spawns: rows and columns of the spawn cells, int32[s, 2].
    """

    start: np.ndarray
    sites: np.ndarray
    spawns: np.ndarray

    @functools.cached_property
    def clear(self) -> np.ndarray:
        """Cells of a ray before a wall, int32[m * 4, 3]: index 4 * cell + heading, then ray."""
        free = np.pad(self.start != WALL, _REACH + 1)
        rows, columns = np.indices(self.start.shape) + _REACH + 1
        clear = np.zeros((*self.start.shape, 4, 3), np.int32)
        for heading, (dr, dc) in enumerate(_HEADINGS):
            for ray, (side, begin) in enumerate(zip(_SIDES, _STARTS, strict=True)):
                open_ = np.ones(self.start.shape, bool)
                for ahead in range(begin, begin + _REACH):
                    open_ &= free[rows + ahead * dr + side * dc, columns + ahead * dc - side * dr]
                    clear[:, :, heading, ray] += open_
        return clear.reshape(-1, 3)


def ground(text: str, letters: str, game: str, agents: int) -> Ground:
    """Reads a map of Harvest or Cleanup; see `parse` for what it refuses.

    Raises:
        GameError: also where there is no apple site, or not a spawn cell for each agent.
    """
    grid = parse(text, letters, game)
    sites = (grid == "A") | (grid == "B")
    spawns = np.argwhere(grid == "P").astype(np.int32)
    if not sites.any():
        raise GameError(f"map of {game}: no apple site ('A' or 'B')")
    if not 1 <= agents <= len(spawns):
        raise GameError(f"{game}: {agents} agents, but the map has {len(spawns)} spawn cells; 1 to {len(spawns)} fit")
    if agents > 256 - FIRST:
        raise GameError(f"{game}: {agents} agents; class codes of one byte allow {256 - FIRST}")
    start = np.vectorize(GROUND.__getitem__, otypes=[np.uint8])(grid)
    return Ground(start=start, sites=sites, spawns=spawns)


def check_options(game: str, view: int, horizon: int, generator: str) -> None:
    """Refuses an even or empty view, a horizon without a step, an unknown generator."""
    if view < 1 or view % 2 == 0:
        raise GameError(f"{game}: view {view} has no centre; it must be odd and positive")
    if horizon < 1:
        raise GameError(f"{game}: horizon {horizon} is below 1 step")
    if generator not in ("mixer", "threefry"):
        raise GameError(f"{game}: generator {generator!r} is neither 'mixer' nor 'threefry'")


def check_variant(game: str, variant: str, fire_cost: float, hit_cost: float) -> None:
    """Refuses a variant that is not one of the two, and costs that are not finite."""
    if variant not in ("paper", "ssd"):
        raise GameError(f"{game}: variant {variant!r} is neither 'paper' nor 'ssd'")
    for name, cost in (("fire_cost", fire_cost), ("hit_cost", hit_cost)):
        if not math.isfinite(cost):
            raise GameError(f"{game}: {name} {cost} is not a finite number")


def agent_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """RGB of agents 1 to `count`: nine published colours, then golden-ratio hues.

    Agent k > 9 has hue 0.61803398875 k mod 1, saturation 0.6, value 1 (HSV), each channel rounded to 0..255.
    Successive hues lie far apart, and no two of the first 247 agents share a colour.
    """
    later = [colorsys.hsv_to_rgb(0.61803398875 * k % 1.0, 0.6, 1.0) for k in range(10, count + 1)]
    return (*_NINE[:count], *((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in later))


def alone(stage: Callable[..., T], *inputs: Any) -> T:
    """`stage(*inputs)`, computed once and by itself. The value does not depend on it, only the speed on a CPU.

    XLA's CPU compiler likes to repeat a computation inside everything that reads it: every cell of a padded
    board, and every pair of agents, would do much of the step again (Cleanup with views: 73 microseconds of a
    core per step instead of 5). It does not look into a conditional, and an `optimization_barrier` hides from
    it that there is nothing to decide. On other backends this is the plain call.

    Args:
        stage: a function of arrays.
        inputs: its arguments; each a tree of arrays.
    """
    if jax.default_backend() != "cpu":
        return stage(*inputs)
    always = jax.lax.optimization_barrier(jnp.ones((), bool))
    shape = jax.eval_shape(stage, *inputs)
    never = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)
    return jax.lax.cond(always, stage, lambda *_: never, *inputs)


def ranks(values: Float[Array, " k"]) -> Int[Array, " k"]:
    """Place of each value in increasing order, from 0; of equal values the first comes first.

    All pairs are compared: for a dozen values a tenth of the cost of a sort.
    """
    index = np.arange(values.shape[0])
    earlier = index[None, :] < index[:, None]
    smaller = values[None, :] < values[:, None]
    tied = values[None, :] == values[:, None]
    return (smaller | (tied & earlier)).sum(1, dtype=jnp.int32)


def scatter(chances: Float[Array, " s"], headings: Float[Array, " n"], spawns: np.ndarray) -> tuple[Array, Array]:
    """Distinct random spawn cells and uniform headings: position int32[n, 2], heading int32[n]."""
    agents = np.arange(headings.shape[0])
    chosen = ranks(chances)[None, :] == agents[:, None]
    position = jnp.where(chosen[:, :, None], jnp.asarray(spawns)[None], 0).sum(1)
    return position, (headings * 4).astype(jnp.int32)


def forward(heading: Int[Array, "..."]) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
    """Row and column step of a heading. One step to the right is (columns, -rows) of it."""
    down = (heading == 2).astype(jnp.int32) - (heading == 0).astype(jnp.int32)
    right = (heading == 1).astype(jnp.int32) - (heading == 3).astype(jnp.int32)
    return down, right


def flat(position: Int[Array, "*b 2"], width: int) -> Int[Array, "*b"]:
    """Index of a cell in the flat map."""
    return position[..., 0] * width + position[..., 1]


def settle(place: Int[Array, " n"], target: Int[Array, " n"], priority: Float[Array, " n"]) -> Bool[Array, " n"]:
    """Who moves, where every agent names one target cell (its own: it stays).

    Of several agents with one target the highest priority (of equal ones the lowest index) is its candidate.
    An agent may not move onto one that stays, nor swap with one. The largest set of moves that obeys this is
    reached from "all candidates" in n - 1 rounds, since each round either changes nothing or stops an agent.
    Trains move, and so do cycles of three and more.
    """
    onto, moves = alone(_claims, place, target, priority)
    for _ in range(place.shape[0] - 1):
        moves = moves & ~(onto & ~moves[None, :]).any(1)
    return moves


def _claims(
    place: Int[Array, " n"], target: Int[Array, " n"], priority: Float[Array, " n"]
) -> tuple[Bool[Array, "n n"], Bool[Array, " n"]]:
    """Whose cell each agent wants, and the candidates that do not swap."""
    index = np.arange(place.shape[0])
    wants = target != place
    rival = (target[:, None] == target[None, :]) & wants[None, :]
    above = priority[None, :] > priority[:, None]
    tied = priority[None, :] == priority[:, None]
    loses = rival & (above | (tied & (index[None, :] < index[:, None])))
    onto = target[:, None] == place[None, :]
    return onto, wants & ~(loses | (onto & onto.T)).any(1)


def walk(
    cells: UInt8[Array, "h w"],
    position: Int[Array, "n 2"],
    direction: Int[Array, " n"],
    wants: Bool[Array, " n"],
    priority: Float[Array, " n"],
    solid: Sequence[int],
) -> Int[Array, "n 2"]:
    """Positions after one step of those who want one, in absolute directions.

    Args:
        cells: class codes of the ground.
        position: where the agents are.
        direction: 0 up, 1 right, 2 down, 3 left.
        wants: who wants to step.
        priority: who goes first, see `settle`.
        solid: codes of the cells that cannot be entered: a step into one is a stay.
    """
    width = cells.shape[1]

    def aim(position: Array, direction: Array, wants: Array) -> Array:
        target = position + jnp.where(wants[:, None], jnp.stack(forward(direction), -1), 0)
        there = look(cells.reshape(-1), flat(target, width))
        enters = functools.reduce(jnp.bitwise_and, [there != code for code in solid])
        return jnp.where(enters[:, None], target, position)

    target = alone(aim, position, direction, wants)
    moves = alone(settle, flat(position, width), flat(target, width), priority)
    return jnp.where(moves[:, None], target, position)


def look(cells: Shaped[Array, " m *c"], index: Int[Array, "..."]) -> Shaped[Array, "..."]:
    """`cells[index]`. An index outside gives some cell: only where the answer is then ignored."""
    return cells.at[index].get(mode="clip")


def overlay(position: Int[Array, "n 2"], shape: tuple[int, int], first: int = FIRST) -> UInt8[Array, " m"]:
    """Class codes of the agents on the flat map, 0 elsewhere. Comparing all cells is cheaper than scattering."""
    height, width = shape
    index = np.arange(height * width, dtype=np.uint16 if height * width < 2**16 else np.uint32)
    place = flat(position, width).astype(index.dtype)
    codes = jnp.zeros(height * width, jnp.uint8)
    for agent in range(position.shape[0]):
        codes = jnp.where(index == place[agent], np.uint8(first + agent), codes)
    return codes


def rays(ground: Ground, position: Int[Array, "n 2"], heading: Int[Array, " n"]) -> Rays:
    """The beams of all agents, as walls and agents alone would end them.

    Walls never move: a table holds how far each ray goes. Agents are found by their coordinates in the frame
    of the one who fires: so many cells ahead, so many to the right.
    """
    down, right = forward(heading)
    rows = position[None, :, 0] - position[:, None, 0]
    columns = position[None, :, 1] - position[:, None, 1]
    ahead = rows * down[:, None] + columns * right[:, None]
    aside = rows * right[:, None] - columns * down[:, None]
    before = ahead[:, :, None] - _STARTS[None, None, :]
    on_ray = (aside[:, :, None] == _SIDES[None, None, :]) & (before >= 0)
    before = jnp.where(on_ray, before, _REACH)
    clear = look(jnp.asarray(ground.clear), 4 * flat(position, ground.start.shape[1]) + heading)
    nearest = before.min(1)
    hit = (before < clear[:, None, :]) & (before == nearest[:, None, :])
    return Rays(jnp.minimum(nearest + 1, clear), hit.any(2))


def ray_cells(position: Int[Array, "n 2"], heading: Int[Array, " n"], width: int) -> Int[Array, "n 3 5"]:
    """Flat index of the cells of each ray; beyond the first wall they may lie anywhere."""
    down, right = forward(heading)
    ahead = down * width + right
    aside = right * width - down
    begin = flat(position, width)[:, None] + aside[:, None] * _SIDES[None] + ahead[:, None] * _STARTS[None]
    return begin[:, :, None] + ahead[:, None, None] * np.arange(_REACH, dtype=np.int32)[None, None, :]


def sweep(
    cells: UInt8[Array, " m"],
    place: Int[Array, "n 3 5"],
    length: Int[Array, "n 3"],
    order: Float[Array, " n"],
) -> tuple[Int[Array, "n 3"], Int[Array, " n"]]:
    """Cleaning beams, one agent after the other: each ray ends at the first waste that is still there.

    Args:
        cells: codes of the ground before the beams.
        place: cells of the rays.
        length: cells that the rays would paint if there were no waste; 0 for agents that do not clean.
        order: agents clean in increasing order.

    Returns:
        Cells that each ray paints, and wastes that each agent cleans.
    """
    rank = ranks(order)
    turn = (rank[None, :] == np.arange(rank.shape[0])[:, None]).argmax(1)
    place, allowed = place[turn], length[turn]
    along = np.arange(_REACH, dtype=np.int32)
    dirty = (look(cells, place) == WASTE) & (along[None, None, :] < allowed[:, :, None])
    lengths, counts, cleaned = [], [], jnp.full((0,), -1, jnp.int32)
    for k in range(rank.shape[0]):
        left = dirty[k] & ~(place[k][:, :, None] == cleaned[None, None, :]).any(2)
        before = jnp.where(left, along[None], _REACH).min(1)
        cleans = before < _REACH
        lengths.append(jnp.minimum(allowed[k], before + 1))
        counts.append(cleans.sum(dtype=jnp.int32))
        ends = jnp.where(along[None] == before[:, None], place[k], -1).max(1)
        cleaned = jnp.concatenate([cleaned, jnp.where(cleans, ends, -1)])
    return jnp.stack(lengths)[rank], jnp.stack(counts)[rank]


def paint(
    position: Int[Array, "n 2"],
    heading: Int[Array, " n"],
    length: Int[Array, "n 3"],
    colour: UInt8[Array, " n"],
    shape: tuple[int, int],
) -> UInt8[Array, " m"]:
    """The union (bitwise or) of all rays on the flat map, each in its agent's colour.

    A ray is a rectangle one cell wide, so a cell lies on it if its row and its column do.
    """
    index = np.uint8 if max(shape) <= 250 else np.uint32
    rows, columns = (grid.reshape(-1).astype(index) for grid in np.indices(shape))
    down, right = (step[:, None] for step in forward(heading))
    begin_row = position[:, :1] + _STARTS[None] * down + _SIDES[None] * right
    begin_column = position[:, 1:] + _STARTS[None] * right - _SIDES[None] * down
    top = (begin_row + jnp.minimum(down, 0) * (length - 1)).astype(index)
    left = (begin_column + jnp.minimum(right, 0) * (length - 1)).astype(index)
    painted = length > 0
    height = jnp.where(painted, abs(down) * (length - 1) + 1, 0).astype(index)
    width = jnp.where(painted, abs(right) * (length - 1) + 1, 0).astype(index)
    beams = jnp.zeros(rows.shape, jnp.uint8)
    for i in range(length.shape[0]):
        for ray in range(3):
            # Unsigned differences: a row above the top wraps to a large number.
            inside = (rows - top[i, ray] < height[i, ray]) & (columns - left[i, ray] < width[i, ray])
            beams = beams | jnp.where(inside, colour[i], np.uint8(0))
    return beams


def windows(board: UInt8[Array, "h w"], position: Int[Array, "n 2"], view: int) -> UInt8[Array, "n v v"]:
    """The square around each agent, north up, `OUTSIDE` beyond the map.

    Slices of contiguous rows are copied; a gather of single cells costs nine times as much.
    """
    padded = jnp.pad(board, view // 2, constant_values=OUTSIDE)
    return jax.vmap(lambda corner: jax.lax.dynamic_slice(padded, (corner[0], corner[1]), (view, view)))(position)


def turned(views: UInt8[Array, "n v v"], heading: Int[Array, " n"], half_turned: bool) -> UInt8[Array, "n v v"]:
    """Views rotated so that the heading points up; `half_turned`: left and right by 180 degrees more (ssd)."""
    right, left = (3, 1) if half_turned else (1, 3)
    heading = heading[:, None, None]
    sideways = jnp.where(heading == 1, jnp.rot90(views, right, (1, 2)), jnp.rot90(views, left, (1, 2)))
    upright = jnp.where(heading == 0, views, views[:, ::-1, ::-1])
    return jnp.where((heading == 1) | (heading == 3), sideways, upright)


def seen(position: Int[Array, "n 2"], view: int) -> Bool[Array, "n n"]:
    """Who has whom in the square of its view."""
    far = abs(position[:, None, :] - position[None, :, :])
    return (far <= view // 2).all(2)


def composite(state: GridState, beams: bool) -> UInt8[Array, "h w"]:
    """The map as one sees it: agents over beams over ground."""
    shape = state.cells.shape
    agents = overlay(state.position, (shape[0], shape[1])).reshape(shape)
    below = jnp.where(state.beams > 0, state.beams, state.cells) if beams else state.cells
    return jnp.where(agents > 0, agents, below)


def sight(state: GridState, view: int, variant: str) -> Sight:
    """What the agents of Harvest and Cleanup see."""
    board = alone(functools.partial(composite, beams=variant == "paper"), state)
    views = alone(functools.partial(windows, view=view), board, state.position)
    return Sight(turned(views, state.heading, variant == "ssd"), seen(state.position, view))


class Moved(NamedTuple):
    """After turns, moves and meals, before the beams.

    Attributes:
        cells: flat ground, apples eaten.
        agents: flat codes of the agents, 0 elsewhere.
        position: of the agents.
        heading: of the agents.
        apples: eaten by each agent, 0 or 1.
    """

    cells: UInt8[Array, " m"]
    agents: UInt8[Array, " m"]
    position: Int[Array, "n 2"]
    heading: Int[Array, " n"]
    apples: Float[Array, " n"]


def move(state: GridState, actions: Int[Array, " n"], priority: Float[Array, " n"]) -> Moved:
    """Turns and moves with conflict resolution, then apples are eaten."""
    aside = jnp.where(actions == 0, 3, jnp.where(actions == 1, 1, jnp.where(actions == 3, 2, 0)))
    direction = (state.heading + aside) & 3
    position = walk(state.cells, state.position, direction, actions < 4, priority, [WALL])
    turn = (actions == 5).astype(jnp.int32) - (actions == 6).astype(jnp.int32)
    height, width = state.cells.shape
    agents = overlay(position, (height, width))
    cells = state.cells.reshape(-1)
    # An agent stands on an apple only if it has just stepped on it: nothing grows under an agent.
    apples = look(cells, flat(position, width)) == APPLE
    eaten = (agents > 0) & (cells == APPLE)
    return Moved(
        cells=jnp.where(eaten, np.uint8(EMPTY), cells),
        agents=agents,
        position=position,
        heading=(state.heading + turn) & 3,
        apples=apples.astype(jnp.float32),
    )


def begin(start: np.ndarray, spawns: np.ndarray, chances: Float[Array, " k"], agents: int) -> GridState:
    """The first state: s chances choose the spawn cells, n the headings."""
    position, heading = scatter(chances[: len(spawns)], chances[len(spawns) :][:agents], spawns)
    beams = jnp.zeros(start.shape, jnp.uint8)
    return GridState(jnp.zeros((), jnp.int32), jnp.asarray(start), position, heading, beams)


def palette(agents: int) -> dict[str, Any]:
    """Names and colours of the classes, as `Spec` takes them."""
    names = (*CLASSES, *(f"agent {i + 1}" for i in range(agents)))
    return {"classes": names, "palette": (*COLOURS, *BEAM_COLOURS, *agent_colours(agents))}
