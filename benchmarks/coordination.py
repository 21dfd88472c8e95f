"""Ordered play in matrix games (NC1): do agents coordinate more often when the first is paid for influence?

And does the payment do it, or the curriculum, by which the first agent's own payoffs come later?
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

from benchmarks import _report as report
from benchmarks import _studies as studies
from benchmarks._options import Options

SEEDS = range(210, 220)
NONE, VISIBLE, PAID = "at once", "visible actions", "influence"
LED, CONTROL = "influence first, payoffs later", "beta = 0, same curriculum"
# An action answers an action of the same round, and only that is to be learned: with a discount near 1 the luck of the
# other rounds hides it, and nobody reads anybody within these steps (seeds 200-209: influence below 1e-6 nats).
_LEARNER = ("--discount", "0", "--learning-rate", "0.005", "--steps", "256000")
_BASIC = ("--influence", "basic", "--reward")
_UNPAID = (*_BASIC, "influence=0")
_LATER = "extrinsic=when(reward/influence[0]>=0.3,3,160000):0@0,1@64000/1"
GAMES = {
    "stag-hunt": ("stag-hunt",),
    "pure-coordination": ("pure-coordination", "--option", "actions=5"),
}
TOP = {"stag-hunt": 4.0, "pure-coordination": 1.0}  # of one agent in a round, both coordinating


def study(game: str) -> studies.Study:
    """The conditions of a game."""
    words = (*GAMES[game], *_LEARNER)
    conditions = {
        NONE: words,
        VISIBLE: (*words, *_UNPAID, "--reward", "extrinsic=1"),
        PAID: (*words, *_BASIC, "influence=1/0", "--reward", "extrinsic=1"),
        LED: (*words, *_BASIC, "influence=1/0", "--reward", _LATER),
        CONTROL: (*words, *_UNPAID),
    }
    return studies.Study(name=game, conditions=conditions, seeds=dict.fromkeys(conditions, SEEDS), twins={CONTROL: LED})


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "commands under test": "; ".join(
            f"{game}, {label}: `suasion train {' '.join(words)}`"
            for game in GAMES
            for label, words in study(game).conditions.items()
        )
        + "; each with `--seed S --shards 1`",
        "same curriculum": f"{CONTROL}: `--reward extrinsic=` the clock by which payoffs came in the run of {LED} with "
        "the same seed",
        "at the end": "collective reward of 128 episodes with the final policies, actions sampled, over what always "
        "coordinating on the best would give; in pure coordination that is the share of rounds with equal choices",
        "while learning": "the same of all episodes while learning",
        "runs": studies.RUNS,
    }


def run(options: Options) -> str:
    """The Markdown of both games."""
    with studies.root() as root:
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
    for one, other in ((PAID, VISIBLE), (PAID, NONE), (LED, VISIBLE), (LED, NONE), (LED, CONTROL)):
        text += f"- {one} - {other}, at the end: {studies.difference(final[one], final[other])}\n"
        text += f"- {one} - {other}, while learning: {studies.difference(learning[one], learning[other])}\n"
    return text
