r"""Baselines of the policy gradient in games that are played: two values that are fitted, and the game played again.

The team's reward is R, its discounted sum from step t to the end of the episode $G_t$. While the policies stand still
a value is a regression of G: on what one agent sees, or on what all see. Both are a table, an entry for every class
code in every cell of a view, plus a clock; the central one adds up the tables of all agents' views. The counterfactual
baseline of agent i plays the step again, with the same chance, for each of its actions:

$$b_i = \sum_{a'} \pi_i(a' \mid h_i) \, Q(s, a', a_{-i}), \qquad
Q(s, a) = R(s, a, \omega) + \gamma V(s'),$$

with the central value V of the state reached. None of the three depends on i's own action of the step, so subtracting
it from G leaves the expected gradient as it is, however badly V is fitted. Q(s, a) in G's place does not.

Letters of the shapes: t steps, b environments, n agents, a actions, v and w of a view, c class codes, z = v w cells, p
tables (one per agent, or one).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, Integer
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve

from suasion.agents._trajectory import Trajectory
from suasion.games import Game

PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)
_HELD_OUT = 4  # every fourth episode says which penalty is best


class Critic(NamedTuple):
    """A value that is a sum over the cells of a view.

    Attributes:
        weight: what each code in each cell adds; one table per agent for values of their own, or one for all.
        clock: what is added at each step of an episode, and 0 after its end.
    """

    weight: Float[Array, "p z c"]
    clock: Float[Array, "p t1"]


def fit_values(
    codes: Integer[np.ndarray, "t b n v w"], returns: Float[np.ndarray, "t b"], classes: Sequence[str]
) -> tuple[Critic, Critic]:
    """Least squares with a ridge: each agent's value from its own view, and the central value from all views.

    Every fourth episode is held out to choose the penalty, one of `PENALTIES`. Agents of different numbers are one
    class: what they do to a reward that is shared does not depend on the number.

    Args:
        codes: what the agents saw at each step of b episodes that begin at the first step.
        returns: the team's discounted rewards from each step on.
        classes: names of the class codes.

    Returns:
        The agents' own values (p = n), the central value (p = 1).

    Raises:
        ValueError: too few episodes.
    """
    t, b, n = codes.shape[:3]
    if b < _HELD_OUT:
        raise ValueError(f"{b} episodes to fit values to; at least {_HELD_OUT} are needed")
    names = [re.sub(r"^agent \d+$", "agent", name) for name in classes]
    kinds = np.unique(names, return_inverse=True)[1]
    one_hot = np.eye(kinds.max() + 1, dtype=np.float32)[kinds]
    y = np.asarray(returns, np.float64)
    everybody = np.zeros((t, b, codes[0, 0, 0].size * one_hot.shape[1]), np.float32)
    own = []
    for j in range(n):
        each = one_hot[codes[:, :, j].reshape(t, b, -1)].reshape(t, b, -1)
        own.append(_ridge(each, y))
        everybody += each
    return _stacked(own, kinds), _stacked([_ridge(everybody, y)], kinds)


def own_values(critic: Critic, codes: Integer[Array, "*t n v w"], clock: Int[Array, "*t"]) -> Float[Array, "*t n"]:
    """What each agent expects from what it sees."""
    tables = jnp.arange(codes.shape[-3])
    return _looked_up(critic, codes, jnp.broadcast_to(tables, codes.shape[:-2])) + jnp.moveaxis(
        critic.clock[:, clock], 0, -1
    )


def central_value(critic: Critic, codes: Integer[Array, "*t n v w"], clock: Int[Array, "*t"]) -> Float[Array, "*t"]:
    """What is to be expected from what all see."""
    tables = jnp.zeros(codes.shape[:-2], jnp.int32)
    # No weights beyond the last step: the clock's last entry is 0, and so is the value after the end.
    on = clock < critic.clock.shape[1] - 1
    return jnp.where(on, jnp.sum(_looked_up(critic, codes, tables), -1) + critic.clock[0, clock], 0.0)


def alternative_returns(
    game: Game, critic: Critic, trajectory: Trajectory, *, discount: float
) -> Float[Array, "t b n a"]:
    r"""Q(s, a', a_{-i}) for every agent i and each of its actions: the step played again, the same chance.

    Args:
        game: that was played, from a reset at the trajectory's first step.
        critic: the central value.
        trajectory: with the game's states.
        discount: gamma.

    Raises:
        ValueError: the trajectory lacks the states.
    """
    if trajectory.states is None:
        raise ValueError("to play steps again needs the game's states: ask the rollout for them")
    n, size = game.spec.agents, len(game.spec.actions)
    mine = np.eye(n, dtype=bool)[:, None, :]
    choice = np.arange(size, dtype=np.int32)[None, :, None]

    def one(key: Array, state: Any, actions: Int[Array, " n"], clock: Int[Array, ""]) -> Float[Array, "n a"]:
        draws = game.draw(key)
        tried = jnp.where(mine, choice, actions[None, None, :]).reshape(n * size, n)

        def play(actions: Int[Array, " n"]) -> Float[Array, ""]:
            after, step = game.advance(draws, state, actions)
            value = central_value(critic, game.observe(after).codes, clock + 1)
            return jnp.sum(step.reward) + discount * jnp.where(step.terminated | step.truncated, 0.0, value)

        return jax.vmap(play)(tried).reshape(n, size)

    def at(now: Any) -> Float[Array, "b n a"]:
        return jax.vmap(one, in_axes=(0, 0, 0, None))(*now)

    steps = jnp.arange(trajectory.start.shape[0])
    return jax.lax.map(at, (trajectory.key, trajectory.states, trajectory.symbols["action"], steps))


def explained(returns: Float[np.ndarray, "t b n"], baseline: Float[np.ndarray, "t b n"]) -> float:
    """Share of the returns' variance that a baseline explains, beyond the mean of each step and agent."""
    spread = np.square(returns - returns.mean(axis=1, keepdims=True)).sum()
    return float(1 - np.square(returns - baseline).sum() / spread)


def _looked_up(critic: Critic, codes: Integer[Array, "*t n v w"], tables: Int[Array, "*t n"]) -> Float[Array, "*t n"]:
    flat = codes.reshape(*codes.shape[:-2], -1).astype(jnp.int32)
    cells = np.arange(flat.shape[-1], dtype=np.int32).reshape((1,) * (flat.ndim - 1) + (-1,))
    return jnp.sum(critic.weight[tables[..., None], cells, flat], -1)


def _ridge(x: Float[np.ndarray, "t b f"], y: Float64[np.ndarray, "t b"]) -> tuple[ndarray, ndarray]:
    """Weights and clock of a regression with a free constant in every step."""
    held = np.arange(x.shape[1]) % _HELD_OUT == _HELD_OUT - 1
    varies = np.flatnonzero(np.ptp(x, axis=(0, 1)) > 0)
    weight = np.zeros(x.shape[2])
    mean_x, mean_y = x[:, ~held].mean(axis=1), y[:, ~held].mean(axis=1)
    if not varies.size:  # everybody always sees the same
        return weight, mean_y
    centred = x[:, :, varies] - mean_x[:, None, varies]
    target = y - mean_y[:, None]
    fitted, rest = (centred[:, part].reshape(-1, len(varies)) for part in (~held, held))
    gram = (fitted.T @ fitted).astype(np.float64)
    right = fitted.T.astype(np.float64) @ target[:, ~held].reshape(-1)
    tried = [cho_solve(cho_factor(gram + penalty * np.eye(len(gram))), right) for penalty in PENALTIES]
    errors = [np.square(target[:, held].reshape(-1) - rest @ w).mean() for w in tried]
    best = int(np.argmin(errors))
    weight[varies] = tried[best]
    return weight, mean_y - mean_x @ weight


def _stacked(fits: Sequence[tuple[ndarray, ndarray]], kinds: ndarray) -> Critic:
    weight = np.stack([weight.reshape(-1, kinds.max() + 1)[:, kinds] for weight, _ in fits])
    clock = np.stack([np.append(clock, 0.0) for _, clock in fits])
    return Critic(weight=jnp.asarray(weight, jnp.float32), clock=jnp.asarray(clock, jnp.float32))
