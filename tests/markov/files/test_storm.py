"""Storm loads what is written, and its values are those of plain value iteration (where stormpy is installed)."""

from pathlib import Path

import numpy as np
import pytest

from suasion.markov import MDP, POMDP
from suasion.markov._files import read_model, write_model

stormpy = pytest.importorskip("stormpy")
examples = pytest.importorskip("stormpy.examples")

SUFFIXES = [".umb", ".umb.gz", ".umb.xz", ".drn"]  # stormpy 2.0 reads compressed DRN as if it were text


def random(seed, states=200):
    """States with up to three actions, each of which leads to an end with some probability."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, states)
    choices = int(counts.sum())
    ends = np.flatnonzero(counts == 0)
    target = rng.integers(0, states, (choices, 4))
    target[:, 0] = rng.choice(ends, choices)
    probability = rng.random((choices, 4)) + 0.05
    return MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=np.arange(0, 4 * choices + 1, 4),
        target=target.ravel(),
        probability=(probability / probability.sum(1, keepdims=True)).ravel(),
        choice_reward=rng.exponential(size=choices),
        terminal=counts == 0,
        actions=("up", "go down", "stay"),
        initial=np.eye(states)[7],
        labels={"some": rng.random(states) < 0.3},
    )


def values(model, discount, best):
    """Value iteration until nothing changes."""
    start, target, probability, reward = model.marginals
    v = np.zeros(model.n_states)
    acts = ~model.terminal
    while True:
        q = reward + discount * np.add.reduceat(probability * v[target], start[:-1])
        new = np.zeros_like(v)
        new[acts] = best.reduceat(q, model.choice_start[:-1][acts])
        if np.abs(new - v).max() < 1e-13:
            return new
        v = new


def load(path):
    build = stormpy.build_model_from_umb if ".umb" in path.name else stormpy.build_model_from_drn
    return build(str(path))


def check(model, formula):
    environment = stormpy.environments.sound()
    solver = environment.solver().min_max()
    solver.precision = stormpy.Rational(1e-10)
    solver.relative_termination_criterion = False
    result = stormpy.model_checking(model, stormpy.parse_property(formula), environment=environment)
    return np.array(result.get_value_vector())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values(tmp_path, suffix):
    for seed in range(3):
        model = random(seed)
        path = tmp_path / f"m{suffix}"
        write_model(model, path)
        loaded = load(path)
        assert loaded.nr_states == model.n_states
        assert loaded.nr_choices == model.n_choices + model.terminal.sum()
        assert list(loaded.initial_states) == [7]
        assert set(loaded.labeling.get_labels()) == {"some", "terminal", "init"}
        assert set(loaded.labeling.get_states("some")) == set(np.flatnonzero(model.labels["some"]))
        for name, best in (("max", np.maximum), ("min", np.minimum)):
            total = check(loaded, f'R{{"reward"}}{name}=? [F "terminal"]')
            np.testing.assert_allclose(total, values(model, 1.0, best), rtol=1e-7, atol=1e-9)
            discounted = check(loaded, f'R{{"reward"}}{name}=? [Cdiscount=9/10]')
            np.testing.assert_allclose(discounted, values(model, 0.9, best), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("suffix", [".umb", ".drn"])
def test_what_storm_writes(tmp_path, suffix):
    """Our model through Storm and back: Storm keeps labels, choices and order; it adds the label of the loops."""
    model = random(5)
    write_model(model, tmp_path / f"m{suffix}")
    back = tmp_path / "back.drn"
    stormpy.io.export_to_drn(load(tmp_path / f"m{suffix}"), str(back))
    again, _ = read_model(back)
    assert again.choice_start.tolist() == model.choice_start.tolist()
    assert again.target.tolist() == model.target.tolist()
    np.testing.assert_allclose(again.probability, model.probability, rtol=1e-9)
    np.testing.assert_allclose(again.choice_reward, model.choice_reward, rtol=1e-9)
    assert again.terminal.tolist() == model.terminal.tolist()
    assert again.initial.tolist() == model.initial.tolist()
    assert again.labels["some"].tolist() == model.labels["some"].tolist()


@pytest.mark.parametrize("suffix", [".umb", ".drn"])
def test_a_model_that_storm_builds(tmp_path, suffix):
    """A shared coin of two processes: built by Storm, read and written by us, the same values in Storm."""
    built = stormpy.build_model(stormpy.parse_prism_program(str(shipped("mdp/coin2-2.nm"))))
    path = tmp_path / f"m{suffix}"
    (stormpy.io.export_to_umb if suffix == ".umb" else stormpy.io.export_to_drn)(built, str(path))
    model, _ = read_model(path)
    assert (model.n_states, model.n_choices, model.n_branches) == (272, 400, 492)
    write_model(model, path)
    for formula in ('Rmax=? [F "finished"]', 'Pmin=? [F "finished" & "all_coins_equal_1"]'):
        np.testing.assert_allclose(check(load(path), formula), check(built, formula), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("suffix", [".umb", ".drn"])
def test_observations(tmp_path, suffix):
    model = random(3)
    seen = np.random.default_rng(3).integers(0, 5, model.n_states)
    path = tmp_path / f"m{suffix}"
    write_model(POMDP(mdp=model, observation=np.repeat(np.eye(5)[seen][None], 3, 0)), path)
    loaded = load(path)
    assert loaded.is_partially_observable
    assert [loaded.get_observation(s) for s in range(model.n_states)] == seen.tolist()


def test_rewards_of_outcomes(tmp_path):
    """Storm holds one reward for a transition; where ours differ on one target, it refuses the file."""
    model = random(4)
    rewards = np.random.default_rng(4).normal(size=model.n_branches)
    fields = {name: getattr(model, name) for name in ("choice_start", "branch_start", "target", "probability")}
    fields |= {name: getattr(model, name) for name in ("choice_reward", "action", "terminal", "initial")}
    model = MDP(**fields, branch_reward=np.abs(rewards))
    write_model(model, tmp_path / "m.umb")
    total = check(load(tmp_path / "m.umb"), 'R{"reward"}max=? [F "terminal"]')
    np.testing.assert_allclose(total, values(model, 1.0, np.maximum), rtol=1e-7, atol=1e-9)


def shipped(name):
    return Path(examples.__file__).parent / "files" / name


def test_expected_coin_flips(tmp_path):
    """A die and two dice from fair coins, in the files that Storm ships: 11/3 and 22/3 flips."""
    for parts, flips, best in (
        (("tra/die.tra", "lab/die.lab", "rew/die.coin_flips.trans.rew"), 11 / 3, np.maximum),
        (("tra/two_dice.tra", "lab/two_dice.lab", "rew/two_dice.flip.trans.rew"), 22 / 3, np.minimum),
    ):
        for part in parts:
            (tmp_path / shipped(part).name).write_bytes(shipped(part).read_bytes())
        model, _ = read_model(tmp_path / shipped(parts[0]).name)
        first = int(np.argmax(model.initial))
        assert values(model, 1.0, best)[first] == pytest.approx(flips, rel=1e-9)
        write_model(model, tmp_path / "m.umb")
        name = "max" if best is np.maximum else "min"
        assert check(load(tmp_path / "m.umb"), f'R{name}=? [F "done"]')[first] == pytest.approx(flips, rel=1e-8)


def test_a_maze(tmp_path):
    """A POMDP that Storm ships, written again."""
    model, _ = read_model(shipped("pomdp/maze.drn"))
    write_model(model, tmp_path / "m.umb")
    one, other = load(shipped("pomdp/maze.drn")), load(tmp_path / "m.umb")
    assert (one.nr_states, one.nr_choices, one.nr_transitions) == (
        other.nr_states,
        other.nr_choices,
        other.nr_transitions,
    )
    assert [one.get_observation(s) for s in range(15)] == [other.get_observation(s) for s in range(15)]
