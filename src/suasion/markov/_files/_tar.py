"""Tar archives in memory: members as slices of the bytes, nothing extracted; what is not a plain file is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from suasion.markov._files._source import FormatError, Stream, short

BLOCK = 512
_FILE = "0\0"  # types of a plain file
_MOST_MEMBERS = 100_000
_LONGEST_NAME = 65_536  # bytes of an extended header


def members(stream: Stream, accept: Callable[[str, int], None]) -> Iterator[tuple[str, int, int]]:
    """Name, place in `stream.content` and size of each file, in the order of the archive.

    A member is decompressed only after `accept` let its size pass.

    Args:
        stream: the archive.
        accept: called with the name and the declared size; raises for a size that it does not want.

    Raises:
        FormatError: no tar archive, cut short, a name that leaves the archive, a name twice, or a member that is
            neither file nor directory.
    """
    seen, offset, extended = set[str](), 0, ""
    while True:
        if not stream.reaches(offset + BLOCK):
            raise FormatError(f"{stream.path}: truncated: the archive has no end mark in {len(stream.content)} bytes")
        header = bytes(stream.content[offset : offset + BLOCK])
        if not any(header):
            return
        name, size, kind = _header(header, f"{stream.path}: tar header at byte {offset}")
        offset += BLOCK
        name = extended or name
        if kind in _FILE:
            name = _inside(name, stream)
            if name in seen or len(seen) >= _MOST_MEMBERS:
                raise FormatError(f"{stream.path}: member {short(name)} comes twice, or there are too many members")
            seen.add(name)
            accept(name, size)
        elif kind in "xgL" and size > _LONGEST_NAME:
            raise FormatError(f"{stream.path}: byte {offset}: an extended header of {size} bytes")
        elif kind not in "5xgL":
            raise FormatError(f"{stream.path}: member {short(name)} is a link or a device (type {kind!r}), not a file")
        if not stream.reaches(offset + size):
            found = len(stream.content) - offset
            raise FormatError(f"{stream.path}: member {short(name)} declares {size} bytes, and {found} follow")
        if kind in _FILE:
            yield name, offset, size
        extended = _extended(kind, bytes(stream.content[offset : offset + size]), stream) if kind in "xL" else ""
        offset += size + -size % BLOCK


def _header(header: bytes, place: str) -> tuple[str, int, str]:
    """Name, size and type."""
    declared = _number(header[148:156], f"{place}: checksum")
    found = sum(header) - sum(header[148:156]) + 8 * 32
    if declared != found:
        raise FormatError(f"{place}: not a tar archive, or damaged: the checksum is {found}, not {declared}")
    name = header[:100].split(b"\0")[0]
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].split(b"\0")[0]):
        name = prefix + b"/" + name
    return _text(name, place), _number(header[124:136], f"{place}: size"), chr(header[156])


def _number(field: bytes, place: str) -> int:
    """Octal digits, or with a high first bit the bytes of a number."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise FormatError(f"{place} is {short(field)}, not an octal number")
    return int(digits, 8)


def _text(name: bytes, place: str) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{place}: the name {short(name)} is not UTF-8") from error


def _inside(name: str, stream: Stream) -> str:
    """The name without a leading ./"""
    parts = name.removeprefix("./").split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\\" in name:
        raise FormatError(f"{stream.path}: member {short(name)}: its path leaves the archive")
    return "/".join(parts)


def _extended(kind: str, content: bytes, stream: Stream) -> str:
    """The name in an extended header, or nothing."""
    place = f"{stream.path}: extended header"
    if kind == "L":
        return _text(content.rstrip(b"\0"), place)
    name, start = "", 0
    while start < len(content):
        length, _, _ = content[start : start + 8].partition(b" ")
        if not length.isdigit() or not len(length) + 3 <= int(length) <= len(content) - start:
            raise FormatError(f"{place}: a record of length {short(length)} in {len(content) - start} bytes")
        key, _, value = content[start + len(length) + 1 : start + int(length)].rstrip(b"\n").partition(b"=")
        if key in (b"size", b"linkpath") or key.startswith(b"GNU.sparse"):
            raise FormatError(f"{place}: {short(key)} is not supported")
        if key == b"path":
            name = _text(value, place)
        start += int(length)
    return name


def header(name: str, size: int) -> bytes:
    """The header of a plain file; no time, no owner."""
    fields = [
        (name.encode(), 100),
        (b"0000644", 8),
        (b"0000000", 8),
        (b"0000000", 8),
        (b"%011o" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big"), 12),
        (b"%011o" % 0, 12),
        (b" " * 8, 8),
        (b"0", 1),
        (b"", 100),
        (b"ustar\x0000", 8),
    ]
    block = b"".join(value.ljust(width, b"\0") for value, width in fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
