r"""What others would have done, alternative by alternative: $p(a^j \mid \tilde a^k, z)$ for moments to look at.

The alternatives are k's actions, or its messages where these are what is paid. The numbers behind influence: averaged
with the weights of the reward's marginal (k's policy in its state, or on average over the episodes) the rows of a table
are its marginal, and the divergence of the row of what k did from that marginal is the influence. Nothing is held for
more steps than are asked for.

Letters of the shapes: t steps, b episodes, m moments, s steps that are asked for; k influences j; a actions,
c counterfactual actions or messages of k.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from suasion.agents import Experiment, Params, Trajectory
from suasion.influence._counterfactual import Tabled
from suasion.influence._measure import recorded
from suasion.influence._reward import Influence
from suasion.information import mixture_from_logs


class Table(NamedTuple):
    r"""Log-probabilities of j's action.

    Attributes:
        conditional: $\log p(a^j \mid \tilde a^k, z)$, for each action or message of k.
        marginal: $\log \sum_{\tilde a} \pi^k(\tilde a) p(a^j \mid \tilde a, z)$; what stands for $\pi^k$ is as in the
            reward: its mean over the episodes (`Influence.marginal`), or frequencies of draws (`Influence.samples`).
    """

    conditional: Float[Array, "*m c a"]
    marginal: Float[Array, "*m a"]


def tabled(experiment: Experiment) -> Influence | None:
    """The influence that records of an experiment hold (see `recorded`), if it can be asked for its alternatives."""
    term = recorded(experiment)
    return None if term is None or not isinstance(term.counterfactual, Tabled) else term


def table_steps(experiment: Experiment, params: Params, trajectory: Trajectory) -> Any:
    """What tables are made of: a tree of arrays [t, b, ...], as large as the trajectory.

    Compile it: `jax.jit(table_steps, static_argnums=0)`.

    Args:
        experiment: that was trained.
        params: what it learned.
        trajectory: of `agents.play`: whole episodes with the game's states.

    Raises:
        ValueError: there is no influence in the experiment that could be asked.
    """
    term, source = _asked(experiment)
    return source.steps(experiment, params, trajectory), term.weights(trajectory)


def moment_tables(experiment: Experiment, params: Params, steps: Any, moments: Int[Array, "m b 3"]) -> Table:
    """Tables of single moments; those of one step of all episodes are all that is held beside them.

    Compile it: `jax.jit(moment_tables, static_argnums=0)`.

    Args:
        experiment: that was trained.
        params: what it learned.
        steps: of `table_steps`.
        moments: (t, k, j) in each episode b.

    Returns:
        [m, b, c, a] and [m, b, a].
    """
    episodes = jnp.arange(moments.shape[1])

    def one(now: Int[Array, "b 3"]) -> Table:
        t, k, j = now.T
        pairs = _pairs(experiment, params, steps, t, episodes)
        return Table(*(part[episodes, k, j] for part in pairs))

    return jax.lax.map(one, moments)


def step_tables(
    experiment: Experiment, params: Params, steps: Any, episode: Int[Array, ""], which: Int[Array, " s"]
) -> Table:
    """Tables of all pairs in some steps of one episode, at once.

    Compile it: `jax.jit(step_tables, static_argnums=0)`.

    Args:
        experiment: that was trained.
        params: what it learned.
        steps: of `table_steps`.
        episode: its place in the axis b.
        which: steps t.

    Returns:
        [s, k, j, c, a] and [s, k, j, a]; entries k = j mean nothing.
    """
    return _pairs(experiment, params, steps, which, jnp.broadcast_to(episode, which.shape))


def _pairs(experiment: Experiment, params: Params, steps: Any, t: Int[Array, " b"], episode: Int[Array, " b"]) -> Table:
    """Tables of all pairs, [b, k, j, c, a] and [b, k, j, a], in any moments of any episodes."""
    _, source = _asked(experiment)
    now, weight = jax.tree.map(lambda x: x[t, episode], steps)
    logs = jax.nn.log_softmax(source.alternatives(experiment, params, now))
    marginal = mixture_from_logs(logs, jnp.moveaxis(weight, -1, 0)[..., None])
    return Table(jnp.moveaxis(logs, 0, -2), marginal)


def _asked(experiment: Experiment) -> tuple[Influence, Tabled]:
    """The influence and what is asked."""
    term = recorded(experiment)
    if term is None or not isinstance(term.counterfactual, Tabled):
        raise ValueError("this experiment's influence has no tables of alternatives")
    return term, term.counterfactual
