r"""Linear systems that do not choose: S4D, as a recurrence and as a convolution, N(2) and N(3).

Every channel has its own system of n modes. A mode may be complex; then it stands for itself and its conjugate, and
its two parts lie in the memory one after the other.

Letters of the shapes: t steps, b batch, d channels, n modes of a channel, m numbers of a channel's state: n where modes
are real, 2 n where they are complex.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Key

from suasion.sequence._layer import Layer, Memory, check_size, clear, log_steps, product, uniform

Modes = Literal["lin", "real"]
_CHUNK = 32  # steps whose states are made again together


class DiagonalSSM(Layer):
    r"""$h' = A h + x$, $y = 2 \, \mathrm{Re} \, C h + D x$ in every channel, held over a step $\Delta$ of its own.

    $\bar A = e^{\Delta A}$ and $\bar B = \Delta \varphi_1(\Delta A)$ (N(13)), with A diagonal. Real modes do without
    the factor 2.

    References:
        Gu, Gupta, Goel & Ré (2022), S4D.
    """

    log_step: Float[Array, " d"]
    log_decay: Float[Array, "n d"]
    frequency: Float[Array, "n d"] | None
    readout: Float[Array, "m d"]
    feedthrough: Float[Array, " d"]

    @staticmethod
    def init(key: Key[Array, ""], *, width: int, states: int = 16, modes: str = "lin") -> DiagonalSSM:
        r"""Fresh parameters.

        Args:
            key: of the random numbers.
            width: d.
            states: n.
            modes: `lin` has $A_n = -1/2 + i \pi n$ (S4D-Lin), `real` has $A_n = -(n + 1)$ (S4D-Real), n from 0.

        Raises:
            ValueError: a size below 1, or other modes.
        """
        check_size("width", width)
        check_size("states", states)
        if modes not in get_args(Modes):
            raise ValueError(f"modes is {modes!r}: must be one of {', '.join(get_args(Modes))}")
        key_step, key_readout, key_through = jax.random.split(key, 3)
        number = jnp.tile(jnp.arange(states, dtype=jnp.float32)[:, None], (1, width))
        spiral = modes == "lin"
        readout = jax.random.normal(key_readout, ((2 if spiral else 1) * states, width))
        return DiagonalSSM(
            log_step=log_steps(key_step, width),
            log_decay=jnp.full_like(number, math.log(0.5)) if spiral else jnp.log(number + 1),
            frequency=math.pi * number if spiral else None,
            readout=readout * math.sqrt(0.5) if spiral else readout,
            feedthrough=jax.random.normal(key_through, (width,)),
        )

    @property
    def width(self) -> int:
        """Channels d."""
        return self.log_step.shape[0]

    def initial(self, batch: int) -> Memory:
        """Zero, [b, m, d]."""
        return jnp.zeros((batch, *self.readout.shape), self.readout.dtype)

    def discretise(self) -> tuple[Inexact[Array, "n d"], Inexact[Array, "n d"]]:
        r"""$\bar A$ and $\bar B$; complex where the modes are."""
        from suasion.statespace import hold  # half a second to load; most networks do without

        real = -jnp.exp(self.log_decay)
        A = real if self.frequency is None else real + 1j * self.frequency
        return hold(A, jnp.ones_like(A), jnp.exp(self.log_step)[None])

    def kernel(self, length: int) -> Float[Array, "t d"]:
        r"""$K_k = 2 \, \mathrm{Re} \, C \bar A^k \bar B$ for k = 0 ... length - 1 (N(3)), without D.

        Raises:
            ValueError: a length below 1.
        """
        check_size("length", length)
        a, b = self.discretise()
        return self._read(_powers(a, length) * b[None])

    def recur(self, memory: Memory, x: Float[Array, "b d"]) -> tuple[Memory, Float[Array, "b d"]]:
        """One step."""
        a, b = self.discretise()
        return self._recur(a, b, memory, x)

    def run(
        self, memory: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """All steps: by convolution if no episode may start, step by step otherwise."""
        return self.convolve(memory, x) if start is None else self.recurrence(memory, x, start)

    def recurrence(
        self, memory: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"]
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """N(2), step by step; the gradient makes states again by chunks."""
        a, b = self.discretise()

        def step(memory: Memory, now: tuple[Array, Array]) -> tuple[Memory, Array]:
            x_t, start_t = now
            return self._recur(a, b, clear(start_t, memory), x_t)

        whole = len(x) - len(x) % _CHUNK
        chunks = jax.tree.map(lambda v: v[:whole].reshape(-1, _CHUNK, *v.shape[1:]), (x, start))
        memory, y = jax.lax.scan(jax.checkpoint(lambda m, now: jax.lax.scan(step, m, now)), memory, chunks)
        memory, rest = jax.lax.scan(step, memory, (x[whole:], start[whole:]))
        return memory, jnp.concatenate([y.reshape(whole, *x.shape[1:]), rest])

    def convolve(self, memory: Memory, x: Float[Array, "t b d"]) -> tuple[Memory, Float[Array, "t b d"]]:
        r"""N(3), all steps at once by Fourier transform, and what is left of the memory: $C \bar A^{k+1} h_0$.

        Errors are those of floating point relative to a channel's largest output, not to each.
        """
        length = len(x)
        a, b = self.discretise()
        powers = _powers(a, length + 1)
        kernel = self._read(powers[:-1] * b[None])
        size = 2 * length
        spectrum = jnp.fft.rfft(x, size, axis=0) * jnp.fft.rfft(kernel, size, axis=0)[:, None]
        y = jnp.fft.irfft(spectrum, size, axis=0)[:length] + self.feedthrough[None, None] * x
        h = self._join(memory)
        left = jnp.einsum("tnd,bnd->tbd", powers[1:], self._join(self.readout[None]) * h)
        y = y + (left if self.frequency is None else 2 * left.real)
        gathered = jnp.einsum("tnd,tbd->bnd", jnp.flip(powers[:-1], 0) * b[None], x.astype(powers.dtype))
        return self._part(powers[-1][None] * h + gathered), y

    def _recur(self, a: Array, b: Array, memory: Array, x: Array) -> tuple[Array, Array]:
        h = a[None] * self._join(memory) + b[None] * x[:, None, :]
        return self._part(h), self._read(h) + self.feedthrough[None] * x

    def _read(self, h: Inexact[Array, "*t n d"]) -> Float[Array, "*t d"]:
        """2 Re C h, summed over modes."""
        C = self._join(self.readout[None]).reshape((1,) * (h.ndim - 2) + h.shape[-2:])
        return jnp.sum(C * h, -2) if self.frequency is None else 2 * jnp.sum((C * h).real, -2)

    def _join(self, memory: Float[Array, "b m d"]) -> Inexact[Array, "b n d"]:
        if self.frequency is None:
            return memory
        real, imaginary = jnp.split(memory, 2, 1)
        return real + 1j * imaginary

    def _part(self, h: Inexact[Array, "b n d"]) -> Float[Array, "b m d"]:
        return h if self.frequency is None else jnp.concatenate([h.real, h.imag], 1)


class S4D(Layer):
    r"""$y = \mathrm{glu}(\mathrm{gelu}(\mathrm{ssm}(x)) \, W + b)$: the mixer around `DiagonalSSM`.

    $\mathrm{glu}(u, v) = u \, \sigma(v)$. Nothing in it chooses what to remember.

    References:
        Gu, Gupta, Goel & Ré (2022).
    """

    system: DiagonalSSM
    outward: Float[Array, "d 2*d"]
    bias: Float[Array, " 2*d"]

    @staticmethod
    def init(key: Key[Array, ""], *, width: int, states: int = 16, modes: str = "lin") -> S4D:
        """Fresh parameters; arguments and errors as of `DiagonalSSM.init`."""
        key_system, key_out = jax.random.split(key)
        return S4D(
            system=DiagonalSSM.init(key_system, width=width, states=states, modes=modes),
            outward=uniform(key_out, width, (width, 2 * width)),
            bias=jnp.zeros(2 * width),
        )

    @property
    def width(self) -> int:
        """Channels d."""
        return self.system.width

    def initial(self, batch: int) -> Memory:
        """That of the system."""
        return self.system.initial(batch)

    def recur(self, memory: Memory, x: Float[Array, "b d"]) -> tuple[Memory, Float[Array, "b d"]]:
        """One step."""
        memory, y = self.system.recur(memory, x)
        return memory, self._mix(y)

    def run(
        self, memory: Memory, x: Float[Array, "t b d"], start: Bool[Array, "t b"] | None
    ) -> tuple[Memory, Float[Array, "t b d"]]:
        """All steps."""
        memory, y = self.system.run(memory, x, start)
        return memory, self._mix(y)

    def _mix(self, y: Float[Array, "*t b d"]) -> Float[Array, "*t b d"]:
        mixed = product(jax.nn.gelu(y), self.outward) + self.bias.reshape((1,) * (y.ndim - 1) + (-1,))
        return jax.nn.glu(mixed, -1)


def _powers(a: Inexact[Array, "n d"], length: int) -> Inexact[Array, "t n d"]:
    """a^k for k = 0 ... length - 1, by doubling: the errors of the recurrence's own products, not of an exponential."""
    powers, square = jnp.ones_like(a)[None], a  # square: a to the number of powers there are
    while len(powers) < length:
        powers = jnp.concatenate([powers, powers * square[None]])
        square = square * square
    return powers[:length]
