"""Models and answers as pictures: grids of values, sweeps, and graphs. It never imports JAX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from suasion.markov import MDP
    from suasion.planning import Solution


def check_graph(mdp: MDP, path: Path, *, only_policy: bool) -> None:
    """Refuse, before anything is solved, what would not become a graph.

    Raises:
        ValueError: the file's ending, or too many states or arrows.
    """
    from suasion.viewing import check_picture, check_size

    check_picture(path)
    if not only_policy:
        choice = np.repeat(np.arange(mdp.n_choices), np.diff(mdp.branch_start))
        try:
            check_size(mdp.n_states, len(np.unique(np.stack([choice, mdp.target]), axis=1).T))
        except ValueError as error:
            raise ValueError(f"{error}; --only-policy leaves out the others") from error


def graph(
    mdp: MDP,
    grid: tuple[int, int] | None,
    solution: Solution,
    title: str,
    *,
    only_policy: bool,
    width: float | None,
) -> Figure:
    """The model with its best values and a policy that attains them; on its grid, where it lies on one.

    Raises:
        ValueError: more arrows than can be read.
    """
    from suasion.viewing import decision_figure

    positions = None
    if grid is not None:
        rows, columns = grid
        positions = np.full((mdp.n_states, 2), np.nan)
        y, x = np.divmod(np.arange(rows * columns), columns)
        positions[: rows * columns] = np.stack([x, -y], axis=1)
    return decision_figure(
        mdp,
        policy=solution.policy,
        value=solution.value,
        only_policy=only_policy,
        positions=positions,
        title=title,
        width=width,
    )
