"""The same data, two answers: batch TD is certainty equivalence, batch Monte Carlo the mean of returns."""

import sys
from pathlib import Path

import numpy as np

from suasion.markov import Policy, from_function, simulate
from suasion.td import batch_mc, batch_td, mean_band
from suasion.viewing import Banded, Panel, banded_curves, save_figure


def step(s, a):
    """Left or right, alike; the right end pays 1."""
    return [(0.5, s - 1, 0.0), (0.5, s + 1, float(s == 5))]


walk = from_function(range(7), lambda s: ["go"] if 0 < s < 6 else [], step)
policy, exact, rng = Policy.uniform(walk), np.arange(1, 6) / 6, np.random.default_rng(0)
rules = {
    "batch TD (certainty equivalence)": lambda w: batch_td(w, 7, 1.0, start=0.5, tolerance=1e-5),
    "batch Monte Carlo (mean of returns)": lambda w: batch_mc(w, 7, 1.0, start=0.5),
}
at, runs = np.array([2, 5, 10, 25, 50, 100]), 60
error = {name: np.zeros((runs, len(at))) for name in rules}
for run in range(runs):
    for k, episodes in enumerate(at):
        walks = simulate(walk, policy, 250, rng, start=3, walks=int(episodes))
        for name, rule in rules.items():
            error[name][run, k] = np.sqrt(((rule(walks).v[1:6] - exact) ** 2).mean())

curves = {name: Banded(at=at, **vars(mean_band(held))) for name, held in error.items()}
panel = Panel(curves=curves, xlabel="episodes", ylabel="RMS error of V", logarithmic="xy", markers=True)
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves([panel], title="One batch, two answers", width=5.4), out / "batch_td.png"))
