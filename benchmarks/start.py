"""Seconds from the start of `suasion train` to its first finished update, with an empty cache and with a full one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import _report as report
from benchmarks._command import train
from benchmarks._options import Options
from benchmarks._processes import say

CASES = {
    "cleanup, paper": (("cleanup", "--size", "paper"), 20.0, 3.0),
    "harvest, small": (("harvest", "--size", "small"), 20.0, 3.0),
}
ONE = ("--steps", "1", "--log-every", "1")  # rounded up to one update


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "command under test": " and ".join(f"`suasion train {' '.join((*a, *ONE))}`" for a, _, _ in CASES.values()),
        "first update": "from the start of the process until the first row of metrics is in its file",
        "whole": "until the process has ended, its checkpoint written",
        "cold": "in an empty cache folder; files of the installation itself may be in the system's page cache",
        "with the cache": "the same command again, in another folder, with the cache that the first left",
        "measured": f"a cold one and one with the cache in turns; repeats: {options.repeats}",
    }


def run(options: Options) -> str:
    """The Markdown of every case."""
    text = ""
    for name, (arguments, cold_bar, warm_bar) in CASES.items():
        columns: dict[str, list[float]] = {
            f"{kind}, {what}, s": []
            for kind in ("cold", "with the cache")
            for what in ("first update", "whole", "CPU of the whole")
        }
        for repeat in range(options.repeats):
            say(f"start, {name}: repeat {repeat + 1} of {options.repeats}")
            with tempfile.TemporaryDirectory() as folder:
                for kind in ("cold", "with the cache"):
                    done = train((*arguments, *ONE), Path(folder) / kind, Path(folder) / "cache")
                    columns[f"{kind}, first update, s"].append(done.first_update)
                    columns[f"{kind}, whole, s"].append(done.whole)
                    columns[f"{kind}, CPU of the whole, s"].append(done.cpu)
        text += f"\n## {name}\n\n{report.repeats(columns, '.2f')}\n"
        text += report.bar("first update, cold, s", columns["cold, first update, s"], most=cold_bar)
        text += report.bar("first update with the cache, s", columns["with the cache, first update, s"], most=warm_bar)
    return text
