"""Worker: MushroomRL's Q-learning or SARSA on its `FiniteMDP`; runs in the peer's own environment."""

from __future__ import annotations

import argparse
import importlib.metadata

import numpy as np
from mushroom_rl.algorithms.value import SARSA, QLearning
from mushroom_rl.core import Core
from mushroom_rl.environments import FiniteMDP
from mushroom_rl.policy import EpsGreedy
from mushroom_rl.utils.parameters import Parameter

from benchmarks._measure import tell, timed

STEPS = 10_000  # of a turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", help="an npz with p[s, a, t], r[s, a, t], first, step_size, discount, limit")
    parser.add_argument("rule", choices=("q", "sarsa"))
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    held = np.load(given.arrays)
    limit = int(held["limit"]) or np.inf
    mdp = FiniteMDP(held["p"], held["r"], mu=held["first"], gamma=float(held["discount"]), horizon=limit)
    policy = EpsGreedy(epsilon=Parameter(value=0.1))
    learner = {"q": QLearning, "sarsa": SARSA}[given.rule]
    core = Core(learner(mdp.info, policy, Parameter(value=float(held["step_size"]))), mdp)

    def turn() -> int:
        core.learn(n_steps=STEPS, n_steps_per_fit=1, quiet=True)
        return STEPS

    tell(**timed(turn, given.seconds), version=importlib.metadata.version("mushroom-rl"))


if __name__ == "__main__":
    main()
