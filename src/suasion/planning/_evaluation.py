"""One policy: its value, whether it is optimal, and the step from a value to a better policy."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float64, Int, Int64
from numpy import ndarray

from suasion.markov import MDP, Policy, q_from_v
from suasion.planning import _reference as reference
from suasion.planning._operator import Operator
from suasion.planning._rows import rows
from suasion.planning._solution import Solution
from suasion.planning._solve import Method, solve


def evaluate(
    mdp: MDP,
    policy: Policy | Int[ndarray, "_"],
    discount: float,
    *,
    iterative: bool = False,
    tolerance: float = 1e-6,
    limit: int = 1_000_000,
) -> Solution:
    r"""Policy evaluation: $v_\pi(s) = \sum_a \pi(a \mid s) [r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) v_\pi(s')]$.

    Args:
        mdp: the model.
        policy: the probability of each choice, or one choice for each state (-1 in terminal ones).
        discount: in [0, 1]; at 1 the policy must not collect rewards for ever.
        iterative: $V \leftarrow T_\pi V$ until the bounds are close (N1.1.2-b), rather than by a linear system.
        tolerance: as in `solve`.
        limit: as in `solve`.

    Returns:
        Its value between bounds. Those of a stochastic policy hold for $\pi(a \mid s) p(s', r \mid s, a)$ rounded to
        floats. The policy returned is that of `mdp` where it is deterministic, and -1 elsewhere.

    Raises:
        ValueError: the policy is not the model's; the state, with the number. Or as `solve`.
    """
    if isinstance(policy, ndarray):
        policy = Policy.deterministic(mdp, policy)
    policy.check_fits(mdp)
    mixed = _mixed(mdp, policy)
    method: Method = "value_iteration" if iterative else "policy_iteration"
    found = solve(mixed, discount, method=method, tolerance=tolerance, limit=limit)
    certain = np.flatnonzero(policy.probability == 1)
    choice = np.full(mdp.n_states, -1)
    choice[np.searchsorted(mdp.choice_start, certain, side="right") - 1] = certain
    name = "iterative policy evaluation" if iterative else "a linear system"
    return dataclasses.replace(found, policy=choice, method=name, why="as asked")


def improve(
    mdp: MDP, value: Float64[ndarray, "_"], discount: float, *, maximise: bool = True
) -> tuple[Int64[ndarray, "_"], Float64[ndarray, "_"]]:
    r"""Policy improvement: $\pi'(s) = \arg\max_a q(s, a)$, $q(s, a) = r(s, a) + \gamma \sum_{s'} p v(s')$ (N1.1.2-e).

    Args:
        mdp: the model.
        value: v, float64[S]. Where it is $v_\pi$, the new policy is nowhere worse than pi (N1.1.2-d).
        discount: in [0, 1].
        maximise: whether rewards are good.

    Returns:
        The first best choice of each state, int64[S], -1 in terminal ones; and q, float64[C].
    """
    q = q_from_v(mdp, value, discount)
    return reference.greedy(rows(mdp, pad=False), q if maximise else -q)[1], q


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    r"""What could be proven of a policy.

    Attributes:
        within: bound of $\max_s |v_*(s) - v_\pi(s)|$, in reward units, rounding included.
        refuted: whether it is proven that the policy is not optimal.
        state: where another choice is better by most; None unless refuted.
        choice: that choice.
        gain: by how much at least, in that one step.
        evaluation: the policy's value between bounds.
    """

    within: float
    refuted: bool
    state: int | None
    choice: int | None
    gain: float
    evaluation: Solution


def certify(
    mdp: MDP,
    policy: Policy | Int[ndarray, "_"],
    discount: float,
    *,
    maximise: bool = True,
    tolerance: float = 1e-6,
) -> Certificate:
    r"""How far a policy is from optimal at most, and a state in which it provably is not.

    It is refuted where $r(s, a) + \gamma \sum_{s'} p L_\pi(s') > U_\pi(s)$: to take a once, and then to follow pi, is
    better than pi (N1.3.4-g).

    Args:
        mdp: the model.
        policy: as in `evaluate`.
        discount: as in `evaluate`.
        maximise: whether rewards are good.
        tolerance: as in `solve`, which bounds the optimal value.

    Raises:
        ValueError: as `evaluate`.
    """
    own = evaluate(mdp, policy, discount, tolerance=tolerance)
    best = solve(mdp, discount, maximise=maximise, tolerance=tolerance)
    within = (best.upper - own.lower) if maximise else (own.upper - best.lower)
    lower, upper = (own.lower, own.upper) if maximise else (-own.upper, -own.lower)
    operator = Operator(rows(mdp, maximise=maximise, pad=False), discount)
    found = operator.optimal(lower)
    gain = found.value - operator.rows.backup_error(discount, lower) - upper
    gain[mdp.terminal] = -np.inf
    s = int(np.argmax(gain)) if mdp.n_states else 0
    refuted = bool(mdp.n_states and gain[s] > 0)
    return Certificate(
        within=float(np.max(within, initial=0.0)),
        refuted=refuted,
        state=s if refuted else None,
        choice=int(found.choice[s]) if refuted else None,
        gain=float(gain[s]) if refuted else 0.0,
        evaluation=own,
    )


def _mixed(mdp: MDP, policy: Policy) -> MDP:
    """The model in which each state has one choice: what the policy does there."""
    taken = policy.probability > 0
    lengths = np.diff(mdp.branch_start)
    kept = np.repeat(taken, lengths)
    weight = np.repeat(policy.probability, lengths)[kept]
    certain = bool((policy.probability[taken] == 1).all())  # then choices keep their rewards, and nothing is rounded
    reward = np.zeros(mdp.n_branches) if mdp.branch_reward is None else mdp.branch_reward
    if not certain:
        reward = reward + np.repeat(mdp.choice_reward, lengths)
    counts = np.add.reduceat(np.append(np.where(taken, lengths, 0), 0), mdp.choice_start[:-1]) * ~mdp.terminal
    acting = np.cumsum(np.concatenate([[0], ~mdp.terminal]))
    return MDP.from_branches(
        choice_start=acting,
        branch_start=np.concatenate([[0], np.cumsum(counts[~mdp.terminal])]),
        target=mdp.target[kept],
        probability=weight * mdp.probability[kept],
        choice_reward=mdp.choice_reward[taken] if certain else None,
        branch_reward=reward[kept],
        normalise=True,  # both rows may miss 1 by what an MDP allows
        terminal=mdp.terminal,
        states=mdp.states,
    )
