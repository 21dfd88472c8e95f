r"""Other questions than a discounted return: goals, averages, a finite number of steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from suasion.markov import MDP
from suasion.planning import _average as averages
from suasion.planning._components import Graph
from suasion.planning._effort import Effort, check_effort
from suasion.planning._operator import Operator
from suasion.planning._quotient import InfiniteValueError
from suasion.planning._rows import rows
from suasion.planning._solution import Solution
from suasion.planning._total import names, undiscounted

Report = Callable[[int, float], None]


def reach_reward(
    mdp: MDP,
    goal: Bool[ndarray, "S"] | str,
    *,
    maximise: bool = False,
    tolerance: float = 1e-6,
    limit: int = 1_000_000,
    threads: int | None = None,
    report: Report | None = None,
    exact: bool = False,
) -> Solution:
    r"""Expected total reward until the goal (stochastic shortest path), over policies that reach it with probability 1.

    $v(s) = \max_a [r(s, a) + \sum_{s'} p(s' \mid s, a) v(s')]$, 0 in the goal. A policy that avoids the goal is not
    taken even where it would be paid 0 for ever.

    Args:
        mdp: the model.
        goal: the states, or the name of a label; what comes after does not count.
        maximise: whether rewards are good; else they are costs, the default.
        tolerance: as in `solve`.
        limit: as in `solve`.
        threads: as in `solve`.
        report: as in `solve`.
        exact: as in `solve`.

    Raises:
        ValueError: the goal is empty, or no label of the model.
        InfiniteValueError: there is a state from which no policy reaches the goal for certain, or an end component in
            which unlimited rewards can be had before; the error names the states.

    References:
        Bertsekas & Tsitsiklis (1991), An analysis of stochastic shortest path problems.
    """
    members = goal_of(mdp, goal)
    ended, choices = until(mdp, members)
    if (mdp.terminal & ~members).any():
        lost = ~Graph(rows(ended, pad=False)).surely(members)
        message = f"no policy reaches the goal with probability 1 from {names(mdp, lost)}"
        raise InfiniteValueError(message, np.flatnonzero(lost).tolist())
    found = undiscounted(ended, _effort(tolerance, limit, threads, report, exact), maximise=maximise, may_stay=False)
    return _named(found, choices)


def reach_probability(
    mdp: MDP,
    goal: Bool[ndarray, "S"] | str,
    *,
    maximise: bool = True,
    tolerance: float = 1e-6,
    limit: int = 1_000_000,
    threads: int | None = None,
    report: Report | None = None,
    exact: bool = False,
) -> Solution:
    """Probability of ever reaching the goal, the greatest or the least over all policies; 1 in the goal.

    Args:
        mdp: the model.
        goal: the states, or the name of a label.
        maximise: whether the goal is to be reached, or avoided.
        tolerance: as in `solve`.
        limit: as in `solve`.
        threads: as in `solve`.
        report: as in `solve`.
        exact: as in `solve`.

    Raises:
        ValueError: the goal is empty, or no label of the model.

    References:
        Haddad & Monmege (2018), Interval iteration algorithm for MDPs and IMDPs.
    """
    members = goal_of(mdp, goal)
    ended, choices = until(mdp, members)
    paid = MDP.from_branches(
        choice_start=ended.choice_start,
        branch_start=ended.branch_start,
        target=ended.target,
        probability=ended.probability,
        branch_reward=members[ended.target].astype(np.float64),
        terminal=ended.terminal,
        states=ended.states,
    )
    effort = _effort(tolerance, limit, threads, report, exact)
    found = _named(undiscounted(paid, effort, maximise=maximise, may_stay=True, limits=(0.0, 1.0)), choices)
    value, lower, upper = (np.where(members, 1.0, x) for x in (found.value, found.lower, found.upper))
    rational = found.exact and tuple(Fraction(1) if own else v for own, v in zip(members, found.exact, strict=True))
    return dataclasses.replace(found, value=value, lower=lower, upper=upper, exact=rational)


def average_reward(
    mdp: MDP,
    *,
    maximise: bool = True,
    tolerance: float = 1e-6,
    limit: int = 1_000_000,
    report: Report | None = None,
) -> Solution:
    r"""The best average reward a step, $\lim_T \frac{1}{T} E_s \sum_{t<T} R_{t+1}$, from each state; 0 once terminal.

    Args:
        mdp: the model; chains may have several classes and be periodic.
        maximise: whether rewards are good.
        tolerance: as in `solve`.
        limit: as in `solve`.
        report: as in `solve`.

    References:
        Puterman (1994), chapters 8 and 9.
    """
    return averages.average(mdp, _effort(tolerance, limit, None, report), maximise=maximise)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Horizon:
    """Optimal values of every number of steps to go.

    Attributes:
        value: float64[T + 1, S]; `value[k]` with k steps to go, `value[0]` the final reward.
        lower: bounds from below.
        upper: bounds from above.
        policy: the choice with k + 1 steps to go, int64[T, S]; -1 in terminal states.
    """

    value: Float64[ndarray, "_ S"]
    lower: Float64[ndarray, "_ S"]
    upper: Float64[ndarray, "_ S"]
    policy: Int64[ndarray, "_ S"]


def finite_horizon(
    mdp: MDP,
    steps: int,
    discount: float = 1.0,
    *,
    maximise: bool = True,
    final: Float64[ndarray, "S"] | None = None,
    threads: int | None = None,
) -> Horizon:
    r"""Backward induction: $v_{k+1}(s) = \max_a [r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) v_k(s')]$.

    Args:
        mdp: the model.
        steps: T >= 0.
        discount: in [0, 1].
        maximise: whether rewards are good.
        final: v_0, 0 if not given; terminal states keep theirs.
        threads: as in `solve`.

    Raises:
        ValueError: steps below 0, discount outside [0, 1], or `final` of the wrong length.

    References:
        Puterman (1994), section 4.5.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}, below 0")
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is {discount!r}, outside [0, 1]")
    sign = 1.0 if maximise else -1.0
    last = np.zeros(mdp.n_states) if final is None else sign * np.asarray(final, np.float64)
    if last.shape != (mdp.n_states,) or not np.isfinite(last).all():
        raise ValueError(f"final has shape {last.shape} for {mdp.n_states} states, or an entry that is not finite")
    operator = Operator(rows(mdp, maximise=maximise), float(discount), threads=threads)
    value = np.empty((steps + 1, mdp.n_states))
    policy = np.full((steps, mdp.n_states), -1)
    error = np.zeros(steps + 1)
    value[0] = last
    for k in range(steps):
        found = operator.optimal(value[k])
        value[k + 1] = np.where(mdp.terminal, last, found.value)
        policy[k] = operator.rows.original(found.choice)
        error[k + 1] = (operator.rows.backup_error(discount, value[k]) + discount * error[k]) * (1 + 1e-15)
    lower, upper = value - error[:, None], value + error[:, None]
    bounds = [_outwards(mdp, last, *pair) for pair in zip(lower, upper, strict=True)]
    lower, upper = (np.stack(side) for side in zip(*bounds, strict=True))
    if not maximise:
        value, lower, upper = -value, -upper, -lower
    return Horizon(value=value + 0.0, lower=lower + 0.0, upper=upper + 0.0, policy=policy)


def _outwards(mdp: MDP, last: ndarray, lower: ndarray, upper: ndarray) -> tuple[ndarray, ndarray]:
    lower, upper = np.nextafter(lower, -np.inf), np.nextafter(upper, np.inf)
    return np.where(mdp.terminal, last, lower), np.where(mdp.terminal, last, upper)


def goal_of(mdp: MDP, goal: Bool[ndarray, "S"] | str) -> Bool[ndarray, "S"]:
    """The states of a goal, given as a set or by the name of a label.

    Raises:
        ValueError: it is empty, of the wrong length or no label of the model.
    """
    if isinstance(goal, str):
        if goal not in mdp.labels:
            raise ValueError(f"there is no label {goal!r}; the model has {', '.join(mdp.labels) or 'none'}")
        goal = mdp.labels[goal]
    members = np.asarray(goal, bool)
    if members.shape != (mdp.n_states,):
        raise ValueError(f"goal has shape {members.shape}, not one entry for each of {mdp.n_states} states")
    if not members.any():
        raise ValueError("the goal is empty")
    return members


def until(mdp: MDP, goal: Bool[ndarray, "S"] | str) -> tuple[MDP, Int64[ndarray, "_"]]:
    """The model that ends in the goal, and which choices it has kept."""
    members = goal_of(mdp, goal)
    if (members <= mdp.terminal).all():
        return mdp, np.arange(mdp.n_choices)
    counts = np.diff(mdp.choice_start)
    kept = np.repeat(~members, counts)
    lengths = np.diff(mdp.branch_start)
    branches = np.repeat(kept, lengths)
    ended = dataclasses.replace(
        mdp,
        choice_start=np.concatenate([[0], np.cumsum(np.where(members, 0, counts))]).astype(np.int64),
        branch_start=np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64),
        target=mdp.target[branches],
        probability=mdp.probability[branches],
        choice_reward=mdp.choice_reward[kept],
        branch_reward=None if mdp.branch_reward is None else mdp.branch_reward[branches],
        action=mdp.action[kept],
        terminal=mdp.terminal | members,
    )
    return ended, np.flatnonzero(kept)


def _named(found: Solution, choices: Int64[ndarray, "_"]) -> Solution:
    """With the policy in the choices of the model that was asked about."""
    if not len(choices):
        return found
    return dataclasses.replace(found, policy=np.where(found.policy >= 0, choices[found.policy], -1))


def _effort(tolerance: float, limit: int, threads: int | None, report: Report | None, exact: bool = False) -> Effort:
    check_effort(tolerance, limit, threads)
    return Effort(tolerance=tolerance, limit=limit, threads=threads, report=report or Effort.report, exact=exact)
