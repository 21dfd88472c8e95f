"""Learning curves: a mean over seeds with its interval, and each seed as a thin line.

Letters of the shapes: n seeds, p points.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from suasion.records import Metrics
from suasion.viewing._interval import column_intervals
from suasion.viewing._style import MUTED, line_of, new_figure, style

Rows = Metrics | Sequence[Mapping[str, Any]]
_UNITS = ((2_000_000, 1_000_000, " (million)"), (2_000, 1_000, " (thousand)"), (0, 1, ""))


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A metric of one seed.

    Attributes:
        steps: environment steps, rising.
        values: in the metric's unit; NaN where it is undefined.
    """

    steps: Int64[np.ndarray, " p"]
    values: Float64[np.ndarray, " p"]


def learning_curves(
    groups: Mapping[str, Sequence[Rows]],
    metric: str,
    *,
    ylabel: str | None = None,
    reference: Mapping[str, float] | None = None,
    smooth: int = 1,
    levels: Sequence[float] = (0.95,),
    width: float = 6.4,
) -> Figure:
    """Draw a metric against environment steps, one colour for each group of seeds.

    Thick: the mean over the group's seeds. Bands: its Student t intervals at each step (not for all steps at
    once), 95 % unless told; none for a single seed. Thin: each seed. All seeds of a group must have the same
    grid of steps, nothing is interpolated; a seed may be shorter than the others (a run that is still going),
    and the mean ends with it. Where the metric is undefined (null) the curve has a gap, and the mean has one where any
    seed has: it is never taken over a changing set of seeds.

    Args:
        groups: label -> rows of each seed, as `read_metrics` gives them. Rows without the metric are passed
            over.
        metric: the key; an entry of a list as `key[2]`.
        ylabel: with the unit; the key itself if not given.
        reference: label -> height of a dashed line, such as a scripted policy's score.
        smooth: each point is the mean of the last so many defined points of its seed, before any averaging
            over seeds; 1 leaves them as they are.
        levels: confidence of each band.
        width: in inches; 3.3 is a column of a paper.

    Returns:
        A figure; see `save_figure`.

    Raises:
        ValueError: no groups or seeds, a metric that is missing or no number, steps that do not rise or grids
            that differ, a reference that is not finite; named.
    """
    curves = {label: _group(seeds, metric, label, smooth) for label, seeds in groups.items()}
    if not curves:
        raise ValueError("0 groups; at least 1 is needed")
    with style():
        figure = new_figure(width, max(0.625 * width, 2.4))
        axes = figure.add_subplot()
        lines = draw_curves(axes, curves, list(curves), reference or {}, levels)
        axes.set_ylabel(ylabel or metric)
        draw_legend(figure, list(lines.values()))
    return figure


def draw_curves(
    axes: Axes,
    curves: Mapping[str, Sequence[Curve]],
    order: Sequence[str],
    reference: Mapping[str, float],
    levels: Sequence[float] = (0.95,),
) -> dict[str, Line2D]:
    """Draw groups of curves into `axes`; a group's colour is its place in `order`. Gives each group's line."""
    lines = {}
    for label, seeds in curves.items():
        colour, dashes = line_of(order.index(label))
        shared = min(len(seed.steps) for seed in seeds)
        values = np.stack([seed.values[:shared] for seed in seeds])
        mean = column_intervals(values)[0]
        steps = seeds[0].steps[:shared]
        if len(seeds) > 1:
            for seed in seeds:
                axes.plot(seed.steps, seed.values, color=colour, alpha=0.35, linewidth=0.6)
            for level in levels:
                half = column_intervals(values, level)[1]
                axes.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.18 / len(levels), linewidth=0)
        name = f"{label} ({len(seeds)} seed{'s' * (len(seeds) > 1)})"
        (lines[label],) = axes.plot(steps, mean, color=colour, linestyle=dashes, label=name)
        alone = _isolated(mean)
        axes.plot(steps[alone], mean[alone], ".", color=colour)
    for label, height in reference.items():
        if not np.isfinite(height):
            raise ValueError(f"reference[{label!r}] is {height}; must be finite")
        axes.axhline(height, color=MUTED, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1.5)
        axes.annotate(
            label,
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            color=MUTED,
            fontsize=8,
        )
    _label_steps(axes, max(int(seed.steps[-1]) for seeds in curves.values() for seed in seeds))
    return lines


def draw_legend(figure: Figure, lines: Sequence[Line2D]) -> None:
    """One legend for all axes, above the figure, where it covers no curve."""
    labels = [str(line.get_label()) for line in lines]
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 13) // (max(map(len, labels)) + 6)))
    figure.legend(lines, labels, loc="outside upper left", ncols=columns)


def curve_of(rows: Rows, metric: str, place: str, smooth: int = 1) -> Curve:
    """The points of one seed at which the metric was written.

    Raises:
        ValueError: there are none, or a value is no number, or steps do not rise; `place` is named.
    """
    if smooth < 1:
        raise ValueError(f"smooth is {smooth}; must be at least 1")
    table = rows.rows if isinstance(rows, Metrics) else rows
    found = [(row["step"], value) for row in table if (value := _value(row, metric)) is not _MISSING]
    if not found:
        keys = sorted({key for row in table for key in row} - {"step", "non_finite"})
        raise ValueError(f"{place}: none of {len(table)} rows holds {metric!r}; there are {', '.join(keys) or 'none'}")
    for step, value in found:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(
                f"{place}: {metric!r} at step {step} is a {type(value).__name__}; must be a number or null"
            )
    steps = np.array([step for step, _ in found], np.int64)
    if (falls := np.flatnonzero(np.diff(steps) <= 0)).size:
        raise ValueError(f"{place}: {metric!r}: step {steps[falls[0] + 1]} comes after step {steps[falls[0]]}")
    values = np.array([np.nan if value is None else value for _, value in found], np.float64)
    return Curve(steps=steps, values=trailing_mean(values, smooth))


def trailing_mean(values: Float64[np.ndarray, " p"], window: int) -> Float64[np.ndarray, " p"]:
    """Mean of the last `window` defined points up to each point; a gap (NaN) stays a gap, and is not
    counted."""
    defined = ~np.isnan(values)
    kept = values[defined]
    # The first value is subtracted, lest a running sum of large values lose the digits of small differences.
    start = kept[0] if kept.size else 0.0
    total = np.concatenate([[0.0], np.cumsum(kept - start)])
    ends = np.arange(1, len(kept) + 1)
    begins = np.maximum(0, ends - window)
    smoothed = np.full_like(values, np.nan)
    smoothed[defined] = start + (total[ends] - total[begins]) / (ends - begins) if window > 1 else kept
    return smoothed


_MISSING = object()


def _value(row: Mapping[str, Any], metric: str) -> Any:
    if metric in row:
        return row[metric]
    match = re.fullmatch(r"(.+)\[([0-9]{1,6})\]", metric, re.DOTALL)
    if match and isinstance(row.get(match[1]), list):
        entries = row[match[1]]
        return entries[int(match[2])] if int(match[2]) < len(entries) else _MISSING
    return _MISSING


def _group(seeds: Sequence[Rows], metric: str, label: str, smooth: int) -> list[Curve]:
    """The curves of one group, on one grid."""
    if not seeds:
        raise ValueError(f"group {label!r} has 0 seeds; at least 1 is needed")
    curves = [curve_of(rows, metric, f"group {label!r}, seed {n}", smooth) for n, rows in enumerate(seeds)]
    check_grids(curves, label, metric)
    return curves


def check_grids(curves: Sequence[Curve], label: str, metric: str) -> None:
    """Refuse seeds whose steps differ; one may be the beginning of another.

    Raises:
        ValueError: naming the group, the seed and the first step that differs.
    """
    longest = max((curve.steps for curve in curves), key=len)
    for n, curve in enumerate(curves):
        differs = np.flatnonzero(curve.steps != longest[: len(curve.steps)])
        if differs.size:
            place = differs[0]
            raise ValueError(
                f"group {label!r}, seed {n}: {metric!r} is at step {curve.steps[place]} where another seed has "
                f"{longest[place]}: seeds of a group need the same steps"
            )


def _isolated(values: Float64[np.ndarray, " p"]) -> np.ndarray:
    """Points between two gaps, which a line would not show."""
    gaps = np.concatenate([[True], np.isnan(values), [True]])
    return ~gaps[1:-1] & gaps[:-2] & gaps[2:]


def _label_steps(axes: Axes, last: int) -> None:
    _, unit, name = next(entry for entry in _UNITS if last >= entry[0])
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / unit:g}"))
    axes.set_xlabel(f"environment steps{name}")
    axes.margins(x=0.02)
