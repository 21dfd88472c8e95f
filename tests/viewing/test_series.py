"""Pictures of series: what is in them, and that equal ones are equal."""

import numpy as np
import pytest

from suasion.viewing import Estimate, estimates_figure, occupancy_figure, save_figure


def panel(**change):
    x = np.arange(5.0)
    parts = {"title": "level", "x": x, "mean": x, "low": x - 1, "high": x + 1, "seen": np.array([0, np.nan, 2, 3, 4])}
    return Estimate(**{**parts, **change})


def test_panels_show_estimate_band_and_observations(tmp_path):
    figure = estimates_figure([panel(), panel(title="slope", seen=None, ahead=3)], xlabel="year", band="50 %")
    first, second = figure.axes
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["50 %", "estimate", "seen"]
    assert first.get_title() == "level" or first.get_title(loc="left") == "level"
    np.testing.assert_array_equal(first.lines[0].get_ydata(), np.arange(5.0))
    assert second.lines[1].get_xdata()[0] == 3.0
    assert second.get_xlabel() == "year"
    one = save_figure(figure, tmp_path / "a.svg").read_bytes()
    two = save_figure(
        estimates_figure([panel(), panel(title="slope", seen=None, ahead=3)], xlabel="year", band="50 %"),
        tmp_path / "b.svg",
    ).read_bytes()
    assert one == two


def test_probabilities_are_stacked():
    p = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    figure = occupancy_figure(np.arange(3.0), p, ["rain", "dry"], ahead=2)
    axes = figure.axes[0]
    assert len(axes.collections) == 2
    assert axes.collections[1].get_paths()[0].vertices[:, 1].max() == 1.0
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["rain", "dry"]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="0 panels: must be 1 to 12"):
        estimates_figure([])
    with pytest.raises(ValueError, match="1 names for 2 states"):
        occupancy_figure(np.arange(3.0), np.full((3, 2), 0.5), ["a"])
