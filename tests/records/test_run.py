import json
import os

import pytest

from suasion.records import MetricsWriter, RecordError, create_run, find_runs, read_run

CONFIG = {"game": {"name": "harvest", "agents": 3}, "rate": 0.001, "seed": 1, "view": (7, 7)}
MANIFEST = {"versions": {"numpy": "2.4"}}


def test_a_run_reads_back(tmp_path):
    run = create_run(tmp_path / "ä b" / "seed-1", CONFIG, MANIFEST)
    assert run.checkpoints.is_dir()
    assert run.episodes.is_dir()
    empty = read_run(run.path)
    assert (empty.metrics, empty.torn) == ([], False)
    with MetricsWriter(run.metrics) as writer:
        writer.append({"step": 1, "x": 0.5})
    with run.metrics.open("ab") as file:
        file.write(b'{"st')
    found = read_run(run.path)
    assert found.config == CONFIG | {"view": [7, 7]}
    assert found.manifest == MANIFEST
    assert found.metrics == [{"step": 1, "x": 0.5}]
    assert found.torn
    assert run.config.read_text().count("\n") > 5  # for people


def test_creating_it_again_changes_nothing(tmp_path):
    run = create_run(tmp_path / "run", CONFIG, MANIFEST)
    before = run.config.read_bytes(), run.manifest.read_bytes()
    assert create_run(tmp_path / "run", CONFIG, {"versions": {"numpy": "9"}}) == run
    assert (run.config.read_bytes(), run.manifest.read_bytes()) == before


def test_another_configuration_is_refused_with_the_difference(tmp_path):
    create_run(tmp_path / "run", CONFIG, MANIFEST)
    other = CONFIG | {"game": {"name": "cleanup", "agents": 3}, "seed": 1.0, "new": None}
    with pytest.raises(RecordError) as error:
        create_run(tmp_path / "run", other, MANIFEST)
    assert str(error.value).endswith(
        '(there / asked for): game.name: "harvest" / "cleanup"; new: absent / null; seed: 1 / 1.0'
    )


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(RecordError, match=r"holds notes\.txt but no config\.json"):
        create_run(tmp_path, CONFIG, MANIFEST)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(RecordError, match="not a directory"):
        create_run(tmp_path / "notes.txt", CONFIG, MANIFEST)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "gpt"}')
    with pytest.raises(RecordError, match="not of a run of suasion"):
        create_run(tmp_path / "other", CONFIG, MANIFEST)


def test_a_start_that_was_cut_short_is_completed(tmp_path):
    run = create_run(tmp_path / "run", CONFIG, MANIFEST)
    run.manifest.unlink()
    run.checkpoints.rmdir()
    create_run(run.path, CONFIG, MANIFEST)
    assert read_run(run.path).manifest == MANIFEST
    assert run.checkpoints.is_dir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / ".partial-1-0").write_bytes(b"{")
    create_run(tmp_path / "half", CONFIG, MANIFEST)


def test_bad_values_leave_nothing_behind(tmp_path):
    for config, manifest in (({"a": float("inf")}, {}), ({}, {"a": {1, 2}})):
        with pytest.raises(RecordError):
            create_run(tmp_path / "run", config, manifest)
    assert not (tmp_path / "run").exists()


def test_runs_are_found_in_natural_order_and_not_too_deep(tmp_path):
    for name in ("b/seed-10", "b/seed-9", "a", "c/d/e/f", "c/d/e/f2/too-deep", ".hidden/x"):
        create_run(tmp_path / name, CONFIG, MANIFEST)
    os.symlink(tmp_path / "a", tmp_path / "link")
    found = [run.relative_to(tmp_path).as_posix() for run in find_runs(tmp_path)]
    assert found == ["a", "b/seed-9", "b/seed-10", "c/d/e/f"]
    assert find_runs(tmp_path / "a") == [tmp_path / "a"]
    (tmp_path / "none").mkdir()
    with pytest.raises(RecordError, match=r"no run here.*config\.json"):
        find_runs(tmp_path / "none")
    with pytest.raises(RecordError, match="no such directory"):
        find_runs(tmp_path / "gone")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not acceptable JSON"),
        (b"[]", "not of a run"),
        (b'{"suasion":"config","format":2,"config":{}}', "format 2, newer"),
        (b'{"suasion":"config","format":true,"config":{}}', "format True, unknown"),
        (b'{"suasion":"config","format":1,"config":[]}', "must hold"),
        (b'{"suasion":"config","format":1,"config":{},"x":1}', "must hold"),
        (b'{"suasion":"manifest","format":1,"manifest":{}}', "not of a run"),
        (b'{"suasion":"config","suasion":"config"}', "twice"),
        (b"[" * 10**6, "nested"),
        (b" " * (2**22 + 1), "limit"),
        (b"\xff\xfe", "utf-8"),
    ],
)
def test_damaged_or_newer_runs_are_refused(tmp_path, content, fault):
    run = create_run(tmp_path / "run", CONFIG, MANIFEST)
    run.config.write_bytes(content)
    with pytest.raises(RecordError, match=fault) as error:
        read_run(run.path)
    assert "config.json" in str(error.value)
    with pytest.raises(RecordError):
        create_run(run.path, CONFIG, MANIFEST)


def test_the_configuration_file_is_plain_json(tmp_path):
    run = create_run(tmp_path / "run", CONFIG, MANIFEST)
    assert json.loads(run.config.read_text())["config"]["rate"] == 0.001
