"""What a run of the harness was asked for."""

from __future__ import annotations

import dataclasses

from benchmarks._peers import Checkout


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How often and how long, and against whom.

    Attributes:
        repeats: processes of every contender.
        seconds: least time that a process measures for.
        checkouts: the peers that are here.
        skipped: titles of those that are not.
    """

    repeats: int
    seconds: float
    checkouts: tuple[Checkout, ...] = ()
    skipped: tuple[str, ...] = ()
