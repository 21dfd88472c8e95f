r"""What a table of learned values is worth to one who follows it from the first states, exactly and for many tables.

$\mathbb{E} \, v_\pi(S_0)$ depends on the policy only where it leads: tables that agree there are evaluated once. Also
the values that learning tends to, which need no learning. Letters of the shapes: n tables, C choices, S states.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from scipy import sparse

if TYPE_CHECKING:
    from suasion.markov import MDP


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Limits:
    r"""Exact values from the first states, in reward units.

    Attributes:
        optimal: $v_*$.
        tolerance: within which a value counts as optimal: bounds of the solver, and rounding.
        soft: the best policy that explores with probability epsilon, which Sarsa tends to; None without an epsilon.
        exploring: exploration about an optimal policy, equal best choices alike, which Q-learning tends to; or None.
        epsilon: the probability, or None.
        value: $v_*$ of every state, float64[S].
    """

    optimal: float
    tolerance: float
    soft: float | None
    exploring: float | None
    epsilon: float | None
    value: Float64[ndarray, "S"]


def limits_of(mdp: MDP, discount: float, epsilon: float | None) -> Limits:
    """The values that learning tends to.

    Args:
        mdp: the model.
        discount: in [0, 1].
        epsilon: with which an epsilon-greedy learner explores in the end, if it does.

    Raises:
        ValueError: as `suasion.planning.solve`, such as where values are infinite.
    """
    from suasion.markov import q_from_v
    from suasion.planning import solve
    from suasion.td import epsilon_greedy, epsilon_soft, policy_value

    first = first_states(mdp)
    solution = solve(mdp, discount, tolerance=1e-9)
    optimal = float(first @ solution.value)
    tolerance = solution.gap + 1e-9 * max(1.0, abs(optimal))
    soft = exploring = None
    if epsilon is not None:
        soft = float(first @ solve(epsilon_soft(mdp, epsilon), discount, tolerance=1e-9).value)
        value = np.where(mdp.terminal, 0.0, solution.value)
        q = _tied(mdp, q_from_v(mdp, value, discount), solution.gap)
        exploring = _of_first(first, policy_value(mdp, epsilon_greedy(mdp, q, epsilon), discount))
    return Limits(
        optimal=optimal, tolerance=tolerance, soft=soft, exploring=exploring, epsilon=epsilon, value=solution.value
    )


def _tied(mdp: MDP, q: Float64[ndarray, "C"], gap: float) -> Float64[ndarray, "C"]:
    """Best choices that differ by no more than the solver's bounds and rounding, made equal."""
    start = mdp.choice_start[:-1][np.diff(mdp.choice_start) > 0]
    best = np.repeat(np.maximum.reduceat(q, start), np.diff(mdp.choice_start)[np.diff(mdp.choice_start) > 0])
    return np.where(q >= best - 2 * gap - 1e-9 * np.maximum(1.0, np.abs(best)), best, q)


def first_states(mdp: MDP) -> Float64[ndarray, "S"]:
    """Distribution of the first state: the model's, or uniform over states that are not terminal."""
    if mdp.initial is not None:
        return np.asarray(mdp.initial, np.float64)
    live = ~mdp.terminal
    return live / live.sum()


def owners(mdp: MDP) -> Int64[ndarray, "C"]:
    """The state of each choice."""
    return np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))


def reachable(mdp: MDP) -> Bool[ndarray, "S"]:
    """States that some policy may come to from the first ones."""
    every = np.ones((1, mdp.n_choices), bool)
    return _reached(mdp, every, _leads(mdp))[0]


def greedy_shares(mdp: MDP, q: Float64[ndarray, "n C"], ties: str) -> Float64[ndarray, "n C"]:
    """The greedy policy of each table: best choices alike, or the first of them."""
    state = owners(mdp)
    best = np.full((len(q), mdp.n_states), -np.inf)
    for i in range(int(np.diff(mdp.choice_start).max(initial=0))):  # the i-th choice of every state at once
        states = np.flatnonzero(np.diff(mdp.choice_start) > i)
        best[:, states] = np.maximum(best[:, states], q[:, mdp.choice_start[states] + i])
    chosen = q == best[:, state]
    if ties == "first":
        before = np.cumsum(chosen, axis=1) - chosen
        chosen &= before == before[:, mdp.choice_start[state]]
    total = np.add.reduceat(chosen, np.unique(mdp.choice_start[state]), axis=1, dtype=np.float64)
    return chosen / total[:, np.unique(state, return_inverse=True)[1]]


class FirstValues:
    r"""$\mathbb{E} \, v_\pi(S_0)$ of many policies of a model; what was evaluated is remembered.

    Args:
        mdp: the model.
        discount: in [0, 1].
    """

    def __init__(self, mdp: MDP, discount: float) -> None:
        self.mdp, self.discount, self.first = mdp, discount, first_states(mdp)
        self._leads = _leads(mdp)
        self._owner = owners(mdp)
        self._known: dict[bytes, float] = {}

    def __call__(self, shares: Float64[ndarray, "n C"]) -> Float64[ndarray, "n"]:
        """The value of each policy, one row of probabilities each; infinite or NaN as `suasion.td.policy_value`."""
        reached = _reached(self.mdp, shares > 0, self._leads)
        part = np.where(reached[:, self._owner], shares, 0.0)
        values = np.empty(len(shares))
        for n, row in enumerate(part):
            key = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            if key not in self._known:
                self._known[key] = self._evaluate(shares[n], reached[n])
            values[n] = self._known[key]
        return values

    def _evaluate(self, shares: Float64[ndarray, "C"], reached: Bool[ndarray, "S"]) -> float:
        """By a linear system over the states that are reached, where it has one solution."""
        from suasion.markov import Policy
        from suasion.td import policy_value

        mdp = self.mdp
        live = np.flatnonzero(reached & ~mdp.terminal)
        if not len(live):
            return 0.0
        held = mdp.marginals
        weight = np.repeat(shares, np.diff(held.start)) * held.probability
        source = np.repeat(self._owner, np.diff(held.start))
        chain = sparse.csr_array((weight, (source, held.target)), (mdp.n_states, mdp.n_states))
        reward = np.bincount(self._owner, shares * held.reward, minlength=mdp.n_states)[live]
        inner = chain[live][:, live]
        if self.discount == 1:
            ending = chain[live][:, np.flatnonzero(mdp.terminal)].sum(axis=1) > 0
            trapped = ~_leading(inner, ending)
            signs = np.unique(np.sign(reward[trapped]))
            # All other states are left for good after finitely many steps, on average: what counts is what is for ever.
            if len(signs) > 1:
                policy = Policy(choice_start=mdp.choice_start, probability=shares)
                return _of_first(self.first, policy_value(mdp, policy, self.discount))
            if len(signs) and signs[0] != 0:
                return float(np.copysign(np.inf, signs[0]))
            live, inner, reward = live[~trapped], inner[~trapped][:, ~trapped], reward[~trapped]
        system = sparse.eye_array(len(live), format="csr") - self.discount * inner
        value = np.linalg.solve(system.toarray(), reward) if len(live) <= 500 else _sparse_solve(system, reward)
        return float(self.first[live] @ value)


def _sparse_solve(system: Any, right: ndarray) -> ndarray:
    from scipy.sparse.linalg import spsolve

    return spsolve(system.tocsc(), right)


def _leads(mdp: MDP) -> Any:
    """Where choices may lead, int32[C, S], sparse."""
    held = mdp.marginals
    possible = held.probability > 0
    source = np.repeat(np.arange(mdp.n_choices), np.diff(held.start))[possible]
    ones = np.ones(len(source), np.int32)
    return sparse.csr_array((ones, (source, held.target[possible])), (mdp.n_choices, mdp.n_states))


def _reached(mdp: MDP, possible: Bool[ndarray, "n C"], leads: Any) -> Bool[ndarray, "n S"]:
    """States that are come to from the first ones by choices that are possible."""
    owner = owners(mdp)
    reached = np.broadcast_to(first_states(mdp) > 0, (len(possible), mdp.n_states)).copy()
    fresh = reached.copy()
    while fresh.any():
        rows = np.flatnonzero(fresh.any(axis=1))
        taken = (possible[rows] & fresh[rows][:, owner]).astype(np.int32)
        found = (leads.T @ taken.T).T > 0
        fresh[rows] = found & ~reached[rows]
        reached[rows] |= found
    return reached


def _leading(chain: Any, goal: Bool[ndarray, "S"]) -> Bool[ndarray, "S"]:
    """States of a chain from which a set may be come to."""
    while True:
        grown = goal | (chain @ goal.astype(np.float64) > 0)
        if (grown == goal).all():
            return goal
        goal = grown


def _of_first(first: Float64[ndarray, "S"], value: Float64[ndarray, "S"]) -> float:
    """A mean over first states that bears infinite values of others."""
    likely = first > 0
    return float(first[likely] @ value[likely])
