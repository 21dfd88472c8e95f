"""A disk whose N-th operation fails, and a process that dies at its N-th operation.

`Disk` stands in for `os` in `suasion.records._disk`, through which every change of the room goes. As a program

    python faults.py FOLDER

it forks a process for every N, lets it die there by `os._exit`, goes on with what it left, and prints what came of it.
"""

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np

from suasion.records import MetricsWriter, create_run, drop_checkpoints, newest_checkpoint, save_checkpoint, sweep
from suasion.records import _disk as room

OPERATIONS = ("open", "write", "fsync", "ftruncate", "replace", "unlink", "makedirs")
NO_SPACE = ("open", "write", "makedirs")
STEPS = 5
KEPT = 2


class Died(BaseException):
    """The process is gone: nothing handles this, and no later operation reaches the disk."""


class Disk:
    """`os`, counting what changes a disk; at the N-th such operation comes a fault.

    Faults: `once`, this operation fails; `on`, it and all later ones fail (the disk is full or gone); `half`, the
    process dies there, of a write after half of its bytes (a `Died` is raised, and again by every later operation);
    `exit`, the same by `os._exit`. N = 0 counts alone.
    """

    def __init__(self, at=0, fault="once"):
        self.at, self.fault, self.count, self.met = at, fault, 0, None

    def __getattr__(self, name):
        real = getattr(os, name)
        return (lambda *args, **kwargs: self.operate(name, real, args, kwargs)) if name in OPERATIONS else real

    def operate(self, name, real, args, kwargs):
        self.count += 1
        if not self.at or self.count < self.at or (self.count > self.at and self.fault == "once"):
            return real(*args, **kwargs)
        if self.count == self.at:
            self.met = name
            if self.fault in ("half", "exit") and name == "write":
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
        if self.fault == "exit":
            os._exit(9)
        if self.fault == "half":
            raise Died(f"at operation {self.at}")
        code = errno.ENOSPC if name in NO_SPACE else errno.EIO
        raise OSError(code, os.strerror(code))


def learn(folder, steps=STEPS):
    """A run in miniature, with the order of operations of a real one: rows, flush, checkpoint; it goes on by itself."""
    run = create_run(folder, {"rate": 0.5}, {"versions": {}})
    sweep(run.path)
    sweep(run.checkpoints)
    found = newest_checkpoint(run.checkpoints)
    step, weight, offset = 0, np.linspace(0, 1, 7), 0
    if found is not None:
        step, weight, offset = found.step, found.arrays["weight"], found.header["offset"]
        drop_checkpoints(run.checkpoints, step, KEPT)
    with MetricsWriter(run.metrics, offset) as metrics:
        while step < steps:
            step, weight = step + 1, weight * 0.5 + np.sin(step)
            metrics.append({"step": step, "mean": weight.mean()})
            metrics.sync()
            save_checkpoint(run.checkpoints, step, {"weight": weight}, {"offset": metrics.offset}, keep=KEPT)


def bytes_of(folder):
    """Every file below a folder with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def die_everywhere(folder):
    """What came of a process that died at its N-th operation, for every N until it came to its end."""
    learn(folder / "whole")
    reference = bytes_of(folder / "whole")
    told = {"deaths": 0, "left_over": 0, "torn": 0, "equal": 0}
    while True:
        out = folder / "run"
        if not (child := os.fork()):
            room.os = Disk(told["deaths"] + 1, "exit")
            learn(out)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            return told
        assert code == 9, code
        told["deaths"] += 1
        left = bytes_of(out) if out.exists() else {}
        told["left_over"] += any(".partial-" in name for name in left)
        told["torn"] += bool(rows := left.get("metrics.jsonl")) and not rows.endswith(b"\n")
        learn(out)
        told["equal"] += bytes_of(out) == reference
        shutil.rmtree(out)


if __name__ == "__main__":
    print(json.dumps(die_everywhere(Path(sys.argv[1]))))
