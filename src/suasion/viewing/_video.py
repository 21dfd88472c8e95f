"""An episode as MP4 (extra `video`): each frame goes into the encoder's pipe as it is drawn; memory does not grow."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from suasion.records import Episode, write_whole
from suasion.viewing._animation import frame_times, in_range
from suasion.viewing._frame import painter

_PIECE = 2**20  # bytes of the finished file that are copied at once


def write_mp4(episode: Episode, path: str | Path, *, fps: int = 10, scale: int | None = None, every: int = 1) -> Path:
    """Write an episode as MP4 (H.264): what presentations and most chats play; see `draw_frame` for the pictures.

    Colours are halved in resolution, as players expect it: text is a little softer than in a GIF or APNG.

    Args:
        episode: what to draw.
        path: the file, whole or not written at all.
        fps: frames a second, 1 to 100.
        scale: pixels a cell of the map; chosen by the map's size if None.
        every: draw each so-manieth state; the first and the last are always there.

    Returns:
        The file.

    Raises:
        ValueError: fps, scale or every out of range, more colours than a palette holds, or imageio-ffmpeg is not
            installed.
        OSError: the disk refused, or the encoder failed: with its own words.
    """
    in_range("fps", fps, 100)
    times = frame_times(episode, every)
    program = _encoder()
    layout, paint = painter(episode, scale)
    # Its colours are stored for two by two pixels: a row or column more where the picture has an odd number.
    odd = [(0, side % 2) for side in layout.size]
    rows, columns = (side + side % 2 for side in layout.size)
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        frames = (layout.palette[np.pad(paint(t), odd, mode="edge")].tobytes() for t in times)
        _encode(_command(program, columns, rows, fps, film), frames)
        with film.open("rb") as file:
            write_whole(path, _pieces(file))
    return Path(path)


def _encoder() -> str:
    try:
        ffmpeg = importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise ValueError("MP4 needs imageio-ffmpeg: install suasion[video]; GIF and APNG need nothing more") from error
    try:
        return str(ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:  # installed without a program for this machine
        raise ValueError(f"MP4 needs ffmpeg: {error}") from error


def _command(program: str, columns: int, rows: int, fps: int, film: Path) -> list[str]:
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{columns}x{rows}", "-r", str(fps), "-i", "-"]
    # Every player shows yuv420p. `bitexact` leaves out the program's version: equal episodes give equal files.
    coding = ["-an", "-c:v", "libx264", "-preset", "medium", "-crf", "18", "-pix_fmt", "yuv420p"]
    plain = ["-flags:v", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart"]
    return [program, "-nostdin", "-loglevel", "error", *source, *coding, *plain, "-y", str(film)]


def _encode(command: list[str], frames: Iterator[bytes]) -> None:
    """Feed the encoder frame by frame."""
    with tempfile.TemporaryFile() as words:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words) as process:
            assert process.stdin is not None  # for the type checker: a pipe was asked for
            try:
                for frame in frames:
                    process.stdin.write(frame)
            except BrokenPipeError:
                pass  # it has ended early; its own words say why
            except BaseException:
                process.kill()
                raise
            finally:
                with contextlib.suppress(BrokenPipeError):  # what was still to be written
                    process.stdin.close()
            code = process.wait()
        if code:
            words.seek(0)
            told = words.read(4096).decode(errors="replace").strip()
            raise OSError(f"the encoder ended with {code}: {told or 'it said nothing'}")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
