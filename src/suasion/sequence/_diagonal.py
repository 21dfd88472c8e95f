r"""Diagonal recurrences with one state a channel: the fast choice on a CPU.

Letters of the shapes: t steps, b batch, d channels, w inputs in a window; g is 3 d; folded as in
`suasion.sequence._chunks`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from suasion.sequence._checks import check_kind
from suasion.sequence._chunks import Plan, in_a_row
from suasion.sequence._convolution import CausalConvolution
from suasion.sequence._layer import Layer, Memory, check_size, product, uniform
from suasion.sequence._native import suits, unit_by_loops


def gated_scan(
    gate: Float[Array, "t b d"],
    candidate: Float[Array, "t b d"],
    state: Float[Array, "b d"],
    start: Bool[Array, "t b"] | None = None,
) -> Float[Array, "t b d"]:
    r"""$h_t = (1 - g_t) h_{t-1} + g_t c_t$ with $g_t = \sigma(s_t)$: a state that moves towards the candidate.

    It is `selective_scan` by zero-order hold with n = 1, A = -1, B = C = 1 and $\Delta = \mathrm{softplus}(s)$, since
    $e^{-\Delta} = 1 - \sigma(s)$: exactly. With Euler's rule it is not.

    Args:
        gate: s.
        candidate: c.
        state: $h_0$.
        start: true where a new episode begins with this very input; nowhere if None.

    Returns:
        $h_1 \ldots h_t$.

    References:
        Gu & Dao (2023), theorem 1; Feng et al. (2024), minGRU.
    """
    begun = jnp.zeros(gate.shape[:2], bool) if start is None else start
    return linear_scan(jax.nn.sigmoid(-gate), jax.nn.sigmoid(gate) * candidate, state, begun)


def gated_unit(
    drive: Float[Array, "t b g"],
    convolution: CausalConvolution,
    window: Float[Array, "b w d"],
    state: Float[Array, "b d"],
    start: Bool[Array, "t b"],
) -> tuple[Float[Array, "t b d"], Float[Array, "b w d"], Float[Array, "b d"]]:
    r"""`gated_scan` behind a convolution, with a gate for the output: all that is not the product of a gated core.

    With (s, u, o) = drive: $c = \mathrm{conv}(u)$; $h_t = (1 - \sigma(s)) h_{t-1} + \sigma(s) c$;
    $y_t = \sigma(o) \tanh h_t$. On a CPU in one pass, see `suasion.sequence._native`.

    Args:
        drive: s, u and o, side by side.
        convolution: over d channels.
        window: its last k - 1 inputs, the newest last; it is cleared as the state is.
        state: $h_0$.
        start: true where a new episode begins with this very input.

    Returns:
        Outputs, and window and state after the last step.

    Raises:
        ValueError: a `start` that is not of bool.
    """
    check_kind("start", start, bool)
    if suits(drive, convolution.weight, convolution.bias, window, state):
        return unit_by_loops(drive, convolution.weight, convolution.bias, window, state, start)
    s, u, o = jnp.split(drive, 3, -1)
    window, c = convolution.run(window, u, start)
    h = gated_scan(s, c, state, start)
    # The hyperbolic tangent for both, which a CPU does fast.
    return (0.5 + 0.5 * jnp.tanh(0.5 * o)) * jnp.tanh(h), window, h[-1]


@jax.custom_vjp
def linear_scan(
    a: Float[Array, "t b d"], b: Float[Array, "t b d"], state: Float[Array, "b d"], start: Bool[Array, "t b"]
) -> Float[Array, "t b d"]:
    """$h_t = a_t h_{t-1} + b_t$, with $h_{t-1} = 0$ where an episode starts; |a| at most 1."""
    length, batch, width = a.shape
    plan = Plan.of(length, batch, width)
    steps = jax.tree.map(plan.fold, (a, b, start))

    def step(h: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        a, b, start = now
        h = a * jnp.where(start[:, None], 0.0, h) + b
        return h, h

    def block(now: tuple[Any, Array]) -> Array:
        folded, first = now
        each = jax.tree.map(in_a_row, folded)
        return jax.lax.scan(step, _lane_starts(plan, each, first), each)[1].reshape(folded[0].shape)

    return plan.unfold(jax.lax.map(block, (steps, plan.fold_state(state))), length, batch)


def _lane_starts(plan: Plan, steps: tuple[Array, Array, Array], first: Array) -> Array:
    """The states before all lanes, [r, d]: a pass from 0 that knows what a lane lets through, then lane to lane."""
    if plan.lanes == 1:
        return first

    def step(carry: tuple[Array, Array], now: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
        (h, through), (a, b, start) = carry, now
        h, through = (jnp.where(start[:, None], 0.0, each) for each in (h, through))
        return (a * h + b, a * through), None

    def lane(entering: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        alone, through, begun = now
        return alone + jnp.where(begun[:, None], 0.0, through * entering), entering

    a, _, start = steps
    zero = jnp.zeros(a.shape[1:], a.dtype)
    found, _ = jax.lax.scan(step, (zero, zero + 1.0), steps)
    by_lane = jax.tree.map(lambda x: x.reshape(plan.lanes, plan.size, *x.shape[1:]), (*found, start.any(0)))
    return jax.lax.scan(lane, first, by_lane)[1].reshape(zero.shape)


def _forward(a: Array, b: Array, state: Array, start: Array) -> tuple[Array, Any]:
    h = linear_scan(a, b, state, start)
    return h, (a, state, start, h)


def _backward(saved: Any, d_h: Array) -> tuple[Array, Array, Array, None]:
    """The adjoint is the same recurrence from the end: g_t = d_t + a_{t+1} g_{t+1}, and 0 of it across a start."""
    a, state, start, h = saved
    after = jnp.concatenate([a[1:], jnp.zeros_like(a[:1])])
    cut = jnp.concatenate([start[1:], jnp.ones_like(start[:1])])
    g = jnp.flip(linear_scan(jnp.flip(after, 0), jnp.flip(d_h, 0), jnp.zeros_like(state), jnp.flip(cut, 0)), 0)
    before = jnp.where(start[..., None], 0.0, jnp.concatenate([state[None], h[:-1]]))
    return g * before, g, jnp.where(start[0][:, None], 0.0, a[0] * g[0]), None


linear_scan.defvjp(_forward, _backward)


class MinGRU(Layer):
    r"""$(s, c) = x W + b$, and $h_t = (1 - \sigma(s_t)) h_{t-1} + \sigma(s_t) c_t$; the output is h.

    Gates do not see the state, so that nothing but an addition and a product is left of the recurrence.

    References:
        Feng et al. (2024).
    """

    inward: Float[Array, "d 2*d"]
    bias: Float[Array, " 2*d"]

    @staticmethod
    def init(key: Key[Array, ""], *, width: int) -> MinGRU:
        """Fresh parameters: weights uniform on +-1/sqrt(width), no bias.

        Raises:
            ValueError: a width below 1.
        """
        check_size("width", width)
        return MinGRU(inward=uniform(key, width, (width, 2 * width)), bias=jnp.zeros(2 * width))

    @property
    def width(self) -> int:
        """Channels d."""
        return self.inward.shape[0]

    def initial(self, batch: int) -> Memory:
        """Zero, [b, d]."""
        return jnp.zeros((batch, self.width), self.inward.dtype)

    def recur(self, memory: Memory, x: Float[Array, "b d"]) -> tuple[Memory, Float[Array, "b d"]]:
        """One step."""
        gate, candidate = jnp.split(x @ self.inward + self.bias[None], 2, -1)
        h = jax.nn.sigmoid(-gate) * memory + jax.nn.sigmoid(gate) * candidate
        return h, h

    def run(
        self, memory: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """All steps."""
        gate, candidate = jnp.split(product(x, self.inward) + self.bias[None, None], 2, -1)
        h = gated_scan(gate, candidate, memory, start)
        return h[-1], h
