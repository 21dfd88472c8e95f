"""One look for every figure of the project, and files that are equal when the figures are."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

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
    "font.family": "sans-serif",
    "font.sans-serif": ("DejaVu Sans", "Verdana"),  # in an SVG text is text, and the next of kin may have to step in
    "font.size": 9,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,  # TrueType, embedded: publishers refuse Type 3
    "savefig.dpi": 160,
    "svg.fonttype": "none",
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


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """A figure of that many inches that belongs to no window and no global state."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def check_picture(path: str | Path) -> Path:
    """Refuse a file that no figure can be written to, before anything is computed for it.

    Raises:
        ValueError: it does not end in .png, .svg or .pdf.
    """
    path = Path(path)
    if path.suffix.lower() not in _SILENT:
        raise ValueError(f"{path}: ends in {path.suffix!r}; must be one of {', '.join(_SILENT)}")
    return path


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, SVG or PDF, by the file's ending; equal figures give equal bytes.

    In SVG and PDF text is text, to be searched and edited; a PDF holds its fonts, as TrueType. Where everything lies is
    settled when a figure is first written, and is the same in all its files.

    Args:
        figure: any figure of this room.
        path: the file, whole or not written at all; its folder is made.

    Returns:
        The file.

    Raises:
        ValueError: another ending.
        OSError: the disk refused.
    """
    path = check_picture(path)
    ending = path.suffix.lower()
    content = io.BytesIO()
    with style():
        _settle(figure)
        figure.savefig(content, format=ending[1:], metadata=_SILENT[ending])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [content.getbuffer()])
    return path


def _settle(figure: Figure) -> None:
    """Lay the figure out, twice since colour bars need it, and leave it so: a further pass would move it a little."""
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.draw_without_rendering()
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def save_pictures(figure: Figure, out: str | Path, name: str) -> list[Path]:
    """Write a figure as the one file that is asked for, or else for the screen and for a paper.

    Args:
        figure: any figure of this room.
        out: a file that ends in .png, .svg or .pdf; or a folder, or a name without an ending: then all three are
            written, in this order.
        name: of the files in a folder, without an ending.

    Returns:
        The files.

    Raises:
        OSError: the disk refused.
    """
    out = Path(out)
    if out.suffix.lower() in _SILENT and not out.is_dir():
        return [save_figure(figure, out)]
    stem = out / name if out.is_dir() else out
    return [save_figure(figure, stem.with_name(stem.name + ending)) for ending in _SILENT]
