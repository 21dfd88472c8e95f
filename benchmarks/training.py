"""Training Cleanup `paper`: time against that of its matrix products alone, peak memory, and where the time goes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import _report as report
from benchmarks._command import train
from benchmarks._options import Options
from benchmarks._processes import Contender, interleave, say

FLOP = 1.1e6  # of the matrix products, an agent-step: forward to act, forward and back to learn
RATIO_BAR, MEMORY_BAR = 2.5, 4.0
LARGE = ("--environments", "256", "--rollout", "64")


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "training": "whole updates of the preset of Cleanup `paper`, 5 independent agents, the process prepared as by "
        "the command line",
        "matrix products": f"{FLOP / 1e6:g} MFLOP an agent-step at the rate of the best of nine float32 products of "
        "1024 x 1024 matrices in the same process, one on every device (core) at once",
        "memory": "peak resident memory of `suasion train cleanup --size paper "
        f"{' '.join(LARGE)}`, two updates, compilation included (empty cache)",
        "profile": "each part alone, on one device, over chunks as the learner makes them; gradients include their "
        "forward pass; the update includes all",
        "measured": f"at least {options.seconds:g} s in each process and of each part, after a warm-up that includes "
        f"compilation; repeats: {options.repeats}",
    }


def run(options: Options) -> str:
    """The Markdown of the three parts."""
    say("training, time and profile")
    seconds = ("--seconds", str(options.seconds))
    updates = Contender(name="updates", module="_worker_training", arguments=seconds)
    profile = Contender(name="profile", module="_worker_profile", arguments=seconds)
    rows = interleave([updates, profile], options.repeats)
    say("training, memory")
    peaks = [_peak() for _ in range(options.repeats)]
    text = _time([row[0] for row in rows])
    text += f"\n## Memory\n\n{report.repeats({'peak, GiB': peaks}, '.2f')}\n"
    text += report.bar("peak memory in GiB, 256 environments x 64 steps x 5 agents", peaks, most=MEMORY_BAR)
    return text + _profile([row[1]["parts"] for row in rows])


def _time(figures: list[dict[str, Any]]) -> str:
    learner = figures[0]["config"]["learner"]
    policy = figures[0]["config"]["policy"]
    wall = [one["wall"] / one["steps"] for one in figures]
    products = [FLOP / one["flops"] for one in figures]
    columns = {
        "agent-steps/s": [1 / one for one in wall],
        "CPU µs/agent-step": [1e6 * one["cpu"] / one["steps"] for one in figures],
        "wall µs/agent-step": [1e6 * one for one in wall],
        "matrix products, µs/agent-step": [1e6 * one for one in products],
        "products, GFLOP/s": [one["flops"] / 1e9 for one in figures],
    }
    ratio = report.ratios(wall, products)
    return (
        f"\n## Time\n\n{report.repeats(columns, ',.1f')}\n"
        + report.repeats({"wall time / matrix time": ratio}, ".2f")
        + "\n"
        + report.bar("times the time of the matrix products alone", ratio, most=RATIO_BAR)
        + f"\nLearner (devices: {figures[0]['devices']}): `{json.dumps(learner)}`\n"
        + f"\nPolicy, {figures[0]['agents']} agents, views of {figures[0]['view']}: `{json.dumps(policy)}`\n"
    )


def _profile(figures: list[dict[str, Any]]) -> str:
    def of(clock: str) -> dict[str, list[float]]:
        return {part: [1e6 * one[part][clock] / one[part]["steps"] for one in figures] for part in figures[0]}

    cpu, wall = of("cpu"), of("wall")
    rows = []
    for part in cpu:
        share = median(report.ratios(cpu[part], cpu["update"]))
        rows.append(
            (
                part,
                f"{median(cpu[part]):.2f}",
                report.spread(cpu[part], ".2f"),
                f"{median(wall[part]):.2f}",
                f"{100 * share:.0f} %",
            )
        )
    head = ("part", "CPU µs/agent-step", "min - max", "wall µs/agent-step", "CPU, share of the update")
    return f"\n## Profile\n\n{report.table(head, rows)}"


def _peak() -> float:
    """GiB of one process."""
    with tempfile.TemporaryDirectory() as folder:
        steps = ("--steps", str(2 * 256 * 64), "--log-every", "1")
        done = train(("cleanup", "--size", "paper", *LARGE, *steps), Path(folder) / "run", Path(folder) / "cache")
    return done.peak_bytes / 2**30
