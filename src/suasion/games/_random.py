"""Uniforms from a key: a cheap counter generator, and JAX's own as the reference.

A number is a function of the key and of its place in the list, so there is no state to carry and any part of
the list can be computed alone. Letter: k uniforms.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

Generator = Literal["mixer", "threefry"]
RESET = 1 << 30  # first counter of a reset, far from those of steps: one key may serve both
_GOLDEN = np.uint32(0x9E3779B9)  # 2**32 / golden ratio, made odd: spreads neighbouring counters


def uniforms(key: Key[Array, ""], count: int, generator: Generator = "mixer", first: int = 0) -> Float[Array, " k"]:
    """Float32 uniforms on [0, 1), multiples of 2**-24.

    `"mixer"`: counter c = first, first + 1, ... times an odd constant, then twice "add a word of the key, mix",
    where mix is a bijection of 32-bit words made of two multiplications and three shifted exclusive-ors. Some
    20 integer operations a number, against about 100 of threefry, and one fused loop. Not cryptographic.
    `"threefry"`: `jax.random.uniform`; slower, for those who doubt the mixer.

    Args:
        key: a scalar key of any of JAX's generators.
        count: k, how many.
        generator: which.
        first: counter of the first number, a constant. Lists with disjoint counters are independent.

    References:
        Salmon et al. (2011), Parallel random numbers: as easy as 1, 2, 3 (counter-based generators). The mixing
        function is `lowbias32` of C. Wellons' hash prospector (2018, public domain).
    """
    if generator == "threefry":
        return jax.random.uniform(key if first == 0 else jax.random.fold_in(key, first), (count,))
    words = jax.random.key_data(key).reshape(-1)
    salt = [_mix(words[0] ^ _GOLDEN), _mix(words[-1])]
    for word in words[1:-1]:  # generators whose keys have more than two words
        salt = [_mix(salt[0] + word), _mix(salt[1] ^ word)]
    counter = jnp.asarray(np.arange(first, first + count, dtype=np.uint32) * _GOLDEN)
    bits = _mix(_mix(counter + salt[0]) + salt[1])
    # By way of int32, which vector units convert in one instruction.
    return (bits >> 8).astype(jnp.int32).astype(jnp.float32) * np.float32(2**-24)


def _mix(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)
