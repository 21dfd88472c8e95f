"""Metrics that grow while they are read."""

import os
from pathlib import Path
from typing import Any, BinaryIO

from suasion.records._disk import RecordError, open_regular, read_exactly
from suasion.records._metrics import LARGEST_FILE, LONGEST_LINE, decode_row

_TAIL = 4096  # bytes before the place reached, by which it is known that the file is still the same


class MetricsFollower:
    """Reads what a metrics file has more than at the last look, and all of it where it is no longer the same file.

    A run that goes on from a checkpoint cuts its metrics there: the file shrinks, and may have grown again beyond its
    old size at the next look. So the bytes before the place reached are compared as well.

    Attributes:
        path: the file; need not be there.
        rows: all rows, see `Metrics`.
        torn: an incomplete line follows them.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, Any]] = []
        self.torn = False
        self._names: dict[str, str] = {}
        self._identity: tuple[int, int] | None = None
        self._offset, self._tail = 0, b""

    def look(self) -> bool:
        """Read on.

        Returns:
            whether rows or `torn` are others than before.

        Raises:
            RecordError: see `read_metrics`; what was read before stays. Not if the file is missing: then there are
                no rows.
        """
        if not os.path.lexists(self.path):
            return self._forget(None)
        with open_regular(self.path) as file:
            status = os.fstat(file.fileno())
            if status.st_size > LARGEST_FILE:
                raise RecordError(f"{self.path}: {status.st_size} bytes of metrics; limit {LARGEST_FILE}")
            identity = (status.st_dev, status.st_ino)
            changed = not self._same(file, identity, status.st_size) and self._forget(identity)
            if status.st_size == self._offset:
                changed, self.torn = changed or self.torn, False
                return changed
            file.seek(self._offset)
            content = bytes(read_exactly(file, self.path, status.st_size - self._offset))
        return self._take(content) or changed

    def _same(self, file: BinaryIO, identity: tuple[int, int], size: int) -> bool:
        """Whether what was read is still there."""
        if identity != self._identity or size < self._offset:
            return False
        file.seek(self._offset - len(self._tail))
        return bytes(read_exactly(file, self.path, len(self._tail))) == self._tail

    def _forget(self, identity: tuple[int, int] | None) -> bool:
        changed = bool(self.rows) or self.torn
        self.rows, self.torn, self._identity = [], False, identity
        self._offset, self._tail = 0, b""
        return changed

    def _take(self, content: bytes) -> bool:
        """Whole lines become rows, one at a time, so that a bad one keeps none of those before it from being read."""
        end = content.rfind(b"\n") + 1
        longest = max(map(len, content[:end].splitlines(keepends=True)), default=0)
        if max(longest, len(content) - end) > LONGEST_LINE:
            raise RecordError(f"{self.path}: a line longer than {LONGEST_LINE} bytes after line {len(self.rows)}")
        before = len(self.rows), self.torn
        for line in content[:end].split(b"\n")[:-1]:
            self.rows.append(decode_row(line, f"{self.path}: line {len(self.rows) + 1}", self._names))
            self._offset += len(line) + 1
            self._tail = (self._tail + line + b"\n")[-_TAIL:]
        self.torn = end < len(content)
        return (len(self.rows), self.torn) != before
