"""Steps that do not shrink do not settle: the error that a constant step size leaves, and what 1/n makes of it."""

import sys
from pathlib import Path

import numpy as np

from suasion.markov import from_arrays, q_from_v
from suasion.planning import solve
from suasion.td import EpsilonGreedy, Polynomial, QLearning, learn, mean_band
from suasion.viewing import Banded, Panel, banded_curves, save_figure

rng = np.random.default_rng(0)
mdp = from_arrays(rng.dirichlet(np.ones(5), (3, 5)), rng.normal(size=(5, 3)))
exact = q_from_v(mdp, solve(mdp, 0.8).value, 0.8)
at = np.unique(np.geomspace(100, 100_000, 30).astype(int))
curves = {}
for name, step_size in {
    "α = 0.5": 0.5,
    "α = 0.05": 0.05,
    "α = 1/n": Polynomial(),
    "α = n^-0.6": Polynomial(exponent=0.6),
}.items():
    settles = "settles" if getattr(step_size, "robbins_monro", False) else "does not settle"
    rule = QLearning(step_size=step_size, exploration=EpsilonGreedy(epsilon=0.5))
    found = learn(mdp, rule, discount=0.8, runs=30, steps=100_000, checkpoints=at, exact=False)
    error = np.sqrt(((found.q - exact) ** 2).mean(axis=2))
    curves[f"{name} ({settles})"] = Banded(at=at, **vars(mean_band(error)))
panel = Panel(curves=curves, xlabel="steps", ylabel="RMS error of Q", logarithmic="xy")
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves([panel], title="Q-learning: the step size", width=6.0), out / "step_sizes.png"))
