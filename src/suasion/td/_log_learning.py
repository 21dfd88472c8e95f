r"""To learn a policy from a log alone: replay, and certainty equivalence with or without pessimism (C choices).

Replay is Q-learning over the same steps again and again; the model that fits the log best, solved, is what that tends
to. What a log does not hold neither can know: pessimism says what is thought of it.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.markov import MDP, Policy
from suasion.planning import Solution, solve
from suasion.td._choices import scheduled
from suasion.td._log import Transitions, check_discount
from suasion.td._log_frame import Choices, Frame, Frequencies, frame, frequencies
from suasion.td._log_kernels import again, errors
from suasion.td._random import streams
from suasion.td._schedules import CONSTANT, Schedule, step_sizes

Order = Literal["shuffled", "logged", "together"]
Pessimism = Literal["none", "mask", "bound"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Replayed:
    r"""What replay found.

    Attributes:
        q: float64[C]; of choices that are not in the log the first value.
        policy: greedy for `q`, equal best choices alike.
        visits: of each choice in the log, int64[C].
        passes: over the log.
        residual: greatest mean TD error of a choice over the log, in reward units; 0 at the solution of the empirical
            model.
    """

    q: Float64[ndarray, "C"]
    policy: Policy
    visits: Int64[ndarray, "C"]
    passes: int
    residual: float


def replay(
    log: Transitions,
    choices: Choices,
    *,
    discount: float,
    passes: int = 1,
    step_size: float | Schedule = 0.1,
    start: float = 0.0,
    order: Order = "shuffled",
    seed: int | np.random.SeedSequence = 0,
) -> Replayed:
    r"""Q-learning over a log: $Q(s, a) \leftarrow Q + \alpha [r + \gamma \max_{a'} Q(s', a') - Q]$, row by row.

    A row that terminated is followed by 0, one that was cut off by the value of its next state. The probabilities of
    what was done do not enter: Q-learning is off-policy.

    Args:
        log: the log.
        choices: a model, of which only the choices are read; or numbers of states and actions.
        discount: $\gamma$ in [0, 1].
        passes: over the whole log, >= 1.
        step_size: $\alpha$ in (0, 1], a number or a schedule of the choice's updates.
        start: the first value of all choices, in reward units: what is thought of those that are not in the log.
        order: of the rows in a pass: a fresh one each time, as they were logged, or together: each choice moves by the
            mean of its errors once in a pass (then a schedule counts passes).
        seed: of the shuffles.

    Raises:
        ValueError: a number is outside its range, or the log does not fit the choices; which, with the row.

    References:
        Lin (1992); Watkins & Dayan (1992); Sutton & Barto (2018), section 16.5.
    """
    check_discount(discount)
    if passes < 1:
        raise ValueError(f"passes is {passes}, below 1")
    if order not in ("shuffled", "logged", "together"):
        raise ValueError(f"order is {order!r}, none of 'shuffled', 'logged', 'together'")
    if not np.isfinite(start):
        raise ValueError(f"start is {start!r}")
    schedule = step_sizes("step_size", step_size).coded()
    held = frame(log, choices)
    rows = (held.choice, held.low, held.count)
    q = np.full(len(held.action), float(start))
    updates = np.zeros(len(q) if schedule.kind != CONSTANT else 1, np.int64)
    sequence = np.arange(len(log))
    rng = streams(seed, 1)[0]
    for k in range(passes):
        if order == "together":
            q += scheduled(schedule, k + 1.0) * errors(*rows, log.reward, q, held.visits, float(discount))
        else:
            given = (*rows, log.reward, q, updates, schedule, float(discount))
            again(rng, sequence, order == "shuffled", *given)
    residual = np.abs(errors(*rows, log.reward, q, held.visits, float(discount))).max(initial=0.0)
    policy = _greedy(held, q, np.ones(len(q), bool), 0.0)
    return Replayed(q=q, policy=policy, visits=held.visits, passes=passes, residual=float(residual))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Equivalence:
    r"""The empirical model, solved.

    Attributes:
        q: of each choice, float64[C], in reward units; with a bound less the penalty.
        value: the greatest of each state, float64[S]; 0 in terminal states.
        policy: with a discount below 1 greedy for `q`, choices alike that the solver's bounds cannot tell apart; with
            1 the solver's own, which arrives where a greedy one might wait for ever.
        visits: of each choice in the log, int64[C].
        worst: what was thought of what is not known, in reward units; the first value without pessimism.
        solution: the solver's own result; its model has one state more, to which unknown choices lead.
    """

    q: Float64[ndarray, "C"]
    value: Float64[ndarray, "S"]
    policy: Policy
    visits: Int64[ndarray, "C"]
    worst: float
    solution: Solution


def certainty_equivalence(
    log: Transitions,
    choices: Choices,
    *,
    discount: float,
    pessimism: Pessimism = "none",
    start: float = 0.0,
    worst: float | None = None,
    penalty: float = 0.0,
    tolerance: float = 1e-9,
) -> Equivalence:
    r"""Solve the model that fits the log best: $Q(s, a) = \hat r(s, a) + \gamma \sum_{s'} \hat p(s' | s, a) V(s')$.

    $\hat p$ and $\hat r$ are the log's frequencies and mean rewards; n(s, a) counts visits. With
    $V(s) = \max_a Q(s, a)$ this is the fixed point of replay. Of choices that are not in the log it is thought:

    - `"none"`: Q = `start`, as in replay. Where rewards are negative, 0 is optimism.
    - `"mask"`: they are not available: the maximum is over choices that were seen. A state without any is worth
      `worst`.
    - `"bound"`: Q = `worst`, and $\hat r(s, a) - c / \sqrt{n(s, a)}$ stands for $\hat r$, c being the `penalty`;
      $V(s) = \max(\text{worst}, \max_a Q(s, a))$. With c of the order of $V_{max} \sqrt{\log(SA / \delta)}$ this is a
      lower bound of the policy's value with probability $1 - \delta$, and too careful for most logs.

    Args:
        log: the log.
        choices: a model, of which only the choices are read; or numbers of states and actions.
        discount: $\gamma$ in [0, 1].
        pessimism: what is thought of choices that are not in the log.
        start: their value without pessimism, in reward units.
        worst: their value with it; by default $\min(0, \min r) / (1 - \gamma)$, below which no return can be.
        penalty: c of the bound, in reward units, >= 0.
        tolerance: of the solver, in reward units.

    Raises:
        ValueError: a number is outside its range, the log does not fit the choices (the row), or `worst` is not given
            and there is none: without a discount, and with negative rewards.
        InfiniteValueError: the discount is 1 and the empirical model has no finite optimum.

    References:
        Mask: Fujimoto, Meger & Precup (2019), batch-constrained Q-learning. Bound: Rashidinejad et al. (2021), VI-LCB;
        with c = 0 Kidambi et al. (2020), MOReL, all that was seen being known.
    """
    check_discount(discount)
    if pessimism not in ("none", "mask", "bound"):
        raise ValueError(f"pessimism is {pessimism!r}, none of 'none', 'mask', 'bound'")
    if not 0 <= penalty < np.inf:
        raise ValueError(f"penalty is {penalty!r}, not a number from 0")
    held = frame(log, choices)
    lowest = float(start) if pessimism == "none" else _worst(log, discount, worst)
    if not np.isfinite(lowest):
        raise ValueError(f"the value of choices that are not in the log is {lowest!r}")
    found = frequencies(log, held)
    seen = found.visits > 0
    reward = np.where(seen, found.reward, lowest)
    if pessimism == "bound":
        reward = reward - np.where(seen, penalty / np.sqrt(np.maximum(found.visits, 1)), 0.0)
    kept = np.ones(len(seen), bool)
    if pessimism == "mask":
        some = np.bincount(held.owner, weights=seen, minlength=held.n_states) > 0
        kept = seen | ~some[held.owner]
    model, of_choice = _empirical(held, found, reward, kept, lowest if pessimism == "bound" else None)
    solution = solve(model, discount, tolerance=tolerance)
    value = solution.value[:-1]
    q = np.where(seen, reward + discount * (found.transition @ value), lowest)
    greedy = _greedy(held, q, kept, solution.gap)
    # Without a discount a greedy policy might wait for ever among choices that are equally good.
    policy = greedy if discount < 1 else _of_solution(held, solution, of_choice, greedy)
    return Equivalence(q=q, value=value, policy=policy, visits=held.visits, worst=lowest, solution=solution)


def _worst(log: Transitions, discount: float, given: float | None) -> float:
    if given is not None:
        return float(given)
    least = min(0.0, float(log.reward.min()))
    if least < 0 and discount == 1:
        raise ValueError(
            f"rewards fall to {least!r} and the discount is 1: nothing bounds returns from below; give worst"
        )
    return least / (1 - discount) if least < 0 else 0.0


def _empirical(
    held: Frame, found: Frequencies, reward: ndarray, kept: ndarray, give_up: float | None
) -> tuple[MDP, Int64[ndarray, "_"]]:
    """The model with a terminal state more, to which unknown choices lead; and which choice each of its choices is.

    With `give_up` each state has one choice more, worth that: the maximum with `worst`.
    """
    end, rows = held.n_states, found.transition
    live = np.flatnonzero(~held.terminal)
    of_choice = np.flatnonzero(kept)
    owner, worth = held.owner[of_choice], reward[of_choice]
    if give_up is not None:
        owner = np.concatenate([owner, live])
        of_choice = np.concatenate([of_choice, np.full(len(live), -1)])
        worth = np.concatenate([worth, np.full(len(live), give_up)])
        order = np.argsort(owner, kind="stable")
        owner, of_choice, worth = owner[order], of_choice[order], worth[order]
    known = of_choice >= 0
    count = np.where(known, np.diff(rows.indptr)[of_choice], 0)  # of outcomes that were seen
    begins = np.concatenate([[0], np.cumsum(np.maximum(count, 1))])
    within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    place = np.repeat(begins[:-1], count) + within
    source = np.repeat(rows.indptr[of_choice], count) + within
    target, chance = np.full(begins[-1], end), np.ones(begins[-1])
    target[place], chance[place] = rows.indices[source], rows.data[source]
    counts = np.bincount(owner, minlength=end + 1)
    model = MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=begins,
        target=target,
        probability=chance,
        choice_reward=worth,
        normalise=True,  # n times 1 / n may miss 1
        terminal=counts == 0,
    )
    return model, of_choice


def _greedy(held: Frame, q: ndarray, kept: ndarray, within: float) -> Policy:
    """Best choices alike, of those that are kept."""
    usable = np.where(kept, q, -np.inf)
    best = np.full(held.n_states, -np.inf)
    np.maximum.at(best, held.owner, usable)
    chosen = usable >= best[held.owner] - within
    share = np.bincount(held.owner, weights=chosen, minlength=held.n_states)
    return Policy(choice_start=held.choice_start, probability=chosen / share[held.owner])


def _of_solution(held: Frame, solution: Solution, of_choice: ndarray, greedy: Policy) -> Policy:
    """The solver's policy; where it gives up, the greedy one."""
    taken = np.array([of_choice[c] if c >= 0 else -1 for c in solution.policy[:-1]])
    probability = np.where(taken[held.owner] >= 0, 0.0, greedy.probability)
    probability[taken[taken >= 0]] = 1.0
    return Policy(choice_start=held.choice_start, probability=probability)
