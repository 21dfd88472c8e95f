"""Training one run: turn after turn of the learner, rows of metrics, checkpoints."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from suasion.agents import Experiment, Learner, Ratio, Report, init, update
from suasion.games import Spec
from suasion.records import (
    MetricsWriter,
    RecordError,
    RunPaths,
    create_run,
    drop_checkpoints,
    hold_run,
    newest_checkpoint,
    sweep,
)
from suasion.runs._checkpoint import not_finite, restore_learner, save_learner
from suasion.runs._config import RunConfig, build
from suasion.runs._manifest import manifest
from suasion.runs._plain import ConfigError

_TIMING_SECONDS = 1.0  # between rows of timing.jsonl

# It runs once: optimising it would take three times as long as running it unoptimised.
_init = jax.jit(init, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
_update = jax.jit(update, static_argnums=0, donate_argnums=1)


class TrainingError(RuntimeError):
    """Learning went wrong: a number is not finite. The message names it, the update and the last good checkpoint."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """Where a run stands.

    Attributes:
        label: of the run, for people.
        phase: `compiling` until the first update is done, then `training`; `done`, or `stopped` on request.
        step: environment steps done.
        steps: environment steps of the whole run.
        seconds: since `train` was called.
        speed: environment steps a second since the first update; None before there is a second one.
        left: seconds to go; None while unknown.
        episode_return: of all agents together, mean of the episodes that ended last; None before the first.
        returns: the same for each agent.
    """

    label: str
    phase: Literal["compiling", "training", "done", "stopped"]
    step: int
    steps: int
    seconds: float
    speed: float | None = None
    left: float | None = None
    episode_return: float | None = None
    returns: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """How a call of `train` ended.

    Attributes:
        path: the run's directory.
        step: environment steps done.
        steps: environment steps of the whole run.
        resumed: the environment step from which it went on; None for a fresh start.
        rejected: messages about checkpoints that were damaged and passed over.
    """

    path: Path
    step: int
    steps: int
    resumed: int | None
    rejected: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """All steps are done."""
        return self.step >= self.steps


def train(
    config: RunConfig,
    path: str | Path,
    *,
    checkpoint_seconds: float = 30.0,
    watch: Callable[[Status], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Trained:
    """Train one run to its end, or until `stop` says so; an existing run of the same configuration goes on.

    The directory is laid out by `records.create_run`. `metrics.jsonl` gets one row for every `config.log_every`
    updates (`docs/metrics.md` explains the keys); checkpoints are written at the beginning, every
    `checkpoint_seconds` and at the end, always between two rows.

    Args:
        config: of the run.
        path: its directory.
        checkpoint_seconds: between checkpoints.
        watch: called after every row.
        stop: asked after every row; true ends training with a checkpoint.

    Returns:
        How far it came.

    Raises:
        ConfigError: more shards than there are devices.
        TrainingError: a metric, parameter or moment is not a finite number. The row that shows it is written, the
            last checkpoint stays as it was.
        RecordError: the directory holds something else, or a run of another configuration (the differences are
            listed), or no checkpoint of it is whole; or another process is training it.
        OSError: the disk refused.
    """
    if not checkpoint_seconds > 0:
        raise ValueError(f"checkpoint_seconds is {checkpoint_seconds}, must be positive")
    clock = _Clock(config, watch or (lambda status: None))
    clock.say("compiling", 0)
    experiment = build(config)
    if config.learner.shards > jax.device_count():
        raise ConfigError(
            f"{config.learner.shards} shards need as many devices, there are {jax.device_count()}; on a CPU set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={config.learner.shards}"
        )
    run = create_run(path, config.to_json(), manifest())
    with hold_run(run.path):
        return _go(config, experiment, run, clock, checkpoint_seconds, stop)


def _go(
    config: RunConfig,
    experiment: Experiment,
    run: RunPaths,
    clock: _Clock,
    checkpoint_seconds: float,
    stop: Callable[[], bool] | None,
) -> Trained:
    """Train in a directory that nobody else works in."""
    for folder in (run.path, run.checkpoints):
        sweep(folder)
    learner, start = _start(config, experiment, run)
    clock.say("compiling", start.step or 0)
    with MetricsWriter(run.metrics, start.offset) as metrics, MetricsWriter(run.timing) as timing:
        work = _Work(config, experiment, run, metrics, timing, clock, learner)
        while work.updates < config.updates and not (stop is not None and stop()):
            work.turn()
            if work.unsaved_seconds >= checkpoint_seconds:
                work.save()
        if work.step > work.good:
            work.save()
            work.note_time()
    clock.say("done" if work.updates >= config.updates else "stopped", work.step)
    total = config.updates * config.learner.steps_per_update
    return Trained(path=run.path, step=work.step, steps=total, resumed=start.step, rejected=start.rejected)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Start:
    """Where a run goes on: bytes of metrics, step (None: fresh), and checkpoints that could not be used."""

    offset: int
    step: int | None
    rejected: tuple[str, ...] = ()


def _start(config: RunConfig, experiment: Experiment, run: RunPaths) -> tuple[Learner, _Start]:
    """The learner of the newest checkpoint, or a fresh one, which is saved at once: a run can always go on."""
    checkpoint = newest_checkpoint(run.checkpoints)
    if checkpoint is None:
        learner = _init(experiment, jax.random.key(config.seed))
        save_learner(run.checkpoints, config, learner, 0)
        return learner, _Start(offset=0, step=None)
    learner = restore_learner(config, experiment, checkpoint)
    offset = checkpoint.header.get("metrics_offset")
    if type(offset) is not int:
        raise RecordError(f"{checkpoint.path}: header: metrics_offset must be an integer")
    drop_checkpoints(run.checkpoints, checkpoint.step)
    return learner, _Start(offset=offset, step=checkpoint.step, rejected=checkpoint.rejected)


class _Work:
    """A run in progress: the learner, and the files that grow with it.

    Attributes:
        updates: done so far.
        good: the step of the newest checkpoint.
    """

    def __init__(
        self,
        config: RunConfig,
        experiment: Experiment,
        run: RunPaths,
        metrics: MetricsWriter,
        timing: MetricsWriter,
        clock: _Clock,
        learner: Learner,
    ) -> None:
        self.config = config
        self.experiment = experiment
        self.run = run
        self.metrics = metrics
        self.timing = timing
        self.clock = clock
        self.learner = learner
        self.updates = int(learner.updates)
        self.good = self.step
        self._saved = time.monotonic()
        self._timed = -math.inf
        self._noted = -1

    @property
    def step(self) -> int:
        """Environment steps done so far."""
        return self.updates * self.config.learner.steps_per_update

    @property
    def unsaved_seconds(self) -> float:
        """Time since the newest checkpoint."""
        return time.monotonic() - self._saved

    def turn(self) -> None:
        """The updates of one row, and the row."""
        reports = []
        for _ in range(self.config.log_every):
            self.learner, report = _update(self.experiment, self.learner)
            reports.append(report)
        self.updates += self.config.log_every
        row = {"step": self.step, "update": self.updates}
        row |= metrics_row(self.experiment.game.spec, jax.device_get(reports))
        self.metrics.append(row)
        if lost := non_finite(row):
            raise TrainingError(self._explain(lost))
        self.clock.turn(row)
        if time.monotonic() - self._timed >= _TIMING_SECONDS:
            self.note_time()

    def save(self) -> None:
        """A checkpoint, unless something in it is not a finite number; the metrics up to it are on the disk first."""
        if (name := not_finite(self.learner)) is not None:
            raise TrainingError(self._explain([name]))
        self.metrics.sync()
        save_learner(self.run.checkpoints, self.config, self.learner, self.metrics.offset)
        self.good, self._saved = self.step, time.monotonic()

    def note_time(self) -> None:
        """A row of timing.jsonl, one at most for a step."""
        if self._noted != self.step:
            self._timed, self._noted = time.monotonic(), self.step
            self.timing.append(self.clock.timing(self.step))

    def _explain(self, names: Sequence[str]) -> str:
        others = f" (and {', '.join(names[1:6])}{', ...' if len(names) > 6 else ''})" if len(names) > 1 else ""
        return (
            f"{names[0]} is not a finite number after update {self.updates:,}, at step {self.step:,}{others}: "
            f"training stopped. The last good checkpoint is that of step {self.good:,}"
        )


def metrics_row(spec: Spec, reports: Sequence[Report]) -> dict[str, Any]:
    """What some updates in a row have to say: means of their metrics, and of the whole episodes that ended in them.

    Args:
        spec: of the game.
        reports: with NumPy arrays.

    Returns:
        the learner's metrics by their names, `episode/count`, and, undefined (None) where no episode ended:
        `episode/length`, `episode/return`, `episode/returns` and `episode/<event>` for each event of the game.
    """
    row: dict[str, Any] = {
        name: _over_updates([report.metrics[name] for report in reports]) for name in reports[0].metrics
    }
    finished = jax.tree.map(lambda *each: np.sum(each, 0, dtype=np.float64), *(report.finished for report in reports))
    episodes = int(finished.episodes)
    row["episode/count"] = episodes
    means: dict[str, Any] = {
        "length": finished.steps,
        "return": np.sum(finished.returns),
        "returns": finished.returns,
    }
    row |= {
        f"episode/{name}": (total / episodes).astype(np.float32) if episodes else None for name, total in means.items()
    }
    for event in spec.events:
        total = np.sum(finished.events[event.name])
        divisor = finished.steps if event.level else finished.episodes
        row[f"episode/{event.name}"] = np.float32(total / divisor) if episodes else None
    return row


def _over_updates(metrics: Sequence[Any]) -> Any:
    """The mean of a metric over updates; a ratio is divided after the sums, and None where nothing was counted."""
    ratios = [metric for metric in metrics if isinstance(metric, Ratio)]
    if not ratios:
        return np.mean([np.asarray(metric) for metric in metrics], 0, dtype=np.float64).astype(np.float32)
    total, times = (np.sum([np.asarray(part) for part in parts], 0, np.float64) for parts in zip(*ratios, strict=True))
    each = [np.float32(a / b) if b > 0 else None for a, b in zip(total.flat, times.flat, strict=True)]
    return each if total.ndim else each[0]


def non_finite(row: Mapping[str, Any]) -> list[str]:
    """The keys of a row that are not finite, `reward/shared[1]` for an agent's; causes before what follows from them.

    A bad reward spoils losses, gradients and parameters: reward terms come first, their sum after them.
    """
    found = []
    for key, value in row.items():
        if value is None:
            continue
        if isinstance(value, list):  # undefined entries are not bad ones
            value = [0.0 if entry is None else entry for entry in value]
        bad = ~np.isfinite(np.asarray(value, np.float64))
        found += [f"{key}[{index}]" for index in np.flatnonzero(bad)] if bad.ndim else [key] * bool(bad)
    return sorted(found, key=_rank)


def _rank(key: str) -> tuple[int, str]:
    order = ("reward/total", "reward/", "episode/", "gradient/")
    place = next((index for index, start in enumerate(order) if key.startswith(start)), -1)
    # Reward terms, their sum, episodes, then losses of any name, then gradients.
    return {1: 0, 0: 1, 2: 2, -1: 3, 3: 4}[place], key


class _Clock:
    """Wall-clock time of a run, and what it means for whoever watches."""

    def __init__(self, config: RunConfig, watch: Callable[[Status], None]) -> None:
        self._watch = watch
        self._begin = time.monotonic()
        self._label = f"{config.label} seed {config.seed}"
        self._steps = config.updates * config.learner.steps_per_update
        self._first: tuple[float, int] | None = None  # when the first update was done, and its step
        self._returns: tuple[float, ...] = ()

    def turn(self, row: Mapping[str, Any]) -> None:
        """A row was written."""
        if self._first is None:
            self._first = (time.monotonic(), row["step"])
        if row["episode/returns"] is not None:
            self._returns = tuple(float(value) for value in row["episode/returns"])
        self.say("training", row["step"])

    def say(self, phase: Literal["compiling", "training", "done", "stopped"], step: int) -> None:
        """Tell whoever watches."""
        speed = self._speed(step)
        self._watch(
            Status(
                label=self._label,
                phase=phase,
                step=step,
                steps=self._steps,
                seconds=time.monotonic() - self._begin,
                speed=speed,
                left=(self._steps - step) / speed if speed else None,
                episode_return=sum(self._returns) if self._returns else None,
                returns=self._returns,
            )
        )

    def timing(self, step: int) -> dict[str, Any]:
        """A row of timing.jsonl."""
        row = {"step": step, "seconds": time.monotonic() - self._begin, "steps_per_second": self._speed(step)}
        if self._first is not None:
            row["first_update_seconds"] = self._first[0] - self._begin
        return row

    def _speed(self, step: int) -> float | None:
        if self._first is None or step <= self._first[1]:
            return None
        return (step - self._first[1]) / (time.monotonic() - self._first[0])
