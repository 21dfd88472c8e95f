"""What influence costs: an update with a model of others against one without, and its counterfactuals alone."""

from __future__ import annotations

from typing import Any

from benchmarks import _report as report
from benchmarks._options import Options
from benchmarks._processes import Contender, interleave

PAPER, SMALL = ("cleanup", "paper"), ("harvest", "small")
RATIO_BAR, COUNTERFACTUALS_BAR, SWAP_BAR = 1.35, 0.06, 5.0


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "update": "CPU seconds of one update (rollout, rewards, fit), presets of the command line, both shards",
        "counterfactuals": "CPU time of what the model observes, less that of its memories alone, on one device's "
        "share of the environments; per agent-step of the update. The memories alone are XLA's; what observes has a "
        "recurrence of its own in the same loop",
        "naive": "the same with a pass of the model's whole core for every step and action instead of a row's swap",
    }


def run(options: Options) -> str:
    """The Markdown of the paper's size and of the small one."""
    return _paper(options) + _small(options)


def _contender(game: tuple[str, str], mode: str, options: Options) -> Contender:
    words = (*game, mode, "--seconds", str(options.seconds))
    return Contender(name=f"{' '.join(game)}, {mode}", module="_worker_influence", arguments=words)


def _each(figure: dict[str, Any], part: str) -> float:
    """CPU microseconds an agent-step."""
    return 1e6 * figure[part]["cpu"] / figure[part]["steps"]


def _paper(options: Options) -> str:
    rows = interleave([_contender(PAPER, mode, options) for mode in ("none", "model")], options.repeats)
    none, model = ([row[i] for row in rows] for i in range(2))
    plain, whole = [_each(one, "update") for one in none], [_each(one, "update") for one in model]
    extra = [_each(one, "swapped") - _each(one, "remember") for one in model]
    naive = [_each(one, "naive") - _each(one, "remember") for one in model]
    rate = [one["update"]["steps"] / one["update"]["wall"] for one in model]
    columns = {
        "none, CPU µs/agent-step": plain,
        "model, CPU µs/agent-step": whole,
        "model, agent-steps/s": rate,
        "counterfactuals, CPU µs": extra,
        "naive, CPU µs": naive,
    }
    return (
        f"\n## Cleanup, size paper, 5 agents\n\n{report.repeats(columns, ',.1f')}\n"
        + report.bar("an update with the model of others / one without", report.ratios(whole, plain), most=RATIO_BAR)
        + report.bar("share of counterfactuals", report.ratios(extra, whole), most=COUNTERFACTUALS_BAR)
        + report.bar("naive passes / swap of a row", report.ratios(naive, extra), least=SWAP_BAR)
    )


def _small(options: Options) -> str:
    modes = ("none", "basic", "model", "simulator")
    rows = interleave([_contender(SMALL, mode, options) for mode in modes], options.repeats)
    cost = {mode: [_each(row[i], "update") for row in rows] for i, mode in enumerate(modes)}
    text = "\n## Small Harvest, 3 agents\n\n" + report.repeats(
        {f"{mode}, CPU µs/agent-step": values for mode, values in cost.items()}, ",.1f"
    )
    lines = []
    for mode in modes[1:]:
        ratio = report.ratios(cost[mode], cost["none"])
        lines.append(f"- {mode} / none: {sorted(ratio)[len(ratio) // 2]:.2f} ({report.spread(ratio, '.2f')})\n")
    return text + "\n" + "".join(lines)
