"""Schelling diagrams: the kinds of dilemma, and what is drawn of them."""

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from suasion.viewing import Diagram, save_figure, schelling_figure


def two(reward, sucker, temptation, punishment, **more):
    """A symmetric game of two."""
    return Diagram(
        cooperate=np.array([sucker, reward], float), defect=np.array([punishment, temptation], float), **more
    )


@pytest.mark.parametrize(
    ("payoffs", "fear", "greed", "said"),
    [
        ((3, 0, 4, 1), True, True, "social dilemma: fear and greed"),  # prisoner's dilemma
        ((4, 0, 3, 1), True, False, "social dilemma: fear"),  # stag hunt
        ((3, 1, 4, 0), False, True, "social dilemma: greed"),  # chicken
        ((3, 2, 1, 0), False, False, "no dilemma: cooperating pays"),
        ((1, 0, 4, 3), True, True, "no dilemma: cooperation is worth nothing"),  # a deadlock
    ],
)
def test_games_of_two_are_the_dilemmas_that_they_are_known_for(payoffs, fear, greed, said):
    found = two(*payoffs)
    assert (found.fear, found.greed, found.verdict()) == (fear, greed, said)
    assert found.resolved


def test_all_orders_of_four_payoffs():
    """Of 24 strict orders 12 have R above P, 8 of those above S too; a dilemma asks for T > R or P > S besides."""
    count = {"worthwhile": 0, "dilemma": 0}
    for r, s, t, p in itertools.permutations(range(4)):
        found = two(r, s, t, p)
        assert found.worthwhile == (r > p and r > s)
        assert found.dilemma == (r > p and r > s and (t > r or p > s))
        count["worthwhile"] += found.worthwhile
        count["dilemma"] += found.dilemma
    assert count == {"worthwhile": 8, "dilemma": 5}


def test_what_is_lost_in_the_error_is_in_doubt():
    sure = two(3, 0, 4, 1, cooperate_half=np.array([0.5, 0.5]), defect_half=np.array([0.5, 0.5]))
    assert sure.verdict() == "social dilemma: fear and greed"
    doubt = two(3, 0, 4, 1, cooperate_half=np.array([0.5, 0.8]), defect_half=np.array([0.5, 0.8]))
    assert doubt.verdict() == "social dilemma: fear and greed?"
    assert two(3, 0, 4, 1, cooperate_half=np.array([0.5, 1.1])).verdict().endswith("?")


def test_both_curves_are_drawn_and_what_holds_is_marked():
    curves = {
        "one": two(4, 0, 3, 1, average=np.array([1.0, 1.5])),
        "two": two(3, 1, 4, 0, cooperate_half=np.array([0.2, 0.3]), defect_half=np.array([0.1, 0.4])),
    }
    figure = schelling_figure(curves, ylabel="apples")
    for axes, found in zip(figure.axes, curves.values(), strict=True):
        lines = {line.get_gid(): line for line in axes.lines}
        np.testing.assert_array_equal(lines["cooperate"].get_ydata(), found.cooperate)
        np.testing.assert_array_equal(lines["defect"].get_ydata(), found.defect)
        assert ("average" in lines) == (found.average is not None)
        marks = {text.get_gid() for text in axes.texts if text.get_gid() in ("fear", "greed")}
        assert marks == {name for name in ("fear", "greed") if getattr(found, name)}
        (verdict,) = (text for text in axes.texts if text.get_gid() == "verdict")
        assert verdict.get_text() == found.verdict()
        low, high = axes.get_ylim()
        assert low < min(found.cooperate.min(), found.defect.min())
        assert high > max(found.cooperate.max(), found.defect.max())
    bars = [segment for bar in figure.axes[1].collections for segment in bar.get_segments()]
    np.testing.assert_allclose(bars[1], [[1, 2.7], [1, 3.3]])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "cooperate",
        "defect",
        "average, if it defects",
    ]
    assert figure.axes[0].get_ylabel() == "apples"


@pytest.mark.parametrize("width", [None, 3.3])
def test_nothing_is_cut_off(width):
    figure = schelling_figure({"a game": two(3, 0, 4, 1), "another one": two(4, 0, 3, 1)}, width=width)
    figure.draw_without_rendering()
    for artist in [*figure.axes[0].texts, *figure.axes[1].texts, *figure.legends]:
        box = artist.get_window_extent()
        assert box.x0 >= figure.bbox.x0 - 1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1


def test_equal_diagrams_give_equal_files_with_text(tmp_path):
    one, two_ = (
        save_figure(schelling_figure({"a": two(3, 0, 4, 1)}), tmp_path / f"{k}.svg").read_bytes() for k in range(2)
    )
    assert one == two_
    words = "".join(ET.fromstring(one).itertext())
    assert all(word in words for word in ("fear", "greed", "others that cooperate"))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"cooperate": np.ones(1), "defect": np.ones(1)}, "cooperate has 1 points: at least 2 agents"),
        ({"defect": np.ones(3)}, "defect has 3 points, cooperate has 2"),
        ({"average": np.array([1.0, np.nan])}, r"average\[1\] is nan"),
        ({"defect_half": np.array([np.inf, 1.0])}, r"defect_half\[0\] is inf"),
    ],
)
def test_numbers_that_are_no_diagram_are_refused(change, fault):
    with pytest.raises(ValueError, match=fault):
        Diagram(**{"cooperate": np.ones(2), "defect": np.ones(2), **change})


def test_no_diagram_and_too_many_are_refused():
    with pytest.raises(ValueError, match="0 diagrams: must be 1 to 8"):
        schelling_figure({})
    with pytest.raises(ValueError, match="9 diagrams"):
        schelling_figure({str(k): two(3, 0, 4, 1) for k in range(9)})
