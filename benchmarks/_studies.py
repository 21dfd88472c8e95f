"""Studies: one game under several conditions and seeds, two runs at a time, resumable, then played and measured."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks import _report as report
from benchmarks._processes import ROOT, BenchmarkError, Contender, measure, say, surroundings, tail

FOLDER = "SUASION_STUDIES"  # where runs are kept, and taken as they are if finished
BUDGET = "SUASION_STUDY_SECONDS"  # after which no run is begun any more; what is missing is said
PROCESSES = 2  # each on one device with one thread
RUNS = (
    f"in a temporary folder, or in {FOLDER} if set: outcomes found there are taken as they are, so that a study can be "
    f"stopped and goes on; none is begun after {BUDGET} seconds, if set"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Conditions of one game.

    Attributes:
        name: of its folder.
        conditions: label -> arguments of `suasion train`.
        twins: label -> label of the condition whose weights, as they were in its run of the same seed, go before
            those arguments: a control has the very curriculum of the run that it is compared with.
        seeds: of every condition, or by label where they differ.
        episodes: of the evaluation of each run, sampled and greedy.
    """

    name: str
    conditions: Mapping[str, tuple[str, ...]]
    seeds: Mapping[str, Sequence[int]]
    twins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    episodes: int = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """A trained run: CPU seconds, its weights as they were, and its measures, sampled and greedy."""

    cpu: float
    rewards: dict[str, str]
    sampled: dict[str, float | None]
    greedy: dict[str, float | None]


@contextlib.contextmanager
def root() -> Iterator[Path]:
    """The folder of all studies: that of `RUNS`."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(os.environ.get(FOLDER) or folder)


def outcomes(study: Study, root: Path) -> dict[str, dict[int, Outcome]]:
    """Train and measure what is not there yet; condition -> seed -> outcome, without runs that time was short for."""
    begun, budget = time.monotonic(), float(os.environ.get(BUDGET, "inf"))
    found: dict[str, dict[int, Outcome]] = {label: {} for label in study.conditions}

    def late() -> bool:
        return time.monotonic() - begun > budget

    # Twins first: others wait for how they went.
    twins = [label for label in study.conditions if label in study.twins.values()]
    for turn in (twins, [label for label in study.conditions if label not in twins]):
        wanted = [(label, seed) for label in turn for seed in study.seeds[label]]
        with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
            tasks = {pool.submit(_one, study, root, label, seed, found, late): (label, seed) for label, seed in wanted}
            for task in concurrent.futures.as_completed(tasks):
                label, seed = tasks[task]
                if (outcome := task.result()) is not None:
                    found[label][seed] = outcome
                    say(f"  {study.name}: {label}, seed {seed} done")
    return {label: dict(sorted(seeds.items())) for label, seeds in found.items()}


def folder(root: Path, study: Study, label: str) -> Path:
    """Where the runs of a condition are."""
    return root / study.name / "".join(c if c.isalnum() else "-" for c in label)


def _one(
    study: Study,
    root: Path,
    label: str,
    seed: int,
    found: Mapping[str, Mapping[int, Outcome]],
    late: Callable[[], bool],
) -> Outcome | None:
    """One run; what was measured of it is kept beside it. None if it is not there and it is too late to begin."""
    out = folder(root, study, label)
    kept = out / f"outcome-{seed}.json"
    if not kept.exists():
        if late():
            return None
        words = study.conditions[label]
        if label in study.twins:
            extrinsic = found[study.twins[label]][seed].rewards["extrinsic"]
            words = (*words, "--reward", f"extrinsic={extrinsic}")
        cpu = _train((*words, "--seed", str(seed), "--shards", "1"), out)
        worker = Contender(
            name=f"{label}, seed {seed}",
            module="_worker_observe",
            arguments=(str(out / f"seed-{seed}"), str(study.episodes)),
        )
        kept.write_text(json.dumps({"cpu": cpu, **measure(worker)}))
    return Outcome(**json.loads(kept.read_text()))


def _train(arguments: Sequence[str], out: Path) -> float:
    """Run `suasion train` to its end; CPU seconds of this process alone, all its threads."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "suasion", "train", *arguments, "--out", str(out)]
    errors = out / f"errors-{os.getpid()}-{abs(hash(arguments))}.txt"
    with errors.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=surroundings(), stdout=subprocess.DEVNULL, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    told = errors.read_text(errors="replace")
    errors.unlink()
    if process.returncode:
        raise BenchmarkError(f"`suasion {' '.join(command[3:])}` ended with {process.returncode}:\n{tail(told)}")
    return usage.ru_utime + usage.ru_stime


def table(found: Mapping[str, Mapping[int, Outcome]], columns: Mapping[str, str]) -> str:
    """Every seed: the measures named by `columns` (name -> title), sampled, and CPU seconds."""
    rows = [
        (label, str(seed), *(number(one.sampled.get(name)) for name in columns), f"{one.cpu:.0f}")
        for label, seeds in found.items()
        for seed, one in seeds.items()
    ]
    return report.table(("condition", "seed", *columns.values(), "CPU s"), rows)


def number(value: float | None, form: str = ".3g") -> str:
    """A cell."""
    return "-" if value is None else format(value, form)


def values(found: Mapping[int, Outcome], name: str, *, greedy: bool = False) -> list[float]:
    """One measure of all seeds, where it is defined."""
    each = [(one.greedy if greedy else one.sampled).get(name) for one in found.values()]
    return [value for value in each if value is not None]


def interval(each: Sequence[float]) -> str:
    """Mean and half-width of the 95 % interval by Student's t."""
    from suasion.viewing import mean_interval

    centre, half = mean_interval(each)
    return f"{centre:.3g}" if half is None else f"{centre:.3g} ± {half:.2g}"


def difference(x: Sequence[float], y: Sequence[float]) -> str:
    """mean(x) - mean(y) with the 95 % interval of Welch."""
    from scipy import stats

    test = stats.ttest_ind(x, y, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return f"{mean(x) - mean(y):.3g} (95 %: {low:.3g} to {high:.3g}; p = {test.pvalue:.2g})"


def summary(found: Mapping[str, Mapping[int, Outcome]], names: Mapping[str, str]) -> str:
    """A line for each condition: median over seeds and the interval of the mean, for each measure."""
    rows = []
    for label, seeds in found.items():
        if not seeds:
            rows.append((label, "0, not run", *("-" for _ in names), "-"))
            continue
        cells: list[Any] = [label, str(len(seeds))]
        for name in names:
            each = values(seeds, name)
            cells.append(f"{median(each):.3g}; {interval(each)}" if each else "-")
        rows.append((*cells, f"{median(one.cpu for one in seeds.values()):.0f}"))
    head = ("condition", "seeds", *(f"{title}: median; mean ± 95 %" for title in names.values()), "CPU s, median")
    return report.table(head, rows)
