"""The record of a decision process: what it holds, and what it refuses."""

import numpy as np
import pytest

from suasion.markov import MDP


def small(**changes):
    """Two states and an end; duplicate targets, a branch of probability 0, different rewards on one target."""
    fields = {
        "choice_start": np.array([0, 2, 3, 3]),
        "branch_start": np.array([0, 3, 6, 7]),
        "target": np.array([1, 0, 1, 2, 0, 1, 2]),
        "probability": np.array([0.25, 0.5, 0.25, 0.5, 0.5, 0.0, 1.0]),
        "branch_reward": np.array([1.0, 0.0, 3.0, 2.0, 2.0, 9.0, 3.0]),
        "terminal": np.array([False, False, True]),
    }
    return MDP.from_branches(**(fields | changes))


def test_equal_outcomes_are_summed_and_different_rewards_stay_apart():
    model = small()
    assert model.branch_start.tolist() == [0, 3, 5, 6]
    assert model.target.tolist() == [0, 1, 1, 0, 2, 2]
    assert model.branch_reward.tolist() == [0, 1, 3, 2, 2, 3]
    again = small(branch_reward=np.array([1.0, 0.0, 1.0, 2.0, 2.0, 9.0, 3.0]))
    assert again.target.tolist() == [0, 1, 0, 2, 2]
    assert again.probability.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0]


def test_marginals_are_sums_over_rewards():
    marginals = small().marginals
    assert marginals.target.tolist() == [0, 1, 0, 2, 2]
    assert marginals.probability.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0]
    assert marginals.reward.tolist() == [0.25 * 1 + 0.25 * 3, 2.0, 3.0]


def test_rewards_equal_within_each_choice_are_the_choices():
    model = small(branch_reward=np.array([1.0, 1.0, 1.0, 2.0, 2.0, 9.0, 3.0]))
    assert model.branch_reward is None
    assert model.choice_reward.tolist() == [1, 2, 3]
    assert model.marginals.probability is model.probability


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probability": np.array([0.25, 0.5, 0.25, 0.5, 0.6, 0.0, 1.0])}, r"state 0, action 1 sum to 1\.1, not 1"),
        ({"probability": np.array([0.25, 0.5, 0.25, 1.5, -0.5, 0.0, 1.0])}, r"state 0, choice 1 is -0\.5"),
        ({"probability": np.array([0.25, 0.5, 0.25, np.nan, 0.5, 0.0, 1.0])}, r"state 0, choice 1 is nan"),
        ({"branch_reward": np.array([0, 0, 0, 0, 0, 0, np.inf])}, r"branch_reward of state 1, choice 0 is inf"),
        ({"target": np.array([1, 0, 1, 2, 0, 1, 3])}, r"state 1, action 0 leads to 3: states are 0 to 2"),
        ({"terminal": np.array([False, False, False])}, r"state 2 has no action and is not declared terminal"),
        ({"terminal": np.array([False, True, True])}, r"state 1 is declared terminal and has 1 actions"),
        ({"probability": np.array([0.25, 0.5, 0.25, 0.0, 0.0, 0.0, 1.0])}, r"state 0, action 1 has no outcome"),
        ({"initial": np.array([0.5, 0.4, 0.0])}, r"initial sums to 0\.9, not 1"),
        ({"states": ("a", "b")}, "2 names for 3 states"),
        ({"actions": ("stay",)}, "1 names of actions, and a choice has action 1"),
        ({"labels": {"goal": np.array([True])}}, "label 'goal' has 1 entries"),
        ({"choice_start": np.array([0, 2, 1, 3])}, r"choice_start\[2\] is 1, below"),
        ({"branch_start": np.array([0, 3, 6, 8])}, "branch_start goes from 0 to 8, not from 0 to 7"),
    ],
)
def test_refused_with_place_and_number(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_rows_are_divided_by_their_sums_only_on_request():
    model = small(probability=np.array([0.25, 0.5, 0.25, 0.5, 0.6, 0.0, 1.0]), normalise=True)
    assert model.probability[3:5].tolist() == [0.6 / 1.1, 0.5 / 1.1]


def test_the_constructor_checks_and_never_sorts():
    model = small()
    fields = {name: getattr(model, name) for name in ("choice_start", "branch_start", "choice_reward", "action")}
    with pytest.raises(ValueError, match="not in order"):
        MDP(
            **fields,
            target=model.target[::-1].copy(),
            probability=model.probability,
            branch_reward=model.branch_reward,
            terminal=model.terminal,
        )


def test_rows_without_outcomes_are_refused_when_they_are_divided_by_their_sums():
    for probability in ([1.0, 0.0], [0.0, 1.0]):
        with pytest.raises(ValueError, match="has no outcome"):
            MDP.from_branches(
                choice_start=np.array([0, 2]),
                branch_start=np.array([0, 1, 2]),
                target=np.zeros(2, int),
                probability=np.array(probability),
                normalise=True,
            )
