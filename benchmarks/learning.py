"""The tragedy of the commons on the small Harvest: selfish against shared reward, every seed shown."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from statistics import mean, median

from benchmarks import _report as report
from benchmarks._command import resume
from benchmarks._options import Options
from benchmarks._processes import say

CONDITIONS = {"selfish": "extrinsic=1", "shared": "shared=1"}
FIRST_SEED, SEEDS = 10, 5  # not those that the preset was chosen on
END = 50  # updates that count as the end
WINDOW = 10  # updates in a point of the curve
RATIO_BAR, SECONDS_BAR = 0.8, 240.0


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "command under test": f"`suasion train harvest --reward R --seed S`, R of {', '.join(CONDITIONS.values())}, "
        f"S from {FIRST_SEED} to {FIRST_SEED + SEEDS - 1}; the preset as committed",
        "end": f"mean collective reward of the episodes that ended in the last {END} updates",
        "peak": f"the highest mean of {WINDOW} updates, and the environment step at which it was reached",
        "CPU": "seconds of the whole process, all seeds of a condition, divided by their number",
        "runs": "in a temporary folder, or in SUASION_LEARNING if set: runs found there are taken as they are",
    }


def run(options: Options) -> str:
    """The Markdown of both conditions."""
    given = os.environ.get("SUASION_LEARNING")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(given or folder)
        rows, ends, cpu = [], {}, {}
        for label, reward in CONDITIONS.items():
            say(f"learning, {label}: {SEEDS} seeds")
            seeds = ("--seed", str(FIRST_SEED), "--seeds", str(SEEDS))
            spent = resume(("harvest", "--reward", reward, *seeds), root / label)
            ends[label] = []
            for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
                end, peak, step = _course(root / label / f"seed-{seed}" / "metrics.jsonl")
                rows.append((label, str(seed), f"{end:.1f}", f"{peak:.1f}", f"{step:,}"))
                ends[label].append(end)
            cpu[label] = spent / SEEDS
    head = ("reward", "seed", "end", "peak", "at step")
    text = "\n## Collective reward an episode\n\n" + report.table(head, rows) + "\n"
    ratio = median(ends["selfish"]) / median(ends["shared"])
    worst = max(ends["selfish"]) / min(ends["shared"])
    text += report.bar("selfish / shared at the end, medians over seeds", [ratio], most=RATIO_BAR)
    text += f"- the least favourable pair of seeds: {worst:.3g}; means {mean(ends['selfish']):.1f} and "
    text += f"{mean(ends['shared']):.1f}\n"
    for label, seconds in cpu.items():
        if seconds > 1:  # less: the runs were there already, and nothing was trained
            text += report.bar(f"CPU seconds a seed, {label}", [seconds], most=SECONDS_BAR)
    return text


def _course(metrics: Path) -> tuple[float, float, int]:
    """The end, the peak, and the step of the peak."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    points = [(row["step"], row["episode/return"]) for row in rows]
    end = mean(value for _, value in points[-END:] if value is not None)
    best, at = float("-inf"), 0
    for index in range(WINDOW, len(points) + 1):
        window = [value for _, value in points[index - WINDOW : index] if value is not None]
        if window and mean(window) > best:
            best, at = mean(window), points[index - 1][0]
    return end, best, at
