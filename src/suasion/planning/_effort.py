"""How far a solver goes, and by what means."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable


def _silent(iteration: int, gap: float) -> None:
    """Report nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effort:
    """How far and by what means.

    Attributes:
        method: as in `solve`.
        tolerance: half the gap that is asked for.
        limit: of iterations.
        threads: that share a sweep.
        report: called with (iteration, gap).
        exact: whether the result is gone over in rational arithmetic.
    """

    method: str = "auto"
    tolerance: float = 1e-6
    limit: int = 1_000_000
    threads: int | None = None
    report: Callable[[int, float], None] = _silent
    exact: bool = False


def check_effort(tolerance: float, limit: int, threads: int | None) -> None:
    """Refuse numbers that make no sense.

    Raises:
        ValueError: tolerance not above 0 or not finite, limit or threads below 1.
    """
    if not tolerance > 0 or not math.isfinite(tolerance):
        raise ValueError(f"tolerance is {tolerance!r}, not a number above 0")
    if limit < 1:
        raise ValueError(f"limit is {limit!r}, below 1")
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads!r}, below 1")
