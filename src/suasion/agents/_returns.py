r"""Returns and advantages of truncated episodes.

One convention throughout: $R_{t+1}$ and $\gamma_{t+1}$ follow $A_t$ and are stored at index t. `next_value[t]` is
$v(S_{t+1})$: 0 after a termination, the value before the reset after a truncation. `ended[t]` cuts whatever is
carried backwards over the end of an episode. Arrays are time-major with any further axes; tables have their own
twin in `suasion.td`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Targets(NamedTuple):
    """What a learner aims at, each float[t, ...].

    Attributes:
        advantage: of the action taken, for the policy's gradient.
        value: the target of the value function.
    """

    advantage: Float[Array, "t ..."]
    value: Float[Array, "t ..."]


def next_values(
    values: Float[Array, "t *b"],
    bootstrap: Float[Array, "*b"],
    at_truncation: Float[Array, "t *b"],
    terminated: Bool[Array, "t *b"],
    truncated: Bool[Array, "t *b"],
) -> Float[Array, "t *b"]:
    """v(S_{t+1}) for every step: bootstrap on truncation, not on termination.

    Args:
        values: v(S_t).
        bootstrap: v of the state after the last step.
        at_truncation: v of the state reached by a truncated step, before the reset.
        terminated: after it there is no value.
        truncated: after it the value is `at_truncation`. A step that is both is terminated.
    """
    following = jnp.concatenate([values[1:], bootstrap[None]])
    following = jnp.where(truncated, at_truncation, following)
    return jnp.where(terminated, 0.0, following)


def lambda_returns(
    rewards: Float[Array, "t *b"],
    values: Float[Array, "t *b"],
    next_value: Float[Array, "t *b"],
    ended: Bool[Array, "t *b"],
    *,
    discount: float,
    lambda_: float,
) -> Targets:
    r"""Generalised advantage estimation, and the lambda-returns that belong to it.

    $\delta_t = R_{t+1} + \gamma v(S_{t+1}) - v(S_t)$,
    $\hat A_t = \delta_t + \gamma \lambda \hat A_{t+1}$ (cut where an episode ended), $G^\lambda_t = \hat A_t + v(S_t)$.

    Args:
        rewards: $R_{t+1}$.
        values: $v(S_t)$.
        next_value: $v(S_{t+1})$, see `next_values`.
        ended: the episode ended with this step.
        discount: $\gamma$ in [0, 1].
        lambda_: in [0, 1]; 0 is TD(0), 1 is Monte Carlo up to the bootstrap.

    Raises:
        ValueError: `discount` or `lambda_` outside [0, 1].

    References:
        Schulman et al. (2016), eq. 16; Sutton & Barto (2018), section 12.1.
    """
    _unit("discount", discount)
    _unit("lambda_", lambda_)
    delta = rewards + discount * next_value - values

    def back(carry: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, ended_t = now
        advantage = delta_t + discount * lambda_ * jnp.where(ended_t, 0.0, carry)
        return advantage, advantage

    _, advantage = jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, ended), reverse=True)
    return Targets(advantage, advantage + values)


def n_step_returns(
    rewards: Float[Array, "t *b"],
    values: Float[Array, "t *b"],
    next_value: Float[Array, "t *b"],
    ended: Bool[Array, "t *b"],
    *,
    discount: float,
    n: int,
) -> Targets:
    r"""n-step returns: the sum of TD errors over the next n steps, fewer at the end of episode or trajectory.

    $\hat A_t = \sum_{k=0}^{n-1} \gamma^k \delta_{t+k}$, which telescopes to
    $R_{t+1} + \dots + \gamma^{n-1} R_{t+n} + \gamma^n v(S_{t+n}) - v(S_t)$.

    Args:
        rewards: $R_{t+1}$.
        values: $v(S_t)$.
        next_value: $v(S_{t+1})$, see `next_values`.
        ended: the episode ended with this step.
        discount: $\gamma$ in [0, 1].
        n: steps, at least 1; the length of the trajectory or more gives what A2C calls its returns.

    Raises:
        ValueError: `discount` outside [0, 1], n below 1.

    References:
        Mnih et al. (2016), section 4; Sutton & Barto (2018), eq. 7.1.
    """
    _unit("discount", discount)
    if n < 1:
        raise ValueError(f"n is {n}, must be at least 1")
    delta = rewards + discount * next_value - values
    window = jnp.zeros((min(n, delta.shape[0]), *delta.shape[1:]))

    def back(window: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, ended_t = now
        kept = jnp.where(ended_t, 0.0, discount * window[:-1])
        window = jnp.concatenate([delta_t[None], kept])
        return window, jnp.sum(window, 0)

    def whole(carry: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, ended_t = now
        carry = delta_t + jnp.where(ended_t, 0.0, discount * carry)
        return carry, carry

    if n >= delta.shape[0]:
        _, advantage = jax.lax.scan(whole, jnp.zeros_like(delta[0]), (delta, ended), reverse=True)
    else:
        _, advantage = jax.lax.scan(back, window, (delta, ended), reverse=True)
    return Targets(advantage, advantage + values)


def vtrace_returns(
    rewards: Float[Array, "t *b"],
    values: Float[Array, "t *b"],
    next_value: Float[Array, "t *b"],
    ended: Bool[Array, "t *b"],
    log_ratio: Float[Array, "t *b"],
    *,
    discount: float,
    lambda_: float = 1.0,
    clip: float = 1.0,
    weighted: bool = True,
) -> Targets:
    r"""V-trace: off-policy corrected values and the policy gradient's advantage.

    With $\rho_t = \min(\bar\rho, e^{\ell_t})$ and $c_t = \lambda \min(1, e^{\ell_t})$:
    $v^s_t = v(S_t) + \sum_k \gamma^k (\prod_{i<k} c_{t+i}) \rho_{t+k} \delta_{t+k}$, and the advantage is
    $\rho_t (R_{t+1} + \gamma v^s_{t+1} - v(S_t))$, for a gradient of $\log \pi$; not `weighted` it is without $\rho_t$,
    for a surrogate that has the ratio itself (PPO).

    Args:
        rewards: $R_{t+1}$.
        values: $v(S_t)$ under the present parameters.
        next_value: $v(S_{t+1})$, see `next_values`.
        ended: the episode ended with this step.
        log_ratio: $\ell_t = \log \pi(A_t) - \log \mu(A_t)$, present policy over the one that acted.
        discount: $\gamma$ in [0, 1].
        lambda_: in [0, 1].
        clip: $\bar\rho$, positive.
        weighted: the advantage is multiplied by $\rho_t$.

    Raises:
        ValueError: `discount` or `lambda_` outside [0, 1], `clip` not positive.

    References:
        Espeholt et al. (2018), eqs. 1-3.
    """
    _unit("discount", discount)
    _unit("lambda_", lambda_)
    if not clip > 0:
        raise ValueError(f"clip is {clip}, must be positive")
    ratio = jnp.exp(log_ratio)
    rho, c = jnp.minimum(clip, ratio), lambda_ * jnp.minimum(1.0, ratio)
    delta = rho * (rewards + discount * next_value - values)

    def back(carry: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta_t, c_t, ended_t = now
        correction = delta_t + discount * c_t * jnp.where(ended_t, 0.0, carry)
        return correction, correction

    _, correction = jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, c, ended), reverse=True)
    following = jnp.concatenate([correction[1:], jnp.zeros_like(correction[:1])])
    target_next = next_value + jnp.where(ended, 0.0, following)
    advantage = rewards + discount * target_next - values
    return Targets(rho * advantage if weighted else advantage, correction + values)


def _unit(name: str, x: float) -> None:
    if not 0.0 <= x <= 1.0:
        raise ValueError(f"{name} is {x}, must lie in [0, 1]")
