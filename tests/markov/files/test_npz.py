"""npz: what is written reads back bit by bit; what is refused."""

import json
import zipfile

import numpy as np
import pytest

from suasion.markov import Question
from suasion.markov._files import FormatError, read_model, write_model


def test_round_trip(build, same, outcomes, tmp_path):
    path = tmp_path / "m.npz"
    changes = {"labels": {"terminal": np.array([True] * 4)}, "initial": np.array([0.1, 0.2, 0.7, 0.0])}
    for model in (build(), build(**outcomes, **changes, states=("a", "b\0", "ü", "")), build(initial=None, actions=())):
        write_model(model, path, question=Question(discount=0.9, maximise=False))
        again, question = read_model(path)
        same(model, again)
        assert question == Question(discount=0.9, maximise=False)


def test_round_trip_of_observations_that_depend_on_the_action(partial, same, tmp_path):
    model = partial()
    model.observation[1, 2] = [0, 0, 1]
    write_model(model, tmp_path / "m.npz")
    again, question = read_model(tmp_path / "m.npz")
    same(model, again)
    assert question == Question()


def test_numpy_reads_it_and_equal_models_give_equal_bytes(build, tmp_path):
    for name in ("a.npz", "b.npz"):
        write_model(build(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        assert held["target"].tolist() == [0, 1, 3, 0, 2, 2, 3]


def header(text):
    """A member that declares what `text` says, with 8 bytes behind."""
    content = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content + bytes(8)


DECLARED = "{'descr': %s, 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("target", header(DECLARED % ("'<i4'", "(1000000000000,)")), r"target: 8 bytes; shape .* takes 4000000000000"),
        ("target", header(DECLARED % ("'<i4'", "(-2,)")), r"target: 8 bytes; shape \(-2,\)"),
        ("labels", header(DECLARED % ("'|b1'", "(2, -4)")), r"labels: 8 bytes; shape \(2, -4\)"),
        ("labels", header(DECLARED % ("'|b1'", "(2, 4)")).replace(bytes(8), b"\2" * 8), "boolean of value 2"),
        ("target", header(DECLARED % ("'|O'", "(1,)")), "target: object with 1 axes, not int32 with 1"),
        ("target", header(DECLARED % ("'<i8'", "(1,)")), "target: int64 with 1 axes, not int32"),
        ("target", header(DECLARED % ("'<i4'", "(1, 2)")), "target: int32 with 2 axes"),
        ("target", header("__import__('os').system('true')"), "target: no array of NumPy"),
        ("target", header("(" * 100), "target: no array of NumPy"),
        ("target", b"", "target: no array of NumPy"),
        ("target", None, "target is missing"),
        ("other", b"", r"member 'other.npy' does not belong here"),
    ],
)
def test_members_that_lie(build, tmp_path, member, content, message):
    path, bad = tmp_path / "m.npz", tmp_path / "bad.npz"
    write_model(build(), path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            if name != f"{member}.npy":
                target.writestr(name, source.read(name))
        if content is not None:
            target.writestr(f"{member}.npy", content)
    with pytest.raises(FormatError, match=message):
        read_model(bad)


def test_bombs(build, tmp_path, monkeypatch):
    monkeypatch.setattr("suasion.markov._files._npz.FREE", 2**20)
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("target.npy", bytes(32 * 2**20))
    with pytest.raises(FormatError, match="target: 33554432 bytes, more than this file may hold"):
        read_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"suasion": 2}, r"text.suasion is 2; this program reads 1"),
        ({"labels": ["goal", "goal"]}, r"text.labels has 2 names, perhaps one twice"),
        ({"states": ["a"]}, "1 names for 4 states"),
        ({"states": "abcd"}, r"text.states is 'abcd'; it must be a list of strings"),
        ({"discount": 1.5}, r"text.discount is 1.5; it must be a number from 0 to 1"),
        ({"discount": True}, r"text.discount is True"),
    ],
)
def test_text_that_lies(build, tmp_path, change, message):
    path = tmp_path / "m.npz"
    write_model(build(), path)
    with np.load(path) as held:
        arrays = dict(held)
    text = json.loads(arrays["text"].tobytes()) | change
    np.savez(path, **arrays | {"text": np.frombuffer(json.dumps(text).encode(), np.uint8)})
    with pytest.raises(FormatError, match=message):
        read_model(path)
