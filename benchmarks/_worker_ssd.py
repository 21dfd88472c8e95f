"""Worker: sequential_social_dilemma_games from a checkout: one environment, random actions, a reset every 1,000 steps.

Its environments are subclasses of a class of RLlib, whose old release no longer installs. Nothing else of RLlib runs
in a step, so empty stand-ins take the place of the two classes that the import asks for.
"""

from __future__ import annotations

import sys
import types

from benchmarks._measure import arguments, tell, timed

AGENTS, HORIZON, TURN = 5, 1000, 100
CLASSES = {"ray.rllib.env": "MultiAgentEnv", "ray.rllib.agents.callbacks": "DefaultCallbacks"}


def stand_in() -> None:
    """Modules with the names that the peer imports from RLlib."""
    for name in ("ray", "ray.rllib", "ray.rllib.env", "ray.rllib.agents", "ray.rllib.agents.callbacks"):
        sys.modules[name] = types.ModuleType(name)
    for name, class_ in CLASSES.items():
        setattr(sys.modules[name], class_, object)


def main() -> None:
    given = arguments(__doc__, "checkout", "game")
    sys.path.insert(0, given.checkout)
    stand_in()
    import numpy as np

    if given.game == "cleanup":
        from social_dilemmas.envs.cleanup import CleanupEnv as Env
    else:
        from social_dilemmas.envs.harvest import HarvestEnv as Env
    np.random.seed(0)  # noqa: NPY002  the peer draws from the global generator
    env = Env(num_agents=AGENTS)
    sights = env.reset()
    names, actions = sorted(env.agents), env.action_space.n
    rng = np.random.default_rng(0)
    played = 0

    def turn() -> int:
        nonlocal played
        for chosen in rng.integers(0, actions, (TURN, AGENTS)).tolist():
            env.step(dict(zip(names, chosen, strict=True)))
        played += TURN
        if played % HORIZON == 0:
            env.reset()
        return TURN

    view = sights[names[0]]["curr_obs"].shape[:2]
    tell(**timed(turn, given.seconds), view=view, numpy=np.__version__)


if __name__ == "__main__":
    main()
