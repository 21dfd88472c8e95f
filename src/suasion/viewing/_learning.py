"""Curves with bands over many runs, and what theory says they tend to as labelled lines.

Letters of the shapes: k points. The caller brings middles and bounds; nothing is estimated here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from suasion.viewing._style import MUTED, line_of, new_figure, style

_REFERENCE_DASHES = ((0, (6, 3)), (0, (1.5, 2)), (0, (6, 2, 1, 2)), (0, (3, 1.5)), (0, (1, 1)))
_APART = 0.238  # inches between two labels at the margin, counted in heights of the panel
_MARGIN = 0.06  # free space above and below, as a part of what is shown


def check_rising(at: Int[np.ndarray, "_"] | Float[np.ndarray, "_"]) -> None:
    """Refuse points that do not go from left to right.

    Raises:
        ValueError: with the first that does not.
    """
    if (falls := np.flatnonzero(np.diff(at) <= 0)).size:
        raise ValueError(f"point {falls[0] + 1} is at {at[falls[0] + 1]}, after {at[falls[0]]}")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Banded:
    """A curve with a band.

    Attributes:
        at: where on the axis, ascending, [k].
        middle: such as a mean over runs, [k]; NaN or infinite where the curve has a gap.
        lower: lower end of the band, [k]; -inf reaches the lower edge of the picture. None for a line alone.
        upper: upper end, [k]; or None.

    Raises:
        ValueError: the four have different lengths, or none, or `at` does not rise.
    """

    at: Int[np.ndarray, "_"] | Float[np.ndarray, "_"]
    middle: Float[np.ndarray, "_"]
    lower: Float[np.ndarray, "_"] | None = None
    upper: Float[np.ndarray, "_"] | None = None

    def __post_init__(self) -> None:
        if (self.lower is None) != (self.upper is None):
            raise ValueError("one of lower and upper is given: a band needs both")
        lengths = [len(held) for held in (self.at, self.middle, self.lower, self.upper) if held is not None]
        if len(set(lengths)) > 1 or not lengths[0]:
            raise ValueError(f"at, middle, lower and upper have {lengths} points: equally many are needed, at least 1")
        check_rising(self.at)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """One pair of axes.

    Attributes:
        curves: label -> curve; the same label has the same colour in every panel.
        title: over the axes.
        xlabel: of the lower axis.
        ylabel: of the left axis, with the unit.
        references: label -> height of a dashed line, named at the right margin.
        limits: lowest and highest number shown. If they are not given, by the references and the curves; on plain axes
            by the later four fifths of these, for the beginnings may be far off.
        logarithmic: which axes are: none, "x", "y" or "xy".
        markers: whether points are marked, as where they are few.
    """

    curves: Mapping[str, Banded]
    title: str = ""
    xlabel: str = ""
    ylabel: str = ""
    references: Mapping[str, float] = dataclasses.field(default_factory=dict)
    limits: tuple[float, float] | None = None
    logarithmic: Literal["", "x", "y", "xy"] = ""
    markers: bool = False


def banded_curves(
    panels: Sequence[Panel], *, title: str = "", width: float = 4.8, height: float = 3.6, columns: int | None = None
) -> Figure:
    """Draw panels side by side: curves with bands, and lines at what they may be compared with.

    Args:
        panels: from left to right, row by row.
        title: over the figure.
        width: of each, in inches.
        height: of each, in inches.
        columns: in a row; all, if not given.

    Returns:
        A figure, for `save_figure`.

    Raises:
        ValueError: no panel, a panel without curves, a reference that is not finite, or a number that is not above 0 on
            a logarithmic axis; named.
    """
    if not panels:
        raise ValueError("0 panels; at least 1 is needed")
    labels = list(dict.fromkeys(label for panel in panels for label in panel.curves))
    with style():
        columns = min(columns or len(panels), len(panels))
        rows = -(-len(panels) // columns)
        figure = new_figure(width * columns, height * rows)
        lines: dict[str, Line2D] = {}
        for place, panel in enumerate(panels):
            lines |= _draw(figure.add_subplot(rows, columns, place + 1), panel, labels, place, _APART / height)
        _legend(figure, [lines[label] for label in labels], title)
    return figure


def _legend(figure: Figure, lines: Sequence[Line2D], title: str) -> None:
    """Above all panels; a single curve needs a title only."""
    if len(lines) == 1:
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        return
    labels = [str(line.get_label()) for line in lines]
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 12) // (max(map(len, labels)) + 6)))
    look = {"alignment": "left", "title_fontsize": 10, "borderpad": 0.2}
    figure.legend(lines, labels, loc="outside upper left", ncols=columns, title=title or None, **look)


def _draw(axes: Axes, panel: Panel, labels: Sequence[str], place: int, apart: float) -> dict[str, Line2D]:
    if not panel.curves:
        raise ValueError(f"panel {place} has 0 curves; at least 1 is needed")
    low, high = _limits(panel)
    lines = {}
    for label, curve in panel.curves.items():
        colour, dashes = line_of(labels.index(label))
        # A line to infinity has no slope: it ends where the numbers do, and a band reaches the edge.
        middle = np.where(np.isfinite(curve.middle), curve.middle, np.nan)
        far = 10 * (high - low)
        if curve.lower is not None and curve.upper is not None:
            band = (np.clip(edge, low - far, high + far) for edge in (curve.lower, curve.upper))
            axes.fill_between(curve.at, *band, color=colour, alpha=0.2, linewidth=0)
        (lines[label],) = axes.plot(curve.at, middle, color=colour, linestyle=dashes, label=label)
        if panel.markers or np.isfinite(middle).sum() == 1:
            axes.plot(curve.at, middle, "o", color=colour, markersize=3)
    if "y" in panel.logarithmic:
        axes.set_yscale("log")
    axes.set_ylim(low, high)
    _references(axes, panel.references, apart)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.xlabel)
    axes.set_ylabel(panel.ylabel)
    _label_axis(axes, panel)
    return lines


def _limits(panel: Panel) -> tuple[float, float]:
    """What is shown."""
    for label, height in panel.references.items():
        if not np.isfinite(height):
            raise ValueError(f"references[{label!r}] is {height}; must be finite")
    if panel.limits is not None:
        return panel.limits
    seen = list(panel.references.values())
    for curve in panel.curves.values():
        for held in (curve.middle, curve.lower, curve.upper):
            late = np.zeros(0) if held is None else held[0 if panel.logarithmic else len(held) // 5 :]
            seen += late[np.isfinite(late)].tolist()
    low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
    if "y" in panel.logarithmic:
        if low <= 0:
            raise ValueError(f"{low} on a logarithmic axis; numbers must be above 0, or limits be given")
        return low / (high / low) ** _MARGIN, high * (high / low) ** _MARGIN
    room = (high - low) * _MARGIN if high > low else max(abs(high) * _MARGIN, 0.5)
    return low - room, high + room


def _references(axes: Axes, references: Mapping[str, float], apart: float) -> None:
    """Lines across, named at the right margin; names keep their distance (in axes' heights), and cover no curve."""
    top = 1.1
    for place, (label, height) in enumerate(sorted(references.items(), key=lambda pair: -pair[1])):
        dashes = _REFERENCE_DASHES[place % len(_REFERENCE_DASHES)]
        axes.axhline(height, color=MUTED, linewidth=0.9, linestyle=dashes, zorder=1.5)
        beside = float(axes.transAxes.inverted().transform(axes.transData.transform((1, height)))[1])
        top = min(beside, top - apart * (1 + label.count("\n")))
        look: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "axes fraction", "annotation_clip": False}
        look |= {"ha": "left", "va": "center", "fontsize": 7.5, "color": MUTED}
        pointer = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(label, (1, beside), (1.03, top), arrowprops=pointer, **look)


def _label_axis(axes: Axes, panel: Panel) -> None:
    if "y" in panel.logarithmic:
        _label_decades(axes.yaxis)
    if "x" in panel.logarithmic:
        axes.set_xscale("log")
        _label_decades(axes.xaxis)
        return
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if max(float(curve.at[-1]) for curve in panel.curves.values()) >= 1000:
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.margins(x=0.02)


def _label_decades(axis: Axis) -> None:
    """Powers of ten in digits; where there are few of them, their doubles and fivefolds too."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,), numticks=8))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_formatter(NullFormatter())


def _plain(number: float, _: int) -> str:
    return f"{number:,.0f}" if number >= 1 and number == round(number) else f"{number:g}"
