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
from jaxtyping import Float64
from numpy import ndarray

from suasion.markov import MarkovChain
from suasion.statespace._actions import check_moves
from suasion.statespace._checks import check_shape
from suasion.statespace._emission import Emission, check_rows


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

    @cached_property
    def moves(self) -> Float64[ndarray, "_ _ _"]:
        """P with a leading axis of actions, of length 1 if there are none."""
        return self.matrix.reshape(-1, self.n_states, self.n_states)

    @cached_property
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
