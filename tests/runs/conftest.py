"""A run so small that its compilation is all it costs; every test uses the same shapes, so that there is only one."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
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
