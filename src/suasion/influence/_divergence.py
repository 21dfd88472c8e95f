r"""How far what an agent does lies from what it would do on average over another's actions.

Letters of the shapes: t steps, b environments, n agents; k influences j; a actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from suasion.agents import Trajectory, over_environments
from suasion.information import jensen_shannon_from_logs, kl_divergence_from_logs, mixture_from_logs

Divergence = Literal["kl", "jsd", "pmi"]
DIVERGENCES: tuple[str, ...] = get_args(Divergence)
Marginal = Literal["policy", "average"]
MARGINALS: tuple[str, ...] = get_args(Marginal)
_CACHED = 1 << 20  # numbers that a core's cache holds
_SAMPLE = 0x5A  # folded into a step's key for counterfactual samples: far from what the game uses


class Imagined(NamedTuple):
    r"""Log-probabilities of j's action, for every pair of agents k, j (entries k = j mean nothing).

    Attributes:
        actual: $\log p(a^j \mid a^k, z)$, given what k did.
        marginal: $\log \sum_{\tilde a} \pi^k(\tilde a) p(a^j \mid \tilde a, z)$.
    """

    actual: Float[Array, "t b k j a"]
    marginal: Float[Array, "t b k j a"]


def divergence(kind: Divergence, imagined: Imagined, realised: Int[Array, "t b j"]) -> Float[Array, "t b k j"]:
    r"""Influence of every k on every j in nats, before any mask.

    `kl`: $D_{KL}[p \| \bar p]$, from 0. `jsd`: Jensen-Shannon divergence, 0 to ln 2. `pmi`: the pointwise mutual
    information $\log p(a^j \mid a^k) - \log \bar p(a^j)$ of what j really did; it can be negative, its mean over j's
    action is the KL divergence.

    Args:
        kind: which.
        imagined: p and its marginal.
        realised: the action of j that `imagined` is about; read by `pmi` alone.

    Raises:
        ValueError: another kind.

    References:
        Jaques et al. (2019), eqs. 1, 3 and 7.
    """
    actual, marginal = imagined
    if kind == "kl":
        return kl_divergence_from_logs(actual, marginal)
    if kind == "jsd":
        return jensen_shannon_from_logs(actual, marginal)
    if kind != "pmi":
        raise ValueError(f"divergence is {kind!r}, must be one of {', '.join(DIVERGENCES)}")
    chosen = jnp.broadcast_to(realised[:, :, None, :, None], (*actual.shape[:-1], 1))
    return jnp.take_along_axis(actual - marginal, chosen, -1)[..., 0]


def weights(
    trajectory: Trajectory, samples: int = 0, head: str = "action", marginal: Marginal = "policy"
) -> Float[Array, "t b n a"]:
    r"""Weights of every agent's counterfactual symbols: its own policy $\pi^k(\tilde a \mid s^k)$.

    (The notes' N(14) writes s^j: a slip.)

    Args:
        trajectory: as acted.
        samples: 0 for the policy itself, an exact sum over all symbols; else the frequencies of so many draws from
            it, the estimate that the paper describes. The symbol taken, a draw as well, counts with them: what it makes
            possible is possible on average.
        head: of the policy: `action` or `message`.
        marginal: `policy`, the agent's own policy in its state; or `average`, that policy averaged over the steps and
            environments of the trajectory (of all devices): what somebody expects who does not see what the agent sees.
    """
    logits = trajectory.logits[head]
    policy = jax.nn.softmax(logits)
    if marginal == "average":
        policy = jnp.broadcast_to(over_environments(policy)[None, None], policy.shape)
        logits = jnp.log(policy)
    if not samples:
        return policy

    def draw(key: Array, logits: Array, taken: Array) -> Array:
        drawn = jax.random.categorical(jax.random.fold_in(key, _SAMPLE), logits, shape=(samples, logits.shape[0]))
        return jnp.mean(jax.nn.one_hot(jnp.concatenate([drawn, taken[None]]), logits.shape[-1]), 0)

    return jax.vmap(jax.vmap(draw))(trajectory.key, logits, trajectory.symbols[head])


def averaged(
    logits: Float[Array, "c *m a"], weights: Float[Array, "c *#m"], chosen: Int[Array, "*#m"]
) -> tuple[Float[Array, "*m a"], Float[Array, "*m a"]]:
    """Log-probabilities under the alternative that was chosen, and under the mixture of all.

    Args:
        logits: under every alternative.
        weights: of the alternatives, sums of 1; axes of length 1 are stretched.
        chosen: the real one.
    """
    index = jnp.broadcast_to(chosen[None, ..., None], (1, *logits.shape[1:]))
    actual = jax.nn.log_softmax(jnp.take_along_axis(logits, index, 0)[0])
    return actual, mixture_from_logs(jax.nn.log_softmax(logits), weights)


def over_steps(f: Callable[[Any], Any], steps: Any, numbers: int) -> Any:
    """f of every step, as many steps at once as stay in cache.

    Args:
        f: of one step.
        steps: trees of arrays with the steps as first axis.
        numbers: that f holds for one step, about.
    """
    count = jax.tree.leaves(steps)[0].shape[0]
    most = max(1, min(count, _CACHED // max(numbers, 1)))
    size = max(k for k in range(1, most + 1) if count % k == 0)
    return jax.lax.map(f, steps, batch_size=size if size > 1 else None)


def by_pair(slots: Float[Array, "*t n d a"]) -> Float[Array, "*t n n a"]:
    """From the others in slots 1..n-1 to agents: `by_pair(x)[..., i, j, :] = x[..., i, (j - i) mod n - 1, :]`."""
    agents = slots.shape[-3]
    rows = np.arange(agents)[:, None]
    slot = (np.arange(agents)[None, :] - rows) % agents
    return slots[..., rows, np.maximum(slot - 1, 0), :]
