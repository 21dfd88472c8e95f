"""Series over time: what was seen, what is estimated with its bands, and probabilities of states.

Letters of the shapes: t steps, k states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from suasion.viewing._style import COLOURS, INK, MUTED, new_figure, style

_MOST = 12  # panels
_DENSE = 400  # points from which on they are drawn smaller
_NARROW = 5.0  # inches below which a legend has two columns
_AHEAD = "#F3EFE4"  # paper under what is not yet seen


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimate over time, and what was seen of it.

    Attributes:
        title: of the panel.
        x: where the steps lie, rising.
        mean: the estimate; NaN where there is none.
        low: lower end of its interval.
        high: upper end.
        inner: ends of a narrower interval within, drawn darker; None for one band only.
        seen: what was observed; NaN where nothing was, None if it cannot be seen.
        ahead: number of the first step that is a forecast; None if none is.
    """

    title: str
    x: Float64[np.ndarray, " t"]
    mean: Float64[np.ndarray, " t"]
    low: Float64[np.ndarray, " t"]
    high: Float64[np.ndarray, " t"]
    inner: tuple[Float64[np.ndarray, " t"], Float64[np.ndarray, " t"]] | None = None
    seen: Float64[np.ndarray, " t"] | None = None
    ahead: int | None = None


def estimates_figure(
    panels: Sequence[Estimate],
    *,
    xlabel: str = "step",
    band: str = "95 %",
    inner: str = "50 %",
    width: float = 7.5,
) -> Figure:
    """Draw estimates below each other: line and bands, dots for what was seen.

    Steps at which nothing was seen are marked at the lower edge, if some was seen before a forecast; what is a forecast
    lies on a darker ground.

    Args:
        panels: 1 to 12.
        xlabel: below the last.
        band: what the band is, in words.
        inner: what the narrower band is.
        width: in inches; 3.3 is a column of a paper.

    Returns:
        The figure, for `save_figure`.

    Raises:
        ValueError: no panels, or more than 12.
    """
    if not 1 <= len(panels) <= _MOST:
        raise ValueError(f"{len(panels)} panels: must be 1 to {_MOST}")
    with style():
        figure = new_figure(width, 0.8 + min(2.4, 0.5 * width) * len(panels))
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        shown: dict[str, Artist] = {}
        for axes, panel in zip(rows, panels, strict=True):
            _estimate(axes, panel, band, inner)
            shown |= {str(label): handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        rows[-1].set_xlabel(xlabel)
        _number_steps(rows[-1], panels[0].x, width)
        _legend(figure, shown, width)
    return figure


def _estimate(axes: Axes, panel: Estimate, band: str, inner: str) -> None:
    colour = COLOURS[0]
    axes.fill_between(panel.x, panel.low, panel.high, color=colour, alpha=0.18, linewidth=0, label=band)
    if panel.inner is not None:
        axes.fill_between(panel.x, *panel.inner, color=colour, alpha=0.28, linewidth=0, label=inner)
    axes.plot(panel.x, panel.mean, color=colour, label="estimate")
    if panel.seen is not None:
        size = 12 if len(panel.x) < _DENSE else 3
        axes.scatter(panel.x, panel.seen, s=size, color=INK, linewidth=0, zorder=3, label="seen")
        _missing(axes, panel.x[: panel.ahead], np.isnan(panel.seen[: panel.ahead]))
    if panel.ahead is not None:
        _ground(axes, panel.x, panel.ahead)
    axes.set_title(panel.title)
    axes.margins(x=0.02)


def _missing(axes: Axes, x: Float64[np.ndarray, " t"], missing: Bool[np.ndarray, " t"]) -> None:
    """Bars at the lower edge, where some steps are seen and others are not."""
    if not missing.any() or missing.all():
        return
    edges = _edges(x)
    bars = [(edges[begin], edges[end] - edges[begin]) for begin, end in _stretches(missing) if missing[begin]]
    look: dict[str, Any] = {
        "transform": axes.get_xaxis_transform(),
        "facecolor": MUTED,
        "edgecolor": "none",
        "zorder": 3,
    }
    axes.broken_barh(bars, (0.0, 0.03), label="not seen", **look)


def _edges(x: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, " e"]:
    """Half way between steps; the first and the last step reach as far outwards as inwards."""
    half = np.diff(x) / 2 if len(x) > 1 else np.array([0.5])
    return np.concatenate([x[:1] - half[:1], x[:-1] + half[: len(x) - 1], x[-1:] + half[-1:]])


def _stretches(held: np.ndarray) -> list[tuple[int, int]]:
    """Begins and ends of what does not change."""
    changes = np.flatnonzero(np.diff(held)) + 1
    return list(zip([0, *changes.tolist()], [*changes.tolist(), len(held)], strict=True))


def _first_ahead(x: Float64[np.ndarray, " t"], ahead: int) -> float:
    """Where a forecast begins: in the middle between the last step and the first to come."""
    return float((x[ahead - 1] + x[ahead]) / 2 if ahead else x[0])


def _ground(axes: Axes, x: Float64[np.ndarray, " t"], ahead: int) -> None:
    """A forecast's ground."""
    axes.axvspan(_first_ahead(x, ahead), x[-1], facecolor=_AHEAD, edgecolor="none", zorder=0, label="forecast")


def _number_steps(axes: Axes, x: Float64[np.ndarray, " t"], width: float) -> None:
    """Round numbers below the axis, whole ones where the steps are."""
    whole = bool((x % 1 == 0).all())
    axes.xaxis.set_major_locator(MaxNLocator(5 if width < _NARROW else 9, steps=[1, 2, 2.5, 5, 10], integer=whole))


def _legend(figure: Figure, shown: Mapping[str, Artist], width: float) -> None:
    """Above all panels, where it covers nothing."""
    look: dict[str, Any] = {"borderpad": 0.2, "handlelength": 1.4, "columnspacing": 1.2, "fontsize": 8}
    columns = min(len(shown), 3 if width < _NARROW else 7)
    figure.legend(list(shown.values()), list(shown), loc="outside upper left", ncols=columns, **look)


def occupancy_figure(
    x: Float64[np.ndarray, " t"],
    probability: Float64[np.ndarray, "t k"],
    names: Sequence[str],
    *,
    path: Int[np.ndarray, "_"] | None = None,
    seen: Mapping[str, Float64[np.ndarray, "_"]] | None = None,
    xlabel: str = "step",
    ahead: int | None = None,
    width: float = 7.5,
) -> Figure:
    """Draw probabilities of states over time, one on top of the other; above them what was seen, below the best path.

    Args:
        x: where the steps lie, rising.
        probability: of each state at each step; rows sum to 1.
        names: of the states.
        path: a state for each of the t steps, such as the likeliest path (Viterbi), drawn as a ribbon; -1 for none.
        seen: observations by name, each in a panel of its own; NaN where nothing was.
        xlabel: below.
        ahead: number of the first step that is a forecast; None if none is.
        width: in inches; 3.3 is a column of a paper.

    Returns:
        The figure, for `save_figure`.

    Raises:
        ValueError: numbers of names and states disagree, a path or a series of another length, or a path through a
            state that there is not; more than 11 series.
    """
    seen = seen or {}
    _check_occupancy(x, probability, names, path, seen)
    heights = [*[1.2] * len(seen), 2.2, *([0.16] if path is not None else [])]
    with style():
        figure = new_figure(width, 0.75 + sum(heights))
        rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, held) in zip(rows, seen.items(), strict=False):
            axes.scatter(x, held, s=10 if len(x) < _DENSE else 3, color=INK, linewidth=0, clip_on=False, zorder=3)
            whole = bool((held[~np.isnan(held)] % 1 == 0).all())
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=whole))
            _missing(axes, x[:ahead], np.isnan(held[:ahead]))
            if ahead is not None:
                _ground(axes, x, ahead)
            axes.set_title(name)
        _stacked(rows[len(seen)], x, probability, names, ahead)
        if path is not None:
            _ribbon(rows[-1], x, path)
        for axes in rows:
            axes.margins(x=0.0)
        rows[-1].set_xlabel(xlabel)
        _number_steps(rows[-1], x, width)
        if len(names) <= 12:
            fills = {name: Patch(facecolor=_fill(k), edgecolor="none") for k, name in enumerate(names)}
            if any(axes.get_legend_handles_labels()[1].count("not seen") for axes in rows[: len(seen)]):
                fills["not seen"] = Patch(facecolor=MUTED, edgecolor="none")
            _legend(figure, fills, width)
    return figure


def _check_occupancy(
    x: Float64[np.ndarray, "_"],
    probability: Float64[np.ndarray, "_ _"],
    names: Sequence[str],
    path: Int[np.ndarray, "_"] | None,
    seen: Mapping[str, Float64[np.ndarray, "_"]],
) -> None:
    if len(names) != probability.shape[1]:
        raise ValueError(f"{len(names)} names for {probability.shape[1]} states")
    if len(seen) >= _MOST:
        raise ValueError(f"{len(seen)} series: must be {_MOST - 1} at most")
    for name, held in (*seen.items(), *([("path", path)] if path is not None else [])):
        if len(held) != len(x):
            raise ValueError(f"{name} has {len(held)} steps, not {len(x)}")
    if path is not None and (bad := np.flatnonzero((path < -1) | (path >= len(names)))).size:
        raise ValueError(f"path[{bad[0]}] is {path[bad[0]]}: states are 0 to {len(names) - 1}")


def _fill(k: int) -> tuple[float, float, float]:
    """A state's colour: those of the house, then paler."""
    strength = 0.85 - 0.25 * (k // len(COLOURS) % 3)
    red, green, blue = (1 - strength * (1 - part) for part in to_rgb(COLOURS[k % len(COLOURS)]))
    return red, green, blue


def _stacked(axes: Axes, x: np.ndarray, probability: np.ndarray, names: Sequence[str], ahead: int | None) -> None:
    axes.stackplot(x, probability.T, labels=names, colors=[_fill(k) for k in range(len(names))])
    if ahead is not None:
        begin = _first_ahead(x, ahead)
        axes.axvline(begin, color=INK, linewidth=0.8, linestyle="--")
        look: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": INK, "va": "top"}
        axes.annotate("forecast", (begin, 1.0), (3, -3), **look)
    axes.set_ylim(0, 1)
    axes.set_ylabel("probability")


def _ribbon(axes: Axes, x: Float64[np.ndarray, " t"], path: Int[np.ndarray, " t"]) -> None:
    """A strip in the colours of the path's states, changing half way between steps."""
    edges = np.clip(_edges(x), x[0], x[-1])
    for begin, end in _stretches(path):
        if path[begin] >= 0:
            axes.axvspan(edges[begin], edges[end], facecolor=_fill(int(path[begin])), edgecolor="none", zorder=1)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.grid(False)
    axes.set_ylabel("path", rotation=0, ha="right", va="center", fontsize=8, color=MUTED)
