"""The selective scan by its equation, step by step in NumPy, and by `associative_scan`: what the fast forms must equal.

Letters of the shapes: t steps, b batch, d channels, n states of a channel.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy import ndarray

from suasion.sequence._step import Discretization


def scan_step_by_step(
    discretization: Discretization,
    x: Float[ndarray, "t b d"],
    delta: Float[ndarray, "t b d"],
    A: Float[ndarray, "n d"],
    B: Float[ndarray, "t b n"],
    C: Float[ndarray, "t b n"],
    state: Float[ndarray, "b n d"],
    start: Bool[ndarray, "t b"],
) -> tuple[Float[ndarray, "t b d"], Float[ndarray, "b n d"]]:
    """The outputs of `selective_scan` without D and gate, and the last state; arguments as there, channels last."""
    from suasion.statespace import hold  # half a second to load; most networks do without

    y = np.empty_like(x)
    h = state.copy()
    for t in range(len(x)):
        h[start[t]] = 0.0
        for i, j in np.ndindex(h.shape[:2]):
            a, b = hold(A[j], B[t, i, j], delta[t, i])
            if discretization == "euler":
                b = delta[t, i] * B[t, i, j]
            h[i, j] = a * h[i, j] + b * x[t, i]
        y[t] = (C[t][:, :, None] * h).sum(1)
    return y, h


def scan_associatively(
    discretization: Discretization,
    x: Float[Array, "t b d"],
    delta: Float[Array, "t b d"],
    A: Float[Array, "n d"],
    B: Float[Array, "t b n"],
    C: Float[Array, "t b n"],
    state: Float[Array, "b n d"],
    start: Bool[Array, "t b"],
) -> tuple[Float[Array, "t b d"], Float[Array, "b n d"]]:
    r"""The same by $(a, b, s) \cdot (a', b', s') = (a a', a' b + b', s \vee s')$, where s' forgets what is left of it.

    Of depth log t, and with all states in memory several times.
    """
    from suasion.statespace import hold

    step, B_ = delta[:, :, None, :], B[..., None]
    a, b = hold(A[None, None], B_, step)
    b = (b if discretization == "zoh" else step * B_) * x[:, :, None, :]
    begun = start[:, :, None, None]
    b = b.at[0].add(jnp.where(begun[0], 0.0, a[0] * state))

    def combine(left: tuple[Array, ...], right: tuple[Array, ...]) -> tuple[Array, ...]:
        (a, b, s), (a_, b_, s_) = left, right
        return jnp.where(s_, a_, a * a_), jnp.where(s_, b_, a_ * b + b_), s | s_

    _, h, _ = jax.lax.associative_scan(combine, (a, b, jnp.broadcast_to(begun, a.shape)))
    return jnp.sum(C[..., None] * h, 2), h[-1]
