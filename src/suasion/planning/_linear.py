r"""Linear systems of policies, $(I - \gamma P_\pi) v = r_\pi$: dense for few states, sparse for many."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.planning._rows import Rows, gathered

DENSE = 1500  # states up to which a dense system is solved
ALIKE = 400  # a factorisation serves again while fewer than 1 in 400 states have another choice
STEPS = 30  # of the Krylov method that this takes at most
PLANE = 4.0  # times the square root of S: bandwidth up to which elimination fills little


class Systems:
    """The systems of one policy after another; the factors of one help to solve the next.

    Attributes:
        rows: the model.
        discount: gamma.
    """

    def __init__(self, rows: Rows, discount: float) -> None:
        self.rows = rows
        self.discount = discount
        self.factors: Any = None
        self.choice: ndarray | None = None

    def value(self, choice: Int64[ndarray, "S"]) -> Float64[ndarray, "S"]:
        r"""$v_\pi$ for the policy that takes these choices, -1 where there is none.

        Raises:
            ArithmeticError: the system is singular: without a discount, the process does not end.
        """
        source, target, weight, reward = _entries(self.rows, choice)
        if len(choice) <= DENSE:
            matrix = np.eye(len(choice))
            np.subtract.at(matrix, (source, target), self.discount * weight)
            try:
                return np.linalg.solve(matrix, reward)
            except np.linalg.LinAlgError as error:
                raise ArithmeticError("under this policy the process does not end") from error
        from scipy.sparse import csc_array, eye_array

        shape = (len(choice), len(choice))
        system = (eye_array(len(choice)) - csc_array((self.discount * weight, (source, target)), shape=shape)).tocsc()
        if (value := self._again(system, choice, reward)) is not None:
            return value
        return self._factored(system, choice).solve(reward)

    def _factored(self, system: Any, choice: Int64[ndarray, "S"]) -> Any:
        from scipy.sparse.linalg import splu

        try:  # the diagonal dominates: no other pivots are needed
            self.factors = splu(
                system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )
        except RuntimeError as error:
            raise ArithmeticError("under this policy the process does not end") from error
        self.choice = choice
        return self.factors

    def _again(
        self, system: Any, choice: Int64[ndarray, "S"], reward: Float64[ndarray, "S"]
    ) -> Float64[ndarray, "S"] | None:
        """By the factors of a policy that is nearly the same; None if they do not help."""
        if self.factors is None or ALIKE * int((choice != self.choice).sum()) > len(choice):
            return None
        from scipy.sparse.linalg import LinearOperator, bicgstab

        first = self.factors.solve(reward)
        helper = LinearOperator(system.shape, self.factors.solve, dtype=np.float64)
        value, failed = bicgstab(system, reward, x0=first, rtol=1e-14, atol=0.0, maxiter=STEPS, M=helper)
        return None if failed or not np.isfinite(value).all() else value


def _entries(rows: Rows, choice: Int64[ndarray, "S"]) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Source, target and probability of each branch that the policy takes, and its rewards."""
    acting = np.flatnonzero(choice >= 0)
    taken = choice[acting]
    branch = gathered(rows.start, taken)
    there = rows.probability[branch] > 0  # the others are padding
    branch, source = branch[there], np.repeat(acting, np.diff(rows.start)[taken])[there]
    reward = np.zeros(len(choice))
    reward[acting] = rows.reward[taken]
    return source, rows.target[branch], rows.probability[branch], reward


def fills_little(rows: Rows, choice: Int64[ndarray, "S"]) -> bool:
    """Whether the states of a policy's system can be ordered in a narrow band, as those of a line or a plane can.

    By reverse Cuthill-McKee; with a band of about the square root of S, elimination by minimum degree takes about
    S log S memory.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    source, target, weight, _ = _entries(rows, choice)
    shape = (len(choice), len(choice))
    graph = csr_array((weight, (source, target)), shape=shape)
    order = reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    band = int(np.max(np.abs(place[source] - place[target]), initial=0))
    return bool(band <= PLANE * np.sqrt(len(choice)))
