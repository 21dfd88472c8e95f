"""How far a solver goes, and by what means."""

from __future__ import annotations

import dataclasses
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
