"""Explicit files of PRISM and of Storm: what they hold, which neighbours belong to them, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from suasion.markov import Question
from suasion.markov._files import FormatError, read_model

SAMPLES = Path(__file__).parent / "samples"
PRISM, STORM, CHAIN = (
    {path.name: path.read_text() for path in sorted((SAMPLES / name).iterdir())} for name in ("prism", "storm", "chain")
)


def put(tmp_path, files, **changes):
    for name, text in (files | changes).items():
        if text is not None:
            (tmp_path / name).write_text(text)
    return tmp_path / "m.tra"


@pytest.mark.parametrize("files", [PRISM, STORM])
def test_decision_process(tmp_path, files):
    model, question = read_model(put(tmp_path, files))
    assert question == Question()
    assert model.choice_start.tolist() == [0, 2, 3, 4]
    assert model.branch_start.tolist() == [0, 2, 3, 5, 6]
    assert model.target.tolist() == [0, 1, 2, 0, 2, 2]
    assert model.probability.tolist() == [0.25, 0.75, 1, 0.5, 0.5, 1]
    assert model.choice_reward.tolist() == [1.5, 1.5, 2, 0]
    assert model.branch_reward.tolist() == [0, 10, 20, 0, 0, 0]
    assert model.initial.tolist() == [1, 0, 0]
    if files is PRISM:
        assert model.actions == ("go", "stay", "")
        assert model.action.tolist() == [0, 1, 2, 2]
        assert model.states == ("(0,0)", "(0,1)", "(1,0)")
        assert {name: held.tolist() for name, held in model.labels.items()} == {
            "deadlock": [False, False, True],
            "the goal": [False, False, True],
        }
    else:
        assert (model.actions, model.action.tolist()) == ((), [0, 1, 0, 0])
        assert list(model.labels) == ["goal"]


@pytest.mark.parametrize("head", ["2 3\n", "dtmc\n", "DTMC\n", ""])
def test_chain(tmp_path, head):
    text = head + CHAIN["m.tra"].partition("\n")[2]
    model, _ = read_model(put(tmp_path, CHAIN, **{"m.tra": text}))
    assert model.choice_start.tolist() == [0, 1, 2]
    assert model.target.tolist() == [0, 1, 1]
    assert model.choice_reward.tolist() == [3, 0]
    assert model.branch_reward is None
    assert model.action.tolist() == [0, 0]


def test_several_rewards(tmp_path):
    path = put(
        tmp_path, PRISM, **{"m.srew": None, "m.trew": None, "m1.srew": PRISM["m.srew"], "m2.trew": PRISM["m.trew"]}
    )
    with pytest.raises(FormatError, match=r"several reward models; .*'1', '2'"):
        read_model(path)
    assert read_model(path, rewards="1")[0].choice_reward.tolist() == [1.5, 1.5, 2, 0]
    (tmp_path / "m1.tra").write_text("another model")
    assert read_model(path)[0].branch_reward.tolist() == [0, 10, 20, 0, 0, 0]
    (tmp_path / "m.time.state.rew").write_text("2 7\n")
    (tmp_path / "other.state.rew").write_text("2 7\n")
    assert read_model(path, rewards="time")[0].choice_reward.tolist() == [0, 0, 0, 7]


def test_states_without_transitions(tmp_path):
    text = STORM["m.tra"].replace("2 0 2 1\n", "")
    with pytest.raises(FormatError, match="state 2 has no action and is not declared terminal"):
        read_model(put(tmp_path, STORM, **{"m.tra": text}))
    model, _ = read_model(put(tmp_path, {}, **{"m.lab": STORM["m.lab"].replace("goal", "deadlock")}))
    assert model.terminal.tolist() == [False, False, True]
    with pytest.raises(FormatError, match=r"m.state.rew: state 2 has reward 4.0 and no choice"):
        read_model(put(tmp_path, {}, **{"m.state.rew": "2 4\n"}))
    model, _ = read_model(put(tmp_path, STORM, **{"m.lab": STORM["m.lab"].replace("goal", "terminal")}))
    assert model.terminal.tolist() == [False, False, True]
    assert model.choice_start.tolist() == [0, 2, 3, 3]


@pytest.mark.parametrize(
    ("files", "name", "old", "new", "message"),
    [
        (PRISM, "m.tra", "3 4 6", "1000000000000 4 6", "1000000000000 states, and only 6 transitions and 2 labels"),
        (PRISM, "m.tra", "3 4 6", "3 4 7", r"m.tra: line 7: \[4, 7\] choices and transitions are declared, \[4, 6\]"),
        (PRISM, "m.tra", "3 4 6", "2 4 6", "line 4: state 2; states are 0 to 1"),
        (PRISM, "m.tra", "3 4 6", "-3 4 6", "line 1: .* is neither counts, mdp nor dtmc"),
        (PRISM, "m.tra", "3 4 6", "3 4", "line 2: 5 columns"),
        (PRISM, "m.tra", "0 0 1 0.75 go", "0 0 1 0.75 stop", "line 3: action 'stop' of a choice whose action is 'go'"),
        (PRISM, "m.tra", "0 0 1 0.75 go", "0 0 0 0.75 go", "line 3: this transition comes twice"),
        (PRISM, "m.tra", "0 0 1 0.75", "0 0 1 nan", "line 3: .* is no transition"),
        (PRISM, "m.tra", "0 0 1 0.75", "0 0 1 1e400", "line 3: .* is no transition"),
        (PRISM, "m.tra", "0 0 1 0.75", "0 0 1 -0.75", "line 3: .* is no transition"),
        (PRISM, "m.tra", "0 0 1 0.75", "0 0 1 3/4", "line 3: '3/4' is not a finite number"),
        (PRISM, "m.tra", "0 0 1 0.75", "0 0 1 0.5", r"state 0 \(\(0,0\)\), action 0 \(go\) sum to 0.75"),
        (PRISM, "m.tra", "0 1 2 1", "0 2 2 1", "line 4: choice 2 of state 0 where choice 1 comes"),
        (PRISM, "m.tra", "0 1 2 1", "0 1000000000000 2 1", "line 4: choice 1000000000000 of state 0"),
        (PRISM, "m.tra", "0 1 2 1 stay\n", "1 0 2 1\n0 1 2 1\n", "line 5: state 0 after state 1"),
        (PRISM, "m.tra", PRISM["m.tra"], "", "m.tra: line 0: there are no transitions"),
        (STORM, "m.tra", "MDP", "ctmc", "line 1: 'ctmc' is neither counts, mdp nor dtmc"),
        (STORM, "m.tra", "0 1 2 1", "0 1 1000000000000 1", "1000000000001 states, and only 6 transitions and 2 labels"),
        (PRISM, "m.sta", "1:(0,1)\n", "", r"m.sta: line 3: '2:\(1,0\)' where state 1 comes"),
        (PRISM, "m.sta", "2:(1,0)\n", "", "m.sta: line 3: 2 states; there are 3"),
        (PRISM, "m.lab", "2: 1 2", "1000000000000: 1", "m.lab: state 1000000000000; there are 3"),
        (PRISM, "m.lab", "2: 1 2", "2: 1 3", "m.lab: line 3: '3' is not a declared label"),
        (PRISM, "m.lab", "2: 1 2", "2 1", "m.lab: line 3: '2 1' is not `state: label"),
        (PRISM, "m.lab", '0="init"', "init", "m.lab: line 1: .* is neither #DECLARATION nor"),
        (STORM, "m.lab", "#END\n", "", "m.lab: line 4: the file ends before #END"),
        (STORM, "m.lab", "2 goal", "1000000000000 goal", "1000000000001 states, and only"),
        (STORM, "m.lab", "2 goal", "2 gaol", "m.lab: line 5: 'gaol' is not a declared label"),
        (PRISM, "m.srew", "3 2\n", "3 3\n", "m.srew: line 4: 3 rewards are declared, 2 are there"),
        (PRISM, "m.srew", "0 1.5", "5 1.5", "m.srew: line 3: 5, but there are 3 states"),
        (PRISM, "m.srew", "1 2\n", "0 2\n", "m.srew: a reward comes twice"),
        (PRISM, "m.srew", "1 2\n", "1 inf\n", "m.srew: line 4: 'inf' is not a finite number"),
        (PRISM, "m.trew", "0 0 1 10", "0 0 2 10", "m.trew: line 2: 2, but there is no such transition"),
        (PRISM, "m.trew", "0 0 1 10", "0 9 1 10", "m.trew: line 2: 9, but the state has no such choice"),
        (PRISM, "m.trew", "0 0 1 10", "0 0 1", "m.trew: line 2: 3 columns, not 4"),
        (PRISM, "m.trew", "3 4 2", "3 2", "m.trew: line 1: 2 counts, not 3"),
    ],
)
def test_errors_name_file_and_line(tmp_path, files, name, old, new, message):
    assert old in files[name]
    with pytest.raises(FormatError, match=message):
        read_model(put(tmp_path, files, **{name: files[name].replace(old, new, 1)}))


def test_order_within_a_choice_is_free(tmp_path):
    text = "2 1 2\n0 0 1 0.75\n0 0 0 0.25\n"
    model, _ = read_model(put(tmp_path, {}, **{"m.tra": text, "m.lab": '0="terminal"\n1: 0\n'}))
    assert model.probability.tolist() == [0.25, 0.75]
    assert np.flatnonzero(model.terminal).tolist() == [1]
