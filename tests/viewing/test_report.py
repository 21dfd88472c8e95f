"""The report: what stands in it, and what it says of runs that are young, damaged or hostile."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import trim_mean

from suasion.cli import main
from suasion.records import Episode, MetricsWriter, RecordError, RunPaths, create_run, write_episode
from suasion.viewing import write_report
from suasion.viewing._report_runs import seed_bands, series, thinned


def make_run(path: Path, seed: int, rows: list[dict[str, Any]], episode: Episode | None, **config: Any) -> Path:
    asked = {"label": "box", "seed": seed, "steps": 60 * 16_000} | config
    create_run(path, asked, {"versions": {"suasion": "1"}, "commit": "abc123"})
    with MetricsWriter(RunPaths(path).metrics) as writer:
        for row in rows:
            writer.append(row)
    if episode is not None:
        write_episode(RunPaths(path).episodes / f"step-{episode.step:012d}-seed-0-0.suasion", episode)
    return path


def influenced(episode: Episode) -> Episode:
    steps, agents = episode.actions.shape
    pairs = np.random.default_rng(0).gamma(0.3, 0.1, (steps, agents, agents)) * (1 - np.eye(agents))
    return replace(episode, influence=pairs.astype(np.float32))


def measures(rewards: np.ndarray, events: Any) -> dict[str, float | None]:
    return {"efficiency": float(rewards.sum() / len(rewards)), "peace": None}


def test_a_report_tells_everything(
    walk: Callable[..., Episode], training: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    for seed in range(3):
        make_run(tmp_path / "a" / f"seed-{seed}", seed, training(seed), influenced(walk(seed)))
        make_run(tmp_path / "b" / f"seed-{seed}", seed, training(seed, 20.0), walk(seed), label="alone")
    out = write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "report.html", society=measures)
    page = out.read_text("utf-8")
    for told in (
        "box",
        "alone",
        "Learning",
        "Reward terms",
        "reward/extrinsic (reward a step",
        "Returns of each agent",
    ):
        assert told in page
    for told in ("efficiency", "peace", "Who influences whom", "Influential moments", "Configuration", "abc123"):
        assert told in page
    films = re.search(r'id="films">(.*?)</script', page, re.DOTALL)
    assert films
    assert [film["name"] for film in json.loads(films[1])] == ["box", "alone"]
    t, k, j, _ = json.loads(films[1])[0]["moments"][0]
    assert f'data-film="0" data-state="{t + 1}">step {t}: agent {k + 1} → agent {j + 1}' in page
    assert "(undefined in 3)" in page
    assert 'class="note"' not in page
    assert write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "2.html", society=measures).read_text() == page
    with pytest.raises(RecordError, match="exists; --force"):
        write_report([tmp_path / "a"], out)
    assert out.read_text("utf-8") == page


def test_what_is_amiss_is_said(
    walk: Callable[..., Episode], training: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    make_run(tmp_path / "young", 0, [], None)
    torn = make_run(tmp_path / "torn", 1, training(1, points=9), walk())
    with RunPaths(torn).metrics.open("ab") as file:
        file.write(b'{"step": 99')
    hurt = make_run(tmp_path / "hurt", 2, training(2), walk())
    (episode,) = RunPaths(hurt).episodes.glob("*")
    episode.write_bytes(episode.read_bytes()[:-1])
    broken = make_run(tmp_path / "broken", 3, training(3), None)
    RunPaths(broken).metrics.write_text('{"step": "<script>alert(1)</script>"}\n')
    page = write_report([tmp_path], tmp_path / "report.html").read_text("utf-8")
    notes = re.findall(r'<p class="note">(.*?)</p>', page)
    for place, words in (
        ("young", "no metrics yet"),
        ("young", "no episodes recorded"),
        ("torn", "last line of its metrics is incomplete"),
        ("torn", "stopped at step 144,000 of 960,000"),
        ("hurt", "episode left out"),
        ("broken", "left out"),
    ):
        assert any(place in note and words in note for note in notes), (place, words, notes)
    assert "<script>alert" not in page
    for seed in range(3, 9):
        make_run(tmp_path / "more" / f"seed-{seed}", seed, training(seed), None)
    page = write_report([tmp_path], tmp_path / "more.html").read_text("utf-8")
    (note,) = (note for note in re.findall(r'<p class="note">(.*?)</p>', page) if "no episodes recorded" in note)
    assert "seed-4, " in note
    assert "and 4 more: no episodes recorded" in note
    RunPaths(broken).config.write_text("{}")
    with pytest.raises(RecordError, match="not of a run"):
        write_report([broken], tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()
    with pytest.raises(RecordError, match="no such directory"):
        write_report([tmp_path / "missing"], tmp_path / "none.html")


def test_influence_over_training(tmp_path: Path) -> None:
    """Paid or only measured, in all and by pair; pairs without any are left out, and all where there are two agents."""
    for agents in (2, 3):
        rows = [
            {"step": step, "reward/influence": [0.1 * step] * agents, "reward/total": [0.0] * agents}
            | {
                f"influence/on_agent_{j + 1}": [0.01 * step if j < 2 > k else 0.0 for k in range(agents)]
                for j in range(agents)
            }
            for step in range(1, 9)
        ]
        make_run(tmp_path / str(agents) / "seed-0", 0, rows, None, label=f"{agents} agents")
        page = write_report([tmp_path / str(agents)], tmp_path / f"{agents}.html").read_text("utf-8")
        assert "Influence of each agent over training" in page
        assert ("Influence over training, by pair" in page) == (agents == 3)
    charts = re.findall(r"<figcaption>3 agents: on agent (\d)</figcaption>(<svg.*?</svg>)", page)
    assert [int(j) for j, _ in charts] == [1, 2]  # nobody influences the third, who influences nobody
    assert [re.findall(r'<polyline class="line s(\d) d0 mean"', svg) for _, svg in charts] == [["0", "1"]] * 2


def test_a_run_without_anything(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 0, [], None)
    page = write_report([tmp_path], tmp_path / "report.html").read_text("utf-8")
    assert "there are no curves" in page
    assert "No measures" in page
    assert 'id="player"' not in page


def test_bands() -> None:
    """The interquartile mean is SciPy's trimmed mean; intervals hold their middle; one seed has none."""
    values = np.random.default_rng(0).normal(size=(9, 7))
    mean, middle = seed_bands(values)
    np.testing.assert_allclose(mean.middle, values.mean(0))
    np.testing.assert_allclose(middle.middle, trim_mean(values, 0.25, axis=0))
    for band in (mean, middle):
        assert (band.low <= band.middle).all()
        assert (band.middle <= band.high).all()
    # The bootstrap's deviation of a mean is s / sqrt(n), s with divisor n; 1,000 draws know it to about 5 %.
    expected = 2 * 1.96 * values.std(0) / 3
    np.testing.assert_allclose(mean.high - mean.low, expected, rtol=0.2)
    alone, _ = seed_bands(values[:1])
    assert np.isnan(alone.low).all()
    gap = values.copy()
    gap[2, 3] = np.nan
    assert np.isnan(seed_bands(gap)[0].middle[3])


def test_series_and_thinning() -> None:
    rows = [{"step": 1, "a": 1.0, "b": [1, None]}, {"step": 1, "a": 9.0}, {"step": 2, "a": None, "c": [[1]]}]
    found = series(rows)
    np.testing.assert_array_equal(found["a"].values, [1.0, np.nan])
    np.testing.assert_array_equal(found["b"].values, [[1.0, np.nan]])
    assert "c" not in found
    steps, values = thinned(np.arange(250), np.arange(250.0)[None])
    assert len(steps) == 100
    assert steps[-1] == 249
    assert values[0, 0] == 0.5
    assert values[0, -1] == 248


def test_ten_conditions_of_five_seeds(walk: Callable[..., Episode], tmp_path: Path) -> None:
    """10 x 5 runs of 120 rows: at most 5 MB. The time is printed: other work shares the machine."""
    agents = 5
    for condition in range(10):
        for seed in range(5):
            rng = np.random.default_rng(10 * condition + seed)
            level = np.cumsum(rng.normal(0, 1, (120, 16)), 0)
            rows = [
                {"step": (t + 1) * 1000}
                | {f"episode/measure_{i}": float(level[t, i]) for i in range(8)}
                | {"episode/return": float(level[t, 8])}
                | {f"reward/{name}": level[t, :agents] for name in ("extrinsic", "influence", "total")}
                | {"episode/returns": level[t, 5 : 5 + agents]}
                for t in range(120)
            ]
            episode = influenced(walk(seed, steps=60, agents=agents))
            make_run(tmp_path / f"c{condition}" / f"seed-{seed}", seed, rows, episode, label=f"condition {condition}")
    before = time.perf_counter()
    size = write_report([tmp_path], tmp_path / "report.html", society=measures).stat().st_size
    print(f"report of 50 runs: {size / 1e6:.2f} MB in {time.perf_counter() - before:.1f} s")
    assert size <= 5_000_000


def test_commands(
    walk: Callable[..., Episode], training: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", 0, training(0), walk())
    for command in ("report", "replay"):
        out = tmp_path / f"{command}.html"
        assert main([command, str(run), "--out", str(out)]) == 0
        assert capsys.readouterr().out.strip() == str(out)
        assert main([command, str(run), "--out", str(out)]) == 2
        assert "--force replaces it" in capsys.readouterr().err
        assert main([command, str(run), "--out", str(out), "--force"]) == 0
        capsys.readouterr()
    assert "sustainability" in (tmp_path / "report.html").read_text("utf-8")
