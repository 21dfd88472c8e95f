"""The way from XLA on a CPU to compiled loops.

XLA calls a function by its address with one argument, the frame of a call (its C interface for foreign functions, FFI),
in which the addresses and shapes of all arrays stand. Numba compiles such a function from Python: no compiler is needed
where the package is installed, and no lock of Python's is held while it runs. XLA asks every function which version of
the interface it was made for, and refuses what it does not know; how a frame is read is in `_foreign_frames`.

The loops are for float32, and run on one thread: on a CPU the command line makes every core a device of its own. They
have no gradient of their own; who wants one writes it as another loop.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

Shape = jax.ShapeDtypeStruct
_LOCK = threading.RLock()
_READ = ("float32", "int32", "uint8", "bool")


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A cache that threads share: XLA refuses a loop that a second one registers again."""
    kept = functools.cache(function)

    @functools.wraps(function)
    def once(*arguments: str) -> Any:
        with _LOCK:
            return kept(*arguments)

    return once


def suits(*arrays: Array) -> bool:
    """Whether the loops take the place of XLA's own: on a CPU, in float32, if this XLA knows the interface."""
    return jax.default_backend() == "cpu" and all(x.dtype == jnp.float32 for x in arrays) and _known()


@_once
def _known() -> bool:
    """Whether XLA takes functions of this version; where it does not, the slower forms give the same numbers."""
    try:
        _register("suasion._foreign_frames", "nothing")
    except jax.errors.JaxRuntimeError:
        return False
    return True


@_once
def _register(module: str, loop: str) -> str:
    """Compile a loop, or load it from Numba's cache, and tell XLA its address; the name by which XLA knows it."""
    from suasion._foreign_frames import compiled

    target = f"{module}.{loop}"
    function = compiled(getattr(importlib.import_module(module), loop))
    # The type of the function does not matter: the capsule holds nothing but its address.
    capsule = jax.ffi.pycapsule(ctypes.CFUNCTYPE(None)(function.address))
    jax.ffi.register_ffi_target(target, capsule, platform="cpu")
    return target


def call(module: str, loop: str, results: tuple[Shape, ...], *arrays: Array) -> tuple[Array, ...]:
    """What a compiled loop makes of arrays; batches of batches are one after the other.

    Args:
        module: where the loop is written as a function of a frame; imported, with Numba, when it is first needed.
        loop: its name there.
        results: shapes and types of what it writes.
        arrays: that it reads.

    Raises:
        TypeError: one of another type than the loops read: they know arrays by their addresses alone.
    """
    for kind in [array.dtype for array in arrays] + [result.dtype for result in results]:
        if kind not in _READ:
            raise TypeError(f"{module}.{loop} reads and writes {', '.join(_READ)}: here is {kind}")
    found = jax.ffi.ffi_call(_register(module, loop), results, vmap_method="sequential")(*arrays)
    return tuple(found)


def like(*arrays: Array) -> tuple[Shape, ...]:
    """Their shapes and types."""
    return tuple(Shape(x.shape, x.dtype) for x in arrays)
