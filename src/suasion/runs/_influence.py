"""Who influenced whom in a run: whole episodes with influence in their records, and its measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from suasion.games import Spec
from suasion.influence import Communication, behaviour, communication, measure, phases, tabled
from suasion.records import Episode, RecordError, refuse
from suasion.runs._play import LoadedRun, episode_path, load_run, played_run, records
from suasion.runs._tables import Tables

_measure = jax.jit(measure, static_argnums=0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Episodes of a run, and what there was of influence in them.

    Attributes:
        episodes: records, with the influence of every agent on every other: as the run's own reward sees it where it
            has one, and, of actions, exactly; and with what others would have done in the most influential moments.
        measures: of each episode by name, see `docs/influence.md`; None where undefined.
        titles: of the measures, with their units.
        communication: how agents that send messages use them; None without messages.
    """

    episodes: tuple[Episode, ...]
    measures: tuple[dict[str, float | None], ...]
    titles: dict[str, str]
    communication: Communication | None = None


def observe_run(
    run: LoadedRun | str | Path,
    *,
    episodes: int = 32,
    seed: int = 0,
    greedy: bool = False,
    counterfactuals: bool = False,
    force: bool = False,
) -> Observed:
    """Play whole episodes with the agents of a run and measure how they influence each other.

    Args:
        run: opened, or its directory.
        episodes: how many.
        seed: of all chance in them.
        greedy: the most probable action instead of a sampled one. Influence that rests on chance is then not shown.
        counterfactuals: also write what others would have done in all moments, a file (see `Counterfactuals`) for each
            episode, beside its record.
        force: replace such files.

    Raises:
        RecordError: see `load_run`; or such a file is there and `force` is not given.
        ConfigError: a number out of range.
        ValueError: a game without a time limit.
        OSError: the disk refused.
    """
    opened = run if isinstance(run, LoadedRun) else load_run(run)
    beside = [counterfactuals_path(opened, seed, number) for number in range(episodes)] if counterfactuals else []
    for path in beside:
        refuse(path, force=force)
    played = played_run(opened, episodes=episodes, seed=seed, greedy=greedy)
    found = jax.device_get(_measure(opened.experiment, opened.learner.params, played.trajectory))
    spec, start = opened.experiment.game.spec, played.trajectory.start
    around = {
        event.name: jax.device_get(phases(played.events[event.name], start, jnp.zeros_like(start[0]))[1])
        for event in spec.events
        if event.landmark
    }
    kept, measures = [], []
    for k, episode in enumerate(records(opened, jax.device_get(played), seed)):
        own, simulated = (None if pairs is None else np.ascontiguousarray(pairs[:, k], np.float32) for pairs in found)
        influence = simulated if own is None else own
        kept.append(dataclasses.replace(episode, influence=influence, simulated=simulated))
        here = jax.tree.map(lambda where: where[:, k], around)  # noqa: B023  used at once
        measures.append(_measures(spec, kept[-1], here, paid=own is not None))
    if tabled(opened.experiment) is not None and any(episode.influence is not None for episode in kept):
        tables = Tables(opened, played)
        kept = tables.with_moments(kept)
        for number, path in enumerate(beside):
            path.parent.mkdir(exist_ok=True)
            tables.write(path, kept[number], number)
    elif beside:
        raise RecordError(f"{opened.path}: its influence has no tables of what others would have done")
    symbols = opened.config.policy.vocabulary
    return Observed(
        episodes=tuple(kept),
        measures=tuple(measures),
        titles=_titles(spec, measures),
        communication=communication(kept, symbols=symbols, seed=seed) if symbols else None,
    )


def counterfactuals_path(run: LoadedRun, seed: int, number: int) -> Path:
    """Where all counterfactuals of an episode of a run lie."""
    return episode_path(run, seed, number).with_suffix(".counterfactuals")


def _measures(
    spec: Spec, episode: Episode, around: Mapping[str, Mapping[str, np.ndarray]], *, paid: bool
) -> dict[str, float | None]:
    """All measures of one episode.

    Args:
        spec: of its game.
        episode: with influence.
        around: for each landmark the steps before, at and after it.
        paid: the episode's influence is that of the run's own reward.
    """
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
        for landmark, phase in around.items():
            for when, where in phase.items():
                mean = float(exerted.sum(-1)[where].mean()) if where.any() else None
                values[f"{name}_{when}_{landmark}"] = mean
    seen = behaviour(episode)
    for i in agents:
        values[f"moves_with_apple_{i + 1}"] = seen.moves_with_apple[i]
        values[f"moves_without_apple_{i + 1}"] = seen.moves_without_apple[i]
    for name in ("distance", "distance_at_influence", "moments", "moment_size"):
        values[name] = getattr(seen, name)
    return values


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
