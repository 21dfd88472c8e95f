"""Series over time: what was seen, what is estimated with its band, and probabilities of states.

Letters of the shapes: t steps, k states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from suasion.viewing._style import COLOURS, INK, new_figure, style

_MOST = 12  # panels
_DENSE = 400  # points from which on they are drawn smaller


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimate over time, and what was seen of it.

    Attributes:
        title: of the panel.
        x: where the steps lie.
        mean: the estimate; NaN where there is none.
        low: lower end of its interval.
        high: upper end.
        seen: what was observed; NaN where nothing was, None if it cannot be seen.
        ahead: number of the first step that is a forecast; None if none is.
    """

    title: str
    x: Float64[np.ndarray, " t"]
    mean: Float64[np.ndarray, " t"]
    low: Float64[np.ndarray, " t"]
    high: Float64[np.ndarray, " t"]
    seen: Float64[np.ndarray, " t"] | None = None
    ahead: int | None = None


def estimates_figure(panels: Sequence[Estimate], *, xlabel: str = "step", band: str = "95 %") -> Figure:
    """Draw estimates below each other: line and band, and dots for what was seen.

    Args:
        panels: 1 to 12.
        xlabel: below the last.
        band: what the band is, in words.

    Returns:
        The figure, for `save_figure`.

    Raises:
        ValueError: no panels, or more than 12.
    """
    if not 1 <= len(panels) <= _MOST:
        raise ValueError(f"{len(panels)} panels: must be 1 to {_MOST}")
    with style():
        figure = new_figure(7.5, 0.6 + 2.4 * len(panels))
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(rows, panels, strict=True):
            axes.fill_between(panel.x, panel.low, panel.high, color=COLOURS[0], alpha=0.2, linewidth=0, label=band)
            axes.plot(panel.x, panel.mean, color=COLOURS[0], label="estimate")
            if panel.seen is not None:
                size = 12 if len(panel.x) < _DENSE else 3
                axes.scatter(panel.x, panel.seen, s=size, color=INK, linewidth=0, zorder=3, label="seen")
            if panel.ahead is not None:
                axes.axvline(panel.x[panel.ahead], color=COLOURS[1], linewidth=0.8, linestyle="--", label="forecast")
            axes.set_title(panel.title)
        rows[-1].set_xlabel(xlabel)
        rows[0].legend(loc="best", ncols=4)
    return figure


def occupancy_figure(
    x: Float64[np.ndarray, " t"],
    probability: Float64[np.ndarray, "t k"],
    names: Sequence[str],
    *,
    xlabel: str = "step",
    ahead: int | None = None,
) -> Figure:
    """Draw probabilities of states over time, one on top of the other.

    Args:
        x: where the steps lie.
        probability: of each state at each step; rows sum to 1.
        names: of the states.
        xlabel: below.
        ahead: number of the first step that is a forecast; None if none is.

    Returns:
        The figure, for `save_figure`.

    Raises:
        ValueError: numbers of names and states disagree.
    """
    if len(names) != probability.shape[1]:
        raise ValueError(f"{len(names)} names for {probability.shape[1]} states")
    with style():
        figure = new_figure(7.5, 3.0)
        axes = figure.add_subplot()
        colours = [COLOURS[k % len(COLOURS)] for k in range(len(names))]
        shades = [0.85 - 0.25 * (k // len(COLOURS) % 3) for k in range(len(names))]
        layers = axes.stackplot(x, probability.T, labels=names, colors=colours)
        for layer, shade in zip(layers, shades, strict=True):
            layer.set_alpha(shade)
        if ahead is not None:
            axes.axvline(x[ahead], color=INK, linewidth=0.8, linestyle="--")
        axes.set_ylim(0, 1)
        axes.set_ylabel("probability")
        axes.set_xlabel(xlabel)
        if len(names) <= 12:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
