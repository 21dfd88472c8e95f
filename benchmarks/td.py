"""Tabular temporal differences: steps per CPU second against a Gymnasium loop, plain lists, MushroomRL and scalar C."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks import _report as report
from benchmarks._options import Options
from benchmarks._peers import Wheels, interpreter
from benchmarks._processes import BenchmarkError, Contender, interleave, say
from benchmarks._td_models import SETTINGS, table
from benchmarks._worker_td import FLAGS, MANY, ONE

MUSHROOM = Wheels(key="td", title="MushroomRL", requirements=("mushroom-rl==1.10.2",))
BARS = {"Gymnasium loop": 500.0, "lists": 25.0, "MushroomRL": 1200.0, "C": 0.8}
ENGINES = (
    ("suasion", "suasion", "one"),
    ("C", "c", "one"),
    ("suasion, many", "suasion", "many"),
    ("C, many", "c", "many"),
)
MANY_BAR = 1.0
VECTOR_BAR = 1.5  # where the processor has AVX-512
RULES = {"q": "Q-learning", "sarsa": "Sarsa"}


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "rule": "epsilon 0.1, equal best choices alike; "
        + "; ".join(f"{name}: step size {s.step_size:g}, discount {s.discount:g}" for name, s in SETTINGS.items()),
        "suasion": "`learn(..., exact=False)`, checks and tables included, one thread; one run of "
        f"{ONE[1]:,} steps, or {MANY[0]} of {MANY[1]:,}",
        "C": f"`benchmarks/_td_scalar.c`, cc {' '.join(FLAGS)}, run after run: equal to the last bit",
        "lists": "`benchmarks/_worker_td_plain.py`: lists and `random`, no arrays",
        "Gymnasium loop": "the same file: `env.step` of `gymnasium.make`, Q an array",
        "MushroomRL": "`FiniteMDP` from dense arrays, its QLearning and SARSA, `Core.learn` with n_steps_per_fit=1",
        "timed": f"CPU seconds of the process after a first turn; contenders in turns; repeats: {options.repeats}",
    }


def run(options: Options) -> str:
    """The Markdown of all models and rules."""
    with tempfile.TemporaryDirectory() as folder:
        return "".join(_case(name, rule, Path(folder), options) for name in SETTINGS for rule in RULES)


def _case(name: str, rule: str, folder: Path, options: Options) -> str:
    say(f"td, {name}, {rule}")
    seconds = ("--seconds", f"{options.seconds:g}")
    contenders = {
        key: Contender(name=key, module="_worker_td", arguments=(engine, name, rule, size, *seconds))
        for key, engine, size in ENGINES
    }
    for key, engine in (("lists", "lists"), ("Gymnasium loop", "gymnasium")):
        if engine == "lists" or SETTINGS[name].gymnasium:
            arguments = (engine, name, rule, *seconds)
            contenders[key] = Contender(name=key, module="_worker_td_plain", arguments=arguments)
    arguments, python = (str(_arrays(name, folder)), rule, *seconds), str(interpreter(MUSHROOM))
    contenders["MushroomRL"] = Contender(
        name="MushroomRL", module="_worker_td_mushroom", arguments=arguments, python=python
    )
    rows = interleave(list(contenders.values()), options.repeats)
    found = {key: [row[i] for row in rows] for i, key in enumerate(contenders)}
    for size in ("", ", many"):
        digests = {one["digest"] for key in (f"suasion{size}", f"C{size}") for one in found[key]}
        if len(digests) != 1:
            raise BenchmarkError(f"{name}, {rule}{size}: suasion and C did not learn the same table")
    speed = {key: [one["steps"] / one["cpu"] / 1e6 for one in each] for key, each in found.items()}
    text = f"\n## {name}, {RULES[rule]}: million steps per CPU second\n\n{report.repeats(speed, ',.3f')}\n"
    for key, least in BARS.items():
        if key in speed:
            text += report.bar(f"one run, times {key}", report.ratios(speed["suasion"], speed[key]), least=least)
    least = VECTOR_BAR if "avx512f" in Path("/proc/cpuinfo").read_text() else MANY_BAR
    return text + report.bar("many runs, times C", report.ratios(speed["suasion, many"], speed["C, many"]), least=least)


def _arrays(name: str, folder: Path) -> Path:
    """Dense arrays of a model, written once; a terminal state leads to itself."""
    path = folder / f"{name}.npz"
    if not path.exists():
        transitions, first = table(name)
        states, actions = len(transitions), len(transitions[0])
        p, r = np.zeros((states, actions, states)), np.zeros((states, actions, states))
        ends = {t for row in transitions.values() for one in row.values() for _, t, _, ended in one if ended}
        for s, row in transitions.items():
            for a, branches in row.items():
                for chance, t, reward, _ in branches if s not in ends else [(1.0, s, 0.0, True)]:
                    p[s, a, t] += chance
                    r[s, a, t] = reward
        p[sorted(ends)] = 0.0  # so that FiniteMDP takes them for absorbing
        asked = SETTINGS[name]
        np.savez(path, p=p, r=r, first=first, **{k: getattr(asked, k) for k in ("step_size", "discount", "limit")})
    return path
