"""One look for every figure of the project, and files that are equal when the figures are."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from suasion.records import write_whole

# Okabe & Ito (2008), told apart with every common colour blindness; without yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#1A1A1A"
MUTED = "#666666"
_DASHES = ("-", "--", ":", "-.")

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "white",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,
    "savefig.dpi": 160,
    "svg.fonttype": "path",
    "svg.hashsalt": "suasion",
    "text.color": INK,
    "text.parse_math": False,  # a dollar in the name of a run is a dollar
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
    "ytick.major.width": 0.6,
}
# Whatever a file would say of time or version: without it equal figures give equal bytes.
_SILENT = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def style() -> Iterator[None]:
    """The project's look, inside a `with`; matplotlib's settings are as before afterwards.

    White background, thin grid, colours that colour-blind people can tell apart.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def line_of(place: int) -> tuple[str, str]:
    """Colour and dashes of the curve at `place` = 0, 1, ...: colours first, then dashes; 28 in all, then
    again."""
    return COLOURS[place % len(COLOURS)], _DASHES[place // len(COLOURS) % len(_DASHES)]


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches that belongs to no window and no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, SVG or PDF, by the file's ending; equal figures give equal bytes.

    Args:
        figure: any figure of this room.
        path: the file, whole or not written at all; its folder is made.

    Returns:
        The file.

    Raises:
        ValueError: another ending.
        OSError: the disk refused.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _SILENT:
        raise ValueError(f"{path}: ends in {ending!r}; must be one of {', '.join(_SILENT)}")
    content = io.BytesIO()
    with style():
        figure.savefig(content, format=ending[1:], metadata=_SILENT[ending])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [content.getbuffer()])
    return path
