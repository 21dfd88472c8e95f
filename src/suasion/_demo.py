"""The main job in one command: the tragedy of the commons, and what an influence reward does to Box Trapped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from suasion import _demo_box, _demo_commons
from suasion._demo_commons import Told
from suasion.runs import Status, configure


def demonstrate(
    out: Path,
    *,
    seeds: int = 1,
    steps: int | None = None,
    episodes: int = 32,
    watch: Callable[[Status], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Told | None:
    """Both parts, one after the other; see `_demo_commons` and `_demo_box`. None if it was stopped."""
    # Too few steps are refused before anything is done.
    configure("box-trapped", influence={"mode": "model"}, steps=steps)
    files: tuple[Path, ...] = ()
    sentences: tuple[str, ...] = ()
    for part in (_demo_commons, _demo_box):
        told = part.demonstrate(out, seeds=seeds, steps=steps, episodes=episodes, watch=watch, stop=stop)
        if told is None:
            return None
        files, sentences = files + told.files, sentences + told.sentences
    return Told(files=files, sentences=sentences)
