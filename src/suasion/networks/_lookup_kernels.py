r"""Compiled loops (Numba): a 3 x 3 convolution of a view whose cells are class codes, and its gradient.

The filters of an output lie side by side in one vector register. Colours are a function of the code, so an output is
the sum of nine rows of a table [tap, code, filter] that the first cache holds. The kernel's gradient keeps its 27 sums
and the bias's in registers along a row of the view: one multiplication and addition for each of them and output.

A table has a row for every byte; a code that is no class finds NaN there, and reads nothing that is not its own.

Letters of the shapes: g sets of parameters, n observations of all sets (n / g of each, set after set), v rows and w
columns of a view, c classes, f filters in p strips of LANES, k = (v - 2) (w - 2) f outputs.
"""

from __future__ import annotations

import typing

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from suasion._vectors import accumulators, add_product, address, put_back, spread, unpacked

LANES = 8  # filters that are added together
_TAPS, _CHANNELS = 9, 3
_SUMS = _TAPS * _CHANNELS + 1  # of the kernel's weights, and of the bias
_BYTES, _ROW = 256, _TAPS * LANES  # codes, and numbers of one code
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_ZERO, _NOTHING = np.float32(0.0), np.float32(np.nan)


@intrinsic
@typing.no_type_check
def _convolve_row(context, places, table, out, at, line, columns, to, filters):
    """relu of the sums of table rows, written from `to` on; lanes that are no filters spill into the next output.

    `places` are those of every cell's code in the table's strip [code, tap, LANES]; `at` is the row's upper left cell.
    """
    del context

    def make(context, builder, signature, arguments):
        (places, table, out), (at, line, columns, to, filters) = unpacked(context, builder, signature, arguments)
        word = at.type
        zeros = _VECTOR([0.0] * LANES)
        with cgutils.for_range(builder, columns) as loop:
            total = None
            for tap in range(_TAPS):
                place = builder.add(builder.add(at, loop.index), builder.mul(line, word(tap // 3)))
                row = builder.load(builder.gep(places.data, [builder.add(place, word(tap % 3))]))
                part = builder.load(address(builder, table, builder.add(row, word(tap * LANES)), _VECTOR), align=4)
                total = part if total is None else builder.fadd(total, part)
            negative = builder.fcmp_ordered("<", total, zeros)
            total = builder.select(negative, zeros, total)
            here = builder.add(to, builder.mul(loop.index, filters))
            builder.store(total, address(builder, out, here, _VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(places, table, out, *(types.intp,) * 5), make


@intrinsic
@typing.no_type_check
def _correlate_row(context, colours, above, sums, at, line, columns, to, filters):
    """Adds to `sums` [27 weights and the bias, LANES] what one row of outputs has to say.

    `colours` is the view's, flat [v, w, 3], and `at` the place of the row's upper left number; `above` is the cotangent
    of the outputs, from `to` on; `line` counts the numbers of a row of the view.
    """
    del context

    def make(context, builder, signature, arguments):
        (colours, above, sums), (at, line, columns, to, filters) = unpacked(context, builder, signature, arguments)
        word = at.type
        places = [address(builder, sums, word(k * LANES), _VECTOR) for k in range(_SUMS)]
        *weights, bias = totals = accumulators(builder, places)
        with cgutils.for_range(builder, columns) as loop:
            here = builder.add(to, builder.mul(loop.index, filters))
            output = builder.load(address(builder, above, here, _VECTOR), align=4)
            first = builder.add(at, builder.mul(loop.index, word(_CHANNELS)))
            for k, total in enumerate(weights):
                row, column = divmod(k, 3 * _CHANNELS)
                place = builder.add(builder.add(first, builder.mul(line, word(row))), word(column))
                add_product(builder, total, spread(builder, colours, place, _VECTOR), output)
            builder.store(builder.fadd(builder.load(bias), output), bias)
        put_back(builder, totals, places)
        return context.get_dummy_value()

    return types.void(colours, above, sums, *(types.intp,) * 5), make


@njit(cache=True)
@typing.no_type_check
def _tabulate(colours, kernel, bias, g, table):
    """What each tap adds for each code [p, code, tap, LANES], the bias with the first; lanes that are no filters: 0."""
    classes, filters = colours.shape[0], bias.shape[1]
    for k in range(table.size):
        table[k] = _ZERO if k // _ROW % _BYTES < classes else _NOTHING
    for code in range(classes):
        for tap in range(_TAPS):
            for d in range(filters):
                value = bias[g, d] if tap == 0 else _ZERO
                for channel in range(_CHANNELS):
                    value += colours[code, channel] * kernel[g, tap * _CHANNELS + channel, d]
                table[(d // LANES * _BYTES + code) * _ROW + tap * LANES + d % LANES] = value


@njit(cache=True, error_model="numpy")
@typing.no_type_check
def convolve(codes, colours, kernel, bias, out):
    """relu(convolution + bias), without padding.

    Args:
        codes: class of every cell [n, v, w].
        colours: of every class [c, 3].
        kernel: rows, columns and channels one after the other [g, 27, f].
        bias: [g, f].
        out: [n, k].
    """
    count, height, width = codes.shape
    rows, columns, filters = height - 2, width - 2, bias.shape[1]
    strips, of_set = (filters + LANES - 1) // LANES, count // bias.shape[0]
    table = np.empty(strips * _BYTES * _ROW, np.float32)
    places = np.empty(height * width, np.intp)
    room = np.empty(out.shape[1] + strips * LANES, np.float32)  # the last output spills as well
    for n in range(count):
        if n % of_set == 0:
            _tabulate(colours, kernel, bias, n // of_set, table)
        # The last strip alone spills, into what a strip before it, or the next output, overwrites.
        for p in range(strips - 1, -1, -1):
            for y in range(height):
                for x in range(width):
                    places[y * width + x] = (p * _BYTES + np.intp(codes[n, y, x])) * _ROW
            for y in range(rows):
                to = y * columns * filters + p * LANES
                _convolve_row(places, table, room, y * width, width, columns, to, filters)
        for k in range(out.shape[1]):
            out[n, k] = room[k]


@njit(cache=True, error_model="numpy")
@typing.no_type_check
def correlate(codes, colours, outputs, above, kernel, bias):
    """The gradient of `convolve` of one set.

    Args:
        codes: class of every cell [n, v, w].
        colours: of every class [c, 3].
        outputs: of `convolve` [n, k].
        above: their cotangent [n, k].
        kernel: its gradient [27, f].
        bias: likewise [f].
    """
    count, height, width = codes.shape
    rows, columns, filters = height - 2, width - 2, bias.size
    strips, line = (filters + LANES - 1) // LANES, width * _CHANNELS
    table, seen = np.empty(_BYTES * _CHANNELS, np.float32), np.empty(height * line, np.float32)
    for k in range(table.size):
        code, channel = k // _CHANNELS, k % _CHANNELS
        table[k] = colours[code, channel] if code < colours.shape[0] else _NOTHING
    room = np.zeros(outputs.shape[1] + strips * LANES, np.float32)  # the last output's lanes reach beyond it
    here, total = np.empty(_SUMS * LANES, np.float32), np.zeros(strips * _SUMS * LANES, np.float32)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                code = np.intp(codes[n, y, x])
                for channel in range(_CHANNELS):
                    seen[y * line + x * _CHANNELS + channel] = table[code * _CHANNELS + channel]
        for k in range(outputs.shape[1]):
            room[k] = above[n, k] if outputs[n, k] > _ZERO else _ZERO
        for p in range(strips):
            for k in range(here.size):
                here[k] = _ZERO
            for y in range(rows):
                to = y * columns * filters + p * LANES
                _correlate_row(seen, room, here, y * line, line, columns, to, filters)
            for k in range(here.size):
                total[p * here.size + k] += here[k]
    for d in range(filters):
        at = d // LANES * here.size + d % LANES
        for k in range(_SUMS - 1):
            kernel[k, d] = total[at + k * LANES]
        bias[d] = total[at + (_SUMS - 1) * LANES]
