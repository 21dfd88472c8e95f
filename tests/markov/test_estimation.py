"""Chains from paths: the posterior, and tests of hypotheses with their false alarms counted.

SciPy's chi-square of a contingency table is the independent reference.
"""

import numpy as np
import pytest
from scipy import stats

from suasion.markov import MarkovChain, homogeneity_test, independence_test, order_test

MATRIX = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.0, 0.7]])


def paths(seed, walks=1, steps=200):
    return MarkovChain(transition=MATRIX).simulate(steps, np.random.default_rng(seed), start=0, walks=walks)


def test_counts_and_mean():
    held = MarkovChain.estimate([np.array([0, 1, 1, 0]), np.array([2]), np.array([2, 2])], 3, prior=1.0)
    assert held.counts.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert held.mean == pytest.approx(np.array([[1, 2, 1], [2, 2, 1], [1, 1, 2]]) / [[4], [5], [4]])
    MarkovChain(transition=held.mean)


def test_without_a_prior_the_mean_is_the_share_seen():
    held = MarkovChain.estimate([np.array([0, 1, 1, 0, 0, 1])], 2, prior=0.0)
    assert held.mean == pytest.approx(np.array([[1 / 3, 2 / 3], [0.5, 0.5]]))
    with pytest.raises(ValueError, match="state 2 was never left and its prior is 0: no mean"):
        _ = MarkovChain.estimate([np.array([0, 1, 2])], 3, prior=0.0).mean


def test_interval_is_the_beta_marginals():
    held = MarkovChain.estimate(paths(0), 3)
    low, high = held.interval(0.9)
    a = held.counts + 1.0
    beta = stats.beta(a, a.sum(axis=1, keepdims=True) - a)
    assert low == pytest.approx(beta.ppf(0.05), rel=1e-9)
    assert high == pytest.approx(beta.ppf(0.95), rel=1e-9)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Truth drawn from the prior: a 90% interval holds it in 90% of cases, exactly; 1800 entries, 4 s.e. = 2.9%."""
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        truth = rng.dirichlet(np.ones(3), 3)
        walk = MarkovChain(transition=truth).simulate(50, rng, start=0)
        low, high = MarkovChain.estimate(walk, 3).interval(0.9)
        inside.append((low <= truth) & (truth <= high))
    assert abs(np.mean(inside) - 0.9) < 0.029


def test_samples_are_matrices_around_the_mean():
    """Standard errors of 4000 samples: 5 of them."""
    held = MarkovChain.estimate(paths(0), 3, prior=np.where(MATRIX > 0, 0.5, 0.0))
    drawn = held.sample(np.random.default_rng(2), 4000)
    assert drawn.sum(axis=2) == pytest.approx(1)
    assert (np.abs(drawn.mean(axis=0) - held.mean) <= 5 * drawn.std(axis=0) / np.sqrt(4000) + 1e-12).all()
    assert (drawn[:, 2, 1] == 0).all()
    low, high = held.interval()
    assert (low[2, 1], high[2, 1]) == (0, 0)


def test_independence_statistic_is_scipys():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, 300)
    y = np.where(rng.random(300) < 0.3, x, rng.integers(0, 4, 300))
    held = independence_test(x, y, rng)
    table = np.zeros((3, 4))
    np.add.at(table, (x, y), 1)
    wanted = stats.chi2_contingency(table, lambda_="log-likelihood", correction=False)
    assert held.statistic == pytest.approx(wanted.statistic, rel=1e-10)
    assert held.degrees_of_freedom == wanted.dof
    assert held.p_value == 1 / 1000


def test_homogeneity_of_two_paths_is_the_sum_over_states_of_scipys():
    walks = paths(3, walks=2)
    held = homogeneity_test(walks, 3)
    counts = np.stack([MarkovChain.estimate(walk[None], 3).counts for walk in walks])
    statistic, freedom = 0.0, 0
    for s in range(3):
        table = counts[:, s][:, counts[:, s].sum(axis=0) > 0]
        wanted = stats.chi2_contingency(table, lambda_="log-likelihood", correction=False)
        statistic, freedom = statistic + wanted.statistic, freedom + wanted.dof
    assert held.statistic == pytest.approx(statistic, rel=1e-10)
    assert held.degrees_of_freedom == freedom == 2 + 2 + 1
    assert held.p_value == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-10)


def test_order_zero_is_independence_of_neighbours():
    walk = paths(4)[0]
    held = order_test([walk], 3, order=0)
    table = MarkovChain.estimate([walk], 3).counts
    wanted = stats.chi2_contingency(table, lambda_="log-likelihood", correction=False)
    assert held.statistic == pytest.approx(wanted.statistic, rel=1e-10)
    assert held.degrees_of_freedom == wanted.dof
    assert held.p_value < 1e-6


def test_order_counts_only_what_occurs():
    held = order_test([np.array([0, 1, 0, 1, 0, 1, 0, 1])], 2, order=1)
    assert (held.statistic, held.p_value, held.degrees_of_freedom) == (0, 1, 0)


def test_second_order_is_seen():
    """A process that repeats what it did two steps ago with probability 0.8."""
    rng = np.random.default_rng(0)
    walk = np.zeros(500, np.int64)
    for t in range(2, 500):
        walk[t] = walk[t - 2] if rng.random() < 0.8 else rng.integers(0, 2)
    assert order_test([walk], 2, order=1).p_value < 1e-6
    assert order_test([walk], 2, order=2).p_value > 1e-3


@pytest.mark.parametrize("test", ["order", "homogeneity", "independence"])
def test_false_alarms(test):
    """Under the hypothesis p < 0.05 in 5% of 400 runs; allowed 1.5% to 9%, which errs for one seed in 1000."""
    alarms = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        if test == "independence":
            held = independence_test(rng.integers(0, 3, 60), rng.integers(0, 2, 60), rng, permutations=99)
        elif test == "order":
            held = order_test(paths(seed, steps=1000), 3)
        else:
            held = homogeneity_test(paths(seed, walks=3, steps=300), 3)
        alarms += held.p_value <= 0.05
    assert 0.015 * 400 <= alarms <= 0.09 * 400


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: MarkovChain.estimate([np.array([0, 3])], 3), "path 0 holds 3 at 1: states are 0 to 2"),
        (lambda: MarkovChain.estimate([np.array([0, 1])], 3, prior=-1.0), r"prior\[0, 0\] is -1\.0"),
        (lambda: MarkovChain.estimate([np.array([0, 1])], 3, prior=np.ones((2, 2))), "prior is 2 by 2, not 3 by 3"),
        (lambda: MarkovChain.estimate([np.array([0, 1])], 2).interval(1.0), r"level is 1\.0, outside"),
        (lambda: order_test([np.array([0, 1])], 2, order=-1), "order is -1, below 0"),
        (lambda: order_test([np.array([0, 1])], 2), "no path has more than 2 states"),
        (lambda: order_test([np.array([0, 1])], 1 << 20, order=4), "too many to number"),
        (lambda: homogeneity_test([np.array([0, 1])], 2), "there are 1 paths"),
        (lambda: homogeneity_test([np.array([0]), np.array([1])], 2), "no path has two states"),
        (lambda: independence_test(np.zeros(2, int), np.zeros(3, int), np.random.default_rng(0)), "2 of x and 3 of y"),
        (lambda: independence_test(np.zeros(1, int), np.zeros(1, int), np.random.default_rng(0), 0), "permutations is"),
    ],
)
def test_refused_with_place_and_number(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()
