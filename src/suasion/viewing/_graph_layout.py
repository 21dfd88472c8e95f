"""Where circles, squares and arrows of a graph lie: distances on paper near to distances in the graph.

All lengths are inches. Letters of the shapes: n nodes, e arcs, m control points of a curve, p points on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

_ROUNDS = 300  # of majorisation
_STARTS = 6
_LARGE = 50  # nodes from which on there are half as many starts
_PUSHES = 200
_BENDS = (0.0, 0.16, -0.16, 0.3, -0.3, 0.45, -0.45)
_PAIR_BENDS = (0.2, 0.3, 0.45)  # of two arcs that go there and back: the same sign keeps them apart
_FREE = 0.05  # between a curve and a node that it passes

Points = Float[np.ndarray, "n 2"]


def layout(
    links: Int[np.ndarray, "e 2"],
    lengths: Float[np.ndarray, " e"],
    fixed: Float[np.ndarray, "n 2"],
    first: Sequence[int] = (),
) -> Points:
    r"""Positions that minimise the stress $\sum_{i<j} d_{ij}^{-2} (|x_i - x_j| - d_{ij})^2$, d along links.

    Of several beginnings the one with fewest crossings is taken, then that of least stress. All is deterministic. The
    long side lies across, the first states at the left.

    Args:
        links: pairs of nodes, in either direction.
        lengths: how long each should be.
        fixed: positions that are given; NaN where they are sought.
        first: nodes to have at the left.

    References:
        Gansner, Koren & North (2004), Graph drawing by stress majorization.
    """
    count = len(fixed)
    wanted = _distances(links, lengths, count)
    free = np.isnan(fixed).any(axis=1)
    best: tuple[float, float] | None = None
    chosen = np.zeros((count, 2))
    for start in range(1 if count < 3 else _STARTS if count < _LARGE else _STARTS // 2):
        x = _majorised(np.where(free[:, None], _beginning(wanted, start), fixed), wanted, free)
        told = float(crossings(x, links)), round(_stress(x, wanted), 6)
        if best is None or told < best:
            best, chosen = told, x
    if free.all():
        chosen = _turned(chosen, first)
    return np.round(chosen, 4)


def settled(at: Points, links: Int[np.ndarray, "e 2"], nodes: Int[np.ndarray, " m"]) -> Points:
    """Give nodes without a position one beside those that have some: on a free crossing of the same raster.

    Args:
        at: positions in steps; NaN where there is none. If there is none at all they stay so.
        links: pairs of nodes.
        nodes: those that are to get one.
    """
    at = at.copy()
    known = ~np.isnan(at).any(axis=1)
    if not known.any():
        return at
    low, high = np.floor(at[known].min(axis=0)) - 1, np.ceil(at[known].max(axis=0)) + 1
    across, up = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
    raster = np.stack([across.ravel(), up.ravel()], axis=1)
    for n in nodes[~known[nodes]]:
        near = at[[k for k in {b if a == n else a for a, b in links if n in (a, b)} if known[k]] or known]
        room = np.hypot(*np.moveaxis(raster[:, None] - at[known][None], -1, 0)).min(axis=1)
        far = ((raster[:, None] - near[None]) ** 2).sum(axis=-1).sum(axis=1)
        at[n] = raster[int(np.argmin(np.where(room > 0.9, np.round(far, 6), np.inf)))]
        known[n] = True
    return at


def _distances(links: Int[np.ndarray, "e 2"], lengths: Float[np.ndarray, " e"], count: int) -> np.ndarray:
    """Shortest ways along links; parts that do not hang together are somewhat farther from each other than any."""
    table = np.full((count, count), np.inf)
    for (i, j), length in zip(links, lengths, strict=True):
        if i != j:
            table[i, j] = table[j, i] = min(table[i, j], length)
    found = shortest_path(csr_array(np.where(np.isfinite(table), table, 0.0)), directed=False)
    reached = np.isfinite(found)
    found[~reached] = 1.3 * found[reached].max(initial=1.0)
    return found


def _beginning(wanted: np.ndarray, start: int) -> Points:
    """Classical scaling the first time, else chance with a seed of its own."""
    rng = np.random.default_rng(start)
    count = len(wanted)
    if start:
        return rng.normal(size=(count, 2)) * wanted.max()
    centre = np.eye(count) - 1 / count
    heights, vectors = np.linalg.eigh(-0.5 * centre @ wanted**2 @ centre)
    x = (vectors * np.sqrt(np.maximum(heights, 0.0)))[:, -2:]
    x = np.pad(x, ((0, 0), (2 - x.shape[1], 0)))
    return x + 1e-4 * wanted.max() * rng.normal(size=(count, 2))  # nothing stays on a line by accident


def _majorised(x: Points, wanted: np.ndarray, free: Bool[np.ndarray, " n"]) -> Points:
    """Each node goes half way to where the others want it, on average; all at once."""
    weight = np.where(wanted > 0, wanted, np.inf) ** -2
    total = weight.sum(axis=1)
    for _ in range(_ROUNDS if free.any() and total.all() else 0):
        way = x[:, None] - x[None]
        length = np.sqrt((way**2).sum(axis=-1))
        pull = wanted / np.where(length > 0, length, np.inf)
        goal = (weight[..., None] * (x[None] + way * pull[..., None])).sum(axis=1) / total[:, None]
        x = np.where(free[:, None], 0.5 * (x + goal), x)
    return x


def _stress(x: Points, wanted: np.ndarray) -> float:
    length = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=-1))
    weight = np.where(wanted > 0, wanted, np.inf) ** -2
    return float((weight * (length - wanted) ** 2).sum() / 2)


def crossings(x: Points, links: Int[np.ndarray, "e 2"]) -> int:
    """How many pairs of links without a common end cross, drawn straight."""
    ends = np.unique(np.sort(links[links[:, 0] != links[:, 1]], axis=1), axis=0)
    if len(ends) < 2:
        return 0
    a, b = x[ends[:, 0]], x[ends[:, 1]]

    def side(p: Points, q: Points, r: Points) -> np.ndarray:
        one, other = q[:, None] - p[:, None], r[None] - p[:, None]
        return np.sign(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])

    split = side(a, b, a) * side(a, b, b) < 0
    shared = (ends[:, None, :, None] == ends[None, :, None, :]).any(axis=(2, 3))
    return int((split & split.T & ~shared).sum() // 2)


def _turned(x: Points, first: Sequence[int]) -> Points:
    """The long side across, the first nodes at the left and not below the middle."""
    x = x - x.mean(axis=0)
    spread, axes = np.linalg.eigh(x.T @ x)
    if spread[1] > 1.05 * spread[0]:
        x = x @ axes[:, ::-1]
    else:  # as round as a ring: the first node decides
        along = x[list(first) or [0]].mean(axis=0)
        size = float(np.hypot(*along))
        if size > 1e-6:
            cos, sin = -along / size
            x = x @ np.array([[cos, -sin], [sin, cos]])
    at = x[list(first) or [0]].mean(axis=0)
    signs = np.array([-1.0 if at[0] > 1e-9 else 1.0, -1.0 if at[1] < -1e-9 else 1.0])
    return x * signs


def apart(x: Points, half: Float[np.ndarray, "n 2"], free: Bool[np.ndarray, " n"]) -> Points:
    """Push nodes apart whose boxes touch, along the axis in which less is needed.

    Args:
        x: positions.
        half: half the width and height of each box.
        free: nodes that may be moved.
    """
    x = x.copy()
    i, j = np.triu_indices(len(x), 1)
    need = half[i] + half[j]
    for _ in range(_PUSHES):
        way = x[j] - x[i]
        lack = need - np.abs(way)
        touching = (lack > 1e-6).all(axis=1)
        if not touching.any():
            break
        for k in np.flatnonzero(touching):
            axis = int(np.argmin(lack[k]))
            push = (0.5 if free[i[k]] and free[j[k]] else 1.0) * lack[k, axis] * (1 if way[k, axis] >= 0 else -1)
            x[i[k], axis] -= push * bool(free[i[k]])
            x[j[k], axis] += push * bool(free[j[k]])
    return np.round(x, 4)


def curve(points: Float[np.ndarray, "m 2"], at: Any) -> Float[np.ndarray, "p 2"]:
    """Points of a Bézier curve at parameters within 0 and 1, by de Casteljau."""
    t = np.asarray(at, np.float64)[:, None, None]
    held = np.broadcast_to(points, (len(t), *points.shape))
    while held.shape[1] > 1:
        held = (1 - t) * held[:, :-1] + t * held[:, 1:]
    return held[:, 0]


def part(points: Float[np.ndarray, "m 2"], begin: float, end: float) -> Float[np.ndarray, "m 2"]:
    """The control points of a piece of a Bézier curve, from one parameter to another (its blossom)."""
    degree = len(points) - 1
    found = []
    for k in range(degree + 1):
        held = points
        for level in range(degree):
            t = end if level < k else begin
            held = (1 - t) * held[:-1] + t * held[1:]
        found.append(held[0])
    return np.array(found)


def bend(x: Points, i: int, j: int, clear: Float[np.ndarray, "n 2"], *, paired: bool) -> Float[np.ndarray, "3 2"]:
    """Control points from node i to node j that pass the others at a distance, as straight as may be.

    Args:
        x: positions.
        i: where it begins.
        j: where it ends.
        clear: of each node, half the core of its stadium and the radius.
        paired: another arc goes from j to i.
    """
    others = np.array([k for k in range(len(x)) if k not in (i, j)], np.int64)
    across = np.array([x[j, 1] - x[i, 1], x[i, 0] - x[j, 0]])
    best, chosen = np.inf, np.zeros((3, 2))
    for rad in _PAIR_BENDS if paired else _BENDS:
        points = np.array([x[i], (x[i] + x[j]) / 2 + rad * across, x[j]])
        way = curve(points, np.linspace(0, 1, 33))
        lack = 0.0
        if len(others):
            near = outside(way[:, None], x[others][None], clear[others][None]).min(axis=0)
            lack = float(np.maximum(_FREE - near, 0.0).sum())
        cost = 20 * lack + 0.1 * abs(rad)
        if cost < best - 1e-9:
            best, chosen = cost, points
    return chosen


def outside(
    points: Float[np.ndarray, "... 2"], centre: Float[np.ndarray, "... 2"], shape: Float[np.ndarray, "... 2"]
) -> Float[np.ndarray, "..."]:
    """Distance from the border of a stadium: a circle drawn out sideways; negative inside.

    Args:
        points: anywhere.
        centre: of the stadium.
        shape: half its core, 0 for a circle, and its radius.
    """
    way = np.abs(points - centre)
    along = np.maximum(way[..., 0] - shape[..., 0], 0.0)
    return np.hypot(along, way[..., 1]) - shape[..., 1]


def freest(
    x: Points,
    i: int,
    links: Int[np.ndarray, "e 2"],
    taken: Sequence[float] = (),
    order: Sequence[int] = (2, -2, 1, 3),
) -> float:
    """The direction from a node, in radians, in which least comes and goes.

    Args:
        x: positions.
        i: the node.
        links: pairs of nodes.
        taken: directions that are taken besides.
        order: which directions are preferred among equals, in eighths of a turn.
    """
    eighths = list(dict.fromkeys([*order, 2, -2, 1, 3, -1, -3, 4, 0]))
    angles = np.pi / 4 * np.array(eighths, np.float64)
    away = np.array([x[b if a == i else a] - x[i] for a, b in links if i in (a, b) and a != b]).reshape(-1, 2)
    used = np.concatenate([np.arctan2(away[:, 1], away[:, 0]), np.array(taken, np.float64)])
    if not len(used):
        return float(angles[0])
    room = np.abs((angles[:, None] - used + np.pi) % (2 * np.pi) - np.pi).min(axis=1)
    return float(angles[int(np.argmax(np.round(np.minimum(room, 1.2), 3)))])


def loop(centre: Float[np.ndarray, " 2"], angle: float, shape: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "4 2"]:
    """Control points of an arc from a node to itself.

    Args:
        centre: of the node.
        angle: on which side, in radians.
        shape: half the core of its stadium and the radius.
    """
    middle = centre + np.array([np.sign(np.round(np.cos(angle), 9)) * shape[0], 0.0])

    def toward(turn: float, far: float) -> np.ndarray:
        return middle + far * np.array([np.cos(angle + turn), np.sin(angle + turn)])

    reach = shape[1] + 0.4
    return np.array(
        [toward(0.6, 0.5 * shape[1]), toward(0.45, reach), toward(-0.45, reach), toward(-0.6, 0.5 * shape[1])]
    )
