"""Signalling: does the agent that sees speak, when it gains nothing by being understood but influence?"""

from __future__ import annotations

from benchmarks import _report as report
from benchmarks import _studies as studies
from benchmarks._options import Options
from suasion.games import Signalling

SEEDS = range(400, 410)
BASELINE, PAID, PAPER = "channel alone", "influence, average marginal", "influence, the paper's marginal"
_TRAIN = ("signalling", "--influence", "communication", "--reward", "extrinsic=1")
_PAID = (*_TRAIN, "--reward", "influence=1")
CONDITIONS = {
    BASELINE: (*_TRAIN, "--reward", "influence=0"),
    PAID: (*_PAID, "--marginal", "average"),
    PAPER: (*_PAID, "--marginal", "policy"),
}
MEASURES = {
    "return": "collective reward",
    "message_action": "message and next action, nats",
    "message_action_null": "95th percentile of its null",
    "consistency": "speaker consistency",
    "consistency_null": "95th percentile of its null",
    "influence_1": "influence of agent 1",
}


def study() -> studies.Study:
    """The three conditions; the game and the learner are the preset's."""
    return studies.Study(name="signalling", conditions=CONDITIONS, seeds=dict.fromkeys(CONDITIONS, SEEDS), episodes=64)


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    game = Signalling()
    each = "; ".join(f"{label}: `suasion train {' '.join(words)}`" for label, words in CONDITIONS.items())
    return {
        "commands under test": f"{each}; each with `--seed S --shards 1`",
        "seeds": f"{SEEDS.start} to {SEEDS.stop - 1}; nothing was chosen on them",
        "collective reward": f"of 64 episodes with the final policies, sampled; all understood {game.ceiling}, nobody "
        f"{game.chance:.1f}",
        "message and next action": f"mutual information, largest pair; a perfect code of {game.symbols} symbols: ln "
        f"{game.symbols}",
        "runs": studies.RUNS,
    }


def run(options: Options) -> str:
    """The Markdown of all conditions."""
    with studies.root() as root:
        found = studies.outcomes(study(), root)
    text = f"\n## Conditions\n\n{studies.summary(found, MEASURES)}\n"
    for label in (PAID, PAPER):
        for name in ("message_action", "consistency"):
            pairs = [(one.sampled[name] or 0.0, one.sampled[f"{name}_null"] or 0.0) for one in found[label].values()]
            above = sum(value > null for value, null in pairs)
            text += report.bar(f"{label}: seeds with {MEASURES[name]} above the null", [float(above)], least=len(pairs))
    for label in (PAID, PAPER):
        for name in ("return", "message_action", "consistency"):
            x, y = (studies.values(found[which], name) for which in (label, BASELINE))
            text += f"- {label} - {BASELINE}, {MEASURES[name]}: {studies.difference(x, y)}\n"
    return text + f"\n## Every seed\n\n{studies.table(found, MEASURES)}"
