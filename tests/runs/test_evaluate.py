"""Estimates over episodes, casts of several runs, and the commands around them."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from suasion.cli import main
from suasion.games import make
from suasion.records import RecordError, find_runs, hold_run, is_held, read_episode
from suasion.runs import ConfigError, RunConfig, cast, evaluate_run, load_run, play_run, train
from suasion.runs._cast import Seats, Uniform, _script
from suasion.runs._config import LARGEST_SEED
from suasion.runs._evaluate import bootstrap, further_seeds


@pytest.fixture(scope="module")
def other(tiny: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same game with another seed."""
    path = tmp_path_factory.mktemp("other") / "seed-1"
    train(tiny(seed=1), path)
    return path


def test_estimates_are_means_of_the_episodes(trained: Path) -> None:
    found = evaluate_run(trained, episodes=7, seed=3)
    returns = np.stack([episode.rewards.sum(0) for episode in found.episodes])
    by_name = {(one.measure, one.agent): one for one in found.estimates}
    assert by_name["return", None].mean == pytest.approx(returns.sum(1).mean(), rel=1e-6)
    for agent in (0, 1):
        one = by_name["return", agent]
        assert one.mean == pytest.approx(returns[:, agent].mean(), rel=1e-6)
        assert one.low <= one.mean <= one.high
    assert ("equality", 0) not in by_name
    again = evaluate_run(trained, episodes=7, seed=3)
    assert again.estimates == found.estimates


def test_more_episodes_than_are_played_at_once(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suasion.runs._evaluate.AT_ONCE", 4)
    found = evaluate_run(trained, episodes=10, seed=2)
    assert len(found.episodes) == 10
    seeds = [episode.seed for episode in found.episodes]
    assert seeds == [2] * 4 + [seeds[4]] * 4 + [seeds[8]] * 2
    again = play_run(trained, episodes=4, seed=seeds[4])
    np.testing.assert_array_equal(again[1].actions, found.episodes[5].actions)
    # neighbours share no episodes, and the last seed has further ones too
    next_to_it = evaluate_run(trained, episodes=10, seed=3)
    assert not {episode.seed for episode in next_to_it.episodes} & set(seeds)
    assert len(evaluate_run(trained, episodes=10, seed=LARGEST_SEED).episodes) == 10


def test_further_seeds_are_seeds() -> None:
    found = further_seeds(0, 10_000)
    assert min(found) >= 0
    assert max(found) <= LARGEST_SEED
    assert len(set(found)) == 10_000  # a collision has a probability of 2 %
    assert further_seeds(0, 3) == found[:3]
    assert further_seeds(0, 0) == []


def test_one_episode_has_no_interval(trained: Path) -> None:
    one = next(one for one in evaluate_run(trained, episodes=1).estimates if one.measure == "return")
    assert one.defined == 1
    assert one.mean is not None
    assert one.low is one.high is None


def test_the_bootstrap_covers_the_mean_as_often_as_it_says() -> None:
    # 300 samples of 60: coverage of a percentile interval is a little below 95 %; 90 % is 4 standard errors below
    rng = np.random.default_rng(0)
    hits = [low <= 1.0 <= high for low, high in (bootstrap(rng.exponential(size=60), rng) for _ in range(300))]
    assert 0.90 <= np.mean(hits) <= 0.99
    assert bootstrap(np.full(5, 2.5), rng) == (2.5, 2.5)


def test_a_cast_of_one_run_is_the_run(trained: Path) -> None:
    run = load_run(trained)
    same = cast([(run, 0), (run, 1)])
    assert evaluate_run(same, episodes=5).estimates == evaluate_run(run, episodes=5).estimates


def test_a_cast_takes_each_network_from_where_it_is(trained: Path, other: Path) -> None:
    one, two = load_run(trained), load_run(other)
    mixed = cast([(two, 1), (one, 0)]).learner.params.policy
    for leaf, first, second in zip(
        jax.tree.leaves(mixed),
        jax.tree.leaves(two.learner.params.policy),
        jax.tree.leaves(one.learner.params.policy),
        strict=True,
    ):
        np.testing.assert_array_equal(leaf, np.stack([first[1], second[0]]))


def test_casts_that_cannot_be(trained: Path) -> None:
    run = load_run(trained)
    with pytest.raises(ConfigError, match="1 agents are given; prisoners-dilemma has 2 places"):
        cast([(run, 0)])
    with pytest.raises(ConfigError, match="has the agents 0 to 1, not 2"):
        cast([(run, 0), (run, 2)])
    longer = dataclasses.replace(run.experiment.game, horizon=7)
    policy = dataclasses.replace(run.experiment.policy, spec=longer.spec)
    experiment = dataclasses.replace(run.experiment, game=longer, policy=policy)
    elsewhere = dataclasses.replace(run, experiment=experiment)
    with pytest.raises(ConfigError, match="has another game"):
        cast([(run, 0), (elsewhere, 1)])
    with pytest.raises(ConfigError, match="no agents"):
        cast([])
    with pytest.raises(ConfigError, match="scripts alone"):
        cast(["defect", "defect"])
    with pytest.raises(ConfigError, match="script 'cleaner' plays Cleanup, not prisoners-dilemma"):
        cast([(run, 0), "cleaner"])
    with pytest.raises(ConfigError, match=r"unknown script 'defekt' \(did you mean 'defect'\?\); in prisoners-dilemma"):
        cast([(run, 0), "defekt"])
    with pytest.raises(ConfigError, match="episodes is 0"):
        evaluate_run(run, episodes=0)


def test_scripts_take_their_places(trained: Path) -> None:
    run = load_run(trained)
    alone = evaluate_run(cast([(run, 0), (run, 1)]), episodes=4).episodes
    found = evaluate_run(cast([(run, 0), "defect"]), episodes=4).episodes
    names = found[0].actions_names
    assert all((episode.actions[:, 1] == names.index("defect")).all() for episode in found)
    assert {names[action] for episode in found for action in episode.actions[:, 0]} == {"cooperate", "defect"}
    assert found[0].note.endswith("agent 1: agent 1 of prisoners-dilemma extrinsic seed 0; agent 2: script defect")
    # The pay is that of what was done, and agent 1 saw it: its view shows the joint action of the round before.
    pays = np.array(run.experiment.game.payoffs, np.float32)
    for episode in (*found, *alone):
        np.testing.assert_array_equal(episode.rewards, pays[tuple(episode.actions.T)])
        np.testing.assert_array_equal(episode.boards[1:, 0], episode.actions + 1)
    turned = evaluate_run(cast(["cooperate", (run, 1)]), episodes=4).episodes
    assert all((episode.actions[:, 0] == names.index("cooperate")).all() for episode in turned)


def test_scripts_of_two_kinds_act_on_the_state() -> None:
    game = make("harvest", agents=3)
    forager, chance = _script("sustainable", game), Uniform(game)
    state, key = jax.jit(game.reset)(jax.random.key(1)), jax.random.key(2)
    keys = jax.random.split(key, 2)
    actions = Seats((forager, None, chance))(key, state)
    assert actions.tolist() == [int(forager(keys[0], state)[0]), -1, int(chance(keys[1], state)[2])]
    seen = {int(action) for k in range(40) for action in chance(jax.random.key(k), state)}
    assert seen == set(range(len(game.spec.actions)))


def test_the_command(trained: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run"
    shutil.copytree(trained, path)
    assert main(["evaluate", str(path), "--episodes", "1"]) == 0
    lines = (path / "evaluation.md").read_text().splitlines()
    assert f"| return | {play_run(path)[0].rewards.sum():.3f} |  |  |" in lines
    assert main(["evaluate", str(path), "--episodes", "3"]) == 0
    assert "| return, agent 2 |" in capsys.readouterr().out
    assert (path / "evaluation.md").read_text().startswith("| measure | mean over 3 episodes |")
    assert len(list((path / "episodes").iterdir())) == 3
    together = tmp_path / "together"
    players = ["--agents", f"{path}:0", f"{other}:1", "--episodes", "2"]
    assert main(["evaluate", *players, "--out", str(together)]) == 0
    assert all(read_episode(file).game == "prisoners-dilemma" for file in (together / "episodes").iterdir())
    players = ["--agents", f"{path}:0", "script:random", "--episodes", "2"]
    assert main(["evaluate", *players, "--out", str(tmp_path / "scripted")]) == 0
    for wrong, words in (
        ([], "name a run"),
        (["--agents", f"{path}:0", "script:forager", "--out", "x"], "plays Harvest and Cleanup, not prisoners-dilemma"),
        (players, "--agents needs --out"),
        (["--agents", "run", "--out", "x"], "write RUN:AGENT"),
    ):
        capsys.readouterr()
        assert main(["evaluate", *wrong]) == 2
        assert words in capsys.readouterr().err


def test_runs_are_listed(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(trained, tmp_path / "whole")
    shutil.copytree(trained, tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text("{")
    shutil.copytree(trained, tmp_path / "busy")
    with hold_run(tmp_path / "busy"):
        assert main(["runs", str(tmp_path)]) == 0
    told = capsys.readouterr()
    shown = {line.split()[0]: line for line in told.out.splitlines()[1:]}
    assert str(tmp_path / "broken" / "config.json") in told.err
    assert "done" in shown["whole"]
    assert "48" in shown["whole"]
    assert "running" in shown["busy"]
    assert "damaged" in shown["broken"]


def test_a_run_is_trained_by_one_process_at_a_time(
    trained: Path, tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(trained, path)
    with hold_run(path):
        assert is_held(path)
        with pytest.raises(RecordError, match="another process is training this run"):
            train(tiny(), path)
    assert not is_held(path)
    assert train(tiny(), path).finished
    assert find_runs(path) == [path]
