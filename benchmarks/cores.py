"""The memories of agents: speed against our LSTM, two memory tasks with a known ceiling, small Harvest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks import _report as report
from benchmarks import _studies as studies
from benchmarks._options import Options
from benchmarks._processes import Contender, interleave, say
from benchmarks._worker_cores import SEQUENCES, STEPS, WIDTH

CORES = ("lstm", "gru", "diagonal", "s4d", "mamba")
SPEED_BARS = {"mamba": 0.45, "diagonal": 1.8}  # times the LSTM's speed
SEEDS = range(730, 733)
TASKS = {"t-maze": (1.0, 0.5), "recall": (38.0, 9.5)}  # ceiling and chance of an episode, of the games' defaults
TASK_CORES = ("diagonal", "mamba", "lstm", "none")
REACHED = 0.95  # of the ceiling: the bar of diagonal and Mamba
EPISODES = 1024  # of the evaluation of a memory task
WINDOW = 10  # updates whose mean says that a share is reached
HARVEST_SEEDS = range(320, 323)


def memory_study(game: str) -> studies.Study:
    """One memory task with every core that has something to show there; the preset's steps."""
    conditions = {core: (game, "--core", core) for core in TASK_CORES}
    return studies.Study(
        name=f"cores-{game}", conditions=conditions, seeds=dict.fromkeys(conditions, SEEDS), episodes=EPISODES
    )


def harvest_study() -> studies.Study:
    """Small Harvest with every core, everything else the preset's."""
    conditions = {core: ("harvest", "--core", core) for core in CORES}
    return studies.Study(
        name="cores-harvest", conditions=conditions, seeds=dict.fromkeys(conditions, HARVEST_SEEDS), episodes=32
    )


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "speed": f"gradients of a weighted sum of the outputs with respect to parameters and features; {SEQUENCES} "
        f"sequences x {STEPS} steps, width {WIDTH}, {WIDTH} features, an episode begins in 1 of 100 steps; the cores "
        "take turns call by call in one process; the least CPU seconds of a call, on one thread as the command line "
        "sets it",
        "memory tasks": f"`suasion train GAME --core CORE --seed S --shards 1`, S from {SEEDS.start} to "
        f"{SEEDS.stop - 1}, the presets as committed; then {EPISODES} episodes, actions sampled",
        "Harvest": f"`suasion train harvest --core CORE --seed S --shards 1`, S from {HARVEST_SEEDS.start} to "
        f"{HARVEST_SEEDS.stop - 1}, the preset's steps; then 32 episodes",
        "seeds": "nothing was tuned on them",
        "runs": studies.RUNS,
    }


def run(options: Options) -> str:
    """The Markdown of the three parts."""
    text = _speed(options)
    with studies.root() as root:
        for game in TASKS:
            text += _task(game, root)
        return text + _harvest(root)


def _speed(options: Options) -> str:
    say("cores, speed")
    worker = Contender(
        name="all cores", module="_worker_cores", arguments=(",".join(CORES), "--seconds", f"{options.seconds:g}")
    )
    rows = [row[0] for row in interleave([worker], options.repeats)]
    cpu = {core: [1e3 * row[core]["cpu"] for row in rows] for core in CORES}
    text = f"\n## Forward and backward, CPU ms\n\n{report.repeats(cpu, ',.0f')}\n"
    facts = [
        (
            core,
            f"{rows[0][core]['parameters']:,}",
            f"{rows[0][core]['memory'] / 2**20:,.0f}",
            f"{median(report.ratios(cpu['lstm'], cpu[core])):.2f}",
        )
        for core in CORES
    ]
    text += report.table(("core", "parameters", "temporary memory, MiB", "speed, times LSTM"), facts) + "\n"
    for core, least in SPEED_BARS.items():
        text += report.bar(f"{core}, times the LSTM's speed", report.ratios(cpu["lstm"], cpu[core]), least=least)
    return text


def _task(game: str, root: Path) -> str:
    """A memory task: the end, when 95 % of the ceiling were reached, and the bars."""
    ceiling, chance = TASKS[game]
    study = memory_study(game)
    found = studies.outcomes(study, root)
    rows, text = [], ""
    for core, seeds in found.items():
        shares = {seed: (one.sampled["return"] or 0.0) / ceiling for seed, one in seeds.items()}
        for seed, one in seeds.items():
            step = _reached(studies.folder(root, study, core) / f"seed-{seed}" / "metrics.jsonl", REACHED * ceiling)
            reached = "-" if step is None else f"{step:,}"
            rows.append((core, str(seed), f"{shares[seed]:.3f}", reached, f"{one.cpu:.0f}"))
        text += _verdict(core, shares, chance / ceiling)
    head = ("core", "seed", "share of the ceiling", f"{REACHED:.0%} while learning, at step", "CPU s")
    title = f"\n## {game}: ceiling {ceiling:g}, chance {chance:g} an episode\n\n"
    return title + report.table(head, rows) + "\n" + text


def _verdict(core: str, shares: Mapping[int, float], chance: float) -> str:
    """The line of a core's bar; a core without a bar has none."""
    if not shares:
        return f"- {core}: not run\n"
    if core == "none":
        return f"- no memory, share of the ceiling: {max(shares.values()):.3f} at most; chance is {chance:g}\n"
    if core not in SPEED_BARS:
        return ""
    return report.bar(f"{core}, share of the ceiling, least of the seeds", [min(shares.values())], least=REACHED)


def _reached(metrics: Path, level: float) -> int | None:
    """The first step at which the mean return of a few updates was at this level."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    points = [(row["step"], row["episode/return"]) for row in rows if row["episode/return"] is not None]
    for end in range(WINDOW, len(points) + 1):
        if sum(value for _, value in points[end - WINDOW : end]) / WINDOW >= level:
            return int(points[end - 1][0])
    return None


def _harvest(root: Path) -> str:
    """Reward and speed with every core: the table, whatever it says."""
    study = harvest_study()
    found = studies.outcomes(study, root)
    rows = []
    for core, seeds in found.items():
        for seed, one in seeds.items():
            metrics = studies.folder(root, study, core) / f"seed-{seed}" / "metrics.jsonl"
            steps = json.loads(metrics.read_text().splitlines()[-1])["step"]
            reward = studies.number(one.sampled["return"])
            rows.append((core, str(seed), reward, f"{one.cpu:.0f}", f"{steps / one.cpu:,.0f}"))
    head = ("core", "seed", "collective reward an episode", "CPU s", "environment steps per CPU second")
    summary = studies.summary(found, {"return": "collective reward"})
    return f"\n## Small Harvest\n\n{summary}\n" + (report.table(head, rows) if rows else "")
