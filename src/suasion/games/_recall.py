"""Recall: a memory task whose best score is known.

Letters of the shapes: n agents, a actions (one per symbol), m symbols kept (delay + 1), v and w of a view
(1 x 1).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from suasion.games._game import Event, GameError, Sight, Spec, Step
from suasion.games._matrix import _wheel


class RecallState(NamedTuple):
    """A state of Recall.

    Attributes:
        time: steps since the reset.
        shown: the last delay + 1 symbols of each agent, the one on show first; -1 where none was shown yet.
    """

    time: Int[Array, ""]
    shown: Int[Array, "n m"]


class RecallDraws(NamedTuple):
    """The chance of one step.

    Attributes:
        symbol: uniforms; the next symbol is floor(symbol * symbols), in float32 (always below `symbols`).
    """

    symbol: Float[Array, " n"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recall:
    """Name the symbol that was on show `delay` steps ago.

    In each step every agent sees one uniformly random symbol of its own. The reward is 1 where the action is
    the symbol shown `delay` steps before (with delay 0 the one on show), else 0; the first `delay` steps give
    nothing. Agents do not see each other.

    A policy without memory that also does not see its own last action stays at `chance` on average. (One's
    own last action is a memory: with delay 2 and 4 symbols it alone allows 0.36 instead of 0.25 a step.)

    Attributes:
        symbols: how many, 2 to 255.
        delay: how long to remember, in steps; 0 needs no memory.
        agents: independent copies that play side by side.
        horizon: steps in an episode, more than `delay`.

    Raises:
        GameError: a number outside its range.
    """

    symbols: int = 4
    delay: int = 2
    agents: int = 1
    horizon: int = 40

    def __post_init__(self) -> None:
        if not 2 <= self.symbols <= 255:
            raise GameError(f"symbols is {self.symbols}, not 2 to 255")
        if self.delay < 0:
            raise GameError(f"delay is {self.delay}, not 0 or more")
        if self.agents < 1:
            raise GameError(f"agents is {self.agents}, not at least 1")
        if self.horizon <= self.delay:
            raise GameError(f"horizon is {self.horizon}: no step is rewarded unless it is above delay, {self.delay}")

    @property
    def ceiling(self) -> int:
        """Return of one agent that never forgets, per episode: horizon - delay."""
        return self.horizon - self.delay

    @property
    def chance(self) -> float:
        """Expected return of one agent without memory, per episode: ceiling / symbols (for delay > 0)."""
        return self.ceiling / self.symbols

    @functools.cached_property
    def spec(self) -> Spec:
        """Names, sizes and colours; the event counts right answers."""
        names = tuple(f"symbol {k + 1}" for k in range(self.symbols))
        return Spec(
            name="recall",
            agents=self.agents,
            actions=names,
            classes=names,
            palette=_wheel(self.symbols),
            view=(1, 1),
            board=(1, self.agents),
            horizon=self.horizon,
            events=(Event(name="correct", meaning="steps in which the agent named the right symbol"),),
        )

    def reset(self, key: Key[Array, ""]) -> RecallState:
        """A first symbol for each agent."""
        shown = jnp.full((self.agents, self.delay + 1), -1, jnp.int32)
        return RecallState(jnp.zeros((), jnp.int32), shown.at[:, 0].set(self._symbol(self.draw(key))))

    def observe(self, state: RecallState) -> Sight:
        """The symbol on show, as a view of one cell."""
        codes: UInt8[Array, "n v w"] = state.shown[:, :1, None].astype(jnp.uint8)
        return Sight(codes, jnp.eye(self.agents, dtype=bool))

    def available_actions(self, state: RecallState) -> Bool[Array, "n a"]:
        """All of them, always."""
        return jnp.ones((self.agents, self.symbols), bool)

    def draw(self, key: Key[Array, ""]) -> RecallDraws:
        """One uniform per agent."""
        return RecallDraws(jax.random.uniform(key, (self.agents,), jnp.float32))

    def advance(self, draws: RecallDraws, state: RecallState, actions: Int[Array, " n"]) -> tuple[RecallState, Step]:
        """Marks the answers and shows the next symbols."""
        time = state.time + 1
        correct = (actions == state.shown[:, -1]).astype(jnp.float32)
        shown = jnp.concatenate([self._symbol(draws)[:, None], state.shown[:, :-1]], axis=1)
        step = Step(correct, jnp.zeros((), bool), time >= self.horizon, {"correct": correct})
        return RecallState(time, shown), step

    def step(self, key: Key[Array, ""], state: RecallState, actions: Int[Array, " n"]) -> tuple[RecallState, Step]:
        """`advance` with the draws of `key`."""
        return self.advance(self.draw(key), state, actions)

    def board(self, state: RecallState) -> UInt8[Array, "1 n"]:
        """The symbols on show, agent 1 first."""
        return state.shown[None, :, 0].astype(jnp.uint8)

    def _symbol(self, draws: RecallDraws) -> Int[Array, " n"]:
        return jnp.floor(draws.symbol * self.symbols).astype(jnp.int32)
