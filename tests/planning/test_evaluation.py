"""The value of a policy, the step to a better one, and what is proven of it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suasion.markov import MDP, Policy, bellman_expectation_v, under
from suasion.planning import certify, evaluate, improve, solve

few = settings(max_examples=60, deadline=None, derandomize=True)
seeds = st.integers(0, 2**40)


def chain_of_three():
    """Left or right on a line; the right end pays 1 and is the end."""
    return MDP.from_branches(
        choice_start=np.array([0, 2, 4, 4]),
        branch_start=np.array([0, 1, 2, 3, 4]),
        target=np.array([0, 1, 0, 2]),
        probability=np.ones(4),
        choice_reward=np.array([0.0, 0.0, 0.0, 1.0]),
        terminal=np.array([False, False, True]),
    )


@few
@given(seed=seeds, discount=st.sampled_from([0.0, 0.5, 0.99]))
def test_a_deterministic_policy_lies_between_its_bounds(tiny, oracle, seed, discount):
    mdp = tiny(seed)
    policy = next(oracle.policies(mdp))
    exact = oracle.discounted(mdp, policy, discount)
    for iterative in (False, True):
        found = evaluate(mdp, np.array(policy), discount, iterative=iterative)
        assert oracle.contains(found.lower, found.upper, exact)
        np.testing.assert_array_equal(found.policy, policy)


@few
@given(seed=seeds)
def test_a_stochastic_policy_agrees_with_its_reward_process(tiny, seed):
    mdp = tiny(seed)
    policy = Policy.uniform(mdp)
    found = evaluate(mdp, policy, 0.9)
    np.testing.assert_allclose(found.value, under(mdp, policy, 0.9).value(), atol=1e-6, rtol=1e-9)
    np.testing.assert_allclose(found.value, bellman_expectation_v(mdp, policy, found.value, 0.9), atol=1e-5)


@few
@given(seed=seeds, maximise=st.booleans())
def test_improvement_is_nowhere_worse(tiny, seed, maximise):
    mdp = tiny(seed)
    before = evaluate(mdp, Policy.uniform(mdp), 0.9).value
    policy, q = improve(mdp, before, 0.9, maximise=maximise)
    after = evaluate(mdp, policy, 0.9).value
    sign = 1 if maximise else -1
    assert (sign * (after - before) >= -1e-5).all()
    assert len(q) == mdp.n_choices


@few
@given(seed=seeds, maximise=st.booleans())
def test_an_optimal_policy_is_certified_and_no_other(tiny, oracle, seed, maximise):
    mdp, sign = tiny(seed), 1 if maximise else -1
    exact = oracle.best([oracle.discounted(mdp, p, 0.9, sign) for p in oracle.policies(mdp)])
    for policy in oracle.policies(mdp):
        value = oracle.discounted(mdp, policy, 0.9, sign)
        worst = max((a - b for a, b in zip(exact, value, strict=True)), default=Fraction(0))
        found = certify(mdp, np.array(policy), 0.9, maximise=maximise)
        assert worst <= Fraction(found.within) <= worst + Fraction(1, 10**5)
        assert not found.refuted or worst > 0
        assert found.refuted or worst < Fraction(1, 1000)


def test_the_witness_is_where_one_step_is_better():
    mdp = chain_of_three()
    found = certify(mdp, np.array([0, 2, -1]), 0.9)
    assert (found.refuted, found.state, found.choice) == (True, 1, 3)
    assert found.gain == pytest.approx(1.0, abs=1e-5)
    best = certify(mdp, solve(mdp, 0.9).policy, 0.9)
    assert not best.refuted
    assert best.within < 1e-9


def test_an_endless_policy_without_a_discount_is_worth_what_it_collects():
    mdp = chain_of_three()
    np.testing.assert_array_equal(evaluate(mdp, np.array([0, 2, -1]), 1.0).value, [0, 0, 0])
    np.testing.assert_allclose(evaluate(mdp, np.array([1, 3, -1]), 1.0).value, [1, 1, 0], atol=1e-9)


def test_a_policy_of_another_model_is_refused():
    with pytest.raises(ValueError, match=r"choice of state 1 is 0; it has 2 to 3"):
        evaluate(chain_of_three(), np.array([0, 0, -1]), 0.9)
