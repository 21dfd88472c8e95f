"""Environment steps per second of Cleanup and Harvest, against SocialJax (wall) and SSD games (CPU)."""

from __future__ import annotations

from typing import Any

from benchmarks import _report as report
from benchmarks._options import Options
from benchmarks._peers import SOCIALJAX, SSD
from benchmarks._processes import Contender, interleave, say

BAR, GOAL = 30.0, 50.0
GAMES = ("cleanup", "harvest")
PLAYED = {
    SOCIALJAX.title: "`clean_up` and `harvest_common_open`, 5 agents, its default view of 11 x 11, 64 environments "
    "under `vmap` in a jitted `lax.scan` of 250 steps; random actions, its `step` (which resets and observes)",
    SSD.title: "`CleanupEnv` and `HarvestEnv`, 5 agents, 15 x 15 views, one environment, random actions",
}


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    here = {checkout.peer.title for checkout in options.checkouts}
    ours = {
        "suasion": "game at size `paper`, 5 agents, 15 x 15 views, 64 environments under `vmap` in a jitted "
        "`lax.scan` of 1,000 steps; random actions, `step`, reset where an episode ended, `observe`",
    }
    peers = {title: how for title, how in PLAYED.items() if title in here}
    return {
        **ours,
        **peers,
        "measured": f"at least {options.seconds:g} s in each process after a warm-up that includes compilation; "
        f"contenders in turns; repeats: {options.repeats}",
        "peers without a checkout, skipped": ", ".join(options.skipped) or "none",
    }


def run(options: Options) -> str:
    """The Markdown of both games."""
    return "".join(_game(name, options) for name in GAMES)


def _game(name: str, options: Options) -> str:
    say(f"environment, {name}")
    ours = Contender(name="suasion", module="_worker_environment", arguments=(name, "--seconds", str(options.seconds)))
    peers = [one.contender(name, "--seconds", str(options.seconds)) for one in options.checkouts]
    rows = interleave([ours, *peers], options.repeats)
    mine = [row[0] for row in rows]
    columns = {"suasion, steps/s": _rate(mine, "wall"), "suasion, steps/CPU s": _rate(mine, "cpu")}
    compared, bars = {}, ""
    for index, checkout in enumerate(options.checkouts, 1):
        theirs = [row[index] for row in rows]
        clock, unit = ("wall", "steps/s") if checkout.peer is SOCIALJAX else ("cpu", "steps/CPU s")
        columns[f"{checkout.peer.title}, {unit}"] = _rate(theirs, clock)
        ratio = report.ratios(_rate(mine, clock), _rate(theirs, clock))
        compared[f"suasion / {checkout.peer.title}, {unit}"] = ratio
        if name == "cleanup":
            bars += report.bar(f"times {checkout.peer.title} in {unit} (goal {GOAL:g})", ratio, least=BAR)
    text = f"\n## {name}\n\n{report.repeats(columns)}"
    if compared:
        text += f"\nRatios, pair by pair:\n\n{report.repeats(compared, '.1f')}"
    return text + (f"\n{bars}" if bars else "")


def _rate(figures: list[dict[str, Any]], clock: str) -> list[float]:
    return [one["steps"] / one[clock] for one in figures]
