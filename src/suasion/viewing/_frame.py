"""A picture of one moment of an episode: the map, each agent's view, what it did and what it has got.

Letters of the shapes: rows and columns of pixels.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import UInt8

from suasion.records import Episode
from suasion.viewing._layout import BLACK, FRAME, LINE, PAPER, Layout, digits, plan, write

_ARROWS = "↑→↓←"


def draw_frame(episode: Episode, t: int, scale: int | None = None) -> UInt8[np.ndarray, "rows columns 3"]:
    """Draw state t: the whole map beside each agent's view.

    Beside each view stand the agent's name with its number and colour, its heading where recorded, the action
    that led to this state, the reward of that step and the sum so far, its message, and its influence on all
    others in nats. Where the map's classes tell the agents apart, their cells carry their numbers and a bar
    on the side they face.

    Args:
        episode: what to draw.
        t: 0 (before the first step) to the number of steps.
        scale: pixels a cell of the map; by default the map is at most 420 pixels tall and 640 wide.

    Returns:
        RGB pixels.

    Raises:
        ValueError: t outside the episode, a scale below 1 or too large a picture, or more than about 230
            colours.
    """
    layout, paint = painter(episode, scale)
    if not 0 <= t <= len(episode.actions):
        raise ValueError(f"t is {t}; the episode has states 0 to {len(episode.actions)}")
    return layout.palette[paint(t)]


def painter(episode: Episode, scale: int | None) -> tuple[Layout, Callable[[int], np.ndarray]]:
    """The layout of an episode's pictures, and a function from t to a picture of palette indices."""
    layout = plan(episode, scale)
    totals = np.concatenate([np.zeros((1, len(episode.agents))), np.cumsum(episode.rewards, 0, np.float64)])
    return layout, partial(_paint, episode, layout, _backdrop(episode, layout), totals)


def _backdrop(episode: Episode, layout: Layout) -> np.ndarray:
    """What is the same in every picture."""
    canvas = np.full(layout.size, PAPER, np.uint8)
    about = f"trained for {episode.step:,} steps · seed {episode.seed}"
    note = f"{about} · {episode.note}" if episode.note else about
    write(canvas, 8 + LINE + 1, layout.board_at[1], note, size=11, muted=True, width=layout.size[1] - 24)
    for k, (row, column) in enumerate(layout.view_at):
        column += _view_width(episode, layout) + 10
        canvas[row + 1 : row + 13, column : column + 12] = FRAME
        canvas[row + 2 : row + 12, column + 1 : column + 11] = layout.agent_index[k]
        number = "" if episode.agents[k].strip().endswith(str(k + 1)) else f"{k + 1} "
        write(canvas, row - 1, column + 17, f"{number}{episode.agents[k]}", bold=True, width=layout.text_width - 17)
    for row, column, code in layout.legend:
        canvas[row + 1 : row + 12, column : column + 11] = FRAME
        canvas[row + 2 : row + 11, column + 1 : column + 10] = layout.class_index[code]
        write(canvas, row, column + 16, episode.classes[code], size=11, muted=True, width=200)
    return canvas


def _paint(episode: Episode, layout: Layout, backdrop: np.ndarray, totals: np.ndarray, t: int) -> np.ndarray:
    canvas = backdrop.copy()
    headings = None if episode.headings is None else episode.headings[t]
    row, column = layout.board_at
    title = f"{episode.game} · step {t} of {len(episode.actions)} · collective reward {_number(totals[t].sum())}"
    write(canvas, 8, column, title, size=13, bold=True, width=layout.size[1] - 24)
    _place(canvas, row, column, _cells(episode.boards[t], layout, layout.cell, headings))
    for k, (row, column) in enumerate(layout.view_at):
        # A view is turned so that its agent faces up; the others' headings in it are not known.
        _place(canvas, row, column, _cells(episode.views[t, k], layout, layout.view_cell, None))
        column += _view_width(episode, layout) + 10
        for place, line in enumerate(_lines(episode, totals, t, k)):
            write(canvas, row - 1 + (place + 1) * LINE, column, line, width=layout.text_width)
    return canvas


def _lines(episode: Episode, totals: np.ndarray, t: int, k: int) -> list[str]:
    """The text beside agent k's view."""
    arrow = "" if episode.headings is None else _ARROWS[episode.headings[t, k]] + " "
    if t == 0:
        return [f"{arrow}start", "reward 0"]
    lines = [
        arrow + episode.actions_names[episode.actions[t - 1, k]],
        f"reward {_number(totals[t, k])}" + (f"  ({gain:+.4g})" if (gain := episode.rewards[t - 1, k]) else ""),
    ]
    if episode.messages is not None:
        symbol = episode.messages[t - 1, k]
        lines.append("silent" if symbol < 0 else f"says {symbol}")
    if episode.influence is not None:
        exerted = episode.influence[t - 1, k]
        lines.append(f"influence {exerted.sum() - exerted[k]:.3f} nats")
    return lines


def _cells(codes: np.ndarray, layout: Layout, cell: int, headings: np.ndarray | None) -> np.ndarray:
    """Class codes as blocks of pixels, with the agents' numbers and headings on them."""
    picture = layout.class_index[codes].repeat(cell, 0).repeat(cell, 1)
    marked = layout.marked[codes]
    for row, column in np.argwhere(marked):
        agent = int(marked[row, column]) - 1
        block = picture[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        red, green, blue = layout.palette[layout.agent_index[agent]].astype(float)
        contrast = BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else PAPER
        block[digits(agent + 1, cell)] = contrast
        if headings is not None and cell >= 6:
            edge = np.rot90(block, int(headings[agent]))  # a view: what faces the heading is now on top
            edge[: max(1, cell // 8), 1:-1] = contrast
    return picture


def _place(canvas: np.ndarray, row: int, column: int, picture: np.ndarray) -> None:
    """Put a picture into the canvas, with a thin frame around it."""
    rows, columns = picture.shape
    canvas[row - 1 : row + rows + 1, column - 1 : column + columns + 1] = FRAME
    canvas[row : row + rows, column : column + columns] = picture


def _view_width(episode: Episode, layout: Layout) -> int:
    return episode.views.shape[3] * layout.view_cell


def _number(value: float) -> str:
    return f"{value:.5g}"
