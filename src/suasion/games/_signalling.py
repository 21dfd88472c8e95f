"""Signalling: one agent sees, the others act; a game in which messages are needed.

Letters of the shapes: n agents, a actions (one per symbol), v and w of a view (1 x 1).
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
from suasion.games._matrix import _wheel


class SignallingState(NamedTuple):
    """A state of the signalling game.

    Attributes:
        time: steps since the reset.
        shown: the symbol on show, and the one that was on show a step before; -1 where there was none.
    """

    time: Int[Array, ""]
    shown: Int[Array, "2"]


class SignallingDraws(NamedTuple):
    """The chance of one step.

    Attributes:
        symbol: a uniform; the next symbol is floor(symbol * symbols), in float32 (always below `symbols`).
    """

    symbol: Float[Array, ""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signalling:
    """One sees, the others act: a repeated signalling game (Lewis 1969).

    In each step agent 1 sees one uniformly random symbol, and the others see nothing. Agent 1 is to name the
    symbol on show, the others the one that was on show a step before; each is paid 1 where it is right itself
    (the reward term `shared` makes it a common purpose). Nobody sees anybody.

    A message sent in a step is read in the next: with as many symbols to send as to see, agents can reach the
    `ceiling`. Without messages the others can only guess (`chance`), unless policies see the last actions of
    others: then agent 1's own action is a message. Agent 1 itself gains nothing by being understood.

    Attributes:
        symbols: how many, 2 to 255.
        agents: 2 or more; the first one sees.
        horizon: steps in an episode, 2 or more.

    Raises:
        GameError: a number outside its range.

    References:
        Lewis (1969), Convention.
    """

    symbols: int = 4
    agents: int = 2
    horizon: int = 40

    def __post_init__(self) -> None:
        if not 2 <= self.symbols <= 255:
            raise GameError(f"symbols is {self.symbols}, not 2 to 255")
        if self.agents < 2:
            raise GameError(f"agents is {self.agents}, not at least 2: one sees, the others act")
        if self.horizon < 2:
            raise GameError(f"horizon is {self.horizon}, not at least 2: the first step gives nothing")

    @property
    def ceiling(self) -> int:
        """Collective return of an episode where all messages are understood; the first step has none to hear."""
        return self.horizon + (self.agents - 1) * (self.horizon - 1)

    @property
    def chance(self) -> float:
        """The same without messages, in expectation: agent 1 is right, the others guess."""
        return self.horizon + (self.agents - 1) * (self.horizon - 1) / self.symbols

    @functools.cached_property
    def spec(self) -> Spec:
        """Names, sizes and colours; the event counts right answers."""
        names = tuple(f"symbol {k + 1}" for k in range(self.symbols))
        return Spec(
            name="signalling",
            agents=self.agents,
            actions=names,
            classes=(*names, "nothing"),
            palette=(*_wheel(self.symbols), (96, 96, 96)),
            view=(1, 1),
            board=(1, 1),
            horizon=self.horizon,
            events=(Event(name="correct", meaning="steps in which the agent named the right symbol"),),
        )

    def reset(self, key: Key[Array, ""]) -> SignallingState:
        """A first symbol."""
        return SignallingState(jnp.zeros((), jnp.int32), jnp.stack([self._symbol(self.draw(key)), jnp.int32(-1)]))

    def observe(self, state: SignallingState) -> Sight:
        """The symbol on show for agent 1, nothing for the others, as views of one cell."""
        nothing = jnp.full((self.agents,), self.symbols, jnp.int32)
        codes: UInt8[Array, "n v w"] = nothing.at[0].set(state.shown[0])[:, None, None].astype(jnp.uint8)
        return Sight(codes, jnp.eye(self.agents, dtype=bool))

    def available_actions(self, state: SignallingState) -> Bool[Array, "n a"]:
        """All of them, always."""
        return jnp.ones((self.agents, self.symbols), bool)

    def draw(self, key: Key[Array, ""]) -> SignallingDraws:
        """One uniform."""
        return SignallingDraws(jax.random.uniform(key, (), jnp.float32))

    def advance(
        self, draws: SignallingDraws, state: SignallingState, actions: Int[Array, " n"]
    ) -> tuple[SignallingState, Step]:
        """Marks the answers and shows the next symbol."""
        time = state.time + 1
        right = jnp.where(np.arange(self.agents) == 0, state.shown[0], state.shown[1])
        correct = (actions == right).astype(jnp.float32)
        shown = jnp.stack([self._symbol(draws), state.shown[0]])
        step = Step(correct, jnp.zeros((), bool), time >= self.horizon, {"correct": correct})
        return SignallingState(time, shown), step

    def step(
        self, key: Key[Array, ""], state: SignallingState, actions: Int[Array, " n"]
    ) -> tuple[SignallingState, Step]:
        """`advance` with the draws of `key`."""
        return self.advance(self.draw(key), state, actions)

    def board(self, state: SignallingState) -> UInt8[Array, "1 1"]:
        """The symbol on show."""
        return state.shown[:1, None].astype(jnp.uint8)

    def _symbol(self, draws: SignallingDraws) -> Int[Array, ""]:
        return jnp.floor(draws.symbol * self.symbols).astype(jnp.int32)
