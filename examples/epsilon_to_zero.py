"""Less and less exploration: the limits of Sarsa and of Q-learning meet at the optimum. Nothing is learned here."""

import sys
from pathlib import Path

import gymnasium
import numpy as np

from suasion.markov import from_gymnasium, q_from_v
from suasion.planning import solve
from suasion.td import epsilon_greedy, epsilon_soft, policy_value
from suasion.viewing import Banded, Panel, banded_curves, save_figure

env = gymnasium.make("CliffWalking-v1").unwrapped
cliff = from_gymnasium(env.P, initial=env.initial_state_distrib)
q = q_from_v(cliff, np.round(solve(cliff, 1.0).value, 6), 1.0)  # whole numbers: ties stay ties
epsilons = np.geomspace(0.001, 0.3, 25)
soft = [solve(epsilon_soft(cliff, float(e)), 1.0).value[36] for e in epsilons]
exploring = [policy_value(cliff, epsilon_greedy(cliff, q, float(e)), 1.0)[36] for e in epsilons]
curves = {
    "best policy with ε (limit of Sarsa)": Banded(at=epsilons, middle=np.array(soft)),
    "optimal policy but for ε (limit of Q-learning)": Banded(at=epsilons, middle=np.array(exploring)),
}
panel = Panel(
    curves=curves,
    xlabel="ε",
    ylabel="value of the start",
    logarithmic="x",
    references={"optimal": -13.0},
    limits=(-80.0, -8.0),
)
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves([panel], title="CliffWalking", width=6.0), out / "epsilon_to_zero.png"))
