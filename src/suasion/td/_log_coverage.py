r"""Whether a log can answer for a policy: what it lacks, and how many of its episodes count (C choices, S states)."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from scipy import sparse

from suasion.td._log import Transitions
from suasion.td._log_frame import Choices, Frame, Frequencies, Target, frame, frequencies, probabilities, under_rows


class CoverageError(ValueError):
    """A log holds no step of what the target policy may do.

    Attributes:
        uncovered: (state, action) of each, in order.
    """

    def __init__(self, message: str, uncovered: tuple[tuple[int, int], ...]) -> None:
        super().__init__(message)
        self.uncovered = uncovered


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Coverage:
    r"""What a log knows of what a target policy would do.

    Attributes:
        episodes: how many.
        visits: of each choice, int64[C].
        uncovered: (state, action) with $\pi(a \mid s) > 0$ that the target comes to, by the log's own transitions from
            its first states, and that the log never holds.
        missed: probability that an episode of the target comes to one of them, in the empirical model.
        least: smallest probability of an action that was taken.
        ess: effective sample size $(\sum_i \rho_i)^2 / \sum_i \rho_i^2$ in episodes, $\rho_i = \prod_t \pi / b$ of the
            whole episode; 0 where no episode is one of the target's.
    """

    episodes: int
    visits: Int64[ndarray, "C"]
    uncovered: tuple[tuple[int, int], ...]
    missed: float
    least: float
    ess: float

    def __repr__(self) -> str:
        return (
            f"Coverage({self.episodes} episodes, effective {self.ess:.1f}; {np.count_nonzero(self.visits)} of "
            f"{len(self.visits)} choices visited, {len(self.uncovered)} uncovered, missed {self.missed:.3g}; "
            f"least probability {self.least:.3g})"
        )

    def refuse(self, accepted: float = 0.0) -> None:
        """Refuse a log that lacks what the target does.

        Args:
            accepted: of `missed`, in [0, 1].

        Raises:
            CoverageError: more is missed; the states, with their actions.
        """
        if not 0 <= accepted <= 1:
            raise ValueError(f"accepted is {accepted!r}, outside [0, 1]")
        if not self.uncovered or 0 < self.missed <= accepted:
            return
        listed = ", ".join(f"state {s} action {a}" for s, a in self.uncovered[:8])
        more = f" and {len(self.uncovered) - 8} more" if len(self.uncovered) > 8 else ""
        raise CoverageError(
            f"the log does not cover the target, whose episodes come with probability {self.missed:.3g} to what it "
            f"never holds (accepted: {accepted:g}): {listed}{more}",
            self.uncovered,
        )


def coverage(log: Transitions, target: Target, choices: Choices, *, horizon: int | None = None) -> Coverage:
    r"""What the log knows of what the target would do.

    Args:
        log: the log.
        target: a policy over the model's choices, or a table $\pi(a \mid s)$, float64[S, A].
        choices: a model, of which only the choices are read; or numbers of states and actions.
        horizon: steps of an episode that count, >= 1; all, if not given.

    Raises:
        ValueError: the log does not fit the choices, or the target does not.
    """
    held = frame(log, choices)
    chance = probabilities(target, held)
    return covered(log, held, chance, frequencies(log, held), horizon)


def covered(log: Transitions, held: Frame, chance: ndarray, found: Frequencies, horizon: int | None) -> Coverage:
    """As `coverage`, of what is known already."""
    if horizon is not None and horizon < 1:
        raise ValueError(f"horizon is {horizon}, below 1")
    open_ = (chance > 0) & (found.visits == 0)
    chain = found.chain(chance, held)
    lost = under_rows(chance, held) @ open_.astype(np.float64)  # probability of an uncovered choice in each state
    came = reached(chain, found.initial > 0, None if horizon is None else horizon - 1)
    ratio = episode_ratios(log, held, chance, horizon)
    square = float((ratio**2).sum())
    return Coverage(
        episodes=len(ratio),
        visits=held.visits,
        uncovered=held.names(open_ & came[held.owner]),
        missed=_missed(chain, lost, found.initial, came, horizon),
        least=float(log.behaviour.min()),
        ess=float(ratio.sum()) ** 2 / square if square > 0 else 0.0,
    )


def reached(chain: sparse.csr_array, first: Bool[ndarray, "_"], steps: int | None = None) -> Bool[ndarray, "_"]:
    """States to which a chain leads from some, in so many steps at most."""
    came, links = first.copy(), chain.T.tocsr()
    while steps is None or steps > 0:
        grown = came | (links @ came.astype(np.float64) > 0)
        if (grown == came).all():
            break
        came, steps = grown, None if steps is None else steps - 1
    return came


def _missed(chain: sparse.csr_array, lost: ndarray, first: ndarray, came: ndarray, horizon: int | None) -> float:
    """Probability of ever making an uncovered choice."""
    if not (lost[came] > 0).any():
        return 0.0
    if horizon is not None:
        total, share, links = 0.0, first, chain.T.tocsr()
        for _ in range(horizon):
            total += float(share @ lost)
            share = links @ share
        return total
    # Of states from which none can be reached it is 0; the others lose something sooner or later, so that
    # I - P of them is not singular.
    inside = np.flatnonzero(reached(chain.T.tocsr(), lost > 0) & came)
    system = sparse.eye_array(len(inside), format="csc") - chain[inside][:, inside].tocsc()
    return float(first[inside] @ solved(system, lost[inside]))


def solved(system: sparse.csc_array, right: ndarray) -> ndarray:
    """A sparse linear system."""
    from scipy.sparse.linalg import spsolve  # a tenth of a second to load

    return np.atleast_1d(spsolve(system, right))


def log_ratios(log: Transitions, held: Frame, chance: ndarray) -> Float64[ndarray, "_"]:
    r"""$\log \pi(A_t \mid S_t) - \log b(A_t \mid S_t)$ of each row; -inf where the target never does it."""
    target = chance[held.choice]
    return np.where(target > 0, np.log(np.where(target > 0, target, 1.0)), -np.inf) - np.log(log.behaviour)


def episode_ratios(log: Transitions, held: Frame, chance: ndarray, horizon: int | None) -> Float64[ndarray, "_"]:
    r"""$\prod_t \pi / b$ of each episode, up to the horizon."""
    each = log_ratios(log, held, chance)
    if horizon is not None:
        each = np.where(log.time < horizon, each, 0.0)
    return np.exp(np.add.reduceat(each, log.starts))
