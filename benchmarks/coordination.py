"""Ordered play in matrix games: do agents coordinate more often when the first is paid for influence? (NC1)"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from statistics import mean

from benchmarks import _report as report
from benchmarks import _studies as studies
from benchmarks._options import Options

SEEDS = range(200, 210)
NONE, VISIBLE, PAID = "at once", "visible actions", "influence"
_VISIBLE = ("--influence", "basic", "--reward", "extrinsic=1", "--reward", "influence=0")
GAMES = {
    "stag-hunt": ("stag-hunt",),
    "pure-coordination": ("pure-coordination", "--option", "actions=5"),
}
STEPS = "96000"
TOP = {"stag-hunt": 4.0, "pure-coordination": 1.0}  # of one agent in a round, both coordinating


def study(game: str) -> studies.Study:
    """The three conditions of a game; the weight of influence is the preset's."""
    words = (*GAMES[game], "--steps", STEPS)
    conditions = {NONE: words, VISIBLE: (*words, *_VISIBLE), PAID: (*words, "--influence", "basic")}
    return studies.Study(name=game, conditions=conditions, seeds=dict.fromkeys(conditions, SEEDS))


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "commands under test": "; ".join(
            f"{game}, {label}: `suasion train {' '.join(words)}`"
            for game in GAMES
            for label, words in study(game).conditions.items()
        )
        + "; each with `--seed S --shards 1`",
        "at the end": "collective reward of 128 episodes with the final policies, actions sampled, over what always "
        "coordinating on the best would give; in pure coordination that is the share of rounds with equal choices",
        "while learning": "the same of all episodes while learning",
        "runs": f"in a temporary folder, or in {studies.FOLDER} if set: outcomes found there are taken as they are",
    }


def run(options: Options) -> str:
    """The Markdown of both games."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.environ.get(studies.FOLDER) or folder)
        return "".join(_game(game, root) for game in GAMES)


def _game(game: str, root: Path) -> str:
    chosen = study(game)
    found = studies.outcomes(chosen, root)
    rounds = 100.0
    final: dict[str, list[float]] = {}
    learning: dict[str, list[float]] = {}
    rows = []
    for label, seeds in found.items():
        final[label], learning[label] = [], []
        for seed, one in seeds.items():
            reward = one.sampled["return"] or 0.0
            final[label].append(reward / (2 * rounds * TOP[game]))
            path = studies.folder(root, chosen, label) / f"seed-{seed}" / "metrics.jsonl"
            returns = [json.loads(line)["episode/return"] for line in path.read_text().splitlines()]
            learning[label].append(mean(value for value in returns if value is not None) / (2 * rounds * TOP[game]))
            influence = studies.number(one.sampled.get("influence_1"))
            rows.append((label, str(seed), f"{final[label][-1]:.3f}", f"{learning[label][-1]:.3f}", influence))
    head = ("condition", "seed", "reward at the end / best", "reward while learning / best", "influence, nats a step")
    text = f"\n## {game}\n\n" + report.table(head, rows) + "\n"
    for label in (VISIBLE, NONE):
        text += f"- {PAID} - {label}, at the end: {studies.difference(final[PAID], final[label])}\n"
        text += f"- {PAID} - {label}, while learning: {studies.difference(learning[PAID], learning[label])}\n"
    return text
