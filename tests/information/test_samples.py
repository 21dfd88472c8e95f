"""Estimates from samples against tables of counts, by hand, by enumeration; the permutation test's error rates."""

import itertools
import math
import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from suasion.information import (
    _samples,
    entropy_from_samples,
    mutual_information,
    mutual_information_from_samples,
    permutation_null,
)

pairs = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=40).map(
    lambda both: tuple(np.array(both).T)
)


def counted(x, y):
    return scipy.stats.contingency.crosstab(x, y).count / len(x)


@given(pairs)
def test_plug_in_is_the_table_of_frequencies(samples):
    x, y = samples
    assert mutual_information_from_samples(x, y) == pytest.approx(mutual_information(counted(x, y)), abs=1e-12)
    assert entropy_from_samples(x) == pytest.approx(scipy.stats.entropy(np.unique(x, return_counts=True)[1]), abs=1e-12)
    assert mutual_information_from_samples(x, x) == pytest.approx(entropy_from_samples(x), abs=1e-12)
    bits = mutual_information_from_samples(x, y, unit="bits")
    assert bits == pytest.approx(mutual_information_from_samples(x, y) / math.log(2), abs=1e-12)


def test_miller_madow_by_hand():
    x, y = np.array([0, 0, 1, 2]), np.array([True, True, True, False])
    # Frequencies 1/2, 1/4, 1/4: 1.5 bits; three symbols, four samples: (3 - 1) / 8 nats more.
    close = pytest.approx(1.5 * math.log(2) + 2 / 8)
    assert entropy_from_samples(x, estimator="miller-madow") == close
    assert entropy_from_samples(x, estimator="miller-madow", unit="bits") == pytest.approx(1.5 + 0.25 / math.log(2))
    # Pairs (0, 1) twice, (1, 1), (2, 0): 3; K_xy - K_x - K_y + 1 = -1 is taken off, over 8.
    plug_in = mutual_information_from_samples(x, y)
    assert mutual_information_from_samples(x, y, estimator="miller-madow") == pytest.approx(plug_in + 1 / 8)


@pytest.mark.usefixtures("unchecked")  # for speed
def test_miller_madow_is_less_biased():
    """500 times 100 samples at a fixed seed: of independent symbols, and of a noisy copy.

    The plug-in's bias is 9 / 200 to first order; 4 standard errors are 0.004 and 0.015. False alarms 1 in 8,000.
    """
    rng = np.random.default_rng(0)
    x, noise = rng.integers(0, 4, (2, 500, 100))
    copy = np.where(rng.random(x.shape) < 0.5, x, noise)
    copied = mutual_information((np.eye(4) / 2 + 1 / 8) / 4)
    for y, truth, noise_of_mean in ((noise, 0.0, 0.004), (copy, copied, 0.015)):
        plug_in, corrected = (
            np.mean([mutual_information_from_samples(a, b, estimator=e) for a, b in zip(x, y, strict=True)]) - truth
            for e in ("plug-in", "miller-madow")
        )
        assert abs(plug_in - 9 / 200) < noise_of_mean
        assert abs(corrected) < plug_in / 3
    plug_in, corrected = (
        np.mean([entropy_from_samples(a, estimator=e) for a in x[:, :20]]) for e in ("plug-in", "miller-madow")
    )
    assert plug_in < math.log(4) - 0.05
    assert abs(corrected - math.log(4)) < 0.02


@pytest.mark.usefixtures("unchecked")  # for speed
def test_the_null_is_the_distribution_over_all_orders():
    """All 720 orders of six samples; 4,000 permutations, 4 standard errors: false alarms 1 in 8,000."""
    x, y = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 1, 0])
    orders = [mutual_information_from_samples(x, y[list(order)]) for order in itertools.permutations(range(6))]
    null = permutation_null(x, y, permutations=4000, seed=1)
    assert null.value == pytest.approx(mutual_information_from_samples(x, y))
    assert abs(null.null_mean - np.mean(orders)) < 4 * np.std(orders) / math.sqrt(4000)
    assert null.null_95 == pytest.approx(np.quantile(orders, 0.95))
    exact = np.mean(np.array(orders) >= null.value - 1e-9)
    assert abs(null.p_value - exact) < 4 * math.sqrt(exact * (1 - exact) / 4000)


@pytest.mark.usefixtures("unchecked")  # for speed
def test_independent_samples_raise_the_alarm_as_often_as_stated():
    """400 pairs of 60 independent samples: p <= 0.05 in at most 5 %, and not in far fewer.

    4 standard errors (4.4 points) at a fixed seed: cries wolf 1 in 30,000.
    """
    rng = np.random.default_rng(0)
    nulls = [permutation_null(*rng.integers(0, 3, (2, 60)), permutations=99, seed=rng) for _ in range(400)]
    alarms = np.mean([null.p_value <= 0.05 for null in nulls])
    assert abs(alarms - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 400)
    values, means = np.array([(null.value, null.null_mean) for null in nulls]).T
    assert values.mean() == pytest.approx(4 / 120, rel=0.15), "the bias"
    assert means.mean() == pytest.approx(values.mean(), rel=0.1), "the null's mean is the bias"


@pytest.mark.usefixtures("unchecked")  # for speed
def test_dependent_samples_are_found():
    """60 samples of which 40 % are copied: found in 9 of 10 cases and more."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        x, noise = rng.integers(0, 3, (2, 60))
        y = np.where(rng.random(60) < 0.4, x, noise)
        found += permutation_null(x, y, permutations=99, seed=rng).p_value <= 0.05
    assert found >= 45


def test_the_null_is_reproducible_and_does_not_depend_on_how_it_is_cut(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (2, 30))
    whole = permutation_null(x, y, permutations=50, seed=3)
    assert permutation_null(x, y, permutations=50, seed=np.random.default_rng(3)) == whole
    assert permutation_null(x, y, permutations=50, seed=4) != whole
    monkeypatch.setattr(_samples, "_AT_ONCE", 100)
    assert permutation_null(x, y, permutations=50, seed=3) == whole
    bits = permutation_null(x, y, permutations=50, seed=3, unit="bits")
    assert (bits.p_value, bits.permutations) == (whole.p_value, 50)
    for name in ("value", "null_mean", "null_95"):
        assert getattr(bits, name) == pytest.approx(getattr(whole, name) / math.log(2))


def test_constant_and_single_samples_say_nothing():
    for x, y in ((np.zeros(9, int), np.arange(9)), (np.array([7]), np.array([-7]))):
        null = permutation_null(x, y, permutations=10, seed=0)
        assert null.value == pytest.approx(0, abs=1e-12)
        assert null.p_value == 1


def test_a_thousand_permutations_take_a_moment():
    """0.06 s on the machine it was written on; a table of all pairs of these symbols would hold 10^9 counts."""
    x, y = np.random.default_rng(0).integers(0, 10**6, (2, 1000))
    start = time.perf_counter()
    null = permutation_null(x, y, permutations=1000, seed=0)
    assert time.perf_counter() - start < 1
    assert null.p_value > 0.01


@pytest.mark.usefixtures("unchecked")
def test_refusals():
    whole, fractions = np.array([0, 1, 1]), np.array([0.0, 1.0, 1.0])
    for wrong, fault in (
        (fractions, "x is float64, must be integers"),
        (np.array([], int), r"x is \[0\], must be one axis of at least one sample"),
        (np.array([[0, 1]]), r"x is \[1, 2\], must be one axis"),
    ):
        with pytest.raises(ValueError, match=fault):
            entropy_from_samples(wrong)
        with pytest.raises(ValueError, match=fault):
            mutual_information_from_samples(wrong, whole)
        with pytest.raises(ValueError, match=fault):
            permutation_null(wrong, whole, seed=0)
    with pytest.raises(ValueError, match="y is float64"):
        mutual_information_from_samples(whole, fractions)
    for pair in (mutual_information_from_samples, lambda x, y: permutation_null(x, y, seed=0)):
        with pytest.raises(ValueError, match="x has 3 samples, y 2"):
            pair(whole, whole[:2])
    with pytest.raises(ValueError, match="estimator is 'jackknife', must be 'plug-in' or 'miller-madow'"):
        entropy_from_samples(whole, estimator="jackknife")
    with pytest.raises(ValueError, match="unit is 'bit'"):
        mutual_information_from_samples(whole, whole, unit="bit")
    with pytest.raises(ValueError, match="permutations is 0"):
        permutation_null(whole, whole, permutations=0, seed=0)
