"""Measures of a society: pure NumPy functions of the arrays of one episode.

Letters of the shapes: T steps, n agents. Steps are counted from 1 to T. What is undefined is reported as
such, with the reason, and never as a number.

The first four measures are those of Perolat et al. (2017), A multi-agent reinforcement learning model of
common-pool resource appropriation, in the forms of the rule book.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

Rewards = Float[np.ndarray, "T n"]
SUMS = {
    "apples": "apples",
    "wastes_cleaned": "cleans",
    "fining_beams": "fires",
    "cleaning_beams": "cleanings",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of one episode.

    Attributes:
        value: of the society; None where it is undefined.
        reason: why it is undefined, or which agents it leaves out; empty where there is nothing to say.
        per_agent: the n agents' own values where the measure has them (None: undefined), else empty.
    """

    value: float | None
    reason: str = ""
    per_agent: tuple[float | None, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Average:
    """A measure averaged over episodes, with and without those in which an agent never ate.

    Attributes:
        all: mean over the episodes in which the measure is defined; None where there are none.
        episodes: how many those are.
        fed: the same mean, without the episodes in which some agent never ate (or, in a game without apples,
            never was rewarded): the publications on Harvest report this one.
        fed_episodes: how many those are.
    """

    all: float | None
    episodes: int
    fed: float | None
    fed_episodes: int


def efficiency(rewards: Rewards) -> Measure:
    """Efficiency: reward of the society per step, U = sum_i R_i / T.

    Args:
        rewards: of each agent in each step.

    Returns:
        U, in reward units per step; per agent R_i / T.
    """
    rewards = _episode(rewards)
    rates = rewards.sum(axis=0) / rewards.shape[0]
    return Measure(value=float(rates.sum()), per_agent=_floats(rates))


def equality(rewards: Rewards) -> Measure:
    """Equality: one minus the Gini coefficient of the returns, E = 1 - sum_ij |R_i - R_j| / (2 n sum_i R_i).

    Args:
        rewards: of each agent in each step.

    Returns:
        E, from 1/n (one has everything) to 1 (all have the same); undefined where a return is negative or
        where the returns sum to nothing. Per agent the returns R_i.
    """
    returns = _episode(rewards).sum(axis=0)
    shares = _floats(returns)
    if returns.min() < 0:
        worst = int(returns.argmin())
        return Measure(value=None, reason=f"agent {worst + 1} has return {returns[worst]:g} < 0", per_agent=shares)
    total = returns.sum()
    if total <= 0:
        return Measure(value=None, reason="the returns sum to 0", per_agent=shares)
    gaps = np.abs(returns[:, None] - returns[None, :]).sum()
    return Measure(value=float(1 - gaps / (2 * returns.size * total)), per_agent=shares)


def sustainability(rewards: Rewards) -> Measure:
    """Sustainability: how late rewards come, S = mean_i t_i, with t_i the mean step at which i is rewarded.

    Args:
        rewards: of each agent in each step.

    Returns:
        S in steps, 1 to T; rewards spread evenly give (T + 1) / 2. Agents never rewarded have no t_i: they
        are left out, and the reason counts them. Undefined where nobody was rewarded. Per agent t_i.
    """
    rewarded = _episode(rewards) > 0
    steps = np.arange(1, rewarded.shape[0] + 1)
    times = [float(steps[column].mean()) if column.any() else None for column in rewarded.T]
    defined = [time for time in times if time is not None]
    missing = len(times) - len(defined)
    reason = f"{missing} of {len(times)} agents never rewarded" if missing else ""
    return Measure(value=float(np.mean(defined)) if defined else None, reason=reason, per_agent=tuple(times))


def peace(hits: Rewards) -> Measure:
    """Peace: P = 1 - hits received / (n T).

    Args:
        hits: fining beams received by each agent in each step.

    Returns:
        P, at most 1; negative where agents are hit more than once a step on average. Per agent 1 - hits / T.
    """
    hits = _episode(hits)
    shares = 1 - hits.sum(axis=0) / hits.shape[0]
    return Measure(value=float(shares.mean()), per_agent=_floats(shares))


def depletion(apples_left: Float[np.ndarray, " T"]) -> Measure:
    """Time to depletion: the first step from which on no apple is left until the end of the episode.

    Args:
        apples_left: apples on the map at the end of each step.

    Returns:
        A step, 1 to T; undefined where apples are left at the end.
    """
    present = np.flatnonzero(np.asarray(apples_left) > 0)
    steps = len(apples_left)
    last = int(present[-1]) + 1 if present.size else 0
    if last == steps:
        return Measure(value=None, reason=f"{apples_left[-1]:g} apples are left after {steps} steps")
    return Measure(value=float(last + 1))


def society(rewards: Rewards, events: Mapping[str, np.ndarray]) -> dict[str, Measure]:
    """All measures of one episode that its events allow.

    Args:
        rewards: of each agent in each step.
        events: counts and levels by name, float[T, n] or float[T], as `Spec.events` lists them.

    Returns:
        Always `return`, `efficiency`, `equality`, `sustainability` and `starved` (agents who never ate; never
        were rewarded, in a game without apples). Where the game counts them: `peace` (of `hits`), `apples`,
        `wastes_cleaned`, `fining_beams` and `cleaning_beams` (sums over the episode, per agent too),
        `waste_density` (mean over the steps), `apples_left` (after the last step) and, in games without
        waste, `depletion` (in Cleanup the orchard is empty whenever the river is dirty).

    Raises:
        ValueError: an event of another length than the rewards.
    """
    rewards = _episode(rewards)
    for name, values in events.items():
        if len(values) != len(rewards):
            raise ValueError(f"events[{name!r}] has {len(values)} steps, the rewards {len(rewards)}")
    measures = {
        "return": _total(rewards),
        "efficiency": efficiency(rewards),
        "equality": equality(rewards),
        "sustainability": sustainability(rewards),
        "starved": _starved(events.get("apples", np.maximum(rewards, 0))),
    }
    if "hits" in events:
        measures["peace"] = peace(events["hits"])
    sums = {
        "apples": "apples",
        "wastes_cleaned": "cleans",
        "fining_beams": "fires",
        "cleaning_beams": "cleanings",
    }
    measures |= {measure: _total(events[name]) for measure, name in sums.items() if name in events}
    if "waste_density" in events:
        measures["waste_density"] = Measure(value=float(np.mean(events["waste_density"])))
    if "apples_left" in events:
        measures["apples_left"] = Measure(value=float(events["apples_left"][-1]))
        if "waste_density" not in events:
            measures["depletion"] = depletion(events["apples_left"])
    return measures


def over_episodes(societies: Sequence[Mapping[str, Measure]]) -> dict[str, Average]:
    """Averages the measures of several episodes, with and without those in which an agent never ate.

    Args:
        societies: what `society` gave for each episode; at least one.

    Returns:
        For each measure both means, each with the number of episodes in which it is defined.

    Raises:
        ValueError: no episode, or episodes that do not have the same measures.
    """
    if not societies:
        raise ValueError("there is no episode to average")
    names = set(societies[0])
    for k, measures in enumerate(societies):
        if set(measures) != names:
            raise ValueError(f"episode {k} differs from episode 0 in {sorted(set(measures) ^ names)}")
    return {name: _average(societies, name) for name in societies[0]}


def _average(societies: Sequence[Mapping[str, Measure]], name: str) -> Average:
    defined = [(one[name].value, one["starved"].value == 0) for one in societies]
    values = [value for value, _ in defined if value is not None]
    fed = [value for value, eaten in defined if value is not None and eaten]
    return Average(
        all=float(np.mean(values)) if values else None,
        episodes=len(values),
        fed=float(np.mean(fed)) if fed else None,
        fed_episodes=len(fed),
    )


def _starved(meals: Rewards) -> Measure:
    """How many agents never ate: a number, with each agent's 0 or 1."""
    never = np.asarray(meals).max(axis=0) <= 0
    return Measure(value=float(never.sum()), per_agent=_floats(never))


def _total(counts: Rewards) -> Measure:
    sums = np.asarray(counts, np.float64).sum(axis=0)
    return Measure(value=float(sums.sum()), per_agent=_floats(sums))


def _episode(values: Rewards) -> Rewards:
    """The array in float64, refused where it is no episode or holds what is no number."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"an episode is [steps, agents] with at least one of each, not {list(values.shape)}")
    if not np.isfinite(values).all():
        t, i = (int(k) for k in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f"step {t + 1}, agent {i + 1}: {values[t, i]} is not a finite number")
    return values


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
