"""Particle filters: stochastic volatility by the compiled bootstrap filter, against the `particles` package."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import _report as report
from benchmarks._options import Options
from benchmarks._peers import Wheels, interpreter
from benchmarks._processes import Contender, interleave, say

PARTICLES = Wheels(key="particles", title="particles", requirements=("particles==0.4",))
STEPS = 1000
BARS = {1_000: 2.0, 10_000: 0.0, 100_000: 1.0}  # particles -> least ratio of wall times, 0 where there is none
MEAN, PERSISTENCE, NOISE = -1.0, 0.95, 0.2


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "model": f"stochastic volatility, mean {MEAN}, persistence {PERSISTENCE}, noise {NOISE}; T = {STEPS}, seed 0",
        "suasion": "`particle_filter` of a `CompiledSSM`, systematic resampling below N / 2; filtered moments included",
        "particles": "`SMC` of `Bootstrap`, the same resampling; moments are not asked for",
        "timed": "median of the runs in one process after a first one; one thread; wall; contenders in turns; "
        f"repeats: {options.repeats}",
    }


def run(options: Options) -> str:
    """The Markdown of all numbers of particles."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "returns.npy"
        np.save(path, returns())
        return "".join(_case(number, least, path, options) for number, least in BARS.items())


def returns() -> np.ndarray:
    """A series of the model, float64[STEPS]."""
    rng = np.random.default_rng(0)
    x, out = MEAN + NOISE / np.sqrt(1 - PERSISTENCE**2) * rng.standard_normal(), np.empty(STEPS)
    for t in range(STEPS):
        out[t] = np.exp(x / 2) * rng.standard_normal()
        x = MEAN + PERSISTENCE * (x - MEAN) + NOISE * rng.standard_normal()
    return out


def _case(number: int, least: float, path: Path, options: Options) -> str:
    say(f"particles, N = {number}")
    arguments = (str(path), str(number), *(str(one) for one in (MEAN, PERSISTENCE, NOISE)))
    more = ("--seconds", str(options.seconds))
    ours = Contender(name="suasion", module="_worker_particles", arguments=(*arguments, *more))
    theirs = Contender(
        name="particles", module="_worker_particles_peer", arguments=(*arguments, *more),
        python=str(interpreter(PARTICLES)),
    )  # fmt: skip
    rows = interleave([ours, theirs], options.repeats)
    columns = {
        "suasion, ms": [1e3 * row[0]["wall"] for row in rows],
        f"particles {rows[0][1]['version']}, ms": [1e3 * row[1]["wall"] for row in rows],
    }
    mine, other = columns.values()
    ratio = report.ratios(other, mine)
    line = (
        report.bar("times particles", ratio, least=least)
        if least
        else (f"- times particles: {statistics.median(ratio):.3g}\n")
    )
    logs = [statistics.mean(row[i]["log_likelihood"] for row in rows) for i in (0, 1)]
    told = f"- log-likelihood, mean of all runs: {logs[0]:.3f} and {logs[1]:.3f}\n"
    first = f"- the first run of a process, compilation included: {rows[0][0]['first']:.2f} s\n"
    return f"\n## N = {number:,}\n\n{report.repeats(columns, '.1f')}\n{line}{told}{first}"
