"""The same three episodes, two targets: what Monte Carlo and TD make of them, V after each episode."""

import sys
from pathlib import Path

import numpy as np

from suasion.markov import Policy, from_function, simulate
from suasion.viewing import Banded, Panel, banded_curves, save_figure


def step(s, a):
    """Left or right, alike; the right end pays 1."""
    return [(0.5, s - 1, 0.0), (0.5, s + 1, float(s == 5))]


walk = from_function(range(7), lambda s: ["go"] if 0 < s < 6 else [], step)
episodes = simulate(walk, Policy.uniform(walk), 200, np.random.default_rng(6), start=3, walks=3)

panels = []
for title in ("Monte Carlo: V(S) ← V(S) + α [G − V(S)]", "TD: V(S) ← V(S) + α [R + V(S′) − V(S)]"):
    v = np.array([0, 0.5, 0.5, 0.5, 0.5, 0.5, 0])
    seen = {"before": v.copy()}
    for k, (states, rewards, ended) in enumerate(zip(episodes.states, episodes.rewards, episodes.ended, strict=True)):
        length = int(np.argmax(ended))
        returns = rewards[:length][::-1].cumsum()[::-1]
        for t in range(length):
            target = returns[t] if title.startswith("Monte Carlo") else rewards[t] + v[states[t + 1]]
            v[states[t]] += 0.2 * (target - v[states[t]])
        seen[f"after episode {k + 1}"] = v.copy()
    curves = {name: Banded(at=np.arange(1, 6), middle=held[1:6]) for name, held in seen.items()}
    curves["exact"] = Banded(at=np.arange(1, 6), middle=np.arange(1, 6) / 6)
    panels.append(Panel(curves=curves, title=title, xlabel="state", ylabel="V", limits=(0.0, 1.0), markers=True))

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
print(save_figure(banded_curves(panels, title="Three episodes of a random walk"), out / "mc_and_td_targets.png"))
