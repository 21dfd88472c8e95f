"""What every worker shares, under any interpreter: clocks, and the one line that it prints. Standard library alone."""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any


def arguments(description: str | None, *positional: str) -> argparse.Namespace:
    """The worker's arguments: strings by name, and `--seconds`."""
    parser = argparse.ArgumentParser(description=description)
    for name in positional:
        parser.add_argument(name)
    parser.add_argument("--seconds", type=float, default=4.0, help="least time to measure for")
    return parser.parse_args()


def cpu_seconds() -> float:
    """CPU time of this process, all its threads, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(turn: Callable[[], int], seconds: float, *, cold: int = 1) -> dict[str, float]:
    """Steps done, wall seconds and CPU seconds of `turn`, repeated for at least `seconds`.

    Args:
        turn: does some steps to their end and says how many.
        seconds: least wall time.
        cold: turns that come before and are not counted: compilation, caches, first pages.
    """
    for _ in range(cold):
        turn()
    steps, wall, cpu = 0, time.perf_counter(), cpu_seconds()
    while True:
        steps += turn()
        elapsed = time.perf_counter() - wall
        if elapsed >= seconds:
            return {"steps": steps, "wall": elapsed, "cpu": cpu_seconds() - cpu}


def tell(**figures: Any) -> None:
    """The worker's last line."""
    print(json.dumps(figures), flush=True)
