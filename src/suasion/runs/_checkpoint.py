"""A learner on disk: its tree as named arrays, and back, exactly."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suasion.agents import Experiment, Learner, init, placed
from suasion.records import Checkpoint, RecordError, save_checkpoint
from suasion.runs._config import RunConfig
from suasion.runs._manifest import versions


def save_learner(folder: str | Path, config: RunConfig, learner: Learner, metrics_offset: int) -> Path:
    """Write a checkpoint of everything that changes while learning.

    Equal learners of equal configurations leave equal bytes.

    Args:
        folder: of the run's checkpoints.
        config: of the run.
        learner: after any update.
        metrics_offset: bytes of `metrics.jsonl` that belong to it.

    Returns:
        The file.

    Raises:
        RecordError: it cannot be written as an envelope.
        OSError: the disk refused; older checkpoints are untouched.
    """
    arrays, generators = to_arrays(learner)
    updates = int(learner.updates)
    header = {
        "updates": updates,
        "config": config.digest,
        "versions": versions(),
        "generators": generators,
        "metrics_offset": metrics_offset,
    }
    return save_checkpoint(folder, updates * config.learner.steps_per_update, arrays, header)


def restore_learner(config: RunConfig, experiment: Experiment, checkpoint: Checkpoint) -> Learner:
    """The learner of a checkpoint: every array must be there, of the very shape and type, and no other.

    Raises:
        RecordError: a checkpoint of another configuration, or arrays that do not fit; named.
    """
    header, place = checkpoint.header, str(checkpoint.path)
    if header.get("config") != config.digest:
        raise RecordError(f"{place}: belongs to another configuration than the run's config.json")
    generators = header.get("generators")
    if not isinstance(generators, dict):
        raise RecordError(f"{place}: header: generators must be an object")
    template = _template(experiment)
    learner = from_arrays(template, checkpoint.arrays, generators, place)
    if int(learner.updates) * config.learner.steps_per_update != checkpoint.step:
        raise RecordError(f"{place}: holds {int(learner.updates)} updates, which do not make step {checkpoint.step}")
    return placed(experiment, learner)


def to_arrays(tree: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The leaves of a tree by their path, and the generator of each leaf that is random keys."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    arrays, generators = {}, {}
    for path, leaf in leaves:
        name = _name(path)
        if _is_key(leaf):
            generators[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        arrays[name] = np.asarray(leaf)
    return arrays, generators


def from_arrays(template: Any, arrays: Mapping[str, np.ndarray], generators: Mapping[str, Any], place: str) -> Any:
    """The inverse of `to_arrays`, on the shapes and types of `template` (see `jax.eval_shape`).

    Raises:
        RecordError: missing or surplus arrays, another shape, type or generator; all are named.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [_name(path) for path, _ in leaves]
    if set(names) != arrays.keys():
        missing, surplus = sorted(set(names) - arrays.keys()), sorted(arrays.keys() - set(names))
        raise RecordError(f"{place}: arrays missing: {_some(missing)}; not wanted: {_some(surplus)}")
    restored = [
        _leaf(shape, arrays[name], generators.get(name), f"{place}: {name}")
        for name, (_, shape) in zip(names, leaves, strict=True)
    ]
    return jax.tree_util.tree_unflatten(structure, restored)


def not_finite(learner: Learner) -> str | None:
    """The name of a parameter or moment that is not a finite number; None if all are."""
    arrays, _ = to_arrays({"params": learner.params, "optimisers": learner.optimisers})
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            return name
    return None


def _leaf(shape: Any, array: np.ndarray, generator: Any, place: str) -> Any:
    if _is_key(shape):
        wanted = str(jax.random.key_impl(jax.random.key(0)))
        if generator != wanted:
            raise RecordError(f"{place}: keys of the generator {generator!r}, not {wanted!r}")
        data = jax.eval_shape(jax.random.key_data, shape)
        return jax.random.wrap_key_data(_exactly(data, array, place), impl=wanted)
    if generator is not None:
        raise RecordError(f"{place}: said to be random keys, which it is not")
    return _exactly(shape, array, place)


def _exactly(shape: Any, array: np.ndarray, place: str) -> jax.Array:
    if array.shape != shape.shape or array.dtype != shape.dtype:
        raise RecordError(f"{place}: {array.dtype}{list(array.shape)}, not {shape.dtype}{list(shape.shape)}")
    # A copy: the memory of the file must not be handed on as if it could be written.
    return jnp.array(array, copy=True)


def _template(experiment: Experiment) -> Learner:
    return jax.eval_shape(functools.partial(init, experiment), jax.eval_shape(lambda: jax.random.key(0)))


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _some(names: list[str]) -> str:
    return (", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")) or "none"
