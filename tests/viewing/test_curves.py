import math

import matplotlib
import numpy as np
import pytest
import scipy.stats
from matplotlib.collections import PolyCollection

from suasion.records import Metrics, MetricsWriter, RecordError, create_run
from suasion.viewing import check_picture, learning_curves, plot_runs, save_figure, save_pictures, style, value_map


def rows(values, every=10):
    return [{"step": (place + 1) * every, "x": value} for place, value in enumerate(values)]


def thick(figure):
    """The means: lines with a legend entry."""
    (axes,) = figure.axes
    return [line for line in axes.lines if not str(line.get_label()).startswith("_")]


def test_the_mean_and_its_band_are_what_they_say():
    seeds = [[1.0, 2.0, 4.0], [2.0, 2.5, 3.0], [6.0, 0.0, 2.0]]
    figure = learning_curves({"g": [rows(seed) for seed in seeds]}, "x", ylabel="apples")
    (axes,) = figure.axes
    (mean,) = thick(figure)
    np.testing.assert_array_equal(mean.get_xdata(), [10, 20, 30])
    np.testing.assert_allclose(mean.get_ydata(), np.mean(seeds, 0))
    (band,) = [collection for collection in axes.collections if isinstance(collection, PolyCollection)]
    corners = band.get_paths()[0].vertices
    factor = scipy.stats.t.ppf(0.975, 2) / math.sqrt(3)
    for step, values in zip((10, 20, 30), np.transpose(seeds), strict=True):
        edge = corners[corners[:, 0] == step, 1]
        np.testing.assert_allclose(edge.max(), values.mean() + factor * values.std(ddof=1))
        np.testing.assert_allclose(edge.min(), values.mean() - factor * values.std(ddof=1))
    thin = [line for line in axes.lines if line.get_linewidth() < 1]
    assert [list(line.get_ydata()) for line in thin] == seeds
    assert axes.get_ylabel() == "apples"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["g (3 seeds)"]


def test_one_seed_has_no_band():
    figure = learning_curves({"g": [rows([1.0, 2.0])]}, "x")
    assert not figure.axes[0].collections
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["g (1 seed)"]


def test_undefined_values_are_gaps_for_the_seed_and_the_mean():
    figure = learning_curves({"g": [rows([1.0, None, 3.0, 4.0]), rows([3.0, 3.0, 3.0, 4.0])]}, "x")
    np.testing.assert_array_equal(thick(figure)[0].get_ydata(), [2.0, np.nan, 3.0, 4.0])
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in dots] == [[10]]  # alone before its gap, where no line shows it


def test_a_shorter_seed_ends_the_mean_and_other_grids_are_refused():
    figure = learning_curves({"g": [rows([1.0, 2.0, 3.0]), rows([3.0, 4.0])]}, "x")
    np.testing.assert_array_equal(thick(figure)[0].get_ydata(), [2.0, 3.0])
    assert sorted(len(line.get_xdata()) for line in figure.axes[0].lines) == [0, 2, 2, 3]
    with pytest.raises(ValueError, match=r"group 'g', seed 1: 'x' is at step 11 where another seed has 10"):
        learning_curves({"g": [rows([1.0, 2.0]), rows([1.0], every=11)]}, "x")
    # Groups may differ from each other.
    assert len(thick(learning_curves({"g": [rows([1.0])], "h": [rows([1.0], every=11)]}, "x"))) == 2


def test_smoothing_is_a_trailing_mean_that_skips_gaps():
    values = [1.0, 2.0, None, 6.0, 8.0]
    figure = learning_curves({"g": [rows(values)]}, "x", smooth=2)
    np.testing.assert_allclose(thick(figure)[0].get_ydata(), [1.0, 1.5, np.nan, 4.0, 7.0])


def test_smoothing_keeps_the_digits_of_small_differences():
    values = 1e9 + np.random.default_rng(0).random(5000)
    figure = learning_curves({"g": [rows([float(value) for value in values])]}, "x", smooth=10)
    expected = [values[max(0, end - 10) : end].mean() for end in range(1, 5001)]
    np.testing.assert_allclose(thick(figure)[0].get_ydata(), expected, rtol=0, atol=1e-6)


def test_rows_may_come_as_metrics_interleaved_with_others_and_as_lists():
    mixed = [{"step": 1, "y": 0}, {"step": 1, "x": [1, 5]}, {"step": 2, "z": 0}, {"step": 3, "x": [2, None]}]
    figure = learning_curves({"g": [Metrics(rows=mixed, torn=True)]}, "x[1]")
    np.testing.assert_array_equal(thick(figure)[0].get_ydata(), [5.0, np.nan])


def test_references_are_dashed_lines_with_names():
    figure = learning_curves({"g": [rows([1.0, 2.0])]}, "x", reference={"scripted": 7.5})
    line = figure.axes[0].lines[-1]
    assert list(line.get_ydata()) == [7.5, 7.5]
    assert [text.get_text() for text in figure.axes[0].texts] == ["scripted"]


@pytest.mark.parametrize(
    ("groups", "options", "fault"),
    [
        ({}, {}, "0 groups"),
        ({"g": []}, {}, "'g' has 0 seeds"),
        ({"g": [[]]}, {}, "seed 0: none of 0 rows holds 'x'; there are none"),
        ({"g": [[{"step": 1, "y": 2, "z": 3}]]}, {}, "there are y, z"),
        ({"g": [rows([1.0]), [{"step": 1, "x": [1]}]]}, {}, "seed 1: 'x' at step 1 is a list"),
        ({"g": [[{"step": 2, "x": 1}, {"step": 2, "x": 1}]]}, {}, "step 2 comes after step 2"),
        ({"g": [rows([1.0])]}, {"smooth": 0}, "smooth is 0"),
        ({"g": [rows([1.0])]}, {"reference": {"r": math.nan}}, r"reference\['r'\] is nan"),
    ],
)
def test_curves_that_cannot_be_are_refused(groups, options, fault):
    with pytest.raises(ValueError, match=fault):
        learning_curves(groups, "x", **options)


def test_no_setting_of_matplotlib_is_changed():
    before = dict(matplotlib.rcParams)
    with style():
        assert matplotlib.rcParams["svg.hashsalt"] == "suasion"
    with pytest.raises(KeyError), style():
        raise KeyError
    learning_curves({"g": [rows([1.0])]}, "x")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_equal_figures_give_equal_bytes(tmp_path, training, ending):
    names = {"cost: $5 and $6 \\frac": 0, "_hidden": 9, "größer <b>": 18}
    for name in ("one", "two"):
        seeds = {label: [training(start + k, points=9) for k in range(2)] for label, start in names.items()}
        figure = learning_curves(seeds, "episode/collective_reward", reference={"$": 3.0})
        assert [text.get_text().split(" (")[0] for text in figure.legends[0].get_texts()] == list(names)
        assert save_figure(figure, tmp_path / "new" / f"{name}.{ending}").stat().st_size > 5000
    content = (tmp_path / "new" / f"one.{ending}").read_bytes()
    assert content == (tmp_path / "new" / f"two.{ending}").read_bytes()
    assert not any(word in content for word in (b"CreationDate", b"dc:date", b"Software"))
    assert sorted(entry.name for entry in (tmp_path / "new").iterdir()) == [f"one.{ending}", f"two.{ending}"]


def test_text_is_text_and_fonts_are_embedded_as_truetype(tmp_path, training):
    figure = learning_curves({"größer <b>": [training(0, points=3)]}, "reward/extrinsic")
    page = save_figure(figure, tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "größer &lt;b&gt; (1 seed)" in page
    assert "font-family: 'DejaVu Sans', 'Verdana', sans-serif" in page or "'DejaVu Sans', 'Verdana', sans-serif" in page
    content = save_figure(figure, tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_a_figure_lies_the_same_in_all_its_files(tmp_path):
    """Colour bars and square axes move with every pass of the layout; written files must not."""
    figures = [value_map(np.arange(12.0).reshape(3, 4), title="a") for _ in range(2)]
    for kind in ("png", "svg"):
        save_figure(figures[0], tmp_path / f"one.{kind}")
    save_figure(figures[1], tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert save_pictures(figures[1], tmp_path / "two.svg", "x") == [tmp_path / "two.svg"]
    assert check_picture("a/b.PDF").name == "b.PDF"
    with pytest.raises(ValueError, match=r"b\.gif: ends in '\.gif'; must be one of \.png, \.svg, \.pdf"):
        check_picture("a/b.gif")


def test_other_endings_are_refused(tmp_path):
    figure = learning_curves({"g": [rows([1.0])]}, "x")
    with pytest.raises(ValueError, match=r"ends in '\.bmp'"):
        save_figure(figure, tmp_path / "a.bmp")


def make_run(path, config, table):
    run = create_run(path, config, {})
    with MetricsWriter(run.metrics) as writer:
        for row in table:
            writer.append(row)
    return run


def legend(monkeypatch, paths, out, metrics=None):
    """What `plot_runs` drew: legend entries, titles, notes."""
    drawn = []
    monkeypatch.setattr("suasion.viewing._runs.save_pictures", lambda figure, out, name: drawn.append(figure) or [])
    plot_runs(paths, out, metrics)
    figure = drawn[0]
    notes = figure._supxlabel.get_text() if figure._supxlabel else ""
    return (
        [text.get_text() for text in figure.legends[0].get_texts()],
        [a.get_title("left") for a in figure.axes],
        notes,
    )


def test_runs_are_grouped_by_all_but_the_seed(tmp_path, training, monkeypatch):
    for name, shared in (("selfish", False), ("shared", True)):
        for seed in (0, 1):
            config = {"learner": {"shared": shared}, "seed": seed}
            make_run(tmp_path / name / f"seed-{seed}", config, training(seed, points=4))
    create_run(tmp_path / "new", {"seed": 5, "new": 1}, {})
    torn = tmp_path / "shared" / "seed-1" / "metrics.jsonl"
    torn.write_bytes(torn.read_bytes() + b'{"st')
    entries, titles, notes = legend(monkeypatch, [tmp_path, tmp_path / "shared"], tmp_path / "x")
    assert entries == ["selfish (2 seeds)", "shared (2 seeds)"]
    assert titles == ["episode/collective_reward", "episode/equality", "reward/extrinsic"]
    assert notes == f"left out, no metrics yet: {tmp_path / 'new'}\nlast line incomplete: {torn.parent}"


def test_groups_in_one_folder_are_named_by_their_runs_or_labels(tmp_path, training, monkeypatch):
    for seed in (1, 2):
        make_run(tmp_path / f"a-seed{seed}", {"kind": 1, "seed": seed}, training(seed, points=3))
        make_run(tmp_path / f"b_{seed}", {"kind": 2, "inner": [{"seed": seed}]}, training(seed, points=3))
        make_run(tmp_path / f"c-{seed}", {"kind": 3, "seed": seed, "label": "by label"}, training(seed, points=3))
        make_run(tmp_path / f"a-{seed + 7}", {"kind": 4, "seed": seed}, training(seed, points=3))
    entries, titles, _ = legend(monkeypatch, [tmp_path], tmp_path / "x", ["loss/policy"])
    assert entries == ["a (2 seeds)", "a #2 (2 seeds)", "b (2 seeds)", "by label (2 seeds)"]
    assert titles == ["loss/policy"]


def test_files_of_equal_runs_are_equal(tmp_path, training):
    for seed in (0, 1):
        make_run(tmp_path / "runs" / f"seed-{seed}", {"seed": seed}, training(seed, points=5))
    (tmp_path / "folder").mkdir()
    first = plot_runs([tmp_path / "runs"], tmp_path / "a.b")
    assert first == [tmp_path / f"a.b.{ending}" for ending in ("png", "svg", "pdf")]
    second = plot_runs([tmp_path / "runs"], tmp_path / "folder", smooth=1)
    assert second == [tmp_path / "folder" / f"curves.{ending}" for ending in ("png", "svg", "pdf")]
    (alone,) = plot_runs([tmp_path / "runs"], tmp_path / "alone.svg")
    assert alone.name == "alone.svg"
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[1].read_bytes() == alone.read_bytes()


def test_a_narrow_figure_has_its_panels_below_each_other(tmp_path, training, monkeypatch):
    make_run(tmp_path / "run", {}, training(0, points=4))
    drawn = []
    monkeypatch.setattr("suasion.viewing._runs.save_pictures", lambda figure, out, name: drawn.append(figure) or [])
    for width in (3.3, None):
        plot_runs([tmp_path / "run"], tmp_path, width=width)
    across = [{round(axes.get_position().x0, 2) for axes in figure.axes} for figure in drawn]
    assert [len(figure.axes) for figure in drawn] == [3, 3]
    assert [len(columns) for columns in across] == [1, 3]
    assert drawn[0].get_figwidth() == pytest.approx(3.3)
    assert learning_curves({"g": [rows([1.0])]}, "x", width=3.3).get_figwidth() == pytest.approx(3.3)


def test_more_than_twelve_metrics_are_said_to_be_left_out(tmp_path, monkeypatch):
    table = [{"step": step, **{f"episode/{n:02d}": step * n for n in range(15)}, "list": [1]} for step in (1, 2)]
    make_run(tmp_path / "run", {}, table)
    _, titles, notes = legend(monkeypatch, [tmp_path / "run"], tmp_path / "x")
    assert len(titles) == 12
    assert notes == "12 of 15 metrics shown"


def test_a_metric_of_some_groups_only_is_drawn_for_these(tmp_path, training, monkeypatch):
    make_run(tmp_path / "a", {"kind": 1}, training(0, points=3))
    make_run(tmp_path / "b", {"kind": 2}, [{"step": 5, "reward/influence": 1.0, "reward/extrinsic": 2.0}])
    entries, _, _ = legend(monkeypatch, [tmp_path], tmp_path / "x", ["reward/influence", "reward/extrinsic"])
    assert entries == ["a (1 seed)", "b (1 seed)"]
    with pytest.raises(ValueError, match=r"none of 3 rows holds 'nothing'|none of 1 rows"):
        plot_runs([tmp_path], tmp_path / "x", ["nothing"])


def test_runs_that_cannot_be_drawn_are_refused(tmp_path):
    with pytest.raises(RecordError, match="no run here"):
        plot_runs([tmp_path], tmp_path / "x")
    make_run(tmp_path / "a", {}, [{"step": 1, "loss": 2.0}])
    with pytest.raises(ValueError, match=r"no metric begins with episode/ or reward/; name some of: loss"):
        plot_runs([tmp_path], tmp_path / "x")
    with pytest.raises(ValueError, match="0 metrics"):
        plot_runs([tmp_path], tmp_path / "x", [])
    create_run(tmp_path / "empty" / "b", {}, {})
    with pytest.raises(RecordError, match="none of 1 runs has metrics yet"):
        plot_runs([tmp_path / "empty"], tmp_path / "x")
