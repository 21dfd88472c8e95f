"""Belief updates: the tiger, Bayes' rule by enumeration, and a hidden Markov model as the case of one action."""

import numpy as np
import pytest

from suasion.markov import MDP, POMDP
from suasion.statespace import FiniteSSM, Table, belief_update, filter, observed_process


def process(seed, states=4, actions=2, symbols=3, ends=False):
    rng = np.random.default_rng(seed)
    terminal = np.zeros(states, bool)
    terminal[-1] = ends
    counts = np.where(terminal, 0, actions)
    start = np.concatenate([[0], np.cumsum(counts)])
    choices = int(start[-1])
    mdp = MDP.from_branches(
        choice_start=start, action=np.tile(np.arange(actions), states - ends),
        branch_start=np.arange(choices + 1) * states,
        target=np.tile(np.arange(states), choices), probability=rng.dirichlet(np.ones(states), choices).ravel(),
        choice_reward=np.zeros(choices), terminal=terminal,
    )  # fmt: skip
    return POMDP(mdp=mdp, observation=rng.dirichlet(np.ones(symbols), (actions, states)))


def test_bayes_rule():
    pomdp = process(0)
    move = pomdp.mdp.probability.reshape(4, 2, 4)
    b = np.array([0.1, 0.2, 0.3, 0.4])
    for a in range(2):
        total = 0.0
        for o in range(3):
            joint = np.array(
                [sum(b[s] * move[s, a, k] for s in range(4)) * pomdp.observation[a, k, o] for k in range(4)]
            )
            after = belief_update(pomdp, b, a, o)
            np.testing.assert_allclose(after.belief, joint / joint.sum(), rtol=1e-14)
            np.testing.assert_allclose(after.log_likelihood, np.log(joint.sum()), rtol=1e-14)
            total += np.exp(after.log_likelihood)
        np.testing.assert_allclose(total, 1, rtol=1e-14)
        blind = belief_update(pomdp, b, a, None)
        np.testing.assert_allclose(blind.belief, np.einsum("s,sk->k", b, move[:, a]), rtol=1e-14)
        assert abs(blind.log_likelihood) < 1e-15


def test_one_action_is_a_hidden_markov_model():
    pomdp = process(1, actions=1)
    b = np.array([0.4, 0.3, 0.2, 0.1])
    matrix = pomdp.mdp.probability.reshape(4, 4)
    model = FiniteSSM(transition=matrix, initial=b @ matrix, emission=Table(probability=pomdp.observation[0]))
    seen = np.array([0, 2, 1, 1, 0])
    expected = filter(model, seen)
    for t, o in enumerate(seen):
        b, gained = belief_update(pomdp, b, 0, int(o))
        np.testing.assert_allclose(b, expected.filtered[t], rtol=1e-13)
        np.testing.assert_allclose(gained, expected.increments[t], rtol=1e-12)


def test_a_terminal_state_keeps_its_share():
    pomdp = process(2, ends=True)
    after = belief_update(pomdp, np.array([0, 0, 0, 1.0]), 1, None)
    np.testing.assert_array_equal(after.belief, [0, 0, 0, 1])


def test_what_cannot_be_seen():
    pomdp = process(3)
    sharp = np.zeros((2, 4, 3))
    sharp[:, :, 0] = 1
    after = belief_update(POMDP(mdp=pomdp.mdp, observation=sharp), np.full(4, 0.25), 0, 1)
    assert after.log_likelihood == -np.inf
    assert not after.belief.any()


@pytest.mark.parametrize(
    ("belief", "action", "observation", "message"),
    [
        (np.array([0.5, 0.5, 0.5, 0]), 0, 0, r"belief sums to 1\.5, not 1"),
        (np.array([1.5, -0.5, 0, 0]), 0, 0, r"belief\[1\] is -0\.5"),
        (np.array([1.0, 0, 0]), 0, 0, r"belief is \[3\], not \[4\]"),
        (np.array([1.0, 0, 0, 0]), 2, 0, "action is 2: actions are 0 to 1"),
        (np.array([1.0, 0, 0, 0]), 0, 3, "observation is 3: observations are 0 to 2"),
    ],
)
def test_wrong_questions_are_refused(belief, action, observation, message):
    with pytest.raises(ValueError, match=message):
        belief_update(process(0), belief, action, observation)


@pytest.mark.parametrize("ends", [False, True])
def test_an_onlooker_of_a_policy_against_enumeration(ends):
    """All paths of actions and states; and with a policy of one action it is the belief update."""
    pomdp = process(4, states=3, ends=ends)
    rng = np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(2), 3)
    b = np.array([0.6, 0.4, 0.0])
    move = pomdp.mdp.probability.reshape(-1, 2, 3)  # of states that do not end
    seen = [0, 2, 1]

    def follow(s, left):
        """Probability of the rest of what is seen."""
        if not left:
            return 1.0
        if ends and s[1] == 2:
            return pomdp.observation[s[0], 2, left[0]] * follow(s, left[1:])
        return sum(
            policy[s[1], a] * move[s[1], a, k] * pomdp.observation[a, k, left[0]] * follow((a, k), left[1:])
            for a in range(2)
            for k in range(3)
        )

    total = sum(b[s] * follow((0, s), seen) for s in range(2))
    model = observed_process(pomdp, policy, b)
    np.testing.assert_allclose(filter(model, np.array(seen)).log_likelihood, np.log(total), rtol=1e-13)
    one = observed_process(pomdp, np.tile([0.0, 1.0], (3, 1)), b)
    held, got = b, filter(one, np.array(seen))
    if not ends:
        for t, o in enumerate(seen):
            held, gained = belief_update(pomdp, held, 1, o)
            np.testing.assert_allclose(got.filtered[t].reshape(2, 3).sum(0), held, rtol=1e-13)
            np.testing.assert_allclose(got.increments[t], gained, rtol=1e-12)


def test_wrong_policies_are_refused():
    pomdp = process(4, states=3, ends=True)
    even = np.full((3, 2), 0.5)
    with pytest.raises(ValueError, match="state 2 is terminal, and in the belief"):
        observed_process(pomdp, even, np.array([0.5, 0, 0.5]))
    with pytest.raises(ValueError, match=r"policy is \[3, 1\], not \[3, 2\]"):
        observed_process(pomdp, even[:, :1], np.array([0.5, 0.5, 0]))
    with pytest.raises(ValueError, match=r"sums to 1\.5, not 1"):
        observed_process(pomdp, even + np.array([[0.5, 0], [0, 0], [0, 0]]), np.array([0.5, 0.5, 0]))
