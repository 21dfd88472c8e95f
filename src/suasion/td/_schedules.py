r"""Numbers that change with experience: step sizes and rates of exploration.

A step size is a function of n, how often a choice has been updated, this time included; a rate of exploration is one of
the run's step t = 1, 2, ...
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

CONSTANT, POLYNOMIAL, LINEAR = range(3)


class Coded(NamedTuple):
    """A schedule as a kernel reads it: which, and its three numbers."""

    kind: int
    first: float
    second: float
    third: float


@dataclasses.dataclass(frozen=True)
class Constant:
    """The same number always.

    As a step size it never settles: sums of squares diverge. As a rate of exploration it keeps exploring.

    Attributes:
        value: the number, >= 0.

    Raises:
        ValueError: the number is negative or not finite.
    """

    value: float

    def __post_init__(self) -> None:
        _check("value", self.value, 0.0, float("inf"))

    @property
    def robbins_monro(self) -> bool:
        r"""Whether $\sum \alpha_n = \infty$ and $\sum \alpha_n^2 < \infty$: no."""
        return False

    @property
    def greedy_in_the_limit(self) -> bool:
        """Whether the numbers fall to 0 while their sum grows without bound: no."""
        return False

    def coded(self) -> Coded:
        """For a kernel."""
        return Coded(CONSTANT, float(self.value), 0.0, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polynomial:
    r"""$x_n = x_1 \left(\frac{1 + c}{n + c}\right)^w$; the default is 1/n, the sample mean.

    Attributes:
        first: $x_1$, > 0.
        exponent: w, > 0.
        delay: c, >= 0: after about c the fall begins.

    Raises:
        ValueError: a number is outside its range.
    """

    first: float = 1.0
    exponent: float = 1.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        _check("first", self.first, 0.0, float("inf"), open_below=True)
        _check("exponent", self.exponent, 0.0, float("inf"), open_below=True)
        _check("delay", self.delay, 0.0, float("inf"))

    @property
    def robbins_monro(self) -> bool:
        r"""Whether $\sum \alpha_n = \infty$ and $\sum \alpha_n^2 < \infty$: where w is in (1/2, 1].

        References:
            Robbins & Monro (1951); Sutton & Barto (2018), equation 2.7.
        """
        return 0.5 < self.exponent <= 1

    @property
    def greedy_in_the_limit(self) -> bool:
        """Whether the numbers fall to 0 while their sum grows without bound: where w is in (0, 1]."""
        return self.exponent <= 1

    def coded(self) -> Coded:
        """For a kernel."""
        return Coded(POLYNOMIAL, float(self.first), float(self.exponent), float(self.delay))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear:
    """From one number to another in equal steps, then the latter.

    Attributes:
        first: the number at n = 1, >= 0.
        last: the number from n = `over` on, >= 0.
        over: how many numbers until then, >= 2.

    Raises:
        ValueError: a number is outside its range.
    """

    first: float
    last: float
    over: int

    def __post_init__(self) -> None:
        _check("first", self.first, 0.0, float("inf"))
        _check("last", self.last, 0.0, float("inf"))
        if self.over < 2:
            raise ValueError(f"over is {self.over}, below 2")

    @property
    def robbins_monro(self) -> bool:
        r"""Whether $\sum \alpha_n = \infty$ and $\sum \alpha_n^2 < \infty$: no, for any last number."""
        return False

    @property
    def greedy_in_the_limit(self) -> bool:
        """Whether the numbers fall to 0 while their sum grows without bound: no, they are finitely many."""
        return False

    def coded(self) -> Coded:
        """For a kernel."""
        return Coded(LINEAR, float(self.first), float(self.last), float(self.over))


Schedule = Constant | Polynomial | Linear


def step_sizes(name: str, given: float | Schedule) -> Schedule:
    """A schedule whose numbers are step sizes, in (0, 1].

    Raises:
        ValueError: a number may lie outside.
    """
    schedule = given if isinstance(given, Schedule) else _constant(name, given, "(0, 1]")
    for number in _extremes(schedule):
        if not 0 < number <= 1:
            raise ValueError(f"{name} is {number!r}, outside (0, 1]")
    return schedule


def rates(name: str, given: float | Schedule, highest: float = 1.0) -> Schedule:
    """A schedule whose numbers are rates of exploration, in [0, highest].

    Raises:
        ValueError: a number may lie outside.
    """
    schedule = given if isinstance(given, Schedule) else _constant(name, given, f"[0, {highest:g}]")
    for number in _extremes(schedule):
        if not 0 <= number <= highest:
            raise ValueError(f"{name} is {number!r}, outside [0, {highest:g}]")
    return schedule


def _constant(name: str, value: float, interval: str) -> Constant:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} is {value!r}, outside {interval}")
    return Constant(value)


def _extremes(schedule: Schedule) -> tuple[float, ...]:
    if isinstance(schedule, Constant):
        return (schedule.value,)
    return (schedule.first, schedule.last) if isinstance(schedule, Linear) else (schedule.first,)


def _check(name: str, number: float, low: float, high: float, *, open_below: bool = False) -> None:
    inside = low < number < high if open_below else low <= number < high
    if not inside:
        raise ValueError(f"{name} is {number!r}, not a number {'above' if open_below else 'from'} {low:g}")
