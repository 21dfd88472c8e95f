"""Prosocial reward: a share in what all others earn.

Letters of the shapes: t steps, b environments, n agents.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from suasion.agents import Paid, Params, RewardTerm, Trajectory
from suasion.influence._others import check_agents, total_of_others
from suasion.networks import Policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prosocial(RewardTerm):
    r"""The sum of the others' own rewards, $\sum_{j \neq i} r_j$.

    Beside `extrinsic=1` its weight is $\eta$: $r_i + \eta \sum_{j \neq i} r_j$.

    Attributes:
        agents: n, from 2.
        heads: that are paid; heads that the policy does not have are passed over.

    Raises:
        ValueError: one agent alone.

    References:
        Jaques et al. (2019), appendix: best for the collective in Harvest at eta = 0.85, and very unequal.
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
        """What the others earned."""
        others = total_of_others(trajectory.rewards)
        return Paid(memory, {head: others for head in self.heads if head in policy.heads}, {})
