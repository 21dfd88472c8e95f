"""Refusals that name the place and the number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

_ROUNDING = 16 * np.finfo(np.float64).eps
_SYMMETRY = 1e-12


def check_shape(name: str, held: ndarray, wanted: Sequence[int]) -> None:
    """Refuse another shape.

    Raises:
        ValueError: name and both shapes.
    """
    if held.shape != tuple(wanted):
        raise ValueError(f"{name} is {list(held.shape)}, not {list(wanted)}")


def check_finite(name: str, held: ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: the first place, with the number.
    """
    if (bad := ~np.isfinite(held)).any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}[{', '.join(map(str, place))}] is {float(held[place])!r}")


def covariance_root(name: str, held: ndarray) -> ndarray:
    r"""A root S of a covariance, $S S^T$ equal to it up to rounding; singular and zero ones are welcome.

    Scales differ: everything is measured on correlations. Eigenvalues of those within 16 n eps of 0 count as 0.

    Raises:
        ValueError: not finite, not symmetric (by more than 1e-12 of the diagonal), a negative variance, or a negative
            eigenvalue; which, and how much.
    """
    check_finite(name, held)
    n = len(held)
    variance = np.diag(held)
    if (variance < 0).any():
        i = int(np.argmin(variance))
        raise ValueError(f"{name}[{i}, {i}] is {float(variance[i])!r}: a variance cannot be negative")
    scale = np.sqrt(variance)
    gap = np.abs(held - held.T) > _SYMMETRY * np.outer(scale, scale)
    if gap.any():
        i, j = (int(k) for k in np.argwhere(gap)[0])
        raise ValueError(f"{name}[{i}, {j}] is {float(held[i, j])!r} and [{j}, {i}] {float(held[j, i])!r}")
    if not (held - np.diag(variance)).any():
        return np.diag(scale)
    unit = np.where(scale > 0, scale, 1.0)
    correlation = held / unit[:, None] / unit
    try:
        return np.linalg.cholesky(correlation) * scale[:, None]
    except np.linalg.LinAlgError:  # semidefinite, or not that
        pass
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    if values[0] < -_ROUNDING * n:
        raise ValueError(
            f"{name} has a negative eigenvalue: {float(np.linalg.eigvalsh(held)[0])!r} "
            f"({float(values[0])!r} of its correlations)"
        )
    root = vectors * np.sqrt(np.where(values > _ROUNDING * n, values, 0.0))
    return root * scale[:, None]
