"""The tragedy of the commons in one command: small Harvest with selfish and with shared reward, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from suasion import games, viewing
from suasion.records import Episode, read_metrics, write_whole
from suasion.runs import RunConfig, Status, build, configure, load_run, measures, play_run, train, write_episodes

Rows = Sequence[Mapping[str, Any]]  # of metrics.jsonl

CONDITIONS = {"selfish": "extrinsic=1", "shared": "shared=1"}
SMOOTH = 10  # updates in a point of the curves; some 60 episodes
_COLUMNS = {
    "return": "collective reward an episode",
    "apples": "apples eaten",
    "equality": "equality (1: all alike)",
    "sustainability": "sustainability (mean step of a reward)",
    "peace": "peace (1: nobody is hit)",
    "fining_beams": "fining beams fired",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """What the demonstration leaves behind.

    Attributes:
        files: the pictures and the table.
        sentences: what is to be seen, from the numbers.
    """

    files: tuple[Path, ...]
    sentences: tuple[str, ...]


def demonstrate(
    out: Path,
    *,
    seeds: int = 1,
    steps: int | None = None,
    episodes: int = 32,
    watch: Callable[[Status], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Told | None:
    """Train both conditions, evaluate them, and draw what happened.

    Args:
        out: folder for everything; existing runs in it go on.
        seeds: of each condition, from 0.
        steps: environment steps of each run; the preset's if None.
        episodes: of the evaluation, for each run.
        watch: of `train`.
        stop: of `train`.

    Returns:
        What is there now; None if it was stopped.
    """
    runs: dict[str, list[Path]] = {}
    config = _config("shared=1", steps, 0)
    for label, reward in CONDITIONS.items():
        runs[label] = [out / "runs" / label / f"seed-{seed}" for seed in range(seeds)]
        for seed, path in enumerate(runs[label]):
            train(_config(reward, steps, seed), path, watch=watch, stop=stop)
            if stop is not None and stop():
                return None
    played = {label: [_evaluate(path, episodes) for path in paths] for label, paths in runs.items()}
    scripted = _scripted(config, episodes)
    curves = {label: [read_metrics(path / "metrics.jsonl").rows for path in paths] for label, paths in runs.items()}
    files = _draw(out, curves, played, scripted)
    sentences = _sentences(curves, played, scripted)
    table = out / "table.md"
    write_whole(table, [_table(played, episodes).encode(), "\n".join(("", *sentences, "")).encode()])
    return Told(files=(*files, table), sentences=sentences)


def _config(reward: str, steps: int | None, seed: int) -> RunConfig:
    return configure("harvest", size="small", rewards=(reward,), steps=steps, seed=seed)


def _evaluate(path: Path, episodes: int) -> list[Episode]:
    """Episodes of the final policies; they are kept with the run."""
    run = load_run(path)
    played = play_run(run, episodes=episodes)
    write_episodes(run, [typical(played)])
    return played


def _scripted(config: RunConfig, episodes: int) -> float:
    """Collective reward an episode of agents that leave enough apples for regrowth."""
    game = build(config).game
    if not isinstance(game, games.Harvest):
        raise TypeError(f"{config.game} is not Harvest")
    played = games.play(game, games.sustainable(game), jax.random.key(0), episodes)
    return float(played.rewards.sum((1, 2)).mean())


def _draw(
    out: Path,
    curves: Mapping[str, Sequence[Rows]],
    played: Mapping[str, Sequence[Sequence[Episode]]],
    scripted: float,
) -> list[Path]:
    """The learning curves, and an episode of each condition."""
    figure = viewing.learning_curves(
        curves,
        "episode/return",
        ylabel="collective reward an episode",
        reference={"scripted, sustainable": scripted},
        smooth=SMOOTH,
    )
    files = [viewing.save_figure(figure, out / "curves.png")]
    files += [viewing.write_gif(typical(seeds[0]), out / f"{label}.gif") for label, seeds in played.items()]
    return files


def typical(episodes: Sequence[Episode]) -> Episode:
    """The episode whose collective reward is the median one."""
    order = sorted(episodes, key=lambda episode: float(episode.rewards.sum()))
    return order[len(order) // 2]


def _table(played: Mapping[str, Sequence[Sequence[Episode]]], episodes: int) -> str:
    """Means and 95 % intervals: over seeds where there are several, over episodes where there is one."""
    rows: dict[str, dict[str, list[float | None]]] = {}
    for label, seeds in played.items():
        each = [[{name: one[name].value for name in _COLUMNS} for one in measures(seed)] for seed in seeds]
        units = each[0] if len(each) == 1 else [_mean(seed) for seed in each]
        rows[label] = {name: [unit[name] for unit in units] for name in _COLUMNS}
    count = len(next(iter(played.values())))
    over = f"{episodes} episodes" if count == 1 else f"{count} seeds, each the mean of {episodes} episodes"
    head = f"Small Harvest, final policies: mean ± half-width of the 95 % interval over {over} (n).\n\n"
    return head + viewing.comparison_table(rows, _COLUMNS)


def _mean(episodes: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Means of those that are defined."""
    means: dict[str, float | None] = {}
    for name in _COLUMNS:
        defined = [value for one in episodes if (value := one[name]) is not None]
        means[name] = float(np.mean(defined)) if defined else None
    return means


def _sentences(
    curves: Mapping[str, Sequence[Rows]],
    played: Mapping[str, Sequence[Sequence[Episode]]],
    scripted: float,
) -> tuple[str, ...]:
    """What the numbers say, whatever they are."""
    selfish, shared = (_interval(played[label]) for label in CONDITIONS)
    noise = np.hypot(selfish[1], shared[1])
    difference = selfish[0] - shared[0]
    compared = "less than" if difference < -noise else "more than" if difference > noise else "about as much as"
    first = (
        f"After learning, selfish agents together get {selfish[0]:.1f} an episode, {compared} the {shared[0]:.1f} of "
        f"agents that share their reward"
    )
    if min(selfish[0], shared[0]) > 0:
        first += f" (ratio {selfish[0] / shared[0]:.2f})"
    first += f"; scripted agents that leave enough apples for regrowth get {scripted:.1f}."
    return first, _course(curves["selfish"])


def _interval(seeds: Sequence[Sequence[Episode]]) -> tuple[float, float]:
    """Mean collective reward and half-width of its 95 % interval, over seeds or over the episodes of a single one."""
    values = [[float(episode.rewards.sum()) for episode in seed] for seed in seeds]
    mean, half = viewing.mean_interval(values[0] if len(values) == 1 else [float(np.mean(seed)) for seed in values])
    return mean, half or 0.0


def _course(seeds: Sequence[Rows]) -> str:
    """How the selfish curve ran: its peak, and where it ended; and the apples that were left to grow from."""
    reward = np.mean([_smoothed(rows, "episode/return") for rows in seeds], 0)
    if not reward.size:
        return "No episode ended while learning: there is no curve to speak of."
    left = np.mean([_smoothed(rows, "episode/apples_left") for rows in seeds], 0)
    steps = [row["step"] for row in seeds[0] if row["episode/return"] is not None][-len(reward) :]
    peak = int(np.argmax(reward))
    top, end = float(reward[peak]), float(reward[-1])
    if top > 0 and end < 0.95 * top:
        return (
            f"Selfish agents were at their best at step {steps[peak]:,} with {top:.1f} and then lost "
            f"{1 - end / top:.0%} of it, ending at {end:.1f}; the apples left standing, averaged over an episode, went "
            f"from {left[peak]:.1f} then to {left[-1]:.1f} at the end."
        )
    return f"Selfish agents end at {end:.1f}, near the best of their course ({top:.1f}): no collapse in this run."


def _smoothed(rows: Rows, metric: str) -> Float[np.ndarray, " k"]:
    """Means of the last `SMOOTH` values where the metric is defined; of fewer only the last value."""
    values = np.array([row[metric] for row in rows if row[metric] is not None], np.float64)
    return np.convolve(values, np.ones(SMOOTH) / SMOOTH, "valid") if len(values) >= SMOOTH else values[-1:]
