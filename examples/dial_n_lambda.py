"""Between TD and Monte Carlo: bias and variance on one dial, turned by n or by lambda."""

import sys
from pathlib import Path

import numpy as np

from suasion.markov import Policy, from_function
from suasion.td import TD, TDLambda, mean_band, predict
from suasion.viewing import Banded, Panel, banded_curves, save_figure


def step(s, a):
    """Left or right, alike; the left end costs 1, the right one pays 1."""
    return [(0.5, s - 1, -float(s == 1)), (0.5, s + 1, float(s == 19))]


walk = from_function([10], lambda s: ["go"] if 0 < s < 20 else [], step, initial={10: 1.0})
alphas = np.array([0.02, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0])


def error(rule):
    """RMS error after each of the first ten episodes, their mean, in each run."""
    found = predict(walk, Policy.uniform(walk), rule, discount=1.0, runs=100, episodes=10, checkpoints=range(1, 11))
    return found.rms.mean(axis=1)


families = {
    "n-step TD": {f"n = {n}": lambda a, n=n: TD(n=n, step_size=a) for n in (1, 2, 4, 8, 16)},
    "true online TD(lambda)": {
        f"λ = {x}": lambda a, x=x: TDLambda(lambda_=x, traces="dutch", step_size=a) for x in (0.0, 0.4, 0.8, 0.9, 0.95)
    },
}
panels = []
for title, rules in families.items():
    curves = {}
    for name, rule in rules.items():
        band = mean_band(np.stack([error(rule(float(alpha))) for alpha in alphas], axis=1))
        curves[name] = Banded(at=alphas, **vars(band))
    panels.append(
        Panel(curves=curves, title=title, xlabel="step size", ylabel="RMS error, ten episodes", limits=(0.2, 0.6))
    )
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves(panels, title="A walk of 19 states"), out / "dial_n_lambda.png"))
