"""What `solve` and its like say about themselves: status, bounds, reasons, errors."""

import dataclasses
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suasion.markov import MDP, from_dict
from suasion.planning import (
    InfiniteValueError,
    Method,
    Solution,
    Status,
    average_reward,
    certify,
    evaluate,
    finite_horizon,
    improve,
    reach_probability,
    reach_reward,
    solve,
)

METHODS = get_args(Method)
few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**40)


@pytest.fixture(scope="module")
def robot():
    """Sutton & Barto (2018), example 3.3: search, wait, or recharge."""
    return from_dict(
        {
            "high": {"search": [(0.75, "high", 2.0), (0.25, "low", 2.0)], "wait": [(1.0, "high", 1.0)]},
            "low": {
                "search": [(0.625, "low", 2.0), (0.375, "high", -3.0)],
                "wait": [(1.0, "low", 1.0)],
                "recharge": [(1.0, "high")],
            },
        }
    )


@pytest.fixture(scope="module")
def walk():
    """Left or right, with names; one end pays, the other does not, and the middle may wait for ever."""
    return from_dict(
        {
            "hole": {},
            "a": {"left": [(1.0, "hole")], "right": [(0.5, "a", -1.0), (0.5, "b", -1.0)]},
            "b": {"left": [(1.0, "a", -1.0)], "right": [(1.0, "home", -1.0)], "wait": [(1.0, "b")]},
            "home": {},
        },
        terminal=["hole", "home"],
        labels={"good": np.array([False, False, False, True]), "empty": np.zeros(4, bool)},
    )


def garnet(states, seed=0, actions=2, fan_out=3):
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


def corridor(length, back=0.2, shuffled=False):
    """A line of states to an end: forwards, or back with some probability; -1 a step."""
    place = np.random.default_rng(0).permutation(length) if shuffled else np.arange(length)
    number = [int(p) for p in place]
    model = {number[i]: [(number[min(i + 1, length - 1)], 1 - back), (number[max(i - 1, 0)], back)] for i in place}
    end = number[length - 1]
    counts = np.array([0 if s == end else 1 for s in range(length)])
    outcomes = [pair for s in range(length) if s != end for pair in model[s]]
    return MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=np.arange(length) * 2,
        target=np.array([j for j, _ in outcomes]),
        probability=np.array([p for _, p in outcomes]),
        choice_reward=-np.ones(length - 1),
        terminal=counts == 0,
    )


def layers(depth, width):
    """Each state leads to two of the next layer; those of the last are the end."""
    rng = np.random.default_rng(0)
    inner = (depth - 1) * width
    layer = np.repeat(np.arange(depth - 1), width)
    return MDP.from_branches(
        choice_start=np.concatenate([np.arange(inner + 1), np.full(width, inner)]),
        branch_start=np.arange(inner + 1) * 2,
        target=(rng.integers(0, width, (inner, 2)) + (layer[:, None] + 1) * width).ravel(),
        probability=np.full(2 * inner, 0.5),
        choice_reward=rng.normal(size=inner),
        terminal=np.arange(inner + width) >= inner,
    )


# How an iteration ends


@pytest.mark.parametrize("method", METHODS)
def test_the_limit_is_told_and_the_bounds_hold(method):
    mdp = garnet(60)
    exact = solve(mdp, 0.999, tolerance=1e-9)
    found = solve(mdp, 0.999, method=method, tolerance=1e-9, limit=1)
    assert found.status in (Status.LIMIT, Status.CONVERGED)
    assert found.converged == (found.gap <= 2e-9)
    assert (found.lower <= exact.upper).all()
    assert (exact.lower <= found.upper).all()
    if method in ("value_iteration", "modified_policy_iteration", "gauss_seidel"):
        assert found.status is Status.LIMIT
        assert found.iterations == 1
        assert "limit reached" in repr(found)


@pytest.mark.parametrize("discount", [0.99, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_an_impossible_tolerance_ends_at_the_rounding_floor(method, discount):
    mdp = corridor(30)
    exact = np.array([float(v) for v in solve(mdp, discount, exact=True).exact])
    found = solve(mdp, discount, method=method, tolerance=1e-18, limit=100_000)
    assert found.status is Status.STAGNATED
    assert not found.converged
    assert 2e-18 < found.gap < 1e-7
    assert (found.lower <= exact).all()
    assert (exact <= found.upper).all()


def test_a_looser_tolerance_is_less_work():
    mdp = garnet(60)
    loose, tight = (solve(mdp, 0.99, method="value_iteration", tolerance=t) for t in (1e-1, 1e-9))
    assert loose.iterations < tight.iterations
    assert loose.gap <= 2e-1
    assert tight.gap <= 2e-9


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("auto", "policy_iteration")])
def test_a_good_beginning_saves_iterations(method):
    mdp = corridor(200)
    cold = solve(mdp, 0.999, method=method)
    warm = solve(mdp, 0.999, method=method, init=cold.value)
    assert warm.converged
    assert warm.iterations < cold.iterations or cold.iterations == 1
    np.testing.assert_allclose(warm.value, cold.value, atol=2e-6)


def test_a_beginning_is_in_the_units_of_the_model():
    mdp = corridor(100)
    costs = dataclasses.replace(mdp, choice_reward=-mdp.choice_reward)
    value = solve(costs, 0.99, maximise=False, tolerance=1e-9).value
    assert (value >= 0).all()
    arguments = {"maximise": False, "method": "value_iteration"}
    assert solve(costs, 0.99, init=value, **arguments).iterations < solve(costs, 0.99, **arguments).iterations


@pytest.mark.parametrize("method", METHODS)
def test_report_hears_of_each_gap(method):
    heard = []
    found = solve(garnet(40), 0.9, method=method, report=lambda k, gap: heard.append((k, gap)))
    assert heard
    assert [k for k, _ in heard] == sorted(k for k, _ in heard)
    assert heard[-1][0] == found.iterations
    assert heard[-1][1] == pytest.approx(found.gap, abs=1e-9)
    for question in (reach_reward, reach_probability):
        heard.clear()
        question(corridor(5), np.arange(5) == 4, report=lambda k, gap: heard.append(k))
        assert heard


# What was chosen, and why


@pytest.mark.parametrize(
    ("mdp", "method", "words"),
    [
        (garnet(20), "policy_iteration", "20 states"),
        (garnet(700), "modified_policy_iteration", "never ends"),
        (layers(60, 20), "topological", "strongly connected components, of 1 states at most"),
        (corridor(700), "gauss_seidel", "own order"),
        (corridor(700, shuffled=True), "gauss_seidel", "sorted by their distance"),
    ],
    ids=["small", "garnet", "layered", "corridor", "shuffled corridor"],
)
def test_the_choice_has_a_reason(mdp, method, words):
    found = solve(mdp, 0.99)
    assert found.converged
    assert found.method == method
    assert words in found.why
    again = solve(mdp, 0.99, method="value_iteration")
    assert (again.method, again.why) == ("value_iteration", "as asked")
    np.testing.assert_allclose(found.value, again.value, atol=2e-6)


def test_the_end_may_be_near():
    mdp = garnet(699)
    ended = MDP.from_branches(
        choice_start=np.append(mdp.choice_start, mdp.n_choices),
        branch_start=mdp.branch_start,
        target=np.where(mdp.target == 0, 699, mdp.target),
        probability=mdp.probability,
        choice_reward=mdp.choice_reward,
        terminal=np.arange(700) == 699,
    )
    found = solve(ended, 0.99)
    assert (found.method, found.converged) == ("modified_policy_iteration", True)
    assert "a few steps away" in found.why


def test_end_components_are_told(walk):
    found = reach_probability(walk, "good")
    assert "2 states in end components were made one each" in found.why
    assert "end components" in average_reward(walk).why


# Bad arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"discount": 1.5}, r"discount is 1\.5, outside \[0, 1\]"),
        ({"discount": -0.1}, r"discount is -0\.1, outside"),
        ({"discount": float("nan")}, r"discount is nan, outside"),
        ({"tolerance": 0.0}, r"tolerance is 0\.0, not a number above 0"),
        ({"tolerance": -1.0}, r"tolerance is -1\.0"),
        ({"tolerance": float("nan")}, r"tolerance is nan"),
        ({"tolerance": float("inf")}, r"tolerance is inf"),
        ({"limit": 0}, r"limit is 0, below 1"),
        ({"threads": -1}, r"threads is -1, below 1"),
        ({"init": np.zeros(3)}, r"init has 3 entries for 2 states"),
        ({"init": np.array([0.0, np.nan])}, r"init has 2 entries for 2 states, or one that is not finite"),
    ],
)
def test_questions_without_sense_are_refused(robot, arguments, words):
    with pytest.raises(ValueError, match=words):
        solve(robot, **({"discount": 0.9} | arguments))


def test_rewards_whose_sums_overflow_are_refused(robot):
    with pytest.raises(ValueError, match=r"a reward is 1e\+300: sums of rewards beyond 1e\+280 are not computed"):
        solve(dataclasses.replace(robot, choice_reward=np.full(robot.n_choices, 1e300)), 0.9)


def test_an_unknown_method_is_refused(robot):
    from suasion.planning._solve import check  # types keep it out of `solve` in the tests

    with pytest.raises(ValueError, match=r"method is 'newton', none of auto, policy_iteration, "):
        check(robot, 0.9, "newton", None)


@pytest.mark.parametrize("question", [reach_reward, reach_probability])
def test_bad_goals_are_refused(walk, question):
    with pytest.raises(ValueError, match=r"there is no label 'godo'; the model has good, empty"):
        question(walk, "godo")
    with pytest.raises(ValueError, match="the goal is empty"):
        question(walk, "empty")
    with pytest.raises(ValueError, match="the goal is empty"):
        question(walk, np.zeros(4, bool))
    with pytest.raises(ValueError, match=r"there is no label 'x'; the model has none"):
        question(garnet(3), "x")
    with pytest.raises(ValueError, match=r"tolerance is 0\.0, not a number above 0"):
        question(corridor(3), np.arange(3) == 2, tolerance=0.0, limit=5)


def test_bad_horizons_are_refused(walk):
    with pytest.raises(ValueError, match="steps is -1, below 0"):
        finite_horizon(walk, -1)
    with pytest.raises(ValueError, match=r"discount is 2\.0, outside"):
        finite_horizon(walk, 1, 2.0)
    with pytest.raises(ValueError, match=r"final has shape \(4,\) for 4 states, or an entry that is not finite"):
        finite_horizon(walk, 1, final=np.array([0, 0, np.inf, 0]))
    with pytest.raises(ValueError, match="limit is 0, below 1"):
        average_reward(walk, limit=0)


# Values that are not finite


def test_what_can_be_collected_for_ever_is_refused_with_its_states():
    mdp = from_dict(
        {"start": {"on": [(1.0, "loop")]}, "loop": {"stay": [(1.0, "loop", 0.5)], "leave": [(1.0, "end")]}, "end": {}},
        terminal=["end"],
    )
    with pytest.raises(InfiniteValueError, match="collected for ever in state loop") as error:
        solve(mdp, 1.0)
    assert error.value.states == (1,)
    with pytest.raises(InfiniteValueError, match="state loop"):
        reach_reward(mdp, mdp.terminal, maximise=True)
    np.testing.assert_allclose(reach_reward(mdp, mdp.terminal).value, 0.0, atol=1e-6)


def test_gains_on_a_way_round_are_refused_with_their_average():
    mdp = from_dict({0: {"go": [(1.0, 1, 3.0)], "end": [(1.0, 2)]}, 1: {"go": [(1.0, 0, -1.0)]}, 2: {}}, terminal=[2])
    with pytest.raises(InfiniteValueError, match=r"an average of 1 a step can be collected in states 0, 1") as error:
        solve(mdp, 1.0)
    assert error.value.states == (0, 1)
    assert solve(mdp, 1.0, maximise=False).value[0] == pytest.approx(0.0, abs=1e-6)


def test_a_way_round_that_cancels_is_refused_not_guessed():
    mdp = from_dict({0: {"go": [(1.0, 1, 1.0)], "end": [(1.0, 2)]}, 1: {"go": [(1.0, 0, -1.0)]}, 2: {}}, terminal=[2])
    with pytest.raises(InfiniteValueError, match=r"may have no limit: its greatest average is 0 .* in states 0, 1"):
        solve(mdp, 1.0)


def test_a_goal_out_of_reach_is_refused_with_its_states(walk):
    with pytest.raises(InfiniteValueError, match="hole") as error:
        reach_reward(walk, "good", maximise=True)  # the process ends in the hole, which is not the goal
    assert 0 in error.value.states


def test_of_many_states_five_are_named():
    states = {f"s{i}": {"on": [(1.0, f"s{(i + 1) % 8}", 1.0)]} for i in range(8)}
    with pytest.raises(InfiniteValueError, match="in states s0, s1, s2, s3, s4 and 3 more") as error:
        solve(from_dict(states), 1.0)
    assert error.value.states == tuple(range(8))


def test_endless_costs_without_a_way_out_are_refused():
    mdp = from_dict({"a": {"on": [(1.0, "b", -1.0)]}, "b": {"on": [(1.0, "a", -1.0)]}, "end": {}}, terminal=["end"])
    with pytest.raises(InfiniteValueError, match="no policy ends with probability 1 from states a, b") as error:
        solve(mdp, 1.0)
    assert error.value.states == (0, 1)


# Exact arithmetic


def test_exact_values_are_fractions(robot):
    found = solve(robot, 0.5, exact=True)
    assert found.verified
    assert all(type(v) is Fraction for v in found.exact)
    # searching in both: v_h = 2 + (3 v_h + v_l) / 8; waiting, recharging: 1 + v_l / 2, v_h / 2; v_l = 1/8 + ...
    high, low = found.exact
    assert high == max(2 + high * Fraction(3, 8) + low / 8, 1 + high / 2)
    assert low == max(Fraction(1, 8) + low * Fraction(5, 16) + high * Fraction(3, 16), 1 + low / 2, high / 2)
    assert (found.value == [float(high), float(low)]).all()
    assert "policies evaluated in rational numbers" in found.why
    assert solve(robot, 0.5).exact is None
    assert not solve(robot, 0.5).verified


def test_exact_probabilities_and_costs(walk):
    good = reach_probability(walk, "good", exact=True)
    assert good.exact == (0, 1, 1, 1)
    bad = reach_probability(walk, "good", maximise=False, exact=True)
    assert bad.exact == (0, 0, 0, 1)
    mdp = dataclasses.replace(corridor(6, back=0.25), labels={})
    costs = dataclasses.replace(mdp, choice_reward=-mdp.choice_reward)
    assert reach_reward(costs, mdp.terminal, exact=True).exact == tuple(
        -v for v in reach_reward(mdp, mdp.terminal, maximise=True, exact=True).exact
    )


def test_beyond_forty_states_the_bounds_are_proven():
    mdp = garnet(41)
    for discount in (0.0, 0.5, 0.99):
        found = solve(mdp, discount, exact=True)
        assert found.exact is None
        assert found.verified
        assert found.converged
        assert "bounds proven in rational arithmetic" in found.why
    total = solve(corridor(50), 1.0, exact=True)
    assert total.verified
    assert total.exact is None


# Models at the edge


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_a_model_that_only_ends(method, discount):
    mdp = MDP.from_branches(
        choice_start=np.zeros(4, int),
        branch_start=np.zeros(1, int),
        target=np.zeros(0, int),
        probability=np.zeros(0),
        terminal=np.ones(3, bool),
    )
    found = solve(mdp, discount, method=method)
    assert found.converged
    assert found.gap == 0
    np.testing.assert_array_equal(found.value, 0.0)
    np.testing.assert_array_equal(found.policy, -1)
    np.testing.assert_array_equal(average_reward(mdp).value, 0.0)
    np.testing.assert_array_equal(finite_horizon(mdp, 2).value, 0.0)
    np.testing.assert_array_equal(reach_probability(mdp, np.array([True, False, False])).value, [1, 0, 0])
    np.testing.assert_array_equal(reach_reward(mdp, np.ones(3, bool)).value, 0.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("maximise", [True, False])
def test_a_model_of_one_state(method, maximise):
    """1 or 3 a step, for ever."""
    mdp = from_dict({0: {"little": [(1.0, 0, 1.0)], "much": [(1.0, 0, 3.0)]}})
    wanted = 3.0 if maximise else 1.0
    found = solve(mdp, 0.75, method=method, maximise=maximise)
    assert found.converged
    assert found.value[0] == pytest.approx(4 * wanted, abs=1e-6)
    assert found.policy[0] == int(maximise)
    average = average_reward(mdp, maximise=maximise)
    assert average.lower[0] <= wanted <= average.upper[0]
    assert finite_horizon(mdp, 3, maximise=maximise).value[:, 0].tolist() == [0, wanted, 2 * wanted, 3 * wanted]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("maximise", [True, False])
def test_a_discount_of_zero_counts_the_next_reward_only(tiny, method, maximise):
    for seed in range(20):
        mdp = tiny(seed)
        found = solve(mdp, 0.0, method=method, maximise=maximise)
        reward = mdp.marginals.reward
        best = [
            (max if maximise else min)(float(reward[c]) for c in mdp.choices(s)) if mdp.choices(s) else 0.0
            for s in range(mdp.n_states)
        ]
        assert found.converged
        np.testing.assert_allclose(found.value, best, atol=1e-9)


@few
@given(seed=seeds, discount=st.sampled_from([0.5, 0.99]), method=st.sampled_from(METHODS))
def test_the_least_is_minus_the_greatest_of_the_negative(tiny, seed, discount, method):
    mdp = tiny(seed)
    branch = None if mdp.branch_reward is None else -mdp.branch_reward
    order = None
    if branch is not None:  # rewards within a choice and target ascend
        choice = np.repeat(np.arange(mdp.n_choices), np.diff(mdp.branch_start))
        order = np.lexsort((branch, mdp.target, choice))
        branch = branch[order]
    negative = dataclasses.replace(
        mdp,
        choice_reward=-mdp.choice_reward,
        branch_reward=branch,
        probability=mdp.probability if order is None else mdp.probability[order],
    )
    least = solve(mdp, discount, maximise=False, method=method)
    greatest = solve(negative, discount, method=method)
    assert (least.lower <= -greatest.lower).all()
    assert (-greatest.upper <= least.upper).all()
    np.testing.assert_allclose(least.value, -greatest.value, atol=2e-6)


def nearly_one(mdp, seed):
    """The same, with rows that miss 1 by up to 5e-10."""
    rng = np.random.default_rng(seed)
    off = 1 + rng.choice([-5e-10, 5e-10, 0.0], mdp.n_choices)
    return dataclasses.replace(mdp, probability=mdp.probability * np.repeat(off, np.diff(mdp.branch_start)))


@few
@given(seed=seeds, discount=st.sampled_from([0.9, 0.9999]), method=st.sampled_from(METHODS))
def test_rows_that_miss_1_mean_the_model_with_rows_divided_by_their_sums(tiny, oracle, seed, discount, method):
    mdp = nearly_one(tiny(seed), seed)
    exact = oracle.best([oracle.discounted(mdp, p, discount) for p in oracle.policies(mdp)])
    found = solve(mdp, discount, method=method)
    assert oracle.contains(found.lower, found.upper, exact)
    assert found.converged or found.status is Status.STAGNATED


@few
@given(seed=seeds)
def test_rows_that_miss_1_without_a_discount(tiny, oracle, seed):
    mdp = nearly_one(tiny(seed, plain=True), seed)
    goal = np.arange(mdp.n_states) == seed % mdp.n_states
    for maximise in (True, False):
        found = reach_probability(mdp, goal, maximise=maximise)
        exact = reach_probability(mdp, goal, maximise=maximise, exact=True).exact
        assert oracle.contains(found.lower, found.upper, exact)
        assert all(0 <= v <= 1 for v in exact)


# Goals, horizons, averages


def test_a_goal_may_be_a_label_or_states(walk):
    by_name, by_states = (reach_probability(walk, g) for g in ("good", np.array([False, False, False, True])))
    np.testing.assert_array_equal(by_name.value, by_states.value)
    np.testing.assert_allclose(by_name.value, [0, 1, 1, 1], atol=1e-6)
    assert [walk.actions[walk.action[c]] if c >= 0 else "" for c in by_name.policy] == ["", "right", "right", ""]
    avoided = reach_probability(walk, "good", maximise=False)
    np.testing.assert_allclose(avoided.value, [0, 0, 0, 1], atol=1e-6)


def test_what_comes_after_the_goal_does_not_count():
    mdp = from_dict(
        {0: {"go": [(1.0, 1, -1.0)]}, 1: {"go": [(1.0, 2, -5.0)], "lose": [(1.0, 2, -9.0)]}, 2: {}}, terminal=[2]
    )
    found = reach_reward(mdp, np.array([False, True, True]), maximise=True)
    np.testing.assert_allclose(found.value, [-1, 0, 0], atol=1e-6)
    assert found.policy.tolist() == [0, -1, -1]
    later = reach_reward(mdp, mdp.terminal, maximise=True)
    np.testing.assert_allclose(later.value, [-6, -5, 0], atol=1e-6)
    assert later.policy.tolist() == [0, 1, -1]


def test_to_wait_for_nothing_is_worth_more_than_to_pay(walk):
    """Going home from b costs 1; the total reward allows waiting, the reward until the goal does not."""
    home = np.array([True, False, False, True])
    assert solve(walk, 1.0).value[2] == pytest.approx(0.0, abs=1e-6)
    assert reach_reward(walk, home, maximise=True).value[2] == pytest.approx(-1.0, abs=1e-6)


def test_averages_by_hand():
    """Round a ring of three with a prize of 3, which no discount changes; or a loop of 0.5."""
    mdp = from_dict(
        {
            "a": {"round": [(1.0, "b")], "stay": [(1.0, "a", 0.5)]},
            "b": {"round": [(1.0, "c")]},
            "c": {"round": [(1.0, "a", 3.0)]},
            "end": {},
        },
        terminal=["end"],
    )
    best, least = average_reward(mdp), average_reward(mdp, maximise=False)
    np.testing.assert_allclose(best.value, [1, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(least.value, [0.5, 0.5, 0.5, 0], atol=1e-6)
    assert (best.policy[0], least.policy[0]) == (0, 1)


def test_a_long_horizon_of_discounted_steps_is_the_discounted_value():
    mdp = garnet(30)
    horizon = finite_horizon(mdp, 200, 0.9)
    found = solve(mdp, 0.9, tolerance=1e-9)
    rest = 0.9**200 * 10 * np.abs(mdp.choice_reward).max()
    assert (np.abs(horizon.value[-1] - found.value) <= rest + 1e-8).all()
    np.testing.assert_array_equal(horizon.policy[-1], found.policy)
    assert horizon.value.shape == (201, 30)
    final = finite_horizon(mdp, 3, 0.9, final=found.value)
    np.testing.assert_allclose(final.value, found.value[None].repeat(4, 0), atol=1e-8)


# Two lines of code that users write


def test_evaluate_improve_certify_agree_with_solve(robot):
    best = solve(robot, 0.9)
    own = evaluate(robot, best.policy, 0.9)
    np.testing.assert_allclose(own.value, best.value, atol=2e-6)
    np.testing.assert_array_equal(improve(robot, best.value, 0.9)[0], best.policy)
    assert not certify(robot, best.policy, 0.9).refuted
    assert repr(best).startswith("Solution(2 states, gap ")
    assert isinstance(best, Solution)
