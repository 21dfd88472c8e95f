"""The record refuses what is no log; `collect` writes down what a learner sees, with exact probabilities."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from suasion.markov import MDP, Policy
from suasion.td import (
    UCB,
    EpsilonGreedy,
    ExpectedSarsa,
    Polynomial,
    QLearning,
    Sarsa,
    Softmax,
    TreeBackup,
    collect,
    epsilon_greedy,
    learn,
    model_hash,
    replay,
)
from suasion.td._log import COLUMNS


@pytest.fixture
def log(tiny):
    return tiny["written"](
        [
            [(0, 0, 1.0, 1, False, False, 0.5), (1, 1, 2.0, 2, True, False, 0.25)],
            [(0, 1, -1.0, 0, False, False, 0.5), (0, 0, 0.5, 1, False, False, 1.0), (1, 0, 4.0, 0, False, True, 0.75)],
        ]
    )


def changed(log, name, row, value):
    column = getattr(log, name).copy()
    column[row] = value
    return dataclasses.replace(log, **{name: column})


@pytest.mark.parametrize(
    ("name", "row", "value", "words"),
    [
        ("behaviour", 3, 0.0, r"row 3 of the log: behaviour is 0.0, not a probability in \(0, 1\]"),
        ("behaviour", 1, 1.5, r"row 1 .* behaviour is 1.5"),
        ("behaviour", 2, np.nan, r"row 2 .* behaviour is nan"),
        ("reward", 4, np.nan, r"row 4 .* reward is nan"),
        ("reward", 0, np.inf, r"row 0 .* reward is inf"),
        ("state", 0, -1, r"row 0 .* state is -1"),
        ("next_state", 2, 1, r"row 2 .* next_state is 1, and the next row's state is 0"),
        ("state", 3, 1, r"row 2 .* next_state is 0, and the next row's state is 1"),
        ("time", 2, 1, r"row 2 .* begins at time 1, not at 0"),
        ("time", 4, 3, r"row 4 .* time is 3 after 1"),
        ("terminated", 1, False, r"row 1 .* neither terminated nor was truncated"),
        ("truncated", 0, True, r"row 0 .* the episode ended here, and its next row goes on"),
        ("truncated", 4, False, r"row 4 .* neither terminated nor was truncated"),
    ],
)
def test_row_that_cannot_be_is_named(log, name, row, value, words):
    with pytest.raises(ValueError, match=words):
        changed(log, name, row, value)


def test_columns_of_other_lengths_and_empty_logs_are_refused(log):
    with pytest.raises(ValueError, match="reward has 4 rows, state has 5"):
        dataclasses.replace(log, reward=log.reward[:4])
    with pytest.raises(ValueError, match="no steps"):
        dataclasses.replace(log, **{name: getattr(log, name)[:0] for name in COLUMNS})
    with pytest.raises(ValueError, match=r"row 2 .* run 0, episode 0 comes after a later one"):
        dataclasses.replace(log, episode=np.array([1, 1, 0, 0, 0], np.int32))


def test_returns_and_parts(log):
    assert log.starts.tolist() == [0, 2]
    assert log.lengths.tolist() == [2, 3]
    assert log.returns(0.5).tolist() == [1 + 0.5 * 2, -1 + 0.5 * 0.5 + 0.25 * 4]
    part = log.part(steps=3)
    assert len(part) == 3
    assert part.truncated.tolist() == [False, False, True]
    assert not log.truncated[2]  # the log itself is as it was
    assert log.part(steps=2).truncated.tolist() == [False, False]  # it had ended
    with pytest.raises(ValueError, match="no run 7"):
        log.part(run=7)
    with pytest.raises(ValueError, match="steps is 0"):
        log.part(steps=0)


@pytest.mark.parametrize("name", ["cliff", "varied"])
def test_log_of_q_learning_replayed_once_is_what_it_learned(models, name):
    """Bit for bit: the log holds each step that the learner saw, in order, and ends and cuts as it knew them."""
    mdp = models[name]()
    for rule in (QLearning(step_size=0.5), QLearning(step_size=Polynomial(exponent=0.7), exploration=Softmax())):
        given = {"discount": 0.9, "steps": 3000, "runs": 2, "seed": 5, "time_limit": 40}
        log = collect(mdp, rule, **given)
        found = learn(mdp, rule, exact=False, **given)
        for run in range(2):
            again = replay(log.part(run=run), mdp, discount=0.9, step_size=rule.step_size, order="logged")
            assert np.array_equal(again.q, found.q[run, -1])


@pytest.mark.parametrize("rule", [Sarsa(step_size=0.5), ExpectedSarsa(step_size=0.5, exploration=Softmax())])
def test_log_of_sarsa_has_the_episodes_that_it_played(models, rule):
    mdp = models["varied"]()
    given = {"discount": 0.9, "episodes": 300, "seed": 2, "time_limit": 30}
    log, found = collect(mdp, rule, **given), learn(mdp, rule, exact=False, **given)
    assert np.array_equal(log.lengths, found.lengths[0])
    assert np.allclose(log.returns(0.9), found.returns[0], rtol=1e-12, atol=1e-12)


def test_probability_of_a_learner_is_that_of_its_table_at_the_time(models):
    """The table is learned again from the log, in a loop over rows, and asked before each row."""
    mdp = models["varied"]()
    rule = QLearning(step_size=0.3, exploration=EpsilonGreedy(epsilon=0.2))
    log = collect(mdp, rule, discount=0.9, steps=400, seed=9, time_limit=25)
    q = np.zeros(mdp.n_choices)
    for i in range(len(log)):
        choice = int(mdp.choice_start[log.state[i]] + log.action[i])
        assert log.behaviour[i] == pytest.approx(epsilon_greedy(mdp, q, 0.2).probability[choice], abs=1e-15)
        options = mdp.choices(int(log.next_state[i]))
        best = max(q[c] for c in options) if len(options) else 0.0
        q[choice] += 0.3 * (log.reward[i] + 0.9 * best - q[choice])


def test_policy_is_played_and_its_probabilities_are_exact(tiny):
    """Frequencies of choices and of branches against the model: chi-square, false alarm 1e-6 together."""
    mdp = tiny["layered"](seed=4)
    weights = np.random.default_rng(1).uniform(0.1, 1.0, mdp.n_choices)
    weights[3] = 0.0
    sums = np.add.reduceat(weights, mdp.choice_start[:-1][~mdp.terminal])
    policy = Policy(choice_start=mdp.choice_start, probability=weights / np.repeat(sums, 2))
    log = collect(mdp, policy, episodes=20_000, seed=3)
    choice = mdp.choice_start[log.state] + log.action
    assert np.allclose(log.behaviour, policy.probability[choice], rtol=1e-15, atol=0)
    assert not (choice == 3).any()
    assert log.terminated.sum() == 20_000
    assert not log.truncated.any()
    visits = np.bincount(log.state, minlength=mdp.n_states)
    wanted = policy.probability * np.repeat(visits[~mdp.terminal], 2)
    held = np.bincount(choice, minlength=mdp.n_choices)
    kept = wanted > 0
    p = stats.chi2.sf((((held - wanted) ** 2)[kept] / wanted[kept]).sum(), kept.sum() - 6)
    count = np.bincount(choice[log.next_state == 6], minlength=mdp.n_choices)
    ends = np.add.reduceat(mdp.probability * (mdp.target == 6), mdp.branch_start[:-1])
    open_ = (ends > 0) & (ends < 1) & (held > 0)
    z = (count - held * ends)[open_] / np.sqrt((held * ends * (1 - ends))[open_])
    assert p > 5e-7
    assert (stats.chi2.sf((z**2).sum(), open_.sum())) > 5e-7


def test_collect_refuses_what_it_cannot_do(models, tiny):
    cliff = models["cliff"]()
    policy = Policy.uniform(cliff)
    for given, words in (
        ({}, "steps is None and episodes is None"),
        ({"steps": 5, "episodes": 5}, "give one of them"),
        ({"steps": 0}, "steps is 0, below 1"),
        ({"steps": 5, "runs": 0}, "runs is 0"),
        ({"steps": 5, "time_limit": 0}, "time_limit is 0"),
        ({"steps": 5, "seed": -1}, "seed is -1"),
        ({"steps": 5, "discount": 1.5}, "discount is 1.5"),
    ):
        with pytest.raises(ValueError, match=words):
            collect(cliff, policy, **given)
    with pytest.raises(ValueError, match="the policy is for"):
        collect(cliff, Policy.uniform(tiny["layered"]()), steps=5)
    with pytest.raises(ValueError, match="discount is not given"):
        collect(cliff, Sarsa(), steps=5)
    with pytest.raises(Exception, match=r"TreeBackup|behaviour"):
        collect(cliff, TreeBackup(), steps=5, discount=1.0)
    with pytest.raises(ValueError, match="a log needs the probability of each action"):
        collect(cliff, QLearning(exploration=UCB()), steps=5, discount=1.0)
    twice = MDP.from_branches(
        choice_start=np.array([0, 2]),
        branch_start=np.array([0, 1, 2]),
        target=np.zeros(2, np.int32),
        probability=np.ones(2),
        action=np.array([1, 1]),
    )
    with pytest.raises(ValueError, match="state 0, action 1: two choices have this action"):
        collect(twice, Policy.uniform(twice), steps=5)


def test_episode_that_never_ends_is_refused():
    loop = MDP.from_branches(
        choice_start=np.array([0, 1, 1]),
        branch_start=np.array([0, 1]),
        target=np.zeros(1, np.int32),
        probability=np.ones(1),
        terminal=np.array([False, True]),
    )
    with pytest.raises(ValueError, match=r"episode 0 has not ended after .* steps: give time_limit"):
        collect(loop, Policy.uniform(loop), episodes=1)
    assert collect(loop, Policy.uniform(loop), episodes=2, time_limit=7).lengths.tolist() == [7, 7]


def test_facts_and_streams(models):
    cliff = models["cliff"]()
    log = collect(cliff, Policy.uniform(cliff), steps=500, runs=3, seed=11, discount=0.9)
    assert log.about["model"] == model_hash(cliff)
    assert log.about["seed"] == 11
    assert log.about["discount"] == 0.9
    alone = collect(cliff, Policy.uniform(cliff), steps=500, runs=2, seed=11)
    for name in COLUMNS:  # a run does not depend on how many there are
        assert np.array_equal(getattr(alone, name), getattr(log, name)[:1000])
    moved = dataclasses.replace(cliff, choice_reward=cliff.choice_reward + 1.0)
    assert model_hash(moved) != model_hash(cliff)
