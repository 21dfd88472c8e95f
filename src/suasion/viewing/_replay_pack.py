"""An episode in a page: all of it, small, and exact where exactness can be seen.

Maps are stored as differences from the map before. Views are foretold (the window around the agent, turned as it
faces; or the view before) and only what differs from the forecast is stored: nothing at all in most games, and exact in
all. Everything is one zlib stream in base64, which a browser inflates by itself.

Letters of the shapes: t steps, n agents, h and w rows and columns of the map, v and u of a view.
"""

import base64
import zlib
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from matplotlib.colors import to_rgb

from suasion.records import Episode, most_influential
from suasion.viewing._layout import agent_codes
from suasion.viewing._style import COLOURS

_LARGEST = 256 * 2**20  # bytes that a browser is asked to hold
_LEVELS = 32767  # of a pair's influence, from 0 to the largest of the episode
_MOMENTS = 100
_TURNS = (("none", (0, 0, 0, 0)), ("up", (0, 1, 2, 3)), ("half", (0, 3, 2, 1)))  # np.rot90 for headings 0..3


def pack(episode: Episode, name: str) -> dict[str, Any]:
    """JSON values from which the page plays an episode.

    Args:
        episode: to be played.
        name: what the page calls it.

    Raises:
        ValueError: an episode too large for a page.
    """
    size = episode.boards.size + episode.views.size
    size += 0 if episode.conditionals is None else episode.conditionals.size
    if size > _LARGEST:
        raise ValueError(f"{name}: maps, views and tables of {size} cells are too much for a page; limit {_LARGEST}")
    codes = agent_codes(episode)
    forecast, views = _residual(episode, codes)
    arrays: dict[str, np.ndarray] = {
        "boards": _differences(episode.boards),
        "actions": episode.actions,
        "rewards": episode.rewards,
    }
    if views.any():
        arrays["views"] = views
    for field in ("headings", "messages"):
        if (array := getattr(episode, field)) is not None:
            arrays[field] = array
    header: dict[str, Any] = {
        "name": name,
        "game": episode.game,
        "note": episode.note,
        "seed": episode.seed,
        "step": episode.step,
        "classes": episode.classes,
        "palette": _palette(episode, codes),
        "actions": episode.actions_names,
        "agents": episode.agents,
        "codes": codes,
        "colours": [_colour(k) for k in range(len(episode.agents))],
        "shape": (*episode.boards.shape[1:], *episode.views.shape[2:]),
        "steps": len(episode.actions),
        "forecast": forecast,
        "moments": influential(episode),
    }
    if episode.influence is not None:
        largest = float(np.abs(episode.influence).max(initial=0.0))
        header["largest"] = largest
        scaled = episode.influence.astype(np.float64) / (largest or 1.0) * _LEVELS
        arrays["influence"] = np.rint(scaled).astype(np.int16)
    if episode.conditionals is not None:
        header |= {"varied": episode.varied, "marginal": episode.marginal, "rows": episode.conditionals.shape[1]}
    for field in ("moments", "conditionals", "marginals"):
        if (array := getattr(episode, field)) is not None:
            arrays["recorded" if field == "moments" else field] = array
    return header | _stream(arrays)


def influential(episode: Episode, most: int = _MOMENTS) -> list[tuple[int, int, int, float]]:
    """The largest influences of an episode, (step, influencer, influenced, nats), largest first; only above 0."""
    if episode.influence is None:
        return []
    return [
        (int(t), int(k), int(j), float(f"{episode.influence[t, k, j]:.4g}"))
        for t, k, j in most_influential(episode.influence, most)
    ]


def _residual(episode: Episode, codes: tuple[int, ...] | None) -> tuple[dict[str, Any], np.ndarray]:
    """The forecast of the views that leaves least to store, and what it leaves, modulo 256."""
    before = _differences(episode.views)
    best: tuple[dict[str, Any], np.ndarray] = ({"kind": "before"}, before)
    if codes is None or len(set(codes)) != len(codes) or len(set(episode.views.shape[2:])) != 1:
        return best
    places = _places(episode.boards, codes)
    if (places < 0).any():
        return best
    outside = episode.classes.index("outside") if "outside" in episode.classes else 0
    windows = _windows(episode.boards, places, episode.views.shape[2], outside)
    for turn, quarters in _TURNS:
        if turn != "none" and episode.headings is None:
            continue
        residual = episode.views - _turned(windows, episode.headings, quarters)
        if np.count_nonzero(residual) < np.count_nonzero(best[1]):
            best = ({"kind": "window", "turn": quarters, "outside": outside}, residual)
    return best


def _places(boards: UInt8[np.ndarray, "s h w"], codes: tuple[int, ...]) -> Int64[np.ndarray, "s n 2"]:
    """Row and column of each agent in each state; -1 where the map does not show it."""
    flat = boards.reshape(len(boards), -1)
    found = []
    for code in codes:
        here = flat == code
        index = np.where(here.any(1), here.argmax(1), -boards.shape[2])
        found.append(np.stack(np.divmod(index, boards.shape[2]), -1))
    return np.stack(found, 1).astype(np.int64)


def _windows(boards: np.ndarray, places: np.ndarray, side: int, outside: int) -> UInt8[np.ndarray, "s n v v"]:
    """The square around each agent, north up; its centre is at row and column `side // 2`."""
    half = side // 2
    padded = np.pad(boards, ((0, 0), (half, half), (half, half)), constant_values=outside)
    view = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))
    return view[np.arange(len(boards))[:, None], places[..., 0], places[..., 1]]


def _turned(windows: np.ndarray, headings: np.ndarray | None, quarters: tuple[int, ...]) -> np.ndarray:
    if headings is None:
        return windows
    turned = windows.copy()
    for heading, quarter in enumerate(quarters):
        where = headings == heading
        turned[where] = np.rot90(windows[where], quarter, (1, 2))
    return turned


def _differences(states: np.ndarray) -> np.ndarray:
    """Each state minus the one before, modulo 256; the first minus nothing."""
    return np.concatenate([states[:1], np.diff(states, axis=0)])


def _palette(episode: Episode, codes: tuple[int, ...] | None) -> list[list[int]]:
    """The game's colours, but those of agents: theirs are such that colour-blind people tell them apart."""
    palette = [list(colour) for colour in episode.palette]
    for k, code in enumerate(codes or ()):
        if len(set(codes or ())) == len(episode.agents):
            palette[code] = [round(part * 255) for part in to_rgb(_colour(k))]
    return palette


def _colour(agent: int) -> str:
    return COLOURS[agent % (len(COLOURS) - 1)]  # without black: maps are black


def _stream(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Where each array lies in the stream, and the stream."""
    pieces, table, offset = [], {}, 0
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        width = plain.dtype.itemsize
        # All first bytes, then all second bytes, ...: the high ones repeat, and then compress.
        planes = plain.view(np.uint8).reshape(-1, width).T if plain.size else np.zeros(0, np.uint8)
        piece = np.ascontiguousarray(planes).tobytes()
        table[name] = {"type": plain.dtype.name, "size": int(plain.size), "at": offset}
        pieces.append(piece)
        offset += len(piece)
    squeezed = zlib.compress(b"".join(pieces), 9)
    return {"arrays": table, "bytes": base64.b64encode(squeezed).decode()}
