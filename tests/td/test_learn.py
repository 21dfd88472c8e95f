"""The two verbs: reproducible whatever the threads and blocks, records that fit, and bad input."""

import dataclasses
import re

import numpy as np
import pytest

from suasion.markov import Policy, from_arrays
from suasion.planning import evaluate
from suasion.td import (
    TD,
    Constant,
    DoubleQLearning,
    EpsilonGreedy,
    ExpectedSarsa,
    Linear,
    MonteCarlo,
    MonteCarloControl,
    NStepSarsa,
    Polynomial,
    QLearning,
    Sarsa,
    SarsaLambda,
    Softmax,
    TDLambda,
    TreeBackup,
    WatkinsQ,
    batch_mc,
    batch_td,
    epsilon_greedy,
    epsilon_soft,
    learn,
    mean_band,
    predict,
    quantile_band,
)

RULES = [
    Sarsa(),
    QLearning(),
    DoubleQLearning(),
    NStepSarsa(n=3),
    SarsaLambda(),
    MonteCarloControl(),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_threads_blocks_checkpoints_and_runs_change_nothing(models, rule):
    mdp = models["varied"]()
    numbers = {"discount": 0.9, "seed": 11, "time_limit": 40, "exact": False}
    plain = learn(mdp, rule, runs=23, steps=700, threads=1, block=23, **numbers)
    for threads, block in ((2, 1), (2, 5), (1, 7), (2, 64)):
        other = learn(mdp, rule, runs=23, steps=700, threads=threads, block=block, **numbers)
        assert other.q.tobytes() == plain.q.tobytes()
        assert other.returns.tobytes() == plain.returns.tobytes()
    looked = learn(mdp, rule, runs=9, steps=700, checkpoints=[0, 1, 17, 350, 700], **numbers)
    assert looked.q[:, -1].tobytes() == plain.q[:9, 0].tobytes()
    assert (looked.q[:, 0] == 0).all()


@pytest.mark.parametrize("rule", [Sarsa, ExpectedSarsa, QLearning])
def test_jumps_change_nothing(models, rule, monkeypatch):
    """In a model without chance one run takes the loop with jumps; ties, exploration and cuts are as without."""
    from suasion.td import _play

    asked = {"discount": 1.0, "runs": 2, "steps": 3000, "time_limit": 50, "exact": False}
    fast = learn(models["cliff"](), rule(step_size=0.5), **asked)
    plain = _play.learner
    monkeypatch.setattr(_play, "learner", lambda *key: plain(*key[:4], False))
    slow = learn(models["cliff"](), rule(step_size=0.5), **asked)
    assert fast.q.tobytes() == slow.q.tobytes()
    assert fast.returns.tobytes() == slow.returns.tobytes()


def test_episodes_and_steps_tell_the_same_story(models):
    walk = models["walk"]()
    found = predict(walk, Policy.uniform(walk), TD(), discount=1.0, runs=4, episodes=2000, seed=1)
    assert found.lengths.sum(axis=1).tolist() == found.steps.tolist()
    same = predict(walk, Policy.uniform(walk), TD(), discount=1.0, runs=4, steps=int(found.steps[2]), seed=1)
    assert same.v[2, 0].tobytes() == found.v[2, 0].tobytes()
    done = np.isfinite(same.returns[2])
    np.testing.assert_array_equal(same.returns[2, done], found.returns[2, : done.sum()])
    assert ((found.returns == 0) | (found.returns == 1)).all()
    assert same.returns.shape == same.lengths.shape


def test_exact_values_are_those_of_the_greedy_policy(models):
    mdp = models["varied"]()
    found = learn(mdp, QLearning(), discount=0.9, runs=3, steps=500, checkpoints=[100, 500])
    for run in range(3):
        for at in range(2):
            policy = found.policy(run, at)
            assert found.v[run, at] == pytest.approx(evaluate(mdp, policy, 0.9).value, abs=1e-9)
    assert found.value == pytest.approx(found.v[:, :, ~mdp.terminal].mean(axis=2))
    assert "QLearning" in repr(found)
    never = learn(mdp, QLearning(), discount=0.9, steps=10, exact=False)
    with pytest.raises(ValueError, match="exact"):
        _ = never.value


def test_optimism_tries_everything():
    mdp = from_arrays(np.ones((5, 1, 1)), np.arange(5.0)[None])
    greedy = EpsilonGreedy(epsilon=0.0)
    shy = learn(mdp, QLearning(exploration=greedy), discount=0.0, steps=500, start=0.0)
    bold = learn(mdp, QLearning(exploration=greedy), discount=0.0, steps=500, start=10.0)
    assert (shy.q[0, 0] == 0).sum() >= 1
    assert bold.q[0, 0].argmax() == 4
    assert (bold.q[0, 0] < 10).all()


def test_first_states(models):
    mdp = models["varied"]()
    first = np.eye(mdp.n_states)[2]
    found = learn(mdp, Sarsa(), discount=0.5, steps=1, runs=50, initial=first, exact=False)
    touched = np.flatnonzero((found.q != 0).any(axis=(0, 1)))
    assert set(touched) <= set(mdp.choices(2))
    assert found.mdp.initial.tolist() == first.tolist()


def test_softmax_frequencies():
    mdp = from_arrays(np.ones((3, 1, 1)), np.zeros((1, 3)))
    q = np.array([0.0, 1.0, 2.0])
    rule = Sarsa(step_size=1.0, exploration=Softmax(temperature=2.0))
    found = learn(mdp, rule, discount=0.0, runs=20_000, steps=1, start=q + 1.0, exact=False)
    counts = np.bincount(np.argwhere(found.q[:, 0] == 0)[:, 1], minlength=3)
    share = np.exp(q / 2) / np.exp(q / 2).sum()
    assert (abs(counts - 20_000 * share) < 5.5 * np.sqrt(20_000 * share * (1 - share))).all()


def test_bands():
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 1.0, (2000, 20, 10))
    inside = [(b.lower < 3) & (b.upper > 3) for b in (mean_band(s, 0.9) for s in samples)]
    assert abs(np.mean(inside) - 0.9) < 5.5 * np.sqrt(0.09 / 20_000)
    ragged = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 7.0]])
    assert mean_band(ragged).middle.tolist() == [2.0, 6.0]
    band = quantile_band(np.arange(101.0)[:, None], 0.9)
    assert [band.lower[0], band.middle[0], band.upper[0]] == [5.0, 50.0, 95.0]
    assert quantile_band(np.array([[-np.inf], [-np.inf], [1.0]])).middle.tolist() == [-np.inf]
    with pytest.raises(ValueError, match="column 1 has 1"):
        mean_band(ragged[:2])
    with pytest.raises(ValueError, match="level is 1"):
        quantile_band(ragged, 1.0)
    with pytest.raises(ValueError, match="column 0 has no"):
        quantile_band(np.full((2, 1), np.nan))


def test_schedules_say_whether_they_settle():
    assert Polynomial().robbins_monro
    assert Polynomial(exponent=0.51).robbins_monro
    assert not Polynomial(exponent=0.5).robbins_monro
    assert not Polynomial(exponent=1.1).robbins_monro
    assert not Constant(0.1).robbins_monro
    assert not Linear(first=1.0, last=0.0, over=10).robbins_monro
    assert Polynomial(exponent=0.5).greedy_in_the_limit
    assert not Polynomial(exponent=2.0).greedy_in_the_limit
    assert not Constant(0.0).greedy_in_the_limit


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: QLearning(step_size=0.0), "step_size is 0.0, outside"),
        (lambda: Sarsa(step_size=1.5), "step_size is 1.5, outside"),
        (lambda: Sarsa(step_size=float("nan")), "step_size is nan, outside"),
        (lambda: Sarsa(step_size=-0.1), "step_size is -0.1, outside"),
        (lambda: TD(step_size=Linear(first=1.0, last=0.0, over=9)), "step_size is 0.0, outside"),
        (lambda: TD(step_size=Polynomial(first=2.0)), "step_size is 2.0, outside"),
        (lambda: TD(n=0), "n is 0, no whole"),
        (lambda: NStepSarsa(n=-1), "n is -1, no whole"),
        (lambda: TreeBackup(n=0), "n is 0, no whole"),
        (lambda: TreeBackup(target="best"), "target is 'best'"),
        (lambda: SarsaLambda(lambda_=1.1), "lambda_ is 1.1, outside"),
        (lambda: TDLambda(lambda_=-0.1), "lambda_ is -0.1, outside"),
        (lambda: TDLambda(traces="long"), "traces is 'long'"),
        (lambda: TDLambda(cutoff=1.0), "cutoff is 1.0, outside"),
        (lambda: WatkinsQ(traces="dutch"), "traces is 'dutch'"),
        (lambda: MonteCarlo(visits="last"), "visits is 'last'"),
        (lambda: MonteCarloControl(visits="last"), "visits is 'last'"),
        (lambda: EpsilonGreedy(epsilon=1.01), "epsilon is 1.01, outside"),
        (lambda: EpsilonGreedy(epsilon=-0.01), "epsilon is -0.01, outside"),
        (lambda: EpsilonGreedy(ties="last"), "ties is 'last'"),
        (lambda: Softmax(temperature=0.0), "temperature is 0.0, not above 0"),
        (lambda: Polynomial(exponent=0.0), "exponent is 0.0, not a number above"),
        (lambda: Polynomial(delay=-1.0), "delay is -1.0"),
        (lambda: Linear(first=0.1, last=0.2, over=1), "over is 1, below 2"),
        (lambda: Constant(float("inf")), "value is inf"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_records_refuse(make, said):
    """A word that is none of those in the annotation is caught by the type checker first, where it is on."""
    with pytest.raises(Exception, match=f"{re.escape(said)}|Type-check error"):
        make()


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"discount": 1.1}, "discount is 1.1, outside"),
        ({"runs": 0}, "runs is 0, below 1"),
        ({"steps": 0}, "steps is 0, below 1"),
        ({"episodes": 3}, "give one of them"),
        ({"steps": None}, "give one of them"),
        ({"time_limit": 0}, "time_limit is 0, below 1"),
        ({"threads": 0}, "threads is 0, below 1"),
        ({"block": 0}, "block is 0, below 1"),
        ({"seed": -1}, "seed is -1, below 0"),
        ({"checkpoints": [3, 3]}, "they must rise"),
        ({"checkpoints": [11]}, "to 10 at most"),
        ({"checkpoints": []}, "they must rise"),
        ({"checkpoints": np.array([], np.int64)}, "they must rise"),
        ({"start": np.zeros(3)}, "start has 3 entries, not one for each of"),
        ({"start": float("inf")}, "start[0] is inf"),
        ({"initial": np.eye(8)[7]}, "initial[7] is 1.0, and state 7 is terminal"),
        ({"initial": np.eye(8)[0] / 2}, "initial sums to 0.5, not 1"),
        ({"initial": np.ones(3) / 3}, "initial has 3 entries, not 8"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_learn_and_predict_refuse(models, numbers, said):
    mdp = models["varied"]()
    given = {"discount": 0.9, "steps": 10} | numbers
    with pytest.raises(ValueError, match=re.escape(said)):
        learn(mdp, QLearning(), **given)
    with pytest.raises(ValueError, match=re.escape(said)):
        predict(mdp, Policy.uniform(mdp), TD(), **given)


def test_other_bad_input(models):
    mdp = models["varied"]()
    endless = from_arrays(np.ones((1, 1, 1)), np.ones(1))
    with pytest.raises(ValueError, match="no episode ends"):
        learn(endless, QLearning(), discount=0.9, episodes=3)
    with pytest.raises(ValueError, match="value in state 0 is inf"):
        predict(endless, Policy.uniform(endless), TD(), discount=1.0, steps=3)
    with pytest.raises(ValueError, match="epsilon is 2"):
        epsilon_soft(mdp, 2.0)
    with pytest.raises(ValueError, match="q has 1 entries"):
        epsilon_greedy(mdp, np.zeros(1))
    with pytest.raises(ValueError, match="is nan"):
        epsilon_greedy(mdp, np.full(mdp.n_choices, np.nan))
    walk = models["walk"]()
    with pytest.raises(ValueError, match="the policy is for 7 states"):
        predict(mdp, Policy.uniform(walk), TD(), discount=0.9, steps=3)
    with pytest.raises(ValueError, match="terminal"):
        learn(dataclasses.replace(walk, initial=np.eye(7)[walk.terminal.argmax()]), Sarsa(), discount=1.0, steps=1)
    from suasion.markov import simulate

    walks = simulate(walk, Policy.uniform(walk), 2, np.random.default_rng(0), walks=3)
    with pytest.raises(ValueError, match="walk 0 has not ended after 2 steps"):
        batch_mc(walks, 7, 1.0)
    with pytest.raises(ValueError, match="states are 0 to 1"):
        batch_td(walks, 2, 1.0)
    with pytest.raises(ValueError, match="step_size is 0"):
        batch_td(walks, 7, 1.0, step_size=0.0)


def test_values_that_grow_without_bound(models):
    walk = models["walk"](19)
    rule = TDLambda(lambda_=1.0, step_size=1.0)
    with pytest.raises(ValueError, match=r"run \d: the value of state .* has become (inf|nan|-inf): take"):
        predict(walk, Policy.uniform(walk), rule, discount=1.0, runs=2, episodes=2000)


def test_an_episode_that_does_not_end(models, monkeypatch):
    from suasion.td import _play

    monkeypatch.setattr(_play, "_LONGEST", 1000)
    loop = {0: [(1.0, 0, -1.0)], 1: [(1.0, 1, 0.0)]}
    from suasion.markov import from_function

    mdp = from_function([0], lambda s: [] if s else ["stay", "go"], lambda s, a: loop[a == "go"], initial={0: 1.0})
    never = QLearning(exploration=EpsilonGreedy(epsilon=0.0, ties="first"))
    with pytest.raises(ValueError, match=r"episode 0 of run 0 has not ended after \d+ steps"):
        learn(mdp, never, discount=1.0, episodes=2, start=np.array([10_000.0, 0.0]))


def test_monte_carlo_that_remembers_too_much(monkeypatch):
    from suasion.td import _play

    monkeypatch.setattr(_play, "_MOST", 2000)
    loop = from_arrays(np.ones((1, 1, 1)), np.ones(1))
    with pytest.raises(ValueError, match=r"episode 0 of run \d has not ended after \d+ steps: give time_limit"):
        learn(loop, MonteCarloControl(), discount=0.9, runs=3, steps=100_000)
    learn(loop, MonteCarloControl(), discount=0.9, runs=3, steps=10_000, time_limit=20)
