"""The Bellman operators of one model and one discount, by the means that suit its size."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.planning import _reference as reference
from suasion.planning._rows import SMALL, UNIT, Rows

SHARED = 200_000  # branches from which on two threads gain


class Backup(NamedTuple):
    """T V, and how far it is from V.

    Attributes:
        value: (T V)(s), float64[S].
        choice: of the rows, which attains it, int64[S]; -1 without choices.
        low: bound from below of (T V - V)(s) over all s, rounding included.
        high: bound from above.
    """

    value: Float64[ndarray, "S"]
    choice: Int64[ndarray, "S"]
    low: float
    high: float


class Operator:
    """T and T_pi on the rows of a model.

    Attributes:
        rows: the model, rewards to be maximised.
        discount: gamma.
        compiled: whether kernels do the work, rather than NumPy.
        threads: how many share a sweep.
    """

    def __init__(self, rows: Rows, discount: float, *, threads: int | None = None) -> None:
        self.rows = rows
        self.discount = float(discount)
        self.compiled = len(rows.target) > SMALL
        shared = len(rows.target) > SHARED
        self.threads = (threads or len(os.sched_getaffinity(0))) if self.compiled and shared else 1

    def optimal(
        self, value: Float64[ndarray, "S"], out: Float64[ndarray, "S"] | None = None, *, keep: bool = False
    ) -> Backup:
        """T V with its greedy policy, and bounds of T V - V.

        Args:
            value: V.
            out: where T V goes, if it need not be a fresh array.
            keep: whether `evaluate` will be asked about this policy.
        """
        if not self.compiled:
            q = reference.action_values(self.rows, self.discount, value)
            result, choice = reference.greedy(self.rows, q)
            low, high = _extremes(result - value)
        else:
            from suasion.planning import _kernels as kernels

            result = np.empty_like(value) if out is None else out
            choice = np.empty(len(value), np.int64)
            rows = self.rows
            kernel = kernels.backup(rows.A, rows.K, keep)
            own = self._own if keep else _nothing(rows)
            low, high = self._spread(kernel, (rows.packed, own, self.discount, value, result, choice), self.threads)
        if keep:
            self._kept = choice
        error = self.rows.backup_error(self.discount, value)
        return Backup(result, choice, low - error - 2 * UNIT * abs(low), high + error + 2 * UNIT * abs(high))

    def evaluate(
        self, value: Float64[ndarray, "S"], out: Float64[ndarray, "S"] | None = None
    ) -> tuple[Float64[ndarray, "S"], float, float]:
        """T_pi V for the policy kept last, and the least and greatest T_pi V - V, rounding not included."""
        if not self.compiled:
            result = reference.evaluate(self.rows, self.discount, self._kept, value)
            return result, *_extremes(result - value)
        from suasion.planning import _kernels as kernels

        result = np.empty_like(value) if out is None else out
        shared = self.threads if self._own[-2].size > SHARED else 1
        found = self._spread(kernels.evaluate(self.rows.K), (self._own, self.discount, value, result), shared)
        return result, *found

    @property
    def cost(self) -> float:
        """Branches of a policy's sweep, per branch of a sweep over all choices."""
        return self.rows.n_states / max(len(self.rows.reward), 1)

    @cached_property
    def _own(self) -> tuple[ndarray, ...]:
        return self.rows.room()

    @cached_property
    def _parts(self) -> list[tuple[int, int]]:
        """Ranges of states with about equal numbers of branches, one for each thread."""
        ahead = self.rows.start[self.rows.choice_start]
        cuts = np.searchsorted(ahead, ahead[-1] * np.arange(1, self.threads) / self.threads)
        edges = [0, *(int(cut) for cut in cuts), self.rows.n_states]
        return list(itertools.pairwise(edges))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, thread_name_prefix="sweep")

    def _spread(self, kernel: Any, arguments: tuple[Any, ...], threads: int) -> tuple[float, float]:
        if threads == 1:
            low, high = kernel(0, self.rows.n_states, *arguments)
            return float(low), float(high)
        found = list(self._pool.map(lambda part: kernel(*part, *arguments), self._parts))
        return float(min(low for low, _ in found)), float(max(high for _, high in found))


def _nothing(rows: Rows) -> tuple[ndarray, ...]:
    """No room, where nothing is kept."""
    if rows.A:
        return np.zeros((0, 0), np.uint32), np.zeros((0, 0)), np.zeros(0)
    return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0), np.zeros(0)


def _extremes(change: ndarray) -> tuple[float, float]:
    return float(np.min(change, initial=np.inf)), float(np.max(change, initial=-np.inf))
