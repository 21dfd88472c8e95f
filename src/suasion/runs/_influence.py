"""Who influenced whom in a run: whole episodes with influence in their records, and its measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from suasion.games import Spec
from suasion.influence import behaviour, measure
from suasion.records import Episode
from suasion.runs._play import LoadedRun, load_run, played_run, records

_measure = jax.jit(measure, static_argnums=0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Episodes of a run, and what there was of influence in them.

    Attributes:
        episodes: records, with the influence of every agent on every other: as the run's own reward sees it where it
            has one, and exactly.
        measures: of each episode by name, see `docs/influence.md`; None where undefined.
        titles: of the measures, with their units.
    """

    episodes: tuple[Episode, ...]
    measures: tuple[dict[str, float | None], ...]
    titles: dict[str, str]


def observe_run(run: LoadedRun | str | Path, *, episodes: int = 32, seed: int = 0, greedy: bool = False) -> Observed:
    """Play whole episodes with the agents of a run and measure how they influence each other.

    Args:
        run: opened, or its directory.
        episodes: how many.
        seed: of all chance in them.
        greedy: the most probable action instead of a sampled one. Influence that rests on chance is then not shown.

    Raises:
        RecordError: see `load_run`.
        ConfigError: a number out of range.
        ValueError: a game without a time limit.
    """
    opened = run if isinstance(run, LoadedRun) else load_run(run)
    played = played_run(opened, episodes=episodes, seed=seed, greedy=greedy)
    found = jax.device_get(_measure(opened.experiment, opened.learner.params, played.trajectory))
    kept = []
    for k, episode in enumerate(records(opened, jax.device_get(played), seed)):
        own, simulated = (None if pairs is None else np.ascontiguousarray(pairs[:, k], np.float32) for pairs in found)
        kept.append(dataclasses.replace(episode, influence=simulated if own is None else own, simulated=simulated))
    spec = opened.experiment.game.spec
    measures = tuple(_measures(spec, episode, paid=found.own is not None) for episode in kept)
    return Observed(episodes=tuple(kept), measures=measures, titles=_titles(spec, measures))


def _measures(spec: Spec, episode: Episode, *, paid: bool) -> dict[str, float | None]:
    """All measures of one episode; `paid`: its influence is that of the run's own reward."""
    agents = range(spec.agents)
    values: dict[str, float | None] = {"return": float(episode.rewards.sum())}
    values |= {f"return_{i + 1}": float(episode.rewards[:, i].sum()) for i in agents}
    for event in spec.events:
        total = float(episode.events[event.name].sum())
        values[event.name] = total / len(episode.actions) if event.level else total
    for name, pairs in (("influence", episode.influence if paid else None), ("simulated", episode.simulated)):
        if pairs is None:
            continue
        exerted = pairs.sum(-1)
        values |= {f"{name}_{i + 1}": float(exerted[:, i].mean()) for i in agents}
        for event in spec.events:
            if event.landmark:
                values |= _around(name, event.name, exerted.sum(-1), episode.events[event.name] > 0)
    seen = behaviour(episode)
    for i in agents:
        values[f"moves_with_apple_{i + 1}"] = seen.moves_with_apple[i]
        values[f"moves_without_apple_{i + 1}"] = seen.moves_without_apple[i]
    for name in ("distance", "distance_at_influence", "moments", "moment_size"):
        values[name] = getattr(seen, name)
    return values


def _around(name: str, event: str, exerted: Float[np.ndarray, " t"], occurs: np.ndarray) -> dict[str, float | None]:
    """Influence of all agents before, at and after an event; undefined where there is no such step."""
    earlier = np.cumsum(occurs) - occurs > 0
    phases = {"before": ~earlier & ~occurs, "at": ~earlier & occurs, "after": earlier}
    return {
        f"{name}_{when}_{event}": float(exerted[where].mean()) if where.any() else None
        for when, where in phases.items()
    }


def _titles(spec: Spec, measures: Sequence[dict[str, float | None]]) -> dict[str, str]:
    """A title for every measure that is defined in some episode."""
    titles = {"return": "collective reward", "moments": "share of influential moments"}
    titles |= {event.name: event.name.replace("_", " ") for event in spec.events}
    titles |= {"distance": "distance (cells)", "distance_at_influence": "distance at influence (cells)"}
    titles |= {"moment_size": "influence in them (nats)"}
    found = {}
    for name in measures[0]:
        if all(each[name] is None for each in measures):
            continue
        words = name.replace("_", " ")
        nats = " (nats a step)" if name.startswith(("influence", "simulated")) else ""
        share = " (share of steps)" if name.startswith("moves") else ""
        found[name] = titles.get(name, words + nats + share)
    return found
