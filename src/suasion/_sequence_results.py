"""What `suasion sequence` leaves beside its runs: curves, a table, samples. It reads what lies on disk."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from suasion.records import Run, RunPaths, find_runs, read_metrics, read_run, write_whole
from suasion.viewing import Banded, Panel, banded_curves, comparison_table, mean_interval, save_pictures

if TYPE_CHECKING:
    from suasion._sequence_runs import Plan
    from suasion.sequence import Sampling

_WRITTEN = ("curves.png", "curves.svg", "curves.pdf", "results.md", "results.csv", "samples.txt")
GOAL = 0.99  # share of right answers that counts as having learned a task


def check_neighbours(out: Path, plans: Sequence[Plan]) -> None:
    """Refuse a folder with anything else in it than runs of the same comparison: other cores, other seeds.

    Raises:
        ValueError: with the file, or with the run and what differs.
    """
    from suasion.sequence import CORES

    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"{out}: exists and is not a folder")
    own = {*CORES, *_WRITTEN}
    foreign = sorted(path.name for path in out.iterdir() if path.name not in own and not path.name.startswith("."))
    if foreign:
        raise ValueError(f"{out}: holds {', '.join(foreign[:5])}: not the folder of a comparison, and not empty")
    wanted = _compared(plans[0].to_json())
    for manifest in sorted(out.glob("*/seed-*/manifest.json")):  # the last file that is made when a run begins
        path = manifest.parent
        there = _compared(read_run(path).config)
        differing = sorted(key for key in wanted.keys() | there.keys() if wanted.get(key) != there.get(key))
        if differing:
            shown = "; ".join(f"{key} is {_short(there.get(key))}, not {_short(wanted.get(key))}" for key in differing)
            raise ValueError(f"{path}: is a run of another comparison: {shown}. Name another folder with --out")


def write_results(out: Path) -> list[Path]:
    """Curves, the table (printed as well) and every run's numbers, of all runs in a folder.

    Returns:
        The files.
    """
    groups: dict[str, list[Run]] = {}
    for path in find_runs(out):
        run = read_run(path)
        if run.metrics:
            groups.setdefault(str(run.config["label"]), []).append(run)
    figure = banded_curves(_panels(groups), title=_caption(groups))
    paths = save_pictures(figure, out, "curves")
    table = comparison_table({core: _columns(runs) for core, runs in groups.items()}, _titles(groups))
    print(table)
    write_whole(out / "results.md", [table.encode()])
    write_whole(out / "results.csv", [_lines(groups).encode()])
    return [*paths, out / "results.md", out / "results.csv"]


def write_samples(out: Path, places: Sequence[tuple[Plan, Path]], characters: int, sampling: Sampling) -> Path:
    """What the first seed of each core writes after the first window of what was held out.

    Returns:
        The file.
    """
    import jax

    from suasion._sequence_runs import load_stack
    from suasion.sequence import Text, write

    told = []
    for core in dict.fromkeys(plan.architecture.core for plan, _ in places):
        plan, path = next((plan, path) for plan, path in places if plan.architecture.core == core)
        task = plan.task
        assert isinstance(task, Text)
        prompt = task.held[: task.window]
        drawn = write(jax.random.key(plan.seed), load_stack(plan, path), prompt[:, None], characters, sampling)
        before, after = task.alphabet.decode(prompt), task.alphabet.decode(drawn[:, 0])
        told.append(f"=== {core}, seed {plan.seed}\n--- read\n{before}\n--- written\n{after}\n")
    path = out / "samples.txt"
    write_whole(path, ["\n".join(told).encode()])
    return path


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """What all runs of a comparison have in common."""
    made = dict(config.get("architecture", {}))
    made.pop("core", None)
    own = {key: value for key, value in config.items() if key not in ("label", "seed", "architecture")}
    return json.loads(json.dumps(own | {"architecture": made}))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."


def _title(groups: Mapping[str, Sequence[Run]]) -> str:
    run = next(iter(groups.values()))[0]
    return str(run.config["task"]["name"])


def _caption(groups: Mapping[str, Sequence[Run]]) -> str:
    many = max(map(len, groups.values()))
    return _title(groups) + (f", mean of up to {many} seeds with 95 % interval" if many > 1 else "")


def _panels(groups: Mapping[str, Sequence[Run]]) -> list[Panel]:
    accuracy = {core: _band(runs, "evaluation/accuracy") for core, runs in groups.items()}
    loss = {core: _band(runs, "evaluation/loss") for core, runs in groups.items()}
    return [
        Panel(curves=accuracy, xlabel="updates", ylabel="right answers, held out (share)", limits=(0.0, 1.02)),
        Panel(curves=loss, xlabel="updates", ylabel="cross-entropy, held out (nats)"),
    ]


def _band(runs: Sequence[Run], key: str) -> Banded:
    """The mean over seeds as far as all of them are, and its interval."""
    length = min(len(run.metrics) for run in runs)
    values = np.array([[row[key] for row in run.metrics[:length]] for run in runs], np.float64)
    at = np.array([row["step"] for row in runs[0].metrics[:length]])
    if len(runs) == 1:
        return Banded(at=at, middle=values[0])
    middle, half = np.array([mean_interval(column.tolist()) for column in values.T], np.float64).T
    return Banded(at=at, middle=middle, lower=middle - half, upper=middle + half)


def _titles(groups: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    text = _title(groups) == "text"
    loss = {"bits": "bits per character"} if text else {"loss": "cross-entropy (nats)"}
    goal = {} if text else {"reached": f"updates to {GOAL:.0%}"}
    return {"thousands": "thousand parameters", "accuracy": "right, held out"} | loss | goal | {"seconds": "seconds"}


def _columns(runs: Sequence[Run]) -> dict[str, list[float | None]]:
    each: list[dict[str, Any]] = [numbers(run) for run in runs]
    columns: dict[str, list[float | None]] = {
        key: [None if (number := one[key]) is None else float(number) for one in each] for key in each[0]
    }
    columns["thousands"] = [one["parameters"] / 1000 for one in each]
    return columns


def numbers(run: Run) -> dict[str, int | float | None]:
    """What a run has come to.

    Returns:
        Updates; parameters; share of right answers, nats and bits at the end; the update from which on the share never
        fell below the goal again (None where it did not get there); seconds of training, over all starts.
    """
    last = run.metrics[-1]
    below = [row["step"] for row in run.metrics if row["evaluation/accuracy"] < GOAL]
    later = [row["step"] for row in run.metrics if not below or row["step"] > below[-1]]
    return {
        "updates": last["step"],
        "parameters": run.manifest["parameters"],
        "accuracy": last["evaluation/accuracy"],
        "loss": last["evaluation/loss"],
        "bits": last["evaluation/loss"] / math.log(2),
        "reached": later[0] if later else None,
        "seconds": _seconds(run.path),
    }


def _seconds(path: Path) -> float | None:
    """Time of all starts: each counts from 0, and waits its own time for its first update."""
    timing = RunPaths(path).timing
    if not timing.exists():
        return None
    rows = read_metrics(timing).rows
    ends = [
        row["seconds"]
        for row, after in zip(rows, [*rows[1:], None], strict=True)
        if after is None
        or after["seconds"] < row["seconds"]
        or after.get("first_update_seconds") != row.get("first_update_seconds")
    ]
    return sum(ends)


def _lines(groups: Mapping[str, Sequence[Run]]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    header = ["updates", "parameters", "accuracy", "loss", "bits", "reached", "seconds"]
    writer.writerow(["core", "seed", *header])
    for core, runs in groups.items():
        for run in runs:
            found = numbers(run)
            writer.writerow([core, run.config["seed"], *("" if found[key] is None else found[key] for key in header)])
    return lines.getvalue()
