"""`suasion study variance`: what is written and printed, against the room itself; and what goes wrong."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from suasion.agents._gradient_noise import BATCHES, BLOCK
from suasion.cli import main
from suasion.runs import _variance
from suasion.runs._variance import VarianceStudy, study_variance
from suasion.runs._variance_game import ESTIMATORS, STAGES, record_of, reduced
from suasion.viewing._variance_picture import RatioPanel, Ratios, ratio_figure

COMMON = ["study", "variance", "--agents", "2,4", "--seeds", "2", "--budget", "128"]


def pretended(budget, agents, seed):
    """A part of the study without a game: the noise is n times that of one agent, less with every estimator."""
    rng = np.random.default_rng([seed, agents])
    found = {}
    for stage in STAGES:
        scale = np.sqrt(agents / np.arange(1, 1 + len(ESTIMATORS)))[:, None, None, None]
        gradients = 1 + scale * rng.normal(size=(len(ESTIMATORS), budget, agents, 3))
        kept = [reduced(gradients[:, k : k + BLOCK]) for k in range(0, budget, BLOCK)]
        returns = rng.normal(size=(5, budget, agents))
        returns -= returns.mean(axis=1, keepdims=True)
        told = [(returns, 0.5 * np.stack([returns] * 3), np.full(budget, 7.0))]
        found[stage] = record_of(agents, kept, told)
    return found


@pytest.fixture
def no_game(monkeypatch):
    monkeypatch.setattr(_variance, "played", pretended)


def fails(capsys, *arguments, code=2):
    assert main(["study", "variance", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.err.startswith("suasion: ")
    assert shown.err.count("\n") == 1
    return shown.err


def test_the_whole_command(no_game, tmp_path, capsys):
    out = tmp_path / "my study ü"
    assert main([*COMMON, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    names = ["variance.md", "variance.csv", "variance.png", "variance.svg", "variance.pdf"]
    assert [line for line in shown.out.splitlines() if line.startswith(str(out))] == [str(out / n) for n in names]
    assert "harvest-4-seed-1: " in shown.err
    table = (out / "variance.md").read_text(encoding="utf-8")
    assert table in shown.out
    found = study_variance(VarianceStudy(agents=(2, 4), seeds=2, budget=128), out)
    with (out / "variance.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(found.measured) == 2 * 3 * (3 * 4 + 2 * 5)
    for row, one in zip(rows, found.measured, strict=True):
        assert (row["game"], row["stage"], row["estimator"]) == (one.game, one.stage, one.estimator)
        assert float(row["ratio_low"]) == pytest.approx(one.ratio.low, rel=1e-8, abs=1e-15)
        assert float(row["trace"]) == pytest.approx(one.trace.value, rel=1e-8, abs=1e-15)
    # What went in comes out: n agents of 3 numbers each, variance n / (1 + place), within four half-widths.
    for row in rows:
        if row["game"] == "harvest":
            n, place = int(row["agents"]), 1 + ESTIMATORS.index(row["estimator"])
            truth = 3 * n * n / place / int(row["batch"])
            assert abs(float(row["trace"]) - truth) < 2 * (float(row["trace_high"]) - float(row["trace_low"]))
    one = next(x for x in found.measured if (x.game, x.agents, x.estimator, x.batch) == ("sum", 4, "central value", 1))
    assert f"{one.exact_ratio:.3g} [{one.ratio.low:.3g}, {one.ratio.high:.3g}]" in table
    assert "sum (enumerated), exponent of n in the joint tr Cov (in the ratio)" in table
    assert "| start | 2 | 7.0 | 75.0% | 75.0% | 75.0% |" in table
    with Image.open(out / "variance.png") as picture:
        assert picture.width > 900


def test_again_and_otherwise(no_game, monkeypatch, tmp_path, capsys):
    out = tmp_path / "study"
    assert main([*COMMON, "--out", str(out)]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}

    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(_variance, "played", fail)
    assert main([*COMMON, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("there already") == 3 * 2 + 2 * 2
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert json.loads(before["study.json"]) == {
        "study": "variance",
        "agents": [2, 4],
        "seeds": 2,
        "budget": 128,
        "seed": 0,
    }
    told = fails(capsys, "--agents", "2,4", "--seeds", "2", "--budget", "64", "--out", str(out))
    assert "holds another study (budget 128 / 64): name another folder" in told
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    assert "is not empty and holds no study" in fails(capsys, "--out", str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agents", "1,2"], "agents is 1; must be 2 to 10"),
        (["--agents", "two"], "--agents two: write numbers between commas, such as 2,4,8"),
        (["--agents", "2,12"], "agents is 12"),
        (["--budget", "48"], "a budget of 48 episodes is too small for one estimate: 4 batches of 16 take 64"),
        (["--seeds", "0"], "seeds is 0, must be at least 1"),
    ],
)
def test_bad_input(arguments, message, tmp_path, capsys):
    out = tmp_path / "study"
    assert message in fails(capsys, *arguments, "--out", str(out))
    assert not out.exists()


def test_batches_are_those_of_the_blocks():
    assert all(BLOCK % batch == 0 for batch in BATCHES)


def test_pictures_of_nothing_are_refused():
    two = np.array([2, 4])
    known = {"at": two, "middle": np.array([0.1, 0.2]), "low": np.zeros(2), "high": np.ones(2)}
    with pytest.raises(ValueError, match="low has 1 points, at has 2"):
        Ratios(**known | {"low": np.zeros(1)})
    with pytest.raises(ValueError, match=r"middle\[1\] is nan"):
        Ratios(**known | {"middle": np.array([0.1, np.nan])})
    with pytest.raises(ValueError, match="point 1 is at 2, after 4"):
        Ratios(**known | {"at": two[::-1]})
    with pytest.raises(ValueError, match="0 panels"):
        ratio_figure([])
    lost = Ratios(**known | {"middle": np.array([-0.1, 0.0])})
    with pytest.raises(ValueError, match="panel 'lost' has no number above 0"):
        ratio_figure([RatioPanel(curves={"none": lost}, title="lost")])
