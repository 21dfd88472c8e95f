"""Observations that depend on the state alone: between sparse rows in files and p(o | a, s') in the record."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy import ndarray

from suasion.markov._files._source import FormatError
from suasion.markov._mdp import MDP
from suasion.markov._pomdp import POMDP

MOST_ENTRIES = 2**26  # of p(o | a, s'), which the record holds in full: 512 MiB


@dataclasses.dataclass(kw_only=True)
class Seen:
    """Observations of states.

    Attributes:
        start: row of each state in `symbol`, int64[S + 1].
        symbol: observation, one or more of each state.
        probability: of each, or None where each state has one.
        symbols: how many observations there are.
        actions: how many actions there are, used or not.
    """

    start: ndarray
    symbol: ndarray
    probability: ndarray | None
    symbols: int
    actions: int = 0


def observed(model: MDP, seen: Seen, names: tuple[str, ...], path: Path) -> POMDP:
    """The same observation after every action.

    Raises:
        FormatError: the record would be too large, or rows are no distributions.
    """
    actions = max(seen.actions, len(model.actions), int(model.action.max(initial=0)) + 1)
    # Numbers that are only declared may not decide what is allocated.
    if seen.symbols > 1024 + 16 * len(seen.symbol) or actions > 1024 + model.n_choices + len(model.actions):
        raise FormatError(
            f"{path}: {seen.symbols} observations and {actions} actions are declared, and {len(seen.symbol)} and "
            f"{model.n_choices} are there"
        )
    if (entries := actions * model.n_states * seen.symbols) > MOST_ENTRIES:
        raise FormatError(
            f"{path}: {actions} actions x {model.n_states} states x {seen.symbols} observations are {entries} "
            f"probabilities; limit {MOST_ENTRIES}"
        )
    table = np.zeros((model.n_states, seen.symbols))
    state = np.repeat(np.arange(model.n_states), np.diff(seen.start))
    if seen.probability is None:
        table[state, seen.symbol] = 1.0
    else:
        np.add.at(table, (state, seen.symbol), seen.probability)
    try:
        return POMDP(mdp=model, observation=np.repeat(table[None], actions, 0), observations=names)
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error


def by_state(model: POMDP, path: Path, format: str) -> Seen:
    """The observations, which must be the same after every action.

    Raises:
        FormatError: they are not.
    """
    table = model.observation[0]
    differs = (model.observation != table).any((0, 2))
    if differs.any():
        raise FormatError(
            f"{path}: the observation of state {int(np.argmax(differs))} depends on the action, and {format} holds "
            "observations of states; write .npz"
        )
    state, symbol = np.nonzero(table)
    single = len(state) == len(table) and (table[state, symbol] == 1).all()
    start = np.searchsorted(state, np.arange(len(table) + 1)).astype(np.int64)
    return Seen(
        start=start,
        symbol=symbol,
        probability=None if single else table[state, symbol],
        symbols=table.shape[1],
        actions=len(model.observation),
    )
