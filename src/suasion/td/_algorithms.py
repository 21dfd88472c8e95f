r"""The algorithms as records: which rule, with which numbers.

In all rules $R_{t+1}$ follows $A_t$, values are 0 after the end of an episode, and an episode that is cut off by a
limit of steps is followed by the value that is estimated for the state in which it was cut.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from suasion.td._schedules import Constant, Polynomial, Schedule, rates, step_sizes

Ties = Literal["uniform", "first"]
Traces = Literal["accumulating", "replacing", "dutch"]
StepSize = float | Schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpsilonGreedy:
    r"""With probability $\epsilon_t$ any choice of the state, all alike; else a best one.

    Attributes:
        epsilon: $\epsilon_t$ in [0, 1], a number or a schedule of the run's step.
        ties: which of equal best choices: any, all alike, or always the first.

    Raises:
        ValueError: epsilon outside [0, 1], or `ties` is neither.
    """

    epsilon: float | Schedule = 0.1
    ties: Ties = "uniform"

    def __post_init__(self) -> None:
        rates("epsilon", self.epsilon)
        if self.ties not in ("uniform", "first"):
            raise ValueError(f"ties is {self.ties!r}, neither 'uniform' nor 'first'")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Softmax:
    r"""$\pi(a \mid s) \propto e^{Q(s, a) / \tau_t}$.

    Attributes:
        temperature: $\tau_t > 0$, in reward units, a number or a schedule of the run's step.

    Raises:
        ValueError: a temperature is not above 0.
    """

    temperature: float | Schedule = 1.0

    def __post_init__(self) -> None:
        schedule = rates("temperature", self.temperature, float("inf"))
        last = getattr(schedule, "last", getattr(schedule, "value", 1.0))
        if last == 0 or getattr(schedule, "first", 1.0) == 0:
            raise ValueError("temperature is 0.0, not above 0")


Exploration = EpsilonGreedy | Softmax


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sarsa:
    r"""$Q(S_t, A_t) \leftarrow Q + \alpha [R_{t+1} + \gamma Q(S_{t+1}, A_{t+1}) - Q]$ (N1.2.3).

    Attributes:
        step_size: $\alpha$ in (0, 1], a number or a schedule of the choice's updates.
        exploration: how actions are chosen; $A_{t+1}$ before the update.

    References:
        Rummery & Niranjan (1994); Sutton & Barto (2018), section 6.4.
    """

    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExpectedSarsa:
    r"""$Q \leftarrow Q + \alpha [R_{t+1} + \gamma \sum_a \pi(a \mid S_{t+1}) Q(S_{t+1}, a) - Q]$, pi as it explores.

    Attributes:
        step_size: $\alpha$ in (0, 1].
        exploration: how actions are chosen; $A_{t+1}$ after the update.

    References:
        van Seijen, van Hasselt, Whiteson & Wiering (2009); Sutton & Barto (2018), section 6.6.
    """

    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class QLearning:
    r"""$Q(S_t, A_t) \leftarrow Q + \alpha [R_{t+1} + \gamma \max_a Q(S_{t+1}, a) - Q]$ (N1.2.4).

    Attributes:
        step_size: $\alpha$ in (0, 1].
        exploration: how actions are chosen; $A_{t+1}$ after the update.

    References:
        Watkins (1989); Sutton & Barto (2018), section 6.5.
    """

    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoubleQLearning:
    r"""$Q_1 \leftarrow Q_1 + \alpha [R_{t+1} + \gamma Q_2(S_{t+1}, \arg\max_a Q_1(S_{t+1}, a)) - Q_1]$, or 2 and 1.

    A coin says which of the two tables is updated. Actions are chosen by the mean of both, which is what is reported.
    Equal best choices of $Q_1$ are as probable as each other.

    Attributes:
        step_size: $\alpha$ in (0, 1]; a schedule counts the updates of either table.
        exploration: how actions are chosen; $A_{t+1}$ after the update.

    References:
        van Hasselt (2010); Sutton & Barto (2018), section 6.7.
    """

    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NStepSarsa:
    r"""$Q(S_t, A_t) \leftarrow Q + \alpha [\sum_{k < n} \gamma^k R_{t+k+1} + \gamma^n Q(S_{t+n}, A_{t+n}) - Q]$.

    Fewer than n steps before the end, the sum ends there: each step of an episode is learned from, however short it is.

    Attributes:
        n: how many rewards, 1 to 10,000.
        step_size: $\alpha$ in (0, 1].
        exploration: how actions are chosen.

    References:
        Sutton & Barto (2018), section 7.2.
    """

    n: int = 4
    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        _check_n(self.n)
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TreeBackup:
    r"""$G_t = R_{t+1} + \gamma \sum_{a \ne A_{t+1}} \pi(a) Q(S_{t+1}, a) + \gamma \pi(A_{t+1}) G_{t+1}$, n steps deep.

    Attributes:
        n: depth, 1 to 10,000; 1 is Expected Sarsa, or Q-learning.
        target: pi: greedy (equal best choices alike), or as it explores.
        step_size: $\alpha$ in (0, 1].
        exploration: how actions are chosen.

    References:
        Precup, Sutton & Singh (2000); Sutton & Barto (2018), section 7.5.
    """

    n: int = 4
    target: Literal["greedy", "behaviour"] = "greedy"
    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        _check_n(self.n)
        step_sizes("step_size", self.step_size)
        if self.target not in ("greedy", "behaviour"):
            raise ValueError(f"target is {self.target!r}, neither 'greedy' nor 'behaviour'")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SarsaLambda:
    r"""$\delta_t = R_{t+1} + \gamma Q(S_{t+1}, A_{t+1}) - Q(S_t, A_t)$, and $Q \mathrel{+}= \alpha \delta_t e_t$.

    Traces fall, $e \leftarrow \gamma \lambda e$, and then that of $(S_t, A_t)$ rises: by 1 (accumulating), to 1
    (replacing), or by $1 - \alpha \gamma \lambda e$ (Dutch, with which the rule is the true online one).

    Attributes:
        lambda_: in [0, 1].
        traces: how they rise.
        step_size: $\alpha$ in (0, 1]; of a schedule, each choice has its own.
        exploration: how actions are chosen.
        cutoff: traces below it are forgotten, >= 0.

    References:
        Sutton & Barto (2018), sections 12.5 and 12.7; Singh & Sutton (1996); van Seijen & Sutton (2014).
    """

    lambda_: float = 0.9
    traces: Traces = "accumulating"
    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()
    cutoff: float = 1e-12

    def __post_init__(self) -> None:
        _check_traces(self.lambda_, self.traces, self.cutoff)
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatkinsQ:
    r"""Q-learning with traces: $\delta_t = R_{t+1} + \gamma \max_a Q(S_{t+1}, a) - Q(S_t, A_t)$ for all on the trace.

    All traces are cut when an action is taken that is not among the best: what follows it is not what the greedy policy
    would have met.

    Attributes:
        lambda_: in [0, 1].
        traces: how they rise; Dutch ones are not offered.
        step_size: $\alpha$ in (0, 1]; of a schedule, each choice has its own.
        exploration: how actions are chosen.
        cutoff: traces below it are forgotten, >= 0.

    References:
        Watkins (1989); Sutton & Barto (2018), section 12.10.
    """

    lambda_: float = 0.9
    traces: Literal["accumulating", "replacing"] = "accumulating"
    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()
    cutoff: float = 1e-12

    def __post_init__(self) -> None:
        _check_traces(self.lambda_, self.traces, self.cutoff)
        if self.traces not in ("accumulating", "replacing"):
            raise ValueError(f"traces is {self.traces!r}, neither 'accumulating' nor 'replacing'")
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MonteCarloControl:
    r"""$Q(S_t, A_t) \leftarrow Q + \alpha [G_t - Q]$ at the end of each episode, last step first.

    Attributes:
        visits: of a choice in one episode: the first only, or every one.
        step_size: $\alpha$ in (0, 1]; by default 1/n, the mean of returns.
        exploration: how actions are chosen.

    References:
        Sutton & Barto (2018), section 5.4.
    """

    visits: Literal["first", "every"] = "first"
    step_size: StepSize = Polynomial()
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        _check_visits(self.visits)
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MonteCarlo:
    r"""$V(S_t) \leftarrow V + \alpha [G_t - V]$ at the end of each episode (N1.2.2-a), last step first.

    Attributes:
        visits: of a state in one episode: the first only, or every one.
        step_size: $\alpha$ in (0, 1]; by default 1/n, the mean of returns.

    References:
        Sutton & Barto (2018), section 5.1.
    """

    visits: Literal["first", "every"] = "first"
    step_size: StepSize = Polynomial()

    def __post_init__(self) -> None:
        _check_visits(self.visits)
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TD:
    r"""$V(S_t) \leftarrow V + \alpha [\sum_{k < n} \gamma^k R_{t+k+1} + \gamma^n V(S_{t+n}) - V]$; n = 1: TD(0).

    TD(0) is N1.2.2-b.

    Attributes:
        n: how many rewards, 1 to 10,000.
        step_size: $\alpha$ in (0, 1].

    References:
        Sutton (1988); Sutton & Barto (2018), sections 6.1 and 7.1.
    """

    n: int = 1
    step_size: StepSize = 0.1

    def __post_init__(self) -> None:
        _check_n(self.n)
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TDLambda:
    r"""$\delta_t = R_{t+1} + \gamma V(S_{t+1}) - V(S_t)$, and $V \mathrel{+}= \alpha \delta_t e_t$; see `SarsaLambda`.

    Attributes:
        lambda_: in [0, 1]; 0 is TD(0).
        traces: how they rise; with Dutch ones this is true online TD(lambda), the online lambda-return algorithm.
        step_size: $\alpha$ in (0, 1]; of a schedule, each state has its own.
        cutoff: traces below it are forgotten, >= 0.

    References:
        Sutton & Barto (2018), sections 12.2 and 12.5.
    """

    lambda_: float = 0.9
    traces: Traces = "accumulating"
    step_size: StepSize = 0.1
    cutoff: float = 1e-12

    def __post_init__(self) -> None:
        _check_traces(self.lambda_, self.traces, self.cutoff)
        step_sizes("step_size", self.step_size)


Control = (
    Sarsa
    | ExpectedSarsa
    | QLearning
    | DoubleQLearning
    | NStepSarsa
    | TreeBackup
    | SarsaLambda
    | WatkinsQ
    | MonteCarloControl
)
Prediction = MonteCarlo | TD | TDLambda


def schedule_of(step_size: StepSize) -> Schedule:
    """A number as a constant schedule."""
    return step_size if isinstance(step_size, Schedule) else Constant(float(step_size))


def _check_n(n: int) -> None:
    if n != int(n) or not 1 <= n <= 10_000:
        raise ValueError(f"n is {n}, no whole number from 1 to 10000")


def _check_traces(lambda_: float, traces: str, cutoff: float) -> None:
    if not 0 <= lambda_ <= 1:
        raise ValueError(f"lambda_ is {lambda_!r}, outside [0, 1]")
    if traces not in ("accumulating", "replacing", "dutch"):
        raise ValueError(f"traces is {traces!r}, none of 'accumulating', 'replacing', 'dutch'")
    if not 0 <= cutoff < 1:
        raise ValueError(f"cutoff is {cutoff!r}, outside [0, 1)")


def _check_visits(visits: str) -> None:
    if visits not in ("first", "every"):
        raise ValueError(f"visits is {visits!r}, neither 'first' nor 'every'")
