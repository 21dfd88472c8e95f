r"""Experiment II: influence by messages.

Letters of the shapes: t steps, b environments, n agents; k influences j; m symbols; c counterfactual symbols of k,
a actions of j.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from suasion.agents import Experiment, Params, Trajectory
from suasion.influence._counterfactual import Counterfactual, as_read, asked, memories
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
        sent = trajectory.symbols["message"][:-1]
        imagined = as_read(params.policy, policy, trajectory, "messages", weights[:-1], sent)

        def ended(logs: Array) -> Array:
            last = jnp.full((1, *logs.shape[1:]), -np.log(logs.shape[-1]), logs.dtype)
            return jnp.concatenate([logs, last])

        return Imagined(*map(ended, imagined))

    def steps(self, experiment: Experiment, params: Params, trajectory: Trajectory) -> Any:
        """See `Tabled`: every agent's memory, features and observation in the step after, when messages are read.

        Those of the last step are its own: nobody reads its messages, and its tables mean nothing. Nor do those of a
        last step of an episode inside the trajectory.
        """
        self.reaches(experiment.policy)
        before = memories(params.policy, experiment.policy, trajectory)[1]
        now = before, trajectory.features, trajectory.observation
        return jax.tree.map(lambda x: jnp.concatenate([x[1:], x[-1:]]), now)

    def alternatives(self, experiment: Experiment, params: Params, now: Any) -> Float[Array, "c b k j a"]:
        """See `Tabled`: c are the symbols of k."""
        return asked(params.policy, experiment.policy, now, "messages")
