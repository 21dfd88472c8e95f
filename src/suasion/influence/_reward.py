r"""The reward for influence: $c^k_t = \sum_j c^{k \to j}_t$ over the agents that count.

Letters of the shapes: t steps, b environments, n agents; k influences j.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from suasion.agents import Metric, Paid, Params, Ratio, RewardTerm, Trajectory
from suasion.influence._counterfactual import Counterfactual
from suasion.influence._divergence import Divergence, Imagined, Marginal, divergence, weights
from suasion.networks import Policy, pairs_by_agent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Influence(RewardTerm):
    """Pays influencers, in nats a step, for what their actions or messages change in what others do.

    Attributes:
        counterfactual: how it is known what others would have done.
        divergence: `kl`, `jsd` or `pmi`.
        influencers: agents that are paid for their influence.
        influenced: agents on whom it counts.
        visible_only: only on agents that the influencer sees at the time.
        to_influenced: agents are paid the influence of others on them as well.
        samples: 0 for exact marginals over all own symbols, else drawn counterfactual ones.
        marginal: over what an influencer would have done in its state (`policy`), or does on average (`average`).
        landmarks: events of the game before, at and after which influence is told apart in the metrics.
    """

    counterfactual: Counterfactual
    divergence: Divergence = "kl"
    influencers: tuple[int, ...]
    influenced: tuple[int, ...]
    visible_only: bool = False
    to_influenced: bool = False
    samples: int = 0
    marginal: Marginal = "policy"
    landmarks: tuple[str, ...] = ()

    def initial(self, environments: int) -> dict[str, Bool[Array, " b"]]:
        """Which landmarks have been passed in the running episodes: none."""
        return {name: jnp.zeros(environments, bool) for name in self.landmarks}

    def __call__(self, memory: Any, params: Params, policy: Policy, trajectory: Trajectory) -> Paid:
        """Influence of every influencer; its mean on each agent, and before, at and after the game's landmarks."""
        imagined = self.counterfactual.imagine(params, policy, trajectory, self.weights(trajectory))
        pairs = influences(self, policy, trajectory, imagined)
        exerted = jnp.sum(pairs, -1)
        stream = exerted + jnp.sum(pairs, -2) if self.to_influenced else exerted
        metrics: dict[str, Metric] = {
            f"on_agent_{j + 1}": jnp.mean(pairs[..., j], (0, 1)) for j in range(policy.spec.agents)
        }
        passed = {}
        for name in self.landmarks:
            passed[name], phase = phases(trajectory.events[name], trajectory.start, memory[name])
            metrics |= {
                f"{when}_{name}": Ratio.where(jnp.broadcast_to(where[..., None], exerted.shape), exerted, (0, 1))
                for when, where in phase.items()
            }
        return Paid(passed, {self.counterfactual.head: stream}, metrics)

    def weights(self, trajectory: Trajectory) -> Float[Array, "t b n c"]:
        """Of every agent's counterfactual symbols; see `weights`."""
        return weights(trajectory, self.samples, self.counterfactual.head, self.marginal)


def influences(term: Influence, policy: Policy, trajectory: Trajectory, imagined: Imagined) -> Float[Array, "t b k j"]:
    """Influence of every agent k on every agent j in nats; 0 for pairs and steps that do not count.

    Influence on the next step is 0 on the last step of an episode, and on that of the trajectory.
    """
    actions = trajectory.symbols["action"]
    ahead = term.counterfactual.ahead
    realised = jnp.concatenate([actions[ahead:], actions[:ahead]])
    counts = term.counterfactual.reaches(policy) & _members(term, policy.spec.agents)
    where = jnp.broadcast_to(jnp.asarray(counts)[None, None], imagined.actual.shape[:-1])
    if term.visible_only:
        where = where & pairs_by_agent(trajectory.observation.visible)
    if ahead:
        goes_on = ~(trajectory.terminated | trajectory.truncated)
        goes_on = jnp.concatenate([goes_on[:-ahead], jnp.zeros_like(goes_on[-ahead:])])
        where = where & goes_on[:, :, None, None]
    return jnp.where(where, divergence(term.divergence, imagined, realised), 0.0)


def phases(
    event: Float[Array, "t b"], start: Bool[Array, "t b"], happened: Bool[Array, " b"]
) -> tuple[Bool[Array, " b"], dict[str, Bool[Array, "t b"]]]:
    """When a step lies, seen from an event: `before` its first occurrence in the episode, `at` it, or `after` it.

    Args:
        event: counts of a step.
        start: a new episode begins with the step.
        happened: it has occurred in the episode that runs when the first step begins.

    Returns:
        whether it has occurred in the episode that runs after the last step; and the steps of each phase.
    """

    def step(happened: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        event_t, start_t = now
        earlier = happened & ~start_t
        return earlier | event_t, earlier

    occurs = event > 0
    happened, earlier = jax.lax.scan(step, happened, (occurs, start))
    return happened, {"before": ~earlier & ~occurs, "at": ~earlier & occurs, "after": earlier}


def _members(term: Influence, agents: int) -> Bool[np.ndarray, "k j"]:
    everybody = np.arange(agents)
    pairs = np.isin(everybody, term.influencers)[:, None] & np.isin(everybody, term.influenced)[None, :]
    return pairs & ~np.eye(agents, dtype=bool)
