"""Schelling diagrams: what one agent gets for cooperating and for defecting, by how many of the others cooperate.

Letters of the shapes: n agents, so that 0 to n - 1 others cooperate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from suasion.viewing._style import COLOURS, INK, MUTED, new_figure, style

_ROOM = 0.12  # above and below what is shown
_MARKED = 25  # agents up to which every point has a marker
_LOOKS: dict[str, dict[str, Any]] = {
    "cooperate": {"color": COLOURS[0], "linestyle": "-", "marker": "o"},
    "defect": {"color": COLOURS[1], "linestyle": "--", "marker": "s"},
}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Diagram:
    r"""The two curves of a game of n agents that are alike, and what kind of dilemma they show.

    $R_c(k)$ and $R_d(k)$ are the payoffs of one agent that cooperates and of one that defects while k of the n - 1
    others cooperate.

    Attributes:
        cooperate: $R_c(0), \dots, R_c(n-1)$, in reward units.
        defect: $R_d(0), \dots, R_d(n-1)$.
        cooperate_half: half-widths of intervals; None where the payoffs are exact.
        defect_half: likewise.
        average: payoff of all n agents on average while this one defects; None if not known.

    Raises:
        ValueError: lengths that differ or are below 2, or a number that is not finite; named.

    References:
        Schelling (1973), Hockey helmets, concealed weapons, and daylight saving. Hughes et al. (2018), Inequity
        aversion improves cooperation in intertemporal social dilemmas, section 2.2.
    """

    cooperate: Float[np.ndarray, "_"]
    defect: Float[np.ndarray, "_"]
    cooperate_half: Float[np.ndarray, "_"] | None = None
    defect_half: Float[np.ndarray, "_"] | None = None
    average: Float[np.ndarray, "_"] | None = None

    def __post_init__(self) -> None:
        if len(self.cooperate) < 2:
            raise ValueError(f"cooperate has {len(self.cooperate)} points: at least 2 agents are needed")
        for field in dataclasses.fields(self):
            held = getattr(self, field.name)
            if held is None:
                continue
            if len(held) != len(self.cooperate):
                raise ValueError(f"{field.name} has {len(held)} points, cooperate has {len(self.cooperate)}")
            if (bad := np.flatnonzero(~np.isfinite(held))).size:
                raise ValueError(f"{field.name}[{bad[0]}] is {held[bad[0]]}; must be finite")

    @property
    def fear(self) -> bool:
        """$R_d(0) > R_c(0)$: who cooperates alone is worse off than who defects with all."""
        return bool(self.defect[0] > self.cooperate[0])

    @property
    def greed(self) -> bool:
        """$R_d(n-1) > R_c(n-1)$: where all others cooperate, defecting pays."""
        return bool(self.defect[-1] > self.cooperate[-1])

    @property
    def worthwhile(self) -> bool:
        """$R_c(n-1) > R_d(0)$ and $R_c(n-1) > R_c(0)$: all cooperating beats all defecting, and being exploited."""
        return bool(self.cooperate[-1] > max(self.defect[0], self.cooperate[0]))

    @property
    def dilemma(self) -> bool:
        """A social dilemma: cooperation is worthwhile, and there is fear or greed."""
        return self.worthwhile and (self.fear or self.greed)

    @property
    def resolved(self) -> bool:
        """Whether every difference that decides is greater than its error: the root of the sum of squared half-widths.

        True where the payoffs are exact.
        """
        zero = np.zeros(len(self.cooperate))
        c, d = self.cooperate, self.defect
        e = zero if self.cooperate_half is None else self.cooperate_half
        f = zero if self.defect_half is None else self.defect_half
        pairs = [(d[0] - c[0], f[0], e[0]), (d[-1] - c[-1], f[-1], e[-1])]
        pairs += [(c[-1] - d[0], e[-1], f[0]), (c[-1] - c[0], e[-1], e[0])]
        return all(abs(far) > np.hypot(one, other) or one == other == 0 for far, one, other in pairs)

    def verdict(self) -> str:
        """The kind of dilemma, in words."""
        if self.dilemma:
            reasons = [word for word, holds in (("fear", self.fear), ("greed", self.greed)) if holds]
            said = f"social dilemma: {' and '.join(reasons)}"
        elif self.worthwhile:
            said = "no dilemma: cooperating pays"
        else:
            said = "no dilemma: cooperation is worth nothing"
        return said if self.resolved else f"{said}?"


def schelling_figure(
    diagrams: Mapping[str, Diagram], *, ylabel: str = "reward of the agent", width: float | None = None
) -> Figure:
    """Draw Schelling diagrams side by side: cooperate and defect against the number of others that cooperate.

    Fear and greed are marked by arrows at the left and the right end, where they hold; the verdict stands below the
    title, with a question mark where it is not resolved (`Diagram.resolved`). Bars are the half-widths; a dotted line
    is the average of all.

    Args:
        diagrams: title -> diagram, 1 to 8.
        ylabel: of the axis, with the unit.
        width: of the figure in inches; 2.6 for each diagram if not given, a column of a paper for one.

    Returns:
        A figure, for `save_figure`.

    Raises:
        ValueError: no diagram, or more than 8.
    """
    count = len(diagrams)
    if not 1 <= count <= 8:
        raise ValueError(f"{count} diagrams: must be 1 to 8")
    columns = min(count, 4)
    rows = -(-count // columns)
    wide = width or (3.3 if count == 1 else 2.6 * columns)
    high = min(2.6, max(1.9, 0.85 * wide / columns))
    with style():
        figure = new_figure(wide, high * rows + 0.25)
        for place, (title, diagram) in enumerate(diagrams.items()):
            axes = figure.add_subplot(rows, columns, place + 1)
            _draw(axes, diagram, title)
            if place % columns == 0:
                axes.set_ylabel(ylabel)
            if place + columns >= count:
                axes.set_xlabel("others that cooperate")
        lines = [Line2D([], [], markersize=4, label=name, **look) for name, look in _LOOKS.items()]
        if any(diagram.average is not None for diagram in diagrams.values()):
            lines.append(Line2D([], [], color=MUTED, linestyle=":", linewidth=1.2, label="average, if it defects"))
        look = {"borderpad": 0.2, "handlelength": 2.2, "columnspacing": 1.2, "fontsize": 8}
        figure.legend(handles=lines, loc="outside upper left", ncols=3 if wide > 3.9 or len(lines) < 3 else 2, **look)
    return figure


def _draw(axes: Axes, diagram: Diagram, title: str) -> None:
    k = np.arange(len(diagram.cooperate))
    for name, look in _LOOKS.items():
        held, half = getattr(diagram, name), getattr(diagram, f"{name}_half")
        line = dict(look) if len(k) <= _MARKED else {key: value for key, value in look.items() if key != "marker"}
        if half is not None:
            axes.vlines(k, held - half, held + half, color=look["color"], linewidth=1.0)
        axes.plot(k, held, markersize=4, gid=name, **line)
    if diagram.average is not None:
        axes.plot(k, diagram.average, color=MUTED, linestyle=":", linewidth=1.2, gid="average")
    low, high = _limits(diagram)
    axes.set_ylim(low, high)
    axes.set_xlim(-0.2 * k[-1], 1.2 * k[-1])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    for name, place, shift in (("fear", 0, -0.07), ("greed", -1, 0.07)):
        if getattr(diagram, name):
            ends = (diagram.cooperate[place], diagram.defect[place])
            _mark(axes, name, k[place] + shift * k[-1], ends)
    axes.set_title(f"{title}\n", fontsize=9, color=INK)
    look = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 7.5, "color": MUTED}
    axes.annotate(diagram.verdict(), (0, 1), (0, 5), ha="left", va="bottom", gid="verdict", **look)


def _mark(axes: Axes, name: str, at: float, ends: tuple[float, float]) -> None:
    """An arrow from cooperating to defecting beside an end of the curves, with its name."""
    look = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
    axes.annotate("", (at, ends[1]), (at, ends[0]), arrowprops=look, zorder=4)
    axes.annotate(
        name, (at, sum(ends) / 2), (-6 if name == "fear" else 6, 0), textcoords="offset points", ha="center",
        va="center", rotation=90, fontsize=7.5, color=INK, gid=name, zorder=4,
    )  # fmt: skip


def _limits(diagram: Diagram) -> tuple[float, float]:
    seen = [diagram.cooperate, diagram.defect]
    for held, half in ((diagram.cooperate, diagram.cooperate_half), (diagram.defect, diagram.defect_half)):
        seen += [] if half is None else [held - half, held + half]
    seen += [] if diagram.average is None else [diagram.average]
    low, high = min(float(held.min()) for held in seen), max(float(held.max()) for held in seen)
    room = _ROOM * (high - low) if high > low else 0.5
    return low - room, high + room
