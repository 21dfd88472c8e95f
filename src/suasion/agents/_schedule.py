"""Numbers that change while learning: schedules of the step, per agent, started by the clock or by a measurement.

The written form, as on the command line: `1` a constant; `0@0,1@480000` piecewise linear in environment steps, flat
outside; `0@0,0@480000,1@480000` a jump; `0/1/1` one schedule per agent;
`when(reward/influence[0]>=0.02,10):0@0,1@0` is 0 until agent 0's metric has reached 0.02 in 10 updates in a row, and
counts its steps from there; `when(reward/influence[0]>=0.02,10,4.8e5):...` waits no longer than 480,000 steps.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trigger:
    """A measurement that starts a schedule's clock.

    Attributes:
        metric: a key of the learner's metrics: `name[i]` for agent i alone; without it the mean over agents.
        at_least: the threshold.
        updates: consecutive updates on which the metric must reach it.
        latest: environment step at which it fires if the metric has not made it do so; None to wait for ever.
    """

    metric: str
    at_least: float
    updates: int = 1
    latest: int | None = None

    def __post_init__(self) -> None:
        """Refuse a trigger that can never fire, and names that its written form could not hold."""
        if not self.metric or set(self.metric) & set(" ,()>="):
            raise ValueError(f"trigger on {self.metric!r}: that is no name of a metric")
        if not math.isfinite(self.at_least):
            raise ValueError(f"trigger on {self.metric}: at_least is {self.at_least}, must be finite")
        if self.updates < 1:
            raise ValueError(f"trigger on {self.metric}: updates is {self.updates}, must be at least 1")
        if self.latest is not None and self.latest < 1:
            raise ValueError(f"trigger on {self.metric}: latest is step {self.latest}, must be at least 1")

    def __str__(self) -> str:
        """The written form, without its `when`."""
        latest = "" if self.latest is None else f",{self.latest}"
        return f"{self.metric}>={self.at_least!r},{self.updates}{latest}"


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Piecewise linear in the environment step, constant before the first point and after the last.

    Attributes:
        points: (step, value) pairs, steps not decreasing; two values at one step are a jump.
        trigger: if given, steps count from the update on which it fires; until then the first value holds.
    """

    points: tuple[tuple[int, float], ...]
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        """Refuse points that are no schedule."""
        if not self.points:
            raise ValueError("a schedule needs at least one point")
        steps = [step for step, _ in self.points]
        for before, after in itertools.pairwise(steps):
            if after < before:
                raise ValueError(f"a schedule ends before it begins: step {after} after step {before}")
        for step, value in self.points:
            if step < 0 or not math.isfinite(value):
                raise ValueError(f"schedule point {value}@{step}: needs a finite value and a step of 0 or more")

    @property
    def constant(self) -> bool:
        """The same value for ever."""
        return len({value for _, value in self.points}) == 1

    def __call__(self, step: Float[Array, ""] | float) -> Float[Array, ""]:
        """The value at an environment step."""
        steps = np.array([s for s, _ in self.points], np.float32)
        values = np.array([v for _, v in self.points], np.float32)
        if len(steps) == 1:
            return jnp.float32(values[0])
        index = jnp.sum(jnp.asarray(steps) <= step)
        before, after = jnp.maximum(index - 1, 0), jnp.minimum(index, len(steps) - 1)
        left, right = jnp.asarray(steps)[before], jnp.asarray(steps)[after]
        share = jnp.where(right > left, (step - left) / jnp.where(right > left, right - left, 1.0), 0.0)
        low, high = jnp.asarray(values)[before], jnp.asarray(values)[after]
        return jnp.where(index == 0, values[0], low + jnp.clip(share, 0.0, 1.0) * (high - low))


Weight = Schedule | tuple[Schedule, ...]
"""One schedule for all agents, or one each."""


def constant(value: float) -> Schedule:
    """A schedule that never changes."""
    return Schedule(((0, float(value)),))


def parse_weight(text: str) -> Weight:
    """The written form of a weight: numbers, `value@step` points, one per agent between slashes.

    Raises:
        ValueError: with the part that could not be read.
    """
    # Slashes inside parentheses belong to the name of a metric.
    each = tuple(_parse_schedule(part, text) for part in re.split(r"/(?![^(]*\))", text))
    return each[0] if len(each) == 1 else each


def write_weight(weight: Weight) -> str:
    """The inverse of `parse_weight`."""
    if isinstance(weight, tuple):
        return "/".join(write_weight(each) for each in weight)
    if weight.trigger is not None:
        return f"when({weight.trigger}):{write_weight(Schedule(weight.points))}"
    if len(weight.points) == 1 and weight.points[0][0] == 0:
        return repr(weight.points[0][1])
    return ",".join(f"{value!r}@{step}" for step, value in weight.points)


def triggers(weights: tuple[Weight, ...]) -> tuple[Trigger, ...]:
    """All triggers in use, each once, in order."""
    found: dict[Trigger, None] = {}
    for weight in weights:
        for schedule in weight if isinstance(weight, tuple) else (weight,):
            if schedule.trigger is not None:
                found[schedule.trigger] = None
    return tuple(found)


def at(
    weight: Weight,
    step: Float[Array, ""],
    fired: Mapping[Trigger, Int[Array, ""]],
    agents: int,
) -> Float[Array, " n"]:
    """The weight of every agent at an environment step.

    Args:
        weight: one schedule, or one per agent.
        step: environment steps so far.
        fired: for each trigger the environment step at which it fired, or -1.
        agents: n.

    Raises:
        ValueError: one schedule per agent, but not n of them.
    """
    if isinstance(weight, Schedule):
        return jnp.broadcast_to(_one(weight, step, fired), (agents,))
    if len(weight) != agents:
        raise ValueError(f"{len(weight)} weights for {agents} agents")
    return jnp.stack([_one(schedule, step, fired) for schedule in weight])


def _one(schedule: Schedule, step: Array, fired: Mapping[Trigger, Array]) -> Array:
    if schedule.trigger is None:
        return schedule(step)
    since = fired[schedule.trigger].astype(jnp.float32)
    return jnp.where(since < 0, schedule.points[0][1], schedule(step - since))


_WHEN = re.compile(r"when\(([^,()>=]+)>=([^,()]+),([^,()]+)(?:,([^,()]+))?\):(.*)", re.DOTALL)


def _parse_schedule(text: str, whole: str) -> Schedule:
    found = _WHEN.fullmatch(text)
    if found is None:
        return Schedule(_parse_points(text, whole))
    metric, least, updates, latest, points = found.groups()
    try:
        trigger = Trigger(
            metric=metric.strip(),
            at_least=float(least),
            updates=_whole(updates),
            latest=None if latest is None else _whole(latest),
        )
    except (ValueError, OverflowError) as error:
        raise ValueError(f"cannot read {text!r} in {whole!r}: {error}") from None
    return Schedule(_parse_points(points, whole), trigger)


def _parse_points(text: str, whole: str) -> tuple[tuple[int, float], ...]:
    points = []
    parts = text.split(",")
    for part in parts:
        value, at_sign, step = part.partition("@")
        try:
            points.append((_whole(step) if at_sign else 0, float(value)))
        except (ValueError, OverflowError):
            raise ValueError(
                f"cannot read {part!r} in {whole!r}: write a number, or value@step,value@step, one per agent by /"
            ) from None
        if len(parts) > 1 and not at_sign:
            raise ValueError(f"{part!r} in {whole!r} has no @step, which a schedule of several points needs")
    return tuple(points)


def _whole(text: str) -> int:
    """A step: 480000 or 4.8e5, but no fraction, nor more than a float holds exactly."""
    number = float(text)
    if not number.is_integer() or abs(number) > 2**53:
        raise ValueError(text)
    return int(number)
