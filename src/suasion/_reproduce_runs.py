"""Many runs of `suasion train` within a budget: some at once, stopped by the clock, gone on with where they were."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from suasion.records import Run, RunPaths, newest_checkpoint, read_run

_GRACE = 120.0  # seconds that a run is given to write its checkpoint
_PAUSE = 0.2
# A process that ends when its parent does (PR_SET_PDEATHSIG), set by itself: between fork and exec of a process with
# threads nothing may be done.
BOUND = "import ctypes, sys\nif sys.platform == 'linux':\n    ctypes.CDLL(None).prctl(1, 15)\n"
_TRAIN = f"{BOUND}from suasion.cli import main\nsys.exit(main(sys.argv[1:]))"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One run.

    Attributes:
        arguments: of `suasion train`, all but seed and folder.
        seed: of all chance in it.
        out: folder of its seeds; the run is `out / seed-N`.
    """

    arguments: tuple[str, ...]
    seed: int
    out: Path

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self.out / f"seed-{self.seed}"

    @property
    def words(self) -> str:
        """The command as people give it, all but seed and folder."""
        return " ".join(("suasion", "train", *self.arguments))

    @property
    def command(self) -> tuple[str, ...]:
        """What trains it, or goes on."""
        once = ("--seed", str(self.seed), "--shards", "1", "--out", str(self.out))
        return (sys.executable, "-c", _TRAIN, "train", *self.arguments, *once)

    @property
    def finished(self) -> bool:
        """All its steps are done.

        Raises:
            RecordError: what lies there is damaged.
        """
        if not RunPaths(self.path).config.exists():
            return False
        return complete(read_run(self.path))


def complete(run: Run) -> bool:
    """All steps of a run are done, and what it learned is saved.

    Raises:
        RecordError: it has checkpoints, but none is whole.
    """
    steps = run.config["steps"]
    if not run.metrics or run.metrics[-1]["step"] < steps:
        return False
    saved = newest_checkpoint(RunPaths(run.path).checkpoints)
    return saved is not None and saved.step >= steps


class TrainingFailed(RuntimeError):
    """A run ended with an error; the end of what it said is in the message."""


def train_all(
    jobs: Sequence[Job],
    *,
    processes: int,
    seconds: float,
    ended: Callable[[Job, float, bool], None],
) -> bool:
    """Train jobs in their order, `processes` at once, for at most `seconds`; whether all are finished.

    When the time is over every run that is under way is asked to stop, and writes a checkpoint. If this process dies,
    so do they (on Linux).

    Args:
        jobs: finished ones are passed over.
        processes: from 1.
        seconds: of wall-clock time.
        ended: told each process that has ended: its run, its CPU seconds, and whether it finished the run.

    Raises:
        TrainingFailed: a run ended with an error; the others are stopped first.
    """
    began = time.monotonic()
    waiting = [job for job in jobs if not job.finished]
    running: dict[Job, subprocess.Popen[bytes]] = {}

    def late() -> bool:
        return time.monotonic() - began > seconds

    try:
        while (waiting or running) and not late():
            while waiting and len(running) < processes:
                job = waiting.pop(0)
                running[job] = _start(job)
            time.sleep(_PAUSE)
            for job, process in list(running.items()):
                if (cpu := _ended(process)) is not None:
                    del running[job]
                    _check(job, process)
                    ended(job, cpu, True)
    finally:
        for job, cpu in _stop(running):
            ended(job, cpu, False)
    return not waiting and not running


def _start(job: Job) -> subprocess.Popen[bytes]:
    job.out.mkdir(parents=True, exist_ok=True)
    log = _log(job)
    with log.open("wb") as errors:
        return subprocess.Popen(job.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)


def _log(job: Job) -> Path:
    return job.out / f"seed-{job.seed}.log"


def _ended(process: subprocess.Popen[bytes]) -> float | None:
    """The CPU seconds of a process that has ended; None if it has not."""
    ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    if not ended:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _check(job: Job, process: subprocess.Popen[bytes]) -> None:
    if process.returncode:
        told = _log(job).read_bytes()[-2_000:].decode(errors="replace").strip()
        raise TrainingFailed(f"`{job.words}` with seed {job.seed} ended with {process.returncode}:\n{told}")
    _log(job).unlink()


def _stop(running: Mapping[Job, subprocess.Popen[bytes]]) -> Iterator[tuple[Job, float]]:
    """Ask all to stop, and wait until they have; CPU seconds of each."""
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for job, process in running.items():
        while (cpu := _ended(process)) is None:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(_PAUSE)
        yield job, cpu
