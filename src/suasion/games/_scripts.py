"""Scripted policies for Harvest and Cleanup, and the Schelling diagram that they give.

A policy is a frozen, hashable `policy(key, state) -> actions[n]` that acts for all agents on the full state
of the game: it is a reference, not a player that could be trained. All is `jit`- and `vmap`-able.

Letters of the shapes: n agents, h and w of the map, e episodes, t steps.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from suasion.games import _grid as grid
from suasion.games._cleanup import Cleanup
from suasion.games._game import Game, GameError
from suasion.games._harvest import Harvest
from suasion.games._random import uniforms

Policy: TypeAlias = Callable[[Key[Array, ""], Any], Int[Array, " n"]]

STAY, CLOCKWISE, COUNTER = 4, 5, 6
AHEAD = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # one cell up, right, down, left
STEPS = np.array([2, 1, 3, 0])  # the action that moves 0, 1, 2, 3 quarter turns clockwise of the heading
FAR = 1_000_000  # farther than any cell
WALKING = 1 << 24  # first counter of the chance of steps, beyond those of claims: one key serves both


class Episodes(NamedTuple):
    """What scripted agents did in some episodes.

    Attributes:
        rewards: of each agent in each step.
        events: counts float[e, t, n] and levels float[e, t] by name, as `Spec.events` lists them.
    """

    rewards: Float[np.ndarray, "e t n"]
    events: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schelling:
    """The numbers of a Schelling diagram: mean return of one agent, by the number of cooperators 0 to n.

    Attributes:
        cooperator: of a cooperator; `cooperator[0]` is None.
        defector: of a defector; `defector[n]` is None.
        collective: of the whole society.
        episodes: how many each mean is over.
    """

    cooperator: tuple[float | None, ...]
    defector: tuple[float | None, ...]
    collective: tuple[float, ...]
    episodes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forager:
    """Every agent walks to an apple that may be eaten, and never fires. See `forager`.

    Attributes:
        game: Harvest or Cleanup.
        keep: an apple may be eaten while it has at least this many others in its regrowth neighbourhood.
    """

    game: Harvest | Cleanup
    keep: int = 0

    def __call__(self, key: Key[Array, ""], state: Any) -> Int[Array, " n"]:
        """The agents' actions."""
        apples = state.cells == grid.APPLE
        ripe = apples & (_neighbours(apples, self.game.variant) >= self.keep)
        blocked = (state.cells == grid.WALL) | (apples & ~ripe)
        # Who has nothing to eat leaves the apple sites, which do not regrow under an agent: the last field.
        off = ~self.game._ground.sites & ~blocked
        fields = _distances(jnp.concatenate([_marks(state.position, blocked), off[None]]), blocked)
        target, found = _claims(key, fields[:-1], ripe)
        goal = jnp.where(found[:, None, None], _distances(target, blocked), fields[-1:])
        return _walk(key, goal, state)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cleaner:
    """Every agent cleans the river while it is too dirty, else eats. See `cleaner`.

    Attributes:
        game: Cleanup.
        below: the density of waste above which they clean, 0 to 1.
    """

    game: Cleanup
    below: float = 0.0

    def __call__(self, key: Key[Array, ""], state: Any) -> Int[Array, " n"]:
        """The agents' actions."""
        waste = state.cells == grid.WASTE
        river = waste | (state.cells == grid.RIVER)
        dirty = waste.sum() > self.below * river.sum()
        gains = _cleaned(state)
        facing = jnp.take_along_axis(gains, state.heading[:, None], axis=1)[:, 0]
        turn = (gains.argmax(axis=1) - state.heading) % 4
        goal = _distances(waste, state.cells == grid.WALL)
        walk = _walk(key, jnp.broadcast_to(goal[None], (state.heading.size, *goal.shape)), state)
        aim = jnp.where(turn == 3, COUNTER, CLOCKWISE)
        scrub = jnp.where(facing > 0, grid.CLEAN, jnp.where(gains.max(axis=1) > 0, aim, walk))
        return jnp.where(dirty, scrub, Forager(game=self.game)(key, state)).astype(jnp.int32)


def forager(game: Harvest | Cleanup, keep: int = 0) -> Forager:
    """Agents that walk to apples which still have neighbours, eat them, and never fire.

    An apple may be eaten while at least `keep` other apples lie in its regrowth neighbourhood. Apples are
    claimed by the agents nearest to them (pairs in increasing order of distance, ties at random), one each; who
    gets none goes to the nearest all the same. Agents take shortest ways around walls and around the apples
    that may not be eaten, step aside for each other, and wait beside the apple sites when there is nothing to
    eat.

    Apples an episode on the rule book's small Harvest map (3 agents, 250 steps; mean of 64 episodes and its
    standard error): keep 0: 20.5 (0.1), 1: 32.7 (0.6), 2: 61.7 (1.0), 3: 88.2 (1.0), 4: 52.4 (0.6), 5 and
    more: none.

    Args:
        game: Harvest, or Cleanup (with keep = 0: the neighbourhood has no meaning there).
        keep: 0 is greedy; 12 ("paper") or 8 ("ssd") is the whole neighbourhood.

    Returns:
        The policy of all agents.

    Raises:
        GameError: `keep` below 0.
    """
    if keep < 0:
        raise GameError(f"keep is {keep}, not 0 or more")
    return Forager(game=game, keep=keep)


def sustainable(game: Harvest) -> Forager:
    """`forager` with `keep` = 3, which eats most apples: the reference line of learning curves.

    Three is where the regrowth probability reaches its maximum: what is eaten comes back as fast as anything can.
    It is the best `keep` on the small map (88.2 apples; see `forager`; "ssd": 61, as with 2) and on the paper's
    (2030 apples with 5 agents in 1000 steps, mean of 4 episodes, against 1580 with 2, 1640 with 4, 171 with 0).
    It is a reference, not an optimum.

    Args:
        game: Harvest.

    Returns:
        The policy of all agents.
    """
    return Forager(game=game, keep=3)


def cleaner(game: Cleanup, below: float = 0.1) -> Cleaner:
    """Agents that clean while the density of waste is above `below`, and eat like `harvester` otherwise.

    An agent whose beam would reach waste fires it; one that need only turn turns; the others walk towards the
    nearest waste. Apples an episode on the rule book's small Cleanup map, all three agents being cleaners (mean
    of 32 episodes): below 0: 65, 0.05: 134, 0.1: 153, 0.15: 148, 0.2: 141, 0.3: 86, 0.4: 50; two such cleaners
    (0.1) and one `harvester`: 182.

    Args:
        game: Cleanup.
        below: density, 0 to 1; apples grow only below 0.4.

    Returns:
        The policy of all agents.

    Raises:
        GameError: `below` outside [0, 1].
    """
    if not 0 <= below <= 1:
        raise GameError(f"below is {below}, not 0 to 1")
    return Cleaner(game=game, below=below)


def harvester(game: Cleanup) -> Forager:
    """Agents that eat all apples they find and never clean: the free riders of Cleanup."""
    return forager(game)


def play(game: Game, policy: Policy, key: Key[Array, ""], episodes: int = 1) -> Episodes:
    """Whole episodes of a game under a scripted policy.

    Args:
        game: any game with a horizon.
        policy: chooses all agents' actions from the state; hashable.
        key: of all the chance, policy and game.
        episodes: how many.

    Returns:
        Rewards and events as NumPy arrays; `society` takes one episode of them.

    Raises:
        GameError: a game without a horizon; fewer than one episode.
    """
    return _play(game, (policy,), jnp.zeros(game.spec.agents, jnp.int32), key, episodes)


def schelling(game: Game, cooperator: Policy, defector: Policy, episodes: int, key: Key[Array, ""]) -> Schelling:
    """The numbers of a Schelling diagram: what one more cooperator means for cooperators and defectors.

    For each number c from 0 to n the first c agents follow `cooperator` and the others `defector`. A social
    dilemma shows as: all cooperating beats all defecting, and yet at some c a defector gets more than it would
    as one more cooperator (`defector[c] > cooperator[c + 1]`). On the small maps `sustainable` against
    `forager(game, 2)` shows it at every c in Harvest, and `cleaner` against `harvester` at every c but 0 in
    Cleanup. (`forager(game, 0)` ruins the small commons, and with it its own return.)

    Args:
        game: any game with a horizon, in which the agents are alike.
        cooperator: chooses all agents' actions; used for the cooperators.
        defector: likewise for the defectors.
        episodes: for each number of cooperators.
        key: of all the chance; every number of cooperators starts from the same keys.

    Returns:
        Mean returns of one cooperator and of one defector by c, None where there is no such agent.

    Raises:
        GameError: a game without a horizon; fewer than one episode.

    References:
        Schelling (1973), Hockey helmets, concealed weapons, and daylight saving. Hughes et al. (2018), figure 2.
    """
    n = game.spec.agents
    cooperating, defecting, collective = [], [], []
    for c in range(n + 1):
        roles = jnp.asarray(np.arange(n) >= c, jnp.int32)
        returns = _play(game, (cooperator, defector), roles, key, episodes).rewards.sum(axis=1)
        cooperating.append(float(returns[:, :c].mean()) if c else None)
        defecting.append(float(returns[:, c:].mean()) if c < n else None)
        collective.append(float(returns.sum(axis=1).mean()))
    return Schelling(
        cooperator=tuple(cooperating),
        defector=tuple(defecting),
        collective=tuple(collective),
        episodes=episodes,
    )


def _play(
    game: Game, policies: tuple[Policy, ...], roles: Int[Array, " n"], key: Key[Array, ""], episodes: int
) -> Episodes:
    """Episodes in which agent i follows `policies[roles[i]]`."""
    horizon = game.spec.horizon
    if horizon is None:
        raise GameError(f"{game.spec.name} has no horizon: its episodes do not end")
    if episodes < 1:
        raise GameError(f"episodes is {episodes}, not at least 1")
    rewards, events = _episodes(game, policies, horizon, roles, jax.random.split(key, episodes))
    return Episodes(np.array(rewards), {name: np.array(values) for name, values in events.items()})


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _episodes(
    game: Game,
    policies: tuple[Policy, ...],
    horizon: int,
    roles: Int[Array, " n"],
    keys: Key[Array, " e"],
) -> tuple[Float[Array, "e t n"], dict[str, Array]]:
    seats = np.arange(game.spec.agents)

    def episode(key: Key[Array, ""]) -> tuple[Float[Array, "t n"], dict[str, Array]]:
        key_reset, key_steps = jax.random.split(key)

        def body(state: Any, key_step: Key[Array, ""]) -> tuple[Any, tuple[Array, dict[str, Array]]]:
            key_game, key_policy = jax.random.split(key_step)
            chosen = jnp.stack([policy(key_policy, state) for policy in policies])
            state, step = game.step(key_game, state, chosen[roles, seats])
            return state, (step.reward, step.events)

        return jax.lax.scan(body, game.reset(key_reset), jax.random.split(key_steps, horizon))[1]

    return jax.vmap(episode)(keys)


def _shift(field: Array, down: int, right: int) -> Array:
    """The field of what lies `down` rows and `right` columns away; the map's wall keeps both ends apart."""
    return jnp.roll(field, (-down, -right), axis=(-2, -1))


def _neighbours(apples: Bool[Array, "h w"], variant: str) -> Int[Array, "h w"]:
    """Apples in the regrowth neighbourhood of each cell, itself not counted."""
    reach = range(-2, 3)
    near = [(r, c) for r in reach for c in reach if (r, c) != (0, 0)]
    limit = 4 if variant == "paper" else 2  # squared: the 12 cells within L2 distance 2, or the 8 around
    close = [(r, c) for r, c in near if r * r + c * c <= limit]
    count = jnp.pad(apples, 2).astype(jnp.int32)
    return functools.reduce(jnp.add, [_shift(count, r, c) for r, c in close])[2:-2, 2:-2]


def _distances(sources: Bool[Array, "*b h w"], blocked: Bool[Array, "h w"]) -> Int[Array, "*b h w"]:
    """Steps from each cell to the nearest source around blocked cells, by relaxation; FAR: no way.

    The map's border must be blocked. A source may itself be blocked: it can be left but not entered.
    """

    def relax(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        _, field = pair
        nearest = functools.reduce(jnp.minimum, [_shift(field, r, c) for r, c in AHEAD.tolist()])
        better = jnp.minimum(field, jnp.where(blocked, FAR, nearest + 1))
        return (better < field).any(), better

    field = jnp.where(sources, 0, FAR)
    return jax.lax.while_loop(lambda pair: pair[0], relax, (jnp.ones((), bool), field))[1]


def _marks(position: Int[Array, "n 2"], like: Bool[Array, "h w"]) -> Bool[Array, "n h w"]:
    """For each agent a map that is true at its position."""
    rows, columns = jnp.arange(like.shape[0]), jnp.arange(like.shape[1])
    down, right = rows[None] == position[:, :1], columns[None] == position[:, 1:]
    return down[:, :, None] & right[:, None, :]


def _claims(
    key: Key[Array, ""], field: Int[Array, "n h w"], ripe: Bool[Array, "h w"]
) -> tuple[Bool[Array, "n h w"], Bool[Array, " n"]]:
    """A target for each agent, nearest pairs first, and whether it found one."""
    n, h, w = field.shape
    ties = uniforms(key, n * h * w).reshape(n, -1)
    nearest = jnp.where(ripe[None], field, FAR).reshape(n, -1) + ties
    rows, columns = jnp.arange(n), jnp.arange(h * w)

    def claim(k: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        cost, target = pair
        best = cost.argmin()
        agent, cell = best // (h * w), best % (h * w)
        free = cost.reshape(-1)[best] < FAR
        taken = (rows[:, None] == agent) | (columns[None, :] == cell)
        return jnp.where(taken, FAR, cost), jnp.where(free & (rows == agent), cell, target)

    _, target = jax.lax.fori_loop(0, n, claim, (nearest, jnp.full(n, -1, jnp.int32)))
    # Who found every apple claimed by others goes after the nearest all the same.
    target = jnp.where(target < 0, nearest.argmin(axis=1), target)
    found = nearest.min(axis=1) < FAR
    return (columns[None] == target[:, None]).reshape(n, h, w), found


def _walk(key: Key[Array, ""], field: Int[Array, "n h w"], state: Any) -> Int[Array, " n"]:
    """One step down each agent's own field, around others where that costs no more than waiting."""
    n = len(state.heading)
    rows = jnp.arange(n)[:, None]
    ahead = state.position[:, None] + jnp.asarray(AHEAD)[None]
    steps = field[rows, ahead[..., 0], ahead[..., 1]]
    crowded = (ahead[:, :, None] == state.position[None, None]).all(axis=-1).any(axis=-1)
    here = field[jnp.arange(n), state.position[:, 0], state.position[:, 1]]
    # Another agent in the way may or may not move on: pushing then costs what a step aside costs, and chance
    # decides, so that two who meet head on do not stay there for ever.
    cost = steps + 2 * crowded + uniforms(key, 4 * n, first=WALKING).reshape(n, 4)
    moves = jnp.asarray(STEPS)[(cost.argmin(axis=1) - state.heading) % 4]
    stuck = (here == 0) | (cost.min(axis=1) >= FAR)
    return jnp.where(stuck, STAY, moves).astype(jnp.int32)


def _cleaned(state: Any) -> Int[Array, "n 4"]:
    """Wastes that each agent's cleaning beam would clean, by the heading from which it were fired."""
    rays = []  # offsets of a beam's cells from the agent, [heading, cell, 2] each
    for side, first in ((-1, 0), (0, 1), (1, 0)):
        reach = np.arange(first, first + 5)
        rays.append(np.array([reach[:, None] * AHEAD[h] + side * AHEAD[(h + 1) % 4] for h in range(4)]))
    offsets = np.stack(rays, axis=1)
    cells = jnp.pad(state.cells, 5, constant_values=grid.WALL)
    agents = jnp.pad(_marks(state.position, state.cells == 0).any(axis=0), 5)
    at = state.position[:, None, None, None] + jnp.asarray(offsets)[None] + 5
    waste = cells[at[..., 0], at[..., 1]] == grid.WASTE
    wall = cells[at[..., 0], at[..., 1]] == grid.WALL
    stop = waste | wall | agents[at[..., 0], at[..., 1]]
    reached = jnp.cumsum(stop, axis=-1) - stop == 0
    return (waste & reached).sum(axis=(-1, -2))
