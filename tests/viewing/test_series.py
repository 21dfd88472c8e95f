"""Pictures of series: what is in them, and that equal ones are equal."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection

from suasion.viewing import Estimate, estimates_figure, occupancy_figure, save_figure


def panel(**change):
    x = np.arange(5.0)
    parts = {"title": "level", "x": x, "mean": x, "low": x - 1, "high": x + 1, "seen": np.array([0, np.nan, 2, 3, 4])}
    return Estimate(**{**parts, **change})


def bands(axes):
    """Label -> (lower, upper) of each band, by its corners."""
    found = {}
    for band in axes.collections:
        if isinstance(band, PolyCollection) and not str(band.get_label()).startswith("_"):
            corners = band.get_paths()[0].vertices
            found[band.get_label()] = {x: corners[corners[:, 0] == x, 1] for x in np.unique(corners[:, 0])}
    return found


def test_panels_show_estimate_bands_and_observations(tmp_path):
    def draw():
        inner = (np.arange(5.0) - 0.25, np.arange(5.0) + 0.25)
        panels = [panel(inner=inner), panel(title="slope", seen=None, ahead=3)]
        return estimates_figure(panels, xlabel="year", band="90 %")

    figure = draw()
    first, second = figure.axes
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["90 %", "50 %", "estimate", "seen", "not seen", "forecast"]
    assert first.get_title("left") == "level"
    np.testing.assert_array_equal(first.lines[0].get_ydata(), np.arange(5.0))
    held = bands(first)
    for x in range(5):
        assert (held["90 %"][x].min(), held["90 %"][x].max()) == (x - 1, x + 1)
        assert (held["50 %"][x].min(), held["50 %"][x].max()) == (x - 0.25, x + 0.25)
    (dots,) = (found for found in first.collections if isinstance(found, PathCollection))
    assert dots.get_offsets()[:, 0].compressed().tolist() == [0, 2, 3, 4]
    bars = held["not seen"]
    assert sorted(bars) == [0.5, 1.5]  # around step 1
    (ground,) = (patch for patch in second.patches if patch.get_label() == "forecast")
    assert ground.get_x() == 2.5
    assert ground.get_x() + ground.get_width() == 4
    assert "50 %" not in bands(second)
    assert second.get_xlabel() == "year"
    one, two = (save_figure(draw(), tmp_path / f"{k}.svg").read_bytes() for k in range(2))
    assert one == two


def test_what_is_never_seen_is_not_missing():
    for seen in (np.full(5, np.nan), np.arange(5.0)):
        assert "not seen" not in bands(estimates_figure([panel(seen=seen)]).axes[0])


def test_steps_to_come_are_not_missing():
    seen = np.array([0.0, np.nan, 2.0, np.nan, np.nan])
    assert sorted(bands(estimates_figure([panel(seen=seen, ahead=3)]).axes[0])["not seen"]) == [0.5, 1.5]


@pytest.mark.parametrize("width", [3.3, 7.5])
def test_legends_cover_nothing_and_stay_on_paper(width):
    figure = estimates_figure([panel(inner=(np.zeros(5), np.ones(5)), ahead=4)], width=width)
    assert figure.get_figwidth() == pytest.approx(width)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= -1
    assert box.x1 <= figure.bbox.x1 + 1
    assert box.y0 > figure.axes[0].get_window_extent().y1


def test_probabilities_are_stacked():
    p = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    figure = occupancy_figure(np.arange(3.0), p, ["rain", "dry"], ahead=2)
    axes = figure.axes[0]
    assert len(axes.collections) == 2
    assert axes.collections[1].get_paths()[0].vertices[:, 1].max() == 1.0
    lower = axes.collections[0].get_paths()[0].vertices
    for x, share in zip(range(3), p[:, 0], strict=True):
        assert lower[lower[:, 0] == x, 1].max() == pytest.approx(share)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rain", "dry"]
    assert axes.lines[0].get_xdata()[0] == 1.5  # where the forecast begins


def test_the_path_is_a_ribbon_and_observations_have_panels():
    p = np.full((6, 2), 0.5)
    seen = {"wind": np.array([0.5, np.nan, 1.0, 2.0, 1.0, 0.0])}
    figure = occupancy_figure(np.arange(6.0), p, ["a", "b"], path=np.array([0, 0, 1, 1, 1, 0]), seen=seen)
    above, middle, ribbon = figure.axes
    assert above.get_title("left") == "wind"
    assert sorted(bands(above)["not seen"]) == [0.5, 1.5]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width(), patch.get_facecolor()) for patch in ribbon.patches]
    assert [span[:2] for span in spans] == [(0, 1.5), (1.5, 4.5), (4.5, 5)]
    assert spans[0][2] == spans[2][2] != spans[1][2]
    first, second = (layer.get_facecolor()[0] for layer in middle.collections)
    np.testing.assert_allclose([spans[0][2], spans[1][2]], [first, second])
    nowhere = occupancy_figure(np.arange(2.0), np.full((2, 2), 0.5), ["a", "b"], path=np.array([-1, 0]))
    assert len(nowhere.axes[-1].patches) == 1


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="0 panels: must be 1 to 12"):
        estimates_figure([])
    with pytest.raises(ValueError, match="1 names for 2 states"):
        occupancy_figure(np.arange(3.0), np.full((3, 2), 0.5), ["a"])
    x, p = np.arange(3.0), np.full((3, 2), 0.5)
    with pytest.raises(ValueError, match="path has 2 steps, not 3"):
        occupancy_figure(x, p, ["a", "b"], path=np.array([0, 1]))
    with pytest.raises(ValueError, match=r"path\[2\] is 2: states are 0 to 1"):
        occupancy_figure(x, p, ["a", "b"], path=np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="wind has 2 steps, not 3"):
        occupancy_figure(x, p, ["a", "b"], seen={"wind": np.zeros(2)})
    with pytest.raises(ValueError, match="12 series: must be 11 at most"):
        occupancy_figure(x, p, ["a", "b"], seen={str(k): x for k in range(12)})
