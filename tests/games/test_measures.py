import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suasion.games import depletion, efficiency, equality, over_episodes, peace, society, sustainability

shapes = st.tuples(st.integers(1, 12), st.integers(1, 5))
counts = shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.integers(0, 3).map(float)))
rewards_of_any_sign = hnp.arrays(np.float64, shapes, elements=st.integers(-3, 3).map(float))

# Two agents, four steps. Returns 3 and 1; the first is rewarded at steps 1, 2 and 4, the second at step 3.
EPISODE = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])


def test_by_hand():
    assert efficiency(EPISODE).value == 4 / 4
    assert efficiency(EPISODE).per_agent == (0.75, 0.25)
    # Gaps |3 - 1| counted twice: 4; 2 n sum = 2 * 2 * 4 = 16.
    assert equality(EPISODE).value == 1 - 4 / 16
    assert equality(EPISODE).per_agent == (3, 1)
    assert sustainability(EPISODE).per_agent == (pytest.approx(7 / 3), 3)
    assert sustainability(EPISODE).value == pytest.approx((7 / 3 + 3) / 2)
    # Three hits among 2 agents in 4 steps.
    hits = np.array([[0, 2], [0, 0], [1, 0], [0, 0.0]])
    assert peace(hits).value == 1 - 3 / 8
    assert peace(hits).per_agent == (0.75, 0.5)


def test_peace_can_be_negative():
    assert peace(np.full((3, 2), 2.0)).value == -1


def test_undefined_is_said_and_never_a_number():
    fined = equality(np.array([[-50.0, 60.0]]))
    assert fined.value is None
    assert fined.reason == "agent 1 has return -50 < 0"
    assert fined.per_agent == (-50, 60)
    idle = np.zeros((5, 2))
    assert equality(idle).value is None
    assert equality(idle).reason == "the returns sum to 0"
    assert sustainability(idle).value is None
    assert sustainability(idle).reason == "2 of 2 agents never rewarded"
    partly = sustainability(np.array([[0.0, 0.0], [1.0, -1.0]]))
    assert (partly.value, partly.per_agent) == (2, (2, None))
    assert partly.reason == "1 of 2 agents never rewarded"


def test_depletion_is_the_first_step_of_the_final_emptiness():
    assert depletion(np.array([3.0, 0, 1, 0, 0])).value == 4
    assert depletion(np.zeros(4)).value == 1
    left = depletion(np.array([0.0, 2.0]))
    assert left.value is None
    assert left.reason == "2 apples are left after 2 steps"


@given(counts)
def test_equality_is_a_gini_coefficient(rewards):
    measure = equality(rewards)
    returns = rewards.sum(axis=0)
    if returns.sum() == 0:
        assert measure.value is None
        return
    # The Gini coefficient from the sorted returns (an independent formula).
    n = returns.size
    ranks = np.arange(1, n + 1)
    gini = 2 * (ranks * np.sort(returns)).sum() / (n * returns.sum()) - (n + 1) / n
    assert measure.value == pytest.approx(1 - gini)
    assert 1 / n - 1e-12 <= measure.value <= 1 + 1e-12
    assert equality(rewards * 7).value == pytest.approx(measure.value)
    assert equality(rewards[:, ::-1]).value == pytest.approx(measure.value)
    assert equality(np.repeat(rewards.sum(axis=1, keepdims=True), n, axis=1)).value == pytest.approx(1)


@given(rewards_of_any_sign)
def test_efficiency_adds_up_and_negative_returns_have_no_equality(rewards):
    measure = efficiency(rewards)
    assert measure.value == pytest.approx(sum(measure.per_agent))
    assert measure.value * len(rewards) == pytest.approx(rewards.sum())
    returns = rewards.sum(axis=0)
    assert (equality(rewards).value is None) == (returns.min() < 0 or returns.sum() <= 0)


@given(counts)
def test_time_reversed_sustainability_mirrors(rewards):
    forward, backward = sustainability(rewards), sustainability(rewards[::-1])
    assert (forward.value is None) == (backward.value is None) == (not rewards.any())
    if forward.value is not None:
        assert forward.value + backward.value == pytest.approx(len(rewards) + 1)
        assert 1 <= forward.value <= len(rewards)
    assert sum(time is None for time in forward.per_agent) == (rewards.sum(axis=0) == 0).sum()


def test_society_reports_what_the_events_allow():
    steps, agents = 4, 2
    counts = np.arange(steps * agents, dtype=np.float32).reshape(steps, agents)
    assert set(society(EPISODE, {})) == {"return", "efficiency", "equality", "sustainability", "starved"}
    harvest = society(
        EPISODE,
        {"apples": EPISODE, "fires": counts, "hits": 0 * counts, "apples_left": np.array([2.0, 1, 0, 0])},
    )
    assert harvest["apples"].value == 4
    assert harvest["apples"].per_agent == (3, 1)
    assert harvest["fining_beams"].per_agent == (12, 16)
    assert harvest["peace"].value == 1
    assert harvest["depletion"].value == 3
    assert harvest["apples_left"].value == 0
    cleanup = society(
        EPISODE,
        {
            "cleans": counts,
            "cleanings": counts,
            "waste_density": np.array([0.4, 0.2, 0.2, 0.0]),
            "apples_left": np.zeros(4),
        },
    )
    assert cleanup["waste_density"].value == pytest.approx(0.2)
    assert cleanup["wastes_cleaned"].per_agent == (12, 16)
    assert cleanup["cleaning_beams"].value == 28
    assert "depletion" not in cleanup
    assert "peace" not in cleanup


def test_averages_are_given_with_and_without_the_episodes_in_which_somebody_never_ate():
    hungry = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    averages = over_episodes([society(EPISODE, {}), society(hungry, {}), society(0 * EPISODE, {})])
    assert averages["return"].all == pytest.approx((4 + 2 + 0) / 3)
    assert (averages["return"].fed, averages["return"].fed_episodes) == (4, 1)
    assert (averages["equality"].all, averages["equality"].episodes) == (pytest.approx((0.75 + 0.5) / 2), 2)
    alone = over_episodes([society(hungry, {})])["return"]
    assert (alone.fed, alone.fed_episodes, alone.episodes) == (None, 0, 1)
    # Eating counts, not reward: an eater that was fined has eaten.
    fined = society(EPISODE - 1, {"apples": EPISODE})
    assert fined["starved"].value == 0


def test_bad_arrays_are_refused_by_place():
    broken = EPISODE.copy()
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="step 3, agent 2: nan"):
        efficiency(broken)
    with pytest.raises(ValueError, match=r"not \[0, 2\]"):
        equality(np.zeros((0, 2)))
    with pytest.raises(ValueError, match=r"events\['hits'\] has 3 steps, the rewards 4"):
        society(EPISODE, {"hits": np.zeros((3, 2))})
    with pytest.raises(ValueError, match="no episode"):
        over_episodes([])
    with pytest.raises(ValueError, match=r"episode 1 differs from episode 0 in \['peace'\]"):
        over_episodes([society(EPISODE, {}), society(EPISODE, {"hits": EPISODE})])
