"""A decision process whose state is seen through observations."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.markov._mdp import MDP, ROW_TOLERANCE


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class POMDP:
    r"""Partially observed decision process: an `MDP` and $p(o \mid a, s')$.

    Beliefs are updated in `suasion.statespace`; this is the record.

    Attributes:
        mdp: the process underneath.
        observation: p(o | a, s'), float64[A, S, O]: after action a has led to s', o is seen.
        observations: names of observations, or empty.

    Raises:
        ValueError: a row is no distribution, or sizes disagree with `mdp`.
    """

    mdp: MDP
    observation: Float64[ndarray, "A S O"]
    observations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        actions, states, symbols = self.observation.shape
        highest = int(self.mdp.action.max(initial=-1))
        if states != self.mdp.n_states or actions <= highest:
            raise ValueError(
                f"observation is for {actions} actions and {states} states; the model has {highest + 1} "
                f"and {self.mdp.n_states}"
            )
        if self.observations and len(self.observations) != symbols:
            raise ValueError(f"there are {len(self.observations)} names for {symbols} observations")
        bad = ~(self.observation >= 0) | ~np.isfinite(self.observation)
        if bad.any():
            a, s, o = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"observation[{a}, {s}, {o}] is {float(self.observation[a, s, o])!r}")
        sums = self.observation.sum(-1)
        if (off := np.abs(sums - 1) > ROW_TOLERANCE).any():
            a, s = (int(i) for i in np.argwhere(off)[0])
            raise ValueError(f"observation[{a}, {s}] sums to {float(sums[a, s])!r}, not 1")
