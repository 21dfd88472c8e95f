"""Cleanup: a public good. Apples grow only while somebody keeps the river clean, far from the orchard."""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from suasion.games import _grid as grid
from suasion.games._game import Event, GameError, Sight, Spec, Step
from suasion.games._maps import CLEANUP_MAP
from suasion.games._random import RESET, Generator, uniforms

CleanupState = grid.GridState
_WORD = 32
EVENTS = (
    *grid.EVENTS,
    Event(name="cleans", meaning="wastes cleaned"),
    Event(name="cleanings", meaning="cleaning beams fired"),
    Event(name="waste_density", meaning="wastes per river cell after the step", per_agent=False, level=True),
)


class CleanupDraws(NamedTuple):
    """The chance of one step of Cleanup: float32 uniforms on [0, 1).

    Attributes:
        priority: the highest of the movers to one cell is its candidate.
        order: beams are fired in increasing order.
        growth: an empty site without an agent grows an apple if this is below the common probability.
        waste: whether a waste appears (below 0.5), and on which of the clean river cells.
    """

    priority: Float[Array, " n"]
    order: Float[Array, " n"]
    growth: Float[Array, "h w"]
    waste: Float[Array, " 2"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cleanup:
    """A public good: with d = wastes per river cell, each empty site grows with p = 0.05 (1 - d / 0.4).

    While d < 0.4 also one waste appears, with probability 0.5, on a random clean river cell. The cleaning beam
    is free and cleans up to three wastes. An apple gives 1 to who steps on it. The fining beam costs its owner
    `fire_cost` a shot and each agent it hits `hit_cost`.

    Attributes:
        map: text of the letters `@`, space, `P`, `A`, `B`, `R`, `H`, `S`; walls all around.
        agents: from 1 to the number of spawn cells `P`.
        view: odd side of the square that an agent sees, in cells.
        horizon: steps of an episode; its last step is truncated.
        variant: `"paper"`: as the publications say. `"ssd"`: as the open implementation of 2019-2024 does: a
            waste every step, views of the left and right headings are turned by 180 degrees, beams unseen.
        fire_cost: reward units paid per fining beam fired.
        hit_cost: reward units lost per fining beam received.
        generator: of `draw` and `reset`: `"mixer"` (fast) or `"threefry"` (JAX's own).

    Raises:
        GameError: a map or an option that cannot be.

    References:
        Hughes et al. (2018); Jaques et al. (2019). Rules in full: the rule book.
    """

    map: str = CLEANUP_MAP
    agents: int = 5
    view: int = 15
    horizon: int = 1000
    variant: Literal["paper", "ssd"] = "paper"
    fire_cost: float | int = 1.0
    hit_cost: float | int = 50.0
    generator: Generator = "mixer"

    def __post_init__(self) -> None:
        grid.check_options("Cleanup", self.view, self.horizon, self.generator)
        grid.check_variant("Cleanup", self.variant, self.fire_cost, self.hit_cost)
        if self._river == 0:
            raise GameError("map of Cleanup: no river cell ('R' or 'H')")

    @functools.cached_property
    def _ground(self) -> grid.Ground:
        return grid.ground(self.map, "@ PABRHS", "Cleanup", self.agents)

    @functools.cached_property
    def _river(self) -> int:
        """Number of cells that can carry waste."""
        return int(((self._ground.start == grid.WASTE) | (self._ground.start == grid.RIVER)).sum())

    @functools.cached_property
    def _density(self) -> np.ndarray:
        """d by the number of wastes: a table, because compilers turn divisions into inexact products."""
        return np.arange(self._river + 1, dtype=np.float32) / np.float32(self._river)

    @functools.cached_property
    def _growth(self) -> np.ndarray:
        """p by the number of wastes; 0 from d = 0.4 on."""
        limit = np.float32(0.4)
        p = np.float32(0.05) * (np.float32(1) - self._density / limit)
        return np.where(self._density < limit, p, np.float32(0))

    @functools.cached_property
    def spec(self) -> Spec:
        """Names, sizes and colours."""
        height, width = self._ground.start.shape
        return Spec(
            name="cleanup",
            agents=self.agents,
            actions=(*grid.ACTIONS, "clean"),
            **grid.palette(self.agents),
            view=(self.view, self.view),
            board=(height, width),
            horizon=self.horizon,
            events=EVENTS,
        )

    def reset(self, key: Key[Array, ""]) -> grid.GridState:
        """The map as its text has it, agents on distinct random spawn cells with uniform headings."""
        spawns = self._ground.spawns
        chances = grid.alone(lambda k: uniforms(k, len(spawns) + self.agents, self.generator, RESET), key)
        return grid.begin(self._ground.start, spawns, chances, self.agents)

    def observe(self, state: grid.GridState) -> Sight:
        """Views with the agent at the centre and its heading up, and who sees whom."""
        return grid.sight(state, self.view, self.variant)

    def available_actions(self, state: grid.GridState) -> Bool[Array, "n a"]:
        """All, always."""
        return jnp.ones((self.agents, len(grid.ACTIONS) + 1), bool)

    def draw(self, key: Key[Array, ""]) -> CleanupDraws:
        """The chance of one step."""
        shape, n = self._ground.start.shape, self.agents
        few = grid.alone(lambda key: uniforms(key, 2 * n + 2, self.generator), key)
        growth = uniforms(key, shape[0] * shape[1], self.generator, first=2 * n + 2)
        return CleanupDraws(few[:n], few[n : 2 * n], growth.reshape(shape), few[2 * n :])

    def advance(
        self, draws: CleanupDraws, state: grid.GridState, actions: Int[Array, " n"]
    ) -> tuple[grid.GridState, Step]:
        """Turns and moves, apples eaten, beams, growth, waste. Actions are indices of `spec.actions`."""
        shape = self._ground.start.shape
        moved = grid.alone(grid.move, state, actions, draws.priority)
        fires, cleaning = actions == grid.FIRE, actions == grid.CLEAN
        rays = grid.alone(functools.partial(grid.rays, self._ground), moved.position, moved.heading)
        hits = (rays.hit & fires[:, None]).sum(0, dtype=jnp.float32)
        swept, cleans = grid.sweep(
            moved.cells,
            grid.ray_cells(moved.position, moved.heading, shape[1]),
            jnp.where(cleaning[:, None], rays.length, 0),
            draws.order,
        )
        length = jnp.where(fires[:, None], rays.length, swept)
        colour = jnp.where(fires, np.uint8(1), np.uint8(2))
        marks = grid.alone(functools.partial(grid.paint, shape=shape), moved.position, moved.heading, length, colour)
        below = jnp.where(marks > 0, np.uint8(grid.CLEANING), np.uint8(0))
        beams = jnp.where(marks & 1 > 0, np.uint8(grid.FINING), below)
        # A cleaning ray ends at the first waste, so every waste that one has painted has been cleaned.
        cleaned = (marks & 2 > 0) & (moved.cells == grid.WASTE)
        cells = jnp.where(cleaned, np.uint8(grid.RIVER), moved.cells)
        cells, wastes = grid.alone(self._renew, cells, moved.agents, draws)
        time = state.time + 1
        events = {
            "apples": moved.apples,
            "fires": fires.astype(jnp.float32),
            "hits": hits,
            "apples_left": (cells == grid.APPLE).sum(dtype=jnp.int32).astype(jnp.float32),
            "cleans": cleans.astype(jnp.float32),
            "cleanings": cleaning.astype(jnp.float32),
            "waste_density": grid.look(jnp.asarray(self._density), wastes),
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

    def _renew(
        self, cells: UInt8[Array, " m"], agents: UInt8[Array, " m"], draws: CleanupDraws
    ) -> tuple[UInt8[Array, " m"], Int[Array, ""]]:
        """Apples grow, then a waste appears, both by the density after the beams; and the wastes there are."""
        wastes = (cells == grid.WASTE).sum(dtype=jnp.int32)
        p = grid.look(jnp.asarray(self._growth), wastes)
        site = jnp.asarray(self._ground.sites.reshape(-1))
        grows = site & (cells == grid.EMPTY) & (agents == 0) & (draws.growth.reshape(-1) < p)
        cells = jnp.where(grows, np.uint8(grid.APPLE), cells)
        appears = wastes < int((self._density < np.float32(0.4)).sum())
        if self.variant == "paper":
            appears = appears & (draws.waste[0] < 0.5)
        clean = (self._river - wastes).astype(jnp.float32)
        chosen = kth(cells == grid.RIVER, (draws.waste[1] * clean).astype(jnp.int32))
        index = np.arange(cells.shape[0], dtype=np.int32)
        cells = jnp.where(appears & (index == chosen), np.uint8(grid.WASTE), cells)
        return cells, wastes + appears.astype(jnp.int32)


def kth(flags: Bool[Array, " m"], k: Int[Array, ""]) -> Int[Array, ""]:
    """Index of the k-th true flag, k from 0. If there is no such flag, some index.

    Flags are packed into 32-bit words: a running sum over all cells would cost more than the rest of the step.
    """
    size = -(-flags.shape[0] // _WORD) * _WORD
    lanes = np.arange(_WORD, dtype=np.uint32)
    padded = jnp.pad(flags, (0, size - flags.shape[0])).reshape(-1, _WORD).astype(jnp.uint32)
    words = (padded << lanes[None]).sum(1, dtype=jnp.uint32)
    counts = jax.lax.population_count(words).astype(jnp.int32)
    place = np.arange(words.shape[0])
    before = jnp.where(place[None, :] < place[:, None], counts[None, :], 0).sum(1)
    here = (before <= k) & (k < before + counts)
    word = jnp.where(here, words, np.uint32(0)).sum(dtype=jnp.uint32)
    k = k - jnp.where(here, before, 0).sum()
    index = jnp.where(here, _WORD * place.astype(np.int32), 0).sum()
    for width in (16, 8, 4, 2, 1):
        low = jax.lax.population_count(word & np.uint32((1 << width) - 1)).astype(jnp.int32)
        above = k >= low
        k = jnp.where(above, k - low, k)
        word = jnp.where(above, word >> width, word)
        index = index + jnp.where(above, width, 0)
    return index
