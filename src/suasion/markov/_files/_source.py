"""Bytes of unknown origin: read whole, decompressed a piece at a time under a cap; strict JSON; the readers' error."""

from __future__ import annotations

import json
import lzma
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from suasion.records import RecordError

# Decompressed bytes that are always accepted, and how many more per compressed byte. Models that were met shrink up to
# about 100 times; what claims more must be decompressed by its owner first.
FREE = 2**28
RATIO = 256
LONGEST_JSON = 2**25  # bytes; parsed, they take up to 20 times as many. It holds names of states.
_XZ_MEMORY = 2**27  # the dictionary of `xz -9` takes 65 MiB
_STEP = 2**20


class FormatError(RecordError):
    """A model file that is malformed, foreign, truncated or hostile, or a model that its format cannot hold.

    The only exception that `read_model` raises for a file. The message names the file, the place in it (a line, a
    member or a field) and what is wrong there.
    """


def read_bytes(path: Path) -> bytearray:
    """The whole of a regular file.

    Raises:
        FormatError: it is missing, unreadable or not a regular file (opening a pipe could wait for ever).
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FormatError(f"{path}: not a regular file")
            content = bytearray(status.st_size)
            filled = 0
            while filled < len(content) and (count := file.readinto(memoryview(content)[filled:])):
                filled += count
    except FormatError:
        raise
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a zero byte in the name
        raise FormatError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if filled != len(content):
        raise FormatError(f"{path}: ends after {filled} of {len(content)} bytes: changed while being read")
    return content


class Stream:
    """The bytes of a file, decompressed no further than asked; gzip and xz are known by their first bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        raw = read_bytes(path)
        self._pieces = _unpacked(raw, path)
        self._whole = self._pieces is None
        self.content = raw if self._whole else bytearray()
        self._cap = FREE + RATIO * len(raw)

    def reaches(self, size: int) -> bool:
        """Whether there are `size` bytes; then `content` holds them."""
        if size > self._cap and not self._whole:
            raise FormatError(
                f"{self.path}: more than {self._cap} bytes when decompressed, {RATIO} times the file: decompress it "
                "first if you trust it"
            )
        while not self._whole and len(self.content) < size:
            piece = next(self._pieces, None) if self._pieces is not None else None
            if piece is None:
                self._whole = True
            else:
                self.content += piece
        return len(self.content) >= size

    def all(self) -> bytearray:
        """All bytes."""
        while self.reaches(len(self.content) + 1):
            pass
        return self.content


def _unpacked(raw: bytearray, path: Path) -> Iterator[bytes] | None:
    """Decompressed pieces, or None for a file that is not compressed."""
    if raw.startswith(b"\x1f\x8b\x08"):
        return _pieces(raw, path, "gzip")
    if raw.startswith(b"\xfd7zXZ\0"):
        return _pieces(raw, path, "xz")
    return None


def _pieces(raw: bytearray, path: Path, kind: str) -> Iterator[bytes]:
    view, at = memoryview(raw), 0
    try:
        while at < len(view) and view[at]:  # zeros may pad the end
            unpack: Any = zlib.decompressobj(31) if kind == "gzip" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            pending = b""
            while not unpack.eof:
                piece = unpack.decompress(pending, _STEP)
                pending = unpack.unconsumed_tail if kind == "gzip" else b""  # xz keeps its input itself
                if piece:
                    yield piece
                elif not unpack.eof and not pending:
                    pending = bytes(view[at : at + _STEP])
                    at += len(pending)
                    if not pending:
                        raise FormatError(f"{path}: truncated: the {kind} stream does not end")
            at -= len(unpack.unused_data)
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise FormatError(f"{path}: not a sound {kind} file: {error}") from error


def packed(path: Path, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The pieces as they are written to `path`: compressed if its name ends in .gz or .xz."""
    pack: Any
    if path.suffix.lower() == ".gz":
        pack = zlib.compressobj(6, zlib.DEFLATED, 31)
    elif path.suffix.lower() == ".xz":
        pack = lzma.LZMACompressor(preset=3)
    else:
        yield from pieces
        return
    for piece in pieces:
        yield pack.compress(piece)
    yield pack.flush()


def plain_json(value: Any, place: str) -> bytes:
    """JSON that `strict_json` reads.

    Raises:
        FormatError: it would be too long.
    """
    text = json.dumps(value).encode()
    if len(text) > LONGEST_JSON:
        raise FormatError(f"{place}: names and all that goes with them take {len(text)} bytes; limit {LONGEST_JSON}")
    return text


def strict_json(content: bytes | bytearray | memoryview, place: str) -> Any:
    """The value of JSON in UTF-8: no key twice, no NaN.

    Raises:
        FormatError: anything else, naming `place`.
    """
    if len(content) > LONGEST_JSON:
        raise FormatError(f"{place}: JSON of {len(content)} bytes; limit {LONGEST_JSON}")
    try:
        value = json.loads(str(content, "utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        if b"\\u" in bytes(content):  # escapes may hide half a character, which no file could hold again
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{place}: not acceptable JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for key, value in pairs:
        if key in held:
            raise ValueError(f"the key {key[:80]!r} comes twice")
        held[key] = value
    return held


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def short(value: Any) -> str:
    """A value of unknown size, for a message."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = "a huge number"
    return text if len(text) <= 80 else text[:77] + "..."
