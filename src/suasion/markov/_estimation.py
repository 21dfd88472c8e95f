"""Transition matrices estimated from paths: counts, and the Dirichlet posterior of each row.

S states, n samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int, Int64
from numpy import ndarray
from scipy import special

Paths = Sequence[Int[ndarray, "_"]] | Int[ndarray, "_ _"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ChainPosterior:
    r"""Rows are independent, $P_{s \cdot} \sim \text{Dirichlet}(\alpha_{s \cdot} + n_{s \cdot})$.

    Attributes:
        counts: transitions seen, $n_{ss'}$, int64[S, S].
        prior: $\alpha_{ss'}$, float64[S, S], >= 0.
    """

    counts: Int64[ndarray, "_ _"]
    prior: Float64[ndarray, "_ _"]

    @property
    def mean(self) -> Float64[ndarray, "_ _"]:
        r"""$(\alpha_{ss'} + n_{ss'}) / \sum_j (\alpha_{sj} + n_{sj})$, float64[S, S].

        Raises:
            ValueError: nothing is known of a row: no transitions seen, and a prior of 0.
        """
        total = self._known("mean").sum(axis=1, keepdims=True)
        return (self.prior + self.counts) / total

    def interval(self, level: float = 0.95) -> tuple[Float64[ndarray, "_ _"], Float64[ndarray, "_ _"]]:
        """Central credible interval of each entry: lower and upper ends, float64[S, S] each.

        Each entry's own, from its beta marginal; not of the whole matrix at once.

        Args:
            level: posterior probability of the interval, in (0, 1).

        Raises:
            ValueError: `level` outside (0, 1), or nothing is known of a row.
        """
        if not 0 < level < 1:
            raise ValueError(f"level is {level!r}, outside (0, 1)")
        held = self._known("interval")
        rest = held.sum(axis=1, keepdims=True) - held
        inside = (held > 0) & (rest > 0)
        a, b = np.where(inside, held, 1.0), np.where(inside, rest, 1.0)
        certain = np.where(held > 0, 1.0, 0.0)
        ends = (special.betaincinv(a, b, (1 - level) / 2), special.betaincinv(a, b, (1 + level) / 2))
        return np.where(inside, ends[0], certain), np.where(inside, ends[1], certain)

    def sample(self, rng: np.random.Generator, number: int = 1) -> Float64[ndarray, "_ _ _"]:
        """Transition matrices from the posterior, float64[n, S, S].

        Args:
            rng: generator.
            number: n.

        Raises:
            ValueError: nothing is known of a row.
        """
        held = self._known("sample")
        drawn = np.zeros((number, *held.shape))
        for s, row in enumerate(held):
            support = np.flatnonzero(row)
            drawn[:, s, support] = rng.dirichlet(row[support], number)
        return drawn

    def _known(self, what: str) -> ndarray:
        held = self.prior + self.counts
        if (empty := held.sum(axis=1) == 0).any():
            s = int(np.argmax(empty))
            raise ValueError(f"state {s} was never left and its prior is 0: no {what} of its row")
        return held


def posterior(paths: Paths, n_states: int, prior: float | Float64[ndarray, "_ _"]) -> ChainPosterior:
    """Counts of all transitions in the paths, with a prior."""
    alpha = np.broadcast_to(np.asarray(prior, np.float64), (n_states, n_states)) if np.ndim(prior) == 0 else prior
    alpha = np.asarray(alpha)
    if alpha.shape != (n_states, n_states):
        raise ValueError(f"prior is {alpha.shape[0]} by {alpha.shape[1]}, not {n_states} by {n_states}")
    if (bad := ~(alpha >= 0) | ~np.isfinite(alpha)).any():
        s, t = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"prior[{s}, {t}] is {float(alpha[s, t])!r}")
    check_paths(paths, n_states)
    counts = np.zeros(n_states * n_states, np.int64)
    for path in paths:
        counts += np.bincount(path[:-1].astype(np.int64) * n_states + path[1:], minlength=n_states * n_states)
    return ChainPosterior(counts=counts.reshape(n_states, n_states), prior=alpha.copy())


def check_paths(paths: Paths, n_states: int) -> None:
    """Refuse a path that holds what is no state, with its place."""
    for number, path in enumerate(paths):
        if (bad := (path < 0) | (path >= n_states)).any():
            t = int(np.argmax(bad))
            raise ValueError(f"path {number} holds {int(path[t])} at {t}: states are 0 to {n_states - 1}")
