"""The four models of `td`, as every contender takes them, and the settings of each."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

EPSILON = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What is asked on a model.

    Attributes:
        gymnasium: its id, or none.
        step_size: constant.
        discount: of a step.
        limit: steps after which an episode is cut off; 0 for none.
    """

    gymnasium: str
    step_size: float
    discount: float
    limit: int


SETTINGS = {
    "cliff": Setting(gymnasium="CliffWalking-v1", step_size=0.5, discount=1.0, limit=0),
    "lake": Setting(gymnasium="FrozenLake8x8-v1", step_size=0.1, discount=0.99, limit=200),
    "taxi": Setting(gymnasium="Taxi-v4", step_size=0.1, discount=0.99, limit=200),
    "garnet": Setting(gymnasium="", step_size=0.1, discount=0.95, limit=0),
}


def table(name: str) -> tuple[dict[int, dict[int, list[tuple[float, int, float, bool]]]], Any]:
    """Gymnasium's own P of a model, and its first distribution; the garnet has 1,000 states, 4 actions, 10 branches."""
    if name != "garnet":
        import gymnasium

        env = gymnasium.make(SETTINGS[name].gymnasium).unwrapped
        return env.P, env.initial_state_distrib
    rng = np.random.default_rng(0)
    states, actions, branches = 1000, 4, 10
    found: dict[int, dict[int, list[tuple[float, int, float, bool]]]] = {}
    for s in range(states):
        found[s] = {}
        for a in range(actions):
            target, weight, reward = rng.choice(states, branches, replace=False), rng.random(branches), rng.normal()
            chance = (weight / weight.sum()).tolist()
            found[s][a] = [(p, int(t), float(reward), False) for p, t in zip(chance, target, strict=True)]
    return found, np.full(states, 1 / states)


def model(name: str) -> Any:
    """The same as our MDP."""
    from suasion.markov import from_gymnasium

    transitions, initial = table(name)
    return from_gymnasium(transitions, initial=initial)
