"""The Nile at Aswan: a level that wanders, its most likely variances, and thirty years ahead.

nile.csv: annual flow in 1e8 cubic metres, 1871-1970 (Cobb 1978; Durbin & Koopman 2012, chapter 2).
"""

import sys
from pathlib import Path

import numpy as np

from suasion.statespace import LinearGaussianSSM, fit, forecast, smooth
from suasion.viewing import Estimate, estimates_figure, save_figure

year, flow = np.loadtxt(Path(__file__).with_name("nile.csv"), delimiter=",", skiprows=1, unpack=True)
one = np.ones((1, 1))
start = {"m0": np.zeros(1), "P0": 0 * one, "diffuse": np.ones(1, bool)}  # nothing is known of the first level
found = fit(LinearGaussianSSM(A=one, C=one, Q=1e3 * one, R=1e4 * one, **start), flow, method="ml")
print(f"variances {found.model.R[0, 0]:.1f} of the flow, {found.model.Q[0, 0]:.1f} of the level's steps")

level, ahead = smooth(found.model, flow), forecast(found.model, flow, 30)
mean = np.concatenate([level.mean[:, 0], ahead.mean[:, 0]])
width = 1.96 * np.sqrt(np.concatenate([level.covariance[:, 0, 0], ahead.covariance[:, 0, 0]]))
x, seen = np.arange(1871.0, 2001), np.concatenate([flow, np.full(30, np.nan)])
panel = Estimate(title="flow", x=x, mean=mean, low=mean - width, high=mean + width, seen=seen, ahead=100)
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(estimates_figure([panel], xlabel="year"), out / "nile.png"))
