"""Kernels of logs: to play and write down, and to go over what was written."""

from __future__ import annotations

import typing
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy import ndarray

from suasion.td._choices import expectation, pick, rate, scan, scheduled
from suasion.td._random import uniform
from suasion.td._schedules import Coded
from suasion.td._simulator import first_of, outcome_of

FIXED, SARSA, EXPECTED, Q_LEARNING = range(4)  # how what acts learns: a policy does not


class Rule(NamedTuple):
    """How to act and to learn.

    Attributes:
        kind: of the four.
        discount: of a step.
        acting: how a learner chooses.
        level: its epsilon or temperature.
        step_size: of an update.
        limit: steps after which an episode is cut off.
    """

    kind: int
    discount: float
    acting: int
    level: Coded
    step_size: Coded
    limit: int


class Rows(NamedTuple):
    """What is written down of each step: choice and branch int64, probability float64, ends bool."""

    choice: ndarray
    branch: ndarray
    chance: ndarray
    terminated: ndarray
    truncated: ndarray


class Player(NamedTuple):
    """What goes on from call to call.

    Attributes:
        rng: the stream, uint64[2].
        place: the choice to be made next or -1, steps of the episode, steps of the run, episodes ended; int64[4].
        chance: the probability with which that choice was drawn, float64[1].
    """

    rng: ndarray
    place: ndarray
    chance: ndarray


@njit(cache=True, nogil=True)
@typing.no_type_check
def drawn(s0, s1, policy, low, count):
    """A choice of a policy, its probability, and the state of the stream; the only choice costs no draw."""
    if count == 1:
        return low, 1.0, s0, s1
    total = 0.0
    for a in range(count):
        total += policy[low + a]
    number, s0, s1 = uniform(s0, s1)
    share = number * total
    last = low
    for a in range(count):
        p = policy[low + a]
        if p > 0.0:
            last = low + a
            share -= p
            if share < 0.0:
                break
    return last, policy[last] / total, s0, s1


@njit(cache=True, nogil=True)
@typing.no_type_check
def acted(s0, s1, row, low, count, kind, acting, level):
    """A choice of a policy or a learner, its probability, and the state of the stream after it."""
    if kind == FIXED:
        return drawn(s0, s1, row, low, count)
    if count == 1:
        return low, 1.0, s0, s1
    best, arg, ties = scan(row, low, count)
    number, s0, s1 = uniform(s0, s1)
    choice = pick(row, low, count, best, arg, ties, acting, level, number)
    _, probability = expectation(row, low, count, choice, acting, level)
    return choice, probability, s0, s1


@njit(cache=True, nogil=True)
@typing.no_type_check
def gather(tables, reward_of, row, visits, rule, player, episodes, rows):
    """Play and write down until there is no room or enough episodes have ended; the rows written.

    Draws and updates come in the order of the learner (`_kernels`). The outcomes of `tables` carry the number of their
    branch in place of its reward. `row` is the policy, or the learner's table.
    """
    kind = rule.kind
    s0, s1 = player.rng
    choice, clock, steps, done = player.place
    chance = player.chance[0]
    written = 0
    while written < len(rows.choice) and done < episodes:
        level = scheduled(rule.level, steps + 1)
        if choice < 0:
            number, s0, s1 = uniform(s0, s1)
            o = first_of(tables, number)
            low, count = np.int64(tables.outcome[o].low), np.int64(tables.outcome[o].count)
            choice, chance, s0, s1 = acted(s0, s1, row, low, count, kind, rule.acting, level)
        if tables.stride == 1:
            o = 2 * choice
        else:
            number, s0, s1 = uniform(s0, s1)
            o = outcome_of(tables, choice, number)
        came = tables.outcome[o]
        branch, low, count = np.int64(came.reward), np.int64(came.low), np.int64(came.count)
        steps += 1
        clock += 1
        ended = count == 0
        cut = clock >= rule.limit and not ended
        rows.choice[written], rows.branch[written], rows.chance[written] = choice, branch, chance
        rows.terminated[written], rows.truncated[written] = ended, cut
        written += 1
        level = scheduled(rule.level, steps + 1)
        after = np.int64(-1)
        if not ended and (kind == SARSA or (kind == FIXED and not cut)):
            after, chance, s0, s1 = acted(s0, s1, row, low, count, kind, rule.acting, level)
        if kind != FIXED:
            value = 0.0
            if not ended:
                if kind == SARSA:
                    value = row[after]
                elif kind == Q_LEARNING:
                    value, _, _ = scan(row, low, count)
                else:
                    value, _ = expectation(row, low, count, low, rule.acting, level)
            target = reward_of[branch] + rule.discount * value
            row[choice] += rate(rule.step_size, visits, choice) * (target - row[choice])
            if kind != SARSA and not ended and not cut:
                after, chance, s0, s1 = acted(s0, s1, row, low, count, kind, rule.acting, level)
        choice = after
        if ended or cut:
            done += 1
            clock = 0
            choice = np.int64(-1)
    player.rng[0], player.rng[1] = s0, s1
    player.place[0], player.place[1], player.place[2], player.place[3] = choice, clock, steps, done
    player.chance[0] = chance
    return written


@njit(cache=True, nogil=True)
@typing.no_type_check
def again(rng, order, shuffled, choice, low, count, reward, q, visits, step_size, discount):
    """One pass of Q-learning over a log, in a fresh order if `shuffled`."""
    if shuffled:
        s0, s1 = rng
        for i in range(len(order) - 1, 0, -1):
            number, s0, s1 = uniform(s0, s1)
            j = min(np.int64(number * (i + 1)), i)
            order[i], order[j] = order[j], order[i]
        rng[0], rng[1] = s0, s1
    for i in order:
        value = 0.0
        if count[i] > 0:
            value, _, _ = scan(q, low[i], count[i])
        c = choice[i]
        q[c] += rate(step_size, visits, c) * (reward[i] + discount * value - q[c])


@njit(cache=True, nogil=True)
@typing.no_type_check
def errors(choice, low, count, reward, q, seen, discount):
    """The mean TD error of each choice over the log; 0 of those that are not in it."""
    total = np.zeros(len(q))
    for i in range(len(choice)):
        value = 0.0
        if count[i] > 0:
            value, _, _ = scan(q, low[i], count[i])
        total[choice[i]] += reward[i] + discount * value - q[choice[i]]
    for c in range(len(q)):
        if seen[c] > 0:
            total[c] /= seen[c]
    return total
