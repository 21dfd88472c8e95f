"""Social influence in one command: Box Trapped with an influence reward and without, under the same curriculum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from suasion import viewing
from suasion._demo_commons import SMOOTH, Told, typical
from suasion.records import read_metrics, write_whole
from suasion.runs import (
    Observed,
    RunConfig,
    Status,
    configure,
    load_run,
    observe_run,
    on_the_clock,
    train,
    write_episodes,
)

INFLUENCE, CONTROL = "influence", "without"  # labels of the conditions
_COLUMNS = {
    "opened": "box opened (share of episodes)",
    "return_1": "apples of the free agent",
    "return_2": "apples of the trapped one",
    "influence_1": "influence (nats a step)",
    "simulated_1": "the same, exactly",
}


def demonstrate(
    out: Path,
    *,
    seeds: int = 1,
    steps: int | None = None,
    episodes: int = 32,
    watch: Callable[[Status], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Told | None:
    """Train both conditions, measure influence in what was learned, and draw it.

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
    for label in (INFLUENCE, CONTROL):
        runs[label] = [out / "runs" / f"box-{label}" / f"seed-{seed}" for seed in range(seeds)]
        for seed, path in enumerate(runs[label]):
            config = configure("box-trapped", influence={"mode": "model"}, steps=steps, seed=seed)
            if label == CONTROL:
                config = _unpaid(config, runs[INFLUENCE][seed])
            train(config, path, watch=watch, stop=stop)
            if stop is not None and stop():
                return None
    seen = {label: [_observe(path, episodes) for path in paths] for label, paths in runs.items()}
    files = [_curves(out, runs)]
    for label, observed in seen.items():
        files.append(viewing.write_gif(typical(observed[0].episodes), out / f"box-{label}.gif"))
    sentences = (_sentence(seen),)
    table = out / "box.md"
    write_whole(table, [_table(seen, episodes).encode(), "\n".join(("", *sentences, "")).encode()])
    return Told(files=(*files, table), sentences=sentences)


def _unpaid(config: RunConfig, twin: Path) -> RunConfig:
    """The same without the influence reward; apples come when they came in the twin, which is paid for influence."""
    clocked = on_the_clock(config, load_run(twin).learner.fired.tolist())
    rewards = tuple((name, "0" if name == "influence" else weight) for name, weight in clocked.rewards)
    return dataclasses.replace(clocked, rewards=rewards)


def _observe(path: Path, episodes: int) -> Observed:
    """Episodes of the final policies; a typical one is kept with the run."""
    run = load_run(path)
    seen = observe_run(run, episodes=episodes)
    write_episodes(run, [typical(seen.episodes)])
    return seen


def _curves(out: Path, runs: Mapping[str, Sequence[Path]]) -> Path:
    """How often the box was opened while learning."""
    labels = {INFLUENCE: "paid for influence", CONTROL: "not paid for it, same curriculum"}
    rows = {
        labels[label]: [read_metrics(path / "metrics.jsonl").rows for path in paths] for label, paths in runs.items()
    }
    figure = viewing.learning_curves(
        rows, "episode/opened", ylabel="share of episodes with the box opened", smooth=SMOOTH
    )
    return viewing.save_figure(figure, out / "box.png")


def _table(seen: Mapping[str, Sequence[Observed]], episodes: int) -> str:
    """Means and 95 % intervals: over seeds where there are several, over episodes where there is one."""
    rows: dict[str, dict[str, list[float | None]]] = {}
    for label, seeds in seen.items():
        one = seeds[0].measures
        rows[label] = {
            name: [_mean(each, name) for each in seeds] if len(seeds) > 1 else [episode[name] for episode in one]
            for name in _COLUMNS
        }
    count = len(seen[INFLUENCE])
    over = f"{episodes} episodes" if count == 1 else f"{count} seeds, each the mean of {episodes} episodes"
    head = f"Box Trapped, final policies: mean ± half-width of the 95 % interval over {over} (n).\n\n"
    return head + viewing.comparison_table(rows, _COLUMNS)


def _mean(seen: Observed, name: str) -> float | None:
    """Over the episodes in which it is defined."""
    defined = [value for each in seen.measures if (value := each[name]) is not None]
    return float(np.mean(defined)) if defined else None


def _sentence(seen: Mapping[str, Sequence[Observed]]) -> str:
    """What the numbers say, whatever they are."""
    opened = {label: np.mean([_mean(each, "opened") or 0.0 for each in seeds]) for label, seeds in seen.items()}
    freed = {label: np.mean([_mean(each, "return_2") or 0.0 for each in seeds]) for label, seeds in seen.items()}
    return (
        f"The free agent, which gains no apple by it, opens the other's box in {opened[INFLUENCE]:.0%} of the episodes "
        f"if it is paid for influence and in {opened[CONTROL]:.0%} if not; the trapped one then eats "
        f"{freed[INFLUENCE]:.1f} and {freed[CONTROL]:.1f} apples an episode."
    )
