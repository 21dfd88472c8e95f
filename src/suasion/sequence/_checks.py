"""Refusals, with the place and the number."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array


def check_shape(name: str, array: Any, shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape.

    Raises:
        ValueError: with both.
    """
    if array.shape != shape:
        raise ValueError(f"{name} has shape {tuple(array.shape)}: must be {shape}")


def check_kind(name: str, array: Any, kind: Any) -> None:
    """Refuse an array of another type.

    Raises:
        ValueError: with both.
    """
    if array.dtype != kind:
        raise ValueError(f"{name} is of {array.dtype}: must be of {np.dtype(kind)}")


def check_sequence(name: str, array: Any, width: int | None = None) -> None:
    """Refuse what is no [t, b, d] with a step and a sequence at least, and d = width if that is given.

    Raises:
        ValueError: with the array's name and shape.
    """
    if array.ndim != 3:
        raise ValueError(f"{name} has shape {tuple(array.shape)}: must be [steps, batch, channels]")
    for axis, what in enumerate(("steps", "sequences", "channels")):
        if array.shape[axis] == 0:
            raise ValueError(f"{name} has shape {tuple(array.shape)}: no {what}")
    if width is not None and array.shape[2] != width:
        raise ValueError(f"{name} has shape {tuple(array.shape)}: must have {width} channels")


def refuse(name: str, array: Array, bad: Array, must: str) -> Array:
    """The array, unless one of its entries is bad.

    Raises:
        ValueError: with the first bad entry and its place; under `jit` an error of the running program instead.
    """
    if isinstance(bad, jax.core.Tracer):
        return eqx.error_if(array, bad, f"{name}: must be {must}")
    found = np.argwhere(np.asarray(bad))
    if len(found):
        place = tuple(int(i) for i in found[0])
        raise ValueError(f"{name}[{', '.join(map(str, place))}] is {float(array[place])!r}: must be {must}")
    return array
