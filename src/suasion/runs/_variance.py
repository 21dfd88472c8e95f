"""How the noise of a policy gradient grows with the number of agents, and what helps (the notes' problem NP1).

Two levels. Team games of one round are enumerated: mean and variance of every estimator are exact, and the same
figures from sampled episodes lie beside them. Small Harvest is played by the house's own networks for the team's
reward, with fixed policies, at the start and after a short training. A study is a folder; what is finished in it is
taken as it is, so the same call goes on where the last one stopped.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from suasion.agents._gradient_noise import BATCHES, BLOCK, FEWEST, Blocks, Interval, alignment, blocks_of, noise
from suasion.agents._team_game import BASELINES, TeamGame, exact_noise, sample_gradients, sum_of_parts, threshold
from suasion.agents._team_game import unanimity as unanimity_game
from suasion.records import write_whole
from suasion.runs._variance_game import ESTIMATORS, STAGES, plain, played

MOST_AGENTS = 10  # spawn cells of the map, and 4^10 joint cells to enumerate


@dataclasses.dataclass(frozen=True, kw_only=True)
class VarianceStudy:
    """What is measured.

    Attributes:
        agents: numbers of agents, rising, from 2 to `MOST_AGENTS`.
        seeds: networks of each number of agents, in the game that is played.
        budget: episodes of every estimate: a multiple of `BLOCK`, at least `FEWEST` blocks. To fit the values half as
            many more are played, rounded up to whole batches of 64.
        seed: of all chance; of the first network.
    """

    agents: tuple[int, ...] = (2, 3, 4, 6, 8, 10)
    seeds: int = 1
    budget: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what gives no estimate."""
        if not self.agents:
            raise ValueError("no number of agents is given; at least one is needed")
        for n in self.agents:
            if not 2 <= n <= MOST_AGENTS:
                raise ValueError(f"agents is {n}; must be 2 to {MOST_AGENTS}")
        if list(self.agents) != sorted(set(self.agents)):
            raise ValueError(f"agents are {','.join(map(str, self.agents))}; must rise, each number once")
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}, must be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, must not be negative")
        if self.budget < BLOCK * FEWEST:
            raise ValueError(
                f"a budget of {self.budget} episodes is too small for one estimate: {FEWEST} batches of {BLOCK} take "
                f"{FEWEST * BLOCK}"
            )
        if self.budget % BLOCK:
            raise ValueError(f"a budget of {self.budget} episodes does not divide into batches of {BLOCK}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """One line of the result.

    Attributes:
        game: `sum`, `threshold`, `unanimity` (enumerated) or `harvest` (played).
        stage: `start` or `trained`; of enumerated games `uniform`, their policies.
        agents: n.
        estimator: one of `ESTIMATORS`.
        batch: episodes whose gradients are averaged.
        trace: of the covariance of the joint gradient, all agents' parameters.
        signal: squared length of its mean.
        ratio: signal / trace; agents that are alike have the same ratio each.
        exact_trace: the same without sampling, where the game is enumerated.
        exact_ratio: likewise.
    """

    game: str
    stage: str
    agents: int
    estimator: str
    batch: int
    trace: Interval
    signal: Interval
    ratio: Interval
    exact_trace: float | None = None
    exact_ratio: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aside:
    """What else was measured in Harvest, of one number of agents and stage.

    Attributes:
        stage: `start` or `trained`.
        agents: n.
        returns: the team's undiscounted reward of an episode, mean over seeds.
        explained: share of the variance of returns that each baseline explains beyond the clock, mean over seeds.
        alignment: cosine of the mean gradient of `critic` with that of `counterfactual`, which has no bias; None where
            one of them is lost in noise.
        agents_ratio: smallest and greatest signal-to-noise ratio of single agents, over seeds, by estimator.
    """

    stage: str
    agents: int
    returns: float
    explained: Mapping[str, float]
    alignment: Interval | None
    agents_ratio: Mapping[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """All that a study has found."""

    measured: tuple[Measured, ...]
    asides: tuple[Aside, ...]


def study_variance(
    study: VarianceStudy, folder: str | Path, *, watch: Callable[[str, float], None] = lambda cell, seconds: None
) -> Findings:
    """Measure everything, or what is left of it.

    The folder gets `study.json`, what is asked, and `cells/`, a file for every finished part; times are in
    `timing.jsonl`.

    Args:
        study: what to measure.
        folder: made if missing; must be empty, or hold a part of the same study.
        watch: hears of every part that is finished, and the seconds it took; 0 if it was there already.

    Raises:
        ValueError: the folder holds something else, or a damaged part; named.
        OSError: the disk refused.
    """
    folder = Path(folder)
    _claim(study, folder)
    cells = {}
    for name, measure in _cells(study):
        path = folder / "cells" / f"{name}.json"
        began = time.perf_counter(), time.process_time()
        if path.exists():
            cells[name] = _read(path)
            watch(name, 0.0)
            continue
        cells[name] = measure()
        write_whole(path, [json.dumps(cells[name], allow_nan=False).encode()])
        wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
        with (folder / "timing.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"cell": name, "wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}) + "\n")
        watch(name, wall)
    return _findings(study, cells)


def _cells(study: VarianceStudy) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Names of the parts, and what measures each."""
    for game in GAMES:
        for n in study.agents:
            yield f"{game}-{n}", functools.partial(_enumerated, study, game, n)
    for seed in range(study.seed, study.seed + study.seeds):
        for n in study.agents:
            yield f"harvest-{n}-seed-{seed}", functools.partial(played, study.budget, n, seed)


# The enumerated games


def _sum(agents: int) -> TeamGame:
    """An agent adds 1 for naming its signal, and 1 for the signal 1, which is luck."""
    return sum_of_parts(np.array([[1.0, 0.0], [1.0, 2.0]]), np.zeros((agents, 2, 2)))


GAMES: dict[str, Callable[[int], TeamGame]] = {
    "sum": _sum,
    "threshold": lambda agents: threshold(np.zeros((agents, 2, 2)), agents // 2 + 1),
    "unanimity": lambda agents: unanimity_game(np.zeros((agents, 2, 2))),
}


def _enumerated(study: VarianceStudy, name: str, agents: int) -> dict[str, Any]:
    """Exact figures, and blocks of sampled gradients; agents are alike, so the joint figures are n times one's."""
    game = GAMES[name](agents)
    found: dict[str, Any] = {}
    for place, kind in enumerate(BASELINES):
        rng = np.random.default_rng([study.seed, list(GAMES).index(name), agents, place])
        one = exact_noise(game, kind, 0)
        sampled = sample_gradients(game, kind, study.budget, rng).reshape(study.budget, -1)
        found[kind] = plain(blocks_of(sampled)) | {"trace": agents * one.trace, "ratio": one.ratio}
    return found


# Cells on disk


def _blocks(written: Mapping[str, Any]) -> Blocks:
    squares = {int(batch): np.array(values, np.float64) for batch, values in written["squares"].items()}
    return Blocks(squares=squares, gram=np.array(written["gram"], np.float64))


def _claim(study: VarianceStudy, folder: Path) -> None:
    """The folder is this study's, or becomes it."""
    asked = {"study": "variance"} | dataclasses.asdict(study) | {"agents": list(study.agents)}
    path = folder / "study.json"
    if path.exists():
        there = _read(path)
        if there != asked:
            differ = [key for key in asked if there.get(key) != asked[key]]
            told = ", ".join(f"{key} {there.get(key)} / {asked[key]}" for key in differ)
            raise ValueError(f"{folder} holds another study ({told}): name another folder")
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no study: name another folder")
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_whole(path, [json.dumps(asked, indent=2).encode()])


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not acceptable JSON ({error}); remove it, and it is measured again") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: holds a {type(found).__name__}, not an object")
    return found


def _findings(study: VarianceStudy, cells: Mapping[str, Any]) -> Findings:
    try:
        measured = [*_of_enumerated(study, cells), *_of_played(study, cells)]
        asides = [_aside(study, cells, n, stage) for stage in STAGES for n in study.agents]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"a part in cells/ lacks {error}; remove it, and it is measured again") from error
    return Findings(measured=tuple(measured), asides=tuple(asides))


def _of_enumerated(study: VarianceStudy, cells: Mapping[str, Any]) -> Iterator[Measured]:
    for game in GAMES:
        for n in study.agents:
            for kind, written in cells[f"{game}-{n}"].items():
                for batch in BATCHES:
                    found = noise([_blocks(written)], batch, seed=study.seed)
                    yield Measured(
                        game=game,
                        stage="uniform",
                        agents=n,
                        estimator=kind,
                        batch=batch,
                        trace=found.trace,
                        signal=found.signal,
                        ratio=found.ratio,
                        exact_trace=written["trace"] / batch,
                        exact_ratio=written["ratio"] * batch,
                    )


def _of_played(study: VarianceStudy, cells: Mapping[str, Any]) -> Iterator[Measured]:
    for stage in STAGES:
        for n in study.agents:
            for kind in ESTIMATORS:
                groups = [_blocks(cell[stage]["estimators"][kind]) for cell in _seeds(study, cells, n)]
                for batch in BATCHES:
                    found = noise(groups, batch, seed=study.seed)
                    yield Measured(
                        game="harvest",
                        stage=stage,
                        agents=n,
                        estimator=kind,
                        batch=batch,
                        trace=found.trace,
                        signal=found.signal,
                        ratio=found.ratio,
                    )


def _aside(study: VarianceStudy, cells: Mapping[str, Any], agents: int, stage: str) -> Aside:
    here = [cell[stage] for cell in _seeds(study, cells, agents)]
    blocks = {kind: [_blocks(cell["estimators"][kind]) for cell in here] for kind in ("counterfactual", "critic")}
    ratios = {kind: [ratio[0] for cell in here for ratio in cell["estimators"][kind]["agents"]] for kind in ESTIMATORS}
    return Aside(
        stage=stage,
        agents=agents,
        returns=float(np.mean([cell["return"] for cell in here])),
        explained={name: float(np.mean([cell["explained"][name] for cell in here])) for name in here[0]["explained"]},
        alignment=alignment(
            blocks["counterfactual"],
            blocks["critic"],
            [np.array(cell["crossed"], np.float64) for cell in here],
            seed=study.seed,
        ),
        agents_ratio={kind: (min(values), max(values)) for kind, values in ratios.items()},
    )


def _seeds(study: VarianceStudy, cells: Mapping[str, Any], agents: int) -> list[dict[str, Any]]:
    return [cells[f"harvest-{agents}-seed-{seed}"] for seed in range(study.seed, study.seed + study.seeds)]
