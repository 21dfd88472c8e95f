"""Models for which planners in use give wrong answers: bounds must hold the exact value, whatever the method.

Those values are rational numbers, or NumPy's solution of the best policy's linear system.
"""

import dataclasses
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest

from suasion.markov import MDP
from suasion.planning import Method, average_reward, reach_probability, reach_reward, solve

METHODS = get_args(Method)
GAP = 2e-6


def build(model, terminal):
    """From state -> choice -> (next state, probability) and a reward; targets may come twice."""
    choice_start, branch_start, target, probability, reward = [0], [0], [], [], []
    for choices in model:
        for outcomes, paid in choices:
            target += [j for j, _ in outcomes]
            probability += [p for _, p in outcomes]
            reward.append(paid)
            branch_start.append(len(target))
        choice_start.append(len(reward))
    return MDP.from_branches(
        choice_start=np.array(choice_start),
        branch_start=np.array(branch_start),
        target=np.array(target),
        probability=np.array(probability, float),
        choice_reward=np.array(reward, float),
        terminal=np.array(terminal),
    )


def optimal(mdp, discount):
    """By policy iteration on dense arrays, S x A x S, with np.linalg.solve: within about 1e-11."""
    S = mdp.n_states
    start, target, probability, reward = mdp.marginals
    state = np.repeat(np.arange(S), np.diff(mdp.choice_start))
    matrix = np.zeros((mdp.n_choices, S))
    matrix[np.repeat(np.arange(mdp.n_choices), np.diff(start)), target] = probability
    value, before = np.zeros(S), None
    while True:
        q = reward + discount * matrix @ value
        best = np.full(S, -np.inf)
        np.maximum.at(best, state, q)
        taken = np.full(S, -1)
        attains = np.flatnonzero(q >= best[state])[::-1]
        taken[state[attains]] = attains
        live = taken >= 0
        if before is not None and np.array_equal(before, taken):
            return value
        system, right = np.eye(S), np.zeros(S)
        system[live] -= discount * matrix[taken[live]]
        right[live] = reward[taken[live]]
        after = np.linalg.solve(system, right)
        if before is not None and np.abs(after - value).max() < 1e-12:
            return after
        value, before = after, taken


def holds(found, exact, slack=0.0):
    """Bounds hold, whatever the status; a status of success means a narrow gap, and no other does."""
    assert (found.lower <= exact + slack).all()
    assert (exact - slack <= found.upper).all()
    assert found.converged == (found.gap <= GAP)
    assert (found.lower <= found.value).all()
    assert (found.value <= found.upper).all()


def haddad_monmege(N):
    """From the middle, either side with 1/2; everywhere else outwards with 1/2, or back to the middle."""
    model = [[] for _ in range(2 * N + 1)]
    model[N] = [([(N - 1, 0.5), (N + 1, 0.5)], 0.0)]
    for s in range(1, 2 * N):
        if s != N:
            model[s] = [([(N, 0.5), (s + (1 if s > N else -1), 0.5)], 0.0)]
    return build(model, [s in (0, 2 * N) for s in range(2 * N + 1)])


def haddad_monmege_values(N):
    """1/2 in the middle, by symmetry; k steps from an end 1/2 +- 2^-(k + 1)."""
    sides = [Fraction(1, 2 ** (k + 1)) for k in range(N)]
    half = Fraction(1, 2)
    return [half - d for d in sides] + [half] + [half + d for d in reversed(sides)]


def test_a_chain_whose_iteration_seems_to_have_ended_at_a_third(oracle):
    N = 20
    mdp, exact = haddad_monmege(N), haddad_monmege_values(N)
    goal = np.arange(2 * N + 1) == 2 * N
    for maximise in (True, False):
        found = reach_probability(mdp, goal, maximise=maximise)
        assert found.converged
        assert found.gap <= GAP
        assert oracle.contains(found.lower, found.upper, exact)
        proven = reach_probability(mdp, goal, maximise=maximise, tolerance=1e-7, exact=True)
        assert proven.verified
        assert oracle.contains(proven.lower, proven.upper, exact)
    small = reach_probability(haddad_monmege(12), np.arange(25) == 24, exact=True)
    assert small.exact == tuple(haddad_monmege_values(12))


@pytest.mark.parametrize("N", [30, 60])
def test_where_floats_do_not_suffice_it_is_said_and_a_probability_lies_between_0_and_1(oracle, N):
    found = reach_probability(haddad_monmege(N), np.arange(2 * N + 1) == 2 * N)
    assert found.converged == (found.gap <= GAP)
    assert found.lower.min() >= 0
    assert found.upper.max() <= 1
    assert oracle.contains(found.lower, found.upper, haddad_monmege_values(N))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_chain_by_every_method(oracle, method):
    """2^20 steps to the end: simple iterations run into the limit, and say so; their bounds hold."""
    N = 10 if method == "modified_policy_iteration" else 20  # the limit does not count its steps for one policy
    mdp, exact = haddad_monmege(N), haddad_monmege_values(N)
    start, target, probability, _ = mdp.marginals
    paid = probability * (target == 2 * N)
    reward = np.add.reduceat(paid, start[:-1])
    mdp = MDP.from_branches(
        choice_start=mdp.choice_start,
        branch_start=start,
        target=target,
        probability=probability,
        choice_reward=reward,
        terminal=mdp.terminal,
    )
    exact = [*exact[:-1], Fraction(0)]  # the reward is for the step into the goal
    found = solve(mdp, 1.0, method=method, limit=30)
    assert oracle.contains(found.lower, found.upper, exact)
    assert found.converged == (found.gap <= GAP)
    if method in ("auto", "policy_iteration", "inexact_policy_iteration"):
        assert found.converged


def gridworld(side, seed, summed):
    """Four moves, 0.8 ahead and 0.1 to each side; who runs into a wall stays, so that targets come twice and thrice."""
    rng = np.random.default_rng(seed)
    free = rng.random((side, side)) >= 0.15
    free[0, 0] = free[-1, -1] = True
    number = np.cumsum(free.ravel()).reshape(side, side) - 1
    cells = np.argwhere(free)
    goal = len(cells) - 1
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    model = [[] for _ in cells]
    for s, (y, x) in enumerate(cells[:-1]):
        for a in range(4):
            outcomes = []
            for turn, p in ((0, 0.8), (1, 0.1), (3, 0.1)):
                down, right = moves[(a + turn) % 4]
                to = (y + down, x + right)
                inside = 0 <= to[0] < side and 0 <= to[1] < side and free[to]
                outcomes.append((int(number[to]) if inside else s, p))
            if summed:
                together = {}
                for j, p in outcomes:
                    together[j] = together.get(j, 0.0) + p
                outcomes = sorted(together.items())
            model[s].append((outcomes, -1.0))
    model[goal] = [([(goal, 1.0)], 0.0)]
    return build(model, [False] * len(cells))


@pytest.fixture(scope="module")
def maze():
    mdp = gridworld(30, 0, summed=True)
    return mdp, optimal(mdp, 0.99)


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_gridworld_whose_targets_come_twice(maze, method, summed):
    mdp, exact = maze
    given = mdp if summed else gridworld(30, 0, summed=False)
    assert 700 < given.n_states < 800
    assert given.n_branches == mdp.n_branches
    found = solve(given, 0.99, method=method)
    assert found.converged
    holds(found, exact, 1e-9)


def storm_1061(choices):
    """-10 a step, two steps to leave the start on average and eight more to the target: -100."""
    start = [([(0, 0.5), (1, 0.5)], -10.0), ([(0, 1.0)], -10.0)]
    middle = [([(1, 0.875), (2, 0.125)], -10.0), ([(0, 1.0)], -10.0)]
    return build([start[:choices], middle[:choices], []], [False, False, True])


@pytest.mark.parametrize("choices", [1, 2], ids=["chain", "decision process"])
def test_minus_100_is_neither_0_nor_minus_59(oracle, choices):
    mdp, exact = storm_1061(choices), [Fraction(-100), Fraction(-80), Fraction(0)]
    goal = mdp.terminal
    found = reach_reward(mdp, goal, maximise=True)
    assert found.converged
    assert found.gap <= GAP
    assert oracle.contains(found.lower, found.upper, exact)
    assert reach_reward(mdp, goal, maximise=True, exact=True).exact == tuple(exact)
    for method in METHODS:
        found = solve(mdp, 1.0, method=method)
        assert found.converged, method
        assert found.gap <= GAP
        assert oracle.contains(found.lower, found.upper, exact)
    costs = dataclasses.replace(mdp, choice_reward=-mdp.choice_reward)
    found = reach_reward(costs, goal)
    assert oracle.contains(found.lower, found.upper, [-v for v in exact])


def garnet(states, actions, fan_out, seed):
    rng = np.random.default_rng(seed)
    choices = states * actions
    weight = rng.random((choices, fan_out))
    return MDP.from_branches(
        choice_start=np.arange(states + 1) * actions,
        branch_start=np.arange(choices + 1) * fan_out,
        target=rng.integers(0, states, choices * fan_out),
        probability=(weight / weight.sum(1, keepdims=True)).ravel(),
        choice_reward=rng.normal(size=choices),
    )


@pytest.fixture(scope="module")
def large():
    mdp = garnet(2000, 4, 8, 0)
    return mdp, optimal(mdp, 0.99)


@pytest.mark.parametrize("method", METHODS)
def test_a_garnet_whose_values_are_reported_without_their_constant(large, method):
    mdp, exact = large
    assert exact.min() > 50  # far from what is left if the constant is forgotten
    found = solve(mdp, 0.99, method=method)
    assert found.converged
    holds(found, exact, 1e-9)


def test_the_same_garnet_without_a_discount(large):
    """(1 - gamma) v is near the average reward: within (1 - gamma) times the span of v."""
    mdp, exact = large
    found = average_reward(mdp)
    assert found.converged
    assert found.gap <= GAP
    assert (0.01 * exact.min() <= found.upper).all()
    assert (found.lower <= 0.01 * exact.max()).all()
