"""The one record that a policy sees, and the order in which it names the agents.

Letters of the shapes: b environments, n agents, a actions, v and w rows and columns of a view; leading axes free.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, Shaped, UInt8


class Observation(NamedTuple):
    """What every agent knows before it acts, one entry per agent.

    Whatever concerns other agents is in *slots*: slot d of agent i is agent (i + d) mod n, so slot 0 is the agent
    itself, and shared parameters mean the same for everybody. An action or message that is not known, or does
    not exist, is coded by the size of its alphabet; it enters the network as a zero vector.

    Attributes:
        codes: class codes of the agent's view.
        last_actions: the actions of the step before; none at the start of an episode.
        visible: who is seen.
        current_actions: the actions that agents of earlier stages have chosen in this very step; None where all
            agents act at once.
        messages: the messages of the step before; None in a game without messages.
        available: the actions that may be taken.
    """

    codes: UInt8[Array, "*t n v w"]
    last_actions: Int[Array, "*t n n"]
    visible: Bool[Array, "*t n n"]
    current_actions: Int[Array, "*t n n"] | None
    messages: Int[Array, "*t n n"] | None
    available: Bool[Array, "*t n a"]


def slot_agents(agents: int) -> np.ndarray:
    """The agent behind each slot: `slot_agents(n)[i, d] = (i + d) mod n`, int[n, n]."""
    return (np.arange(agents)[:, None] + np.arange(agents)[None, :]) % agents


def in_slots(values: Shaped[Array, "*t n"]) -> Shaped[Array, "*t n n"]:
    """Values of the agents as each agent names them: `in_slots(x)[..., i, d] = x[..., (i + d) mod n]`."""
    return values[..., slot_agents(values.shape[-1])]


def pairs_in_slots(values: Shaped[Array, "*t n n"]) -> Shaped[Array, "*t n n"]:
    """A table of pairs in slots: `pairs_in_slots(x)[..., i, d] = x[..., i, (i + d) mod n]`."""
    agents = values.shape[-1]
    return values[..., np.arange(agents)[:, None], slot_agents(agents)]


def pairs_by_agent(slots: Shaped[Array, "*t n n"]) -> Shaped[Array, "*t n n"]:
    """The inverse of `pairs_in_slots`: `pairs_by_agent(y)[..., i, j] = y[..., i, (j - i) mod n]`."""
    agents = slots.shape[-1]
    back = (np.arange(agents)[None, :] - np.arange(agents)[:, None]) % agents
    return slots[..., np.arange(agents)[:, None], back]


def multi_hot(rows: Int[Array, "*t s"], size: int) -> Array:
    """The sum of the one-hot vectors of `rows`, float[*t, size]; rows outside 0..size-1 give nothing."""
    return jnp.sum(one_hot(rows, size), -2)


def one_hot(symbols: Integer[Array, "*t"], size: int) -> Float[Array, "*t k"]:
    """float[*t, size]; symbols outside 0..size-1 give zeros."""
    alphabet = jnp.arange(size, dtype=symbols.dtype).reshape((1,) * symbols.ndim + (-1,))
    return (symbols[..., None] == alphabet).astype(jnp.float32)
