"""Adam with a gradient clip per set of parameters, and a learning rate that follows a schedule."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from suasion.agents._schedule import Schedule, constant


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Adam.

    Attributes:
        learning_rate: schedule in environment steps; values positive or 0.
        clip: largest norm of a gradient, for each independent set of parameters apart; infinity for none.
        epsilon: added to the root of the second moment.
    """

    learning_rate: Schedule = constant(1e-3)
    clip: float = 0.5
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse rates and clips that make no sense."""
        for step, value in self.learning_rate.points:
            if value < 0:
                raise ValueError(f"learning rate {value} at step {step}, must not be negative")
        if self.learning_rate.trigger is not None:
            raise ValueError("a learning rate follows the clock, not a trigger")
        if not self.clip > 0:
            raise ValueError(f"clip is {self.clip}, must be positive (inf for none)")
        if not (self.epsilon > 0 and math.isfinite(self.epsilon)):
            raise ValueError(f"epsilon is {self.epsilon}, must be positive and finite")

    def init(self, params: Any) -> optax.OptState:
        """The moments, at zero."""
        return self._adam().init(params)

    def __call__(
        self, gradient: Any, state: optax.OptState, params: Any, step: Float[Array, ""]
    ) -> tuple[Any, optax.OptState, Float[Array, " g"]]:
        """One step down the gradient.

        Returns:
            new parameters, new moments, and the norm of each set's gradient before the clip.
        """
        norms = group_norms(gradient)
        factor = jnp.minimum(1.0, self.clip / jnp.maximum(norms, 1e-12))
        gradient = jax.tree.map(lambda x: x * factor.reshape(-1, *(1,) * (x.ndim - 1)), gradient)
        directions, state = self._adam().update(gradient, state)
        rate = self.learning_rate(step)
        return jax.tree.map(lambda p, d: p - rate * d, params, directions), state, norms

    def _adam(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(eps=self.epsilon)


def group_norms(tree: Any) -> Float[Array, " g"]:
    """The Euclidean norm of each set of parameters: over all axes of all leaves but the first."""
    squares = [jnp.sum(jnp.square(x), tuple(range(1, x.ndim))) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares))
