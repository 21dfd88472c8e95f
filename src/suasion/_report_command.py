"""`suasion report` and `suasion replay`: what runs learned, and what their agents do to each other, in one file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Write the report of runs: one HTML file that needs no network, with curves, measures, influence and a replay."""

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN")]]
    """Folders of runs, or folders of such folders; runs that differ only in their seed are one condition."""
    out: Annotated[Path, arg(metavar="FILE")] = Path("report.html")
    """The file."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> int:
        """Write it."""
        from suasion.viewing import write_report

        if not self.runs:
            raise ValueError("no run given: name at least one folder")
        print(write_report(self.runs, self.out, society=measures, force=self.force))
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replay:
    """Write a page that plays recorded episodes in any browser, offline; two are shown side by side, in step.

    `suasion render` and `suasion influence` record episodes; the latter with who influences whom.
    """

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN")]]
    """Folders of runs, of which the newest episode is taken, or files of episodes."""
    out: Annotated[Path, arg(metavar="FILE")] = Path("replay.html")
    """The file."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> int:
        """Write it."""
        from suasion.viewing import find_episodes, write_replay

        if not self.runs:
            raise ValueError("no run given: name a folder, or the file of an episode")
        print(write_replay(find_episodes(self.runs), self.out, force=self.force))
        return 0


def measures(rewards: np.ndarray, events: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """The measures of a society (see `games.society`) as numbers."""
    from suasion.games import society

    return {name: measure.value for name, measure in society(rewards, events).items()}
