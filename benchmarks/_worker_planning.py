"""Worker: one model solved by suasion: a first time, with whatever is compiled or loaded, and a second time."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks._family import garnet
from benchmarks._measure import cpu_seconds, tell


def memory(which: str) -> float:
    """Resident memory of this process in MB: now (`VmRSS`), or its greatest since `forget` (`VmHWM`)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) / 1000


def forget() -> None:
    """Let the greatest resident memory count from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="an npz file of suasion.markov")
    parser.add_argument("discount", type=float)
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--values", default="", help="where the values go, as npy")
    given = parser.parse_args()
    from suasion.markov import MDP, read_model
    from suasion.planning import solve

    solve(MDP.from_branches(**garnet(5_000, 2, 3)), 0.9)  # the compiler and other libraries are no memory of a model
    bare = memory("VmRSS")
    model, _ = read_model(given.model)
    arrays = (model.choice_start, model.branch_start, model.target, model.probability, model.choice_reward)
    arrays += (model.action, model.terminal)
    forget()
    seconds, cpu = [], []
    for _ in range(2):
        began, spent = time.perf_counter(), cpu_seconds()
        found = solve(model, given.discount, maximise=not given.minimise, method=given.method)
        seconds.append(time.perf_counter() - began)
        cpu.append(cpu_seconds() - spent)
    if given.values:
        np.save(given.values, np.stack([found.value, found.lower, found.upper]))
    tell(
        first=seconds[0],
        wall=seconds[1],
        cpu=cpu[1],
        gap=found.gap,
        status=found.status.value,
        iterations=found.iterations,
        method=found.method,
        why=found.why,
        model=sum(array.nbytes for array in arrays) / 1e6,
        extra=memory("VmHWM") - bare,
    )


if __name__ == "__main__":
    main()
