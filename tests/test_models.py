"""`suasion solve` and `suasion convert`: answers, files, pictures, and what goes wrong."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import gymnasium
import matplotlib
import numpy as np
import pytest
from PIL import Image

from suasion.cli import main
from suasion.markov import MDP, Question, from_dict, read_model, write_model
from suasion.planning import average_reward, finite_horizon, reach_probability, reach_reward, solve


def dynamic_programming(table, discount, sweeps):
    """Value iteration as in the books, on the table of a Gymnasium environment."""
    value = np.zeros(len(table))
    for _ in range(sweeps):
        value = np.array(
            [
                max(sum(p * (r + discount * value[j] * (not ended)) for p, j, r, ended in out) for out in row.values())
                for row in table.values()
            ]
        )
    return value


def fails(capsys, *arguments, code=2):
    """The one message of a command that fails with this exit code."""
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert shown.err.startswith("suasion: ")
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.fixture(scope="module")
def lift() -> MDP:
    """Three floors: up costs 2 and may fail, the stairs cost 3; with names and a label."""
    return from_dict(
        {
            "ground": {"lift": [(0.75, "first"), (0.25, "ground")], "stairs": [(1.0, "first", -1.0)]},
            "first": {"lift": [(0.5, "roof", -2.0), (0.5, "ground", -2.0)], "stairs": [(1.0, "roof", -3.0)]},
            "roof": {},
        },
        terminal=["roof"],
        labels={"top": np.array([False, False, True]), "inside": np.array([True, True, False])},
    )


@pytest.fixture
def file(lift, tmp_path) -> Path:
    write_model(lift, tmp_path / "lift.umb", question=Question(discount=0.5))
    return tmp_path / "lift.umb"


def kept(folder):
    with np.load(folder / "policy.npz", allow_pickle=False) as found:
        return dict(found)


def rows(folder):
    with (folder / "policy.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


# Environments


def test_frozen_lake(tmp_path, capsys):
    out = tmp_path / "my lake ü"
    assert main(["solve", "FrozenLake-v1", "--discount", "0.99", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    exact = dynamic_programming(gymnasium.make("FrozenLake-v1").unwrapped.P, 0.99, 3000)
    found = kept(out)
    np.testing.assert_allclose(found["value"][:16], exact, atol=1e-6)
    assert found["value"][16] == 0  # where outcomes that terminate lead to
    assert (found["lower"] <= found["value"]).all()
    assert (found["value"] <= found["upper"]).all()
    assert (found["lower"][:16] <= exact + 1e-9).all()
    assert (exact - 1e-9 <= found["upper"][:16]).all()
    assert "17 states: linear systems are quick" in shown
    assert "converged after" in shown
    assert [line for line in shown.splitlines() if str(out) in line] == [
        str(out / name) for name in ("policy.npz", "policy.csv", "value.png", "value.svg", "value.pdf")
    ]
    listed = rows(out)
    assert [line["state"] for line in listed] == [str(s) for s in range(17)]
    assert [float(line["value"]) for line in listed] == found["value"].tolist()
    assert listed[0]["action"] == "left"
    assert listed[14]["action"] == "down"
    assert listed[16]["action"] == ""
    with Image.open(out / "value.png") as image:
        assert image.width > 300
    assert not (out / "sweeps.gif").exists()


def test_cliff_walking_without_a_discount(tmp_path, capsys):
    assert main(["solve", "CliffWalking-v1", "--discount", "1", "--out", str(tmp_path), "--animate"]) == 0
    shown = capsys.readouterr().out
    value = kept(tmp_path)["value"]
    assert value[36] == pytest.approx(-13)  # up, eleven steps along the cliff, down
    assert value[47 - 12] == pytest.approx(-1)
    assert "... and 29 states more" in shown
    names = [line["action"] for line in rows(tmp_path)]
    assert names[36] == "up"
    assert names[24:35] == ["right"] * 11
    assert names[35] == "down"
    with Image.open(tmp_path / "sweeps.gif") as image:
        assert image.n_frames > 10
        assert image.width == 12 * (400 // 12)


def test_an_environment_without_a_discount_or_a_grid(capsys):
    assert main(["solve", "Taxi-v3" if "Taxi-v3" in gymnasium.registry else "Taxi-v4", "--objective", "total"]) == 0
    assert "pickup" in capsys.readouterr().out
    assert "--discount is not given, and FrozenLake-v1 does not say" in fails(capsys, "solve", "FrozenLake-v1")


# Files


@pytest.mark.parametrize("ending", ["umb", "npz", "drn.gz"])
def test_files_say_what_is_asked_of_them(lift, tmp_path, capsys, ending):
    path = tmp_path / f"lift.{ending}"
    write_model(lift, path, question=Question(discount=0.5, maximise=True))
    assert main(["solve", str(path), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    wanted = solve(lift, 0.5)
    found = kept(tmp_path / "out")
    np.testing.assert_allclose(found["value"], wanted.value, atol=2e-6)
    np.testing.assert_array_equal(found["policy"], wanted.policy)
    assert found["action"].tolist() == [lift.action[c] if c >= 0 else -1 for c in wanted.policy]
    assert [line["state"] for line in rows(tmp_path / "out")] == ["ground", "first", "roof"]
    assert "ground" in shown
    assert "lift" in shown
    assert not (tmp_path / "out" / "value.png").exists()
    assert main(["solve", str(path), "--discount", "0.9", "--out", str(tmp_path / "out")]) == 0
    np.testing.assert_allclose(kept(tmp_path / "out")["value"], solve(lift, 0.9).value, atol=2e-6)


def test_costs(lift, tmp_path):
    """What a file, or the command, calls costs is minimised."""
    path = tmp_path / "lift.npz"
    write_model(lift, path, question=Question(discount=0.5, maximise=False))
    assert main(["solve", str(path), "--out", str(tmp_path)]) == 0
    np.testing.assert_allclose(kept(tmp_path)["value"], solve(lift, 0.5, maximise=False).value, atol=2e-6)
    write_model(lift, path, question=Question(discount=0.5))
    assert main(["solve", str(path), "--minimise", "--out", str(tmp_path)]) == 0
    np.testing.assert_allclose(kept(tmp_path)["value"], solve(lift, 0.5, maximise=False).value, atol=2e-6)


@pytest.mark.parametrize("goal", ["top", "2"])
def test_goals_by_label_and_by_number(lift, file, tmp_path, goal):
    common = ["solve", str(file), "--goal", goal, "--out", str(tmp_path), "--objective"]
    assert main([*common, "reach"]) == 0
    np.testing.assert_allclose(kept(tmp_path)["value"], 1.0, atol=1e-6)
    assert main([*common, "reach-reward", "--exact"]) == 0
    wanted = reach_reward(lift, "top", maximise=True)
    np.testing.assert_allclose(kept(tmp_path)["value"], wanted.value, atol=2e-6)


def test_several_goals(lift, file, tmp_path):
    assert main(["solve", str(file), "--objective", "reach", "--goal", "1,2", "--out", str(tmp_path)]) == 0
    np.testing.assert_allclose(
        kept(tmp_path)["value"], reach_probability(lift, np.array([False, True, True])).value, atol=1e-6
    )
    assert kept(tmp_path)["policy"].tolist()[1:] == [-1, -1]


def test_averages_and_horizons(lift, file, tmp_path, capsys):
    assert main(["solve", str(file), "--objective", "average", "--out", str(tmp_path)]) == 0
    np.testing.assert_allclose(kept(tmp_path)["value"], average_reward(lift).value, atol=2e-6)
    horizon = ["solve", str(file), "--objective", "horizon", "--out", str(tmp_path)]
    assert main([*horizon, "--steps", "3", "--discount", "1"]) == 0
    wanted = finite_horizon(lift, 3)
    np.testing.assert_array_equal(kept(tmp_path)["value"], wanted.value[3])
    np.testing.assert_array_equal(kept(tmp_path)["policy"], wanted.policy[2])
    assert "backward induction" in capsys.readouterr().out
    assert main([*horizon, "--steps", "3"]) == 0  # the discount is the file's
    np.testing.assert_array_equal(kept(tmp_path)["value"], finite_horizon(lift, 3, 0.5).value[3])
    assert main([*horizon, "--steps", "0"]) == 0
    np.testing.assert_array_equal(kept(tmp_path)["policy"], -1)


def test_a_grid_is_drawn_and_animated(tmp_path):
    steps = {(y, x): (y, min(x + 1, 2)) for y in range(2) for x in range(3)}
    number = {cell: i for i, cell in enumerate(steps)}
    model = {number[a]: {"right": [(1.0, number[b], float(b == (0, 2)))]} for a, b in steps.items()}
    write_model(from_dict(model), tmp_path / "grid.npz", question=Question(discount=0.5))
    arguments = ["solve", str(tmp_path / "grid.npz"), "--grid", "2x3", "--animate", "--out", str(tmp_path)]
    assert main(arguments) == 0
    with Image.open(tmp_path / "value.png") as image:
        image.verify()
    with Image.open(tmp_path / "sweeps.gif") as image:
        assert image.size == (3 * 133, 2 * 133)
        image.seek(image.n_frames - 1)
        last = np.asarray(image.convert("RGB"))[66::133, 66::133]
    scale = (matplotlib.colormaps["cividis"]([0, 0.5, 1.0])[:, :3] * 255).round()
    # 1, 2 and 2 by the file's discount, and nothing in the lower row; without it, it would be 9, 10 and 10
    np.testing.assert_allclose(last[0], scale[[1, 2, 2]], atol=2)
    np.testing.assert_allclose(last[1], scale[[0, 0, 0]], atol=2)


def test_a_model_as_a_graph(file, tmp_path, capsys):
    picture = tmp_path / "my lift ü.svg"
    assert main(["solve", str(file), "--graph", str(picture)]) == 0
    assert str(picture) in capsys.readouterr().out
    page = picture.read_text(encoding="utf-8")
    found = solve(read_model(file)[0], 0.5)
    assert {f"node-s{s}" for s in range(3)} < set(re.findall(r'id="([^"]+)"', page))
    assert all(f">{name}<" in page for name in ("ground", "first", "roof", "lift", "stairs, r −1"))
    assert all(f">v {value:.3g}<".replace("-", "−") in page for value in found.value)
    assert len(re.findall(r'id="arrow-a\d-s\d"', page)) == 6
    thick = re.findall(r'id="(?:line-s\d-a|arrow-a)(\d)[^"]*">\s*<path [^>]*stroke-width: 1.8', page)
    assert {int(c) for c in thick} == {int(c) for c in found.policy if c >= 0}
    assert main(["solve", str(file), "--graph", str(picture), "--only-policy", "--width", "3.3"]) == 0
    page = picture.read_text(encoding="utf-8")
    assert 'width="237.6pt"' in page
    assert "node-a" not in page


def test_a_grid_keeps_its_place_in_a_graph(tmp_path, capsys):
    picture = tmp_path / "lake.png"
    lake = ["solve", "FrozenLake-v1", "--discount", "0.99", "--graph"]
    assert main([*lake, str(picture), "--only-policy"]) == 0
    with Image.open(picture) as image:
        assert 600 < image.width < 1200
    capsys.readouterr()
    message = fails(capsys, *lake, str(tmp_path / "all.png"))
    assert "there are 146 arrows: a graph shows at most 120; --only-policy" in message
    assert not (tmp_path / "all.png").exists()


def test_graphs_that_cannot_be_are_refused_before_anything_is_solved(file, capsys):
    assert "'.gif'; must be one of .png, .svg, .pdf" in fails(capsys, "solve", str(file), "--graph", "a.gif")
    assert "--only-policy needs --graph" in fails(capsys, "solve", str(file), "--only-policy")
    assert "--width needs --graph, or --out with a grid" in fails(capsys, "solve", str(file), "--width", "3")
    assert "--width is 0.0" in fails(capsys, "solve", str(file), "--graph", "a.png", "--width", "0")
    message = fails(capsys, "solve", "CliffWalking-v1", "--discount", "1", "--graph", "a.png")
    assert "the model has 49 states: a graph shows at most 40" in message


# Converting


def test_there_and_back_again(lift, tmp_path, capsys):
    paths = [tmp_path / f"lift.{ending}" for ending in ("umb", "drn", "npz")]
    choices = from_dict(
        {"a": {"x": [(0.25, "a"), (0.75, "b")], "y": [(1.0, "b")]}, "b": {"x": [(1.0, "a")]}},
        labels={"odd": np.array([False, True])},
    )
    write_model(choices, paths[0], question=Question(discount=0.75, maximise=False))
    for before, after in pairwise(paths):
        assert main(["convert", str(before), str(after)]) == 0
        assert capsys.readouterr().out == f"{after}  MDP(2 states, 3 choices, 4 branches)\n"
    again, question = read_model(paths[-1])
    assert question == Question(discount=0.75, maximise=False)
    for name in ("choice_start", "branch_start", "target", "probability", "choice_reward", "action", "terminal"):
        np.testing.assert_array_equal(getattr(again, name), getattr(choices, name))
    assert (again.states, again.actions) == (choices.states, choices.actions)
    np.testing.assert_array_equal(again.labels["odd"], choices.labels["odd"])
    message = fails(capsys, "convert", str(paths[0]), str(tmp_path / "lift.tra"))
    assert "lift.tra" in message
    assert not (tmp_path / "lift.tra").exists()


def test_an_environment_becomes_a_file(tmp_path, capsys):
    path = tmp_path / "lake.umb.xz"
    assert main(["convert", "FrozenLake-v1", str(path)]) == 0
    assert "17 states" in capsys.readouterr().out
    model, question = read_model(path)
    assert question.discount is None
    assert model.actions == ("left", "down", "right", "up")
    assert model.initial[0] == 1


# What goes wrong


def test_the_limit_is_an_exit_code(file, capsys):
    arguments = ["solve", "FrozenLake-v1", "--discount", "0.99", "--method", "value_iteration", "--limit", "3"]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert "iteration limit reached after 3 iterations" in shown.out
    assert main(["solve", str(file), "--tolerance", "1e-300", "--method", "value_iteration"]) == 1
    assert "stagnated at the rounding floor" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such-model.umb",), "no-such-model.umb"),
        (("NoSuchGame-v1", "--discount", "0.9"), "no environment of Gymnasium"),
        (("CartPole-v1", "--discount", "0.9"), "CartPole-v1 has no table P"),
        (("FILE", "--discount", "1.5"), "discount is 1.5, outside [0, 1]"),
        (("FILE", "--tolerance", "0"), "tolerance is 0.0"),
        (("FILE", "--limit", "0"), "limit is 0, below 1"),
        (("FILE", "--objective", "reach"), "--goal is not given; the model has the labels"),
        (("FILE", "--objective", "reach", "--goal", "cellar"), "there is no label 'cellar'"),
        (("FILE", "--objective", "reach", "--goal", "0,3"), "--goal 0,3: states are 0 to 2"),
        (("FILE", "--objective", "horizon"), "--objective horizon needs --steps"),
        (("FILE", "--objective", "horizon", "--steps", "-1"), "steps is -1, below 0"),
        (("FILE", "--grid", "4"), "--grid 4: write ROWSxCOLUMNS"),
        (("FILE", "--grid", "2x2"), "--grid 2x2 has 4 cells, and the model 3 states"),
        (("FILE", "--rewards", "time"), "time"),
        (("FILE", "--animate"), "--animate needs --out, and --grid"),
        (("FILE", "--animate", "--out", "out"), "--animate needs --out, and --grid"),
        (("FILE", "--animate", "--objective", "reach", "--goal", "2"), "--animate does not go with --objective reach"),
        (("FILE", "--exact", "--objective", "average"), "--exact does not go with --objective average"),
    ],
)
def test_bad_input_is_told_in_one_line(file, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(file.parent)
    message = fails(capsys, "solve", *(file.name if a == "FILE" else a for a in arguments))
    assert words in message


def test_infinite_values_are_told(tmp_path, capsys):
    write_model(from_dict({"a": {"on": [(1.0, "a", 1.0)]}}), tmp_path / "endless.npz")
    message = fails(capsys, "solve", str(tmp_path / "endless.npz"), "--objective", "total")
    assert "infinite" in message
    assert "state a" in message


def test_what_cannot_be_proven_is_told(file, capsys, monkeypatch):
    from suasion import planning

    def solve(*_, **__):
        raise ArithmeticError("the bounds of state 3 could not be proven in rational arithmetic")

    monkeypatch.setattr(planning, "solve", solve)
    assert "lift.umb: the bounds of state 3" in fails(capsys, "solve", str(file), "--exact", code=1)


def test_broken_files_are_told(tmp_path, capsys):
    (tmp_path / "broken.umb").write_bytes(b"not a tar")
    assert "broken.umb" in fails(capsys, "solve", str(tmp_path / "broken.umb"), "--discount", "0.9")
    assert "broken.umb" in fails(capsys, "convert", str(tmp_path / "broken.umb"), str(tmp_path / "out.npz"))
    assert not (tmp_path / "out.npz").exists()


def test_a_process_without_jax(file):
    """It would be a second of every start."""
    code = (
        "import sys\nfrom suasion.cli import main\n"
        "assert main(['solve', sys.argv[1], '--out', sys.argv[2]]) == 0\n"
        "assert main(['convert', sys.argv[1], sys.argv[2] + '/lift.drn']) == 0\n"
        "assert 'jax' not in sys.modules and 'equinox' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), str(file.parent / "out")],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "converged" in done.stdout
    assert done.stderr == ""


def test_a_method_that_would_do_nothing_is_refused(capsys):
    assert main(["solve", "FrozenLake-v1", "--objective", "average", "--method", "topological"]) == 2
    assert "--method does not go with --objective average" in capsys.readouterr().err
