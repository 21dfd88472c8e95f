"""Box Trapped: who opens, under which reward and curriculum, on seeds that nothing was chosen on."""

from __future__ import annotations

from statistics import median

from benchmarks import _report as report
from benchmarks import _studies as studies
from benchmarks._options import Options

FRESH = range(140, 150)
FEW = range(140, 143)
_TRAIN = ("box-trapped", "--influence")
_NEVER = ("--reward", "influence=0")
_AT_ONCE = ("--reward", "extrinsic=1", "--reward", "influence=50/0")
# KL and PMI are about four times the Jensen-Shannon divergence where effects are small.
_FOUR_TIMES = (
    *("--reward", "extrinsic=when(influence/after_opened[0]>=0.04,100,560000):0@0,1@240000/1"),
    *("--reward", "influence=10/0"),
)
CONTROL = "beta = 0, same curriculum"
MODEL = "model of others"
COLUMNS = {
    "opened": "opened",
    "return_1": "return, free",
    "return_2": "return, trapped",
    "influence_at_opened": "influence at opening",
    "simulated_at_opened": "simulator's",
    "influence_after_opened": "after it",
    "simulated_after_opened": "simulator's",
    "influence_before_opened": "before it",
}
OPENED_BAR, CONTROL_BAR, SECONDS_BAR = 0.8, 0.05, 120.0


def study() -> studies.Study:
    """The conditions; the curriculum is that of the preset."""
    conditions = {
        MODEL: (*_TRAIN, "model"),
        CONTROL: (*_TRAIN, "model", *_NEVER),
        "simulator": (*_TRAIN, "simulator"),
        "basic": (*_TRAIN, "basic", "--reward", "influence=50/0"),
        "no curriculum": (*_TRAIN, "model", *_AT_ONCE),
        "model of others, KL": (*_TRAIN, "model", "--divergence", "kl", *_FOUR_TIMES),
        "model of others, PMI": (*_TRAIN, "model", "--divergence", "pmi", *_FOUR_TIMES),
    }
    seeds = {label: FRESH if label in (MODEL, CONTROL) else FEW for label in conditions}
    twins = {CONTROL: MODEL, "basic": MODEL}
    return studies.Study(name="box-trapped", conditions=conditions, seeds=seeds, twins=twins)


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    each = "; ".join(f"{label}: `suasion train {' '.join(words)}`" for label, words in study().conditions.items())
    return {
        "commands under test": f"{each}; each with `--seed S --shards 1`, two runs at a time",
        "same curriculum": f"{CONTROL}, and basic: `--reward extrinsic=` the clock by which apples came in the run "
        f"of the {MODEL} with the same seed",
        "opened": "share of 128 evaluation episodes with the final policies, actions sampled, in which the box is "
        "opened",
        "influence": "nats a step, of the free agent on the trapped one; simulator's: the exact one of the same steps",
        "CPU": "seconds of the whole process of a run, compilation included",
        "runs": studies.RUNS,
    }


def run(options: Options) -> str:
    """The Markdown of all conditions."""
    with studies.root() as root:
        found = studies.outcomes(study(), root)
    opened = {label: studies.values(seeds, "opened") for label, seeds in found.items()}
    text = "\n## Conditions\n\n" + studies.summary(
        found, {"opened": "opened", "return_1": "free", "return_2": "trapped"}
    )
    text += "\n" + report.bar("opened, model of others, median over seeds", [median(opened[MODEL])], least=OPENED_BAR)
    above = sum(value > OPENED_BAR for value in opened[MODEL])
    text += report.bar("seeds of the model of others above 0.8", [float(above)], least=8)
    if opened.get(CONTROL):
        text += report.bar("opened, control, highest seed", [max(opened[CONTROL])], most=CONTROL_BAR)
    else:
        text += "- the control: not run\n"
    cpu = [one.cpu for one in found[MODEL].values()]
    text += report.bar("CPU seconds a seed, model of others", cpu, most=SECONDS_BAR)
    greedy = {label: studies.values(seeds, "opened", greedy=True) for label, seeds in found.items()}
    rows = [(label, ", ".join(f"{value:.2f}" for value in each)) for label, each in greedy.items()]
    text += "\n## Every seed\n\n" + studies.table(found, COLUMNS)
    weights = [(str(seed), one.rewards["extrinsic"], one.rewards["influence"]) for seed, one in found[MODEL].items()]
    text += (
        "\n## Weights of the model of others, as they came\n\nA weight of 0 to the end: the trigger never fired.\n\n"
    )
    text += report.table(("seed", "own reward", "influence"), weights, numbers=False)
    return text + "\n## Opened, greedy policies\n\n" + report.table(("condition", "opened, seed by seed"), rows)
