"""Learning from history: replay and certainty equivalence against learning online, by exact values of what is learned.

Score 0 is the value of the uniform policy, 1 the optimum; both and all between are solved, not sampled.
"""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np

from benchmarks import _report as report
from benchmarks._family import garnet
from benchmarks._options import Options
from benchmarks._processes import say
from suasion.markov import MDP, Policy, from_gymnasium, under
from suasion.planning import solve
from suasion.td import (
    QLearning,
    Sarsa,
    Transitions,
    certainty_equivalence,
    collect,
    learn,
    mean_band,
    policy_value,
    replay,
)

RUNS = 20  # of each method for each repeat asked for
ALPHA, EPSILON = 0.1, 0.1
PASSES = (1, 10, 50)
MASKED = ("own log, masked", "random log, masked")
COLUMNS = (
    "Sarsa online",
    "Q online",
    "own log, replay x10",
    "own log, equivalence",
    MASKED[0],
    *(f"random log, replay x{k}" for k in PASSES),
    "random log, equivalence",
    MASKED[1],
)


def _gymnasium(name: str) -> MDP:
    env = gymnasium.make(name).unwrapped
    return from_gymnasium(env.P, initial=env.initial_state_distrib)


def _garnet() -> MDP:
    """Four actions, five branches each; rewards uniform in [0, 1], so that a start of 0 does not explore."""
    return MDP.from_branches(**(garnet(100, 4, 5) | {"choice_reward": np.random.default_rng(0).random(400)}))


# title -> (model, discount, steps, time limit)
CASES: dict[str, tuple[Callable[[], MDP], float, tuple[int, ...], int | None]] = {
    "FrozenLake 4 x 4": (lambda: _gymnasium("FrozenLake-v1"), 0.99, (1_000, 3_000, 10_000, 30_000), 100),
    "Cliff": (lambda: _gymnasium("CliffWalking-v1"), 0.95, (300, 1_000, 3_000, 10_000), None),
    "Garnet, 100 states": (_garnet, 0.95, (300, 1_000, 3_000), None),
}


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "score": "(v(S_0) - v_uniform) / (v_optimal - v_uniform) of the greedy policy, all three exact; "
        "mean over runs and half of Student's 95 % interval",
        "runs": f"{RUNS * options.repeats} seeds; one log of each kind and seed, of which rows take the first N steps",
        "online": f"Sarsa and Q-learning, step size {ALPHA}, epsilon {EPSILON}, start 0",
        "own log": "the N steps that the Sarsa of the first column saw",
        "random log": "N steps of the uniform policy",
        "replay": f"Q-learning with step size {ALPHA}, start 0, rows shuffled in each pass",
        "equivalence": "the model with the log's frequencies, solved; choices never tried are worth 0",
        "masked": "the same, but choices never tried are not available",
        "models": "of Gymnasium, the lake with its limit of 100 steps; Garnet: 4 actions, 5 branches, rewards uniform "
        "in [0, 1], any first state",
    }


def run(options: Options) -> str:
    """The Markdown of every case."""
    return "".join(_case(title, RUNS * options.repeats) for title in CASES)


def _case(title: str, runs: int) -> str:
    build, discount, budgets, limit = CASES[title]
    mdp = build()
    say(f"history, {title}: {runs} runs")
    score = Score(mdp, discount)
    found = scores(mdp, discount, budgets, runs, limit, score)
    bands = {name: mean_band(values) for name, values in found.items()}
    rows = [
        (f"{steps:,}", *(f"{band.middle[k]:.3f} ± {band.upper[k] - band.middle[k]:.3f}" for band in bands.values()))
        for k, steps in enumerate(budgets)
    ]
    text = f"\n## {title}, discount {discount:g}\n\n{report.table(('steps', *bands), rows)}"
    if title == "Cliff":
        text += "\nProbability that the greedy policy reaches the goal, mean over runs:\n\n"
        arrived = {name: score.arrival[name] for name in found}
        rows = [(f"{n:,}", *(f"{np.mean(held[k]):.2f}" for held in arrived.values())) for k, n in enumerate(budgets)]
        text += report.table(("steps", *arrived), rows)
    return text


class Score:
    """Exact values of policies, each solved once."""

    def __init__(self, mdp: MDP, discount: float) -> None:
        self.mdp, self.discount = mdp, discount
        live = ~mdp.terminal
        self.initial = mdp.initial if mdp.initial is not None else live / live.sum()
        self.best = float(self.initial @ solve(mdp, discount, tolerance=1e-9).value)
        self.worst = float(self.initial @ policy_value(mdp, Policy.uniform(mdp), discount))
        self.known: dict[bytes, tuple[float, float]] = {}
        self.arrival: dict[str, list[list[float]]] = {name: [] for name in COLUMNS}

    def __call__(self, policy: Policy) -> tuple[float, float]:
        """The score, and the probability to come to an end."""
        key = policy.probability.tobytes()
        if key not in self.known:
            value = float(self.initial @ policy_value(self.mdp, policy, self.discount))
            self.known[key] = (value - self.worst) / (self.best - self.worst), _arrives(self.mdp, policy, self.initial)
        return self.known[key]


def _arrives(mdp: MDP, policy: Policy, initial: np.ndarray) -> float:
    """Probability that an episode ends."""
    if not mdp.terminal.any():
        return 0.0
    return float(initial @ under(mdp, policy, 1.0).chain.hitting(mdp.terminal).probability)


def scores(
    mdp: MDP, discount: float, budgets: tuple[int, ...], runs: int, limit: int | None, score: Score
) -> dict[str, np.ndarray]:
    """Of each method, [runs, budgets]."""
    found = {name: np.empty((runs, len(budgets))) for name in COLUMNS}
    for name in COLUMNS:
        score.arrival[name] = [[] for _ in budgets]
    asked = {"discount": discount, "steps": budgets[-1], "runs": runs, "time_limit": limit}
    own = collect(mdp, Sarsa(step_size=ALPHA), seed=1, **asked)
    random = collect(mdp, Policy.uniform(mdp), seed=2, **asked)
    online = {
        "Sarsa online": learn(mdp, Sarsa(step_size=ALPHA), seed=1, checkpoints=budgets, exact=False, **asked),
        "Q online": learn(mdp, QLearning(step_size=ALPHA), seed=3, checkpoints=budgets, exact=False, **asked),
    }
    for run in range(runs):
        logs = {"own log": own.part(run=run), "random log": random.part(run=run)}
        for k, steps in enumerate(budgets):
            policies = {name: held.policy(run, k) for name, held in online.items()}
            for kind, log in logs.items():
                policies |= _offline(kind, log.part(steps=steps), mdp, discount, run)
            for name in COLUMNS:
                found[name][run, k], arrives = score(policies[name])
                score.arrival[name][k].append(arrives)
    return found


def _offline(kind: str, log: Transitions, mdp: MDP, discount: float, seed: int) -> dict[str, Policy]:
    """What is learned from one log."""
    passes = (10,) if kind == "own log" else PASSES
    given = {"discount": discount, "step_size": ALPHA, "seed": seed}
    policies = {f"{kind}, replay x{k}": replay(log, mdp, passes=k, **given).policy for k in passes}
    policies[f"{kind}, equivalence"] = certainty_equivalence(log, mdp, discount=discount).policy
    policies[f"{kind}, masked"] = certainty_equivalence(log, mdp, discount=discount, pessimism="mask").policy
    return policies
