"""What is said of history (docs/logs.md), at a small size: means over runs, fixed seeds, exact values."""

import numpy as np
import pytest

from suasion.markov import Policy, from_gymnasium
from suasion.planning import solve
from suasion.td import QLearning, Sarsa, certainty_equivalence, collect, learn, policy_value, replay

RUNS = 12


def table(name):
    import gymnasium

    env = gymnasium.make(name).unwrapped
    return from_gymnasium(env.P, initial=env.initial_state_distrib)


def scorer(mdp, discount):
    """0: the uniform policy; 1: the optimum."""
    worst = mdp.initial @ policy_value(mdp, Policy.uniform(mdp), discount)
    best = mdp.initial @ solve(mdp, discount).value
    return lambda policy: (mdp.initial @ policy_value(mdp, policy, discount) - worst) / (best - worst)


@pytest.fixture(scope="module")
def lake():
    mdp = table("FrozenLake-v1")
    score = scorer(mdp, 0.99)
    asked = {"discount": 0.99, "steps": 3000, "runs": RUNS, "seed": 1, "time_limit": 100}
    own = collect(mdp, Sarsa(), **asked)
    found = {rule: learn(mdp, rule, exact=False, **asked) for rule in (Sarsa(), QLearning())}
    scores = {type(rule).__name__: [score(held.policy(run)) for run in range(RUNS)] for rule, held in found.items()}
    scores |= {"replay": [], "equivalence": []}
    for run in range(RUNS):
        log = own.part(run=run)
        scores["replay"].append(score(replay(log, mdp, discount=0.99, passes=10).policy))
        scores["equivalence"].append(score(certainty_equivalence(log, mdp, discount=0.99).policy))
    return {name: np.array(held) for name, held in scores.items()}


def above(one, other):
    """Standard errors of the mean difference, run by run: above 5 by chance twice in 10,000 (Student, 11 degrees)."""
    difference = one - other
    return difference.mean() / (difference.std(ddof=1) / np.sqrt(len(difference)))


def test_the_same_steps_used_again_are_worth_more(lake):
    """(a): the very steps that Sarsa saw; three times the score in the references."""
    assert above(lake["replay"], lake["Sarsa"]) > 5
    assert above(lake["equivalence"], lake["Sarsa"]) > 5
    assert lake["replay"].mean() > 2 * lake["Sarsa"].mean()


def test_off_policy_alone_is_not(lake):
    """(b): Q-learning that sees each step once is not ahead of Sarsa."""
    assert abs(above(lake["QLearning"], lake["Sarsa"])) < 5
    assert above(lake["replay"], lake["QLearning"]) > 5


def test_more_replay_of_a_random_log_makes_the_cliff_worse_and_pessimism_repairs_it():
    """(c): choices never tried are worth 0, more than all that was seen."""
    mdp = table("CliffWalking-v1")
    score = scorer(mdp, 0.95)
    log = collect(mdp, Policy.uniform(mdp), steps=1000, runs=RUNS, seed=2)
    scores = {name: [] for name in ("x1", "x10", "plain", "masked", "own masked")}
    own = collect(mdp, Sarsa(), discount=0.95, steps=1000, runs=RUNS, seed=1)
    for run in range(RUNS):
        part = log.part(run=run)
        for passes in (1, 10):
            scores[f"x{passes}"].append(score(replay(part, mdp, discount=0.95, passes=passes).policy))
        scores["plain"].append(score(certainty_equivalence(part, mdp, discount=0.95).policy))
        masked = certainty_equivalence(part, mdp, discount=0.95, pessimism="mask")
        scores["masked"].append(score(masked.policy))
        kept = certainty_equivalence(own.part(run=run), mdp, discount=0.95, pessimism="mask")
        scores["own masked"].append(score(kept.policy))
    mean = {name: np.mean(held) for name, held in scores.items()}
    assert mean["x1"] > mean["x10"] + 0.1
    assert mean["plain"] < 0.85
    assert min(scores["masked"]) > 0.95  # no run falls
    assert mean["own masked"] > 0.98


def test_replay_tends_to_certainty_equivalence_in_score_too():
    """(d): T7, as policies."""
    mdp = table("FrozenLake-v1")
    log = collect(mdp, Policy.uniform(mdp), steps=3000, seed=3, time_limit=100)
    wanted = certainty_equivalence(log, mdp, discount=0.99)
    found = replay(log, mdp, discount=0.99, passes=3000, step_size=1.0, order="together")
    assert np.abs(found.q - wanted.q).max() < 1e-9
    score = scorer(mdp, 0.99)
    assert score(found.policy) == pytest.approx(score(wanted.policy), abs=0.02)
