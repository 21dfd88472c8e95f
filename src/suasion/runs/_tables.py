"""The numbers behind influence in episodes: what others would have done for each action (or message) of an influencer.

Letters of the shapes: t steps, e episodes, m moments, s steps at once; k influences j; c actions or messages of k,
a actions of j.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suasion.agents import Experiment, Played
from suasion.influence import Influence, moment_tables, step_tables, table_steps, tabled
from suasion.records import Episode, RecordError, most_influential, write_counterfactuals
from suasion.runs._play import LoadedRun

MOMENTS = 100  # of each episode that keep their table in its record
_NUMBERS = 1 << 24  # that asking one block of steps may hold, about

_table_steps = jax.jit(table_steps, static_argnums=0)
_moment_tables = jax.jit(moment_tables, static_argnums=0)
_step_tables = jax.jit(step_tables, static_argnums=0)


class Tables:
    """Tables of what was played, made when asked for.

    Raises:
        RecordError: the run's influence has none.
    """

    def __init__(self, run: LoadedRun, played: Played) -> None:
        term = tabled(run.experiment)
        if term is None:
            raise RecordError(f"{run.path}: its influence has no tables of what others would have done")
        self._term: Influence = term
        self._experiment: Experiment = run.experiment
        self._params = run.learner.params
        self._steps: Any = _table_steps(self._experiment, self._params, played.trajectory)

    def with_moments(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes with the tables of their most influential moments, at most 100 each."""
        found = [most_influential(_influence(episode), MOMENTS) for episode in episodes]
        if not any(len(places) for places in found):
            return list(episodes)
        asked = np.zeros((MOMENTS, len(episodes), 3), np.int32)  # what is left over asks for nothing of interest
        for e, places in enumerate(found):
            asked[: len(places), e] = places
        table = _moment_tables(self._experiment, self._params, self._steps, jnp.asarray(asked))
        conditionals, marginals = (in_255ths(part) for part in jax.device_get(table))
        kept = []
        for e, (episode, places) in enumerate(zip(episodes, found, strict=True)):
            then = places[:, :1] + self._term.counterfactual.ahead
            kept.append(
                dataclasses.replace(
                    episode,
                    moments=np.concatenate([places, then], 1).astype(np.int32),
                    conditionals=np.ascontiguousarray(conditionals[: len(places), e]),
                    marginals=np.ascontiguousarray(marginals[: len(places), e]),
                    varied=self._term.counterfactual.head,
                    marginal=self._term.marginal,
                )
            )
        return kept

    def write(self, path: Path, episode: Episode, place: int) -> None:
        """Write all tables of an episode, the `place`-th that was played: a block of steps at a time."""
        head, blocks = self._term.counterfactual.head, self._blocks(episode, place)
        symbols = self._experiment.policy.heads[head] if head == "message" else None
        ahead, marginal = self._term.counterfactual.ahead, self._term.marginal
        write_counterfactuals(path, episode, ahead, blocks, symbols=symbols, marginal=marginal)

    def _blocks(self, episode: Episode, place: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        policy, term = self._experiment.policy, self._term
        steps, agents, actions = len(episode.actions), len(episode.agents), len(episode.actions_names)
        everybody = np.arange(agents)
        pairs = np.isin(everybody, term.influencers)[:, None] & np.isin(everybody, term.influenced)[None, :]
        pairs = pairs & term.counterfactual.reaches(policy)
        each = agents * policy.heads[term.counterfactual.head] * (4 * policy.config.width + agents * actions)
        size = max(1, min(steps, _NUMBERS // each))
        for begin in range(0, steps, size):
            # All blocks are of one size, and compiled once: the last one reaches back.
            first = min(begin, steps - size)
            which = first + np.arange(size)
            table = _step_tables(self._experiment, self._params, self._steps, jnp.asarray(place), jnp.asarray(which))
            known = pairs & (which + term.counterfactual.ahead < steps)[:, None, None]
            conditional, marginal = (in_255ths(part) for part in jax.device_get(table))
            conditional[~known], marginal[~known] = 0, 0
            yield conditional[begin - first :], marginal[begin - first :]


def in_255ths(logs: np.ndarray) -> np.ndarray:
    """Probabilities as bytes: 255 p, rounded, from log p."""
    return np.rint(255 * np.exp(logs.astype(np.float64))).astype(np.uint8)


def _influence(episode: Episode) -> np.ndarray:
    if episode.influence is None:
        raise RecordError("an episode without influence has no influential moments")
    return episode.influence
