r"""Compiled loops (Numba): an LSTM over a trajectory, and what it would say for every alternative of a discrete input.

One step after the other. All that an agent's step needs lies in the first two caches, and of the alternatives nothing
is written to memory but their mixture and the one that was real.

What is read enters the gates linearly, and the exponential of a sum is a product: with $e^{-x}$ of the gates that are
left without the input, and $e^{-W}$ of the table, every gate of every alternative is a product away,
$\sigma(x + W) = 1 / (1 + e^{-x} e^{-W})$. Of ten exponentials and divisions of a unit three are left. Where the sum of
the magnitudes is so large that a product of three might overflow, the gates are computed as they are written. What all
must equal is written in JAX: `LSTM.trace`, `Core.alternatives`, `suasion.influence._divergence.averaged`.

The functions of rows are short, so that LLVM's checks for overlap are few enough for it to vectorise them; the loops
over alternatives are inside of them, as a call costs as much as a row.

Letters of the shapes: g sets of parameters, t steps, m rows of a set, y units (k = 4 y gates), s slots whose input is
varied, c alternatives, o others, a actions of each; r = t m for the steps that are asked about; p strips of LANES.
"""

from __future__ import annotations

import typing
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from suasion._foreign_functions import CONTRACTED, as_float, as_word, decay, log, sigmoid, tanh
from suasion._vectors import accumulators, add_product, address, put_back, spread, unpacked

LANES = 16  # columns that are multiplied together
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_BLOCK = 5  # alternatives that are multiplied together: so many sums stay in registers
_BOUND = np.float32(20.0)  # four of it are in an exponent, and the cell's magnitude besides
_LARGEST_CELL = np.float32(4096.0)
_LEAST = np.float32(2.0**-100)  # of a mixture whose parts cannot have been lost below e^-87
_NEVER = np.float32(-1e9)  # the logit of an action that is not available, as in `Policy`
_ZERO, _ONE, _TWO, _NOTHING = (np.float32(c) for c in (0.0, 1.0, 2.0, -np.inf))
_MAGNITUDE = np.int32(0x7FFFFFFF)  # all bits but the sign


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _left(gates, known, out):
    """The gates without what is known of the input; their greatest magnitude, which is NaN where one is."""
    most = types.int32(0)
    for d in range(out.size):
        x = gates[d] - known[d]
        out[d] = x
        word = types.int32(as_word(x) & _MAGNITUDE)
        most = word if word > most else most
    return as_float(most)


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _largest(x):
    """The greatest magnitude of some numbers; NaN where one is."""
    most = types.int32(0)
    for d in range(x.size):
        word = types.int32(as_word(x[d]) & _MAGNITUDE)
        most = word if word > most else most
    return as_float(most)


@njit(cache=True)
@typing.no_type_check
def _larger(one, other):
    """The larger of two magnitudes; NaN is larger than all."""
    return one if as_word(one) > as_word(other) else other


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _exponentials(x, scale, out):
    """e^(scale x)"""
    for d in range(out.size):
        out[d] = decay(scale * x[d])


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _factors(x, out):
    """e^-x of the gates that have a logistic function, e^-2x of the one that has a hyperbolic tangent."""
    y = out.size // 4
    _exponentials(x[: 2 * y], -_ONE, out[: 2 * y])
    _exponentials(x[2 * y : 3 * y], -_TWO, out[2 * y : 3 * y])
    _exponentials(x[3 * y :], -_ONE, out[3 * y :])


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _by_factors(x, w, cell, out):
    """The outputs of every alternative [c, y] from factors of the gates: f c + i g is over one denominator."""
    y = cell.size
    for c in range(out.shape[0]):
        for d in range(y):
            f = _ONE + x[y + d] * w[c, y + d]
            g = x[2 * y + d] * w[c, 2 * y + d]
            others = (_ONE + x[d] * w[c, d]) * (_ONE + g)
            out[c, d] = (cell[d] * others + (_ONE - g) * f) / (others * f)
        for d in range(y):
            after = out[c, d]
            t = decay(-_TWO * abs(after))
            size = (_ONE - t) / ((_ONE + t) * (_ONE + x[3 * y + d] * w[c, 3 * y + d]))
            out[c, d] = -size if after < _ZERO else size


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _by_sums(x, w, cell, out):
    """The same from gates of any size."""
    y = cell.size
    for c in range(out.shape[0]):
        for d in range(y):
            i, f = sigmoid(x[d] + w[c, d]), sigmoid(x[y + d] + w[c, y + d])
            out[c, d] = f * cell[d] + i * tanh(x[2 * y + d] + w[c, 2 * y + d])
        for d in range(y):
            out[c, d] = sigmoid(x[3 * y + d] + w[c, 3 * y + d]) * tanh(out[c, d])


def _tile(rows: int) -> Any:
    """An intrinsic: x W added to `rows` rows of `out` from `row` on, in the columns of one strip, sums in registers."""

    @intrinsic
    @typing.no_type_check
    def tile(context, x, weight, out, strip, row):
        del context

        def make(context, builder, signature, arguments):
            (x, weight, out), (strip, row) = unpacked(context, builder, signature, arguments)
            depth, width = (cgutils.unpack_tuple(builder, array.shape)[1] for array in (x, out))
            every = [builder.add(row, row.type(k)) for k in range(rows)]
            column = builder.mul(strip, strip.type(LANES))
            places = [address(builder, out, builder.add(builder.mul(r, width), column), _VECTOR) for r in every]
            starts = [builder.mul(r, depth) for r in every]
            sums = accumulators(builder, places)
            first = builder.mul(strip, builder.mul(depth, depth.type(LANES)))
            with cgutils.for_range(builder, depth) as loop:
                here = builder.add(first, builder.mul(loop.index, depth.type(LANES)))
                line = builder.load(address(builder, weight, here, _VECTOR), align=4)
                for start, total in zip(starts, sums, strict=True):
                    add_product(builder, total, spread(builder, x, builder.add(start, loop.index), _VECTOR), line)
            put_back(builder, sums, places)
            return context.get_dummy_value()

        return types.void(x, weight, out, types.intp, types.intp), make

    return tile


_tile_1, _tile_2, _tile_3, _tile_4, _tile_5 = (_tile(rows) for rows in range(1, _BLOCK + 1))


@njit(cache=True)
@typing.no_type_check
def _add_product(x, weight, out):
    """x W added to out [m, p LANES], with W in strips [p, y, LANES], each of which stays in the first cache."""
    count = x.shape[0]
    blocks = (count + _BLOCK - 1) // _BLOCK
    for strip in range(weight.shape[0]):
        for b in range(blocks):
            row = b * count // blocks
            rows = (b + 1) * count // blocks - row
            if rows == 5:
                _tile_5(x, weight, out, strip, row)
            elif rows == 4:
                _tile_4(x, weight, out, strip, row)
            elif rows == 3:
                _tile_3(x, weight, out, strip, row)
            elif rows == 2:
                _tile_2(x, weight, out, strip, row)
            else:
                _tile_1(x, weight, out, strip, row)


@njit(cache=True)
@typing.no_type_check
def _strips(weight, out):
    """W [y, columns] in strips [p, y, LANES], filled up by zeros."""
    out[:] = _ZERO
    for d in range(weight.shape[0]):
        for k in range(weight.shape[1]):
            out[k // LANES, d, k % LANES] = weight[d, k]


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _advance(gates, cell, h):
    """The step as it was: cell and output after it, in their places."""
    y = cell.size
    for d in range(y):
        i, f = sigmoid(gates[d]), sigmoid(gates[y + d])
        cell[d] = f * cell[d] + i * tanh(gates[2 * y + d])
    for d in range(y):
        h[d] = sigmoid(gates[3 * y + d]) * tanh(cell[d])


@njit(cache=True)
@typing.no_type_check
def _turned(product, available, others, out):
    """Logits from [c, (a o)] to [a, (c o)], so that sums over actions are sums of rows; the last action's are 0."""
    last = out.shape[0] - 1
    for a in range(last):
        for c in range(product.shape[0]):
            for o in range(others):
                out[a, c * others + o] = product[c, a * others + o]
    out[last, :] = _ZERO
    for a in range(last + 1):
        if not available[a]:
            out[a, :] = _NEVER


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _normalised(logits, top, parts, total, logs):
    """Of every column the greatest logit, numbers in proportion to probabilities, their sum and its logarithm."""
    actions, lanes = logits.shape
    for k in range(lanes):
        top[k] = logits[0, k]
        total[k] = _ZERO
    for a in range(1, actions):
        for k in range(lanes):
            top[k] = logits[a, k] if logits[a, k] > top[k] else top[k]
    for a in range(actions):
        for k in range(lanes):
            part = decay(logits[a, k] - top[k])
            parts[a, k] = part
            total[k] += part
    for k in range(lanes):
        logs[k] = log(total[k])


@njit(cache=True)
@typing.no_type_check
def _chosen(logits, top, logs, others, chosen, out, first):
    """The log-probabilities under one alternative, in rows of [o, a] from `first` on; NaN where it does not exist."""
    known = chosen >= 0 and (chosen + 1) * others <= top.size
    for o in range(others):
        k = chosen * others + o if known else 0
        below = top[k] + logs[k] if known else np.float32(np.nan)
        for a in range(out.shape[1]):
            out[first + o, a] = logits[a, k] - below


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _mixed(weights, parts, total, scaled, out):
    """The mixtures [a, o] of what is still to be divided by its sums; whether no part can have been lost in them."""
    actions, others = out.shape
    for c in range(weights.size):
        for o in range(others):
            scaled[c * others + o] = weights[c] / total[c * others + o]
    whole = True
    for a in range(actions):
        for o in range(others):
            value = _ZERO
            for c in range(weights.size):
                value += scaled[c * others + o] * parts[a, c * others + o]
            out[a, o] = value
            whole = whole and value >= _LEAST
    return whole


@njit(cache=True, fastmath=CONTRACTED)
@typing.no_type_check
def _logarithms(x, out, first):
    """Logarithms of [a, o] in rows of [o, a] from `first` on."""
    actions, others = x.shape
    for o in range(others):
        for a in range(actions):
            out[first + o, a] = log(x[a, o])


@njit(cache=True, error_model="numpy")
@typing.no_type_check
def _mixed_logarithms(weights, logits, top, logs, others, out, first):
    """The logarithms of mixtures in rows of [o, a] from `first` on, whatever underflows; see `mixture_from_logs`."""
    for o, a in np.ndindex(others, out.shape[1]):
        most = _NOTHING
        for c in range(weights.size):
            k = c * others + o
            here = logits[a, k] - top[k] - logs[k]
            most = here if weights[c] > _ZERO and here > most else most
        most = _ZERO if most == _NOTHING else most
        value = _ZERO
        for c in range(weights.size):
            k = c * others + o
            below = logits[a, k] - top[k] - logs[k] - most
            below = min(below, _ZERO) if weights[c] == _ZERO else below  # parts without weight may lie above the top
            value += weights[c] * np.exp(below)
        out[first + o, a] = np.log(value) + most


@njit(cache=True, error_model="numpy")
@typing.no_type_check
def _room(alternatives, others, actions):
    """What `_answer` writes on: products [c, p LANES], logits and parts [a, (c o)], four rows of them, mixtures."""
    columns = (others * (actions - 1) + LANES - 1) // LANES * LANES
    lanes = (alternatives * others + LANES - 1) // LANES * LANES
    return (
        np.zeros((alternatives, columns), np.float32),
        np.zeros((actions, lanes), np.float32),
        np.zeros((actions, lanes), np.float32),
        np.zeros(lanes, np.float32),
        np.zeros(lanes, np.float32),
        np.zeros(lanes, np.float32),
        np.zeros(lanes, np.float32),
        np.zeros((actions, others), np.float32),
    )


@njit(inline="always")
@typing.no_type_check
def _answer(h, head, bias, available, weights, chosen, actual, marginal, first, room):
    """From the outputs of all alternatives [c, y] to the log-probabilities in rows of [o, a] from `first` on."""
    product, logits, parts, top, total, logs, scaled, mixed = room
    others = mixed.shape[1]
    product[:] = bias
    _add_product(h, head, product)
    _turned(product, available, others, logits)
    _normalised(logits, top, parts, total, logs)
    _chosen(logits, top, logs, others, chosen, actual, first)
    if _mixed(weights, parts, total, scaled, mixed):
        _logarithms(mixed, marginal, first)
    else:
        _mixed_logarithms(weights, logits, top, logs, others, marginal, first)


@njit(cache=True, error_model="numpy")
@typing.no_type_check
def _tabulate(table, factors):
    """The factors of all alternatives [s, c, k]; the greatest magnitude in the table."""
    largest = _ZERO
    for s in range(table.shape[0]):
        for c in range(table.shape[1]):
            largest = _larger(_largest(table[s, c]), largest)
            _factors(table[s, c], factors[s, c])
    return largest


@njit(cache=True, error_model="numpy")
@typing.no_type_check
def imagine(
    drive,
    recurrent,
    h,
    cell,
    start,
    table,
    head,
    bias,
    weights,
    old,
    chosen,
    available,
    last_h,
    last_cell,
    actual,
    marginal,
):
    r"""The memory after a trajectory, and what others would do, given the real symbols and averaged over all.

    Args:
        drive: of every step as it was [g, t, m, k].
        recurrent: [g, y, k].
        h: the output before the first step [g, m, y].
        cell: likewise.
        start: where an episode begins and the memory is cleared [t, m].
        table: rows of the alternatives [g, s, c, k].
        head: to the logits of all others' actions but the last, less that of the last [g, y, (a - 1) o].
        bias: of it [g, (a - 1) o].
        weights: of the alternatives, for the last steps [r, g, s, c].
        old: the alternative that the drive holds; another number where it holds none [r, g, s].
        chosen: the real alternative [r, g, s].
        available: the actions that may be taken [r, g, a].
        last_h: the output after the last step [g, m, y].
        last_cell: likewise.
        actual: log-probabilities under the real alternative [r, g, s o, a].
        marginal: log-probabilities under the mixture of all [r, g, s o, a].
    """
    groups, steps, rows, width = drive.shape
    slots, alternatives = table.shape[1:3]
    y, others = width // 4, actual.shape[2] // slots
    first = steps - weights.shape[0] // max(rows, 1)
    room = _room(alternatives, others, available.shape[2])
    columns = (width + LANES - 1) // LANES
    packed, gates = np.empty((columns, y, LANES), np.float32), np.zeros((rows, columns * LANES), np.float32)
    read = np.empty((room[0].shape[1] // LANES, y, LANES), np.float32)
    shift = np.zeros(room[0].shape[1], np.float32)
    factors, nothing = np.empty((slots, alternatives, width), np.float32), np.zeros(width, np.float32)
    x, left, out = np.empty(width, np.float32), np.empty(width, np.float32), np.empty((alternatives, y), np.float32)
    last_h[:] = h
    last_cell[:] = cell
    for g in range(groups):
        _strips(recurrent[g], packed)
        _strips(head[g], read)
        shift[: bias.shape[1]] = bias[g]
        largest = _tabulate(table[g], factors)
        for t in range(steps):
            for m in range(rows):
                if start[t, m]:
                    last_h[g, m, :] = _ZERO
                    last_cell[g, m, :] = _ZERO
                gates[m, :width] = drive[g, t, m]
            _add_product(last_h[g], packed, gates)
            for m in range(rows):
                r, c = (t - first) * rows + m, last_cell[g, m]
                for s in range(slots if t >= first else 0):
                    known = table[g, s, old[r, g, s]] if 0 <= old[r, g, s] < alternatives else nothing
                    if _left(gates[m], known, x) + largest <= _BOUND and _largest(c) <= _LARGEST_CELL:
                        _factors(x, left)
                        _by_factors(left, factors[s], c, out)
                    else:
                        _by_sums(x, table[g, s], c, out)
                    like, was, at = weights[r, g, s], chosen[r, g, s], s * others
                    _answer(out, read, shift, available[r, g], like, was, actual[r, g], marginal[r, g], at, room)
                _advance(gates[m], c, last_h[g, m])
