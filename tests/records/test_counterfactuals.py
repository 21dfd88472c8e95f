import itertools

import numpy as np
import pytest

from suasion.records import (
    Counterfactuals,
    RecordError,
    most_influential,
    read_counterfactuals,
    read_envelope,
    write_counterfactuals,
    write_envelope,
)


def tables(steps=5, agents=2, actions=3, seed=0):
    rng = np.random.default_rng(seed)
    pairs = (steps, agents, agents)
    return rng.integers(0, 256, (*pairs, actions, actions), np.uint8), rng.integers(0, 256, (*pairs, actions), np.uint8)


@pytest.mark.parametrize("cuts", [(), (1,), (2, 4), (1, 2, 3, 4)])
def test_blocks_read_back_as_one(tmp_path, episode, cuts):
    conditionals, marginals = tables()
    ends = (0, *cuts, 5)
    blocks = ((conditionals[a:b], marginals[a:b]) for a, b in itertools.pairwise(ends))
    write_counterfactuals(tmp_path / "c", episode(), 1, blocks)
    found = read_counterfactuals(tmp_path / "c")
    np.testing.assert_array_equal(found.conditionals, conditionals)
    np.testing.assert_array_equal(found.marginals, marginals)
    assert (found.ahead, found.agents, found.actions_names) == (1, episode().agents, episode().actions_names)
    # However it is cut, the file is the same, and the same that is written at once.
    envelope = read_envelope(tmp_path / "c", "counterfactuals")
    write_envelope(tmp_path / "d", "counterfactuals", envelope.arrays, envelope.header)
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()


def test_an_episode_without_steps(tmp_path, episode):
    write_counterfactuals(tmp_path / "c", episode(steps=0), 0, [])
    assert read_counterfactuals(tmp_path / "c").conditionals.shape == (0, 2, 2, 3, 3)


@pytest.mark.parametrize("marginal", ["policy", "average"])
def test_messages_have_as_many_rows_as_symbols(tmp_path, episode, marginal):
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 256, (5, 2, 2, 7, 3), np.uint8), rng.integers(0, 256, (5, 2, 2, 3), np.uint8)
    write_counterfactuals(tmp_path / "c", episode(), 1, [tables], symbols=7, marginal=marginal)
    found = read_counterfactuals(tmp_path / "c")
    np.testing.assert_array_equal(found.conditionals, tables[0])
    assert (found.varied, found.marginal) == ("message", marginal)
    envelope = read_envelope(tmp_path / "c", "counterfactuals")
    assert envelope.header["format"] == 2
    for changes, fault in (
        ({"varied": "action"}, "conditionals of 7 alternatives, not of the 3 actions"),
        ({"actions_names": ["a"]}, r"shape \(5, 2, 2, 7, 3\), not uint8 and \(5, 2, 2, 7, 1\)"),
    ):
        write_envelope(tmp_path / "d", "counterfactuals", envelope.arrays, envelope.header | changes)
        with pytest.raises(RecordError, match=fault):
            read_counterfactuals(tmp_path / "d")
    for symbols in (0, 32769):
        with pytest.raises(RecordError, match=f"conditionals of {symbols} symbols; must be within 1 and 32768"):
            write_counterfactuals(tmp_path / "e", episode(), 1, [], symbols=symbols)
        many = np.zeros((5, 2, 2, symbols, 3), np.uint8)
        write_envelope(tmp_path / "d", "counterfactuals", envelope.arrays | {"conditionals": many}, envelope.header)
        with pytest.raises(RecordError, match=f"conditionals of {symbols} symbols"):
            read_counterfactuals(tmp_path / "d")
    with pytest.raises(RecordError, match="marginal is 'mean'"):
        write_counterfactuals(tmp_path / "e", episode(), 1, [], symbols=7, marginal="mean")
    assert not (tmp_path / "e").exists()


def test_what_is_averaged_over_is_told_of_actions_too(tmp_path, episode):
    """Format 1, which older programs read, where nothing is told that it has not."""
    write_counterfactuals(tmp_path / "c", episode(), 0, [tables()])
    assert read_envelope(tmp_path / "c", "counterfactuals").header["format"] == 1
    write_counterfactuals(tmp_path / "c", episode(), 0, [tables()], marginal="average")
    assert read_envelope(tmp_path / "c", "counterfactuals").header["format"] == 2
    found = read_counterfactuals(tmp_path / "c")
    assert (found.varied, found.marginal) == ("action", "average")


def test_blocks_that_do_not_fit_leave_nothing(tmp_path, episode):
    conditionals, marginals = tables()
    for blocks, fault in (
        ([(conditionals[:4], marginals[:4])], r"bytes of arrays, not 392"),
        ([(conditionals, marginals)] * 2, "bytes of arrays, not 392"),
        ([(conditionals, marginals[:4])], r"a block of uint8 and shape \(4, 2, 2, 3\) from step 0 on"),
        ([(conditionals.astype(int), marginals)], "a block of int64"),
        ([(conditionals[:, :1], marginals)], "a block of uint8"),
    ):
        with pytest.raises(RecordError, match=fault):
            write_counterfactuals(tmp_path / "c", episode(), 1, blocks)
        assert list(tmp_path.iterdir()) == []


def test_what_is_no_such_file_is_refused_by_name(tmp_path, episode):
    path = tmp_path / "c"
    write_counterfactuals(path, episode(), 1, [tables()])
    good = read_envelope(path, "counterfactuals")
    arrays, header = good.arrays, good.header
    for bad_arrays, bad_header, fault in (
        ({"conditionals": arrays["conditionals"]}, header, "missing or unknown: marginals"),
        (arrays | {"more": np.zeros(3)}, header, "missing or unknown: more"),
        (arrays | {"marginals": arrays["marginals"][:4]}, header, "marginals is of uint8 and shape"),
        (arrays | {"conditionals": np.array(3, np.uint8)}, header, r"conditionals is of uint8 and shape \(\)"),
        (arrays | {"conditionals": arrays["conditionals"].astype(np.float32)}, header, "of float32"),
        (arrays, header | {"format": 3}, r"format 3, newer than this program \(it reads 1 to 2\)"),
        (arrays, header | {"format": 0}, "format 0, unknown"),
        (arrays, header | {"format": 2}, r"format 2: header\.varied must be a string"),
        (arrays, header | {"format": 2, "varied": "action"}, r"format 2: header\.marginal must be a string"),
        (arrays, header | {"format": 2, "varied": 1, "marginal": "policy"}, r"header\.varied must be a string"),
        (arrays, header | {"format": 2, "varied": "moods", "marginal": "policy"}, "varied is 'moods'; must be action"),
        (arrays, header | {"format": 2, "varied": "action", "marginal": "mean"}, "marginal is 'mean'; must be policy"),
        (arrays, header | {"varied": "message", "marginal": "policy"}, "missing or unknown: marginal, varied"),
        (arrays, header | {"format": True}, "format True, unknown"),
        (arrays, header | {"ahead": 2}, "ahead is 2"),
        (arrays, header | {"ahead": True}, r"header\.ahead must be int"),
        (arrays, header | {"agents": ["a", 3]}, r"header\.agents must be a list of strings"),
        (arrays, header | {"agents": ["a"]}, "conditionals is of uint8"),
        (arrays, header | {"agents": []}, "at least 1 each"),
        (arrays, header | {"seed": -1}, "seed is -1"),
        (arrays, header | {"game": 3}, r"header\.game must be str"),
        (arrays, {name: header[name] for name in header if name != "seed"}, "missing or unknown: seed"),
    ):
        write_envelope(path, "counterfactuals", bad_arrays, bad_header)
        with pytest.raises(RecordError, match=fault) as error:
            read_counterfactuals(path)
        assert str(path) in str(error.value)
    write_envelope(path, "episode", arrays, header)
    with pytest.raises(RecordError, match="not a 'counterfactuals'"):
        read_counterfactuals(path)
    with pytest.raises(RecordError, match="cannot be opened"):
        read_counterfactuals(tmp_path / "none")
    with pytest.raises(RecordError, match="at least 1 each"):
        Counterfactuals(
            game="", actions_names=(), agents=("a",), seed=0, step=0, ahead=0, conditionals=np.zeros(0, np.uint8),
            marginals=np.zeros(0, np.uint8),
        )  # fmt: skip


def test_the_largest_first():
    influence = np.zeros((3, 2, 2), np.float32)
    influence[2, 0, 1], influence[0, 1, 0], influence[1, 0, 1], influence[1, 1, 0] = 0.5, 0.2, 0.5, -1
    np.testing.assert_array_equal(most_influential(influence, 9), [[1, 0, 1], [2, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(most_influential(influence, 1), [[1, 0, 1]])
    assert most_influential(np.zeros((0, 2, 2), np.float32), 3).shape == (0, 3)
