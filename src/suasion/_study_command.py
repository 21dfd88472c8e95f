"""`suasion study variance`: how the noise of the policy gradient grows with the number of agents, and what helps."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from suasion.agents._gradient_noise import Interval
    from suasion.runs._variance import Findings, Measured, VarianceStudy

TITLES = {
    "none": "no baseline",
    "own value": "own value",
    "central value": "central value",
    "counterfactual": "counterfactual baseline",
    "critic": "counterfactual, critic in place of the return",
}
PLACES = {
    ("sum", "uniform"): "sum (enumerated)",
    ("threshold", "uniform"): "threshold (enumerated)",
    ("unanimity", "uniform"): "unanimity (enumerated)",
    ("harvest", "start"): "Harvest, untrained",
    ("harvest", "trained"): "Harvest, after a short training",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Measure how the variance of the policy gradient grows with the number of agents, and what helps against it.

    Team games of one round are enumerated; small Harvest is played by networks, at the start and after a short
    training, for the team's reward. No baseline, an agent's own value, a central value and a counterfactual baseline
    are compared, in batches of 1, 4 and 16 episodes. A study that was stopped goes on: give the same command again.
    """

    what: Positional[Annotated[Literal["variance"], arg(metavar="variance")]]
    """What to study."""
    agents: Annotated[str, arg(metavar="N,N,...")] = "2,3,4,6,8,10"
    """Numbers of agents, rising, from 2 to 10."""
    seeds: int = 1
    """Networks of each number of agents, in Harvest; of seeds SEED, SEED + 1, ..."""
    seed: int = 0
    """Of all chance."""
    budget: Annotated[int, arg(metavar="EPISODES")] = 512
    """Episodes of each estimate, a multiple of 16, at least 64; half as many more are played to fit the values."""
    out: Annotated[Path, arg(metavar="FOLDER")] = Path("variance")
    """Where everything goes: empty, or with a part of this study in it."""

    def run(self) -> int:
        """Measure, keep, draw, print."""
        from suasion.records import write_whole
        from suasion.runs._variance import VarianceStudy, study_variance
        from suasion.viewing import save_pictures

        study = VarianceStudy(agents=_numbers(self.agents), seeds=self.seeds, seed=self.seed, budget=self.budget)
        began = time.perf_counter(), time.process_time()
        found = study_variance(study, self.out, watch=_tell)
        wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
        table = variance_table(study, found)
        write_whole(self.out / "variance.md", [table.encode()])
        write_whole(self.out / "variance.csv", [_csv(found).encode()])
        figure = variance_figure(found)
        pictures = save_pictures(figure, self.out, "variance")
        print(table)
        print(f"{wall:.0f} s, {cpu:.0f} s of CPU; earlier parts: timing.jsonl")
        for path in (self.out / "variance.md", self.out / "variance.csv", *pictures):
            print(path)
        return 0


def variance_table(study: VarianceStudy, found: Findings) -> str:
    """The whole result as Markdown."""
    parts = [
        f"{study.budget} episodes an estimate; in Harvest, networks of each number of agents: {study.seeds}, seed "
        f"{study.seed}. In brackets 95 % intervals; of enumerated games the exact figure, and in brackets the interval "
        f"of {study.budget} sampled episodes. A ratio of r means that 1/r episodes have as much signal as noise.\n"
    ]
    for (game, stage), title in PLACES.items():
        here = [one for one in found.measured if (one.game, one.stage) == (game, stage) and one.batch == 1]
        parts.append(f"## {title}\n\n{_grid(here, 'ratio')}")
        parts.append(f"tr Cov of the joint gradient of one episode\n\n{_grid(here, 'trace')}")
    parts.append(f"## Larger batches, Harvest, central value\n\n{_batches(found)}")
    parts.append(f"## Beside it, Harvest\n\n{_asides(found)}")
    parts.append("## Growth\n\n" + "".join(f"- {line}\n" for line in _growth(found)))
    return "\n".join(parts)


def variance_figure(found: Findings) -> Figure:
    """Ratios against numbers of agents, game by game; and what larger batches do."""
    from suasion.viewing._variance_picture import RatioPanel, ratio_figure

    panels = []
    for (game, stage), title in PLACES.items():
        here = [one for one in found.measured if (one.game, one.stage) == (game, stage) and one.batch == 1]
        kinds = list(dict.fromkeys(one.estimator for one in here))
        curves = {TITLES[kind]: _curve([one for one in here if one.estimator == kind]) for kind in kinds}
        panels.append(RatioPanel(curves=curves, title=title))
    central = [one for one in found.measured if (one.stage, one.estimator) == ("start", "central value")]
    sizes = sorted({one.batch for one in central})
    curves = {f"batch of {size}": _curve([one for one in central if one.batch == size]) for size in sizes}
    panels.append(RatioPanel(curves=curves, title="Harvest, untrained, central value"))
    return ratio_figure(panels)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--agents {text}: write numbers between commas, such as 2,4,8") from None


def _tell(cell: str, seconds: float) -> None:
    print(f"{cell}: {f'{seconds:.1f} s' if seconds else 'there already'}", file=sys.stderr)


def _curve(lines: Sequence[Measured]) -> Any:
    from suasion.viewing._variance_picture import Ratios

    exact = [one.exact_ratio for one in lines if one.exact_ratio is not None]
    return Ratios(
        at=np.array([one.agents for one in lines]),
        middle=np.array([one.ratio.value for one in lines]),
        low=np.array([one.ratio.low for one in lines]),
        high=np.array([one.ratio.high for one in lines]),
        exact=np.array(exact) if exact else None,
    )


def _grid(lines: Sequence[Measured], what: Literal["ratio", "trace"]) -> str:
    """A row for each number of agents, a column for each estimator."""
    kinds = list(dict.fromkeys(one.estimator for one in lines))
    table = [["agents", *(TITLES[kind] for kind in kinds)], ["---:"] * (1 + len(kinds))]
    for n in dict.fromkeys(one.agents for one in lines):
        row = [str(n)]
        for kind in kinds:
            (one,) = (one for one in lines if (one.agents, one.estimator) == (n, kind))
            row.append(_shown(getattr(one, what), getattr(one, f"exact_{what}")))
        table.append(row)
    return _markdown(table)


def _batches(found: Findings) -> str:
    """What the mean of 4 and of 16 episodes' gradients has of the trace of one, and its ratio."""
    table = [["stage", "agents", "tr Cov, 1 / 4", "tr Cov, 1 / 16", "ratio, 1", "ratio, 4", "ratio, 16"]]
    table.append(["---", *["---:"] * 6])
    lines = [one for one in found.measured if (one.game, one.estimator) == ("harvest", "central value")]
    for stage, n in dict.fromkeys((one.stage, one.agents) for one in lines):
        one, four, sixteen = (one for one in lines if (one.stage, one.agents) == (stage, n))
        gains = [f"{one.trace.value / batch.trace.value:.2f}" for batch in (four, sixteen)]
        table.append([stage, str(n), *gains, *(_shown(each.ratio) for each in (one, four, sixteen))])
    return _markdown(table)


def _asides(found: Findings) -> str:
    head = ["stage", "agents", "team's reward", "explained by own value", "by central value", "by counterfactual"]
    head += ["cosine of the critic's gradient with the unbiased one", "ratios of single agents, central value"]
    table = [head, ["---", *["---:"] * 7]]
    for one in found.asides:
        shares = [f"{one.explained[name]:.1%}" for name in ("own value", "central value", "counterfactual")]
        cosine = "lost in noise" if one.alignment is None else _shown(one.alignment)
        low, high = one.agents_ratio["central value"]
        each = f"{low:.2g} to {high:.2g}"
        table.append([one.stage, str(one.agents), f"{one.returns:.1f}", *shares, cosine, each])
    return _markdown(table)


def _growth(found: Findings) -> Iterator[str]:
    """Slopes of logarithms over the logarithm of n, by least squares; only where every point is resolved."""
    for (game, stage), title in PLACES.items():
        told = []
        for kind in TITLES:
            lines = [one for one in found.measured if (one.game, one.stage, one.estimator) == (game, stage, kind)]
            lines = [one for one in lines if one.batch == 1]
            if len(lines) < 2:
                continue
            values = [one.ratio.value if one.exact_ratio is None else one.exact_ratio for one in lines]
            resolved = all(one.exact_ratio is not None or one.ratio.low > 0 for one in lines)
            logs = np.log([one.agents for one in lines])
            traces = [one.trace.value if one.exact_trace is None else one.exact_trace for one in lines]
            slope = f"{np.polyfit(logs, np.log(traces), 1)[0]:+.2f}"
            ratio = f"{np.polyfit(logs, np.log(values), 1)[0]:+.2f}" if resolved else "not resolved"
            told.append(f"{TITLES[kind]} {slope} ({ratio})")
        if told:
            yield f"{title}, exponent of n in the joint tr Cov (in the ratio): {'; '.join(told)}"


def _shown(number: Interval, exact: float | None = None) -> str:
    value = number.value if exact is None else exact
    return f"{value:.3g} [{number.low:.3g}, {number.high:.3g}]"


def _markdown(table: Sequence[Sequence[str]]) -> str:
    return "".join("| " + " | ".join(row) + " |\n" for row in table)


def _csv(found: Findings) -> str:
    """All numbers, a line for each estimate."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    numbers = ("trace", "signal", "ratio")
    ends = [f"{name}{end}" for name in numbers for end in ("", "_low", "_high")]
    lines.writerow(["game", "stage", "agents", "estimator", "batch", *ends, "exact_trace", "exact_ratio"])
    for one in found.measured:
        shown = [value for name in numbers for value in dataclasses.astuple(getattr(one, name))]
        exact = ["" if value is None else f"{value:.9g}" for value in (one.exact_trace, one.exact_ratio)]
        row = [one.game, one.stage, one.agents, one.estimator, one.batch]
        lines.writerow([*row, *(f"{value:.9g}" for value in shown), *exact])
    return text.getvalue()
