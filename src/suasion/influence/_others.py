"""What rewards that look at other agents share: what the others got, traces of rewards, a number for each agent.

Letters of the shapes: t steps, b environments, n agents.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32

PerAgent = float | tuple[float, ...]
"""One number for all agents, or one each."""


def total_of_others(rewards: Float[Array, "t b n"]) -> Float[Array, "t b n"]:
    r"""$\sum_{j \neq i} r_j$ for every agent i."""
    # Not the sum of all without one's own: where the others got nothing, this is 0 exactly.
    own = np.eye(rewards.shape[-1], dtype=bool)[None, None]
    return jnp.sum(jnp.where(own, 0.0, rewards[..., None, :]), -1)


def mean_of_others(rewards: Float[Array, "t b n"]) -> Float[Array, "t b n"]:
    r"""$\frac{1}{n-1} \sum_{j \neq i} r_j$ for every agent i."""
    return total_of_others(rewards) / (rewards.shape[-1] - 1)


def traces(
    memory: Float[Array, "b n"], rewards: Float[Array, "t b n"], start: Bool[Array, "t b"], decay: float
) -> tuple[Float[Array, "b n"], Float[Array, "t b n"]]:
    r"""Traces of rewards, $e_t = \text{decay} \cdot e_{t-1} + r_t$, with $e = 0$ before the first step of an episode.

    Args:
        memory: the trace before the first step.
        rewards: r.
        start: a new episode begins with the step.
        decay: in [0, 1); 0 for the rewards themselves.

    Returns:
        the trace after the last step, and after every step.
    """

    def step(trace: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, begins = now
        trace = jnp.where(begins[:, None], 0.0, decay * trace) + reward
        return trace, trace

    return jax.lax.scan(step, memory, (rewards, start))


def each(value: PerAgent, agents: int) -> Float32[np.ndarray, " n"]:
    """The number of every agent."""
    return np.broadcast_to(np.asarray(value, np.float32), (agents,))


def check_agents(agents: int) -> None:
    """Refuse a single agent."""
    if agents < 2:
        raise ValueError(f"agents is {agents}, must be at least 2: there is nobody to look at")


def check_numbers(name: str, value: PerAgent, agents: int, least: float, most: float = math.inf) -> None:
    """Refuse numbers out of range, and not one for each agent."""
    numbers = value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple) and len(value) != agents:
        raise ValueError(f"{name} has {len(value)} numbers for {agents} agents")
    for number in numbers:
        if not (least <= number <= most and math.isfinite(number)):
            bound = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
            raise ValueError(f"{name} is {number}, must be {bound}")


def check_decay(decay: float) -> None:
    """Refuse a trace that grows."""
    if not 0 <= decay < 1:
        raise ValueError(f"decay is {decay}, must be 0 or more and below 1")
