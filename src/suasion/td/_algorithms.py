r"""The algorithms as records: which rule, with which numbers.

In all rules $R_{t+1}$ follows $A_t$, values are 0 after the end of an episode, and an episode that is cut off by a
limit of steps is followed by the value that is estimated for the state in which it was cut.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from suasion.td._schedules import Constant, Polynomial, Schedule, rates, step_sizes

Ties = Literal["uniform", "first"]
Traces = Literal["accumulating", "replacing", "dutch"]
Importance = Literal["ordinary", "weighted", "per-decision"]
IMPORTANCE = get_args(Importance)  # in the order of the kernel's codes
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class UCB:
    r"""A choice with the greatest $Q(s, a) + c \sqrt{\ln(1 + N(s)) / N(s, a)}$, equal ones all alike.

    N counts how often the run made a choice, and $N(s) = \sum_a N(s, a)$; choices never made come first. Rules whose
    target is an expectation over what explores do not take it.

    Attributes:
        c: width of the bound, >= 0, in reward units.

    Raises:
        ValueError: c is negative or not finite.

    References:
        Auer, Cesa-Bianchi & Fischer (2002); Sutton & Barto (2018), section 2.7.
    """

    c: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.c < float("inf"):
            raise ValueError(f"c is {self.c!r}, outside [0, inf)")


Exploration = EpsilonGreedy | Softmax | UCB


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
        exploration: how actions are chosen, other than `UCB`; $A_{t+1}$ after the update.

    References:
        van Seijen, van Hasselt, Whiteson & Wiering (2009); Sutton & Barto (2018), section 6.6.
    """

    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        _check_expects(self.exploration)
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
        if self.target == "behaviour":
            _check_expects(self.exploration)


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
class DynaQ:
    r"""Q-learning, and after each step as many of its updates again from a learned model.

    The model is what was met: a state that was left, one of the choices made there, one of the outcomes that it had,
    each time all alike. Where nothing is left to chance, this is the textbook's; where something is, outcomes come as
    often as they did. With a bonus (Dyna-Q+) planned rewards are $R + \kappa \sqrt{\tau}$, $\tau$ the steps of the run
    since the choice was made, and choices never made in such a state count too: as if they led back to it for nothing.

    Attributes:
        planning_steps: updates from the model in a step, >= 0; with 0 it is Q-learning.
        bonus: $\kappa \ge 0$, in reward units; only for planning.
        step_size: $\alpha$ in (0, 1], of all updates.
        exploration: how actions are chosen; $A_{t+1}$ after planning.

    References:
        Sutton (1990); Sutton & Barto (2018), sections 8.2 and 8.3.
    """

    planning_steps: int = 10
    bonus: float = 0.0
    step_size: StepSize = 0.1
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        _check_planning(self.planning_steps, 0)
        if not 0 <= self.bonus < float("inf"):
            raise ValueError(f"bonus is {self.bonus!r}, outside [0, inf)")
        step_sizes("step_size", self.step_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrioritisedSweeping:
    r"""$Q(s, a) \leftarrow Q + \alpha [\sum_{s', r} \hat p(s', r \mid s, a) (r + \gamma \max_{a'} Q(s', a')) - Q]$.

    $\hat p$ is how often outcomes were met. After each step, the choice just made is queued by how far its value is
    off, if that is more than the threshold; then the most urgent ones are updated in turn, and those that were seen to
    lead to their states are queued likewise. One that is queued already keeps the higher urgency; of equal ones the
    first is taken.

    Attributes:
        planning_steps: updates in a step, at most, >= 1; nothing else is learned from.
        threshold: in reward units, >= 0.
        step_size: $\alpha$ in (0, 1]; 1, the whole backup, is right for a model that is an average already.
        exploration: how actions are chosen; $A_{t+1}$ after planning.

    References:
        Moore & Atkeson (1993); Peng & Williams (1993); Sutton & Barto (2018), section 8.4.
    """

    planning_steps: int = 10
    threshold: float = 1e-4
    step_size: StepSize = 1.0
    exploration: Exploration = EpsilonGreedy()

    def __post_init__(self) -> None:
        _check_planning(self.planning_steps, 1)
        if not 0 <= self.threshold < float("inf"):
            raise ValueError(f"threshold is {self.threshold!r}, outside [0, inf)")
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

    From episodes of another policy b, $\rho_t = \pi(A_t \mid S_t) / b(A_t \mid S_t)$ makes up for what b does more
    often:

    - ordinary: $\rho_t \rho_{t+1} \cdots \rho_{T-1} G_t$ in the place of $G_t$; no bias, and much variance;
    - weighted: the mean of $G_t$ with these products as weights; a bias that vanishes, and far less variance;
    - per-decision: $\tilde G_t = \rho_t (R_{t+1} + \gamma \tilde G_{t+1})$; no bias; which varies
      less depends on the model.

    Attributes:
        visits: of a state in one episode: the first only, or every one.
        step_size: $\alpha$ in (0, 1]; by default 1/n, the mean of returns. Weighted means have steps of their own.
        importance: how returns are weighed, if `predict` is given a behaviour.

    Raises:
        ValueError: a number or a word is none of these, or weighted means are asked for and a step size.

    References:
        Sutton & Barto (2018), sections 5.1, 5.5, 5.6 and 5.9; Precup, Sutton & Singh (2000).
    """

    visits: Literal["first", "every"] = "first"
    step_size: StepSize = Polynomial()
    importance: Importance = "ordinary"

    def __post_init__(self) -> None:
        _check_visits(self.visits)
        step_sizes("step_size", self.step_size)
        if self.importance not in IMPORTANCE:
            raise ValueError(f"importance is {self.importance!r}, none of {', '.join(map(repr, IMPORTANCE))}")
        if self.importance == "weighted" and self.step_size != Polynomial():
            raise ValueError(f"step_size is {self.step_size!r}: a weighted mean has steps of its own, leave it out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TD:
    r"""$V(S_t) \leftarrow V + \alpha [\sum_{k < n} \gamma^k R_{t+k+1} + \gamma^n V(S_{t+n}) - V]$; n = 1: TD(0).

    TD(0) is N1.2.2-b. From steps of another policy, the step is longer by the product of the n ratios
    $\pi(A \mid S) / b(A \mid S)$ of its actions.

    Attributes:
        n: how many rewards, 1 to 10,000.
        step_size: $\alpha$ in (0, 1].

    References:
        Sutton (1988); Sutton & Barto (2018), sections 6.1, 7.1 and 7.3.
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
    | DynaQ
    | PrioritisedSweeping
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


def _check_expects(exploration: Exploration) -> None:
    if isinstance(exploration, UCB):
        raise ValueError(f"exploration is {exploration!r}: the target is an expectation over what explores; see `UCB`")


def _check_planning(steps: int, least: int) -> None:
    if steps != int(steps) or steps < least:
        raise ValueError(f"planning_steps is {steps}, no whole number from {least}")


def _check_visits(visits: str) -> None:
    if visits not in ("first", "every"):
        raise ValueError(f"visits is {visits!r}, neither 'first' nor 'every'")
