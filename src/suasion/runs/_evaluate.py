"""What runs have learned: measures of a society with bootstrap intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from suasion.games import Measure
from suasion.records import Episode
from suasion.runs._play import LoadedRun, load_run, measures, play_run

RESAMPLES = 10_000
LEVEL = 0.95
AT_ONCE = 100  # episodes that are played together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """The mean of a measure over episodes.

    Attributes:
        measure: its name (see `games.society`).
        agent: whose, counted from 0; None of the whole society.
        mean: over the episodes in which it is defined; None where there are none.
        low: end of the 95 % percentile bootstrap interval over episodes; None where fewer than two define it.
        high: the other end.
        defined: episodes in which it is defined.
        reason: why it is undefined in the others, the first reason found; empty where it is defined in all.
    """

    measure: str
    agent: int | None
    mean: float | None
    low: float | None
    high: float | None
    defined: int
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Episodes, and what they measure on average.

    Attributes:
        episodes: records.
        estimates: of the society and of each agent.
    """

    episodes: tuple[Episode, ...]
    estimates: tuple[Estimate, ...]


def evaluate_run(
    run: LoadedRun | str | Path, *, episodes: int = 100, seed: int = 0, greedy: bool = False
) -> Evaluation:
    """Play whole episodes with a run's policies and estimate the measures of their society.

    Args:
        run: opened, its directory, or a cast of agents of several runs (see `cast`).
        episodes: how many.
        seed: of all chance in them, and of the bootstrap.
        greedy: the most probable action instead of a sampled one.

    Raises:
        RecordError: see `load_run`.
        ConfigError: a number out of range.
        ValueError: a game without a time limit.
    """
    opened = run if isinstance(run, LoadedRun) else load_run(run)
    # Batches of one size, so that there is one compilation.
    size = min(episodes, AT_ONCE)
    played = play_run(opened, episodes=size, seed=seed, greedy=greedy)
    for further in further_seeds(seed, -(-episodes // size) - 1):
        played += play_run(opened, episodes=size, seed=further, greedy=greedy)
    played = played[:episodes]
    return Evaluation(episodes=tuple(played), estimates=tuple(_estimates(measures(played), seed)))


def further_seeds(seed: int, count: int) -> list[int]:
    """Seeds of further batches, drawn from the first one: seeds that follow it are those of other evaluations."""
    return [int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(count, np.uint32)]


def _estimates(societies: Sequence[dict[str, Measure]], seed: int) -> Iterator[Estimate]:
    """Each measure of the society, then of each agent, over episodes."""
    rng = np.random.default_rng(seed)
    for name, example in societies[0].items():
        here = [society[name] for society in societies]
        yield _estimate(name, None, [one.value for one in here], here, rng)
        if name == "equality":  # its agents' own values are their returns, told already
            continue
        for agent in range(len(example.per_agent)):
            yield _estimate(name, agent, [one.per_agent[agent] for one in here], here, rng)


def _estimate(
    name: str, agent: int | None, values: Sequence[float | None], found: Sequence[Measure], rng: np.random.Generator
) -> Estimate:
    defined = np.array([value for value in values if value is not None], np.float64)
    reasons = [one.reason for one, value in zip(found, values, strict=True) if value is None]
    mean, low, high = None, None, None
    if len(defined):
        mean = float(defined.mean())
    if len(defined) > 1:
        low, high = bootstrap(defined, rng)
    reason = reasons[0] if reasons else ""
    return Estimate(measure=name, agent=agent, mean=mean, low=low, high=high, defined=len(defined), reason=reason)


def bootstrap(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % percentile interval of the mean (Efron & Tibshirani 1993, section 13.3)."""
    drawn = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES) @ values / len(values)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
