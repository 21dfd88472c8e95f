"""A log comes back from the disk as it was; a file that is none, or that lies, is refused by name."""

import builtins
import contextlib
import io
import json
import struct
import zipfile

import numpy as np
import pytest

from suasion.markov import Policy
from suasion.records import RecordError
from suasion.td import Sarsa, Softmax, collect, read_log, write_log
from suasion.td._log import COLUMNS


@pytest.fixture(scope="module")
def log(models):
    return collect(
        models["varied"](), Sarsa(exploration=Softmax()), discount=0.9, steps=700, runs=2, seed=1, time_limit=9
    )


def equal(one, other):
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)
    return same and dict(one.about) == dict(other.about)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def packed(path, held):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    return path


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.fixture
def stored(log, tmp_path):
    write_log(log, tmp_path / "log.npz")
    return tmp_path / "log.npz"


def test_npz_round_trip(log, stored):
    assert equal(read_log(stored), log)
    assert set(np.load(stored, allow_pickle=False)) == {*COLUMNS, "about"}


@pytest.mark.parametrize("name", list(COLUMNS))
def test_missing_column_is_named(stored, name):
    held = members(stored)
    del held[f"{name}.npy"]
    with pytest.raises(RecordError, match=f"the column {name} is missing"):
        read_log(packed(stored, held))


def test_probability_of_zero_is_refused_by_row(log, stored):
    held = members(stored)
    behaviour = log.behaviour.copy()
    behaviour[17] = 0.0
    with pytest.raises(RecordError, match=r"row 17 of the log: behaviour is 0.0"):
        read_log(packed(stored, held | {"behaviour.npy": npy(behaviour)}))


def test_hostile_members_are_refused(log, stored, tmp_path):
    held = members(stored)
    huge = npy(log.state).replace(b"(1400,)", b"(9**9,)")
    lies = npy(log.state)[:-4]
    booleans = npy(log.terminated)[:-1] + b"\x07"
    for name, content, words in (
        ("state", npy(np.array([{}], object)), "not a vector of int32|no array"),
        ("state", huge, "state"),
        ("state", lies, "takes"),
        ("state", npy(log.state.astype(np.int64)), "int64"),
        ("state", npy(log.state.reshape(2, -1)), "2 axes"),
        ("state", npy(log.state[:5]), "rows"),
        ("terminated", booleans, "boolean of value 7"),
        ("about", npy(np.frombuffer(b"{", np.uint8)), "no JSON"),
        ("about", npy(np.frombuffer(b'{"version": 9, "about": {}}', np.uint8)), "version 1"),
        ("about", npy(np.frombuffer(b'{"version": 1, "about": [1]}', np.uint8)), "table"),
        ("extra", npy(log.state), "does not belong"),
    ):
        with pytest.raises(RecordError, match=words):
            read_log(packed(tmp_path / "bad.npz", held | {f"{name}.npy": content}))


def test_file_that_is_none_is_refused(stored, tmp_path):
    with pytest.raises(RecordError, match="no such file"):
        read_log(tmp_path / "nowhere.npz")
    with pytest.raises(RecordError, match=r"a log is \.npz or \.parquet"):
        read_log(tmp_path / "log.csv")
    content = stored.read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 3):
        (tmp_path / "cut.npz").write_bytes(content[:cut])
        with pytest.raises(RecordError):
            read_log(tmp_path / "cut.npz")
    rng = np.random.default_rng(0)
    for _ in range(200):
        spoiled = bytearray(content)
        for at in rng.integers(0, len(content), 3):
            spoiled[at] ^= int(rng.integers(1, 256))
        (tmp_path / "spoiled.npz").write_bytes(spoiled)
        with contextlib.suppress(RecordError):  # and no other error
            read_log(tmp_path / "spoiled.npz")


def test_bomb_takes_no_memory(log, stored, tmp_path, monkeypatch):
    """A member of a kilobyte that says it holds more than the file may: refused before it is unpacked."""
    from suasion.td import _log_files

    monkeypatch.setattr(_log_files, "FREE", 1000)
    monkeypatch.setattr(_log_files, "RATIO", 2)
    with pytest.raises(RecordError, match="more than this file may hold"):
        read_log(packed(tmp_path / "bomb.npz", members(stored) | {"state.npy": npy(np.zeros(10**7, np.int32))}))
    content = bytearray(stored.read_bytes())
    at = content.rfind(b"PK\x01\x02")  # the last member's size in the directory, made small: it unpacks to more
    content[at + 24 : at + 28] = struct.pack("<I", 5)
    (tmp_path / "small.npz").write_bytes(content)
    with pytest.raises(RecordError):
        read_log(tmp_path / "small.npz")


def test_facts_must_be_plain(log, tmp_path):
    import dataclasses

    with pytest.raises(RecordError, match="about cannot be written"):
        write_log(dataclasses.replace(log, about={"x": float("nan")}), tmp_path / "log.npz")
    with pytest.raises(RecordError, match="about takes"):
        write_log(dataclasses.replace(log, about={"x": "y" * 2**20}), tmp_path / "log.npz")
    assert not list(tmp_path.iterdir())


def test_parquet_round_trip_in_four_bytes_a_step(models, log, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_log(log, tmp_path / "log.parquet")
    assert equal(read_log(tmp_path / "log.parquet"), log)
    assert parquet.read_table(tmp_path / "log.parquet").column_names == list(COLUMNS)
    import gymnasium

    from suasion.markov import from_gymnasium

    env = gymnasium.make("Taxi-v4").unwrapped
    taxi = from_gymnasium(env.P, initial=env.initial_state_distrib)
    long = collect(taxi, Policy.uniform(taxi), steps=200_000, time_limit=200, seed=1)
    assert write_log(long, tmp_path / "taxi.parquet").stat().st_size <= 4 * len(long)
    assert equal(read_log(tmp_path / "taxi.parquet"), long)


def test_hostile_parquet_is_refused(log, tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    from suasion.td import _log_files

    write_log(log, tmp_path / "log.parquet")
    table = parquet.read_table(tmp_path / "log.parquet")

    def refused(held, words):
        parquet.write_table(held, tmp_path / "bad.parquet")
        with pytest.raises(RecordError, match=words):
            read_log(tmp_path / "bad.parquet")

    for name in COLUMNS:
        refused(table.drop_columns([name]), f"the column {name} is missing")
    at = table.column_names.index("behaviour")
    zero = log.behaviour.copy()
    zero[3] = 0.0
    refused(table.set_column(at, "behaviour", pa.array(zero)), "row 3 of the log: behaviour is 0.0")
    refused(table.set_column(at, "behaviour", pa.array(zero.astype(np.float32))), "behaviour is float, not double")
    refused(table.set_column(at, "behaviour", pa.array([None, *zero[1:]], pa.float64())), "behaviour has 1 empty rows")
    refused(table.replace_schema_metadata({}), "suasion.log is missing")
    refused(table.replace_schema_metadata({"suasion.log": json.dumps({"version": 2})}), "version 1")
    content = (tmp_path / "log.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordError, match="not a sound Parquet file"):
        read_log(tmp_path / "cut.parquet")
    monkeypatch.setattr(_log_files, "FREE", 100)
    monkeypatch.setattr(_log_files, "RATIO", 1)
    with pytest.raises(RecordError, match="more than a file of this size may hold"):
        read_log(tmp_path / "log.parquet")


def test_parquet_without_pyarrow_says_what_to_install(log, tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(RecordError, match=r"install suasion\[parquet\]"):
        write_log(log, tmp_path / "log.parquet")
