r"""Markov reward processes: a chain and a reward (N1.3.1).

$R_{t+1}$ follows $S_t$: it is the reward on leaving $S_t$. S states.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int, Int64
from numpy import ndarray
from scipy import sparse

from suasion.markov._absorption import solve_transient
from suasion.markov._chain import MarkovChain

_AGREEMENT = 1e-9


class RewardedWalks(NamedTuple):
    """Walks of a reward process.

    Attributes:
        states: int64[walks, steps + 1].
        rewards: of each move, float64[walks, steps].
    """

    states: Int64[ndarray, "_ _"]
    rewards: Float64[ndarray, "_ _"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MarkovRewardProcess:
    r"""A chain, what leaving each state pays, and a discount; return $G_t = \sum_k \gamma^k R_{t+k+1}$ (N1.3.3).

    Means need `reward` only. How the return varies depends on how the reward does: with the next state
    (`transition_reward`), and beyond it (`reward_variance`).

    Attributes:
        chain: the states' chain.
        reward: $r(s) = E[R_{t+1} \mid S_t = s]$, float64[S], in reward units.
        discount: $\gamma$ in [0, 1].
        transition_reward: $r(s, s') = E[R_{t+1} \mid S_t = s, S_{t+1} = s']$, float64[S, S], dense or SciPy CSR, with
            $\sum_{s'} P_{ss'} r(s, s') = r(s)$; None if the reward does not depend on s', so r(s, s') = r(s).
        reward_variance: $E[\text{Var}(R_{t+1} \mid S_t, S_{t+1}) \mid S_t = s]$, float64[S], >= 0; None where the
            reward is certain given s and s'.

    Raises:
        ValueError: any of these is not so; the first place where, with the number.
    """

    chain: MarkovChain
    reward: Float64[ndarray, "_"]
    discount: float
    transition_reward: Float64[ndarray, "_ _"] | sparse.csr_array | sparse.csr_matrix | None = None
    reward_variance: Float64[ndarray, "_"] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.discount <= 1:
            raise ValueError(f"discount is {self.discount!r}, outside [0, 1]")
        for name in ("reward", "reward_variance"):
            if (held := getattr(self, name)) is None:
                continue
            if len(held) != self.chain.n_states:
                raise ValueError(f"{name} has {len(held)} entries, not one for each of {self.chain.n_states} states")
            if (bad := ~np.isfinite(held) | ((held < 0) & (name == "reward_variance"))).any():
                s = int(np.argmax(bad))
                raise ValueError(f"{name}[{s}] is {float(held[s])!r}")
        if self.transition_reward is not None:
            self._check_agreement(self.transition_reward)

    def value(self) -> Float64[ndarray, "_"]:
        r"""$v(s) = E[G_t \mid S_t = s]$, the solution of $v = r + \gamma P v$; float64[S].

        Raises:
            ValueError: the discount is 1 and a recurrent state has a reward other than 0: its return has no limit.
        """
        self._check_ends(variance=False)
        return self._sum_along(self.reward, self.discount)

    def variance(self) -> Float64[ndarray, "_"]:
        r"""$\text{Var}(G_t \mid S_t = s)$, float64[S], in reward units squared.

        It is what a reward process with discount $\gamma^2$ and reward $E[\delta^2 \mid s]$ is worth, $\delta =
        R_{t+1} + \gamma v(S_{t+1}) - v(S_t)$ being the temporal-difference error.

        Raises:
            ValueError: as `value`, and where the discount is 1 and the reward of a recurrent state varies.

        References:
            Sobel (1982).
        """
        self._check_ends(variance=True)
        value = self._sum_along(self.reward, self.discount)
        matrix, rows = self.chain.matrix, self._rows()
        error = self._per_transition() + self.discount * value[matrix.indices] - value[rows]
        square = np.bincount(rows, weights=matrix.data * error**2, minlength=len(value))
        if self.reward_variance is not None:
            square = square + self.reward_variance
        if self.discount == 1:
            square = np.where(self.chain.recurrent, 0.0, square)  # nothing varies there; only rounding is left
        return self._sum_along(square, self.discount**2)

    def average_reward(self) -> Float64[ndarray, "_"]:
        r"""$\lim_n \frac{1}{n} E[\sum_{t<n} R_{t+1} \mid S_0 = s]$, float64[S]; $\pi r$ in each class.

        Raises:
            ValueError: the stationary distribution of a large sparse class did not converge.
        """
        held = self.chain.stationary()
        if not held.converged.all():
            k = int(np.argmin(held.converged))
            raise ValueError(f"closed class {k}: its distribution has a residual of {float(held.residual[k])!r}")
        gains = held.distributions @ self.reward
        return self.chain.absorption().probability @ gains if len(gains) > 1 else np.full(len(self.reward), gains[0])

    def simulate(
        self,
        steps: int,
        rng: np.random.Generator,
        *,
        start: int | Int[ndarray, "_"] | None = None,
        walks: int | None = None,
    ) -> RewardedWalks:
        """Walks, and what each move pays: r(s, s').

        Args:
            steps: moves of each walk.
            rng: generator.
            start: as in `MarkovChain.simulate`.
            walks: as in `MarkovChain.simulate`.

        Raises:
            ValueError: as `MarkovChain.simulate`, and where the reward varies given s and s': only its variance is
                known here, so simulate the decision process.
        """
        if self.reward_variance is not None and self.reward_variance.any():
            s = int(np.argmax(self.reward_variance > 0))
            raise ValueError(
                f"the reward of state {s} has a variance of {float(self.reward_variance[s])!r} beyond the next "
                "state's, and no distribution: simulate the decision process"
            )
        states = self.chain.simulate(steps, rng, start=start, walks=walks)
        if self.transition_reward is None:
            return RewardedWalks(states, self.reward[states[:, :-1]])
        # r(s, s') by the place of (s, s') among the transitions, which are sorted.
        key = self._rows() * self.chain.n_states + self.chain.matrix.indices
        place = np.searchsorted(key, states[:, :-1] * self.chain.n_states + states[:, 1:])
        return RewardedWalks(states, self._per_transition()[place])

    def _sum_along(self, reward: ndarray, discount: float) -> ndarray:
        """(I - discount P)^-1 reward; at a discount of 1 among the transient states, recurrent ones being worth 0."""
        matrix = self.chain.matrix
        if discount < 1:
            leave = np.full(len(reward), 1.0 - discount)
            return solve_transient(sparse.csr_array(discount * matrix), leave, reward[:, None])[0][:, 0]
        total = np.zeros(len(reward))
        moving = np.flatnonzero(~self.chain.recurrent)
        rows = matrix[moving]
        leave = rows @ self.chain.recurrent.astype(np.float64)
        total[moving] = solve_transient(rows[:, moving], leave, reward[moving, None])[0][:, 0]
        return total

    def _rows(self) -> Int64[ndarray, "_"]:
        """State that each transition leaves."""
        return np.repeat(np.arange(self.chain.n_states), np.diff(self.chain.matrix.indptr))

    def _per_transition(self) -> Float64[ndarray, "_"]:
        """r(s, s') of each transition."""
        if self.transition_reward is None:
            return self.reward[self._rows()]
        held = self.transition_reward
        if not isinstance(held, ndarray):
            same = held.indices.shape == self.chain.matrix.indices.shape and held.has_canonical_format
            if same and (held.indices == self.chain.matrix.indices).all():
                return held.data
            held = sparse.csr_array(held)
        return np.asarray(held[self._rows(), self.chain.matrix.indices]).ravel()

    def _check_agreement(self, held: ndarray | sparse.csr_array | sparse.csr_matrix) -> None:
        size = self.chain.n_states
        if held.shape != (size, size):
            raise ValueError(f"transition_reward is {held.shape[0]} by {held.shape[1]}, not {size} by {size}")
        each, rows = self._per_transition(), self._rows()
        if (bad := ~np.isfinite(each)).any():
            e = int(np.argmax(bad))
            raise ValueError(f"transition_reward[{rows[e]}, {self.chain.matrix.indices[e]}] is {float(each[e])!r}")
        mean = np.bincount(rows, weights=self.chain.matrix.data * each, minlength=size)
        scale = np.bincount(rows, weights=self.chain.matrix.data * np.abs(each), minlength=size)
        if (off := np.abs(mean - self.reward) > _AGREEMENT * (1 + scale)).any():
            s = int(np.argmax(off))
            raise ValueError(
                f"transition_reward of state {s} is {float(mean[s])!r} on average, and reward[{s}] is "
                f"{float(self.reward[s])!r}"
            )

    def _check_ends(self, *, variance: bool) -> None:
        """Refuse an undiscounted return that never ends, and name the closed class that is the reason."""
        if self.discount < 1:
            return
        paid = self.reward != 0
        what = "reward"
        if variance:
            rows, each = self._rows(), self._per_transition()
            paid = paid | (np.bincount(rows, weights=each != 0, minlength=len(paid)) > 0)
            what = "reward, or one that varies,"
            if self.reward_variance is not None:
                paid = paid | (self.reward_variance > 0)
        if (bad := paid & self.chain.recurrent).any():
            s = int(np.argmax(bad))
            label = int(self.chain.classes.label[s])
            members = self.chain.classes.members(label)
            shown = ", ".join(str(m) for m in members[:6]) + (", ..." if len(members) > 6 else "")
            raise ValueError(
                f"discount 1, and the closed class {label} (states {shown}) has a {what} for ever: "
                f"reward[{s}] is {float(self.reward[s])!r}"
            )
