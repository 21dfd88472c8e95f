r"""Linear-Gaussian state-space models: the record.

$x_0 \sim N(m_0, P_0)$, $x_{t+1} = A x_t + B u_t + w_t$, $y_t = C x_t + D u_t + v_t$, $w_t \sim N(0, Q)$,
$v_t \sim N(0, R)$: n state components, p observed ones, m inputs, T steps. The first observation is of $x_0$.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from suasion.statespace._checks import check_finite, check_shape, covariance_root
from suasion.statespace._linear import noise_root, zero_order_hold

VARYING = ("A", "B", "C", "D", "Q", "R")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LinearGaussianSSM:
    r"""A linear-Gaussian state-space model.

    A, B, C, D, Q, R may each change with time: give them a first axis of at least the length of the sequences; entry t
    of A, B and Q leads from $x_t$ to $x_{t+1}$. Covariances may be singular or zero.

    Attributes:
        A: float64[n, n], or with a first axis of time.
        C: float64[p, n].
        Q: covariance of the state's noise, float64[n, n].
        R: covariance of the observation's noise, float64[p, p].
        m0: mean of $x_0$, float64[n].
        P0: covariance of $x_0$, float64[n, n].
        B: float64[n, m]; no inputs to the state if None.
        D: float64[p, m]; no inputs to the observation if None.
        diffuse: components of $x_0$ of which nothing is known (exactly: the limit of infinite variance), bool[n];
            none if None. Their rows and columns of `P0` must be 0.

    Raises:
        ValueError: shapes disagree, an entry is not finite, a covariance is not symmetric or has a negative eigenvalue;
            which, and how much.
    """

    A: Float64[ndarray, "..."]
    C: Float64[ndarray, "..."]
    Q: Float64[ndarray, "..."]
    R: Float64[ndarray, "..."]
    m0: Float64[ndarray, "_"]
    P0: Float64[ndarray, "_ _"]
    B: Float64[ndarray, "..."] | None = None
    D: Float64[ndarray, "..."] | None = None
    diffuse: Bool[ndarray, "_"] | None = None

    def __post_init__(self) -> None:
        n, p = len(self.m0), self.C.shape[-2]
        m = next((held.shape[-1] for held in (self.B, self.D) if held is not None), 0)
        wanted = {"A": (n, n), "C": (p, n), "Q": (n, n), "R": (p, p), "B": (n, m), "D": (p, m)}
        for name, shape in wanted.items():
            held = getattr(self, name)
            if held is None:
                continue
            if held.ndim not in (2, 3) or held.shape[-2:] != shape or not len(held):
                raise ValueError(f"{name} is {list(held.shape)}, not {list(shape)} (a first axis of time may be added)")
            check_finite(name, held)
        check_finite("m0", self.m0)
        check_shape("P0", self.P0, (n, n))
        _ = self.process_root, self.observation_root, self.start_root  # refuses what is no covariance
        if self.diffuse is not None:
            check_shape("diffuse", self.diffuse, (n,))
            if self.P0[self.diffuse].any():
                i = int(np.flatnonzero(self.diffuse)[np.argmax(self.P0[self.diffuse].any(1))])
                raise ValueError(f"x0[{i}] is diffuse, and its row of P0 is not 0")

    def __repr__(self) -> str:
        return f"LinearGaussianSSM({self.n_components} components, {self.n_observed} observed)"

    @classmethod
    def from_continuous(
        cls, *, A: Float64[ndarray, "_ _"], L: Float64[ndarray, "_ _"], step: float, **rest: Any
    ) -> LinearGaussianSSM:
        r"""From $dx = (A x + B u) dt + L dW$, seen every `step` (u held between): zero-order hold, and Van Loan.

        Args:
            A: float64[n, n], per unit of time.
            L: float64[n, q], per square root of the unit of time.
            step: $\Delta > 0$.
            **rest: the other attributes; `B` that of continuous time; `Q` follows from `L`.

        Raises:
            ValueError: as for the model; the step is not positive.
        """
        B = rest.pop("B", None)
        move, drive = zero_order_hold(A, np.zeros((len(A), 1)) if B is None else B, step)
        root = noise_root(A, L, step)
        Q = root @ root.T
        return cls(A=move, B=None if B is None else drive, Q=(Q + Q.T) / 2, **rest)

    @property
    def n_components(self) -> int:
        """n."""
        return len(self.m0)

    @property
    def n_observed(self) -> int:
        """p."""
        return int(self.C.shape[-2])

    @property
    def n_inputs(self) -> int:
        """m."""
        return next((int(held.shape[-1]) for held in (self.B, self.D) if held is not None), 0)

    @cached_property
    def process_root(self) -> Float64[ndarray, "_ _ _"]:
        """Roots of Q, with an axis of time."""
        return _roots("Q", self.Q)

    @cached_property
    def observation_root(self) -> Float64[ndarray, "_ _ _"]:
        """Roots of R, with an axis of time."""
        return _roots("R", self.R)

    @cached_property
    def invertible(self) -> bool:
        """Whether R has an inverse at every step."""
        size = np.sqrt(np.diagonal(timed(self.R), axis1=1, axis2=2))[:, :, None]
        if not size.all():
            return False
        least = np.linalg.svd(self.observation_root / size, compute_uv=False)[:, -1]
        return bool((least > 1e-7).all())  # a root of what counts as 0 in a covariance

    @cached_property
    def constant(self) -> bool:
        """Whether A, C, Q and R are the same at all steps."""
        return max(len(timed(held)) for held in (self.A, self.C, self.Q, self.R)) == 1

    @cached_property
    def start_root(self) -> Float64[ndarray, "_ _"]:
        """Root of P0."""
        return covariance_root("P0", self.P0)

    @cached_property
    def unknown(self) -> Float64[ndarray, "_ _"]:
        """Columns of the diffuse components, float64[n, k]."""
        chosen = np.zeros(len(self.m0), bool) if self.diffuse is None else self.diffuse
        return np.eye(len(self.m0))[:, chosen]

    def at(self, name: str, t: int) -> ndarray:
        """A parameter at step t."""
        held = getattr(self, name)
        return held if held.ndim == 2 else held[t]

    def check_steps(self, steps: int) -> None:
        """Refuse sequences longer than what changes with time.

        Raises:
            ValueError: which, and both lengths.
        """
        for name in VARYING:
            held = getattr(self, name)
            if held is not None and held.ndim == 3 and len(held) < steps:
                raise ValueError(f"{name} is given for {len(held)} steps, and {steps} are asked for")


def timed(held: ndarray) -> ndarray:
    """With an axis of time."""
    return np.ascontiguousarray(held if held.ndim == 3 else held[None])


def _roots(name: str, held: ndarray) -> ndarray:
    if held.ndim == 2:
        return covariance_root(name, held)[None]
    return np.stack([covariance_root(f"{name}[{t}]", one) for t, one in enumerate(held)])
