import fcntl
import os

import pytest

from suasion.records import MetricsFollower, MetricsWriter, RecordError, hold_run, read_metrics
from suasion.records import _follow as follow
from suasion.records import _metrics as metrics


def lines(*steps):
    return b"".join(b'{"step":%d,"x":%d}\n' % (step, step * step) for step in steps)


def test_what_is_new_is_read(tmp_path):
    path = tmp_path / "m"
    follower = MetricsFollower(path)
    assert not follower.look()
    with MetricsWriter(path) as writer:
        for step in range(5):
            writer.append({"step": step, "x": step / 3})
            assert follower.look()
            assert not follower.look()
            assert follower.rows == read_metrics(path).rows
    assert not follower.torn


def test_half_a_line_waits_for_its_end(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(lines(0) + b'{"step":1,')
    follower = MetricsFollower(path)
    assert follower.look()
    assert (len(follower.rows), follower.torn) == (1, True)
    with path.open("ab") as file:
        file.write(b'"x":1}')
    assert not follower.look()
    assert follower.torn
    with path.open("ab") as file:
        file.write(b"\n")
    assert follower.look()
    assert (len(follower.rows), follower.torn) == (2, False)
    path.write_bytes(lines(0, 1) + b"{")
    assert follower.look()
    path.write_bytes(lines(0, 1))
    assert follower.look()
    assert (len(follower.rows), follower.torn) == (2, False)


@pytest.mark.parametrize("then", [(0, 1), (0, 1, 7), (0, 1, 7, 8, 9, 10), (), (5, 6, 7, 8)])
def test_a_file_that_shrinks_is_read_anew(tmp_path, then):
    """Also where it has grown beyond its old size before the next look."""
    path = tmp_path / "m"
    path.write_bytes(lines(0, 1, 2, 3))
    follower = MetricsFollower(path)
    follower.look()
    descriptor = os.open(path, os.O_RDWR)
    same = next(k for k in range(5) if k == len(then) or k == 4 or then[k] != k)  # rows that stay
    kept = len(lines(*then[:same]))
    os.ftruncate(descriptor, kept)
    os.pwrite(descriptor, lines(*then)[kept:], kept)
    os.close(descriptor)
    assert follower.look()
    assert follower.rows == read_metrics(path).rows
    assert [row["step"] for row in follower.rows] == list(then)


def test_a_file_that_is_replaced_or_removed(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(lines(0, 1))
    follower = MetricsFollower(path)
    follower.look()
    (tmp_path / "n").write_bytes(lines(0, 1, 2))
    (tmp_path / "n").replace(path)
    assert follower.look()
    assert len(follower.rows) == 3
    path.unlink()
    assert follower.look()
    assert follower.rows == []
    os.mkfifo(path)
    with pytest.raises(RecordError, match="not a regular file"):
        follower.look()


def test_a_bad_line_is_named_until_it_is_gone(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(lines(0, 1) + b'{"step":NaN}\n' + lines(3))
    follower = MetricsFollower(path)
    for _ in range(2):
        with pytest.raises(RecordError, match=f"{path}: line 3: "):
            follower.look()
        assert [row["step"] for row in follower.rows] == [0, 1]
    path.write_bytes(lines(0, 1, 2, 3))
    assert follower.look()
    assert len(follower.rows) == 4
    path.write_bytes(b"{" * (2**20 + 1))
    with pytest.raises(RecordError, match="longer than 1048576 bytes"):
        follower.look()
    assert follower.rows == []


def test_a_file_of_any_length_is_refused(tmp_path, monkeypatch):
    """By both readers, before it is read, with its size; the limit is made small here."""
    path = tmp_path / "m"
    path.write_bytes(lines(*range(100)))
    size = path.stat().st_size
    for module in (metrics, follow):
        monkeypatch.setattr(module, "LARGEST_FILE", size - 1)
    follower = MetricsFollower(path)
    for read in (lambda: read_metrics(path), follower.look):
        with pytest.raises(RecordError, match=f"{path}: {size} bytes of metrics; limit {size - 1}"):
            read()
    assert follower.rows == []
    for module in (metrics, follow):
        monkeypatch.setattr(module, "LARGEST_FILE", size)
    assert len(read_metrics(path).rows) == 100
    assert follower.look()


def test_a_sparse_file_takes_no_memory(tmp_path):
    """A terabyte of zeros: refused by its size alone."""
    path = tmp_path / "m"
    with path.open("wb") as file:
        file.truncate(10**12)
    for read in (lambda: read_metrics(path), MetricsFollower(path).look):
        with pytest.raises(RecordError, match="1000000000000 bytes of metrics; limit 134217728"):
            read()


def test_a_follower_keeps_no_run_from_starting(tmp_path, monkeypatch):
    """Who asks whether a run is held has its lock for an instant; who trains it, for longer."""
    real, refused = fcntl.flock, []

    def busy(descriptor, operation):
        if len(refused) < most:
            refused.append(operation)
            raise BlockingIOError
        return real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", busy)
    most = 3
    with hold_run(tmp_path):
        assert len(refused) == 3
    most, refused = 100, []
    with pytest.raises(RecordError, match="another process is training"), hold_run(tmp_path):
        pass
    assert len(refused) == 5
