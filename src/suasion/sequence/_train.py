r"""Training a stack on a task: AdamW with a clipped gradient, a warm-up and a cosine.

Letters of the shapes: t steps, b batch, c classes.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from suasion.sequence._layer import check_size
from suasion.sequence._stack import Architecture, Stack
from suasion.sequence._tasks import Batch, Task

# Logarithms of steps and decays, and what passes by the state: pulling them to 0 would set the clocks.
_NOT_DECAYED = frozenset({"A_log", "D", "step_bias", "log_step", "log_decay", "frequency", "feedthrough"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a stack is trained.

    Attributes:
        steps: updates in all.
        batch: sequences in an update.
        learning_rate: the greatest; it rises from 0 over `warmup` updates, and falls to 0 by a cosine.
        warmup: updates; below `steps`.
        weight_decay: of AdamW, times the learning rate; only of weights with two axes that are no logarithm.
        clip: greatest norm of the gradient.

    Raises:
        ValueError: a number out of range.
    """

    steps: int = 1000
    batch: int = 32
    learning_rate: float = 5e-3
    warmup: int = 50
    weight_decay: float = 0.01
    clip: float = 1.0

    def __post_init__(self) -> None:
        check_size("steps", self.steps)
        check_size("batch", self.batch)
        check_size("warmup", self.warmup, 0)
        if self.warmup >= self.steps:
            raise ValueError(f"warmup is {self.warmup}: must be below the {self.steps} steps")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}: must be positive and finite")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay is {self.weight_decay}: must be finite and not negative")

    @property
    def schedule(self) -> optax.Schedule:
        """The learning rate of the update with this number, from 0."""
        return optax.warmup_cosine_decay_schedule(
            0.0 if self.warmup else self.learning_rate, self.learning_rate, self.warmup, self.steps
        )

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Clip, then AdamW."""
        return optax.chain(
            optax.clip_by_global_norm(self.clip),
            optax.adamw(self.schedule, weight_decay=self.weight_decay, mask=decayed),
        )


class Learner(NamedTuple):
    """All that changes while learning.

    Attributes:
        model: the stack.
        moments: the optimiser's.
        updates: done so far.
        key: of the data; update n draws by `fold_in(key, n)`.
    """

    model: Stack
    moments: Any
    updates: Int[Array, ""]
    key: Key[Array, ""]


def decayed(model: Any) -> Any:
    """Which weights decay: true for those with two axes or more that are no logarithm of a step or decay."""

    def of(path: tuple[Any, ...], leaf: Array) -> bool:
        return leaf.ndim >= 2 and not any(getattr(part, "name", None) in _NOT_DECAYED for part in path)

    return jax.tree_util.tree_map_with_path(of, model)


def begin(architecture: Architecture, task: Task, recipe: Recipe, key: Key[Array, ""]) -> Learner:
    """A learner at its beginning."""
    key_model, key_draw = jax.random.split(key)
    model = Stack.init(key_model, architecture, inputs=task.inputs, classes=task.classes, symbols=task.symbols)
    return Learner(model, recipe.optimiser.init(model), jnp.zeros((), jnp.int32), key_draw)


def improve(recipe: Recipe, task: Task, learner: Learner) -> tuple[Learner, dict[str, Float[Array, ""]]]:
    """One update. Compile it: `jax.jit(improve, static_argnums=0)`.

    Returns:
        The learner after it, and of its batch, before it was learned from: `loss`, mean cross-entropy in nats;
        `accuracy`, share of the questions answered rightly; `gradient`, its norm before it is clipped; and the
        `learning_rate`.
    """
    batch = task.draw(jax.random.fold_in(learner.key, learner.updates), recipe.batch)
    (loss, accuracy), gradient = jax.value_and_grad(score, has_aux=True)(learner.model, batch)
    changes, moments = recipe.optimiser.update(gradient, learner.moments, learner.model)
    told = {
        "loss": loss,
        "accuracy": accuracy,
        "gradient": jnp.sqrt(sum(jnp.sum(part**2) for part in jax.tree.leaves(gradient))),
        "learning_rate": jnp.asarray(recipe.schedule(learner.updates), jnp.float32),
    }
    return Learner(optax.apply_updates(learner.model, changes), moments, learner.updates + 1, learner.key), told


def score(model: Stack, batch: Batch) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean cross-entropy over what is asked, in nats, and the share of right answers."""
    _, scores = model.scan(model.initial(batch.target.shape[1]), batch.u)
    loss = optax.softmax_cross_entropy_with_integer_labels(scores, batch.target)
    right = jnp.argmax(scores, -1) == batch.target
    asked = jnp.sum(batch.asked)
    return jnp.sum(jnp.where(batch.asked, loss, 0.0)) / asked, jnp.sum(batch.asked & right) / asked
