"""Labels of a graph: each goes where it covers least of what is there already.

All lengths are inches. Letters of the shapes: n nodes, p points on curves, c candidates, l labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from suasion.viewing._graph_layout import curve
from suasion.viewing._layout import _font

_ALONG = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.18, 0.82)
_FROM = 0.035  # between a line and its label
_APART = 0.03  # between labels
_SQUARE = 0.085  # between the middle of a square and its label


def extent(text: str, size: float) -> tuple[float, float]:
    """Width and height of text in the house's font, `size` in points."""
    font, lines = _font(64, False), text.split("\n")
    return max(font.getlength(line) for line in lines) / 64 * size / 72, len(lines) * size * 1.05 / 72


class Labels:
    """Where labels have gone, and where there is room.

    Args:
        x: middles of nodes.
        half: half the width and height of their boxes.
        points: on all curves.
    """

    def __init__(self, x: Float[np.ndarray, "n 2"], half: Float[np.ndarray, "n 2"], points: Float[np.ndarray, "p 2"]):
        self.x, self.half, self.points = x, half, points
        self.placed: Float[np.ndarray, "l 4"] = np.zeros((0, 4))  # middle, and half the width and height

    def along(self, points: np.ndarray, text: str, size: float) -> tuple[float, float]:
        """Place a label beside a curve, near its middle if it can be; on it, if nothing else is free."""
        box = np.array(extent(text, size)) / 2
        at = np.repeat(_ALONG, 3)
        middle = curve(points, at)
        slope = curve(points, np.minimum(at + 0.01, 1)) - curve(points, np.maximum(at - 0.01, 0))
        slope = slope / np.maximum(np.hypot(*slope.T), 1e-9)[:, None]
        normal = np.stack([-slope[:, 1], slope[:, 0]], axis=1)
        side = np.tile([1.0, -1.0, 0.0], len(_ALONG))
        reach = (np.abs(normal) * box).sum(axis=1) + _FROM
        places = middle + normal * (side * reach)[:, None]
        cost = 0.6 * np.abs(at - 0.5) + np.where(side == 0, 0.55, 0.0)
        # Outside of a bow, lest the labels of two arcs there and back meet; else above.
        bow = curve(points, [0.5])[0] - (points[0] + points[-1]) / 2
        inner = normal @ bow * side < -1e-6 if np.hypot(*bow) > 1e-3 else normal[:, 1] * side < 0
        return self._put(places, box, cost + np.where(inner, 0.12, 0.0))

    def beside(self, centre: np.ndarray, text: str, size: float) -> tuple[float, float]:
        """Place a label around a square."""
        box = np.array(extent(text, size)) / 2
        angles = np.pi / 8 * np.arange(32)
        far = np.repeat([0.0, 0.07], 16)
        way = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        # The box touches a square around the centre, whatever the direction.
        reach = (1 / np.maximum(np.abs(way) / (box + _SQUARE + far[:, None]), 1e-9)).min(axis=1)
        return self._put(centre + way * reach[:, None], box, np.where(np.arange(32) % 4, 0.06, 0.0) + 3 * far)

    def box(self, more: Sequence[np.ndarray]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Lowest and highest corner of everything."""
        held = [self.x - self.half, self.x + self.half, self.points, *(point[None] for point in more)]
        held += [self.placed[:, :2] - self.placed[:, 2:], self.placed[:, :2] + self.placed[:, 2:]]
        corners = np.concatenate(held)
        low, high = corners.min(axis=0), corners.max(axis=0)
        return (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))

    def _put(
        self, places: Float[np.ndarray, "c 2"], box: np.ndarray, cost: Float[np.ndarray, " c"]
    ) -> tuple[float, float]:
        """The cheapest candidate."""
        cost = cost + 10 * _covered(places, box, self.x, 0.94 * self.half)
        cost = cost + 10 * _covered(places, box, self.placed[:, :2], self.placed[:, 2:] + _APART)
        inside = (np.abs(places[:, None] - self.points[None]) < box + 0.015).all(axis=-1)
        cost = cost + 0.25 * inside.sum(axis=1)
        chosen = places[int(np.argmin(np.round(cost, 6)))]
        self.placed = np.concatenate([self.placed, np.concatenate([chosen, box])[None]])
        return float(chosen[0]), float(chosen[1])


def _covered(
    places: Float[np.ndarray, "c 2"], box: np.ndarray, x: Float[np.ndarray, "l 2"], half: Float[np.ndarray, "l 2"]
) -> Float[np.ndarray, " c"]:
    """Share of the label that lies on others."""
    shared = np.minimum(2 * np.minimum(box, half[None]), box + half[None] - np.abs(places[:, None] - x[None]))
    return np.maximum(shared, 0.0).prod(axis=-1).sum(axis=1) / (4 * box.prod())
