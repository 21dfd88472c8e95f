"""The study of the gradient's noise: what it measures of networks against enumeration, and what lies in its folder."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import Experiment, LearnerConfig, Rewards, Shared, _gradient_noise, begin, constant, init, rollout
from suasion.agents._policy_gradient import episode_gradients
from suasion.games import MatrixGame
from suasion.networks import Policy, PolicyConfig
from suasion.runs import _variance, _variance_game
from suasion.runs._variance import GAMES, VarianceStudy, study_variance
from suasion.runs._variance_game import ESTIMATORS, STAGES, played_game

STUDY = VarianceStudy(agents=(2,), seeds=1, budget=256)
PAYOFFS = np.array([[1.5, -0.5], [0.25, 1.0]])


def miniature(agents):
    """One round of a matrix game for the team's reward, with the smallest of networks."""
    assert agents == 2
    game = MatrixGame(payoffs=np.repeat(PAYOFFS[..., None], 2, -1).tolist(), horizon=1)
    return Experiment(
        game=game,
        policy=Policy(spec=game.spec, config=PolicyConfig(encoder="classes", hidden=(3,), width=3, core="none")),
        config=LearnerConfig(algorithm="a2c", environments=4, steps=1, staggered=False),
        rewards=Rewards((("shared", Shared(), constant(2.0)),)),
    )


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A study of the miniature, measured once: its folder, what was found, and the parts in their order."""
    folder, told = tmp_path_factory.mktemp("study") / "here", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_variance_game, "experiment_of", miniature)
        found = study_variance(STUDY, folder, watch=lambda cell, seconds: told.append((cell, seconds > 0)))
    return folder, found, told


def of(found, **wanted):
    (one,) = (one for one in found.measured if all(getattr(one, key) == value for key, value in wanted.items()))
    return one


def test_what_is_measured_of_networks_is_what_can_be_enumerated(studied, quick):
    """Trace and signal of 256 episodes within 4.5 errors of the sum over joint actions: a false alarm in 20,000."""
    experiment = miniature(2)
    policy = experiment.policy
    params = jax.jit(init, static_argnums=0)(experiment, jax.random.key(0)).params.policy
    joint = np.array(list(itertools.product(range(2), repeat=2)), np.int32)
    team = 2 * PAYOFFS[tuple(joint.T)]

    def enumerated(key):
        actors = begin(experiment.game, policy, params, key, 4, staggered=False)
        played = rollout(experiment.game, policy, params, actors, key, 1)[1]
        every = played._replace(symbols={"action": jnp.asarray(joint[None])})
        p = jax.nn.softmax(played.logits["action"])[0, 0]
        mass = p[0][joint[:, 0]] * p[1][joint[:, 1]]
        # What each would get on average over its own actions, for either action of the other.
        held = jnp.stack([p[0] @ (2 * PAYOFFS), (2 * PAYOFFS) @ p[1]])
        baseline = jnp.stack([held[0][joint[:, 1]], held[1][joint[:, 0]]], -1)
        paid = jnp.broadcast_to(jnp.asarray(team)[:, None], (4, 2))
        advantage = jnp.stack([paid, paid - baseline])[:, None]
        return mass, episode_gradients(policy, params, every, advantage, jnp.arange(4))

    mass, gradients = (np.asarray(x, np.float64) for x in quick(enumerated)(jax.random.key(0)))
    for e, kind in enumerate(("none", "counterfactual")):
        flat = gradients[e].reshape(4, -1)
        signal = np.square(mass @ flat).sum()
        trace = mass @ np.square(flat).sum(1) - signal
        one = of(studied[1], game="harvest", stage="start", estimator=kind, batch=1)
        for name, truth in (("trace", trace), ("signal", signal)):
            interval = getattr(one, name)
            assert abs(interval.value - truth) < 4.5 * (interval.high - interval.low) / 3.92, (kind, name)


def test_in_one_round_the_critic_is_the_return(studied):
    """The step played again gives the reward itself, and nothing follows: counterfactual and critic are equal."""
    for stage in STAGES:
        for name in ("trace", "signal"):
            a, b = (
                getattr(of(studied[1], game="harvest", stage=stage, estimator=kind, batch=4), name).value
                for kind in ("counterfactual", "critic")
            )
            assert a == pytest.approx(b, rel=1e-4)
    for aside in studied[1].asides:
        assert aside.alignment is None or aside.alignment.value == pytest.approx(1, abs=1e-3)
        assert set(aside.explained) == {"own value", "central value", "counterfactual"}
        # One view is all there is to see, so values know no more than the mean; the others' actions say a lot.
        assert abs(aside.explained["central value"]) < 0.05 < aside.explained["counterfactual"]


def test_every_number_is_there(studied):
    folder, found, told = studied
    names = [*(f"{game}-2" for game in GAMES), "harvest-2-seed-0"]
    assert told == [(name, True) for name in names]
    assert sorted(path.stem for path in (folder / "cells").iterdir()) == sorted(names)
    assert len(found.measured) == 3 * 4 * 3 + 2 * len(ESTIMATORS) * 3
    assert len(found.asides) == 2
    for one in found.measured:
        assert one.trace.low <= one.trace.value <= one.trace.high
        if one.exact_ratio is not None:  # 95 % intervals; 4 of their half-widths: a false alarm in 10^14
            assert abs(one.trace.value - one.exact_trace) < 2 * (one.trace.high - one.trace.low) + 1e-12
    batches = [of(found, game="sum", estimator="central value", batch=batch) for batch in (1, 4, 16)]
    assert [one.exact_trace * one.batch for one in batches] == pytest.approx([batches[0].exact_trace] * 3)
    for line in (folder / "timing.jsonl").read_text().splitlines():
        assert set(json.loads(line)) == {"cell", "wall_s", "cpu_s"}


def test_what_is_finished_is_taken_as_it_is(studied, monkeypatch):
    folder, found, _ = studied

    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(_variance, "played", fail)
    removed = folder / "cells" / "sum-2.json"
    before, told = removed.read_bytes(), []
    removed.unlink()
    again = study_variance(STUDY, folder, watch=lambda cell, seconds: told.append(seconds > 0))
    assert told == [True, False, False, False]
    assert removed.read_bytes() == before
    assert again == found


def test_folders_of_something_else_are_left_alone(studied, tmp_path, monkeypatch):
    folder, *_ = studied
    with pytest.raises(ValueError, match=r"holds another study \(seeds 1 / 2, budget 256 / 64\): name another folder"):
        study_variance(VarianceStudy(agents=(2,), seeds=2, budget=64), folder)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no study"):
        study_variance(STUDY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    for content, message in (("{", "not acceptable JSON"), ("[]", "holds a list"), ("{}", "lacks 'start'")):
        cell = folder / "cells" / "harvest-2-seed-0.json"
        before = cell.read_bytes()
        cell.write_text(content)
        try:
            with pytest.raises(ValueError, match=f"{message}.*|remove it, and it is measured again"):
                study_variance(STUDY, folder)
        finally:
            cell.write_bytes(before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agents": ()}, "no number of agents"),
        ({"agents": (1, 2)}, "agents is 1; must be 2 to 10"),
        ({"agents": (2, 11)}, "agents is 11"),
        ({"agents": (4, 2)}, "agents are 4,2; must rise"),
        ({"agents": (2, 2)}, "each number once"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"budget": 63}, "63 episodes is too small for one estimate: 4 batches of 16 take 64"),
        ({"budget": 100}, "100 episodes does not divide into batches of 16"),
    ],
)
def test_what_gives_no_estimate_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        VarianceStudy(**changes)


def test_the_map_holds_ten():
    for agents in (2, 10):
        assert played_game(agents).spec.agents == agents


@pytest.mark.slow
def test_harvest_itself():
    """Two agents on the real map: a baseline lowers the noise, and leaves the signal as it is (4.5 errors).

    Noise is compared block by block, under the same weights of the bootstrap: one rare episode widens the interval of
    every estimator, but hardly that of their ratio.
    """
    found = _variance_game.played(256, 2, 0)["start"]
    one = {kind: _variance.noise([_variance._blocks(plain)]) for kind, plain in found["estimators"].items()}
    weights = np.random.default_rng(0).exponential(size=(2000, 16))
    trace = {}
    for kind, plain in found["estimators"].items():
        signal, power = _gradient_noise._moments(_variance._blocks(plain), 1, weights)
        trace[kind] = power - signal
    assert np.quantile(trace["own value"] / trace["none"], 0.975) < 0.9
    assert np.quantile(trace["critic"] / trace["counterfactual"], 0.975) < 0.9
    for kind in ("own value", "central value", "counterfactual"):
        error = (one["none"].signal.high - one["none"].signal.low) / 3.92
        assert abs(one[kind].signal.value - one["none"].signal.value) < 4.5 * error
