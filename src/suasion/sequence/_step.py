r"""One step of the selective scan, forwards and backwards: the text that all fast forms share.

$$h_t = \bar a_t h_{t-1} + \bar b_t x_t, \qquad y_t = C_t h_t, \qquad \bar a_t = e^{z}, \qquad \bar b_t = m B_t, \qquad
z = \Delta_t A.$$

Zero-order hold: $m = \Delta \varphi_1(z)$ (N(13)). Euler: $m = \Delta$, what $\varphi_1(0) = 1$ leaves of it.

Letters of the shapes: r rows (sequences, or pieces of them), d channels, n states of a channel.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Discretization = Literal["zoh", "euler"]


class Steps(NamedTuple):
    """What is read: of one step, or with axes of steps, chunks and blocks before the rows."""

    x: Float[Array, "*t r d"]
    delta: Float[Array, "*t r d"]
    B: Float[Array, "*t r n"]
    C: Float[Array, "*t r n"]
    start: Bool[Array, "*t r"]


def cut(start: Array, state: Array) -> Array:
    """The state, zero where an episode starts: by `where`, so that no NaN crosses."""
    return jnp.where(start[:, None, None], 0.0, state)


def decay(A: Array, delta: Array) -> Array:
    """exp(delta A), [r, n, d]."""
    return jnp.exp(delta[:, None, :] * A[None])


def advance(discretization: Discretization, A: Array, before: Array, now: Steps) -> Array:
    """The state after a step, from that before it, cut already."""
    delta, B = now.delta[:, None, :], now.B[:, :, None]
    if discretization == "zoh":
        from suasion.statespace import hold  # half a second to load; most networks do without

        a, b = hold(A[None], B, delta)
        return a * before + b * now.x[:, None, :]
    return decay(A, now.delta) * before + B * (delta * now.x[:, None, :])


def adjoint_step(
    discretization: Discretization, A: Array, carry: tuple[Array, Array], now: tuple[Steps, Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    r"""One step backwards: the carry is the adjoint of the state after it, and the gradient of A.

    Zero-order hold: $\partial m / \partial \Delta = e^z$, the integrand at its end, and
    $\partial m / \partial A = \Delta^2 \varphi_1'(z)$.

    Args:
        discretization: the rule.
        A: [n, d].
        carry: as said.
        now: the step, the state before it (cut already) and the adjoint of its output.

    Returns:
        The carry before the step, and the gradients of x, delta, B and C.
    """
    (g, d_A), (each, before, d_y) = carry, now
    x, delta = each.x[:, None, :], each.delta[:, None, :]
    B, C = each.B[:, :, None], each.C[:, :, None]
    z = delta * A[None]
    a = jnp.exp(z)
    g = g + C * d_y[:, None, :]
    if discretization == "zoh":
        from suasion.statespace import phi_1

        phi, slope = jax.jvp(phi_1, (z,), (jnp.ones_like(z),))
        m = delta * phi
        d_m = g * (B * x)
        d_x, d_B = jnp.sum(g * m * B, 1), _over_channels(g * m, each.x)
        d_delta, d_A = jnp.sum(d_m * a, 1), d_A + jnp.sum(d_m * (delta * delta * slope), 0)
    else:
        m = delta
        through = jnp.sum(g * B, 1)
        d_x, d_B = through * each.delta, _over_channels(g, each.delta * each.x)
        d_delta = through * each.x
    d_C = _over_channels(a * before + m * B * x, d_y)
    g = g * a
    d_z = g * before
    d_delta, d_A = d_delta + jnp.sum(d_z * A[None], 1), d_A + jnp.sum(d_z * delta, 0)
    return (cut(each.start, g), d_A), (d_x, d_delta, d_B, d_C)


def _over_channels(u: Array, v: Array) -> Array:
    """The sum over d of u[r, n, d] v[r, d].

    As a product of matrices, which on a CPU is faster than a sum of neighbours; of one row as a sum, which Triton has.
    """
    if u.shape[0] == 1:
        return jnp.sum(u * v[:, None, :], 2)
    return jnp.einsum("rnd,rd->rn", u, v, precision="highest")
