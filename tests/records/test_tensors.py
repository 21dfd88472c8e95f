"""Safetensors files of other programs: equal to what their library reads and writes; files that lie cost nothing."""

import importlib.util
import struct
import tempfile
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suasion.records import RecordError, read_bounded, read_json, read_tensors, write_json, write_tensors

DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
NAMES = st.text(max_size=12).filter(lambda name: name != "__metadata__")
ARRAYS = st.dictionaries(
    NAMES,
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    max_size=5,
)
WORDS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)


@pytest.fixture(scope="module")
def ram():
    """A folder in memory, where there is one, for all examples."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@given(ARRAYS, WORDS)
def test_their_library_reads_what_is_written(ram, arrays, words):
    path = ram / "a.safetensors"
    write_tensors(path, arrays, words)
    for found in (read_tensors(path), safetensors.numpy.load_file(path)):
        assert found.keys() == arrays.keys()
        assert all(same(found[name], arrays[name]) for name in arrays)
    with safetensors.safe_open(path, "numpy") as file:
        assert (file.metadata() or {}) == words
    content = path.read_bytes()
    write_tensors(path, dict(reversed(arrays.items())), dict(reversed(words.items())))
    assert path.read_bytes() == content


@given(ARRAYS, WORDS)
def test_what_their_library_writes_is_read(ram, arrays, words):
    path = ram / "a.safetensors"
    safetensors.numpy.save_file(arrays, path, words or None)  # of {} and no arrays it makes what is not JSON
    found = read_tensors(path)
    assert found.keys() == arrays.keys()
    assert all(same(found[name], arrays[name]) for name in arrays)
    assert all(array.flags.aligned and not array.flags.writeable for array in found.values())


def test_bfloat16_comes_as_float32_exactly(tmp_path):
    """Every one of the 65,536, NaN and infinities among them."""
    every = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16).reshape(256, 256)
    path = tmp_path / "a"
    safetensors.numpy.save_file({"a": every, "b": np.ones(3, np.float16)}, path)
    found = read_tensors(path)
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], every.astype(np.float32))
    assert found["b"].dtype == np.float16


def test_arrays_at_odd_places_are_read(tmp_path, tensors):
    table = {"a": entry("U8", [3], [0, 3]), "b": entry("F32", [2], [3, 11])}
    (tmp_path / "a").write_bytes(tensors(table, b"\1\2\3" + struct.pack("<2f", 0.5, -2.0)))
    found = read_tensors(tmp_path / "a")
    np.testing.assert_array_equal(found["a"], [1, 2, 3])
    np.testing.assert_array_equal(found["b"], np.array([0.5, -2.0], np.float32))
    assert found["b"].flags.aligned


def entry(dtype="F32", shape=(2,), ends=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(ends)}


HOSTILE = {
    "more elements than bytes": ({"a": entry(shape=[10**12], ends=[0, 4 * 10**12])}, 8, "ends at byte 4000000000000"),
    "elements that wrap around": ({"a": entry(shape=[2**32, 2**32, 1], ends=[0, 0])}, 0, "takes 73786976294838206464"),
    "empty, but axes too long": ({"a": entry(shape=[0, 2**63, 2**63], ends=[0, 0])}, 0, "'a': shape"),
    "shape and bytes differ": ({"a": entry(shape=[3])}, 8, "takes 12 bytes, its place holds 8"),
    "overlap": ({"a": entry(), "b": entry(ends=[4, 12])}, 12, "'b' starts at byte 4, not 8"),
    "gap": ({"a": entry(), "b": entry(ends=[12, 20])}, 20, "'b' starts at byte 12, not 8"),
    "bytes of no array": ({"a": entry()}, 9, "1 bytes belong to no array"),
    "beyond the end": ({"a": entry()}, 4, "ends at byte 8 of 4"),
    "backwards": ({"a": entry(ends=[8, 0])}, 8, "its place holds -8"),
    "negative size": ({"a": entry(shape=[-2])}, 8, "sizes >= 0"),
    "true as a size": ({"a": entry(shape=[True, 2])}, 8, "sizes >= 0"),
    "too many axes": ({"a": entry(shape=[1] * 40 + [2])}, 8, "at most 32"),
    "eight bits": ({"a": entry("F8_E4M3", [8])}, 8, "'F8_E4M3' is not among .*BF16"),
    "bfloat16 of the wrong size": ({"a": entry("BF16", [2])}, 8, "takes 4 bytes"),
    "words that are no text": ({"__metadata__": {"a": 1}}, 0, "__metadata__ must be"),
    "words that are a list": ({"__metadata__": ["a"]}, 0, "__metadata__ must be"),
    "unknown key": ({"a": entry() | {"x": 1}}, 8, "nothing else"),
    "table is a list": ([], 0, "is a list"),
    "a name twice": (b'{"a":{},"a":{}}', 2, "comes twice"),
    "no utf-8": (b'{"\xff":1}', 0, "not acceptable JSON"),
    "deep": (b"[" * 50_000, 0, "JSON"),
}


@pytest.mark.parametrize(("table", "body", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_tables_that_lie_are_refused(tmp_path, tensors, table, body, reason):
    path = tmp_path / "a"
    path.write_bytes(tensors(table, bytes(body)))
    refused(path, reason)


def refused(path, reason, memory=200_000):
    """The room's own error, which names the file; no memory for what the file claims."""
    tracemalloc.start()
    with pytest.raises(RecordError, match=reason) as error:
        read_tensors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(error.value)
    assert peak < 20 * min(path.stat().st_size, 10**6) + memory


def test_files_whose_first_length_lies_are_refused(tmp_path):
    path = tmp_path / "a"
    lengths = (struct.pack("<Q", length) + b"{}      " for length in (9, 10**12, 2**64 - 1))
    for content in (b"", b"\1\0\0", bytes(8), struct.pack("<Q", 1) + b"{", *lengths):
        path.write_bytes(content)
        refused(path, "not safetensors: a table of")
    path.write_bytes(b"\x80\x02ctorch\nFloatStorage\n" * 20)  # a pickle
    refused(path, "not safetensors")


def test_a_large_file_with_a_bad_table_is_not_read(tmp_path, tensors):
    """A sparse file of a tebibyte: the table is refused before the arrays are looked at."""
    path = tmp_path / "a"
    path.write_bytes(tensors({"a": entry("F32", [2**36], [0, 2**38]), "b": entry("F99", [1], [2**38, 2**38 + 4])}))
    with path.open("r+b") as file:
        file.truncate(2**40)
    refused(path, "'F99' is not among")
    (tmp_path / "b").mkdir()
    with pytest.raises(RecordError, match="not a regular file"):
        read_tensors(tmp_path / "b")


def test_mutated_files(memory):
    """3,000 of them: the room's own error, or arrays that the file has room for."""
    spec = importlib.util.spec_from_file_location("records_fuzz", Path(__file__).with_name("fuzz.py"))
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    path, chance = memory / "a", fuzz.Chance(1)
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "flag": np.array([True]), "none": np.zeros((0, 3))}
    write_tensors(path, arrays, {"format": "pt"})
    good = path.read_bytes()
    (length,) = struct.unpack_from("<Q", good)
    refusals = 0
    for turn in range(3000):
        bad = fuzz.mutated(chance, good)
        if turn % 2:  # behind a length that is right, to reach what comes after it
            text = fuzz.mutated(chance, good[8 : 8 + length])
            bad = struct.pack("<Q", len(text)) + text + good[8 + length :]
        path.write_bytes(bad)
        try:
            found = read_tensors(path)
        except RecordError:
            refusals += 1
        else:
            assert sum(array.nbytes for array in found.values()) <= 2 * len(bad)
    assert 1500 < refusals < 3000


def test_values_that_cannot_be_written_are_named(tmp_path):
    for arrays, reason in (
        ({"a": np.array(["x"])}, "array 'a' of <U1"),
        ({"__metadata__": np.ones(1)}, "'__metadata__'"),
    ):
        with pytest.raises(RecordError, match=reason):
            write_tensors(tmp_path / "a", arrays, {})
    assert not list(tmp_path.iterdir())


def test_json_files_of_people(tmp_path):
    value = {"b": [1, 2.5, None], "a": "größer"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text(encoding="utf-8").startswith('{\n  "b"')
    with pytest.raises(RecordError, match="x is nan"):
        write_json(tmp_path / "x", float("nan"))
    with pytest.raises(RecordError, match="limit 4194304"):
        write_json(tmp_path / "x", "a" * 2**22)
    (tmp_path / "long").write_bytes(b" " * (2**22 + 1))
    with pytest.raises(RecordError, match="4194305 bytes; limit 4194304"):
        read_json(tmp_path / "long")
    assert read_bounded(tmp_path / "a.json", 100) == (tmp_path / "a.json").read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", "long"]
