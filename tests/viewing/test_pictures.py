import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from suasion.viewing import draw_frame, write_apng, write_gif
from suasion.viewing._layout import plan

WRITERS = {"gif": write_gif, "png": write_apng}


def pixels(image):
    return np.asarray(image.convert("RGB"))


def frames(path):
    """Every frame as a viewer shows it, and how long (ms)."""
    with Image.open(path) as image:
        shown = []
        for place in range(image.n_frames):
            image.seek(place)
            shown.append((pixels(image), image.info["duration"]))
        return shown


def test_a_picture_shows_every_cell_of_map_and_views_in_its_colour(walk):
    episode = walk(steps=6, sight=5)
    layout = plan(episode, None)
    palette = np.array(episode.palette, np.uint8)
    for t in (0, 3, 6):
        picture = draw_frame(episode, t)
        assert picture.dtype == np.uint8
        assert picture.shape == (*layout.size, 3)
        places = [(episode.boards[t], layout.board_at, layout.cell)]
        places += [(episode.views[t, k], layout.view_at[k], layout.view_cell) for k in range(3)]
        for codes, (row, column), cell in places:
            rows, columns = (size * cell for size in codes.shape)
            shown = picture[row : row + rows, column : column + columns]
            # A corner of each cell, inside the bar of a heading and outside the digit.
            np.testing.assert_array_equal(shown[cell - 1 :: cell, ::cell], palette[codes])


def test_agents_carry_number_and_heading(walk):
    board = np.zeros((1, 3, 3), np.uint8)
    board[0, 1, 1] = 3
    for heading, edge in enumerate([(0, 10), (10, 23), (23, 10), (10, 0)]):
        episode = walk(
            steps=0,
            agents=1,
            boards=board,
            headings=np.array([[heading]], np.int8),
            rewards=np.zeros((0, 1), np.float32),
        )
        layout = plan(episode, 24)
        row, column = (start + 24 for start in layout.board_at)
        cell = draw_frame(episode, 0, 24)[row : row + 24, column : column + 24]
        assert tuple(cell[edge]) == (255, 255, 255)
        assert (cell[6:18, 6:18] == 255).all(-1).sum() > 10  # the digit, white on blue
        colours = {tuple(int(part) for part in colour) for colour in cell.reshape(-1, 3)}
        assert colours == {(0, 0, 255), (255, 255, 255)}


def test_words_change_with_what_they_tell(walk):
    still = walk(steps=2, agents=1)
    still = walk(
        steps=2,
        agents=1,
        boards=still.boards[[0, 0, 0]],
        views=still.views[[0, 0, 0]],
        headings=np.zeros((3, 1), np.int8),
        actions=np.array([[4], [4]], np.int16),
        rewards=np.array([[0], [5]], np.float32),
        messages=np.array([[1], [2]], np.int16),
        influence=np.zeros((2, 1, 1), np.float32),
    )
    layout = plan(still, None)
    first, second = draw_frame(still, 1), draw_frame(still, 2)
    changed = (first != second).any(-1)
    column = layout.view_at[0][1] + 7 * layout.view_cell + 10
    assert changed[: layout.board_at[0]].any()  # step and collective reward
    lines = [
        changed[layout.view_at[0][0] + 17 * line : layout.view_at[0][0] + 17 * (line + 1) - 4] for line in range(5)
    ]
    assert [bool(line[:, column:].any()) for line in lines] == [False, False, True, True, False]
    assert not changed[layout.board_at[0] :, : column - 1].any()


@pytest.mark.parametrize("ending", WRITERS)
def test_an_animation_shows_exactly_the_pictures(tmp_path, walk, ending):
    episode = walk(steps=12)
    path = WRITERS[ending](episode, tmp_path / f"walk.{ending}", fps=10)
    shown = frames(path)
    assert len(shown) == 13
    for t, (picture, duration) in enumerate(shown):
        np.testing.assert_array_equal(picture, draw_frame(episode, t))
        assert duration == 100
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", WRITERS)
def test_equal_pictures_still_take_their_time(tmp_path, walk, ending):
    episode = walk(steps=40, agents=1)
    kept = np.zeros(41, int)
    still = walk(
        steps=40,
        agents=1,
        boards=episode.boards[kept],
        views=episode.views[kept],
        headings=episode.headings[kept],
        actions=np.full((40, 1), 4, np.int16),
        rewards=np.zeros((40, 1), np.float32),
        game="a name so long that the steps beside it are cut off: " * 3,
    )
    assert all(np.array_equal(draw_frame(still, t), draw_frame(still, t + 1)) for t in (1, 20))
    WRITERS[ending](still, tmp_path / "still")
    assert len(frames(tmp_path / "still")) == 41


@pytest.mark.parametrize("ending", WRITERS)
def test_every_so_manieth_and_the_last(tmp_path, walk, ending):
    episode = walk(steps=10, agents=2)
    for every, times in ((1, range(11)), (4, [0, 4, 8, 10]), (5, [0, 5, 10]), (99, [0, 10])):
        shown = frames(WRITERS[ending](episode, tmp_path / "a", every=every, scale=6))
        assert len(shown) == len(list(times))
        for (picture, _), t in zip(shown, times, strict=True):
            np.testing.assert_array_equal(picture, draw_frame(episode, t, 6))


def test_the_frame_rate_is_right_in_total(tmp_path, walk):
    episode = walk(steps=30, agents=1)
    durations = [duration for _, duration in frames(write_gif(episode, tmp_path / "a", fps=30, scale=4))]
    assert sum(durations) == 31 * 100 // 30 * 10
    assert set(durations) == {30, 40}
    assert all(a != b or a == 30 for a, b in pairwise(durations))
    apng = [duration for _, duration in frames(write_apng(episode, tmp_path / "b", fps=30, scale=4))]
    np.testing.assert_allclose(apng, 1000 / 30)


@pytest.mark.parametrize("ending", WRITERS)
def test_files_are_small_and_equal_for_equal_episodes(tmp_path, walk, ending):
    for name in ("a", "b"):
        WRITERS[ending](walk(steps=50), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 51 * 3500


@pytest.mark.parametrize("ending", WRITERS)
def test_memory_does_not_grow_with_the_frames(tmp_path, walk, ending):
    peaks = []
    for steps in (20, 200):
        episode = walk(steps=steps, agents=2)
        tracemalloc.start()
        WRITERS[ending](episode, tmp_path / "a", scale=12)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The cache of written lines (512 of some 7 kB) fills; 180 more frames would be 30 MB.
    assert peaks[1] - peaks[0] < 2_500_000


def test_names_of_unknown_origin_stay_inside_their_place(walk):
    plain = walk(steps=1, agents=3)
    names = ("a\nb\n" * 50, "", "\x00\x1b[31m" + "W" * 500)
    episode = walk(steps=1, agents=3, game="<b>\t\n", note="x" * 5000)
    fields = {name: getattr(episode, name) for name in episode.__dataclass_fields__}
    episode = type(episode)(**fields | {"agents": names})
    picture = draw_frame(episode, 1)
    layout = plan(episode, None)
    assert layout.size[0] == plan(plain, None).size[0]
    gap = picture[:, layout.size[1] - 8 :]
    assert (gap == 255).all()
    np.testing.assert_array_equal(picture[layout.board_at[0] - 2, : layout.view_at[0][1] - 2], 255)


def test_without_codes_or_headings_agents_keep_a_colour_of_their_own(walk):
    episode = walk(steps=2, agent_codes=None, headings=None)
    assert plan(episode, None).marked.max() == 3  # found by the names of the classes
    fields = {name: getattr(episode, name) for name in episode.__dataclass_fields__}
    anonymous = type(episode)(**fields | {"agents": ("x", "y", "z")})
    layout = plan(anonymous, None)
    assert layout.marked.max() == 0
    assert len({tuple(layout.palette[index]) for index in layout.agent_index}) == 3
    assert draw_frame(anonymous, 2).shape[2] == 3


@pytest.mark.parametrize("colours", [200, 256])
def test_more_colours_than_a_palette_holds_are_refused(walk, colours):
    palette = tuple((code, 255 - code, code // 2) for code in range(colours))
    classes = ("agent 1", *(f"class {code}" for code in range(1, colours)))
    episode = walk(steps=1, agents=1, palette=palette, classes=classes)
    if colours == 200:
        assert draw_frame(episode, 0).dtype == np.uint8
    else:
        with pytest.raises(ValueError, match="256 different colours"):
            draw_frame(episode, 0)


def test_impossible_requests_are_refused_and_leave_no_file(tmp_path, walk):
    episode = walk(steps=3, agents=1)
    for t in (-1, 4):
        with pytest.raises(ValueError, match=f"t is {t}; the episode has states 0 to 3"):
            draw_frame(episode, t)
    with pytest.raises(ValueError, match="scale is 0"):
        draw_frame(episode, 0, 0)
    with pytest.raises(ValueError, match="limit 4096 a side"):
        draw_frame(episode, 0, 1000)
    for writer, most in ((write_gif, 50), (write_apng, 100)):
        for options in ({"fps": 0}, {"fps": most + 1}, {"every": 0}, {"scale": 0}, {"scale": 5000}):
            with pytest.raises(ValueError, match=r"must be|limit"):
                writer(episode, tmp_path / "a", **options)
    assert not list(tmp_path.iterdir())


def test_a_large_map_with_many_agents_fits(walk):
    rng = np.random.default_rng(0)
    episode = walk(steps=1, agents=9)
    fields = {name: getattr(episode, name) for name in episode.__dataclass_fields__}
    large = type(episode)(**fields | {"boards": rng.integers(0, 3, (2, 60, 200), np.uint8)})
    picture = draw_frame(large, 1)
    assert max(picture.shape) < 1500
    assert len(draw_frame(large, 1, 8)) > len(picture)
