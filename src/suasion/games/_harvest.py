"""Harvest: a commons. Apples regrow only near other apples, so those who take all leave nothing."""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from suasion.games import _grid as grid
from suasion.games._game import Sight, Spec, Step
from suasion.games._maps import HARVEST_MAP
from suasion.games._random import RESET, Generator, uniforms

HarvestState = grid.GridState
_PAPER = tuple((r, c) for r in range(-2, 3) for c in range(-2, 3) if 0 < r * r + c * c <= 4)
_SSD = tuple((r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0))


class HarvestDraws(NamedTuple):
    """The chance of one step of Harvest: float32 uniforms on [0, 1).

    Attributes:
        priority: the highest of the movers to one cell is its candidate.
        growth: an empty site without an agent grows an apple if this is below its probability.
    """

    priority: Float[Array, " n"]
    growth: Float[Array, "h w"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Harvest:
    """A commons with tragedy: an empty site regrows with p = 0, 0.005, 0.02, 0.05 for 0, 1, 2, 3+ apples near.

    "Near" is within L2 distance 2 (12 cells); apples are counted before any is placed. An apple gives 1 to who
    steps on it. The fining beam costs its owner `fire_cost` a shot and each agent it hits `hit_cost`.

    Attributes:
        map: text of the letters `@`, space, `P`, `A`, `B`; walls all around.
        agents: from 1 to the number of spawn cells `P`.
        view: odd side of the square that an agent sees, in cells.
        horizon: steps of an episode; its last step is truncated.
        variant: `"paper"`: as the publications say. `"ssd"`: as the open implementation of 2019-2024 does: near
            is the 3 x 3 square, views of the left and right headings are turned by 180 degrees, beams unseen.
        fire_cost: reward units paid per fining beam fired.
        hit_cost: reward units lost per fining beam received.
        generator: of `draw` and `reset`: `"mixer"` (fast) or `"threefry"` (JAX's own).

    Raises:
        GameError: a map or an option that cannot be.

    References:
        Perolat et al. (2017); Hughes et al. (2018); Jaques et al. (2019). Rules in full: the rule book.
    """

    map: str = HARVEST_MAP
    agents: int = 5
    view: int = 15
    horizon: int = 1000
    variant: Literal["paper", "ssd"] = "paper"
    fire_cost: float | int = 1.0
    hit_cost: float | int = 50.0
    generator: Generator = "mixer"

    def __post_init__(self) -> None:
        grid.check_options("Harvest", self.view, self.horizon, self.generator)
        grid.check_variant("Harvest", self.variant, self.fire_cost, self.hit_cost)
        self._ground  # noqa: B018  reads the map, and refuses a bad one

    @functools.cached_property
    def _ground(self) -> grid.Ground:
        return grid.ground(self.map, "@ PAB", "Harvest", self.agents)

    @functools.cached_property
    def spec(self) -> Spec:
        """Names, sizes and colours."""
        height, width = self._ground.start.shape
        return Spec(
            name="harvest",
            agents=self.agents,
            actions=grid.ACTIONS,
            **grid.palette(self.agents),
            view=(self.view, self.view),
            board=(height, width),
            horizon=self.horizon,
            events=grid.EVENTS,
        )

    def reset(self, key: Key[Array, ""]) -> grid.GridState:
        """All apples there, agents on distinct random spawn cells with uniform headings."""
        spawns = self._ground.spawns
        chances = grid.alone(lambda k: uniforms(k, len(spawns) + self.agents, self.generator, RESET), key)
        return grid.begin(self._ground.start, spawns, chances, self.agents)

    def observe(self, state: grid.GridState) -> Sight:
        """Views with the agent at the centre and its heading up, and who sees whom."""
        return grid.sight(state, self.view, self.variant)

    def available_actions(self, state: grid.GridState) -> Bool[Array, "n a"]:
        """All, always."""
        return jnp.ones((self.agents, len(grid.ACTIONS)), bool)

    def draw(self, key: Key[Array, ""]) -> HarvestDraws:
        """The chance of one step."""
        shape = self._ground.start.shape
        priority = grid.alone(lambda key: uniforms(key, self.agents, self.generator), key)
        growth = uniforms(key, shape[0] * shape[1], self.generator, first=self.agents)
        return HarvestDraws(priority, growth.reshape(shape))

    def advance(
        self, draws: HarvestDraws, state: grid.GridState, actions: Int[Array, " n"]
    ) -> tuple[grid.GridState, Step]:
        """Turns and moves, apples eaten, beams, growth. Actions are indices of `spec.actions`."""
        ground, shape = self._ground, self._ground.start.shape
        moved = grid.alone(grid.move, state, actions, draws.priority)
        fires = actions == grid.FIRE
        rays = grid.alone(functools.partial(grid.rays, ground), moved.position, moved.heading)
        length = jnp.where(fires[:, None], rays.length, 0)
        colour = jnp.full(self.agents, grid.FINING, jnp.uint8)
        beams = grid.alone(functools.partial(grid.paint, shape=shape), moved.position, moved.heading, length, colour)
        hits = (rays.hit & fires[:, None]).sum(0, dtype=jnp.float32)
        cells = grid.alone(self._grow, moved, draws.growth.reshape(-1))
        time = state.time + 1
        events = {
            "apples": moved.apples,
            "fires": fires.astype(jnp.float32),
            "hits": hits,
            "apples_left": (cells == grid.APPLE).sum(dtype=jnp.int32).astype(jnp.float32),
        }
        reward = moved.apples - self.fire_cost * events["fires"] - self.hit_cost * hits
        after = grid.GridState(time, cells.reshape(shape), moved.position, moved.heading, beams.reshape(shape))
        return after, Step(reward, jnp.zeros((), bool), time >= self.horizon, events)

    def step(
        self, key: Key[Array, ""], state: grid.GridState, actions: Int[Array, " n"]
    ) -> tuple[grid.GridState, Step]:
        """`advance` with the draws of `key`."""
        return self.advance(self.draw(key), state, actions)

    def board(self, state: grid.GridState) -> UInt8[Array, "h w"]:
        """The whole map: agents over fining over cleaning beams over ground, in both variants."""
        return grid.composite(state, beams=True)

    def _grow(self, moved: grid.Moved, growth: Float[Array, " m"]) -> UInt8[Array, " m"]:
        width = self._ground.start.shape[1]
        apple = (moved.cells == grid.APPLE).astype(jnp.uint8)
        # The wall around the map holds no apples, so a shift that leaves a row at one end may enter the next.
        padded = jnp.pad(apple, 2 * width + 2)
        size = apple.shape[0]
        shifts = [2 * width + 2 + r * width + c for r, c in (_PAPER if self.variant == "paper" else _SSD)]
        near = functools.reduce(jnp.add, [padded[shift : shift + size] for shift in shifts])
        p = jnp.where(near == 1, np.float32(0.005), np.float32(0.05))
        p = jnp.where(near == 2, np.float32(0.02), p)
        grows = (near > 0) & (growth < p) & (moved.agents == 0) & (moved.cells == grid.EMPTY)
        return jnp.where(grows & self._ground.sites.reshape(-1), np.uint8(grid.APPLE), moved.cells)
