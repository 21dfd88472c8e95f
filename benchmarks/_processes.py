"""Processes: workers that report figures, and how contenders take turns."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_LIMIT = 3600  # seconds that one process may take

# The user's own settings must not tilt a comparison; ours makes its own where the command line does. On which kind of
# device JAX runs is the user's choice, and reported.
_CLEARED = ("PYTHON", "JAX_", "XLA_")
_KEPT = ("JAX_PLATFORMS",)


class BenchmarkError(RuntimeError):
    """A run that cannot be completed; nothing is written of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """Who is measured, and by which process.

    Attributes:
        name: in tables.
        module: the worker, a module of this package.
        arguments: of the worker.
        python: its interpreter.
        settings: environment variables on top of the harness's own.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    python: str = sys.executable
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)


def surroundings(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: this process's, without what would tilt a comparison."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_CLEARED)}
    return {**kept, **(settings or {})}


def measure(contender: Contender) -> dict[str, Any]:
    """The figures of one process.

    Raises:
        BenchmarkError: it failed or told nothing; the end of its error output is in the message.
    """
    command = [contender.python, "-m", f"benchmarks.{contender.module}", *contender.arguments]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=surroundings(contender.settings),
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{contender.name} took more than {_LIMIT} s") from None
    if done.returncode:
        raise BenchmarkError(f"{contender.name} ended with code {done.returncode}:\n{tail(done.stderr)}")
    try:
        figures = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise BenchmarkError(f"{contender.name} told no figures:\n{tail(done.stdout + done.stderr)}") from None
    return figures


def interleave(contenders: Sequence[Contender], repeats: int) -> list[list[dict[str, Any]]]:
    """The figures of every contender in every repeat: A, B, C, A, B, C, ...

    Neighbours in time share whatever else the machine does, so ratios are taken within a repeat.
    """
    rows = []
    for repeat in range(repeats):
        row = []
        for contender in contenders:
            say(f"  repeat {repeat + 1} of {repeats}: {contender.name}")
            row.append(measure(contender))
        rows.append(row)
    return rows


def tail(text: str, lines: int = 15) -> str:
    """The last lines."""
    return "\n".join(text.splitlines()[-lines:])


def say(text: str) -> None:
    """Progress, on the error stream."""
    print(text, file=sys.stderr, flush=True)
