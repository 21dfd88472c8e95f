"""Vector registers for intrinsics of compiled loops: what LLVM's builder needs several words for."""

from __future__ import annotations

import typing

from llvmlite import ir
from numba import types
from numba.core import cgutils


@typing.no_type_check
def unpacked(context, builder, signature, arguments):
    """An intrinsic's arguments: arrays, which come first, as structures with `data` and `shape`; and the others."""
    kinds = [kind for kind in signature.args if isinstance(kind, types.Array)]
    arrays = [
        context.make_array(kind)(context, builder, value)
        for kind, value in zip(kinds, arguments[: len(kinds)], strict=True)
    ]
    return arrays, arguments[len(kinds) :]


@typing.no_type_check
def address(builder, array, place, vector):
    """Where a vector of an array's numbers begins, from `place` on."""
    return builder.bitcast(builder.gep(array.data, [place]), vector.as_pointer())


@typing.no_type_check
def spread(builder, array, place, vector):
    """One number of an array in every lane."""
    one = builder.load(builder.gep(array.data, [place]))
    one = builder.insert_element(vector(ir.Undefined), one, ir.IntType(32)(0))
    zeros = ir.VectorType(ir.IntType(32), vector.count)([0] * vector.count)
    return builder.shuffle_vector(one, vector(ir.Undefined), zeros)


@typing.no_type_check
def accumulators(builder, places):
    """Variables, which LLVM keeps in registers, with what stands at these addresses of float32."""
    return [cgutils.alloca_once_value(builder, builder.load(place, align=4)) for place in places]


@typing.no_type_check
def add_product(builder, total, one, other):
    """Adds the product of two vectors to a variable, rounded once where the machine can."""
    product = builder.fmul(one, other, flags=("contract",))
    builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)


@typing.no_type_check
def put_back(builder, totals, places):
    """Writes variables to addresses of float32."""
    for place, total in zip(places, totals, strict=True):
        builder.store(builder.load(total), place, align=4)
