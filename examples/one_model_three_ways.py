"""One table of dynamics: solved, swept by dynamic programming, and sampled by TD; the error by what it costs."""

import sys
from pathlib import Path

import gymnasium
import numpy as np

from suasion.markov import Policy, bellman_expectation_v, from_gymnasium
from suasion.planning import evaluate
from suasion.td import TD, Polynomial, mean_band, predict
from suasion.viewing import Banded, Panel, banded_curves, save_figure

env = gymnasium.make("FrozenLake-v1").unwrapped
lake = from_gymnasium(env.P, initial=env.initial_state_distrib)
policy, live = Policy.uniform(lake), ~lake.terminal
exact = evaluate(lake, policy, 0.95).value  # 1: a linear system


def rms(v):
    """Over states that are not terminal."""
    return np.sqrt(((v - exact)[..., live] ** 2).mean(axis=-1))


sweeps, v = [], np.zeros(lake.n_states)
for _ in range(60):  # 2: the Bellman equation as an update of all states
    v = bellman_expectation_v(lake, policy, v, 0.95)
    sweeps.append(rms(v))
curves = {"dynamic programming": Banded(at=lake.n_branches * np.arange(1, 61), middle=np.array(sweeps))}
at = np.unique(np.geomspace(100, 300_000, 30).astype(int))
for name, step_size in {"TD, α = 0.05": 0.05, "TD, α = n^-0.7": Polynomial(exponent=0.7)}.items():  # 3: samples
    found = predict(lake, policy, TD(step_size=step_size), discount=0.95, runs=20, steps=300_000, checkpoints=at)
    curves[name] = Banded(at=at, **vars(mean_band(rms(found.v))))
panel = Panel(
    curves=curves,
    xlabel="operations: outcomes looked at, or steps made",
    ylabel="RMS error of V",
    logarithmic="xy",
    limits=(1e-6, 0.1),
)
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves([panel], title="FrozenLake at random", width=6.0), out / "one_model_three_ways.png"))
