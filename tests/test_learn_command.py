"""`suasion learn`: what is printed, kept and drawn, against the room itself; and what goes wrong."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from PIL import Image

from suasion import td
from suasion._learn_results import Played, curve, online_returns, with_interval
from suasion._learn_rules import exploration_of, kebab, known_rules, rule_of, schedule_of
from suasion._learn_values import FirstValues, greedy_shares, limits_of, reachable
from suasion._models import load
from suasion.cli import main
from suasion.markov import Question, from_arrays, from_dict, from_gymnasium, write_model
from suasion.planning import solve
from suasion.td import EpsilonGreedy, Linear, Polynomial, QLearning, Sarsa, Softmax, learn, policy_value


def fails(capsys, *arguments, code=2):
    """The one message of a command that fails with this exit code."""
    assert main(["learn", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.err.startswith("suasion: ")
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.fixture(scope="module")
def cliff():
    env = gymnasium.make("CliffWalking-v1").unwrapped
    return from_gymnasium(env.P, initial=env.initial_state_distrib)


@pytest.fixture
def corridor(tmp_path):
    """Three rooms in a row, a goal behind the last."""
    rooms = {"a": {"left": [(1.0, "a", -1.0)], "right": [(1.0, "b", -1.0)]}}
    rooms |= {"b": {"left": [(1.0, "a", -1.0)], "right": [(0.5, "c", -1.0), (0.5, "b", -1.0)]}}
    rooms |= {"c": {"left": [(1.0, "b", -1.0)], "right": [(1.0, "goal", -1.0)]}, "goal": {}}
    path = tmp_path / "corridor.npz"
    write_model(from_dict(rooms, terminal=["goal"], initial={"a": 1.0}), path, question=Question(discount=0.9))
    return path


def kept(folder):
    with np.load(folder / "result.npz", allow_pickle=False) as found:
        return dict(found)


# The whole command


def test_the_cliff_as_the_room_plays_it(cliff, tmp_path, capsys):
    out = tmp_path / "my cliff ü"
    common = ["learn", "CliffWalking-v1", "--runs", "20", "--episodes", "100", "--step-size", "0.5", "--seed", "3"]
    assert main([*common, "--checkpoints", "4", "--out", str(out), "--animate"]) == 0
    shown = capsys.readouterr().out
    assert "optimal -13; best policy that explores with ε = 0.1: -20.7077; an optimal policy that does: -50.8" in shown
    assert "steps that do not settle (Robbins-Monro): sarsa, q-learning" in shown
    names = [f"{name}.{kind}" for name in ("learning", "values") for kind in ("png", "svg", "pdf")]
    names += ["learning.gif", "result.npz", "result.csv"]
    assert [line for line in shown.splitlines() if str(out) in line] == [str(out / name) for name in names]
    found = kept(out)
    for name, rule in {"sarsa": Sarsa, "q-learning": QLearning}.items():
        wanted = learn(
            cliff, rule(step_size=0.5), discount=1.0, runs=20, episodes=100, seed=3, checkpoints=[25, 50, 75, 100]
        )
        np.testing.assert_array_equal(found[f"{name}/q"], wanted.q)
        np.testing.assert_array_equal(found[f"{name}/returns"], wanted.returns)
        np.testing.assert_array_equal(found[f"{name}/checkpoints"], wanted.checkpoints)
        np.testing.assert_allclose(found[f"{name}/value"], wanted.value, rtol=1e-12)
        (row,) = (line.split() for line in shown.splitlines() if line.startswith(f"{name} "))
        assert row[1] == with_interval(wanted.returns[:, 90:].mean(axis=1)).split()[0]
        assert f"{(wanted.value[:, -1] == -13).mean():.0%}" in row
    assert found["limits/optimal"] == pytest.approx(-13)
    assert found["limits/soft"] == pytest.approx(-20.70767740, abs=1e-7)
    assert found["limits/exploring"] == pytest.approx(-50.80004767, abs=1e-7)
    with (out / "result.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    ends = [row for row in rows if row["algorithm"] == "sarsa" and row["measure"] == "return"]
    assert [int(row["at"]) for row in ends] == list(range(1, 101))
    assert float(ends[49]["middle"]) == pytest.approx(found["sarsa/returns"][:, 49].mean())
    assert {row["band"] for row in rows if row["measure"] == "greedy"} <= {"mean", "median"}
    with Image.open(out / "learning.gif") as film:
        assert film.n_frames == 4
    with Image.open(out / "values.png") as picture:
        assert picture.width > 600
    first = (out / "learning.png").read_bytes()
    assert "learning.png: exists; --force" in fails(capsys, *common[1:], "--out", str(out))
    assert main([*common, "--checkpoints", "4", "--out", str(out), "--force"]) == 0
    assert (out / "learning.png").read_bytes() == first


def test_a_file_asks_its_own_question(corridor, tmp_path, capsys):
    arguments = ["learn", str(corridor), "--algorithms", "q-learning", "--runs", "5", "--steps", "2000"]
    assert main([*arguments, "--step-size", "polynomial:0.7", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "optimal -3.37273" in shown
    assert "Robbins-Monro" not in shown
    found = kept(tmp_path / "out")
    room_c = -1.0
    room_b = (-1 + 0.45 * room_c) / (1 - 0.45)
    assert found["limits/optimal"] == pytest.approx(-1 + 0.9 * room_b)
    np.testing.assert_allclose(found["q-learning/value"][:, -1], -1 + 0.9 * room_b)
    assert (found["q-learning/steps"] == 2000).all()
    assert (tmp_path / "out" / "values.png").exists()  # states one by one
    assert not (tmp_path / "out" / "learning.gif").exists()
    assert main([*arguments, "--grid", "1x3", "--animate", "--out", str(tmp_path / "grid"), "--checkpoints", "3"]) == 0
    with Image.open(tmp_path / "grid" / "learning.gif") as film:
        assert film.n_frames == 3


class Bell(gymnasium.Env):
    """Ring, and it is over; or wait. No table of its dynamics."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        """Begin in state 0."""
        super().reset(seed=seed)
        self.state = 0
        return 0, {}

    def step(self, action):
        """Waiting costs 1."""
        self.state = 1 - self.state
        return self.state, 0.0 if action else -1.0, bool(action), False, {}


def test_an_environment_without_a_table_is_played_step_by_step(tmp_path, capsys):
    gymnasium.register("suasion-Bell-v0", Bell)
    try:
        arguments = ["learn", "suasion-Bell-v0", "--algorithms", "q-learning", "--runs", "3", "--episodes", "50"]
        assert main([*arguments, "--out", str(tmp_path)]) == 0
        shown = capsys.readouterr().out
        assert "greedy policy" not in shown
        assert "optimal" not in shown
        assert kept(tmp_path)["q-learning/q"].shape[::2] == (3, 4)
        assert not (tmp_path / "values.png").exists()
        assert "DynaQ counts the outcomes of a model" in fails(capsys, "suasion-Bell-v0", "--algorithms", "dyna-q")
        assert "has no table P" in fails(capsys, "suasion-Bell-v0", "--grid", "1x2")
    finally:
        del gymnasium.registry["suasion-Bell-v0"]


def test_the_limit_of_an_environment_cuts_episodes_off(capsys):
    arguments = ["learn", "FrozenLake-v1", "--algorithms", "q-learning", "--runs", "4", "--episodes", "40"]
    assert main([*arguments, "--epsilon", "1"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--time-limit", "3"]) == 0
    assert "of episodes went on to the limit of 3 steps" in capsys.readouterr().out
    assert main([*arguments, "--time-limit", "0"]) == 0
    assert "limit" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such-model.umb",), "no-such-model.umb"),
        (("NoSuchGame-v1",), "no environment of Gymnasium"),
        (("CartPole-v1",), "CartPole-v1: observations are Box"),
        (("Blackjack-v1",), "Blackjack-v1: observations are Tuple"),
        (
            ("CliffWalking-v1", "--algorithms", "qlearning"),
            "unknown algorithm 'qlearning' (did you mean 'q-learning'?)",
        ),
        (("CliffWalking-v1", "--algorithms", "sarsa", "sarsa"), "names sarsa more than once"),
        (("CliffWalking-v1", "--step-size", "1.5"), "sarsa: step_size is 1.5, outside (0, 1]"),
        (("CliffWalking-v1", "--step-size", "0"), "sarsa: step_size is 0.0, outside (0, 1]"),
        (("CliffWalking-v1", "--step-size", "often"), "--step-size often: write a number, polynomial:EXPONENT"),
        (("CliffWalking-v1", "--step-size", "linear:1:0"), "--step-size linear:1:0: write a number"),
        (("CliffWalking-v1", "--epsilon", "2"), "epsilon is 2.0, outside [0, 1]"),
        (("CliffWalking-v1", "--epsilon", "0.1", "--temperature", "1"), "three ways to explore"),
        (("CliffWalking-v1", "--discount", "1.5"), "discount is 1.5, outside [0, 1]"),
        (("CliffWalking-v1", "--runs", "0"), "--runs is 0, below 1"),
        (("CliffWalking-v1", "--episodes", "0"), "--episodes is 0, below 1"),
        (("CliffWalking-v1", "--episodes", "5", "--steps", "5"), "give one of them"),
        (("CliffWalking-v1", "--checkpoints", "0"), "--checkpoints is 0, below 1"),
        (("CliffWalking-v1", "--animate"), "--animate needs --out"),
        (("CliffWalking-v1", "--grid", "9x9"), "--grid 9x9 has 81 cells, and the model 49 states"),
        (("CliffWalking-v1", "--time-limit", "-1"), "time_limit is -1, below 1"),
        (("CliffWalking-v1", "--algorithms", "tree-backup:n=0"), "tree-backup:n=0: n is 0"),
        (("CliffWalking-v1", "--algorithms", "sarsa:n=2"), "'n=2' is none of step-size="),
    ],
)
def test_bad_input_is_told_in_one_line(capsys, arguments, words):
    assert words in fails(capsys, *arguments)


def test_models_that_learners_cannot_have(tmp_path, capsys):
    write_model(from_dict({"a": {"on": [(1.0, "a", 1.0)]}}), tmp_path / "endless.npz")
    assert "has no end: without a --discount below 1" in fails(capsys, str(tmp_path / "endless.npz"))
    ends = from_dict({"a": {"on": [(1.0, "b", 1.0)]}, "b": {}}, terminal=["b"])
    write_model(ends, tmp_path / "costs.npz", question=Question(discount=0.9, maximise=False))
    assert "calls its rewards costs" in fails(capsys, str(tmp_path / "costs.npz"))


def test_a_process_without_jax(corridor, tmp_path):
    code = (
        "import sys\nfrom suasion.cli import main\n"
        "assert main(['learn', sys.argv[1], '--runs', '2', '--episodes', '5', '--out', sys.argv[2]]) == 0\n"
        "assert 'jax' not in sys.modules and 'equinox' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(corridor), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "sarsa" in done.stdout


# Rules by name


def test_every_rule_of_the_room_has_a_name():
    known = known_rules()
    acting = {rule for rule in td._learn._RULES if "exploration" in rule.__dataclass_fields__}
    assert set(known.values()) == acting
    assert {"q-learning", "n-step-sarsa", "double-q-learning", "watkins-q", "monte-carlo-control"} <= set(known)
    assert kebab("NStepSarsa") == "n-step-sarsa"
    for name, rule in known.items():
        assert rule_of(name, None, None) == rule()


def test_rules_have_numbers_of_their_own():
    exploration = EpsilonGreedy(epsilon=0.2)
    assert rule_of("n-step-sarsa:n=8,step-size=0.2", "0.5", exploration) == td.NStepSarsa(
        n=8, step_size=0.2, exploration=exploration
    )
    assert rule_of("sarsa-lambda:lambda=0.5,traces=dutch", "polynomial:0.7", None) == td.SarsaLambda(
        lambda_=0.5, traces="dutch", step_size=Polynomial(exponent=0.7)
    )
    with pytest.raises(ValueError, match="n is 'two', not a whole number"):
        rule_of("n-step-sarsa:n=two", None, None)


def test_schedules_by_words():
    assert schedule_of("--x", "0.5") == 0.5
    assert schedule_of("--x", "polynomial:1") == Polynomial()
    assert schedule_of("--x", "polynomial:0.7:0.5:10") == Polynomial(exponent=0.7, first=0.5, delay=10.0)
    assert schedule_of("--x", "linear:1:0.1:1000") == Linear(first=1.0, last=0.1, over=1000)
    for bad in ("polynomial", "polynomial:a", "polynomial:1:2:3:4", "linear:1:2:2.5", "", "1:2"):
        with pytest.raises(ValueError, match=f"--x {bad}"):
            schedule_of("--x", bad)
    assert exploration_of(None, None, None, "uniform") is None
    assert exploration_of(None, "0.5", None, "uniform") == Softmax(temperature=0.5)
    assert exploration_of("0", None, None, "first") == EpsilonGreedy(epsilon=0.0, ties="first")
    assert exploration_of(None, None, 2.0, "uniform") == td.UCB(c=2.0)


# Exact values of many tables


@pytest.mark.parametrize("ties", ["uniform", "first"])
def test_greedy_policies_are_those_of_the_room(cliff, ties):
    q = np.random.default_rng(0).integers(0, 3, (20, cliff.n_choices)).astype(float)
    shares = greedy_shares(cliff, q, ties)
    for row, table in zip(shares, q, strict=True):
        np.testing.assert_allclose(row, td.epsilon_greedy(cliff, table, ties=ties).probability)


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_values_of_policies_are_those_of_the_room(cliff, discount):
    q = np.random.default_rng(1).normal(size=(30, cliff.n_choices))
    q[:5] += solve_q(cliff) * 10  # some that arrive
    worth = FirstValues(cliff, discount)
    shares = greedy_shares(cliff, q, "uniform")
    wanted = [policy_value(cliff, td.epsilon_greedy(cliff, table), discount)[36] for table in q]
    np.testing.assert_allclose(worth(shares), wanted, rtol=1e-9)
    assert np.isfinite(worth(shares)[:5]).all()


def solve_q(mdp):
    from suasion.markov import q_from_v

    return q_from_v(mdp, solve(mdp, 1.0).value, 1.0)


def test_values_without_an_end():
    """For ever at -1, at 1, at 0, and at 1 and -1 in turn; each entered after a reward of 5."""
    model = {"s": {name: [(1.0, name, 5.0)] for name in ("cost", "gain", "idle", "swing", "end")}}
    model |= {name: {"on": [(1.0, name, r)]} for name, r in (("cost", -1.0), ("gain", 1.0), ("idle", 0.0))}
    model |= {"swing": {"on": [(1.0, "back", 1.0)]}, "back": {"on": [(1.0, "swing", -1.0)]}, "end": {}}
    mdp = from_dict(model, terminal=["end"], initial={"s": 1.0})
    shares = np.ones((5, mdp.n_choices))
    names = [mdp.actions[a] for a in mdp.action[:5]]
    shares[:, :5] = np.eye(5)
    found = dict(zip(names, FirstValues(mdp, 1.0)(shares), strict=True))
    assert (found["cost"], found["gain"], found["idle"], found["end"]) == (-np.inf, np.inf, 5.0, 5.0)
    assert np.isnan(found["swing"])


@pytest.mark.parametrize(("name", "grid"), [("FrozenLake-v1", (4, 4)), ("FrozenLake8x8-v1", (8, 8))])
def test_lakes_lie_on_their_grids_and_have_directions(name, grid):
    loaded = load(name)
    assert loaded.grid == grid
    assert loaded.mdp.actions == ("left", "down", "right", "up")


def test_what_no_policy_reaches_is_not_drawn(cliff):
    found = reachable(cliff)
    assert not found[37:48].any()  # the cliff itself, and the goal, which stands for an end
    assert found[:37].all()


def test_limits_fall_together_without_exploration(cliff):
    found = limits_of(cliff, 1.0, 0.0)
    assert found.soft == pytest.approx(found.optimal)
    assert found.exploring == pytest.approx(found.optimal)
    assert limits_of(cliff, 1.0, None).soft is None
    found = limits_of(cliff, 1.0, 0.01)
    assert found.soft == pytest.approx(-15.44081066, abs=1e-7)
    assert found.exploring == pytest.approx(-16.10516484, abs=1e-7)


# Numbers over runs


@pytest.fixture(scope="module")
def walked():
    rng = np.random.default_rng(0)
    mdp = from_arrays(rng.dirichlet(np.ones(4), (2, 4)), rng.normal(size=(4, 2)))
    return learn(mdp, QLearning(), discount=0.9, runs=5, steps=1000, time_limit=7, exact=False)


def test_returns_are_put_where_their_episodes_ended(walked):
    at, samples = online_returns(walked)
    assert at.tolist() == list(range(10, 1001, 10))
    ends = np.cumsum(walked.lengths, axis=1)
    for run in range(5):
        inside = (ends[run] > 30) & (ends[run] <= 40)
        assert samples[run, 3] == pytest.approx(walked.returns[run, inside].mean())
    weight = np.stack(
        [np.histogram(row[row > 0].cumsum(), bins=np.arange(0, 1001, 10) + 0.5)[0] for row in walked.lengths]
    )
    np.testing.assert_allclose((np.nan_to_num(samples) * weight).sum(), np.nansum(walked.returns))  # none is lost


def test_the_last_tenth(walked):
    count = (~np.isnan(walked.returns)).sum(axis=1)
    found = Played(found=walked, value=None, seconds=1.0).last
    for run in range(5):
        kept = walked.returns[run, : count[run]]
        assert found[run] == pytest.approx(kept[-(count[run] // 10) :].mean())


def test_bands_over_runs():
    at = np.array([1, 2, 3])
    samples = np.array([[1.0, np.nan, 2.0], [3.0, 5.0, 2.0]])
    found = curve(at, samples)
    assert found.at.tolist() == [1, 3]
    assert found.middle.tolist() == [2.0, 2.0]
    assert found.kind == "mean"
    assert curve(at, samples[1:]).kind == "median"
    infinite = curve(at, np.array([[-np.inf, 1.0, 1.0], [-np.inf, 1.0, 2.0]]), median=True)
    assert infinite.middle[0] == -np.inf


def test_means_are_written_to_two_digits_of_their_interval():
    assert with_interval(np.array([-27.0, -26.0, -28.5, -25.5])) == "-26.8 ± 2.1"
    assert with_interval(np.full(10, -13.0)) == "-13"
    assert with_interval(np.array([-np.inf, -17.0, -17.0])) == "median -17"
    assert with_interval(np.array([np.nan])) == "none"
    assert with_interval(np.array([0.25])) == "0.25"
