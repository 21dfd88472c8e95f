"""`suasion filter`, `smooth`, `fit` and `forecast`: what they write, draw and refuse."""

from __future__ import annotations

import csv
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suasion.cli import main

NILE = str(Path(__file__).parents[1] / "examples" / "nile.csv")
LEVEL = 'kind = "local-level"\nQ = 1469.1\nR = 15099\n'
RAIN = """kind = "chain"
names = ["rain", "dry"]
initial = [0.5, 0.5]
transition = [[0.7, 0.3], [0.3, 0.7]]
[table]
probability = [[0.9, 0.1], [0.2, 0.8]]
"""
PUSHED = """kind = "linear-gaussian"
A = [[0.9]]
B = [[1.0]]
C = [[1.0], [0.5]]
D = [[0.0], [2.0]]
Q = [[0.1]]
R = [[0.2, 0.0], [0.0, 0.3]]
P0 = [[1.0]]
"""


def table(text):
    rows = list(csv.DictReader(text.splitlines()))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


@pytest.fixture
def write(tmp_path):
    def put(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return put


def fails(capsys, *arguments, code=2):
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("suasion: ")
    assert shown.err.count("\n") == 1
    return shown.err


def test_the_nile(write, tmp_path, capsys):
    model = write("level.toml", LEVEL)
    common = [model, NILE, "--columns", "flow", "--index", "year"]
    out, picture = str(tmp_path / "out.csv"), str(tmp_path / "out.png")
    assert main(["smooth", *common, "--out", out, "--picture", picture]) == 0
    assert "log-likelihood -633.4645636" in capsys.readouterr().err
    held = table(Path(out).read_text())
    np.testing.assert_allclose(held["year"], np.arange(1871, 1971))
    np.testing.assert_allclose(held["flow"][[0, 49, 99]], [1111.66831913, 834.76325910, 798.37029261], rtol=1e-9)
    spread = 1.959963984540054 * np.sqrt([4032.15794181, 2326.75686981])
    np.testing.assert_allclose((held["x0 high"] - held["x0"])[[0, 49]], spread, rtol=1e-6)
    with Image.open(picture) as image:
        assert image.size[0] > 500
    assert main(["filter", *common]) == 0
    np.testing.assert_allclose(table(capsys.readouterr().out)["x0"][1], 1140.92783993, rtol=1e-9)
    assert main(["forecast", *common, "--steps", "30", "--level", "0.5", "--picture", str(tmp_path / "f.svg")]) == 0
    held = table(capsys.readouterr().out)
    np.testing.assert_allclose(held["year"], np.arange(1971, 2001))
    np.testing.assert_allclose(held["flow"], 798.3702926)
    np.testing.assert_allclose(
        held["flow high"][[0, -1]] - 798.3702926, 0.67448975 * np.array([143.5279, 251.4044]), rtol=1e-5
    )
    assert (tmp_path / "f.svg").read_text().startswith("<?xml")


def test_pictures_of_chains_and_series(write, tmp_path, capsys):
    model, data = write("rain.toml", RAIN), write("umbrella.csv", 'umbrella\n0\n0\n""\n1\n0\n')
    page = tmp_path / "rain.svg"
    common = ["--picture", str(page), "--force"]
    assert main(["smooth", model, data, *common, "--width", "3.3"]) == 0
    shown = page.read_text(encoding="utf-8")
    assert 'width="237.6pt"' in shown
    assert all(f">{word}<" in shown for word in ("rain", "dry", "umbrella", "path", "probability"))
    assert main(["filter", model, data, *common]) == 0
    assert ">path<" not in page.read_text(encoding="utf-8")  # it would be of all observations
    assert main(["forecast", model, data, *common, "--steps", "3"]) == 0
    assert ">forecast<" in page.read_text(encoding="utf-8")
    level = write("level.toml", LEVEL)
    years = Path(NILE).read_text(encoding="utf-8").splitlines()
    gap = write("gap.csv", "\n".join([*years[:21], *(line.split(",")[0] + "," for line in years[21:30]), *years[30:]]))
    for picture in (tmp_path / "a.pdf", tmp_path / "b.pdf"):
        arguments = ["forecast", level, gap, "--columns", "flow", "--index", "year", "--picture", str(picture)]
        assert main(arguments) == 0
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert main(["smooth", level, gap, "--columns", "flow", *common]) == 0
    shown = page.read_text(encoding="utf-8")
    assert all(f">{word}<" in shown for word in ("95 %", "50 %", "not seen", "estimate", "seen"))
    assert main(["smooth", level, gap, "--columns", "flow", *common, "--level", "0.5"]) == 0
    assert page.read_text(encoding="utf-8").count(">50 %<") == 1  # nothing narrower inside
    capsys.readouterr()
    assert "--width is 1.0: must be 1.5 to 40" in fails(capsys, "filter", model, data, "--width", "1")


def test_what_is_fitted_is_a_model(write, tmp_path, capsys):
    model, out = write("level.toml", LEVEL.replace("1469.1", "1000")), str(tmp_path / "fit.toml")
    assert main(["fit", model, NILE, "--columns", "flow", "--out", out]) == 0
    told = capsys.readouterr().err
    assert "converged" in told
    assert "standard error" in told
    found = tomllib.loads(Path(out).read_text())
    np.testing.assert_allclose([found["Q"][0][0], found["R"][0][0]], [1469.1764, 15098.518], rtol=1e-7)
    assert main(["filter", out, NILE, "--columns", "flow"]) == 0
    assert "-633.4645636" in capsys.readouterr().err
    assert ": exists; --force replaces it" in fails(capsys, "fit", model, NILE, "--columns", "flow", "--out", out)
    assert main(["fit", model, NILE, "--columns", "flow", "--out", out, "--force", "--iterations", "1"]) == 1
    assert "not converged" in capsys.readouterr().err


def test_a_chain(write, tmp_path, capsys):
    model, data = write("rain.toml", RAIN), write("umbrella.csv", "umbrella\n0\n0\n1\n0\n0\n")
    picture = str(tmp_path / "rain.png")
    assert main(["smooth", model, data, "--picture", picture]) == 0
    shown = capsys.readouterr()
    held = table(shown.out)
    np.testing.assert_allclose(held["p(rain)"], [0.86733889, 0.82041905, 0.30748358, 0.82041905, 0.86733889], atol=1e-8)
    assert "log-likelihood -3.372502044" in shown.err
    assert Path(picture).stat().st_size > 1000
    assert main(["forecast", model, data, "--steps", "2"]) == 0
    held = table(capsys.readouterr().out)
    np.testing.assert_allclose(held["p(rain)"][0], 0.7 * 0.86733889 + 0.3 * 0.13266111, atol=1e-8)
    np.testing.assert_allclose(held["p(umbrella=0)"], 0.9 * held["p(rain)"] + 0.2 * held["p(dry)"], atol=1e-9)
    assert main(["fit", model, data, "--method", "em", "--free", "transition", "--iterations", "3"]) == 1
    assert tomllib.loads(capsys.readouterr().out)["names"] == ["rain", "dry"]
    hole = write("hole.csv", "umbrella\n0\n\n,\n".replace("\n\n,\n", '\n""\n'))
    assert main(["filter", model, hole]) == 0
    np.testing.assert_allclose(
        table(capsys.readouterr().out)["p(rain)"], [9 / 11, 0.7 * 9 / 11 + 0.3 * 2 / 11], rtol=1e-8
    )


def test_inputs_and_missing_cells(write, capsys):
    from suasion.statespace import LinearGaussianSSM, smooth

    model = write("pushed.toml", PUSHED)
    data = write("data.csv", "a,b,u\n1,2,0.5\n,3,1\nNaN,NA,0\n0.5,1,-1\n")
    assert main(["smooth", model, data, "--columns", "a,b", "--inputs", "u"]) == 0
    held = table(capsys.readouterr().out)
    one = np.ones((1, 1))
    expected = smooth(
        LinearGaussianSSM(
            A=0.9 * one, B=one, C=np.array([[1.0], [0.5]]), D=np.array([[0.0], [2]]), Q=0.1 * one,
            R=np.diag([0.2, 0.3]), m0=np.zeros(1), P0=one,
        ),
        np.array([[1, 2], [np.nan, 3], [np.nan, np.nan], [0.5, 1]]),
        inputs=np.array([[0.5], [1], [0], [-1]]),
    )  # fmt: skip
    np.testing.assert_allclose(held["x0"], expected.mean[:, 0], rtol=1e-8)
    np.testing.assert_allclose(held["b"], 0.5 * expected.mean[:, 0] + 2 * np.array([0.5, 1, 0, -1]), rtol=1e-8)
    assert "inputs, and those of the steps to come" in fails(
        capsys, "forecast", model, data, "--columns", "a,b", "--inputs", "u"
    )


@pytest.mark.parametrize(
    "kind", ['"local-linear-trend"\nQ = [0.1, 0.01]\nR = 1', '"autoregressive"\ncoefficients = [0.5, 0.3]\nQ = 1.0']
)
def test_other_kinds(write, capsys, kind):
    data = write("data.csv", "y\n" + "\n".join(map(str, np.random.default_rng(0).normal(size=30))) + "\n")
    model = write("model.toml", f"kind = {kind}\n")
    assert main(["filter", model, data]) == 0
    held = table(capsys.readouterr().out)
    assert np.isfinite(held["x1"][2:]).all()
    assert main(["fit", model, data]) == 0
    assert 'kind = "linear-gaussian"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = 3", "kind is 3: must be one of linear-gaussian"),
        ("kind = 'local-level'\nQ = 1\nR = 1\nS = 2", "a local-level has no 'S'"),
        ("kind = 'local-level'\nQ = 1", "R is missing"),
        ("kind = 'local-level'\nQ = -1\nR = 1", "Q[0, 0] is -1.0: a variance cannot be negative"),
        ("kind = 'local-level'\nQ = nan\nR = 1", "Q[0, 0] is nan"),
        ("kind = 'local-level'\nQ = [[", "Invalid value"),
        ("kind = 'linear-gaussian'\nA = [[1], [1, 2]]\nC = [[1]]", "rows of different lengths"),
        ("kind = 'linear-gaussian'\nA = [[1]]\nC = [[1]]\nQ = [[1]]\nR = [[1]]", "the start is missing"),
        (RAIN.replace("0.7, 0.3", "0.7, 0.2"), "sums to 0.89"),
        (RAIN.replace("[table]", "[chair]"), "a chain has no 'chair'"),
        (RAIN.replace('"dry"', "4"), "names must be 2 strings"),
        ("kind = 'autoregressive'\ncoefficients = [1.5]\nQ = 1", "no stationary process"),
        ("x" * ((1 << 20) + 1), "larger than 1,048,576 bytes"),
    ],
)
def test_wrong_models_are_refused(write, capsys, text, message):
    assert message in fails(capsys, "filter", write("m.toml", text), NILE, "--columns", "flow")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flow\n1\ntwo\n", "line 3, column 'flow': 'two' is no number"),
        ("flow\n1\ninf\n", "line 3, column 'flow': 'inf' is not finite"),
        ("flow\n1,2\n", "line 2 has 2 cells, and the header 1"),
        ("flow\n", "has no rows"),
        ("", "line 1 must name columns"),
        ("a,a\n1,2\n", "each once"),
        ("year,height\n1,2\n", "has no column 'flow'; it has year, height"),
        (b"flow\n\xff\n", "byte 5 is no UTF-8"),
    ],
)
def test_wrong_series_are_refused(write, tmp_path, capsys, text, message):
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in fails(capsys, "smooth", write("m.toml", LEVEL), str(path), "--columns", "flow")


def test_wrong_questions_are_refused(write, tmp_path, capsys):
    level, rain = write("m.toml", LEVEL), write("r.toml", RAIN)
    assert "say which by --columns" in fails(capsys, "filter", level, NILE)
    assert "names 2 columns, and 1 are observed" in fails(capsys, "filter", level, NILE, "--columns", "flow,year")
    assert "--inputs names 1 columns" in fails(capsys, "filter", level, NILE, "--columns", "flow", "--inputs", "year")
    assert "need --columns" in fails(capsys, "filter", level, NILE, "--index", "year")
    assert "--level is 2.0" in fails(capsys, "filter", level, NILE, "--columns", "flow", "--level", "2")
    assert "must end in .png" in fails(capsys, "filter", level, NILE, "--columns", "flow", "--picture", "a.gif")
    assert "must be 0 to 1, or -1" in fails(capsys, "filter", rain, write("a.csv", "s\n0\n7\n"))
    assert "no whole number" in fails(capsys, "filter", rain, write("b.csv", "s\n0.5\n"))
    assert "must rise from row to row" in fails(
        capsys, "filter", level, write("c.csv", "t,y\n2,1\n1,1\n"), "--columns", "y", "--index", "t"
    )
    sure = write("sure.toml", RAIN.replace("[0.9, 0.1], [0.2, 0.8]", "[1.0, 0.0], [1.0, 0.0]"))
    assert "row 2 is impossible" in fails(capsys, "filter", sure, write("d.csv", "s\n0\n1\n"))
    assert "No such file" in fails(capsys, "filter", level, str(tmp_path / "none.csv"), code=1)


def test_jax_is_not_imported(write):
    code = "import sys; from suasion.cli import main; main(sys.argv[1:]); assert 'jax' not in sys.modules"
    command = [sys.executable, "-c", code, "smooth", write("m.toml", LEVEL), NILE, "--columns", "flow"]
    subprocess.run(command, check=True, capture_output=True)
