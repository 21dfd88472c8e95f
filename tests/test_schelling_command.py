"""`suasion schelling`: exact diagrams of matrix games, those of tables, and those that scripts play."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from suasion._schelling_command import matrix_diagram, played_diagram, read_diagram
from suasion.cli import main
from suasion.games import MatrixGame, chicken, make, prisoners_dilemma, stag_hunt


def fails(capsys, *arguments):
    assert main(["schelling", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("suasion: ")
    assert shown.err.count("\n") == 1
    return shown.err


def public_good(agents, factor):
    """Who gives pays 1; what is given comes back, multiplied, to all alike. Action 0 gives."""

    def cell(chosen):
        if len(chosen) == agents:
            given = chosen.count(0)
            return [factor * given / agents - (action == 0) for action in chosen]
        return [cell((*chosen, action)) for action in (0, 1)]

    return cell(())


def test_games_of_two_are_their_tables():
    found = matrix_diagram(prisoners_dilemma(), 0, 1)
    assert (found.cooperate.tolist(), found.defect.tolist()) == ([0, 3], [1, 4])
    assert found.average.tolist() == [1, 2]  # both defect; one does
    assert found.verdict() == "social dilemma: fear and greed"
    assert matrix_diagram(stag_hunt(), 0, 1).verdict() == "social dilemma: fear"
    assert matrix_diagram(chicken(), 0, 1).verdict() == "social dilemma: greed"
    swapped = matrix_diagram(prisoners_dilemma(), 1, 0)
    assert (swapped.cooperate.tolist(), swapped.defect.tolist()) == ([4, 1], [3, 0])


@pytest.mark.parametrize("agents", [2, 3, 5])
def test_a_public_good_has_its_closed_form(agents):
    game = MatrixGame(payoffs=public_good(agents, 1.5))
    found = matrix_diagram(game, 0, 1)
    k = np.arange(agents)
    np.testing.assert_allclose(found.cooperate, 1.5 * (k + 1) / agents - 1)
    np.testing.assert_allclose(found.defect, 1.5 * k / agents)
    np.testing.assert_allclose(found.average, 0.5 * k / agents)
    assert found.fear
    assert found.greed
    assert found.worthwhile


def test_agents_that_differ_are_averaged():
    """Against a direct sum over agents and over which of the others cooperate."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2, 2, 2, 3))
    found = matrix_diagram(MatrixGame(payoffs=table.tolist()), 0, 1)
    for own, curve in ((0, found.cooperate), (1, found.defect)):
        for k in range(3):
            held = []
            for i in range(3):
                pairs = [others for others in itertools.product((0, 1), repeat=2) if others.count(0) == k]
                held += [table[(*others[:i], own, *others[i:])][i] for others in pairs]
            assert curve[k] == pytest.approx(np.mean(held))


def test_the_whole_command(tmp_path, capsys):
    payoffs = tmp_path / "our good.json"
    payoffs.write_text(json.dumps({"payoffs": public_good(3, 2.0), "actions": ["give", "keep"]}))
    (tmp_path / "out").mkdir()
    assert main(["schelling", "prisoners-dilemma", str(payoffs), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "prisoners-dilemma: social dilemma: fear and greed" in shown
    assert "our good: social dilemma: fear and greed" in shown
    names = [str(tmp_path / "out" / f"schelling.{kind}") for kind in ("png", "svg", "pdf")]
    assert shown.splitlines()[-3:] == names
    page = (tmp_path / "out" / "schelling.svg").read_text(encoding="utf-8")
    assert all(f">{word}<" in page for word in ("our good", "fear", "greed", "others that cooperate"))
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    for path in (one, two):
        assert main(["schelling", str(payoffs), "--actions", "keep,give", "--width", "3.3", "--out", str(path)]) == 0
    assert one.read_bytes() == two.read_bytes()
    assert "no dilemma" in one.read_text(encoding="utf-8")
    assert 'width="237.6pt"' in one.read_text(encoding="utf-8")


def test_a_table_of_measurements(tmp_path, capsys):
    table = tmp_path / "trained.csv"
    table.write_text("others,cooperate,defect\n0,1,2\n0,3,4\n1,5,\n1,7,9\n1,,11\n", encoding="utf-8")
    found = read_diagram(table)
    assert (found.cooperate.tolist(), found.defect.tolist()) == ([2, 6], [3, 10])
    half = 12.706204736 * np.sqrt(2) / np.sqrt(2)  # Student's quantile, one degree of freedom
    np.testing.assert_allclose(found.cooperate_half, half)
    assert not found.resolved
    assert main(["schelling", str(table), "--out", str(tmp_path / "a.svg")]) == 0
    assert "trained: social dilemma: fear and greed?" in capsys.readouterr().out
    table.write_text("others,defect,cooperate\n0,1,2\n1,5,6\n", encoding="utf-8")
    assert read_diagram(table).cooperate_half is None  # one measurement each


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("others,cooperate\n0,1\n", "there is no column 'defect'; needed are others, cooperate, defect"),
        ("others,cooperate,defect\n0,1,2\n1,x,2\n", "line 3, cooperate is 'x'; must be a number, or empty"),
        ("others,cooperate,defect\n0,1,inf\n", "line 2, defect is 'inf'"),
        ("others,cooperate,defect\n-1,1,2\n", "line 2, others is '-1'; must be a whole number"),
        ("others,cooperate,defect\n0,1,2\n2,1,2\n", "nobody measured cooperate with 1 others that cooperate"),
        ("others,cooperate,defect\n0,1,2\n", "cooperate has 1 points: at least 2 agents are needed"),
        ("", "there is no column 'others'"),
    ],
)
def test_tables_that_cannot_be_are_refused(tmp_path, capsys, text, fault):
    table = tmp_path / "a.csv"
    table.write_text(text, encoding="utf-8")
    assert fault in fails(capsys, str(table), "--out", str(tmp_path / "a.png"))
    assert not (tmp_path / "a.png").exists()


def test_options_that_cannot_be_are_refused(tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    assert "--episodes is 20: must be a multiple of 8" in fails(capsys, "stag-hunt", "--episodes", "20", *out)
    assert "must be two of stag, hare" in fails(capsys, "stag-hunt", "--actions", "stag,stag", *out)
    assert "there is no script that cooperates in it" in fails(capsys, "recall", *out)
    assert "chicken is named more than once" in fails(capsys, "chicken", "stag-hunt", "chicken", *out)
    assert "unknown game 'stag-hnt'" in fails(capsys, "stag-hnt", *out)
    assert "--width is 0.1" in fails(capsys, "stag-hunt", "--width", "0.1", *out)
    one = tmp_path / "one.json"
    one.write_text('{"payoffs": [[1], [2]]}')
    assert "has 1 agents: a diagram needs 2 to 12" in fails(capsys, str(one), *out)
    assert not list(tmp_path.glob("*.png"))


def test_harvest_as_scripts_play_it():
    """The same dilemma as in the tests of the scripts: gaps of 12.7, 16.6 and 18, with errors of about 1."""
    found = played_diagram(make("harvest", horizon=100), 16, 0)
    assert len(found.cooperate) == 3
    assert found.greed
    assert (found.cooperate_half > 0).all()
    assert (found.defect > found.cooperate).all()
    again = played_diagram(make("harvest", horizon=100), 16, 0)
    np.testing.assert_array_equal(found.defect, again.defect)
