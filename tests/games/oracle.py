"""Harvest, Cleanup and Box Trapped, written out slowly from the rule book.

An independent second opinion on the fast games: loops, lists and dicts, one agent and one cell at a time, no arrays
and no import of `suasion`. Read it beside the rule book, sentence by sentence. All chance comes in as draws (uniform
float32 numbers), so that fast and slow can be compared step by step; numbers are float32 only where a probability is.

Cells are (row, column) from the top-left corner, rows grow downward. `World` is the state of all three games.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

Cell = tuple[int, int]

# Classes of Harvest and Cleanup.
OUTSIDE, WALL, EMPTY, APPLE, WASTE, RIVER, STREAM, FINE, CLEAN, FIRST_AGENT = range(10)
# Classes of Box Trapped; the first four are the same.
BOX_WALL, FREE, TRAPPED = 4, 5, 6

# Actions of Harvest and Cleanup.
LEFT, RIGHT, FORWARD, BACK, STAY, CLOCKWISE, COUNTER, FIRE, SCRUB = range(9)
# The first five of Box Trapped have the same numbers, in absolute directions.
OPEN = 5

# One cell ahead, by heading: 0 up, 1 right, 2 down, 3 left. A clockwise turn adds 1.
AHEAD: tuple[Cell, ...] = ((-1, 0), (0, 1), (1, 0), (0, -1))
UP, EAST, DOWN, WEST = range(4)


@dataclasses.dataclass
class World:
    """A state. Heading and beams stay empty in Box Trapped."""

    time: int
    cells: list[list[int]]
    position: list[Cell]
    heading: list[int] = dataclasses.field(default_factory=list)
    beams: list[list[int]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Outcome:
    """What a step gave."""

    reward: list[float]
    events: dict[str, Any]
    terminated: bool
    truncated: bool


def world_of(state: Any) -> World:
    """The `World` of a state of the fast games: any object with the same fields, as arrays."""
    return World(
        time=int(state.time),
        cells=np.asarray(state.cells).tolist(),
        position=[(row, column) for row, column in np.asarray(state.position).tolist()],
        heading=np.asarray(state.heading).tolist() if hasattr(state, "heading") else [],
        beams=np.asarray(state.beams).tolist() if hasattr(state, "beams") else [],
    )


def moved(cell: Cell, heading: int, steps: int = 1) -> Cell:
    """The cell that lies `steps` ahead, for an agent in `cell` with this heading."""
    down, right = AHEAD[heading]
    return cell[0] + steps * down, cell[1] + steps * right


def resolve_moves(position: list[Cell], target: dict[int, Cell], priority: list[float]) -> list[Cell]:
    """Where the agents stand after the moves.

    `target` holds the movers only, each with the cell that it wants (not a wall, not its own).
    """
    # "Each cell that is some mover's target draws one candidate uniformly; the other movers to it stay."
    candidate: dict[int, Cell] = {}
    for cell in set(target.values()):
        movers = [agent for agent in sorted(target) if target[agent] == cell]
        winner = movers[0]
        for agent in movers[1:]:
            if priority[agent] > priority[winner]:
                winner = agent
        candidate[winner] = cell
    # "Then repeat until nothing changes: a candidate stays if its target holds an agent that stays, or if two
    # candidates target each other's cells (no swaps)."
    holder = {cell: agent for agent, cell in enumerate(position)}
    changed = True
    while changed:
        changed = False
        for agent in sorted(candidate):
            if agent not in candidate or candidate[agent] not in holder:
                continue
            other = holder[candidate[agent]]
            if other not in candidate:
                del candidate[agent]
                changed = True
            elif candidate[other] == position[agent]:
                del candidate[agent], candidate[other]
                changed = True
    # "The rest move at once."
    return [candidate.get(agent, position[agent]) for agent in range(len(position))]


class _Grid:
    """What Harvest and Cleanup share."""

    def __init__(
        self,
        text: str,
        agents: int,
        view: int,
        horizon: int = 1000,
        variant: str = "paper",
        fire_cost: float = 1.0,
        hit_cost: float = 50.0,
    ):
        ground = {
            "@": WALL,
            " ": EMPTY,
            "P": EMPTY,
            "A": APPLE,
            "B": EMPTY,
            "R": RIVER,
            "H": WASTE,
            "S": STREAM,
        }
        rows = text.split("\n")
        self.height, self.width = len(rows), len(rows[0])
        self.agents, self.half, self.horizon, self.variant = agents, view // 2, horizon, variant
        self.fire_cost, self.hit_cost = fire_cost, hit_cost
        self.ground = [[ground[mark] for mark in row] for row in rows]
        everywhere = [(row, column) for row in range(self.height) for column in range(self.width)]
        self.sites = [cell for cell in everywhere if rows[cell[0]][cell[1]] in "AB"]
        self.river = [cell for cell in everywhere if rows[cell[0]][cell[1]] in "RH"]
        self.spawns = [cell for cell in everywhere if rows[cell[0]][cell[1]] == "P"]

    def is_wall(self, cell: Cell) -> bool:
        return self.ground[cell[0]][cell[1]] == WALL

    def count(self, world: World, code: int) -> int:
        return sum(row.count(code) for row in world.cells)

    # (1) turns and moves

    def turn_and_move(self, world: World, actions: list[int], priority: list[float]) -> None:
        way = {FORWARD: 0, RIGHT: 1, BACK: 2, LEFT: 3}  # quarter turns clockwise from the heading
        target: dict[int, Cell] = {}
        for agent, action in enumerate(actions):
            if action in way:
                cell = moved(world.position[agent], (world.heading[agent] + way[action]) % 4)
                if not self.is_wall(cell):  # "a step into a wall is a stay"
                    target[agent] = cell
        for agent, action in enumerate(actions):
            if action == CLOCKWISE:
                world.heading[agent] = (world.heading[agent] + 1) % 4
            elif action == COUNTER:
                world.heading[agent] = (world.heading[agent] - 1) % 4
        world.position = resolve_moves(world.position, target, priority)

    # (2) apples are eaten

    def eat(self, world: World) -> list[int]:
        eaten = [0] * self.agents
        for agent, (row, column) in enumerate(world.position):
            if world.cells[row][column] == APPLE:
                world.cells[row][column] = EMPTY
                eaten[agent] = 1
        return eaten

    # (3) beams

    def rays(self, cell: Cell, heading: int) -> list[list[Cell]]:
        """The cells of the centre, left and right ray in the order in which a beam runs through them."""
        left, right = moved(cell, (heading - 1) % 4), moved(cell, (heading + 1) % 4)
        return [
            [moved(cell, heading, steps) for steps in range(1, 6)],
            [moved(left, heading, steps) for steps in range(5)],
            [moved(right, heading, steps) for steps in range(5)],
        ]

    def fire(self, world: World, shooter: int) -> set[int]:
        """One fining beam: paints its cells; the agents that it hits, each once."""
        hit = set()
        for ray in self.rays(world.position[shooter], world.heading[shooter]):
            for cell in ray:
                if self.is_wall(cell):
                    break
                world.beams[cell[0]][cell[1]] = FINE
                if cell in world.position:
                    hit.add(world.position.index(cell))
                    break
        return hit

    def scrub(self, world: World, cleaner: int) -> int:
        """One cleaning beam: paints its cells where no fining beam is; how many wastes it cleans."""
        cleaned = 0
        for ray in self.rays(world.position[cleaner], world.heading[cleaner]):
            for row, column in ray:
                if self.is_wall((row, column)):
                    break
                if world.beams[row][column] != FINE:
                    world.beams[row][column] = CLEAN
                dirty = world.cells[row][column] == WASTE
                if dirty:
                    world.cells[row][column] = RIVER
                    cleaned += 1
                if dirty or (row, column) in world.position:
                    break
        return cleaned

    # (5) observations

    def board(self, world: World, beams: bool = True) -> list[list[int]]:
        """The whole map: agent over fining beam over cleaning beam over apple or waste over ground."""
        picture = [list(row) for row in world.cells]
        if beams:
            for row, line in enumerate(world.beams):
                for column, code in enumerate(line):
                    if code:
                        picture[row][column] = code
        for agent, (row, column) in enumerate(world.position):
            picture[row][column] = FIRST_AGENT + agent
        return picture

    def views(self, world: World) -> list[list[list[int]]]:
        """What each agent sees: the row k above the centre is what lies k cells ahead."""
        picture = self.board(world, beams=self.variant == "paper")
        codes = []
        for cell, heading in zip(world.position, world.heading, strict=True):
            (ahead_down, ahead_right), (side_down, side_right) = AHEAD[heading], AHEAD[(heading + 1) % 4]
            view = []
            for ahead in range(self.half, -self.half - 1, -1):  # the top row is what lies furthest ahead
                line = []
                for side in range(-self.half, self.half + 1):
                    row = cell[0] + ahead * ahead_down + side * side_down
                    column = cell[1] + ahead * ahead_right + side * side_right
                    inside = 0 <= row < self.height and 0 <= column < self.width
                    line.append(picture[row][column] if inside else OUTSIDE)
                view.append(line)
            if self.variant == "ssd" and heading in (EAST, WEST):
                view = [line[::-1] for line in view[::-1]]  # "turned by 180 degrees"
            codes.append(view)
        return codes

    # together

    def begin(self, state: World) -> World:
        """A copy of the state for the next step, without the beams of the last one."""
        return World(
            time=state.time + 1,
            cells=[list(row) for row in state.cells],
            position=list(state.position),
            heading=list(state.heading),
            beams=[[0] * self.width for _ in range(self.height)],
        )

    def outcome(self, world: World, eaten: list[int], fires: list[int], hits: list[int]) -> Outcome:
        return Outcome(
            reward=[
                eaten[agent] - self.fire_cost * fires[agent] - self.hit_cost * hits[agent]
                for agent in range(self.agents)
            ],
            events={"apples": eaten, "fires": fires, "hits": hits, "apples_left": self.count(world, APPLE)},
            terminated=False,
            truncated=world.time >= self.horizon,
        )


def visible(position: list[Cell], half: int) -> list[list[bool]]:
    """Who sees whom: a box of +-half, Chebyshev; walls do not block."""
    return [[max(abs(r - row), abs(c - column)) <= half for r, c in position] for row, column in position]


class OracleHarvest(_Grid):
    """A commons."""

    @functools.cached_property
    def around(self) -> dict[Cell, list[Cell]]:
        return {site: self.neighbours(site) for site in self.sites}

    def neighbours(self, site: Cell) -> list[Cell]:
        around = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                if self.variant == "paper":
                    near = 0 < down * down + right * right <= 4  # L2 distance at most 2: 12 cells
                else:
                    near = 0 < max(abs(down), abs(right)) <= 1  # the other cells of the 3 x 3 square
                row, column = site[0] + down, site[1] + right
                if near and 0 <= row < self.height and 0 <= column < self.width:
                    around.append((row, column))
        return around

    def grow(self, world: World, growth: list[list[float]]) -> None:
        chance = [np.float32(0.0), np.float32(0.005), np.float32(0.02), np.float32(0.05)]
        grown = []
        for row, column in self.sites:
            if world.cells[row][column] != EMPTY or (row, column) in world.position:
                continue
            apples = sum(world.cells[r][c] == APPLE for r, c in self.around[row, column])
            if growth[row][column] < chance[min(apples, 3)]:
                grown.append((row, column))
        for row, column in grown:  # "all sites at once (count before placing)"
            world.cells[row][column] = APPLE

    def advance(self, draws: Any, state: World, actions: list[int]) -> tuple[World, Outcome]:
        """One step. The draws are `priority[agent]` and `growth[row][column]`."""
        world = self.begin(state)
        self.turn_and_move(world, actions, draws.priority)
        eaten = self.eat(world)
        fires, hits = [0] * self.agents, [0] * self.agents
        for agent, action in enumerate(actions):
            if action == FIRE:
                fires[agent] = 1
                for other in self.fire(world, agent):
                    hits[other] += 1
        self.grow(world, draws.growth)
        return world, self.outcome(world, eaten, fires, hits)


class OracleCleanup(_Grid):
    """A public good."""

    def density(self, world: World) -> np.float32:
        return np.float32(self.count(world, WASTE)) / np.float32(len(self.river))

    def grow(self, world: World, density: np.float32, growth: list[list[float]]) -> None:
        if not density < np.float32(0.4):
            return
        chance = np.float32(0.05) * (np.float32(1) - density / np.float32(0.4))
        for row, column in self.sites:
            free = world.cells[row][column] == EMPTY and (row, column) not in world.position
            if free and growth[row][column] < chance:
                world.cells[row][column] = APPLE

    def pollute(self, world: World, density: np.float32, waste: list[float]) -> None:
        if not density < np.float32(0.4):
            return
        if self.variant == "ssd" or waste[0] < 0.5:
            clean = [(row, column) for row, column in self.river if world.cells[row][column] == RIVER]
            row, column = clean[int(np.floor(np.float32(waste[1]) * np.float32(len(clean))))]
            world.cells[row][column] = WASTE

    def advance(self, draws: Any, state: World, actions: list[int]) -> tuple[World, Outcome]:
        """One step.

        The draws are `priority[agent]`, `order[agent]`, `growth[row][column]` and `waste[0]`, `waste[1]`.
        """
        world = self.begin(state)
        self.turn_and_move(world, actions, draws.priority)
        eaten = self.eat(world)
        fires, hits = [0] * self.agents, [0] * self.agents
        cleanings, cleans = [0] * self.agents, [0] * self.agents
        for agent in sorted(range(self.agents), key=lambda agent: (draws.order[agent], agent)):
            if actions[agent] == FIRE:
                fires[agent] = 1
                for other in self.fire(world, agent):
                    hits[other] += 1
            elif actions[agent] == SCRUB:
                cleanings[agent] = 1
                cleans[agent] = self.scrub(world, agent)
        density = self.density(world)  # "both from one density d taken after the beams"
        self.grow(world, density, draws.growth)
        self.pollute(world, density, draws.waste)
        outcome = self.outcome(world, eaten, fires, hits)
        outcome.events.update(cleans=cleans, cleanings=cleanings, waste_density=float(self.density(world)))
        return world, outcome


class OracleBox:
    """Box Trapped. Agent 0 is the free one, agent 1 the trapped one."""

    def __init__(self, text: str, view: int, horizon: int = 50):
        ground = {"@": WALL, " ": EMPTY, "A": APPLE, "D": BOX_WALL, "T": EMPTY}
        rows = text.split("\n")
        self.height, self.width = len(rows), len(rows[0])
        self.half, self.horizon = view // 2, horizon
        self.ground = [[ground[mark] for mark in row] for row in rows]
        (self.trap,) = [(r, row.index("T")) for r, row in enumerate(rows) if "T" in row]
        self.starts = [(r, c) for r, row in enumerate(rows) for c, mark in enumerate(row) if mark in " A"]

    def open(self, world: World) -> bool:
        """The free one's `open`: "it removes that piece alone"; whether there was one.

        The rule book does not say which piece goes if there are several, as for a free one that stands on the
        trapped one's start. The games' choice, stated in their documentation: the first in reading order.
        """
        sides = [moved(self.trap, heading) for heading in range(4)]
        for heading in (UP, WEST, EAST, DOWN):
            row, column = moved(world.position[0], heading)
            if (row, column) in sides and world.cells[row][column] == BOX_WALL:
                world.cells[row][column] = EMPTY
                return True
        return False

    def advance(self, draws: Any, state: World, actions: list[int]) -> tuple[World, Outcome]:
        """One step. The draw is `priority[agent]`."""
        world = World(state.time + 1, [list(row) for row in state.cells], list(state.position))
        sides = [moved(self.trap, heading) for heading in range(4)]
        whole = all(world.cells[row][column] == BOX_WALL for row, column in sides)
        removed = actions[0] == OPEN and self.open(world)
        way = {LEFT: WEST, RIGHT: EAST, FORWARD: UP, BACK: DOWN}
        target: dict[int, Cell] = {}
        for agent, action in enumerate(actions):
            if action in way:
                row, column = moved(world.position[agent], way[action])
                if world.cells[row][column] not in (WALL, BOX_WALL):
                    target[agent] = (row, column)
        world.position = resolve_moves(world.position, target, draws.priority)
        eaten = [0, 0]
        for agent, (row, column) in enumerate(world.position):
            stepped = world.position[agent] != state.position[agent]
            eaten[agent] = int(stepped and world.cells[row][column] == APPLE)
        events = {"apples": eaten, "opened": float(whole and removed)}
        return world, Outcome([float(number) for number in eaten], events, False, world.time >= self.horizon)

    def board(self, world: World) -> list[list[int]]:
        picture = [list(row) for row in world.cells]
        for agent, (row, column) in enumerate(world.position):
            picture[row][column] = FREE + agent
        return picture

    def views(self, world: World) -> list[list[list[int]]]:
        """What each agent sees; nothing is turned."""
        picture = self.board(world)
        codes = []
        for row, column in world.position:
            view = []
            for r in range(row - self.half, row + self.half + 1):
                columns = range(column - self.half, column + self.half + 1)
                view.append([self.seen(picture, r, c) for c in columns])
            codes.append(view)
        return codes

    def seen(self, picture: list[list[int]], row: int, column: int) -> int:
        return picture[row][column] if 0 <= row < self.height and 0 <= column < self.width else OUTSIDE
