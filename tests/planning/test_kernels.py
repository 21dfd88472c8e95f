"""Compiled sweeps and graph searches against NumPy, SciPy and plain loops; the bound of rounding against fractions.

Most models here have probabilities and values that are small multiples of powers of 2: nothing is rounded, and results
must be equal. Shapes of rows are few, for each is compiled anew.
"""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suasion.markov import MDP
from suasion.planning import _graph as graph
from suasion.planning import _kernels as kernels
from suasion.planning import _reference as reference
from suasion.planning._operator import Operator
from suasion.planning._priority import prioritised
from suasion.planning._rows import padded, rows
from suasion.planning._sweeps import folded

few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**40)
SHAPES = {"neither": (0, 0), "choices": (2, 0), "branches": (0, 3), "both": (2, 3), "padded": (2, 3), "one": (1, 0)}
shapes = st.sampled_from(sorted(SHAPES))
shares = st.sampled_from([0.3, 0.5, 1.0])
S = 12


def binary(seed, shape):
    """Rows of S states with A choices of K branches, varying where 0; nearly constant where they are to be padded."""
    rng = np.random.default_rng(seed)
    A, K = SHAPES[shape]
    counts = np.full(S, A) if A else np.append([0, 1, 2], rng.integers(0, 4, S - 3))
    if shape == "padded":
        counts[rng.integers(S)] = 1
        counts[rng.integers(S)] = 0
    C = int(counts.sum())
    lengths = np.full(C, K) if K else np.append([1, 4], rng.integers(1, 5, C - 2))
    if shape == "padded":
        lengths[0] = 2
    target = [np.sort(rng.choice(S, n, replace=False)) for n in lengths]
    mdp = MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=np.concatenate([[0], np.cumsum(lengths)]),
        target=np.concatenate(target),
        probability=np.concatenate([parts(rng, n) for n in lengths]) / 16,
        choice_reward=rng.integers(-3, 4, C) / 2,
        terminal=counts == 0,
    )
    plain = rows(mdp, pad=False)
    found = padded(plain) if shape == "padded" else plain
    assert (found.A, found.K) in (((A, K),) if A and K else ((0, 0),))
    return plain, found, rng


def parts(rng, n):
    """Positive whole numbers with sum 16."""
    cuts = np.sort(rng.choice(np.arange(1, 16), n - 1, replace=False))
    return np.diff(np.concatenate([[0], cuts, [16]])).astype(float)


def values(rng):
    return rng.integers(-16, 17, S) / 8


def arrays(found):
    return found.choice_start, found.start, found.target, found.probability, found.reward


def permuted(found, order):
    """The same model with states in another order, by loops."""
    place = np.argsort(order)
    choices = [c for s in order for c in range(found.choice_start[s], found.choice_start[s + 1])]
    branches = [b for c in choices for b in range(found.start[c], found.start[c + 1])]
    return dataclasses.replace(
        found,
        choice_start=np.concatenate([[0], np.cumsum(np.diff(found.choice_start)[order])]),
        start=np.concatenate([[0], np.cumsum(np.diff(found.start)[choices])]).astype(np.int64),
        target=place[found.target[branches]].astype(np.int32),
        probability=found.probability[branches],
        reward=found.reward[choices],
        origin=np.array(choices, np.int64) if found.origin is None else found.origin[choices],
    )


def compiled(found, discount):
    operator = Operator(found, discount)
    operator.compiled = True  # however small it is
    return operator


def kept(own):
    """Rows of a policy as sets of (target, probability), and their rewards."""
    *start, target, probability, reward = own
    if start:
        target, probability = (np.split(x, start[0][1:-1]) for x in (target, probability))
    found = []
    for j, p in zip(target, probability, strict=True):
        pairs = zip(j.tolist(), p.tolist(), strict=True)
        found.append(sorted(pair for pair in pairs if pair[1]))
    return found, reward


# Backups


@few
@given(seed=seeds, shape=shapes, discount=st.sampled_from([0.0, 0.5, 1.0]), keep=st.booleans(), other=st.booleans())
def test_backup_is_the_equation(seed, shape, discount, keep, other):
    plain, found, rng = binary(seed, shape)
    if other:
        order = rng.permutation(S)
        plain, found = permuted(plain, order), permuted(found, order)
    value = values(rng)
    q = reference.action_values(plain, discount, value)
    wanted, choice = reference.greedy(plain, q)
    result = compiled(found, discount).optimal(value, keep=keep)
    np.testing.assert_array_equal(result.value, wanted)
    np.testing.assert_array_equal(found.original(result.choice), plain.original(choice))
    change = wanted - value
    assert result.low <= change.min()
    assert change.max() <= result.high
    assert result.high - result.low <= change.max() - change.min() + 1e-10


@few
@given(seed=seeds, shape=shapes, discount=st.sampled_from([0.5, 1.0]))
def test_the_rows_kept_are_those_of_the_greedy_policy(seed, shape, discount):
    plain, found, rng = binary(seed, shape)
    operator = compiled(found, discount)
    for _ in range(2):  # the second time, over what was kept before
        value = values(rng)
        choice = operator.optimal(value, keep=True).choice
        pairs, reward = kept(operator._own)
        for s, c in enumerate(choice):
            if c < 0 or plain.ends[s]:
                assert not pairs[s]
                continue
            assert reward[s] == found.reward[c]
            branches = range(found.start[c], found.start[c + 1])
            mine = [(int(found.target[b]), float(found.probability[b])) for b in branches]
            assert pairs[s] == sorted(pair for pair in mine if pair[1])
        other = values(rng)
        result, low, high = operator.evaluate(other)
        wanted = reference.evaluate(found, discount, choice, other)
        np.testing.assert_array_equal(result, wanted)
        assert (low, high) == ((wanted - other).min(), (wanted - other).max())


@few
@given(seed=seeds, shape=shapes, threads=st.integers(2, 5))
def test_threads_share_a_sweep_and_change_nothing(seed, shape, threads):
    _, found, rng = binary(seed, shape)
    value = values(rng)
    alone, shared = compiled(found, 0.5), compiled(found, 0.5)
    shared.threads = threads
    one, many = alone.optimal(value, keep=True), shared.optimal(value, keep=True)
    np.testing.assert_array_equal(one.value, many.value)
    np.testing.assert_array_equal(one.choice, many.choice)
    assert (one.low, one.high) == (many.low, many.high)
    np.testing.assert_array_equal(alone.evaluate(value)[0], shared.evaluate(value)[0])


# Sweeps in place


def updated(plain, discount, value, s):
    """One update of a state, self-loops solved for; None where every choice only stays, or there is none."""
    best = None
    for c in range(plain.choice_start[s], plain.choice_start[s + 1]):
        total, stays = float(plain.reward[c]), 0.0
        for b in range(plain.start[c], plain.start[c + 1]):
            j, p = int(plain.target[b]), discount * float(plain.probability[b])
            stays, total = (stays + p, total) if j == s else (stays, total + p * value[j])
        if stays < 1:
            best = max(total / (1 - stays), -np.inf if best is None else best)
    return best


@few
@given(seed=seeds, shape=shapes, discount=st.sampled_from([0.5, 1.0]), backward=st.booleans(), other=st.booleans())
def test_sweep_is_a_loop_over_the_states(seed, shape, discount, backward, other):
    plain, found, rng = binary(seed, shape)
    order = rng.permutation(S) if other else None
    swept = folded(found, discount, order)
    value = values(rng)
    wanted, greatest = value.copy(), 0.0
    sequence = np.arange(S) if order is None else order
    for s in sequence[::-1] if backward else sequence:
        if plain.ends[s]:
            wanted[s] = 0.0 if swept.A else wanted[s]  # states with padding are worth 0
            greatest = max(greatest, abs(float(value[s] - wanted[s])))
        elif (best := updated(plain, discount, wanted, s)) is not None:
            greatest = max(greatest, abs(best - float(wanted[s])))
            wanted[s] = best
    result, own = value[sequence].copy(), swept.room()
    change = kernels.sweep(swept.A, swept.K)(backward, swept.packed, own, result)
    np.testing.assert_allclose(result, wanted[sequence], rtol=1e-13, atol=1e-13)
    assert change == pytest.approx(greatest, abs=1e-13)
    pairs, reward = kept(own)
    again = result.copy()
    for s in range(S)[::-1] if backward else range(S):
        again[s] = reward[s] + sum(p * again[j] for j, p in pairs[s])
    change = kernels.sweep_policy(swept.K)(backward, own, result)
    np.testing.assert_allclose(result, again, rtol=1e-13, atol=1e-13)


@few
@given(seed=seeds, shape=shapes, discount=st.sampled_from([0.5, 1.0]), limit=st.integers(1, 3))
def test_blocks_are_a_loop_over_the_components(seed, shape, discount, limit):
    plain, found, rng = binary(seed, shape)
    components = graph.components(found)
    value = np.where(plain.ends, 0.0, values(rng))
    wanted, updates, finished = value.copy(), 0, True
    for i in range(len(components.start) - 1):
        block = components.order[components.start[i] : components.start[i + 1]]
        for swept in range(limit):
            greatest = 0.0
            for s in block:
                best = None if plain.ends[s] else updated(plain, discount, wanted, s)
                if best is not None:
                    greatest = max(greatest, abs(best - float(wanted[s])))
                    wanted[s] = best
            updates += len(block)
            if len(block) == 1 or greatest <= 0.01:
                break
            finished = finished and swept < limit - 1
    result = value.copy()
    told = kernels.blocks(*components, *arrays(found), discount, result, 0.01, limit)
    np.testing.assert_allclose(result, wanted, rtol=1e-13, atol=1e-13)
    assert told == (updates, finished)


@few
@given(seed=seeds, shape=shapes, discount=st.sampled_from([0.5, 0.9]))
def test_prioritised_sweeping_ends_at_the_fixed_point(seed, shape, discount):
    plain, found, rng = binary(seed, shape)
    value = np.where(plain.ends, 0.0, values(rng))
    swept = folded(found, discount)
    updates, finished = prioritised(*arrays(swept), value, 1e-13, 1_000_000)
    assert finished
    after = reference.greedy(plain, reference.action_values(plain, discount, value))[0]
    np.testing.assert_allclose(after, value, atol=1e-12)
    again, _ = prioritised(*arrays(swept), value, 1e-12, 1_000_000)
    assert again == 0
    if updates > 1:
        stopped = np.where(plain.ends, 0.0, values(np.random.default_rng(seed)))
        assert prioritised(*arrays(swept), stopped, 0.0, 1) in ((1, False), (1, True), (0, True))


@few
@given(seed=seeds, shape=shapes, discount=st.sampled_from([0.25, 0.9]))
def test_folding_keeps_the_fixed_point(seed, shape, discount):
    plain, found, _ = binary(seed, shape)
    value = np.zeros(S)
    for _ in range(400):
        value = reference.greedy(plain, reference.action_values(plain, discount, value))[0]
    order = np.random.default_rng(seed).permutation(S)
    swept = folded(found, discount, order)
    after = reference.greedy(swept, reference.action_values(swept, 1.0, value[order]))[0]
    np.testing.assert_allclose(after, value[order], atol=1e-12)


@few
@given(seed=seeds, longest=st.integers(4, 6))
def test_padding_by_kernel_is_padding(seed, longest):
    plain, _, rng = binary(seed, "neither")
    size = longest * len(plain.reward)
    target, probability = np.full(size, -1, np.int32), np.full(size, np.nan)
    kernels.pad(longest, plain.start, plain.target, plain.probability, target, probability)
    value = values(rng)
    sums = (probability * value[target]).reshape(-1, longest).sum(1)
    np.testing.assert_array_equal(plain.reward + sums, reference.action_values(plain, 1.0, value))


# Graphs


def edges(found):
    """Adjacency of the states."""
    matrix = np.zeros((S, S), bool)
    for s in range(S):
        branches = slice(found.start[found.choice_start[s]], found.start[found.choice_start[s + 1]])
        matrix[s, found.target[branches][found.probability[branches] > 0]] = True
    return matrix


def sparse(seed, share):
    """Few branches, so that there are many components; with branches of probability 0, which are no edges."""
    plain, _, rng = binary(seed, "one")
    return dataclasses.replace(plain, probability=plain.probability * (rng.random(len(plain.probability)) < share))


@few
@given(seed=seeds, share=shares)
def test_components_are_those_of_scipy_and_each_comes_after_what_it_leads_to(seed, share):
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    found = sparse(seed, share)
    matrix = edges(found)
    count, label = connected_components(csr_array(matrix), connection="strong")
    components = graph.components(found)
    assert len(components.start) == count + 1
    assert sorted(components.order.tolist()) == list(range(S))
    place = np.empty(S, int)
    for i in range(count):
        members = components.order[components.start[i] : components.start[i + 1]]
        assert len(set(label[members])) == 1
        assert len(members) == (label == label[members[0]]).sum()
        place[members] = i
    source, target = np.nonzero(matrix)
    assert (place[target] <= place[source]).all()


@few
@given(seed=seeds, share=shares, goal=st.sets(st.integers(0, S - 1), max_size=3))
def test_outwards_is_a_search_in_breadth(seed, share, goal):
    found = sparse(seed, share)
    matrix, members = edges(found), np.isin(np.arange(S), list(goal))
    wanted, frontier, steps = np.where(members, 0, -1), members, 0
    while frontier.any():
        steps += 1
        frontier = (matrix[:, frontier].any(1)) & (wanted < 0)
        wanted[frontier] = steps
    queue, distance = graph.outwards(found, members)
    np.testing.assert_array_equal(distance, wanted)
    assert sorted(queue.tolist()) == np.flatnonzero(wanted >= 0).tolist()
    assert (np.diff(distance[queue]) >= 0).all()
    before, after, count = graph.nearer(found.choice_start, found.start, found.target, found.probability, distance)
    near = [matrix[s] & (wanted == wanted[s] - 1) if wanted[s] > 0 else np.zeros(S, bool) for s in range(S)]
    assert count == (wanted > 0).sum()
    assert before == sum(bool(near[s][:s].any()) for s in range(S))
    assert after == sum(bool(near[s][s + 1 :].any()) for s in range(S))


# Rounding


@few
@given(
    seed=seeds,
    magnitude=st.sampled_from([1e-6, 1.0, 1e9]),
    discount=st.sampled_from([0.0, 0.3, 0.999, 1.0]),
    miss=st.sampled_from([0.0, 1e-13, 5e-10]),
    maximise=st.booleans(),
)
def test_no_backup_is_further_from_the_exact_one_than_its_bound(tiny, seed, magnitude, discount, miss, maximise):
    """Of the model meant, whose rows are divided by their exact sums."""
    mdp, rng = tiny(seed, states=6, outcomes=6), np.random.default_rng(seed)
    off = np.repeat(1 + miss * rng.choice([-1, 0, 1], mdp.n_choices), np.diff(mdp.branch_start))
    mdp = dataclasses.replace(mdp, probability=mdp.probability * off)
    value = magnitude * rng.normal(size=mdp.n_states)
    exact = exact_backup(mdp, discount, value, 1 if maximise else -1)
    for found in (rows(mdp, maximise=maximise, pad=False), rows(mdp, maximise=maximise)):
        bound = Fraction(found.backup_error(discount, value))
        results = [Operator(found, discount).optimal(value)]
        if seed % 8 == 0 and found.A == found.K == 0:
            results.append(compiled(found, discount).optimal(value))
        for result in results:
            errors = [abs(Fraction(float(w)) - v) for w, v in zip(result.value, exact, strict=True)]
            assert max(errors) <= bound
            change = [v - Fraction(float(x)) for v, x in zip(exact, value, strict=True)]
            assert Fraction(result.low) <= min(change)
            assert max(change) <= Fraction(result.high)


def exact_backup(mdp, discount, value, sign):
    found = []
    for s in range(mdp.n_states):
        q = []
        for c in mdp.choices(s):
            branches = range(int(mdp.branch_start[c]), int(mdp.branch_start[c + 1]))
            total = sum(Fraction(float(mdp.probability[b])) for b in branches)
            reward = sign * Fraction(float(mdp.choice_reward[c]))
            for b in branches:
                extra = 0.0 if mdp.branch_reward is None else float(mdp.branch_reward[b])
                worth = sign * Fraction(extra) + Fraction(discount) * Fraction(float(value[mdp.target[b]]))
                reward += Fraction(float(mdp.probability[b])) / total * worth
            q.append(reward)
        found.append(max(q, default=Fraction(0)))
    return found
