"""Runs on disk, grouped by what they asked for, drawn side by side."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from suasion.records import RecordError, Run, find_runs, read_run
from suasion.viewing._curves import Curve, check_grids, curve_of, draw_curves, draw_legend
from suasion.viewing._style import MUTED, new_figure, save_pictures, style

_MOST_PANELS = 12


def plot_runs(
    paths: Sequence[str | Path],
    out: str | Path,
    metrics: Sequence[str] | None = None,
    *,
    smooth: int = 1,
    width: float | None = None,
) -> list[Path]:
    """Draw the metrics of runs, a panel each, runs that differ only in their seed as one curve.

    A group's name is its configuration's "label", else the folder that holds it alone, else the run's folder
    without its seed. See `learning_curves` for what the curves are. What is left out is said below the
    panels.

    Args:
        paths: runs, or folders of runs.
        out: a file that ends in .png, .svg or .pdf; else a name without an ending, or a folder, for `curves`, and all
            three are written.
        metrics: the keys to draw. None: the numbers under `episode/`, then those under `reward/`, at most 12.
        smooth: see `learning_curves`.
        width: of the figure in inches, with fewer panels in a row where it is narrow; 3.3 is a column of a paper. By
            the number of panels, if not given.

    Returns:
        The files; equal runs give equal bytes.

    Raises:
        RecordError: no runs, or damaged ones, or none with metrics.
        ValueError: a metric that no run has, or seeds with different steps; named.
    """
    found = {run.resolve(): run for path in paths for run in find_runs(path)}.values()  # each once
    runs = [read_run(path) for path in found]
    notes = [f"left out, no metrics yet: {run.path}" for run in runs if not run.metrics]
    notes += [f"last line incomplete: {run.path}" for run in runs if run.torn and run.metrics]
    runs = [run for run in runs if run.metrics]
    if not runs:
        raise RecordError(f"none of {len(found)} runs has metrics yet: {', '.join(map(str, found))}")
    if metrics is None:
        keys = default_metrics(runs)
        if len(keys) > _MOST_PANELS:
            notes.append(f"{_MOST_PANELS} of {len(keys)} metrics shown")
        metrics = keys[:_MOST_PANELS]
    return save_pictures(_panels(group_runs(runs), metrics, notes, smooth, width), out, "curves")


def default_metrics(runs: Sequence[Run]) -> list[str]:
    """The return, then the other keys under `episode/` and `reward/` that hold numbers in some run.

    Raises:
        ValueError: there are none; the keys there are get listed.
    """
    keys = {key for run in runs for row in run.metrics for key, value in row.items() if isinstance(value, int | float)}
    first = "episode/return"
    plain = keys - {first, "episode/count", "episode/length"}  # how many ended, and their length, is no result
    chosen = [first] if first in keys else []
    chosen += [key for start in ("episode/", "reward/") for key in sorted(plain) if key.startswith(start)]
    if not chosen:
        names = ", ".join(sorted(keys - {"step"})) or "none"
        raise ValueError(f"no metric begins with episode/ or reward/; name some of: {names}")
    return chosen


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs of one configuration but for the seed, by a name that tells the groups apart."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(_without_seed(run.config), sort_keys=True), []).append(run)
    named: dict[str, list[Run]] = {}
    for group in groups.values():
        name = _name(group, runs)
        label = name
        number = 2
        while label in named:
            label, number = f"{name} #{number}", number + 1
        named[label] = group
    return named


def _without_seed(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _without_seed(value) for key, value in config.items() if key != "seed"}
    return [_without_seed(entry) for entry in config] if isinstance(config, list) else config


def _name(group: Sequence[Run], runs: Sequence[Run]) -> str:
    label = group[0].config.get("label")
    if isinstance(label, str) and label.strip():
        return label.strip()
    # Relative paths such as "." have no name.
    folders = [run.path.resolve() for run in group]
    parents = {folder.parent for folder in folders}
    inside = {id(run) for run in runs if run.path.resolve().parent in parents}
    own = re.sub(r"[-_. ]*(seed|s)?[-_. ]*[0-9]+$", "", folders[0].name)
    if not own or (len(parents) == 1 and len(group) > 1 and inside == {id(run) for run in group}):
        return folders[0].parent.name or own or "runs"
    return own


def _panels(
    groups: Mapping[str, Sequence[Run]], metrics: Sequence[str], notes: Sequence[str], smooth: int, width: float | None
) -> Figure:
    if not metrics:
        raise ValueError("0 metrics; at least 1 is needed")
    columns = 1 if len(metrics) == 1 else 2 if len(metrics) in (2, 4) else 3
    if width is not None:
        columns = max(1, min(columns, int(width / 2.4)))
    height = -(-len(metrics) // columns)
    wide = max(6.4, 3.6 * columns) if width is None else width
    high = max(2.5, 3.4 - 0.3 * height) if width is None else min(2.5, max(1.8, 0.75 * wide / columns))
    with style():
        figure = new_figure(wide, 0.6 + high * height)
        order = list(groups)
        lines: dict[str, Line2D] = {}
        for place, metric in enumerate(metrics):
            axes = figure.add_subplot(height, columns, place + 1)
            lines = draw_curves(axes, _curves(groups, metric, smooth), order, {}) | lines
            axes.set_title(metric)
            if place + columns < len(metrics):
                axes.set_xlabel("")
        draw_legend(figure, [lines[label] for label in order if label in lines])
        if notes:
            figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=7, color=MUTED)
    return figure


def _curves(groups: Mapping[str, Sequence[Run]], metric: str, smooth: int) -> dict[str, list[Curve]]:
    """The groups that have the metric; within such a group, every seed must."""
    curves: dict[str, list[Curve]] = {}
    fault: ValueError | None = None
    for label, runs in groups.items():
        try:
            some = [curve_of(run.metrics, metric, str(run.path), smooth) for run in runs]
        except ValueError as error:
            if any(metric in row for run in runs for row in run.metrics):
                raise
            fault = error
            continue
        check_grids(some, label, metric)
        curves[label] = some
    if fault is not None and not curves:
        raise fault
    return curves
