"""A learner comes back from disk exactly, or not at all."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from suasion.agents import init
from suasion.records import RecordError, newest_checkpoint, save_checkpoint
from suasion.runs import build, restore_learner, save_learner
from suasion.runs._checkpoint import from_arrays, not_finite, to_arrays


@pytest.fixture(scope="module")
def tree() -> dict[str, Any]:
    return {
        "codes": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "flags": (np.array([True, False]), np.zeros((0,), np.int32)),
        "key": jax.random.key(7),
        "none": None,
        "x": np.float32(1.5),
    }


def shapes(tree: Any) -> Any:
    return jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, {k: v for k, v in tree.items() if k != "key"})) | {
        "key": jax.eval_shape(lambda: jax.random.key(0))
    }


def test_round_trip_is_exact(tree: dict[str, Any]) -> None:
    arrays, generators = to_arrays(tree)
    assert set(arrays) == {"codes", "flags/0", "flags/1", "key", "x"}
    assert list(generators) == ["key"]
    again = from_arrays(shapes(tree), arrays, generators, "here")
    back, _ = to_arrays(again)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    assert again["none"] is None
    assert jax.random.uniform(again["key"]) == jax.random.uniform(tree["key"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "arrays missing: x; not wanted: none"),
        ({"y": np.zeros(1)}, "arrays missing: none; not wanted: y"),
        ({"codes": np.zeros((3, 2), np.uint8)}, r"here: codes: uint8\[3, 2\], not uint8\[2, 3\]"),
        ({"codes": np.zeros((2, 3), np.int8)}, r"codes: int8\[2, 3\], not uint8"),
        ({"key": np.zeros(3, np.uint32)}, r"key: uint32\[3\]"),
    ],
)
def test_what_does_not_fit_is_refused(tree: dict[str, Any], change: dict[str, Any], message: str) -> None:
    arrays, generators = to_arrays(tree)
    changed = {name: array for name, array in (arrays | change).items() if array is not None}
    with pytest.raises(RecordError, match=message):
        from_arrays(shapes(tree), changed, generators, "here")


def test_another_generator_is_refused(tree: dict[str, Any]) -> None:
    arrays, _ = to_arrays(tree)
    with pytest.raises(RecordError, match="keys of the generator 'rbg'"):
        from_arrays(shapes(tree), arrays, {"key": "rbg"}, "here")
    with pytest.raises(RecordError, match="said to be random keys"):
        from_arrays({"x": shapes(tree)["x"]}, {"x": arrays["x"]}, {"x": "fry"}, "here")


def test_a_saved_learner_comes_back(trained: Path, tiny: Any, tmp_path: Path) -> None:
    config = tiny()
    experiment = build(config)
    found = newest_checkpoint(trained / "checkpoints")
    assert found is not None
    assert (found.step, found.header["updates"]) == (48, 6)
    learner = restore_learner(config, experiment, found)
    path = save_learner(tmp_path, config, learner, found.header["metrics_offset"])
    assert path.read_bytes() == found.path.read_bytes()
    fresh = jax.eval_shape(lambda key: init(experiment, key), jax.random.key(0))
    assert jax.tree.structure(learner) == jax.tree.structure(fresh)


def test_a_checkpoint_of_another_run_is_refused(trained: Path, tiny: Any, tmp_path: Path) -> None:
    found = newest_checkpoint(trained / "checkpoints")
    assert found is not None
    with pytest.raises(RecordError, match="belongs to another configuration"):
        restore_learner(tiny(seed=1), build(tiny()), found)
    save_checkpoint(tmp_path, 56, found.arrays, found.header)
    moved = newest_checkpoint(tmp_path)
    assert moved is not None
    with pytest.raises(RecordError, match="holds 6 updates, which do not make step 56"):
        restore_learner(tiny(), build(tiny()), moved)


def test_a_bad_parameter_is_named(trained: Path, tiny: Any) -> None:
    found = newest_checkpoint(trained / "checkpoints")
    assert found is not None
    learner = restore_learner(tiny(), build(tiny()), found)
    assert not_finite(learner) is None
    spoiled = jax.tree.map(lambda x: x, learner.params)
    head = spoiled.policy.heads["action"]
    object.__setattr__(head, "bias", head.bias.at[0, 0].set(np.inf))
    assert not_finite(learner._replace(params=spoiled)) == "params/policy/heads/action/bias"
