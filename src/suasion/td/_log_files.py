"""Logs on disk: npz, and Parquet by the extra `parquet`; nothing is ever unpickled.

Both hold the columns of `Transitions` by their names, with fixed types, and `about` as JSON. A reader trusts no size
before it is held against the bytes that are there, and takes no more memory than a small multiple of what the file may
hold when decompressed, which is capped. (Of Parquet that is the number of rows and the types; pages are pyarrow's.)
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from suasion.records import RecordError, write_whole
from suasion.td._log import COLUMNS, Transitions

VERSION = 1
FREE = 2**28  # decompressed bytes that are always accepted,
RATIO = 1024  # and more for each byte of the file: what deflate can do at most
_LONGEST = 2**20  # bytes of `about`
_ROW = sum(np.dtype(kind).itemsize for kind in COLUMNS.values())
_DELTA = ("run", "episode", "time")  # rise by 0 or 1 from row to row
_DICTIONARY = ["state", "action", "reward", "next_state", "behaviour"]  # few different values


def write_log(log: Transitions, path: str | Path) -> Path:
    """Write a log; the end of the file's name says how.

    Both take 2 to 4 bytes a step of a model of some hundred states. `.npz` needs nothing else; `.parquet` is read by
    other tools, and needs pyarrow.

    Args:
        log: the log.
        path: the file, whole or not written at all.

    Raises:
        RecordError: another end of the name, `about` is not JSON or longer than a megabyte, or pyarrow is missing.
        OSError: the disk refused.
    """
    path = Path(path)
    columns: dict[str, ndarray] = {name: getattr(log, name).astype(kind) for name, kind in COLUMNS.items()}
    writer = {".npz": _npz, ".parquet": _parquet}.get(path.suffix.lower())
    if writer is None:
        raise RecordError(f"{path}: a log is .npz or .parquet")
    write_whole(path, [writer(columns, _text(log, path))])
    return path


def read_log(path: str | Path) -> Transitions:
    """Read what `write_log` wrote.

    Args:
        path: the file, .npz or .parquet.

    Raises:
        RecordError: it is missing, malformed, hostile, lacks a column, or holds what is no log: a probability of 0, an
            episode with a gap; the column, or the row with its number. Or pyarrow is missing.
    """
    path = Path(path)
    reader = {".npz": _from_npz, ".parquet": _from_parquet}.get(path.suffix.lower())
    if reader is None:
        raise RecordError(f"{path}: a log is .npz or .parquet")
    if not path.is_file():
        raise RecordError(f"{path}: no such file")
    columns, text = reader(path)
    about = _about(text, path)
    try:
        return Transitions(**columns, about=about)
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error


def _text(log: Transitions, path: Path) -> bytes:
    try:
        text = json.dumps({"version": VERSION, "about": dict(log.about)}, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise RecordError(f"{path}: about cannot be written as JSON: {error}") from error
    if len(text) > _LONGEST:
        raise RecordError(f"{path}: about takes {len(text)} bytes; limit {_LONGEST}")
    return text


def _about(text: bytes, path: Path) -> dict[str, str | int | float | None]:
    if len(text) > _LONGEST:
        raise RecordError(f"{path}: about takes {len(text)} bytes; limit {_LONGEST}")
    try:
        held = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: about is no JSON: {error}") from error
    if not isinstance(held, dict) or held.get("version") != VERSION:
        raise RecordError(f"{path}: not a log of version {VERSION}")
    about = held.get("about")
    if not isinstance(about, dict) or not all(isinstance(x, str | int | float | None) for x in about.values()):
        raise RecordError(f"{path}: about is no table of names and plain values")
    return about


def _npz(columns: dict[str, ndarray], text: bytes) -> memoryview:
    buffer = io.BytesIO()
    plain: dict[str, Any] = {**columns, "about": np.frombuffer(text, np.uint8)}
    np.savez_compressed(buffer, **plain)
    return buffer.getbuffer()


def _from_npz(path: Path) -> tuple[dict[str, ndarray], bytes]:
    kinds = {**COLUMNS, "about": "|u1"}
    arrays: dict[str, ndarray] = {}
    try:
        left = FREE + RATIO * path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name not in kinds or name in arrays:
                    raise RecordError(f"{path}: member {entry.filename[:80]!r} does not belong here, or comes twice")
                left -= max(entry.file_size, 0)
                if left < 0 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise RecordError(f"{path}: {name}: {entry.file_size} bytes, more than this file may hold")
                with archive.open(entry) as member:
                    held = member.read(entry.file_size + 1)
                arrays[name] = _array(held, f"{path}: {name}", kinds[name])
    except RecordError:
        raise
    except Exception as error:  # the errors of readers of zip archives are many
        raise RecordError(f"{path}: not a sound npz file: {error or type(error).__name__}") from error
    if missing := [name for name in kinds if name not in arrays]:
        raise RecordError(f"{path}: the column {missing[0]} is missing")
    text = arrays.pop("about").tobytes()
    return arrays, text


def _array(content: bytes, place: str, kind: str) -> ndarray:
    """A vector in NumPy's format, of just this type."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, held = read(file, max_header_size=1000)
    except Exception as error:  # the header is a literal of Python, and its parser's errors are many
        raise RecordError(f"{place}: no array of NumPy: {error or type(error).__name__}") from error
    if held != np.dtype(kind) or len(shape) != 1:
        raise RecordError(f"{place}: {held} with {len(shape)} axes, not a vector of {np.dtype(kind)}")
    start, wanted = file.tell(), math.prod(shape) * held.itemsize
    if len(content) - start != wanted:
        raise RecordError(f"{place}: {len(content) - start} bytes; a length of {shape[0]} takes {wanted}")
    flat = np.frombuffer(content, np.uint8, offset=start)
    if held.kind == "b" and flat.size and flat.max() > 1:
        raise RecordError(f"{place}: a boolean of value {flat.max()}")
    return flat.view(held).copy()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise RecordError("Parquet needs pyarrow: install suasion[parquet]") from error
    return pyarrow, parquet


def _schema(arrow: Any) -> Any:
    named = {"<i4": arrow.int32(), "<f8": arrow.float64(), "|b1": arrow.bool_()}
    return arrow.schema([arrow.field(name, named[kind], nullable=False) for name, kind in COLUMNS.items()])


def _parquet(columns: dict[str, ndarray], text: bytes) -> memoryview:
    arrow, parquet = _pyarrow()
    table = arrow.table(columns, schema=_schema(arrow).with_metadata({b"suasion.log": text}))
    sink = arrow.BufferOutputStream()
    parquet.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=_DICTIONARY,
        column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
        dictionary_pagesize_limit=2**22,
        write_statistics=False,
    )
    return memoryview(sink.getvalue())


def _from_parquet(path: Path) -> tuple[dict[str, ndarray], bytes]:
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path, memory_map=False) as file:
            schema, rows = file.schema_arrow, int(file.metadata.num_rows)
            for field in _schema(arrow):
                place = schema.get_field_index(field.name)
                if place < 0:
                    raise RecordError(f"{path}: the column {field.name} is missing, or there twice")
                if schema.field(place).type != field.type:
                    raise RecordError(f"{path}: {field.name} is {schema.field(place).type}, not {field.type}")
            if rows * _ROW > FREE + RATIO * path.stat().st_size:
                raise RecordError(f"{path}: {rows} rows, more than a file of this size may hold")
            text = (schema.metadata or {}).get(b"suasion.log")
            if text is None:
                raise RecordError(f"{path}: no log of suasion: the key suasion.log is missing")
            table = file.read(columns=list(COLUMNS))
        for name in COLUMNS:
            if table.column(name).null_count:
                raise RecordError(f"{path}: {name} has {table.column(name).null_count} empty rows")
        columns = {name: table.column(name).to_numpy().astype(kind, copy=True) for name, kind in COLUMNS.items()}
    except RecordError:
        raise
    except Exception as error:  # pyarrow's errors are of many kinds
        raise RecordError(f"{path}: not a sound Parquet file: {str(error)[:200] or type(error).__name__}") from error
    return columns, text
