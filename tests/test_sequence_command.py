"""`suasion sequence`: what is trained, kept, drawn and written, against the room itself; kills; and what goes wrong."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from suasion import _sequence_runs
from suasion._sequence_results import numbers
from suasion._sequence_runs import Plan, load_stack, train
from suasion.cli import main
from suasion.records import RecordError, newest_checkpoint, read_metrics, read_run
from suasion.runs import TrainingError
from suasion.sequence import Architecture, Recipe, SelectiveCopying, begin, improve, score

ROOT = Path(__file__).parents[1]
# One shape for all tests, so that little is compiled.
SIZES = ("--batch", "3", "--width", "4", "--layers", "1")
TINY = (
    *("sequence", "selective-copying", "--tokens", "2", "--copied", "1", "--positions", "4"),
    *("--steps", "20", "--log-every", "6", "--learning-rate", "0.005", *SIZES),
)
TASK = SelectiveCopying(tokens=2, copied=1, positions=4)
RECIPE = Recipe(steps=20, batch=3, learning_rate=0.005, warmup=1)
MADE = Architecture(core="diagonal", width=4, layers=1)


def plan(seed=0, **changes):
    return Plan(**{"task": TASK, "architecture": MADE, "recipe": RECIPE, "seed": seed, "log_every": 6} | changes)


def fails(capsys, *arguments, code=2):
    """The one message of a command that fails with this exit code."""
    assert main(["sequence", *map(str, arguments)]) == code
    shown = capsys.readouterr()
    assert shown.err.startswith("suasion: ")
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of two seeds of one core; not to be changed."""
    out = tmp_path_factory.mktemp("compared") / "my runs ü"
    assert main([*TINY, "--cores", "diagonal", "--seeds", "2", "--out", str(out)]) == 0
    return out


def content(folder):
    """Bytes of what is a function of the step, by name."""
    names = [
        "config.json",
        "metrics.jsonl",
        *sorted(f"checkpoints/{p.name}" for p in (folder / "checkpoints").iterdir()),
    ]
    return {name: (folder / name).read_bytes() for name in [*names[:2], names[-1]]}


# The whole command


def test_a_run_is_what_the_room_computes(compared):
    run = read_run(compared / "diagonal" / "seed-1")
    learner = jax.jit(begin, static_argnums=(0, 2))(MADE, TASK, RECIPE, jax.random.key(1))
    update, judge, held = jax.jit(improve, static_argnums=0), jax.jit(score), TASK.held_out()
    told = []
    for number in range(1, 21):
        learner, one = update(RECIPE, TASK, learner)
        told.append(one)
        if number in (6, 12, 18, 20):
            row = next(row for row in run.metrics if row["step"] == number)
            for name in ("loss", "accuracy", "gradient"):
                assert row[name] == pytest.approx(np.mean([float(each[name]) for each in told]), rel=1e-4)
            loss, accuracy = judge(learner.model, held)
            assert row["evaluation/loss"] == pytest.approx(float(loss), rel=1e-5)
            assert row["evaluation/accuracy"] == pytest.approx(float(accuracy), abs=1 / 512)
            assert row["learning_rate"] == pytest.approx(float(RECIPE.schedule(number - 1)), rel=1e-6)
            told = []
    assert [row["step"] for row in run.metrics] == [6, 12, 18, 20]
    assert run.config == json.loads(json.dumps(plan(1).to_json()))
    sizes = [leaf.size for leaf in jax.tree.leaves(learner.model)]
    assert run.manifest["parameters"] == sum(sizes) == plan(1).parameters
    kept = load_stack(plan(1), compared / "diagonal" / "seed-1")
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(learner.model), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_lies_beside_the_runs(compared, capsys):
    with (compared / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["core"], row["seed"]) for row in rows] == [("diagonal", "0"), ("diagonal", "1")]
    for row in rows:
        last = read_run(compared / "diagonal" / f"seed-{row['seed']}").metrics[-1]
        assert float(row["accuracy"]) == last["evaluation/accuracy"]
        assert float(row["loss"]) == last["evaluation/loss"]
        assert float(row["bits"]) == pytest.approx(last["evaluation/loss"] / np.log(2))
        assert row["updates"] == "20"
        assert float(row["seconds"]) > 0
    table = (compared / "results.md").read_text()
    assert "| diagonal | 2 |" in table
    assert "right, held out" in table
    with Image.open(compared / "curves.png") as picture:
        assert picture.width > 600
    assert "updates" in (compared / "curves.svg").read_text()
    # The rows of other commands find these runs as well.
    assert main(["runs", str(compared)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("done") == 2
    assert shown.count("20") >= 4


def test_the_same_command_again_and_one_core_more(compared, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*TINY, "--cores", "diagonal", "--out", str(out)]) == 0
    first = content(out / "diagonal" / "seed-0")
    assert first == content(compared / "diagonal" / "seed-0")  # alone, or beside another
    curves = (out / "curves.png").read_bytes()
    assert main([*TINY, "--cores", "diagonal", "--out", str(out)]) == 0
    assert content(out / "diagonal" / "seed-0") == first
    assert (out / "curves.png").read_bytes() == curves
    assert main([*TINY, "--cores", "lstm", "--out", str(out)]) == 0
    assert content(out / "diagonal" / "seed-0") == first
    shown = capsys.readouterr().out
    assert re.search(r"\| diagonal \| 1 \|.*\n\| lstm \| 1 \|", shown)
    assert (out / "curves.png").read_bytes() != curves


def test_every_metric_is_documented(compared):
    folder = compared / "diagonal" / "seed-0"
    rows = [*read_metrics(folder / "metrics.jsonl").rows, *read_metrics(folder / "timing.jsonl").rows]
    names = set(re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    assert {key for row in rows for key in row} <= names


def test_a_text_is_learned_and_continued(tmp_path, capsys):
    path = tmp_path / "rhyme.txt"
    path.write_text("abc\n" * 100)
    arguments = ["sequence", "text", path, "--length", "8", "--steps", "30", "--log-every", "15", "--characters", "12"]
    arguments += ["--cores", "diagonal", "--learning-rate", "0.05", "--temperature", "0", *SIZES]
    assert main([*map(str, arguments), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "bits per character" in shown
    samples = (tmp_path / "out" / "samples.txt").read_text()
    title, rest = samples.split("\n--- read\n")
    before, after = rest.split("\n--- written\n")
    assert title == "=== diagonal, seed 0"
    assert before == "abc\n" * 2
    assert len(after.removesuffix("\n")) == 12
    assert set(after) <= set("abc\n")
    config = read_run(tmp_path / "out" / "diagonal" / "seed-0").config
    assert config["task"]["alphabet"] == "\nabc"
    path.write_text("abd\n" * 100)  # another text is another comparison
    assert "is a run of another comparison: task is" in fails(capsys, *arguments[1:], "--out", tmp_path / "out")


# Stops and kills


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_run_that_was_stopped_goes_on_to_equal_bytes(rows, compared, tmp_path):
    answers = iter([*[False] * rows, True])
    first = train(plan(), tmp_path / "run", stop=lambda: next(answers))
    assert (first.step, first.resumed, first.finished) == (6 * rows, None, False)
    second = train(plan(), tmp_path / "run")
    assert (second.step, second.resumed, second.finished) == (20, 6 * rows, True)
    assert content(tmp_path / "run") == content(compared / "diagonal" / "seed-0")


@pytest.mark.parametrize("update", [1, 7, 10, 20])
@pytest.mark.parametrize("seconds", [1e-9, 1e9])
def test_a_run_that_died_in_an_update_goes_on_to_equal_bytes(update, seconds, compared, tmp_path, monkeypatch):
    real, done = _sequence_runs._improve, []

    def dies(*arguments):
        done.append(1)
        if len(done) == update:
            raise MemoryError("died")
        return real(*arguments)

    monkeypatch.setattr(_sequence_runs, "_improve", dies)
    with pytest.raises(MemoryError, match="died"):
        train(plan(), tmp_path / "run", checkpoint_seconds=seconds)
    monkeypatch.undo()
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl").rows
    assert len(rows) == (update - 1) // 6
    again = train(plan(), tmp_path / "run")
    assert again.resumed == (0 if seconds > 1 else 6 * len(rows))
    assert content(tmp_path / "run") == content(compared / "diagonal" / "seed-0")


@pytest.mark.slow
def test_killed_processes_go_on_to_equal_bytes(compared, tmp_path):
    """SIGKILL after the first, the second, ... row; then to the end."""
    command = [sys.executable, "-m", "suasion", *TINY, "--cores", "diagonal", "--checkpoint-seconds", "0.001"]
    command += ["--out", str(tmp_path)]
    metrics = tmp_path / "diagonal" / "seed-0" / "metrics.jsonl"
    for wanted in (1, 2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
        while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < wanted):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, stdout=subprocess.DEVNULL, env=os.environ, check=False).returncode == 0
    assert content(tmp_path / "diagonal" / "seed-0") == content(compared / "diagonal" / "seed-0")


def test_a_signal_stops_all_runs_after_a_checkpoint(tmp_path, capsys, monkeypatch):
    real = _sequence_runs._improve

    def interrupts(*arguments):
        if int(arguments[2].updates) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(_sequence_runs, "_improve", interrupts)
    monkeypatch.setattr("jax.local_device_count", lambda: 1)  # one after the other: the signal comes once
    arguments = [*TINY, "--cores", "diagonal", "--out", str(tmp_path / "out")]
    assert main(arguments) == 75
    assert "the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
    assert newest_checkpoint(tmp_path / "out" / "diagonal" / "seed-0" / "checkpoints").step == 6
    monkeypatch.undo()
    assert main(arguments) == 0
    assert len(read_run(tmp_path / "out" / "diagonal" / "seed-0").metrics) == 4


def test_numbers_that_are_none_stop_a_run(tmp_path, monkeypatch):
    real = _sequence_runs._improve

    def spoiled(recipe, task, learner):
        learner, told = real(recipe, task, learner)
        if int(learner.updates) > 6:
            told = told | {"loss": told["loss"] * np.nan}
        return learner, told

    monkeypatch.setattr(_sequence_runs, "_improve", spoiled)
    with pytest.raises(TrainingError, match=r"^loss is not a finite number after update 12: .* that of update 6$"):
        train(plan(), tmp_path, checkpoint_seconds=1e-9)
    assert newest_checkpoint(tmp_path / "checkpoints").step == 6


def test_one_failure_ends_the_others(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_sequence_runs, "_begin", lambda *arguments: (_ for _ in ()).throw(OSError("no disk")))
    assert "no disk" in fails(capsys, *TINY[1:], "--cores", "diagonal", "--seeds", "3", "--out", tmp_path / "x", code=1)


def test_seconds_are_added_over_all_starts(tmp_path, compared):
    """A start is known by its own wait for the first update, also where it went on for longer than the one before."""
    run = read_run(compared / "diagonal" / "seed-0")
    told = ((1, 5.0, 2.0), (2, 6.0, 2.0), (2, 1.0, 0.5), (9, 4.0, 0.5), (12, 7.0, 0.6))
    (tmp_path / "timing.jsonl").write_text(
        "".join(
            f'{{"step":{step},"seconds":{seconds},"first_update_seconds":{first}}}\n' for step, seconds, first in told
        )
    )
    moved = type(run)(path=tmp_path, config=run.config, manifest=run.manifest, metrics=run.metrics, torn=False)
    assert numbers(moved)["seconds"] == 17.0


@pytest.mark.parametrize(
    ("shares", "reached"),
    [([0.5, 0.99, 1.0], 2), ([1.0, 0.5, 0.995], 3), ([0.5, 0.6, 0.98], None), ([0.99, 1.0, 1.0], 1)],
)
def test_when_a_task_is_learned(shares, reached, compared):
    run = read_run(compared / "diagonal" / "seed-0")
    rows = [
        {"step": step, "evaluation/accuracy": share, "evaluation/loss": 0.0} for step, share in enumerate(shares, 1)
    ]
    made = type(run)(path=run.path, config=run.config, manifest=run.manifest, metrics=rows, torn=False)
    assert numbers(made)["reached"] == reached


# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cores", "mamba", "mambo"), "core is 'mambo': must be one of mamba, s4d, diagonal, lstm"),
        (("--cores", "lstm", "lstm"), "--cores names lstm more than once"),
        (("--steps", "0"), "--steps is 0, must be at least 1"),
        (("--seeds", "0"), "--seeds is 0, must be at least 1"),
        (("--seed", "-1"), "--seed is -1, must be at least 0"),
        (("--log-every", "0"), "--log-every is 0, must be at least 1"),
        (("--checkpoint-seconds", "0"), "--checkpoint-seconds is 0.0, must be positive"),
        (("--batch", "0"), "batch is 0: must be at least 1"),
        (("--width", "0"), "width is 0: must be at least 1"),
        (("--learning-rate", "-1"), "learning_rate is -1.0: must be positive"),
        (("--positions", "70000"), "a sequence has 70,004 steps: must be at most 65,536"),
        (("--tokens", "1"), "tokens is 1: must be at least 2"),
    ],
)
def test_bad_numbers(arguments, words, tmp_path, capsys):
    assert words in fails(capsys, "selective-copying", *arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (None, (), "cannot be opened: No such file"),
        (b"", (), "is empty: there is nothing to learn"),
        (b"x" * 5000, (), "has one kind of character only, 'x'"),
        (b"ab\xff" * 2000, (), "byte 2 is no UTF-8: not a text"),
        (b"ab" * 100, (), "has 200 characters: its last tenth, which is held out, must be longer than a window of 128"),
        (b"ab" * 1000, ("--length", "100000"), "a sequence has 100,000 steps: must be at most 65,536"),
        (b"ab" * 1000, ("--characters", "-1"), "--characters is -1, below 0"),
        (b"ab" * 1000, ("--temperature", "-1"), "temperature is -1.0"),
    ],
)
def test_files_that_are_no_text(content, arguments, words, tmp_path, capsys):
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    message = fails(capsys, "text", path, *arguments, "--out", tmp_path / "out")
    assert words in message
    assert not (tmp_path / "out").exists()


def test_digits_without_a_file(tmp_path, capsys):
    assert "cannot be opened" in fails(capsys, "digits", tmp_path / "none.csv", "--out", tmp_path / "out")


def test_folders_that_hold_something_else(compared, tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert "holds letter.txt: not the folder of a comparison" in fails(capsys, *TINY[1:], "--out", tmp_path)
    assert "exists and is not a folder" in fails(capsys, *TINY[1:], "--out", tmp_path / "letter.txt")
    assert "holds checkpoints, config.json, " in fails(capsys, *TINY[1:], "--out", compared / "diagonal" / "seed-0")
    before = {path: path.stat().st_mtime_ns for path in sorted(compared.rglob("*"))}
    for change, words in ((("--steps", "30"), "steps is 20, not 30"), (("--positions", "5"), '"positions": 4')):
        message = fails(capsys, *TINY[1:], *change, "--cores", "diagonal", "--out", compared)
        assert "is a run of another comparison" in message
        assert words in message
    assert {path: path.stat().st_mtime_ns for path in sorted(compared.rglob("*"))} == before
    with pytest.raises(RecordError, match="another configuration"):
        train(plan(recipe=Recipe(steps=30, batch=3, warmup=1)), compared / "diagonal" / "seed-0")
    with pytest.raises(RecordError, match="no checkpoint"):
        load_stack(plan(), tmp_path)


def test_unknown_tasks_and_help(capsys):
    for arguments, code in ((["sequence", "sorting"], 2), (["sequence", "induction", "--help"], 0)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    assert "--cores" in capsys.readouterr().out
