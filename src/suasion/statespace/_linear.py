r"""Linear systems: continuous, discretised, as a recurrence and as a convolution: N(1)-N(13).

n states, m inputs, p outputs, T steps. The input $x_k$ is held from $t_{k-1}$ to $t_k$, and $h_k$ is the state at
$t_k$, as in the notes (N(2)): an output is read at the end of its interval.

Slips of the notes, corrected here: N(4)-N(9) write $B e^{-At}$ and $h(0) e^{At}$ where matrices need $e^{-At} B$ and
$e^{At} h(0)$; N(3) lets the kernel run to L where its last index is L - 1. N(13) is right.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64
from numba import njit
from numpy import ndarray
from scipy import linalg

from suasion.statespace._checks import check_finite, check_shape
from suasion.statespace._phi import hold

Method = Literal["zoh", "euler", "bilinear"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LinearSystem:
    r"""$h'(t) = A h(t) + B x(t)$, $y(t) = C h(t) + D x(t)$ (N(1)).

    Attributes:
        A: float64[n, n], per unit of time.
        B: float64[n, m].
        C: float64[p, n].
        D: float64[p, m]; zero if None.

    Raises:
        ValueError: shapes disagree, or an entry is not finite; which, and where.
    """

    A: Float64[ndarray, "_ _"]
    B: Float64[ndarray, "_ _"]
    C: Float64[ndarray, "_ _"]
    D: Float64[ndarray, "_ _"] | None = None

    def __post_init__(self) -> None:
        _check(self.A, self.B, self.C, self.D)

    def discretise(self, step: float, method: Method = "zoh") -> DiscreteSystem:
        r"""The recurrence N(2) of step $\Delta$.

        `zoh` is exact for an input that is constant within each step (N(13)); A may be singular. `euler` is
        $\bar A = I + \Delta A$, $\bar B = \Delta B$. `bilinear` is $\bar A = (I - \frac{\Delta}{2} A)^{-1}
        (I + \frac{\Delta}{2} A)$, $\bar B = (I - \frac{\Delta}{2} A)^{-1} \Delta B$, and keeps stable systems stable.

        Args:
            step: $\Delta > 0$, in units of time.
            method: one of these.

        Raises:
            ValueError: the step is not positive, the method has another name, or 2 / step is an eigenvalue of A
                (`bilinear`).
        """
        _check_step(step)
        if method not in get_args(Method):
            raise ValueError(f"method is {method!r}: must be one of {', '.join(get_args(Method))}")
        rule = {"zoh": zero_order_hold, "euler": _euler, "bilinear": _bilinear}[method]
        A, B = rule(self.A, self.B, step)
        return DiscreteSystem(A=A, B=B, C=self.C, D=self.D)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class DiscreteSystem:
    r"""$h_k = \bar A h_{k-1} + \bar B x_k$, $y_k = C h_k + D x_k$ (N(2)).

    Attributes:
        A: $\bar A$, float64[n, n].
        B: $\bar B$, float64[n, m].
        C: float64[p, n].
        D: float64[p, m]; zero if None.

    Raises:
        ValueError: shapes disagree, or an entry is not finite; which, and where.
    """

    A: Float64[ndarray, "_ _"]
    B: Float64[ndarray, "_ _"]
    C: Float64[ndarray, "_ _"]
    D: Float64[ndarray, "_ _"] | None = None

    def __post_init__(self) -> None:
        _check(self.A, self.B, self.C, self.D)

    def recurrence(
        self, inputs: Float64[ndarray, "_ _"], start: Float64[ndarray, "_"] | None = None
    ) -> tuple[Float64[ndarray, "_ _"], Float64[ndarray, "_ _"]]:
        r"""Step by step (N(2)).

        Args:
            inputs: $x_1 \ldots x_T$, float64[T, m].
            start: $h_0$, float64[n]; zero if None.

        Returns:
            Outputs $y_1 \ldots y_T$, float64[T, p], and states $h_1 \ldots h_T$, float64[T, n].

        Raises:
            ValueError: no steps, or shapes that disagree.
        """
        self._check_inputs(inputs)
        held = np.zeros(len(self.A)) if start is None else start
        check_shape("start", held, (len(self.A),))
        states = _run(np.ascontiguousarray(self.A), inputs @ self.B.T, held)
        return self._add_feedthrough(states @ self.C.T, inputs), states

    def kernel(self, length: int) -> Float64[ndarray, "_ _ _"]:
        r"""$K_k = C \bar A^k \bar B$ for k = 0 ... length - 1 (N(3)): the impulse response without D.

        Returns:
            float64[length, p, m].

        Raises:
            ValueError: the length is below 1.
        """
        if length < 1:
            raise ValueError(f"length is {length}: must be at least 1")
        powers = np.empty((length, *self.B.shape))
        powers[0] = self.B
        done = 1
        square = self.A  # A^done
        while done < length:
            more = min(done, length - done)
            powers[done : done + more] = square @ powers[:more]
            square, done = square @ square, done + more
        return self.C @ powers

    def convolve(self, inputs: Float64[ndarray, "_ _"]) -> Float64[ndarray, "_ _"]:
        r"""$y_k = \sum_{i \le k} K_{k-i} x_i + D x_k$ (N(3)): the recurrence from $h_0 = 0$, all steps at once.

        By Fourier transform: errors are those of floating point relative to the largest output, not to each.

        Args:
            inputs: float64[T, m].

        Returns:
            float64[T, p].

        Raises:
            ValueError: no steps, or shapes that disagree.
        """
        from scipy import signal  # a third of a second to load

        self._check_inputs(inputs)
        kernel = self.kernel(len(inputs))
        full = signal.fftconvolve(kernel, inputs[:, None, :], axes=0)[: len(inputs)]
        return self._add_feedthrough(full.sum(-1), inputs)

    def _check_inputs(self, inputs: ndarray) -> None:
        if len(inputs) == 0:
            raise ValueError("inputs has length 0")
        check_shape("inputs", inputs, (len(inputs), self.B.shape[1]))
        check_finite("inputs", inputs)

    def _add_feedthrough(self, outputs: ndarray, inputs: ndarray) -> ndarray:
        return outputs if self.D is None else outputs + inputs @ self.D.T


def zero_order_hold(
    A: Float64[ndarray, "_ _"], B: Float64[ndarray, "_ _"], step: float
) -> tuple[Float64[ndarray, "_ _"], Float64[ndarray, "_ _"]]:
    r"""$\bar A = e^{A \Delta}$ and $\bar B = \int_0^\Delta e^{A s} ds\, B$ (N(13)), A singular or not.

    Where A is diagonal by `phi_1`; otherwise both are blocks of one exponential,
    $\exp \begin{pmatrix} A & B \\ 0 & 0 \end{pmatrix} \Delta$.

    Args:
        A: float64[n, n].
        B: float64[n, m].
        step: $\Delta > 0$.

    References:
        Van Loan (1978).
    """
    n = len(A)
    diagonal = np.diag(A)
    if not (A - np.diag(diagonal)).any():
        a, b = hold(diagonal[:, None], B, np.float64(step))
        return np.diag(a[:, 0]), b
    # A power of two brings B to the size of A: a large B would make the exponential square for nothing.
    size = float(np.abs(B).max(initial=0.0))
    scale = 2.0 ** np.ceil(np.log2(size / np.abs(A).max())) if size else 1.0
    block = np.zeros((n + B.shape[1],) * 2)
    block[:n, :n], block[:n, n:] = A * step, B / scale * step
    exponential = linalg.expm(block)
    return exponential[:n, :n], exponential[:n, n:] * scale


def noise_root(A: Float64[ndarray, "_ _"], L: Float64[ndarray, "_ _"], step: float) -> Float64[ndarray, "_ _"]:
    r"""A root of the noise that gathers within a step: $Q = \int_0^\Delta e^{A s} L L^T e^{A^T s} ds$ (Van Loan).

    Van Loan's block exponential holds $e^{-A \Delta}$, which overflows for fast stable systems, and its Q is
    semidefinite only up to rounding. Here a root is made: ten Gauss nodes for a piece of the step with
    $\lVert A \rVert s \le 1/2$, where their error is below that of floating point, and then
    $Q(2s) = Q(s) + e^{As} Q(s) e^{A^T s}$, triangularised.

    Args:
        A: float64[n, n], per unit of time.
        L: float64[n, q]; the noise is L dW, with W of unit variance per unit of time.
        step: $\Delta > 0$.

    Returns:
        Lower-triangular S, float64[n, n], with $Q = S S^T$.

    Raises:
        ValueError: the step is not positive, shapes disagree, or an entry is not finite.

    References:
        Van Loan (1978), for the integral.
    """
    _check_step(step)
    n = len(A)
    check_shape("A", A, (n, n))
    check_shape("L", L, (n, L.shape[1]))
    check_finite("A", A)
    check_finite("L", L)
    size = float(np.linalg.norm(A, 1)) * step
    doublings = max(0, int(np.ceil(np.log2(size))) + 1) if size else 0
    piece = step / 2**doublings
    nodes, weights = np.polynomial.legendre.leggauss(10)
    parts = [
        np.sqrt(piece * w / 2) * linalg.expm(A * (piece * (1 + node) / 2)) @ L
        for node, w in zip(nodes, weights, strict=True)
    ]
    root = _lower(np.concatenate(parts, axis=1))
    move = linalg.expm(A * piece)
    for _ in range(doublings):
        root = _lower(np.concatenate([root, move @ root], axis=1))
        move = move @ move
    return root


def _lower(wide: ndarray) -> ndarray:
    """Lower-triangular S with S S' = wide wide'."""
    n = len(wide)
    upper = np.asarray(np.linalg.qr(wide.T, mode="r"))
    held = np.zeros((n, n))
    held[:, : len(upper)] = upper.T
    return held * np.where(np.diag(held) < 0, -1.0, 1.0)


def _euler(A: ndarray, B: ndarray, step: float) -> tuple[ndarray, ndarray]:
    return np.eye(len(A)) + step * A, step * B


def _bilinear(A: ndarray, B: ndarray, step: float) -> tuple[ndarray, ndarray]:
    left, right = np.eye(len(A)) - step / 2 * A, np.eye(len(A)) + step / 2 * A
    try:
        both = np.linalg.solve(left, np.concatenate([right, step * B], axis=1))
    except np.linalg.LinAlgError:
        raise ValueError(f"A has the eigenvalue 2 / step = {2 / step!r}: bilinear has no solution") from None
    return both[:, : len(A)], both[:, len(A) :]


def _check(A: ndarray, B: ndarray, C: ndarray, D: ndarray | None) -> None:
    n = len(A)
    check_shape("A", A, (n, n))
    check_shape("B", B, (n, B.shape[1]))
    check_shape("C", C, (C.shape[0], n))
    if D is not None:
        check_shape("D", D, (C.shape[0], B.shape[1]))
    for name, held in (("A", A), ("B", B), ("C", C), ("D", D)):
        if held is not None:
            check_finite(name, held)


def _check_step(step: float) -> None:
    if not 0 < step < np.inf:
        raise ValueError(f"step is {step!r}: must be positive")


@njit(cache=True, nogil=True)
@typing.no_type_check
def _run(A, driven, start):
    """h_k = A h_{k-1} + driven_k."""
    steps, n = driven.shape
    states = driven.copy()
    before = start.copy()
    for k in range(steps):
        for i in range(n):
            total = states[k, i]
            for j in range(n):
                total += A[i, j] * before[j]
            states[k, i] = total
        before[:] = states[k]
    return states
