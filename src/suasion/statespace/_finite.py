r"""Hidden Markov models: a finite chain and what is seen of it (N1.3.1-d).

$s_1 \sim \pi$, $s_{t+1} \sim P_{s_t \cdot}$, $y_t \sim p(\cdot \mid s_t)$: K states, T steps, steps counted from 0 in
arrays. The names of probabilities: predicted $p(s_t \mid y_{1:t-1})$, filtered $p(s_t \mid y_{1:t})$, smoothed
$p(s_t \mid y_{1:T})$. With actions, $s_{t+1} \sim P_{u_t s_t \cdot}$: the input $u_t$ of step t leads to the next.
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
from suasion.statespace._actions import check_moves, take_moves
from suasion.statespace._checks import check_shape
from suasion.statespace._emission import Emission, check_rows
from suasion.statespace._sequences import Form, put_together, take_apart

_FAINT = -600.0  # e to this is no longer safe to multiply with
_SMALL = 1e-100  # products with probabilities below it may be lost


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FiniteSSM:
    r"""A hidden Markov model, with actions as inputs or without.

    Rows may miss 1 by what floating point leaves (1e-9), as those of a `MarkovChain` may; the model meant is the one
    whose rows are divided by their sums.

    Attributes:
        transition: $P$, float64[K, K], or a `MarkovChain`; with actions $P_{a j k} = p(k \mid j, a)$, float64[A, K, K].
            Then every verb needs `inputs`, int[T]: $u_t$ leads from step t to the next, and the last one nowhere.
        emission: `Table`, `Gaussian`, `Poisson` or `Likelihood`.
        initial: $\pi$, float64[K]; the chain's own if None.

    Raises:
        ValueError: a row is no distribution, there is no initial one, or numbers of states disagree.
    """

    transition: Float64[ndarray, "_ _"] | Float64[ndarray, "_ _ _"] | MarkovChain
    emission: Emission
    initial: Float64[ndarray, "_"] | None = None

    def __post_init__(self) -> None:
        if self._given is None:
            raise ValueError("initial is missing: the distribution of the first state")
        if isinstance(self.transition, ndarray):
            _check_square(self.transition)
        if self.initial is not None:
            check_shape("initial", self.initial, (self.n_states,))
            check_rows("initial", self.initial)
        if self.emission.n_states not in (None, self.n_states):
            raise ValueError(f"the chain has {self.n_states} states, the emission {self.emission.n_states}")

    def __repr__(self) -> str:
        acting = "" if self.n_actions is None else f", {self.n_actions} actions"
        return f"FiniteSSM({self.n_states} states{acting}, {type(self.emission).__name__})"

    @property
    def _given(self) -> ndarray | None:
        if self.initial is None and isinstance(self.transition, MarkovChain):
            return self.transition.initial
        return self.initial

    @cached_property
    def chain(self) -> MarkovChain:
        """The hidden chain.

        Raises:
            ValueError: it has actions: each has a chain of its own.
        """
        if self.n_actions is not None:
            raise ValueError(f"the model has {self.n_actions} actions: there is no one chain")
        if isinstance(self.transition, ndarray):
            return MarkovChain(transition=self.transition, initial=self.initial)
        if self.initial is None:
            return self.transition
        return dataclasses.replace(self.transition, initial=self.initial)

    @property
    def n_states(self) -> int:
        """K."""
        return self.transition.shape[-1] if isinstance(self.transition, ndarray) else self.transition.n_states

    @property
    def n_actions(self) -> int | None:
        """A, or None if there are none."""
        held = self.transition
        return len(held) if isinstance(held, ndarray) and held.ndim == 3 else None

    @cached_property
    def start(self) -> Float64[ndarray, "_"]:
        r"""$\pi$, summing to 1."""
        held = np.asarray(self._given, np.float64)
        return held / held.sum()

    @cached_property
    def matrix(self) -> Float64[ndarray, "..."]:
        """P, dense, rows summing to 1: float64[K, K], with actions float64[A, K, K]."""
        if isinstance(self.transition, MarkovChain):
            return np.ascontiguousarray(self.transition.matrix.toarray(), np.float64)
        held = np.ascontiguousarray(self.transition, np.float64)
        return held / held.sum(-1, keepdims=True)

    @cached_property
    def logs(self) -> tuple[Float64[ndarray, "_"], Float64[ndarray, "..."]]:
        r"""$\log \pi$ and $\log P$."""
        with np.errstate(divide="ignore"):
            return np.log(self.start), np.log(self.matrix)

    @property
    def moves(self) -> Float64[ndarray, "_ _ _"]:
        """P with a leading axis of actions, of length 1 if there are none."""
        return self.matrix.reshape(-1, self.n_states, self.n_states)

    @property
    def log_moves(self) -> Float64[ndarray, "_ _ _"]:
        r"""$\log P$ likewise."""
        return self.logs[1].reshape(-1, self.n_states, self.n_states)

    def log_likelihood(self, y: Any) -> Float64[ndarray, "_ _"]:
        """log p(y_t | s) of one sequence, float64[T, K]."""
        logs = self.emission.log_likelihood(y)
        check_shape("log-likelihood", logs, (len(y), self.n_states))
        return logs


def _check_square(held: ndarray) -> None:
    if not held.size or held.shape[-1] != held.shape[-2]:
        words = "square, with at least one state" if held.ndim == 2 else "[actions, states, states], none of them 0"
        raise ValueError(f"transition is {list(held.shape)}: it must be {words}")
    check_rows("transition", held)


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
        pairwise: $\sum_t \Pr(s_t = j, s_{t+1} = k \mid y_{1:T})$, expected transitions, float64[K, K];
            with actions by action, float64[A, K, K].
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


class Lined(NamedTuple):
    """Sequences one behind the other: where each starts, their log-likelihoods, and the actions, if any."""

    start: ndarray
    logs: ndarray
    moves: ndarray


class Passed(NamedTuple):
    """The forward pass over sequences that lie one behind the other."""

    start: ndarray
    moves: ndarray
    logs: ndarray
    likely: ndarray
    filtered: ndarray
    scale: ndarray
    increments: ndarray
    verdict: ndarray
    in_logs: dict[int, ndarray]


def forward(model: FiniteSSM, lined: Lined) -> Passed:
    """Filter all of them: fast, and again in logarithms where that could have lost anything."""
    start, logs, moves = lined
    likely, shift, faint = np.empty_like(logs), np.empty(len(logs)), np.empty(len(logs), bool)
    if not kernels.level(logs, _FAINT, likely, shift, faint):
        faint = faint[:0]
    np.exp(likely, out=likely)
    filtered, scale = np.empty_like(likely), np.ones(len(likely))
    verdict = np.empty(len(start) - 1, np.int64)
    thin = bool(model.matrix.min(initial=1.0, where=model.matrix > 0) <= _SMALL)
    run = kernels.forward(model.n_states, model.n_actions is not None)
    run(start, model.start, model.moves, moves, thin, likely, faint, filtered, scale, verdict)
    passed = Passed(start, moves, logs, likely, filtered, scale, np.log(scale) + shift, verdict, {})
    for q in np.flatnonzero(verdict == kernels.LOST):
        _forward_in_logs(model, passed, int(q))
    return passed


def line_up(model: FiniteSSM, y: Any, inputs: Any) -> tuple[Form, Lined]:
    """Take sequences apart, and lay them one behind the other."""
    form, sequences = take_apart(y, model.emission.rank)
    lengths = [len(held) for held in sequences]
    moves = take_moves(model.n_actions, inputs, form, lengths)
    return form, Lined(np.concatenate([[0], np.cumsum(lengths)]), log_likelihoods(model, sequences), moves)


def log_likelihoods(model: FiniteSSM, sequences: list[Any]) -> ndarray:
    """Of all steps of all sequences, float64[sum of T, K]."""
    if len(sequences) == 1:
        return np.ascontiguousarray(model.log_likelihood(sequences[0]))
    if model.emission.rank is not None and len({np.shape(y)[1:] for y in sequences}) == 1:
        try:
            return np.ascontiguousarray(model.log_likelihood(np.concatenate(sequences)))
        except ValueError:  # one by one, to say in which
            pass
    parts = []
    for q, y in enumerate(sequences):
        try:
            parts.append(model.log_likelihood(y))
        except ValueError as refusal:
            raise ValueError(f"in sequence {q}: {refusal}") from None
    return np.concatenate(parts)


def _moves_of(passed: Passed | Lined, q: int) -> ndarray:
    """Of one sequence; empty without actions."""
    return passed.moves[passed.start[q] : passed.start[q + 1]]


def _forward_in_logs(model: FiniteSSM, passed: Passed, q: int) -> None:
    steps = slice(passed.start[q], passed.start[q + 1])
    held = np.full(passed.filtered[steps].shape, -np.inf)
    increments = np.full(len(held), -np.inf)
    passed.verdict[q] = step = kernels.log_forward(
        model.logs[0], model.log_moves, _moves_of(passed, q), passed.logs[steps], held, increments
    )
    if step >= 0:
        held[step:] = -np.inf
    passed.in_logs[q] = held
    passed.increments[steps] = increments
    passed.filtered[steps] = np.exp(held)


def filter_finite(model: FiniteSSM, y: Any, inputs: Any) -> Any:
    """`filter` of a finite chain."""
    form, lined = line_up(model, y, inputs)
    passed = forward(model, lined)
    predicted, count = np.empty_like(passed.filtered), len(lined.start) - 1
    if model.n_actions is None:
        np.matmul(passed.filtered[:-1], model.matrix, out=predicted[1:])
    else:
        for a in range(model.n_actions):
            steps = np.flatnonzero(passed.moves[:-1] == a)
            predicted[steps + 1] = passed.filtered[steps] @ model.matrix[a]
    predicted[passed.start[:-1]] = model.start
    if form == "stack":
        shape = count, -1
        states = passed.filtered.reshape(*shape, model.n_states), predicted.reshape(*shape, model.n_states)
        increments = passed.increments.reshape(shape)
        return FiniteFiltered(*states, increments.sum(1), increments, passed.verdict)
    results = []
    for q in range(count):
        part = slice(passed.start[q], passed.start[q + 1])
        filtered, increments = passed.filtered[part], passed.increments[part]
        verdict = int(passed.verdict[q])
        results.append(FiniteFiltered(filtered, predicted[part], increments.sum(), increments, verdict))
    return put_together(form, results)


def smooth_all(model: FiniteSSM, lined: Lined) -> tuple[Passed, ndarray, ndarray, ndarray]:
    """Smoothed probabilities of all steps, expected transitions [Q, A, K, K] and log-likelihoods of all sequences."""
    passed = forward(model, lined)
    smoothed, K = np.zeros_like(passed.filtered), model.n_states
    pairs = np.zeros((len(lined.start) - 1, *model.moves.shape))
    held = passed.verdict
    if passed.in_logs:
        held = held.copy()
        held[list(passed.in_logs)] = kernels.LOST
    transposed = np.ascontiguousarray(model.moves.transpose(0, 2, 1))
    run = kernels.backward(K, model.n_actions is not None)
    run(passed.start, transposed, passed.moves, passed.likely, passed.filtered, passed.scale, held, smoothed, pairs)
    pairs *= model.moves
    for q, log_filtered in passed.in_logs.items():
        if passed.verdict[q] < 0:
            steps = slice(passed.start[q], passed.start[q + 1])
            inputs = model.log_moves, _moves_of(passed, q), passed.logs[steps], log_filtered, passed.increments[steps]
            kernels.log_backward(*inputs, smoothed[steps], pairs[q])
    return passed, smoothed, pairs, np.add.reduceat(passed.increments, passed.start[:-1])


def smooth_finite(model: FiniteSSM, y: Any, inputs: Any) -> Any:
    """`smooth` of a finite chain."""
    form, lined = line_up(model, y, inputs)
    passed, smoothed, pairs, totals = smooth_all(model, lined)
    pairs = pairs.reshape(-1, *model.matrix.shape)
    start, verdict = passed.start, passed.verdict
    if form == "stack":
        return FiniteSmoothed(smoothed.reshape(len(pairs), -1, model.n_states), pairs, totals, verdict)
    parts = [smoothed[start[q] : start[q + 1]] for q in range(len(pairs))]
    results = [FiniteSmoothed(part, pairs[q], totals[q], int(verdict[q])) for q, part in enumerate(parts)]
    return put_together(form, results)


def decode_finite(model: FiniteSSM, y: Any, inputs: Any) -> Any:
    """`decode` of a finite chain."""
    form, (start, logs, moves) = line_up(model, y, inputs)
    count = len(start) - 1
    width = np.uint8 if model.n_states <= 256 else np.uint16 if model.n_states <= 65536 else np.int64
    path, scores, back = np.empty(len(logs), np.int64), np.empty(count), np.empty(logs.shape, width)
    run = kernels.viterbi(model.n_states, model.n_actions is not None)
    run(start, model.logs[0], model.log_moves, moves, logs, back, path, scores)
    results = []
    for q in range(count):
        held = path[start[q] : start[q + 1]]
        if scores[q] == -np.inf:
            held[:] = -1
        results.append(FiniteDecoded(held, scores[q]))
    return put_together(form, results)


def sample_finite(model: FiniteSSM, y: Any, rng: np.random.Generator, draws: int, inputs: Any) -> Any:
    """`sample` of a finite chain."""
    form, lined = line_up(model, y, inputs)
    passed = forward(model, lined)
    results = []
    for q in range(len(lined.start) - 1):
        if passed.verdict[q] >= 0:
            raise ValueError(f"sequence {q} is impossible at step {int(passed.verdict[q])}: nothing can be drawn")
        steps = slice(passed.start[q], passed.start[q + 1])
        with np.errstate(divide="ignore"):
            held = passed.in_logs[q] if q in passed.in_logs else np.log(passed.filtered[steps])
        paths = np.empty((draws, len(held)), np.int64)
        kernels.backward_draws(model.log_moves, _moves_of(passed, q), held, rng.random(paths.shape), paths)
        results.append(paths)
    return results[0] if form == "one" else np.stack(results) if form == "stack" else tuple(results)


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
    passed = forward(model, line_up(model, y, None if model.n_actions is None else moves[:length])[1])
    if passed.verdict[0] >= 0:
        raise ValueError(f"y is impossible at step {int(passed.verdict[0])}: nothing can be forecast")
    states = np.empty((steps, model.n_states))
    held = passed.filtered[-1]
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


def check_action(model: FiniteSSM, u: Any) -> None:
    """Refuse what is no action.

    Raises:
        ValueError: it, and how many there are.
    """
    if model.n_actions is None:
        raise ValueError("the chain has no actions: it takes no inputs")
    check_moves(model.n_actions, [u], 1, "u")


def check_belief(belief: ndarray, states: int) -> None:
    """Refuse what is no distribution over the states.

    Raises:
        ValueError: the place, with the number.
    """
    check_shape("belief", belief, (states,))
    check_rows("belief", belief)
