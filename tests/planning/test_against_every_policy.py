"""Bounds against the best of all policies in rational numbers: random tiny models, every objective.

Together 10,000 models where all are run; a seed is an example of hypothesis, so that a failure names it.
"""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suasion.planning import (
    InfiniteValueError,
    average_reward,
    finite_horizon,
    reach_probability,
    reach_reward,
    solve,
)

EXAMPLES = int(os.environ.get("SUASION_EXAMPLES", "150"))
seeds = st.integers(0, 2**40)
many = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
METHODS = ("modified_policy_iteration", "inexact_policy_iteration", "value_iteration")


def both(oracle, mdp, found, sign, exact, of_policy):
    """The optimal value, and that of the policy returned, lie between the bounds."""
    exact = [None if v is None else sign * v for v in exact]
    assert oracle.contains(found.lower, found.upper, exact)
    reached = [None if v is None else sign * v for v in of_policy]
    assert oracle.contains(found.lower, found.upper, reached)


@many
@given(seed=seeds, discount=st.sampled_from([0.0, 0.3, 0.9, 0.99, 0.9999]), maximise=st.booleans())
def test_discounted(tiny, oracle, seed, discount, maximise):
    mdp, sign = tiny(seed), 1 if maximise else -1
    exact = oracle.best([oracle.discounted(mdp, p, discount, sign) for p in oracle.policies(mdp)])
    for method in ("auto", *METHODS) if discount < 0.99 else ("auto",):
        found = solve(mdp, discount, maximise=maximise, method=method)
        both(oracle, mdp, found, sign, exact, oracle.discounted(mdp, found.policy, discount, sign))
        assert found.gap <= 2e-6 or not found.converged


@many
@given(seed=seeds, maximise=st.booleans())
def test_total(tiny, oracle, seed, maximise):
    mdp, sign = tiny(seed, plain=True), 1 if maximise else -1
    try:
        exact = oracle.best([oracle.total(mdp, p, sign) for p in oracle.policies(mdp)])
    except oracle.Unlimited:
        exact = [None]
    if None in exact:
        with pytest.raises(InfiniteValueError, match="state"):
            solve(mdp, 1.0, maximise=maximise)
        return
    found = solve(mdp, 1.0, maximise=maximise)
    both(oracle, mdp, found, sign, exact, oracle.total(mdp, found.policy, sign))
    assert found.converged


@many
@given(seed=seeds, maximise=st.booleans())
def test_reward_until_a_goal(tiny, oracle, seed, maximise):
    mdp, sign = tiny(seed, plain=True), 1 if maximise else -1
    goal = mdp.terminal
    if not goal.any():
        with pytest.raises(ValueError, match="goal is empty"):
            reach_reward(mdp, goal)
        return
    try:
        exact = oracle.best([oracle.total(mdp, p, sign, may_stay=False) for p in oracle.policies(mdp)])
    except oracle.Unlimited:
        exact = [None]
    if None in exact:
        with pytest.raises(InfiniteValueError, match="state"):
            reach_reward(mdp, goal, maximise=maximise)
        return
    found = reach_reward(mdp, goal, maximise=maximise)
    both(oracle, mdp, found, sign, exact, oracle.total(mdp, found.policy, sign, may_stay=False))
    assert found.converged


@many
@given(seed=seeds, maximise=st.booleans(), member=st.integers(0, 3))
def test_probability_of_a_goal(tiny, oracle, seed, maximise, member):
    mdp, sign = tiny(seed, outcomes=2), 1 if maximise else -1
    goal = np.arange(mdp.n_states) == member % mdp.n_states
    found = reach_probability(mdp, goal, maximise=maximise)
    # of a model that stays in the goal for a reward of 1 at each step, and has no other, it is the average
    stays = staying(mdp, goal)
    exact = oracle.best([oracle.average(stays, p, sign) for p in oracle.policies(stays)])
    assert oracle.contains(found.lower, found.upper, [sign * v for v in exact])
    assert found.converged
    assert ((found.policy >= 0) == (~mdp.terminal & ~goal)).all()


def staying(mdp, goal):
    """Each choice of the goal stays there, and is paid 1; all else is paid 0. A terminal goal is given a choice."""
    from suasion.markov import MDP

    choice_start, branch_start, target, probability, reward = [0], [0], [], [], []
    for s in range(mdp.n_states):
        for c in mdp.choices(s) if not goal[s] else [None]:
            branches = [] if c is None else range(mdp.branch_start[c], mdp.branch_start[c + 1])
            target += [s] if c is None else [int(mdp.target[b]) for b in branches]
            probability += [1.0] if c is None else [float(mdp.probability[b]) for b in branches]
            reward.append(float(c is None))
            branch_start.append(len(target))
        choice_start.append(len(reward))
    return MDP.from_branches(
        choice_start=np.array(choice_start),
        branch_start=np.array(branch_start),
        target=np.array(target, int),
        probability=np.array(probability, float),
        choice_reward=np.array(reward, float),
        terminal=mdp.terminal & ~goal,
    )


@many
@given(seed=seeds, maximise=st.booleans())
def test_average(tiny, oracle, seed, maximise):
    mdp, sign = tiny(seed, ends=0.15), 1 if maximise else -1
    exact = oracle.best([oracle.average(mdp, p, sign) for p in oracle.policies(mdp)])
    found = average_reward(mdp, maximise=maximise)
    both(oracle, mdp, found, sign, exact, oracle.average(mdp, found.policy, sign))
    assert found.converged


@many
@given(seed=seeds, discount=st.sampled_from([0.5, 0.99, 1.0]), steps=st.integers(0, 3), maximise=st.booleans())
def test_finite_horizon(tiny, oracle, seed, discount, steps, maximise):
    mdp, sign = tiny(seed), 1 if maximise else -1
    found = finite_horizon(mdp, steps, discount, maximise=maximise)
    value = [oracle.Fraction(0)] * mdp.n_states
    for k in range(steps):
        rows = [oracle.chain(mdp, p, sign) for p in oracle.policies(mdp)]
        value = oracle.best(
            [
                [
                    r + oracle.Fraction(discount) * sum(p * value[j] for j, p in row.items())
                    for row, r in zip(*pair, strict=True)
                ]
                for pair in rows
            ]
        )
        assert oracle.contains(found.lower[k + 1], found.upper[k + 1], [sign * v for v in value])


def test_methods_agree_with_a_linear_program(tiny):
    """min sum v subject to v >= r + gamma P v has the optimal values as its solution."""
    from scipy.optimize import linprog

    for seed in range(40):
        mdp = tiny(seed, states=12, actions=3, outcomes=4, ends=0.1)
        if not mdp.n_choices:
            continue
        start, target, probability, reward = mdp.marginals
        matrix = np.zeros((mdp.n_choices, mdp.n_states))
        np.add.at(matrix, (np.repeat(np.arange(mdp.n_choices), np.diff(start)), target), -0.9 * probability)
        np.add.at(
            matrix, (np.arange(mdp.n_choices), np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))), 1.0
        )
        bounds = [(0, 0) if end else (None, None) for end in mdp.terminal]
        program = linprog(np.ones(mdp.n_states), A_ub=-matrix, b_ub=-reward, bounds=bounds)
        for method in ("policy_iteration", "value_iteration", "gauss_seidel", "topological", "prioritised_sweeping"):
            found = solve(mdp, 0.9, method=method)
            np.testing.assert_allclose(found.value, program.x, atol=1.1e-6)
