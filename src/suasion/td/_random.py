"""One stream of random numbers for each run: xoroshiro128++, its state hashed from the seed and the number of the run.

A run's numbers depend on nothing else: neither on how many runs there are nor on which thread plays it. States are 128
bits, so that streams of any length that can be played overlap with a probability below 1e-20.
"""

from __future__ import annotations

import typing

import numpy as np
from jaxtyping import UInt64
from numba import njit
from numpy import ndarray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def streams(seed: int | np.random.SeedSequence, runs: int) -> UInt64[ndarray, "runs 2"]:
    """The state of each run's generator: two words, hashed from four words of the seed and the run's number.

    Args:
        seed: integer >= 0, or a sequence of which 256 bits are taken.
        runs: how many, >= 1.

    Raises:
        ValueError: `seed` below 0, or `runs` below 1.
    """
    if runs < 1:
        raise ValueError(f"runs is {runs}, below 1")
    if not isinstance(seed, np.random.SeedSequence):
        if seed < 0:
            raise ValueError(f"seed is {seed}, below 0")
        seed = np.random.SeedSequence(int(seed))
    key = seed.generate_state(4, np.uint64)
    number = np.arange(1, runs + 1, dtype=np.uint64) * _GOLDEN
    words = [_mixed(_mixed(number + key[2 * j]) ^ key[2 * j + 1]) for j in range(2)]
    words[1] |= np.uint64((words[0] | words[1]) == 0)  # the one state that never leaves itself
    return np.stack(words, axis=1)


def _mixed(word: ndarray) -> ndarray:
    """Stafford's thirteenth mixer: each bit of the result depends on each bit given."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@njit(cache=True, nogil=True)
@typing.no_type_check
def uniform(s0, s1):
    """The next number of a stream, in [0, 1), a multiple of 2**-53; and the state after it."""
    total = s0 + s1
    word = ((total << np.uint64(17)) | (total >> np.uint64(47))) + s0
    s1 ^= s0
    s0 = ((s0 << np.uint64(49)) | (s0 >> np.uint64(15))) ^ s1 ^ (s1 << np.uint64(21))
    s1 = (s1 << np.uint64(28)) | (s1 >> np.uint64(36))
    return np.float64(np.int64(word >> np.uint64(11))) * (1.0 / 9007199254740992.0), s0, s1


@njit(cache=True, nogil=True)
@typing.no_type_check
def undone(s0, s1):
    """The state before the last number of a stream was drawn."""
    mixed = (s1 >> np.uint64(28)) | (s1 << np.uint64(36))
    s0 ^= mixed ^ (mixed << np.uint64(21))
    s0 = (s0 >> np.uint64(49)) | (s0 << np.uint64(15))
    return s0, mixed ^ s0
