"""A run so small that its compilation is all it costs; every test uses the same shapes, so that there is only one."""

import dataclasses
import importlib.util
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from suasion.runs import RunConfig, configure, train


def _tiny(**changes: Any) -> RunConfig:
    config = configure(
        "prisoners-dilemma",
        horizon=6,
        steps=48,
        policy={"hidden": (4,), "width": 4},
        learner={"environments": 2, "steps": 4, "epochs": 1, "minibatches": 1, "staggered": True},
    )
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., RunConfig]:
    """A configuration of six updates of eight environment steps, with changes."""
    return _tiny


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a whole run of it; not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "tiny" / "seed-0"
    train(_tiny(), path)
    return path


def _of_records(name: str) -> ModuleType:
    """A module beside the tests of the room `records`."""
    path = Path(__file__).parents[1] / "records" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"runs_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: a flush takes no time there."""
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def faults() -> ModuleType:
    """A disk that fails."""
    return _of_records("faults")


@pytest.fixture(scope="session")
def tell() -> Callable[[str, str], None]:
    """`tell(fault, outcome)`: docs/reliability.md must say the same."""
    return _of_records("outcomes").tell


@pytest.fixture(scope="session")
def documented() -> Callable[[str], bool]:
    """Whether docs/metrics.md explains a key: the first cell of a table row; <words> stand for names."""
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    names = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(names) == len(set(names))
    patterns = [
        re.compile(re.sub(r"<\w+>", r"[^/]+", re.escape(name).replace(r"\<", "<").replace(r"\>", ">")))
        for name in names
    ]
    return lambda key: any(pattern.fullmatch(key) for pattern in patterns)
