"""Memory for arrays that no caller sees, kept from call to call: fresh pages cost more than what is written to them."""

from __future__ import annotations

import threading

import numpy as np
from numpy import ndarray

_KEPT = 2**22  # numbers, 32 MiB; what is larger is not kept
_thread = threading.local()


def borrow(numbers: int) -> ndarray:
    """At least so many float64; what they hold is chance. Nobody else has them until they are given back."""
    memory: ndarray | None = getattr(_thread, "memory", None)
    _thread.memory = None
    return memory if memory is not None and len(memory) >= numbers else np.empty(numbers)


def give_back(memory: ndarray) -> None:
    """Keep it for the next call on this thread."""
    if len(memory) <= _KEPT:
        _thread.memory = memory
