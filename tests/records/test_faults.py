"""Whatever goes wrong with the disk or the process: the newest whole checkpoint loads, and going on gives equal bytes.

The run is one in miniature (see faults.py), with the real one's order of operations; tests/runs does some of the same
to real training. What comes of each fault is told, and compared with the table in docs/reliability.md.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from suasion.records import RecordError, newest_checkpoint, read_metrics, read_run
from suasion.records import _disk as room

FAULTS = Path(__file__).with_name("faults.py")


@pytest.fixture(scope="module")
def whole(faults, tmp_path_factory):
    """The bytes of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    faults.learn(folder)
    return faults.bytes_of(folder)


@pytest.fixture(scope="module")
def begun(faults, tmp_path_factory):
    """A run that stands at step 3 of 5, with a torn row, half a temporary file and one checkpoint too many."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    faults.learn(folder, steps=3)
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step":4,"me')
    (folder / "checkpoints" / ".partial-1-1").write_bytes(b"\x89SUA")
    oldest = min((folder / "checkpoints").glob("checkpoint-*"))
    shutil.copy(oldest, folder / "checkpoints" / "checkpoint-000000000000.suasion")
    return folder


def goes_on(faults, folder, whole):
    """The newest whole checkpoint loads; the run goes on to the reference's bytes, and nothing else is left."""
    if (folder / "checkpoints").exists():
        found = newest_checkpoint(folder / "checkpoints")
        assert found is None or found.header["offset"] <= (folder / "metrics.jsonl").stat().st_size
    faults.learn(folder)
    return faults.bytes_of(folder) == whole


def hunt(faults, fault, whole, begun, folder):
    """The fault at the N-th operation, for every N until the run comes to its end; operations met, by name."""
    met = []
    for source in (None, begun):
        for at in range(1, 1000):
            out = folder / f"{len(met)}-{at}"
            if source is not None:
                shutil.copytree(source, out)
            with pytest.MonkeyPatch.context() as patch:
                disk = faults.Disk(at, fault)
                patch.setattr(room, "os", disk)
                with contextlib.suppress(OSError, RecordError, faults.Died):
                    faults.learn(out)
            if disk.met is None:
                break
            met.append(disk.met)
            assert goes_on(faults, out, whole), f"{fault}, operation {at}: {disk.met}"
            shutil.rmtree(out)
    return met


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("once", "the N-th open, write, flush, cut, rename, remove or new folder fails, for every N"),
        ("on", "the same, and every operation after it fails: the disk is full, or gone"),
        ("half", "the process dies at the N-th such operation, of a write after half of its bytes, for every N"),
    ],
)
def test_the_nth_operation(faults, tell, whole, begun, memory, fault, words):
    met = hunt(faults, fault, whole, begun, memory)
    assert set(met) == set(faults.OPERATIONS)
    tell(words, f"{len(met)} of {len(met)} go on to equal bytes; no temporary file is left")


def outcome(faults, run):
    """The error of a run; None if it came to its end."""
    try:
        faults.learn(run)
    except (OSError, RecordError) as error:
        return error
    return None


def test_a_fault_in_silence_is_none(faults, memory):
    """What fails is told, with the disk's own words."""
    for at in range(1, 1000):
        with pytest.MonkeyPatch.context() as patch:
            disk = faults.Disk(at, "once")
            patch.setattr(room, "os", disk)
            error = outcome(faults, memory / str(at))
        assert (error is None) == (disk.met is None)
        if error is None:
            return
        assert re.search("No space left|Input/output", str(error)), error


def test_a_process_that_is_gone(tell, memory):
    """The same with real processes: they end by `os._exit` in the middle of the operation."""
    done = subprocess.run([sys.executable, str(FAULTS), str(memory)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["deaths"] > 80
    assert told["left_over"] > 20
    assert told["torn"] == 5
    assert told["equal"] == told["deaths"]
    tell(
        "a forked process ends by `_exit` at its N-th operation, for every N",
        f"{told['equal']} of {told['deaths']} go on to equal bytes",
    )


def test_every_byte_of_the_newest_checkpoint(faults, tell, whole, memory):
    """Flipped or cut off: the older one is taken, and the run goes on to equal bytes."""
    run = memory / "run"
    faults.learn(run)
    newest = max((run / "checkpoints").iterdir())
    good = newest.read_bytes()
    caught = {"flipped": 0, "cut": 0}
    for place in range(len(good)):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 8
        for fault, bad in (("flipped", bytes(flipped)), ("cut", good[:place])):
            newest.write_bytes(bad)
            found = newest_checkpoint(run / "checkpoints")
            assert found.step == faults.STEPS - 1
            assert len(found.rejected) == 1
            assert str(newest) in found.rejected[0]
            if place % 16 == 0:
                faults.learn(run)
                assert faults.bytes_of(run) == whole
            caught[fault] += 1
    size = len(good)
    tell("a bit of each byte of a checkpoint flipped", f"{caught['flipped']} of {size} caught, the older one is taken")
    tell("a checkpoint cut at each byte", f"{caught['cut']} of {size} caught, the older one is taken")


def test_metrics_cut_at_every_byte(faults, tell, whole, memory):
    """Below the checkpoint's offset the rows are lost, which is refused; above it they are made again."""
    run = memory / "run"
    faults.learn(run, steps=3)
    offset = newest_checkpoint(run / "checkpoints").header["offset"]
    faults.learn(run)
    content = (run / "metrics.jsonl").read_bytes()
    faults.learn(memory / "three", steps=3)
    told = {"equal": 0, "refused": 0}
    for size in range(len(content)):
        out = memory / f"{size}"
        shutil.copytree(memory / "three", out)
        (out / "metrics.jsonl").write_bytes(content[:size])
        if size < offset:
            with pytest.raises(RecordError, match=f"offset {offset} lies outside its {size} bytes"):
                faults.learn(out)
            told["refused"] += 1
        else:
            assert read_metrics(out / "metrics.jsonl").torn == (content[size - 1 : size] != b"\n")
            assert goes_on(faults, out, whole)
            told["equal"] += 1
        shutil.rmtree(out)
    tell(
        "metrics torn after the checkpoint's place, at each byte",
        f"{told['equal']} of {told['equal']} go on to equal bytes",
    )
    tell(
        "metrics cut before the checkpoint's place, at each byte",
        f"{told['refused']} of {told['refused']} refused: rows are lost",
    )


def full(faults, folder, whole, spare):
    """Runs with less and less space, then with enough; how many of them ran out of it."""
    out_of_space = 0
    for filled in spare:
        run = folder / "run"
        with filled(folder):
            error = outcome(faults, run)
        assert getattr(error, "strerror", None) in (None, "No space left on device", "File too large"), error
        out_of_space += error is not None
        assert goes_on(faults, run, whole)
        shutil.rmtree(run)
    return out_of_space


@contextlib.contextmanager
def largest_file(size):
    """No file of this process may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_files_may_not_grow(faults, tell, whole, memory):
    """Without any privilege: the kernel refuses, in the middle of a write."""
    sizes = range(0, max(map(len, whole.values())), 7)
    ran_out = full(faults, memory, whole, [lambda _, size=size: largest_file(size) for size in sizes])
    assert ran_out == len(sizes)
    tell(
        "files that may not grow beyond N bytes, every seventh N",
        f"{ran_out} of {len(sizes)} stop with the disk's error, then go on to equal bytes",
    )


@contextlib.contextmanager
def filler(folder, left):
    """All but `left` bytes of a file system taken."""
    stat = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, stat.f_bavail * stat.f_frsize - left)))
    try:
        yield
    finally:
        (folder / "filler").unlink()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "suasion-test", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not permitted")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(faults, tell, whole, small_disk):
    pages = range(0, 7)  # of 4 KiB: configuration, manifest, metrics, three checkpoints, one in the making
    ran_out = full(faults, small_disk, whole, [lambda disk, k=k: filler(disk, 4096 * k) for k in pages])
    assert ran_out >= len(pages) - 1
    tell(
        "a full tmpfs, with room for 0 to 6 of a run's files",
        f"{ran_out} of {len(pages)} stop with `No space left`, all go on to equal bytes",
    )


@contextlib.contextmanager
def unprivileged(folder):
    """Root may write anywhere: take another user's rights for a while. Others: take the folder's."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
        return
    places = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for place in places:
        place.chmod(0o555)
    try:
        yield
    finally:
        for place in places:
            place.chmod(0o755)


def test_a_folder_that_may_only_be_read(faults, tell, whole):
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        folder = Path(name)
        faults.learn(folder / "run", steps=3)
        before = faults.bytes_of(folder / "run")
        with unprivileged(folder):
            with pytest.raises(PermissionError, match=r"metrics\.jsonl"):
                faults.learn(folder / "run")
            with pytest.raises(PermissionError, match="new"):
                faults.learn(folder / "new")
            assert len(read_run(folder / "run").metrics) == 3
        assert faults.bytes_of(folder / "run") == before
        assert goes_on(faults, folder / "run", whole)
    tell("a folder that may only be read", "refused with the file's name; nothing is changed, reading works")


def test_a_folder_that_is_gone(faults, tell, tmp_path, monkeypatch):
    """Removed while the run writes: no half of a run is left in its place."""
    run = tmp_path / "run"
    real = faults.MetricsWriter.append

    def append(writer, row):
        real(writer, row)
        if row["step"] == 3:
            shutil.rmtree(run)

    monkeypatch.setattr(faults.MetricsWriter, "append", append)
    with pytest.raises(FileNotFoundError, match=r"was removed or replaced.*metrics\.jsonl"):
        faults.learn(run)
    assert not run.exists()
    tell("the folder is removed while the run writes", "stops with the file's name; nothing is made in its place")


@pytest.mark.parametrize("name", ["with space", "größe ✓ 日本", " -rf *", "a'b\"c\\d", "x" * 200, "line\nend"])
def test_folders_of_any_name(faults, tell, whole, tmp_path, name):
    faults.learn(tmp_path / name / name, steps=2)
    assert goes_on(faults, tmp_path / name / name, whole)
    tell("spaces, quotes, line ends and any Unicode in a path", "equal bytes")


@pytest.mark.parametrize("what", ["config.json", "metrics.jsonl", "checkpoints"])
def test_what_is_a_folder_or_a_pipe_instead_of_a_file(faults, tmp_path, what):
    run = tmp_path / "run"
    faults.learn(run, steps=2)
    place = run / what
    if place.is_dir():
        shutil.rmtree(place)
        place.write_bytes(b"no folder")
    else:
        place.unlink()
        os.mkfifo(place)
    with pytest.raises((RecordError, OSError), match=what.removesuffix("s")):
        faults.learn(run)


def test_every_row_of_the_table_is_told_by_a_test(rows):
    """No row of docs/reliability.md is left from a test that is gone."""
    here = Path(__file__).parents[1]
    sources = "".join(path.read_text() for room in ("records", "runs") for path in (here / room).glob("test_*.py"))
    texts = re.sub(r'"\s+f?"', "", sources)
    for fault in rows():
        pieces = re.split(r"[0-9,:]+|training|checkpoint|counterfactuals|episode|metrics|configuration|map", fault)
        assert all(piece.strip() in texts for piece in pieces), f"no test tells of: {fault}"
