"""DRN: what is written reads back bit by bit; what Storm and people write; errors name the line."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from suasion.markov import MDP, POMDP, Question
from suasion.markov._files import FormatError, read_model, write_model


@pytest.mark.parametrize("suffix", [".drn", ".drn.gz", ".drn.xz"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"initial": None},
        {"initial": np.array([0.1, 0.2, 0.7, 0.0])},
        {"actions": (), "action": np.array([7, 3, 3, 3], np.int32)},
        {"actions": ("7", "0", "unused"), "action": np.array([1, 0, 1, 2], np.int32)},
        {"actions": ("same", "same")},
        {"states": ("a", "b b", "ç", "")},
        {
            "labels": {
                "none": np.zeros(4, bool),
                "[x]": np.ones(4, bool),
                "{1}": np.ones(4, bool),
                "ü": np.ones(4, bool),
            }
        },
        {"initial": None, "labels": {"init": np.array([True, True, False, False])}},
        {"terminal": np.ones(4, bool), "choice_start": np.zeros(5, np.int64), "branch_start": np.zeros(1, np.int64)}
        | {"choice_reward": np.zeros(0), "probability": np.zeros(0)}
        | {"target": np.zeros(0, np.int32), "action": np.zeros(0, np.int32)},
    ],
)
def test_round_trip(build, same, tmp_path, suffix, changes):
    path = tmp_path / f"model{suffix}"
    model = build(**changes)
    write_model(model, path, question=Question(discount=0.3, maximise=False))
    again, question = read_model(path)
    same(model, again)
    assert question == Question(discount=0.3, maximise=False)


def test_a_model_of_more_states_than_are_written_at_a_time(same, tmp_path):
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 4, 10_000)
    choices = int(counts.sum())
    probability = rng.random((choices, 2))
    model = MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=np.arange(0, 2 * choices + 1, 2),
        target=rng.integers(0, 10_000, 2 * choices),
        probability=(probability / probability.sum(1, keepdims=True)).ravel(),
        choice_reward=rng.normal(size=choices),
        terminal=counts == 0,
    )
    for suffix in (".drn", ".umb"):
        write_model(model, tmp_path / f"m{suffix}")
        same(model, read_model(tmp_path / f"m{suffix}")[0])


def test_round_trip_of_observations(partial, same, tmp_path):
    rows = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
    model = partial(rows, actions=3, observations=())
    write_model(model, tmp_path / "m.drn")
    same(model, read_model(tmp_path / "m.drn")[0])


def test_what_it_cannot_hold(build, partial, outcomes, tmp_path):
    path = tmp_path / "m.drn"
    with pytest.raises(FormatError, match="no rewards of outcomes"):
        write_model(build(**outcomes), path)
    with pytest.raises(FormatError, match="one observation of each state"):
        write_model(partial(), path)
    with pytest.raises(FormatError, match="no label"):
        write_model(build(labels={'"': np.ones(4, bool)}), path)
    assert not path.exists()


TEXT = (Path(__file__).parent / "samples" / "costs.drn").read_text()


def test_rewards_of_states_and_actions_are_added(tmp_path):
    path = tmp_path / "m.drn.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    with pytest.raises(FormatError, match=r"several reward models; .*'cost', 'time'"):
        read_model(path)
    model, question = read_model(path, rewards="time")
    assert model.choice_reward.tolist() == [12, 10, 0, 7]
    assert read_model(path, rewards="cost")[0].choice_reward.tolist() == [1.5, 1, 0, 0]
    assert model.target.tolist() == [0, 1, 1, 0, 2, 2]
    assert model.probability.tolist() == [0.5, 0.5, 1, 0.75, 0.25, 1]
    assert model.actions == ("__NOLABEL__", "up", "down")
    assert model.action.tolist() == [0, 1, 1, 2]
    assert model.initial.tolist() == [1, 0, 0]
    assert {name: held.tolist() for name, held in model.labels.items()} == {
        "two words": [True, False, False],
        "x": [True, True, False],
    }
    assert question == Question()


def test_actions_without_names_and_states_without_actions(tmp_path):
    path = tmp_path / "m.drn"
    text = TEXT.replace("up", "__NOLABEL__").replace("down", "__NOLABEL__")
    path.write_text(text)
    model, _ = read_model(path, rewards="cost")
    assert (model.actions, model.action.tolist()) == ((), [0, 1, 0, 0])
    cut = text[: text.index("\taction __NOLABEL__ [0, 0]")]
    path.write_text(cut)
    with pytest.raises(FormatError, match="state 2 has no action and is not declared terminal"):
        read_model(path, rewards="cost")
    path.write_text(cut.rstrip() + " deadlock\n")
    model, _ = read_model(path, rewards="cost")
    assert model.terminal.tolist() == [False, False, True]


def test_a_reward_model_without_a_name(tmp_path):
    path = tmp_path / "m.drn"
    path.write_text(TEXT.replace("cost time", "").replace(", 10]", "]").replace(", 2]", "]").replace("[0,0]", "[3]"))
    with pytest.raises(FormatError, match="line 26: 2 rewards for 1 reward models"):
        read_model(path)
    path.write_text(path.read_text().replace(", 7]", "]").replace("down [0, 0]", "to the cellar [0]"))
    model, _ = read_model(path)
    assert model.choice_reward.tolist() == [1.5, 1, 3, 0]
    assert model.actions == ("__NOLABEL__", "up", "to the cellar")


def test_observations(tmp_path):
    path = tmp_path / "m.drn"
    text = TEXT.replace("type: MDP\n@v", "type: POMDP\n@v")
    path.write_text(text.replace("state 0", "state 0 {1}").replace("state 1", "state 1 {0}"))
    with pytest.raises(FormatError, match="line 26: an observation is missing"):
        read_model(path, rewards="cost")
    path.write_text(path.read_text().replace("state 2", "state 2 {1}"))
    model, _ = read_model(path, rewards="cost")
    assert isinstance(model, POMDP)
    assert model.observation[0].tolist() == [[0, 1], [1, 0], [0, 1]]
    path.write_text(path.read_text().replace("{1}", "{1000000000000}"))
    with pytest.raises(FormatError, match=r"1000000000001 observations .* are declared, and 3"):
        read_model(path, rewards="cost")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type: MDP\n@v", "type: CTMC\n@v", "line 3: a model of type 'CTMC'"),
        ("double", "rational", "line 4: values of type 'rational'"),
        ("@parameters\n\n", "@parameters\np\n", "line 6: the parameters 'p'"),
        ("@nr_states\n3", "@nr_states\n1000000000000", "line 28: the file ends after 3 of 1000000000000 states"),
        ("@nr_states\n3", "@nr_states\n-3", "line 10: '-3' is not a whole number"),
        ("@nr_states\n3", "@nr_states\n" + "9" * 5000, "line 10: .* is not a whole number"),
        ("@nr_states\n3", "@nr_states\n2", "line 24: leads to 2: states are 0 to 1|line 22"),
        ("@model", "@modle", "line 13: '@modle' is not a part of the header"),
        ("0 : 0.75", "0 : 1e400", "line 25: .* not a probability"),
        ("0 : 0.75", "0 : nan", "line 25: .* not a probability"),
        ("0 : 0.75", "0 : -0.75", "line 25: .* not a probability"),
        ("0 : 0.75", "0 : 0.7_5", "line 25: .* not a probability"),
        ("0 : 0.75", "0 : [0.7, 0.8]", "line 25: .*intervals are not read"),
        ("0 : 0.75", "0 : 3/4", "line 25: '3/4' is not a finite number"),
        ("0 : 0.75", "0 : 0.7", r"probabilities of state 1, action 1 \(up\) sum to 0.95"),
        ("0 : 0.75", "3 : 0.75", "line 25: leads to 3: states are 0 to 2"),
        ("0 : 0.75", "0", "line 25: '' is not a finite number"),
        ("0 : 0.75", "x", "line 25: 'x' is no state, action or branch"),
        ("state 1", "state 2", "line 21: state 2 where state 1 comes"),
        ("[1, 10]", "[1]", "line 14: 1 rewards for 2 reward models"),
        ("[1, 10]", "[1, inf]", "line 14: 'inf' is not a finite number"),
        ("state 1 x", "state 1 {0}", "line 21: an observation is out of place"),
        ("state 1 x", "state 1 !2.5", "label|sum"),
        ("\taction up\n\t\t1 : 1\n", "\taction up\n", "line 20: the action before has no outcome"),
        ("\taction up [0,0]\n", "", "line 25: branches without an action before"),
        ("// Exported", '// suasion {"discount": 2}\n// Exported', "discount is 2; it must be a number from 0 to 1"),
        ("// Exported", '// suasion {"states": ["a"]}\n// Exported', "1 names for 3 states"),
        ("// Exported", '// suasion {"actions": ["a"]}\n// Exported', "line 16: action '__NOLABEL__' is not among"),
        ("// Exported", '// suasion {"initial": [1e400]}\n// Exported', "initial"),
        (
            "// Exported",
            '// suasion {"initial": [1' + "0" * 400 + "]}\n// Exported",
            "initial is .*; it must be a list",
        ),
    ],
)
def test_errors_name_the_line(tmp_path, old, new, message):
    path = tmp_path / "m.drn"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1))
    if new == "state 1 !2.5":
        assert "!2.5" in read_model(path, rewards="time")[0].labels
        return
    with pytest.raises(FormatError, match=message):
        read_model(path, rewards="time")


HEAD = "@type: MDP\n@parameters\n\n@reward_models\n\n@nr_states\n%d\n@model\n"


def test_more_labels_than_fit(tmp_path):
    """A short text can name another label in each of many states."""
    states = 20_000
    body = "".join(f"state {s} l{s}\n\taction 0\n\t\t{s} : 1\n" for s in range(states))
    path = tmp_path / "m.drn"
    path.write_text(HEAD % states + body)
    with pytest.raises(FormatError, match="20000 labels of 20000 states; limit"):
        read_model(path)


@pytest.mark.parametrize(
    "line",
    ["\taction a" + " " * 400_000 + "b", "\taction " + "a [" * 200_000, "state 0" + " {" * 200_000, '"' * 400_001],
)
def test_lines_that_would_take_for_ever(tmp_path, line):
    path = tmp_path / "m.drn"
    path.write_text(HEAD % 1 + f"state 0\n{line}\n" if "action" in line else HEAD % 1 + f"state 0 {line}\n")
    with pytest.raises(FormatError, match="line"):
        read_model(path)


def test_a_quote_that_does_not_end(tmp_path):
    path = tmp_path / "m.drn"
    path.write_text(TEXT.replace('"two words"', '"two words'))
    with pytest.raises(FormatError, match=r"line 14: .* a quote that does not end"):
        read_model(path, rewards="time")
