"""The pictures of `suasion learn`: curves beside their limits, and policies where states lie on a grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion._learn_results import Curve, Played
from suasion._learn_values import Limits, first_states, greedy_shares, owners, reachable
from suasion._models import _MOVES, Loaded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from suasion.markov import MDP
    from suasion.viewing import GridPolicy

_BAND = {"mean": "mean, 95 % interval", "median": "median, middle 90 % of runs"}


def draw_curves(
    title: str,
    unit: str,
    found: Mapping[str, Mapping[str, Curve]],
    limits: Limits | None,
    width: float | None = None,
) -> Figure:
    """Returns while learning, and exact values of what was learned, with the values that they tend to.

    A narrow figure, `width` in inches, has its panels below each other.
    """
    from suasion.viewing import Banded, Panel, banded_curves

    narrow = width is not None and width < 6
    words = {"return": "return while learning", "greedy": "value of the greedy policy, exactly"}
    if narrow:
        words["greedy"] = "greedy policy, exactly"
    lines = {"return": _online_lines(limits), "greedy": {} if limits is None else {"optimal": limits.optimal}}
    panels = []
    for measure, rules in found.items():
        kind = next(iter(rules.values())).kind
        panels.append(
            Panel(
                curves={
                    name: Banded(at=c.at, middle=c.middle, lower=c.lower, upper=c.upper) for name, c in rules.items()
                },
                title=f"{words[measure]}\n{_BAND[kind]}",
                xlabel=f"{unit} of a run",
                ylabel="reward units",
                references=lines[measure],
            )
        )
    if width is None:
        return banded_curves(panels, title=title)
    columns = 1 if narrow else len(panels)
    return banded_curves(panels, title=title, width=width / columns, height=0.75 * width / columns, columns=columns)


def _online_lines(limits: Limits | None) -> dict[str, float]:
    if limits is None:
        return {}
    lines = {"optimal": limits.optimal}
    if limits.soft is not None and limits.exploring is not None and limits.epsilon:
        exploring = {f"best with\nε = {limits.epsilon:g}": limits.soft}
        about = {f"optimal, but\nfor ε = {limits.epsilon:g}": limits.exploring}
        lines |= {k: v for k, v in (exploring | about).items() if np.isfinite(v)}
    return lines


def draw_policies(
    title: str, loaded: Loaded, results: Mapping[str, Played], limits: Limits, width: float | None = None
) -> Figure:
    """What the rules have learned in the end: maps where there is a grid, else values state by state."""
    from suasion.viewing import policy_maps, state_values

    mdp = loaded.mdp
    if loaded.grid is None:
        values = {name: _best(mdp, result.found.q[:, -1]).mean(axis=0) for name, result in results.items()}
        relevant = reachable(mdp) & ~mdp.terminal
        kept = {name: np.where(relevant, value, np.nan) for name, value in values.items()}
        exact = np.where(relevant, limits.value, np.nan)
        label = "greatest learned value\n(reward units, mean over runs)"
        return state_values(kept, exact=exact, names=mdp.states or (), title=title, label=label)
    label = "greatest learned value, mean over runs"
    return policy_maps(_maps(loaded, results, -1), title=title, label=label, width=width)


def write_animation(title: str, loaded: Loaded, results: Mapping[str, Played], path: Path) -> Path:
    """How the policies came about, from checkpoint to checkpoint."""
    from suasion.viewing import policy_maps, write_film

    first = next(iter(results.values())).found
    frames = [_maps(loaded, results, k) for k in range(len(first.checkpoints))]
    shown = np.concatenate([policy.value[np.isfinite(policy.value)] for maps in frames for policy in maps.values()])
    limits = (float(shown.min()), float(shown.max()))

    def draw(k: int) -> Figure:
        words = f"{title}: after {first.checkpoints[k]:,} {first.unit}"
        return policy_maps(frames[k], title=words, label="greatest learned value, mean over runs", limits=limits)

    return write_film(draw, len(frames), path)


def _maps(loaded: Loaded, results: Mapping[str, Played], checkpoint: int) -> dict[str, GridPolicy]:
    from suasion.viewing import GridPolicy

    assert loaded.grid is not None
    mdp, grid = loaded.mdp, loaded.grid
    cells = grid[0] * grid[1]
    relevant = (reachable(mdp) & ~mdp.terminal)[:cells]
    starts = np.flatnonzero(first_states(mdp)[:cells])
    marks = {(int(s) // grid[1], int(s) % grid[1]): "S" for s in starts} if len(starts) <= 3 else {}
    maps = {}
    for name, result in results.items():
        q = result.found.q[:, checkpoint]
        ties = getattr(result.found.algorithm.exploration, "ties", "uniform")
        value = np.where(relevant, _best(mdp, q).mean(axis=0)[:cells], np.nan)
        shares = _directions(mdp, greedy_shares(mdp, q, ties).mean(axis=0))[:cells]
        maps[name] = GridPolicy(value=value.reshape(grid), shares=shares.reshape(*grid, 4), marks=marks)
    return maps


def _best(mdp: MDP, q: Float64[ndarray, "n C"]) -> Float64[ndarray, "n S"]:
    r"""$\max_a Q(s, a)$; 0 in terminal states."""
    best = np.zeros((len(q), mdp.n_states))
    live = np.flatnonzero(np.diff(mdp.choice_start) > 0)
    best[:, live] = np.maximum.reduceat(q, mdp.choice_start[live], axis=1)
    return best


def _directions(mdp: MDP, shares: Float64[ndarray, "C"]) -> Float64[ndarray, "S 4"]:
    """Probability of going up, right, down and left, by the names of actions."""
    from suasion.viewing import DIRECTIONS

    names = [mdp.actions[a].lower() if a < len(mdp.actions) else "" for a in mdp.action]
    found = np.zeros((mdp.n_states, 4))
    for c, s in enumerate(owners(mdp)):
        move: Any = _MOVES.get(names[c])
        if move is not None:
            found[s, DIRECTIONS.index(move)] += shares[c]
    return found
