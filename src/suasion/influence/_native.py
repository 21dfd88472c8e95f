r"""A trajectory of an LSTM and the mixture over all alternatives of its inputs in one pass on a CPU.

Letters of the shapes: t steps, b environments, n agents, g sets of parameters, m rows of a set; y units (k = 4 y
gates), s slots whose input is varied, in the last q steps, c alternatives, o others, a actions of each.
"""

from __future__ import annotations

from typing import TypeGuard

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from suasion._foreign import Shape, call, like, suits
from suasion.networks import LSTM, Core, Dense, Memory, Observation, Trunk


def one_pass(core: Core) -> TypeGuard[LSTM]:
    """Whether there is one for this core: an LSTM, where compiled loops serve (see `suasion._foreign`)."""
    return isinstance(core, LSTM) and suits(*jax.tree.leaves(core))


def imagined_in_one_pass(
    trunk: Trunk,
    core: LSTM,
    head: Dense,
    memory: Memory,
    features: Float[Array, "g t m d"],
    observation: Observation,
    start: Bool[Array, "t b"],
    *,
    field: str,
    slots: tuple[int, ...],
    weights: Float[Array, "q b n s c"],
    chosen: Int[Array, "q b n s"],
    available: Bool[Array, "q b n a"],
) -> tuple[Memory, Float[Array, "q b n s o a"], Float[Array, "q b n s o a"]]:
    """The memory after all steps; log-probabilities of actions under the real alternative and under the mixture of all.

    They equal `Trunk.memories`, and `averaged` of the head's logits of `Trunk.alternatives`, but have no gradient.

    Args:
        trunk: sizes.
        core: for every set of parameters.
        head: from the core's outputs to the logits of o others' actions, in this order.
        memory: before the first step.
        features: of each step.
        observation: of each step, as it was.
        start: where episodes begin.
        field: of the observation, whose symbols are varied.
        slots: whose, one at a time.
        weights: of the alternatives, sums of 1.
        chosen: the real ones.
        available: the actions that may be taken.
    """
    groups, asked, actions = trunk.groups, weights.shape[0], available.shape[-1]
    size, others = weights.shape[-1], head.bias.shape[-1] // actions
    first = [trunk.row(field, slot, 0) for slot in slots]
    read = getattr(observation, field)[start.shape[0] - asked :][..., jnp.array(slots)]
    begun = trunk.by_group(jnp.repeat(start[..., None], trunk.spec.agents, -1), 1)[0]

    def rows(x: Array) -> Array:
        """[q, b, n, ...] by steps and sets."""
        return x.reshape(-1, groups, *x.shape[3:])

    def by_action(x: Array) -> Array:
        """Columns (o a) as (a o), others side by side; without the last action, whose logit all are less."""
        x = jnp.swapaxes(x.reshape(*x.shape[:-1], -1, actions), -1, -2)
        x = x[..., :-1, :] - x[..., -1:, :]
        return x.reshape(*x.shape[:-2], -1)

    before = tuple(trunk.by_group(x, 2) for x in memory)
    shape = Shape((asked * begun.shape[1], groups, len(slots) * others, actions), jnp.float32)
    *after, actual, marginal = call(
        "suasion.influence._native_calls",
        "imagine",
        (*like(*before), shape, shape),
        trunk.drives(core, features, observation),
        core.recurrent,
        *before,
        begun,
        jnp.stack([core.product.table[:, row : row + size] for row in first], 1),
        by_action(head.weight),
        by_action(head.bias),
        rows(weights),
        rows(read).astype(jnp.int32),
        rows(chosen).astype(jnp.int32),
        rows(available),
    )
    full = (*chosen.shape, others, actions)
    last = tuple(trunk.by_environment(x) for x in after)
    return last, actual.reshape(full), marginal.reshape(full)
