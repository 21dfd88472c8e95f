"""Hidden state: Kalman smoothers and hidden Markov models against six packages, on the same numbers."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from benchmarks import _report as report
from benchmarks._options import Options
from benchmarks._peers import Wheels, interpreter
from benchmarks._processes import BenchmarkError, Contender, interleave, say

PEERS = Wheels(
    key="statespace",
    title="filters",
    requirements=(
        "statsmodels==0.15.0", "simdkalman==1.0.4", "hmmlearn==0.3.3", "filterpy==1.4.5", "pykalman==0.11.2",
    ),
)  # fmt: skip
DYNAMAX = Wheels(key="dynamax", title="dynamax", requirements=("dynamax==1.0.3", "jax==0.10.2", "numpy==2.4.6"))
APART = 1e-6  # of results that should be equal, relative to their size and number
MOST = Options(repeats=3, seconds=0.5)  # of a case: there are many, and some peers are slow


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One task on several sizes of data.

    Attributes:
        title: of the section.
        ours: contender of ours, or two.
        task: of the worker.
        states: of chains; 0 of a Kalman filter.
        steps: of a sequence.
        count: of sequences.
        bars: for each peer the least ratio of wall times, to each of ours and at each size; 0 where there is none.
        best: the least ratio of the best peer's; 0 where there is none.
        parts: of a slow peer at each size: it is timed on one of so many parts of the steps.
    """

    title: str
    ours: tuple[str, ...] = ("suasion",)
    task: str = "smooth"
    states: tuple[int, ...] = (0,)
    steps: int
    count: int = 1
    bars: dict[str, tuple[float, ...]]
    best: float = 0.0
    parts: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    def arguments(self, who: str) -> tuple[str, ...]:
        """Of the worker, but for the time."""
        parts = self.parts.get(who, (1,) * len(self.states))
        sizes = (f"{states}:{part}" for states, part in zip(self.states, parts, strict=True))
        return (who, self.task, str(self.steps), str(self.count), *sizes)


SIZES, NONE = (2, 10, 50), (0.0,) * 3
CASES = (
    Case(
        title="forward-backward, one sequence of 1,000", states=SIZES, steps=1_000, best=1.8,
        bars={"log": (8.0, 12.0, 25.0), "scaling": NONE, "dynamax": NONE},
    ),
    Case(
        title="forward-backward, one sequence of 100,000", states=SIZES, steps=100_000, best=1.8,
        bars={"log": (8.0, 12.0, 25.0), "scaling": NONE, "dynamax": NONE}, parts={"log": (1, 1, 10)},
    ),
    Case(title="Viterbi, one sequence of 1,000", task="decode", states=SIZES, steps=1_000, bars={"log": (4.0,) * 3}),
    Case(
        title="Baum-Welch, an expectation and a maximisation, one sequence of 1,000", task="fit", states=SIZES,
        steps=1_000, bars={"log": NONE, "scaling": (3.0,) * 3},
    ),
    Case(
        title="forward-backward, 1,000 sequences of 100", states=(2, 10), steps=100, count=1_000,
        bars={"log": (15.0,) * 2, "scaling": NONE[:2], "dynamax": (0.8,) * 2},
    ),
    Case(
        title="Kalman filter and smoother, n = 2, one series of 10,000", ours=("root", "covariance"), steps=10_000,
        bars={"statsmodels": (3.0, 8.0), "filterpy": (40.0,) * 2, "pykalman": (40.0,) * 2, "dynamax": NONE[:2]},
        parts={"filterpy": (10,), "pykalman": (10,)},
    ),
    Case(
        title="Kalman filter and smoother, n = 2, 1,000 series of 100", ours=("root", "covariance"), steps=100,
        count=1_000, bars={"simdkalman": (10.0,) * 2, "dynamax": NONE[:2]},
    ),
)  # fmt: skip


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    times = _within(options)
    return {
        "suasion": "`smooth`, `decode`, `fit`; root: the default, covariance: form=\"covariance\"",
        "hmmlearn": "`GaussianHMM`, diagonal covariances (ours are full); `score_samples`, `decode`, `fit`; log: its "
        "default implementation, scaling: the other",
        "Baum-Welch": "a call with twelve expectations, of which a twelfth is told; hmmlearn maximises twelve times in "
        "it, suasion eleven",
        "dynamax": "`hmm_smoother`, `lgssm_smoother`, float64, compiled before, batches under `vmap`; with emissions",
        "statsmodels": "`KalmanSmoother.smooth`, smoothed state and covariance only, default inversion and tolerance",
        "simdkalman": "`KalmanFilter.smooth`, all series in one call",
        "filterpy, pykalman": "`batch_filter` and `rts_smoother`; `smooth`; on a tenth of the steps, times ten, as "
        "hmmlearn's default of 50 states and 100,000 steps is",
        "timed": "the median call of a process after a first one (which compiles or loads), for at least "
        f"{times.seconds:g} s and two or three calls; contenders in turns; repeats: {times.repeats}",
    }  # fmt: skip


def run(options: Options) -> str:
    """The Markdown of all cases."""
    return "".join(_case(case, _within(options)) for case in CASES)


def _within(options: Options) -> Options:
    return Options(repeats=min(options.repeats, MOST.repeats), seconds=min(options.seconds, MOST.seconds))


def _case(case: Case, options: Options) -> str:
    say(f"statespace, {case.title}")
    contenders = [_contender(_own(who), who, case, options) for who in case.ours]
    contenders += [_contender(who, who, case, options) for who in case.bars]
    rows = interleave(contenders, options.repeats)
    text = f"\n## {case.title}\n"
    for place, states in enumerate(case.states):
        columns = {}
        for index, contender in enumerate(contenders):
            name, figures = _name(contender.name, rows[0][index]["version"]), rows[0][index]
            columns[name] = [1e3 * row[index]["wall"][place] for row in rows]
            if case.parts.get(contender.name, (1,) * len(case.states))[place] == 1:
                _compare(rows[0][0], figures, place, case, name)
        head = f"\n### K = {states}\n" if states else ""
        text += f"{head}\n{report.repeats({f'{name}, ms': held for name, held in columns.items()}, '.3f')}\n"
        text += _bars(case, place, columns)
    return text


def _contender(name: str, who: str, case: Case, options: Options) -> Contender:
    arguments = (*case.arguments(who), "--seconds", f"{options.seconds:g}")
    if who in case.ours:
        return Contender(name=name, module="_worker_statespace", arguments=arguments)
    python = str(interpreter(DYNAMAX if who == "dynamax" else PEERS))
    return Contender(name=name, module="_worker_statespace", arguments=arguments, python=python)


def _own(who: str) -> str:
    return who if who == "suasion" else f"suasion {who}"


def _name(who: str, version: str) -> str:
    if who in ("log", "scaling"):
        return f"hmmlearn {version} {who}"
    return who if who.startswith("suasion") else f"{who} {version}"


def _bars(case: Case, place: int, columns: dict[str, list[float]]) -> str:
    """Ratios of every peer to each of ours."""
    text, names = "", list(columns)
    ours, peers = names[: len(case.ours)], names[len(case.ours) :]
    for which, mine in enumerate(ours):
        for peer, least in zip(peers, case.bars.values(), strict=True):
            ratio = report.ratios(columns[peer], columns[mine])
            bar = least[which if len(ours) > 1 else place]
            words = f"{mine}: times {peer}"
            text += report.bar(words, ratio, least=bar) if bar else f"- {words}: {statistics.median(ratio):.3g}\n"
        if case.best:
            fastest = [min(held) for held in zip(*(columns[peer] for peer in peers), strict=True)]
            text += report.bar(f"{mine}: times the best peer", report.ratios(fastest, columns[mine]), least=case.best)
    return text


def _compare(ours: dict[str, Any], theirs: dict[str, Any], place: int, case: Case, name: str) -> None:
    """Refuse timings of different results: a weighted sum of all of them must agree."""
    entries = case.steps * case.count * max(case.states[place], 2)
    bound = APART * max(1.0, ours["size"][place]) * entries**0.5
    if not abs(ours["result"][place] - theirs["result"][place]) <= bound:
        raise BenchmarkError(
            f"{case.title}: {name} says {theirs['result'][place]!r}, suasion {ours['result'][place]!r}"
        )
