"""Values and policies of states that lie on a grid: colours, arrows, and how values spread from sweep to sweep.

Letters of the shapes: y rows, x columns, k sweeps.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Float64
from matplotlib.figure import Figure
from PIL import Image

from suasion.records import write_whole
from suasion.viewing._style import INK, new_figure, style

_COLOURS = "cividis"  # even in lightness, and the same to all eyes (Nuñez, Anderton & Renslow 2018)
_EMPTY = 0.85  # grey of cells without a state
_READABLE = 12  # cells a side up to which numbers are written
_ARROWS = 64  # cells a side up to which arrows are drawn
_NARROW = 5.0  # inches below which the scale of colours lies below the map
_ROOM = 0.33  # inches of a cell's side that a number needs


def value_map(
    value: Float64[np.ndarray, "y x"],
    moves: Float64[np.ndarray, "y x 2"] | None = None,
    *,
    title: str = "",
    label: str = "value",
    width: float | None = None,
) -> Figure:
    """Value as colour, policy as arrows.

    Args:
        value: of each cell, in reward units; NaN where there is no state.
        moves: (down, right) of the policy in each cell, in cells; 0 or NaN where it goes nowhere.
        title: over the figure.
        label: of the colour bar, with the unit.
        width: of the figure in inches; by the grid, if not given. In a narrow one the colour bar lies below.

    Returns:
        The figure, for `save_figure`.
    """
    rows, columns = value.shape
    narrow = width is not None and width < _NARROW
    with style():
        side = 0.55 if max(rows, columns) <= _READABLE else 6.5 / max(rows, columns)
        if width is None:
            figure = new_figure(max(3.2, columns * side + 1.6), max(2.2, rows * side + 0.8))
        else:
            side = min(0.8, (width - (0.1 if narrow else 1.6)) / columns)
            figure = new_figure(width, rows * side + (1.0 if narrow else 0.8))
        axes = figure.add_subplot()
        colours = matplotlib.colormaps[_COLOURS].with_extremes(bad=str(_EMPTY))
        image = axes.imshow(np.ma.masked_invalid(value), cmap=colours, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
        axes.set_title(title)
        below: dict[str, Any] = {"location": "bottom", "aspect": 30, "pad": 0.04} if narrow else {}
        bar = figure.colorbar(image, ax=axes, label=label, shrink=0.9, **below)
        bar.outline.set_linewidth(0.6)
        if moves is not None and max(rows, columns) <= _ARROWS:
            _arrows(axes, value, moves)
        if max(rows, columns) <= _READABLE and side >= _ROOM:
            _numbers(axes, value, min(6.0, 15 * side))
    return figure


def _arrows(axes: matplotlib.axes.Axes, value: Float64[np.ndarray, "y x"], moves: Float64[np.ndarray, "y x 2"]) -> None:
    moving = np.isfinite(moves).all(-1) & (np.abs(moves).sum(-1) > 0) & np.isfinite(value)
    y, x = np.nonzero(moving)
    down, right = moves[moving].T
    size: dict[str, Any] = {"scale": 1, "scale_units": "xy", "angles": "xy", "pivot": "mid"}
    head: dict[str, Any] = {"width": 0.08, "units": "xy", "headwidth": 3.2, "headlength": 3.2, "headaxislength": 2.8}
    edge: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "linewidth": 0.4}
    axes.quiver(x, y, 0.5 * right, 0.5 * down, **size, **head, **edge)


def _numbers(axes: matplotlib.axes.Axes, value: Float64[np.ndarray, "y x"], size: float) -> None:
    middle = (np.nanmin(value) + np.nanmax(value)) / 2
    for (y, x), v in np.ndenumerate(value):
        if np.isfinite(v):
            colour = "white" if v < middle else INK
            axes.text(x, y + 0.42, f"{v:.3g}", ha="center", va="bottom", fontsize=size, color=colour)


def write_sweeps(
    values: Float[np.ndarray, "k y x"], path: str | Path, *, fps: int = 10, scale: int | None = None
) -> Path:
    """Write how values change from sweep to sweep, as an animated GIF; the last picture stays for two seconds.

    Args:
        values: after each sweep, in reward units; NaN where there is no state. One scale of colours for all.
        path: the file, whole or not written at all.
        fps: sweeps a second, 1 to 50.
        scale: pixels a cell; chosen by the grid's size if None.

    Returns:
        The file.

    Raises:
        ValueError: fps or scale out of range, or nothing to draw.
        OSError: the disk refused.
    """
    if not 1 <= fps <= 50:
        raise ValueError(f"fps is {fps}; must be within 1 and 50")
    scale = max(1, 400 // max(values.shape[1:])) if scale is None else scale
    if scale < 1 or not np.isfinite(values).any():
        raise ValueError(f"scale is {scale}, below 1, or no value is finite")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    levels = np.rint((values - low) / (high - low if high > low else 1.0) * 254)
    codes = np.where(np.isfinite(values), levels, 255).astype(np.uint8)
    table = (matplotlib.colormaps[_COLOURS](np.linspace(0, 1, 255))[:, :3] * 255).round().astype(np.uint8)
    palette = np.concatenate([table, np.full((1, 3), round(_EMPTY * 255), np.uint8)])
    frames = []
    for picture in codes:
        frame = Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1))
        frame.putpalette(palette.tobytes())
        frames.append(frame)
    durations = [1000 // fps] * (len(frames) - 1) + [2000]
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [content.getbuffer()])
    return path
