"""Small Harvest: what moves influence off zero, and what becomes of everybody's reward then?"""

from __future__ import annotations

from benchmarks import _studies as studies
from benchmarks._options import Options

SEEDS = range(410, 413)
_STEPS = ("--steps", "640000")
_EXACT = ("harvest", *_STEPS, "--influence", "simulator", "--reward")
_MODEL = ("harvest", *_STEPS, "--influence", "model", "--reward", "extrinsic=1", "--reward", "influence=10/0/0")
_APPLES = ("--reward", "extrinsic=1")
CONDITIONS = {
    "not paid": (*_EXACT, "influence=0", *_APPLES),
    "all are paid": (*_EXACT, "influence=10", *_APPLES),
    "one is paid": (*_EXACT, "influence=10/0/0", *_APPLES),
    "one is paid, and nothing else": (*_EXACT, "influence=10/0/0", "--reward", "extrinsic=0/1/1"),
    "one, influence first": (
        *(*_EXACT, "influence=10/0/0"),
        *("--reward", "extrinsic=when(reward/influence[0]>=0.005,20,320000):0@0,1@160000/1/1"),
    ),
    "one, apples first": (*_EXACT, "influence=0@0,0@320000,10@480000/0/0", *_APPLES),
    "one, beams cost 20": (*_EXACT, "influence=10/0/0", *_APPLES, "--option", "fire_cost=20"),
    "one, by a model": _MODEL,
    "one, by a model of its own, five times faster": (
        *(*_MODEL, "--model-encoder", "convolution"),
        *("--model-rate", "0.005"),
    ),
}
COLUMNS = {
    "return": "collective reward",
    "return_1": "of the one",
    "simulated_1": "its influence, exactly",
    "influence_1": "as the reward sees it",
    "fires": "beams",
    "hits": "hits",
    "apples": "apples",
}


def study() -> studies.Study:
    """The conditions, three seeds of each."""
    return studies.Study(name="dilemmas", conditions=CONDITIONS, seeds=dict.fromkeys(CONDITIONS, SEEDS), episodes=32)


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    each = "; ".join(f"{label}: `suasion train {' '.join(words)}`" for label, words in CONDITIONS.items())
    return {
        "commands under test": f"{each}; each with `--seed S --shards 1`, two runs at a time",
        "figures": "of an episode of 250 steps, 32 episodes with the final policies, actions sampled; influence: nats "
        "a step of the first agent on the two others",
        "seeds": f"{SEEDS.start} to {SEEDS.stop - 1}; the conditions were chosen on seed 400",
        "runs": studies.RUNS,
    }


def run(options: Options) -> str:
    """The Markdown of all conditions."""
    with studies.root() as root:
        found = studies.outcomes(study(), root)
    text = "\n## Conditions\n\n" + studies.summary(found, COLUMNS)
    return text + "\n## Every seed\n\n" + studies.table(found, COLUMNS) + "\n"
