"""A worker: what a checkpoint of a small run costs, and how long `suasion evaluate` plays, compilation apart.

Arguments: `save RUN` or `evaluate RUN`, of a run's folder.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks._measure import arguments, tell

EPISODES = 100


def save(run: str, seconds: float) -> None:
    """Milliseconds of one save: the check for finite numbers, metrics and checkpoint flushed, the oldest removed."""
    from suasion.records import MetricsWriter
    from suasion.runs import load_run, save_learner
    from suasion.runs._checkpoint import not_finite

    loaded = load_run(run)
    folder = Path(tempfile.mkdtemp(dir=Path(run).parent))
    times, cpu, begun = [], [], time.perf_counter()
    with MetricsWriter(folder / "metrics.jsonl") as metrics:
        while time.perf_counter() - begun < seconds or len(times) < 20:
            metrics.append({"step": len(times), "loss": 0.5})
            start, spent = time.perf_counter(), time.process_time()
            assert not_finite(loaded.learner) is None
            metrics.sync()
            path = save_learner(folder / "checkpoints", loaded.config, loaded.learner, metrics.offset)
            times.append(1000 * (time.perf_counter() - start))
            cpu.append(1000 * (time.process_time() - spent))
    medians = {"median_ms": statistics.median(times), "cpu_ms": statistics.median(cpu)}
    tell(**medians, worst_ms=max(times), saves=len(times), bytes=path.stat().st_size)


def evaluate(run: str) -> None:
    """Seconds of 100 episodes with all measures and intervals, after the same once to compile."""
    from suasion.runs import evaluate_run, load_run

    loaded = load_run(run)
    evaluate_run(loaded, episodes=EPISODES, seed=1)
    start, cpu = time.perf_counter(), time.process_time()
    found = evaluate_run(loaded, episodes=EPISODES, seed=0)
    tell(seconds=time.perf_counter() - start, cpu=time.process_time() - cpu, episodes=len(found.episodes))


if __name__ == "__main__":
    from suasion.cli import prepare_environment

    prepare_environment()
    given = arguments(__doc__, "what", "run")
    if given.what == "save":
        save(given.run, given.seconds)
    else:
        evaluate(given.run)
