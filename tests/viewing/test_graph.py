"""Graphs of chains and decision processes: what is drawn, where it lies, and what is refused."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from suasion.markov import MarkovChain, MarkovRewardProcess, from_dict
from suasion.viewing import chain_figure, check_size, decision_figure, save_figure
from suasion.viewing._graph_labels import Labels, extent
from suasion.viewing._graph_layout import apart, bend, crossings, curve, freest, layout, loop, outside, part, settled

SVG = "{http://www.w3.org/2000/svg}"
WEATHER = np.array([[0.9, 0.1, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])


@pytest.fixture
def rooms():
    """Three rooms in a row, a goal behind the last; some rewards depend on what happens."""
    model = {"a": {"left": [(1.0, "a", -1.0)], "right": [(1.0, "b", -1.0)]}}
    model |= {"b": {"left": [(1.0, "a", -1.0)], "right": [(0.5, "c", 2.0), (0.25, "c", 3.0), (0.25, "b", 0.0)]}}
    model |= {"c": {"right": [(1.0, "goal", 0.0)]}, "goal": {}}
    return from_dict(model, terminal=["goal"], initial={"a": 1.0})


def drawn(figure, path):
    """Ids of an SVG's groups, and its texts by the id of their group."""
    root = ET.fromstring(save_figure(figure, path).read_text(encoding="utf-8"))
    ids = [group.get("id") for group in root.iter(f"{SVG}g") if group.get("id")]
    texts = {
        group.get("id"): "".join(group.itertext()).split()
        for group in root.iter(f"{SVG}g")
        if (group.get("id") or "").startswith("label-")
    }
    return ids, texts, " ".join("".join(root.itertext()).split())


def named(ids, beginning):
    """Ids of one kind, heads of arrows apart."""
    return sorted(i for i in ids if i.startswith(beginning) and not i.endswith(("-head", "-inner")))


# What is drawn


def test_a_chain_has_a_circle_for_each_state_and_an_arrow_for_each_transition(tmp_path):
    chain = MarkovChain(transition=WEATHER, states=("sun", "cloud", "sea"), initial=np.array([1.0, 0, 0]))
    ids, texts, said = drawn(chain_figure(chain, title="Weather"), tmp_path / "a.svg")
    assert named(ids, "node-") == ["node-s0", "node-s1", "node-s2"]
    assert named(ids, "arrow-") == ["arrow-s0-s0", "arrow-s0-s1", "arrow-s1-s1", "arrow-s1-s2"]  # none of the last
    assert len([i for i in ids if i.endswith("-head")]) == 5  # with that of the first state
    assert [i for i in ids if i.endswith("-inner")] == ["node-s2-inner"]
    assert {i: text[0] for i, text in texts.items()} == {
        "label-s0-s0": "0.9", "label-s0-s1": "0.1", "label-s1-s1": "0.5", "label-s1-s2": "0.5",
    }  # fmt: skip
    assert all(word in said for word in ("sun", "cloud", "sea", "Weather", "number on an arrow: probability"))
    assert named(ids, "start-") == ["start-s0"]


def test_a_reward_process_shows_rewards_where_they_are_paid(tmp_path):
    chain = MarkovChain(transition=WEATHER)
    process = MarkovRewardProcess(chain=chain, reward=np.array([-2.0, 1.5, 0.0]), discount=0.5)
    _, _, said = drawn(chain_figure(process, value=np.array([1.0, 2.0, 3.0])), tmp_path / "a.svg")
    assert all(word in said for word in ("r −2", "r 1.5", "v 1", "v 3", "v: value"))
    pays = np.array([[1.0, 11.0, 0.0], [0.0, 2.0, 4.0], [0.0, 0.0, 7.0]])
    both = MarkovRewardProcess(chain=chain, reward=(WEATHER * pays).sum(1), discount=0.5, transition_reward=pays)
    _, texts, _ = drawn(chain_figure(both), tmp_path / "b.svg")
    assert texts["label-s0-s1"] == ["0.1,", "r", "11"]


def test_a_decision_process_has_squares_and_a_thick_policy(rooms, tmp_path):
    policy = np.array([1, 3, 4, -1])
    figure = decision_figure(rooms, policy=policy, value=np.array([1.0, 2.0, 3.0, 0.0]))
    ids, texts, said = drawn(figure, tmp_path / "a.svg")
    assert named(ids, "node-s") == [f"node-s{s}" for s in range(4)]
    assert named(ids, "node-a") == [f"node-a{c}" for c in range(5)]
    assert named(ids, "line-") == ["line-s0-a0", "line-s0-a1", "line-s1-a2", "line-s1-a3", "line-s2-a4"]
    assert named(ids, "arrow-") == [
        "arrow-a0-s0",
        "arrow-a1-s1",
        "arrow-a2-s0",
        "arrow-a3-s1",
        "arrow-a3-s2",
        "arrow-a4-s3",
    ]
    assert texts["label-a0"] == ["left,", "r", "−1"]
    assert texts["label-a3"] == ["right"]
    assert texts["label-a3-s2"] == ["0.5,", "r", "2", "0.25,", "r", "3"]  # two rewards, one arrow
    assert texts["label-a3-s1"] == ["0.25"]
    assert "label-a1-s1" not in texts  # certain, and its reward stands at the square
    assert "thick: policy" in said
    heavy = {patch.get_gid() for patch in figure.axes[0].patches if patch.get_linewidth() > 1.5}
    assert heavy == {
        "line-s0-a1",
        "line-s1-a3",
        "line-s2-a4",
        "arrow-a1-s1",
        "arrow-a3-s1",
        "arrow-a3-s2",
        "arrow-a4-s3",
    }


def test_the_policy_alone_is_a_chain_of_what_it_reaches(rooms, tmp_path):
    ids, texts, said = drawn(
        decision_figure(rooms, policy=np.array([1, 2, 4, -1]), only_policy=True), tmp_path / "a.svg"
    )
    assert named(ids, "node-") == ["node-s0", "node-s1"]  # from a to b and back
    assert named(ids, "arrow-") == ["arrow-s0-s1", "arrow-s1-s0"]
    assert "right, r −1" in said
    assert "left, r −1" in said
    assert not texts


def test_a_model_without_choices_has_no_squares(tmp_path):
    model = from_dict({"a": {"go": [(0.5, "a"), (0.5, "b")]}, "b": {"go": [(1.0, "a")]}})
    ids, _, _ = drawn(decision_figure(model), tmp_path / "a.svg")
    assert named(ids, "arrow-") == ["arrow-s0-s0", "arrow-s0-s1", "arrow-s1-s0"]
    assert not named(ids, "node-a")


def test_values_that_differ_by_an_error_only_have_one_tint(rooms):
    colours = []
    for value in (np.array([1.0, 1.0, 1.0, 1.0]), 1 + 1e-12 * np.arange(4.0), np.arange(4.0)):
        patches = decision_figure(rooms, value=value).axes[0].patches
        colours.append({p.get_facecolor() for p in patches if re.fullmatch(r"node-s\d", p.get_gid() or "")})
    assert [len(found) for found in colours] == [1, 1, 4]


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_equal_graphs_give_equal_bytes(rooms, tmp_path, ending):
    one, two = (save_figure(decision_figure(rooms), tmp_path / f"{k}.{ending}").read_bytes() for k in range(2))
    assert one == two


# Where it lies


def test_nodes_do_not_touch_and_all_is_on_paper(rooms):
    names = {"a": "a state with a long name", "b": "another one of these"}
    for width in (None, 3.3, 9.0):
        figure = decision_figure(rooms, value=np.arange(4.0), title=names["a"], width=width)
        axes = figure.axes[0]
        figure.draw_without_rendering()
        paper = figure.bbox
        circles = [p for p in axes.patches if re.fullmatch(r"node-[as]\d", p.get_gid() or "")]
        boxes = [patch.get_window_extent() for patch in circles]
        for k, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[k + 1 :])
        for artist in [*axes.patches, *axes.texts, *figure.texts]:
            box = artist.get_window_extent()
            assert box.x0 >= paper.x0 - 1
            assert box.x1 <= paper.x1 + 1
            assert box.y0 >= paper.y0 - 1
            assert box.y1 <= paper.y1 + 1
        if width is not None:
            assert figure.get_figwidth() >= width - 1e-9


def test_a_narrow_figure_has_the_width_that_is_asked_for():
    chain = MarkovChain(transition=WEATHER)
    assert chain_figure(chain, width=3.3).get_figwidth() == pytest.approx(3.3)
    assert chain_figure(chain).get_figwidth() != pytest.approx(3.3, abs=0.01)


def test_texts_fit_into_their_circles(tmp_path):
    names = ("x", "a fairly long name", "Wort")
    figure = chain_figure(MarkovChain(transition=WEATHER, states=names), value=np.array([1.0, -1234.5, 2.0]))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    borders = {p.get_gid(): p.get_window_extent() for p in axes.patches if (p.get_gid() or "").startswith("node-")}
    for s, name in enumerate(names):
        (text,) = (text for text in axes.texts if text.get_text() == name)
        inner, border = text.get_window_extent(), borders[f"node-s{s}"]
        assert border.x0 < inner.x0
        assert inner.x1 < border.x1
        assert border.y0 < inner.y0
        assert inner.y1 < border.y1


def test_given_positions_are_kept(rooms):
    at = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, -1.0], [np.nan, np.nan]])
    axes = decision_figure(rooms, positions=at).axes[0]
    x = {
        p.get_gid(): p.get_path().vertices.mean(axis=0)
        for p in axes.patches
        if (p.get_gid() or "").startswith("node-s")
    }
    across, down = x["node-s1"] - x["node-s0"], x["node-s2"] - x["node-s1"]
    assert across[0] == pytest.approx(-2 * down[1], rel=1e-3)
    assert across[1] == pytest.approx(0, abs=1e-6)
    assert down[0] == pytest.approx(0, abs=1e-6)
    far = [np.hypot(*(x["node-s3"] - x[f"node-s{s}"])) for s in range(3)]
    assert min(far) > 0.9 * across[0] / 2


def test_a_path_lies_on_a_line_with_the_first_state_at_the_left():
    links = np.array([[3, 1], [1, 0], [0, 2]])
    x = layout(links, np.ones(3), np.full((4, 2), np.nan), first=(3,))
    order = x[[3, 1, 0, 2]]
    np.testing.assert_allclose(np.diff(order[:, 0]), 1.0, atol=1e-3)
    np.testing.assert_allclose(order[:, 1], 0.0, atol=1e-2)


def test_a_planar_graph_is_drawn_without_crossings():
    grid = [(3 * y + x, 3 * y + x + 1) for y in range(3) for x in range(2)]
    grid += [(3 * y + x, 3 * y + x + 3) for y in range(2) for x in range(3)]
    links = np.array(grid)
    x = layout(links, np.ones(len(links)), np.full((9, 2), np.nan))
    assert crossings(x, links) == 0
    apart_ = np.hypot(*(x[links[:, 0]] - x[links[:, 1]]).T)
    np.testing.assert_allclose(apart_, 1.0, atol=0.25)
    square = np.array([[0.0, 0], [1, 1], [1, 0], [0, 1]])
    assert crossings(square, np.array([[0, 1], [2, 3], [0, 2]])) == 1


def test_nodes_are_pushed_apart_and_fixed_ones_stay():
    x = np.array([[0.0, 0.0], [0.1, 0.05], [5.0, 0.0]])
    half = np.full((3, 2), 0.5)
    moved = apart(x, half, np.array([False, True, True]))
    np.testing.assert_array_equal(moved[[0, 2]], x[[0, 2]])
    assert np.abs(moved[1] - moved[0]).max() >= 1 - 1e-3


def test_states_without_a_place_get_a_free_one_beside_their_neighbours():
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0], [np.nan, np.nan]])
    found = settled(at, np.array([[1, 3], [3, 2]]), np.arange(4))
    np.testing.assert_array_equal(found[3], [1.0, -1.0])
    nowhere = np.full((2, 2), np.nan)
    np.testing.assert_array_equal(settled(nowhere, np.array([[0, 1]]), np.arange(2)), nowhere)


def test_arrows_pass_other_nodes_at_a_distance():
    x = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 0.02]])
    shapes = np.full((3, 2), [0.0, 0.2])
    way = curve(bend(x, 0, 1, shapes, paired=False), np.linspace(0, 1, 50))
    assert outside(way, x[2], shapes[2]).min() > 0.04
    straight = bend(x[:2], 0, 1, shapes[:2], paired=False)
    np.testing.assert_allclose(straight[1], [1.0, 0.0])
    there, back = (bend(x[:2], i, 1 - i, shapes[:2], paired=True)[1] for i in range(2))
    assert there[1] * back[1] < 0  # on two sides


def test_pieces_of_curves_are_those_of_matplotlib():
    points = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0], [4.0, 1.0]])
    piece = part(points, 0.2, 0.7)
    for t in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(curve(piece, [t])[0], curve(points, [0.2 + 0.5 * t])[0])
    outline = Outline(points, [Outline.MOVETO, *[Outline.CURVE4] * 3])
    (segment,) = [bezier for bezier, code in outline.iter_bezier() if code == Outline.CURVE4]
    np.testing.assert_allclose(curve(points, [0.25, 0.5]), segment([0.25, 0.5]))


def test_stadiums():
    centre, shape = np.zeros(2), np.array([1.0, 0.5])
    points = np.array([[0.7, 0.0], [0.7, 0.9], [2.0, 0.0], [1.3, 0.4]])
    np.testing.assert_allclose(outside(points, centre, shape), [-0.5, 0.4, 0.5, 0.0], atol=1e-12)


def test_loops_and_first_arrows_go_where_there_is_room():
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    links = np.array([[0, 1], [0, 2]])
    angle = freest(x, 0, links)
    assert np.cos(angle) < 0.1
    assert np.sin(angle) < 0.1  # neither up nor to the right
    way = curve(loop(x[0], angle, np.array([0.0, 0.2])), np.linspace(0, 1, 20))
    assert (way @ [np.cos(angle), np.sin(angle)]).max() > 0.4
    assert freest(x, 1, np.zeros((0, 2), np.int64)) == pytest.approx(np.pi / 2)


def test_labels_avoid_nodes_lines_and_each_other():
    x = np.array([[0.0, 0.0], [2.0, 0.0]])
    way = np.array([[0.3, 0.0], [1.0, 0.0], [1.7, 0.0]])
    room = Labels(x, np.full((2, 2), 0.3), curve(way, np.linspace(0, 1, 25)))
    first = room.along(way, "0.25", 6.5)
    second = room.along(way, "0.75", 6.5)
    third = room.beside(np.array([1.0, 0.0]), "left", 6.5)
    wide, high = extent("0.25", 6.5)
    for place in (first, second, third):
        assert abs(place[1]) > high / 2
    assert max(abs(first[0] - second[0]) - wide, abs(first[1] - second[1]) - high) > -1e-9
    low, top = room.box([np.array([0.0, 3.0])])
    assert low[0] == pytest.approx(-0.3)
    assert top[1] == pytest.approx(3.0)


# What is refused


def test_models_that_no_figure_could_show_are_refused(rooms):
    large = MarkovChain(transition=np.eye(500))
    with pytest.raises(ValueError, match="the model has 500 states: a graph shows at most 40"):
        chain_figure(large)
    dense = MarkovChain(transition=np.full((12, 12), 1 / 12))
    with pytest.raises(ValueError, match="there are 144 arrows: a graph shows at most 120"):
        chain_figure(dense)
    with pytest.raises(ValueError, match="41 states"):
        check_size(41)
    chain = MarkovChain(transition=WEATHER)
    with pytest.raises(ValueError, match="value has 2 entries, not one for each of 3 states"):
        chain_figure(chain, value=np.ones(2))
    with pytest.raises(ValueError, match=r"value\[1\] is nan"):
        chain_figure(chain, value=np.array([1.0, np.nan, 0.0]))
    with pytest.raises(ValueError, match="positions has 1 entries"):
        chain_figure(chain, positions=np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"policy\[0\] is 3: the choices of state 0 are 0 to 1"):
        decision_figure(rooms, policy=np.array([3, 3, 4, -1]))
    with pytest.raises(ValueError, match="policy has 1 entries"):
        decision_figure(rooms, policy=np.array([0]))
    with pytest.raises(ValueError, match="no policy is given"):
        decision_figure(rooms, only_policy=True)
