"""Curves with bands, maps of policies, values of states, and films of figures: what is drawn where."""

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.quiver import Quiver
from PIL import Image

from suasion.viewing import (
    DIRECTIONS,
    Banded,
    GridPolicy,
    Panel,
    banded_curves,
    policy_maps,
    save_figure,
    state_values,
    write_film,
)
from suasion.viewing._style import COLOURS

AT = np.arange(10, 101, 10)


def banded(level, at=AT, half=1.0):
    middle = level + np.linspace(-1, 0, len(at))
    return Banded(at=at, middle=middle, lower=middle - half, upper=middle + half)


def quivers(axes):
    return [child for child in axes.get_children() if isinstance(child, Quiver)]


def label_heights(axes):
    """Label at the margin -> height of the label, as a part of the axes'."""
    return {text.get_text(): text.get_position()[1] for text in axes.texts}


# Curves


def test_a_curve_has_its_band_and_keeps_its_colour_in_every_panel():
    panels = [
        Panel(curves={"sarsa": banded(3.0), "q": banded(5.0)}, title="a", xlabel="steps", ylabel="metres"),
        Panel(curves={"q": Banded(at=AT, middle=np.ones(10))}, title="b"),
    ]
    figure = banded_curves(panels, title="both")
    first, second = figure.axes
    lines = {line.get_label(): line for line in first.lines}
    np.testing.assert_array_equal(lines["sarsa"].get_ydata(), banded(3.0).middle)
    assert lines["sarsa"].get_color() == COLOURS[0]
    assert lines["q"].get_color() == second.lines[0].get_color() == COLOURS[1]
    bands = [child for child in first.get_children() if isinstance(child, PolyCollection)]
    corners = bands[1].get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(3.0)
    assert corners[:, 1].max() == pytest.approx(6.0)
    assert not [child for child in second.get_children() if isinstance(child, PolyCollection)]
    assert (first.get_title("left"), first.get_xlabel(), first.get_ylabel()) == ("a", "steps", "metres")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["sarsa", "q"]
    assert legend.get_title().get_text() == "both"


def test_panels_in_rows_keep_their_names_apart():
    panel = Panel(curves={"a": banded(3.0)}, references={"one": 4.0, "two": 4.01, "three": 4.02})
    for height in (1.8, 3.6):
        figure = banded_curves([panel, panel], width=3.3, height=height, columns=1)
        assert figure.get_size_inches().tolist() == pytest.approx([3.3, 2 * height])
        for axes in figure.axes:
            names = sorted(label_heights(axes).values())
            assert np.diff(names).min() * height > 0.2  # inches, of the panel
    assert len({axes.get_position().x0 for axes in figure.axes}) == 1


def test_far_beginnings_do_not_press_the_rest_together():
    middle = np.concatenate([[-1000.0, -500.0], np.full(8, -20.0)])
    figure = banded_curves([Panel(curves={"a": Banded(at=AT, middle=middle)}, references={"best": -10.0})])
    low, high = figure.axes[0].get_ylim()
    assert -21 < low < -20
    assert -10 < high < -9
    figure = banded_curves([Panel(curves={"a": Banded(at=AT, middle=middle)}, limits=(-600.0, 0.0))])
    assert figure.axes[0].get_ylim() == (-600, 0)


def test_infinite_values_leave_a_gap_and_their_band_reaches_the_edge():
    middle = np.where(AT < 50, -np.inf, -15.0)
    curve = Banded(at=AT, middle=middle, lower=np.full(10, -np.inf), upper=np.full(10, -13.0))
    figure = banded_curves([Panel(curves={"a": curve})])
    axes = figure.axes[0]
    drawn = axes.lines[0].get_ydata()
    np.testing.assert_array_equal(np.isnan(drawn), AT < 50)
    (band,) = (child for child in axes.get_children() if isinstance(child, PolyCollection))
    assert np.isfinite(band.get_paths()[0].vertices).all()
    assert band.get_paths()[0].vertices[:, 1].min() < axes.get_ylim()[0]


def test_references_are_named_at_the_margin_and_keep_their_distance(tmp_path):
    heights = {"one": 1.0, "near": 0.99, "two\nlines": 0.98, "far": -3.0}
    figure = banded_curves([Panel(curves={"a": banded(0.0)}, references=heights)])
    axes = figure.axes[0]
    drawn = sorted(line.get_ydata()[0] for line in axes.lines[1:])
    assert drawn == sorted(heights.values())
    at = label_heights(axes)
    assert list(at) == ["one", "near", "two\nlines", "far"]
    assert (-np.diff(list(at.values())) > 0.06).all()
    low, high = axes.get_ylim()
    assert at["far"] == pytest.approx((-3.0 - low) / (high - low))
    save_figure(figure, tmp_path / "a.png")


def test_decades_are_written_in_digits():
    at = np.array([100, 1000, 10_000, 1_000_000])
    figure = banded_curves(
        [Panel(curves={"a": Banded(at=at, middle=10.0 ** -at.astype(float).argsort())}, logarithmic="xy")]
    )
    axes = figure.axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    written = {axes.xaxis.get_major_formatter()(tick, 0) for tick in axes.get_xticks()}
    assert {"1,000", "100,000"} & written
    assert axes.yaxis.get_major_formatter()(0.01, 0) == "0.01"
    low, high = axes.get_ylim()
    assert low < 1e-3
    assert high > 1.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: banded_curves([]), "0 panels"),
        (lambda: banded_curves([Panel(curves={})]), "panel 0 has 0 curves"),
        (lambda: Banded(at=AT, middle=np.zeros(3)), r"have \[10, 3\] points"),
        (lambda: Banded(at=AT[::-1], middle=np.zeros(10)), "point 1 is at 90, after 100"),
        (lambda: Banded(at=AT, middle=np.zeros(10), lower=np.zeros(10)), "a band needs both"),
        (lambda: banded_curves([Panel(curves={"a": banded(1.0)}, references={"x": np.inf})]), r"'x'\] is inf"),
        (lambda: banded_curves([Panel(curves={"a": banded(0.0)}, logarithmic="y")]), "-2.0 on a logarithmic axis"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# Maps


def policy(value, directions):
    """All of each cell's probability on one direction."""
    shares = np.zeros((*np.shape(value), 4))
    for (y, x), d in np.ndenumerate(np.array(directions)):
        shares[y, x, d] = d >= 0
    return GridPolicy(value=np.array(value, float), shares=shares, marks={(0, 0): "S"})


def test_maps_share_one_scale_and_lie_below_each_other_if_wide():
    wide = policy(np.arange(12.0).reshape(2, 6), np.full((2, 6), 1))
    figure = policy_maps({"a": wide, "b": policy(np.arange(12.0).reshape(2, 6) - 5, np.full((2, 6), 2))}, title="both")
    first, second, bar = figure.axes
    assert first.get_position().y0 > second.get_position().y1
    assert first.images[0].get_clim() == second.images[0].get_clim() == (-5.0, 11.0)
    assert (first.get_title("left"), second.get_title("left")) == ("a", "b")
    assert "reward units" in bar.get_ylabel()
    square = policy(np.eye(3), np.zeros((3, 3), int))
    first, second, _ = policy_maps({"a": square, "b": square}, limits=(0.0, 4.0)).axes
    assert first.get_position().x1 < second.get_position().x0
    assert first.images[0].get_clim() == (0, 4)
    narrow = policy_maps({"a": square, "b": square}, width=3.3)
    assert narrow.get_figwidth() == pytest.approx(3.3)
    narrow.draw_without_rendering()
    first, second, bar = (axes.get_window_extent() for axes in narrow.axes)
    assert first.y0 > second.y1 > second.y0 > bar.y1
    assert "reward units" in narrow.axes[2].get_xlabel()


def test_arrows_point_where_the_policy_goes_and_ties_split_them():
    shares = np.zeros((1, 3, 4))
    shares[0, 0, 1] = 1.0  # right, alone
    shares[0, 1] = [0.25, 0.0, 0.75, 0.0]  # up and down
    shares[0, 2, 3] = 1.0  # no state there
    figure = policy_maps({"a": GridPolicy(value=np.array([[1.0, 2.0, np.nan]]), shares=shares)})
    arrows = {}
    for quiver in quivers(figure.axes[0]):
        for x, y, u, v in zip(quiver.X, quiver.Y, quiver.U, quiver.V, strict=True):
            arrows[round(float(x)), round(float(v) / 2 + float(u) / 2, 3)] = (float(x), float(y), float(u), float(v))
    assert len(arrows) == 3
    (right,) = (a for a in arrows.values() if a[2] != 0)
    assert right[2] > 0.5
    assert right[0] == pytest.approx(-right[2] / 2)  # in the middle of its cell
    up, down = sorted((a for a in arrows.values() if a[3] != 0), key=lambda a: a[3])
    assert (up[0], up[1], down[0], down[1]) == (1, 0, 1, 0)
    assert down[3] / -up[3] == pytest.approx(np.sqrt(3))


def test_directions_are_up_right_down_left():
    assert DIRECTIONS == ((-1, 0), (0, 1), (1, 0), (0, -1))


def test_numbers_have_three_digits_of_the_range():
    def written(value):
        axes = policy_maps({"a": GridPolicy(value=np.array([value]), shares=np.zeros((1, len(value), 4)))}).axes[0]
        return [text.get_text() for text in axes.texts]

    assert written([-13.0, -1.25, np.nan]) == ["-13.0", "-1.2"]
    assert written([0.0, 0.41464]) == ["0.000", "0.415"]
    assert written([0.0, 1234.5]) == ["0", "1234"]
    assert written([3.0, 3.0]) == ["3.00", "3.00"]


def test_marks_are_written_and_large_maps_have_neither_numbers_nor_lines(tmp_path):
    axes = policy_maps({"a": policy(np.eye(3), np.full((3, 3), -1))}).axes[0]
    assert [text.get_text() for text in axes.texts][-1] == "S"
    large = GridPolicy(value=np.random.default_rng(0).normal(size=(70, 70)), shares=np.full((70, 70, 4), 0.25))
    figure = policy_maps({"a": large})
    assert not figure.axes[0].texts
    assert not quivers(figure.axes[0])
    save_figure(figure, tmp_path / "large.png")


def test_maps_without_values_are_refused():
    with pytest.raises(ValueError, match="1 policies without a finite value"):
        policy_maps({"a": policy([[np.nan]], [[1]])})
    with pytest.raises(ValueError, match="0 policies"):
        policy_maps({})
    with pytest.raises(ValueError, match=r"a grid of \(1, 2\), shares one of \(2, 1\)"):
        GridPolicy(value=np.zeros((1, 2)), shares=np.zeros((2, 1, 4)))


# States without a grid


def test_few_states_are_points_beside_the_exact_values():
    exact = np.array([0.0, 1.0, 2.0])
    figure = state_values({"a": exact + 0.1, "b": exact - 0.1}, exact=exact, names=["x", "y", "long name"])
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), exact + 0.1)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["x", "y", "long name"]
    (heights,) = axes.collections
    np.testing.assert_allclose([segment[0, 1] for segment in heights.get_segments()], exact)


def test_many_states_are_strips(tmp_path):
    value = np.linspace(0, 1, 500)
    figure = state_values({"a": value}, exact=value)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["exact", "a"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array()[1], value)
    save_figure(figure, tmp_path / "strips.png")


def test_values_of_different_models_are_refused():
    with pytest.raises(ValueError, match="equally many"):
        state_values({"a": np.zeros(3), "b": np.zeros(4)})
    with pytest.raises(ValueError, match="equally many"):
        state_values({})


# Films


def frame(k):
    value = np.array([[0.0, k], [np.nan, 3.0]])
    return policy_maps({"a": policy(value, [[1, 2], [-1, -1]])}, title=f"frame {k}", limits=(0.0, 3.0))


def test_a_film_shows_each_figure_in_nearly_its_colours(tmp_path):
    path = write_film(frame, 3, tmp_path / "new" / "a.gif", fps=5, last=1.5)
    with Image.open(path) as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        times, pictures = [], []
        for k in range(3):
            film.seek(k)
            times.append(film.info["duration"])
            pictures.append(np.asarray(film.convert("RGB")).astype(int))
    assert times == [200, 200, 1500]
    for k, picture in enumerate(pictures):
        save_figure(frame(k), tmp_path / "still.png")
        figure = frame(k)
        figure.set_dpi(100)
        figure.canvas.draw()
        still = np.asarray(figure.canvas.buffer_rgba())[:, :, :3].astype(int)
        distance = np.abs(picture - still).max(axis=2)
        assert np.quantile(distance, 0.98) <= 12
        assert (picture == 255).all(axis=2).mean() > 0.2  # white stays white
    assert (pictures[0] != pictures[1]).any()


def test_equal_films_have_equal_bytes_and_bad_ones_are_refused(tmp_path):
    first, second = (write_film(frame, 2, tmp_path / f"{k}.gif") for k in range(2))
    assert first.read_bytes() == second.read_bytes()
    for arguments, words in (({"fps": 0}, "fps is 0"), ({"last": -1.0}, "last is -1"), ({"dpi": 5}, "dpi is 5")):
        with pytest.raises(ValueError, match=words):
            write_film(frame, 2, tmp_path / "bad.gif", **arguments)
    with pytest.raises(ValueError, match="count is 0"):
        write_film(frame, 0, tmp_path / "bad.gif")
    sizes = [policy_maps({"a": policy(np.eye(n), np.zeros((n, n), int))}) for n in (3, 5)]
    with pytest.raises(ValueError, match="pixels follows one of"):
        write_film(lambda k: sizes[k], 2, tmp_path / "bad.gif")
    assert not (tmp_path / "bad.gif").exists()
    assert matplotlib.rcParams["axes.grid"] is False  # settings are as before
