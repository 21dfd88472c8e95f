"""Passes over the sequences of a finite chain, in memory that is lent: what the verbs, `fit` and `score` share."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from suasion.statespace import _finite_kernels as kernels
from suasion.statespace._actions import take_moves
from suasion.statespace._finite import FiniteSSM
from suasion.statespace._sequences import Form, take_apart
from suasion.statespace._workspace import borrow, give_back


class Lined(NamedTuple):
    r"""Sequences one behind the other, T steps of all of them, and room for the passes.

    Attributes:
        form: in which they were handed in.
        sequences: they themselves.
        whole: all as one sequence; None if observations may be anything, or have different shapes.
        start: where each begins, and the end.
        moves: actions, one for each step, or none.
        logs: log-likelihoods, float64[T, K].
        likely: float64[T, K], of the passes.
        filtered: float64[T, K].
        scale: float64[T], of the passes.
        increments: $\log p(y_t \mid y_{1:t-1})$, float64[T].
    """

    form: Form
    sequences: list[Any]
    whole: Any
    start: ndarray
    moves: ndarray
    logs: ndarray
    likely: ndarray
    filtered: ndarray
    scale: ndarray
    increments: ndarray

    def moves_of(self, q: int) -> ndarray:
        """Of one sequence; empty without actions."""
        return self.moves[self.start[q] : self.start[q + 1]]


class Passed(NamedTuple):
    """What the forward pass says of each sequence: see `_finite_kernels`. In logarithms: the filtered, by number."""

    verdict: ndarray
    in_logs: dict[int, ndarray]


@contextlib.contextmanager
def line_up(model: FiniteSSM, y: Any, inputs: Any) -> Iterator[Lined]:
    """Take sequences apart, and lay them one behind the other, in memory that is lent for the block."""
    form, sequences = take_apart(y, model.emission.rank)
    lengths = [len(held) for held in sequences]
    moves = take_moves(model.n_actions, inputs, form, lengths)
    start = np.array([0, *itertools.accumulate(lengths)])
    steps, K = int(start[-1]), model.n_states
    memory = borrow((3 * K + 2) * steps)
    try:
        logs, likely, filtered = memory[: 3 * K * steps].reshape(3, steps, K)
        scale, increments = memory[3 * K * steps : (3 * K + 2) * steps].reshape(2, steps)
        whole = _whole(model, form, sequences, y)
        lined = Lined(form, sequences, whole, start, moves, logs, likely, filtered, scale, increments)
        put_log_likelihoods(model, lined)
        yield lined
    finally:
        give_back(memory)


def _whole(model: FiniteSSM, form: Form, sequences: list[Any], y: Any) -> Any:
    if form == "one":
        return y
    if form == "stack":
        return np.reshape(y, (-1, *np.shape(y)[2:]))
    alike = model.emission.rank is not None and len({np.shape(held)[1:] for held in sequences}) == 1
    return np.concatenate(sequences) if alike else None


def put_log_likelihoods(model: FiniteSSM, lined: Lined) -> None:
    """Those of all steps of all sequences, to `logs`."""
    if lined.whole is not None:
        try:
            return model.emission.put_log_likelihood(lined.whole, lined.logs)
        except ValueError:
            if lined.form == "one":
                raise
    for q, y in enumerate(lined.sequences):  # by themselves; or to say in which one is what was refused
        try:
            model.emission.put_log_likelihood(y, lined.logs[lined.start[q] : lined.start[q + 1]])
        except ValueError as refusal:
            raise ValueError(f"in sequence {q}: {refusal}") from None
    return None


def forward(model: FiniteSSM, lined: Lined) -> Passed:
    """Filter all of them: fast, and again in logarithms where that could have lost anything."""
    kernels.level(lined.logs, lined.likely, lined.increments)
    verdict = np.empty(len(lined.start) - 1, np.int64)
    run = kernels.forward(model.n_states, model.n_actions is not None)
    seen = lined.moves, lined.logs, lined.likely, lined.filtered, lined.scale
    lost = run(lined.start, model.start, model.moves, *seen, verdict)
    np.add(lined.increments, np.log(lined.scale), out=lined.increments)
    passed = Passed(verdict, {})
    if lost:
        for q in np.flatnonzero(verdict == kernels.LOST):
            _forward_in_logs(model, lined, passed, int(q))
    return passed


def _forward_in_logs(model: FiniteSSM, lined: Lined, passed: Passed, q: int) -> None:
    steps = slice(lined.start[q], lined.start[q + 1])
    held = np.full(lined.logs[steps].shape, -np.inf)
    lined.increments[steps] = -np.inf
    passed.verdict[q] = step = kernels.log_forward(
        model.logs[0], model.log_moves, lined.moves_of(q), lined.logs[steps], held, lined.increments[steps]
    )
    if step >= 0:
        held[step:] = -np.inf
    passed.in_logs[q] = held
    lined.filtered[steps] = np.exp(held)


def smooth_all(model: FiniteSSM, lined: Lined, smoothed: ndarray) -> tuple[Passed, ndarray, ndarray]:
    """Smoothed probabilities of all steps; gives expected transitions [Q, A, K, K] and log-likelihoods [Q]."""
    passed = forward(model, lined)
    pairs = np.zeros((len(lined.start) - 1, *model.moves.shape))
    held = passed.verdict
    if passed.in_logs:
        held = held.copy()
        held[list(passed.in_logs)] = kernels.LOST
    run = kernels.backward(model.n_states, model.n_actions is not None)
    run(lined.start, model.moves, lined.moves, lined.likely, lined.filtered, lined.scale, held, smoothed, pairs)
    for q, log_filtered in passed.in_logs.items():
        steps = slice(lined.start[q], lined.start[q + 1])
        if passed.verdict[q] >= 0:
            smoothed[steps] = 0.0
            continue
        inputs = model.log_moves, lined.moves_of(q), lined.logs[steps], log_filtered, lined.increments[steps]
        kernels.log_backward(*inputs, smoothed[steps], pairs[q])
    return passed, pairs, np.add.reduceat(lined.increments, lined.start[:-1])
