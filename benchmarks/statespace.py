"""Hidden state: Kalman smoothers against statsmodels and simdkalman, hidden Markov models against hmmlearn."""

from __future__ import annotations

import dataclasses
import statistics

from benchmarks import _report as report
from benchmarks._options import Options
from benchmarks._peers import Wheels, interpreter
from benchmarks._processes import BenchmarkError, Contender, interleave, say

PEERS = Wheels(
    key="statespace",
    title="filters",
    requirements=("statsmodels==0.15.0", "simdkalman==1.0.4", "hmmlearn==0.3.3"),
)
APART = 1e-6  # of results that should be equal, relative to their size and number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One task on one size of data.

    Attributes:
        title: of the section.
        ours: contender of ours, or two.
        task: of the worker.
        states: of a chain; 0 of a Kalman filter.
        steps: of a sequence.
        count: of sequences.
        bars: for each peer the least ratio of wall times to each of ours; 0 where there is none.
    """

    title: str
    ours: tuple[str, ...]
    task: str = "smooth"
    states: int = 0
    steps: int
    count: int = 1
    bars: dict[str, tuple[float, ...]]


def _chains() -> tuple[Case, ...]:
    sizes = {2: 8.0, 10: 12.0, 50: 25.0}
    long = [
        Case(
            title=f"forward-backward, K = {K}, one sequence of {steps:,}", ours=("suasion",), states=K, steps=steps,
            bars={"log": (least,), "scaling": (1.8,)},
        )
        for steps in (1_000, 100_000) for K, least in sizes.items()
    ]  # fmt: skip
    paths = [
        Case(title=f"Viterbi, K = {K}", ours=("suasion",), task="decode", states=K, steps=1_000, bars={"log": (4.0,)})
        for K in sizes
    ]
    learned = [
        Case(
            title=f"Baum-Welch iteration, K = {K}", ours=("suasion",), task="fit", states=K, steps=1_000,
            bars={"log": (0.0,), "scaling": (3.0,)},
        )
        for K in sizes
    ]  # fmt: skip
    batch = Case(
        title="forward-backward, K = 2, 1,000 sequences of 100", ours=("suasion",), states=2, steps=100, count=1_000,
        bars={"log": (15.0,), "scaling": (0.0,)},
    )  # fmt: skip
    return (*long, *paths, *learned, batch)


CASES = (
    Case(
        title="Kalman filter and smoother, n = 2, one series of 10,000",
        ours=("root", "covariance"),
        steps=10_000,
        bars={"statsmodels": (3.0, 8.0)},
    ),
    Case(
        title="Kalman filter and smoother, n = 2, 1,000 series of 100",
        ours=("root", "covariance"),
        steps=100,
        count=1_000,
        bars={"simdkalman": (10.0, 10.0)},
    ),
    *_chains(),
)


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "suasion": "`smooth`, `decode`, `fit(iterations=1)`; root: the default, covariance: form=\"covariance\"",
        "statsmodels": "`KalmanSmoother.smooth`, smoothed state and covariance only, default inversion and tolerance",
        "simdkalman": "`KalmanFilter.smooth`, all series in one call",
        "hmmlearn": "`GaussianHMM`, diagonal covariances (ours are full); `score_samples`, `decode`, "
        "`fit` of one iteration; log: its "
        "default implementation, scaling: the other",
        "timed": "the median call of a process after a first one (which compiles or loads), for at least "
        f"{options.seconds:g} s; contenders in turns; repeats: {options.repeats}",
    }  # fmt: skip


def run(options: Options) -> str:
    """The Markdown of all cases."""
    return "".join(_case(case, options) for case in CASES)


def _case(case: Case, options: Options) -> str:
    say(f"statespace, {case.title}")
    sizes = (case.task, str(case.states), str(case.steps), str(case.count), "--seconds", f"{options.seconds:g}")
    python = str(interpreter(PEERS))
    contenders = [
        Contender(name=f"suasion {who}", module="_worker_statespace", arguments=(who, *sizes)) for who in case.ours
    ]
    contenders += [
        Contender(name=who, module="_worker_statespace", arguments=(who, *sizes), python=python) for who in case.bars
    ]
    rows = interleave(contenders, options.repeats)
    columns, bars = {}, ""
    for index, contender in enumerate(contenders):
        name = contender.name
        if name in ("log", "scaling"):
            name = f"hmmlearn {rows[0][index]['version']}, {name}"
        elif not name.startswith("suasion"):
            name = f"{name} {rows[0][index]['version']}"
        columns[f"{name}, ms"] = [1e3 * row[index]["wall"] for row in rows]
        _compare(rows[0][0], rows[0][index], case, name)
    names = list(columns)
    for place, least in enumerate(case.bars.values()):
        peer = names[len(case.ours) + place]
        for mine, bar in zip(names, least, strict=False):
            ratio = report.ratios(columns[peer], columns[mine])
            words = f"{mine.removesuffix(', ms')}: times {peer.removesuffix(', ms')}"
            bars += report.bar(words, ratio, least=bar) if bar else f"- {words}: {statistics.median(ratio):.3g}\n"
    return f"\n## {case.title}\n\n{report.repeats(columns, '.3f')}\n{bars}"


def _compare(ours: dict[str, float], theirs: dict[str, float], case: Case, name: str) -> None:
    """Refuse timings of different results: a weighted sum of all of them must agree."""
    entries = case.steps * case.count * max(case.states, 2)
    bound = APART * max(1.0, ours["size"]) * entries**0.5
    if not abs(ours["result"] - theirs["result"]) <= bound:
        raise BenchmarkError(f"{case.title}: {name} says {theirs['result']!r}, suasion {ours['result']!r}")
