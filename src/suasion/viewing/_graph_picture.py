"""Graphs on paper: circles, squares, curved arrows, and labels where there is room for them.

All lengths are inches, and text has the size that it has on paper, whatever the figure's width. In an SVG every circle,
square, arrow and label is a group with an id: `node-s0` for state 0, `node-a3` for choice 3, `arrow-s1-s2`,
`arrow-a3-s2`, `line-s1-a3` (a line has no head), `label-a3`, `label-a3-s2`. Letters of the shapes: n nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Outline

from suasion.viewing._graph_labels import Labels, extent
from suasion.viewing._graph_layout import apart, bend, curve, freest, layout, loop, outside, part, settled
from suasion.viewing._style import COLOURS, INK, MUTED, new_figure, style

_NAME, _DETAIL, _LABEL = 8.0, 6.5, 6.5  # points
_SQUARE = 0.055  # half a side
_LINE = 1.2  # a line of text, in sizes of its font
_HEAD = 0.085  # of an arrow
_RING = 0.035  # between the two borders of an end
_PITCH = 1.25  # from a given position to the next
_TINT = 0.4  # of the greatest value
_MARGIN = 0.06
_TIGHTER = (1.0, 0.85, 0.72, 0.6, 0.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """A circle or a square.

    Attributes:
        name: in the circle, or beside the square.
        details: smaller, below the name.
        kind: a state, a state that is an end, or an action.
        number: of the state or of the choice, for ids.
        shade: 0 for white to 1.
        heavy: whether a square is the policy's.
        at: (right, up) in steps; NaN where a place is to be found.
    """

    name: str
    details: tuple[str, ...] = ()
    kind: Literal["state", "end", "action"] = "state"
    number: int = 0
    shade: float = 0.0
    heavy: bool = False
    at: tuple[float, float] = (np.nan, np.nan)

    @property
    def id(self) -> str:
        """`s` and the number of a state, `a` and that of a choice."""
        return f"{'a' if self.kind == 'action' else 's'}{self.number}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arc:
    """From one node to another: their places in the list, what stands on it, whether it is thick and has a head."""

    source: int
    target: int
    text: str = ""
    heavy: bool = False
    head: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Where everything lies.

    Attributes:
        x: positions of nodes, [n, 2].
        shapes: half the core of each node's stadium and its radius, [n, 2].
        curves: control points of each arc, from border to border.
        start: (x, y) and direction of the arrow from nowhere to each first state.
        labels: (x, y), text and number of the arc or, below 0, of the node (-1 - n).
        box: left, bottom, right, top of everything.
    """

    x: np.ndarray
    shapes: np.ndarray
    curves: tuple[np.ndarray, ...]
    start: tuple[tuple[int, float], ...]
    labels: tuple[tuple[float, float, str, int], ...]
    box: tuple[float, float, float, float]


def draw_graph(
    nodes: Sequence[Node],
    arcs: Sequence[Arc],
    first: Sequence[int] = (),
    *,
    title: str = "",
    key: Sequence[str] = (),
    width: float | None = None,
) -> Figure:
    """Draw a graph; see `decision_figure`.

    Args:
        nodes: circles and squares.
        arcs: between them.
        first: nodes to which an arrow from nowhere leads.
        title: over the figure.
        key: what signs mean, below it.
        width: in inches.
    """
    placed = _fitted(nodes, arcs, first, width)
    left, bottom, right, top = placed.box
    wide = max(right - left + 2 * _MARGIN, width or 0.0, extent(title, 10.0)[0] + 2 * _MARGIN, 1.6)
    lines = _wrapped(key, wide - 2 * _MARGIN)
    below, above = len(lines) * 0.125 + 0.05 * bool(lines), 0.26 if title else 0.0
    high = top - bottom + 2 * _MARGIN + below + above
    with style():
        figure = new_figure(wide, high, layout=None)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim((left + right - wide) / 2, (left + right + wide) / 2)
        axes.set_ylim(bottom - _MARGIN - below, top + _MARGIN + above)
        axes.set_aspect("equal")
        _draw(axes, nodes, arcs, placed)
        if title:
            figure.text(_MARGIN / wide, 1 - 0.05 / high, title, ha="left", va="top", fontsize=10)
        for place, line in enumerate(reversed(lines)):
            up = (0.04 + 0.125 * place) / high
            figure.text(_MARGIN / wide, up, line, ha="left", va="bottom", fontsize=_LABEL, color=MUTED)
    return figure


def _fitted(nodes: Sequence[Node], arcs: Sequence[Arc], first: Sequence[int], width: float | None) -> Placed:
    """The widest arrangement that fits, or the narrowest."""
    shapes = _shapes(nodes)
    action = np.array([node.kind == "action" for node in nodes])
    links = np.array([(arc.source, arc.target) for arc in arcs], np.int64).reshape(-1, 2)
    outer = 0.7 * shapes[:, 0] + shapes[:, 1]
    short = action[links].any(axis=1)
    said = np.array([max(0.0, extent(arc.text, _LABEL)[0] - 0.2) for arc in arcs])  # more than a short number
    lengths = np.where(short, 0.4, 0.72) + 0.6 * said + outer[links].sum(axis=1)
    given = np.array([node.at for node in nodes], np.float64).reshape(-1, 2)
    fixed = (_PITCH + 0.4 * bool(action.any())) * settled(given, links, np.flatnonzero(~action))
    x = layout(links, lengths, fixed, first)
    half = np.stack([shapes.sum(axis=1), shapes[:, 1]], axis=1) + np.where(action, 0.05, 0.14)[:, None]
    free = np.asarray(np.isnan(fixed).any(axis=1))
    placed = None
    for tight in _TIGHTER if width is not None else _TIGHTER[:1]:
        placed = _placed(nodes, arcs, first, apart(tight * x, half, free), shapes)
        if width is None or placed.box[2] - placed.box[0] + 2 * _MARGIN <= width:
            break
    assert placed is not None
    return placed


def _shapes(nodes: Sequence[Node]) -> Float[np.ndarray, "n 2"]:
    """Circles as small as their texts allow; long names draw them out sideways."""
    states = [node for node in nodes if node.kind != "action"]
    tall = max(_height(node) + (2 * _RING if node.kind == "end" else 0.0) for node in states)
    least = max(0.17, tall / 2 + 0.03)
    radius = next((r for r in least + np.arange(0.0, 0.09, 0.01) if all(_core(node, r) == 0 for node in states)), least)
    shapes = []
    for node in nodes:
        core, own = (0.0, _SQUARE) if node.kind == "action" else (_core(node, radius), radius)
        while 0 < core < 0.06:  # rather a circle that is larger than others
            own += 0.01
            core = _core(node, own)
        shapes.append((core, own))
    return np.array(shapes)


def _height(node: Node) -> float:
    return (_NAME + _DETAIL * len(node.details)) * _LINE / 72


def _core(node: Node, radius: float) -> float:
    """Half the length by which a circle has to be drawn out, for its lines to fit."""
    edge, most = _height(node) / 2, 0.0
    radius -= _RING if node.kind == "end" else 0.0
    for text, size in ((node.name, _NAME), *((line, _DETAIL) for line in node.details)):
        far = max(abs(edge), abs(edge - size * _LINE / 72))
        edge -= size * _LINE / 72
        most = max(most, extent(text, size)[0] / 2 + 0.035 - np.sqrt(max(radius**2 - far**2, 0.0)))
    return max(0.0, most)


def _placed(
    nodes: Sequence[Node], arcs: Sequence[Arc], first: Sequence[int], x: np.ndarray, shapes: np.ndarray
) -> Placed:
    """Curves between the nodes' borders, then labels beside them."""
    links = np.array([(arc.source, arc.target) for arc in arcs], np.int64).reshape(-1, 2)
    there = {(arc.source, arc.target) for arc in arcs}
    curves, taken = [], {i: [] for i in range(len(nodes))}  # type: tuple[list[np.ndarray], dict[int, list[float]]]
    for arc in arcs:
        i, j = arc.source, arc.target
        if i == j:
            taken[i].append(freest(x, i, links))
            points = loop(x[i], taken[i][-1], shapes[i])
        else:
            points = bend(x, i, j, shapes, paired=(j, i) in there)
        curves.append(_clipped(points, x, shapes, i, j))
    start = tuple((s, freest(x, s, links, taken[s], order=(4, 3, 2, -3, -2))) for s in first)
    labels = _labelled(nodes, arcs, x, shapes, curves, start)
    return Placed(x=x, shapes=shapes, curves=tuple(curves), start=start, labels=labels[0], box=labels[1])


def _clipped(points: np.ndarray, x: np.ndarray, shapes: np.ndarray, i: int, j: int) -> np.ndarray:
    """What of a curve lies between the borders of its ends."""
    at = np.linspace(0, 1, 201)
    way = curve(points, at)
    out, into = (outside(way, x[k], shapes[k]) > 0 for k in (i, j))
    begin = float(at[int(np.argmax(out))]) if out.any() else 0.0
    end = float(at[len(at) - 1 - int(np.argmax(into[::-1]))]) if into.any() else 1.0
    return part(points, begin, end) if end > begin else points


def _labelled(
    nodes: Sequence[Node],
    arcs: Sequence[Arc],
    x: np.ndarray,
    shapes: np.ndarray,
    curves: Sequence[np.ndarray],
    start: Sequence[tuple[int, float]],
) -> tuple[tuple[tuple[float, float, str, int], ...], tuple[float, float, float, float]]:
    """Places of all labels, and the box around everything."""
    half = np.stack([shapes.sum(axis=1), shapes[:, 1]], axis=1)
    ways = [curve(points, np.linspace(0, 1, 25)) for points in curves]
    room = Labels(x, half, np.concatenate(ways) if ways else np.zeros((0, 2)))
    found = []
    for n, node in enumerate(nodes):
        if node.kind == "action":
            found.append((*room.beside(x[n], node.name, _LABEL), node.name, -1 - n))
    for e, (arc, points) in enumerate(zip(arcs, curves, strict=True)):
        if arc.text:
            found.append((*room.along(points, arc.text, _LABEL), arc.text, e))
    tails = [_tail(x[s], shapes[s], angle)[0] for s, angle in start]
    low, high = room.box(tails)
    return tuple(found), (*low, *high)


def _tail(centre: np.ndarray, shape: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the arrow from nowhere."""
    way = np.array([np.cos(angle), np.sin(angle)])
    middle = centre + np.array([np.sign(np.round(way[0], 9)) * shape[0], 0.0])
    return middle + (shape[1] + 0.24) * way, middle + shape[1] * way


def _draw(axes: Axes, nodes: Sequence[Node], arcs: Sequence[Arc], placed: Placed) -> None:
    for arc, points in zip(arcs, placed.curves, strict=True):
        colour, wide = (COLOURS[0], 1.8) if arc.heavy else (MUTED, 0.8)
        name = f"{'arrow' if arc.head else 'line'}-{nodes[arc.source].id}-{nodes[arc.target].id}"
        _arrow(axes, points, colour, wide, arc.head, name)
    for s, angle in placed.start:
        ends = np.array(_tail(placed.x[s], placed.shapes[s], angle))
        _arrow(axes, np.array([ends[0], ends.mean(axis=0), ends[1]]), INK, 0.8, True, f"start-{nodes[s].id}")
    for n, node in enumerate(nodes):
        _node(axes, node, placed.x[n], placed.shapes[n])
    for x, y, text, owner in placed.labels:
        colour = INK if owner < 0 else "#404040"
        whose = (nodes[-1 - owner],) if owner < 0 else (nodes[arcs[owner].source], nodes[arcs[owner].target])
        name = "-".join(["label", *(node.id for node in whose)])
        heavy = nodes[-1 - owner].heavy if owner < 0 else arcs[owner].heavy
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.8}
        look: dict[str, Any] = {
            "fontsize": _LABEL,
            "ha": "center",
            "va": "center",
            "linespacing": 1.0,
            "zorder": 5,
            "bbox": paper,
        }
        axes.text(x, y, text, color=COLOURS[0] if heavy else colour, gid=name, **look)


def _arrow(axes: Axes, points: np.ndarray, colour: str, wide: float, head: bool, name: str) -> None:
    """A curve, and a filled head that ends where it ends."""
    size = _HEAD * (1.25 if wide > 1 else 1.0)
    if head:
        at = np.linspace(0, 1, 101)
        way = curve(points, at)
        within = np.hypot(*(way - points[-1]).T) > 0.8 * size
        neck = float(at[len(at) - 1 - int(np.argmax(within[::-1]))]) if within.any() else 0.0
        base = curve(points, [neck])[0]
        along = (points[-1] - base) / max(float(np.hypot(*(points[-1] - base))), 1e-9)
        across = np.array([-along[1], along[0]])
        back = points[-1] - size * along
        corners = np.array([points[-1], back + 0.36 * size * across, back - 0.36 * size * across])
        axes.add_patch(Polygon(corners, closed=True, facecolor=colour, edgecolor="none", zorder=3, gid=f"{name}-head"))
        points = part(points, 0.0, neck) if neck > 0 else points[:1].repeat(len(points), axis=0)
    code = Outline.CURVE3 if len(points) == 3 else Outline.CURVE4
    outline = Outline(points, [Outline.MOVETO, *[code] * (len(points) - 1)])
    axes.add_patch(
        PathPatch(outline, fill=False, edgecolor=colour, linewidth=wide, capstyle="butt", zorder=2, gid=name)
    )


def _node(axes: Axes, node: Node, x: np.ndarray, shape: np.ndarray) -> None:
    if node.kind == "action":
        colour = COLOURS[0] if node.heavy else "#4D4D4D"
        corner = x - shape[1]
        square = Rectangle(tuple(corner), 2 * shape[1], 2 * shape[1], facecolor=colour, edgecolor="none", zorder=4)
        square.set_gid(f"node-{node.id}")
        axes.add_patch(square)
        return
    fill = tuple(1 - node.shade * _TINT * (1 - part) for part in to_rgb(COLOURS[0]))
    for inset in (0.0, _RING) if node.kind == "end" else (0.0,):
        border = _stadium(x, shape[0], shape[1] - inset)
        border.set(facecolor=fill, edgecolor=INK, linewidth=0.9 if not inset else 0.6, zorder=4)
        border.set_gid(f"node-{node.id}{'-inner' if inset else ''}")
        axes.add_patch(border)
    edge = _height(node) / 2
    for text, size in ((node.name, _NAME), *((line, _DETAIL) for line in node.details)):
        middle = x[1] + edge - size * _LINE / 144
        axes.text(x[0], middle, text, fontsize=size, ha="center", va="center_baseline", zorder=6)
        edge -= size * _LINE / 72


def _stadium(x: np.ndarray, core: float, radius: float) -> PathPatch:
    """A circle, drawn out sideways by its core."""
    halves = [Outline.arc(-90, 90), Outline.arc(90, 270)]
    sides = [
        np.asarray(half.vertices) * radius + x + (shift, 0.0) for half, shift in zip(halves, (core, -core), strict=True)
    ]
    codes = [np.asarray(half.codes) for half in halves]
    codes = [codes[0], np.array([Outline.LINETO]), codes[1][1:], np.array([Outline.CLOSEPOLY])]
    return PathPatch(Outline(np.concatenate([*sides, sides[0][:1]]), np.concatenate(codes)))


def _wrapped(parts: Sequence[str], wide: float) -> list[str]:
    """Parts on as few lines as they need, in their order."""
    lines: list[str] = []
    for piece in parts:
        joined = f"{lines[-1]}; {piece}" if lines else piece
        if lines and extent(joined, _LABEL)[0] <= wide:
            lines[-1] = joined
        else:
            lines.append(piece)
    return lines
