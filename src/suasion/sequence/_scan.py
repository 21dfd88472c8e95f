r"""The selective scan, its checks, and the choice of a form for the backend: N(2), N(13) with inputs that choose.

Letters of the shapes: t steps, b batch, d channels, n states of a channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from suasion.sequence._checks import check_kind, check_sequence, check_shape, refuse
from suasion.sequence._chunks import scan_by_chunks
from suasion.sequence._kernel import scan_by_kernel
from suasion.sequence._native import scan_by_loops, suits
from suasion.sequence._reference import scan_associatively
from suasion.sequence._step import Discretization, Steps, advance

Form = Literal["auto", "loops", "chunks", "kernel", "associative"]
_FORMS: dict[Form, Callable[..., tuple[Array, Array]]] = {
    "loops": scan_by_loops,
    "chunks": scan_by_chunks,
    "kernel": scan_by_kernel,
    "associative": scan_associatively,
}


class Scanned(NamedTuple):
    """Outputs, and what the next call begins with.

    Attributes:
        y: of every step.
        state: h after the last step.
    """

    y: Float[Array, "*t b d"]
    state: Float[Array, "b d n"]


def selective_scan(
    x: Float[Array, "..."],
    delta: Float[Array, "_ _ _"],
    A: Float[Array, "_ _"],
    B: Float[Array, "_ _ _"],
    C: Float[Array, "_ _ _"],
    *,
    D: Float[Array, "_"] | None = None,
    gate: Float[Array, "_ _ _"] | None = None,
    state: Float[Array, "_ _ _"] | None = None,
    start: Bool[Array, "_ _"] | None = None,
    discretization: str = "zoh",
    form: str = "auto",
) -> Scanned:
    r"""The linear system whose step, input weights and output weights depend on the input, channel by channel.

    $$h_t = e^{\Delta_t A} h_{t-1} + \bar B_t x_t, \qquad y_t = (C_t h_t + D x_t) \, \mathrm{silu}(z_t).$$

    `zoh` holds the input within a step: $\bar B_t = \Delta_t \varphi_1(\Delta_t A) B_t$ (N(13)). `euler` is
    $\bar B_t = \Delta_t B_t$: what published code does, and published weights mean.

    A sequence may be cut anywhere: the state that one part returns is that with which the next begins.

    Args:
        x: inputs, [t, b, d].
        delta: steps $\Delta_t \ge 0$, in units of 1 / A, [t, b, d]; 0 leaves the state as it is.
        A: diagonals, not positive, [d, n]: one for each channel.
        B: input weights, [t, b, n]: the same for all channels.
        C: output weights, [t, b, n]: the same for all channels.
        D: feedthrough, [d]; none if None.
        gate: z, [t, b, d]; no gate if None.
        state: $h_0$, [b, d, n]; zero if None.
        start: true where a new episode begins with this very input, [t, b]: what was before is forgotten, NaN as well.
        discretization: `zoh` or `euler`.
        form: `auto` takes the kernel on a GPU; on a CPU compiled loops (float32) or else chunks.
            `associative` is the scan in parallel, which needs many times the memory.

    Returns:
        Outputs and the last state. Gradients reach all real inputs.

    Raises:
        ValueError: shapes that disagree, no steps, a state of another type than x, a `start` that is not of bool, an
            unknown rule or form, one that is not for these arrays, a positive A or a negative delta, NaN among them;
            the last two under `jit` as errors of the running program.

    References:
        Gu & Dao (2023), algorithm 2; in public code the rule is `euler`.
    """
    rule, way = check_rule(discretization), _check_form(form)
    _check(x, delta, A, B, C, D, gate, state, start)
    A, delta = _refuse_growth(A, delta)
    scanned = scan(rule, x, delta, A, B, C, D, state, start, way)
    return scanned if gate is None else Scanned(scanned.y * jax.nn.silu(gate), scanned.state)


def selective_step(
    x: Float[Array, "_ _"],
    delta: Float[Array, "_ _"],
    A: Float[Array, "_ _"],
    B: Float[Array, "_ _"],
    C: Float[Array, "_ _"],
    *,
    D: Float[Array, "_"] | None = None,
    gate: Float[Array, "_ _"] | None = None,
    state: Float[Array, "_ _ _"] | None = None,
    start: Bool[Array, "_"] | None = None,
    discretization: str = "zoh",
) -> Scanned:
    """One step of `selective_scan`, to generate or to act: the same arguments without the axis of steps.

    Raises:
        ValueError: as there.
    """
    rule = check_rule(discretization)
    more = [v if v is None else v[None] for v in (gate, start)]
    _check(x[None], delta[None], A, B[None], C[None], D, more[0], state, more[1])
    A, delta = _refuse_growth(A, delta)
    h = jnp.zeros((*x.shape, A.shape[1]), x.dtype) if state is None else state
    h = h if start is None else jnp.where(start[:, None, None], 0.0, h)
    scanned = step(rule, x, delta, A, B, C, D, h)
    return scanned if gate is None else Scanned(scanned.y * jax.nn.silu(gate), scanned.state)


def scan(
    discretization: Discretization,
    x: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    D: Array | None,
    state: Array | None,
    start: Array | None,
    form: Form = "auto",
) -> Scanned:
    """`selective_scan` for callers whose A is negative and whose delta is positive by construction; without a gate."""
    steps, batch, channels = x.shape
    first = jnp.zeros((batch, channels, A.shape[1]), x.dtype) if state is None else state
    looped = suits(x, delta, A, B, C, first)
    if form == "auto":
        form = "kernel" if jax.default_backend() == "gpu" else "loops" if looped else "chunks"
    if form == "loops" and not looped:
        raise ValueError(f"form loops is for float32 on a CPU: here is {x.dtype} on {jax.default_backend()}")
    begun = jnp.zeros((steps, batch), bool) if start is None else start
    y, last = _FORMS[form](discretization, x, delta, A.T, B, C, jnp.swapaxes(first, 1, 2), begun)
    return Scanned(y if D is None else y + D[None, None, :] * x, jnp.swapaxes(last, 1, 2))


def step(
    discretization: Discretization,
    x: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    D: Array | None,
    state: Array,
) -> Scanned:
    """One step of `scan`; the state is cut already."""
    now = Steps(x, delta, B, C, jnp.zeros(x.shape[:1], bool))
    after = advance(discretization, A.T, jnp.swapaxes(state, 1, 2), now)
    y = jnp.sum(C[:, :, None] * after, 1)
    return Scanned(y if D is None else y + D[None, :] * x, jnp.swapaxes(after, 1, 2))


def check_rule(discretization: str) -> Discretization:
    """The rule of that name.

    Raises:
        ValueError: there is none.
    """
    for rule in get_args(Discretization):
        if rule == discretization:
            return rule
    raise ValueError(f"discretization is {discretization!r}: must be one of {', '.join(get_args(Discretization))}")


def _check_form(form: str) -> Form:
    for way in get_args(Form):
        if way == form:
            return way
    raise ValueError(f"form is {form!r}: must be one of {', '.join(get_args(Form))}")


def _check(
    x: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    D: Array | None,
    gate: Array | None,
    state: Array | None,
    start: Array | None,
) -> None:
    check_sequence("x", x)
    (t, b, d), n = x.shape, A.shape[-1]
    if n == 0:
        raise ValueError(f"A has shape {tuple(A.shape)}: no states")
    shapes = (
        ("delta", delta, (t, b, d)),
        ("A", A, (d, n)),
        ("B", B, (t, b, n)),
        ("C", C, (t, b, n)),
        ("D", D, (d,)),
        ("gate", gate, (t, b, d)),
        ("state", state, (b, d, n)),
        ("start", start, (t, b)),
    )
    for name, array, shape in shapes:
        if array is not None:
            check_shape(name, array, shape)
    if start is not None:
        check_kind("start", start, bool)
    if state is not None:
        check_kind("state", state, x.dtype)


def _refuse_growth(A: Array, delta: Array) -> tuple[Array, Array]:
    A = refuse("A", A, ~(A <= 0), "at most 0: a positive A grows without bound")
    return A, refuse("delta", delta, ~(delta >= 0), "at least 0")
