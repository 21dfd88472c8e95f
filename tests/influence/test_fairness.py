"""Rewards that look at others: the papers' numbers, loops in NumPy, borders of episodes and rollouts, symmetries."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import Mesh, PartitionSpec

from suasion.agents import Extrinsic, Params, Ratio, Rewards, Trajectory, constant, parse_weight
from suasion.influence import TERMS, Exchange, Inequity, Orientation, Prosocial

T, B, N = 7, 4, 3
NOTHING = Params(None, {})
ALL = (
    Inequity(agents=N, envy=(5.0, 0.0, 1.0), guilt=0.3, decay=0.8),
    Prosocial(agents=N),
    Orientation(agents=N, angle=(0.0, 45.0, 170.0), decay=0.5),
    Orientation(agents=N),
    Exchange(agents=N),
)


@pytest.fixture(scope="module")
def policies(games, make_policy):
    """Of three agents: silent, and talking."""
    return make_policy(games.three()), make_policy(games.three(), vocabulary=3)


def earned(rewards, start=None):
    """A trajectory of which nothing is known but rewards and the starts of episodes."""
    rewards = jnp.asarray(rewards, jnp.float32)
    start = jnp.zeros(rewards.shape[:2], bool) if start is None else jnp.asarray(start)
    return Trajectory(**dict.fromkeys(Trajectory._fields) | {"rewards": rewards, "start": start})


def some(seed, steps=T):
    """Sparse rewards, some of them fines, in episodes that begin anywhere."""
    rng = np.random.default_rng(seed)
    rewards = rng.choice([0.0, 0.0, 1.0, 2.0, -1.5], (steps, B, N))
    return rewards, rng.random((steps, B)) < 0.25


def loop(term, rewards, start):
    """The terms' equations for one agent, one step and one environment at a time, in float64."""
    steps, environments, agents = rewards.shape
    decay = getattr(term, "decay", 0.0)
    paid = np.zeros(rewards.shape)
    for b in range(environments):
        e = np.zeros(agents)
        for t in range(steps):
            e = (0 if start[t, b] else decay) * e + rewards[t, b]
            for i in range(agents):
                others = [e[j] for j in range(agents) if j != i]
                paid[t, b, i] = by_hand(term, i, e[i], others)
    return paid


def by_hand(term, i, own, others):
    if isinstance(term, Prosocial):
        return sum(others)
    if isinstance(term, Exchange):
        return sum(others) / len(others) - own
    if isinstance(term, Inequity):
        envy, guilt = (value[i] if isinstance(value, tuple) else value for value in (term.envy, term.guilt))
        less = sum(other - own for other in others if other > own)
        more = sum(own - other for other in others if own > other)
        return -(envy * less + guilt * more) / len(others)
    mean = sum(others) / len(others)
    if own == 0 and mean == 0:
        return 0.0
    wanted = math.radians(term.angle[i] if isinstance(term.angle, tuple) else term.angle)
    apart = abs(math.atan2(mean, own) - wanted)
    return -min(apart, 2 * math.pi - apart)


@functools.partial(jax.jit, static_argnums=(0, 1))
def compiled(term, policy, memory, rewards, start):
    return term(memory, NOTHING, policy, earned(rewards, start))


def pay(term, policy, trajectory, memory=None):
    memory = term.initial(trajectory.rewards.shape[1]) if memory is None else memory
    return compiled(term, policy, memory, trajectory.rewards, trajectory.start)


def summed(rewards, policy, trajectory):
    memory = rewards.initial(trajectory.rewards.shape[1])
    return rewards(memory, NOTHING, policy, trajectory, step=jnp.float32(0), fired={})


def test_the_publications_numbers(games, make_policy):
    """Hughes et al. (2018): rewards (1, 0) at alpha 5, beta 0.05."""
    policy = make_policy(games.box())
    rewards = Rewards((("extrinsic", Extrinsic(), constant(1.0)), ("inequity", Inequity(agents=2), constant(1.0))))
    trajectory = earned([[[1.0, 0.0]]])
    total, _ = summed(rewards, policy, trajectory)
    np.testing.assert_array_equal(total["action"], np.float32([[[0.95, -5.0]]]))


def test_other_rewards_by_hand(games, make_policy):
    """Of three agents that earn 3, 1 and 0."""
    policy, trajectory = make_policy(games.three()), earned([[[3.0, 1.0, 0.0]]])
    for term, weight, expected in (
        (Prosocial(agents=3), 0.85, [3.85, 3.55, 3.4]),
        (Exchange(agents=3), 0.25, [0.75 * 3 + 0.25 * 0.5, 0.75 + 0.25 * 1.5, 0.25 * 2]),
        (Exchange(agents=3), 1 - 1 / 3, [4 / 3] * 3),
        (
            Orientation(agents=3, angle=(0.0, 90.0, 45.0)),
            0.2,
            [3 - 0.2 * math.atan(0.5 / 3), 1 - 0.2 * (math.pi / 2 - math.atan(1.5)), -0.2 * math.pi / 4],
        ),
    ):
        rewards = Rewards((("extrinsic", Extrinsic(), constant(1.0)), ("more", term, constant(weight))))
        total, _ = summed(rewards, policy, trajectory)
        np.testing.assert_allclose(total["action"][0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("term", ALL, ids=lambda term: type(term).__name__)
@pytest.mark.parametrize("seed", [0, 1])
def test_terms_are_their_equations(policies, term, seed):
    rewards, start = some(seed)
    paid = pay(term, policies[0], earned(rewards, start))
    np.testing.assert_allclose(paid.streams["action"], loop(term, rewards, start), atol=2e-5)


def test_traces_smooth_what_single_steps_do_not(policies):
    """Agents that take turns are equal in the long run, and with a trace almost equal in each step."""
    turns = np.tile(np.eye(N), (20, 1))[:, None]
    steps = []
    for decay in (0.97, 0.0):
        paid = pay(Inequity(agents=N, decay=decay), policies[0], earned(turns)).streams["action"]
        steps.append((1 - decay) * np.asarray(paid[-3:]).mean())  # per reward in the trace
    assert 0 < steps[0] / steps[1] < 0.1


@pytest.mark.parametrize("term", ALL, ids=lambda term: type(term).__name__)
def test_two_trajectories_pay_what_one_does(policies, term):
    """The border of a rollout is none of an episode's: the memory carries over."""
    rewards, start = some(2, 12)
    whole = pay(term, policies[0], earned(rewards, start))
    first = pay(term, policies[0], earned(rewards[:5], start[:5]))
    second = pay(term, policies[0], earned(rewards[5:], start[5:]), first.memory)
    both = np.concatenate([first.streams["action"], second.streams["action"]])
    np.testing.assert_array_equal(both, whole.streams["action"])
    jax.tree.map(np.testing.assert_array_equal, second.memory, whole.memory)


@pytest.mark.parametrize("term", ALL, ids=lambda term: type(term).__name__)
def test_an_episode_pays_the_same_whatever_was_before(policies, term):
    rewards, start = some(3)
    start[4] = True
    memory = jax.tree.map(lambda x: x + 1e6, term.initial(B))
    after = pay(term, policies[0], earned(rewards, start), memory)
    alone = pay(term, policies[0], earned(rewards[4:], start[4:]))
    np.testing.assert_array_equal(after.streams["action"][4:], alone.streams["action"])


@pytest.mark.skipif(jax.device_count() < 2, reason="one device")
@pytest.mark.parametrize("term", ALL, ids=lambda term: type(term).__name__)
def test_devices_pay_what_one_does(policies, term):
    """Environments are the first axis of every memory, so that each device has those of its own environments."""
    rewards, start = some(4)
    trajectory = earned(rewards, start)
    memory = jax.tree.map(lambda x: x + jnp.arange(B, dtype=jnp.float32)[:, None], term.initial(B))
    assert all(len(leaf) == B for leaf in jax.tree.leaves(memory))

    def on(memory, rewards, start):
        paid = pay(term, policies[0], earned(rewards, start), memory)
        return paid.memory, paid.streams["action"]

    here, there = PartitionSpec("d"), PartitionSpec(None, "d")
    mesh = Mesh(jax.devices()[:2], ("d",))
    spread = jax.shard_map(on, mesh=mesh, in_specs=(here, there, there), out_specs=(here, there))
    for one, two in zip(
        jax.tree.leaves(on(memory, trajectory.rewards, trajectory.start)),
        jax.tree.leaves(jax.jit(spread)(memory, trajectory.rewards, trajectory.start)),
        strict=True,
    ):
        np.testing.assert_allclose(one, two, rtol=1e-6)


sparse = st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0, -50.0]), min_size=N, max_size=N)


@given(st.lists(sparse, min_size=3, max_size=3), st.permutations(range(N)))
def test_terms_know_no_names(policies, rows, order):
    """Agents in another order are paid in that order."""
    rewards, order = np.array(rows)[:, None], np.array(order)
    for term in (Inequity(agents=N), Prosocial(agents=N), Orientation(agents=N, decay=0.9), Exchange(agents=N)):
        here = pay(term, policies[0], earned(rewards)).streams["action"]
        there = pay(term, policies[0], earned(rewards[..., order])).streams["action"]
        np.testing.assert_allclose(there, np.asarray(here)[..., order], atol=1e-4)


@given(st.lists(st.sampled_from([0.0, 0.3, 1.0, -50.0]), min_size=3, max_size=3))
def test_equals_owe_each_other_nothing(policies, column):
    rewards = np.repeat(np.array(column)[:, None, None], N, 2)
    for term in (Inequity(agents=N), Exchange(agents=N)):
        np.testing.assert_allclose(pay(term, policies[0], earned(rewards)).streams["action"], 0, atol=1e-5)
    # As much for the others as for oneself is 45 degrees, or -135 where all lose.
    angle = pay(Orientation(agents=N), policies[0], earned(rewards)).streams["action"]
    np.testing.assert_allclose(angle, np.where(rewards < 0, -math.pi, 0.0), atol=1e-6)


@given(st.lists(sparse, min_size=3, max_size=3))
def test_penalties_are_none_and_exchange_makes_nothing(policies, rows):
    trajectory = earned(np.array(rows)[:, None])
    assert (pay(Inequity(agents=N), policies[0], trajectory).streams["action"] <= 0).all()
    angle = pay(Orientation(agents=N), policies[0], trajectory).streams["action"]
    assert ((angle <= 0) & (angle >= -np.float32(math.pi))).all()
    np.testing.assert_allclose(pay(Exchange(agents=N), policies[0], trajectory).streams["action"].sum(-1), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("own", "others", "wanted", "apart"),
    [
        (1.0, 0.0, 0.0, 0.0),
        (1.0, 1.0, 45.0, 0.0),
        (0.0, 1.0, 45.0, 45.0),
        (-1.0, 1.0, 45.0, 90.0),  # arctan(-1) would be -45: to lose for others is no greed
        (1.0, -1.0, 45.0, -90.0),
        (-1.0, -1.0, 45.0, -180.0),  # arctan(1) would be 45: a common loss is no common gain
        (-1.0, -1.0, 90.0, 135.0),  # 225 the long way
        (-1.0, 0.0, -90.0, -90.0),
        (0.0, 0.0, 45.0, None),
    ],
)
def test_angles(policies, own, others, wanted, apart):
    paid = pay(Orientation(agents=3, angle=wanted), policies[0], earned([[[own, others, others]]]))
    stream, metrics = float(paid.streams["action"][0, 0, 0]), paid.metrics
    assert stream == pytest.approx(-abs(math.radians(apart or 0)), abs=1e-6)
    assert metrics["defined"][0] == (apart is not None)
    assert metrics["deviation"].times[0] == (apart is not None)
    if apart is not None and apart != -180:
        assert metrics["deviation"].total[0] == pytest.approx(math.radians(apart), abs=1e-6)


def test_what_is_measured_besides(policies):
    rewards, start = some(5)
    trajectory = earned(rewards, start)
    metrics = pay(ALL[0], policies[0], trajectory).metrics
    for name, envy, guilt in (("less", 1.0, 0.0), ("more", 0.0, 1.0)):
        one = dataclasses.replace(ALL[0], envy=envy, guilt=guilt)
        np.testing.assert_allclose(metrics[name], -loop(one, rewards, start).mean((0, 1)), rtol=1e-5)
    metrics = pay(Orientation(agents=N), policies[0], trajectory).metrics
    others = rewards.sum(-1, keepdims=True) - rewards
    assert isinstance(metrics["deviation"], Ratio)
    np.testing.assert_allclose(metrics["defined"], ((rewards != 0) | (others != 0)).mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(metrics["deviation"].times, metrics["defined"] * T * B, rtol=1e-6)


def test_heads_are_paid_alike(policies):
    trajectory = earned(*some(6))
    for term in ALL:
        silent, talking = (pay(term, policy, trajectory).streams for policy in policies)
        assert set(silent) == {"action"}
        assert set(talking) == {"action", "message"}
        np.testing.assert_array_equal(talking["action"], talking["message"])
        assert set(pay(dataclasses.replace(term, heads=("message",)), policies[1], trajectory).streams) == {"message"}


def test_weights_differ_between_agents(policies):
    rewards = Rewards((("inequity", Inequity(agents=N), parse_weight("1/0/2")),))
    trajectory = earned(*some(7))
    total, parts = summed(rewards, policies[0], trajectory)
    unweighted = np.asarray(parts["inequity"].streams["action"])
    np.testing.assert_allclose(total["action"], unweighted * [1, 0, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        *((name, {"agents": 1}, "agents is 1, must be at least 2") for name in TERMS),
        ("inequity", {"agents": 2, "envy": -1.0}, "envy is -1.0, must be 0 or more"),
        ("inequity", {"agents": 2, "guilt": (0.0, math.inf)}, "guilt is inf"),
        ("inequity", {"agents": 2, "envy": (1.0, 2.0, 3.0)}, "envy has 3 numbers for 2 agents"),
        ("inequity", {"agents": 2, "decay": 1.0}, "decay is 1.0, must be 0 or more and below 1"),
        ("orientation", {"agents": 2, "angle": 181.0}, "angle is 181.0, must be -180 to 180"),
        ("orientation", {"agents": 2, "decay": math.nan}, "decay is nan"),
    ],
)
def test_terms_that_cannot_be(name, fields, message):
    with pytest.raises(ValueError, match=message):
        TERMS[name](**fields)
