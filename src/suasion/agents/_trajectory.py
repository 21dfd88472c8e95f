"""What acting leaves behind for learning: time-major arrays.

Letters of the shapes: t steps, b environments, n agents; a head's arrays are keyed by its name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int, Key

from suasion.networks import Memory, Network, Observation


class Params(NamedTuple):
    """All that is learned: the policy's network, and the parameters of each auxiliary loss by name."""

    policy: Network
    auxiliary: dict[str, Any]


class Trajectory(NamedTuple):
    """t steps of b environments. R_{t+1} follows A_t: `rewards[t]` is what the actions of step t gave.

    Attributes:
        observation: what the policy read at each step, earlier stages' current actions included.
        start: a new episode begins with this observation; the memory was cleared before it was read.
        symbols: what each head chose: actions, messages.
        log_probabilities: log pi of it, under the policy that acted.
        logits: of each head's whole distribution; empty while losses are computed, which make their own.
        values: of the observation, in each head's own reward stream.
        features: what the policy's encoder made of the observation; None while losses are computed, which make
            their own.
        memory: the core's state before the first step, [b, n, ...].
        rewards: of the game itself.
        terminated: the game ended with this step: no value follows.
        truncated: the time limit was reached with this step: the value of the state reached follows.
        value_at_truncation: that value, computed before the reset; 0 where nothing was truncated.
        bootstrap: the value of the observation after the last step, [b, n].
        events: of the game, by name: [t, b, n] or [t, b].
        key: of each step's chance in the game; fold a number into it for chance of another kind.
        states: of the game before each step, each leaf [t, b, ...]: with `key`, what a step needs to be played again.
            None unless asked for.
        auxiliary: what each auxiliary loss observed in this trajectory (`AuxiliaryLoss.observe`), by name.
    """

    observation: Observation
    start: Bool[Array, "t b"]
    symbols: dict[str, Int[Array, "t b n"]]
    log_probabilities: dict[str, Float[Array, "t b n"]]
    logits: dict[str, Float[Array, "t b n a"]]
    features: Float[Array, "t b n d"] | None
    values: dict[str, Float[Array, "t b n"]]
    memory: Memory
    rewards: Float[Array, "t b n"]
    terminated: Bool[Array, "t b"]
    truncated: Bool[Array, "t b"]
    value_at_truncation: dict[str, Float[Array, "t b n"]]
    bootstrap: dict[str, Float[Array, "b n"]]
    events: dict[str, Array]
    key: Key[Array, "t b"]
    states: Any
    auxiliary: dict[str, Any]
