"""Runs in lockstep: the one-step rules with constant step size and epsilon, where all states have as many choices.

One run is a chain of waiting: the outcome needs the choice, the choice the row of Q, the row the outcome. Runs that
take turns at every step fill each other's waits, and what does not depend on places in tables, the random numbers and
what is made of them, is computed for several runs by one instruction. Each run ends with the bits of
`_kernels.learner`.
"""

from __future__ import annotations

import functools
import typing
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic

from suasion.td._kernels import EXPECTED, Q_LEARNING, SARSA, Kernel
from suasion.td._random import undone, uniform
from suasion.td._simulator import first_of

LOCKSTEP = (SARSA, EXPECTED, Q_LEARNING)
LANES = 16  # runs at once; a number that the compiler knows
S0, S1 = 0, LANES
RUN, BASE, LEFT, CHOICE, CLOCK, PLACE, TRIED, FRESH = range(0, 8 * LANES, LANES)
SHARE, NUMBER, TOTAL, WORTH = range(0, 4 * LANES, LANES)


@intrinsic(prefer_literal=True)
def greatest(context: Any, row: Any, at: Any, count: Any) -> Any:
    """The greatest of `count` numbers (known to the compiler) from `at` on, and a word whose bit a says a has it.

    As one vector: shuffled and compared log2(count) times.
    """
    size = count.literal_value
    signature = types.Tuple((types.float64, types.uint64))(row, at, count)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, index = ir.VectorType(ir.DoubleType(), size), ir.IntType(32)
        held = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        here = builder.bitcast(builder.gep(held.data, [arguments[1]]), vector.as_pointer())
        values = top = builder.load(here, align=8)
        by = 1
        while by < size:
            places = ir.Constant(ir.VectorType(index, size), [(a + by) % size for a in range(size)])
            other = builder.shuffle_vector(top, ir.Constant(vector, ir.Undefined), places)
            top = builder.select(builder.fcmp_ordered(">", other, top), other, top)
            by *= 2
        equal = builder.bitcast(builder.fcmp_ordered("==", values, top), ir.IntType(size))
        found = [builder.extract_element(top, index(0)), builder.zext(equal, ir.IntType(64))]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def any_choice(number, epsilon, count):
    """Which of all choices a uniform number explores, or -1."""
    return min(np.int64(number / epsilon * count), count - 1) if number < epsilon else -1


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def any_best(best, count, number, epsilon):
    """Which of the choices whose bits are set a uniform number from epsilon on picks."""
    if best & (best - np.uint64(1)) != np.uint64(0):
        ties = np.int64(0)
        for a in range(count):
            ties += np.int64(best >> np.uint64(a) & np.uint64(1))
        passed = min(np.int64((number - epsilon) / (1.0 - epsilon) * ties), ties - 1)
        for a in range(count - 1):  # without a jump that could be foreseen wrongly
            best &= best - np.uint64(a < passed)
    return np.int64(trailing_zeros(best | np.uint64(1) << np.uint64(count - 1)))  # no bit: a value that is no number


@functools.cache
def lockstep(rule: int, choices: int) -> Kernel:
    """The loop for a rule of `LOCKSTEP`.

    It takes what `learner`'s takes, and before it whether all runs stop with the first that has as many episodes as may
    be: so that lists can be made longer for all, rather than one by one while the others' places stay empty.

    Args:
        rule: which.
        choices: how many each state has that is not terminal: 2 to 8.
    """
    before = rule == SARSA  # A' is drawn before the update

    # By NumPy's rules for division: a test for 0 would keep the compiler from using vectors.
    @njit(cache=True, nogil=True, error_model="numpy")
    @typing.no_type_check
    def kernel(together, first, last, until_steps, until_episodes, tables, runs, asked):
        outcome, threshold, stride = tables.outcome, tables.threshold, tables.stride
        alpha, discount, epsilon, limit = asked.step_size[1], asked.discount, asked.level[1], asked.limit
        size = runs.q.shape[2]
        wide = 8 * (((size + choices + 7) // 8) | 1)  # an odd number of cache lines: tables do not share their sets
        q = np.zeros(LANES * wide)
        # Fields of one type lie in one array: few addresses, and distances that the compiler knows.
        s, i, x = np.empty(2 * LANES, np.uint64), np.empty(8 * LANES, np.int64), np.empty(4 * LANES)
        for k in range(LANES):
            i[BASE + k] = k * wide
        to_come, playing, full = first, 0, False
        while True:
            while playing < LANES and to_come < last:
                r = to_come
                to_come += 1
                if runs.steps[r] >= until_steps or runs.episodes[r] >= until_episodes:
                    continue
                k, playing = playing, playing + 1
                i[RUN + k], i[LEFT + k] = r, until_steps - runs.steps[r]
                q[i[BASE + k] : i[BASE + k] + size] = runs.q[r, 0]
                i[CHOICE + k], i[CLOCK + k] = runs.choice[r], runs.clock[r]
                x[TOTAL + k], x[WORTH + k] = runs.total[r, 0], runs.total[r, 1]
                s[S0 + k], s[S1 + k] = runs.rng[r, 0], runs.rng[r, 1]
            if playing == 0 or full:
                break
            begins = 0
            for k in range(playing):
                if i[CHOICE + k] < 0:
                    i[FRESH + begins] = k
                    begins += 1
            turn = i[LEFT]
            for k in range(1, playing):
                turn = min(turn, i[LEFT + k])
            stopped, t = False, 0
            while t < turn and not stopped:
                t += 1
                for j in range(begins):
                    k = i[FRESH + j]
                    drawn, s[S0 + k], s[S1 + k] = uniform(s[S0 + k], s[S1 + k])
                    low = np.int64(outcome[first_of(tables, drawn)].low)
                    drawn, s[S0 + k], s[S1 + k] = uniform(s[S0 + k], s[S1 + k])
                    _, best = greatest(q, np.uint64(i[BASE + k] + low), choices)
                    explored = any_choice(drawn, epsilon, choices)
                    i[CHOICE + k] = low + (explored if explored >= 0 else any_best(best, choices, drawn, epsilon))
                begins = 0
                if stride > 1:
                    for k in range(playing):
                        drawn, s[S0 + k], s[S1 + k] = uniform(s[S0 + k], s[S1 + k])
                        scaled = drawn * stride
                        cell = np.int64(scaled)
                        i[PLACE + k] = cell
                        x[SHARE + k] = scaled - np.float64(cell)
                for k in range(playing):
                    drawn, s[S0 + k], s[S1 + k] = uniform(s[S0 + k], s[S1 + k])
                    x[NUMBER + k] = drawn
                    i[TRIED + k] = any_choice(drawn, epsilon, choices)
                for k in range(playing):
                    choice = i[CHOICE + k]
                    if stride > 1:
                        cell = np.uint64(choice * stride + i[PLACE + k])
                        came = outcome[np.uint64(2) * cell + np.uint64(x[SHARE + k] >= threshold[cell])]
                    else:
                        came = outcome[np.uint64(2 * choice)]
                    low, ended, reward = np.int64(came.low), came.count == 0, came.reward
                    i[CLOCK + k] += 1
                    x[TOTAL + k] += x[WORTH + k] * reward
                    x[WORTH + k] *= discount
                    over = ended or i[CLOCK + k] >= limit
                    here, row = np.uint64(i[BASE + k] + choice), np.uint64(i[BASE + k] + low)
                    value, best = greatest(q, row, choices)
                    chosen = i[TRIED + k]
                    if before:
                        picked = any_best(best, choices, x[NUMBER + k], epsilon)
                        chosen = picked if chosen < 0 else chosen
                        value = q[row + np.uint64(chosen)]
                    elif rule == EXPECTED:
                        sum_ = 0.0
                        for a in range(choices):
                            sum_ += q[row + np.uint64(a)]
                        value = (1.0 - epsilon) * value + epsilon * (sum_ / choices)
                    value = 0.0 if ended else value
                    q[here] += alpha * (reward + discount * value - q[here])
                    if not before:
                        _, best = greatest(q, row, choices)
                        picked = any_best(best, choices, x[NUMBER + k], epsilon)
                        chosen = picked if chosen < 0 else chosen
                    i[CHOICE + k] = low + chosen
                    if over:
                        if ended or not before:  # no A' was drawn
                            s[S0 + k], s[S1 + k] = undone(s[S0 + k], s[S1 + k])
                        r = i[RUN + k]
                        runs.returns[r, runs.episodes[r]] = x[TOTAL + k]
                        runs.lengths[r, runs.episodes[r]] = i[CLOCK + k]
                        runs.episodes[r] += 1
                        stopped |= runs.episodes[r] >= until_episodes
                        x[TOTAL + k], x[WORTH + k] = 0.0, 1.0
                        i[CLOCK + k], i[CHOICE + k] = 0, -1
                        i[FRESH + begins] = k
                        begins += 1
            full = stopped and together
            k = 0
            while k < playing:
                i[LEFT + k] -= t
                r = i[RUN + k]
                if i[LEFT + k] > 0 and runs.episodes[r] < until_episodes and not full:
                    k += 1
                    continue
                runs.q[r, 0] = q[i[BASE + k] : i[BASE + k] + size]
                runs.choice[r], runs.clock[r] = i[CHOICE + k], i[CLOCK + k]
                runs.steps[r] = until_steps - i[LEFT + k]
                runs.total[r, 0], runs.total[r, 1] = x[TOTAL + k], x[WORTH + k]
                runs.rng[r, 0], runs.rng[r, 1] = s[S0 + k], s[S1 + k]
                playing -= 1
                free = i[BASE + k]
                for field in range(0, 8 * LANES, LANES):
                    i[field + k] = i[field + playing]
                for field in range(0, 4 * LANES, LANES):
                    x[field + k] = x[field + playing]
                s[S0 + k], s[S1 + k] = s[S0 + playing], s[S1 + playing]
                i[BASE + playing] = free

    return kernel
