import dataclasses

import numpy as np
import pytest

from suasion.records import Episode, RecordError, read_envelope, read_episode, write_envelope, write_episode


def equal(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return a == b


def cells(shape, dtype, value=0):
    return np.full(shape, value, dtype)


def test_an_episode_reads_back(tmp_path, episode):
    bare = {
        "influence": None,
        "messages": None,
        "headings": None,
        "agent_codes": None,
        "events": {},
        "note": "",
    }
    kinds = ("action", "policy"), ("action", "average"), ("message", "policy"), ("message", "average")
    told = [tables(varied, marginal) for varied, marginal in kinds]
    for changes in ({}, {"steps": 0}, {"agents": 1}, {"agents": 7, "seed": 2**64 - 1}, bare, *told):
        written = episode(**changes)
        write_episode(tmp_path / "e", written)
        found = read_episode(tmp_path / "e")
        for field in dataclasses.fields(Episode):
            assert equal(getattr(written, field.name), getattr(found, field.name)), field.name
        first = (tmp_path / "e").read_bytes()
        write_episode(tmp_path / "e", found)
        assert (tmp_path / "e").read_bytes() == first
        default = (written.varied, written.marginal) == kinds[0]
        assert read_envelope(tmp_path / "e", "episode").header["format"] == (1 if default else 2)


def tables(varied="message", marginal="policy", rows=None, **changes):
    """Of two moments; messages are of four symbols, as in `episode`."""
    rows = rows if rows is not None else 4 if varied == "message" else 3
    return {
        "moments": np.array([[1, 0, 1, 2], [3, 1, 0, 4]], np.int32),
        "conditionals": np.full((2, rows, 3), 85, np.uint8),
        "marginals": np.full((2, 3), 85, np.uint8),
        "messages": np.arange(10, dtype=np.int16).reshape(5, 2) % 4,
        "varied": varied,
        "marginal": marginal,
    } | changes


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"boards": cells((5, 4, 6), np.uint8)}, r"boards has shape \(5, 4, 6\), not \(6, 4, 6\)"),
        ({"boards": cells((6, 4, 6), np.uint8, 5)}, r"boards\[0, 0, 0\] is 5; must be within 0 and 4"),
        ({"boards": cells((6, 0, 6), np.uint8)}, "are empty"),
        ({"views": cells((6, 3, 3, 3), np.uint8)}, r"views has shape"),
        ({"actions": cells((5, 2), np.int16, 3)}, r"actions\[0, 0\] is 3; must be within 0 and 2"),
        ({"actions": cells((5, 2), np.int16, -1)}, r"actions\[0, 0\] is -1"),
        ({"rewards": cells((5, 2), np.float32, np.nan)}, r"rewards\[0, 0\] is nan; must be finite"),
        ({"rewards": cells((4, 2), np.float32)}, r"rewards has shape \(4, 2\), not \(5, 2\)"),
        ({"events": {"e": cells((5,), np.float64)}}, r"events\['e'\] is of float64, not float32"),
        ({"events": {"e": cells((5, 3), np.float32)}}, r"events\['e'\] has shape"),
        ({"influence": cells((5, 2, 3), np.float32)}, "influence has shape"),
        ({"influence": cells((5, 2, 2), np.float32, np.inf)}, "influence"),
        ({"messages": cells((5, 2), np.int16, -2)}, r"messages\[0, 0\] is -2"),
        ({"headings": cells((6, 2), np.int8, 4)}, r"headings\[0, 0\] is 4"),
        ({"palette": ((0, 0, 0),)}, "1 colours for 5 classes"),
        ({"palette": ((0, 0, 256),) * 5}, r"palette\[0\]"),
        ({"actions_names": ()}, "0 actions"),
        ({"seed": -1}, "seed is -1"),
        ({"step": 2**64}, "step is"),
        ({"agent_codes": (1,)}, "1 agent codes for 2 agents"),
        ({"agent_codes": (1, 5)}, "within 0 and 4"),
        ({"classes": (), "palette": ()}, "0 classes"),
        (tables(rows=3), r"messages\[1, 1\] is 3 of 3 symbols"),
        (tables(rows=0), "conditionals of 0 symbols"),
        (tables(rows=2**15 + 1), "conditionals of 32769 symbols; must be within 1 and 32768"),
        (tables("action", rows=4), "conditionals of 4 alternatives, not of the 3 actions"),
        (tables(messages=None), "varied is 'message', but there are no messages"),
        (tables(messages=cells((5, 2), np.int16, -1)), r"moments\[0\] is \[1, 0, 1, 2\]: agent 0 said nothing"),
        (tables("moods", rows=3), "varied is 'moods'; must be action or message"),
        (tables(marginal="x" * 99), f"marginal is '{'x' * 40}'; must be policy or average"),
        (tables(conditionals=cells((2, 4), np.uint8)), r"conditionals has shape \(2, 4\)"),
        (tables(conditionals=cells((3, 4, 3), np.uint8)), r"conditionals has shape \(3, 4, 3\), not \(2, 4, 3\)"),
        (tables(conditionals=cells((2, 4, 2), np.uint8)), r"conditionals has shape \(2, 4, 2\), not \(2, 4, 3\)"),
        (tables(marginals=cells((2, 4), np.uint8)), "marginals has shape"),
        (tables(marginals=None), "belong together"),
        ({"varied": "message"}, "varied is 'message', marginal 'policy', but there are no moments"),
        ({"marginal": "average"}, "but there are no moments"),
    ],
)
def test_episodes_that_cannot_be_are_refused_at_birth(episode, changes, fault):
    with pytest.raises(RecordError, match=fault):
        episode(**changes)


def test_files_that_are_no_episode_are_refused_by_name(tmp_path, episode):
    path = tmp_path / "e"
    write_episode(path, episode())
    good = read_envelope(path, "episode")
    arrays, header = good.arrays, good.header
    cases = [
        ({name: arrays[name] for name in arrays if name != "views"}, header, "array 'views' is missing"),
        (arrays | {"extra": np.zeros(3)}, header, "'extra' is not part"),
        (arrays | {"actions": arrays["actions"][:-1]}, header, "boards has shape"),
        (arrays | {"actions": arrays["actions"].ravel()}, header, "1 axes, not 2"),
        (arrays | {"actions": np.array(3, np.int16)}, header, "actions"),
        (arrays | {"views": arrays["views"] + np.uint8(200)}, header, r"views\["),
        (arrays | {"events/apples": np.array(1, np.float32)}, header, "events"),
        (arrays, header | {"format": 3}, "episode format 3, newer"),
        (arrays, header | {"format": 2}, r"episode format 2: header\.varied must be a string"),
        (arrays, header | {"varied": "action", "marginal": "policy"}, "missing or unknown: marginal, varied"),
        (arrays, header | {"format": 2, "varied": ["message"], "marginal": "policy"}, r"varied must be a string"),
        (arrays, header | {"format": 2, "varied": "message", "marginal": "policy"}, "but there are no moments"),
        (arrays, header | {"format": "1"}, "episode format 1, unknown"),
        (arrays, header | {"more": 1}, "missing or unknown: more"),
        (arrays, {name: header[name] for name in header if name != "note"}, "missing or unknown: note"),
        (arrays, header | {"game": 3}, r"header\.game must be a string"),
        (arrays, header | {"agents": "ab"}, r"header\.agents must be a list"),
        (arrays, header | {"seed": True}, r"header\.seed must be an integer"),
        (arrays, header | {"palette": [[1, 2]] * 5}, r"header\.palette must be"),
        (arrays, header | {"palette": 1}, r"header\.palette must be"),
        (arrays, header | {"agent_codes": [1.5, 2]}, r"header\.agent_codes must be"),
        (arrays, header | {"agents": ["a"], "agent_codes": None}, "views has shape"),
    ]
    for bad_arrays, bad_header, fault in cases:
        write_envelope(path, "episode", bad_arrays, bad_header)
        with pytest.raises(RecordError, match=fault) as error:
            read_episode(path)
        assert str(path) in str(error.value)
