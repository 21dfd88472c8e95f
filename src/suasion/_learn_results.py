"""What `suasion learn` finds, as numbers: returns while learning, exact values, bands over runs, files and a table.

Letters of the shapes: n runs, k points.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion._learn_values import FirstValues, Limits, greedy_shares

if TYPE_CHECKING:
    from suasion.td import Learned

BINS = 100  # points of a curve of returns
LAST = 10  # the last tenth of the episodes is what a rule has come to
WIDTH = 110  # of a table that goes to a file


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Played:
    """What a rule did.

    Attributes:
        found: what it learned, and its episodes.
        value: of the greedy policy from the first states, exactly, float64[n, k]; None without a model.
        seconds: of learning, without what follows it.
    """

    found: Learned
    value: Float64[ndarray, "n k"] | None
    seconds: float

    @property
    def last(self) -> Float64[ndarray, "n"]:
        """Mean return of the last tenth of each run's episodes; NaN where none has ended."""
        returns = self.found.returns
        count = (~np.isnan(returns)).sum(axis=1)
        kept = np.maximum(count // LAST, 1)
        place = np.arange(returns.shape[1])
        late = (place >= (count - kept)[:, None]) & (place < count[:, None])
        total = np.where(late, returns, 0.0).sum(axis=1)
        return np.where(count > 0, total / kept, np.nan)


class Curve(NamedTuple):
    """A band over runs.

    Attributes:
        at: int64[k], in steps or episodes of a run.
        middle: float64[k].
        lower: float64[k].
        upper: float64[k].
        kind: the mean with Student's 95 % interval, or the median with the middle 90 % of the runs.
    """

    at: Int64[ndarray, "k"]
    middle: Float64[ndarray, "k"]
    lower: Float64[ndarray, "k"]
    upper: Float64[ndarray, "k"]
    kind: Literal["mean", "median"]


def play(
    world: Any, rule: Any, budget: Mapping[str, Any], worth: FirstValues | None, told: Callable[[str], None]
) -> Played:
    """Learn by a rule, and evaluate what it learned.

    Args:
        world: the first argument of `suasion.td.learn`.
        rule: the second.
        budget: the rest.
        worth: evaluates policies of the model; None without one.
        told: hears what is being done.
    """
    from suasion.td import learn

    if worth is not None:  # the code is compiled, or read from where it is kept, before the clock starts
        learn(world, rule, discount=budget["discount"], episodes=1, time_limit=1, exact=False)
    told("learns")
    began = time.perf_counter()
    found = learn(world, rule, exact=False, **budget)
    seconds = time.perf_counter() - began
    if worth is None:
        return Played(found=found, value=None, seconds=seconds)
    ties = getattr(rule.exploration, "ties", "uniform")
    value = np.empty((len(found.q), len(found.checkpoints)))
    for i in range(len(found.checkpoints)):
        told(f"is evaluated, {i + 1} of {len(found.checkpoints)}")
        value[:, i] = worth(greedy_shares(worth.mdp, found.q[:, i], ties))
    return Played(found=found, value=value, seconds=seconds)


def online_returns(found: Learned) -> tuple[Int64[ndarray, "k"], Float64[ndarray, "n k"]]:
    """Mean return of each run's episodes that ended in each part of the time; NaN where none did."""
    runs = len(found.returns)
    length = int(found.checkpoints[-1])
    edges = np.unique(np.rint(np.linspace(0, length, min(BINS, length) + 1)).astype(np.int64))
    if found.unit == "episodes":
        ended = np.broadcast_to(np.arange(1, found.returns.shape[1] + 1), found.returns.shape)
    else:
        ended = np.cumsum(found.lengths, axis=1)
    there = ~np.isnan(found.returns)
    place = np.searchsorted(edges, ended[there], side="left") - 1
    slot = place + np.broadcast_to(np.arange(runs)[:, None], there.shape)[there] * (len(edges) - 1)
    size = runs * (len(edges) - 1)
    count = np.bincount(slot, minlength=size).reshape(runs, -1)
    total = np.bincount(slot, found.returns[there], minlength=size).reshape(runs, -1)
    return edges[1:], np.where(count > 0, total / np.maximum(count, 1), np.nan)


def curve(at: Int64[ndarray, "k"], samples: Float64[ndarray, "n k"], *, median: bool = False) -> Curve:
    """A band over runs; points that fewer than two runs have, or than one has, are left out.

    Args:
        at: of the points.
        samples: a row for each run; NaN where it has none.
        median: rather than the mean, as where numbers are infinite; so is it of a single run.
    """
    from suasion.td import mean_band, quantile_band

    median = median or len(samples) == 1
    enough = (~np.isnan(samples)).sum(axis=0) >= (1 if median else 2)
    kept = samples[:, enough]
    band = quantile_band(kept) if median else mean_band(kept)
    return Curve(at[enough], band.middle, band.lower, band.upper, "median" if median else "mean")


def curves(results: Mapping[str, Played]) -> dict[str, dict[str, Curve]]:
    """Measure -> rule -> its curve; medians for all rules where one has values that are not finite."""
    found = {"return": {name: curve(*online_returns(result.found)) for name, result in results.items()}}
    values = {name: result.value for name, result in results.items() if result.value is not None}
    if values:
        median = not all(np.isfinite(value).all() for value in values.values())
        found["greedy"] = {
            name: curve(results[name].found.checkpoints, value, median=median) for name, value in values.items()
        }
    return found


def write_results(
    out: Path, results: Mapping[str, Played], found: Mapping[str, Mapping[str, Curve]], limits: Limits | None
) -> list[Path]:
    """Everything as arrays, and the curves as a table."""
    from suasion.records import write_whole

    arrays: dict[str, Any] = {}
    for name, result in results.items():
        held: dict[str, Any] = {"q": result.found.q, "returns": result.found.returns, "lengths": result.found.lengths}
        held |= {"checkpoints": result.found.checkpoints, "steps": result.found.steps}
        if result.value is not None:
            held["value"] = result.value
        arrays |= {f"{name}/{key}": array for key, array in held.items()}
    if limits is not None:
        numbers = {"optimal": limits.optimal, "soft": limits.soft, "exploring": limits.exploring}
        arrays |= {f"limits/{key}": np.float64(number) for key, number in numbers.items() if number is not None}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["algorithm", "measure", "unit", "at", "middle", "lower", "upper", "band"])
    for measure, rules in found.items():
        for name, one in rules.items():
            unit = results[name].found.unit
            points = zip(one.at.tolist(), *(x.tolist() for x in one[1:4]), strict=True)
            writer.writerows([name, measure, unit, at, *map(repr, middle), one.kind] for at, *middle in points)
    write_whole(out / "result.npz", [content.getbuffer()])
    write_whole(out / "result.csv", [lines.getvalue().encode()])
    return [out / "result.npz", out / "result.csv"]


def print_table(results: Mapping[str, Played], limits: Limits | None) -> None:
    """A line for each rule."""
    from rich.console import Console
    from rich.table import Table

    endless = any(
        result.value is not None and not np.isfinite(result.value[:, -1]).all() for result in results.values()
    )
    columns = ["algorithm", "return, last tenth"]
    if limits is not None:
        columns += ["greedy policy, exactly", "optimal", *["not finite"] * endless]
    table = Table(box=None, pad_edge=False)
    for column in [*columns, "steps/s"]:
        named = column == "algorithm"
        table.add_column(column, justify="left" if named else "right", no_wrap=named)
    for name, result in results.items():
        row = [name, with_interval(result.last)]
        if limits is not None and result.value is not None:
            value = result.value[:, -1]
            share = (value >= limits.optimal - limits.tolerance).mean()
            row += [with_interval(value), f"{share:.0%}", *[f"{(~np.isfinite(value)).mean():.0%}"] * endless]
        table.add_row(*row, f"{result.found.steps.sum() / result.seconds:,.0f}")
    Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False).print(table)


def with_interval(samples: Float64[ndarray, "n"]) -> str:
    """A mean with Student's 95 % interval, to two digits of the latter; a median, where numbers are not finite."""
    from suasion.td import mean_band

    known = samples[~np.isnan(samples)]
    if not len(known):
        return "none"
    if not np.isfinite(known).all():
        return f"median {float(np.quantile(known, 0.5, method='inverted_cdf')):.6g}"
    if len(known) == 1:
        return f"{known[0]:.6g}"
    band = mean_band(known[:, None])
    middle, half = float(band.middle[0]), float(band.upper[0] - band.middle[0])
    if half < 1e-9 * max(1.0, abs(middle)):
        return f"{middle:.6g}"
    digits = max(0, 1 - int(np.floor(np.log10(half))))
    return f"{middle:.{digits}f} ± {half:.{digits}f}"
