"""The loops as functions that XLA can call; see `suasion._foreign`."""

from __future__ import annotations

import typing

from suasion._foreign_frames import FOUND, GIVEN, asked, byte_cube, cube, matrix, vector
from suasion.networks import _lookup_kernels as kernels


@typing.no_type_check
def convolve(frame):
    if asked(frame):
        return 0
    kernels.convolve(
        byte_cube(frame, GIVEN, 0),
        matrix(frame, GIVEN, 1),
        cube(frame, GIVEN, 2),
        matrix(frame, GIVEN, 3),
        matrix(frame, FOUND, 0),
    )
    return 0


@typing.no_type_check
def correlate(frame):
    if asked(frame):
        return 0
    kernels.correlate(
        byte_cube(frame, GIVEN, 0),
        matrix(frame, GIVEN, 1),
        matrix(frame, GIVEN, 2),
        matrix(frame, GIVEN, 3),
        matrix(frame, FOUND, 0),
        vector(frame, FOUND, 1),
    )
    return 0
