import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.records import MetricsWriter, RecordError, read_metrics

NUMBERS = st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.dictionaries(
        st.text(min_size=1).filter(lambda key: key not in ("step", "non_finite")),
        NUMBERS | st.lists(NUMBERS | st.lists(NUMBERS, max_size=3), max_size=3),
        max_size=4,
    ),
    max_size=6,
)


def write(path, rows, offset=None):
    with MetricsWriter(path, offset) as writer:
        for row in rows:
            writer.append(row)
        return writer.offset


@given(ROWS)
def test_rows_read_back_equal(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    rows = [{"step": step, **row} for step, row in enumerate(rows)]
    offset = write(path, rows)
    metrics = read_metrics(path)
    assert metrics.rows == rows
    assert not metrics.torn
    assert offset == path.stat().st_size
    first = path.read_bytes()
    assert write(path, [dict(reversed(row.items())) for row in rows], offset=0) == offset
    assert path.read_bytes() == first


def test_bytes_are_plain_sorted_and_short(tmp_path):
    path = tmp_path / "m"
    row = {
        "b": np.float32(0.1),
        "step": np.int64(3),
        "a": [np.float64(0.1), 1, None],
        "c": np.array([[1, 2]], np.int16),
    }
    write(path, [row, {"step": 3, "d": np.array(2.5, np.float32), "e": np.float16(0.1), "f": -0.0}])
    assert path.read_text() == (
        '{"step":3,"a":[0.1,1,null],"b":0.1,"c":[[1,2]]}\n{"step":3,"d":2.5,"e":0.1,"f":-0.0}\n'
    )


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_reads_back_to_the_bit(tmp_path_factory, number):
    path = tmp_path_factory.mktemp("metrics") / "m"
    write(path, [{"step": 0, "x": np.float32(number)}])
    back = np.float32(read_metrics(path).rows[0]["x"])
    assert back == np.float32(number)
    assert np.signbit(back) == np.signbit(np.float32(number))


def test_non_finite_numbers_become_null_and_are_listed(tmp_path):
    path = tmp_path / "m"
    row = {
        "step": 1,
        "loss": math.nan,
        "a": [1.0, math.inf],
        "b": np.array([[0.0, -np.inf]], np.float32),
        "c": None,
    }
    write(path, [row])
    (found,) = read_metrics(path).rows
    assert found == {
        "step": 1,
        "a": [1.0, None],
        "b": [[0.0, None]],
        "c": None,
        "loss": None,
        "non_finite": ["a[1]", "b[0][1]", "loss"],
    }


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({}, "is None"),
        ({"step": 1.0}, r"is 1\.0"),
        ({"step": True}, "is True"),
        ({"step": -1}, "is -1"),
        ({"step": 4}, "4 after a row of step 5"),
        ({"step": 5, "a": "text"}, r"row\['a'\] is a builtins\.str"),
        ({"step": 5, "a": [0, True]}, r"row\['a\[1\]'\] is a builtins\.bool"),
        ({"step": 5, "a": {"b": 1}}, r"builtins\.dict"),
        ({"step": 5, "a": np.array([1j])}, "complex128"),
        ({"step": 5, "a": 2**64}, "65 bits"),
        ({"step": 5, "": 1}, "not empty"),
        ({"step": 5, 3: 1}, "the key 3"),
        ({"step": 5, "non_finite": []}, "non_finite"),
        ({"step": 5, "\ud800": 1}, "surrogate"),
        ({"step": 5, "a": [[[[[[[[[[1]]]]]]]]]]}, "nested more than 8"),
        ({"step": 5, "a": [0.123456789] * 100_000}, "limit 1048576"),
    ],
)
def test_bad_rows_are_refused_and_leave_no_trace(tmp_path, row, fault):
    with MetricsWriter(tmp_path / "m") as writer:
        writer.append({"step": 5})
        with pytest.raises(RecordError, match=fault):
            writer.append(row)
        writer.append({"step": 6})
    assert [row["step"] for row in read_metrics(tmp_path / "m").rows] == [5, 6]


def test_each_row_is_visible_at_once(tmp_path):
    with MetricsWriter(tmp_path / "m") as writer:
        for step in range(3):
            writer.append({"step": step})
            writer.sync()
            assert len(read_metrics(tmp_path / "m").rows) == step + 1
    writer.close()


def test_cut_at_every_byte_the_whole_lines_remain(tmp_path):
    path = tmp_path / "m"
    write(path, [{"step": step, "x": step / 7} for step in range(4)])
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        metrics = read_metrics(path)
        assert len(metrics.rows) == content[:size].count(b"\n")
        assert metrics.torn == (size > 0 and content[size - 1 : size] != b"\n")
        writer = MetricsWriter(path)  # goes on after the last whole line
        writer.append({"step": 9})
        writer.close()
        again = read_metrics(path)
        assert [row["step"] for row in again.rows] == [*range(len(metrics.rows)), 9]
        assert not again.torn


def test_a_resume_cuts_at_the_offset_and_gives_the_same_bytes(tmp_path):
    rows = [{"step": step, "x": 1 / (step + 1)} for step in range(6)]
    write(tmp_path / "whole", rows)
    offset = write(tmp_path / "cut", rows[:3])
    write(tmp_path / "cut", rows[3:5])
    with (tmp_path / "cut").open("ab") as file:
        file.write(b'{"step": 77, "torn')
    write(tmp_path / "cut", rows[3:], offset)
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()


def test_offsets_that_do_not_fit_the_file_are_refused_and_change_nothing(tmp_path):
    path = tmp_path / "m"
    end = write(path, [{"step": 1}, {"step": 2}])
    content = path.read_bytes()
    for offset, fault in {end + 1: "outside", -1: "outside", 3: "not at the end of a line"}.items():
        with pytest.raises(RecordError, match=fault):
            MetricsWriter(path, offset)
        assert path.read_bytes() == content
    with pytest.raises(RecordError, match="offset 5 lies outside its 0 bytes"):
        MetricsWriter(tmp_path / "new", 5)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordError, match="not a regular file"):
        MetricsWriter(tmp_path / "pipe")


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "m"
    with MetricsWriter(path) as writer:
        writer.append({"step": 1})
        real, calls = os.write, []

        def full(descriptor, piece):
            calls.append(1)
            if len(calls) > 1:
                raise OSError(28, "No space left on device")
            return real(descriptor, memoryview(piece)[:4])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space left"):
                writer.append({"step": 2, "x": 3})
        assert read_metrics(path).rows == [{"step": 1}]
        assert not read_metrics(path).torn
        writer.append({"step": 2, "x": 4})
    assert read_metrics(path).rows == [{"step": 1}, {"step": 2, "x": 4}]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"x":1}',
        b'{"step":1.5}',
        b'{"step":true}',
        b'{"step":-1}',
        b'{"step":1,"step":2}',
        b'{"step":1,"x":NaN}',
        b'{"step":1,"x":1e999}',
        b'{"step":1,"x":"text"}',
        b'{"step":1,"x":{"y":1}}',
        b'{"step":1,"x":[true]}',
        b'{"step":1,"non_finite":[1]}',
        b'{"step":1,"non_finite":"x"}',
        b'{"step":1,"\xff":1}',
        b'{"step":1,"x":' + b"[" * 500_000,
        b'{"step":1,"x":"' + b"a" * 2**20 + b'"}',
        b"\0\0\0",
    ],
)
def test_a_malformed_line_is_named_by_its_number(tmp_path, line):
    path = tmp_path / "m"
    path.write_bytes(b'{"step":0}\n{"step":1}\n' + line + b'\n{"step":2}\n')
    with pytest.raises(RecordError, match=f"{path}: line 3: "):
        read_metrics(path)


def test_a_last_line_without_end_is_torn_even_if_long_or_zero(tmp_path):
    path = tmp_path / "m"
    for tail in (b"\0" * 100, b'{"step":1}', b"{" * 2**20):
        path.write_bytes(b'{"step":0}\n' + tail)
        metrics = read_metrics(path)
        assert metrics.rows == [{"step": 0}]
        assert metrics.torn
    path.write_bytes(b'{"step":0}\n' + b"{" * (2**20 + 1))
    with pytest.raises(RecordError, match="line 2: longer than"):
        read_metrics(path)


def test_the_lines_are_plain_json_for_others(tmp_path):
    path = tmp_path / "m"
    write(path, [{"step": 1, "größe": 0.5}])
    assert json.loads(path.read_text(encoding="utf-8")) == {"step": 1, "größe": 0.5}
