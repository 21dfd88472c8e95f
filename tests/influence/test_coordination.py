"""Scripted speakers, nulls that keep their rate of false alarms, and what is undefined."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.influence import communication, coordination, influential, speaker_consistency
from suasion.information import mutual_information_from_samples, permutation_null
from suasion.records import Episode

E, T, N, V = 12, 40, 3, 4


def noise(seed, episodes=E, steps=T, agents=N, symbols=V):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, symbols, (steps, agents)) for _ in range(episodes)]


def heeded(messages, listener, speaker, offset=0):
    """Actions at random, but in each step one agent does what another said in the step before."""
    actions = noise(99 + offset, len(messages), len(messages[0]))
    for done, said in zip(actions, messages, strict=True):
        done[1:, listener] = said[:-1, speaker]
    return actions


def sticky(rng, episodes, steps, agents, symbols=3, stay=0.9):
    """What an agent says now it will probably say again."""
    series = rng.integers(0, symbols, (episodes, steps, agents))
    for t in range(1, steps):
        again = rng.random((episodes, agents)) < stay
        series[:, t] = np.where(again, series[:, t - 1], series[:, t])
    return list(series)


def scheduled(rng, episodes, steps, agents, symbols=3):
    """All agents follow the episode's clock, half of the time."""
    clock = (np.arange(steps) * symbols // steps)[None, :, None]
    random = rng.integers(0, symbols, (episodes, steps, agents))
    return list(np.where(rng.random(random.shape) < 0.5, clock, random))


def test_a_perfect_code():
    """Consistency 1; the listener's next action has all the information there is: ln(vocabulary), up to the sample."""
    messages = noise(0)
    code = np.array([2, 0, 3, 1])
    perfect = speaker_consistency(messages, [code[said] for said in messages], symbols=V, choices=V, seed=0)
    assert perfect.value == pytest.approx(1.0)
    assert all(speaker.by_message == speaker.by_action == pytest.approx(1.0) for speaker in perfect.speakers)
    assert perfect.null.null_95 < 0.1
    assert perfect.null.p_value == 1 / 1001
    heard = coordination(messages, heeded(messages, listener=2, speaker=0), seed=0)
    assert heard.pair == (0, 2)
    assert heard.value == pytest.approx(math.log(V), abs=0.01)
    # Orders leave one episode in its place on average, which is heeded there too.
    assert heard.null.null_95 < 0.1
    assert heard.null.p_value == 1 / 1001


def test_a_vocabulary_twice_as_large_as_the_code():
    """Two symbols for each action: an action no longer tells the symbol. 1 one way, 1 - ln 2 / ln 8 the other."""
    actions = noise(1)
    messages = [2 * done + extra for done, extra in zip(actions, noise(2, symbols=2), strict=True)]
    found = speaker_consistency(messages, actions, symbols=2 * V, choices=V, permutations=9, seed=0)
    for speaker in found.speakers:
        assert speaker.by_message == pytest.approx(1.0)
        assert speaker.by_action == pytest.approx(1 - math.log(2) / math.log(2 * V), abs=0.01)
    assert found.value == pytest.approx(1 - math.log(2) / math.log(2 * V) / 2, abs=0.01)


def test_noise_lies_within_the_null():
    messages, actions = noise(3), noise(4)
    consistent = speaker_consistency(messages, actions, symbols=V, choices=V, seed=0)
    heard = coordination(messages, actions, seed=0)
    for found in (consistent, heard):
        assert 0 <= found.value < found.null.null_95 < 0.05
        assert found.null.p_value > 0.05
        assert found.value == pytest.approx(found.null.null_mean, abs=0.02)


def test_noise_of_half_the_vocabulary_is_not_taken_for_a_code():
    """H(m | a) stays at ln 2 of ln 4: consistent by half one way, and the null is so as well."""
    messages = noise(5, symbols=2)
    found = speaker_consistency(messages, noise(6), symbols=V, choices=V, seed=0)
    for speaker in found.speakers:
        assert speaker.unseen_symbols == (2, 3)
        assert speaker.unseen_actions == ()
        assert speaker.by_message == pytest.approx(0, abs=0.02)
        assert speaker.by_action == pytest.approx(0.5, abs=0.02)
    assert found.null.null_mean == pytest.approx(0.25, abs=0.02)
    assert found.value < found.null.null_95


def test_a_code_of_half_the_vocabulary_is_perfect():
    messages = noise(7, symbols=2)
    found = speaker_consistency(messages, [3 * said for said in messages], symbols=V, choices=V, permutations=9, seed=0)
    assert found.value == pytest.approx(1.0)
    assert {(one.unseen_symbols, one.unseen_actions) for one in found.speakers} == {((2, 3), (1, 2))}


def test_who_says_one_symbol_only_says_nothing():
    """Undefined, and said so; the others are measured. Its messages hold no information."""
    messages, actions = noise(8), noise(9)
    for said, done in zip(messages, actions, strict=True):
        said[:, 0] = 2
        done[:, 1] = 0
    found = speaker_consistency(messages, actions, symbols=V, choices=V, permutations=9, seed=0)
    first, second, third = found.speakers
    assert first.value is first.by_message is first.by_action is None
    assert first.reason == "it says one symbol only"
    assert first.unseen_symbols == (0, 1, 3)
    assert second.reason == "it takes one action only"
    assert third.reason == ""
    assert found.value == third.value
    np.testing.assert_array_equal(coordination(messages, actions, permutations=9, seed=0).pairs[0, 1:], 0.0)
    mute = [np.full_like(said, -1) for said in messages]
    silence = speaker_consistency(mute, actions, symbols=V, choices=V, permutations=9, seed=0)
    assert silence.value is silence.null is None
    assert {one.reason for one in silence.speakers} == {"it says nothing"}
    nothing = coordination(mute, actions, permutations=9, seed=0)
    assert nothing.value is nothing.pair is nothing.null is None
    assert np.isnan(nothing.pairs).all()


def naive_consistency(messages, actions, symbols, choices, k):
    """Equation 8 for one agent, symbol by symbol."""
    said, done = (np.concatenate([one[:, k] for one in part]) for part in (messages, actions))
    done, said = done[said >= 0], said[said >= 0]
    sides = []
    for given_by, told, size in ((said, done, choices), (done, said, symbols)):
        each = []
        for c in np.unique(given_by):
            shares = np.unique(told[given_by == c], return_counts=True)[1] / (given_by == c).sum()
            each.append(1 + float(np.sum(shares * np.log(shares))) / math.log(size))
        sides.append(float(np.mean(each)))
    return sides


series = st.tuples(st.integers(0, 2**31), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(2, 5))


@given(series)
def test_values_are_their_equations(drawn):
    seed, lengths, symbols = drawn
    rng = np.random.default_rng(seed)
    messages = [rng.integers(-1, symbols, (length, N)) for length in lengths]
    actions = [rng.integers(0, V, (length, N)) for length in lengths]
    found = speaker_consistency(messages, actions, symbols=symbols, choices=V, permutations=3, seed=0)
    for k, speaker in enumerate(found.speakers):
        if speaker.value is not None:
            expected = naive_consistency(messages, actions, symbols, V, k)
            assert [speaker.by_message, speaker.by_action] == pytest.approx(expected)
            assert -1e-12 <= speaker.value <= 1 + 1e-12
    heard = coordination(messages, actions, permutations=3, seed=0)
    for k in range(N):
        for j in range(N):
            said = np.concatenate([one[:-1, k] for one in messages])
            done = np.concatenate([one[1:, j] for one in actions])
            if k == j or not (said >= 0).any():
                assert np.isnan(heard.pairs[k, j])
            else:
                expected = mutual_information_from_samples(said[said >= 0], done[said >= 0])
                assert heard.pairs[k, j] == pytest.approx(expected, abs=1e-12)
    if heard.value is not None:
        assert heard.value == np.nanmax(heard.pairs) == heard.pairs[heard.pair]
    assert (found.null is None) == (found.value is None or len(set(lengths)) == len(lengths))


def test_names_of_symbols_do_not_matter():
    messages = noise(10)
    actions = heeded(messages, listener=1, speaker=0)
    renamed = [np.array([7, 10**9, 0, 30])[said] for said in messages]
    one, two = (coordination(said, actions, permutations=19, seed=0) for said in (messages, renamed))
    assert (one.value, one.pair) == (pytest.approx(two.value), two.pair)
    for field in ("null_mean", "null_95", "p_value"):
        assert getattr(one.null, field) == pytest.approx(getattr(two.null, field))


def test_equal_seeds_give_equal_nulls():
    first, again, other = (coordination(noise(11), noise(12), permutations=50, seed=seed).null for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("make", [sticky, scheduled])
def test_the_null_keeps_its_rate(make):
    """Independent agents, 300 seeds each, alarm at p <= 0.05 by an exact test: more than 27 with probability 0.0013.

    The null of shuffled steps, in the same series, cries wolf on most seeds.
    """
    alarms, shuffled = np.zeros(3), 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        messages, actions = (make(rng, 8, 24, 3) for _ in range(2))
        settings = {"permutations": 39, "seed": rng}
        found = [
            coordination(messages, actions, **settings),
            coordination(actions, actions, **settings),
            speaker_consistency(messages, actions, symbols=3, choices=3, **settings),
        ]
        alarms += [one.null.p_value <= 0.05 for one in found]
        if seed < 50:
            said, done = np.concatenate(messages)[:, 0], np.concatenate(actions)[:, 1]
            shuffled += permutation_null(said, done, **settings).p_value <= 0.05
    assert (alarms <= 27).all()
    assert shuffled > 25


def test_a_quiet_code_is_found_among_sticky_speakers():
    """A listener that heeds two messages in five."""
    rng = np.random.default_rng(0)
    messages, actions = (sticky(rng, 16, 60, N) for _ in range(2))
    for said, done in zip(messages, actions, strict=True):
        heeds = rng.random(59) < 0.4
        done[1:, 1] = np.where(heeds, said[:-1, 2], done[1:, 1])
    found = coordination(messages, actions, permutations=199, seed=0)
    assert found.pair == (2, 1)
    assert found.null.p_value == 1 / 200


def test_only_moments_count():
    """In influential moments the code is perfect, in all others it is noise."""
    messages, rng = noise(13), np.random.default_rng(14)
    actions, influence = noise(15), []
    for said, done in zip(messages, actions, strict=True):
        rare = rng.random(T - 1) < 0.2
        done[1:, 1] = np.where(rare, said[:-1, 0], done[1:, 1])
        influence.append(np.zeros((T, N, N), np.float32))
        influence[-1][:-1, 0, 1] = np.where(rare, 1.3, 0.01)
    moments = influential(influence)
    everywhere = coordination(messages, actions, permutations=99, seed=0)
    there = coordination(messages, actions, moments=moments, permutations=99, seed=0)
    assert everywhere.pair == there.pair == (0, 1)
    assert everywhere.value < 0.3 < 1.3 < there.value <= math.log(V)
    assert np.isnan(there.pairs[1:]).all()
    assert there.null.null_95 < 0.3
    speaks = influential([part.sum(2) for part in influence])
    found = speaker_consistency(messages, actions, symbols=V, choices=V, moments=speaks, permutations=9, seed=0)
    assert [one.reason for one in found.speakers] == ["", "it says nothing", "it says nothing"]


def test_influential_moments_by_hand():
    influence = [np.array([[[0, 1.0], [0, 0]], [[0, 3.0], [0, 0]]]), np.array([[[0, 2.0], [0, 0]]])]
    moments = influential(influence)
    np.testing.assert_array_equal(moments[0][:, 0, 1], [False, True])
    np.testing.assert_array_equal(moments[1][:, 0, 1], [True])
    assert not any(part[:, 1, 0].any() or part[:, 0, 0].any() for part in moments)
    steady = influential([np.full((7, 2), share, np.float32) for share in (0.1, 0.1)])
    assert all(part.all() for part in steady)


def record(said, done, influence):
    steps = len(done)
    return Episode(
        game="made-up",
        classes=("empty",),
        palette=((0, 0, 0),),
        actions_names=("a", "b", "c", "d"),
        boards=np.zeros((steps + 1, 1, 1), np.uint8),
        views=np.zeros((steps + 1, N, 1, 1), np.uint8),
        actions=done.astype(np.int16),
        rewards=np.zeros((steps, N), np.float32),
        events={},
        influence=influence,
        messages=None if said is None else said.astype(np.int16),
        agents=("agent 1", "agent 2", "agent 3"),
        seed=0,
        step=0,
    )


def test_recorded_episodes():
    messages = noise(16)
    actions = heeded(messages, listener=2, speaker=1)
    influence = np.zeros((T, N, N), np.float32)
    influence[::2, 1, 2] = 1.0
    episodes = [record(*both, influence) for both in zip(messages, actions, strict=True)]
    found = communication(episodes, symbols=V, permutations=99, seed=0)
    assert found.everywhere.message_action.pair == found.influential.message_action.pair == (1, 2)
    half = [np.broadcast_to((np.arange(T) % 2 == 0)[:, None, None], (T, N, N)) for _ in episodes]
    again = coordination(messages, actions, moments=half, permutations=9, seed=0)
    assert found.influential.message_action.value == again.pairs[1, 2]
    assert found.everywhere.action_action.value == coordination(actions, actions, permutations=9, seed=0).value
    consistency = speaker_consistency(messages, actions, symbols=V, choices=4, permutations=9, seed=0)
    assert found.everywhere.consistency.speakers == consistency.speakers
    unmeasured = [record(*both, None) for both in zip(messages, actions, strict=True)]
    assert communication(unmeasured, symbols=V, permutations=9, seed=0).influential is None
    for wrong, message in (
        ([], "no episode"),
        ([*episodes, record(None, actions[0], None)], "1 of 13 episodes have no"),
    ):
        with pytest.raises(ValueError, match=message):
            communication(wrong, symbols=V, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": 1}, "symbols is 1, must be at least 2"),
        ({"choices": 0}, "choices is 0, must be at least 2"),
        ({"symbols": 2}, r"messages\[0\]\[\d+, \d\] is [23], must be -1 to 1"),
        ({"choices": 3}, r"actions\[0\]\[\d+, \d\] is 3, must be 0 to 2"),
        ({"permutations": 0}, "permutations is 0"),
        ({"actions": noise(1, 2)}, "messages of 12 episodes, actions of 2"),
        ({"actions": noise(1, steps=T + 1)}, r"episode 0: messages \[40, 3\], not \[41, 3\]"),
        ({"messages": [], "actions": []}, "there is no step"),
        ({"moments": [np.ones((2, N), bool)] * E}, r"episode 0: moments \[2, 3\], not \[40, 3\]"),
    ],
)
def test_what_cannot_be_measured(changes, message):
    given = {"messages": noise(17), "actions": noise(18), "symbols": V, "choices": V, "seed": 0} | changes
    with pytest.raises(ValueError, match=message):
        speaker_consistency(given.pop("messages"), given.pop("actions"), **given)


def test_coordination_needs_two():
    with pytest.raises(ValueError, match="needs two agents, there are 1"):
        coordination(noise(0, agents=1), noise(1, agents=1), seed=0)
    with pytest.raises(ValueError, match="no step whose influence"):
        influential([])
