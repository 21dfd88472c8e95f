"""A slow loop in Python and the kernels agree, step by step, given the same random numbers."""

import numpy as np
import pytest

from suasion.markov import Policy
from suasion.td import (
    TD,
    UCB,
    DoubleQLearning,
    DynaQ,
    EpsilonGreedy,
    ExpectedSarsa,
    Linear,
    MonteCarlo,
    MonteCarloControl,
    NStepSarsa,
    Polynomial,
    PrioritisedSweeping,
    QLearning,
    Sarsa,
    SarsaLambda,
    Softmax,
    TDLambda,
    TreeBackup,
    WatkinsQ,
    learn,
    predict,
)
from suasion.td._random import streams
from suasion.td._simulator import followed, tables

SEED, EPISODES, LIMIT = 7, 40, 12
GREEDY = EpsilonGreedy(epsilon=0.3)
RULES = {
    "sarsa": (Sarsa(step_size=0.3, exploration=GREEDY), lambda p: p.sarsa, True),
    "expected": (ExpectedSarsa(step_size=0.3, exploration=GREEDY), lambda p: p.expected_sarsa, False),
    "q": (QLearning(step_size=0.3, exploration=GREEDY), lambda p: p.q_learning, False),
    "double": (DoubleQLearning(step_size=0.3, exploration=GREEDY), lambda p: p.double, False),
    "1-step": (NStepSarsa(n=1, step_size=0.3, exploration=GREEDY), lambda p: p.n_step(1), True),
    "3-step": (NStepSarsa(n=3, step_size=0.3, exploration=GREEDY), lambda p: p.n_step(3), True),
    "tree": (TreeBackup(n=3, step_size=0.3, exploration=GREEDY), lambda p: p.tree(3, "greedy"), True),
    "tree-soft": (
        TreeBackup(n=3, target="behaviour", step_size=0.3, exploration=GREEDY),
        lambda p: p.tree(3, "behaviour"),
        True,
    ),
    "lambda": (
        SarsaLambda(lambda_=0.8, step_size=0.3, exploration=GREEDY),
        lambda p: p.traces(0.8, "accumulating"),
        True,
    ),
    "replacing": (
        SarsaLambda(lambda_=0.8, traces="replacing", step_size=0.3, exploration=GREEDY),
        lambda p: p.traces(0.8, "replacing"),
        True,
    ),
    "true-online": (
        SarsaLambda(lambda_=0.8, traces="dutch", step_size=0.3, exploration=GREEDY),
        lambda p: p.traces(0.8, "dutch"),
        True,
    ),
    "watkins": (
        WatkinsQ(lambda_=0.8, step_size=0.3, exploration=GREEDY),
        lambda p: p.traces(0.8, "accumulating", watkins=True),
        True,
    ),
    "dyna": (DynaQ(planning_steps=3, step_size=0.3, exploration=GREEDY), lambda p: p.dyna(3, 0.0), False),
    "dyna-plus": (
        DynaQ(planning_steps=3, bonus=0.05, step_size=0.3, exploration=GREEDY),
        lambda p: p.dyna(3, 0.05),
        False,
    ),
    "sweeping": (
        PrioritisedSweeping(planning_steps=4, threshold=1e-3, step_size=0.3, exploration=GREEDY),
        lambda p: p.sweeping(4, 1e-3),
        False,
    ),
    "first-visit": (
        MonteCarloControl(step_size=0.3, exploration=GREEDY),
        lambda p: p.monte_carlo("first"),
        True,
    ),
    "every-visit": (
        MonteCarloControl(visits="every", step_size=0.3, exploration=GREEDY),
        lambda p: p.monte_carlo("every"),
        True,
    ),
}


def check(oracle, mdp, algorithm, make, before, **numbers):
    learned = learn(mdp, algorithm, discount=0.9, runs=3, episodes=EPISODES, time_limit=LIMIT, seed=SEED, exact=False)
    states = streams(SEED, 3)
    for run in range(3):
        player = oracle.Player(tables(mdp), oracle.Stream(states[run]), discount=0.9, limit=LIMIT, **numbers)
        player.play(make(player), EPISODES, before)
        np.testing.assert_array_equal(learned.lengths[run], player.lengths)
        np.testing.assert_allclose(learned.returns[run], player.returns, rtol=0, atol=1e-12)
        np.testing.assert_allclose(learned.q[run, 0], player.q, rtol=0, atol=1e-11)
    assert (learned.lengths == LIMIT).any()
    assert (learned.lengths < 3).any()


@pytest.mark.parametrize("name", RULES)
def test_every_rule(oracle, models, name):
    algorithm, make, before = RULES[name]
    check(oracle, models["varied"](), algorithm, make, before, alpha=0.3, epsilon=0.3)


@pytest.mark.parametrize(
    ("exploration", "numbers"),
    [
        (EpsilonGreedy(epsilon=0.3, ties="first"), {"epsilon": 0.3, "ties": "first"}),
        (Softmax(temperature=0.5), {"epsilon": 0.0, "softmax": 0.5}),
        (
            EpsilonGreedy(epsilon=Linear(first=1.0, last=0.1, over=50)),
            {"epsilon": lambda t: 1 - 0.9 * min(1, (t - 1) / 49)},
        ),
    ],
    ids=["first", "softmax", "linear"],
)
@pytest.mark.parametrize("name", ["expected", "tree-soft", "watkins"])
def test_ways_to_explore(oracle, models, name, exploration, numbers):
    import dataclasses

    algorithm, make, before = RULES[name]
    algorithm = dataclasses.replace(algorithm, exploration=exploration)
    check(oracle, models["varied"](), algorithm, make, before, alpha=0.3, **numbers)


@pytest.mark.parametrize("name", ["sarsa", "q", "double", "3-step", "lambda", "dyna", "sweeping", "first-visit"])
def test_upper_confidence_bounds(oracle, models, name):
    import dataclasses

    algorithm, make, before = RULES[name]
    algorithm = dataclasses.replace(algorithm, exploration=UCB(c=0.7))
    check(oracle, models["varied"](), algorithm, make, before, alpha=0.3, epsilon=0.0, ucb=0.7)


@pytest.mark.parametrize("name", ["sarsa", "double", "3-step", "lambda", "true-online", "dyna", "first-visit"])
def test_step_sizes_that_fall(oracle, models, name):
    import dataclasses

    algorithm, make, before = RULES[name]
    schedule = Polynomial(first=0.8, exponent=0.7, delay=2.0)
    algorithm = dataclasses.replace(algorithm, step_size=schedule)
    alpha = lambda n: 0.8 * (3.0 / (n + 2.0)) ** 0.7  # noqa: E731
    check(oracle, models["varied"](), algorithm, make, before, alpha=alpha, epsilon=0.3)


@pytest.mark.parametrize(
    ("algorithm", "make"),
    [
        (TD(step_size=0.3), lambda p: p.sarsa),
        (TD(n=4, step_size=0.3), lambda p: p.n_step(4)),
        (TDLambda(lambda_=0.7, step_size=0.3), lambda p: p.traces(0.7, "accumulating")),
        (TDLambda(lambda_=0.7, traces="replacing", step_size=0.3), lambda p: p.traces(0.7, "replacing")),
        (TDLambda(lambda_=0.7, traces="dutch", step_size=0.3), lambda p: p.traces(0.7, "dutch")),
        (MonteCarlo(step_size=0.3), lambda p: p.monte_carlo("first")),
        (MonteCarlo(visits="every", step_size=0.3), lambda p: p.monte_carlo("every")),
    ],
    ids=["td", "4-step", "accumulating", "replacing", "dutch", "first", "every"],
)
def test_prediction(oracle, models, algorithm, make):
    mdp = models["varied"]()
    policy = Policy.uniform(mdp)
    found = predict(mdp, policy, algorithm, discount=0.9, runs=2, episodes=30, time_limit=LIMIT, seed=SEED, start=0.5)
    for run, state in enumerate(streams(SEED, 2)):
        held = tables(followed(mdp, policy))
        player = oracle.Player(held, oracle.Stream(state), discount=0.9, alpha=0.3, epsilon=0.0, limit=LIMIT, start=0.5)
        player.play(make(player), 30)
        np.testing.assert_allclose(found.v[run, 0, ~mdp.terminal], player.q, rtol=0, atol=1e-11)
        np.testing.assert_array_equal(found.lengths[run], player.lengths)
        assert (found.v[run, 0, mdp.terminal] == 0).all()


@pytest.mark.parametrize("stride", [True, False])
def test_alias_tables_hold_the_model(models, stride, monkeypatch):
    mdp = models["varied"](seed=3, states=30)
    if not stride:
        monkeypatch.setattr("suasion.td._simulator._SMALL", -(10**9))
    held = tables(mdp)
    assert (held.stride == 3) == stride
    for c in range(mdp.n_choices):
        cells = range(held.start[c], held.start[c + 1])
        said = {}
        for cell in cells:
            for share, o in ((held.threshold[cell], 2 * cell), (1 - held.threshold[cell], 2 * cell + 1)):
                key = (float(held.outcome[o]["reward"]), int(held.outcome[o]["low"]), int(held.outcome[o]["count"]))
                said[key] = said.get(key, 0.0) + share / len(cells)
        meant = {}
        for b in range(mdp.branch_start[c], mdp.branch_start[c + 1]):
            s = mdp.target[b]
            reward = mdp.choice_reward[c] + (0.0 if mdp.branch_reward is None else mdp.branch_reward[b])
            low = 0 if mdp.terminal[s] else int(mdp.choice_start[s])
            key = (float(reward), low, len(mdp.choices(int(s))))
            meant[key] = meant.get(key, 0.0) + mdp.probability[b]
        assert {k: v for k, v in said.items() if v > 1e-15}.keys() == meant.keys()
        assert all(abs(said[k] - meant[k]) < 1e-15 for k in meant)


def test_streams_are_those_of_the_generator(oracle):
    from suasion.td._random import uniform

    states = streams(3, 2)
    s0, s1 = states[1]
    drawn = []
    for _ in range(100):
        number, *state = uniform(s0, s1)
        s0, s1 = (np.uint64(word) for word in state)
        drawn.append(number)
    slow = oracle.Stream(streams(3, 2)[1])
    assert drawn == [slow() for _ in range(100)]


def test_streams_do_not_depend_on_their_number_and_differ():
    many = streams(5, 1000)
    np.testing.assert_array_equal(many[:10], streams(5, 10))
    assert len(np.unique(many)) == 2000
    assert not np.isin(many, streams(6, 1000)).any()
    bits = np.unpackbits(many.view(np.uint8), axis=1).mean(axis=0)
    assert (abs(bits - 0.5) < 6 * 0.5 / np.sqrt(1000)).all()  # cries wolf once in 4 million
