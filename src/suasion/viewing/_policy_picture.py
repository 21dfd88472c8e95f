"""Several policies side by side: values as colour, choices as arrows that share a cell where they share the policy.

Letters of the shapes: y rows, x columns, d the four directions up, right, down, left; S states.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from suasion.viewing._grid import _ARROWS, _COLOURS, _EMPTY, _NARROW, _READABLE, _ROOM
from suasion.viewing._style import INK, MUTED, line_of, new_figure, style

DIRECTIONS = ((-1, 0), (0, 1), (1, 0), (0, -1))
_SEEN = 0.03  # shares below are not drawn
_BARS = 40  # states up to which there is a bar for each


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class GridPolicy:
    """What is known of a policy on a grid.

    Attributes:
        value: of each cell, in reward units; NaN where there is no state, or none that matters.
        shares: probability of going up, right, down and left, from each cell; their sum is 1 at most.
        marks: (row, column) -> a word or a letter to write into the cell, such as S for the start.

    Raises:
        ValueError: the grids differ.
    """

    value: Float64[np.ndarray, "_ _"]
    shares: Float64[np.ndarray, "_ _ 4"]
    marks: Mapping[tuple[int, int], str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value.shape != self.shares.shape[:2]:
            raise ValueError(f"value is a grid of {self.value.shape}, shares one of {self.shares.shape[:2]}")


def policy_maps(
    policies: Mapping[str, GridPolicy],
    *,
    title: str = "",
    label: str = "value (reward units)",
    limits: tuple[float, float] | None = None,
    width: float | None = None,
) -> Figure:
    """Draw policies on a grid, one map each, in one scale of colours.

    An arrow is as long as the share of its direction is great: a tie, or runs that disagree, split it.

    Args:
        policies: title -> policy; wide grids lie below each other, others side by side.
        title: over the figure.
        label: of the scale of colours, with the unit.
        limits: lowest and highest colour; by the values, if not given.
        width: of the figure in inches; by the grid, if not given. In a narrow one all maps lie below each other, and
            the scale of colours below them.

    Returns:
        A figure, for `save_figure`.

    Raises:
        ValueError: no policy, or no value that is finite.
    """
    values = [policy.value[np.isfinite(policy.value)] for policy in policies.values()]
    if not values or not any(len(held) for held in values):
        raise ValueError(f"{len(values)} policies without a finite value: nothing to draw")
    low, high = limits or (min(held.min() for held in values if len(held)), max(held.max() for held in values))
    rows, columns = (max(policy.value.shape[i] for policy in policies.values()) for i in range(2))
    narrow = width is not None and width < _NARROW
    down = columns > 1.6 * rows or narrow
    count = (len(policies), 1) if down else (1, len(policies))
    side = 0.52 if max(rows, columns) <= _READABLE else 6.2 / max(rows, columns)
    wide = max(2.2, columns * side) * count[1] + 1.3
    if width is not None:
        wide, side = width, min(side, (width - (0.1 if narrow else 1.3)) / (count[1] * columns))
    with style():
        figure = new_figure(wide, (rows * side + 0.35) * count[0] + 0.25 * (1 + bool(title)) + 0.5 * narrow)
        drawn: list[Axes] = []
        image = None
        for place, (name, policy) in enumerate(policies.items()):
            drawn.append(figure.add_subplot(*count, place + 1))
            image = _map(drawn[-1], policy, name, (float(low), float(high)), side)
        assert image is not None
        look: dict[str, Any] = {"location": "bottom" if narrow else "right", "aspect": 30 if down else 24, "pad": 0.02}
        bar = figure.colorbar(image, ax=drawn, label=label, shrink=0.9, **look)
        bar.outline.set_linewidth(0.6)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _map(axes: Axes, policy: GridPolicy, name: str, limits: tuple[float, float], side: float) -> AxesImage:
    colours = matplotlib.colormaps[_COLOURS].with_extremes(bad=str(_EMPTY))
    low, high = limits if limits[1] > limits[0] else (limits[0] - 0.5, limits[1] + 0.5)
    image = axes.imshow(np.ma.masked_invalid(policy.value), cmap=colours, interpolation="nearest", vmin=low, vmax=high)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.set_title(name, fontsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if max(policy.value.shape) <= _ARROWS:
        _arrows(axes, policy)
    if max(policy.value.shape) <= _READABLE:
        axes.set_xticks(np.arange(policy.value.shape[1] + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(policy.value.shape[0] + 1) - 0.5, minor=True)
        axes.grid(True, which="minor", color="white", linewidth=0.6)
        axes.tick_params(which="minor", length=0)
        if side >= _ROOM:
            _numbers(axes, policy.value, (low, high), min(5.5, 16 * side))
    for (y, x), mark in policy.marks.items():
        axes.text(
            x + 0.44,
            y + 0.46,
            mark,
            ha="right",
            va="bottom",
            fontsize=min(7.0, 22 * side),
            weight="bold",
            color=INK,
            zorder=4,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )
    return image


def _arrows(axes: Axes, policy: GridPolicy) -> None:
    size: dict[str, Any] = {"scale": 1, "scale_units": "xy", "angles": "xy", "pivot": "tail", "zorder": 3}
    head: dict[str, Any] = {"width": 0.075, "units": "xy", "headwidth": 3.4, "headlength": 3.0, "headaxislength": 2.7}
    edge: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "linewidth": 0.5, "minlength": 0}
    shares = np.where(np.isfinite(policy.value)[:, :, None], policy.shares, 0.0)
    alone = (shares > _SEEN).sum(axis=2) == 1
    for d, (down, right) in enumerate(DIRECTIONS):
        y, x = np.nonzero(shares[:, :, d] > _SEEN)
        if len(y):
            long = 0.43 * np.sqrt(shares[y, x, d]) * np.where(alone[y, x], 1.3, 1.0)
            back = np.where(alone[y, x], long / 2, 0.0)  # one arrow alone stands in the middle
            axes.quiver(x - right * back, y - down * back, right * long, down * long, **size, **head, **edge)


def _numbers(axes: Axes, value: Float64[np.ndarray, "y x"], limits: tuple[float, float], size: float) -> None:
    """Three digits of the range, in the corner that no arrow points to."""
    decimals = max(0, 2 - math.floor(math.log10(limits[1] - limits[0])))
    for (y, x), v in np.ndenumerate(value):
        if np.isfinite(v):
            colour = "white" if v < sum(limits) / 2 else INK
            axes.text(x - 0.46, y - 0.46, f"{v:.{decimals}f}", ha="left", va="top", fontsize=size, color=colour)


def state_values(
    values: Mapping[str, Float64[np.ndarray, "S"]],
    *,
    exact: Float64[np.ndarray, "S"] | None = None,
    names: Sequence[str] = (),
    title: str = "",
    label: str = "value (reward units)",
) -> Figure:
    """Draw the values of states that lie on no grid: points for each state or, of many states, a strip each.

    Args:
        values: label -> value of each state; NaN where it is not known.
        exact: what they should be, drawn as a black line, or as the first strip.
        names: of the states, at most forty of which are written.
        title: over the figure.
        label: of the scale, with the unit.

    Returns:
        A figure, for `save_figure`.

    Raises:
        ValueError: no values, or of different numbers of states.
    """
    lengths = {label: len(held) for label, held in values.items()} | ({} if exact is None else {"exact": len(exact)})
    if not values or len(set(lengths.values())) > 1:
        raise ValueError(f"values of {lengths} states: equally many are needed, of one at least")
    count = next(iter(lengths.values()))
    with style():
        figure = new_figure(max(4.0, 0.22 * min(count, _BARS) + 1.8), 3.2 if count <= _BARS else 0.5 * len(lengths) + 1)
        axes = figure.add_subplot()
        axes.set_title(title)
        (_points if count <= _BARS else _strips)(axes, values, exact, label)
        if names and count <= _BARS:
            axes.set_xticks(range(count), names, rotation=90 if max(map(len, names)) > 2 else 0)
        else:
            axes.set_xlabel("state")
    return figure


def _points(
    axes: Axes, values: Mapping[str, Float64[np.ndarray, "S"]], exact: Float64[np.ndarray, "S"] | None, label: str
) -> None:
    count = len(next(iter(values.values())))
    if exact is not None:
        axes.hlines(exact, np.arange(count) - 0.4, np.arange(count) + 0.4, color=INK, linewidth=1.2, label="exact")
    for place, (name, held) in enumerate(values.items()):
        shift = 0.6 * ((place + 0.5) / len(values) - 0.5)
        axes.plot(
            np.arange(count) + shift, held, "osD^v<>"[place % 7], color=line_of(place)[0], markersize=4, label=name
        )
    axes.set_ylabel(label)
    axes.grid(False, axis="x")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _strips(
    axes: Axes, values: Mapping[str, Float64[np.ndarray, "S"]], exact: Float64[np.ndarray, "S"] | None, label: str
) -> None:
    rows = ({} if exact is None else {"exact": exact}) | dict(values)
    colours = matplotlib.colormaps[_COLOURS].with_extremes(bad=str(_EMPTY))
    image = axes.imshow(
        np.ma.masked_invalid(np.stack(list(rows.values()))), cmap=colours, aspect="auto", interpolation="nearest"
    )
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(False)
    for line in range(1, len(rows)):
        axes.axhline(line - 0.5, color="white", linewidth=2)
    axes.tick_params(color=MUTED)
    axes.figure.colorbar(image, ax=axes, label=label, pad=0.02)
