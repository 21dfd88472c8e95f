import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from suasion.viewing import comparison_table, mean_interval


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_interval_is_scipys(values, level):
    mean, half = mean_interval(values, level)
    deviation = float(np.std(values, ddof=1))
    if deviation <= 1e-9 * max(map(abs, values)):  # scipy has no interval of width 0
        assert half <= 1e-6 * max(1, *map(abs, values))
        return
    low, high = scipy.stats.t.interval(level, len(values) - 1, np.mean(values), deviation / math.sqrt(len(values)))
    tolerance = 1e-9 * (1 + max(map(abs, values)))
    assert mean - half == pytest.approx(low, rel=1e-9, abs=tolerance)
    assert mean + half == pytest.approx(high, rel=1e-9, abs=tolerance)


def test_it_holds_the_mean_95_times_in_100():
    """4,000 samples of 5 normal values, fixed seed; 4 standard errors (0.014): false alarms 1 in 16,000."""
    samples = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
    held = [abs(mean - 3.0) <= half for mean, half in (mean_interval(list(sample)) for sample in samples)]
    assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_one_value_has_no_interval_and_bad_ones_no_mean():
    assert mean_interval([2.5]) == (2.5, None)
    for values, fault in (([], "0 values"), ([1.0, math.nan], r"values\[1\] is nan"), ([math.inf], "is inf")):
        with pytest.raises(ValueError, match=fault):
            mean_interval(values)
    with pytest.raises(ValueError, match="spread too far"):
        mean_interval([-1.7e308, 1.7e308])
    with pytest.raises(ValueError, match=r"level is 1\.0"):
        mean_interval([1.0, 2.0], 1.0)


def test_a_table_shows_intervals_seeds_and_what_is_undefined():
    rows = {
        "selfish": {"return": [22.9, 23.1, 23.0], "equality": [0.9, None, 0.8]},
        "shared | reward": {"return": [37.0], "equality": [None]},
    }
    assert comparison_table(rows, {"return": "apples", "equality": "equality"}) == (
        "|  | n | apples | equality |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| selfish | 3 | 23.00 ± 0.25 | 0.85 ± 0.64; undefined (1 of 3) |\n"
        "| shared \\| reward | 1 | 37 | undefined (1 of 1) |\n"
    )


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([1.0, 1.0], "1 ± 0"),
        ([1000.0, 3000.0], "2000 ± 12706"),
        ([1e-9, 3e-9], "2e-09 ± 1.3e-08"),
        ([0.1, 0.2, 0.1, 0.2], "0.150 ± 0.092"),
        ([-5.0, -7.0, -6.0], "-6.0 ± 2.5"),
        ([1e300, 2e300], "1.5e+300 ± 6.4e+300"),
    ],
)
def test_digits_follow_the_half_width(values, cell):
    assert f"| {cell} |" in comparison_table({"row": {"x": values}}, ["x"])


@pytest.mark.parametrize(
    ("rows", "columns", "fault"),
    [
        ({}, ["a"], "0 rows"),
        ({"r": {"a": [1.0]}}, [], "0 columns"),
        ({"r": {"a": [1.0]}}, ["b"], "row 'r' has no column 'b'; it has 'a'"),
        ({"r": {"a": [1.0], "b": [1.0, 2.0]}}, ["a", "b"], "must be equal"),
        ({"r": {"a": []}}, ["a"], "at least 1"),
        ({"r": {"a": [1.0, math.nan]}}, ["a"], r"'r', 'a': values\[1\] is nan"),
    ],
)
def test_tables_that_cannot_be_are_refused(rows, columns, fault):
    with pytest.raises(ValueError, match=fault):
        comparison_table(rows, columns)


def test_names_cannot_break_the_table_or_smuggle_markup():
    table = comparison_table({"a|b\n| x | <script>": {"c": [1.0]}}, {"c": "*d*"})
    assert len(table.splitlines()) == 3
    assert "a\\|b \\| x \\| \\<script\\>" in table
    assert "\\*d\\*" in table
