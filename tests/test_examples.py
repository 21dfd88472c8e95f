"""The examples run, and each draws its picture."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_draws_its_picture(example, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), str(tmp_path)])
    runpy.run_path(str(example), run_name="__main__")
    pictures = [path for path in tmp_path.iterdir() if path.suffix in (".png", ".gif", ".svg")]
    assert pictures
    assert all(path.stat().st_size > 1000 for path in pictures)
    assert str(tmp_path) in capsys.readouterr().out
