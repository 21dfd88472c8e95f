"""Equal runs leave equal bytes, interrupted ones too; what goes wrong is named and costs nothing."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from suasion.agents import Finished, Report
from suasion.games import catalogue, make
from suasion.records import RecordError, newest_checkpoint, read_metrics, read_run
from suasion.runs import ConfigError, RunConfig, Status, TrainingError, metrics_row, train
from suasion.runs import _train as module
from suasion.runs._train import non_finite

Tiny = Callable[..., RunConfig]
DOCUMENTED = Path(__file__).parents[2] / "docs" / "metrics.md"


def bytes_of(run: Path) -> tuple[bytes, bytes]:
    """The metrics and the last checkpoint."""
    return (run / "metrics.jsonl").read_bytes(), max((run / "checkpoints").iterdir()).read_bytes()


def test_a_run_is_a_directory(trained: Path, tiny: Tiny) -> None:
    run = read_run(trained)
    assert RunConfig.from_json(run.config) == tiny()
    assert run.manifest["versions"].keys() >= {"suasion", "python", "jax", "jaxlib", "numpy", "equinox", "optax"}
    assert run.manifest["machine"]["backend"] == jax.default_backend()
    assert [row["step"] for row in run.metrics] == [8, 16, 24, 32, 40, 48]
    assert [row["update"] for row in run.metrics] == [1, 2, 3, 4, 5, 6]
    assert len(run.metrics[0]["reward/extrinsic"]) == 2
    times = read_metrics(trained / "timing.jsonl").rows
    assert times[-1]["step"] == 48
    assert times[-1]["seconds"] >= times[-1]["first_update_seconds"] > 0
    assert (trained / "episodes").is_dir()


def test_equal_runs_leave_equal_bytes(trained: Path, tiny: Tiny, tmp_path: Path) -> None:
    train(tiny(), tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(trained)
    train(tiny(seed=1), tmp_path / "other")
    assert bytes_of(tmp_path / "other")[0] != bytes_of(trained)[0]


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_a_stopped_run_goes_on_to_the_same_bytes(trained: Path, tiny: Tiny, tmp_path: Path, turns: int) -> None:
    asked: list[None] = []
    seen: list[Status] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > turns

    first = train(tiny(), tmp_path, stop=stop, watch=seen.append)
    assert (first.step, first.finished, first.resumed) == (8 * turns, False, None)
    assert seen[-1].phase == "stopped"
    second = train(tiny(), tmp_path)
    assert (second.step, second.finished, second.resumed) == (48, True, 8 * turns)
    assert bytes_of(tmp_path) == bytes_of(trained)


def test_a_killed_run_goes_on_to_the_same_bytes(trained: Path, tiny: Tiny, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def watch(status: Status) -> None:
        if status.step == 24:
            raise Killed

    with pytest.raises(Killed):
        train(tiny(), tmp_path, watch=watch)
    assert len(read_metrics(tmp_path / "metrics.jsonl").rows) == 3  # beyond the checkpoint, which is that of step 0
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step":32,"torn')
    assert train(tiny(), tmp_path).resumed == 0
    assert bytes_of(tmp_path) == bytes_of(trained)


def test_a_damaged_checkpoint_is_passed_over(trained: Path, tiny: Tiny, tmp_path: Path) -> None:
    train(tiny(), tmp_path, checkpoint_seconds=1e-9)
    files = sorted((tmp_path / "checkpoints").iterdir())
    assert [file.name for file in files] == [f"checkpoint-{step:012d}.suasion" for step in (32, 40, 48)]
    files[-1].write_bytes(files[-1].read_bytes()[:-1])
    again = train(tiny(), tmp_path)
    assert again.resumed == 40
    assert files[-1].name in again.rejected[0]
    assert bytes_of(tmp_path) == bytes_of(trained)


def test_a_finished_run_is_left_alone(trained: Path, tiny: Tiny) -> None:
    before = bytes_of(trained)
    again = train(tiny(), trained)
    assert (again.resumed, again.finished) == (48, True)
    assert bytes_of(trained) == before


def test_another_configuration_is_refused_with_the_difference(trained: Path, tiny: Tiny) -> None:
    with pytest.raises(RecordError, match=r"another configuration .*: seed: 0 / 3; steps: 48 / 64"):
        train(tiny(seed=3, steps=64), trained)


def test_rows_of_several_updates(trained: Path, tiny: Tiny, tmp_path: Path) -> None:
    train(tiny(log_every=3), tmp_path)
    rows = read_metrics(tmp_path / "metrics.jsonl").rows
    single = read_metrics(trained / "metrics.jsonl").rows
    assert [row["step"] for row in rows] == [24, 48]
    for row, parts in zip(rows, (single[:3], single[3:]), strict=True):
        assert row["episode/count"] == sum(part["episode/count"] for part in parts)
        np.testing.assert_allclose(
            row["action/entropy"], np.mean([part["action/entropy"] for part in parts], 0), rtol=1e-6
        )


def test_a_row_by_hand() -> None:
    spec = make("harvest", agents=2).spec
    finished = Finished(
        episodes=np.float32(2),
        steps=np.float32(10),
        returns=np.array([3, 5], np.float32),
        events={
            "apples": np.array([4, 6], np.float32),
            "fires": np.array([0, 1], np.float32),
            "hits": np.array([0, 0], np.float32),
            "apples_left": np.float32(25),
        },
    )
    none = jax.tree.map(np.zeros_like, finished)
    reports = [Report({"action/kl": np.array([k, 2 * k], np.float32)}, each) for k, each in enumerate((finished, none))]
    row = metrics_row(spec, reports)
    assert row["action/kl"].tolist() == [0.5, 1.0]
    assert row["episode/count"] == 2
    assert row["episode/length"] == 5
    assert row["episode/return"] == 4
    assert row["episode/returns"].tolist() == [1.5, 2.5]
    assert row["episode/apples"] == 5  # both agents', per episode
    assert row["episode/fires"] == 0.5
    assert row["episode/apples_left"] == 2.5  # a level: per step
    empty = metrics_row(spec, [Report({}, none)])
    assert empty["episode/count"] == 0
    assert all(value is None for key, value in empty.items() if key != "episode/count")


def test_causes_are_named_before_what_follows_from_them() -> None:
    bad = np.array([1.0, np.nan])
    row = {
        "step": 8,
        "gradient/policy": np.array([np.inf, 1]),
        "action/value_loss": bad,
        "reward/total": bad,
        "reward/shared": bad,
        "episode/return": None,
        "moa/loss": np.nan,
    }
    assert non_finite(row) == [
        "reward/shared[1]",
        "reward/total[1]",
        "action/value_loss[1]",
        "moa/loss",
        "gradient/policy[0]",
    ]


def test_a_planted_nan_stops_the_run_and_costs_nothing(tiny: Tiny, tmp_path: Path, monkeypatch: Any) -> None:
    update = module._update
    calls: list[None] = []

    def poisoned(experiment: Any, learner: Any) -> Any:
        calls.append(None)
        if len(calls) == 4:
            params = jax.tree.map(lambda x: x * np.float32(np.nan), learner.params)
            learner = learner._replace(params=params)
        return update(experiment, learner)

    monkeypatch.setattr(module, "_update", poisoned)
    with pytest.raises(
        TrainingError, match=r"action/\w+\[0\] is not a finite number after update 4, at step 32 .* that of step 24$"
    ):
        train(tiny(), tmp_path, checkpoint_seconds=1e-9)
    rows = read_metrics(tmp_path / "metrics.jsonl").rows
    assert "action/policy_loss[0]" in rows[-1]["non_finite"]
    found = newest_checkpoint(tmp_path / "checkpoints")
    assert found is not None
    assert found.step == 24
    assert all(np.isfinite(array).all() for array in found.arrays.values() if array.dtype == np.float32)


def test_bad_parameters_are_never_saved(tiny: Tiny, tmp_path: Path, monkeypatch: Any) -> None:
    """The metrics of an update may be finite, and the parameters after it not."""
    update = module._update

    def poisoned(experiment: Any, learner: Any) -> Any:
        learner, report = update(experiment, learner)
        if int(learner.updates) == 2:
            learner = learner._replace(params=jax.tree.map(lambda x: x * np.float32(np.inf), learner.params))
        return learner, report

    monkeypatch.setattr(module, "_update", poisoned)
    with pytest.raises(TrainingError, match=r"^params/policy/.* after update 2, at step 16: .* that of step 8$"):
        train(tiny(), tmp_path, checkpoint_seconds=1e-9)


def test_more_shards_than_devices_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    count = 2 * jax.device_count()
    config = tiny()
    learner = dataclasses.replace(config.learner, environments=count, shards=count)
    with pytest.raises(ConfigError, match=f"{count} shards need as many devices"):
        train(dataclasses.replace(config, learner=learner), tmp_path)
    assert not list(tmp_path.iterdir())


def test_checkpoint_seconds_must_be_positive(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint_seconds is 0"):
        train(tiny(), tmp_path, checkpoint_seconds=0.0)
    assert not list(tmp_path.iterdir())


def test_every_metric_is_documented(trained: Path, documented: Callable[[str], bool]) -> None:
    rows = [*read_metrics(trained / "metrics.jsonl").rows, *read_metrics(trained / "timing.jsonl").rows]
    for key in sorted({key for row in rows for key in row}):
        assert documented(key), f"{key} is not explained in docs/metrics.md"


@pytest.mark.parametrize("game", sorted(catalogue()))
def test_every_event_is_documented(game: str) -> None:
    text = DOCUMENTED.read_text()
    for event in make(game).spec.events:
        kind = "<action>" if game in ("matrix", "pure-coordination") else event.name
        assert f"| `episode/{kind}` |" in text, f"episode/{event.name} of {game} is not explained in docs/metrics.md"


def test_metrics_are_plain_json(trained: Path) -> None:
    for line in (trained / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
