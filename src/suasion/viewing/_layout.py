"""Where things stand in a picture of an episode, and the one palette that all its pictures share.

Pictures are made of palette indices, not colours: that is what GIF and APNG store.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.colors import to_rgb
from PIL import Image, ImageDraw, ImageFont

from suasion.records import Episode
from suasion.viewing._style import COLOURS, INK, MUTED

TRANSPARENT = 255  # the index that no pixel of a picture has
_SHADES = 4  # of text between paper and ink
PAPER, BLACK, FRAME = 0, 1, 2
_INK_START = 3
_MUTED_START = _INK_START + _SHADES
_FREE_START = _MUTED_START + _SHADES

MARGIN = 12
LINE = 17  # pixels from one line of text to the next
TEXT_SIZE = 12
_NARROWEST, _WIDEST = 110, 190  # pixels of text beside each view


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Sizes, places and colours of all pictures of one episode.

    Attributes:
        cell: pixels of a cell of the map.
        view_cell: pixels of a cell of a view.
        board_at: row and column of the map's first pixel.
        view_at: likewise, of each agent's view.
        size: rows and columns of the picture, in pixels.
        text_width: pixels of text beside each view.
        legend: (row, column, class code) of each entry below the map.
        palette: uint8[256, 3], colours of the indices.
        class_index: uint8[classes], index of each class's colour.
        agent_index: uint8[n], index of each agent's colour.
        marked: uint8[256], for each class code the number of the agent drawn by it, counted from 1; else 0.
    """

    cell: int
    view_cell: int
    board_at: tuple[int, int]
    view_at: tuple[tuple[int, int], ...]
    size: tuple[int, int]
    text_width: int
    legend: tuple[tuple[int, int, int], ...]
    palette: np.ndarray
    class_index: np.ndarray
    agent_index: np.ndarray
    marked: np.ndarray


def plan(episode: Episode, scale: int | None) -> Layout:
    """Lay out the pictures of `episode`; `scale` pixels a cell of the map, chosen by its size if None.

    Raises:
        ValueError: a scale below 1, a picture of more than 4096 pixels a side, or more colours than a palette
            holds.
    """
    rows, columns = episode.boards.shape[1:]
    if scale is None:
        scale = max(1, min(24, 420 // rows, 640 // columns))
    if scale < 1:
        raise ValueError(f"scale is {scale}; must be at least 1")
    view_cell = max(1, min(scale, 104 // max(episode.views.shape[2:])))
    text_width = _text_width(episode)
    top = MARGIN + 2 * LINE + 6
    view_at, bottom, width = _cards(episode, (rows * scale, columns * scale), view_cell, text_width, top)
    legend = _legend(episode, bottom, width)
    height = legend[-1][0] + LINE + MARGIN // 2 if legend else bottom
    if max(height, width) > 4096:
        raise ValueError(f"the picture has {height} x {width} pixels; limit 4096 a side: take a scale below {scale}")
    palette, class_index, agent_index = _colours(episode)
    return Layout(
        cell=scale,
        view_cell=view_cell,
        board_at=(top, MARGIN),
        view_at=view_at,
        size=(height, width),
        text_width=text_width,
        legend=legend,
        palette=palette,
        class_index=class_index,
        agent_index=agent_index,
        marked=_marked(episode),
    )


def _cards(
    episode: Episode, board: tuple[int, int], view_cell: int, text_width: int, top: int
) -> tuple[tuple[tuple[int, int], ...], int, int]:
    """Where each view stands, beside a tall map or below a wide one; then the row below all, and the width."""
    view_rows, view_columns = (size * view_cell for size in episode.views.shape[2:])
    height = max(view_rows, _card_lines(episode) * LINE) + MARGIN
    width = view_columns + 10 + text_width + MARGIN
    agents = len(episode.agents)
    if board[1] > 1.5 * board[0]:
        across = min(agents, max(1, board[1] // width))
        left, start = MARGIN, top + board[0] + MARGIN
    else:
        # One column of cards while it is not much taller than the map.
        stack = max(1, int(1.4 * max(board[0], height) + MARGIN) // height)
        across = -(-agents // stack)
        left, start = MARGIN + max(board[1], 160) + 2 * MARGIN, top
    down = -(-agents // across)
    places = tuple((start + k % down * height, left + k // down * width) for k in range(agents))
    bottom = max(top + board[0] + MARGIN, start + down * height)
    return places, bottom, max(left + across * width, MARGIN + board[1] + MARGIN)


def _text_width(episode: Episode) -> int:
    """Room for the longest action and name, within bounds."""
    texts = [*(f"→ {name}" for name in episode.actions_names), *(f"■ 1 {name}" for name in episode.agents)]
    width = max(glyphs(shown(text), TEXT_SIZE, True, _WIDEST).shape[1] for text in texts)
    return min(_WIDEST, max(_NARROWEST, width + 4))


def _card_lines(episode: Episode) -> int:
    return 3 + (episode.messages is not None) + (episode.influence is not None)


def _marked(episode: Episode) -> np.ndarray:
    marked = np.zeros(256, np.uint8)
    codes = agent_codes(episode)
    if codes is not None and len(set(codes)) == len(codes) < 256:
        marked[list(codes)] = np.arange(1, len(codes) + 1)
    return marked


def agent_codes(episode: Episode) -> tuple[int, ...] | None:
    """The class by which each agent is drawn: as recorded, or the class of the agent's own name."""
    if episode.agent_codes is not None:
        return episode.agent_codes
    if all(name in episode.classes for name in episode.agents):
        return tuple(episode.classes.index(name) for name in episode.agents)
    return None


def _legend(episode: Episode, top: int, width: int) -> tuple[tuple[int, int, int], ...]:
    """Places of the classes that occur, agents apart (their cards explain them)."""
    hidden = set(agent_codes(episode) or ())
    entries = []
    row, column = top, MARGIN
    for code in np.flatnonzero(np.bincount(episode.boards.ravel(), minlength=1)):
        if int(code) in hidden:
            continue
        extent = 16 + glyphs(shown(episode.classes[code]), 11, False, 200).shape[1] + 14
        if column + extent > width and column > MARGIN:
            row, column = row + LINE, MARGIN
        entries.append((row, column, int(code)))
        column += extent
    return tuple(entries)


def _colours(episode: Episode) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    palette = np.full((256, 3), 255, np.uint8)
    palette[BLACK], palette[FRAME] = (0, 0, 0), (170, 170, 170)
    for start, name in ((_INK_START, INK), (_MUTED_START, MUTED)):
        shade = np.linspace(1 / _SHADES, 1, _SHADES)[:, None]
        ink = np.array(to_rgb(name))[None, :] * 255
        palette[start : start + _SHADES] = np.rint(255 + shade * (ink - 255))
    codes = agent_codes(episode)
    if codes is None:
        agents = [_rgb(COLOURS[k % len(COLOURS)]) for k in range(len(episode.agents))]
    else:
        agents = [episode.palette[code] for code in codes]
    places: dict[tuple[int, int, int], int] = {}
    for colour in (*episode.palette, *agents):
        places.setdefault(colour, _FREE_START + len(places))
    if _FREE_START + len(places) > TRANSPARENT:
        raise ValueError(f"{len(places)} different colours; a picture's palette holds {TRANSPARENT - _FREE_START}")
    palette[_FREE_START : _FREE_START + len(places)] = list(places)
    class_index = np.array([places[colour] for colour in episode.palette], np.uint8)
    return palette, class_index, np.array([places[colour] for colour in agents], np.uint8)


def _rgb(name: str) -> tuple[int, int, int]:
    red, green, blue = (round(part * 255) for part in to_rgb(name))
    return red, green, blue


def shown(text: str) -> str:
    """A name of unknown origin on one line: white space and control characters become single spaces."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


def write(
    canvas: UInt8[np.ndarray, "rows columns"],
    row: int,
    column: int,
    text: str,
    *,
    size: int = TEXT_SIZE,
    bold: bool = False,
    muted: bool = False,
    width: int = 4096,
) -> None:
    """Write a line of text into a picture of indices, over plain paper; cut with an ellipsis at `width`
    pixels."""
    shade = glyphs(shown(text), size, bold, min(width, canvas.shape[1] - column))
    place = canvas[row : row + shade.shape[0], column : column + shade.shape[1]]
    shade = shade[: place.shape[0], : place.shape[1]]
    start = _MUTED_START if muted else _INK_START
    place[shade > 0] = start - 1 + shade[shade > 0]


@lru_cache(maxsize=512)  # names and actions come again; steps and sums do not
def glyphs(text: str, size: int, bold: bool, width: int) -> np.ndarray:
    """Shades 0 (paper) to 4 (ink) of a line of text."""
    font = _font(size, bold)
    text = text[:400]
    while text and font.getlength(text) > width:
        text = text.removesuffix("…")[:-1].rstrip() + "…" if len(text) > 1 else ""
    mask = Image.new("L", (max(1, int(font.getlength(text)) + 1), size + size // 2))
    ImageDraw.Draw(mask).text((0, 0), text, fill=255, font=font)
    shade = (np.asarray(mask, np.uint16) * _SHADES + 127) // 255
    return shade.astype(np.uint8)


@lru_cache(maxsize=64)
def digits(number: int, cell: int) -> np.ndarray:
    """A mask bool[cell, cell] of an agent's number, centred; empty where it would not be readable."""
    size = cell * 3 // 4
    mask = Image.new("L", (cell, cell))
    font = _font(max(size, 1), True)
    if size >= 8 and font.getlength(str(number)) <= cell:
        ImageDraw.Draw(mask).text((cell / 2, cell / 2), str(number), fill=255, font=font, anchor="mm")
    return np.asarray(mask) > 127


@lru_cache(maxsize=64)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
