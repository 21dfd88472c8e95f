"""Lines of a text of unknown origin, and the numbers in them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path

from suasion.markov._files._source import FormatError, Stream, short


class Lines:
    """Lines without blanks at their ends, and the number of the last one given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self._lines = io.BytesIO(Stream(path).all())

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.number += 1
            yield line.strip()

    def next(self) -> bytes:
        """The next line; empty at the end."""
        return next(iter(self), b"")

    def error(self, message: str) -> FormatError:
        """An error at the line given last."""
        return FormatError(f"{self.path}: line {self.number}: {message}")

    def text(self, held: bytes) -> str:
        """The characters."""
        try:
            return held.decode()
        except UnicodeDecodeError as error:
            raise self.error(f"{short(held)} is not UTF-8") from error

    def whole(self, held: bytes) -> int:
        """A number of at most 18 digits."""
        if not held.isdigit() or len(held) > 18:
            raise self.error(f"{short(self.text(held))} is not a whole number")
        return int(held)

    def real(self, held: bytes) -> float:
        """A finite number."""
        try:
            value = math.nan if b"_" in held else float(held)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            kind = " (intervals are not read)" if b"[" in held else ""
            raise self.error(f"{short(self.text(held))} is not a finite number{kind}")
        return value
