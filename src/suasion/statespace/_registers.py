"""Arrays of a constant length that compiled code can keep in registers."""

from __future__ import annotations

import typing

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic(prefer_literal=True)
@typing.no_type_check
def frame(context, length):
    """A pointer to so many float64 on the stack, for `carray`; `length` is a constant of the compiled code.

    Once loops over it are unrolled, nothing of it is left in memory. It ends with the function that asks for it.
    """
    del context
    held = ir.ArrayType(ir.DoubleType(), length.literal_value)

    def make(context, builder, signature, arguments):
        del context, signature, arguments
        return builder.bitcast(cgutils.alloca_once(builder, held), ir.PointerType(ir.DoubleType()))

    return types.CPointer(types.float64)(length), make
