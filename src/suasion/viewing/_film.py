"""Figures as an animated GIF, written one at a time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import matplotlib
import matplotlib.colors
import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from suasion.records import write_whole
from suasion.viewing._animation import packed_gif
from suasion.viewing._layout import TRANSPARENT
from suasion.viewing._style import COLOURS, style

_FINE = 32  # levels of each primary colour that are told apart when the nearest colour is looked up


def write_film(
    draw: Callable[[int], Figure], count: int, path: str | Path, *, fps: int = 4, last: float = 2.0, dpi: int = 100
) -> Path:
    """Write figures as an animated GIF that repeats; memory holds one of them at a time.

    Colours are the nearest of one palette: the scale of values, greys, and those of the project's curves.

    Args:
        draw: figure number 0, 1, ...; all of one size.
        count: how many, >= 1.
        path: the file, whole or not written at all.
        fps: figures a second, 1 to 50.
        last: how long the last one stays, 0 to 60 s.
        dpi: pixels an inch, 20 to 300.

    Returns:
        The file.

    Raises:
        ValueError: a number out of range, or figures of different sizes.
        OSError: the disk refused.
    """
    numbers = (("count", count, 1, 100_000), ("fps", fps, 1, 50), ("last", last, 0, 60), ("dpi", dpi, 20, 300))
    for name, number, least, most in numbers:
        if not least <= number <= most:
            raise ValueError(f"{name} is {number}; must be within {least} and {most}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    palette = _palette()
    nearest = _nearest(palette)
    first = _pixels(draw(0), dpi)
    pictures = chain([first], (_pixels(draw(place), dpi) for place in range(1, count)))
    coded = (_coded(picture, nearest, first.shape) for picture in pictures)
    lasting = [100 // fps] * (count - 1) + [max(100 // fps, round(100 * last))]
    write_whole(path, packed_gif(palette, first.shape[:2], coded, lasting))
    return path


def _pixels(figure: Figure, dpi: int) -> UInt8[np.ndarray, "h w 3"]:
    canvas = FigureCanvasAgg(figure)
    with style():
        figure.set_dpi(dpi)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def _palette() -> UInt8[np.ndarray, "256 3"]:
    """Colours of values, also half hidden by white; greys; the curves' colours and tints of them.

    The transparent entry is met by no picture.
    """
    scale = matplotlib.colormaps["cividis"]
    values, pale = (scale(np.linspace(0, 1, count))[:, :3] for count in (96, 32))
    greys = np.linspace(0, 1, 48)[:, None].repeat(3, 1)
    own = np.array([matplotlib.colors.to_rgb(colour) for colour in COLOURS])
    tints = [1 - part * (1 - held) for held, parts in ((pale, (0.67, 0.33)), (own, (1.0, 0.5, 0.2))) for part in parts]
    colours = np.concatenate([values, greys, *tints])
    palette = np.ones((256, 3))
    palette[np.delete(np.arange(256), TRANSPARENT)[: len(colours)]] = colours
    return (palette * 255).round().astype(np.uint8)


def _nearest(palette: UInt8[np.ndarray, "256 3"]) -> UInt8[np.ndarray, "c"]:
    """For each of 32 x 32 x 32 colours the nearest in the palette."""
    levels = (np.arange(_FINE) + 0.5) * (256 / _FINE)
    levels[[0, -1]] = 0, 255  # black and white are met
    red, green, blue = np.meshgrid(levels, levels, levels, indexing="ij")
    wanted = np.stack([red, green, blue], -1).reshape(-1, 3)
    known = np.delete(np.arange(256), TRANSPARENT)
    found = np.empty(len(wanted), np.uint8)
    for start in range(0, len(wanted), 4096):
        part = wanted[start : start + 4096]
        distance = ((part[:, None] - palette[known].astype(float)) ** 2).sum(-1)
        found[start : start + 4096] = known[distance.argmin(1)]
    return found


def _coded(picture: UInt8[np.ndarray, "h w 3"], nearest: UInt8[np.ndarray, "c"], shape: tuple[int, ...]) -> np.ndarray:
    if picture.shape != shape:
        raise ValueError(f"a figure of {picture.shape[:2]} pixels follows one of {shape[:2]}")
    coarse = (picture >> 3).astype(np.int64)
    return nearest[(coarse[:, :, 0] * _FINE + coarse[:, :, 1]) * _FINE + coarse[:, :, 2]]
