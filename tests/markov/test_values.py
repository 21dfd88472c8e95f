"""Values: a decision process under a policy, the Bellman operators, returns; against enumeration and identities."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from suasion.markov import (
    MDP,
    MarkovChain,
    MarkovRewardProcess,
    Policy,
    bellman_expectation_q,
    bellman_expectation_v,
    bellman_optimality_q,
    bellman_optimality_v,
    discounted_return,
    q_from_v,
    simulate,
    td_error,
    under,
    v_from_q,
)

SEEDS = st.integers(0, 2**32 - 1)
DISCOUNTS = st.sampled_from([0.0, 0.5, 0.9, 0.99])


def random_policy(mdp, seed):
    weight = np.random.default_rng(seed).random(mdp.n_choices)
    live = np.flatnonzero(~mdp.terminal)
    sums = np.zeros(mdp.n_states)
    sums[live] = np.add.reduceat(weight, mdp.choice_start[live])
    state = np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))
    return Policy(choice_start=mdp.choice_start, probability=weight / sums[state])


def outcomes(mdp, policy, state):
    """(probability, reward, next state) of one step, as the joint dynamics say."""
    if mdp.terminal[state]:
        return [(1.0, 0.0, state)]
    return [
        (
            policy.probability[c] * mdp.probability[b],
            mdp.choice_reward[c] + (0 if mdp.branch_reward is None else mdp.branch_reward[b]),
            int(mdp.target[b]),
        )
        for c in mdp.choices(state)
        for b in range(mdp.branch_start[c], mdp.branch_start[c + 1])
    ]


def moments(mdp, policy, discount, steps):
    """First two moments of the return over some steps, straight from the definition: E[(R + discount G')^k]."""
    first, second = np.zeros(mdp.n_states), np.zeros(mdp.n_states)
    for _ in range(steps):
        one, two = np.zeros(mdp.n_states), np.zeros(mdp.n_states)
        for s in range(mdp.n_states):
            for p, r, t in outcomes(mdp, policy, s):
                one[s] += p * (r + discount * first[t])
                two[s] += p * (r * r + 2 * discount * r * first[t] + discount**2 * second[t])
        first, second = one, two
    return first, second - first**2


def solved(mdp, policy, discount):
    return under(mdp, policy, discount).value()


@given(SEEDS, DISCOUNTS)
def test_value_is_the_fixed_point_of_the_expectation_operators(build, seed, discount):
    mdp = build(seed)
    policy = random_policy(mdp, seed)
    v = solved(mdp, policy, discount)
    q = q_from_v(mdp, v, discount)
    assert bellman_expectation_v(mdp, policy, v, discount) == pytest.approx(v, rel=1e-12, abs=1e-12)
    assert bellman_expectation_q(mdp, policy, q, discount) == pytest.approx(q, rel=1e-12, abs=1e-12)
    assert v_from_q(mdp, q, policy) == pytest.approx(v, rel=1e-12, abs=1e-12)
    assert (v[mdp.terminal] == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_value_and_variance_by_enumeration(build, seed):
    mdp = build(seed)
    policy = random_policy(mdp, seed)
    process = under(mdp, policy, 0.5)
    mean, variance = moments(mdp, policy, 0.5, 60)
    assert process.value() == pytest.approx(mean, rel=1e-12, abs=1e-12)
    assert process.variance() == pytest.approx(variance, rel=1e-10, abs=1e-12)


def test_undiscounted_value_and_variance_of_a_process_that_ends(build):
    mdp = build(6)
    policy = random_policy(mdp, 6)
    process = under(mdp, policy, 1.0)
    assert process.chain.recurrent.tolist() == mdp.terminal.tolist()
    mean, variance = moments(mdp, policy, 1.0, 400)
    assert process.value() == pytest.approx(mean, rel=1e-10, abs=1e-12)
    assert process.variance() == pytest.approx(variance, rel=1e-9, abs=1e-12)


def test_variance_of_a_geometric_number_of_rewards():
    """Reward 1 a step, an end with probability p: the return is geometric."""
    p = 0.2
    chain = MarkovChain(transition=np.array([[1 - p, p], [0, 1]]))
    process = MarkovRewardProcess(chain=chain, reward=np.array([1.0, 0]), discount=1.0)
    assert process.value() == pytest.approx([1 / p, 0], rel=1e-15)
    assert process.variance() == pytest.approx([(1 - p) / p**2, 0], rel=1e-15)


def test_noise_of_the_reward_adds_its_own_variance():
    """One state, R of variance 3: the return has variance 3 / (1 - discount^2)."""
    chain = MarkovChain(transition=np.eye(1))
    process = MarkovRewardProcess(chain=chain, reward=np.ones(1), discount=0.9, reward_variance=np.full(1, 3.0))
    assert process.value() == pytest.approx([10])
    assert process.variance() == pytest.approx([3 / (1 - 0.81)])


@given(SEEDS)
def test_discounted_occupancy_identity(build, seed):
    """(1 - discount) pi v = pi r for a stationary pi."""
    mdp = build(seed, ends=False)
    process = under(mdp, random_policy(mdp, seed), 0.99)
    pi = process.chain.stationary().distributions
    assert 0.01 * pi @ process.value() == pytest.approx(pi @ process.reward, rel=1e-10, abs=1e-12)


def test_average_reward_is_the_limit_of_the_discounted_one(build):
    mdp = build(3, ends=False)
    policy = random_policy(mdp, 3)
    average = under(mdp, policy, 0.5).average_reward()
    assert (1 - 1e-9) * 1e-9 * under(mdp, policy, 1 - 1e-9).value() == pytest.approx(average, abs=1e-7)


def test_average_reward_mixes_the_classes():
    matrix = np.array([[0.2, 0.3, 0.5], [0, 1, 0], [0, 0, 1]])
    process = MarkovRewardProcess(chain=MarkovChain(transition=matrix), reward=np.array([9.0, 1.0, 2.0]), discount=1.0)
    assert process.average_reward() == pytest.approx([(0.3 + 1.0) / 0.8, 1, 2])


def test_sparse_and_dense_values_agree():
    rng = np.random.default_rng(0)
    matrix = sparse.random_array((2000, 2000), density=0.002, rng=rng) + sparse.eye_array(2000)
    matrix = sparse.csr_array(sparse.diags_array(1 / matrix.sum(axis=1)) @ matrix)
    reward = rng.normal(size=2000)
    for discount in (0.0, 0.9, 0.999):
        process = MarkovRewardProcess(chain=MarkovChain(transition=matrix), reward=reward, discount=discount)
        wanted = np.linalg.solve(np.eye(2000) - discount * matrix.toarray(), reward)
        assert process.value() == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@given(SEEDS, DISCOUNTS)
def test_operators_are_monotone_contractions(build, seed, discount):
    mdp = build(seed)
    rng = np.random.default_rng(seed)
    policy = random_policy(mdp, seed)
    low = np.where(mdp.terminal, 0, rng.normal(size=mdp.n_states))
    high = low + np.where(mdp.terminal, 0, rng.random(mdp.n_states))
    a, b = rng.normal(size=(2, mdp.n_choices))
    for operator, x, y in [
        (lambda v: bellman_expectation_v(mdp, policy, v, discount), low, high),
        (lambda v: bellman_optimality_v(mdp, v, discount), low, high),
        (lambda q: bellman_expectation_q(mdp, policy, q, discount), a, np.maximum(a, b)),
        (lambda q: bellman_optimality_q(mdp, q, discount), a, np.maximum(a, b)),
    ]:
        below, above = operator(x), operator(y)
        assert (below <= above + 1e-12).all()
        assert np.abs(above - below).max() <= discount * np.abs(y - x).max() + 1e-12
    assert (bellman_optimality_v(mdp, low, discount)[mdp.terminal] == 0).all()


def all_policies(mdp):
    for picked in itertools.product(*[mdp.choices(s) or [-1] for s in range(mdp.n_states)]):
        yield Policy.deterministic(mdp, np.array(picked))


@pytest.mark.parametrize("seed", range(3))
def test_optimal_value_is_the_best_over_all_policies_and_the_largest_q(build, seed):
    """N1.3.4-e to i: v_* by enumeration is the fixed point of both optimality operators, and max_a q_*."""
    mdp = build(seed)
    best = np.max([solved(mdp, policy, 0.9) for policy in all_policies(mdp)], axis=0)
    q = q_from_v(mdp, best, 0.9)
    assert bellman_optimality_v(mdp, best, 0.9) == pytest.approx(best, rel=1e-12, abs=1e-12)
    assert bellman_optimality_q(mdp, q, 0.9) == pytest.approx(q, rel=1e-12, abs=1e-12)
    largest = [max((q[c] for c in mdp.choices(s)), default=0.0) for s in range(mdp.n_states)]
    assert best == pytest.approx(largest, rel=1e-12, abs=1e-12)


@given(SEEDS, DISCOUNTS)
def test_a_better_action_in_one_state_lowers_no_value_and_raises_that_one(build, seed, discount):
    """N1.3.4-g: the step of the proof that v_* = max_a q_*."""
    mdp = build(seed)
    chosen = np.where(mdp.terminal, -1, mdp.choice_start[:-1])
    v = solved(mdp, Policy.deterministic(mdp, chosen), discount)
    q = q_from_v(mdp, v, discount)
    for s in np.flatnonzero(~mdp.terminal):
        for c in mdp.choices(int(s)):
            if q[c] <= v[s] + 1e-9:
                continue
            changed = chosen.copy()
            changed[s] = c
            after = solved(mdp, Policy.deterministic(mdp, changed), discount)
            assert (after >= v - 1e-11).all()
            assert after[s] >= q[c] - 1e-11 > v[s]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), DISCOUNTS | st.just(1.0), SEEDS)
def test_returns_and_their_errors(rewards, discount, seed):
    """G_t by its definition, and G_t - V(S_t) = sum of discounted TD errors for any V."""
    r = np.array(rewards)
    wanted = [sum(discount**k * x for k, x in enumerate(r[t:])) for t in range(len(r))]
    held = discounted_return(r, discount)
    assert held == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    values = np.append(np.random.default_rng(seed).normal(size=len(r)), 0.0)
    telescoped = discounted_return(td_error(r, values, discount), discount)
    assert held - values[:-1] == pytest.approx(telescoped, rel=1e-12, abs=1e-11)
    assert discounted_return(np.stack([r, 2 * r]), discount)[1] == pytest.approx(2 * held, rel=1e-12, abs=1e-12)


def test_simulated_returns_have_the_mean_and_variance(build):
    """100,000 walks: the mean within 4.5 s.e. and the variance within 5%; wrong for one seed in 100,000."""
    mdp = build(6)
    policy = random_policy(mdp, 6)
    process = under(mdp, policy, 0.9)
    walks = simulate(mdp, policy, 150, np.random.default_rng(0), start=0, walks=100_000)
    returns = discounted_return(walks.rewards, 0.9)[:, 0]
    spread = process.variance()[0]
    assert abs(returns.mean() - process.value()[0]) < 4.5 * np.sqrt(spread / 1e5)
    assert returns.var() == pytest.approx(spread, rel=0.05)


def test_walks_follow_the_model(build):
    mdp = build(1)
    policy = Policy.uniform(mdp)
    one, two = (simulate(mdp, policy, 20, np.random.default_rng(0), walks=200) for _ in range(2))
    assert (one.states == two.states).all()
    assert (one.ended == mdp.terminal[one.states]).all()
    assert ((one.choices == -1) == one.ended[:, :-1]).all()
    seen = set()
    for w, t in np.ndindex(one.choices.shape):
        c, s, after, reward = one.choices[w, t], one.states[w, t], one.states[w, t + 1], one.rewards[w, t]
        if c < 0:
            assert (after, reward) == (s, 0)
            continue
        assert c in mdp.choices(int(s))
        seen.add((int(c), int(after), float(reward)))
    branch_choice = np.repeat(np.arange(mdp.n_choices), np.diff(mdp.branch_start))
    there = zip(branch_choice, mdp.target, mdp.choice_reward[branch_choice] + mdp.branch_reward, strict=True)
    assert seen <= {(int(c), int(t), float(r)) for c, t, r in there}
    assert len(set(one.states[:, 0])) == 5


def test_walks_of_a_reward_process_pay_by_transition():
    matrix = np.array([[0.5, 0.5], [1.0, 0]])
    pays = np.array([[1.0, 3.0], [-2.0, 0]])
    for kept in (pays, sparse.csr_array(pays)):
        process = MarkovRewardProcess(
            chain=MarkovChain(transition=matrix), reward=np.array([2.0, -2]), discount=0.5, transition_reward=kept
        )
        states, rewards = process.simulate(100, np.random.default_rng(0), start=0, walks=3)
        assert (rewards == pays[states[:, :-1], states[:, 1:]]).all()


def loop(reward, **others):
    """A transient state, and a cycle of two."""
    matrix = np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]])
    return MarkovRewardProcess(chain=MarkovChain(transition=matrix), reward=np.array(reward), discount=1.0, **others)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: loop([1.0, 0, 2]).value(), r"closed class 1 \(states 1, 2\) has a reward for ever: reward\[2\] is 2"),
        (lambda: loop([1.0, 1, -1]).value(), r"closed class 1 \(states 1, 2\)"),
        (lambda: loop([1.0, 0, 0], reward_variance=np.array([0, 1.0, 0])).variance(), "one that varies, for ever"),
        (lambda: loop([1.0, 0, 0], reward_variance=np.array([0, -1.0, 0])), r"reward_variance\[1\] is -1\.0"),
        (lambda: loop([1.0, np.nan, 0]), r"reward\[1\] is nan"),
        (lambda: loop([1.0, 0]), "reward has 2 entries, not one for each of 3 states"),
        (lambda: loop([1.0, 0, 0], transition_reward=np.ones((3, 3))), r"state 1 is 1\.0 on average, and reward\[1\]"),
        (lambda: loop([1.0, 0, 0], transition_reward=np.ones((2, 2))), "transition_reward is 2 by 2, not 3 by 3"),
        (
            lambda: loop([1.0, 0, 0], reward_variance=np.array([0, 1.0, 0])).simulate(
                1, np.random.default_rng(0), start=0
            ),
            "the reward of state 1 has a variance of 1",
        ),
        (lambda: discounted_return(np.array([0.0, np.inf]), 0.5), r"rewards\[1\] is inf"),
        (lambda: discounted_return(np.ones(2), 1.5), r"discount is 1\.5, outside"),
        (lambda: td_error(np.ones(2), np.ones(3), -0.5), r"discount is -0\.5, outside"),
    ],
)
def test_refused_with_place_and_number(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: q_from_v(m, np.ones(5), 0.5), r"v\[1\] is 1\.0, and state 1 is terminal"),
        (lambda m: q_from_v(m, np.ones(4), 0.5), "v has 4 entries, not one for each of 5 states"),
        (lambda m: bellman_optimality_q(m, np.ones(m.n_choices + 1), 0.5), "q has .* entries"),
        (lambda m: under(m, Policy.uniform(m), 2.0), r"discount is 2\.0, outside"),
        (lambda m: simulate(m, Policy.uniform(m), 1, np.random.default_rng(0), start=5), "walk 0 starts in 5"),
    ],
)
def test_questions_to_a_model_without_an_answer(build, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(build(0))


def test_a_model_of_ends_only():
    mdp = MDP.from_branches(
        choice_start=np.array([0, 0]),
        branch_start=np.array([0]),
        target=np.zeros(0, np.int32),
        probability=np.zeros(0),
        terminal=np.ones(1, bool),
    )
    policy = Policy.uniform(mdp)
    assert under(mdp, policy, 1.0).value().tolist() == [0]
    assert bellman_optimality_v(mdp, np.zeros(1), 0.5).tolist() == [0]
    assert simulate(mdp, policy, 2, np.random.default_rng(0), start=0).states.tolist() == [[0, 0, 0]]
