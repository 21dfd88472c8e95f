r"""Inequity aversion with temporal smoothing (Hughes et al. 2018).

Letters of the shapes: t steps, b environments, n agents.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from suasion.agents import Metric, Paid, Params, RewardTerm, Trajectory
from suasion.influence._others import PerAgent, check_agents, check_decay, check_numbers, each, traces
from suasion.networks import Policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inequity(RewardTerm):
    r"""The cost of having less than others, and of having more: what inequity aversion adds to an agent's own reward.

    $-\frac{\alpha}{n-1} \sum_{j \neq i} \max(e_j - e_i, 0) - \frac{\beta}{n-1} \sum_{j \neq i} \max(e_i - e_j, 0)$,
    of traces $e^j_t = \gamma \lambda e^j_{t-1} + r^j_t$ that begin at 0 in each episode. With the weight 1 beside
    `extrinsic=1` it is the paper's utility.

    Attributes:
        agents: n, from 2.
        envy: alpha, for having less (disadvantageous inequity), from 0; of each agent where given.
        guilt: beta, for having more (advantageous inequity), likewise.
        decay: gamma lambda, in [0, 1); the paper's 0.99 x 0.975. 0 compares the rewards of single steps.
        heads: that are paid; heads that the policy does not have are passed over.

    Raises:
        ValueError: one agent alone, numbers out of range, not as many as agents.

    References:
        Hughes et al. (2018), equations 3 and 4.
    """

    agents: int
    envy: PerAgent = 5.0
    guilt: PerAgent = 0.05
    decay: float = 0.96525
    heads: tuple[str, ...] = ("action", "message")

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_agents(self.agents)
        check_numbers("envy", self.envy, self.agents, 0.0)
        check_numbers("guilt", self.guilt, self.agents, 0.0)
        check_decay(self.decay)

    def initial(self, environments: int) -> Float[Array, "b n"]:
        """Traces at the start of an episode."""
        return jnp.zeros((environments, self.agents))

    def __call__(self, memory: Any, params: Params, policy: Policy, trajectory: Trajectory) -> Paid:
        """The penalty, at most 0; and how much less and more than others the agents have, on average."""
        memory, e = traces(memory, trajectory.rewards, trajectory.start, self.decay)
        ahead = e[..., None, :] - e[..., None]  # [t, b, i, j]: e_j - e_i
        less = jnp.sum(jnp.maximum(ahead, 0.0), -1) / (self.agents - 1)
        more = jnp.sum(jnp.maximum(-ahead, 0.0), -1) / (self.agents - 1)
        envy, guilt = (each(value, self.agents)[None, None] for value in (self.envy, self.guilt))
        penalty = -envy * less - guilt * more
        metrics: dict[str, Metric] = {"less": jnp.mean(less, (0, 1)), "more": jnp.mean(more, (0, 1))}
        return Paid(memory, {head: penalty for head in self.heads if head in policy.heads}, metrics)
