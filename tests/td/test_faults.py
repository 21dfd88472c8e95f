"""Faults of other programs, each beside a few lines that have it: what we test tells them apart."""

import gymnasium
import numpy as np
import pytest

from suasion.markov import Policy, from_arrays, from_dict, from_gymnasium, q_from_v
from suasion.planning import solve
from suasion.td import (
    TD,
    DynaQ,
    EpsilonGreedy,
    NStepSarsa,
    Polynomial,
    PrioritisedSweeping,
    QLearning,
    Sarsa,
    SarsaLambda,
    TDLambda,
    TreeBackup,
    WatkinsQ,
    learn,
    predict,
)
from suasion.td._random import streams
from suasion.td._simulator import tables


def bet():
    """One step, which wins 1 with probability 0.3."""
    return from_dict({"s": {"bet": [(0.3, "end", 1.0), (0.7, "end", 0.0)]}}, terminal=["end"])


def test_last_rewards_are_averaged():
    """The fault: at the end of an episode Q = reward, whatever the step size."""
    found = learn(bet(), QLearning(step_size=Polynomial()), discount=1.0, runs=1, episodes=2000, seed=1)
    rewards = found.returns[0]
    faulty = 0.0
    for reward in rewards:
        faulty = reward
    assert found.q[0, 0, 0] == pytest.approx(rewards.mean(), abs=1e-12)
    assert abs(faulty - rewards.mean()) > 0.2
    assert abs(found.q[0, 0, 0] - 0.3) < 5.5 * np.sqrt(0.21 / 2000)


@pytest.mark.parametrize(
    "rule", [Sarsa, QLearning, DynaQ, NStepSarsa, TreeBackup, SarsaLambda, WatkinsQ], ids=lambda rule: rule.__name__
)
def test_a_cut_is_no_end(rule):
    """The fault: an episode that was cut off is learned from as if it had ended."""
    mdp = from_arrays(np.ones((1, 1, 1)), np.ones(1))
    found = learn(mdp, rule(step_size=0.5), discount=0.9, episodes=300, time_limit=2)
    faulty = 0.0
    for _ in range(300):
        for t in range(2):
            faulty += 0.5 * (1.0 + 0.9 * (t == 0) * faulty - faulty)
    assert found.q[0, 0, 0] == pytest.approx(10.0, abs=1e-6)
    assert faulty < 3
    assert (found.lengths == 2).all()


@pytest.mark.parametrize(
    "rule",
    [Sarsa, QLearning, DynaQ, PrioritisedSweeping, NStepSarsa, TreeBackup, SarsaLambda, WatkinsQ],
    ids=lambda rule: rule.__name__,
)
def test_the_end_is_worth_nothing(rule):
    """The fault: the table's row of the terminal state is read, which is right only where it stays 0."""
    found = learn(bet(), rule(step_size=1.0), discount=0.9, episodes=1, start=5.0)
    faulty = found.returns[0, 0] + 0.9 * 5.0
    assert found.q[0, 0, 0] == found.returns[0, 0]
    assert faulty != found.returns[0, 0]
    value = predict(bet(), Policy.uniform(bet()), TD(step_size=1.0), discount=0.9, episodes=1, start=5.0)
    assert value.v[0, 0].tolist() == [value.returns[0, 0], 0.0]


@pytest.mark.parametrize(
    "rule", [NStepSarsa(n=8, step_size=0.5), TreeBackup(n=8, step_size=0.5)], ids=["sarsa", "tree"]
)
def test_short_episodes_are_learned_from(rule):
    """The fault: an update waits for n steps, so that a shorter episode leaves no trace."""
    mdp = from_dict(
        {"a": {"go": [(1.0, "b", 1.0)]}, "b": {"go": [(1.0, "end", 2.0)]}}, terminal=["end"], initial={"a": 1.0}
    )
    found = learn(mdp, rule, discount=1.0, episodes=1)
    waiting, faulty = [], np.zeros(2)
    for step in ((0, 1.0), (1, 2.0)):
        waiting.append(step)
        if len(waiting) == 8:
            faulty[waiting[0][0]] += 0.5 * sum(r for _, r in waiting)
    assert found.q[0, 0].tolist() == [1.5, 1.0]
    assert (faulty == 0).all()


def line(n=4):
    """a0 -> a1 -> ... -> end, and 1 for the last step."""
    model = {f"a{i}": {"go": [(1.0, f"a{i + 1}", float(i == n - 1))]} for i in range(n)}
    return from_dict(model, terminal=[f"a{n}"], initial={"a0": 1.0})


def lambda_by_hand(episodes, *, forgets=True, dies=False, n=4, alpha=0.5, decay=0.9):
    """TD(lambda) on the line; with a trace that outlives its episode, or one that the end kills before the update."""
    v, e = np.zeros(n + 1), np.zeros(n)
    for _ in range(episodes):
        if forgets:
            e[:] = 0
        for s in range(n):
            error = (s == n - 1) + v[s + 1] * (s < n - 1) - v[s]
            e *= 0.0 if dies and s == n - 1 else decay
            e[s] += 1
            v[:n] += alpha * error * e
    return v[:n]


def test_traces_reach_back_from_the_last_reward_and_end_there():
    """Two faults: traces that fall by the discount of the end, 0, before its reward; and that are not forgotten."""
    found = predict(line(), Policy.uniform(line()), TDLambda(step_size=0.5), discount=1.0, episodes=2, checkpoints=[1])
    for i in range(2):
        right = lambda_by_hand(i + 1)
        np.testing.assert_allclose(found.v[0, i, :4], right, atol=1e-14)
        assert abs(lambda_by_hand(i + 1, dies=True) - right).max() > 0.1
    assert abs(lambda_by_hand(2, forgets=False) - lambda_by_hand(2)).max() > 0.1


def test_traces_are_cut_after_exploration(oracle, models):
    """Two faults: traces are never cut; or they are cut by the action before, one step late."""
    mdp, seed = models["varied"](), 3
    explores = EpsilonGreedy(epsilon=0.5)
    rule = WatkinsQ(lambda_=0.9, step_size=0.3, exploration=explores)
    found = learn(mdp, rule, discount=0.9, episodes=20, time_limit=30, seed=seed, exact=False).q[0, 0]

    def late(player):
        """Cut where the action just taken was not greedy when it was chosen."""
        e, explored = np.zeros(player.size), False

        def update(history, after, following, over):
            nonlocal explored
            _, choice, reward = history[-1]
            if len(history) == 1:
                e[:], explored = 0, False
            top = max((player.q[c] for c in following), default=0.0)
            error = reward + 0.9 * top - player.q[choice]
            e[:] *= 0.9 * 0.9
            e[choice] += 1
            now = bool(following) and player.q[after] < top
            player.q = [q + 0.3 * error * x for q, x in zip(player.q, e, strict=True)]
            if explored:
                e[:] = 0
            explored = now

        return update

    def run(make):
        stream = oracle.Stream(streams(seed, 1)[0])
        player = oracle.Player(tables(mdp), stream, discount=0.9, alpha=0.3, epsilon=0.5, limit=30)
        player.play(make(player), 20)
        return np.array(player.q)

    np.testing.assert_allclose(found, run(lambda p: p.traces(0.9, "accumulating", watkins=True)), atol=1e-11)
    assert abs(found - run(lambda p: p.traces(0.9, "accumulating", watkins=True, naive=True))).max() > 0.1
    assert abs(found - run(late)).max() > 0.1


def test_the_cliff_goes_on(models):
    """Of the two cliffs in use ours is the one of the textbook: a fall costs 100, and the episode goes on."""
    env = gymnasium.make("CliffWalking-v1").unwrapped
    theirs = from_gymnasium(env.P, initial=env.initial_state_distrib)
    ours = models["cliff"]()
    value, other = solve(ours, 1.0).value, solve(theirs, 1.0).value
    for i, name in enumerate(ours.states):
        y, x = eval(name)
        if (y, x) != (3, 11):
            assert value[i] == pytest.approx(other[12 * y + x], abs=1e-5)
    fall = q_from_v(ours, value, 1.0)[ours.choices(0)[1]]
    assert fall == pytest.approx(-113, abs=1e-5)  # not -100
    found = learn(theirs, Sarsa(step_size=0.5), discount=1.0, runs=50, episodes=20, exact=False)
    assert found.returns.min() < -250  # two falls in one episode


def test_cells_of_the_cliff_are_never_left():
    """Gymnasium's table has rows for them, though no outcome leads there: what is learned has none."""
    env = gymnasium.make("CliffWalking-v1").unwrapped
    mdp = from_gymnasium(env.P, initial=env.initial_state_distrib)
    cells = range(37, 47)
    assert all(len(mdp.choices(s)) == 4 for s in cells)
    assert not np.isin(mdp.target, cells).any()
    found = learn(mdp, QLearning(), discount=1.0, runs=20, steps=5000, start=0.25, exact=False).q.reshape(20, -1, 4)
    assert (found[:, 37:47] == 0.25).all()
    assert (found[:, 36] != 0.25).all()


def test_ties_are_broken_evenly():
    """The fault: the first of equal best actions, with which an empty table never leaves the corner."""
    env = gymnasium.make("FrozenLake-v1", is_slippery=False).unwrapped
    mdp = from_gymnasium(env.P, initial=env.initial_state_distrib)
    reached = {}
    for ties in ("first", "uniform"):
        rule = QLearning(step_size=0.5, exploration=EpsilonGreedy(epsilon=0.0, ties=ties))
        found = learn(mdp, rule, discount=0.9, runs=20, episodes=500, time_limit=100, exact=False)
        reached[ties] = (found.returns > 0).any(axis=1).mean()
    assert reached["first"] == 0
    assert reached["uniform"] == 1
    counts = np.zeros(4)
    free = from_arrays(np.eye(4)[None].repeat(4, 0), np.zeros((4, 4)))
    found = learn(free, QLearning(exploration=EpsilonGreedy(epsilon=0.0)), discount=0.9, runs=4000, steps=1, start=1.0)
    changed = np.argwhere(found.q[:, 0] != 1.0)[:, 1] % 4
    counts = np.bincount(changed, minlength=4)
    assert counts.sum() == 4000
    assert (abs(counts - 1000) < 5.5 * np.sqrt(750)).all()  # cries wolf once in 6 million
