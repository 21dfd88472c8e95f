"""`suasion reproduce table4`: the publication's table of influence, with as much of it as the time allows."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from suasion._reproduce_runs import Job, train_all
from suasion._reproduce_table import LEVELS, Result, columns_table, result, seeds_table

Jobs = Mapping[tuple[str, str, int], Job]  # by game, column and seed
Results = Mapping[tuple[str, str, int], Result | None]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXPLAINED = (
    "Collective reward: of all agents together, an episode; mean over the episodes of the last tenth of a run, with "
    "the half-widths of its 95 % and 99.5 % Student intervals over seeds. A dead agent eats nothing in {episodes} "
    "episodes of the evaluation; the publication leaves such runs of Harvest out, here both figures stand. Fining "
    "beams: of all, an episode. Influence: nats a step, mean over agents, as the reward sees it, and that of actions, "
    "by the simulator, which is exact; influence by messages is another quantity, and exact itself."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Train the columns of Table 4 of Jaques et al. (2019) in Cleanup and Harvest, and write the table.

    Runs go seed by seed through all columns. When the budget is spent they are stopped, with a checkpoint, and the
    table is written of what there is; the same command goes on.
    """

    what: Positional[Annotated[Literal["table4"], arg(metavar="table4")]]
    """What to reproduce."""
    scale: Literal["small", "paper"] = "small"
    """small: 3 agents on small maps, a minute or two for each run; paper: 5 agents, the publication's maps and
    hyper-parameters, 1e8 steps."""
    games: Annotated[str, arg(metavar="GAME,...")] = "cleanup,harvest"
    """cleanup, harvest or both."""
    columns: Annotated[str, arg(metavar="NAME,...")] = "none,inequity,basic,communication,model"
    """Columns, the five of the table if left out; besides: visible, channel, unpaid (the baselines: the same networks,
    influence not paid) and simulator (exact influence)."""
    seeds: int = 5
    """Runs of each column, of seeds SEED, SEED + 1, ..."""
    seed: int = 300
    """The first seed. Nothing was tuned on 300 and above."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the game's preset)")] = None
    """Environment steps of each run."""
    budget: Annotated[str, arg(metavar="TIME")] = "1h"
    """Wall-clock time for training: seconds, or 90m, 2h, 3d."""
    processes: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one a core)")] = None
    """Runs at once."""
    episodes: int = 16
    """Of the evaluation of each finished run."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: table4-SCALE)")] = None
    """Where everything goes; what is there already is taken."""

    def run(self) -> int:
        """Train, evaluate, write."""
        from suasion.records import write_whole
        from suasion.viewing import save_pictures

        out, jobs, seconds = self._folder(), self._jobs(), read_time(self.budget)
        out.mkdir(parents=True, exist_ok=True)

        def ended(job: Job, cpu: float, finished: bool) -> None:
            with (out / "cpu.jsonl").open("a") as file:
                file.write(json.dumps({"run": _name(job, out), "seconds": round(cpu, 2)}) + "\n")
            print(f"{_name(job, out)}: {'done' if finished else 'stopped'}, {cpu:.0f} CPU s", file=sys.stderr)

        processes = self.processes or os.cpu_count() or 1
        complete = train_all(list(jobs.values()), processes=processes, seconds=seconds, ended=ended)
        results = {key: result(job, self.episodes) for key, job in jobs.items()}
        if not any(results.values()):
            raise ValueError(f"--budget {self.budget} was too short for one update of any run: there is no table")
        text = self._text(out, jobs, results, complete)
        write_whole(out / "table4.md", [text.encode()])
        figures = self._figures(results)
        pictures = [path for game, figure in figures.items() for path in save_pictures(figure, out, game)]
        print(text)
        for path in (out / "table4.md", *pictures):
            print(path)
        return 0

    def _folder(self) -> Path:
        return self.out or Path(f"table4-{self.scale}")

    def _wanted(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Games and columns."""
        from suasion.runs._table4 import GAMES, TITLES

        return _names("games", self.games, GAMES), _names("columns", self.columns, tuple(TITLES))

    def _jobs(self) -> Jobs:
        """All runs by game, column and seed: the first seed of everything first."""
        from suasion.runs._config import LARGEST_SEED
        from suasion.runs._table4 import arguments

        games, columns = self._wanted()
        for name, least in (("seeds", 1), ("episodes", 1), ("processes", 1), ("steps", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"--{name} {value}: must be at least {least}")
        if not 0 <= self.seed <= LARGEST_SEED - self.seeds + 1:
            raise ValueError(f"--seed {self.seed} with {self.seeds} seeds: they must lie in 0..{LARGEST_SEED}")
        steps = () if self.steps is None else ("--steps", str(self.steps))
        return {
            (game, column, seed): Job(
                arguments=(*arguments(game, column, self.scale), *steps),
                seed=seed,
                out=self._folder() / game / column,
            )
            for seed in range(self.seed, self.seed + self.seeds)
            for game in games
            for column in columns
        }

    def _text(self, out: Path, jobs: Jobs, results: Results, complete: bool) -> str:
        """The whole report."""
        from suasion.runs._table4 import NOTES, PUBLISHED, TITLES

        cpu = _cpu(out)
        there = sum(one is not None and one.finished for one in results.values())
        state = "complete" if complete else f"partial: the budget of {self.budget} was spent"
        parts = [
            f"# Table 4 of Jaques et al. (2019), {self.scale} scale\n\n{state}; {there} of {len(jobs)} runs are "
            f"finished.\n\n{_EXPLAINED.format(episodes=self.episodes)}\n\n{NOTES}\n\n{_machine()}\n"
        ]
        for game in self._wanted()[0]:
            here = {key[1:]: one for key, one in results.items() if key[0] == game and one is not None}
            spent = {key[1:]: cpu.get(_name(job, out), 0.0) for key, job in jobs.items() if key[0] == game}
            published = PUBLISHED[game] if self.scale == "paper" else {}
            parts.append(f"## {game.capitalize()}\n\n{columns_table(TITLES, published, here)}")
            parts.append(f"Every seed\n\n{seeds_table(TITLES, here, spent)}")
            words = {column: jobs[game, column, self.seed].words for column in self._wanted()[1]}
            parts.append("Commands\n\n" + "".join(f"- {TITLES[name]}: `{text}`\n" for name, text in words.items()))
        return "\n".join(parts)

    def _figures(self, results: Results) -> dict[str, Any]:
        """Learning curves of each game."""
        from suasion.runs._table4 import TITLES
        from suasion.viewing import learning_curves

        figures = {}
        for game in self._wanted()[0]:
            groups: dict[str, list[Any]] = {}
            for (where, column, _), one in results.items():
                if where == game and one is not None:
                    groups.setdefault(TITLES[column], []).append(one.rows)
            if groups:
                smooth = max(1, max(len(rows) for group in groups.values() for rows in group) // 30)
                figures[game] = learning_curves(
                    groups, "episode/return", ylabel="collective reward an episode", smooth=smooth, levels=LEVELS
                )
        return figures


def read_time(text: str) -> float:
    """Seconds of 90, 90s, 15m, 2h, 3d.

    Raises:
        ValueError: it is none of these, or not above 0.
    """
    found = re.fullmatch(r"([0-9.]+)([smhd]?)", text)
    try:
        seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"--budget {text}: write seconds, or 90m, 2h, 3d")
    return seconds


def _names(option: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    from suasion.records import nearest

    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in known:
            raise ValueError(f"--{option}: unknown {name!r}{nearest(name, known)}; there are {', '.join(known)}")
        if names.count(name) > 1:
            raise ValueError(f"--{option}: {name} is given {names.count(name)} times")
    return names


def _name(job: Job, out: Path) -> str:
    return job.path.relative_to(out).as_posix()


def _cpu(out: Path) -> dict[str, float]:
    """CPU seconds of every run, over all its processes."""
    spent: dict[str, float] = {}
    path = out / "cpu.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        one = json.loads(line)
        spent[one["run"]] = spent.get(one["run"], 0.0) + one["seconds"]
    return spent


def _machine() -> str:
    from suasion import __version__

    processor = platform.processor() or platform.machine()
    return f"suasion {__version__}, {platform.platform()}, {processor}, {os.cpu_count()} cores."
