"""The loops as functions that XLA can call; see `suasion._foreign`."""

from __future__ import annotations

import typing

from numba import njit

from suasion._foreign_frames import FOUND, GIVEN, asked, cube, mask, matrix, quartic, vector
from suasion.sequence import _native_kernels as kernels
from suasion.sequence import _native_units as units


@njit
@typing.no_type_check
def _scan(frame, held):
    kernels.scan(
        cube(frame, GIVEN, 0),
        cube(frame, GIVEN, 1),
        matrix(frame, GIVEN, 2),
        cube(frame, GIVEN, 3),
        cube(frame, GIVEN, 4),
        cube(frame, GIVEN, 5),
        mask(frame, GIVEN, 6),
        held,
        cube(frame, FOUND, 0),
        cube(frame, FOUND, 1),
        quartic(frame, FOUND, 2),
    )


@typing.no_type_check
def scan(frame):
    if asked(frame):
        return 0
    _scan(frame, False)
    return 0


@typing.no_type_check
def scan_held(frame):
    if asked(frame):
        return 0
    _scan(frame, True)
    return 0


@njit
@typing.no_type_check
def _scan_adjoint(frame, held):
    kernels.scan_adjoint(
        cube(frame, GIVEN, 0),
        cube(frame, GIVEN, 1),
        matrix(frame, GIVEN, 2),
        cube(frame, GIVEN, 3),
        cube(frame, GIVEN, 4),
        mask(frame, GIVEN, 5),
        quartic(frame, GIVEN, 6),
        cube(frame, GIVEN, 7),
        cube(frame, GIVEN, 8),
        held,
        cube(frame, FOUND, 0),
        cube(frame, FOUND, 1),
        matrix(frame, FOUND, 2),
        cube(frame, FOUND, 3),
        cube(frame, FOUND, 4),
        cube(frame, FOUND, 5),
    )


@typing.no_type_check
def scan_adjoint(frame):
    if asked(frame):
        return 0
    _scan_adjoint(frame, False)
    return 0


@typing.no_type_check
def scan_held_adjoint(frame):
    if asked(frame):
        return 0
    _scan_adjoint(frame, True)
    return 0


@typing.no_type_check
def convolve_silu(frame):
    if asked(frame):
        return 0
    units.convolve_silu(
        cube(frame, GIVEN, 0),
        matrix(frame, GIVEN, 1),
        vector(frame, GIVEN, 2),
        cube(frame, GIVEN, 3),
        mask(frame, GIVEN, 4),
        cube(frame, FOUND, 0),
        cube(frame, FOUND, 1),
    )
    return 0


@typing.no_type_check
def convolve_silu_adjoint(frame):
    if asked(frame):
        return 0
    units.convolve_silu_adjoint(
        cube(frame, GIVEN, 0),
        matrix(frame, GIVEN, 1),
        vector(frame, GIVEN, 2),
        cube(frame, GIVEN, 3),
        mask(frame, GIVEN, 4),
        cube(frame, GIVEN, 5),
        cube(frame, GIVEN, 6),
        cube(frame, FOUND, 0),
        matrix(frame, FOUND, 1),
        vector(frame, FOUND, 2),
        cube(frame, FOUND, 3),
    )
    return 0


@typing.no_type_check
def gated_unit(frame):
    if asked(frame):
        return 0
    units.gated_unit(
        cube(frame, GIVEN, 0),
        matrix(frame, GIVEN, 1),
        vector(frame, GIVEN, 2),
        cube(frame, GIVEN, 3),
        matrix(frame, GIVEN, 4),
        mask(frame, GIVEN, 5),
        cube(frame, FOUND, 0),
        cube(frame, FOUND, 1),
        cube(frame, FOUND, 2),
    )
    return 0


@typing.no_type_check
def gated_unit_adjoint(frame):
    if asked(frame):
        return 0
    units.gated_unit_adjoint(
        cube(frame, GIVEN, 0),
        matrix(frame, GIVEN, 1),
        vector(frame, GIVEN, 2),
        cube(frame, GIVEN, 3),
        matrix(frame, GIVEN, 4),
        mask(frame, GIVEN, 5),
        cube(frame, GIVEN, 6),
        cube(frame, GIVEN, 7),
        matrix(frame, GIVEN, 8),
        cube(frame, GIVEN, 9),
        cube(frame, FOUND, 0),
        matrix(frame, FOUND, 1),
        vector(frame, FOUND, 2),
        cube(frame, FOUND, 3),
        matrix(frame, FOUND, 4),
    )
    return 0
