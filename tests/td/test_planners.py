"""Dyna-Q and prioritised sweeping: what they are without planning, on the textbook's maze, and where chance decides."""

import numpy as np
import pytest

from suasion.markov import from_dict, from_function, q_from_v
from suasion.planning import solve
from suasion.td import (
    UCB,
    DynaQ,
    EpsilonGreedy,
    ExpectedSarsa,
    Polynomial,
    PrioritisedSweeping,
    QLearning,
    TreeBackup,
    learn,
)

Z = 5.5  # standard errors: a right program fails one such test with probability 4e-8, when its seed is chosen


def maze():
    """Sutton & Barto, example 8.1: 6 x 9 cells, seven of them walls; from (2, 0) to (0, 8), which is worth 1."""
    walls = {(1, 2), (2, 2), (3, 2), (4, 5), (0, 7), (1, 7), (2, 7)}

    def step(s, a):
        to = (s[0] + a[0], s[1] + a[1])
        if to in walls or not (0 <= to[0] < 6 and 0 <= to[1] < 9):
            to = s
        return [(1.0, to, float(to == (0, 8)))]

    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    return from_function([(2, 0)], lambda s: [] if s == (0, 8) else moves, step, initial={(2, 0): 1.0})


@pytest.mark.parametrize("name", ["cliff", "varied"])
@pytest.mark.parametrize("exploration", [EpsilonGreedy(epsilon=0.2), EpsilonGreedy(epsilon=0.2, ties="first")])
def test_no_planning_is_q_learning(models, name, exploration):
    mdp = models[name]()
    numbers = {"discount": 0.9, "runs": 20, "steps": 2000, "checkpoints": [7, 2000], "time_limit": 60, "exact": False}
    q = learn(mdp, QLearning(step_size=0.3, exploration=exploration), **numbers)
    dyna = learn(mdp, DynaQ(planning_steps=0, step_size=0.3, exploration=exploration), **numbers)
    assert q.q.tobytes() == dyna.q.tobytes()
    assert q.returns.tobytes() == dyna.returns.tobytes()


@pytest.mark.parametrize("rule", [DynaQ(planning_steps=3, bonus=0.01), PrioritisedSweeping()])
def test_threads_blocks_checkpoints_and_runs_change_nothing(models, rule):
    mdp = models["varied"]()
    numbers = {"discount": 0.9, "seed": 11, "time_limit": 40, "exact": False}
    plain = learn(mdp, rule, runs=13, steps=300, threads=1, block=13, **numbers)
    other = learn(mdp, rule, runs=13, steps=300, threads=2, block=2, **numbers)
    assert other.q.tobytes() == plain.q.tobytes()
    looked = learn(mdp, rule, runs=4, steps=300, checkpoints=[0, 1, 17, 300], **numbers)
    assert looked.q[:, -1].tobytes() == plain.q[:4, 0].tobytes()


def test_maze():
    """Figure 8.2: planning reaches the shortest path, 14 steps, in a few episodes."""
    mdp = maze()
    assert int((~mdp.terminal).sum()) == 46  # of 54 cells, less seven walls and the goal
    best = solve(mdp, 0.95).value[mdp.initial.argmax()]
    assert best == pytest.approx(0.95**13)
    soon = {}
    for steps in (0, 5, 50):
        found = learn(mdp, DynaQ(planning_steps=steps), discount=0.95, runs=60, episodes=40, exact=False)
        soon[steps] = int(np.argmax(found.lengths.mean(axis=0) < 30)) + 1  # exploration costs some of the 30
    assert soon[50] <= 3 < soon[5] < 10 < 20 < soon[0]
    found = learn(mdp, PrioritisedSweeping(planning_steps=50), discount=0.95, runs=60, episodes=2, exact=False)
    assert found.lengths[:, 1].mean() < 30


def test_sweeping_is_value_iteration_of_what_was_met(models):
    """Swept until nothing is queued, values are those of the model with the observed frequencies: certain here."""
    mdp = maze()
    found = learn(
        mdp,
        PrioritisedSweeping(planning_steps=1000, threshold=0.0, exploration=EpsilonGreedy(epsilon=1.0)),
        discount=0.95,
        runs=3,
        steps=20_000,
    )
    exact = q_from_v(mdp, solve(mdp, 0.95, tolerance=1e-12).value, 0.95)
    np.testing.assert_allclose(found.q[:, 0], np.broadcast_to(exact, (3, mdp.n_choices)), atol=1e-9)


def gamble():
    """A choice that wins 2 with probability 0.3, and one that brings 0.5 surely."""
    return from_dict(
        {"s": {"bet": [(0.3, "end", 2.0), (0.7, "end", 0.0)], "take": [(1.0, "end", 0.5)]}}, terminal=["end"]
    )


def test_where_chance_decides(models):
    """The model is one of frequencies: means of what was met, not what was met last."""
    found = learn(
        gamble(),
        PrioritisedSweeping(threshold=0.0, exploration=EpsilonGreedy(epsilon=1.0)),
        discount=1.0,
        runs=400,
        episodes=200,
        exact=False,
    )
    assert abs(found.q[:, 0, 0].mean() - 0.6) < Z * found.q[:, 0, 0].std(ddof=1) / 20
    assert found.q[:, 0, 0].std() < 0.15  # sqrt(0.84 / 100) = 0.09
    np.testing.assert_allclose(found.q[:, 0, 1], 0.5, atol=1e-12)
    mdp = models["varied"](seed=4)
    exact = q_from_v(mdp, solve(mdp, 0.9).value, 0.9)
    explores = EpsilonGreedy(epsilon=0.5)
    rules = (
        DynaQ(planning_steps=5, step_size=Polynomial(exponent=0.7), exploration=explores),
        PrioritisedSweeping(exploration=explores),
    )
    for rule in rules:
        found = learn(mdp, rule, discount=0.9, runs=8, steps=40_000)
        assert abs(found.q - exact).mean() < 0.1
        np.testing.assert_allclose(found.v[:, 0], np.broadcast_to(solve(mdp, 0.9).value, (8, mdp.n_states)), atol=1e-6)


def test_a_bonus_tries_again():
    """Example 8.3 in small: greedy but for its bonus, Dyna-Q+ tries what it has not tried for long."""
    model = {"s": {"known": [(1.0, "s", 0.1)], "new": [(1.0, "s", 1.0)]}}
    greedy = EpsilonGreedy(epsilon=0.0, ties="first")
    mdp = from_dict(model)
    start = np.array([1.0, 0.0])  # what is new looks bad
    found = {
        bonus: learn(mdp, DynaQ(bonus=bonus, exploration=greedy), discount=0.5, steps=2000, start=start, exact=False).q[
            0, 0
        ]
        for bonus in (0.0, 0.1)
    }
    assert found[0.0][1] == 0.0
    assert found[0.1][1] > 1.5


def test_upper_confidence_bounds():
    """Every choice once, and then a bandit's regret far below that of chance; without a width it is greedy."""
    mdp = from_dict(
        {"s": {k: [(1.0, "end", r)] for k, r in zip("wxyz", (0.0, 0.3, 0.6, 1.0), strict=True)}}, terminal=["end"]
    )
    found = learn(mdp, QLearning(step_size=1.0, exploration=UCB(c=0.5)), discount=1.0, runs=50, episodes=400)
    assert (np.sort(found.returns[:, :4], axis=1) == [0.0, 0.3, 0.6, 1.0]).all()
    assert (found.returns[:, 4:] == 1.0).mean() > 0.9
    first = (found.returns[:, :1] == [0.0, 0.3, 0.6, 1.0]).sum(axis=0)
    assert (abs(first - 12.5) < Z * np.sqrt(50 * 3 / 16)).all()
    greedy = learn(mdp, QLearning(step_size=1.0, exploration=UCB(c=0.0)), discount=1.0, runs=9, episodes=50)
    assert (greedy.returns[:, 4:] == 1.0).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DynaQ(planning_steps=-1), "planning_steps is -1, no whole number from 0"),
        (lambda: DynaQ(bonus=-0.1), r"bonus is -0\.1, outside"),
        (lambda: DynaQ(step_size=0.0), r"step_size is 0\.0, outside"),
        (lambda: PrioritisedSweeping(planning_steps=0), "planning_steps is 0, no whole number from 1"),
        (lambda: PrioritisedSweeping(threshold=-1.0), r"threshold is -1\.0, outside"),
        (lambda: PrioritisedSweeping(step_size=2.0), r"step_size is 2\.0, outside"),
        (lambda: UCB(c=-1.0), r"c is -1\.0, outside"),
        (lambda: UCB(c=float("nan")), "c is nan, outside"),
        (lambda: ExpectedSarsa(exploration=UCB()), r"exploration is UCB\(c=1\.0\): the target is an expectation"),
        (lambda: TreeBackup(target="behaviour", exploration=UCB()), "the target is an expectation"),
    ],
)
def test_records_refuse(make, said):
    with pytest.raises(ValueError, match=said):
        make()
