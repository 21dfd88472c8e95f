"""An episode as GIF or APNG: frames are drawn, packed and written one at a time, so memory does not grow."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.GifImagePlugin import getdata

from suasion.records import Episode, write_whole
from suasion.viewing._frame import painter
from suasion.viewing._layout import TRANSPARENT

_Patch = tuple[np.ndarray, int, int]


def write_gif(episode: Episode, path: str | Path, *, fps: int = 10, scale: int | None = None, every: int = 1) -> Path:
    """Write an episode as an animated GIF that repeats; see `draw_frame` for the pictures.

    Each frame holds only what changed, in one palette for all: the colours are exact.

    Args:
        episode: what to draw.
        path: the file, whole or not written at all.
        fps: frames a second, 1 to 50 (browsers slow faster ones down). GIF counts hundredths of a second: a
            frame may be one longer than the next, the total is right.
        scale: pixels a cell of the map; chosen by the map's size if None.
        every: draw each so-manieth state; the first and the last are always there.

    Returns:
        The file.

    Raises:
        ValueError: fps, scale or every out of range, or more colours than a palette holds.
        OSError: the disk refused.
    """
    in_range("fps", fps, 50)
    write_whole(path, _gif(episode, frame_times(episode, every), fps, scale))
    return Path(path)


def write_apng(episode: Episode, path: str | Path, *, fps: int = 10, scale: int | None = None, every: int = 1) -> Path:
    """Write an episode as an animated PNG that repeats: smaller than a GIF, and as exact.

    Args:
        episode: what to draw.
        path: the file, whole or not written at all.
        fps: frames a second, 1 to 100.
        scale: pixels a cell of the map; chosen by the map's size if None.
        every: draw each so-manieth state; the first and the last are always there.

    Returns:
        The file.

    Raises:
        ValueError: fps, scale or every out of range, or more colours than a palette holds.
        OSError: the disk refused.
    """
    in_range("fps", fps, 100)
    write_whole(path, _apng(episode, frame_times(episode, every), fps, scale))
    return Path(path)


def in_range(name: str, value: int, most: int) -> None:
    """Refuse a number that is not within 1 and `most`."""
    if not 1 <= value <= most:
        raise ValueError(f"{name} is {value}; must be within 1 and {most}")


def frame_times(episode: Episode, every: int) -> Sequence[int]:
    """The states that are drawn: each so-manieth, the first and the last always."""
    in_range("every", every, 2**31)
    last = len(episode.actions)
    times = list(range(0, last + 1, every))
    return times if times[-1] == last else [*times, last]


def _gif(episode: Episode, times: Sequence[int], fps: int, scale: int | None) -> Iterator[bytes]:
    layout, paint = painter(episode, scale)
    lasting = ((place + 1) * 100 // fps - place * 100 // fps for place in count())
    return packed_gif(layout.palette, layout.size, map(paint, times), lasting)


def packed_gif(
    palette: UInt8[np.ndarray, "256 3"],
    size: tuple[int, int],
    pictures: Iterator[UInt8[np.ndarray, "y x"]],
    lasting: Iterable[int],
) -> Iterator[bytes]:
    """The bytes of a GIF that repeats, picture by picture.

    Args:
        palette: its entry `TRANSPARENT` is used by no picture.
        size: rows and columns, in pixels.
        pictures: entries of the palette.
        lasting: how long each is shown, in hundredths of a second; further ones are passed over.
    """
    rows, columns = size
    yield b"GIF89a" + struct.pack("<HHBBB", columns, rows, 0xF7, 0, 0) + palette.tobytes()
    yield b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # repeat for ever
    for (patch, row, column), hundredths in zip(_patches(pictures), lasting, strict=False):
        image = Image.frombytes("P", (patch.shape[1], patch.shape[0]), patch.tobytes())
        options = {"duration": hundredths * 10, "transparency": TRANSPARENT, "disposal": 1}
        yield b"".join(getdata(image, (column, row), **options))
    yield b";"


def _apng(episode: Episode, times: Sequence[int], fps: int, scale: int | None) -> Iterator[bytes]:
    layout, paint = painter(episode, scale)
    rows, columns = layout.size
    yield b"\x89PNG\r\n\x1a\n"
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0))
    yield _chunk(b"acTL", struct.pack(">II", len(times), 0))
    yield _chunk(b"PLTE", layout.palette.tobytes())
    yield _chunk(b"tRNS", b"\xff" * TRANSPARENT + b"\0")
    number = 0  # of frame controls and frame data together
    for patch, row, column in _patches(map(paint, times)):
        height, width = patch.shape
        # Dispose nothing; lay over what is there, so that transparent pixels keep it.
        control = struct.pack(">IIIIIHHBB", number, width, height, column, row, 1, fps, 0, number > 0)
        lines = np.pad(patch, ((0, 0), (1, 0)))  # each line begins with its filter: 0, none
        packed = zlib.compress(lines.tobytes(), 9)
        yield _chunk(b"fcTL", control)
        if number == 0:
            yield _chunk(b"IDAT", packed)
            number = 1
        else:
            yield _chunk(b"fdAT", struct.pack(">I", number + 1) + packed)
            number += 2
    yield _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _patches(pictures: Iterator[np.ndarray]) -> Iterator[_Patch]:
    """Each picture as the smallest rectangle that changed, unchanged pixels in it transparent."""
    before = None
    for picture in pictures:
        if before is None:
            yield picture, 0, 0
        else:
            differs = picture != before
            rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
            # A picture equal to the one before still takes its time: one transparent pixel.
            top, bottom = (rows[0], rows[-1] + 1) if rows.size else (0, 1)
            left, right = (columns[0], columns[-1] + 1) if columns.size else (0, 1)
            area = (slice(top, bottom), slice(left, right))
            yield np.where(differs[area], picture[area], np.uint8(TRANSPARENT)), int(top), int(left)
        before = picture
