"""The frames of XLA's calls, as Numba reads them, and the loops as functions that XLA can call.

The structures are those of XLA's `c_api.h`: `XLA_FFI_CallFrame`, `_Args`, `_Rets`, `_Buffer`, `_Metadata`. A frame is
read as words of 8 bytes.
"""

from __future__ import annotations

import functools
import typing
from typing import Any

from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

from suasion.sequence import _native_kernels as kernels
from suasion.sequence import _native_units as units

_EXTENSION, _GIVEN, _FOUND = 1, 9, 14  # words of a frame: the first extension, the lists of arguments and of results
_FRAME_WORDS = 15
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
def _vector(frame, side, index):
    buffer = _buffer(frame, side, index)
    return carray(_floats(_word(buffer, _DATA)), (_size(buffer, 0),))


@njit
@typing.no_type_check
def _matrix(frame, side, index):
    buffer = _buffer(frame, side, index)
    return carray(_floats(_word(buffer, _DATA)), (_size(buffer, 0), _size(buffer, 1)))


@njit
@typing.no_type_check
def _cube(frame, side, index):
    buffer = _buffer(frame, side, index)
    return carray(_floats(_word(buffer, _DATA)), (_size(buffer, 0), _size(buffer, 1), _size(buffer, 2)))


@njit
@typing.no_type_check
def _quartic(frame, side, index):
    buffer = _buffer(frame, side, index)
    shape = (_size(buffer, 0), _size(buffer, 1), _size(buffer, 2), _size(buffer, 3))
    return carray(_floats(_word(buffer, _DATA)), shape)


@njit
@typing.no_type_check
def _mask(frame, side, index):
    buffer = _buffer(frame, side, index)
    return carray(_bytes(_word(buffer, _DATA)), (_size(buffer, 0), _size(buffer, 1)))


@njit
@typing.no_type_check
def _asked(frame):
    """Whether XLA only asks for the version; then it is told."""
    extension = _word(frame, _EXTENSION)
    if extension == 0 or carray(_halves(extension), 3)[2] != _ASKS_METADATA:
        return False
    metadata = carray(_halves(_word(extension, 3)), 9)
    metadata[6], metadata[7] = _VERSION
    metadata[8] = 0  # no traits
    return True


@typing.no_type_check
def _nothing(frame):
    _asked(frame)
    return 0


@typing.no_type_check
def _scan(frame):
    if _asked(frame):
        return 0
    kernels.scan(
        _cube(frame, _GIVEN, 0),
        _cube(frame, _GIVEN, 1),
        _matrix(frame, _GIVEN, 2),
        _cube(frame, _GIVEN, 3),
        _cube(frame, _GIVEN, 4),
        _cube(frame, _GIVEN, 5),
        _mask(frame, _GIVEN, 6),
        _cube(frame, _FOUND, 0),
        _cube(frame, _FOUND, 1),
        _quartic(frame, _FOUND, 2),
    )
    return 0


@typing.no_type_check
def _scan_adjoint(frame):
    if _asked(frame):
        return 0
    kernels.scan_adjoint(
        _cube(frame, _GIVEN, 0),
        _cube(frame, _GIVEN, 1),
        _matrix(frame, _GIVEN, 2),
        _cube(frame, _GIVEN, 3),
        _cube(frame, _GIVEN, 4),
        _mask(frame, _GIVEN, 5),
        _quartic(frame, _GIVEN, 6),
        _cube(frame, _GIVEN, 7),
        _cube(frame, _GIVEN, 8),
        _cube(frame, _FOUND, 0),
        _cube(frame, _FOUND, 1),
        _matrix(frame, _FOUND, 2),
        _cube(frame, _FOUND, 3),
        _cube(frame, _FOUND, 4),
        _cube(frame, _FOUND, 5),
    )
    return 0


@typing.no_type_check
def _convolve_silu(frame):
    if _asked(frame):
        return 0
    units.convolve_silu(
        _cube(frame, _GIVEN, 0),
        _matrix(frame, _GIVEN, 1),
        _vector(frame, _GIVEN, 2),
        _cube(frame, _GIVEN, 3),
        _mask(frame, _GIVEN, 4),
        _cube(frame, _FOUND, 0),
        _cube(frame, _FOUND, 1),
    )
    return 0


@typing.no_type_check
def _convolve_silu_adjoint(frame):
    if _asked(frame):
        return 0
    units.convolve_silu_adjoint(
        _cube(frame, _GIVEN, 0),
        _matrix(frame, _GIVEN, 1),
        _vector(frame, _GIVEN, 2),
        _cube(frame, _GIVEN, 3),
        _mask(frame, _GIVEN, 4),
        _cube(frame, _GIVEN, 5),
        _cube(frame, _GIVEN, 6),
        _cube(frame, _FOUND, 0),
        _matrix(frame, _FOUND, 1),
        _vector(frame, _FOUND, 2),
        _cube(frame, _FOUND, 3),
    )
    return 0


@typing.no_type_check
def _gated_unit(frame):
    if _asked(frame):
        return 0
    units.gated_unit(
        _cube(frame, _GIVEN, 0),
        _matrix(frame, _GIVEN, 1),
        _vector(frame, _GIVEN, 2),
        _cube(frame, _GIVEN, 3),
        _matrix(frame, _GIVEN, 4),
        _mask(frame, _GIVEN, 5),
        _cube(frame, _FOUND, 0),
        _cube(frame, _FOUND, 1),
        _cube(frame, _FOUND, 2),
    )
    return 0


@typing.no_type_check
def _gated_unit_adjoint(frame):
    if _asked(frame):
        return 0
    units.gated_unit_adjoint(
        _cube(frame, _GIVEN, 0),
        _matrix(frame, _GIVEN, 1),
        _vector(frame, _GIVEN, 2),
        _cube(frame, _GIVEN, 3),
        _matrix(frame, _GIVEN, 4),
        _mask(frame, _GIVEN, 5),
        _cube(frame, _GIVEN, 6),
        _cube(frame, _GIVEN, 7),
        _matrix(frame, _GIVEN, 8),
        _cube(frame, _GIVEN, 9),
        _cube(frame, _FOUND, 0),
        _matrix(frame, _FOUND, 1),
        _vector(frame, _FOUND, 2),
        _cube(frame, _FOUND, 3),
        _matrix(frame, _FOUND, 4),
    )
    return 0


_LOOPS = {
    "nothing": _nothing,
    "scan": _scan,
    "scan_adjoint": _scan_adjoint,
    "convolve_silu": _convolve_silu,
    "convolve_silu_adjoint": _convolve_silu_adjoint,
    "gated_unit": _gated_unit,
    "gated_unit_adjoint": _gated_unit_adjoint,
}


@functools.cache
def compiled(name: str) -> Any:
    """The loop of that name as a function that XLA can call, for as long as the process lives."""
    return cfunc("int64(int64)", cache=True, error_model="numpy")(_LOOPS[name])
