r"""The policy's gradient episode by episode, for several baselines at once: the learner's own loss on one episode.

Letters of the shapes: e estimators, t steps, b environments (one episode each), n agents, g sets of parameters.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from suasion.agents._losses import Batch, Fit, fit_loss, select
from suasion.agents._returns import Targets, n_step_returns
from suasion.agents._trajectory import Params, Trajectory
from suasion.networks import Network, Policy


def returns_to_go(rewards: Float[Array, "t b n"], discount: float) -> Float[Array, "t b n"]:
    r"""$G_t = \sum_k \gamma^k R_{t+1+k}$ to the trajectory's end: one episode per environment."""
    nothing = jnp.zeros_like(rewards)
    ended = jnp.zeros(rewards.shape, bool)
    return n_step_returns(rewards, nothing, nothing, ended, discount=discount, n=len(rewards)).advantage


def episode_gradients(
    policy: Policy,
    params: Network,
    trajectory: Trajectory,
    advantage: Float[Array, "e t b n"],
    episodes: Int[Array, " k"],
) -> Float[Array, "e k g d"]:
    r"""$-\frac{1}{T} \sum_t \hat A_t \nabla \log \pi(A_t)$ of single episodes: A2C's loss without value and entropy.

    It is what the learner descends, memory and all: `fit_loss` on one environment, so the mean over environments is
    the gradient of a rollout of all of them.

    Args:
        policy: definition, with an action head alone.
        params: its parameters, those that acted.
        trajectory: as acted.
        advantage: of every estimator.
        episodes: which environments.

    Returns:
        for every estimator and episode the gradient of each set of parameters, flat.

    Raises:
        ValueError: a policy that also sends messages.
    """
    if tuple(policy.heads) != ("action",):
        raise ValueError(f"the policy has heads {', '.join(policy.heads)}; gradients are those of actions alone")
    settings = Fit(
        algorithm="a2c",
        v_trace=False,
        discount=1.0,
        lambda_=1.0,
        value_weight=0.0,
        clip=1.0,
        policy=policy,
        auxiliary=(),
    )
    scale = {"action": jnp.ones(policy.spec.agents)}
    without = {"action": jnp.zeros(())}
    trajectory = trajectory._replace(logits={}, features=None, states=None, auxiliary={})

    def one(advantage: Float[Array, "t b n"], episode: Int[Array, ""]) -> Float[Array, "g d"]:
        batch = Batch(trajectory, {}, {"action": Targets(advantage, advantage)}, {}, scale, {})
        alone = select(batch, episode[None])
        gradient = jax.grad(lambda params: fit_loss(settings, Params(params, {}), alone, without)[0])(params)
        return jnp.concatenate([x.reshape(len(x), -1) for x in jax.tree.leaves(gradient)], -1)

    of_all = jax.vmap(one, in_axes=(0, None))
    return jax.vmap(of_all, in_axes=(None, 0), out_axes=1)(advantage, episodes)
