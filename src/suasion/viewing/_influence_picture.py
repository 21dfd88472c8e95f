"""Who influences whom, as matrices for papers: influencers by row, influenced agents by column, in nats a step.

Letters of the shapes: k and j agents, e episodes, t steps.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from suasion.records import Episode, RecordError, find_runs, read_episode, read_run
from suasion.viewing._interval import column_intervals
from suasion.viewing._report_replay import recorded_episodes
from suasion.viewing._runs import group_runs
from suasion.viewing._style import COLOURS, INK, MUTED, new_figure, save_pictures, style

_CELL = 0.56  # inches
_LEAST = 4.8  # points: smaller numbers are left out
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NEVER = "hatched: 0 in every step (not counted, or no way to influence)"
_SCALE = LinearSegmentedColormap.from_list("influence", ["#FFFFFF", "#7FB8D8", COLOURS[0], "#003A5C"])


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PairInfluence:
    """Influence between each two agents of one condition.

    Attributes:
        mean: at [k, j] that of k on j, in nats a step; the diagonal means nothing.
        half: half-widths of 95 % intervals; None where there is but one value.
        never: pairs whose influence is exactly 0 in every step.
        over: what the mean and the interval are over, in words.

    Raises:
        ValueError: not square, shapes that differ, or a number off the diagonal that is not finite; named.
    """

    mean: Float[np.ndarray, "_ _"]
    half: Float[np.ndarray, "_ _"] | None
    never: Bool[np.ndarray, "_ _"]
    over: str = ""

    def __post_init__(self) -> None:
        rows, columns = self.mean.shape
        if rows != columns or not rows:
            raise ValueError(f"mean is {rows} by {columns}: it must be square, with at least one agent")
        for name in ("mean", "half", "never"):
            held = getattr(self, name)
            if held is None:
                continue
            if held.shape != self.mean.shape:
                raise ValueError(f"{name} is {held.shape[0]} by {held.shape[1]}, mean {rows} by {columns}")
            bad = ~np.isfinite(held) & ~np.eye(rows, dtype=bool)
            if bad.any():
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                raise ValueError(f"{name}{list(place)} is {held[place]}; must be finite")


def influence_of(
    runs: Sequence[Sequence[Episode]], kind: Literal["influence", "simulated"] = "influence"
) -> PairInfluence:
    r"""Mean influence $\bar I_{kj}$ over the steps and episodes of each run, and then over runs, with intervals.

    Intervals are Student's 95 %, over runs where there are several, else over the episodes of the one.

    Args:
        runs: the episodes of each; those without influence are passed over.
        kind: "influence" as the run's own reward sees it, "simulated" exactly, each step played again.

    Raises:
        ValueError: no episode holds influence of this kind, or numbers of agents differ.
    """
    found = [[pairs for one in episodes if (pairs := getattr(one, kind)) is not None] for episodes in runs]
    found = [pairs for pairs in found if pairs]
    if not found:
        raise ValueError(f"none of {sum(map(len, runs))} episodes holds {kind}; `suasion influence` measures it")
    sizes = {pairs.shape[1] for run in found for pairs in run}
    if len(sizes) > 1:
        raise ValueError(f"episodes of {' and '.join(map(str, sorted(sizes)))} agents do not go together")
    each = [[pairs.mean(axis=0, dtype=np.float64) for pairs in run] for run in found]
    never = np.all([(pairs == 0).all(axis=0) for run in found for pairs in run], axis=0)
    values = np.array([np.mean(run, axis=0) for run in each] if len(each) > 1 else each[0])
    half = None
    if len(values) > 1:
        half = column_intervals(values.reshape(len(values), -1))[1].reshape(values.shape[1:])
    count, thing = (len(each), "seed") if len(each) > 1 else (len(each[0]), "episode")
    return PairInfluence(mean=values.mean(axis=0), half=half, never=never, over=f"{count} {thing}{'s' * (count > 1)}")


def influence_figure(
    conditions: Mapping[str, PairInfluence], names: Sequence[str], *, width: float | None = None
) -> Figure:
    """Draw matrices side by side on one scale of colours: who (row) influences whom (column).

    A cell holds the mean in nats a step and, where there is room, the half-width of its 95 % interval. Pairs whose
    influence is 0 in every step are hatched: they are not counted, or there is no way to influence. The diagonal is
    empty.

    Args:
        conditions: title -> matrix, 1 to 8, of equally many agents.
        names: of the agents; `agent 1` and the like are written as numbers.
        width: of the figure in inches; by the number of agents, if not given.

    Returns:
        A figure, for `save_figure`.

    Raises:
        ValueError: no or too many conditions, numbers of agents that differ, or more than 32.
    """
    count = len(names)
    if not 1 <= len(conditions) <= 8:
        raise ValueError(f"{len(conditions)} conditions: must be 1 to 8")
    for title, one in conditions.items():
        if len(one.mean) != count:
            raise ValueError(f"{title!r} has {len(one.mean)} agents, and there are {count} names")
    if count > 32:
        raise ValueError(f"{count} agents: must be 32 at most")
    columns, cell = _arranged(len(conditions), count, width)
    rows = -(-len(conditions) // columns)
    apart = ~np.eye(count, dtype=bool)
    largest = max(float(np.abs(one.mean[apart]).max(initial=0.0)) for one in conditions.values())
    numbers = _Numbers.for_largest(largest, cell)
    word = "nats a step" if not numbers.power else f"10{str(numbers.power).translate(_RAISED)} nats a step"
    labels = [found[1] if (found := re.fullmatch(r"agent (\d+)", name)) else name for name in names]
    with style():
        high = rows * (count * cell + 0.72) + 0.25
        figure = new_figure(width or columns * (count * cell + 0.55) + 0.85, high)
        drawn = []
        for place, (title, one) in enumerate(conditions.items()):
            axes = figure.add_subplot(rows, columns, place + 1)
            _matrix(axes, one, labels, numbers)
            axes.set_title(f"{title}\n{one.over}" if one.over else title, fontsize=9)
            axes.set_ylabel("influencer" if place % columns == 0 else "")
            axes.set_xlabel("influenced" if place + columns >= len(conditions) else "")
            drawn.append(axes)
        bar = figure.colorbar(
            ScalarMappable(numbers.scale, _SCALE), ax=drawn, label=word, pad=0.03, aspect=14, shrink=0.9
        )
        bar.outline.set_linewidth(0.6)
        if any((one.never & apart).any() for one in conditions.values()):
            figure.supxlabel(_NEVER, x=0.01, ha="left", fontsize=6.5, color=MUTED)
    return figure


def _arranged(conditions: int, agents: int, width: float | None) -> tuple[int, float]:
    """Matrices in a row, and the side of a cell."""
    if width is None:
        return min(conditions, max(1, int(9 / (agents * _CELL + 0.55)))), min(_CELL, 6 / agents)
    columns = conditions
    while columns > 1 and (width - 0.85) / columns - 0.55 < min(agents * 0.3, 1.6):
        columns -= 1
    return columns, min(_CELL, max(0.1, ((width - 0.85) / columns - 0.55) / agents))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Numbers:
    """How numbers are shown: the scale of colours, what it counts in (10^power), decimals, a cell's side in inches."""

    scale: Normalize
    unit: float
    power: int
    decimals: int
    cell: float

    @classmethod
    def for_largest(cls, largest: float, cell: float) -> _Numbers:
        """Three digits of the largest number."""
        power = 3 * int(np.floor(np.log10(largest) / 3)) if 0 < largest < 0.02 else 0
        unit = 10.0**power
        top = largest / unit or 1.0
        decimals = min(6, max(0, 2 - int(np.floor(np.log10(top))))) if largest else 0
        return cls(scale=Normalize(0.0, top), unit=unit, power=power, decimals=decimals, cell=cell)

    def write(self, axes: Axes, one: PairInfluence, k: int, j: int) -> None:
        """The mean, and the half-width below it where there is room; in a small cell nothing."""
        value = float(one.mean[k, j]) / self.unit
        size, small = min(8.0, 96 * self.cell / (self.decimals + 2)), min(6.0, 105 * self.cell / (self.decimals + 4))
        look: dict[str, Any] = {"ha": "center", "color": "white" if self.scale(value) > 0.45 else INK}
        said = f"{value:.{self.decimals}f}"
        if size < _LEAST:
            return
        if one.half is None or small < _LEAST:
            axes.text(j, k, said, va="center", fontsize=size, **look)
            return
        axes.text(j, k - 0.04, said, va="bottom", fontsize=size, **look)
        half = f"± {one.half[k, j] / self.unit:.{self.decimals}f}"
        axes.text(j, k + 0.06, half, va="top", fontsize=small, **look)


def _matrix(axes: Axes, one: PairInfluence, labels: Sequence[str], numbers: _Numbers) -> None:
    count = len(labels)
    for k in range(count):
        for j in range(count):
            look: dict[str, Any] = {"facecolor": _SCALE(numbers.scale(one.mean[k, j] / numbers.unit))}
            if k == j:
                look = {"facecolor": "#F2F2F2"}
            elif one.never[k, j]:
                look = {"facecolor": "white", "hatch": "////"}
            square = Rectangle((j - 0.5, k - 0.5), 1, 1, edgecolor="#BBBBBB", linewidth=0.5, **look)
            square.set_gid(f"cell-{k}-{j}")
            axes.add_patch(square)
            if k != j and not one.never[k, j]:
                numbers.write(axes, one, k, j)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks(range(count), labels, rotation=90 if max(map(len, labels)) > 6 else 0)
    axes.set_yticks(range(count), labels)
    axes.tick_params(length=0)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def plot_influence(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    kind: Literal["influence", "simulated"] = "influence",
    width: float | None = None,
) -> list[Path]:
    """Draw who influences whom in runs, from their recorded episodes; runs that differ only in their seed together.

    Args:
        paths: runs, or folders of runs. Of each, the episodes of its latest step of training that were recorded.
        out: a file that ends in .png, .svg or .pdf; else a name without an ending, or a folder, for `influence`, and
            all three are written.
        kind: see `influence_of`.
        width: see `influence_figure`.

    Returns:
        The files; equal records give equal bytes.

    Raises:
        RecordError: no runs, or damaged ones or episodes.
        ValueError: no episode holds influence, or numbers of agents differ; named.
    """
    found = {run.resolve(): run for path in paths for run in find_runs(path)}.values()  # each once
    runs = [read_run(path) for path in found]
    conditions, names = {}, None
    for label, group in group_runs(runs).items():
        told = [_latest(run.path, kind) for run in group]
        try:
            conditions[label] = influence_of(told, kind)
        except ValueError as error:
            raise ValueError(f"{label}: {error}") from error
        names = names or next(one.agents for episodes in told for one in episodes)
    if names is None:
        raise RecordError("no run given")
    return save_pictures(influence_figure(conditions, names, width=width), out, "influence")


def _latest(path: Path, kind: str) -> list[Episode]:
    """Episodes with influence, of the most trained agents that have some."""
    found: list[Episode] = []
    for file in recorded_episodes(path):  # the latest first
        episode = read_episode(file)
        if found and episode.step < found[0].step:
            break
        if getattr(episode, kind) is not None:
            found.append(episode)
    return found
