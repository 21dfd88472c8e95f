"""The command line under a stopwatch: when its first row of metrics appears, when it ends, what memory it took."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._processes import ROOT, BenchmarkError, surroundings, tail

_LOOK = 0.005  # seconds between looks at the file of metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """A process of `suasion train` that ended well.

    Attributes:
        first_update: seconds until the first row of metrics.
        whole: seconds until the end.
        cpu: CPU seconds, all threads.
        peak_bytes: the most memory that was resident at once.
    """

    first_update: float
    whole: float
    cpu: float
    peak_bytes: int


def train(arguments: Sequence[str], out: Path, cache: Path) -> Trained:
    """Run `suasion train`.

    Args:
        arguments: without the folder.
        out: a folder that does not exist yet.
        cache: the user's cache folder, as XDG_CACHE_HOME.

    Raises:
        BenchmarkError: it failed, or wrote no metrics.
    """
    command = [sys.executable, "-m", "suasion", "train", *arguments, "--out", str(out)]
    metrics = out / "seed-0" / "metrics.jsonl"
    first = None
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=surroundings({"XDG_CACHE_HOME": str(cache)}),
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            # `wait4` tells this process's own usage; the module `resource` only the maximum over all children.
            while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
                if first is None and _written(metrics):
                    first = time.perf_counter() - start
                time.sleep(_LOOK)
        except BaseException:
            process.kill()
            process.wait()
            raise
        whole = time.perf_counter() - start
        _, status, usage = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        if first is None and _written(metrics):
            first = whole
        if process.returncode or first is None:
            errors.seek(0)
            told = tail(errors.read().decode(errors="replace"))
            raise BenchmarkError(f"`suasion train {' '.join(arguments)}` ended with {process.returncode}:\n{told}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Trained(
        first_update=first, whole=whole, cpu=usage.ru_utime + usage.ru_stime, peak_bytes=usage.ru_maxrss * unit
    )


def resume(arguments: Sequence[str], out: Path) -> float:
    """Run `suasion train` to its end, going on with whatever is in `out`; its CPU seconds.

    Raises:
        BenchmarkError: it failed.
    """
    before = os.times()
    command = [sys.executable, "-m", "suasion", "train", *arguments, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=surroundings({}), capture_output=True, check=False)
    if done.returncode:
        told = tail(done.stderr.decode(errors="replace"))
        raise BenchmarkError(f"`suasion train {' '.join(arguments)}` ended with {done.returncode}:\n{told}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _written(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
