"""`suasion schelling`: what one agent gets for cooperating and for defecting, by how many of the others cooperate."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy import ndarray
from tyro.conf import Positional, arg

from suasion._pictures import check_width, make_folder

if TYPE_CHECKING:
    from suasion.games import Cleanup, Harvest, MatrixGame
    from suasion.viewing import Diagram

BATCHES = 8  # of episodes: intervals are over their means
_COLUMNS = ("others", "cooperate", "defect")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SchellingCommand:
    """Draw Schelling diagrams: what an agent gets for cooperating and for defecting, by how many others cooperate.

    Of a matrix game the diagram is exact, a round, and the mean over agents. Harvest and Cleanup are played by scripts:
    sustainable against forager-2, and cleaner against harvester. A table, as of trained agents, is a CSV with columns
    others, cooperate and defect; a row for each measurement, an empty cell for none.
    """

    games: Positional[Annotated[tuple[str, ...], arg(metavar="GAME|TABLE.csv")]]
    """Names (`suasion games` lists them), files of maps or payoff tables, or tables of measurements."""
    actions: Annotated[str | None, arg(metavar="NAME,NAME", help_behavior_hint="(default: the first two)")] = None
    """Of matrix games: which action is to cooperate, and which to defect."""
    agents: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the game's)")] = None
    """Of Harvest and Cleanup."""
    episodes: int = 64
    """Of Harvest and Cleanup, for each number of cooperators; a multiple of 8."""
    seed: int = 0
    """Of all chance in them."""
    out: Annotated[Path, arg(metavar="FOLDER|FILE")] = Path()
    """Where schelling goes, as PNG, SVG and PDF; or one file that ends in .png, .svg or .pdf."""
    width: Annotated[float | None, arg(metavar="INCHES", help_behavior_hint="(default: by the diagrams)")] = None
    """Of the figure; 3.3 is a column of a paper."""

    def run(self) -> int:
        """Count or play, print, draw."""
        from suasion.viewing import save_pictures, schelling_figure

        if not self.games:
            raise ValueError("no game given: name at least one")
        if self.episodes < 2 * BATCHES or self.episodes % BATCHES:
            raise ValueError(f"--episodes is {self.episodes}: must be a multiple of {BATCHES}, at least {2 * BATCHES}")
        check_width(self.width)
        titles = [Path(name).stem if name.endswith((".csv", ".json", ".txt")) else name for name in self.games]
        if doubled := [title for place, title in enumerate(titles) if title in titles[:place]]:
            raise ValueError(f"{doubled[0]} is named more than once")
        diagrams = {title: self._diagram(name) for title, name in zip(titles, self.games, strict=True)}
        make_folder(self.out)
        for title, diagram in diagrams.items():
            sys.stdout.write(_table(title, diagram))
        figure = schelling_figure(diagrams, ylabel="reward of the agent", width=self.width)
        for path in save_pictures(figure, self.out, "schelling"):
            print(path)
        return 0

    def _diagram(self, name: str) -> Diagram:
        if name.lower().endswith(".csv"):
            return read_diagram(Path(name))
        from suasion.games import Cleanup, Harvest, MatrixGame, make

        game = make(name, agents=self.agents) if self.agents is not None else make(name)
        if isinstance(game, MatrixGame):
            return matrix_diagram(game, *self._pair(game))
        if not isinstance(game, Harvest | Cleanup):
            raise ValueError(
                f"{name}: there is no script that cooperates in it; matrix games, Harvest and Cleanup have one"
            )
        return played_diagram(game, self.episodes, self.seed)

    def _pair(self, game: MatrixGame) -> tuple[int, int]:
        """The two actions, by number."""
        names = list(game.actions)
        if self.actions is None:
            return 0, 1
        chosen = [part.strip() for part in self.actions.split(",")]
        if len(chosen) != 2 or len(set(chosen)) != 2 or not set(chosen) <= set(names):
            raise ValueError(f"--actions {self.actions}: must be two of {', '.join(names)}, with a comma between them")
        return names.index(chosen[0]), names.index(chosen[1])


def matrix_diagram(game: MatrixGame, cooperate: int, defect: int) -> Diagram:
    r"""The exact diagram of a matrix game: a round's payoff, the mean over agents and over which k others cooperate.

    $R_c(k) = \frac1n \sum_i \binom{n-1}{k}^{-1} \sum_{K \not\ni i, |K| = k} u_i(c, K)$, and $R_d$ likewise.

    Args:
        game: of n agents.
        cooperate: the action that is to cooperate.
        defect: the one that is to defect.

    Raises:
        ValueError: one agent only, or more than 12 (2^n cells are visited).
    """
    from suasion.viewing import Diagram

    n = game.spec.agents
    if not 2 <= n <= 12:
        raise ValueError(f"{game.name} has {n} agents: a diagram needs 2 to 12")
    table = np.array(game.payoffs, np.float64)
    total, average = np.zeros((2, n)), np.zeros(n)
    count = np.zeros(n)
    for joint in itertools.product((cooperate, defect), repeat=n):
        paid = table[joint]
        cooperators = joint.count(cooperate)
        for i, chosen in enumerate(joint):
            others = cooperators - (chosen == cooperate)
            total[int(chosen == defect), others] += paid[i]
            if chosen == defect:
                count[others] += 1
                average[others] += paid.mean()
    return Diagram(cooperate=total[0] / count, defect=total[1] / count, average=average / count)


def played_diagram(game: Harvest | Cleanup, episodes: int, seed: int) -> Diagram:
    """The diagram of Harvest or Cleanup as scripts play it: returns of an episode, 95 % intervals over 8 batches.

    Args:
        game: Harvest or Cleanup.
        episodes: for each number of cooperators; a multiple of 8.
        seed: of all chance; every number of cooperators starts from the same keys.
    """
    import jax

    from suasion.games import Harvest, cleaner, forager, harvester, schelling, sustainable
    from suasion.viewing import Diagram, mean_interval

    cooperator: Any  # of another class in each game
    defector: Any
    if isinstance(game, Harvest):
        cooperator, defector = sustainable(game), forager(game, 2)
    else:
        cooperator, defector = cleaner(game), harvester(game)
    keys = jax.random.split(jax.random.key(seed), BATCHES)
    found = [schelling(game, cooperator, defector, episodes // BATCHES, key) for key in keys]
    n = game.spec.agents

    def curve(rows: list[tuple[float | None, ...]]) -> tuple[ndarray, ndarray]:
        pairs = [mean_interval([value for row in rows if (value := row[k]) is not None]) for k in range(n)]
        return np.array([mean for mean, _ in pairs]), np.array([half for _, half in pairs], np.float64)

    # With k others, one that cooperates is among k + 1 cooperators.
    paid, half = curve([one.cooperator[1:] for one in found])
    kept, spread = curve([one.defector[:-1] for one in found])
    average = np.array([np.mean([one.collective[k] for one in found]) / n for k in range(n)])
    return Diagram(cooperate=paid, defect=kept, cooperate_half=half, defect_half=spread, average=average)


def read_diagram(path: Path) -> Diagram:
    """A diagram from a table of measurements: means, and Student's 95 % intervals where every mean is over several.

    Args:
        path: CSV with columns `others` (0 to n - 1), `cooperate` and `defect`, in reward units; a row for each
            measurement, such as a run's mean return; an empty cell for none.

    Raises:
        ValueError: no such columns, a cell that is no number, a number of others without a measurement; named.
        OSError: the file cannot be read.
    """
    from suasion.viewing import Diagram, mean_interval

    if path.stat().st_size > 10_000_000:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes; a table has 10,000,000 at most")
    lines = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    if missing := [name for name in _COLUMNS if name not in (lines.fieldnames or ())]:
        raise ValueError(f"{path}: there is no column {missing[0]!r}; needed are {', '.join(_COLUMNS)}")
    held: dict[str, dict[int, list[float]]] = {"cooperate": {}, "defect": {}}
    for number, row in enumerate(lines, 2):
        others = row["others"] or ""
        if not others.isdecimal() or int(others) > 10_000:
            raise ValueError(
                f"{path}: line {number}, others is {others[:40]!r}; must be a whole number from 0 to 10,000"
            )
        for name, cells in held.items():
            if text := (row[name] or "").strip():
                cells.setdefault(int(others), []).append(_measured(text, f"{path}: line {number}, {name}"))
    n = 1 + max((k for cells in held.values() for k in cells), default=-1)
    for name, cells in held.items():
        if absent := [k for k in range(n) if k not in cells]:
            raise ValueError(f"{path}: nobody measured {name} with {absent[0]} others that cooperate")
    told = {name: [mean_interval(cells[k]) for k in range(n)] for name, cells in held.items()}
    several = all(half is not None for pairs in told.values() for _, half in pairs)
    means = {name: np.array([mean for mean, _ in pairs]) for name, pairs in told.items()}
    halves = {f"{name}_half": np.array([half for _, half in pairs]) for name, pairs in told.items()} if several else {}
    try:
        return Diagram(**means, **halves)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _measured(text: str, place: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise ValueError(f"{place} is {text[:40]!r}; must be a number, or empty")
    return found


def _table(title: str, diagram: Diagram) -> str:
    """The numbers, and the verdict."""
    lines = [f"{title}: {diagram.verdict()}", f"{'others':>8}{'cooperate':>20}{'defect':>20}"]
    for k in range(len(diagram.cooperate)):
        cells = [
            f"{held[k]:.4g}" + ("" if half is None else f" ± {half[k]:.2g}")
            for held, half in ((diagram.cooperate, diagram.cooperate_half), (diagram.defect, diagram.defect_half))
        ]
        lines.append(f"{k:>8}{cells[0]:>20}{cells[1]:>20}")
    return "\n".join(lines) + "\n"
