"""The learner: one loop over steps for all rules, compiled for each (in the tests, a slow Python loop says the same).

One run is played after the other (`_lanes` plays several at once, by some rules). What a run does depends on its own
stream, table and memory alone, hence neither on the block nor on the thread.

Order within a step: the outcome is drawn; rules that need A' draw it; the update; else A' is drawn. A state with one
choice draws nothing, nor does a model without chance for its outcomes.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy import ndarray

from suasion.td._choices import UNIFORM, choose, expectation, pick, rate, scan, scheduled, towards, upper
from suasion.td._importance import weighed_episode, weighed_step
from suasion.td._planners import imagine, observe, sweep
from suasion.td._random import uniform
from suasion.td._schedules import CONSTANT, Coded
from suasion.td._simulator import first_of, outcome_of

Kernel = Callable[..., Any]
_compiled = njit(cache=True, nogil=True)

SARSA, EXPECTED, Q_LEARNING, DOUBLE, N_STEP, TREE, LAMBDA, WATKINS, EPISODE = range(9)
DYNA, SWEEP, WEIGHED_STEP, WEIGHED_EPISODE = range(9, 13)
ACCUMULATING, REPLACING, DUTCH = range(3)


class Asked(NamedTuple):
    """The numbers of an algorithm and of the question.

    Attributes:
        discount: of a step.
        decay: of traces in a step: discount times lambda.
        cutoff: traces up to it are forgotten.
        n: rewards in a target.
        traces: how they rise.
        acting: how choices are made.
        target: the policy of a tree backup.
        first_visit: whether only first visits count.
        step_size: as `Coded`.
        level: epsilon or temperature, as `Coded`.
        limit: steps after which an episode is cut off.
        planning: updates from a learned model in a step.
        bonus: for what was not done lately, a step ago: it grows with the root of the steps.
        threshold: how far a value must be off to be queued.
        importance: how returns are weighed.
    """

    discount: float
    decay: float
    cutoff: float
    n: int
    traces: int
    acting: int
    target: int
    first_visit: bool
    step_size: Coded
    level: Coded
    limit: int
    planning: int = 0
    bonus: float = 0.0
    threshold: float = 0.0
    importance: int = 0


class Memory(NamedTuple):
    """What only some rules remember, one row for each run; one row of one entry where it is not asked for.

    Attributes:
        counts: how often each branch was met, int64[runs, B].
        tried: how often each choice was made, int64[runs, C].
        last: step of the run in which it was made last, int64[runs, C].
        place: in the queue, one more than its index; 0 outside, int64[runs, C].
        ratios: of recent steps, float64[runs, memory].
        sums: of the weights of each state's returns, float64[runs, C].
    """

    counts: ndarray
    tried: ndarray
    last: ndarray
    place: ndarray
    ratios: ndarray
    sums: ndarray


class Runs(NamedTuple):
    """All that changes, one row for each run.

    Attributes:
        rng: uint64[runs, 2].
        q: the table that acts, and with two tables those of which it is the mean, float64[runs, 1 or 3, C].
        visits: how often each was updated, int64; one entry where the step size is constant.
        choice: to be made next, int64[runs]; -1 before the first step.
        clock: steps of the episode so far, int64[runs].
        steps: of the run, int64[runs].
        episodes: that have ended, int64[runs].
        total: return of the episode so far, and the worth of its next reward, float64[runs, 2].
        returns: of episodes, float64[runs, room].
        lengths: of episodes, int64[runs, room].
        held: entries of the memory in use, int64[runs].
        listed: choices on a trace, of recent steps or in a queue, or states that were met, int64[runs, memory].
        rewards: of recent steps, float64[runs, memory].
        trace: of each choice, float64[runs, C]; for first visits, how many are still to come; in a queue, how urgent.
        old: the value that true online traces remember, float64[runs].
        memory: of some rules.
    """

    rng: ndarray
    q: ndarray
    visits: ndarray
    choice: ndarray
    clock: ndarray
    steps: ndarray
    episodes: ndarray
    total: ndarray
    returns: ndarray
    lengths: ndarray
    held: ndarray
    listed: ndarray
    rewards: ndarray
    trace: ndarray
    old: ndarray
    memory: Memory


@_compiled
@typing.no_type_check
def double(s0, s1, q, visits, choice, reward, low, count, step_size, discount):
    """Update one of two tables towards the other's value of its own best choice, and their mean."""
    coin, s0, s1 = uniform(s0, s1)
    table = 1 + np.int64(2.0 * coin)
    own = q[table]
    value = 0.0
    if count > 0:
        best, s0, s1 = choose(s0, s1, own, low, count, UNIFORM, 0.0)
        value = q[3 - table, best]
    alpha = rate(step_size, visits[min(table, len(visits) - 1)], choice)
    own[choice] += alpha * (reward + discount * value - own[choice])
    q[0, choice] = (q[1, choice] + q[2, choice]) / 2.0
    return s0, s1


@_compiled
@typing.no_type_check
def n_step(row, visits, listed, rewards, clock, after, over, n, step_size, discount):
    """Learn from the step n ago; at the end of an episode, from all that are left. `after` is A', or -1 at an end."""
    oldest = max(clock - n, 0)
    if oldest + n > clock and not over:
        return
    for t in range(oldest, clock if over else oldest + 1):
        target = 0.0 if after < 0 else row[after]
        at = (clock - 1) % n
        for _ in range(t, clock):
            target = rewards[at] + discount * target
            at = at - 1 if at > 0 else n - 1
        towards(row, visits, listed[t % n], target, step_size)


@_compiled
@typing.no_type_check
def tree(row, visits, listed, rewards, firsts, widths, clock, low, count, over, n, policy, level, step_size, discount):
    """As `n_step`, with the actions that were not taken in the target."""
    oldest = max(clock - n, 0)
    if oldest + n > clock and not over:
        return
    for t in range(oldest, clock if over else oldest + 1):
        target = 0.0
        if count > 0:
            target, _ = expectation(row, low, count, low, policy, level)
        target = rewards[(clock - 1) % n] + discount * target
        for k in range(clock - 1, t, -1):
            taken = listed[k % n]
            mean, probability = expectation(row, firsts[taken], widths[taken], taken, policy, level)
            target = rewards[(k - 1) % n] + discount * (mean + probability * (target - row[taken]))
        towards(row, visits, listed[t % n], target, step_size)


@_compiled
@typing.no_type_check
def traced(row, visits, listed, trace, held, choice, error, change, traces, decay, cutoff, step_size):
    """Update all that is on the trace by an error; how many are. `change` is Q(S, A) less what it was a step ago."""
    kept = 0
    for i in range(held):
        j = listed[i]
        e = trace[j] * decay
        if e <= cutoff:
            trace[j] = 0.0
        else:
            trace[j] = e
            listed[kept] = j
            kept += 1
    if trace[choice] == 0.0:
        listed[kept] = choice
        kept += 1
    alpha = rate(step_size, visits, choice)
    if traces == ACCUMULATING:
        trace[choice] += 1.0
    elif traces == REPLACING:
        trace[choice] = 1.0
    else:
        trace[choice] += 1.0 - alpha * trace[choice]
        row[choice] -= alpha * change
        error += change
    if step_size[0] == CONSTANT:
        for i in range(kept):
            row[listed[i]] += alpha * error * trace[listed[i]]
    else:
        for i in range(kept):
            row[listed[i]] += scheduled(step_size, visits[listed[i]]) * error * trace[listed[i]]
    return kept


@_compiled
@typing.no_type_check
def whole_episode(row, visits, listed, rewards, trace, held, follows, first_visit, step_size, discount):
    """Learn from the returns of an episode, last step first; `follows` is the value after a cut."""
    total = follows
    if first_visit:
        for t in range(held):
            trace[listed[t]] += 1.0
    for t in range(held - 1, -1, -1):
        choice = listed[t]
        total = rewards[t] + discount * total
        if first_visit:
            trace[choice] -= 1.0
            if trace[choice] > 0.0:
                continue
        towards(row, visits, choice, total, step_size)


@_compiled
@typing.no_type_check
def begun(s0, s1, row, tried, tables, acting, level, counted):
    """The first choice of an episode, and the state of the stream after it."""
    number, s0, s1 = uniform(s0, s1)
    o = first_of(tables, number)
    low, count = np.int64(tables.outcome[o].low), np.int64(tables.outcome[o].count)
    if counted:
        return upper(s0, s1, row, tried, low, count, level)
    return choose(s0, s1, row, low, count, acting, level)


@functools.cache
def learner(rule: int, choices: int, plain: bool, counted: bool = False, certain: bool = False) -> Kernel:
    """The loop for a rule.

    Args:
        rule: which.
        choices: how many each state has that is not terminal, known to the compiler; 0 if they differ.
        plain: epsilon and step size are constant, and equal best choices alike.
        counted: choices are made by upper confidence bounds.
        certain: nothing is left to chance in the model, so that the processor will foresee which choice is best.
    """
    before = rule not in (EXPECTED, Q_LEARNING, DOUBLE, DYNA, SWEEP)  # A' is drawn before the update
    one_step = rule in (SARSA, EXPECTED, Q_LEARNING, DYNA)
    several = rule in (N_STEP, TREE, WEIGHED_STEP)
    traces = rule in (LAMBDA, WATKINS)
    waits = rule in (EPISODE, WEIGHED_EPISODE)
    plans = rule in (DYNA, SWEEP)
    leaping = certain and plain and choices > 1 and rule in (EXPECTED, Q_LEARNING)

    @_compiled
    @typing.no_type_check
    def kernel(first, last, until_steps, until_episodes, tables, runs, asked):
        acting = UNIFORM if plain else asked.acting
        room = runs.listed.shape[1]
        n, step_size, discount = asked.n, asked.step_size, asked.discount
        lows, widths, of_outcome, branches = tables.low, tables.width, tables.branch, tables.branches
        ratio = branches.ratio
        for run in range(first, last):
            row = runs.q[run, 0]
            counts = runs.visits[min(run, len(runs.visits) - 1)]
            visits = counts[0]
            listed, rewards = runs.listed[run], runs.rewards[run]
            trace = runs.trace[min(run, len(runs.trace) - 1)]
            memory = runs.memory
            tried = memory.tried[min(run, len(memory.tried) - 1)]
            met = memory.counts[min(run, len(memory.counts) - 1)]
            made = memory.last[min(run, len(memory.last) - 1)]
            place = memory.place[min(run, len(memory.place) - 1)]
            held, old = runs.held[run], runs.old[run]
            choice, clock = runs.choice[run], runs.clock[run]
            steps, episodes = runs.steps[run], runs.episodes[run]
            total, worth = runs.total[run, 0], runs.total[run, 1]
            s0, s1 = runs.rng[run, 0], runs.rng[run, 1]
            while steps < until_steps and episodes < until_episodes:
                if waits and held == room:
                    break
                level = asked.level[1] if plain else scheduled(asked.level, steps + 1)
                if choice < 0:
                    choice, s0, s1 = begun(s0, s1, row, tried, tables, acting, level, counted)
                if tables.stride == 1:
                    o = 2 * choice
                else:
                    number, s0, s1 = uniform(s0, s1)
                    o = outcome_of(tables, choice, number)
                came = tables.outcome[np.uint64(o)]
                reward, low, count = came.reward, np.int64(came.low), np.int64(came.count)
                width = choices if choices else count
                steps += 1
                clock += 1
                if counted and not plans:
                    tried[choice] += 1
                total += worth * reward
                worth *= discount
                ended = count == 0
                over = ended or clock >= asked.limit
                after, best = np.int64(-1), 0.0
                if not plain:
                    level = scheduled(asked.level, steps + 1)
                if before and not ended:  # `choose`, written out: 20 % faster
                    best, arg, ties = scan(row, low, width)
                    if width == 1:
                        after = low
                    elif counted:
                        after, s0, s1 = upper(s0, s1, row, tried, low, width, level)
                    else:
                        number, s0, s1 = uniform(s0, s1)
                        after = pick(row, low, width, best, arg, ties, acting, level, number)
                if one_step:
                    value = 0.0
                    if not ended:
                        if rule == SARSA:
                            value = row[np.uint64(after)]
                        elif rule == EXPECTED:
                            value, _ = expectation(row, low, width, low, acting, level)
                        else:
                            value, _, _ = scan(row, low, width)
                    if plain:
                        here = np.uint64(choice)  # never negative: saves a test
                        row[here] += step_size[1] * (reward + discount * value - row[here])
                    else:
                        towards(row, visits, choice, reward + discount * value, step_size)
                    if rule == DYNA:
                        held = observe(tried, listed, held, lows[choice], widths[choice], choice)
                        met[of_outcome[o]] += 1
                        made[choice] = steps
                        of = (asked.planning, asked.bonus, step_size, discount)
                        s0, s1 = imagine(
                            s0, s1, row, visits, met, tried, made, listed, held, widths, branches, steps, *of
                        )
                    if leaping and not over:  # the same by jumps, which the processor foresees: 1.5 times as fast
                        number, s0, s1 = uniform(s0, s1)
                        if number < level:
                            after = low + min(np.int64(number / level * choices), choices - 1)
                        else:
                            best, after, tied = row[np.uint64(low)], low, False
                            for a in range(1, choices):
                                v = row[np.uint64(low + a)]
                                if v > best:
                                    best, after, tied = v, low + a, False
                                elif v == best:
                                    tied = True
                            if tied:
                                best, arg, ties = scan(row, low, choices)
                                after = pick(row, low, choices, best, arg, ties, UNIFORM, level, number)
                    elif not before and not over:  # `choose`, written out: 20 % faster
                        best, arg, ties = scan(row, low, width)
                        if width == 1:
                            after = low
                        elif counted:
                            after, s0, s1 = upper(s0, s1, row, tried, low, width, level)
                        else:
                            number, s0, s1 = uniform(s0, s1)
                            after = pick(row, low, width, best, arg, ties, acting, level, number)
                elif rule == DOUBLE:
                    s0, s1 = double(s0, s1, runs.q[run], counts, choice, reward, low, count, step_size, discount)
                    if not over and counted:
                        after, s0, s1 = upper(s0, s1, row, tried, low, width, level)
                    elif not over:
                        after, s0, s1 = choose(s0, s1, row, low, width, acting, level)
                elif rule == SWEEP:
                    tried[choice] += 1
                    met[of_outcome[o]] += 1
                    of = (asked.planning, asked.threshold, step_size, discount)
                    held = sweep(row, visits, met, tried, listed, place, trace, held, lows, branches, choice, *of)
                    if not over and counted:
                        after, s0, s1 = upper(s0, s1, row, tried, low, width, level)
                    elif not over:
                        after, s0, s1 = choose(s0, s1, row, low, width, acting, level)
                elif several:
                    listed[(clock - 1) % n] = choice
                    rewards[(clock - 1) % n] = reward
                    if rule == N_STEP:
                        n_step(row, visits, listed, rewards, clock, after, over, n, step_size, discount)
                    elif rule == WEIGHED_STEP:
                        ratios = memory.ratios[run]
                        ratios[(clock - 1) % n] = ratio[of_outcome[o]]
                        of = (listed, rewards, ratios, clock, after, over, n)
                        weighed_step(row, visits, *of, step_size, discount)
                    else:
                        of = (tables.low, tables.width, clock, low, count, over, n, asked.target, level)
                        tree(row, visits, listed, rewards, *of, step_size, discount)
                elif traces:
                    follows, explores = 0.0, False
                    if not ended:
                        follows = row[after]
                        if rule == WATKINS:
                            explores = follows < best
                            follows = best
                    error, change = reward + discount * follows - row[choice], row[choice] - old
                    of = (asked.traces, asked.decay, asked.cutoff)
                    held = traced(row, visits, listed, trace, held, choice, error, change, *of, step_size)
                    old = follows
                    if explores or over:
                        for k in range(held):
                            trace[listed[k]] = 0.0
                        held, old = 0, 0.0
                else:
                    listed[held] = choice
                    rewards[held] = reward
                    if rule == WEIGHED_EPISODE:
                        memory.ratios[run, held] = ratio[of_outcome[o]]
                    held += 1
                    if over:
                        follows = 0.0
                        if not ended and counted:
                            follows = row[after]
                        elif not ended:
                            follows, _ = expectation(row, low, width, low, acting, level)
                        of = (trace, held, follows, asked.first_visit)
                        if rule == EPISODE:
                            whole_episode(row, visits, listed, rewards, *of, step_size, discount)
                        else:
                            weights = (memory.ratios[run], memory.sums[run], *of, asked.importance)
                            weighed_episode(row, visits, listed, rewards, *weights, step_size, discount)
                        held = 0
                choice = after
                if over:
                    runs.returns[run, episodes] = total
                    runs.lengths[run, episodes] = clock
                    episodes += 1
                    total, worth = 0.0, 1.0
                    clock = 0
                    choice = np.int64(-1)
            runs.choice[run], runs.clock[run] = choice, clock
            runs.steps[run], runs.episodes[run] = steps, episodes
            runs.total[run, 0], runs.total[run, 1] = total, worth
            runs.rng[run, 0], runs.rng[run, 1] = s0, s1
            runs.held[run], runs.old[run] = held, old

    return kernel
