"""Whole files or none: atomic writing, bounded reading.

Every change that this room makes on a disk goes through `os` here: the tests put another one in its place, whose N-th
operation fails, or at whose N-th operation the process dies.
"""

import itertools
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial-"
_counter = itertools.count()


class RecordError(ValueError):
    """A file or record that is malformed, foreign, truncated or hostile.

    The only exception that the readers of this room raise for such files (a missing or unreadable file
    included). The message names the file, the place in it, and the number that is wrong.
    """


def write_whole(path: str | Path, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write a file so that, whatever happens, either the old content or the whole new one is there.

    The pieces go to a temporary file in the same folder; it is flushed to the disk and renamed, and the
    folder is flushed too. After a failure the temporary file is removed; after a crash `sweep` removes it.

    Args:
        path: the file; its folder must exist.
        pieces: the content, in order; taken one at a time, so a generator streams.

    Raises:
        OSError: the disk is full, the folder is missing or may not be written.
    """
    path = Path(path)
    partial = path.parent / f"{PARTIAL}{os.getpid()}-{next(_counter)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(partial, flags, 0o666)
    try:
        try:
            for piece in pieces:
                write_all(descriptor, piece)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(partial, path)
    except BaseException:
        remove(partial, missing_ok=True)
        raise
    sync_folder(path.parent)


def refuse(path: str | Path, *, force: bool) -> None:
    """Refuse to write a file where something is: before the work that leads to it, and again when it is written.

    Args:
        path: of the file.
        force: a regular file, or a link to one, may be replaced.

    Raises:
        RecordError: something of that name is there and `force` is not given, or it is no regular file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise RecordError(f"{path}: exists and is no file; name the file to write")
    if os.path.lexists(path) and not force:
        raise RecordError(f"{path}: exists; --force replaces it")


def open_to_grow(path: str | Path) -> int:
    """A descriptor for a file that is read, cut and appended to; made if missing.

    Raises:
        OSError: the disk refused.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o666)


def cut(descriptor: int, size: int) -> None:
    """Cut a file to its first `size` bytes, and go on writing there."""
    os.ftruncate(descriptor, size)
    os.lseek(descriptor, size, os.SEEK_SET)


def flush(descriptor: int) -> None:
    """Have the disk itself hold what was written."""
    os.fsync(descriptor)


def remove(path: Path, *, missing_ok: bool = False) -> None:
    """Remove a file."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        if not missing_ok:
            raise


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    os.makedirs(path, exist_ok=True)


def write_all(descriptor: int, piece: bytes | bytearray | memoryview) -> None:
    """`os.write` until nothing is left: one call may write less than it was given."""
    rest = memoryview(piece).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names, without which a rename may be lost with the power."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: str | Path) -> tuple[Path, ...]:
    """Remove the temporary files that a crash left in `folder`.

    Call it when no other process writes there. Subfolders are not entered; no other file is touched.

    Args:
        folder: may be missing: then there is nothing to do.

    Returns:
        The files removed, in order of name.

    Raises:
        OSError: a left-over may not be removed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return ()
    left = sorted(entry for entry in folder.iterdir() if entry.name.startswith(PARTIAL) and not entry.is_dir())
    for entry in left:
        remove(entry)
    return tuple(left)


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading; unbuffered.

    Raises:
        RecordError: it is missing, unreadable, or not a regular file (opening a pipe could wait for ever).
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise RecordError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RecordError(f"{path}: not a regular file")
    return open(descriptor, "rb", buffering=0)


def read_exactly(file: BinaryIO, path: str | Path, size: int) -> bytearray:
    """The next `size` bytes, in one allocation; the caller has checked `size` against the file's.

    Raises:
        RecordError: fewer bytes came, the disk failed, or they do not fit into memory.
    """
    try:
        content = bytearray(size)
        filled = 0
        while filled < size and (count := file.readinto(memoryview(content)[filled:])):  # type: ignore[attr-defined]
            filled += count
    except (OSError, MemoryError) as error:
        raise RecordError(f"{path}: {size} bytes cannot be read: {error or 'out of memory'}") from error
    if filled != size:
        raise RecordError(f"{path}: ends after {filled} of {size} bytes: changed while being read")
    return content


def read_bounded(path: str | Path, longest: int) -> bytearray:
    """All bytes of a file that has at most `longest`.

    Raises:
        RecordError: missing, unreadable, not a regular file, or longer.
    """
    with open_regular(path) as file:
        size = file.seek(0, 2)
        if size > longest:
            raise RecordError(f"{path}: {size} bytes; limit {longest}")
        file.seek(0)
        return read_exactly(file, path, size)


def natural(text: str) -> tuple[str | int, ...]:
    """A sort key by which `seed-10` comes after `seed-9`."""
    parts = re.split(r"([0-9]+)", text)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))
