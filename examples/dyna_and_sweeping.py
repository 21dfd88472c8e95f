"""Between learning and planning: Q-learning, Dyna that goes over its steps again, prioritised sweeping of a model."""

import sys
from pathlib import Path

import numpy as np

from suasion.markov import from_function
from suasion.td import DynaQ, PrioritisedSweeping, QLearning, WatkinsQ, learn, mean_band
from suasion.viewing import Banded, Panel, banded_curves, save_figure

MAZE = [".......#G", "..#....#.", "S.#....#.", "..#......", ".....#...", "........."]
moves = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
free = {(y, x) for y, row in enumerate(MAZE) for x, mark in enumerate(row) if mark != "#"}


def step(s, a):
    """A step in the maze; walls stop it, the goal pays 1."""
    y, x = s[0] + moves[a][0], s[1] + moves[a][1]
    there = (y, x) if (y, x) in free else s
    return [(1.0, there, float(there == (0, 8)))]


maze = from_function([(2, 0)], lambda s: [] if s == (0, 8) else list(moves), step, initial={(2, 0): 1.0})
rules = {
    "Q-learning": QLearning(step_size=0.1),
    "Watkins's Q(λ)": WatkinsQ(lambda_=0.9, step_size=0.1),
    "Dyna-Q, 5 updates a step": DynaQ(planning_steps=5, step_size=0.1),
    "Dyna-Q, 50 updates": DynaQ(planning_steps=50, step_size=0.1),
    "prioritised sweeping, 5": PrioritisedSweeping(planning_steps=5),
}
curves = {}
for name, rule in rules.items():
    found = learn(maze, rule, discount=0.95, runs=50, episodes=50, exact=False)
    curves[name] = Banded(at=np.arange(1, 51), **vars(mean_band(found.lengths.astype(float))))
panel = Panel(
    curves=curves,
    xlabel="episode",
    ylabel="steps to the goal",
    logarithmic="xy",
    references={"shortest": 14.0},
    limits=(12.0, 2000.0),
)
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves([panel], title="Dyna's maze", width=6.4), out / "dyna_and_sweeping.png"))
