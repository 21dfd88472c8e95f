"""Metrics for other tools hold the numbers of the run."""

import csv
from pathlib import Path

import pytest

from suasion.cli import main
from suasion.records import MetricsWriter, RecordError, create_run, export_csv, export_parquet, export_tensorboard

ROWS = [
    {"step": 10, "loss": 0.1, "episode/returns": [1.5, None]},
    {"step": 20, "loss": 1 / 3, "episode/returns": [2.5, 3.0], "late": 7},
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    paths = create_run(path, {"game": "x"}, {"commit": "y"})
    with MetricsWriter(paths.metrics) as writer:
        for row in ROWS:
            writer.append(row)
    return path


def test_csv(run: Path, tmp_path: Path) -> None:
    path = export_csv(run, tmp_path / "out.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "episode/returns[0]", "episode/returns[1]", "loss", "late"]
    assert float(rows[1]["loss"]) == 1 / 3
    assert (rows[0]["episode/returns[1]"], rows[0]["late"], rows[1]["late"]) == ("", "", "7")


def test_the_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run)]) == 0
    assert (run / "metrics.csv").is_file()
    assert str(run / "metrics.csv") in capsys.readouterr().out


def test_a_run_without_rows_is_refused(tmp_path: Path) -> None:
    create_run(tmp_path / "empty", {"game": "x"}, {"commit": "y"})
    with pytest.raises(RecordError, match="has no metrics yet"):
        export_csv(tmp_path / "empty", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_parquet(run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(export_parquet(run, tmp_path / "out.parquet"))
    assert table.column("loss").to_pylist() == [0.1, 1 / 3]
    assert table.column("episode/returns[1]").to_pylist() == [None, 3.0]


def test_tensorboard(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    folder = export_tensorboard(run, tmp_path / "board")
    assert any(file.name.startswith("events") for file in folder.iterdir())


@pytest.mark.parametrize(("verb", "module"), [(export_parquet, "pyarrow"), (export_tensorboard, "tensorboardX")])
def test_extras_that_are_missing_are_named(verb, module, run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(RecordError, match=module):
        verb(run, tmp_path / "out")
