"""Schedules and their written form."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from suasion.agents import Schedule, Trigger, constant, parse_weight, triggers, write_weight

numbers = st.floats(-1e6, 1e6, allow_nan=False)
steps = st.lists(st.integers(0, 10_000_000), min_size=1, max_size=4).map(sorted)
points = st.one_of(
    numbers.map(lambda value: ((0, value),)),
    steps.flatmap(lambda at: st.tuples(*(st.tuples(st.just(step), numbers) for step in at))),
)


@given(st.lists(points, min_size=1, max_size=4))
@example([((5, 2.0),)])
@example([((0, -0.0), (0, 1e-300))])
def test_what_is_written_can_be_read(each):
    weight = tuple(Schedule(one) for one in each)
    weight = weight[0] if len(weight) == 1 else weight
    assert parse_weight(write_weight(weight)) == weight


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("1", constant(1.0)),
        ("-0.5", constant(-0.5)),
        ("0@0,1@480000", Schedule(((0, 0.0), (480_000, 1.0)))),
        ("0@0,1@4.8e5", Schedule(((0, 0.0), (480_000, 1.0)))),
        ("0@0,0@10,1@10", Schedule(((0, 0.0), (10, 0.0), (10, 1.0)))),
        ("2@7", Schedule(((7, 2.0),))),
        ("0/1/1", (constant(0.0), constant(1.0), constant(1.0))),
        ("0@0,1@9/2", (Schedule(((0, 0.0), (9, 1.0))), constant(2.0))),
    ],
)
def test_reading(text, weight):
    assert parse_weight(text) == weight


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "''"),
        ("one", "'one'"),
        ("1/", "''"),
        ("1/x/2", "'x'"),
        ("1@", "'1@'"),
        ("@5", "'@5'"),
        ("1,2", "'1'"),
        ("0@0,1", "'1'"),
        ("1@x", "'1@x'"),
        ("1@inf", "'1@inf'"),
        ("1@0@3", "'1@0@3'"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1@-5", "-5"),
        ("1@10,2@5", "ends before it begins"),
    ],
)
def test_what_cannot_be_read_is_named(text, part):
    with pytest.raises(ValueError, match=r".") as error:
        parse_weight(text)
    assert part in str(error.value)


def test_a_step_that_is_no_whole_number_is_refused():
    """Nothing is rounded in silence."""
    with pytest.raises(ValueError, match=r"1@2\.5"):
        parse_weight("1@2.5")


@given(st.lists(st.tuples(st.integers(0, 1000), numbers), min_size=1, max_size=4), st.floats(0, 1100))
def test_between_points_a_schedule_is_linear(points, step):
    points = sorted(dict(points).items())
    got = float(Schedule(tuple(points))(jnp.float32(step)))
    expected = np.interp(np.float32(step), [s for s, _ in points], [v for _, v in points])
    scale = max(1.0, *(abs(v) for _, v in points))
    assert got == pytest.approx(expected, abs=2e-5 * scale)


def test_jumps_are_sharp():
    jump = parse_weight("3@0,3@100,7@100,7@200,1@200")
    got = [float(jump(jnp.float32(s))) for s in (0, 50, 99.99, 100, 150, 199.99, 200, 1e9)]
    assert got == [3, 3, 3, 7, 7, 7, 1, 1]
    assert float(Schedule(((0, 1.0), (0, 2.0)))(0.0)) == 2.0
    assert float(parse_weight("5@10,6@20")(0.0)) == 5.0


def test_constant():
    assert constant(2.0).constant
    assert parse_weight("2@0,2@9").constant
    assert not parse_weight("2@0,3@9").constant
    assert float(constant(2.0)(123.0)) == 2.0


def test_schedules_that_are_none_are_refused():
    for points, message in (
        ((), "at least one point"),
        (((3, 1.0), (2, 1.0)), "step 2 after step 3"),
        (((-1, 1.0),), "1.0@-1"),
        (((0, float("nan")),), "nan@0"),
        (((0, 1.0), (5, float("inf"))), "inf@5"),
    ):
        with pytest.raises(ValueError, match=message):
            Schedule(points)
    with pytest.raises(ValueError, match="at_least"):
        Trigger(metric="x", at_least=float("nan"))
    with pytest.raises(ValueError, match="updates is 0"):
        Trigger(metric="x", at_least=1.0, updates=0)
    with pytest.raises(ValueError, match="latest is step 0"):
        Trigger(metric="x", at_least=1.0, latest=0)


def test_triggers_are_listed_once_and_in_order():
    a, b = Trigger(metric="a", at_least=1.0), Trigger(metric="b", at_least=1.0, updates=2)
    after = [Schedule(((0, 0.0), (9, 1.0)), trigger=t) for t in (b, a, b)]
    assert triggers((after[0], constant(1.0), (after[1], after[2], constant(0.0)))) == (b, a)
    assert triggers((constant(1.0),)) == ()


@given(
    st.sampled_from(["reward/influence", "influence/at_opened[0]", "model/cross_entropy"]),
    numbers,
    st.integers(1, 99),
    st.none() | st.integers(1, 10**10),
)
def test_a_trigger_is_written_and_read(metric, least, updates, latest):
    trigger = Trigger(metric=metric, at_least=least, updates=updates, latest=latest)
    weight = (Schedule(((0, 0.0), (0, 1.0)), trigger=trigger), constant(2.0), Schedule(((3, 1.0),), trigger=trigger))
    assert parse_weight(write_weight(weight)) == weight
    assert parse_weight(write_weight(weight[0])) == weight[0]


def test_a_written_trigger_by_hand():
    weight = parse_weight("when(reward/influence[0]>=0.02,10):0@0,1@0/1")
    trigger = Trigger(metric="reward/influence[0]", at_least=0.02, updates=10)
    assert weight == (Schedule(((0, 0.0), (0, 1.0)), trigger=trigger), constant(1.0))
    by_then = parse_weight("when(reward/influence[0]>=0.02,10,4.8e5):0@0,1@0")
    assert by_then.trigger == dataclasses.replace(trigger, latest=480_000)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("when(x>=1):0", "when(x>=1):0"),
        ("when(x>=a,1):0", "could not convert"),
        ("when(x>=inf,1):0", "at_least is inf"),
        ("when(x>=1,0):0", "updates is 0"),
        ("when(x>=1,1.5):0", "1.5"),
        ("when(x>=1,1,0):0", "latest is step 0"),
        ("when(x>=1,1,2.5):0", "2.5"),
        ("when(x>=1,1,):0", "when(x>=1,1,):0"),
        ("when(a b>=1,1):0", "no name"),
        ("when(x>=1,1):", "cannot read ''"),
    ],
)
def test_a_trigger_that_cannot_be_read_is_named(text, part):
    with pytest.raises(ValueError, match=r".") as error:
        parse_weight(text)
    assert part in str(error.value)
