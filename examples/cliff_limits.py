"""Along the cliff: Sarsa, Expected Sarsa and Q-learning, and the two numbers that need no learning."""

import sys
from pathlib import Path

import gymnasium
import numpy as np

from suasion.markov import from_gymnasium, q_from_v
from suasion.planning import solve
from suasion.td import ExpectedSarsa, QLearning, Sarsa, epsilon_greedy, epsilon_soft, learn, mean_band, policy_value
from suasion.viewing import Banded, Panel, banded_curves, save_figure

env = gymnasium.make("CliffWalking-v1").unwrapped
cliff = from_gymnasium(env.P, initial=env.initial_state_distrib)
optimal = np.round(solve(cliff, 1.0).value, 6)  # whole numbers: equal best actions stay equal
exploring = epsilon_greedy(cliff, q_from_v(cliff, optimal, 1.0), 0.1)
references = {
    "optimal": optimal[36],
    "best with\nε = 0.1": solve(epsilon_soft(cliff, 0.1), 1.0).value[36],
    "optimal, but\nfor ε = 0.1": policy_value(cliff, exploring, 1.0)[36],
}
curves = {}
for name, rule in {"Sarsa": Sarsa, "Expected Sarsa": ExpectedSarsa, "Q-learning": QLearning}.items():
    found = learn(cliff, rule(step_size=0.5), discount=1.0, runs=1000, episodes=500, exact=False)
    band = mean_band(found.returns.reshape(1000, 50, 10).mean(axis=2))
    curves[name] = Banded(at=np.arange(10, 501, 10), **vars(band))
panel = Panel(curves=curves, xlabel="episode", ylabel="return while learning", references=references)
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves([panel], title="CliffWalking, α = 0.5, ε = 0.1", width=6.0), out / "cliff_limits.png"))
