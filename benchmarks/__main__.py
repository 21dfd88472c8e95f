"""`python -m benchmarks`: run some or all benchmarks; results as Markdown, written only of a run that completed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks import _report as report
from benchmarks import (
    box,
    coordination,
    cores,
    dilemmas,
    environment,
    figure63,
    history,
    influence,
    learning,
    particles,
    planning,
    reliability,
    sequence,
    signalling,
    start,
    statespace,
    td,
    training,
)
from benchmarks._options import Options
from benchmarks._peers import PEERS, find
from benchmarks._processes import ROOT, BenchmarkError, say

BENCHMARKS: dict[str, ModuleType] = {
    "environment": environment,
    "training": training,
    "start": start,
    "reliability": reliability,
    "learning": learning,
    "influence": influence,
    "planning": planning,
    "statespace": statespace,
    "particles": particles,
    "history": history,
    "td": td,
    "sequence": sequence,
    "cores": cores,
    "figure63": figure63,
    "box": box,
    "coordination": coordination,
    "dilemmas": dilemmas,
    "signalling": signalling,
}
# Minutes and more: only by name.
LONG = (
    "box",
    "coordination",
    "cores",
    "dilemmas",
    "planning",
    "signalling",
    "statespace",
    "particles",
    "td",
    "figure63",
)
COMPARED = ("environment",)  # those that know peers
QUICK = Options(repeats=1, seconds=0.5)


def main(given: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a run that could not be completed, 2 arguments that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; if left out all but {', '.join(LONG)}"
    )
    for peer in PEERS:
        parser.add_argument(
            f"--{peer.key}", type=Path, metavar="CHECKOUT", help=f"of {peer.url} (or set {peer.variable})"
        )
    parser.add_argument("--repeats", type=int, default=5, help="processes of each contender (default 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="least time measured in a process (default 4)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the Markdown files")
    parser.add_argument("--quick", action="store_true", help="one short repeat, printed and not written: a rehearsal")
    options = parser.parse_args(given)
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if options.repeats < 1 or not options.seconds > 0:
        parser.error("--repeats must be at least 1 and --seconds positive")
    try:
        for name in options.names or (name for name in BENCHMARKS if name not in LONG):
            _one(name, options)
    except BenchmarkError as error:
        say(f"benchmarks: {error}")
        return 1
    return 0


def _one(name: str, given: argparse.Namespace) -> None:
    """Run one benchmark, and write or print its results."""
    found = {peer.title: find(peer, getattr(given, peer.key)) for peer in PEERS} if name in COMPARED else {}
    checkouts = tuple(checkout for checkout in found.values() if checkout is not None)
    skipped = tuple(title for title, checkout in found.items() if checkout is None)
    times = QUICK if given.quick else given
    options = Options(repeats=times.repeats, seconds=times.seconds, checkouts=checkouts, skipped=skipped)
    module = BENCHMARKS[name]
    # Where the checkouts lie is this machine's business; what they hold is told by their commits.
    words = ["python -m benchmarks", name, *(f"--{one.peer.key} CHECKOUT" for one in checkouts)]
    words += ["--quick"] if given.quick else [f"--repeats {options.repeats} --seconds {options.seconds:g}"]
    head = report.header(name, " ".join(words), checkouts, module.settings(options))
    source = report.fingerprint()
    text = head + module.run(options)
    if report.fingerprint() != source:
        raise BenchmarkError(f"the files under src changed while {name} ran: its figures are of no one version")
    if given.quick:
        print(text)
        return
    path = report.write(ROOT / given.out, name, text)
    print(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    sys.exit(main())
