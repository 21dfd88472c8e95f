"""Environments spread over devices, each device on its own share; parameters everywhere the same.

On a CPU the devices are XLA's host devices, one thread each: two of them keep two cores busy where one program with
parallel operations leaves them waiting for each other. Everything that belongs to one environment stays on its
shard; what concerns all (gradients, normalisation, metrics) is averaged, in an order that does not depend on timing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Key

_AXIS = "shard"


def mesh(shards: int) -> Mesh:
    """The first `shards` devices.

    Raises:
        ValueError: there are fewer.
    """
    devices = jax.devices()
    if shards > len(devices):
        raise ValueError(
            f"{shards} shards need {shards} devices, {devices[0].platform} has {len(devices)}; on a CPU set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={shards} before JAX starts"
        )
    return Mesh(devices[:shards], (_AXIS,))


def spread(f: Callable[..., Any], shards: int, inputs: Any, outputs: Any) -> Callable[..., Any]:
    """f on every shard; `inputs` and `outputs` say by `SPLIT` or `WHOLE` which trees have environments in front."""
    if shards == 1:
        return f
    return jax.shard_map(f, mesh=mesh(shards), in_specs=inputs, out_specs=outputs, check_vma=False)


SPLIT, WHOLE = PartitionSpec(_AXIS), PartitionSpec()


def place(tree: Any, shards: int, specification: Any) -> Any:
    """`tree` on the devices where `spread` will want it. Works on concrete arrays and inside `jax.jit`."""
    if shards == 1:
        return tree
    here = mesh(shards)
    placed = {spec: NamedSharding(here, spec) for spec in (SPLIT, WHOLE)}

    def put(spec: PartitionSpec, part: Any) -> Any:
        return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, placed[spec]), part)

    return jax.tree.map(put, specification, tree, is_leaf=lambda x: isinstance(x, PartitionSpec))


def own_key(key: Key[Array, ""], shards: int) -> Key[Array, ""]:
    """A key of this shard's own."""
    return key if shards == 1 else jax.random.fold_in(key, jax.lax.axis_index(_AXIS))


def average(tree: Any, shards: int) -> Any:
    """The mean over shards."""
    return tree if shards == 1 else jax.lax.pmean(tree, _AXIS)


def over_environments(x: Float[Array, "t b *n"]) -> Float[Array, "*n"]:
    """The mean over steps and all environments, those of the other devices too where a learner is spread over several.

    For what does not know over how many, such as reward terms. Every device has equally many environments.

    Args:
        x: of the environments at hand.
    """
    mean = jnp.mean(x, (0, 1))
    return jax.lax.pmean(mean, _AXIS) if _AXIS in jax.sharding.get_abstract_mesh().axis_names else mean


def total(tree: Any, shards: int) -> Any:
    """The sum over shards."""
    return tree if shards == 1 else jax.lax.psum(tree, _AXIS)


def moments(x: Float[Array, "t b n"], shards: int) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Mean and variance of every agent's numbers over steps and all environments."""
    mean = average(jnp.mean(x, (0, 1)), shards)
    return mean, average(jnp.mean(jnp.square(x - mean[None, None, :]), (0, 1)), shards)
