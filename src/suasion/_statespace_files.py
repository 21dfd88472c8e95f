"""Files of `suasion filter | smooth | fit | forecast`: models as TOML, series as CSV. Both may come from anywhere."""

from __future__ import annotations

import csv
import dataclasses
import io
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    from suasion.statespace import FiniteSSM, LinearGaussianSSM

_TOML_BYTES = 1 << 20
_CSV_BYTES = 1 << 26
_STATES = 1000
_ENTRIES = 100_000_000  # numbers that results may have

_KEYS = {
    "linear-gaussian": ("A", "C", "Q", "R", "B", "D", "m0", "P0", "diffuse"),
    "local-level": ("Q", "R"),
    "local-linear-trend": ("Q", "R"),
    "autoregressive": ("coefficients", "Q", "R"),
    "chain": ("transition", "initial", "names", "table", "gaussian", "poisson"),
}


def read_model(path: Path) -> tuple[LinearGaussianSSM | FiniteSSM, tuple[str, ...]]:
    """The model of a TOML file, and names of its states.

    Raises:
        ValueError: it is too large, no TOML, or no model; what is wrong, and where.
        OSError: it cannot be read.
    """
    held = _bytes(path, _TOML_BYTES)
    try:
        found = tomllib.loads(held.decode())
        return _model(found)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None


def _model(found: dict[str, Any]) -> tuple[LinearGaussianSSM | FiniteSSM, tuple[str, ...]]:
    kind = found.pop("kind", None)
    if kind not in _KEYS:
        raise ValueError(f"kind is {kind!r}: must be one of {', '.join(_KEYS)}")
    if unknown := [key for key in found if key not in _KEYS[kind]]:
        raise ValueError(f"a {kind} has no {unknown[0]!r}; it has {', '.join(_KEYS[kind])}")
    if kind == "chain":
        return _chain(found)
    model = _gaussian(kind, found)
    return model, tuple(f"x{i}" for i in range(model.n_components))


def _gaussian(kind: str, found: dict[str, Any]) -> LinearGaussianSSM:
    from scipy import linalg

    from suasion.statespace import LinearGaussianSSM

    if kind == "linear-gaussian":
        A, C = _numbers(found, "A", 2), _numbers(found, "C", 2)
        n = len(A)
        start = {"m0": _numbers(found, "m0", 1) if "m0" in found else np.zeros(n)}
        diffuse = found.get("diffuse")
        if diffuse is not None:
            if not isinstance(diffuse, list) or not all(isinstance(one, bool) for one in diffuse):
                raise ValueError("diffuse must be a list of true and false")
            start["diffuse"] = np.array(diffuse, bool)
        if "P0" not in found and diffuse is None:
            raise ValueError("the start is missing: P0, or diffuse")
        start["P0"] = _numbers(found, "P0", 2) if "P0" in found else np.zeros((n, n))
        inputs = {name: _numbers(found, name, 2) for name in ("B", "D") if name in found}
        return LinearGaussianSSM(A=A, C=C, Q=_numbers(found, "Q", 2), R=_numbers(found, "R", 2), **start, **inputs)
    R = _numbers(found, "R", 0).reshape(1, 1) if kind != "autoregressive" or "R" in found else np.zeros((1, 1))
    if kind == "autoregressive":
        lags = _numbers(found, "coefficients", 1)
        n = len(lags)
        A = np.concatenate([lags[None], np.eye(n)[:-1]])
        if not np.abs(np.linalg.eigvals(A)).max() < 1:
            raise ValueError("coefficients are those of no stationary process")
        Q = np.zeros((n, n))
        Q[0, 0] = float(_numbers(found, "Q", 0))
        P0 = linalg.solve_discrete_lyapunov(A, Q)
        return LinearGaussianSSM(A=A, C=np.eye(1, n), Q=Q, R=R, m0=np.zeros(n), P0=(P0 + P0.T) / 2)
    if kind == "local-level":
        A, Q = np.ones((1, 1)), _numbers(found, "Q", 0).reshape(1, 1)
    else:
        A, Q = np.array([[1.0, 1], [0, 1]]), np.diag(_numbers(found, "Q", 1))
        if len(Q) != 2:
            raise ValueError(f"Q has {len(Q)} numbers: the variances of level and slope")
    n = len(A)
    known = {"m0": np.zeros(n), "P0": np.zeros((n, n)), "diffuse": np.ones(n, bool)}
    return LinearGaussianSSM(A=A, C=np.eye(1, n), Q=Q, R=R, **known)


def _chain(found: dict[str, Any]) -> tuple[FiniteSSM, tuple[str, ...]]:
    from suasion.statespace import Emission, FiniteSSM, Gaussian, Poisson, Table

    kinds = [kind for kind in ("table", "gaussian", "poisson") if kind in found]
    if len(kinds) != 1 or not isinstance(found[kinds[0]], dict):
        raise ValueError("a chain needs one of the sections [table], [gaussian], [poisson]")
    part = found[kinds[0]]
    emission: Emission
    if kinds[0] == "table":
        emission = Table(probability=_numbers(part, "probability", 2))
    elif kinds[0] == "poisson":
        emission = Poisson(rate=_numbers(part, "rate", 1))
    else:
        emission = Gaussian(mean=_numbers(part, "mean", 2), covariance=_numbers(part, "covariance", 3))
    model = FiniteSSM(
        transition=_numbers(found, "transition", 2), initial=_numbers(found, "initial", 1), emission=emission
    )
    names = found.get("names", [f"state {k}" for k in range(model.n_states)])
    if not isinstance(names, list) or len(names) != model.n_states or not all(isinstance(one, str) for one in names):
        raise ValueError(f"names must be {model.n_states} strings")
    return model, tuple(names)


def _numbers(found: dict[str, Any], name: str, axes: int) -> ndarray:
    """An array of so many axes."""
    if name not in found:
        raise ValueError(f"{name} is missing")
    try:
        held = np.array(found[name], np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} holds what is no number, or rows of different lengths") from None
    if held.ndim != axes or not held.size or max(held.shape, default=0) > _STATES:
        raise ValueError(f"{name} has shape {list(held.shape)}: must have {axes} axes of 1 to {_STATES} entries")
    return held


def write_model(model: LinearGaussianSSM | FiniteSSM, names: tuple[str, ...]) -> str:
    """A model as TOML, every digit kept."""
    from suasion.statespace import LinearGaussianSSM

    if isinstance(model, LinearGaussianSSM):
        lines = ['kind = "linear-gaussian"']
        held = {name: getattr(model, name) for name in ("A", "B", "C", "D", "Q", "R", "m0", "P0")}
        lines += [f"{name} = {value.tolist()!r}" for name, value in held.items() if value is not None]
        if model.diffuse is not None:
            lines.append(f"diffuse = {str(model.diffuse.tolist()).lower()}")
        return "\n".join(lines) + "\n"
    quoted = ", ".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names)
    lines = ['kind = "chain"', f"names = [{quoted}]"]
    lines += [f"initial = {model.start.tolist()!r}", f"transition = {model.matrix.tolist()!r}", ""]
    lines.append(f"[{type(model.emission).__name__.lower()}]")
    for one in dataclasses.fields(model.emission):  # type: ignore[arg-type]
        lines.append(f"{one.name} = {getattr(model.emission, one.name).tolist()!r}")
    return "\n".join(lines) + "\n"


def read_series(path: Path, columns: tuple[str, ...], steps: int, width: int) -> dict[str, ndarray]:
    """Columns of a CSV file with a header, as numbers; an empty cell, `NaN` or `NA` is missing.

    Args:
        path: the file.
        columns: which; all if empty.
        steps: numbers that results hold for each row, to refuse in time what would not fit.
        width: how many columns are needed where none are named.

    Raises:
        ValueError: a cell is no number (line and column), a row has another length, a column is not there, or sizes.
        OSError: it cannot be read.
    """
    try:
        text = _bytes(path, _CSV_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is no UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) != len(header) or not header:
            raise ValueError(f"{path}: line 1 must name columns, each once")
        if not columns and len(header) != width:
            raise ValueError(
                f"{path} has columns {', '.join(header)}, and {width} are observed: say which by --columns"
            )
        if unknown := [name for name in columns if name not in header]:
            raise ValueError(f"{path} has no column {unknown[0]!r}; it has {', '.join(header)}")
        chosen = [header.index(name) for name in columns or header]
        rows = [_row(path, reader.line_num, row, header, chosen) for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: {error}") from None
    if not rows:
        raise ValueError(f"{path} has no rows")
    if len(rows) * steps > _ENTRIES:
        raise ValueError(f"{path} has {len(rows)} rows: results would have more than {_ENTRIES:,} numbers")
    held = np.array(rows, np.float64)
    return {header[c]: held[:, i] for i, c in enumerate(chosen)}


def _row(path: Path, line: int, row: list[str], header: list[str], chosen: list[int]) -> list[float]:
    if len(row) != len(header):
        raise ValueError(f"{path}: line {line} has {len(row)} cells, and the header {len(header)}")
    out = []
    for c in chosen:
        cell = row[c].strip()
        if cell.lower() in ("", "nan", "na"):
            out.append(np.nan)
            continue
        try:
            out.append(float(cell))
        except ValueError:
            raise ValueError(f"{path}: line {line}, column {header[c]!r}: {cell[:40]!r} is no number") from None
        if not np.isfinite(out[-1]):
            raise ValueError(f"{path}: line {line}, column {header[c]!r}: {cell[:40]!r} is not finite")
    return out


def _bytes(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        held = file.read(most + 1)
    if len(held) > most:
        raise ValueError(f"{path} is larger than {most:,} bytes")
    return held
