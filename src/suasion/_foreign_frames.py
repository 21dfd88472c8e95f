"""The frames of XLA's calls, as functions that Numba compiles read them.

The structures are those of XLA's `c_api.h`, version 0.3 of the interface: `XLA_FFI_CallFrame`, `_Args`, `_Rets`,
`_Buffer`, `_Metadata`. A frame is read as words of 8 bytes. A loop that XLA can call is a function of a frame's
address; it gives 0, and begins by `if asked(frame): return 0`.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any

from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

GIVEN, FOUND = 9, 14  # words of a frame: the lists of arguments and of results
_EXTENSION = 1  # the word of a frame with the first extension
_DATA, _DIMENSIONS = 3, 5  # words of a buffer
_ASKS_METADATA = 1  # the kind of extension with which XLA asks for the version
_VERSION = (0, 3)  # of the interface that was read


def _pointer(kind: Any) -> Any:
    """An intrinsic that takes an address for a pointer to numbers of this kind."""

    @intrinsic
    @typing.no_type_check
    def pointer(context, address):
        del context, address

        def make(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), make

    return pointer


_words, _halves, _floats, _bytes = (_pointer(kind) for kind in (types.int64, types.int32, types.float32, types.uint8))


@njit
@typing.no_type_check
def _word(address, index):
    return carray(_words(address), index + 1)[index]


@njit
@typing.no_type_check
def _buffer(frame, side, index):
    return _word(_word(frame, side), index)


@njit
@typing.no_type_check
def _size(buffer, axis):
    return _word(_word(buffer, _DIMENSIONS), axis)


@njit
@typing.no_type_check
def vector(frame, side, index):
    """Floats [n]."""
    buffer = _buffer(frame, side, index)
    return carray(_floats(_word(buffer, _DATA)), (_size(buffer, 0),))


@njit
@typing.no_type_check
def matrix(frame, side, index):
    """Floats [m, n]."""
    buffer = _buffer(frame, side, index)
    return carray(_floats(_word(buffer, _DATA)), (_size(buffer, 0), _size(buffer, 1)))


@njit
@typing.no_type_check
def cube(frame, side, index):
    """Floats [l, m, n]."""
    buffer = _buffer(frame, side, index)
    return carray(_floats(_word(buffer, _DATA)), (_size(buffer, 0), _size(buffer, 1), _size(buffer, 2)))


@njit
@typing.no_type_check
def quartic(frame, side, index):
    """Floats [k, l, m, n]."""
    buffer = _buffer(frame, side, index)
    shape = (_size(buffer, 0), _size(buffer, 1), _size(buffer, 2), _size(buffer, 3))
    return carray(_floats(_word(buffer, _DATA)), shape)


@njit
@typing.no_type_check
def index_cube(frame, side, index):
    """int32 [l, m, n]."""
    buffer = _buffer(frame, side, index)
    return carray(_halves(_word(buffer, _DATA)), (_size(buffer, 0), _size(buffer, 1), _size(buffer, 2)))


@njit
@typing.no_type_check
def mask(frame, side, index):
    """Truth values [m, n], a byte each."""
    buffer = _buffer(frame, side, index)
    return carray(_bytes(_word(buffer, _DATA)), (_size(buffer, 0), _size(buffer, 1)))


@njit
@typing.no_type_check
def byte_cube(frame, side, index):
    """Bytes [l, m, n]: small numbers, or truth values."""
    buffer = _buffer(frame, side, index)
    return carray(_bytes(_word(buffer, _DATA)), (_size(buffer, 0), _size(buffer, 1), _size(buffer, 2)))


@njit
@typing.no_type_check
def asked(frame):
    """Whether XLA only asks for the version; then it is told."""
    extension = _word(frame, _EXTENSION)
    if extension == 0 or carray(_halves(extension), 3)[2] != _ASKS_METADATA:
        return False
    metadata = carray(_halves(_word(extension, 3)), 9)
    metadata[6], metadata[7] = _VERSION
    metadata[8] = 0  # no traits
    return True


@typing.no_type_check
def nothing(frame):
    """The loop that does nothing: whether XLA takes it tells whether it takes any."""
    asked(frame)
    return 0


@functools.cache
def compiled(loop: Callable[..., Any]) -> Any:
    """A loop as a function that XLA can call, for as long as the process lives."""
    return cfunc("int64(int64)", cache=True, error_model="numpy")(loop)
