"""UMB: what is written reads back bit by bit; what other programs may write; what is refused."""

import gzip
import io
import json
import lzma
import tarfile

import numpy as np
import pytest

from suasion.markov import Question
from suasion.markov._files import FormatError, _tar, read_model, write_model


def unpacked(path):
    """Members by name, by the standard library's reader."""
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def pack(path, members, **headers):
    """An archive by the standard library's writer; `headers` change what a member declares."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for field, value in headers.get(name, {}).items():
                setattr(entry, field, value)
            archive.addfile(entry, io.BytesIO(content))
    path.write_bytes(buffer.getvalue())


def altered(members, change):
    """The members with `change` applied to the index."""
    index = json.loads(members["index.json"])
    change(index)
    return members | {"index.json": json.dumps(index).encode()}


@pytest.mark.parametrize("suffix", [".umb", ".umb.gz", ".umb.xz"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"initial": None},
        {"initial": np.array([0.1, 0.2, 0.7, 0.0])},
        {"actions": (), "action": np.array([7, 3, 3, 3], np.int32)},
        {"states": ("a", "b b", "ç", "")},
        {"labels": {}},
        {"labels": {f"l {i}": np.array([i % 2 == 0] * 4) for i in range(5)} | {"label_0": np.zeros(4, bool)}},
        {"initial": None, "labels": {"init": np.array([True, True, False, False])}},
    ],
)
def test_round_trip(build, same, tmp_path, suffix, changes):
    path = tmp_path / f"model{suffix}"
    model = build(**changes)
    write_model(model, path)
    again, question = read_model(path)
    same(model, again)
    assert question == Question()


def test_round_trip_of_rewards_of_outcomes_and_question(build, same, outcomes, tmp_path):
    model = build(**outcomes)
    write_model(model, tmp_path / "m.umb", question=Question(discount=0.95, maximise=False))
    again, question = read_model(tmp_path / "m.umb")
    same(model, again)
    assert question == Question(discount=0.95, maximise=False)


@pytest.mark.parametrize("rows", [None, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))])
@pytest.mark.parametrize("actions", [2, 5])
def test_round_trip_of_observations(partial, same, tmp_path, rows, actions):
    model = partial(rows, actions=actions) if rows else partial(actions=actions)
    write_model(model, tmp_path / "m.umb")
    same(model, read_model(tmp_path / "m.umb")[0])


def test_equal_models_give_equal_bytes_that_tar_can_read(build, tmp_path):
    write_model(build(), tmp_path / "a.umb")
    write_model(build(), tmp_path / "b.umb")
    assert (tmp_path / "a.umb").read_bytes() == (tmp_path / "b.umb").read_bytes()
    members = unpacked(tmp_path / "a.umb")
    assert next(iter(members)) == "index.json"
    assert np.frombuffer(members["state-to-choices.bin"], "<u8").tolist() == [0, 2, 3, 4, 5]
    assert members["state-is-initial.bin"] == bytes([2, 0, 0, 0, 0, 0, 0, 0])


def test_what_differs_by_action_is_refused_on_writing(partial, tmp_path):
    model = partial()
    model.observation[1, 2] = [0, 0, 1]
    with pytest.raises(FormatError, match="observation of state 2 depends on the action"):
        write_model(model, tmp_path / "m.umb")


def test_labels_that_the_format_needs_itself(build, tmp_path):
    for name in ("terminal", "init"):
        with pytest.raises(FormatError, match=f"the label '{name}'"):
            write_model(build(labels={name: np.array([True] * 4)}), tmp_path / "m.umb")


def chain(rewards):
    """A Markov chain of two states as another program may write it: little more than its branches."""
    index = {
        "format-version": 1,
        "format-revision": 3,
        "transition-system": {
            "time": "discrete",
            "#players": 0,
            "#states": 2,
            "#initial-states": 0,
            "#choices": 2,
            "#choice-actions": 0,
            "#branches": 3,
            "#branch-actions": 0,
            "#observations": 0,
            "branch-probability-type": {"type": "double"},
        },
        "annotations": {"rewards": {}},
    }
    members = {
        "choice-to-branches.bin": np.array([0, 2, 3], "<u8").tobytes(),
        "branch-to-target.bin": np.array([1, 0, 1], "<u8").tobytes(),
        "branch-to-probability.bin": np.array([0.25, 0.75, 1.0]).tobytes(),
    }
    for name, held in rewards.items():
        index["annotations"]["rewards"][name] = {
            "alias": name.upper(),
            "applies-to": list(held),
            "type": {"type": "double"},
        }
        for where, values in held.items():
            members[f"annotations/rewards/{name}/{where}/values.bin"] = np.array(values, "<f8").tobytes()
    return {"./index.json": json.dumps(index).encode(), **members}


def test_rewards_of_states_choices_and_branches(tmp_path):
    path = tmp_path / "m.umb"
    pack(path, chain({"a": {"states": [1, 2], "choices": [10, 20], "branches": [100, 200, 0]}}))
    model, _ = read_model(path)
    assert model.target.tolist() == [0, 1, 1]
    assert model.probability.tolist() == [0.75, 0.25, 1.0]
    assert model.choice_reward.tolist() == [11, 22]
    assert model.branch_reward.tolist() == [200, 100, 0]
    assert model.action.tolist() == [0, 0]
    assert model.initial is None


def test_reward_models_are_chosen_by_name(tmp_path):
    path = tmp_path / "m.umb"
    pack(path, chain({"a": {"choices": [1, 2]}, "b": {"states": [3, 4]}}))
    with pytest.raises(FormatError, match="several reward models; name one by `rewards=`: 'A', 'B'"):
        read_model(path)
    with pytest.raises(FormatError, match="no reward model 'c'; there are: 'A', 'B'"):
        read_model(path, rewards="c")
    assert read_model(path, rewards="B")[0].choice_reward.tolist() == [3, 4]


LABEL = {"applies-to": ["states"], "type": {"type": "bool"}}


def system(**changes):
    return lambda index: index["transition-system"].update({name.replace("_", "#"): v for name, v in changes.items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i.update({"format-version": 2}), "format version 2; this program reads 1"),
        (system(time="stochastic"), "time is 'stochastic'"),
        (system(_players=2), "players is 2; it must be a whole number from 0 to 1"),
        (system(_states=10**12), "1000000000000 states|state-to-choices.bin: has 40 bytes"),
        (system(_branches=10**12), "branch-to-target.bin: has 64 bytes; .* 8000000000000"),
        (system(_branches=-1), "branches is -1"),
        (system(_states=2.0), "states is 2.0"),
        (system(_states=True), "states is True"),
        (system(**{"branch-probability-type": {"type": "rational"}}), "type is 'rational'; it must be 'double'"),
        (system(**{"_choice-actions": 1}), "values.bin: entry 0 is 1; there are 1"),
        (lambda i: i["transition-system"].pop("#states"), "#states is missing"),
        (lambda i: i.update({"transition-system": []}), "must be an object"),
        (system(**{"_initial-states": 2}), "state-is-initial.bin: marks 1 states, not 2"),
        (
            lambda i: i["annotations"]["aps"].update({"x": {"applies-to": ["states"], "type": {"type": "bool"}}}),
            "aps/x",
        ),
    ],
)
def test_an_index_that_lies(build, tmp_path, change, message):
    path = tmp_path / "m.umb"
    write_model(build(), path)
    pack(path, altered(unpacked(path), change))
    with pytest.raises(FormatError, match=message):
        read_model(path)


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("state-to-choices.bin", np.array([0, 3, 2, 4, 5], "<u8"), "entry 2 is 2, below entry 1 = 3"),
        ("state-to-choices.bin", np.array([0, 2, 3, 4, 6], "<u8"), "goes from 0 to 6, not from 0 to 5"),
        ("state-to-choices.bin", np.array([0, 2, 2**64 - 1, 4, 5], "<u8"), "below entry 2 = 18446744073709551615"),
        (
            "state-to-choices.bin",
            np.array([0, 2, 2, 4, 5], "<u8"),
            "state 1 has no action and is not declared",
        ),
        ("branch-to-target.bin", np.array([0, 1, 3, 0, 2, 2, 9, 3], "<u8"), "entry 6 is 9; there are 4"),
        ("branch-to-probability.bin", np.full(8, np.nan), r"a probability of state 0, choice 0 is nan"),
        ("branch-to-probability.bin", np.full(7, 1.0), "has 56 bytes; .* 64"),
        ("state-is-initial.bin", np.array([2 + 2**40], "<u8"), "marks an element beyond the last, 3"),
        ("actions/choices/strings.bin", b"\xff" * 15, "is not UTF-8"),
        ("branch-to-target.bin", None, "branch-to-target.bin: is missing"),
        ("index.json", None, "index.json is missing"),
        ("index.json", b"[" * 100_000, "index.json: not acceptable JSON"),
        ("index.json", b'{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ("index.json", b'{"format-version": 1' + b"0" * 5000 + b"}", "index.json: not acceptable JSON"),
    ],
)
def test_members_that_lie(build, tmp_path, member, content, message):
    path = tmp_path / "m.umb"
    write_model(build(), path)
    members = unpacked(path)
    members.pop(member)
    if content is not None:
        members[member] = bytes(content)
    pack(path, members)
    with pytest.raises(FormatError, match=message):
        read_model(path)


@pytest.mark.parametrize(
    ("name", "header", "message"),
    [
        ("/etc/passwd", {}, "its path leaves the archive"),
        ("../outside", {}, "its path leaves the archive"),
        ("a/../../outside", {}, "its path leaves the archive"),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link or a device"),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "index.json"}, "is a link or a device"),
        ("pipe", {"type": tarfile.FIFOTYPE}, "is a link or a device"),
        ("sparse", {"type": b"S"}, "is a link or a device"),
    ],
)
def test_archives_that_would_reach_outside(build, tmp_path, name, header, message):
    path = tmp_path / "m.umb"
    write_model(build(), path)
    pack(path, unpacked(path) | {name: b""}, **{name: header})
    with pytest.raises(FormatError, match=message):
        read_model(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.umb"]


def test_a_member_twice(build, tmp_path):
    path = tmp_path / "m.umb"
    write_model(build(), path)
    content = path.read_bytes()
    path.write_bytes(content[:-1024] + content)
    with pytest.raises(FormatError, match=r"member 'index.json' comes twice"):
        read_model(path)


def test_sizes_beyond_the_file(build, tmp_path):
    path = tmp_path / "m.umb"
    write_model(build(), path)
    content = bytearray(path.read_bytes())
    content[124:136] = b"\x80" + (10**20).to_bytes(11, "big")
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"index.json of 100000000000000000000 bytes; limit"):
        read_model(path)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_bombs(build, tmp_path, monkeypatch, compress):
    monkeypatch.setattr("suasion.markov._files._source.FREE", 2**20)
    path = tmp_path / "m.umb"
    write_model(build(), path)
    members = unpacked(path)
    zeros = bytes(32 * 2**20)
    pack(path, members | {"zeros": zeros})
    path.write_bytes(compress(path.read_bytes()))
    with pytest.raises(FormatError, match="bytes when decompressed, 256 times the file"):
        read_model(path)
    pack(path, members | {"branch-to-target.bin": zeros})
    path.write_bytes(compress(path.read_bytes()))
    with pytest.raises(FormatError, match=r"branch-to-target.bin: has 33554432 bytes; by index.json it takes 64"):
        read_model(path)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.umb", tmp_path):
        with pytest.raises(FormatError, match=r"cannot be read|no known format|not a regular file"):
            read_model(path)
    with pytest.raises(FormatError, match=r"not a regular file|cannot be read"):
        read_model(tmp_path, format="umb")


def test_extended_headers(build, same, tmp_path):
    """Names from other writers of tar: in headers of their own, of POSIX and of GNU."""
    path = tmp_path / "m.umb"
    write_model(build(), path)
    members = unpacked(path)
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            for name, content in [*members.items(), ("other/" + "long" * 60, b"ignored"), ("ü", b"ignored")]:
                entry = tarfile.TarInfo(f"./{name}")
                entry.size, entry.mtime = len(content), 1.5
                archive.addfile(entry, io.BytesIO(content))
        path.write_bytes(buffer.getvalue())
        same(build(), read_model(path)[0])


@pytest.mark.parametrize(
    "record", [b"11 size=99\n", b"20 linkpath=/etc/pw\n", b"30 GNU.sparse.major=1\n", b"99 path=x\n", b"x"]
)
def test_extended_headers_that_lie(tmp_path, record):
    path = tmp_path / "m.umb"
    head = bytearray(_tar.header("x", len(record)))
    head[156:157], head[148:156] = b"x", b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(bytes(head) + record.ljust(512, b"\0") + bytes(1024))
    with pytest.raises(FormatError, match=r"extended header: (b'.*' is not supported|a record of length)"):
        read_model(path)
