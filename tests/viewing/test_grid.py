"""Values on a grid: what is drawn in which cell, and films of sweeps, frame by frame."""

import matplotlib
import numpy as np
import pytest
from matplotlib.quiver import Quiver
from PIL import Image

from suasion.viewing import save_figure, value_map, write_sweeps

GREY = round(0.85 * 255)


@pytest.fixture
def value():
    found = np.arange(12.0).reshape(3, 4)
    found[1, 2] = np.nan
    return found


@pytest.fixture
def moves(value):
    """Right everywhere, but down in a corner, nowhere in another, unknown in a third."""
    found = np.broadcast_to([0.0, 1.0], (3, 4, 2)).copy()
    found[0, 3] = 1.0, 0.0
    found[2, 3] = 0.0
    found[2, 0] = np.nan
    return found


def arrows(figure):
    return [child for child in figure.axes[0].get_children() if isinstance(child, Quiver)]


def numbers(figure):
    return {(round(t.get_position()[1] - 0.42), round(t.get_position()[0])): t.get_text() for t in figure.axes[0].texts}


def cells(path, scale, shape):
    """Colour of the middle of each cell, in each frame, and the frames' times (ms)."""
    frames, times = [], []
    with Image.open(path) as image:
        assert image.size == (shape[1] * scale, shape[0] * scale)
        for k in range(image.n_frames):
            image.seek(k)
            picture = np.asarray(image.convert("RGB"))
            whole = picture.reshape(shape[0], scale, shape[1], scale, 3)
            np.testing.assert_array_equal(whole, whole[:, :1, :, :1].repeat(scale, 1).repeat(scale, 3))
            frames.append(whole[:, 0, :, 0])
            times.append(image.info["duration"])
    return np.array(frames), times


# Figures


def test_each_cell_has_its_colour_and_its_number(value):
    figure = value_map(value, title="a grid", label="value (apples)")
    (image,) = figure.axes[0].images
    held = image.get_array()
    np.testing.assert_array_equal(held.mask, np.isnan(value))
    np.testing.assert_array_equal(held.compressed(), value[np.isfinite(value)])
    np.testing.assert_allclose(image.cmap.get_bad()[:3], 0.85)
    assert numbers(figure) == {(y, x): f"{v:.3g}" for (y, x), v in np.ndenumerate(value) if np.isfinite(v)}
    assert figure.axes[0].get_title("left") == "a grid"
    assert figure.axes[1].get_ylabel() == "value (apples)"
    assert not arrows(figure)


def test_a_cell_without_a_state_is_grey(tmp_path):
    figure = value_map(np.array([[0.0, np.nan], [np.nan, 1.0]]))
    with Image.open(save_figure(figure, tmp_path / "value.png")) as image:
        picture = np.asarray(image.convert("RGB"))
    grey = (np.abs(picture.astype(int) - GREY) <= 1).all(-1)
    assert 0.05 < grey.mean() < 0.5


def test_arrows_are_where_the_policy_goes_somewhere(value, moves):
    figure = value_map(value, moves)
    (found,) = arrows(figure)
    there = {(int(y), int(x)) for x, y in found.get_offsets()}
    assert there == {(y, x) for y in range(3) for x in range(4)} - {(1, 2), (2, 3), (2, 0)}
    assert found.N == 9
    # half a cell long; a row further down is a greater y on this axis
    direction = {(int(y), int(x)): (u, v) for (x, y), u, v in zip(found.get_offsets(), found.U, found.V, strict=True)}
    assert direction[0, 0] == (0.5, 0.0)
    assert direction[0, 3] == (0.0, 0.5)
    bottom, top = figure.axes[0].get_ylim()
    assert bottom > top


def test_narrow_maps_have_their_colours_below_and_numbers_only_where_they_can_be_read(value, moves):
    figure = value_map(value, moves, title="a grid", width=3.3)
    assert figure.get_figwidth() == pytest.approx(3.3)
    assert figure.axes[1].get_xlabel() == "value"
    assert len(numbers(figure)) == np.isfinite(value).sum()
    wide = value_map(np.arange(48.0).reshape(4, 12), width=3.3)
    assert not wide.axes[0].texts
    for drawn in (figure, wide):
        drawn.draw_without_rendering()
        box = drawn.axes[1].get_tightbbox()
        assert box.y0 >= -1
        assert box.y1 < drawn.axes[0].get_window_extent().y0
        assert drawn.axes[0].get_tightbbox().y1 <= drawn.bbox.y1 + 1
    assert value_map(value, width=6.0).axes[1].get_ylabel() == "value"


def test_a_policy_that_goes_nowhere_has_no_arrows(value, tmp_path):
    for moves in (np.zeros((3, 4, 2)), np.full((3, 4, 2), np.nan)):
        figure = value_map(value, moves)
        assert sum(found.N for found in arrows(figure)) == 0
        save_figure(figure, tmp_path / "still.png")


def test_large_grids_have_no_numbers_and_the_largest_no_arrows():
    rng = np.random.default_rng(0)
    for side, has_numbers, has_arrows in ((12, True, True), (13, False, True), (64, False, True), (65, False, False)):
        figure = value_map(rng.normal(size=(2, side)), np.ones((2, side, 2)))
        assert bool(figure.axes[0].texts) == has_numbers
        assert bool(arrows(figure)) == has_arrows


def test_one_value_everywhere_is_drawn(tmp_path):
    figure = value_map(np.full((2, 2), 3.0), np.ones((2, 2, 2)))
    assert set(numbers(figure).values()) == {"3"}
    save_figure(figure, tmp_path / "flat.png")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_values_give_the_same_bytes(value, moves, tmp_path, ending):
    first, second = (save_figure(value_map(value, moves), tmp_path / f"{k}.{ending}") for k in range(2))
    assert first.read_bytes() == second.read_bytes()
    other = save_figure(value_map(value + np.eye(3, 4), moves), tmp_path / f"other.{ending}")
    assert other.read_bytes() != first.read_bytes()


# Films


def test_a_film_shows_each_sweep_in_one_scale_of_colours(tmp_path):
    values = np.stack([np.full((2, 3), float(k)) for k in range(5)])
    values[:, 0, 0] = 0.0
    values[:, 1, 2] = np.nan
    path = write_sweeps(values, tmp_path / "new folder" / "sweeps.gif", fps=20, scale=4)
    frames, times = cells(path, 4, (2, 3))
    assert len(frames) == 5
    assert times == [50, 50, 50, 50, 2000]
    table = (matplotlib.colormaps["cividis"](np.linspace(0, 1, 255))[:, :3] * 255).round()
    for k, frame in enumerate(frames):
        wanted = table[np.rint(np.nan_to_num(values[k]) / 4 * 254).astype(int)]
        wanted[1, 2] = GREY
        np.testing.assert_array_equal(frame, wanted)
    with Image.open(path) as image:
        assert image.info["loop"] == 0


def test_sweeps_that_change_nothing_still_take_their_time(tmp_path):
    values = np.zeros((6, 1, 2))
    values[:, 0, 1] = [0, 1, 1, 1, 2, 2]
    _, times = cells(write_sweeps(values, tmp_path / "a.gif", fps=10, scale=2), 2, (1, 2))
    assert sum(times) == 5 * 100 + 2000


def test_the_scale_suits_the_grid(tmp_path):
    for shape, scale in (((4, 12), 33), ((1, 1), 400), ((2, 1000), 1)):
        values = np.random.default_rng(0).normal(size=(2, *shape))
        with Image.open(write_sweeps(values, tmp_path / "a.gif")) as image:
            assert image.size == (shape[1] * scale, shape[0] * scale)


def test_equal_values_are_drawn_and_equal_films_have_equal_bytes(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 3, 3))
    first, second = (write_sweeps(values, tmp_path / f"{k}.gif") for k in range(2))
    assert first.read_bytes() == second.read_bytes()
    frames, _ = cells(write_sweeps(np.full((1, 2, 2), 7.0), tmp_path / "flat.gif", scale=3), 3, (2, 2))
    assert frames.shape[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fps": 0}, "fps is 0; must be within 1 and 50"),
        ({"fps": 51}, "fps is 51; must be within 1 and 50"),
        ({"scale": 0}, "scale is 0, below 1, or no value is finite"),
        ({"values": np.full((2, 2, 2), np.nan)}, "no value is finite"),
        ({"values": np.zeros((0, 2, 2))}, "no value is finite"),
    ],
)
def test_nothing_is_written_when_there_is_nothing_to_draw(tmp_path, arguments, words):
    path = tmp_path / "sweeps.gif"
    with pytest.raises(ValueError, match=words):
        write_sweeps(**({"values": np.zeros((2, 2, 2)), "path": path} | arguments))
    assert not path.exists()
