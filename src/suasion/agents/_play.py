"""Playing whole episodes for the record: for pictures, measures and comparisons.

Letters of the shapes: t steps, e episodes, n agents, h and w of the map, v and u of a view.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt8

from suasion.agents._rollout import Script, begin, rollout
from suasion.agents._trajectory import Trajectory
from suasion.games import Game
from suasion.networks import Network, Policy


class Played(NamedTuple):
    """Episodes from the first state to the last, the last one included.

    Attributes:
        boards: the whole map.
        views: of every agent.
        headings: of every agent, 0 up, 1 right, 2 down, 3 left; None in games without.
        actions: by step.
        messages: by step; None without a message head.
        rewards: of the game.
        events: of the game, by name.
        trajectory: the same as learning would read it, the game's states included.
    """

    boards: UInt8[Array, "t1 e h w"]
    views: UInt8[Array, "t1 e n v u"]
    headings: Int[Array, "t1 e n"] | None
    actions: Int[Array, "t e n"]
    messages: Int[Array, "t e n"] | None
    rewards: Float[Array, "t e n"]
    events: dict[str, Array]
    trajectory: Trajectory


def play(
    game: Game,
    policy: Policy,
    params: Network,
    key: Key[Array, ""],
    episodes: int,
    *,
    greedy: bool = False,
    script: Script | None = None,
) -> Played:
    """Complete episodes of a game with a time limit, all in lockstep, without learning.

    Compile it: `jax.jit(play, static_argnums=(0, 1, 4), static_argnames=("greedy", "script"))`.

    Args:
        game: with a horizon; games that can terminate before it are not supported.
        policy: that acts.
        params: its parameters.
        key: of first states, actions and the game.
        episodes: e.
        greedy: the most probable action instead of a sampled one.
        script: `script(key, state)` gives the actions of agents that do not follow the policy, -1 for the others;
            hashable.

    Raises:
        ValueError: the game has no horizon.
    """
    if game.spec.horizon is None:
        raise ValueError(f"{game.spec.name} has no time limit: its episodes cannot be played to the end")
    key_begin, key_steps = jax.random.split(key)
    actors = begin(game, policy, params, key_begin, episodes, staggered=False)
    _, trajectory, _ = rollout(
        game, policy, params, actors, key_steps, game.spec.horizon, states=True, greedy=greedy, script=script
    )
    # The last state was reset in the rollout: its step is played again.
    before = jax.tree.map(lambda x: x[-1], trajectory.states)
    last, _ = jax.vmap(game.step)(trajectory.key[-1], before, trajectory.symbols["action"][-1])
    states = jax.tree.map(lambda x, final: jnp.concatenate([x, final[None]]), trajectory.states, last)
    return Played(
        **jax.lax.map(lambda state: _picture(game, state), states),
        actions=trajectory.symbols["action"],
        messages=trajectory.symbols.get("message"),
        rewards=trajectory.rewards,
        events=trajectory.events,
        trajectory=trajectory,
    )


def _picture(game: Game, state: Any) -> dict[str, Any]:
    """What a picture of the states needs."""
    return {
        "boards": jax.vmap(game.board)(state),
        "views": jax.vmap(game.observe)(state).codes,
        "headings": getattr(state, "heading", None),
    }
