"""Runs with influence: files, going on, and what was done to whom."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from suasion._communication_table import communication_table
from suasion.cli import main
from suasion.records import RecordError, read_counterfactuals, read_episode, read_metrics
from suasion.runs import Observed, RunConfig, configure, observe_run, train, write_episodes
from suasion.runs._play import load_run, played_run


def _box(mode: str, **changes: Any) -> RunConfig:
    return configure(
        "box-trapped",
        horizon=6,
        steps=48,
        influence={"mode": mode},
        rewards=("extrinsic=when(reward/influence[0]>=0,2):0@0,1@16/1", "influence=10/0"),
        model={"hidden": (4,), "width": 4} if mode == "model" else None,
        policy={"hidden": (4,), "width": 4},
        learner={"environments": 2, "steps": 4, "epochs": 1, "minibatches": 1, "staggered": True, "shards": 1},
        **changes,
    )


@pytest.fixture(scope="module", params=["model", "basic", "simulator"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp(request.param) / "seed-0"
    train(_box(request.param), path)
    return request.param, path


def test_metrics_are_there_and_documented(run: tuple[str, Path], documented: Callable[[str], bool]) -> None:
    mode, path = run
    rows = read_metrics(path / "metrics.jsonl").rows
    assert {"influence/before_opened", "influence/on_agent_2", "reward/influence"} <= rows[0].keys()
    assert ("model/cross_entropy" in rows[0]) == (mode == "model")
    for key in sorted({key for row in rows for key in row}):
        assert documented(key), f"{key} is not explained in docs/metrics.md"
    # Nobody opens anything in a few steps' time for ever: some row has no opening, and says so.
    assert any(row["influence/at_opened"] == [None, None] for row in rows)


def test_a_stopped_run_goes_on_to_the_same_bytes(run: tuple[str, Path], tmp_path: Path) -> None:
    mode, path = run
    turns = iter(range(10))
    train(_box(mode), tmp_path / "seed-0", stop=lambda: next(turns) >= 2)
    train(_box(mode), tmp_path / "seed-0")
    assert (tmp_path / "seed-0" / "metrics.jsonl").read_bytes() == (path / "metrics.jsonl").read_bytes()
    newest = [sorted((folder / "checkpoints").iterdir())[-1] for folder in (path, tmp_path / "seed-0")]
    assert newest[0].name == newest[1].name
    assert newest[0].read_bytes() == newest[1].read_bytes()


def test_who_influenced_whom(run: tuple[str, Path], tmp_path: Path) -> None:
    mode, path = run
    shutil.copytree(path, tmp_path / "seed-0")
    opened = load_run(tmp_path / "seed-0")
    seen = observe_run(opened, episodes=3)
    again = observe_run(opened, episodes=3)
    assert seen.measures == again.measures
    assert set(seen.titles) <= set(seen.measures[0])
    for name, wanted in (
        ("influence_1", True),
        ("simulated_1", mode != "basic"),
        ("simulated_before_opened", mode != "basic"),
    ):
        assert (seen.measures[0].get(name) is not None) == wanted, name
    written = write_episodes(opened, seen.episodes)
    episode = read_episode(written[0])
    np.testing.assert_array_equal(episode.influence, seen.episodes[0].influence)
    assert (episode.simulated is None) == (mode == "basic")
    assert episode.influence is not None
    assert episode.influence.shape == (6, 2, 2)
    assert not episode.influence[:, 1].any()  # the trapped agent is no influencer
    if mode == "simulator":
        np.testing.assert_array_equal(episode.influence, episode.simulated)
    assert seen.measures[0]["influence_1"] == pytest.approx(float(episode.influence[:, 0].sum(-1).mean()), abs=1e-9)


def test_agents_that_send_messages(tmp_path: Path, documented: Callable[[str], bool]) -> None:
    """What is logged, goes on and is measured of a run with influence by messages."""
    config = configure(
        "signalling",
        horizon=6,
        steps=48,
        influence={"mode": "communication", "marginal": "average"},
        rewards=("extrinsic-action=1", "extrinsic-message=0.5", "influence=1"),
        policy={"hidden": (4,), "width": 4, "vocabulary": 3},
        learner={"environments": 2, "steps": 6, "epochs": 1, "minibatches": 1, "shards": 1},
    )
    assert RunConfig.from_json(config.to_json()) == config
    train(config, tmp_path / "seed-0")
    rows = read_metrics(tmp_path / "seed-0" / "metrics.jsonl").rows
    assert {"reward/influence/message", "reward/extrinsic-message/message", "message/entropy"} <= rows[0].keys()
    for key in sorted({key for row in rows for key in row}):
        assert documented(key), f"{key} is not explained in docs/metrics.md"
    seen = observe_run(tmp_path / "seed-0", episodes=3, counterfactuals=True)
    assert seen.communication is not None
    _messages_are_tabled(tmp_path / "seed-0", seen)
    assert seen.communication.influential is not None
    assert [speaker.reason for speaker in seen.communication.everywhere.consistency.speakers] == ["", ""]
    for episode in seen.episodes:
        assert episode.messages is not None
        assert set(np.unique(episode.messages)) <= {0, 1, 2}
        assert episode.influence is not None
        assert not episode.influence[-1].any()  # the last message is never read
    table = communication_table(seen.communication)
    assert table.count("\n| speaker consistency") == 2
    assert "message and another's next action, nats, influential moments" in table
    for changes, message in (
        ({"policy": {"vocabulary": 0}}, "vocabulary is 0, must be 2 or more"),
        ({"policy": {"vocabulary": 1}}, "vocabulary is 1"),
        ({"policy": {}, "influence": None}, "reward extrinsic-message pays messages, but there are none"),
    ):
        given: dict[str, Any] = {"influence": {"mode": "communication"}, "rewards": ("extrinsic-message=1",)}
        with pytest.raises(ValueError, match=message):
            configure("signalling", **(given | changes))
    with pytest.raises(ValueError, match="recall has one agent: there is nobody to read its messages"):
        configure("recall", policy={"vocabulary": 2})


def _messages_are_tabled(path: Path, seen: Observed) -> None:
    """Influence is the divergence of the spoken row from the marginal, and that what all three say on average."""
    opened = load_run(path)
    played = played_run(opened, episodes=3, seed=0, greedy=False)
    says = np.asarray(jax.nn.softmax(played.trajectory.logits["message"])).mean((0, 1))
    for episode, file in zip(seen.episodes, write_episodes(opened, seen.episodes), strict=True):
        read = read_episode(file)
        assert (read.varied, read.marginal) == ("message", "average")
        assert read.moments is not None
        assert read.conditionals is not None
        assert read.marginals is not None
        assert read.influence is not None
        assert read.messages is not None
        assert len(read.moments) == (episode.influence > 0).sum() > 0
        t, k, j, then = read.moments.T
        assert (then == t + 1).all()
        assert read.conditionals.shape[1:] == (3, len(read.actions_names))
        np.testing.assert_allclose(np.einsum("mc,mca->ma", says[k], read.conditionals), read.marginals, atol=1.1)
        said = read.conditionals[np.arange(len(t)), read.messages[t, k]]
        p, q = (np.maximum(x, 0.5) / 255 for x in (said, read.marginals))
        np.testing.assert_allclose((p * np.log(p / q) - p + q).sum(-1), read.influence[t, k, j], atol=0.02)
        every = read_counterfactuals(file.with_suffix(".counterfactuals"))
        assert (every.varied, every.marginal, every.ahead) == ("message", "average", 1)
        assert every.conditionals.shape == (6, 2, 2, 3, len(read.actions_names))
        assert np.abs(every.conditionals[t, k, j].astype(int) - read.conditionals).max() <= 1
        assert not every.conditionals[-1].any()


def test_a_run_without_influence_is_measured_exactly(trained: Path) -> None:
    seen = observe_run(trained, episodes=2)
    assert "influence_1" not in seen.titles
    exact = seen.measures[0]["simulated_1"]
    assert exact is not None
    assert exact >= -1e-6  # rounding
    assert seen.episodes[0].influence is not None


def test_what_others_would_have_done_is_kept(run: tuple[str, Path], tmp_path: Path) -> None:
    """The most influential moments, with tables; all tables beside the record, equal where both have them."""
    mode, path = run
    shutil.copytree(path, tmp_path / "seed-0")
    opened = load_run(tmp_path / "seed-0")
    seen = observe_run(opened, episodes=2, counterfactuals=True)
    for number, file in enumerate(write_episodes(opened, seen.episodes)):
        episode, beside = read_episode(file), file.with_suffix(".counterfactuals")
        assert episode.influence is not None
        assert episode.moments is not None
        assert episode.conditionals is not None
        assert episode.marginals is not None
        ahead = 0 if mode == "basic" else 1
        kept = episode.influence[tuple(episode.moments[:, :3].T)]
        assert len(kept) == (episode.influence > 0).sum()  # fewer than 100 here
        assert (np.diff(kept) <= 0).all()
        assert (episode.moments[:, 3] == episode.moments[:, 0] + ahead).all()
        np.testing.assert_allclose(episode.conditionals.sum(-1), 255, atol=3)
        everything = read_counterfactuals(beside)
        assert (everything.ahead, everything.seed, everything.agents) == (ahead, 0, episode.agents)
        t, k, j = episode.moments[:, :3].T
        # Two programs of XLA may add in another order: a number on the edge is rounded up by one, down by the other.
        for one, all_of_it in (("conditionals", everything.conditionals), ("marginals", everything.marginals)):
            apart = getattr(episode, one).astype(int) - all_of_it[t, k, j]
            assert np.abs(apart).max() <= 1
        asked = everything.conditionals.any((-1, -2))
        expected = np.zeros_like(asked)
        expected[: 6 - ahead, 0, 1] = True  # the free agent is the only influencer
        np.testing.assert_array_equal(asked, expected)
        assert everything.conditionals.shape == (6, 2, 2, 6, 6)
        assert number < 2
    with pytest.raises(RecordError, match=r"0\.counterfactuals: exists; --force replaces it"):
        observe_run(opened, episodes=2, counterfactuals=True)
    assert main(["influence", str(tmp_path), "--episodes", "2", "--all-counterfactuals"]) == 2
    before = beside.read_bytes()
    observe_run(opened, episodes=2, counterfactuals=True, force=True)
    assert beside.read_bytes() == before
