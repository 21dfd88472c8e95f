r"""Experiment II: influence by messages.

Letters of the shapes: t steps, b environments, n agents; k influences j; m symbols.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from suasion.agents import Params, Trajectory
from suasion.influence._counterfactual import Counterfactual, as_read, features_of, memories
from suasion.influence._divergence import Imagined
from suasion.networks import Policy


@dataclasses.dataclass(frozen=True)
class Spoken(Counterfactual):
    r"""Experiment II: j's own policy, which reads in each step the messages of the step before.

    The message of k in step t is exchanged for every other symbol; what j would then have done in step t + 1 is one row
    of its input product away, and exact: nothing but j's memory lies between. The message is paid in the step in which
    it was sent,

    $$c^k_t = \sum_j D[p(a^j_{t+1} \mid m^k_t, z) \,\|\, \sum_{\tilde m} \pi^k_m(\tilde m) \,
    p(a^j_{t+1} \mid \tilde m, z)]$$

    (the paper's eq. 2 pays it one step later), to the message head alone.

    References:
        Jaques et al. (2019), section 4.
    """

    @property
    def ahead(self) -> int:
        """The next step."""
        return 1

    @property
    def head(self) -> str:
        """Messages."""
        return "message"

    def reaches(self, policy: Policy) -> Bool[np.ndarray, "k j"]:
        """Everybody reaches everybody else."""
        if not policy.config.vocabulary:
            raise ValueError("influence by messages needs a policy with a message head: vocabulary is 0")
        return ~np.eye(policy.spec.agents, dtype=bool)

    def imagine(
        self, params: Params, policy: Policy, trajectory: Trajectory, weights: Float[Array, "t b n c"]
    ) -> Imagined:
        """See `Counterfactual`; uniform for the last step, whose message has not been read."""
        before, features = memories(params.policy, policy, trajectory)[1], features_of(policy, trajectory)
        sent = weights[:-1], trajectory.symbols["message"][:-1]
        following: Any = jax.tree.map(lambda x: x[1:], (before, jnp.moveaxis(features, 1, 0), trajectory.observation))
        imagined = as_read(params.policy, policy, (*following, *sent), "messages")

        def ended(logs: Array) -> Array:
            last = jnp.full((1, *logs.shape[1:]), -np.log(logs.shape[-1]), logs.dtype)
            return jnp.concatenate([logs, last])

        return Imagined(*map(ended, imagined))
