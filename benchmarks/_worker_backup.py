"""Worker: one Bellman backup against the copy bandwidth of this machine and against SciPy, in turns in one process.

A backup reads 12 bytes a branch and 8 a choice, and reads and writes 8 a state.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse

from benchmarks._measure import tell

COPIED = 200_000_000  # bytes, far beyond every cache
ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="an npz file of suasion.markov")
    parser.add_argument("discount", type=float)
    given = parser.parse_args()
    from suasion.markov import read_model
    from suasion.planning._operator import Operator
    from suasion.planning._rows import padded, rows

    model, _ = read_model(given.model)
    kept = padded(rows(model, pad=False))
    two, one = Operator(kept, given.discount), Operator(kept, given.discount, threads=1)
    value, out = np.random.default_rng(0).normal(size=model.n_states), np.empty(model.n_states)
    start, target, probability, reward = model.marginals
    matrix = sparse.csr_array((probability, target, start), shape=(model.n_choices, model.n_states))
    live = model.choice_start[:-1][np.diff(model.choice_start) > 0]

    def scipy() -> None:
        np.maximum.reduceat(reward + given.discount * (matrix @ value), live)

    turns = {
        "two": lambda: two.optimal(value, out),
        "one": lambda: one.optimal(value, out),
        "scipy": scipy,
        "copy": copier(two.threads),
    }
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(ROUNDS + 1):
        for name, turn in turns.items():
            began = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - began)
    bytes_ = 12 * len(target) + 8 * model.n_choices + 16 * model.n_states
    median = {name: float(np.median(found[1:])) for name, found in seconds.items()}
    tell(**median, threads=two.threads, gigabytes=bytes_ / 1e9, copied=2 * COPIED / 1e9)


def copier(threads: int) -> Callable[[], None]:
    """Copy an array by so many threads; each byte is read and written."""
    source, target = np.ones(COPIED // 8), np.ones(COPIED // 8)
    parts = [slice(len(source) * i // threads, len(source) * (i + 1) // threads) for i in range(threads)]

    def copy() -> None:
        working = [threading.Thread(target=np.copyto, args=(target[part], source[part])) for part in parts]
        for one in working:
            one.start()
        for one in working:
            one.join()

    return copy


if __name__ == "__main__":
    main()
