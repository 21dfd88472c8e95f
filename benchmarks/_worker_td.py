"""Worker: `suasion.td` or the scalar C, one run or many; both tell a digest of what they learned."""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._measure import tell, timed
from benchmarks._td_models import EPSILON, SETTINGS, model

ONE, MANY = (1, 1_000_000), (200, 20_000)  # runs, steps of each
SOURCE = Path(__file__).with_name("_td_scalar.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC")


class _Model(ctypes.Structure):
    _fields_ = [
        ("stride", ctypes.c_int64),
        ("start", ctypes.c_void_p),
        ("threshold", ctypes.c_void_p),
        ("outcome", ctypes.c_void_p),
        ("first_low", ctypes.c_int64),
        ("first_high", ctypes.c_int64),
    ]


class _Question(ctypes.Structure):
    _fields_ = [
        ("step_size", ctypes.c_double),
        ("discount", ctypes.c_double),
        ("epsilon", ctypes.c_double),
        ("limit", ctypes.c_int64),
        ("sarsa", ctypes.c_int64),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("suasion", "c"))
    parser.add_argument("model", choices=SETTINGS)
    parser.add_argument("rule", choices=("q", "sarsa"))
    parser.add_argument("size", choices=("one", "many"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    runs, steps = ONE if given.size == "one" else MANY
    turn = (_ours if given.engine == "suasion" else _scalar)(given, runs, steps)
    digest = hashlib.sha256(turn().tobytes()).hexdigest()

    def counted() -> int:
        turn()
        return runs * steps

    tell(**timed(counted, given.seconds, cold=0), digest=digest)


def _ours(given: argparse.Namespace, runs: int, steps: int) -> Callable[[], Any]:
    """The public verb, whole: checks, tables and the record of what was learned included."""
    from suasion.td import QLearning, Sarsa, learn

    mdp, asked = model(given.model), SETTINGS[given.model]
    rule = {"q": QLearning, "sarsa": Sarsa}[given.rule](step_size=asked.step_size)
    question = {"discount": asked.discount, "runs": runs, "steps": steps, "time_limit": asked.limit or None}
    return lambda: learn(mdp, rule, **question, exact=False, threads=given.threads).q[:, -1]


def _scalar(given: argparse.Namespace, runs: int, steps: int) -> Callable[[], Any]:
    """One run after the other, from the same streams."""
    from suasion.td._random import streams
    from suasion.td._simulator import tables

    mdp, asked = model(given.model), SETTINGS[given.model]
    held = tables(mdp)
    library = _compiled(int(held.width[0]))
    of = _Model(held.stride, *(a.ctypes.data for a in (held.start, held.threshold, held.outcome)), *held.start[-2:])
    limit = asked.limit or 1 << 62
    question = _Question(asked.step_size, asked.discount, EPSILON, limit, given.rule == "sarsa")

    def turn(_kept: Any = held) -> Any:  # its arrays must outlive the addresses in `of`
        q, states = np.zeros((runs, mdp.n_choices)), streams(0, runs)
        for row, state in zip(q, states, strict=True):
            pointers = (ctypes.c_void_p(array.ctypes.data) for array in (row, state))
            library.play(ctypes.byref(of), ctypes.byref(question), *pointers, ctypes.c_int64(steps))
        return q

    return turn


def _compiled(choices: int) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scalar.so"
        subprocess.run(["cc", *FLAGS, f"-DCHOICES={choices}", "-o", str(path), str(SOURCE)], check=True)
        return ctypes.CDLL(str(path))


if __name__ == "__main__":
    main()
