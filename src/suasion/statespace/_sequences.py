"""One sequence, a stack of them, or ragged ones: taken apart, and results put together the same way.

A list or a tuple is ragged; an array with one axis more than a sequence has is a stack of equal lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy import ndarray

Form = Literal["one", "stack", "ragged"]


class Sequences(NamedTuple):
    """What was handed in, and how.

    Attributes:
        form: one, a stack, or ragged.
        each: the sequences.
    """

    form: Form
    each: list[Any]


def take_apart(y: Any, rank: int | None) -> Sequences:
    """Sequences of observations of this rank; None if a sequence may be anything but a list or a tuple.

    Raises:
        ValueError: the wrong number of axes, none at all, or a sequence of length 0; which.
    """
    if isinstance(y, list | tuple):
        if not y:
            raise ValueError("there are no sequences")
        for q, held in enumerate(y):
            check_length(held, rank, f"y[{q}]")
        return Sequences("ragged", list(y))
    if rank is not None and np.ndim(y) == rank + 2:
        if not len(y):
            raise ValueError("there are no sequences")
        check_length(y[0], rank, "y[0]")
        return Sequences("stack", list(y))
    check_length(y, rank, "y")
    return Sequences("one", [y])


def check_length(y: Any, rank: int | None, name: str) -> None:
    """Refuse what is no sequence.

    Raises:
        ValueError: the wrong number of axes, or length 0.
    """
    if rank is not None and np.ndim(y) != rank + 1:
        axes = "T" if rank == 0 else "T, components"
        raise ValueError(f"{name} is {list(np.shape(y))}, not [{axes}]")
    if not len(y):
        raise ValueError(f"{name} has length 0")


def put_together(form: Form, results: Sequence[Any]) -> Any:
    """One record, a record of stacked arrays, or a tuple of records."""
    if form == "one":
        return results[0]
    if form == "ragged":
        return tuple(results)
    first = results[0]
    return type(first)(*(_stack(parts) for parts in zip(*results, strict=True)))


def _stack(parts: tuple[Any, ...]) -> ndarray:
    return np.stack([np.asarray(part) for part in parts])
