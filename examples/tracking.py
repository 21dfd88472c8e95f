"""A ship that keeps its course, seen by two compasses, one of which fails: the unscented filter and smoother."""

import sys
from pathlib import Path

import numpy as np

from suasion.statespace import NonlinearSSM, filter, simulate, smooth
from suasion.viewing import Estimate, estimates_figure, save_figure

A = np.eye(4) + np.eye(4, k=2)  # x: east, north, and a step of each
stations = np.array([[-4.0, 0.0], [5.0, -2.0]])
model = NonlinearSSM(
    transition=lambda x, u, t: A @ x, transition_jacobian=lambda x, u, t: A,
    observation=lambda x, u, t: np.stack([np.arctan2(x[1] - north, x[0] - east) for east, north in stations]),
    Q=np.diag([0.0, 0.0, 1e-4, 1e-4]), R=np.diag([1e-3, 1e-3]),
    m0=np.array([0.0, 8.0, 0.3, -0.5]), P0=np.diag([4.0, 4.0, 0.1, 0.1]),
    difference=lambda a, b: (a - b + np.pi) % (2 * np.pi) - np.pi,  # of angles: the nearest to 0
)  # fmt: skip
states, y = simulate(model, 40, np.random.default_rng(1))
y[10:20, 0] = np.nan  # one compass is out of order
before, after = filter(model, y), smooth(model, y)
error = [np.linalg.norm((held.mean - states)[:, :2], axis=1).mean() for held in (before, after)]
print(f"mean distance from the ship: filtered {error[0]:.2f}, smoothed {error[1]:.2f}")
panels = []
for place, name in enumerate(("east", "north")):
    centre, width = after.mean[:, place], 1.96 * np.sqrt(after.covariance[:, place, place])
    low, high = centre - width, centre + width
    title = f"{name}; dots: where the ship was"
    panels.append(Estimate(title=title, x=np.arange(40.0), mean=centre, low=low, high=high, seen=states[:, place]))
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(estimates_figure(panels), out / "tracking.png"))
