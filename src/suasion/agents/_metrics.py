"""What learning has to say of itself: numbers, and ratios that may be undefined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Ratio(NamedTuple):
    """A mean over what occurred: the sum of something and how often it occurred. Undefined where that is never.

    Both are averaged over updates and devices alike before they are divided: a step counts the same in all of them.

    Attributes:
        total: the sum, a scalar or one number per agent.
        times: how often, of the same shape.
    """

    total: Float[Array, "*n"]
    times: Float[Array, "*n"]

    @staticmethod
    def where(counted: Bool[Array, "*m"], values: Float[Array, "*m"], axes: tuple[int, ...]) -> Ratio:
        """The mean of `values` over `axes`, of those that are counted."""
        return Ratio(jnp.sum(jnp.where(counted, values, 0.0), axes), jnp.sum(counted.astype(jnp.float32), axes))


Metric = Array | Ratio
"""A scalar, one number per agent, or a ratio of such."""


def measured(metrics: Mapping[str, Metric], name: str) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """The value of a metric as triggers read it, and whether it is defined.

    Args:
        metrics: of an update.
        name: of one of them; `name[i]` for agent i alone, else the mean of its defined entries.

    Raises:
        ValueError: a metric that is not measured, or an agent that it does not have.
    """
    key, bracket, index = name.removesuffix("]").partition("[")
    if key not in metrics:
        raise ValueError(
            f"a trigger waits for {name}, which is never measured; measured are {', '.join(sorted(metrics))}"
        )
    metric = metrics[key]
    value, times = metric if isinstance(metric, Ratio) else (metric, jnp.ones_like(metric))
    value, times = value.reshape(-1), times.reshape(-1)
    if bracket:
        if not index.isdigit() or int(index) >= value.size:
            raise ValueError(f"a trigger waits for {name}, but {key} has the entries 0..{value.size - 1}")
        value, times = value[int(index)][None], times[int(index)][None]
    defined = times > 0
    each = jnp.where(defined, value / jnp.where(defined, times, 1.0), 0.0)
    entries = jnp.sum(defined.astype(jnp.float32))
    return jnp.sum(each) / jnp.maximum(entries, 1.0), entries > 0
