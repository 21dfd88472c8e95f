"""Facts without sampling error, and samples against exact expectations.

z-tests have fixed seeds; at 5.5 standard errors a right program fails one of them with probability 4e-8.
"""

import numpy as np
import pytest

from suasion.markov import Policy, from_dict, q_from_v, simulate
from suasion.planning import evaluate, solve
from suasion.td import (
    TD,
    DoubleQLearning,
    EpsilonGreedy,
    ExpectedSarsa,
    MonteCarlo,
    NStepSarsa,
    QLearning,
    Sarsa,
    SarsaLambda,
    TDLambda,
    WatkinsQ,
    batch_mc,
    batch_td,
    epsilon_greedy,
    epsilon_soft,
    learn,
    policy_value,
    predict,
)

Z = 5.5


def near(samples, exact):
    """A z-test of the mean of independent samples."""
    error = samples.mean() - exact
    assert abs(error) < Z * samples.std(ddof=1) / np.sqrt(samples.size), (samples.mean(), exact)


def best(mdp):
    """Q* without a discount, ties made equal."""
    return np.round(q_from_v(mdp, solve(mdp, 1.0, tolerance=1e-9).value, 1.0), 6)


def test_cliff(models):
    mdp = models["cliff"]()
    assert solve(mdp, 1.0).value[0] == pytest.approx(-13, abs=1e-6)
    for epsilon, q_value, sarsa_value in ((0.1, -50.80004767, -20.70767740), (0.01, -16.10516484, -15.44081066)):
        policy = epsilon_greedy(mdp, best(mdp), epsilon)
        assert policy_value(mdp, policy, 1.0)[0] == pytest.approx(q_value, abs=1e-7)
        soft = solve(epsilon_soft(mdp, epsilon), 1.0, tolerance=1e-9)
        assert soft.value[0] == pytest.approx(sarsa_value, abs=1e-7)


def test_cliff_soft_path_uses_the_second_row(models):
    mdp = models["cliff"]()
    found = solve(epsilon_soft(mdp, 0.1), 1.0, tolerance=1e-9)
    state, path = 0, []
    while not mdp.terminal[state]:
        state = int(mdp.target[mdp.branch_start[found.policy[state]]])
        path.append(mdp.states[state])
    assert len(path) == 15
    assert {name[1] for name in path} == {"1", "2", "3"}


def test_windy(models):
    mdp = models["windy"]()
    assert -solve(mdp, 1.0).value[0] == pytest.approx(15, abs=1e-6)
    assert -policy_value(mdp, epsilon_greedy(mdp, best(mdp), 0.1), 1.0)[0] == pytest.approx(17.05333001, abs=1e-7)
    assert -solve(epsilon_soft(mdp, 0.1), 1.0, tolerance=1e-9).value[0] == pytest.approx(17.04832281, abs=1e-7)


def test_q_learning_acts_as_predicted_at_its_fixed_point(models):
    mdp = models["cliff"]()
    q = best(mdp)
    found = learn(mdp, QLearning(step_size=1.0), discount=1.0, runs=500, episodes=40, start=q, seed=2, exact=False)
    np.testing.assert_allclose(found.q, np.broadcast_to(q, found.q.shape), atol=1e-9)
    near(found.returns.mean(axis=1), -50.80004767)


def test_sarsa_stays_near_its_limit(models):
    mdp = models["cliff"]()
    soft = epsilon_soft(mdp, 0.1)
    value = solve(soft, 1.0, tolerance=1e-9).value
    start = q_from_v(mdp, value, 1.0)
    found = learn(mdp, ExpectedSarsa(step_size=0.5), discount=1.0, runs=500, episodes=40, start=start, exact=False)
    np.testing.assert_allclose(found.q, np.broadcast_to(start, found.q.shape), atol=1e-6)
    near(found.returns.mean(axis=1), -20.70767740)


def test_error_of_first_visit_monte_carlo(models):
    """Var(G | s) = v (1 - v), so that the mean of n returns has the squared error v (1 - v) / n."""
    for s, variance in enumerate((5 / 36, 2 / 9, 1 / 4, 2 / 9, 5 / 36)):
        walk = models["begin"](models["walk"](), 0)
        at = walk.states.index(str(s))
        walk = models["begin"](walk, at)
        found = predict(
            walk, Policy.uniform(walk), MonteCarlo(), discount=1.0, runs=4000, episodes=25, seed=s, start=0.5
        )
        near((found.v[:, 0, at] - found.exact[at]) ** 2, variance / 25)


def experience(mdp, seed, walks=40, steps=60):
    return simulate(mdp, Policy.uniform(mdp), steps, np.random.default_rng(seed), start=0, walks=walks)


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_batch_td_is_certainty_equivalence(models, seed, discount):
    mdp = models["varied"](seed=seed + 10)
    walks = experience(mdp, seed, steps=400)
    assert walks.ended[:, -1].all()
    found = batch_td(walks, mdp.n_states, discount)
    assert found.converged
    left = ~walks.ended[:, :-1]
    before, after, reward = walks.states[:, :-1][left], walks.states[:, 1:][left], walks.rewards[left]
    count = np.zeros((mdp.n_states, mdp.n_states))
    np.add.at(count, (before, after), 1)
    visits = count.sum(axis=1)
    seen = visits > 0
    r = np.bincount(before, reward, minlength=mdp.n_states)[seen] / visits[seen]
    p = (count[seen] / visits[seen, None])[:, seen]
    np.testing.assert_allclose(found.v[seen], np.linalg.solve(np.eye(seen.sum()) - discount * p, r), atol=1e-7)
    np.testing.assert_array_equal(found.visits, visits)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_batch_monte_carlo_is_the_mean_of_returns(models, seed):
    mdp = models["varied"](seed=seed + 10)
    walks = experience(mdp, seed, steps=400)
    found = batch_mc(walks, mdp.n_states, 0.9)
    returns = [[] for _ in range(mdp.n_states)]
    for states, rewards, ended in zip(walks.states, walks.rewards, walks.ended, strict=True):
        length = int(np.argmax(ended))
        for t in range(length):
            returns[states[t]].append(sum(0.9**k * r for k, r in enumerate(rewards[t:length])))
    for s, own in enumerate(returns):
        assert found.v[s] == pytest.approx(np.mean(own) if own else 0.0, abs=1e-12)


def test_two_answers_from_one_experience():
    """Example 6.4, "you are the predictor": TD says V(A) = 3/4, Monte Carlo 0."""
    mdp = from_dict(
        {"A": {"go": [(1.0, "B", 0.0)]}, "B": {"go": [(0.75, "end", 1.0), (0.25, "end", 0.0)]}}, terminal=["end"]
    )
    walks = simulate(mdp, Policy.uniform(mdp), 2, np.random.default_rng(0), start=np.array([0] + [1] * 7))
    rewards = np.zeros((8, 2))
    rewards[1:7, 0] = 1.0
    walks = walks._replace(rewards=rewards)
    assert batch_td(walks, 3, 1.0).v[:2] == pytest.approx([0.75, 0.75])
    assert batch_mc(walks, 3, 1.0).v[:2] == pytest.approx([0.0, 0.75])


def expected_values(steps, alpha=0.1):
    r"""E[V_t] of TD(0) on the walk of 5 states: a linear recursion in M_s = E[V_t 1{S_t = s}]."""
    where = np.eye(5)[2]
    held = 0.5 * where[:, None] * np.ones(5)
    for _ in range(steps):
        after, there = np.zeros((5, 5)), np.zeros(5)
        for s in range(5):
            for n in (s - 1, s + 1):
                m = held[s].copy()
                reward, follows = (n == 5) * where[s], held[s, n] if 0 <= n < 5 else 0.0
                m[s] += alpha * (reward + follows - held[s, s])
                to = n if 0 <= n < 5 else 2
                after[to] += m / 2
                there[to] += where[s] / 2
        held, where = after, there
    return held.sum(axis=0)


def test_expected_values_of_td(models):
    walk = models["walk"]()
    order = [walk.states.index(str(s)) for s in range(5)]
    at = [10, 100, 1000]
    known = {
        10: (0.47665, 0.49915, 0.5, 0.50085, 0.52335),
        100: (0.31751, 0.44094, 0.5, 0.55906, 0.68249),
        1000: (0.14669, 0.31803, 0.5, 0.68197, 0.85331),
    }
    found = predict(
        walk, Policy.uniform(walk), TD(), discount=1.0, runs=10_000, steps=1000, checkpoints=at, start=0.5, seed=4
    )
    for i, t in enumerate(at):
        exact = expected_values(t)
        np.testing.assert_allclose(exact, known[t], atol=6e-6)
        for s in range(5):
            near(found.v[:, i, order[s]], exact[s])


def play(models, algorithm, **others):
    return learn(models["varied"](), algorithm, discount=0.9, runs=4, episodes=60, time_limit=50, **others).q


GREEDY = EpsilonGreedy(epsilon=0.0)
SAME = {
    "one-step": (Sarsa(), NStepSarsa(n=1)),
    "accumulating": (Sarsa(), SarsaLambda(lambda_=0.0)),
    "replacing": (Sarsa(), SarsaLambda(lambda_=0.0, traces="replacing")),
    "dutch": (Sarsa(), SarsaLambda(lambda_=0.0, traces="dutch")),
    "greedy": (QLearning(exploration=GREEDY), ExpectedSarsa(exploration=GREEDY)),
    "greedy-traces": (SarsaLambda(exploration=GREEDY), WatkinsQ(exploration=GREEDY)),
}


@pytest.mark.parametrize("name", SAME)
def test_rules_that_agree(models, name):
    one, other = (play(models, a, exact=False) for a in SAME[name])
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_targets_that_agree_on_average():
    """Sarsa's targets, weighed by the policy, are Expected Sarsa's; with equal tables Double Q's is Q-learning's."""
    model = {"a": {"go": [(1.0, "b", 0.7)]}, "b": {k: [(1.0, "end", 0.0)] for k in "xyz"}}
    mdp = from_dict(model, terminal=["end"], initial={"a": 1.0})
    start = np.array([0.5, 0.4, -1.2, 2.5])
    explores = EpsilonGreedy(epsilon=0.3)
    numbers = {"discount": 0.9, "steps": 1, "start": start, "exact": False}
    sarsa = learn(mdp, Sarsa(step_size=1.0, exploration=explores), runs=200, **numbers).q[:, 0, 0]
    targets = 0.7 + 0.9 * start[1:]
    assert set(np.unique(sarsa.round(9))) == set(targets.round(9))
    expected = learn(mdp, ExpectedSarsa(step_size=1.0, exploration=explores), **numbers).q[0, 0, 0]
    assert epsilon_greedy(mdp, start, 0.3).probability[1:] @ targets == pytest.approx(expected, abs=1e-12)
    best = learn(mdp, QLearning(step_size=1.0), **numbers).q[0, 0, 0]
    double = learn(mdp, DoubleQLearning(step_size=1.0), runs=20, **numbers).q[:, 0, 0]
    np.testing.assert_allclose(2 * double - start[0], best, rtol=0, atol=1e-12)  # one of the tables, not their mean


def one_way(n=8):
    """No state comes twice in an episode."""
    model = {
        s: {a: [(0.5, s + 1, float(a)), (0.3, s + 2, -1.0), (0.2, n + 1, 1.0)] for a in range(2)} for s in range(n)
    }
    return from_dict(model, terminal=[n, n + 1])


def test_many_steps_are_monte_carlo():
    mdp = one_way()
    policy = Policy.uniform(mdp)
    numbers = {"discount": 0.9, "runs": 3, "episodes": 50, "start": 0.3}
    rules = [
        MonteCarlo(step_size=0.2),
        MonteCarlo(visits="every", step_size=0.2),
        TD(n=20, step_size=0.2),
        TDLambda(lambda_=1.0, traces="dutch", step_size=0.2),
    ]
    found = [predict(mdp, policy, rule, **numbers).v for rule in rules]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("lambda_", [0.0, 0.6, 1.0])
def test_true_online_is_the_online_lambda_return(models, lambda_):
    """Section 12.4, by its definition: after each step all updates of the episode are made anew."""
    mdp, alpha, discount, seed = models["varied"](), 0.3, 0.9, 5
    from suasion.td._random import streams, uniform
    from suasion.td._simulator import first_of, followed, outcome_of, tables

    policy = Policy.uniform(mdp)
    held, rng = tables(followed(mdp, policy)), streams(seed, 1)
    size = len(held.low)

    def draw(choice):
        number, *rng[0] = uniform(*rng[0])
        o = first_of(held, number) if choice == size else outcome_of(held, choice, number)
        return float(held.outcome[o]["reward"]), int(held.outcome[o]["low"]), int(held.outcome[o]["count"])

    v = np.zeros(size)
    for _ in range(15):
        _, s, _ = draw(size)
        states, rewards, fronts, alive = [s], [], [v.copy()], True
        while alive:
            reward, s, count = draw(states[-1])
            alive = count > 0
            rewards.append(reward)
            states.append(s)
            horizon = len(rewards)

            def target(t, n, horizon=horizon, alive=alive, rewards=rewards, states=states, fronts=fronts):
                total = sum(discount**k * r for k, r in enumerate(rewards[t : t + n]))
                end = t + n == horizon and not alive
                return total + (0.0 if end else discount**n * fronts[t + n - 1][states[t + n]])

            w = v.copy()
            for t in range(horizon):
                left = horizon - t
                parts = [(1 - lambda_) * lambda_ ** (n - 1) * target(t, n) for n in range(1, left)]
                w[states[t]] += alpha * (sum(parts) + lambda_ ** (left - 1) * target(t, left) - w[states[t]])
            fronts.append(w)
        v = fronts[-1]
    algorithm = TDLambda(lambda_=lambda_, traces="dutch", step_size=alpha)
    found = predict(mdp, policy, algorithm, discount=discount, episodes=15, seed=seed)
    np.testing.assert_allclose(found.v[0, 0, ~mdp.terminal], v, rtol=0, atol=1e-12)


def test_values_settle_on_the_exact_ones(models):
    mdp = models["varied"](seed=4)
    from suasion.td import Polynomial

    policy = Policy.uniform(mdp)
    found = predict(
        mdp, policy, TD(step_size=Polynomial(exponent=0.8)), discount=0.9, runs=8, steps=400_000, checkpoints=[400]
    )
    assert found.exact == pytest.approx(evaluate(mdp, policy, 0.9).value)
    assert (found.rms[:, 1] < 0.03).all()
    assert found.rms[:, 1].mean() < found.rms[:, 0].mean() / 5
    learned = learn(
        mdp,
        QLearning(step_size=Polynomial(exponent=0.7), exploration=EpsilonGreedy(epsilon=0.5)),
        discount=0.9,
        runs=8,
        steps=400_000,
    )
    q = q_from_v(mdp, solve(mdp, 0.9).value, 0.9)
    assert abs(learned.q - q).mean() < 0.1
    np.testing.assert_allclose(learned.v[:, 0], np.broadcast_to(solve(mdp, 0.9).value, (8, mdp.n_states)), atol=1e-6)


def test_values_that_are_not_finite():
    model = {
        "a": {"left": [(0.5, "loop", 0.0), (0.5, "end", 1.0)], "right": [(1.0, "end", 1.0)]},
        "loop": {"on": [(1.0, "loop", -1.0)]},
        "calm": {"on": [(1.0, "calm", 0.0)], "off": [(1.0, "a", 2.0)]},
        "swing": {"on": [(1.0, "gnis", 1.0)]},
        "gnis": {"on": [(1.0, "swing", -1.0)]},
    }
    mdp = from_dict(model, terminal=["end"])
    value = policy_value(mdp, epsilon_greedy(mdp, np.zeros(mdp.n_choices)), 1.0)
    np.testing.assert_array_equal(value[:3], [-np.inf] * 3)
    assert np.isnan(value[3:5]).all()
    right = np.zeros(mdp.n_choices)
    right[1] = 1.0
    assert policy_value(mdp, epsilon_greedy(mdp, right), 1.0)[[0, 2]] == pytest.approx([1.0, 3.0])


def speedy(player, before_last):
    """Speedy Q-learning (Ghavamzadeh et al. 2011), online: the table of a step ago has the part of $Q_{k-1}$."""

    def rule(history, after, following, over):
        _, choice, reward = history[-1]
        old = dict(before_last)
        now = max((player.q[c] for c in following), default=0.0)
        then = max((old.get(c, player.q[c]) for c in following), default=0.0)
        alpha, before = player.rate(choice), player.q[choice]
        now, then = reward + player.discount * now, reward + player.discount * then
        player.q[choice] += alpha * (then - before) + (1 - alpha) * (now - then)
        before_last.clear()
        before_last[choice] = before

    return rule


def test_speedy_q_learning(oracle, models):
    """T10, and why it is no rule of ours: at 1/2 it is Q-learning, elsewhere another rule, which is wrong by chance.

    What a state's value has just gained tells of the outcome that led here, so that errors do not cancel. The original
    has a sample of every choice in each sweep, which a learner that walks has not.
    """
    from suasion.td import Polynomial
    from suasion.td._random import streams
    from suasion.td._simulator import tables

    mdp = models["varied"]()
    for alpha, same in ((0.5, True), (0.2, False)):
        rule = QLearning(step_size=alpha, exploration=EpsilonGreedy(epsilon=0.3))
        found = learn(mdp, rule, discount=0.9, episodes=40, seed=5, time_limit=20, exact=False).q[0, 0]
        stream = oracle.Stream(streams(5, 1)[0])
        player = oracle.Player(tables(mdp), stream, discount=0.9, alpha=alpha, epsilon=0.3, limit=20)
        player.play(speedy(player, {}), 40, before=False)
        assert (abs(found - player.q).max() < 1e-12) == same
    model = {
        "a": {"go": [(0.9, "b", 3.0), (0.1, "end", -10.0)]},
        "b": {"go": [(0.9, "a", 1.0), (0.1, "end", 4.0)]},
    }
    pair = from_dict(model, terminal=["end"])
    exact = np.linalg.solve([[1, -0.855], [-0.855, 1]], [1.7, 1.3])
    rule = QLearning(step_size=Polynomial(exponent=0.7))
    right = learn(pair, rule, discount=0.95, episodes=5000, exact=False).q[0, 0]
    stream = oracle.Stream(streams(0, 1)[0])
    player = oracle.Player(tables(pair), stream, discount=0.95, alpha=lambda n: n**-0.7, epsilon=0.1)
    player.play(speedy(player, {}), 5000, before=False)
    assert abs(right - exact).max() < 1
    assert (np.array(player.q) - exact).min() > 4
