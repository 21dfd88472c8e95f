"""Estimators against exact values: by listing every episode there is, by loops, and by z-tests.

Statistical tests have fixed seeds; each would cry wolf with probability 1e-6 at most.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from suasion.markov import Policy, q_from_v
from suasion.td import (
    CoverageError,
    QLearning,
    collect,
    coverage,
    doubly_robust,
    fitted_q_evaluation,
    importance_sampling,
    policy_value,
)

GAMMA = 0.8
KINDS = ("ordinary", "weighted", "per_decision", "weighted_per_decision")


def policies(mdp, seed=0):
    """A behaviour and a target, both with all actions."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(2):
        p = rng.uniform(0.25, 0.75, mdp.n_choices // 2)
        found.append(Policy(choice_start=mdp.choice_start, probability=np.stack([p, 1 - p], axis=1).ravel()))
    return found


@pytest.fixture(scope="module")
def setting(tiny):
    mdp = tiny["layered"]()
    behaviour, target = policies(mdp)
    v = policy_value(mdp, target, GAMMA)
    return {
        "mdp": mdp,
        "behaviour": behaviour,
        "target": target,
        "exact": float(mdp.initial @ v),
        "v": v,
        "q": q_from_v(mdp, v, GAMMA),
        "log": collect(mdp, behaviour, episodes=4000, seed=1),
    }


def contributions(setting, tiny, estimate):
    """Probability of each episode, and what an estimator makes of it alone (written twice: an interval needs two)."""
    chances, values = [], []
    for p, rows in tiny["every"](setting["mdp"], setting["behaviour"]):
        log = tiny["written"]([rows, rows])
        chances.append(p)
        values.append(estimate(log, setting["target"], setting["mdp"], discount=GAMMA, accepted=1.0).value)
    assert sum(chances) == pytest.approx(1, abs=1e-12)
    return np.array(chances), np.array(values)


@pytest.mark.parametrize("kind", ["ordinary", "per_decision"])
def test_importance_sampling_has_no_bias(setting, tiny, kind):
    def estimate(*given, **named):
        return importance_sampling(*given, weighting=kind, **named)

    chances, values = contributions(setting, tiny, estimate)
    assert chances @ values == pytest.approx(setting["exact"], abs=1e-12)


@pytest.mark.parametrize("guess", ["exact", "wrong", "zero"])
def test_doubly_robust_has_no_bias_and_the_variance_of_the_theory(setting, tiny, guess):
    """Its variance with the exact q is that of the transitions alone (Jiang & Li, theorem 1), by another recursion."""
    mdp, behaviour, target = setting["mdp"], setting["behaviour"], setting["target"]
    wrong = np.random.default_rng(3).normal(size=mdp.n_choices)
    q = {"exact": setting["q"], "wrong": wrong, "zero": np.zeros(mdp.n_choices)}[guess]

    def estimate(*given, **named):
        return doubly_robust(*given, q=q, **named)

    chances, values = contributions(setting, tiny, estimate)
    assert chances @ values == pytest.approx(setting["exact"], abs=1e-12)
    variance = chances @ values**2 - setting["exact"] ** 2
    if guess == "exact":
        reward = mdp.branch_reward + np.repeat(mdp.choice_reward, 2)
        outcome = reward + GAMMA * setting["v"][mdp.target]
        spread = np.add.reduceat(mdp.probability * outcome**2, mdp.branch_start[:-1]) - setting["q"] ** 2
        later = np.zeros(mdp.n_states)  # of what is still to come, the ratio so far being 1
        for s in range(mdp.n_states - 1, -1, -1):
            for c in mdp.choices(s):
                own = slice(mdp.branch_start[c], mdp.branch_start[c + 1])
                after = GAMMA**2 * mdp.probability[own] @ later[mdp.target[own]]
                later[s] += target.probability[c] ** 2 / behaviour.probability[c] * (spread[c] + after)
        wanted = mdp.initial @ later + mdp.initial @ setting["v"] ** 2 - setting["exact"] ** 2
        assert variance == pytest.approx(wanted, rel=1e-10)
    if guess == "zero":
        plain = contributions(setting, tiny, lambda *g, **n: importance_sampling(*g, weighting="per_decision", **n))[1]
        assert np.allclose(values, plain, rtol=1e-12, atol=1e-12)


def test_exact_q_takes_variance_away(setting):
    log, target, mdp = setting["log"], setting["target"], setting["mdp"]
    given = {"discount": GAMMA}
    width = {"q": doubly_robust(log, target, mdp, q=setting["q"], **given)}
    width |= {kind: importance_sampling(log, target, mdp, weighting=kind, **given) for kind in KINDS}
    half = {name: found.upper - found.value for name, found in width.items()}
    assert half["q"] < 0.75 * half["per_decision"] < half["ordinary"]
    fitted = doubly_robust(log, target, mdp, **given)
    assert fitted.upper - fitted.value == pytest.approx(half["q"], rel=0.05)


def by_loops(log, target, mdp, kind):
    """From the definitions."""
    first = [*log.starts, len(log)]
    episodes = []
    for low, high in itertools.pairwise(first):
        rho, rows = 1.0, []
        for i in range(low, high):
            rho *= target.probability[mdp.choice_start[log.state[i]] + log.action[i]] / log.behaviour[i]
            rows.append((rho, GAMMA ** (i - low) * log.reward[i]))
        episodes.append(rows)
    if kind in ("ordinary", "weighted"):
        top = sum(rows[-1][0] * sum(r for _, r in rows) for rows in episodes)
        return top / (len(episodes) if kind == "ordinary" else sum(rows[-1][0] for rows in episodes))
    total = 0.0
    for t in range(max(len(rows) for rows in episodes)):
        top = sum(rho * r for rows in episodes for rho, r in rows[t : t + 1])
        below = sum(rows[min(t, len(rows) - 1)][0] for rows in episodes)
        total += top / (len(episodes) if kind == "per_decision" else below)
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_importance_sampling_is_its_definition(setting, kind):
    log = setting["log"].part(steps=400)
    log = log.part(steps=int(log.starts[-1]))  # whole episodes
    found = importance_sampling(log, setting["target"], setting["mdp"], discount=GAMMA, weighting=kind, accepted=1.0)
    assert found.value == pytest.approx(by_loops(log, setting["target"], setting["mdp"], kind), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_doubly_robust_is_its_recursion(setting, weighted):
    """Jiang & Li, equation 10, from the last step backwards; weighted, the sum of Thomas & Brunskill."""
    log, mdp, target = setting["log"].part(steps=300), setting["mdp"], setting["target"]
    log = log.part(steps=int(log.starts[-1]))
    q = np.random.default_rng(5).normal(size=mdp.n_choices)
    v = np.add.reduceat(target.probability * q, mdp.choice_start[:-1][~mdp.terminal])
    v = np.append(v, 0.0)
    found = doubly_robust(log, target, mdp, discount=GAMMA, q=q, weighted=weighted, accepted=1.0)
    choice = mdp.choice_start[log.state] + log.action
    ratio = target.probability[choice] / log.behaviour
    first = [*log.starts, len(log)]
    spans = list(itertools.pairwise(first))
    if not weighted:
        values = []
        for low, high in spans:
            value = 0.0
            for i in range(high - 1, low - 1, -1):
                value = v[log.state[i]] + ratio[i] * (log.reward[i] + GAMMA * value - q[choice[i]])
            values.append(value)
        assert found.value == pytest.approx(np.mean(values), rel=1e-12)
        return
    longest = max(high - low for low, high in spans)
    rho = np.ones((len(spans), longest + 1))
    for e, (low, high) in enumerate(spans):
        rho[e, 1:] = np.append(np.cumprod(ratio[low:high]), np.full(longest - high + low, np.prod(ratio[low:high])))
    share = rho / rho.sum(axis=0)
    total = 0.0
    for e, (low, high) in enumerate(spans):
        for i in range(low, high):
            t = i - low
            gain = share[e, t + 1] * (log.reward[i] - q[choice[i]]) + share[e, t] * v[log.state[i]]
            total += GAMMA**t * gain
    assert found.value == pytest.approx(total, rel=1e-12)


def test_log_of_the_target_itself_gives_the_mean_return(setting):
    mdp, target = setting["mdp"], setting["target"]
    log = collect(mdp, target, episodes=500, seed=2)
    mean = log.returns(GAMMA).mean()
    half = stats.t.ppf(0.975, 499) * log.returns(GAMMA).std(ddof=1) / np.sqrt(500)
    for kind in KINDS:
        found = importance_sampling(log, target, mdp, discount=GAMMA, weighting=kind)
        assert found.value == pytest.approx(mean, rel=1e-12)
        assert found.upper - found.value == pytest.approx(half, rel=1e-9)
        assert found.ess == pytest.approx(500)


def test_fitted_q_is_the_iteration_it_is_named_after(setting):
    """Regression on one-step targets, again and again, in a loop; the table's regression is the mean."""
    log, mdp, target = setting["log"].part(steps=2000), setting["mdp"], setting["target"]
    choice = mdp.choice_start[log.state] + log.action
    q, count = np.zeros(mdp.n_choices), np.bincount(choice, minlength=mdp.n_choices)
    for _ in range(200):
        v = np.append(np.add.reduceat(target.probability * q, mdp.choice_start[:-1][~mdp.terminal]), 0.0)
        q = np.bincount(choice, log.reward + GAMMA * v[log.next_state], mdp.n_choices) / count
    found = fitted_q_evaluation(log, target, mdp, discount=GAMMA)
    assert np.abs(found.q - q).max() < 1e-12
    assert found.value == pytest.approx(v[log.state[log.starts]].mean(), rel=1e-12)


def test_interval_of_fitted_q_by_its_derivative(setting):
    """Contributions of episodes against the change when each is weighted a little more, by finite differences."""
    from suasion.td._log_fit import fitted, influence
    from suasion.td._log_frame import frame, frequencies, probabilities

    log, mdp = setting["log"].part(steps=120), setting["mdp"]
    log = log.part(steps=int(log.starts[-1]))
    held = frame(log, mdp)
    chance = probabilities(setting["target"], held)
    whole = frequencies(log, held)
    fit = fitted(whole, held, chance, GAMMA, strict=True)
    each = influence(log, held, whole, fit, chance, GAMMA)
    assert each.sum() == pytest.approx(0, abs=1e-10)
    choice, number = held.choice, np.repeat(np.arange(len(log.starts)), log.lengths)

    def value(weight):
        rows = weight[number]
        count = np.bincount(choice, rows, mdp.n_choices)
        p = np.zeros((mdp.n_choices, mdp.n_states))
        np.add.at(p, (choice, log.next_state), rows)
        known = np.maximum(count, 1e-300)
        reward = np.bincount(choice, rows * log.reward, mdp.n_choices) / known
        pi = np.zeros((mdp.n_states, mdp.n_choices))
        pi[held.owner, np.arange(mdp.n_choices)] = chance
        v = np.linalg.solve(np.eye(mdp.n_states) - GAMMA * pi @ (p / known[:, None]), pi @ reward)
        return weight @ v[log.state[log.starts]] / weight.sum()

    ones, step = np.ones(len(log.starts)), 1e-5
    for e in range(0, len(ones), 7):
        up, down = ones.copy(), ones.copy()
        up[e] += step
        down[e] -= step
        slope = (value(up) - value(down)) / (2 * step)
        assert slope * len(ones) == pytest.approx(each[e], abs=1e-6)


@pytest.fixture(scope="module")
def study(setting):
    """160 logs of 400 episodes, each estimator on each."""
    mdp, target = setting["mdp"], setting["target"]
    log = collect(mdp, setting["behaviour"], episodes=400, runs=160, seed=17)
    given = {"target": target, "choices": mdp, "discount": GAMMA}
    found = {name: [] for name in (*KINDS, "robust", "weighted robust", "fitted")}
    for run in range(160):
        part = log.part(run=run)
        held = {kind: importance_sampling(part, weighting=kind, accepted=1.0, **given) for kind in KINDS}
        held["robust"] = doubly_robust(part, accepted=1.0, **given)
        held["weighted robust"] = doubly_robust(part, weighted=True, accepted=1.0, **given)
        held["fitted"] = fitted_q_evaluation(part, **given)
        for name, one in held.items():
            found[name].append((one.value, one.lower, one.upper))
    return found


def test_no_bias_by_z_tests(setting, study):
    """Ordinary, per decision and doubly robust: 3 tests, 1e-6 together."""
    for name in ("ordinary", "per_decision", "robust"):
        values = np.array(study[name])[:, 0]
        z = (values.mean() - setting["exact"]) / (values.std(ddof=1) / np.sqrt(len(values)))
        assert abs(z) < stats.norm.isf(1e-6 / 6)


def test_intervals_cover(setting, study):
    """95 % intervals of 7 estimators on 160 logs: not fewer than 93 % would give with probability 1e-6, nor more than
    97 %."""
    for name, found in study.items():
        held = np.array(found)
        inside = int(((held[:, 1] <= setting["exact"]) & (setting["exact"] <= held[:, 2])).sum())
        assert stats.binom.ppf(1e-6 / 14, 160, 0.93) <= inside <= stats.binom.isf(1e-6 / 14, 160, 0.97), name


def test_bootstrap_agrees_with_the_delta_method(setting):
    log, mdp, target = setting["log"], setting["mdp"], setting["target"]
    for kind in ("per_decision", "weighted_per_decision"):
        given = {"discount": GAMMA, "weighting": kind}
        student = importance_sampling(log, target, mdp, **given)
        resampled = importance_sampling(log, target, mdp, interval="bootstrap", **given)
        assert resampled.value == student.value
        assert resampled.lower == pytest.approx(student.lower, abs=0.1 * (student.upper - student.lower))
        assert resampled.upper == pytest.approx(student.upper, abs=0.1 * (student.upper - student.lower))
        assert (resampled.interval, student.interval) == ("bootstrap", "student")


def test_uncovered_log_is_refused_and_the_states_are_named(setting):
    """The behaviour never takes action 1 in states 0 and 3, the target does."""
    mdp, target = setting["mdp"], setting["target"]
    p = setting["behaviour"].probability.copy()
    p[[1, 7]], p[[0, 6]] = 0.0, 1.0
    log = collect(mdp, Policy(choice_start=mdp.choice_start, probability=p), episodes=2000, seed=4)
    report = coverage(log, target, mdp)
    assert report.uncovered == ((0, 1), (3, 1))
    for estimate in (importance_sampling, doubly_robust, fitted_q_evaluation):
        with pytest.raises(CoverageError, match="state 0 action 1, state 3 action 1") as caught:
            estimate(log, target, mdp, discount=GAMMA)
        assert caught.value.uncovered == ((0, 1), (3, 1))
    # How probable it is to come there, by hand from the frequencies: at once, or by way of state 3.
    first = np.bincount(log.state[log.starts], minlength=7)[:2] / len(log.starts)
    lost = np.zeros(7)
    lost[3] = target.probability[7]
    reached = []
    for s in (0, 1):
        value = 0.0
        for c in mdp.choices(s):
            rows = (log.state == s) & (log.action == mdp.action[c])
            onward = lost[log.next_state[rows]].mean() if rows.any() else 1.0
            value += target.probability[c] * onward
        reached.append(value)
    assert report.missed == pytest.approx(first @ reached, rel=1e-12)
    found = importance_sampling(log, target, mdp, discount=GAMMA, accepted=0.999)
    assert found.coverage.missed == report.missed
    assert coverage(log, target, mdp, horizon=1).uncovered == ((0, 1),)
    assert coverage(log, target, mdp, horizon=1).missed == pytest.approx(first[0] * target.probability[1], rel=1e-12)
    only = Policy(choice_start=mdp.choice_start, probability=p)
    assert coverage(log, only, mdp).uncovered == ()
    assert coverage(log, only, mdp).missed == 0


def test_coverage_report(setting):
    log, mdp = setting["log"], setting["mdp"]
    report = coverage(log, setting["target"], mdp)
    choice = mdp.choice_start[log.state] + log.action
    assert np.array_equal(report.visits, np.bincount(choice, minlength=mdp.n_choices))
    assert report.least == setting["behaviour"].probability.min()
    rho = setting["target"].probability[choice] / log.behaviour
    ratio = np.multiply.reduceat(rho, log.starts)
    assert report.ess == pytest.approx(ratio.sum() ** 2 / (ratio**2).sum())
    assert "4000 episodes" in repr(report)


def test_cut_episodes_need_a_horizon(models):
    """The first k rewards, against the model's finite horizon value; z-test, 1e-6."""
    mdp = models["walk"]()
    uniform = Policy.uniform(mdp)
    log = collect(mdp, uniform, episodes=3000, time_limit=6, seed=1)
    with pytest.raises(ValueError, match=r"was cut off after 6 steps: its return is not known. .* horizon=6"):
        importance_sampling(log, uniform, mdp, discount=1.0)
    found = importance_sampling(log, uniform, mdp, discount=1.0, horizon=6)
    p = np.zeros((7, 7))
    for s in range(mdp.n_states):
        for c in mdp.choices(s):
            own = slice(mdp.branch_start[c], mdp.branch_start[c + 1])
            p[s, mdp.target[own]] = mdp.probability[own]
    reward = mdp.marginals.reward
    v = np.zeros(7)
    for _ in range(6):
        v = p @ v
        v[~mdp.terminal] += reward
    half = found.upper - found.value
    z = (found.value - mdp.initial @ v) / (half / stats.t.ppf(0.975, 2999))
    assert abs(z) < stats.norm.isf(5e-7)
    # Fitted Q needs no whole episodes: the value without a limit is the middle of the walk's.
    whole = fitted_q_evaluation(log, uniform, mdp, discount=1.0)
    error = (whole.upper - whole.value) / stats.t.ppf(0.975, 2999)
    assert abs(whole.value - 0.5) / error < stats.norm.isf(5e-7)


def test_log_of_a_learner_evaluates_too(setting):
    """Probabilities changed all the time, and each row knows its own: z-test, 1e-6."""
    mdp = setting["mdp"]
    log = collect(mdp, QLearning(), discount=GAMMA, episodes=6000, seed=5)
    found = importance_sampling(log, setting["target"], mdp, discount=GAMMA, weighting="per_decision")
    error = (found.upper - found.value) / stats.t.ppf(0.975, 5999)
    assert abs(found.value - setting["exact"]) / error < stats.norm.isf(5e-7)


def test_table_in_place_of_a_policy(setting):
    mdp, target = setting["mdp"], setting["target"]
    table = np.zeros((7, 2))
    table[:6] = target.probability.reshape(6, 2)
    for choices in (mdp, (7, 2)):
        found = importance_sampling(setting["log"], table, choices, discount=GAMMA)
        assert found.value == importance_sampling(setting["log"], target, mdp, discount=GAMMA).value
    with pytest.raises(ValueError, match="target is 6 by 2; there are 7 states"):
        importance_sampling(setting["log"], table[:6], mdp, discount=GAMMA)
    with pytest.raises(ValueError, match="policy for other choices"):
        importance_sampling(
            setting["log"], Policy(choice_start=np.array([0, 2]), probability=np.ones(2) / 2), mdp, discount=GAMMA
        )


def test_bad_numbers_are_refused(setting):
    log, target, mdp = setting["log"], setting["target"], setting["mdp"]
    for given, words in (
        ({"discount": 1.2}, "discount is 1.2"),
        ({"level": 1.0}, "level is 1.0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"resamples": 1}, "resamples is 1"),
        ({"accepted": 2.0}, "accepted is 2.0"),
    ):
        with pytest.raises(ValueError, match=words):
            importance_sampling(log, target, mdp, **{"discount": GAMMA, **given})
    with pytest.raises(ValueError, match="one episode"):
        importance_sampling(log.part(steps=int(log.lengths[0])), target, mdp, discount=GAMMA, accepted=1.0)
    with pytest.raises(ValueError, match="q has 3 entries"):
        doubly_robust(log, target, mdp, discount=GAMMA, q=np.zeros(3))
    with pytest.raises(ValueError, match="folds is 1"):
        doubly_robust(log, target, mdp, discount=GAMMA, folds=1)
    never = np.zeros(mdp.n_choices)
    never[1::2] = 1.0
    other = Policy(choice_start=mdp.choice_start, probability=1 - never)
    stranger = collect(mdp, other, episodes=20, seed=1)
    with pytest.raises(ValueError, match="no episode of the log is one that the target would play"):
        importance_sampling(
            stranger,
            Policy(choice_start=mdp.choice_start, probability=never),
            mdp,
            discount=GAMMA,
            weighting="weighted",
            accepted=1.0,
        )


def test_endless_target_without_a_discount_is_refused(tiny):
    log = tiny["written"](
        [
            [(0, 0, 1.0, 0, False, False, 0.5), (0, 1, 0.0, 1, True, False, 0.5)],
            [(0, 1, 0.0, 1, True, False, 0.5)],
        ]
    )
    stays = np.array([[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="from state 0 the target goes on for ever"):
        fitted_q_evaluation(log, stays, (2, 2), discount=1.0)
    assert fitted_q_evaluation(log, stays, (2, 2), discount=0.5).value == pytest.approx(2.0)


def test_fitted_q_says_where_it_knows_nothing(tiny):
    """State 1 is in the log and the target never comes there; its second action is not in the log."""
    log = tiny["written"](
        [
            [(0, 0, 1.0, 2, True, False, 0.5)],
            [(0, 1, 0.0, 1, False, False, 0.5), (1, 0, 3.0, 2, True, False, 1.0)],
        ]
    )
    target = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    for discount in (0.5, 1.0):
        found = fitted_q_evaluation(log, target, (3, 2), discount=discount)
        assert found.value == 1.0
        assert np.array_equal(found.q, [1.0, np.nan, 3.0, np.nan], equal_nan=True)
