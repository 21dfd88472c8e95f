r"""Social value orientation (McKee et al. 2020): how rewards should lie between oneself and the others.

Letters of the shapes: t steps, b environments, n agents.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from suasion.agents import Metric, Paid, Params, Ratio, RewardTerm, Trajectory
from suasion.influence._others import (
    PerAgent,
    check_agents,
    check_decay,
    check_numbers,
    each,
    mean_of_others,
    traces,
)
from suasion.networks import Policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orientation(RewardTerm):
    r"""How far the angle of the rewards is from the one that an agent wants: $-|\theta - \theta(r)|$, in radians.

    $\theta(r)$ is the angle of the point ($r_i$, mean of the others' rewards). Beside `extrinsic=1` its weight is the
    paper's w: $r_i - w |\theta - \theta(r)|$.

    The paper's arctan of a ratio cannot tell what is lost from what is gained: where one's own reward is negative, the
    angle here is that of the point itself (arctan2, -180 to 180 degrees), and distances go the shorter way around the
    circle. Where nobody is below 0 both are the same. Where own reward and others' mean are both 0 there is no angle,
    and nothing is paid: an idle step is no step towards anybody.

    Attributes:
        agents: n, from 2.
        angle: theta in degrees, -180 to 180, of each agent where given: 0 wants everything for itself, 45 as much for
            the others as for itself, 90 everything for the others, below 0 their loss.
        decay: of traces of the rewards, in [0, 1), see `Inequity`. At 0, the paper's, angles are of single steps: where
            agents are seldom paid in one step, the angle is then 0 for who is paid and 90 for all others.
        heads: that are paid; heads that the policy does not have are passed over.

    Raises:
        ValueError: one agent alone, numbers out of range, not as many as agents.

    References:
        McKee et al. (2020), Social diversity and social preferences in mixed-motive reinforcement learning.
    """

    agents: int
    angle: PerAgent = 45.0
    decay: float = 0.0
    heads: tuple[str, ...] = ("action", "message")

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_agents(self.agents)
        check_numbers("angle", self.angle, self.agents, -180.0, 180.0)
        check_decay(self.decay)

    def initial(self, environments: int) -> Float[Array, "b n"]:
        """Traces at the start of an episode."""
        return jnp.zeros((environments, self.agents))

    def __call__(self, memory: Any, params: Params, policy: Policy, trajectory: Trajectory) -> Paid:
        """Minus the distance, 0 to -pi; the share of steps that have an angle, and on which side of theta it lies."""
        memory, e = traces(memory, trajectory.rewards, trajectory.start, self.decay)
        deviation, defined = deviations(e, mean_of_others(e), np.deg2rad(each(self.angle, self.agents)))
        penalty = -jnp.abs(deviation)
        metrics: dict[str, Metric] = {
            "defined": jnp.mean(defined.astype(jnp.float32), (0, 1)),
            "deviation": Ratio.where(defined, deviation, (0, 1)),
        }
        return Paid(memory, {head: penalty for head in self.heads if head in policy.heads}, metrics)


def deviations(
    own: Float[Array, "t b n"], others: Float[Array, "t b n"], wanted: Float[np.ndarray, " n"]
) -> tuple[Float[Array, "t b n"], Bool[Array, "t b n"]]:
    """Angle of (own, others) minus the wanted one, in radians, -pi to pi; 0 where there is no angle; where there is."""
    defined = (own != 0) | (others != 0)
    off = jnp.arctan2(jnp.where(defined, others, 0.0), jnp.where(defined, own, 1.0)) - wanted[None, None]
    off = jnp.where(off > math.pi, off - 2 * math.pi, jnp.where(off < -math.pi, off + 2 * math.pi, off))
    return jnp.where(defined, off, 0.0), defined
