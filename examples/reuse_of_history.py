"""A better use of history: the same steps seen once, ten times, or as a model; and the cliff, where it is worse."""

import sys
from pathlib import Path

import gymnasium
import numpy as np

from suasion.markov import Policy, from_gymnasium
from suasion.planning import solve
from suasion.td import Sarsa, certainty_equivalence, collect, mean_band, policy_value, replay
from suasion.viewing import Banded, Panel, banded_curves, save_figure

RULES = {
    "replay once": lambda log, mdp, discount: replay(log, mdp, discount=discount, order="logged"),
    "replay x 10": lambda log, mdp, discount: replay(log, mdp, discount=discount, passes=10),
    "certainty equivalence": lambda log, mdp, discount: certainty_equivalence(log, mdp, discount=discount),
    "… with pessimism": lambda log, mdp, discount: certainty_equivalence(log, mdp, discount=discount, pessimism="mask"),
}
runs, panels = 10, []
for name, discount, sizes in (
    ("FrozenLake-v1", 0.99, [1000, 3000, 10_000]),
    ("CliffWalking-v1", 0.95, [300, 1000, 3000]),
):
    env = gymnasium.make(name).unwrapped
    mdp = from_gymnasium(env.P, initial=env.initial_state_distrib)
    low = mdp.initial @ policy_value(mdp, Policy.uniform(mdp), discount)
    high = mdp.initial @ solve(mdp, discount).value
    sources = {"Sarsa's own log": Sarsa(), "random log": Policy.uniform(mdp)}
    for source, behaviour in sources.items():
        logs = [collect(mdp, behaviour, steps=sizes[-1], seed=seed, discount=discount) for seed in range(runs)]
        curves = {}
        for rule, learned in RULES.items():
            policies = [[learned(log.part(steps=n), mdp, discount).policy for n in sizes] for log in logs]
            worth = np.array([[mdp.initial @ policy_value(mdp, p, discount) for p in row] for row in policies])
            curves[rule] = Banded(at=np.array(sizes), **vars(mean_band((worth - low) / (high - low))))
        title = f"{name.split('-')[0]}, {source}"
        panels.append(
            Panel(
                curves=curves,
                title=title,
                xlabel="steps",
                ylabel="" if panels else "score",
                logarithmic="x",
                markers=True,
                limits=(0.0, 1.05),
            )
        )
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
figure = banded_curves(panels, title="Value of the policy learned from a log: 0 is random, 1 is optimal", width=3.0)
print(save_figure(figure, out / "reuse_of_history.png"))
