"""What safety costs: a checkpoint of small agents, its share of training, and the evaluation of a run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import _report as report
from benchmarks._command import train
from benchmarks._options import Options
from benchmarks._processes import Contender, interleave

GAME = ("harvest", "--size", "small")
FEW = ("--steps", "1", "--log-every", "1")  # rounded up to one update
EVERY = 30.0  # seconds between checkpoints, the default of `suasion train`
MOST_MS, MOST_SHARE, MOST_SECONDS = 10.0, 1.0, 20.0


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "agents": f"of `suasion train {' '.join(GAME)}`: the preset's three, LSTM, one network each",
        "save": "metrics flushed to the disk, all parameters looked through, checkpoint written, flushed, renamed, the "
        "folder flushed, the fourth oldest removed; median of the saves of a process, and its CPU time: "
        "the rest is waiting for the disk",
        "share": f"the median save over {EVERY:g} s, the default time between two",
        "evaluate": "100 episodes of 250 steps with all measures and bootstrap intervals, after the same once before",
        "measured": f"in turns; repeats: {options.repeats}",
    }


def run(options: Options) -> str:
    """The Markdown of all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train((*GAME, *FEW), folder / "runs", folder / "cache")
        settings = {"XDG_CACHE_HOME": str(folder / "cache")}
        place = str(folder / "runs" / "seed-0")
        workers = [
            Contender(
                name=what,
                module="_worker_reliability",
                arguments=(what, place, "--seconds", str(options.seconds)),
                settings=settings,
            )
            for what in ("save", "evaluate")
        ]
        rows = interleave(workers, options.repeats)
    saves, evaluations = ([row[k] for row in rows] for k in (0, 1))
    columns = {
        "save, median, ms": [one["median_ms"] for one in saves],
        "save, CPU, ms": [one["cpu_ms"] for one in saves],
        "save, worst, ms": [one["worst_ms"] for one in saves],
        f"share at one every {EVERY:g} s, %": [one["median_ms"] / (10 * EVERY) for one in saves],
        "checkpoint, MB": [one["bytes"] / 1e6 for one in saves],
        "evaluate, s": [one["seconds"] for one in evaluations],
        "evaluate, CPU s": [one["cpu"] for one in evaluations],
    }
    text = f"\n{report.repeats(columns, '.3g')}\n"
    text += report.bar("save, ms", columns["save, median, ms"], most=MOST_MS)
    text += report.bar("share of training, %", columns[f"share at one every {EVERY:g} s, %"], most=MOST_SHARE)
    return text + report.bar("evaluate 100 episodes, s", columns["evaluate, s"], most=MOST_SECONDS)
