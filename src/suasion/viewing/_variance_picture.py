"""Signal-to-noise ratios against the number of agents: exact lines, measured points with intervals.

Letters of the shapes: k points. The caller brings all numbers; nothing is estimated here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from suasion.viewing._learning import check_rising
from suasion.viewing._style import line_of, new_figure, style

_MARKERS = "os^Dv<>p"
_SHIFT = 0.012  # between the points of two curves, as a part of the width: bars must not hide each other
_ROOM = 1.25  # above the highest and below the lowest point, as a factor


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Ratios:
    """A curve.

    Attributes:
        at: numbers of agents, rising, [k].
        middle: what was measured, [k]; 0 and below where the signal is lost in noise.
        low: ends of the intervals, [k].
        high: the other ends, [k].
        exact: what is known without sampling, [k], drawn as a line; None where nothing is, then points are joined.

    Raises:
        ValueError: lengths differ, or are 0, or `at` does not rise, or a number is not finite; named.
    """

    at: Int[np.ndarray, "_"]
    middle: Float[np.ndarray, "_"]
    low: Float[np.ndarray, "_"]
    high: Float[np.ndarray, "_"]
    exact: Float[np.ndarray, "_"] | None = None

    def __post_init__(self) -> None:
        for name in ("middle", "low", "high", "exact"):
            held = getattr(self, name)
            if held is None:
                continue
            if len(held) != len(self.at) or not len(held):
                raise ValueError(f"{name} has {len(held)} points, at has {len(self.at)}: equally many are needed")
            if (bad := np.flatnonzero(~np.isfinite(held))).size:
                raise ValueError(f"{name}[{bad[0]}] is {held[bad[0]]}; must be finite")
        check_rising(self.at)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RatioPanel:
    """One pair of axes.

    Attributes:
        curves: label -> curve; the same label has the same colour in every panel.
        title: over the axes.
    """

    curves: Mapping[str, Ratios]
    title: str


def ratio_figure(panels: Sequence[RatioPanel], *, columns: int = 3, width: float = 3.6, height: float = 3.0) -> Figure:
    """Draw panels in rows, on logarithmic axes; a point whose interval reaches 0 is hollow, its bar goes to the edge.

    Args:
        panels: row by row.
        columns: in a row.
        width: of each, in inches.
        height: of each, in inches.

    Returns:
        A figure, for `save_figure`.

    Raises:
        ValueError: no panel, or one without a single number above 0; named.
    """
    if not panels:
        raise ValueError("0 panels; at least 1 is needed")
    rows = math.ceil(len(panels) / columns)
    labels = list(dict.fromkeys(label for panel in panels for label in panel.curves))
    with style():
        figure = new_figure(width * min(columns, len(panels)), height * rows + 0.4)
        handles: dict[str, Line2D] = {}
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(rows, min(columns, len(panels)), place + 1)
            handles |= _draw(axes, panel, labels)
            if place % columns == 0:
                axes.set_ylabel("signal-to-noise ratio of one gradient")
            if place >= len(panels) - columns:
                axes.set_xlabel("agents")
        shown = [handles[label] for label in labels]
        figure.legend(shown, labels, loc="outside upper left", ncols=4, borderpad=0.2)
    return figure


def _draw(axes: Axes, panel: RatioPanel, labels: Sequence[str]) -> dict[str, Line2D]:
    low, high = _limits(panel)
    axes.set_xscale("log")
    axes.set_yscale("log")
    handles = {}
    for place, (label, curve) in enumerate(panel.curves.items()):
        colour, dashes = line_of(labels.index(label))
        marker = _MARKERS[labels.index(label) % len(_MARKERS)]
        at = curve.at * (1 + _SHIFT * (place - (len(panel.curves) - 1) / 2))
        resolved = (curve.low > 0) & (curve.middle > 0)
        line, above = (curve.middle, curve.middle > 0) if curve.exact is None else (curve.exact, curve.exact > 0)
        axes.plot(curve.at[above], line[above], color=colour, linestyle=dashes, linewidth=1.2)
        axes.vlines(at, np.maximum(curve.low, low), np.maximum(curve.high, low), color=colour, linewidth=1.0)
        look: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour, "markersize": 4}
        axes.plot(at[resolved], curve.middle[resolved], **look)
        axes.plot(at[~resolved], np.maximum(curve.middle[~resolved], low), markerfacecolor="white", **look)
        shape: dict[str, Any] = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 4}
        handles[label] = Line2D([], [], **shape)
    axes.set_ylim(low, high)
    axes.set_title(panel.title)
    numbers = sorted({float(n) for curve in panel.curves.values() for n in curve.at})
    axes.xaxis.set_major_locator(FixedLocator(numbers))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.set_xlim(numbers[0] / 1.12, numbers[-1] * 1.12)
    subs = (1.0, 2.0, 5.0) if high < 30 * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(NullFormatter())
    return handles


def _limits(panel: RatioPanel) -> tuple[float, float]:
    """Of what is above 0: exact lines, or else the middles; not the ends of intervals that nearly reach 0."""
    seen = [curve.middle if curve.exact is None else curve.exact for curve in panel.curves.values()]
    above = np.concatenate([held[held > 0] for held in seen]) if seen else np.zeros(0)
    if not above.size:
        raise ValueError(f"panel {panel.title!r} has no number above 0 to show")
    return float(above.min()) / _ROOM, float(above.max()) * _ROOM


def _plain(number: float | np.integer, _: int | None) -> str:
    return f"{number:g}"
