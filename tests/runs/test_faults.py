"""Real training on a disk that fails, in odd places, with numbers that are none, and for a long time.

What comes of each fault is told, and compared with the table in docs/reliability.md.
"""

import contextlib
import dataclasses
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest

from suasion.agents import update
from suasion.cli import main
from suasion.records import RecordError, newest_checkpoint, read_metrics
from suasion.records import _disk as room
from suasion.runs import RunConfig, TrainingError, train
from suasion.runs import _train as module

Tiny = Callable[..., RunConfig]
Tell = Callable[[str, str], None]
KILLS = Path(__file__).with_name("kills.py")
OPERATIONS = "open, write, flush, cut, rename, remove or new folder"


def bytes_of(run: Path) -> tuple[list[bytes], list[str]]:
    """Configuration, metrics and the last checkpoint, and the names of all files of the run."""
    kept = [run / "config.json", run / "manifest.json", run / "metrics.jsonl", max((run / "checkpoints").iterdir())]
    return [path.read_bytes() for path in kept], sorted(str(path.relative_to(run)) for path in run.rglob("*"))


def survives(faults: ModuleType, config: RunConfig, folder: Path, kinds: Sequence[str]) -> int:
    """A fault at the N-th operation, for every N until training comes to its end; their number.

    The kinds of fault take turns. Afterwards training goes on to the bytes of an uninterrupted run.
    """
    train(config, folder / "whole", checkpoint_seconds=1e-9)
    reference = bytes_of(folder / "whole")
    for at in range(1, 1000):
        run, kind = folder / str(at), kinds[at % len(kinds)]
        with pytest.MonkeyPatch.context() as patch:
            disk = faults.Disk(at, kind)
            patch.setattr(room, "os", disk)
            with contextlib.suppress(OSError, RecordError, faults.Died):
                train(config, run, checkpoint_seconds=1e-9)
        if disk.met is None:
            return at - 1
        train(config, run, checkpoint_seconds=1e-9)
        assert bytes_of(run) == reference, f"{kind}, operation {at}: {disk.met}"
        shutil.rmtree(run)
    raise AssertionError("it never came to its end")


FAULTS = {
    "once": f"training: the N-th {OPERATIONS} fails, for every N",
    "on": "training: the same, and every operation after it fails",
    "half": "training: the process dies at the N-th such operation, for every N",
}


def test_the_nth_operation(faults: ModuleType, tell: Tell, tiny: Tiny, memory: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "manifest", lambda: {"versions": {}})
    met = survives(faults, tiny(steps=16), memory, tuple(FAULTS))
    assert met > 40
    tell("training: these three in turns, over two updates", f"{met} of {met} go on to equal bytes")


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "words"), FAULTS.items())
def test_the_nth_operation_of_each_kind(
    faults: ModuleType, tell: Tell, tiny: Tiny, memory: Path, fault: str, words: str
) -> None:
    met = survives(faults, tiny(steps=24), memory, (fault,))
    tell(words, f"{met} of {met} go on to equal bytes; no temporary file is left")


@pytest.mark.parametrize("name", ["größe ✓ 日本/seed 0", " 'quoted' & \"so\"/-rf"])
def test_a_run_in_a_folder_of_any_name(tell: Tell, tiny: Tiny, trained: Path, tmp_path: Path, name: str) -> None:
    train(tiny(), tmp_path / name)
    assert bytes_of(tmp_path / name)[0] == bytes_of(trained)[0]
    assert main(["runs", str(tmp_path)]) == 0
    assert main(["export", str(tmp_path / name), "--to", "csv"]) == 0
    assert (tmp_path / name / "metrics.csv").exists()
    tell("training, `suasion runs` and `suasion export` in such a path", "equal bytes, found and exported")


def stops(run: Path, config: RunConfig, message: str, good: int) -> None:
    """Training stops with the message; the last good checkpoint is there, the one that counts, and finite."""
    with pytest.raises(TrainingError, match=message):
        train(config, run, checkpoint_seconds=1e-9)
    found = newest_checkpoint(run / "checkpoints")
    assert found is not None
    assert (found.step, found.rejected) == (good, ())
    assert all(np.isfinite(array).all() for array in found.arrays.values() if array.dtype.kind == "f")


def test_a_reward_that_is_no_number(tell: Tell, tiny: Tiny, tmp_path: Path, monkeypatch: Any, quick: Any) -> None:
    """The game itself pays NaN where both defect."""
    build = module.build

    def poisoned(config: RunConfig) -> Any:
        experiment = build(config)
        game = dataclasses.replace(experiment.game)
        payoffs = (*game.payoffs[:1], (*game.payoffs[1][:1], (math.nan, 1.0)))
        object.__setattr__(game, "payoffs", payoffs)  # its constructor would refuse
        return dataclasses.replace(experiment, game=game)

    monkeypatch.setattr(module, "build", poisoned)
    monkeypatch.setattr(module, "_update", quick(update, static_argnums=0))
    message = (
        r"^reward/extrinsic\[0\] is not a finite number after update 1, at step 8 .*good checkpoint is that of step 0"
    )
    stops(tmp_path, tiny(), message, good=0)
    (row,) = read_metrics(tmp_path / "metrics.jsonl").rows
    assert "reward/extrinsic[0]" in row["non_finite"]
    tell(
        "NaN in a reward of the game",
        "training stops after that update, naming `reward/extrinsic[0]` and the last good checkpoint, which is kept",
    )


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("encoder.layers[0].weight", "NaN in what agents make of an observation (its codes cannot be NaN)"),
        ("heads['action'].bias", "NaN in logits and loss"),
    ],
)
def test_a_tensor_that_is_no_number(
    tell: Tell, tiny: Tiny, tmp_path: Path, monkeypatch: Any, part: str, fault: str
) -> None:
    """NaN appears in one tensor before update 4: the metrics of that update show it."""
    real = module._update

    def poisoned(experiment: Any, learner: Any) -> Any:
        if int(learner.updates) == 3:
            leaves, structure = jax.tree_util.tree_flatten_with_path(learner.params)
            at = ".policy." + part
            assert sum(jax.tree_util.keystr(path) == at for path, _ in leaves) == 1
            leaves = [leaf * np.float32(np.nan) if jax.tree_util.keystr(p) == at else leaf for p, leaf in leaves]
            learner = learner._replace(params=jax.tree.unflatten(structure, leaves))
        return real(experiment, learner)

    monkeypatch.setattr(module, "_update", poisoned)
    stops(
        tmp_path, tiny(), r"^action/\w+\[0\] is not a finite number after update 4, at step 32 .* of step 24$", good=24
    )
    tell(fault, "training stops after that update, naming the metrics and the last good checkpoint, which is kept")


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def growth(config: RunConfig, run: Path, **how: Any) -> float:
    """MiB by which the process grew in the last four fifths of a run."""
    seen: list[int] = []
    train(config, run, watch=lambda status: seen.append(resident()), **how)
    assert len(seen) >= config.updates
    return (max(seen[-50:]) - max(seen[: len(seen) // 5])) / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to tell the memory")
def test_memory_stays_flat(tiny: Tiny, tmp_path: Path) -> None:
    assert growth(tiny(steps=8 * 1000), tmp_path, checkpoint_seconds=0.05) < 3


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to tell the memory")
def test_memory_stays_flat_over_ten_thousand_updates(tell: Tell, tiny: Tiny, tmp_path: Path) -> None:
    assert growth(tiny(steps=8 * 10_000), tmp_path, checkpoint_seconds=0.5) < 8  # 3 alone, more beside other tests
    tell("10,000 updates of a tiny run", "memory grows by less than 8 MiB")


def kills(folder: Path, count: int, *cases: str, steps: int) -> list[dict[str, Any]]:
    """What `kills.py` tells."""
    command = [
        sys.executable,
        KILLS,
        "--kills",
        count,
        "--folder",
        folder / "kills",
        "--steps",
        steps,
        "--cases",
        *cases,
    ]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    for one in told:
        assert one["bytes_compared"] > 10_000
        assert (one["differing"], one["left_at_the_end"], one["damaged"]) == (0, 0, 0), one
    assert sum(one["kills"] for one in told) == count
    return told


def test_killed_three_times(tell: Tell, memory: Path) -> None:
    kills(memory, 3, "stag-hunt/lstm", steps=8_000)
    tell("kill -9 at 3 random moments", "0 differing bytes of checkpoint and metrics")


@pytest.mark.slow
def test_killed_fifty_times(tell: Tell, memory: Path) -> None:
    """Two games, both memories, both of the machine's cores (two shards)."""
    kills(memory, 52, "stag-hunt/lstm", "stag-hunt/gru", "harvest/lstm", "harvest/gru", steps=32_000)
    tell("kill -9 at 52 random moments, two games, LSTM and GRU", "0 differing bytes of checkpoint and metrics")
