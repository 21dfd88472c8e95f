"""Inputs of a finite chain: actions, one for each step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from suasion.statespace._sequences import Form

NONE = np.zeros(0, np.int64)


def take_moves(actions: int | None, inputs: Any, form: Form, lengths: list[int]) -> ndarray:
    """The actions of all sequences, one behind the other; of a chain without actions none.

    Raises:
        ValueError: there are inputs and no actions or the reverse, a number or a length disagrees, or an input is no
            action; which.
    """
    if actions is None:
        if inputs is not None:
            raise ValueError("the chain has no actions: it takes no inputs")
        return NONE
    if inputs is None:
        raise ValueError(f"inputs are missing: the chain has {actions} actions, and every step needs one")
    if form == "one":
        return check_moves(actions, inputs, lengths[0], "inputs")
    if len(inputs) != len(lengths):
        raise ValueError(f"there are {len(lengths)} sequences and inputs for {len(inputs)}")
    parts = [check_moves(actions, u, lengths[q], f"inputs[{q}]") for q, u in enumerate(inputs)]
    return np.concatenate(parts)


def check_moves(actions: int, inputs: Any, steps: int, name: str) -> ndarray:
    """Actions as int64[steps].

    Raises:
        ValueError: another shape, no whole numbers, or one that is no action; which.
    """
    held = np.asarray(inputs)
    if held.shape != (steps,) or not np.issubdtype(held.dtype, np.integer):
        raise ValueError(f"{name} is {held.dtype}{list(held.shape)}: it must be whole numbers, int[{steps}]")
    if (bad := (held < 0) | (held >= actions)).any():
        t = int(np.argmax(bad))
        raise ValueError(f"{name}[{t}] is {int(held[t])}: actions are 0 to {actions - 1}")
    return np.ascontiguousarray(held, np.int64)
