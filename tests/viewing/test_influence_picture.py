"""Who influences whom as a figure: what is averaged over what, what is marked, and what is refused."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from suasion.records import RecordError, RunPaths, create_run, write_episode
from suasion.viewing import PairInfluence, influence_figure, influence_of, mean_interval, plot_influence, save_figure

NAMES = ("agent 1", "agent 2", "agent 3")


def pairs(seed, steps=12, agents=3):
    rng = np.random.default_rng(seed)
    held = rng.gamma(1.0, 0.1, (steps, agents, agents)).astype(np.float32)
    held[:, np.arange(agents), np.arange(agents)] = 0
    held[:, 1, 0] = 0  # the second has no way to the first
    return held


@pytest.fixture
def episodes(walk):
    return lambda *seeds, **more: [walk(steps=12, influence=pairs(seed), **more) for seed in seeds]


def cells(axes):
    return {p.get_gid(): p for p in axes.patches if isinstance(p, Rectangle) and p.get_gid()}


def test_over_the_episodes_of_a_run(episodes):
    found = influence_of([episodes(1, 2, 3)])
    each = [pairs(seed).mean(axis=0, dtype=np.float64) for seed in (1, 2, 3)]
    np.testing.assert_allclose(found.mean, np.mean(each, axis=0))
    mean, half = mean_interval([one[0, 2] for one in each])
    assert (found.mean[0, 2], found.half[0, 2]) == (pytest.approx(mean), pytest.approx(half))
    np.testing.assert_array_equal(found.never, np.eye(3, dtype=bool) | (np.arange(3) == [[9], [0], [9]]))
    assert found.over == "3 episodes"
    assert influence_of([episodes(1)]).half is None
    assert influence_of([episodes(1)]).over == "1 episode"


def test_over_runs_whatever_their_numbers_of_episodes(episodes, walk):
    found = influence_of([episodes(1, 2), episodes(3), [walk(steps=12)]])
    one, two = np.mean([pairs(1).mean(0), pairs(2).mean(0)], axis=0), pairs(3).mean(0)
    np.testing.assert_allclose(found.mean, (one + two) / 2, rtol=1e-5)
    assert found.half[0, 1] == pytest.approx(mean_interval([float(one[0, 1]), float(two[0, 1])])[1], rel=1e-4)
    assert found.over == "2 seeds"


def test_cells_hold_numbers_and_what_never_happens_is_hatched(episodes):
    found = {"influence": influence_of([episodes(1, 2)]), "other": influence_of([episodes(4, 5)])}
    figure = influence_figure(found, NAMES)
    first, second, bar = figure.axes
    for axes, one in ((first, found["influence"]), (second, found["other"])):
        squares = cells(axes)
        assert sorted(squares) == sorted(f"cell-{k}-{j}" for k in range(3) for j in range(3))
        assert [name for name, p in squares.items() if p.get_hatch()] == ["cell-1-0"]
        written = {(text.get_position()[0], round(text.get_position()[1])): text for text in axes.texts}
        assert len(axes.texts) == 10  # five pairs, with their intervals
        assert set(written) == {(j, k) for k in range(3) for j in range(3) if k != j and (k, j) != (1, 0)}
        said = [text.get_text() for text in axes.texts if round(text.get_position()[1]) == 0]
        assert said == [part for j in (1, 2) for part in (f"{one.mean[0, j]:.3f}", f"± {one.half[0, j]:.3f}")]
    assert bar.get_ylabel() == "nats a step"
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["1", "2", "3"]
    assert (first.get_xlabel(), first.get_ylabel()) == ("influenced", "influencer")
    assert first.get_title("left") == "influence\n2 episodes"
    assert "hatched" in figure._supxlabel.get_text()
    # One scale: equal numbers have equal colours in both.
    top = max(one.mean[k, j] for one in found.values() for k in range(3) for j in range(3) if k != j)
    dark = [p.get_facecolor() for axes, one in zip((first, second), found.values(), strict=True)
            for name, p in cells(axes).items() if one.mean[int(name[5]), int(name[7])] == top]  # fmt: skip
    np.testing.assert_allclose(dark, [(0, 0x3A / 255, 0x5C / 255, 1)], atol=0.01)


def test_small_numbers_have_a_unit_that_fits():
    tiny = np.array([[0.0, 8.07e-7], [0.0, 0.0]])
    one = PairInfluence(mean=tiny, half=None, never=np.array([[True, False], [True, True]]))
    figure = influence_figure({"a": one}, ("left", "right"))
    assert figure.axes[-1].get_ylabel() == "10⁻⁹ nats a step"
    assert [text.get_text() for text in figure.axes[0].texts] == ["807"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["left", "right"]
    nothing = PairInfluence(mean=np.zeros((2, 2)), half=None, never=np.ones((2, 2), bool))
    assert not influence_figure({"a": nothing}, ("left", "right")).axes[0].texts


@pytest.mark.parametrize("agents", [3, 5, 12])
def test_numbers_fit_into_their_cells(agents):
    rng = np.random.default_rng(agents)
    mean = rng.gamma(1.0, 0.1, (agents, agents))
    one = PairInfluence(mean=mean, half=mean, never=np.zeros((agents, agents), bool))
    figure = influence_figure({"a": one}, [f"agent {k + 1}" for k in range(agents)], width=3.3)
    assert figure.get_figwidth() == pytest.approx(3.3)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    squares = cells(axes)
    for text in axes.texts:
        j, k = text.get_position()
        inner, cell = text.get_window_extent(), squares[f"cell-{round(k)}-{round(j)}"].get_window_extent()
        assert cell.x0 <= inner.x0
        assert inner.x1 <= cell.x1
        assert text.get_fontsize() >= 4.8
    assert bool(axes.texts) == (agents < 12)  # there the colours alone have to do


def test_runs_on_disk(episodes, walk, tmp_path):
    for kind, number in (("influence", 0), ("selfish", 1)):
        for seed in (0, 1):
            run = create_run(tmp_path / kind / f"seed-{seed}", {"seed": seed, "kind": kind}, {})
            for n, one in enumerate(episodes(10 * number + seed, 7)):
                write_episode(RunPaths(run.path).episodes / f"step-000000960000-seed-0-{n}.suasion", one)
            old = walk(steps=12, influence=1 + pairs(3), step=5)  # of less trained agents: passed over
            write_episode(RunPaths(run.path).episodes / "step-000000000005-seed-0-0.suasion", old)
            new = walk(steps=12, step=2_000_000)  # without influence
            write_episode(RunPaths(run.path).episodes / "step-000002000000-seed-0-0.suasion", new)
    (tmp_path / "out").mkdir()
    found = plot_influence([tmp_path], tmp_path / "out")
    assert found == [tmp_path / "out" / f"influence.{ending}" for ending in ("png", "svg", "pdf")]
    again = plot_influence([tmp_path], tmp_path / "again.svg")
    assert again == [tmp_path / "again.svg"]
    assert again[0].read_bytes() == found[1].read_bytes()
    page = again[0].read_text(encoding="utf-8")
    assert page.index("influence") < page.index("selfish")
    assert page.count('id="cell-0-1"') == 2
    value = np.mean([pairs(seed)[:, 0, 1].mean() for seed in (0, 7, 1, 7)])
    assert f">{value:.3f}<" in page
    with pytest.raises(
        ValueError, match=r"influence: none of 0 episodes holds simulated; `suasion influence` measures"
    ):
        plot_influence([tmp_path / "influence"], tmp_path / "x.svg", kind="simulated")
    with pytest.raises(RecordError, match="no run here"):
        plot_influence([tmp_path / "out"], tmp_path / "x.svg")


def test_equal_figures_give_equal_bytes(tmp_path, episodes):
    for ending in ("png", "svg", "pdf"):
        one, two = (
            save_figure(influence_figure({"a": influence_of([episodes(1)])}, NAMES), tmp_path / f"{k}.{ending}")
            for k in range(2)
        )
        assert one.read_bytes() == two.read_bytes()


def test_what_cannot_be_drawn_is_refused(episodes, walk):
    one = influence_of([episodes(1)])
    with pytest.raises(ValueError, match="0 conditions: must be 1 to 8"):
        influence_figure({}, NAMES)
    with pytest.raises(ValueError, match="'a' has 3 agents, and there are 2 names"):
        influence_figure({"a": one}, NAMES[:2])
    big = PairInfluence(mean=np.zeros((33, 33)), half=None, never=np.ones((33, 33), bool))
    with pytest.raises(ValueError, match="33 agents: must be 32 at most"):
        influence_figure({"a": big}, [str(k) for k in range(33)])
    two = walk(steps=12, agents=2, influence=np.zeros((12, 2, 2), np.float32))
    with pytest.raises(ValueError, match="episodes of 2 and 3 agents do not go together"):
        influence_of([[*episodes(1), two]])
    with pytest.raises(ValueError, match="none of 1 episodes holds influence"):
        influence_of([[walk(steps=12)]])
    with pytest.raises(ValueError, match="mean is 2 by 3"):
        PairInfluence(mean=np.zeros((2, 3)), half=None, never=np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="half is 3 by 3, mean 2 by 2"):
        PairInfluence(mean=np.zeros((2, 2)), half=np.zeros((3, 3)), never=np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match=r"mean\[0, 1\] is nan; must be finite"):
        PairInfluence(mean=np.array([[0, np.nan], [0, 0]]), half=None, never=np.zeros((2, 2), bool))
