"""Sutton & Barto (2018), figure 6.3, at its published size: the cliff by Q-learning, Sarsa and Expected Sarsa.

Interim: the mean return of the first 100 episodes, 50,000 runs. Asymptotic: that of 100,000 episodes, 10 runs. Each by
ten step sizes, epsilon 0.1 (van Seijen and others 2009).
"""

from __future__ import annotations

import os
import time

import numpy as np

from benchmarks import _report as report
from benchmarks._options import Options
from benchmarks._processes import say
from benchmarks._td_models import model

INTERIM, ASYMPTOTIC = (50_000, 100), (10, 100_000)  # runs, episodes
STEP_SIZES = tuple(k / 10 for k in range(1, 11))
BAR = 300.0  # seconds, two cores
Z95 = 1.959964

Found = dict[tuple[str, str, float], tuple[float, float]]  # mean and half-width by part, rule, step size

# Means and half-widths of 95 % intervals of an independent program (2,000 runs; 6 runs of 20,000 episodes).
REFERENCE_INTERIM = {
    "Q-learning": {0.1: (-150.0, 0.4), 0.2: (-109.1, 0.4), 0.7: (-75.4, 0.4), 0.9: (-73.3, 0.4), 1.0: (-74.6, 0.4)},
    "Sarsa": {0.1: (-139.3, 0.4), 0.2: (-99.6, 0.4), 0.7: (-68.5, 0.4), 0.9: (-68.7, 0.4), 1.0: (-72.2, 0.4)},
    "Expected Sarsa": {0.1: (-134.0, 0.3), 0.5: (-56.0, 0.3), 0.7: (-49.1, 0.3), 0.9: (-45.6, 0.3), 1.0: (-44.1, 0.3)},
}


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "task": "CliffWalking, epsilon 0.1, discount 1, Q = 0 at first; step sizes 0.1 to 1",
        "interim": f"mean return of episodes 1 to {INTERIM[1]}, {INTERIM[0]:,} runs, 95 % interval",
        "asymptotic": f"mean return of episodes 1 to {ASYMPTOTIC[1]:,}, {ASYMPTOTIC[0]} runs, 95 % interval (Student)",
        "timed": "wall, all cores, everything included; once",
    }


def run(options: Options) -> str:
    """The Markdown of the whole figure."""
    from suasion.td import ExpectedSarsa, QLearning, Sarsa, learn, mean_band

    cliff = model("cliff")
    rules = {"Q-learning": QLearning, "Sarsa": Sarsa, "Expected Sarsa": ExpectedSarsa}
    for rule in rules.values():  # compiled before
        learn(cliff, rule(step_size=0.5), discount=1.0, runs=16, episodes=1, exact=False)
    began, cpu, steps = time.perf_counter(), time.process_time(), 0
    found: Found = {}
    for k, (name, rule) in enumerate(rules.items()):
        for j, alpha in enumerate(STEP_SIZES):
            say(f"figure63, {name}, {alpha:g}")
            for part, (runs, episodes) in (("interim", INTERIM), ("asymptotic", ASYMPTOTIC)):
                seed = [part == "asymptotic", k, j]
                one = learn(
                    cliff,
                    rule(step_size=alpha),
                    discount=1.0,
                    runs=runs,
                    episodes=episodes,
                    seed=np.random.SeedSequence(seed),
                    exact=False,
                )
                band = mean_band(one.returns.mean(axis=1, keepdims=True))
                found[part, name, alpha] = float(band.middle[0]), float(band.upper[0] - band.middle[0])
                steps += int(one.steps.sum())
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return _told(found, tuple(rules), wall, cpu, steps)


def _told(
    found: dict[tuple[str, str, float], tuple[float, float]],
    names: tuple[str, ...],
    wall: float,
    cpu: float,
    steps: int,
) -> str:
    text = ""
    for part in ("interim", "asymptotic"):
        rows = [
            [f"{alpha:g}", *("{:.2f} +- {:.2f}".format(*found[part, name, alpha]) for name in names)]
            for alpha in STEP_SIZES
        ]
        text += f"\n## {part.capitalize()}\n\n" + report.table(("step size", *names), rows) + "\n"
    scores = [
        abs(found["interim", name, alpha][0] - mean) / (np.hypot(found["interim", name, alpha][1], half) / Z95)
        for name, known in REFERENCE_INTERIM.items()
        for alpha, (mean, half) in known.items()
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text += f"- {steps / 1e9:.2f} billion steps, {steps / cpu / 1e6:.0f} million per CPU second, {cores} cores\n"
    text += report.bar("seconds for the whole figure", [wall], most=BAR)
    return text + report.bar(f"greatest of {len(scores)} |z| against an independent program", [max(scores)], most=4.9)
