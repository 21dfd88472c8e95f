"""Small Harvest and Cleanup with and without influence: six columns, every seed, whatever it says."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks import _studies as studies
from benchmarks._options import Options

SEEDS = range(300, 305)
_VISIBLE = ("--influence", "basic", "--reward", "extrinsic=1", "--reward", "influence=0")
_UNPAID = ("--influence", "model", "--reward", "extrinsic=1", "--reward", "influence=0")
COLUMNS = {
    "none": (),
    "visible actions": _VISIBLE,
    "basic": ("--influence", "basic"),
    "model of others": ("--influence", "model"),
    "model of others, beta = 0": _UNPAID,
    "simulator": ("--influence", "simulator"),
}
MEASURES = {
    "return": "collective reward",
    "influence_1": "influence of agent 1",
    "simulated_1": "exactly",
    "fires": "fining beams",
    "moments": "share of influential moments",
}


def study(game: str) -> studies.Study:
    """The six columns of a game, presets of the command line."""
    conditions = {label: (game, *words) for label, words in COLUMNS.items()}
    return studies.Study(
        name=f"{game}-small", conditions=conditions, seeds=dict.fromkeys(conditions, SEEDS), episodes=32
    )


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "commands under test": "`suasion train GAME` with, by column, "
        + "; ".join(f"{label}: `{' '.join(words) or '(nothing)'}`" for label, words in COLUMNS.items()),
        "seeds": f"{SEEDS.start} to {SEEDS.stop - 1} of each column, nothing was tuned on them; the preset's steps",
        "runs": f"in a temporary folder, or in {studies.FOLDER} if set: outcomes found there are taken as they are, so "
        "that a run of the table can be stopped and goes on",
    }


def run(options: Options) -> str:
    """The Markdown of both games."""
    text = ""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.environ.get(studies.FOLDER) or folder)
        for game in ("harvest", "cleanup"):
            found = studies.outcomes(study(game), root)
            text += f"\n## Small {game}\n\n{studies.summary(found, MEASURES)}\n{studies.table(found, MEASURES)}"
    return text
