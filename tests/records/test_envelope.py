import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suasion.records import RecordError, read_envelope, sweep, write_envelope, write_whole

DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]

ARRAYS = st.dictionaries(
    st.text(max_size=12),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    max_size=5,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.text(), JSON, max_size=3)
SMALL = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "flag": np.array(True)}


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@given(ARRAYS, HEADERS)
def test_what_is_written_reads_back_to_the_bit(tmp_path_factory, arrays, header):
    path = tmp_path_factory.mktemp("envelope") / "a.suasion"
    write_envelope(path, "thing", arrays, header)
    found = read_envelope(path, "thing")
    assert json.dumps(found.header, sort_keys=True) == json.dumps(header, sort_keys=True)
    assert found.arrays.keys() == arrays.keys()
    assert all(same(found.arrays[name], arrays[name]) for name in arrays)
    assert all(array.flags.aligned and not array.flags.writeable for array in found.arrays.values())
    first = path.read_bytes()
    write_envelope(path, "thing", dict(reversed(arrays.items())), dict(reversed(header.items())))
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["a.suasion"]


@given(ARRAYS)
def test_the_arrays_are_a_safetensors_file(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("envelope") / "a"
    write_envelope(path, "thing", arrays, {})
    content = path.read_bytes()
    header, length = struct.unpack_from("<IQ", content, 12)
    theirs = safetensors.numpy.load(content[24 + header : 24 + header + length])
    assert theirs.keys() == arrays.keys()
    assert all(same(theirs[name], arrays[name]) for name in arrays)


@given(ARRAYS)
def test_arrays_written_by_the_safetensors_library_are_read(tmp_path_factory, seal, arrays):
    path = tmp_path_factory.mktemp("envelope") / "a"
    path.write_bytes(seal(b'{"header":{},"kind":"thing"}', safetensors.numpy.save(arrays)))
    found = read_envelope(path, "thing").arrays
    assert found.keys() == arrays.keys()
    assert all(same(found[name], arrays[name]) for name in arrays)


def test_strided_and_byte_swapped_arrays_keep_their_values(tmp_path):
    swapped = np.arange(12, dtype=">i4").reshape(3, 4)
    write_envelope(tmp_path / "a", "thing", {"a": swapped[::2, ::-1], "b": swapped.T}, {})
    arrays = read_envelope(tmp_path / "a", "thing").arrays
    np.testing.assert_array_equal(arrays["a"], swapped[::2, ::-1])
    np.testing.assert_array_equal(arrays["b"], swapped.T)
    assert arrays["a"].dtype == np.dtype("<i4")


def test_nothing_of_time_or_place_is_written(tmp_path):
    (tmp_path / "ä b").mkdir()
    write_envelope(tmp_path / "one", "thing", SMALL, {"step": 3})
    write_envelope(tmp_path / "ä b" / "zwei ✓", "thing", SMALL, {"step": 3})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "ä b" / "zwei ✓").read_bytes()


def test_every_flipped_bit_and_every_cut_is_caught(tmp_path):
    path = tmp_path / "a"
    write_envelope(path, "thing", SMALL, {"step": 3})
    good = path.read_bytes()
    assert len(good) < 400
    for place in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            path.write_bytes(bad)
            with pytest.raises(RecordError, match=str(path)):
                read_envelope(path, "thing")
        path.write_bytes(good[:place])
        with pytest.raises(RecordError, match=r"truncated"):
            read_envelope(path, "thing")
    path.write_bytes(good + b"\0")
    with pytest.raises(RecordError, match=r"too long"):
        read_envelope(path, "thing")


def test_newer_versions_other_kinds_and_foreign_files_are_named(tmp_path, seal, tensors):
    path = tmp_path / "a"
    header = b'{"header":{},"kind":"thing"}'
    path.write_bytes(seal(header, tensors({}), version=7))
    with pytest.raises(RecordError, match=r"version 7, newer"):
        read_envelope(path, "thing")
    path.write_bytes(seal(header, tensors({}), version=0))
    with pytest.raises(RecordError, match=r"version 0, unknown"):
        read_envelope(path, "thing")
    path.write_bytes(seal(header, tensors({})))
    with pytest.raises(RecordError, match=r"holds a 'thing', not a 'checkpoint'"):
        read_envelope(path, "checkpoint")
    path.write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(RecordError, match=r"not a file of suasion"):
        read_envelope(path, "thing")
    path.write_bytes(b"hello")
    with pytest.raises(RecordError, match=r"not a file of suasion: 5 bytes"):
        read_envelope(path, "thing")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b'{"kind":"thing"}',
        b'{"kind":"thing","header":{},"more":1}',
        b'{"kind":"thing","header":[]}',
        b'{"kind":["thing"],"header":{}}',
        b'{"kind":"thing","header":{"a":1,"a":2}}',
        b'{"kind":"thing","header":{"a":NaN}}',
        b'{"kind":"thing","header":{"a":-Infinity}}',
        b'{"kind":"thing","header":{"a":1e999}}',
        b'{"kind":"thing","header":{"a":18446744073709551616}}',
        b'{"kind":"thing","header":{"a":' + b"9" * 5000 + b"}}",
        b'{"kind":"thing","header":{"a":"\\ud800"}}',
        b'{"kind":"thing","header":{"a":"\xff"}}',
        b'{"kind":"thing","header":{"a":' + b"[" * 70 + b"]" * 70 + b"}}",
        b'{"kind":"thing","header":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"kind":"thing","header":{"a":' + b'{"a":' * 100_000,
        b'{"kind":"thing","header":{}} {}',
        b"\xef\xbb\xbf" + b'{"kind":"thing","header":{}}',
    ],
)
def test_hostile_headers_are_refused(tmp_path, seal, tensors, header):
    path = tmp_path / "a"
    path.write_bytes(seal(header, tensors({})))
    with pytest.raises(RecordError, match=r"header|holds"):
        read_envelope(path, "thing")


def entry(dtype="F32", shape=(2,), ends=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(ends)}


HOSTILE_TABLES = {
    "more elements than bytes": ({"a": entry(shape=[10**12], ends=[0, 4 * 10**12])}, 8),
    "elements that wrap around": ({"a": entry(shape=[2**32, 2**32, 1], ends=[0, 0])}, 0),
    "wrap to the right size": ({"a": entry(shape=[2**62 + 2], ends=[0, 8])}, 8),
    "empty, but axes too long": ({"a": entry(shape=[0, 2**63, 2**63], ends=[0, 0])}, 0),
    "shape and bytes differ": ({"a": entry(shape=[3])}, 8),
    "overlap": ({"a": entry(), "b": entry(ends=[4, 12])}, 12),
    "the same place twice": ({"a": entry(), "b": entry()}, 8),
    "gap": ({"a": entry(), "b": entry(ends=[12, 20])}, 20),
    "starts late": ({"a": entry(ends=[4, 12])}, 12),
    "bytes of no array": ({"a": entry()}, 9),
    "no arrays, some bytes": ({}, 1),
    "beyond the end": ({"a": entry(ends=[0, 8])}, 4),
    "backwards": ({"a": entry(ends=[8, 0])}, 8),
    "misaligned": ({"a": entry("U8", [1], [0, 1]), "b": entry(ends=[1, 9])}, 9),
    "negative offset": ({"a": entry(ends=[-8, 0])}, 8),
    "negative size": ({"a": entry(shape=[-2])}, 8),
    "negative sizes": ({"a": entry(shape=[-1, -2])}, 8),
    "true as a size": ({"a": entry(shape=[True, 2])}, 8),
    "a size that is no integer": ({"a": entry(shape=[2.0])}, 8),
    "a size of thousands of digits": (
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}',
        8,
    ),
    "too many axes": ({"a": entry(shape=[1] * 40 + [2])}, 8),
    "too many offsets": ({"a": entry(ends=[0, 4, 8])}, 8),
    "shape is a number": ({"a": entry() | {"shape": 2}}, 8),
    "bf16": ({"a": entry("BF16", [4])}, 8),
    "unknown dtype": ({"a": entry("O")}, 8),
    "dtype is a list": ({"a": entry(["F32"])}, 8),
    "metadata": ({"__metadata__": {"a": "b"}}, 0),
    "missing key": ({"a": {"dtype": "F32", "shape": [2]}}, 8),
    "unknown key": ({"a": entry() | {"x": 1}}, 8),
    "entry is a list": ({"a": [1]}, 0),
    "table is a list": ([], 0),
    "a name twice": (
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        2,
    ),
    "no utf-8": (b'{"\xff":1}', 0),
    "deep": (b"[" * 50_000, 0),
}


@pytest.mark.parametrize(("table", "body"), HOSTILE_TABLES.values(), ids=HOSTILE_TABLES.keys())
def test_hostile_tables_are_refused(tmp_path, seal, tensors, table, body):
    path = tmp_path / "a"
    path.write_bytes(seal(b'{"header":{},"kind":"thing"}', tensors(table, bytes(body))))
    tracemalloc.start()
    with pytest.raises(RecordError, match=str(path)):
        read_envelope(path, "thing")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * path.stat().st_size + 200_000


def test_lengths_that_lie_are_refused(tmp_path, seal):
    path = tmp_path / "a"
    header = b'{"header":{},"kind":"thing"}'
    for arrays in (
        b"",
        bytes(7),
        struct.pack("<Q", 10**12) + b"{}",
        struct.pack("<Q", 2**64 - 1) + b"{}      ",
    ):
        path.write_bytes(seal(header, arrays))
        with pytest.raises(RecordError):
            read_envelope(path, "thing")
    for lengths in ((2**32 - 8, 0), (0, 2**64 - 1), (8, 10**12), (4, 100)):
        path.write_bytes(b"\x89SUA\r\n\x1a\n" + struct.pack("<IIQ", 1, *lengths) + bytes(200))
        with pytest.raises(RecordError, match=r"declares|byte 12"):
            read_envelope(path, "thing")


def test_a_boolean_that_is_neither_is_refused(tmp_path, seal, tensors):
    path = tmp_path / "a"
    path.write_bytes(seal(b'{"header":{},"kind":"thing"}', tensors({"a": entry("BOOL", [3], [0, 3])}, b"\0\1\2")))
    with pytest.raises(RecordError, match=r"'a': a boolean of value 2"):
        read_envelope(path, "thing")


def test_missing_files_folders_and_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "secret").write_bytes(b"")
    for name, fault in {
        "gone": "No such file",
        "pipe": "not a regular",
        "": "not a regular",
        "a\0b": "null",
    }.items():
        with pytest.raises(RecordError, match=fault):
            read_envelope(tmp_path / name, "thing")


@pytest.mark.parametrize(
    ("arrays", "header", "fault"),
    [
        ({"x": np.array([object()])}, {}, "'x' of object"),
        ({"x": np.array(["a"])}, {}, "'x' of <U1"),
        ({"x": np.array([1j])}, {}, "'x' of complex128"),
        ({"x": np.zeros(2, [("a", "f4")])}, {}, "'x' of"),
        ({"__metadata__": np.zeros(2)}, {}, "__metadata__"),
        ({"\ud800": np.zeros(2)}, {}, "surrogate"),
        ({}, {"rate": float("nan")}, r"header\.header\.rate is nan"),
        ({}, {"a": [1, {"b": np.float32(1)}]}, r"a\[1\]\.b is a numpy\.float32"),
        ({}, {"a": {1: 2}}, "key 1 is a int"),
        ({}, {"a": 2**64}, "65 bits"),
        ({}, {"a": b"x"}, r"builtins\.bytes"),
        ({}, {"a": "x" * 2**22}, "limit 4194304"),
    ],
)
def test_what_would_not_read_back_is_not_written(tmp_path, arrays, header, fault):
    with pytest.raises(RecordError, match=fault):
        write_envelope(tmp_path / "a", "thing", arrays, header)
    assert not list(tmp_path.iterdir())


def test_a_header_that_holds_itself_is_refused(tmp_path):
    header: dict = {}
    header["self"] = header
    with pytest.raises(RecordError, match=r"nested more than 64"):
        write_envelope(tmp_path / "a", "thing", {}, header)


def test_the_nth_operation_fails_and_the_old_file_stays(tmp_path, monkeypatch):
    """For every n: the n-th call to the disk fails; the old content or the new is there, and nothing else."""
    path = tmp_path / "a"
    write_envelope(path, "thing", SMALL, {"step": 1})
    old = path.read_bytes()
    write_envelope(path, "thing", SMALL, {"step": 2})
    new = path.read_bytes()
    calls = 0

    def failing(real, n):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == n:
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        return call

    n, outcomes = 0, []
    while True:
        n += 1
        path.write_bytes(old)
        calls = 0
        with monkeypatch.context() as patch:
            for name in ("open", "write", "fsync", "replace"):
                patch.setattr(os, name, failing(getattr(os, name), n))
            try:
                write_envelope(path, "thing", SMALL, {"step": 2})
            except OSError:
                outcomes.append(path.read_bytes())
            else:
                break
        assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == new
    # Only the two operations on the folder come after the rename.
    assert outcomes == [old] * (len(outcomes) - 2) + [new] * 2
    assert len(outcomes) >= 10


def test_writes_of_a_few_bytes_at_a_time_add_up(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, piece: real(descriptor, memoryview(piece)[:3]))
    write_envelope(tmp_path / "a", "thing", SMALL, {})
    assert same(read_envelope(tmp_path / "a", "thing").arrays["weight"], SMALL["weight"])


def test_a_failing_generator_leaves_nothing(tmp_path):
    def pieces():
        yield b"one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", pieces())
    assert not list(tmp_path.iterdir())


def test_sweep_takes_left_overs_only(tmp_path):
    (tmp_path / ".partial-12-0").write_bytes(b"x")
    (tmp_path / ".partial-folder").mkdir()
    (tmp_path / "kept").write_bytes(b"x")
    assert sweep(tmp_path) == (tmp_path / ".partial-12-0",)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".partial-folder", "kept"]
    assert sweep(tmp_path / "gone") == ()
