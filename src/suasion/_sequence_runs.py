"""A sequence task on disk: one run of one core and one seed, that goes on where it was killed (JAX).

The folder is that of any run (see `records.create_run`); a step is an update. What is learned is `suasion.sequence`'s.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from suasion.records import (
    MetricsWriter,
    RecordError,
    RunPaths,
    create_run,
    drop_checkpoints,
    hold_run,
    newest_checkpoint,
    save_checkpoint,
    sweep,
)
from suasion.runs import Status, Trained, TrainingError, manifest
from suasion.runs._checkpoint import from_arrays, to_arrays
from suasion.sequence import Architecture, Batch, Learner, Recipe, Stack, Task, begin, improve, score

_TIMING_SECONDS = 1.0  # between rows of timing.jsonl
_LEARNED = ("loss", "accuracy", "gradient")

# It runs once: compiling it well would take longer than running it badly.
_begin = jax.jit(begin, static_argnums=(0, 2), compiler_options={"xla_backend_optimization_level": 0})
_improve = jax.jit(improve, static_argnums=0, donate_argnums=2)
_score = jax.jit(score)
_held_out = jax.jit(lambda task: task.held_out())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """All that a run depends on.

    Attributes:
        task: what is learned.
        architecture: by what.
        recipe: how.
        seed: of the parameters and of the data to learn from.
        log_every: updates in a row of metrics.
    """

    task: Task
    architecture: Architecture
    recipe: Recipe
    seed: int
    log_every: int

    def to_json(self) -> dict[str, Any]:
        """JSON values; runs that differ in `seed` alone are one condition, named by `label`."""
        return {
            "label": self.architecture.core,
            "task": self.task.to_json(),
            "architecture": dataclasses.asdict(self.architecture),
            "recipe": dataclasses.asdict(self.recipe),
            "seed": self.seed,
            "steps": self.recipe.steps,
            "log_every": self.log_every,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of that: which run a checkpoint belongs to."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def begin(self) -> Learner:
        """The learner at its beginning."""
        return _begin(self.architecture, self.task, self.recipe, jax.random.key(self.seed))

    @property
    def template(self) -> Learner:
        """Shapes and types of a learner."""
        start = functools.partial(begin, self.architecture, self.task, self.recipe)
        return jax.eval_shape(start, jax.eval_shape(lambda: jax.random.key(0)))

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self.template.model))


def train_all(
    plans: Sequence[tuple[Plan, Path]],
    *,
    checkpoint_seconds: float,
    watch: Callable[[Status], None],
    stop: Callable[[], bool],
) -> list[Trained]:
    """Train several runs, as many at once as there are devices, each on its own: they do not touch each other's bytes.

    Args:
        plans: runs and their folders.
        checkpoint_seconds: between checkpoints.
        watch: hears where all of them stand together, one call at a time.
        stop: asks for an end, each run's after a checkpoint.

    Raises:
        Exception: the first of any run; the others stop after a checkpoint.
    """
    together = _Together([plan for plan, _ in plans], watch)
    failed = threading.Event()
    free: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for device in jax.local_devices():
        free.put(device)

    def job(number: int) -> Trained | None:
        if stop() or failed.is_set():
            return None
        plan, path = plans[number]
        device = free.get()
        try:
            with jax.default_device(device):
                return train(
                    plan,
                    path,
                    checkpoint_seconds=checkpoint_seconds,
                    watch=functools.partial(together.hear, number),
                    stop=lambda: stop() or failed.is_set(),
                )
        finally:
            free.put(device)

    with ThreadPoolExecutor(min(jax.local_device_count(), len(plans))) as pool:
        futures = [pool.submit(job, number) for number in range(len(plans))]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            failed.set()
    found = [trained for future in futures if (trained := future.result()) is not None]
    together.end("done" if len(found) == len(plans) and all(trained.finished for trained in found) else "stopped")
    return found


def train(
    plan: Plan,
    path: str | Path,
    *,
    checkpoint_seconds: float = 30.0,
    watch: Callable[[int, dict[str, Any]], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Trained:
    """Train one run to its end, or until `stop` says so; a run of the same plan that is there goes on.

    A row of metrics covers `log_every` updates, and holds what the stack can do with what is held out. Checkpoints are
    written at the beginning, every `checkpoint_seconds` and at the end, always between two rows.

    Args:
        plan: of the run.
        path: its folder.
        checkpoint_seconds: between checkpoints.
        watch: hears of every row: updates done, and the row (empty at the start).
        stop: is asked before every row.

    Raises:
        TrainingError: a number that is not finite.
        RecordError: the folder holds something else, or a run of another plan, or only damaged checkpoints; or another
            process is training it.
        OSError: the disk refused.
    """
    run = create_run(path, plan.to_json(), manifest() | {"parameters": plan.parameters})
    with hold_run(run.path):
        for folder in (run.path, run.checkpoints):
            sweep(folder)
        learner, offset, resumed, rejected = _start(plan, run)
        with MetricsWriter(run.metrics, offset) as metrics, MetricsWriter(run.timing) as timing:
            work = _Work(plan, run, metrics, timing, learner, watch or (lambda step, row: None))
            while work.step < plan.recipe.steps and not (stop is not None and stop()):
                work.turn()
                if time.monotonic() - work.saved >= checkpoint_seconds:
                    work.save()
            if work.step > work.good:
                work.save()
                work.note_time()
    return Trained(path=run.path, step=work.step, steps=plan.recipe.steps, resumed=resumed, rejected=rejected)


def load_stack(plan: Plan, path: str | Path) -> Stack:
    """The stack of a run's newest checkpoint.

    Raises:
        RecordError: there is none, or none of this plan.
    """
    learner, _, resumed, _ = _start(plan, RunPaths(Path(path)), fresh=False)
    if resumed is None:
        raise RecordError(f"{path}: no checkpoint")
    return learner.model


def _start(plan: Plan, run: RunPaths, *, fresh: bool = True) -> tuple[Learner, int, int | None, tuple[str, ...]]:
    """A learner, the bytes of metrics that belong to it, its step if it was found, and what was passed over.

    A fresh one is saved at once: a run can always go on.
    """
    checkpoint = newest_checkpoint(run.checkpoints)
    if checkpoint is None:
        learner = plan.begin()
        if fresh:
            _save(plan, run, learner, 0)
        return learner, 0, None, ()
    header, place = checkpoint.header, str(checkpoint.path)
    if header.get("config") != plan.digest:
        raise RecordError(f"{place}: belongs to another configuration than the run's config.json")
    offset, generators = header.get("metrics_offset"), header.get("generators")
    if type(offset) is not int or not isinstance(generators, dict):
        raise RecordError(f"{place}: header: metrics_offset must be an integer, and generators an object")
    learner = from_arrays(plan.template, checkpoint.arrays, generators, place)
    if int(learner.updates) != checkpoint.step:
        raise RecordError(f"{place}: holds {int(learner.updates)} updates, and its name says {checkpoint.step}")
    if fresh:
        drop_checkpoints(run.checkpoints, checkpoint.step)
    return learner, offset, checkpoint.step, checkpoint.rejected


def _save(plan: Plan, run: RunPaths, learner: Learner, offset: int) -> None:
    arrays, generators = to_arrays(learner)
    header = {"config": plan.digest, "versions": manifest()["versions"], "generators": generators}
    save_checkpoint(run.checkpoints, int(learner.updates), arrays, header | {"metrics_offset": offset})


class _Work:
    """A run in progress.

    Attributes:
        step: updates done.
        good: of them at the newest checkpoint.
        saved: when that was.
    """

    def __init__(
        self,
        plan: Plan,
        run: RunPaths,
        metrics: MetricsWriter,
        timing: MetricsWriter,
        learner: Learner,
        watch: Callable[[int, dict[str, Any]], None],
    ) -> None:
        self.plan, self.run, self.metrics, self.timing, self.learner = plan, run, metrics, timing, learner
        self.watch = watch
        self.step = self.good = int(learner.updates)
        self.saved = self._begin = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._timed, self._noted = -math.inf, -1
        self._held_out: Batch = _held_out(plan.task)
        watch(self.step, {})

    def turn(self) -> None:
        """The updates of one row, and the row."""
        told = []
        for _ in range(min(self.plan.log_every, self.plan.recipe.steps - self.step)):
            self.learner, one = _improve(self.plan.recipe, self.plan.task, self.learner)
            told.append(one)
        learned = jax.device_get(told)
        self.step += len(told)
        loss, accuracy = jax.device_get(_score(self.learner.model, self._held_out))
        row = {name: np.float32(np.mean([one[name] for one in learned], dtype=np.float64)) for name in _LEARNED}
        row |= {"evaluation/loss": np.float32(loss), "evaluation/accuracy": np.float32(accuracy)}
        row["learning_rate"] = learned[-1]["learning_rate"]
        self.metrics.append({"step": self.step} | row)
        if lost := [name for name, value in row.items() if not np.isfinite(value)]:
            raise TrainingError(
                f"{', '.join(lost)} is not a finite number after update {self.step:,}: training stopped. The last good "
                f"checkpoint is that of update {self.good:,}"
            )
        self._first = self._first or (time.monotonic(), self.step)
        self.watch(self.step, row)
        if time.monotonic() - self._timed >= _TIMING_SECONDS:
            self.note_time()

    def save(self) -> None:
        """A checkpoint; the metrics up to it are on the disk first."""
        self.metrics.sync()
        _save(self.plan, self.run, self.learner, self.metrics.offset)
        self.good, self.saved = self.step, time.monotonic()

    def note_time(self) -> None:
        """A row of timing.jsonl, one at most for a step."""
        if self._noted == self.step or self._first is None:
            return
        self._timed, self._noted = time.monotonic(), self.step
        past, first = time.monotonic(), self._first
        speed = (self.step - first[1]) / (past - first[0]) if self.step > first[1] else None
        row = {"step": self.step, "seconds": past - self._begin, "steps_per_second": speed}
        self.timing.append(row | {"first_update_seconds": first[0] - self._begin})


class _Together:
    """Several runs as one: what whoever watches hears."""

    def __init__(self, plans: Sequence[Plan], watch: Callable[[Status], None]) -> None:
        self._plans, self._watch = plans, watch
        self._lock = threading.Lock()
        self._steps = [0] * len(plans)
        self._right: dict[int, float] = {}  # of the runs that are going on
        self._first: tuple[float, int] | None = None
        self._begin = time.monotonic()
        self._say("compiling")

    def hear(self, number: int, step: int, row: dict[str, Any]) -> None:
        """A run has come so far."""
        with self._lock:
            self._steps[number] = step
            if row:
                self._right[number] = float(row["evaluation/accuracy"])
            if step == self._plans[number].recipe.steps:
                self._right.pop(number, None)
            if row:
                self._first = self._first or (time.monotonic(), sum(self._steps))
                self._say("training")

    def end(self, phase: Literal["done", "stopped"]) -> None:
        """Nothing goes on."""
        self._right.clear()
        self._say(phase)

    def _say(self, phase: Literal["compiling", "training", "done", "stopped"]) -> None:
        step, steps = sum(self._steps), sum(plan.recipe.steps for plan in self._plans)
        speed = None
        if self._first is not None and step > self._first[1]:
            speed = (step - self._first[1]) / (time.monotonic() - self._first[0])
        told = [
            f"{self._plans[i].architecture.core} seed {self._plans[i].seed} {x:.1%}" for i, x in self._right.items()
        ]
        label = ", ".join([self._plans[0].task.to_json()["name"], *told])
        self._watch(
            Status(
                label=label,
                phase=phase,
                step=step,
                steps=steps,
                seconds=time.monotonic() - self._begin,
                speed=speed,
                left=(steps - step) / speed if speed else None,
            )
        )
