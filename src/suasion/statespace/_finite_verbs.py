"""The verbs, of finite chains."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.statespace import _finite_kernels as kernels
from suasion.statespace._actions import take_moves
from suasion.statespace._finite import (
    FiniteDecoded,
    FiniteFiltered,
    FiniteForecast,
    FiniteSmoothed,
    FiniteSSM,
    check_action,
)
from suasion.statespace._finite_passes import forward, line_up, smooth_all
from suasion.statespace._sequences import put_together, take_apart


def filter_finite(model: FiniteSSM, y: Any, inputs: Any) -> Any:
    """`filter` of a finite chain."""
    with line_up(model, y, inputs) as lined:
        lined = lined._replace(filtered=np.empty_like(lined.filtered), increments=np.empty_like(lined.increments))
        verdict = forward(model, lined).verdict
    start, filtered, increments = lined.start, lined.filtered, lined.increments
    predicted, count = np.empty_like(filtered), len(start) - 1
    if model.n_actions is None:
        np.matmul(filtered[:-1], model.matrix, out=predicted[1:])
    else:
        for a in range(model.n_actions):
            steps = np.flatnonzero(lined.moves[:-1] == a)
            predicted[steps + 1] = filtered[steps] @ model.matrix[a]
    predicted[start[:-1]] = model.start
    if lined.form == "stack":
        shape = count, -1
        states = filtered.reshape(*shape, model.n_states), predicted.reshape(*shape, model.n_states)
        increments = increments.reshape(shape)
        return FiniteFiltered(*states, increments.sum(1), increments, verdict)
    results = []
    for q in range(count):
        part = slice(start[q], start[q + 1])
        total = increments[part].sum()
        results.append(FiniteFiltered(filtered[part], predicted[part], total, increments[part], int(verdict[q])))
    return put_together(lined.form, results)


def smooth_finite(model: FiniteSSM, y: Any, inputs: Any) -> Any:
    """`smooth` of a finite chain."""
    with line_up(model, y, inputs) as lined:
        smoothed = np.empty_like(lined.logs)
        (verdict, _), pairs, totals = smooth_all(model, lined, smoothed)
    pairs, start = pairs.reshape(-1, *model.matrix.shape), lined.start
    if lined.form == "stack":
        return FiniteSmoothed(smoothed.reshape(len(pairs), -1, model.n_states), pairs, totals, verdict)
    parts = [smoothed[start[q] : start[q + 1]] for q in range(len(pairs))]
    results = [FiniteSmoothed(part, pairs[q], totals[q], int(verdict[q])) for q, part in enumerate(parts)]
    return put_together(lined.form, results)


def decode_finite(model: FiniteSSM, y: Any, inputs: Any) -> Any:
    """`decode` of a finite chain."""
    with line_up(model, y, inputs) as lined:
        count = len(lined.start) - 1
        path, scores = np.empty(len(lined.logs), np.int64), np.empty(count)
        run = kernels.viterbi(model.n_states, model.n_actions is not None)
        run(lined.start, model.logs[0], model.log_moves, lined.moves, lined.logs, path, scores)
    results = []
    for q in range(count):
        held = path[lined.start[q] : lined.start[q + 1]]
        if scores[q] == -np.inf:
            held[:] = -1
        results.append(FiniteDecoded(held, scores[q]))
    return put_together(lined.form, results)


def sample_finite(model: FiniteSSM, y: Any, rng: np.random.Generator, draws: int, inputs: Any) -> Any:
    """`sample` of a finite chain."""
    results = []
    with line_up(model, y, inputs) as lined:
        passed = forward(model, lined)
        for q in range(len(lined.start) - 1):
            if passed.verdict[q] >= 0:
                raise ValueError(f"sequence {q} is impossible at step {int(passed.verdict[q])}: nothing can be drawn")
            steps = slice(lined.start[q], lined.start[q + 1])
            with np.errstate(divide="ignore"):
                held = passed.in_logs[q] if q in passed.in_logs else np.log(lined.filtered[steps])
            paths = np.empty((draws, len(held)), np.int64)
            kernels.backward_draws(model.log_moves, lined.moves_of(q), held, rng.random(paths.shape), paths)
            results.append(paths)
    return results[0] if lined.form == "one" else np.stack(results) if lined.form == "stack" else tuple(results)


def simulate_finite(
    model: FiniteSSM, steps: int, rng: np.random.Generator, count: int | None, inputs: Any
) -> tuple[Int64[ndarray, "..."], ndarray]:
    """`simulate` of a finite chain; all walks take the same actions."""
    moves = take_moves(model.n_actions, inputs, "one", [steps])
    if model.n_actions is None:
        states = model.chain.simulate(steps - 1, rng, walks=count or 1)
    else:
        states = _walk(model, moves, rng, count or 1)
    seen = model.emission.sample(rng, states.ravel())
    seen = seen.reshape(states.shape + seen.shape[1:])
    return (states[0], seen[0]) if count is None else (states, seen)


def _walk(model: FiniteSSM, moves: ndarray, rng: np.random.Generator, count: int) -> Int64[ndarray, "_ _"]:
    """States under given actions, int64[count, T]."""
    states = np.zeros((count, len(moves)), np.int64)
    first, sums = np.cumsum(model.start), np.cumsum(model.matrix, axis=-1)
    for t in range(len(moves)):
        held = sums[moves[t - 1], states[:, t - 1]] if t else np.tile(first, (count, 1))
        states[:, t] = (held <= (rng.random(count) * held[:, -1])[:, None]).sum(1)
    return states


def forecast_finite(model: FiniteSSM, y: Any, steps: int, inputs: Any) -> Any:
    """`forecast` of a finite chain; inputs run on over the steps to come."""
    form, sequences = take_apart(y, model.emission.rank)
    if form != "one":
        raise ValueError("forecast takes one sequence")
    length = len(sequences[0])
    moves = take_moves(model.n_actions, inputs, form, [length + steps])
    with line_up(model, y, None if model.n_actions is None else moves[:length]) as lined:
        impossible = int(forward(model, lined).verdict[0])
        held = lined.filtered[-1].copy()
    if impossible >= 0:
        raise ValueError(f"y is impossible at step {impossible}: nothing can be forecast")
    states = np.empty((steps, model.n_states))
    for h in range(steps):
        states[h] = held = held @ model.moves[moves[length - 1 + h] if len(moves) else 0]
    return FiniteForecast(states, model.emission.predict(states))


class FiniteStream:
    """A finite chain seen as it goes: constant memory; `online` makes one.

    It works in logarithms, which cannot lose anything.

    Attributes:
        belief: filtered probabilities after the last step, float64[K]; before the first the initial ones.
        log_likelihood: of all steps so far, in nats.
    """

    def __init__(self, model: FiniteSSM) -> None:
        self._model = model
        self._held: ndarray | None = None
        self._action: int | None = None
        self.belief = model.start
        self.log_likelihood = 0.0

    def step(self, y: Any, u: int | None = None) -> tuple[Float64[ndarray, "_"], float]:
        r"""One observation more.

        Args:
            y: a single observation, or the missing one.
            u: the action $u_t$ that leads to the next step, if the model has any; where it is chosen after a look at
                the belief, leave it out and call `act`.

        Returns:
            Filtered probabilities, float64[K], and $\\log p(y_t \\mid y_{1:t-1})$; of an impossible observation -inf,
            and the stream stays where it was.

        Raises:
            ValueError: no action was given since the last step, or one that there is not.
        """
        model = self._model
        if u is not None:
            check_action(model, u)
        predicted = np.empty(model.n_states)
        if self._held is None:
            predicted[:] = model.logs[0]
        else:
            if model.n_actions is not None and self._action is None:
                raise ValueError(f"the chain has {model.n_actions} actions, and none was taken since the last step")
            kernels.log_move(self._held, model.log_moves[self._action or 0], predicted)
        one = np.asarray(y)[None] if model.emission.rank is not None else [y]
        joint = predicted + model.log_likelihood(one)[0]
        gained = float(kernels.log_sum(joint))
        if gained > -np.inf:
            self._held = joint - gained
            self.belief = np.exp(self._held)
            self.log_likelihood += gained
            self._action = u
        return self.belief, gained

    def act(self, u: int) -> None:
        """Take an action after the last step.

        Raises:
            ValueError: there is no such action.
        """
        check_action(self._model, u)
        self._action = u
