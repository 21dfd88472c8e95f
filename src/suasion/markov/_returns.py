r"""Returns and temporal-difference errors, and values from each other (N1.3.3, N1.3.4-a, b).

S states, C choices. $R_{t+1}$ follows $A_t$. Value 0 in terminal states.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.markov._mdp import MDP
from suasion.markov._policy import Policy


def discounted_return(rewards: Float64[ndarray, "*b t"], discount: float) -> Float64[ndarray, "*b t"]:
    r"""All $G_t = \sum_{k \ge 0} \gamma^k R_{t+k+1} = R_{t+1} + \gamma G_{t+1}$, computed backwards (N1.3.3).

    Args:
        rewards: $R_1, \ldots, R_T$ along the last axis, in reward units; nothing follows them.
        discount: $\gamma$ in [0, 1].

    Returns:
        $G_0, \ldots, G_{T-1}$, the shape of `rewards`.

    Raises:
        ValueError: `discount` outside [0, 1], or a reward is not finite.
    """
    check_discount(discount)
    if (bad := ~np.isfinite(rewards)).any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"rewards[{', '.join(map(str, place))}] is {float(rewards[place])!r}")
    if not rewards.size:
        return rewards.copy()
    from scipy import signal  # a third of a second to load

    backwards = signal.lfilter([1.0], [1.0, -discount], rewards[..., ::-1], axis=-1)
    return np.ascontiguousarray(backwards[..., ::-1])


def td_error(
    rewards: Float64[ndarray, "*b t"], values: Float64[ndarray, "*b t+1"], discount: float
) -> Float64[ndarray, "*b t"]:
    r"""$\delta_t = R_{t+1} + \gamma V(S_{t+1}) - V(S_t)$ (N1.2.2-b).

    They telescope: $G_t - V(S_t) = \sum_{k \ge 0} \gamma^k \delta_{t+k}$ for any V that is 0 at the end.

    Args:
        rewards: $R_1, \ldots, R_T$.
        values: $V(S_0), \ldots, V(S_T)$; the last one is 0 where the process has ended.
        discount: $\gamma$ in [0, 1].

    Raises:
        ValueError: `discount` outside [0, 1].
    """
    check_discount(discount)
    return rewards + discount * values[..., 1:] - values[..., :-1]


def q_from_v(mdp: MDP, v: Float64[ndarray, "_"], discount: float) -> Float64[ndarray, "_"]:
    r"""$q(s, a) = r(s, a) + \gamma \sum_{s'} p(s' \mid s, a) \, v(s')$ (N1.3.4-b), float64[C].

    Args:
        mdp: the model.
        v: float64[S]; 0 in terminal states.
        discount: $\gamma$ in [0, 1].

    Raises:
        ValueError: `v` has another length or is not 0 in a terminal state, or `discount` is outside [0, 1].
    """
    check_discount(discount)
    check_values(mdp, v)
    held = mdp.marginals
    if not mdp.n_choices:
        return np.zeros(0)
    return held.reward + discount * np.add.reduceat(held.probability * v[held.target], held.start[:-1])


def v_from_q(mdp: MDP, q: Float64[ndarray, "_"], policy: Policy) -> Float64[ndarray, "_"]:
    r"""$v(s) = \sum_a \pi(a \mid s) \, q(s, a)$ (N1.3.4-b), float64[S]; 0 in terminal states.

    Args:
        mdp: the model.
        q: float64[C].
        policy: over the same choices.

    Raises:
        ValueError: `q` or `policy` is for other choices.
    """
    policy.check_fits(mdp)
    return over_choices(mdp, policy.probability * check_choices(mdp, q), np.add)


def over_choices(mdp: MDP, held: ndarray, how: np.ufunc) -> Float64[ndarray, "_"]:
    """Sum or maximum over the choices of each state; 0 in terminal states."""
    result = np.zeros(mdp.n_states)
    if mdp.n_choices:
        live = ~mdp.terminal
        result[live] = how.reduceat(held, mdp.choice_start[:-1][live])
    return result


def check_discount(discount: float) -> None:
    """Refuse a discount outside [0, 1]."""
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is {discount!r}, outside [0, 1]")


def check_values(mdp: MDP, v: ndarray) -> None:
    """Refuse state values that are not the model's: another length, or not 0 at an end."""
    if len(v) != mdp.n_states:
        raise ValueError(f"v has {len(v)} entries, not one for each of {mdp.n_states} states")
    if (bad := mdp.terminal & (v != 0)).any():
        s = int(np.argmax(bad))
        raise ValueError(f"v[{s}] is {float(v[s])!r}, and state {s} is terminal: its value is 0")


def check_choices(mdp: MDP, q: ndarray) -> ndarray:
    """Refuse choice values of another length."""
    if len(q) != mdp.n_choices:
        raise ValueError(f"q has {len(q)} entries, not one for each of {mdp.n_choices} choices")
    return q
