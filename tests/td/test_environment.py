"""Environments of Gymnasium step by step: the bits of the fast path without chance, its distribution with it."""

import gymnasium
import numpy as np
import pytest

from suasion.markov import from_gymnasium
from suasion.td import (
    UCB,
    DoubleQLearning,
    DynaQ,
    EpsilonGreedy,
    ExpectedSarsa,
    MonteCarloControl,
    NStepSarsa,
    Polynomial,
    PrioritisedSweeping,
    QLearning,
    Sarsa,
    Softmax,
    TreeBackup,
    WatkinsQ,
    learn,
)

RULES = [
    Sarsa(),
    ExpectedSarsa(),
    QLearning(step_size=Polynomial(exponent=0.7), exploration=Softmax(temperature=2.0)),
    QLearning(exploration=UCB(c=2.0)),
    DoubleQLearning(),
    NStepSarsa(n=3),
    TreeBackup(n=3),
    WatkinsQ(),
    MonteCarloControl(),
]


def table(name, **kind):
    env = gymnasium.make(name, **kind)
    model = env.unwrapped
    return env, from_gymnasium(model.P, initial=model.initial_state_distrib)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_without_chance_both_paths_agree_to_the_last_bit(rule):
    env, mdp = table("CliffWalking-v1")
    numbers = {"discount": 0.95, "runs": 2, "episodes": 5, "seed": 3, "time_limit": 60, "checkpoints": [0, 2, 5]}
    slow = learn(env, rule, **numbers)
    fast = learn(mdp, rule, exact=False, **numbers)
    assert slow.q.tobytes() == fast.q.tobytes()
    np.testing.assert_array_equal(slow.returns, fast.returns)
    np.testing.assert_array_equal(slow.lengths, fast.lengths)
    np.testing.assert_array_equal(slow.steps, fast.steps)
    assert (slow.lengths == 60).any()
    assert slow.mdp is None


@pytest.mark.parametrize("rule", [QLearning, Sarsa])
def test_with_chance_both_paths_agree_in_distribution(rule):
    """Ten z-tests in all, at 5.5 standard errors: a right program fails with probability 4e-7, when seeds are chosen.

    The environment cuts its episodes itself, after 20 steps.
    """
    env, mdp = table("FrozenLake-v1", max_episode_steps=20)
    chosen = rule(step_size=0.5, exploration=EpsilonGreedy(epsilon=0.3))
    slow = learn(env, chosen, discount=0.9, runs=120, episodes=40, seed=1)
    fast = learn(mdp, chosen, discount=0.9, runs=4000, episodes=40, seed=2, time_limit=20, exact=False)

    def measured(found):
        q = found.q[:, 0].reshape(len(found.q), -1, 4)[:, :16]
        return [found.lengths.mean(axis=1), (found.returns > 0).mean(axis=1), q.mean((1, 2)), q[:, 14, 2], q[:, 0, 0]]

    for one, other in zip(measured(slow), measured(fast), strict=True):
        error = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
        assert abs(one.mean() - other.mean()) < 5.5 * error
    assert slow.lengths.max() == 20


class Loop(gymnasium.Env):
    """One state and one action, 1 for each step; after two steps it is cut, or ends. Spaces that begin at 3 and -1."""

    def __init__(self, ends):
        self.observation_space, self.action_space = gymnasium.spaces.Discrete(1, start=3), gymnasium.spaces.Discrete(1)
        self.action_space = gymnasium.spaces.Discrete(1, start=-1)
        self.ends, self.seeds, self.closed = ends, [], False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.seeds.append(seed)
        return 3, {}

    def step(self, action):
        assert action == -1
        self.steps += 1
        over = self.steps == 2
        return 3, 1.0, over and self.ends in ("ends", "both"), over and self.ends in ("cut", "both"), {}

    def close(self):
        self.closed = True


@pytest.mark.parametrize("rule", [Sarsa, ExpectedSarsa, QLearning])
def test_a_cut_is_no_end(rule):
    """Values bootstrap after a cut: 1 / (1 - 0.9); an end is worth nothing, also where it is called both."""
    found = {end: learn(Loop(end), rule(step_size=0.5), discount=0.9, episodes=200) for end in ("cut", "ends", "both")}
    assert found["cut"].q[0, 0, 0] == pytest.approx(10.0, abs=1e-6)
    for end in ("ends", "both"):
        assert 1.0 < found[end].q[0, 0, 0] < 1.9
        assert found[end].q[0, 0, 0] == found["ends"].q[0, 0, 0]
    assert all((f.lengths == 2).all() for f in found.values())
    assert found["cut"].returns[0, 0] == pytest.approx(1.9)


def test_seeds_and_factories():
    """Runs differ, are the same again, and do not depend on their number; an environment is seeded once a run."""
    made = []

    def make():
        made.append(gymnasium.make("FrozenLake-v1"))
        return made[-1]

    numbers = {"discount": 0.9, "steps": 60, "seed": 4}
    three, one = (learn(make, QLearning(), runs=n, start=0.1, **numbers) for n in (3, 1))
    again = learn(gymnasium.make("FrozenLake-v1"), QLearning(), runs=3, start=0.1, **numbers)
    assert len(made) == 4
    assert three.q[0].tobytes() == one.q[0].tobytes()
    assert three.q.tobytes() == again.q.tobytes()
    assert (three.q[0] != three.q[1]).any()
    loops = []
    learn(lambda: loops.append(Loop("cut")) or loops[-1], QLearning(), runs=2, episodes=3, discount=0.9)
    assert all(loop.closed for loop in loops)
    assert [[s is None for s in loop.seeds] for loop in loops] == [[False, True, True]] * 2
    assert loops[0].seeds[0] != loops[1].seeds[0]


def test_bad_input():
    env = gymnasium.make("CliffWalking-v1")
    with pytest.raises(ValueError, match=r"observation_space is Box\(.*: tables need gymnasium.spaces.Discrete"):
        learn(gymnasium.make("CartPole-v1"), QLearning(), discount=0.9, steps=1)
    odd = Loop("cut")
    odd.action_space = gymnasium.spaces.Box(0.0, 1.0)
    with pytest.raises(ValueError, match=r"action_space is Box\("):
        learn(odd, QLearning(), discount=0.9, steps=1)
    for rule in (DynaQ(), PrioritisedSweeping()):
        with pytest.raises(ValueError, match=f"{type(rule).__name__} counts the outcomes of a model"):
            learn(env, rule, discount=0.9, steps=1)
    with pytest.raises(ValueError, match="initial is given"):
        learn(env, QLearning(), discount=0.9, steps=1, initial=np.ones(48) / 48)
    with pytest.raises(ValueError, match="start has 3 entries, not one for each of 192 states and actions"):
        learn(env, QLearning(), discount=0.9, steps=1, start=np.zeros(3))
    with pytest.raises(Exception, match=r"is no environment|Type-check error"):
        learn(lambda: 3, QLearning(), discount=0.9, steps=1)
    found = learn(env, QLearning(), discount=0.9, steps=1)
    with pytest.raises(ValueError, match="no exact values"):
        _ = found.value
    with pytest.raises(ValueError, match="an environment was played"):
        found.policy()
    lost, bad = Loop("cut"), Loop("cut")
    lost.step = lambda action: (7, 1.0, False, False, {})
    with pytest.raises(ValueError, match="in state 7: its space goes from 3 to 3"):
        learn(lost, QLearning(), discount=0.9, steps=1)
    bad.step = lambda action: (3, float("nan"), False, False, {})
    with pytest.raises(ValueError, match="the reward of state 3, action -1 is nan"):
        learn(bad, QLearning(), discount=0.9, steps=1)


def test_an_episode_that_does_not_end(monkeypatch):
    from suasion.td import _environment

    monkeypatch.setattr(_environment, "_LONGEST", 50)
    endless = Loop("never")
    with pytest.raises(ValueError, match="episode 0 of run 0 has not ended after 50 steps: give time_limit"):
        learn(endless, QLearning(), discount=0.9, episodes=1)
