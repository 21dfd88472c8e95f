"""Policies over flat choices: their constructors, and what is refused."""

import numpy as np
import pytest

from suasion.markov import MDP, Policy


def model():
    """State 0 has actions 0 and 2, state 1 is an end, state 2 has action 1."""
    return MDP.from_branches(
        choice_start=np.array([0, 2, 2, 3]),
        branch_start=np.array([0, 1, 2, 3]),
        target=np.array([1, 2, 0]),
        probability=np.ones(3),
        action=np.array([0, 2, 1], np.int32),
        terminal=np.array([False, True, False]),
    )


def test_three_ways_to_the_same_policy():
    mdp = model()
    chosen = Policy.deterministic(mdp, np.array([1, -1, 2]))
    tabled = Policy.from_table(mdp, np.array([[0, 0, 1.0], [5, 5, 5], [0, 1, 0]]))
    assert chosen.probability.tolist() == tabled.probability.tolist() == [0, 1, 1]
    assert Policy.uniform(mdp).probability.tolist() == [0.5, 0.5, 1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda m: Policy.deterministic(m, np.array([2, -1, 2])), "choice of state 0 is 2; it has 0 to 1"),
        (lambda m: Policy.deterministic(m, np.array([0, 0, 2])), "choice of state 1 is 0; it has none, which is -1"),
        (lambda m: Policy.deterministic(m, np.array([0, -1])), "choice has 2 entries, not one for each of 3"),
        (lambda m: Policy.from_table(m, np.full((3, 3), 1 / 3)), r"table\[0, 1\] is 0\.33.*state 0 has no action 1"),
        (lambda m: Policy.from_table(m, np.ones((3, 2))), "table is 3 by 2; the model has 3 states and 3 actions"),
        (lambda m: Policy(choice_start=m.choice_start, probability=np.array([0.5, 0.4, 1])), r"state 0 sum to 0\.9,"),
        (lambda m: Policy(choice_start=m.choice_start, probability=np.array([2.0, -1, 1])), r"choice 1 is -1\.0"),
        (lambda m: Policy(choice_start=m.choice_start, probability=np.array([0.5, 0.5, np.nan])), "state 2, choice 0"),
        (lambda m: Policy(choice_start=m.choice_start, probability=np.ones(2)), "probability has 2 entries.*3 choices"),
    ],
)
def test_refused_with_state_and_number(build, message):
    with pytest.raises(ValueError, match=message):
        build(model())


def test_two_choices_with_one_action_have_no_table():
    mdp = MDP.from_branches(
        choice_start=np.array([0, 2]),
        branch_start=np.array([0, 1, 2]),
        target=np.zeros(2, np.int32),
        probability=np.ones(2),
        action=np.zeros(2, np.int32),
    )
    with pytest.raises(ValueError, match="state 0 has 2 choices with action 0"):
        Policy.from_table(mdp, np.ones((1, 1)))


def test_a_policy_of_another_model_is_told_apart():
    mdp = model()
    other = MDP.from_branches(
        choice_start=np.array([0, 1, 1, 3]),
        branch_start=np.array([0, 1, 2, 3]),
        target=np.array([1, 2, 0]),
        probability=np.ones(3),
        terminal=np.array([False, True, False]),
    )
    with pytest.raises(ValueError, match="the policy has 2 choices in state 0, the model 1"):
        Policy.uniform(mdp).check_fits(other)
