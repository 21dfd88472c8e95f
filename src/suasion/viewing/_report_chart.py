"""Charts as SVG that follows the page's colours, light and dark: no style of its own, only classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suasion.viewing._report_page import text

WIDTH, HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 350, 8, 184
COLOURS = 7


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A curve: x and y, the ends of its band (NaN: none), its place in the key, and the layer it is on."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    place: int
    layer: str = ""


def line_chart(lines: Sequence[Line], name: str) -> str:
    """Curves with bands over environment steps; `name` is what a screen reader says."""
    values = np.concatenate([part for line in lines for part in (line.y, line.low, line.high)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if high - low < 1e-12 * max(1.0, abs(low)):
        low, high = low - 0.5, high + 0.5
    last = max((float(line.x[-1]) for line in lines if len(line.x)), default=1.0) or 1.0
    marks, pieces = _ticks(low, high), []
    for mark in marks:
        y = _BOTTOM - (mark - low) / (high - low) * (_BOTTOM - _TOP)
        pieces.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>')
        pieces.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{mark:.6g}</text>')
    for share in (0, 0.5, 1):
        across = _LEFT + share * (_RIGHT - _LEFT)
        anchor = ("start", "middle", "end")[int(2 * share)]
        pieces.append(f'<text x="{across:.0f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{_short(share * last)}</text>')
    for line in lines:
        x = _LEFT + line.x / last * (_RIGHT - _LEFT)
        height, under, over = (
            _BOTTOM - (values - low) / (high - low) * (_BOTTOM - _TOP) for values in (line.y, line.low, line.high)
        )
        layer = f" {line.layer}" if line.layer else ""
        whole = np.isfinite(under) & np.isfinite(over)
        if whole.any():
            edge = np.concatenate([over[whole], under[whole][::-1]])
            points = _points(np.concatenate([x[whole], x[whole][::-1]]), edge)
            pieces.append(f'<polygon class="band f{line.place % COLOURS}{layer}" points="{points}"/>')
        look = f"line s{line.place % COLOURS} d{line.place // COLOURS % 4}{layer}"
        pieces += [f'<polyline class="{look}" points="{part}"/>' for part in _parts(x, height)]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(name)}">{"".join(pieces)}</svg>'


def matrix_chart(matrix: np.ndarray, agents: Sequence[str], name: str) -> str:
    """A square of numbers, influencer by row, influenced by column; the larger the darker."""
    count, side, left, top = len(matrix), 56, 120, 44
    largest = float(np.abs(matrix).max(initial=0.0)) or 1.0
    pieces = []
    for k, row in enumerate(matrix):
        y = top + k * side
        middle = y + side // 2 + 4
        pieces.append(f'<text x="{left - 8}" y="{middle}" text-anchor="end">{text(agents[k])[:60]} →</text>')
        pieces.append(f'<text x="{left + k * side + side / 2}" y="{top - 10}" text-anchor="middle">{k + 1}</text>')
        for j, value in enumerate(row):
            x, share = left + j * side, abs(value) / largest * 0.75
            opacity = 0 if j == k else share
            cell = f'x="{x}" y="{y}" width="{side}" height="{side}"'
            pieces.append(f'<rect class="cell" {cell} fill-opacity="{opacity:.2f}"/>')
            shown = "·" if j == k else f"{value:.2g}"
            pieces.append(
                f'<text class="cell-text" x="{x + side / 2}" y="{middle}" text-anchor="middle">{shown}</text>'
            )
    size = f"0 0 {left + count * side + 8} {top + count * side + 8}"
    return f'<svg viewBox="{size}" role="img" aria-label="{text(name)}">{"".join(pieces)}</svg>'


def _ticks(low: float, high: float) -> list[float]:
    """Two to six round numbers within the range."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(steps: float) -> str:
    for size, word in ((1e6, "M"), (1e3, "k")):
        if steps >= size:
            return f"{steps / size:.3g}{word}"
    return f"{steps:.3g}"


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _parts(x: np.ndarray, y: np.ndarray) -> list[str]:
    """The runs of defined points; gaps stay gaps."""
    defined = np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], defined, [False]]).astype(int)))
    return [_points(x[a:b], y[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True)]
