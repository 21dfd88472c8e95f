"""Playing with what a run has learned: whole episodes, as records."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from suasion.agents import Experiment, Learner, Played, Script, play
from suasion.games import Measure, society
from suasion.records import Episode, RecordError, RunPaths, newest_checkpoint, read_run, write_episode
from suasion.runs._checkpoint import restore_learner
from suasion.runs._config import LARGEST_SEED, RunConfig, build
from suasion.runs._plain import ConfigError

_play = jax.jit(play, static_argnums=(0, 1, 4), static_argnames=("greedy", "script"))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LoadedRun:
    """A run with the learner of its newest checkpoint.

    Attributes:
        path: its directory.
        config: of the run.
        experiment: built from it.
        learner: as it was saved.
        step: environment steps that it had been trained for.
        rejected: messages about newer checkpoints that were damaged and passed over.
        players: who has each place, if not the run's own agents; for the records.
        script: of the places that follow none of the networks (see `agents.play`); None: all do.
    """

    path: Path
    config: RunConfig
    experiment: Experiment
    learner: Learner
    step: int
    rejected: tuple[str, ...]
    players: tuple[str, ...] = ()
    script: Script | None = None


def load_run(path: str | Path) -> LoadedRun:
    """Open a run.

    Raises:
        RecordError: it is not a run, has no checkpoint yet, or only damaged ones.
        ConfigError: its configuration is of another version, or cannot be.
    """
    config = RunConfig.from_json(read_run(path).config)
    checkpoint = newest_checkpoint(RunPaths(Path(path)).checkpoints)
    if checkpoint is None:
        raise RecordError(f"{path}: has no checkpoint yet")
    experiment = build(config)
    return LoadedRun(
        path=Path(path),
        config=config,
        experiment=experiment,
        learner=restore_learner(config, experiment, checkpoint),
        step=checkpoint.step,
        rejected=checkpoint.rejected,
    )


def play_run(run: LoadedRun | str | Path, *, episodes: int = 1, seed: int = 0, greedy: bool = False) -> list[Episode]:
    """Play whole episodes with the policies of a run's newest checkpoint, without learning.

    Args:
        run: opened, or its directory.
        episodes: how many.
        seed: of first states, actions and the game; not the run's own.
        greedy: the most probable action instead of a sampled one.

    Returns:
        The episodes as records; equal arguments give equal ones.

    Raises:
        RecordError: see `load_run`.
        ConfigError: a number out of range.
        ValueError: a game without a time limit.
    """
    opened = run if isinstance(run, LoadedRun) else load_run(run)
    played = played_run(opened, episodes=episodes, seed=seed, greedy=greedy)
    return records(opened, jax.device_get(played), seed)


def played_run(run: LoadedRun, *, episodes: int, seed: int, greedy: bool) -> Played:
    """The episodes of `play_run` as arrays, with their trajectory.

    Raises:
        ConfigError: a number out of range.
        ValueError: a game without a time limit.
    """
    if episodes < 1:
        raise ConfigError(f"episodes is {episodes}, must be at least 1")
    if not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(f"seed is {seed}, must lie in 0..{LARGEST_SEED}")
    experiment, params = run.experiment, run.learner.params.policy
    key = jax.random.key(seed)
    return _play(experiment.game, experiment.policy, params, key, episodes, greedy=greedy, script=run.script)


def write_episodes(run: LoadedRun, episodes: Sequence[Episode]) -> list[Path]:
    """Write episodes into the run's directory; the files' names tell step, seed and number.

    Raises:
        OSError: the disk refused.
    """
    RunPaths(run.path).episodes.mkdir(exist_ok=True)
    paths = []
    for number, episode in enumerate(episodes):
        paths.append(episode_path(run, episode.seed, number))
        write_episode(paths[-1], episode)
    return paths


def episode_path(run: LoadedRun, seed: int, number: int) -> Path:
    """Where an episode of a run lies."""
    return RunPaths(run.path).episodes / f"step-{run.step:012d}-seed-{seed}-{number}.suasion"


def measures(episodes: Sequence[Episode]) -> list[dict[str, Measure]]:
    """The measures of a society for each episode (see `games.society`)."""
    return [society(episode.rewards, episode.events) for episode in episodes]


def records(run: LoadedRun, played: Played, seed: int) -> list[Episode]:
    """What was played (NumPy arrays), as records."""
    spec = run.experiment.game.spec
    names = tuple(f"agent {k + 1}" for k in range(spec.agents))
    drawn = all(name in spec.classes for name in names)
    codes = tuple(spec.classes.index(name) for name in names) if drawn else None

    def of(array: Any, episode: int, dtype: type) -> np.ndarray:
        return np.ascontiguousarray(array[:, episode], dtype)

    return [
        Episode(
            game=spec.name,
            classes=spec.classes,
            palette=spec.palette,
            actions_names=spec.actions,
            boards=of(played.boards, k, np.uint8),
            views=of(played.views, k, np.uint8),
            actions=of(played.actions, k, np.int16),
            rewards=of(played.rewards, k, np.float32),
            events={name: of(values, k, np.float32) for name, values in played.events.items()},
            headings=None if played.headings is None else of(played.headings, k, np.int8),
            messages=None if played.messages is None else of(played.messages, k, np.int16),
            agents=names,
            seed=seed,
            step=run.step,
            note="; ".join((run.config.label, *run.players)),
            agent_codes=codes,
        )
        for k in range(played.rewards.shape[1])
    ]
