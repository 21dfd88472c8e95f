"""Episodes of a run are whole, reproducible, and written as records."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from suasion.cli import main
from suasion.records import RecordError, read_episode
from suasion.runs import ConfigError, load_run, measures, play_run, write_episodes


def test_episodes_are_whole_and_reproducible(trained: Path) -> None:
    run = load_run(trained)
    episodes = play_run(run, episodes=2, seed=5)
    again = play_run(trained, episodes=2, seed=5)
    assert len(episodes) == 2
    for one, other in zip(episodes, again, strict=True):
        assert one.actions.shape == (6, 2)
        assert one.boards.shape == (7, 1, 2)
        np.testing.assert_array_equal(one.actions, other.actions)
        assert (one.seed, one.step, one.game) == (5, 48, "prisoners-dilemma")
    payoffs = np.array([[(3, 3), (0, 4)], [(4, 0), (1, 1)]], np.float32)
    np.testing.assert_array_equal(episodes[0].rewards, payoffs[tuple(episodes[0].actions.T)])
    other = play_run(run, episodes=2, seed=6)
    assert any((a.actions != b.actions).any() for a, b in zip(episodes, other, strict=True))
    greedy = play_run(run, episodes=2, seed=5, greedy=True)
    assert len(greedy) == 2


def test_episodes_are_written_and_measured(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(trained, path)
    run = load_run(path)
    episodes = play_run(run, episodes=2)
    paths = write_episodes(run, episodes)
    assert [path.name for path in paths] == [f"step-000000000048-seed-0-{k}.suasion" for k in (0, 1)]
    for file, episode, measured in zip(paths, episodes, measures(episodes), strict=True):
        np.testing.assert_array_equal(read_episode(file).rewards, episode.rewards)
        assert measured["return"].value == episode.rewards.sum()


def test_what_cannot_be_played(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="episodes is 0"):
        play_run(trained, episodes=0)
    with pytest.raises(ConfigError, match="seed is -1"):
        play_run(trained, seed=-1)
    with pytest.raises(RecordError, match=r"config\.json"):
        load_run(tmp_path)
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*"))
    with pytest.raises(RecordError, match="has no checkpoint yet"):
        load_run(tmp_path / "run")


def test_films_by_their_ending(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    assert main(["render", str(run), "--out", str(tmp_path / "new folder" / "film.png")]) == 0
    assert (tmp_path / "new folder" / "film.png").read_bytes().startswith(b"\x89PNG")
    assert main(["render", str(run), "--to", "apng", "--episodes", "2", "--out", str(tmp_path / "films")]) == 0
    assert [path.suffix for path in (tmp_path / "films").iterdir()] == [".png", ".png"]
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    for options, words in (
        (["--out", str(tmp_path / "film.mp4")], "install suasion[video]"),
        (["--to", "mp4"], "install suasion[video]"),
        (["--to", "gif", "--out", str(tmp_path / "film.mp4")], "name different kinds of film"),
        (["--episodes", "2", "--out", str(tmp_path / "film.gif")], "is one file, for 2 episodes"),
    ):
        assert main(["render", str(run), *options]) == 2
        assert words in capsys.readouterr().err


def test_a_run_of_a_newer_format(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace('"format": 1', '"format": 2'))
    for command in ("evaluate", "render", "influence"):
        assert main([command, str(run)]) == 2
        assert "config.json: format 2, newer than this program (it reads 1)" in capsys.readouterr().err
