"""The umbrella world: is it raining outside, if all that is seen is who carries an umbrella?

Russell & Norvig (2021), section 14.2.
"""

import sys
from pathlib import Path

import numpy as np

from suasion.statespace import FiniteSSM, Table, decode, smooth
from suasion.viewing import occupancy_figure, save_figure

emission = Table(probability=np.array([[0.9, 0.1], [0.2, 0.8]]))  # rain, dry; carried, not carried
model = FiniteSSM(transition=np.array([[0.7, 0.3], [0.3, 0.7]]), initial=np.array([0.5, 0.5]), emission=emission)
umbrella = np.array([0, 0, 1, 0, 0])
probability = smooth(model, umbrella).smoothed
print("rain:", np.round(probability[:, 0], 8), "most likely:", decode(model, umbrella).path)
figure = occupancy_figure(np.arange(1.0, 6), probability, ["rain", "dry"], xlabel="day")
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(figure, out / "umbrella.png"))
