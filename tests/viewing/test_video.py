"""Films: what the encoder is given, frame by frame; its faults; memory over ten thousand frames.

A stand-in for the encoder tells what it was given. Where the extra `video` is installed, the real one is run as well.
"""

import importlib.util
import json
import os
import stat
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from suasion.viewing import _video, draw_frame, write_apng, write_gif, write_mp4

STAND_IN = """#!{python}
import hashlib, json, sys
given = sys.argv[1:]
columns, rows = map(int, given[given.index("-s") + 1].split("x"))
digests = []
while frame := sys.stdin.buffer.read(3 * rows * columns):
    assert len(frame) == 3 * rows * columns
    digests.append(hashlib.sha256(frame).hexdigest())
    {then}
told = {{"columns": columns, "rows": rows, "fps": given[given.index("-r") + 1], "digests": digests, "given": given}}
open(given[-1], "w").write(json.dumps(told))
"""


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """`encoder(then)`: puts the stand-in in place; `then` is what it does after each frame."""

    def install(then="pass"):
        program = tmp_path / "encoder"
        program.write_text(STAND_IN.format(python=sys.executable, then=then))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setitem(sys.modules, "imageio_ffmpeg", SimpleNamespace(get_ffmpeg_exe=lambda: str(program)))

    return install


def test_the_encoder_is_given_the_pictures(tmp_path, walk, encoder):
    import hashlib

    encoder()
    episode = walk(steps=7, agents=2)
    path = write_mp4(episode, tmp_path / "ä film.mp4", fps=12, scale=7, every=3)
    told = json.loads(path.read_text())
    assert (told["columns"] % 2, told["rows"] % 2, told["fps"]) == (0, 0, "12")
    wanted = []
    for t in (0, 3, 6, 7):
        picture = draw_frame(episode, t, 7)
        rows, columns = told["rows"] - picture.shape[0], told["columns"] - picture.shape[1]
        assert {rows, columns} <= {0, 1}
        padded = np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="edge")
        wanted.append(hashlib.sha256(padded.tobytes()).hexdigest())
    assert told["digests"] == wanted
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "encoder"] == ["ä film.mp4"]


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("sys.exit('no such codec')", r"the encoder ended with 1: no such codec"),
        ("import os; os.kill(os.getpid(), 9)", r"the encoder ended with -9: it said nothing"),
    ],
)
def test_an_encoder_that_fails_leaves_no_film(tmp_path, walk, encoder, then, words):
    encoder(then)
    (tmp_path / "film.mp4").write_bytes(b"the old one")
    with pytest.raises(OSError, match=words):
        write_mp4(walk(steps=40, agents=2), tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"the old one"


def test_a_fault_while_drawing_ends_the_encoder(tmp_path, walk, encoder, monkeypatch):
    encoder()
    paint = _video.painter

    def broken(episode, scale):
        layout, real = paint(episode, scale)

        def draw(t):
            if t == 3:
                raise MemoryError("no more")
            return real(t)

        return layout, draw

    monkeypatch.setattr(_video, "painter", broken)
    with pytest.raises(MemoryError, match="no more"):
        write_mp4(walk(steps=5, agents=2), tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


def test_without_the_extra_the_error_says_what_to_install(tmp_path, walk, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ValueError, match=r"install suasion\[video\]; GIF and APNG need nothing more"):
        write_mp4(walk(steps=2), tmp_path / "film.mp4")
    with pytest.raises(ValueError, match="fps is 0"):
        write_mp4(walk(steps=2), tmp_path / "film.mp4", fps=0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the peer's reader leaves pipes open
@pytest.mark.skipif(importlib.util.find_spec("imageio_ffmpeg") is None, reason="the extra `video` is not installed")
def test_the_real_encoder(tmp_path, walk):
    import imageio_ffmpeg

    episode = walk(steps=12, agents=2)
    path = write_mp4(episode, tmp_path / "film.mp4", fps=10)
    frames = imageio_ffmpeg.read_frames(str(path))
    about = next(frames)
    columns, rows = about["size"]
    pictures = [np.frombuffer(frame, np.uint8).reshape(rows, columns, 3) for frame in frames]
    assert len(pictures) == 13
    assert about["fps"] == 10
    for t in (0, 12):
        wanted = draw_frame(episode, t)
        near = np.abs(pictures[t][: wanted.shape[0], : wanted.shape[1]].astype(int) - wanted).mean()
        assert near < 6  # of 255: the coding loses a little
    write_mp4(episode, tmp_path / "again.mp4", fps=10)
    assert (tmp_path / "again.mp4").read_bytes() == path.read_bytes()


def long(walk, steps):
    """An episode of few different moments: what it takes to hold is small, and known before."""
    short = walk(steps=40, agents=1, sight=3)
    turns = np.arange(steps + 1) % 40
    return walk(
        steps=0,
        agents=1,
        boards=short.boards[turns],
        views=short.views[turns],
        headings=short.headings[turns],
        actions=short.actions[turns[:-1]],
        rewards=np.zeros((steps, 1), np.float32),  # each new sum would be a new line in the cache of written ones
    )


def peak(write, episode, path, **how):
    """Bytes that writing takes at its highest."""
    tracemalloc.start()
    write(episode, path, **how)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(write_gif, marks=pytest.mark.slow),
        pytest.param(write_apng, marks=pytest.mark.slow),
        write_mp4,
    ],
)
def test_memory_is_flat_over_ten_thousand_frames(tmp_path, walk, encoder, write):
    encoder("digests.clear()")
    frames = 10_000 if write is not write_mp4 else 1_000
    few, many = (peak(write, long(walk, steps), tmp_path / "film", scale=2) for steps in (frames // 5, frames))
    # The cache of written lines (512 of some 7 kB) may fill, and the layout looks once at all maps, a number of 8 bytes
    # for each of 121 cells; the pictures, of 60 kB each, would be 500 MB.
    assert many - few < 4_000_000 + 8 * 121 * frames
    assert os.path.getsize(tmp_path / "film") > 0
