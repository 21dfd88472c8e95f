r"""The four Bellman operators (N1.3.4-c, d, h, i). Their fixed points are $v_\pi, q_\pi, v_*, q_*$.

Each is monotone, and for $\gamma < 1$ a contraction by $\gamma$ in the largest absolute difference. S states, C
choices.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.markov._mdp import MDP
from suasion.markov._policy import Policy
from suasion.markov._returns import check_choices, over_choices, q_from_v, v_from_q


def bellman_expectation_v(mdp: MDP, policy: Policy, v: Float64[ndarray, "_"], discount: float) -> Float64[ndarray, "_"]:
    r"""$(T_\pi v)(s) = \sum_a \pi(a \mid s) [r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) \, v(s')]$ (N1.3.4-c).

    Args:
        mdp: the model.
        policy: over the same choices.
        v: float64[S]; 0 in terminal states, as is the result.
        discount: $\gamma$ in [0, 1].

    Raises:
        ValueError: `v` or `policy` is not the model's, or `discount` is outside [0, 1].
    """
    return v_from_q(mdp, q_from_v(mdp, v, discount), policy)


def bellman_expectation_q(mdp: MDP, policy: Policy, q: Float64[ndarray, "_"], discount: float) -> Float64[ndarray, "_"]:
    r"""$(T_\pi q)(s, a) = r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) \sum_{a'} \pi(a' \mid s') q(s', a')$ (N1.3.4-d).

    Args:
        mdp: the model.
        policy: over the same choices.
        q: float64[C].
        discount: $\gamma$ in [0, 1].

    Raises:
        ValueError: `q` or `policy` is not the model's, or `discount` is outside [0, 1].
    """
    return q_from_v(mdp, v_from_q(mdp, q, policy), discount)


def bellman_optimality_v(mdp: MDP, v: Float64[ndarray, "_"], discount: float) -> Float64[ndarray, "_"]:
    r"""$(T_* v)(s) = \max_a [r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) \, v(s')]$ (N1.3.4-h).

    The maximum spans the whole bracket.

    Args:
        mdp: the model.
        v: float64[S]; 0 in terminal states, as is the result.
        discount: $\gamma$ in [0, 1].

    Raises:
        ValueError: `v` is not the model's, or `discount` is outside [0, 1].
    """
    return over_choices(mdp, q_from_v(mdp, v, discount), np.maximum)


def bellman_optimality_q(mdp: MDP, q: Float64[ndarray, "_"], discount: float) -> Float64[ndarray, "_"]:
    r"""$(T_* q)(s, a) = r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) \max_{a'} q(s', a')$ (N1.3.4-i).

    Args:
        mdp: the model.
        q: float64[C].
        discount: $\gamma$ in [0, 1].

    Raises:
        ValueError: `q` is not the model's, or `discount` is outside [0, 1].
    """
    return q_from_v(mdp, over_choices(mdp, check_choices(mdp, q), np.maximum), discount)
