"""What the runs of a table came to, and the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from suasion._reproduce_runs import Job, complete

LAST = 0.1  # of a run: the part whose episodes count as its result
LEVELS = (0.95, 0.995)
_MEASURES = ("fires", "influence", "simulated", "moments")
_KEPT = "evaluation.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to.

    Attributes:
        rows: of its metrics.
        steps: environment steps done.
        finished: all its steps are done.
        reward: collective reward of an episode, mean over the episodes of the last tenth of the rows; None where none
            ended.
        measures: of the evaluation by name, means over its episodes; empty where the run is not finished.
        dead: agents (from 0) that ate nothing in any episode of the evaluation.
    """

    rows: Sequence[Mapping[str, Any]]
    steps: int
    finished: bool
    reward: float | None
    measures: Mapping[str, float | None]
    dead: tuple[int, ...]


def result(job: Job, episodes: int) -> Result | None:
    """What a run came to; it is evaluated once, if it is finished. None where it has no row yet.

    Args:
        job: of the run.
        episodes: of its evaluation.

    Raises:
        RecordError: what lies there is damaged.
    """
    from suasion.records import RunPaths, read_json, read_run, write_json

    if not RunPaths(job.path).config.exists():
        return None
    run = read_run(job.path)
    if not run.metrics:
        return None
    kept, finished = job.path / _KEPT, complete(run)
    known: dict[str, Any] = {"episodes": 0, "measures": {}, "dead": []}
    if finished:
        known = read_json(kept) if kept.exists() else known
        if known["episodes"] != episodes:
            known = {"episodes": episodes, **_evaluated(job, episodes)}
            write_json(kept, known)
    return Result(
        rows=run.metrics,
        steps=run.metrics[-1]["step"],
        finished=finished,
        reward=last_reward(run.metrics),
        measures=known["measures"],
        dead=tuple(known["dead"]),
    )


def last_reward(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The mean collective reward of the episodes that ended in the last tenth of the rows."""
    last = rows[-max(1, round(LAST * len(rows))) :]
    counted = [(row["episode/count"], row["episode/return"]) for row in last if row["episode/count"]]
    total = sum(count for count, _ in counted)
    return sum(count * value for count, value in counted) / total if total else None


def _evaluated(job: Job, episodes: int) -> dict[str, Any]:
    """Whole episodes with what was learned: measures, and who never eats."""
    from suasion.runs import observe_run

    seen = observe_run(job.path, episodes=episodes)
    agents = seen.episodes[0].actions.shape[1]
    measures: dict[str, float | None] = {}
    for name in _MEASURES:
        keys = [f"{name}_{i + 1}" for i in range(agents)] if name in ("influence", "simulated") else [name]
        each = [value for one in seen.measures for key in keys if (value := one.get(key)) is not None]
        measures[name] = mean(each) if each else None
    eaten = [sum(float(episode.events["apples"][:, i].sum()) for episode in seen.episodes) for i in range(agents)]
    return {"measures": measures, "dead": [i for i, apples in enumerate(eaten) if not apples]}


def columns_table(
    titles: Mapping[str, str], published: Mapping[str, int], results: Mapping[tuple[str, int], Result]
) -> str:
    """A line for each column, best first, with and without runs of dead agents.

    Args:
        titles: of the columns.
        published: collective rewards of the publication, by column.
        results: by column and seed.
    """
    lines = []
    for column in dict.fromkeys(column for column, _ in results):
        here = [one for (name, _), one in results.items() if name == column and one.finished]
        alive = [one for one in here if not one.dead]
        rewards = [one.reward for one in here if one.reward is not None]
        under_way = sum(name == column and not one.finished for (name, _), one in results.items())
        lines.append(
            (
                mean(rewards) if rewards else float("-inf"),
                [
                    titles[column],
                    f"{len(here)}" + (f" (+{under_way} under way)" if under_way else ""),
                    _interval(rewards),
                    f"{_interval([one.reward for one in alive if one.reward is not None])}; n = {len(alive)}",
                    *(_over(here, name) for name in _MEASURES),
                    str(published.get(column, "")),
                ],
            )
        )
    lines.sort(key=lambda line: -line[0])
    head = ["column, best first", "seeds", "collective reward", "without dead agents", "fining beams"]
    head += ["influence", "by the simulator", "influential moments, share", "published"]
    return _table([head, *(line for _, line in lines)])


def seeds_table(
    titles: Mapping[str, str], results: Mapping[tuple[str, int], Result], cpu: Mapping[tuple[str, int], float]
) -> str:
    """A line for each run."""
    lines = [["column", "seed", "steps", "collective reward", "agents that never eat", "CPU s"]]
    for (column, seed), one in results.items():
        dead = ", ".join(str(agent + 1) for agent in one.dead) or ("none" if one.finished else "")
        reward = "" if one.reward is None else f"{one.reward:.1f}"
        lines.append([titles[column], str(seed), f"{one.steps:,}", reward, dead, f"{cpu.get((column, seed), 0):.0f}"])
    return _table(lines)


def _interval(values: Sequence[float]) -> str:
    """Mean and the half-widths of its intervals."""
    from suasion.viewing import mean_interval

    if not values:
        return "-"
    narrow, wide = (mean_interval(values, level)[1] for level in LEVELS)
    return f"{mean(values):.1f}" + ("" if narrow is None or wide is None else f" ± {narrow:.3g} (± {wide:.3g})")


def _over(results: Sequence[Result], name: str) -> str:
    known = [value for one in results if (value := one.measures.get(name)) is not None]
    return f"{mean(known):.3g}" if known else "-"


def _table(lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return "".join("| " + " | ".join(line) + " |\n" for line in (lines[0], rule, *lines[1:]))
