"""One file, one digest: magic, version, JSON header, named arrays, SHA-256 over all of it.

offset  bytes
0       8      magic: 89 53 55 41 0D 0A 1A 0A
8       4      format version, little-endian (now 1)
12      4      length h of the header, a multiple of 8
16      8      length p of the arrays
24      h      header: JSON {"header": {...}, "kind": "..."}, padded by spaces
24+h    p      arrays: a safetensors file
24+h+p  32     SHA-256 of all bytes before
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suasion.records import _json, _tensors
from suasion.records._disk import RecordError, open_regular, read_exactly, write_whole

MAGIC = b"\x89SUA\r\n\x1a\n"  # high bit and line ends: a transfer as text destroys it visibly
VERSION = 1
_PREFIX = struct.Struct("<8sIIQ")
_DIGEST = 32
LONGEST_HEADER = 4 * 2**20  # bytes: a bound on what parsing may allocate


@dataclass(frozen=True, kw_only=True, eq=False)
class Envelope:
    """What an envelope file held.

    Attributes:
        header: the JSON header as it was given to `write_envelope` (tuples come back as lists).
        arrays: by name; read-only.
    """

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write_envelope(path: str | Path, kind: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write arrays and a header as one file that guards itself.

    The file is written whole or not at all (see `write_whole`). Equal input gives equal bytes: keys are
    sorted, nothing of time or place is written.

    Args:
        path: the file; an old one is replaced.
        kind: what it is, such as "checkpoint"; `read_envelope` must ask for the same.
        arrays: bool, unsigned and signed integers of 8 to 64 bits, floats of 16 to 64 bits, at most 32 axes.
        header: JSON values: string keys, finite numbers, integers of 64 bits; at most 4 MiB and 64 levels.

    Raises:
        RecordError: an array or a header value that cannot be written, named.
        OSError: the disk refused; then an older file of that name is untouched.
    """
    tensors = _tensors.encode(arrays, str(path))
    stream_envelope(path, kind, tensors, sum(len(piece) for piece in tensors), header)


def stream_envelope(
    path: str | Path, kind: str, tensors: Iterable[bytes | memoryview], size: int, header: Mapping[str, Any]
) -> None:
    """`write_envelope` for arrays that are made while they are written: one piece at a time is held.

    Args:
        path: the file; an old one is replaced.
        kind: what it is.
        tensors: the pieces of a safetensors file, in order; may be a generator.
        size: bytes of all pieces.
        header: see `write_envelope`.

    Raises:
        RecordError: a header that cannot be written, or pieces of another size.
        OSError: the disk refused; then an older file of that name is untouched.
    """
    text = _json.encode({"header": dict(header), "kind": kind}, f"{path}: header")
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise RecordError(f"{path}: a header of {len(text)} bytes; limit {LONGEST_HEADER}")
    prefix = _PREFIX.pack(MAGIC, VERSION, len(text), size)

    def pieces() -> Iterator[bytes | memoryview]:
        digest, written = hashlib.sha256(prefix + text), 0
        yield prefix
        yield text
        for piece in tensors:
            digest.update(piece)
            written += len(piece)
            yield piece
        if written != size:
            raise RecordError(f"{path}: {written} bytes of arrays, not {size}")
        yield digest.digest()

    write_whole(path, pieces())


def read_envelope(path: str | Path, kind: str) -> Envelope:
    """Read what `write_envelope` wrote, or refuse it.

    Sizes are checked against the file's before anything is allocated, and the digest before anything is
    parsed. The arrays share one buffer of the file's size: no more is allocated for them, whatever the file
    declares.

    Args:
        path: the file.
        kind: the kind that it must be.

    Raises:
        RecordError: missing, foreign, truncated, damaged, of a newer format, of another kind, or not as
            `write_envelope` writes; no other exception.
    """
    content = memoryview(_read(path)).toreadonly()
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        raise RecordError(
            f"{path}: damaged: the SHA-256 of its first {len(content) - _DIGEST} bytes is not its last 32"
        )
    _, _, header_length, _ = _PREFIX.unpack_from(content)
    middle = _PREFIX.size + header_length
    label = _json.decode(content[_PREFIX.size : middle], f"{path}: header")
    if not isinstance(label, dict) or label.keys() != {"header", "kind"} or not isinstance(label["header"], dict):
        raise RecordError(f"{path}: header: must be an object of kind and header, and nothing else")
    if label["kind"] != kind:
        raise RecordError(f"{path}: holds a {str(label['kind'])[:40]!r}, not a {kind!r}")
    return Envelope(header=label["header"], arrays=_tensors.decode(content[middle:-_DIGEST], str(path)))


def _read(path: str | Path) -> bytearray:
    """All bytes of an envelope whose lengths add up to the file's size."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size < _PREFIX.size + 8 + _DIGEST:
            start = bytes(read_exactly(file, path, min(size, len(MAGIC))))
            fault = "truncated" if MAGIC.startswith(start) else "not a file of suasion"
            raise RecordError(f"{path}: {fault}: {size} bytes; the smallest file has {_PREFIX.size + 8 + _DIGEST}")
        magic, version, header, arrays = _PREFIX.unpack(read_exactly(file, path, _PREFIX.size))
        if magic != MAGIC:
            raise RecordError(f"{path}: not a file of suasion: it starts with {magic.hex(' ')}")
        if version != VERSION:
            age = "newer than" if version > VERSION else "unknown to"
            raise RecordError(f"{path}: format version {version}, {age} this program (it reads {VERSION})")
        if header > LONGEST_HEADER or header % 8:
            raise RecordError(f"{path}: byte 12: a header of {header} bytes; limit {LONGEST_HEADER}, in eights")
        declared = _PREFIX.size + header + arrays + _DIGEST
        if declared != size:
            fault = "truncated" if declared > size else "too long"
            raise RecordError(f"{path}: {fault}: {size} bytes, but it declares {declared}")
        file.seek(0)
        return read_exactly(file, path, size)
