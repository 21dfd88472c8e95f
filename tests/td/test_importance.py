"""Importance sampling: by its definition over whole episodes, by enumeration, and against exact values.

z-tests have fixed seeds; at 5.5 standard errors a right program fails one of them with probability 4e-8.
"""

import dataclasses
import re

import numpy as np
import pytest

from suasion.markov import Policy, from_dict
from suasion.planning import evaluate
from suasion.td import TD, MonteCarlo, Polynomial, TDLambda, predict
from suasion.td._importance import weighed_tables
from suasion.td._random import streams, uniform
from suasion.td._simulator import first_of, followed, outcome_of, tables

Z, SEED, LIMIT = 5.5, 3, 5
KINDS = ("ordinary", "weighted", "per-decision")


def drawn(mdp, seed, zero=()):
    """A policy without symmetry; some choices may be left out."""
    weight = np.random.default_rng(seed).uniform(0.2, 1.0, mdp.n_choices)
    weight[list(zero)] = 0.0
    counts = np.diff(mdp.choice_start)
    live = mdp.choice_start[:-1][counts > 0]
    return Policy(
        choice_start=mdp.choice_start, probability=weight / np.repeat(np.add.reduceat(weight, live), counts[counts > 0])
    )


def short():
    """Three steps at most, all of their rewards different."""
    return from_dict(
        {
            "a": {"x": [(0.5, "b", 1.0), (0.5, "end", 2.5)], "y": [(1.0, "b", -1.25)]},
            "b": {"x": [(0.25, "c", 0.5), (0.75, "end", -2.0)], "y": [(1.0, "c", 3.0)], "z": [(1.0, "end", 0.125)]},
            "c": {"x": [(1.0, "end", 4.0)], "y": [(1.0, "end", -0.75)]},
        },
        terminal=["end"],
        initial={"a": 1.0},
    )


@pytest.mark.parametrize("visits", ["first", "every"])
@pytest.mark.parametrize("importance", KINDS)
def test_the_same_policy_needs_no_weights(models, importance, visits):
    """T9: with b = pi each kind is Monte Carlo, to the last bit; and n-step TD is n-step TD."""
    mdp = models["varied"]()
    pi = drawn(mdp, 1)
    numbers = {"discount": 0.9, "runs": 5, "episodes": 30, "time_limit": LIMIT, "seed": 2, "start": 0.3}
    plain = predict(mdp, pi, MonteCarlo(visits=visits), **numbers)
    other = predict(mdp, pi, MonteCarlo(visits=visits, importance=importance), behaviour=pi, **numbers)
    assert plain.v.tobytes() == other.v.tobytes()
    assert plain.returns.tobytes() == other.returns.tobytes()
    for n in (1, 3):
        plain, other = (predict(mdp, pi, TD(n=n), behaviour=b, **numbers) for b in (None, pi))
        assert plain.v.tobytes() == other.v.tobytes()


def test_tables_of_the_same_policy_are_those_without_weights(models):
    mdp = models["varied"]()
    pi = drawn(mdp, 1)
    for one, other in zip(weighed_tables(mdp, pi, pi, None), tables(followed(mdp, pi)), strict=True):
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)


def episodes_of(mdp, pi, b, seed, count):
    """Episodes of b: (state, reward, ratio) of each step, and the state in which it was cut; ratios by the rewards."""
    held, rng = weighed_tables(mdp, pi, b, None), streams(seed, 1)
    live = np.flatnonzero(~mdp.terminal)
    rewards = np.repeat(mdp.choice_reward, np.diff(mdp.branch_start)) + mdp.branch_reward
    of_branch = np.repeat(np.arange(mdp.n_choices), np.diff(mdp.branch_start))

    def draw(low):
        number, *rng[0] = uniform(*rng[0])
        o = first_of(held, number) if low is None else outcome_of(held, low, number)
        reward, low, alive = held.outcome[o].tolist()
        return reward, low if alive else None

    for _ in range(count):
        _, low = draw(None)
        steps = []
        while low is not None and len(steps) < LIMIT:
            reward, after = draw(low)
            c = of_branch[np.flatnonzero(rewards == reward)].item()
            assert c in mdp.choices(int(live[low]))
            steps.append((low, reward, pi.probability[c] / b.probability[c]))
            low = after
        yield steps, low


def estimate(mdp, pi, b, visits, importance, count=40, discount=0.9):
    """Sections 5.5 and 5.9, forwards, episode by episode."""
    size = int((~mdp.terminal).sum())
    v, seen, sums = np.zeros(size), np.zeros(size), np.zeros(size)
    for steps, cut in episodes_of(mdp, pi, b, SEED, count):
        follows = 0.0 if cut is None else v[cut]
        for t in range(len(steps) - 1, -1, -1):
            s = steps[t][0]
            if visits == "first" and any(step[0] == s for step in steps[:t]):
                continue
            products = np.cumprod([ratio for *_, ratio in steps[t:]])
            values = [discount**k * step[1] for k, step in enumerate(steps[t:])]
            last = discount ** len(values) * follows
            if importance == "per-decision":
                target = products @ values + products[-1] * last
            else:
                target = sum(values) + last
                target *= products[-1] if importance == "ordinary" else 1.0
            if importance != "weighted":
                seen[s] += 1
                v[s] += (target - v[s]) / seen[s]
            elif products[-1] > 0:
                sums[s] += products[-1]
                v[s] += products[-1] / sums[s] * (target - v[s])
    return v


@pytest.mark.parametrize("visits", ["first", "every"])
@pytest.mark.parametrize("importance", KINDS)
@pytest.mark.parametrize("zero", [(), (0,)], ids=["all", "never"])
def test_monte_carlo_by_definition(models, importance, visits, zero):
    mdp = models["varied"](seed=6)
    assert len(mdp.choices(0)) > 1
    pi, b = drawn(mdp, 1, zero), drawn(mdp, 2)
    rule = MonteCarlo(visits=visits, importance=importance)
    found = predict(mdp, pi, rule, behaviour=b, discount=0.9, episodes=40, time_limit=LIMIT, seed=SEED)
    v = estimate(mdp, pi, b, visits, importance)
    np.testing.assert_allclose(found.v[0, 0, ~mdp.terminal], v, rtol=1e-11, atol=1e-11)
    assert (found.lengths == LIMIT).any()


@pytest.mark.parametrize("n", [1, 3])
def test_steps_by_definition(models, n):
    """Equation 7.9."""
    mdp = models["varied"](seed=6)
    pi, b = drawn(mdp, 1), drawn(mdp, 2)
    found = predict(mdp, pi, TD(n=n), behaviour=b, discount=0.9, episodes=40, time_limit=LIMIT, seed=SEED)
    v = np.zeros(int((~mdp.terminal).sum()))
    for steps, cut in episodes_of(mdp, pi, b, SEED, 40):
        end, states = len(steps), [step[0] for step in steps] + [cut]
        for now in range(1, end + 1):
            for t in range(max(0, now - n), end if now == end else now - n + 1):
                until = min(t + n, end)
                follows = 0.0 if states[until] is None else v[states[until]]
                target = sum(0.9**k * r for k, (_, r, _) in enumerate(steps[t:until])) + 0.9 ** (until - t) * follows
                weight = np.prod([ratio for *_, ratio in steps[t:until]])
                v[states[t]] += 0.1 * weight * (target - v[states[t]])
    np.testing.assert_allclose(found.v[0, 0, ~mdp.terminal], v, rtol=0, atol=1e-11)


def paths(mdp, pi, b, discount, s=0):
    """(probability under b, product of ratios, return, per-decision return) of every way to the end."""
    if mdp.terminal[s]:
        return [(1.0, 1.0, 0.0, 0.0)]
    found = []
    for c in mdp.choices(s):
        ratio = pi.probability[c] / b.probability[c]
        for k in range(mdp.branch_start[c], mdp.branch_start[c + 1]):
            reward = mdp.choice_reward[c] + mdp.branch_reward[k]
            for p, weight, total, each in paths(mdp, pi, b, discount, int(mdp.target[k])):
                whole = (ratio * weight, reward + discount * total, ratio * (reward + discount * each))
                found.append((b.probability[c] * mdp.probability[k] * p, *whole))
    return found


@pytest.mark.parametrize("importance", ["ordinary", "per-decision"])
def test_every_episode_of_a_small_model(importance):
    """One episode each: the estimates are those of the enumeration, as often as it says."""
    mdp, runs = short(), 20_000
    pi, b = drawn(mdp, 1), drawn(mdp, 2)
    chance, weight, total, each = np.array(paths(mdp, pi, b, 0.9)).T
    exact = evaluate(mdp, pi, 0.9).value[0]
    assert chance.sum() == pytest.approx(1, abs=1e-12)
    assert chance @ weight == pytest.approx(1, abs=1e-12)
    assert chance @ (weight * total) == pytest.approx(exact, abs=1e-12)
    assert chance @ each == pytest.approx(exact, abs=1e-12)
    found = predict(
        mdp, pi, MonteCarlo(importance=importance), behaviour=b, discount=0.9, runs=runs, episodes=1, seed=5
    )
    said = weight * total if importance == "ordinary" else each
    at = abs(found.v[:, 0, :1] - said).argmin(axis=1)
    np.testing.assert_allclose(found.v[:, 0, 0], said[at], rtol=0, atol=1e-12)
    count = np.bincount(at, minlength=len(said))
    assert (abs(count - runs * chance) < Z * np.sqrt(runs * chance * (1 - chance))).all()


def test_no_bias_and_less_variance():
    """Ordinary and per-decision means are right on average, and so is a step of TD; weighted means err less."""
    mdp = short()
    pi, b = drawn(mdp, 1), drawn(mdp, 9)
    exact, errors = evaluate(mdp, pi, 0.9).value[0], {}
    for importance in KINDS:
        rule = MonteCarlo(importance=importance)
        v = predict(mdp, pi, rule, behaviour=b, discount=0.9, runs=4000, episodes=25, seed=8).v[:, 0, 0]
        errors[importance] = ((v - exact) ** 2).mean()
        if importance != "weighted":
            assert abs(v.mean() - exact) < Z * v.std(ddof=1) / np.sqrt(len(v))
    assert errors["weighted"] < errors["ordinary"]
    once = predict(mdp, pi, TD(step_size=1.0), behaviour=b, discount=0.9, runs=20_000, steps=1, start=0.5).v[:, 0, 0]
    worth = mdp.branch_reward + 0.45 * ~mdp.terminal[mdp.target]
    step = sum(
        pi.probability[c] * mdp.probability[k] * (mdp.choice_reward[c] + worth[k])
        for c in mdp.choices(0)
        for k in range(mdp.branch_start[c], mdp.branch_start[c + 1])
    )
    assert abs(once.mean() - step) < Z * once.std(ddof=1) / np.sqrt(len(once))


def test_threads_and_blocks_change_nothing(models):
    mdp = models["varied"](seed=6)
    pi, b = drawn(mdp, 1), drawn(mdp, 2)
    for rule in (MonteCarlo(importance="weighted"), TD(n=3)):
        numbers = {"behaviour": b, "discount": 0.9, "time_limit": 400, "seed": 11}
        plain = predict(mdp, pi, rule, runs=11, steps=700, threads=1, block=11, **numbers)
        other = predict(mdp, pi, rule, runs=11, steps=700, threads=2, block=2, checkpoints=[1, 99, 700], **numbers)
        assert plain.v[:, -1].tobytes() == other.v[:, -1].tobytes()


def test_bad_input(models):
    mdp = short()
    pi = Policy.uniform(mdp)
    bare = drawn(mdp, 1, zero=(1, 4))
    said = "never makes 2 choices that the policy makes: state 0 (a), action 1 (y) (pi is 0.5); state 1 (b), action 2"
    with pytest.raises(ValueError, match=re.escape(said)):
        predict(mdp, pi, MonteCarlo(), behaviour=bare, discount=0.9, episodes=1)
    covered = predict(mdp, bare, MonteCarlo(), behaviour=pi, discount=0.9, episodes=9)
    assert np.isfinite(covered.v).all()
    with pytest.raises(ValueError, match="TDLambda learns from the policy's own steps only"):
        predict(mdp, pi, TDLambda(), behaviour=pi, discount=0.9, episodes=1)
    walk = models["walk"]()
    with pytest.raises(ValueError, match="the policy is for 7 states"):
        predict(mdp, pi, MonteCarlo(), behaviour=Policy.uniform(walk), discount=0.9, episodes=1)
    with pytest.raises(ValueError, match=r"step_size is 0\.1: a weighted mean has steps of its own"):
        MonteCarlo(importance="weighted", step_size=0.1)
    with pytest.raises(Exception, match=r"importance is 'none'|Type-check error"):
        MonteCarlo(importance="none")
    assert dataclasses.replace(MonteCarlo(importance="weighted"), step_size=Polynomial()).importance == "weighted"
