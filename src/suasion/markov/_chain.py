r"""Markov chains: $P_{ss'} = \Pr(S_{t+1} = s' \mid S_t = s)$ over S states (N1.3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from numpy import ndarray
from scipy import sparse

from suasion.markov._absorption import Absorption, Fundamental, Hitting, absorption, fundamental, hitting
from suasion.markov._estimation import ChainPosterior, Paths, posterior
from suasion.markov._graph import Classes, communicating_classes
from suasion.markov._mdp import ROW_TOLERANCE, check_distribution
from suasion.markov._mixing import mixing_time, spectral_gap
from suasion.markov._stationary import Stationary, stationary
from suasion.markov._walk import check_start, count_walks, first_states, running_sums, walk


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MarkovChain:
    r"""A finite Markov chain.

    Rows may miss 1 by what floating point leaves (1e-9); the chain meant is the one whose rows are divided by their
    exact sums.

    Attributes:
        transition: $P_{ss'}$, float64[S, S], dense or SciPy CSR; each row sums to 1.
        initial: distribution of the first state, float64[S], or None if not given.
        states: names of states, or empty.

    Raises:
        ValueError: the matrix is not square, an entry is negative or not finite, or a row does not sum to 1; the row,
            with the number.
    """

    transition: Float64[ndarray, "_ _"] | sparse.csr_array | sparse.csr_matrix
    initial: Float64[ndarray, "_"] | None = None
    states: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows, columns = self.transition.shape
        if rows != columns or not rows:
            raise ValueError(f"transition is {rows} by {columns}: it must be square, with at least one state")
        if self.initial is not None:
            if len(self.initial) != rows:
                raise ValueError(f"initial has {len(self.initial)} entries, not {rows}")
            check_distribution("initial", self.initial)
        if self.states and len(self.states) != rows:
            raise ValueError(f"there are {len(self.states)} names for {rows} states")
        self._check_entries()
        sums = np.asarray(self.transition.sum(axis=1)).ravel()
        if (off := np.abs(sums - 1) > ROW_TOLERANCE).any():
            s = int(np.argmax(off))
            raise ValueError(f"transition[{self._name(s)}] sums to {float(sums[s])!r}, not 1")

    def __repr__(self) -> str:
        return f"MarkovChain({self.n_states} states, {self.matrix.nnz} transitions)"

    @classmethod
    def estimate(cls, paths: Paths, n_states: int, prior: float | Float64[ndarray, "_ _"] = 1.0) -> ChainPosterior:
        r"""Posterior of the transition matrix, from what was seen.

        Rows are independent Dirichlet with parameters `prior` + counts.

        Args:
            paths: states in the order of time; a sequence of paths, or int[n, T].
            n_states: S.
            prior: Dirichlet parameters, one number or float64[S, S], >= 0; 1 is the uniform prior, 0 leaves the
                maximum-likelihood estimate as the mean.

        Raises:
            ValueError: a path holds what is no state, or the prior is negative or not finite; the place and number.
        """
        return posterior(paths, n_states, prior)

    @property
    def n_states(self) -> int:
        """S."""
        return int(self.transition.shape[0])

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """The transitions as CSR with positive, sorted, distinct entries; rows divided by their sums."""
        held = sparse.csr_array(self.transition, copy=True)
        held.sum_duplicates()
        held.eliminate_zeros()
        sums = held.sum(axis=1)
        if (sums != 1).any():
            held.data /= np.repeat(sums, np.diff(held.indptr))
        return held

    @cached_property
    def classes(self) -> Classes:
        """Communicating classes, which of them are closed, and their periods."""
        return communicating_classes(self.matrix)

    @property
    def recurrent(self) -> Bool[ndarray, "_"]:
        """Whether a state is recurrent, which is to say in a closed class; bool[S]."""
        return self.classes.closed[self.classes.label]

    @property
    def is_irreducible(self) -> bool:
        """Whether there is one class only."""
        return len(self.classes.closed) == 1

    @property
    def is_aperiodic(self) -> bool:
        """Whether all closed classes have period 1."""
        return bool((self.classes.period[self.classes.closed] == 1).all())

    @property
    def period(self) -> int:
        """Of an irreducible chain; `classes.period` has it for each class.

        Raises:
            ValueError: there are several classes.
        """
        if not self.is_irreducible:
            raise ValueError(f"the chain has {len(self.classes.closed)} classes, each with a period of its own")
        return int(self.classes.period[0])

    def stationary(self, *, tolerance: float = 1e-12, max_sweeps: int = 2000) -> Stationary:
        r"""$\pi P = \pi$ with $\sum_s \pi_s = 1$, one for each closed class.

        Dense matrices and closed classes of up to 2000 states: by elimination, each entry accurate to about 1e-12 of
        itself, however nearly the chain falls apart. Larger sparse classes: iteratively, until
        $\lVert \pi P - \pi \rVert_1$ is within the tolerance; the error itself can be that divided by the spectral gap.

        Args:
            tolerance: of the residual, > 0.
            max_sweeps: passes over the transitions, for each class.

        Raises:
            ValueError: `tolerance` or `max_sweeps` not positive.

        References:
            Grassmann, Taksar & Heyman (1985); Horton & Leutenegger (1994).
        """
        if not tolerance > 0 or max_sweeps < 1:
            raise ValueError(f"tolerance is {tolerance!r} and max_sweeps {max_sweeps}: both must be positive")
        return stationary(self.matrix, self.classes, tolerance, max_sweeps, dense=isinstance(self.transition, ndarray))

    def absorption(self) -> Absorption:
        """Probability of ending in each closed class, and the expected steps until one is entered."""
        return absorption(self.matrix, self.classes)

    def fundamental(self) -> Fundamental:
        r"""$N = (I - Q)^{-1}$ over the transient states: expected visits before absorption; dense."""
        return fundamental(self.matrix, np.flatnonzero(~self.recurrent))

    def hitting(self, goal: Sequence[int] | Int[ndarray, "_"] | Bool[ndarray, "_"]) -> Hitting:
        r"""First visit to a set A: $h = Ph$ and $k = 1 + Pk$ outside A, $h = 1$ and $k = 0$ in A.

        Args:
            goal: A, as states or as bool[S]; at least one state.

        Raises:
            ValueError: A is empty, or an entry is no state.
        """
        chosen = np.zeros(self.n_states, bool)
        held = np.asarray(goal)
        if held.dtype == bool and len(held) != self.n_states:
            raise ValueError(f"goal has {len(held)} entries, not one for each of {self.n_states} states")
        if held.dtype != bool and ((held < 0) | (held >= self.n_states)).any():
            wrong = held[(held < 0) | (held >= self.n_states)][0]
            raise ValueError(f"goal holds {wrong}: states are 0 to {self.n_states - 1}")
        if not held.size or (held.dtype == bool and not held.any()):
            raise ValueError("goal holds no state")
        chosen[held] = True
        return hitting(self.matrix, chosen)

    def mixing_time(self, eps: float = 0.25) -> int:
        r"""Smallest t with $\max_s \lVert P^t(s, \cdot) - \pi \rVert_{TV} \le \epsilon$, in steps.

        Args:
            eps: total variation, in (0, 1).

        Raises:
            ValueError: `eps` outside (0, 1), several closed classes or a period above 1 (such a chain never mixes), or
                more than 5000 states.
        """
        if not 0 < eps < 1:
            raise ValueError(f"eps is {eps!r}, outside (0, 1)")
        if (why := self._never_mixes()) is not None:
            raise ValueError(f"the chain never mixes: {why}")
        return mixing_time(self.matrix.toarray(), self.stationary().distribution, eps)

    def spectral_gap(self) -> float:
        r"""$1 - \max \lvert \lambda \rvert$ over the eigenvalues but one 1; 0 where the chain never mixes.

        Raises:
            ValueError: the sparse eigenvalue method did not converge.
        """
        return 0.0 if self._never_mixes() is not None else spectral_gap(self.matrix)

    def simulate(
        self,
        steps: int,
        rng: np.random.Generator,
        *,
        start: int | Int[ndarray, "_"] | None = None,
        walks: int | None = None,
    ) -> Int64[ndarray, "_ _"]:
        """Walks of the chain, int64[walks, steps + 1]; the first column holds the starts.

        Args:
            steps: moves of each walk, >= 0.
            rng: generator; it gives one uniform number for each move.
            start: a state, or one for each walk; drawn from `initial` if not given.
            walks: how many; as many as there are starts, if not given.

        Raises:
            ValueError: neither `start` nor `initial` is given, a start is no state, or numbers of walks or steps do not
                fit.
        """
        number = count_walks(walks, start, steps)
        states = np.empty((number, steps + 1), np.int64)
        states[:, 0] = first_states(rng, number, start, self.initial)
        check_start(states[:, 0], self.n_states)
        held = self.matrix
        bounds = held.indptr.astype(np.int64)
        sums = running_sums(bounds, held.data)
        for done in range(0, steps, block := max(1, (1 << 20) // max(number, 1))):
            uniform = rng.random((min(block, steps - done), number))
            walk(bounds, held.indices, sums, uniform, states[:, done : done + len(uniform) + 1])
        return states

    def _never_mixes(self) -> str | None:
        if (count := int(self.classes.closed.sum())) > 1:
            return f"it has {count} closed classes"
        period = int(self.classes.period[self.classes.closed][0])
        return f"its closed class has period {period}" if period > 1 else None

    def _check_entries(self) -> None:
        held = self.transition if isinstance(self.transition, ndarray) else self.transition.data
        bad = ~(held >= 0) | ~np.isfinite(held)
        if not bad.any():
            return
        if isinstance(self.transition, ndarray):
            s, t = (int(i) for i in np.argwhere(bad)[0])
            number = self.transition[s, t]
        else:
            first = int(np.argmax(bad))
            s = int(np.searchsorted(self.transition.indptr, first, side="right")) - 1
            t, number = int(self.transition.indices[first]), self.transition.data[first]
        raise ValueError(f"transition[{self._name(s)}, {self._name(t)}] is {float(number)!r}")

    def _name(self, state: int) -> str:
        return f"{state} ({self.states[state]})" if self.states else str(state)
