"""Exact planning: whole solutions against QuantEcon, mdpsolver and Storm, and one Bellman backup against the memory."""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _report as report
from benchmarks._family import COSTS, FAMILY
from benchmarks._options import Options
from benchmarks._peers import Wheels, interpreter
from benchmarks._processes import BenchmarkError, Contender, interleave, say

PLANNERS = Wheels(
    key="planning",
    title="planners",
    requirements=("quantecon==0.11.4", "mdpsolver==0.10.2", "stormpy==2.0.0"),
)
ONLY = "SUASION_PLANNING_MODELS"  # names between commas: the others are left out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One model and one question.

    Attributes:
        model: of the family.
        discount: 1 asks for the cost until the goal.
        bars: least ratio of wall times, peer / ours; 0 where there is none.
    """

    model: str
    discount: float
    bars: dict[str, float]


CASES = (
    Case(model="garnet-1e5", discount=0.99, bars={"quantecon": 2.0, "mdpsolver": 8.0, "storm": 60.0}),
    Case(model="garnet-1e6", discount=0.99, bars={"quantecon": 2.5}),
    Case(model="grid-1000", discount=0.999, bars={"storm": 6.0}),
    Case(model="grid-1000-shuffled", discount=0.999, bars={"storm": 6.0}),
    Case(model="grid-300", discount=0.999, bars={"storm": 3.0, "quantecon": 0}),
    Case(model="grid-300-shuffled", discount=0.999, bars={"storm": 3.0}),
    Case(model="grid-300", discount=1.0, bars={"storm": 1.5}),
    Case(model="grid-300-shuffled", discount=1.0, bars={"storm": 1.5}),
    Case(model="queue", discount=0.999, bars={"quantecon": 1.5, "storm": 1.5}),
    Case(model="inventory", discount=0.99, bars={"quantecon": 1.5, "mdpsolver": 1.5}),
    Case(model="forest", discount=0.99, bars={"quantecon": 1.5, "mdpsolver": 1.5, "storm": 1.5}),
    Case(model="layered", discount=0.999, bars={"quantecon": 1.5, "value_iteration": 5.0}),
)
BACKUPS = {"garnet-1e5": 0.5, "garnet-1e6": 0.3}
MEMORY_BAR = 2.5


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "suasion": '`solve(model, discount)`, method "auto", certified gap at most 2e-6, all cores; the graph, orders '
        "and copies included",
        "QuantEcon": "`DiscreteDP.solve`, modified policy iteration with k = 20, epsilon 2e-6, sparse product form",
        "mdpsolver": "value iteration with standard updates, tolerance 1e-6, parallel, lists built before",
        "Storm": "stormpy, sound environment, absolute precision 1e-6, one thread; its discounted objective, or the "
        'reward until "terminal"; the model loaded before from a UMB file that suasion wrote',
        "timed": "the second of two solutions in a process (the first compiles or loads), peers from a fresh object; "
        f"wall; contenders in turns; repeats: {options.repeats}",
        "family": "`benchmarks/_family.py`, seed 0",
        "models": ", ".join(_models()),
    }


def run(options: Options) -> str:
    """The Markdown of all cases and of the backups."""
    with tempfile.TemporaryDirectory() as folder:
        text = "".join(_case(case, Path(folder), options) for case in CASES if case.model in _models())
        backups = {name: least for name, least in BACKUPS.items() if name in _models()}
        return text + "".join(_backup(name, least, Path(folder), options) for name, least in backups.items())


def _models() -> tuple[str, ...]:
    """Names of the models that are asked for."""
    names = tuple(name for name in os.environ.get(ONLY, "").split(",") if name) or tuple(FAMILY)
    if unknown := [name for name in names if name not in FAMILY]:
        raise BenchmarkError(f"{ONLY} names {unknown[0]!r}; there are {', '.join(FAMILY)}")
    return names


def _case(case: Case, folder: Path, options: Options) -> str:
    say(f"planning, {case.model}, discount {case.discount:g}")
    files = prepared(case.model, folder)
    common = [f"{case.discount:g}", *(["--minimise"] if case.model in COSTS else [])]
    mine, theirs = folder / "mine.npy", {name: folder / f"{name}.npy" for name in case.bars}
    contenders = [_ours(files["npz"], common, mine, "auto")]
    for name, values in theirs.items():
        if name == "value_iteration":
            contenders.append(_ours(files["npz"], common, values, name))
        else:
            contenders.append(_peer(name, files["umb" if name == "storm" else "arrays"], common, values))
    rows = interleave(contenders, options.repeats)
    ours = [row[0] for row in rows]
    value, lower, upper = np.load(mine)
    gap = float(np.max(upper - lower))
    columns = {"suasion, s": [one["wall"] for one in ours], "first, s": [one["first"] for one in ours]}
    bars = ""
    for index, (name, least) in enumerate(case.bars.items(), 1):
        seconds = [row[index]["wall"] for row in rows]
        version = rows[0][index].get("version", "ours")
        columns[f"{name} {version}, s"] = seconds
        found = _oriented(np.load(theirs[name]), name, case)
        apart = float(np.max(np.abs(found - value)))
        ratio = report.ratios(seconds, columns["suasion, s"])
        words = f"times {name} (values differ by {apart:.1e} at most)"
        bars += report.bar(words, ratio, least=least) if least else f"- {words}: {statistics.median(ratio):.3g}\n"
    one = ours[0]
    head = f"\n## {case.model}, discount {case.discount:g}\n\n"
    told = f"{one['method']}: {one['why']}. {one['status']}, {one['iterations']} iterations, gap {gap:.2g}.\n\n"
    memory = [each["extra"] / each["model"] for each in ours]
    if case.model == "garnet-1e6":
        bars += report.bar("greatest memory with the model, in the model's arrays", memory, most=MEMORY_BAR)
    return head + told + report.repeats(columns, ".3f") + f"\n{bars}"


def prepared(name: str, folder: Path) -> dict[str, Path]:
    """The files of a model, written once."""
    from suasion.markov import MDP, write_model

    files = {kind: folder / f"{name}.{kind}" for kind in ("npz", "umb")} | {"arrays": folder / f"{name}.arrays.npz"}
    if not files["npz"].exists():
        for stale in folder.iterdir():
            if stale.suffix in (".npz", ".umb"):
                stale.unlink()
        model = MDP.from_branches(**FAMILY[name]())
        write_model(model, files["npz"])
        write_model(model, files["umb"])
        fields = ("choice_start", "branch_start", "target", "probability", "choice_reward")
        np.savez(files["arrays"], **{field: getattr(model, field) for field in fields})
    return files


def _ours(model: Path, common: list[str], values: Path, method: str) -> Contender:
    arguments = (str(model), *common, "--method", method, "--values", str(values))
    return Contender(name=f"suasion {method}", module="_worker_planning", arguments=arguments)


def _peer(name: str, model: Path, common: list[str], values: Path) -> Contender:
    arguments = (name, str(model), *common, "--values", str(values))
    python = str(interpreter(PLANNERS))
    return Contender(name=name, module="_worker_planners", arguments=arguments, python=python)


def _oriented(found: Any, name: str, case: Case) -> Any:
    """A peer's values with our sign; ours are a stack of value and bounds."""
    if name == "value_iteration":
        return found[0]
    if not np.isfinite(found).all():
        raise BenchmarkError(f"{name} returned a value of {case.model} that is not finite")
    return -found if case.model in COSTS and name != "storm" else found


def _backup(name: str, least: float, folder: Path, options: Options) -> str:
    say(f"planning, a backup of {name}")
    model = prepared(name, folder)["npz"]
    worker = Contender(name="backup", module="_worker_backup", arguments=(str(model), "0.99"))
    found = [row[0] for row in interleave([worker], options.repeats)]
    copy = [one["copied"] / one["copy"] for one in found]
    ours = [one["gigabytes"] / one["two"] for one in found]
    columns = {
        "backup, ms": [1e3 * one["two"] for one in found],
        "one thread, ms": [1e3 * one["one"] for one in found],
        "SciPy, ms": [1e3 * one["scipy"] for one in found],
        "backup, GB/s": ours,
        "copy, GB/s": copy,
    }
    bars = report.bar("share of the copy bandwidth", report.ratios(ours, copy), least=least)
    bars += report.bar("times SciPy", report.ratios(columns["SciPy, ms"], columns["backup, ms"]), least=2.5)
    return f"\n## One Bellman backup, {name}\n\n{report.repeats(columns, '.2f')}\n{bars}"
