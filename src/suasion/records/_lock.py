"""One process at a time in a run's directory; the lock is the kernel's, so a crash leaves none behind."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from suasion.records._disk import RecordError

try:
    import fcntl
except ImportError:  # not a Unix: nothing is locked there
    fcntl = None  # type: ignore[assignment]

_TRIES, _INSTANT = 5, 0.02  # seconds


@contextlib.contextmanager
def hold_run(path: str | Path) -> Iterator[None]:
    """Keep a run's directory to this process, inside a `with`.

    Raises:
        RecordError: another process has it.
    """
    if fcntl is None:
        yield
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        if not _locked_soon(folder):
            raise RecordError(f"{path}: another process is training this run")
        yield
    finally:
        os.close(folder)  # which unlocks


def is_held(path: str | Path) -> bool:
    """Whether a process is working in a run's directory."""
    if fcntl is None:
        return False
    folder = os.open(path, os.O_RDONLY)
    try:
        return not _locked(folder)
    finally:
        os.close(folder)


def _locked_soon(folder: int) -> bool:
    """The same in several tries: whoever asks `is_held` has the lock for an instant, and a live page asks again and
    again."""
    for _ in range(_TRIES):
        if _locked(folder):
            return True
        time.sleep(_INSTANT)
    return False


def _locked(folder: int) -> bool:
    """Whether the lock could be had; a file system without locks has none that could be missed."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
