"""What agents do when they influence each other: measures of one episode's record, in NumPy.

The notes' NX1 (who moves when), NX3 (who stays near whom) and NX2 (influence is rare, and high when it occurs).

Letters of the shapes: t steps, n agents; k influences j.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from suasion.records import Episode

_STEPS = ("left", "right", "up", "down")  # actions that are moves


@dataclasses.dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Measures of one episode; None where a measure is undefined.

    Attributes:
        moves_with_apple: of each agent, the share of steps with an apple in view on which it moves; None where it
            never sees one, or the game has no apples.
        moves_without_apple: likewise for steps without.
        distance: mean over steps and pairs of the larger of row and column distance, in cells; None in games whose
            map does not show the agents.
        distance_at_influence: the same for pairs k, j in moments in which k influences j more than on average.
        moments: share of steps on which an agent's influence is above its mean over the episode, mean over agents that
            have any; None without influence.
        moment_size: mean influence of an agent in those moments, in nats.
        fires: fining beams fired by each agent; None in games without.
    """

    moves_with_apple: tuple[float | None, ...]
    moves_without_apple: tuple[float | None, ...]
    distance: float | None
    distance_at_influence: float | None
    moments: float | None
    moment_size: float | None
    fires: tuple[float, ...] | None


def behaviour(episode: Episode) -> Behaviour:
    """Measure an episode; its `influence`, where it has any, is that of k on j in step t."""
    moves = np.isin(episode.actions, [i for i, name in enumerate(episode.actions_names) if name in _STEPS])
    steps = len(moves)
    sees = np.zeros_like(moves)
    if "apple" in episode.classes:
        sees = (episode.views[:steps] == episode.classes.index("apple")).any((2, 3))
    apart = _distances(episode)
    moments, size = _moments(episode.influence)
    fires = episode.events.get("fires")
    return Behaviour(
        moves_with_apple=_shares(moves, sees),
        moves_without_apple=_shares(moves, ~sees) if "apple" in episode.classes else (None,) * moves.shape[1],
        distance=None if apart is None else _mean(apart[:, ~np.eye(moves.shape[1], dtype=bool)]),
        distance_at_influence=_near(apart, episode.influence),
        moments=moments,
        moment_size=size,
        fires=None if fires is None else tuple(float(total) for total in fires.sum(0)),
    )


def _shares(moves: Bool[np.ndarray, "t n"], where: Bool[np.ndarray, "t n"]) -> tuple[float | None, ...]:
    return tuple(_mean(column[chosen]) for column, chosen in zip(moves.T, where.T, strict=True))


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if values.size else None


def _distances(episode: Episode) -> Float[np.ndarray, "t k j"] | None:
    """The larger of row and column distance of every pair in each state that is followed by a step."""
    if episode.agent_codes is None:
        return None
    steps = len(episode.actions)
    places = np.stack([_places(episode.boards[:steps], code) for code in episode.agent_codes], 1)
    if (places < 0).any():
        return None
    return np.abs(places[:, :, None] - places[:, None]).max(-1).astype(float)


def _places(boards: np.ndarray, code: int) -> Int[np.ndarray, "t 2"]:
    """Row and column of a code on each board; -1 where it is not shown."""
    width = boards.shape[2]
    flat = (boards == code).reshape(len(boards), -1)
    index = flat.argmax(1)
    return np.where(flat.any(1)[:, None], np.stack([index // width, index % width], 1), -1)


def _near(apart: Float[np.ndarray, "t k j"] | None, influence: Float[np.ndarray, "t k j"] | None) -> float | None:
    if apart is None or influence is None:
        return None
    high = influence > influence.mean(0, keepdims=True)
    return _mean(apart[high])


def _moments(influence: Float[np.ndarray, "t k j"] | None) -> tuple[float | None, float | None]:
    """Share and size of the influential moments, mean over the agents that have influence."""
    if influence is None or not len(influence):
        return None, None
    exerted = influence.sum(2)
    exerts = np.abs(exerted).max(0) > 0
    if not exerts.any():
        return None, None
    exerted = exerted[:, exerts]
    high = exerted > exerted.mean(0, keepdims=True)
    sizes = [column[chosen].mean() for column, chosen in zip(exerted.T, high.T, strict=True) if chosen.any()]
    return float(high.mean()), float(np.mean(sizes)) if sizes else None
