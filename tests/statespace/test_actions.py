"""Chains with actions as inputs: enumeration, processes that are controlled, and every verb's identities."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from suasion.markov import MDP, POMDP
from suasion.statespace import (
    FiniteSSM,
    Gaussian,
    Likelihood,
    Poisson,
    Table,
    belief_update,
    controlled_process,
    decode,
    filter,
    fit,
    forecast,
    online,
    sample,
    score,
    simulate,
    smooth,
)

K, A = 3, 2


def build(kind="table", seed=0, states=K):
    rng = np.random.default_rng(seed)
    emissions = {
        "table": lambda: Table(probability=rng.dirichlet(np.ones(4), states)),
        "gaussian": lambda: Gaussian(
            mean=3 * rng.normal(size=(states, 2)), covariance=np.stack([np.eye(2) + 0.3] * states)
        ),
        "poisson": lambda: Poisson(rate=np.arange(1.0, 1 + states) ** 2),
    }
    transition = rng.dirichlet(np.ones(states), (A, states))
    return FiniteSSM(transition=transition, initial=rng.dirichlet(np.ones(states)), emission=emissions[kind]())


def enumerated(model, logs, moves):
    """Log-likelihood, smoothed, expected transitions by action, the best path and its score, by all paths."""
    steps, states = logs.shape
    paths = np.array(list(itertools.product(range(states), repeat=steps)))
    with np.errstate(divide="ignore"):
        joint = np.log(model.start[paths[:, 0]]) + logs[np.arange(steps), paths].sum(1)
        for t in range(steps - 1):
            joint = joint + np.log(model.matrix[moves[t], paths[:, t], paths[:, t + 1]])
    total = joint.max() + np.log(np.exp(joint - joint.max()).sum())
    weight = np.exp(joint - total)
    smoothed = np.stack([np.bincount(paths[:, t], weight, states) for t in range(steps)])
    pairs = np.zeros((A, states, states))
    for t in range(steps - 1):
        np.add.at(pairs[moves[t]], (paths[:, t], paths[:, t + 1]), weight)
    return total, smoothed, pairs, paths[joint.argmax()], joint.max()


@pytest.mark.parametrize("scale", [1, 900])
@pytest.mark.parametrize("seed", range(4))
def test_all_paths_say_the_same(seed, scale):
    """At scale 900 only logarithms reach, and some transitions cannot be."""
    rng = np.random.default_rng(seed)
    model = build(seed=seed)
    if scale > 1:
        held = np.where(model.transition < 0.2, 0.0, model.transition)
        model = replace(model, transition=held / held.sum(-1, keepdims=True))
    logs, moves = scale * rng.normal(size=(7, K)), rng.integers(A, size=7)
    model = replace(model, emission=Likelihood(function=lambda steps: logs[np.asarray(steps)]))
    y = np.arange(7)
    total, smoothed, pairs, path, best = enumerated(model, logs, moves)
    got, after, decoded = (verb(model, y, inputs=moves) for verb in (filter, smooth, decode))
    bound = 1e-12 * abs(total) + 1e-12
    assert abs(got.log_likelihood - total) <= bound
    assert abs(after.log_likelihood - total) <= bound
    for t in range(7):
        part = enumerated(model, logs[: t + 1], moves)
        np.testing.assert_allclose(got.filtered[t], part[1][-1], atol=1e-11)
        np.testing.assert_allclose(got.increments[: t + 1].sum(), part[0], rtol=1e-12, atol=1e-12)
        if t:
            np.testing.assert_allclose(got.predicted[t], got.filtered[t - 1] @ model.matrix[moves[t - 1]], rtol=1e-12)
    np.testing.assert_allclose(after.smoothed, smoothed, atol=1e-11)
    np.testing.assert_allclose(after.pairwise, pairs, atol=1e-11)
    np.testing.assert_array_equal(decoded.path, path)
    assert abs(decoded.log_probability - best) <= bound


def test_one_action_is_none():
    model = build("gaussian", 3)
    one, none = replace(model, transition=model.transition[:1]), replace(model, transition=model.transition[0])
    _, y = simulate(none, 30, np.random.default_rng(0))
    for verb in (filter, smooth, decode):
        for a, b in zip(verb(one, y, inputs=np.zeros(30, int)), verb(none, y), strict=True):
            np.testing.assert_allclose(np.squeeze(a), np.squeeze(b), rtol=1e-13)
    acted, plain = (fit(one, y, iterations=3, inputs=np.zeros(30, int)), fit(none, y, iterations=3))
    np.testing.assert_allclose(acted.model.matrix[0], plain.model.matrix, rtol=1e-12)
    np.testing.assert_allclose(acted.history, plain.history, rtol=1e-12)


@pytest.mark.parametrize("kind", ["table", "gaussian", "poisson"])
def test_batch_is_ragged_is_online_is_single(kind):
    model, rng = build(kind), np.random.default_rng(1)
    moves = rng.integers(A, size=(4, 20))
    stack = np.stack([simulate(model, 20, rng, inputs=u)[1] for u in moves])
    stack[:, 3] = -1 if kind != "gaussian" else np.nan
    if kind == "gaussian":
        stack[:, 5, 1] = np.nan
    lengths = [20, 14, 9, 1]
    ragged, cut = (
        [y[:n] for y, n in zip(stack, lengths, strict=True)],
        [u[:n] for u, n in zip(moves, lengths, strict=True)],
    )
    for verb in (filter, smooth, decode):
        together, apart = verb(model, stack, inputs=moves), verb(model, ragged, inputs=cut)
        for q in range(4):
            for a, b in zip(together, verb(model, stack[q], inputs=moves[q]), strict=True):
                np.testing.assert_allclose(a[q], b, rtol=1e-12, atol=1e-14)
            for a, b in zip(apart[q], verb(model, ragged[q], inputs=cut[q]), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    whole = filter(model, stack[2], inputs=moves[2])
    streams = online(model), online(model)
    for t in range(20):
        beliefs = streams[0].step(stack[2][t], int(moves[2][t])), streams[1].step(stack[2][t])
        streams[1].act(int(moves[2][t]))
        for belief, gained in beliefs:
            np.testing.assert_allclose(belief, whole.filtered[t], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(gained, whole.increments[t], rtol=1e-12, atol=1e-13)
    paths = sample(model, stack, rng, 5, inputs=moves)
    assert paths.shape == (4, 5, 20)


def test_draws_have_the_smoothed_and_pairwise_probabilities():
    """Four standard errors in 10 x 3 places; the seed is fixed."""
    model, rng = build("gaussian", 5), np.random.default_rng(2)
    moves = rng.integers(A, size=10)
    _, y = simulate(model, 10, rng, inputs=moves)
    after = smooth(model, y, inputs=moves)
    draws = sample(model, y, rng, 20_000, inputs=moves)
    share = (draws[:, :, None] == np.arange(K)).mean(0)
    error = np.sqrt(after.smoothed * (1 - after.smoothed) / 20_000)
    assert (np.abs(share - after.smoothed) <= 4 * error + 1e-4).all()
    pairs = np.zeros((A, K, K))
    np.add.at(pairs, (moves[:-1], draws[:, :-1], draws[:, 1:]), 1 / 20_000)
    np.testing.assert_allclose(pairs, after.pairwise, atol=0.05)


def test_forecast_is_filtering_of_missing_steps():
    model, rng = build("poisson", 6), np.random.default_rng(3)
    moves = rng.integers(A, size=14)
    _, y = simulate(model, 10, rng, inputs=moves[:10])
    ahead = forecast(model, y, 4, inputs=moves)
    blind = filter(model, np.concatenate([y, np.full(4, -1)]), inputs=moves)
    np.testing.assert_allclose(ahead.states, blind.filtered[10:], rtol=1e-13)
    states, _ = simulate(model, 14, rng, count=40_000, inputs=moves)
    law = model.start
    for t in range(14):
        share = np.bincount(states[:, t], minlength=K) / 40_000  # four standard errors in 42 places
        assert (np.abs(share - law) <= 4 * np.sqrt(law * (1 - law) / 40_000)).all()
        law = law @ model.matrix[moves[t]]


def test_fit_rises_and_its_score_vanishes():
    model, rng = build("table", 7), np.random.default_rng(4)
    moves = rng.integers(A, size=(3, 200))
    y = np.stack([simulate(model, 200, rng, inputs=u)[1] for u in moves])
    found = fit(build("table", 8), y, iterations=30, inputs=moves)
    assert (np.diff(found.history) >= -1e-10 * abs(found.history[0])).all()
    assert found.log_likelihood > filter(model, y, inputs=moves).log_likelihood.sum()
    np.testing.assert_allclose(found.model.matrix.sum(-1), 1, rtol=1e-14)
    steps = np.random.default_rng(5).normal(size=model.matrix.shape)
    steps -= steps.mean(-1, keepdims=True)
    got, h = score(model, y, inputs=moves), 1e-5
    up, down = (replace(model, transition=model.matrix + sign * h * steps * model.matrix.min()) for sign in (1, -1))
    slope = (filter(up, y, inputs=moves).log_likelihood - filter(down, y, inputs=moves).log_likelihood).sum() / (2 * h)
    np.testing.assert_allclose(slope, (got.transition * steps * model.matrix.min()).sum(), rtol=1e-6)
    climbed = fit(model, y, method="ml", free=("transition",), iterations=60, tolerance=1e-7, inputs=moves)
    held = fit(model, y, free=("transition",), iterations=2000, tolerance=1e-13, inputs=moves)
    np.testing.assert_allclose(climbed.log_likelihood, held.log_likelihood, rtol=1e-7)


def test_an_action_that_was_never_taken_is_dead_without_a_prior():
    model, rng = build("table"), np.random.default_rng(0)
    moves = np.zeros(50, int)
    _, y = simulate(model, 50, rng, inputs=moves)
    with pytest.raises(ValueError, match=r"state 0 is dead under action 1: 0 transitions .*prior"):
        fit(model, y, inputs=moves)
    kept = fit(model, y, inputs=moves, prior=1.0, iterations=5)
    np.testing.assert_allclose(kept.model.matrix[1], 1 / K, rtol=1e-12)


def process(seed, ends, same=False, states=3, symbols=4):
    rng = np.random.default_rng(seed)
    terminal = np.zeros(states, bool)
    terminal[-1] = ends
    start = np.concatenate([[0], np.cumsum(np.where(terminal, 0, A))])
    choices = int(start[-1])
    mdp = MDP.from_branches(
        choice_start=start, action=np.tile(np.arange(A), states - ends),
        branch_start=np.arange(choices + 1) * states,
        target=np.tile(np.arange(states), choices), probability=rng.dirichlet(np.ones(states), choices).ravel(),
        choice_reward=np.zeros(choices), terminal=terminal,
    )  # fmt: skip
    seen = rng.dirichlet(np.ones(symbols), (A, states))
    return POMDP(mdp=mdp, observation=np.stack([seen[0]] * A) if same else seen)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_filtering_a_controlled_process_is_updating_beliefs(ends, same):
    pomdp, rng = process(9, ends, same), np.random.default_rng(6)
    belief = np.array([0.5, 0.3, 0.2])
    model = controlled_process(pomdp, belief)
    assert (model.n_states, model.n_actions) == (3 if same else 6, A)
    moves = rng.integers(A, size=8)
    _, y = simulate(model, 8, rng, inputs=moves)
    y[0] = y[4] = -1  # nothing is seen before the first action, nor at step 4
    got = filter(model, y, inputs=moves)
    for t in range(1, 8):
        belief, gained = belief_update(pomdp, belief, int(moves[t - 1]), None if y[t] < 0 else int(y[t]))
        np.testing.assert_allclose(got.filtered[t].reshape(-1, 3).sum(0), belief, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(got.increments[t], gained, rtol=1e-12, atol=1e-14)
    stream = online(model)
    for t in range(8):
        held, _ = stream.step(int(y[t]), int(moves[t]))
    np.testing.assert_allclose(held.reshape(-1, 3).sum(0), belief, rtol=1e-12)


def test_an_mdp_with_its_own_emission():
    pomdp = process(10, True)
    emission = Table(probability=pomdp.observation[1])
    model = controlled_process(pomdp.mdp, np.array([1.0, 0, 0]), emission)
    move = np.zeros((A, 3, 3))
    move[:, :2] = pomdp.mdp.probability.reshape(2, A, 3).transpose(1, 0, 2)
    move[:, 2, 2] = 1
    np.testing.assert_allclose(model.matrix, move, rtol=1e-15)
    with pytest.raises(ValueError, match="an MDP needs an emission"):
        controlled_process(pomdp.mdp, np.array([1.0, 0, 0]))
    with pytest.raises(ValueError, match="its own observations"):
        controlled_process(pomdp, np.array([1.0, 0, 0]), emission)
    with pytest.raises(ValueError, match=r"belief sums to 1\.5"):
        controlled_process(pomdp, np.array([1.0, 0.5, 0]))
    one = MDP.from_branches(
        choice_start=np.array([0, 2, 3]), action=np.array([0, 1, 0]), branch_start=np.arange(4),
        target=np.array([0, 1, 1]), probability=np.ones(3), choice_reward=np.zeros(3), terminal=np.zeros(2, bool),
    )  # fmt: skip
    with pytest.raises(ValueError, match="state 1 has 0 choices with action 1"):
        controlled_process(one, np.array([1.0, 0]), Table(probability=np.eye(2)))


Y = np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: filter(m, Y), "inputs are missing: the chain has 2 actions"),
        (lambda m: filter(m, Y, inputs=np.array([0, 1])), r"inputs is int64\[2\]: it must be whole numbers, int\[3\]"),
        (lambda m: decode(m, Y, inputs=np.array([0.0, 1, 1])), r"inputs is float64\[3\]"),
        (lambda m: smooth(m, Y, inputs=np.array([0, 2, 0])), r"inputs\[1\] is 2: actions are 0 to 1"),
        (lambda m: smooth(m, [Y, Y], inputs=[Y[:1]]), "there are 2 sequences and inputs for 1"),
        (lambda m: smooth(m, [Y, Y], inputs=[0 * Y, -Y]), r"inputs\[1\]\[1\] is -1"),
        (lambda m: forecast(m, Y, 2, inputs=0 * Y), r"inputs is int64\[3\]: it must be whole numbers, int\[5\]"),
        (lambda m: filter(replace(m, transition=m.matrix[0]), Y, inputs=0 * Y), "the chain has no actions"),
        (lambda m: online(replace(m, transition=m.matrix[0])).act(0), "the chain has no actions"),
        (lambda m: online(m).step(0, 2), r"u\[0\] is 2: actions are 0 to 1"),
        (lambda m: [online_twice(m)], "2 actions, and none was taken since the last step"),
        (lambda m: m.chain, "2 actions: there is no one chain"),
        (lambda m: replace(m, transition=2 * m.matrix), r"transition\[0, 0\] sums to 2\.0"),
        (lambda m: replace(m, transition=m.matrix[:, :2]), r"transition is \[2, 2, 3\]: it must be \[actions, states"),
        (lambda m: replace(m, initial=np.array([0.5, 0.5])), r"initial is \[2\], not \[3\]"),
    ],
)
def test_wrong_questions_are_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(build())


def online_twice(model):
    stream = online(model)
    stream.step(0)
    return stream.step(1)
