"""What a report tells of runs: curves over seeds with intervals, measures, who influences whom, and what is amiss.

Letters of the shapes: n seeds, p points, b resamples; k influences j.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from suasion.records import Episode, RecordError, Run, is_held, read_episode, read_run
from suasion.viewing._report_replay import newest_episode, recorded_episodes

Society = Callable[[np.ndarray, Mapping[str, np.ndarray]], Mapping[str, float | None]]
RESAMPLES = 1000
POINTS = 100  # of a curve
EPISODES = 8  # read of each run


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A metric of one run.

    Attributes:
        steps: environment steps, int64[p], rising.
        values: float64[p], or one column an agent; NaN where it is undefined.
    """

    steps: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """One run, read; its rows are kept as arrays only.

    Attributes:
        run: without its metrics.
        series: by key.
        notes: what a reader of the report must know: nothing written yet, no episodes, a torn line, damage.
        measures: mean over the episodes read, by name; None where it is undefined in all.
        matrix: float64[k, j], mean influence in nats a step over the episodes that have it; None: not measured.
        episodes: how many were read, of how many.
        film: the file of the episode to look at.
    """

    run: Run
    series: dict[str, Series]
    notes: tuple[str, ...]
    measures: dict[str, float | None]
    matrix: np.ndarray | None
    episodes: tuple[int, int]
    film: Path | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """What a run's episodes tell; attributes as in `Told`."""

    notes: tuple[str, ...]
    measures: dict[str, float | None]
    matrix: np.ndarray | None
    episodes: tuple[int, int]
    film: Path | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """A statistic over seeds with its 95 % percentile bootstrap interval; all float64[p], NaN where undefined."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def tell(path: Path, society: Society | None) -> Told:
    """Read a run.

    Args:
        path: its folder.
        society: measures of an episode from its rewards and events; None: none.

    Raises:
        RecordError: not a run, or damaged; damaged episodes are noted instead.
    """
    return told_by(read_run(path), recorded_by(path, society))


def told_by(run: Run, recorded: Recorded, *, live: bool = False) -> Told:
    """What a run tells that has been read; `live`: how far it is, is told elsewhere."""
    notes = []
    if not run.metrics:
        notes.append("no metrics yet")
    if run.torn:
        notes.append("the last line of its metrics is incomplete and left out")
    if not live:
        notes += _progress(run)
    return Told(
        run=dataclasses.replace(run, metrics=[]),
        series=series(run.metrics),
        notes=(*notes, *recorded.notes),
        measures=recorded.measures,
        matrix=recorded.matrix,
        episodes=recorded.episodes,
        film=recorded.film,
    )


def _progress(run: Run) -> list[str]:
    """How far a run is that has not come to its end."""
    last, asked = (int(run.metrics[-1]["step"]) if run.metrics else 0), run.config.get("steps")
    if is_held(run.path):
        return [f"still being written: this is what there was at step {last:,}"]
    return [f"stopped at step {last:,} of {asked:,}"] if isinstance(asked, int) and last < asked else []


def recorded_by(path: Path, society: Society | None) -> Recorded:
    """Read the episodes of a run; damaged ones are noted."""
    notes = []
    files, episodes = recorded_episodes(path), []
    for file in files[:EPISODES]:
        try:
            episodes.append(read_episode(file))
        except RecordError as error:
            notes.append(f"episode left out: {error}")
    film = None
    if episodes:
        film = newest_episode(path) if len(episodes) == min(len(files), EPISODES) else None
    elif not files:
        notes.append("no episodes recorded: no measures, no replay")
    found = [dict(society(episode.rewards, episode.events)) for episode in episodes] if society else []
    return Recorded(
        notes=tuple(notes),
        measures={name: _mean([each.get(name) for each in found]) for name in (found[0] if found else {})},
        matrix=_matrix(episodes),
        episodes=(len(episodes), len(files)),
        film=film,
    )


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, Series]:
    """Every metric that is a number, or a list of as many numbers in each row; of rows whose step rises."""
    risen, last = [], -1
    for row in rows:
        if row["step"] > last:
            risen.append(row)
            last = row["step"]
    found = {}
    for key in {key: None for row in risen for key in row if key not in ("step", "non_finite")}:
        here = [(row["step"], row[key]) for row in risen if key in row]
        if (values := _table([value for _, value in here])) is not None:
            found[key] = Series(steps=np.array([step for step, _ in here], np.int64), values=values)
    return found


def seed_bands(values: Float64[np.ndarray, "n p"], seed: int = 0) -> tuple[Band, Band]:
    r"""Mean and interquartile mean over seeds, with 95 % percentile bootstrap intervals at each point.

    The interquartile mean is the mean without the $\lfloor n / 4 \rfloor$ smallest and as many largest values; with
    fewer than four seeds it is the mean. Seeds are drawn with replacement, 1,000 times, the same draws for all points;
    with few seeds such intervals are somewhat too narrow, and with one there is none (NaN).

    References:
        Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical precipice; Efron & Tibshirani
        (1993), section 13.3.
    """
    count = len(values)
    cut = count // 4
    chosen = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))

    def band(statistic: Callable[[np.ndarray], np.ndarray]) -> Band:
        nothing = np.full(values.shape[1], np.nan)
        middle = statistic(values)
        if count == 1:
            return Band(middle=middle, low=nothing, high=nothing)
        low, high = np.quantile(statistic(values[chosen]), [0.025, 0.975], axis=0)
        return Band(middle=middle, low=low, high=high)

    mean = band(lambda x: x.mean(-2))
    return mean, mean if cut == 0 else band(lambda x: np.sort(x, -2)[..., cut : count - cut, :].mean(-2))


def thinned(steps: np.ndarray, values: Float64[np.ndarray, "n p"]) -> tuple[np.ndarray, np.ndarray]:
    """At most 100 points, each the mean of the defined ones of successive rows, at the step of the last of them."""
    if len(steps) <= POINTS:
        return steps, values
    edges = np.linspace(0, len(steps), POINTS + 1).astype(int)
    defined = ~np.isnan(values)
    total = np.add.reduceat(np.where(defined, values, 0.0), edges[:-1], axis=1)
    count = np.add.reduceat(defined, edges[:-1], axis=1, dtype=float)
    return steps[edges[1:] - 1], np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def across(runs: Sequence[Told], key: str, agent: int | None) -> tuple[np.ndarray, np.ndarray] | None:
    """A metric of the seeds of a group, on the steps that all have; None where they share none.

    Args:
        runs: the seeds.
        key: of the metric.
        agent: its column; None: the mean over agents, if there are several columns.
    """
    have = [told.series[key] for told in runs if key in told.series]
    have = [one for one in have if len(one.steps)]
    if not have:
        return None
    length = min(len(one.steps) for one in have)
    steps = have[0].steps[:length]
    if any(not np.array_equal(one.steps[:length], steps) for one in have):
        return None
    columns = []
    for one in have:
        values = one.values[:length]
        if values.ndim == 2:
            if agent is not None and agent >= values.shape[1]:
                return None
            values = values.mean(1) if agent is None else values[:, agent]
        columns.append(values)
    return thinned(steps, np.stack(columns))


def _table(values: Sequence[Any]) -> np.ndarray | None:
    """Numbers as an array, null as NaN; None if they are of several shapes or no numbers."""
    if all(value is None or isinstance(value, int | float) for value in values):
        return np.array([np.nan if value is None else float(value) for value in values])
    size = next((len(value) for value in values if isinstance(value, list)), 0)
    rows = [[None] * size if value is None else value for value in values]
    if not size or any(not isinstance(row, list) or len(row) != size for row in rows):
        return None
    if any(not (entry is None or isinstance(entry, int | float)) for row in rows for entry in row):
        return None
    return np.array([[np.nan if entry is None else float(entry) for entry in row] for row in rows])


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _matrix(episodes: Sequence[Episode]) -> np.ndarray | None:
    pairs = [episode.influence.mean(0, np.float64) for episode in episodes if episode.influence is not None]
    sizes = {matrix.shape for matrix in pairs}
    return np.mean(pairs, 0) if len(sizes) == 1 else None
