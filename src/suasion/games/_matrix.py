"""Repeated matrix games: one payoff table, played `horizon` times by agents that see the last joint action.

Letters of the shapes: n agents, a actions, v and w rows and columns of an agent's view.
"""

from __future__ import annotations

import colorsys
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key, UInt8

from suasion.games._game import Event, GameError, Sight, Spec, Step

MOST_AGENTS = 30  # a table has a^n cells
LARGEST = float(np.finfo(np.float32).max)


class MatrixState(NamedTuple):
    """A state of a matrix game.

    Attributes:
        time: number of rounds played.
        last: the joint action of the last round as class codes: 0 before the first round, else 1 + action.
    """

    time: Int[Array, ""]
    last: Int[Array, " n"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatrixGame:
    """A matrix game, repeated: in each round all agents act at once and `payoffs` says what each one gets.

    The agents see one row of n cells: the last joint action, the agent's own first and then the others'
    in cyclic order, so that slot d of agent i shows agent (i + d) mod n. Before the first round every
    cell shows `none`. Everybody sees everybody. Nothing in it is random.

    Attributes:
        payoffs: `payoffs[a_1]...[a_n]` is the tuple of the n agents' payoffs, any nesting of sequences;
            kept as nested tuples. The depth gives the number of agents, and every agent has the same actions.
        actions: names of the actions; empty for `action 1`, `action 2`, ...
        name: as the command line spells it.
        horizon: rounds in an episode; the last one is truncated.

    Raises:
        GameError: a table that is ragged, too shallow, not finite in float32, or whose number of payoffs
            is not its number of agents (the message names the cell); names that are repeated, empty or
            too few; a horizon below 1.
    """

    payoffs: Sequence[Any]
    actions: Sequence[str] = ()
    name: str = "matrix"
    horizon: int = 100

    def __post_init__(self) -> None:
        agents = _depth(self.payoffs) - 1
        if agents > MOST_AGENTS:
            raise GameError(f"payoffs is nested {agents + 1} deep; {MOST_AGENTS} agents are the most")
        if agents < 1:
            raise GameError("payoffs must be nested at least two deep; one agent has payoffs[a] = (r,)")
        table = _nested(self.payoffs, agents, len(self.payoffs), "payoffs")
        names = tuple(self.actions) or tuple(f"action {k + 1}" for k in range(len(table)))
        if len(names) != len(table):
            raise GameError(f"actions has {len(names)} names for the {len(table)} actions of payoffs")
        for k, name in enumerate(names):
            if not name or name == "none" or name in names[:k]:
                raise GameError(f"actions[{k}] is {name!r}: names must be distinct, not empty and not 'none'")
        if self.horizon < 1:
            raise GameError(f"horizon is {self.horizon}, not at least 1")
        object.__setattr__(self, "payoffs", table)
        object.__setattr__(self, "actions", names)

    @functools.cached_property
    def spec(self) -> Spec:
        """Names, sizes and colours; the events count how often each agent chose each action."""
        agents = _depth(self.payoffs) - 1
        actions = tuple(self.actions)
        return Spec(
            name=self.name,
            agents=agents,
            actions=actions,
            classes=("none", *actions),
            palette=((0, 0, 0), *_wheel(len(actions))),
            view=(1, agents),
            board=(1, agents),
            horizon=self.horizon,
            events=tuple(Event(name=name, meaning=f"rounds in which the agent chose {name}") for name in actions),
        )

    def reset(self, key: Key[Array, ""]) -> MatrixState:
        """The state before the first round; the key is not used."""
        return MatrixState(jnp.zeros((), jnp.int32), jnp.zeros(self.spec.agents, jnp.int32))

    def observe(self, state: MatrixState) -> Sight:
        """The last joint action, each agent's own first."""
        n = self.spec.agents
        seat = (np.arange(n)[:, None] + np.arange(n)[None, :]) % n
        codes: UInt8[Array, "n v w"] = state.last[seat][:, None, :].astype(jnp.uint8)
        return Sight(codes, jnp.ones((n, n), bool))

    def available_actions(self, state: MatrixState) -> Bool[Array, "n a"]:
        """All of them, always."""
        return jnp.ones((self.spec.agents, len(self.actions)), bool)

    def draw(self, key: Key[Array, ""]) -> tuple[()]:
        """No chance: an empty tuple."""
        return ()

    def advance(self, draws: tuple[()], state: MatrixState, actions: Int[Array, " n"]) -> tuple[MatrixState, Step]:
        """One round."""
        table = jnp.asarray(np.array(self.payoffs, np.float32))
        time = state.time + 1
        chosen = {name: (actions == k).astype(jnp.float32) for k, name in enumerate(self.actions)}
        reward = table[tuple(actions[i] for i in range(self.spec.agents))]
        step = Step(reward, jnp.zeros((), bool), time >= self.horizon, chosen)
        return MatrixState(time, actions.astype(jnp.int32) + 1), step

    def step(self, key: Key[Array, ""], state: MatrixState, actions: Int[Array, " n"]) -> tuple[MatrixState, Step]:
        """`advance`; the key is not used."""
        return self.advance(self.draw(key), state, actions)

    def board(self, state: MatrixState) -> UInt8[Array, "1 n"]:
        """The last joint action, agent 1 first."""
        return state.last[None, :].astype(jnp.uint8)


def prisoners_dilemma(horizon: int = 100) -> MatrixGame:
    """The prisoner's dilemma: defecting is better whatever the other does, yet both would rather cooperate.

    |           | cooperate | defect |
    |-----------|-----------|--------|
    | cooperate | 3, 3      | 0, 4   |
    | defect    | 4, 0      | 1, 1   |

    References:
        Leibo, Zambaldi, Lanctot, Marecki & Graepel (2017), Multi-agent Reinforcement Learning in
        Sequential Social Dilemmas, figure 1.
    """
    return _two_by_two("prisoners-dilemma", ("cooperate", "defect"), (3, 0, 4, 1), horizon)


def stag_hunt(horizon: int = 100) -> MatrixGame:
    """The stag hunt: hunting stag together is best for both, but only hare is safe.

    |      | stag | hare |
    |------|------|------|
    | stag | 4, 4 | 0, 3 |
    | hare | 3, 0 | 1, 1 |

    References:
        Leibo et al. (2017), figure 1, where the actions are called cooperate and defect.
    """
    return _two_by_two("stag-hunt", ("stag", "hare"), (4, 0, 3, 1), horizon)


def chicken(horizon: int = 100) -> MatrixGame:
    """Chicken: each would rather that the other swerves, and nobody swerving is the worst of all.

    |          | swerve | straight |
    |----------|--------|----------|
    | swerve   | 3, 3   | 1, 4     |
    | straight | 4, 1   | 0, 0     |

    References:
        Leibo et al. (2017), figure 1, where the actions are called cooperate and defect.
    """
    return _two_by_two("chicken", ("swerve", "straight"), (3, 1, 4, 0), horizon)


def pure_coordination(actions: int = 2, horizon: int = 100) -> MatrixGame:
    """Pure coordination of two: 1 for each where both choose the same, else 0; no choice is the better one.

    Args:
        actions: how many choices, at least 2.
        horizon: rounds in an episode.

    Raises:
        GameError: fewer than 2 actions.

    References:
        Lewis (1969), Convention, chapter 1.
    """
    if actions < 2:
        raise GameError(f"actions is {actions}: coordination needs at least 2")
    payoffs = [[(float(i == j), float(i == j)) for j in range(actions)] for i in range(actions)]
    names = tuple(f"option {k + 1}" for k in range(actions))
    return MatrixGame(payoffs=payoffs, actions=names, name="pure-coordination", horizon=horizon)


def _two_by_two(name: str, actions: tuple[str, str], row: tuple[int, int, int, int], horizon: int) -> MatrixGame:
    """The symmetric game of two in which the row player gets `row`, read row by row."""
    payoffs = [[(row[2 * i + j], row[2 * j + i]) for j in range(2)] for i in range(2)]
    return MatrixGame(payoffs=payoffs, actions=actions, name=name, horizon=horizon)


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _depth(table: Any) -> int:
    """How deep the first entries are nested; one more than the number of agents."""
    depth = 0
    while _is_sequence(table) and len(table):
        depth, table = depth + 1, table[0]
    return depth


def _nested(table: Any, agents: int, actions: int, place: str, level: int = 0) -> tuple[Any, ...]:
    """The table as nested tuples of floats, or an error that names the first bad cell."""
    last = level == agents
    size, unit = (agents, "payoffs, one per agent") if last else (actions, "entries, one per action")
    if not _is_sequence(table):
        raise GameError(f"{place} is {table!r}, not a sequence of {size} {unit}")
    if len(table) != size:
        raise GameError(f"{place} has {len(table)} entries; it needs {size} {unit}")
    if not last:
        return tuple(_nested(row, agents, actions, f"{place}[{k}]", level + 1) for k, row in enumerate(table))
    return tuple(_payoff(value, f"{place}[{k}]") for k, value in enumerate(table))


def _payoff(value: Any, place: str) -> float:
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise GameError(f"{place} is {value!r}, not a number")
    # A payoff that float32 cannot hold would be infinite in play. (NaN fails this comparison as well.)
    if not -LARGEST <= value <= LARGEST:
        raise GameError(f"{place} is {value}, not a finite float32 number")
    return float(value)


def _wheel(count: int) -> tuple[tuple[int, int, int], ...]:
    """Distinct colours, evenly spread over the hues."""
    hues = [colorsys.hsv_to_rgb((0.6 + k / count) % 1.0, 0.75, 1.0) for k in range(count)]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues)
