"""Replay tends to the solution of the empirical model; pessimism against its definition, as a loop."""

import numpy as np
import pytest

from suasion.markov import Policy, Walks
from suasion.td import (
    Polynomial,
    Sarsa,
    batch_td,
    certainty_equivalence,
    collect,
    fitted_q_evaluation,
    policy_value,
    replay,
)

GAMMA = 0.9


def swept(log, mdp, *, unseen, penalty=0.0, floor=-np.inf, masked=False, sweeps=3000):
    """Value iteration on the log's frequencies, from the definition: dictionaries and loops."""
    rows = {}
    for s, a, r, after in zip(log.state, log.action, log.reward, log.next_state, strict=True):
        rows.setdefault((int(s), int(a)), []).append((float(r), int(after)))
    v = np.zeros(mdp.n_states)
    q = {}
    for _ in range(sweeps):
        q = {}
        for s in range(mdp.n_states):
            for c in mdp.choices(s):
                held = rows.get((s, int(mdp.action[c])))
                q[c] = unseen
                if held:
                    q[c] = np.mean([r + GAMMA * v[after] for r, after in held]) - penalty / np.sqrt(len(held))
        new = np.zeros_like(v)
        for s in range(mdp.n_states):
            options = list(mdp.choices(s))
            if masked and any((s, int(mdp.action[c])) in rows for c in options):
                options = [c for c in options if (s, int(mdp.action[c])) in rows]
            if options:
                new[s] = max([floor, *(q[c] for c in options)])
        if np.abs(new - v).max() < 1e-13:
            break
        v = new
    return v, np.array([q[c] for c in range(mdp.n_choices)])


@pytest.fixture(scope="module")
def experience(models):
    mdp = models["varied"](seed=3)
    return mdp, collect(mdp, Policy.uniform(mdp), steps=60, seed=4, time_limit=12)


def test_replay_of_a_model_without_chance_is_certainty_equivalence(models):
    """T7, exactly: nothing to average, so that a constant step converges."""
    mdp = models["cliff"]()
    log = collect(mdp, Sarsa(), discount=GAMMA, steps=2000, seed=1)
    wanted = certainty_equivalence(log, mdp, discount=GAMMA)
    for step_size, order in ((1.0, "shuffled"), (0.5, "logged"), (0.7, "together")):
        found = replay(log, mdp, discount=GAMMA, passes=300, step_size=step_size, order=order)
        assert np.abs(found.q - wanted.q).max() < 1e-9
        assert found.residual < 1e-9
    assert (found.visits == wanted.visits).all()
    assert found.visits.sum() == 2000


def test_replay_of_a_log_with_chance_tends_to_certainty_equivalence(experience):
    """T7: exactly where a pass averages, nearly with falling steps, and not with a constant one."""
    mdp, log = experience
    wanted = certainty_equivalence(log, mdp, discount=GAMMA)
    together = replay(log, mdp, discount=GAMMA, passes=400, step_size=1.0, order="together")
    assert np.abs(together.q - wanted.q).max() < 1e-9
    gaps = {}
    for passes in (10, 3000):
        falling = replay(log, mdp, discount=GAMMA, passes=passes, step_size=Polynomial(exponent=0.7))
        gaps[passes] = np.abs(falling.q - wanted.q).max()
    constant = replay(log, mdp, discount=GAMMA, passes=3000, step_size=0.5)
    assert gaps[3000] < 0.02 < gaps[10]
    assert np.abs(constant.q - wanted.q).max() > 5 * gaps[3000]
    assert constant.residual > 5 * together.residual


def test_certainty_equivalence_and_pessimism_are_what_they_say(experience):
    mdp, log = experience
    assert (np.bincount(mdp.choice_start[log.state] + log.action, minlength=mdp.n_choices) == 0).any()
    worst = min(0.0, log.reward.min()) / (1 - GAMMA)
    for given, reference in (
        ({}, {"unseen": 0.0}),
        ({"start": 2.5}, {"unseen": 2.5}),
        ({"pessimism": "mask"}, {"unseen": worst, "masked": True}),
        ({"pessimism": "bound"}, {"unseen": worst, "floor": worst}),
        ({"pessimism": "bound", "penalty": 1.5}, {"unseen": worst, "penalty": 1.5, "floor": worst}),
        ({"pessimism": "bound", "penalty": 3.0, "worst": -1.0}, {"unseen": -1.0, "penalty": 3.0, "floor": -1.0}),
    ):
        found = certainty_equivalence(log, mdp, discount=GAMMA, **given)
        v, q = swept(log, mdp, **reference)
        assert np.abs(found.value - v).max() < 1e-9
        assert np.abs(found.q - q).max() < 1e-9
        assert found.worst == reference["unseen"]
        assert found.solution.converged


def test_mask_never_takes_what_was_not_seen_and_optimism_does(models):
    """A random log of the cliff: 0 is better than all that was seen."""
    mdp = models["cliff"]()
    log = collect(mdp, Policy.uniform(mdp), steps=1000, seed=0)
    plain = certainty_equivalence(log, mdp, discount=0.95)
    masked = certainty_equivalence(log, mdp, discount=0.95, pessimism="mask")
    unseen = masked.visits == 0
    left = np.add.reduceat(masked.visits, mdp.choice_start[:-1][~mdp.terminal]) > 0
    owner = np.repeat(left, 4)
    assert masked.policy.probability[unseen & owner].sum() == 0
    assert plain.policy.probability[unseen & owner].sum() > 0
    assert policy_value(mdp, masked.policy, 0.95)[0] > policy_value(mdp, plain.policy, 0.95)[0]


def test_bound_is_below_the_policys_value(tiny):
    """VI-LCB with a constant of its order, 60 logs: never above, where each may be with probability 0.1."""
    mdp = tiny["layered"](seed=2)
    rewards = mdp.branch_reward + np.repeat(mdp.choice_reward, 2)
    span = 3 * (rewards.max() - rewards.min())  # three steps
    penalty = span * np.sqrt(2 * np.log(mdp.n_choices / 0.1))
    for seed in range(60):
        log = collect(mdp, Policy.uniform(mdp), episodes=30, seed=seed)
        found = certainty_equivalence(log, mdp, discount=1.0, pessimism="bound", penalty=penalty, worst=-span)
        assert mdp.initial @ found.value <= mdp.initial @ policy_value(mdp, found.policy, 1.0)


def test_without_a_discount_the_policy_arrives(models):
    """Equal choices that wait and arrive: the solver's policy arrives, a greedy one need not."""
    mdp = models["cliff"]()
    log = collect(mdp, Sarsa(), discount=1.0, steps=5000, seed=1)
    found = certainty_equivalence(log, mdp, discount=1.0, pessimism="mask", worst=-1000.0)
    assert found.value[0] == policy_value(mdp, found.policy, 1.0)[0] == -13
    with pytest.raises(ValueError, match=r"rewards fall to -100.0 and the discount is 1.* give worst"):
        certainty_equivalence(log, mdp, discount=1.0, pessimism="mask")


def test_cut_is_no_end(tiny):
    """The value of the last state is learned from; faults of others: a cut taken for an end."""
    cut = tiny["written"]([[(0, 0, 1.0, 1, False, True, 1.0)], [(1, 0, 2.0, 2, True, False, 1.0)]])
    for found in (
        replay(cut, (3, 1), discount=0.5, passes=60, step_size=1.0),
        certainty_equivalence(cut, (3, 1), discount=0.5),
    ):
        assert found.q.tolist() == [2.0, 2.0]


def test_sizes_in_place_of_a_model(models):
    mdp = models["cliff"]()
    log = collect(mdp, Sarsa(), discount=GAMMA, steps=3000, seed=1)
    by_model = certainty_equivalence(log, mdp, discount=GAMMA)
    by_sizes = certainty_equivalence(log, (mdp.n_states, 4), discount=GAMMA)
    assert np.abs(by_model.q - by_sizes.q).max() < 1e-12
    assert np.array_equal(by_model.policy.choice_start, by_sizes.policy.choice_start)


def test_log_that_does_not_fit_is_refused(models, tiny):
    mdp = models["cliff"]()
    log = collect(mdp, Sarsa(), discount=GAMMA, steps=500, seed=1)
    with pytest.raises(ValueError, match=r"row \d+ of the log: state is .*: states are 0 to 4"):
        replay(log, (5, 4), discount=GAMMA)
    with pytest.raises(ValueError, match=r"row \d+ of the log: state \d+ has no action 3"):
        replay(log, (mdp.n_states, 3), discount=GAMMA)
    ends = tiny["written"]([[(0, 0, 1.0, 1, True, False, 1.0)], [(1, 0, 1.0, 0, False, True, 1.0)]])
    with pytest.raises(ValueError, match="row 1 of the log leaves state 1, in which row 0 terminated"):
        replay(ends, (2, 1), discount=GAMMA)
    with pytest.raises(ValueError, match="row 0 of the log: terminated in state 1, which is not terminal"):
        replay(ends, mdp, discount=GAMMA)
    for given, words in (
        ({"passes": 0}, "passes is 0"),
        ({"step_size": 1.5}, "step_size is 1.5"),
        ({"discount": -0.1}, "discount is -0.1"),
        ({"start": np.nan}, "start is nan"),
    ):
        with pytest.raises(ValueError, match=words):
            replay(log, mdp, **{"discount": GAMMA, **given})
    for given, words in (
        ({"penalty": -1.0}, "penalty is -1.0"),
        ({"worst": np.inf, "pessimism": "mask"}, "is inf"),
        ({"discount": 2.0}, "discount is 2.0"),
    ):
        with pytest.raises(ValueError, match=words):
            certainty_equivalence(log, mdp, **{"discount": GAMMA, **given})


def test_one_action_evaluated_is_batch_td(models):
    """T7 of prediction, by the room's other code: the fixed point of batch TD is the empirical model's value."""
    mdp = models["walk"]()
    log = collect(mdp, Policy.uniform(mdp), episodes=40, seed=6)
    longest = int(log.lengths.max())
    states = np.full((40, longest + 1), -1)
    rewards = np.zeros((40, longest))
    for i, (start, length) in enumerate(zip(log.starts, log.lengths, strict=True)):
        states[i, :length] = log.state[start : start + length]
        states[i, length:] = log.next_state[start + length - 1]
        rewards[i, :length] = log.reward[start : start + length]
    walks = Walks(states, np.zeros_like(states[:, 1:]), rewards, mdp.terminal[states])
    wanted = batch_td(walks, mdp.n_states, GAMMA, tolerance=1e-13)
    found = fitted_q_evaluation(log, Policy.uniform(mdp), mdp, discount=GAMMA)
    assert np.abs(found.q - wanted.v[~mdp.terminal]).max() < 1e-10
