"""Published figures, as z-tests against means measured elsewhere over many more runs, their intervals included.

Seeds are fixed. These are 80 two-sided tests at 5.7 standard errors, 1.2e-8 each: a right program fails any of them
with probability 1e-6 when the seeds are chosen, and never again. Figures are those of Sutton & Barto (2018); their
numbers were measured with an independent program (20,000 runs of example 6.2, 10,000 of the others).
"""

import numpy as np
import pytest

from suasion.markov import MDP, Policy, simulate
from suasion.td import (
    TD,
    DoubleQLearning,
    ExpectedSarsa,
    MonteCarlo,
    QLearning,
    Sarsa,
    TDLambda,
    batch_mc,
    batch_td,
    learn,
    predict,
)

Z = 5.7


def near(samples, known, interval, last_digit=5e-5):
    """`known` is a mean with a 95 % interval, rounded."""
    error = np.sqrt(samples.var(ddof=1) / samples.size + (interval / 1.96) ** 2)
    assert abs(samples.mean() - known) < Z * error + last_digit, (samples.mean(), known, error)


EXAMPLE_6_2 = [
    (TD(step_size=0.05), (0.1746, 0.1097, 0.0532, 0.0352), 0.0002),
    (TD(step_size=0.1), (0.1283, 0.0566, 0.0504, 0.0553), 0.0003),
    (TD(step_size=0.15), (0.0948, 0.0576, 0.0688, 0.0703), 0.0004),
    (MonteCarlo(visits="every", step_size=0.01), (0.2124, 0.1827, 0.1446, 0.0971), 0.0003),
    (MonteCarlo(visits="every", step_size=0.02), (0.1967, 0.1536, 0.1113, 0.0822), 0.0005),
    (MonteCarlo(visits="every", step_size=0.03), (0.1862, 0.1388, 0.1051, 0.0943), 0.0007),
    (MonteCarlo(visits="every", step_size=0.04), (0.1795, 0.1333, 0.1108, 0.1081), 0.0008),
]


@pytest.mark.parametrize(("rule", "known", "interval"), EXAMPLE_6_2)
def test_random_walk(models, rule, known, interval):
    walk = models["walk"]()
    at = [0, 10, 25, 50, 100]
    found = predict(
        walk, Policy.uniform(walk), rule, discount=1.0, runs=4000, episodes=100, checkpoints=at, start=0.5, seed=62
    )
    assert found.rms[:, 0] == pytest.approx(0.2357, abs=5e-5)
    for i, number in enumerate(known):
        near(found.rms[:, i + 1], number, interval)


def test_batch_updates(models):
    """Figure 6.2: TD's answer to the same experience is nearer to the truth."""
    walk = models["walk"]()
    live = ~walk.terminal
    exact = np.array([(int(s) + 1) / 6 for s, alive in zip(walk.states, live, strict=True) if alive])
    known = {10: (0.1193, 0.1735), 50: (0.0525, 0.0783)}
    for episodes, numbers in known.items():
        runs = 400
        walks = simulate(walk, Policy.uniform(walk), 400, np.random.default_rng(episodes), walks=runs * episodes)
        assert walks.ended[:, -1].all()
        errors = np.empty((2, runs))
        for run in range(runs):
            own = type(walks)(*(rows[run * episodes : (run + 1) * episodes] for rows in walks))
            for k, v in enumerate((batch_td(own, 7, 1.0, start=0.5).v, batch_mc(own, 7, 1.0, start=0.5).v)):
                errors[k, run] = np.sqrt(((v[live] - exact) ** 2).mean())
        for k in range(2):
            near(errors[k], numbers[k], 0.0017)
        assert errors[0].mean() < errors[1].mean()


def test_windy(models):
    """Example 6.5."""
    found = learn(models["windy"](), Sarsa(step_size=0.5), discount=1.0, runs=1500, episodes=500, seed=65, exact=False)
    near(found.lengths[:, :170].sum(axis=1), 8220.9, 4.6, 0.05)
    near((found.lengths.cumsum(axis=1) <= 8000).sum(axis=1), 160.1, 0.2, 0.05)
    near(found.lengths[:, 149:170].mean(axis=1), 22.53, 0.06, 0.005)
    near(found.lengths[:, 399:500].mean(axis=1), 20.30, 0.03, 0.005)


@pytest.mark.parametrize(
    ("rule", "known"),
    [
        (QLearning, ((-80.59, 0.14), (-49.77, 0.07), (-50.14, 0.14))),
        (Sarsa, ((-71.34, 0.13), (-27.71, 0.07), (-26.84, 0.13))),
        (ExpectedSarsa, ((-56.24, 0.06), (-21.02, 0.02), (-20.79, 0.04))),
    ],
)
def test_cliff(models, rule, known):
    """Example 6.6."""
    found = learn(models["cliff"](), rule(step_size=0.5), discount=1.0, runs=1500, episodes=500, seed=66, exact=False)
    parts = (slice(0, 100), slice(100, 500), slice(400, 500))
    for part, (number, interval) in zip(parts, known, strict=True):
        near(found.returns[:, part].mean(axis=1), number, interval, 0.005)


def biased(actions=10, branches=1000):
    """Example 6.7: right ends with 0; left leads to B, all of whose actions end with a normal reward of mean -0.1."""
    from scipy.stats import norm

    reward = norm.ppf((np.arange(branches) + 0.5) / branches)
    reward = np.concatenate([[0.0, 0.0], np.tile(reward / reward.std() - 0.1, actions)])
    return MDP.from_branches(
        choice_start=np.array([0, 2, 2 + actions, 2 + actions]),
        branch_start=np.concatenate([[0, 1], 2 + branches * np.arange(actions + 1)]),
        target=np.concatenate([[1, 2], np.full(actions * branches, 2)]),
        probability=np.concatenate([[1.0, 1.0], np.full(actions * branches, 1 / branches)]),
        branch_reward=reward,
        normalise=True,
        terminal=np.array([False, False, True]),
        initial=np.eye(3)[0],
    )


@pytest.mark.parametrize(
    ("rule", "known", "mean"),
    [
        (QLearning, {1: 50.5, 10: 87.2, 25: 93.4, 50: 82.2, 100: 45.9, 200: 15.7, 300: 11.9}, (38.12, 0.21)),
        (DoubleQLearning, {1: 50.5, 10: 44.5, 25: 23.4, 50: 13.8, 100: 9.5, 200: 7.7, 300: 7.1}, (11.64, 0.10)),
    ],
)
def test_maximisation_bias(rule, known, mean):
    """Figure 6.5: how often it goes left, in per cent."""
    found = learn(biased(), rule(step_size=0.1), discount=1.0, runs=5000, episodes=300, seed=67, exact=False)
    left = 100.0 * (found.lengths == 2)
    for episode, number in known.items():
        near(left[:, episode - 1], number, 0.7, 0.05)
    near(left.mean(axis=1), *mean, 0.005)


N_STEP = [(1, 0.8, 0.3450), (2, 0.6, 0.2762), (4, 0.4, 0.2630), (8, 0.25, 0.2754), (16, 0.15, 0.3102)]
N_STEP += [(32, 0.1, 0.3623), (64, 0.05, 0.4140), (4, 0.2, 0.3225), (1, 0.1, 0.5061)]


def long_walk(models, rule):
    """RMS error after each of the first ten episodes on the walk of 19 states, their mean."""
    walk = models["walk"](19, left=-1.0)
    at = np.arange(1, 11)
    found = predict(walk, Policy.uniform(walk), rule, discount=1.0, runs=1500, episodes=10, checkpoints=at, seed=72)
    return found.rms.mean(axis=1)


@pytest.mark.parametrize(("n", "alpha", "known"), N_STEP)
def test_n_step(models, n, alpha, known):
    """Figure 7.2, at the best step sizes and two others."""
    near(long_walk(models, TD(n=n, step_size=alpha)), known, 0.001)


@pytest.mark.parametrize(
    ("traces", "known"),
    [
        (
            "accumulating",
            [(0.0, 0.8, 0.3450), (0.4, 0.7, 0.2723), (0.8, 0.3, 0.2612), (0.9, 0.2, 0.2888), (0.95, 0.1, 0.3343)],
        ),
        (
            "dutch",
            [(0.0, 0.8, 0.3450), (0.4, 0.75, 0.2725), (0.8, 0.4, 0.2533), (0.9, 0.25, 0.2750), (0.95, 0.15, 0.3140)],
        ),
    ],
)
def test_lambda(models, traces, known):
    """Figures 12.6 and 12.8."""
    for lambda_, alpha, number in known:
        near(long_walk(models, TDLambda(lambda_=lambda_, traces=traces, step_size=alpha)), number, 0.001)
