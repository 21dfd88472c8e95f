"""Stochastic volatility of a share: particles that follow what is never seen, drawn back through all returns.

Google's daily returns, 2004-08-19 to 2008-10-14 (sample data of Matplotlib); Kim, Shephard & Chib (1998).
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import cbook

from suasion.statespace import StateSpaceModel, backward_sample, particle_filter
from suasion.viewing import Estimate, estimates_figure, save_figure

returns = 100 * np.diff(np.log(cbook.get_sample_data("goog.npz")["price_data"]["adj_close"]))
mean, persistence, noise = 1.4, 0.9, 0.4  # of the log-variance x of a day
model = StateSpaceModel(
    initial=lambda rng, n: mean + noise / np.sqrt(1 - persistence**2) * rng.standard_normal(n),
    transition=lambda rng, x, t: mean + persistence * (x - mean) + noise * rng.standard_normal(len(x)),
    log_observation=lambda x, y, t: -0.5 * (np.log(2 * np.pi) + x + y**2 * np.exp(-x)),
    log_transition=lambda before, x, t: -0.5 * ((x - mean - persistence * (before - mean)) / noise) ** 2,
)
rng = np.random.default_rng(0)
got = particle_filter(model, returns, rng, particles=500, keep=True)
paths = np.exp(backward_sample(model, got, rng, 100) / 2)  # standard deviations, from p(x | all returns)
normal = -0.5 * len(returns) * (np.log(2 * np.pi * returns.var()) + 1)
print(f"log-likelihood {got.log_likelihood:.1f}, of independent normal returns {normal:.1f}")
day, (low, high) = np.arange(float(len(returns))), np.quantile(paths, [0.025, 0.975], axis=0)
panel = Estimate(title="volatility, % a day", x=day, mean=paths.mean(0), low=low, high=high, seen=np.abs(returns))
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(estimates_figure([panel], xlabel="trading day"), out / "volatility.png"))
