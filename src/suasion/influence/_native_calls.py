"""The loop as a function that XLA can call; see `suasion._foreign`."""

from __future__ import annotations

import typing

from suasion._foreign_frames import FOUND, GIVEN, asked, byte_cube, cube, index_cube, mask, matrix, quartic
from suasion.influence import _native_kernels as kernels


@typing.no_type_check
def imagine(frame):
    if asked(frame):
        return 0
    kernels.imagine(
        quartic(frame, GIVEN, 0),
        cube(frame, GIVEN, 1),
        cube(frame, GIVEN, 2),
        cube(frame, GIVEN, 3),
        mask(frame, GIVEN, 4),
        quartic(frame, GIVEN, 5),
        cube(frame, GIVEN, 6),
        matrix(frame, GIVEN, 7),
        quartic(frame, GIVEN, 8),
        index_cube(frame, GIVEN, 9),
        index_cube(frame, GIVEN, 10),
        byte_cube(frame, GIVEN, 11),
        cube(frame, FOUND, 0),
        cube(frame, FOUND, 1),
        quartic(frame, FOUND, 2),
        quartic(frame, FOUND, 3),
    )
    return 0
