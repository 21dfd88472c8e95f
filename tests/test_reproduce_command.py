"""`suasion reproduce`: what its columns are, how it keeps to a budget, and its table."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suasion import cli
from suasion._reproduce_command import read_time
from suasion._reproduce_runs import BOUND, Job, TrainingFailed, train_all
from suasion._reproduce_table import Result, columns_table, last_reward, result, seeds_table
from suasion.records import RecordError, RunPaths, create_run, save_checkpoint
from suasion.runs import build, configure
from suasion.runs._table4 import GAMES, PUBLISHED, SCALES, TABLE, TITLES, arguments


@dataclasses.dataclass(frozen=True, kw_only=True)
class Script(Job):
    """A run that is a Python program; it is finished where it has left a file."""

    program: str

    @property
    def command(self):
        return (sys.executable, "-c", BOUND + self.program, str(self.path))

    @property
    def finished(self):
        return (self.path / "done").exists()


FINISH = """
import pathlib, sys
path = pathlib.Path(sys.argv[1]); path.mkdir(parents=True, exist_ok=True); (path / "done").touch()
"""
WAIT = """
import pathlib, signal, sys, time
path = pathlib.Path(sys.argv[1]); path.mkdir(parents=True, exist_ok=True)
def stop(*_):
    (path / "checkpoint").touch(); sys.exit(0)
signal.signal(signal.SIGTERM, stop); (path / "begun").touch(); time.sleep(120)
"""
FAIL = "import sys; sys.exit('there is no river')"


def scripts(out, *programs):
    return [Script(arguments=(), seed=seed, out=out, program=program) for seed, program in enumerate(programs)]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("game", GAMES)
def test_every_column_is_a_run(game, scale):
    found = {}
    for column in TITLES:
        words = ["train", *arguments(game, column, scale), "--seed", "7"]
        command = cli.tyro.extras.subcommand_cli_from_dict(
            cli.COMMANDS, args=words, config=(cli.tyro.conf.OmitArgPrefixes, cli.tyro.conf.FlagCreatePairsOff)
        )
        config = command.configuration(7)
        assert (config.game, config.size, config.agents) == (game, scale, 3 if scale == "small" else 5)
        found[column] = config
    assert len({config.digest for config in found.values()}) == len(TITLES)
    assert len({config.steps for config in found.values()}) == 1
    modes = {column: config.influence and config.influence.mode for column, config in found.items()}
    assert modes["none"] is modes["inequity"] is None
    assert modes["basic"] == modes["visible"] == "basic"
    assert modes["communication"] == modes["channel"] == "communication"
    assert modes["model"] == modes["unpaid"] == "model"
    for column in ("visible", "channel", "unpaid"):
        assert dict(found[column].rewards)["influence"] == "0"
    assert found["communication"].policy.vocabulary >= 2
    assert dict(found["inequity"].rewards)["inequity(envy=5.0,guilt=0.05,decay=0.96525)"] == "1"


def test_the_publication_s_settings_of_messages():
    config = configure(
        "cleanup",
        size="paper",
        influence={"mode": "communication"},
        rewards=("extrinsic-action=1", "extrinsic-message=0", "influence=0@0,2.752@1e6"),
        policy={"vocabulary": 9},
        learner={"message_weight": 0.0758, "message_entropy_weight": ".000789"},
    )
    heads = {name: term.heads for name, term, _ in build(config).rewards.terms if name != "influence"}
    assert heads == {"extrinsic-action": ("action",), "extrinsic-message": ("message",)}
    assert set(PUBLISHED) == set(GAMES)
    assert all(tuple(PUBLISHED[game]) == TABLE for game in GAMES)


def test_jobs_are_done_once_and_in_order(tmp_path):
    told = []
    jobs = scripts(tmp_path, FINISH, FINISH, FINISH)

    def ended(job, cpu, finished):
        told.append((job.seed, cpu > 0, finished))

    assert train_all(jobs, processes=1, seconds=60.0, ended=ended)
    assert told == [(seed, True, True) for seed in range(3)]
    assert train_all(jobs, processes=2, seconds=60.0, ended=ended)  # all there already
    assert len(told) == 3
    assert not list(tmp_path.glob("*.log"))


def test_when_the_time_is_over_runs_write_their_checkpoints(tmp_path):
    told, jobs = [], scripts(tmp_path, FINISH, WAIT, WAIT, FINISH)
    began = time.monotonic()
    complete = train_all(
        jobs, processes=2, seconds=3.0, ended=lambda job, cpu, finished: told.append((job.seed, finished))
    )
    assert not complete
    assert time.monotonic() - began < 60
    assert sorted(told) == [(0, True), (1, False), (2, False)]
    assert all((jobs[k].path / "checkpoint").exists() for k in (1, 2))
    assert not jobs[3].path.exists()


def test_a_run_that_fails_says_why_and_stops_the_others(tmp_path):
    jobs = scripts(tmp_path, WAIT, FAIL)
    with pytest.raises(TrainingFailed, match=r"(?s)seed 1 ended with 1:\n.*there is no river"):
        train_all(jobs, processes=2, seconds=60.0, ended=lambda *_: None)
    assert (jobs[0].path / "checkpoint").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="children die with their parent on Linux alone")
def test_runs_die_with_a_killed_parent(tmp_path):
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_reproduce_command import WAIT, scripts, train_all
train_all(scripts(Path({str(tmp_path)!r}), WAIT), processes=1, seconds=60.0, ended=lambda *_: None)
"""
    parent = subprocess.Popen([sys.executable, "-c", program])
    path = tmp_path / "seed-0"
    _wait_for(path / "begun")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _wait_for(path / "checkpoint")


def _wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def a_result(reward, *, finished=True, dead=(), **measures):
    return Result(rows=(), steps=96_000, finished=finished, reward=reward, measures=measures, dead=dead)


def test_the_table_is_ordered_and_counts_dead_agents():
    results = {
        ("none", 0): a_result(10.0, fires=3.0),
        ("none", 1): a_result(12.0, fires=5.0),
        ("model", 0): a_result(30.0, influence=0.25, simulated=0.5),
        ("model", 1): a_result(20.0, dead=(2,), influence=0.75, simulated=0.5),
        ("model", 2): a_result(99.0, finished=False),
        ("basic", 0): a_result(None, finished=False),
    }
    lines = columns_table(TITLES, {"none": 89}, results).splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == [TITLES[name] for name in ("model", "none", "basic")]
    model, none, basic = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    # Student's t with one degree of freedom: 12.706 and 127.32 deviations of the mean.
    assert model[1:4] == ["2 (+1 under way)", "25.0 ± 63.5 (± 637)", "30.0; n = 1"]
    assert model[4:] == ["-", "0.5", "0.5", "-", ""]
    assert none[1:5] == ["2", "11.0 ± 12.7 (± 127)", "11.0 ± 12.7 (± 127); n = 2", "4"]
    assert none[-1] == "89"
    assert basic[1:4] == ["0 (+1 under way)", "-", "-; n = 0"]
    rows = seeds_table(TITLES, results, {("model", 1): 61.4}).splitlines()[2:]
    assert len(rows) == 6
    assert rows[3] == f"| {TITLES['model']} | 1 | 96,000 | 20.0 | 3 | 61 |"
    assert rows[4] == f"| {TITLES['model']} | 2 | 96,000 | 99.0 |  | 0 |"


def test_the_result_is_that_of_the_last_episodes():
    rows = [{"episode/count": 2, "episode/return": float(k)} for k in range(20)]
    rows[-1] = {"episode/count": 6, "episode/return": 2.0}
    assert last_reward(rows) == (2 * 18.0 + 6 * 2.0) / 8
    assert last_reward([{"episode/count": 0, "episode/return": None}]) is None


def test_times():
    for text, seconds in (("90", 90), ("1.5m", 90), ("2h", 7200), ("3d", 259_200), ("4s", 4)):
        assert read_time(text) == seconds
    for text in ("soon", "", "0", "-3", "1..5", "3w", "9" * 400):
        with pytest.raises(ValueError, match="write seconds, or 90m"):
            read_time(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table5"], "table4"),
        (["table4", "--columns", "none,modle"], "unknown 'modle' (did you mean 'model'?)"),
        (["table4", "--columns", "none,none"], "none is given 2 times"),
        (["table4", "--games", "chess"], "unknown 'chess'"),
        (["table4", "--seeds", "0"], "--seeds 0: must be at least 1"),
        (["table4", "--seed", "-1"], "must lie in 0..2147483647"),
        (["table4", "--budget", "later"], "--budget later"),
        (["table4", "--budget", "0.01", "--games", "harvest"], "too short for one update of any run"),
    ],
)
def test_what_cannot_be_is_refused(words, message, capsys, tmp_path):
    try:
        code = cli.main(["reproduce", *words, "--out", str(tmp_path / "out")])
    except SystemExit as end:
        code = end.code
    assert code == 2
    said = capsys.readouterr()
    assert message in said.err + said.out


def test_a_run_without_its_last_checkpoint_is_not_finished(tmp_path):
    """As when the process dies between the last row and the checkpoint after it."""
    path = tmp_path / "seed-0"
    create_run(path, {"steps": 64}, {})
    folder = RunPaths(path).checkpoints
    save_checkpoint(folder, 0, {}, {})
    RunPaths(path).metrics.write_text('{"step": 32}\n{"step": 64}\n')
    job = Job(arguments=(), seed=0, out=tmp_path)
    assert not job.finished
    last = save_checkpoint(folder, 64, {}, {})
    assert job.finished
    last.write_bytes(last.read_bytes()[:-1])
    assert not job.finished
    (folder / "checkpoint-000000000000.suasion").unlink()
    with pytest.raises(RecordError, match="none of 1 checkpoints can be used"):
        _ = job.finished


def test_the_publication_s_model_is_paid_for_whom_it_sees():
    for game, seen_alone in (("cleanup", False), ("harvest", True)):
        words = arguments(game, "model", "paper")
        assert "--visible-only" in words
        assert ("--model-visible-only" in words) == seen_alone
        assert "--visible-only" in arguments(game, "simulator", "paper")


@pytest.mark.slow
def test_a_killed_table_goes_on_to_the_same_numbers(tmp_path):
    """Kill the whole command while it trains; the same command again ends in the table of one that was left alone."""
    words = ["table4", "--games", "harvest", "--columns", "none,communication", "--seeds", "1", "--steps", "48000"]
    command = [sys.executable, "-m", "suasion", "reproduce", *words, "--episodes", "2", "--budget", "20m"]
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    killed = subprocess.Popen([*command, "--out", str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
    metrics = tmp_path / "killed" / "harvest" / "none" / "seed-300" / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not metrics.exists() or metrics.stat().st_size < 2_000:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    time.sleep(5)
    subprocess.run([*command, "--out", str(tmp_path / "killed")], check=True, stdout=subprocess.DEVNULL)
    for column in ("none", "communication"):
        run = Path("harvest") / column / "seed-300"
        one, other = ((tmp_path / name / run) for name in ("whole", "killed"))
        assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
        assert json.loads((one / "evaluation.json").read_text()) == json.loads((other / "evaluation.json").read_text())
    job = Job(arguments=arguments("harvest", "none", "small"), seed=300, out=tmp_path / "whole" / "harvest" / "none")
    found = result(job, 2)
    assert found is not None
    assert found.steps >= 48_000
