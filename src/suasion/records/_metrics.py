"""Metrics: one JSON object a line, appended and flushed; only a function of the step, so equal runs leave
equal bytes."""

import errno
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from suasion.records import _json
from suasion.records._disk import RecordError, cut, flush, open_regular, open_to_grow, write_all

LONGEST_LINE = 2**20  # bytes
LARGEST_FILE = 2**27  # bytes that are read: rows take some 4 times as much memory, hostile ones up to 25 times
_DEEPEST_LIST = 8


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The rows of a metrics file.

    Attributes:
        rows: one dict a line, in the file's order: "step" (environment steps, int), numbers, None, or lists
            of these; where numbers were not finite, "non_finite" lists their keys (`loss`, `reward[2]`) and
            the values are None.
        torn: the last line was incomplete, as a kill leaves it, and is left out.
    """

    rows: list[dict[str, Any]]
    torn: bool


class MetricsWriter:
    """Appends rows to a metrics file; one writer a file.

    Keys are sorted, after "step"; floats are written with the fewest digits that read back equal in their own
    precision (a float32 of 0.1 as 0.1); so equal rows give equal bytes.

    Attributes:
        path: the file.
        offset: bytes of whole lines written; to be kept in a checkpoint, after `sync`.
    """

    def __init__(self, path: str | Path, offset: int | None = None) -> None:
        """Open for appending.

        Args:
            path: the file; made if missing.
            offset: cut the file here first: the `offset` of the checkpoint from which the run goes on, 0 for
                a fresh start. None: go on at the end, dropping a torn last line.

        Raises:
            RecordError: `offset` lies beyond the end or not at the end of a line; or the file is not a
                regular one.
            OSError: the disk refused.
        """
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file():
            raise RecordError(f"{path}: not a regular file")
        self._descriptor = open_to_grow(self.path)
        self._last_step = -1
        try:
            self.offset = self._end_of_lines() if offset is None else self._checked(offset)
            cut(self._descriptor, self.offset)
        except BaseException:
            self.close()
            raise

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row and hand it to the operating system at once.

        Args:
            row: "step" (environment steps, an int >= 0 that never falls) and any keys with numbers (Python's
                or NumPy's), None (undefined), or lists and NumPy arrays of these. A non-finite number is
                written as null and its key listed under "non_finite".

        Raises:
            RecordError: any other value, named by its key; a step that is missing or falls; a line above 1
                MiB.
            OSError: the disk refused; the file is cut back to whole lines.
        """
        step = row.get("step")
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or not 0 <= step < 2**63:
            raise RecordError(f'{self.path}: row["step"] is {step!r}; must be an integer >= 0')
        if step < self._last_step:
            raise RecordError(f'{self.path}: row["step"] is {step} after a row of step {self._last_step}')
        line = _encode(row, str(self.path))
        try:
            write_all(self._descriptor, line)
        except BaseException:
            cut(self._descriptor, self.offset)
            raise
        self.offset += len(line)
        self._last_step = int(step)

    def sync(self) -> None:
        """Flush to the disk itself: before a checkpoint that holds `offset`, lest the power fail between the
        two.

        Raises:
            FileNotFoundError: the file was removed or replaced since it was opened: what is written goes nowhere.
            OSError: the disk refused.
        """
        mine = os.fstat(self._descriptor)
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_ino, there.st_dev) != (mine.st_ino, mine.st_dev):
            raise FileNotFoundError(errno.ENOENT, "was removed or replaced while it was written", str(self.path))
        flush(self._descriptor)

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked(self, offset: int) -> int:
        size = os.fstat(self._descriptor).st_size
        if not 0 <= offset <= size:
            raise RecordError(f"{self.path}: offset {offset} lies outside its {size} bytes")
        if offset > 0:
            os.lseek(self._descriptor, offset - 1, os.SEEK_SET)
            if os.read(self._descriptor, 1) != b"\n":
                raise RecordError(f"{self.path}: offset {offset} is not at the end of a line")
        return offset

    def _end_of_lines(self) -> int:
        end = os.fstat(self._descriptor).st_size
        while end > 0:
            start = max(0, end - 65536)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            place = os.read(self._descriptor, end - start).rfind(b"\n")
            if place >= 0:
                return start + place + 1
            end = start
        return 0


def read_metrics(path: str | Path) -> Metrics:
    """Read a metrics file, also one that is being written.

    An incomplete last line (without its line end) is left out and reported by `torn`.

    Raises:
        RecordError: missing; a malformed line, named by its number, counted from 1; a line above 1 MiB; a file
            above 128 MiB. No other.
    """
    rows: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    with open_regular(path) as raw, open(raw.fileno(), "rb", closefd=False) as file:
        size, read = raw.seek(0, os.SEEK_END), 0
        raw.seek(0)
        while line := file.readline(LONGEST_LINE + 1):
            read += len(line)  # it may grow meanwhile
            if max(size, read) > LARGEST_FILE:
                raise RecordError(f"{path}: {max(size, read)} bytes of metrics; limit {LARGEST_FILE}")
            number = len(rows) + 1
            if not line.endswith(b"\n"):
                if len(line) > LONGEST_LINE:
                    raise RecordError(f"{path}: line {number}: longer than {LONGEST_LINE} bytes")
                return Metrics(rows=rows, torn=True)
            rows.append(decode_row(line, f"{path}: line {number}", names))
    return Metrics(rows=rows, torn=False)


def _encode(row: Mapping[str, Any], place: str) -> bytes:
    lost: list[str] = []
    plain: dict[str, Any] = {"step": int(row["step"])}
    for key in row:
        if not isinstance(key, str) or not key or key == "non_finite":
            raise RecordError(f"{place}: the key {key!r}: must be a string, not empty, not 'non_finite'")
    for key in sorted(row.keys() - {"step"}):
        plain[key] = _cell(row[key], key, lost, 0)
    if lost:
        plain["non_finite"] = lost
    try:
        line = json.dumps(plain, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError as error:
        raise RecordError(f"{place}: a key holds a lone surrogate: not Unicode text") from error
    if len(line) > LONGEST_LINE:
        raise RecordError(f"{place}: a row of {len(line)} bytes; limit {LONGEST_LINE}")
    return line


def _cell(value: Any, place: str, lost: list[str], depth: int) -> Any:
    """A JSON value; the places of non-finite numbers go to `lost`."""
    if value is None:
        return None
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            lost.append(place)
            return None
        # The text of a NumPy scalar has the fewest digits for its own precision.
        return float(str(value)) if isinstance(value, np.float32 | np.float16) else float(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        if not _json.SMALLEST <= int(value) <= _json.LARGEST:
            raise RecordError(f"row[{place!r}]: an integer of {int(value).bit_length()} bits; at most 64 fit")
        return int(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _cell(value[()], place, lost, depth)
    if isinstance(value, list | tuple | np.ndarray):
        if depth == _DEEPEST_LIST:
            raise RecordError(f"row[{place!r}]: lists nested more than {_DEEPEST_LIST} deep")
        return [_cell(entry, f"{place}[{index}]", lost, depth + 1) for index, entry in enumerate(value)]
    raise RecordError(
        f"row[{place!r}] is a {type(value).__module__}.{type(value).__name__}: not a number, None or list"
    )


def decode_row(line: bytes, place: str, names: dict[str, str]) -> dict[str, Any]:
    """A row of its line; keys that rows have in common are held once, in `names`."""
    row = _json.decode(line, place)
    if not isinstance(row, dict):
        raise RecordError(f"{place}: a {type(row).__name__}, not an object")
    if type(row.get("step")) is not int or row["step"] < 0:
        raise RecordError(f'{place}: "step" is {str(row.get("step"))[:40]}; must be an integer >= 0')
    for key, value in row.items():
        if key == "non_finite":
            if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
                raise RecordError(f'{place}: "non_finite" must be a list of keys')
        elif not _numeric(value):
            raise RecordError(f"{place}: {key[:80]!r}: must be a number, null, or a list of these")
    return {names.setdefault(key, key): value for key, value in row.items()}


def _numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_numeric, value))
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
