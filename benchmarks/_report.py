"""Results as Markdown: what ran where, every repeat, medians with their spread, and whether a bar is met."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks._peers import Checkout, commit
from benchmarks._processes import ROOT

_PACKAGES = ("suasion", "jax", "jaxlib", "numpy")


def header(name: str, command: str, checkouts: Sequence[Checkout], settings: Mapping[str, str]) -> str:
    """Title, command, versions, machine and settings."""
    load = os.getloadavg()
    facts = {
        "command": f"`{command}`",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(ROOT),
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{one} {importlib.metadata.version(one)}" for one in _PACKAGES)]
        ),
        "system": platform.platform(),
        "processor": f"{processor()}, {cores()} cores",
        "load before": f"{load[0]:.2f} (mean of one minute; every figure holds for a machine as idle as this says)",
    }
    if kind := os.environ.get("JAX_PLATFORMS"):
        facts["JAX_PLATFORMS"] = kind
    facts |= {f"peer {one.peer.title}": f"{one.peer.url} at {one.commit}" for one in checkouts}
    facts |= {
        f"peer {one.peer.title}, environment": f"{', '.join(one.peer.requirements)}; the same interpreter"
        for one in checkouts
    }
    return f"# {name}\n\n" + table(("what", "value"), [*(facts | dict(settings)).items()], numbers=False)


def fingerprint() -> str:
    """A digest of the package's source: it must not change while it is measured."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def processor() -> str:
    """The model's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """A Markdown table; all columns but the first are set to the right if they hold numbers."""
    line = ["---", *("---:" if numbers else "---" for _ in head[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, line, *rows))


def repeats(columns: Mapping[str, Sequence[float]], form: str = ",.0f") -> str:
    """Every repeat of every column, then medians and spreads."""
    count = len(next(iter(columns.values())))
    rows = [[str(i + 1), *(format(values[i], form) for values in columns.values())] for i in range(count)]
    rows.append(["**median**", *(f"**{format(statistics.median(values), form)}**" for values in columns.values())])
    rows.append(["min - max", *(spread(values, form) for values in columns.values())])
    return table(("repeat", *columns), rows)


def spread(values: Sequence[float], form: str) -> str:
    """From the least to the greatest."""
    return f"{format(min(values), form)} - {format(max(values), form)}"


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Pair by pair: both of one repeat."""
    return [a / b for a, b in zip(over, under, strict=True)]


def bar(what: str, values: Sequence[float], *, least: float | None = None, most: float | None = None) -> str:
    """One line: the median against its bar."""
    median = statistics.median(values)
    if least is not None:
        met, words = median >= least, f"at least {least:g}"
    elif most is not None:
        met, words = median <= most, f"at most {most:g}"
    else:
        raise ValueError("a bar has a side")
    return f"- {what}: {median:.3g} (median; {spread(values, '.3g')}), bar {words}: **{'met' if met else 'missed'}**\n"


def write(folder: Path, name: str, text: str) -> Path:
    """NAME.md, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / f"{name}.md", folder / f".{name}.md.part"
    part.write_text(text)
    os.replace(part, path)
    return path
