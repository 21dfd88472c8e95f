"""Logs as Minari datasets, by the extra `interop`.

Minari has no field for the probability of an action. It is kept in each step's info under `behaviour_probability`; as
in all of Minari, the first info of an episode is that of the reset, and holds NaN.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy import ndarray

from suasion.td._log import COLUMNS, Transitions

KEY = "behaviour_probability"


def to_minari(
    log: Transitions, name: str, *, states: int | None = None, actions: int | None = None, **others: Any
) -> Any:
    """Write a log as a Minari dataset among the local ones; its episodes are numbered through, runs are not kept.

    A Minari dataset takes some 17 kilobytes for each episode: to exchange with other tools. `write_log` is smaller.

    Args:
        log: the log.
        name: of the dataset, such as `lake/uniform-v0`; there must be none of it yet.
        states: S of the observation space; the highest in the log and one more, if not given.
        actions: A of the action space; likewise.
        others: further arguments of `minari.create_dataset_from_buffers`, such as `description`.

    Returns:
        The dataset.

    Raises:
        ImportError: Minari is not installed.
        ValueError: a state or an action is beyond its space; the row.
    """
    minari, collector = _minari("minari"), _minari("minari.data_collector")
    from gymnasium.spaces import Discrete

    states = int(max(log.state.max(), log.next_state.max())) + 1 if states is None else states
    actions = int(log.action.max()) + 1 if actions is None else actions
    for what, held, size in (("state", log.state, states), ("next_state", log.next_state, states)):
        _inside(what, held, size)
    _inside("action", log.action, actions)
    buffers = []
    for start, length in zip(log.starts, log.lengths, strict=True):
        rows = slice(int(start), int(start + length))
        buffers.append(
            collector.EpisodeBuffer(
                observations=[*log.state[rows].tolist(), int(log.next_state[rows.stop - 1])],
                actions=log.action[rows].tolist(),
                rewards=log.reward[rows].tolist(),
                terminations=log.terminated[rows].tolist(),
                truncations=log.truncated[rows].tolist(),
                infos={KEY: np.append(np.nan, log.behaviour[rows])},
            )
        )
    return minari.create_dataset_from_buffers(
        name, buffers, observation_space=Discrete(states), action_space=Discrete(actions), **others
    )


def from_minari(dataset: Any, *, key: str = KEY, end: int | None = None) -> Transitions:
    """Read a Minari dataset with discrete observations and actions; a space that begins at m is counted from 0.

    Args:
        dataset: of `minari.load_dataset`.
        key: of the infos that hold the probabilities of the actions: one for each step, with or without one more in
            front, of the reset, which is not read.
        end: the state that stands for all in which an episode terminated, such as the one that `from_gymnasium` adds;
            the observation itself, if not given.

    Raises:
        ValueError: spaces are not discrete, an episode holds no probabilities under the key, or one outside (0, 1], or
            what is no log; the episode.
    """
    from gymnasium.spaces import Discrete

    spaces = {"observation": dataset.observation_space, "action": dataset.action_space}
    for name, space in spaces.items():
        if not isinstance(space, Discrete):
            raise ValueError(f"the {name} space is {space}, not discrete: a log holds states and actions by number")
    first, lowest = int(spaces["observation"].start), int(spaces["action"].start)
    parts: list[dict[str, ndarray]] = []
    for number, episode in enumerate(dataset.iterate_episodes()):
        steps = len(episode.rewards)
        if steps == 0:
            raise ValueError(f"episode {number} has no steps")
        seen = np.asarray(episode.observations).reshape(-1) - first
        after = seen[1:].copy()
        terminated, truncated = np.asarray(episode.terminations, bool), np.asarray(episode.truncations, bool).copy()
        truncated[-1] |= not terminated[-1]  # Minari lets an episode stop where the recording did
        if end is not None and terminated[-1]:
            after[-1] = end
        columns = {"run": np.zeros(steps), "episode": np.full(steps, number), "time": np.arange(steps)}
        columns |= {"state": seen[:-1], "action": np.asarray(episode.actions).reshape(-1) - lowest}
        columns |= {"next_state": after, "reward": np.asarray(episode.rewards, np.float64)}
        columns |= {"terminated": terminated, "truncated": truncated}
        columns["behaviour"] = _chances(episode, number, steps, key)
        parts.append(columns)
    if not parts:
        raise ValueError("the dataset has no episodes")
    held = {name: np.concatenate([part[name] for part in parts]).astype(kind) for name, kind in COLUMNS.items()}
    return Transitions(**held, about={"minari": str(dataset.spec.dataset_id)})


def _chances(episode: Any, number: int, steps: int, key: str) -> ndarray:
    infos = episode.infos or {}
    if key not in infos:
        held = ", ".join(sorted(map(str, infos))) or "none"
        raise ValueError(
            f"episode {number} has no info {key!r} (there are: {held}): without the probabilities of its actions "
            "importance sampling is impossible"
        )
    chances = np.asarray(infos[key], np.float64).reshape(-1)
    if len(chances) not in (steps, steps + 1):
        raise ValueError(f"episode {number} has {len(chances)} probabilities for {steps} steps")
    return chances[-steps:]


def _inside(name: str, held: ndarray, size: int) -> None:
    if (bad := held >= size).any():
        row = int(np.argmax(bad))
        raise ValueError(f"row {row} of the log: {name} is {int(held[row])}, and the space has {size}")


def _minari(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError("Minari is not installed: install suasion[interop]") from error
