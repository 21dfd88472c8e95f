"""Targets against rlax, an independent program: one update of each rule, and lambda-returns."""

import numpy as np
import pytest

from suasion.markov import Policy, from_dict
from suasion.td import (
    DoubleQLearning,
    EpsilonGreedy,
    ExpectedSarsa,
    NStepSarsa,
    QLearning,
    Sarsa,
    TDLambda,
    TreeBackup,
    learn,
    predict,
)

rlax = pytest.importorskip("rlax")

REWARD, DISCOUNT, ALPHA = 0.7, 0.9, 0.25
LATER = np.array([0.4, -1.2, 2.5], np.float32)
WEIGHTS = np.array([0.1, 0.1, 0.8], np.float32)  # epsilon 0.3 about the third


def fork():
    """One action leads to a state with three, and those to the end."""
    return from_dict(
        {"a": {"go": [(1.0, "b", REWARD)]}, "b": {k: [(1.0, "end", 0.0)] for k in "xyz"}},
        terminal=["end"],
        initial={"a": 1.0},
    )


def updated(rule, **others):
    start = np.array([0.5, *LATER], np.float64)
    found = learn(fork(), rule, discount=DISCOUNT, start=start, exact=False, runs=8, **others)
    return found.q[:, 0]


def error(q):
    """The temporal difference that a first update went by."""
    return (q[:, 0] - 0.5) / ALPHA


def test_one_step():
    explores = EpsilonGreedy(epsilon=0.3)
    one, zero = np.float32(0.5)[None], np.int32(0)
    numbers = (np.float32(REWARD), np.float32(DISCOUNT))
    sarsa = [float(rlax.sarsa(one, zero, *numbers, LATER, np.int32(a))) for a in range(3)]
    found = error(updated(Sarsa(step_size=ALPHA, exploration=explores), steps=1))
    assert all(min(abs(e - s) for s in sarsa) < 1e-6 for e in found)
    assert len(np.unique(found.round(6))) > 1
    expected = float(rlax.expected_sarsa(one, zero, *numbers, LATER, WEIGHTS))
    found = error(updated(ExpectedSarsa(step_size=ALPHA, exploration=explores), steps=1))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    best = float(rlax.q_learning(one, zero, *numbers, LATER))
    np.testing.assert_allclose(error(updated(QLearning(step_size=ALPHA), steps=1)), best, atol=1e-6)
    double = float(rlax.double_q_learning(one, zero, *numbers, LATER, LATER))
    np.testing.assert_allclose(
        2 * error(updated(DoubleQLearning(step_size=ALPHA), steps=1)), double, atol=1e-6
    )  # the mean of two tables, one of them updated


def test_two_steps():
    target = rlax.n_step_bootstrapped_returns(
        np.array([REWARD, 0.0], np.float32), np.array([DISCOUNT, 0.0], np.float32), np.array([2.5, 0.0], np.float32), 2
    )
    found = updated(NStepSarsa(n=2, step_size=ALPHA), episodes=1)
    np.testing.assert_allclose(error(found), float(target[0]) - 0.5, atol=1e-6)


def test_tree_backup():
    """Two steps deep: the return whose traces are the probabilities of what was done."""
    explores = EpsilonGreedy(epsilon=0.3)
    rule = TreeBackup(n=2, target="behaviour", step_size=ALPHA, exploration=explores)
    found = error(updated(rule, episodes=1))
    seen = set()
    for taken in range(3):
        target = rlax.general_off_policy_returns_from_q_and_v(
            LATER[taken][None],
            np.array([WEIGHTS @ LATER, 0.0], np.float32),
            np.array([REWARD, 0.0], np.float32),
            np.array([DISCOUNT, 0.0], np.float32),
            WEIGHTS[taken][None],
        )
        seen.add(round(float(target[0]) - 0.5, 5))
    assert all(min(abs(e - s) for s in seen) < 2e-5 for e in found)
    assert len(seen) == 3


@pytest.mark.parametrize("lambda_", [0.0, 0.4, 1.0])
def test_true_online_ends_at_the_lambda_return(lambda_):
    """Where no state comes twice and all lie in the future, the first state's update is towards the lambda-return."""
    rewards = [0.3, -1.0, 2.0, 0.5]
    mdp = from_dict(
        {str(i): {"go": [(1.0, str(i + 1), r)]} for i, r in enumerate(rewards)}, terminal=["4"], initial={"0": 1.0}
    )
    start = np.array([0.2, -0.4, 0.9, 1.3, 0.0])
    discounts = np.array([DISCOUNT] * 3 + [0.0], np.float32)
    target = rlax.lambda_returns(
        np.array(rewards, np.float32), discounts, start[1:].astype(np.float32), np.float32(lambda_)
    )
    rule = TDLambda(lambda_=lambda_, traces="dutch", step_size=ALPHA)
    found = predict(mdp, Policy.uniform(mdp), rule, discount=DISCOUNT, episodes=1, start=start)
    np.testing.assert_allclose((found.v[0, 0, 0] - start[0]) / ALPHA, float(target[0]) - start[0], atol=1e-6)
