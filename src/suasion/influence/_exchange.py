"""Reward exchange: every agent gives a share of its reward away, in equal parts to all others.

Letters of the shapes: t steps, b environments, n agents.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from suasion.agents import Paid, Params, RewardTerm, Trajectory
from suasion.influence._others import check_agents, mean_of_others
from suasion.networks import Policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange(RewardTerm):
    r"""What an agent gains if all give everything away: $\frac{1}{n-1} \sum_{j \neq i} r_j - r_i$.

    Beside `extrinsic=1` its weight is the share $1 - s$ that is given away: the sum is
    $s\, r_i + \frac{1-s}{n-1} \sum_{j \neq i} r_j$. Nothing is made or lost: over the agents the term sums to 0. A
    weight of $1 - 1/n$ gives everybody the mean. Weights that differ between agents are shares of what an agent trades
    for the mean of the others, whatever those keep.

    Attributes:
        agents: n, from 2.
        heads: that are paid; heads that the policy does not have are passed over.

    Raises:
        ValueError: one agent alone.
    """

    agents: int
    heads: tuple[str, ...] = ("action", "message")

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_agents(self.agents)

    def initial(self, environments: int) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def __call__(self, memory: Any, params: Params, policy: Policy, trajectory: Trajectory) -> Paid:
        """What the others give, without what is given to them."""
        gain = mean_of_others(trajectory.rewards) - trajectory.rewards
        return Paid(memory, {head: gain for head in self.heads if head in policy.heads}, {})
