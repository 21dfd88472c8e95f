"""The command line: what a newcomer types, rightly and wrongly."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from suasion import __version__, _demo_commons
from suasion.cli import COMMANDS, main
from suasion.records import find_runs, read_episode, read_run
from suasion.runs import play_run, train

# The shapes of tests/runs, so that nothing is compiled twice.
TINY = (
    *("prisoners-dilemma", "--horizon", "6", "--steps", "48", "--environments", "2", "--rollout", "4"),
    *("--epochs", "1", "--minibatches", "1", "--width", "4"),
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "suasion", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
        timeout=300,
    )


def fails(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one message of a command that fails with this exit code."""
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert shown.err.startswith("suasion: ")
    return shown.err


def test_train_plot_render(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my runs ü"
    assert main(["train", *TINY, "--seeds", "2", "--seed", "5", "--reward", "shared=1", "--out", str(out)]) == 0
    assert "done at step 48" in capsys.readouterr().out
    assert [path.name for path in find_runs(out)] == ["seed-5", "seed-6"]
    assert read_run(out / "seed-6").config["rewards"] == [["shared", "1"]]
    metrics = (out / "seed-5" / "metrics.jsonl").read_bytes()

    assert main(["plot", str(out), "--out", str(tmp_path / "pictures"), "--metric", "episode/return"]) == 0
    names = [str(tmp_path / "pictures" / f"curves.{ending}") for ending in ("png", "svg", "pdf")]
    assert capsys.readouterr().out.splitlines() == names
    with Image.open(tmp_path / "pictures" / "curves.png") as image:
        assert image.width > 300

    assert main(["render", str(out / "seed-5"), "--episodes", "2", "--out", str(tmp_path / "gifs")]) == 0
    for name in ("step-000000000048-seed-0-0", "step-000000000048-seed-0-1"):
        with Image.open(tmp_path / "gifs" / f"{name}.gif") as image:
            assert image.n_frames == 7
        assert (out / "seed-5" / "episodes" / f"{name}.suasion").exists()

    # The same command again goes on: there is nothing left to do.
    assert main(["train", *TINY, "--seed", "5", "--reward", "shared=1", "--out", str(out)]) == 0
    assert (out / "seed-5" / "metrics.jsonl").read_bytes() == metrics
    message = fails(capsys, "train", *TINY, "--seed", "5", "--reward", "shared=0.5", "--out", str(out))
    assert "another configuration" in message
    assert "rewards" in message
    assert "holds 2 runs; name one" in fails(capsys, "render", str(out))
    assert "no metric" not in fails(capsys, "plot", str(out), "--metric", "episode/retrun")


def test_who_influenced_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *TINY, "--influence", "model", "--model-width", "4", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    matrix = tmp_path / "pictures" / "who.svg"
    assert main(["influence", str(tmp_path), "--episodes", "2", "--picture", str(matrix)]) == 0
    shown = capsys.readouterr().out
    assert "over 2 episodes" in shown
    assert "| influence 1 (nats a step) |" in shown
    assert "| simulated 2 (nats a step) |" in shown
    assert " would do in step " in shown
    kept = tmp_path / "seed-0" / "influence.md"
    assert kept.read_text() in shown
    episode = read_episode(tmp_path / "seed-0" / "episodes" / "step-000000000048-seed-0-1.suasion")
    assert episode.influence is not None
    assert episode.simulated is not None
    page = matrix.read_text(encoding="utf-8")
    assert page.count('id="cell-0-1"') == 1
    assert ">2 episodes<" in page
    drawn = tmp_path / "pictures" / "again.svg"
    for kind in ("influence", "simulated"):
        assert main(["plot", str(tmp_path), "--matrix", kind, "--out", str(drawn), "--width", "3.3"]) == 0
        assert 'width="237.6pt"' in drawn.read_text(encoding="utf-8")
    assert main(["render", str(tmp_path)]) == 0
    drawn = read_episode(tmp_path / "seed-0" / "episodes" / "step-000000000048-seed-0-0.suasion")
    assert drawn.influence is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trian",), "unknown command 'trian' (did you mean 'train'?)"),
        (("train", "harvets"), "did you mean harvest"),
        (("train", "missing-map.txt"), "cannot read missing-map.txt"),
        (("train", "harvest", "--agents", "40"), "spawn cells"),
        (("train", "harvest", "--view", "4"), "view 4"),
        (("train", "chicken", "--agents", "3"), "does not take 'agents'"),
        (("train", "harvest", "--reward", "sharde=1"), "did you mean 'shared'"),
        (("train", "harvest", "--reward", "shared"), "write NAME=WEIGHT"),
        (("train", "harvest", "--reward", "shared=1/1"), "2 weights for 3 agents"),
        (("train", "harvest", "--learning-rate", "fast"), "learning-rate: cannot read 'fast'"),
        (("train", "harvest", "--environments", "3"), "do not divide into 2 minibatches"),
        (("train", "harvest", "--option", "hit_cost"), "write NAME=NUMBER"),
        (("train", "harvest", "--option", "hit_cots=1"), "did you mean 'hit_cost'"),
        (("train", "recall", "--option", "delay=1", "--option", "delay=2"), "given more than once"),
        (("train", "recall", "--influence", "model"), "nobody to influence"),
        (("train", "harvest", "--divergence", "kl"), "divergence: what for?"),
        (("train", "harvest", "--influence", "basic", "--influencers", "a"), "--influencers a: write agents' numbers"),
        (("train", "harvest", "--influence", "basic", "--influencers", "0,1,2"), "nobody is left"),
        (("train", "harvest", "--reward", "influence=1"), "needs a mode of influence"),
        (("train", "recall", "--seeds", "0"), "--seeds is 0"),
        (("train", "recall", "--seed", "-1"), "seed is -1"),
        (("train", "recall", "--steps", "0"), "steps is 0"),
        (("train", "recall", "--checkpoint-seconds", "0"), "--checkpoint-seconds is 0"),
        (("plot", "nowhere"), "no such directory"),
        (("plot", "nowhere", "--width", "0"), "--width is 0.0, must be 1.5 to 40"),
        (("plot", "nowhere", "--matrix", "influence", "--metric", "x"), "--metric and --matrix: one of the two"),
        (("influence", "nowhere", "--picture", "a.gif"), "must be one of .png, .svg, .pdf"),
        (("render", "nowhere"), "no such directory"),
        (("influence", "nowhere"), "no such directory"),
        (("demo", "--seeds", "0"), "--seeds is 0"),
    ],
)
def test_bad_input_is_refused_in_words(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in fails(capsys, *arguments)
    assert not list(tmp_path.iterdir())  # and nothing is left behind


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("@@@@\n@PA@\n@@@", "row 2"),
        ("@@@@\n@PAX\n@@@@", "(1, 3)"),
        ("@@@@\n@PA \n@@@@", "(1, 3)"),
        ("game: chess\n@@@@\n@PA@\n@@@@", "chess"),
    ],
)
def test_bad_maps_are_refused_with_their_place(
    content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "map.txt"
    file.write_text(content)
    assert words in fails(capsys, "train", str(file), "--agents", "1")


@pytest.mark.parametrize(
    "arguments", [("train",), ("train", "recall", "--core", "lsmt"), ("train", "recall", "--sede", "3")]
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "suasion train --help" in capsys.readouterr().err


def test_failures_while_running_exit_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert "Not a directory" in fails(capsys, "train", *TINY, "--out", str(file / "x"), code=1)

    from suasion import runs

    def explode(*_: Any, **__: Any) -> None:
        raise runs.TrainingError("action/value_loss[0] is not a finite number at step 8")

    monkeypatch.setattr(runs, "train", explode)
    assert "action/value_loss[0]" in fails(capsys, "train", *TINY, "--out", str(tmp_path), code=1)


def test_debug_shows_where(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("SUASION_DEBUG", "1")
    assert main(["train", "harvets"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_leaves_a_checkpoint_and_says_how_to_go_on(
    number: signal.Signals, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    from suasion import runs

    def watched(*arguments: Any, watch: Any, **options: Any) -> Any:
        def and_kill(status: runs.Status) -> None:
            watch(status)
            if status.step == 16 and status.phase == "training":
                os.kill(os.getpid(), number)

        return train(*arguments, watch=and_kill, **options)

    monkeypatch.setattr(runs, "train", watched)
    assert main(["train", *TINY, "--out", str(tmp_path)]) == code
    assert "stopped at step 16; the same command goes on from there" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "seed-0" / "checkpoints").iterdir()][-1:] == [
        "checkpoint-000000000016.suasion"
    ]


def test_show_prints_the_whole_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["train", "harvest", "--core", "gru", "--lambda", "0.8", "--last-actions", "yes", "--shared", "--show"])
        == 0
    )
    config = json.loads(capsys.readouterr().out)
    assert config["policy"]["core"] == "gru"
    assert config["policy"]["shared"] is True
    assert config["policy"]["last_actions"] is True
    assert config["learner"]["lambda_"] == 0.8


def test_games_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    from suasion.games import catalogue

    assert main(["games"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{name} " in shown for name in catalogue())


def test_help_and_version_are_quick_and_need_no_jax() -> None:
    script = (
        "import sys; from suasion.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name.split('.')[0] in ('jax', 'equinox', 'optax', 'matplotlib') for name in sys.modules))"
    )
    for arguments in (["--help"], ["train", "--help"], ["--version"], ["trian"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert all(command in run("--help").stdout for command in COMMANDS)
    assert run("--version").stdout == f"suasion {__version__}\n"


def test_plot_needs_no_jax(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder).mkdir()
    for name, content in (("config", {"seed": 0}), ("manifest", {})):
        (folder / f"{name}.json").write_text(json.dumps({"suasion": name, "format": 1, name: content}))
    (folder / "metrics.jsonl").write_text('{"step":8,"episode/return":1.5}\n{"step":16,"episode/return":2.5}\n')
    script = (
        "import sys; sys.modules.update(jax=None, equinox=None, optax=None)\n"
        "from suasion.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "plot", str(folder), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "curves.png").exists()


def rows(values: list[float | None]) -> list[dict[str, Any]]:
    return [
        {"step": 8 * (k + 1), "episode/return": value, "episode/apples_left": value} for k, value in enumerate(values)
    ]


def test_the_demo_says_what_the_numbers_say() -> None:
    rise = [None, *np.linspace(1, 30, 30).tolist()]
    fall = np.linspace(30, 20, 30).tolist()
    # The mean of ten rows is largest where it holds 28, 29, 30 and the first seven of the fall: up to row 38.
    peak, end = np.mean([28, 29, 30, *fall[:7]]), np.mean(fall[-10:])
    said = _demo_commons._course([rows([*rise, *fall])])
    assert f"best at step 304 with {peak:.1f} and then lost {1 - end / peak:.0%} of it, ending at {end:.1f}" in said
    assert f"from {peak:.1f} then to {end:.1f} at the end" in said
    assert "no collapse in this run" in _demo_commons._course([rows(rise)])
    assert "no curve" in _demo_commons._course([rows([None, None])])
    assert "end at 4.0" in _demo_commons._course([rows([None, 3.0, 4.0])])


@pytest.mark.slow
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path), "--steps", "48000", "--episodes", "4"]) == 0
    shown = capsys.readouterr().out
    for name in ("curves.png", "selfish.gif", "shared.gif", "table.md"):
        assert str(tmp_path / name) in shown
    with Image.open(tmp_path / "shared.gif") as image:
        assert image.n_frames == 251
    selfish = np.mean([e.rewards.sum() for e in play_run(tmp_path / "runs/selfish/seed-0", episodes=4)])
    assert f"selfish agents together get {selfish:.1f} an episode" in shown
    assert "| selfish | 4 |" in (tmp_path / "table.md").read_text()
    for name in ("box.png", "box-influence.gif", "box-without.gif", "box.md"):
        assert str(tmp_path / name) in shown
    assert "if it is paid for influence" in shown
    assert "| without | 4 |" in (tmp_path / "box.md").read_text()
