r"""Hidden Markov models: a finite chain and what is seen of it (N1.3.1-d).

$s_1 \sim \pi$, $s_{t+1} \sim P_{s_t \cdot}$, $y_t \sim p(\cdot \mid s_t)$: K states, T steps, steps counted from 0 in
arrays. The names of probabilities: predicted $p(s_t \mid y_{1:t-1})$, filtered $p(s_t \mid y_{1:t})$, smoothed
$p(s_t \mid y_{1:T})$.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.markov import MarkovChain
from suasion.statespace import _finite_kernels as kernels
from suasion.statespace._checks import check_shape
from suasion.statespace._emission import Emission, check_rows
from suasion.statespace._sequences import put_together, take_apart

_FAINT = -600.0  # e to this is no longer safe to multiply with
_SMALL = 1e-100  # probabilities below it are left to logarithms


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FiniteSSM:
    r"""A hidden Markov model.

    Rows may miss 1 by what floating point leaves (1e-9), as those of a `MarkovChain` may; the model meant is the one
    whose rows are divided by their sums.

    Attributes:
        transition: $P$, float64[K, K], or a `MarkovChain`.
        emission: `Table`, `Gaussian`, `Poisson` or `Likelihood`.
        initial: $\pi$, float64[K]; the chain's own if None.

    Raises:
        ValueError: a row is no distribution, there is no initial one, or numbers of states disagree.
    """

    transition: Float64[ndarray, "_ _"] | MarkovChain
    emission: Emission
    initial: Float64[ndarray, "_"] | None = None

    def __post_init__(self) -> None:
        chain = self.chain
        if chain.initial is None:
            raise ValueError("initial is missing: the distribution of the first state")
        if self.emission.n_states not in (None, chain.n_states):
            raise ValueError(f"the chain has {chain.n_states} states, the emission {self.emission.n_states}")

    def __repr__(self) -> str:
        return f"FiniteSSM({self.n_states} states, {type(self.emission).__name__})"

    @cached_property
    def chain(self) -> MarkovChain:
        """The hidden chain."""
        if not isinstance(self.transition, MarkovChain):
            return MarkovChain(transition=self.transition, initial=self.initial)
        if self.initial is None:
            return self.transition
        return dataclasses.replace(self.transition, initial=self.initial)

    @property
    def n_states(self) -> int:
        """K."""
        return self.chain.n_states

    @cached_property
    def start(self) -> Float64[ndarray, "_"]:
        r"""$\pi$, summing to 1."""
        held = np.asarray(self.chain.initial, np.float64)
        return held / held.sum()

    @cached_property
    def matrix(self) -> Float64[ndarray, "_ _"]:
        """P, dense."""
        return np.ascontiguousarray(self.chain.matrix.toarray(), np.float64)

    @cached_property
    def logs(self) -> tuple[Float64[ndarray, "_"], Float64[ndarray, "_ _"]]:
        r"""$\log \pi$ and $\log P$."""
        with np.errstate(divide="ignore"):
            return np.log(self.start), np.log(self.matrix)

    def log_likelihood(self, y: Any) -> Float64[ndarray, "_ _"]:
        """log p(y_t | s) of one sequence, float64[T, K]."""
        logs = self.emission.log_likelihood(y)
        check_shape("log-likelihood", logs, (len(y), self.n_states))
        return logs


class FiniteFiltered(NamedTuple):
    r"""What is known of the state at each step from the observations so far.

    From an impossible observation on, probabilities are 0 (none is right) and the log-likelihood is -inf. Of a stack,
    every entry has a leading axis.

    Attributes:
        filtered: float64[T, K].
        predicted: float64[T, K].
        log_likelihood: $\log p(y_{1:T})$, in nats.
        increments: $\log p(y_t \mid y_{1:t-1})$, float64[T].
        impossible: the first step whose observation cannot be, or -1.
    """

    filtered: ndarray
    predicted: ndarray
    log_likelihood: Any
    increments: ndarray
    impossible: Any


class FiniteSmoothed(NamedTuple):
    r"""What is known of the state at each step from all observations.

    Attributes:
        smoothed: float64[T, K]; 0 if the observations are impossible.
        pairwise: $\sum_t \Pr(s_t = j, s_{t+1} = k \mid y_{1:T})$, expected transitions, float64[K, K].
        log_likelihood: in nats.
        impossible: the first step whose observation cannot be, or -1.
    """

    smoothed: ndarray
    pairwise: ndarray
    log_likelihood: Any
    impossible: Any


class FiniteDecoded(NamedTuple):
    r"""The most likely path.

    Attributes:
        path: int64[T]; -1 if the observations are impossible. Ties go to the lowest state.
        log_probability: $\log p(s_{1:T}, y_{1:T})$ of it, in nats.
    """

    path: ndarray
    log_probability: Any


class FiniteForecast(NamedTuple):
    """The steps to come.

    Attributes:
        states: float64[h, K].
        observations: of a `Table` the probability of each symbol, float64[h, O]; else `Moments`, or None.
    """

    states: ndarray
    observations: Any


class Passed(NamedTuple):
    """The forward pass over sequences that lie one behind the other."""

    start: ndarray
    logs: ndarray
    likely: ndarray
    filtered: ndarray
    scale: ndarray
    increments: ndarray
    verdict: ndarray
    in_logs: dict[int, ndarray]


def forward(model: FiniteSSM, sequences: list[Any]) -> Passed:
    """Filter all of them: fast, and again in logarithms where that could have lost anything."""
    start, logs = _line_up(model, sequences)
    likely, shift, faint = np.empty_like(logs), np.empty(len(logs)), np.empty(len(logs), bool)
    if not kernels.level(logs, _FAINT, likely, shift, faint):
        faint = faint[:0]
    np.exp(likely, out=likely)
    filtered, scale = np.empty_like(likely), np.ones(len(likely))
    verdict = np.full(len(sequences), kernels.LOST)
    if min(_least(model.start), _least(model.matrix)) > _SMALL:
        run = kernels.forward(model.n_states)
        run(start, model.start, model.matrix, likely, faint, filtered, scale, verdict)
    passed = Passed(start, logs, likely, filtered, scale, np.log(scale) + shift, verdict, {})
    for q in np.flatnonzero(verdict == kernels.LOST):
        _forward_in_logs(model, passed, int(q))
    return passed


def _line_up(model: FiniteSSM, sequences: list[Any]) -> tuple[ndarray, ndarray]:
    """Where each sequence starts, and log-likelihoods of all, one behind the other."""
    start = np.concatenate([[0], np.cumsum([len(y) for y in sequences])])
    if len(sequences) == 1:
        return start, np.ascontiguousarray(model.log_likelihood(sequences[0]))
    if model.emission.rank is not None and len({np.shape(y)[1:] for y in sequences}) == 1:
        try:
            return start, np.ascontiguousarray(model.log_likelihood(np.concatenate(sequences)))
        except ValueError:  # one by one, to say in which
            pass
    parts = []
    for q, y in enumerate(sequences):
        try:
            parts.append(model.log_likelihood(y))
        except ValueError as refusal:
            raise ValueError(f"in sequence {q}: {refusal}") from None
    return start, np.concatenate(parts)


def _least(probability: ndarray) -> float:
    return float(probability[probability > 0].min())


def _forward_in_logs(model: FiniteSSM, passed: Passed, q: int) -> None:
    steps = slice(passed.start[q], passed.start[q + 1])
    held = np.full(passed.filtered[steps].shape, -np.inf)
    increments = np.full(len(held), -np.inf)
    passed.verdict[q] = step = kernels.log_forward(*model.logs, passed.logs[steps], held, increments)
    if step >= 0:
        held[step:] = -np.inf
    passed.in_logs[q] = held
    passed.increments[steps] = increments
    passed.filtered[steps] = np.exp(held)


def filter_finite(model: FiniteSSM, y: Any) -> Any:
    """`filter` of a finite chain."""
    form, sequences = take_apart(y, model.emission.rank)
    passed = forward(model, sequences)
    predicted = np.empty_like(passed.filtered)
    np.matmul(passed.filtered[:-1], model.matrix, out=predicted[1:])
    predicted[passed.start[:-1]] = model.start
    if form == "stack":
        shape = len(sequences), -1
        states = passed.filtered.reshape(*shape, model.n_states), predicted.reshape(*shape, model.n_states)
        increments = passed.increments.reshape(shape)
        return FiniteFiltered(*states, increments.sum(1), increments, passed.verdict)
    results = []
    for q in range(len(sequences)):
        steps = slice(passed.start[q], passed.start[q + 1])
        filtered, increments = passed.filtered[steps], passed.increments[steps]
        verdict = int(passed.verdict[q])
        results.append(FiniteFiltered(filtered, predicted[steps], increments.sum(), increments, verdict))
    return put_together(form, results)


def smooth_all(model: FiniteSSM, sequences: list[Any]) -> list[FiniteSmoothed]:
    """Forward and backward over all sequences."""
    passed, smoothed, pairs, totals = _smooth(model, sequences)
    return [
        FiniteSmoothed(smoothed[passed.start[q] : passed.start[q + 1]], pairs[q], totals[q], int(passed.verdict[q]))
        for q in range(len(sequences))
    ]


def _smooth(model: FiniteSSM, sequences: list[Any]) -> tuple[Passed, ndarray, ndarray, ndarray]:
    """Smoothed probabilities of all steps, expected transitions and log-likelihoods of all sequences."""
    passed = forward(model, sequences)
    smoothed, K = np.zeros_like(passed.filtered), model.n_states
    pairs = np.zeros((len(sequences), K, K))
    held = passed.verdict
    if passed.in_logs:
        held = held.copy()
        held[list(passed.in_logs)] = kernels.LOST
    transposed = np.ascontiguousarray(model.matrix.T)
    kernels.backward(K)(passed.start, transposed, passed.likely, passed.filtered, passed.scale, held, smoothed, pairs)
    pairs *= model.matrix
    for q, log_filtered in passed.in_logs.items():
        if passed.verdict[q] < 0:
            steps = slice(passed.start[q], passed.start[q + 1])
            inputs = model.logs[1], passed.logs[steps], log_filtered, passed.increments[steps]
            kernels.log_backward(*inputs, smoothed[steps], pairs[q])
    return passed, smoothed, pairs, np.add.reduceat(passed.increments, passed.start[:-1])


def smooth_finite(model: FiniteSSM, y: Any) -> Any:
    """`smooth` of a finite chain."""
    form, sequences = take_apart(y, model.emission.rank)
    if form != "stack":
        return put_together(form, smooth_all(model, sequences))
    passed, smoothed, pairs, totals = _smooth(model, sequences)
    return FiniteSmoothed(smoothed.reshape(len(sequences), -1, model.n_states), pairs, totals, passed.verdict)


def decode_finite(model: FiniteSSM, y: Any) -> Any:
    """`decode` of a finite chain."""
    form, sequences = take_apart(y, model.emission.rank)
    start, logs = _line_up(model, sequences)
    width = np.uint8 if model.n_states <= 256 else np.uint16 if model.n_states <= 65536 else np.int64
    path, scores, back = np.empty(len(logs), np.int64), np.empty(len(sequences)), np.empty(logs.shape, width)
    kernels.viterbi(model.n_states)(start, *model.logs, logs, back, path, scores)
    results = []
    for q in range(len(sequences)):
        held = path[start[q] : start[q + 1]]
        if scores[q] == -np.inf:
            held[:] = -1
        results.append(FiniteDecoded(held, scores[q]))
    return put_together(form, results)


def sample_finite(model: FiniteSSM, y: Any, rng: np.random.Generator, draws: int) -> Any:
    """`sample` of a finite chain."""
    form, sequences = take_apart(y, model.emission.rank)
    passed = forward(model, sequences)
    results = []
    for q in range(len(sequences)):
        if passed.verdict[q] >= 0:
            raise ValueError(f"sequence {q} is impossible at step {int(passed.verdict[q])}: nothing can be drawn")
        steps = slice(passed.start[q], passed.start[q + 1])
        with np.errstate(divide="ignore"):
            held = passed.in_logs[q] if q in passed.in_logs else np.log(passed.filtered[steps])
        paths = np.empty((draws, len(held)), np.int64)
        kernels.backward_draws(model.logs[1], held, rng.random(paths.shape), paths)
        results.append(paths)
    return results[0] if form == "one" else np.stack(results) if form == "stack" else tuple(results)


def simulate_finite(
    model: FiniteSSM, steps: int, rng: np.random.Generator, count: int | None
) -> tuple[Int64[ndarray, "..."], ndarray]:
    """`simulate` of a finite chain."""
    states = model.chain.simulate(steps - 1, rng, walks=count or 1)
    seen = model.emission.sample(rng, states.ravel())
    seen = seen.reshape(states.shape + seen.shape[1:])
    return (states[0], seen[0]) if count is None else (states, seen)


def forecast_finite(model: FiniteSSM, y: Any, steps: int) -> Any:
    """`forecast` of a finite chain."""
    form, sequences = take_apart(y, model.emission.rank)
    passed = forward(model, sequences)
    if form != "one":
        raise ValueError("forecast takes one sequence")
    if passed.verdict[0] >= 0:
        raise ValueError(f"y is impossible at step {int(passed.verdict[0])}: nothing can be forecast")
    states = np.empty((steps, model.n_states))
    held = passed.filtered[-1]
    for h in range(steps):
        states[h] = held = held @ model.matrix
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
        self.belief = model.start
        self.log_likelihood = 0.0

    def step(self, y: Any) -> tuple[Float64[ndarray, "_"], float]:
        r"""One observation more.

        Args:
            y: a single observation, or the missing one.

        Returns:
            Filtered probabilities, float64[K], and $\\log p(y_t \\mid y_{1:t-1})$; of an impossible observation -inf,
            and the stream stays where it was.
        """
        model = self._model
        predicted = np.empty(model.n_states)
        if self._held is None:
            predicted[:] = model.logs[0]
        else:
            kernels.log_move(self._held, model.logs[1], predicted)
        one = np.asarray(y)[None] if model.emission.rank is not None else [y]
        joint = predicted + model.log_likelihood(one)[0]
        gained = float(kernels.log_sum(joint))
        if gained > -np.inf:
            self._held = joint - gained
            self.belief = np.exp(self._held)
            self.log_likelihood += gained
        return self.belief, gained


def check_belief(belief: ndarray, states: int) -> None:
    """Refuse what is no distribution over the states.

    Raises:
        ValueError: the place, with the number.
    """
    check_shape("belief", belief, (states,))
    check_rows("belief", belief)
