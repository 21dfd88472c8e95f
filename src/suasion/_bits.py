"""Numbers taken for words, and words for numbers, in loops that Numba compiles."""

from __future__ import annotations

import typing
from typing import Any

from numba import types
from numba.extending import intrinsic


def reinterpreted(source: types.Type, target: types.Type) -> Any:
    """An intrinsic of one number: the number of the other type that has the same bits.

    Args:
        source: a number type of Numba.
        target: another, as wide.
    """

    @intrinsic
    @typing.no_type_check
    def same_bits(context, number):
        del context, number

        def make(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

        return target(source), make

    return same_bits
