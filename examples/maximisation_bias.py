"""A maximum of noisy values is too high: Q-learning goes left, where it loses; Double Q-learning soon does not."""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

from suasion.markov import from_function
from suasion.td import DoubleQLearning, QLearning, learn, mean_band
from suasion.viewing import Banded, Panel, banded_curves, save_figure

noise = norm.ppf((np.arange(100) + 0.5) / 100)
rewards = noise / noise.std() - 0.1  # about normal: mean -0.1, deviation 1
actions = {"A": ["left", "right"], "B": [f"action {i}" for i in range(10)], "end": []}


def step(s, a):
    """A leads to the end or to B, whose ten actions all lose a little on average."""
    if s == "A":
        return [(1.0, "B" if a == "left" else "end", 0.0)]
    return [(0.01, "end", float(r)) for r in rewards]


mdp = from_function(["A"], lambda s: actions[s], step, initial={"A": 1.0})
curves = {}
for name, rule in {"Q-learning": QLearning, "Double Q-learning": DoubleQLearning}.items():
    found = learn(mdp, rule(step_size=0.1), discount=1.0, runs=3000, episodes=300, exact=False)
    left = 100.0 * (found.lengths == 2)
    curves[name] = Banded(at=np.arange(1, 301), **vars(mean_band(left)))
panel = Panel(
    curves=curves,
    xlabel="episode",
    ylabel="goes left, % of runs",
    references={"no better:\nε / 2 = 5 %": 5.0},
    limits=(0.0, 100.0),
)
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves([panel], title="Maximisation bias", width=6.0), out / "maximisation_bias.png"))
