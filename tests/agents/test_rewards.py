"""The grammar of rewards: weights, schedules, triggers, terms with a memory, and who hears of which reward."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import (
    TERMS,
    Experiment,
    Extrinsic,
    LearnerConfig,
    Paid,
    Params,
    Ratio,
    Rewards,
    Schedule,
    Shared,
    Trajectory,
    Trigger,
    advantages,
    constant,
    parse_weight,
)
from suasion.agents._metrics import measured

T, B, N = 5, 3, 2
SMALL = LearnerConfig(algorithm="a2c", environments=2, steps=4, staggered=False)


@dataclasses.dataclass(frozen=True)
class Pulse:
    """A term with a memory: in update k everybody gets `pattern[k]`."""

    pattern: tuple[float, ...]

    def initial(self, environments):
        return jnp.zeros(environments, jnp.int32)

    def __call__(self, memory, params, policy, trajectory):
        now = jnp.asarray(self.pattern)[memory]
        stream = jnp.broadcast_to(now[None, :, None], trajectory.rewards.shape)
        late = jnp.mean((now > 0).astype(jnp.float32))
        return Paid(memory + 1, {"action": stream}, {"late": Ratio(late * 2.0, late)})


def a_trajectory(seed=0):
    rng = np.random.default_rng(seed)
    f = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    ends = jnp.asarray(rng.random((2, T, B)) < 0.3)
    return Trajectory(
        observation=None,
        start=jnp.zeros((T, B), bool),
        symbols={},
        log_probabilities={},
        logits={},
        features=None,
        values={"action": f(T, B, N), "message": f(T, B, N)},
        memory=(),
        rewards=f(T, B, N),
        terminated=ends[0],
        truncated=ends[1],
        value_at_truncation={"action": f(T, B, N), "message": f(T, B, N)},
        bootstrap={"action": f(B, N), "message": f(B, N)},
        events={},
        key=None,
        states=None,
        auxiliary={},
    )


@pytest.fixture
def talking(clockwork, make_policy):
    return make_policy(clockwork(), vocabulary=3)


@pytest.fixture
def silent(clockwork, make_policy):
    return make_policy(clockwork())


def pay(rewards, policy, trajectory, step=0.0, fired=None, memory=None):
    memory = rewards.initial(B) if memory is None else memory
    return rewards(memory, Params(None, {}), policy, trajectory, step=jnp.float32(step), fired=fired or {})


def test_the_sum_is_weighted_and_the_parts_are_not(talking):
    trajectory = a_trajectory()
    own, everybody = np.asarray(trajectory.rewards), np.asarray(trajectory.rewards).mean(-1, keepdims=True)
    rewards = Rewards(
        (
            ("own", Extrinsic(), constant(2.0)),
            ("all", Shared(heads=("message",)), parse_weight("0.5/-1")),
            ("more", Extrinsic(heads=("action",)), parse_weight("0@0,4@100/1")),
        )
    )
    for step, more in ((0.0, [0, 1]), (25.0, [1, 1]), (1000.0, [4, 1])):
        total, parts = pay(rewards, talking, trajectory, step)
        assert {name: paid.memory for name, paid in parts.items()} == {"own": (), "all": (), "more": ()}
        parts = {name: paid.streams for name, paid in parts.items()}
        np.testing.assert_allclose(total["action"], 2 * own + np.array(more) * own, rtol=1e-5)
        np.testing.assert_allclose(total["message"], 2 * own + np.array([0.5, -1]) * everybody, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(parts["more"]["action"], own)
        np.testing.assert_allclose(parts["all"]["message"], np.broadcast_to(everybody, own.shape), rtol=1e-5)
        assert {name: set(part) for name, part in parts.items()} == {
            "own": {"action", "message"},
            "all": {"message"},
            "more": {"action"},
        }


def test_a_head_that_nobody_pays_gets_nothing(talking, silent):
    rewards = Rewards((("own", Extrinsic(heads=("action",)), constant(1.0)),))
    total, _ = pay(rewards, talking, a_trajectory())
    np.testing.assert_array_equal(total["message"], 0.0)
    total, parts = pay(Rewards(), silent, a_trajectory())
    assert set(total) == set(parts["extrinsic"].streams) == {"action"}


def test_terms_go_by_name():
    assert list(TERMS) == ["extrinsic", "extrinsic-action", "extrinsic-message", "shared"]
    assert [TERMS[name]().heads for name in TERMS] == [
        ("action", "message"),
        ("action",),
        ("message",),
        ("action", "message"),
    ]
    assert Rewards().terms == (("extrinsic", Extrinsic(), constant(1.0)),)


def test_a_head_may_be_paid_apart(silent):
    """Only the heads that a term means; a term that means none of the policy's is refused."""
    for name in ("extrinsic-action", "extrinsic-message"):
        (head,) = TERMS[name]().heads
        rewards = Rewards(((name, TERMS[name](), constant(2.0)),))
        if head in silent.heads:
            total, _ = pay(rewards, silent, a_trajectory())
            assert list(total) == ["action"]
        else:
            with pytest.raises(ValueError, match=f"reward {name} pays none of the heads of this policy: action"):
                pay(rewards, silent, a_trajectory())


def test_rewards_that_are_none_are_refused(silent):
    with pytest.raises(ValueError, match="no reward term"):
        Rewards(())
    with pytest.raises(ValueError, match="own is given 2 times"):
        Rewards((("own", Extrinsic(), constant(1.0)), ("own", Shared(), constant(1.0))))
    with pytest.raises(ValueError, match="3 weights for 2 agents"):
        pay(Rewards((("own", Extrinsic(), parse_weight("1/1/1")),)), silent, a_trajectory())


def test_a_term_may_not_be_called_like_the_sum():
    """Its log would overwrite that of the sum."""
    with pytest.raises(ValueError, match="total"):
        Rewards((("total", Extrinsic(), constant(1.0)),))


def test_weights_for_other_agents_are_refused_at_construction(clockwork, make_policy):
    game = clockwork()
    rewards = Rewards((("own", Extrinsic(), parse_weight("1/1/1")),))
    with pytest.raises(ValueError, match="3 weights for 2 agents"):
        Experiment(game=game, policy=make_policy(game), rewards=rewards)


def test_memories_are_carried_from_update_to_update(clockwork, make_policy, verbs):
    game, pattern = clockwork(), (0.0, 1.0, 0.0, 3.0)
    rewards = Rewards((("pulse", Pulse(pattern), constant(2.0)), ("own", Extrinsic(), constant(0.0))))
    experiment = Experiment(game=game, policy=make_policy(game, core="none"), config=SMALL, rewards=rewards)
    learner, reports = verbs.run(experiment, 4)
    for report, value in zip(reports, pattern, strict=True):
        np.testing.assert_array_equal(report.metrics["reward/pulse"], value)
        np.testing.assert_array_equal(report.metrics["reward/total"], 2 * value)
    np.testing.assert_array_equal(learner.term_memory["pulse"], 4)
    assert int(learner.updates) == 4


def test_a_trigger_fires_when_its_metric_was_reached_often_enough_in_a_row(clockwork, make_policy, verbs):
    """Exactly then, once, and the schedule's clock starts with it."""
    game, pattern = clockwork(), (1.0, 0.5, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0)
    often = Trigger(metric="reward/pulse", at_least=1.0, updates=2)
    never = Trigger(metric="reward/pulse", at_least=1.0, updates=4)
    steps = SMALL.steps_per_update
    late = Schedule(((0, 0.25), (steps, 0.25), (steps, 1.0)), trigger=often)
    rewards = Rewards(
        (
            ("pulse", Pulse(pattern), constant(0.0)),
            ("own", Extrinsic(), (late, Schedule(((0, 0.5), (1, 2.0)), trigger=never))),
        )
    )
    experiment = Experiment(game=game, policy=make_policy(game, core="none"), config=SMALL, rewards=rewards)
    assert experiment.triggers == (often, never)
    learner, fired, weights = verbs.init(experiment, jax.random.key(0)), [], []
    for _ in pattern:
        learner, report = verbs.update(experiment, learner)
        fired.append(learner.fired.tolist())
        weights.append(np.asarray(report.metrics["reward/total"] / report.metrics["reward/own"]))
    assert fired == [[-1, -1]] * 3 + [[4 * steps, -1]] * 5
    np.testing.assert_allclose(np.stack(weights)[:, 0], [0.25] * 5 + [1.0] * 3, rtol=1e-5)
    np.testing.assert_allclose(np.stack(weights)[:, 1], 0.5, rtol=1e-5)


def test_a_trigger_waits_no_longer_than_it_is_told_to(clockwork, make_policy, verbs):
    """At the first update that ends at the deadline or after it; a measurement before it comes first."""
    steps, pattern = SMALL.steps_per_update, (0.0, 1.0, 0.0, 0.0)
    asked = [
        Trigger(metric="reward/pulse", at_least=least, latest=latest)
        for least, latest in ((2.0, 2 * steps + 1), (2.0, 2 * steps), (1.0, 3 * steps), (2.0, 2**40), (2.0, None))
    ]
    terms = [("pulse", Pulse(pattern), constant(1.0))]
    terms += [(f"own{i}", Extrinsic(), Schedule(((0, 0.0), (0, 1.0)), trigger=t)) for i, t in enumerate(asked)]
    game = clockwork()
    experiment = Experiment(
        game=game, policy=make_policy(game, core="none"), config=SMALL, rewards=Rewards(tuple(terms))
    )
    learner, _ = verbs.run(experiment, len(pattern))
    assert learner.fired.tolist() == [3 * steps, 2 * steps, 2 * steps, -1, -1]


def test_the_last_step_that_a_trigger_can_hold(clockwork, make_policy, verbs):
    """At the last update below 2^31 steps: deadlines are met to the step, one beyond or none at all is not."""
    steps, last = SMALL.steps_per_update, (2**31 - 1) // SMALL.steps_per_update
    latest = (last * steps, last * steps + 1, 2**31 - 1, 2**31, 2**40, None)
    asked = [Trigger(metric="reward/pulse", at_least=2.0, latest=step) for step in latest]
    terms = [("pulse", Pulse((0.0, 0.0)), constant(1.0))]
    terms += [(f"own{i}", Extrinsic(), Schedule(((0, 0.0), (0, 1.0)), trigger=t)) for i, t in enumerate(asked)]
    game = clockwork()
    experiment = Experiment(
        game=game, policy=make_policy(game, core="none"), config=SMALL, rewards=Rewards(tuple(terms))
    )
    learner = verbs.init(experiment, jax.random.key(0))
    learner, _ = verbs.update(experiment, learner._replace(updates=jnp.asarray(last - 2, jnp.int32)))
    assert learner.fired.tolist() == [-1] * len(latest)
    learner, _ = verbs.update(experiment, learner)
    assert learner.fired.tolist() == [last * steps] + [-1] * (len(latest) - 1)


def test_a_trigger_on_what_nobody_measures_is_refused(clockwork, make_policy, verbs):
    game = clockwork()
    after = Schedule(((0, 0.0), (9, 1.0)), trigger=Trigger(metric="reward/joy", at_least=1.0))
    experiment = Experiment(
        game=game,
        policy=make_policy(game, core="none"),
        config=SMALL,
        rewards=Rewards((("own", Extrinsic(), after),)),
    )
    learner = verbs.init(experiment, jax.random.key(0))
    with pytest.raises(ValueError, match=r"reward/joy.*reward/own"):
        verbs.update(experiment, learner)


def test_a_ratio_is_read_only_where_it_is_defined():
    ratio = Ratio(jnp.array([3.0, 0.0, 1.0]), jnp.array([4.0, 0.0, 2.0]))
    metrics = {
        "at": ratio,
        "each": jnp.array([1.0, 5.0]),
        "one": jnp.array(2.0),
        "never": Ratio(jnp.zeros(()), jnp.zeros(())),
    }
    for name, value, defined in (
        ("at", 0.625, True),
        ("at[0]", 0.75, True),
        ("at[1]", 0.0, False),
        ("each", 3.0, True),
        ("each[1]", 5.0, True),
        ("one", 2.0, True),
        ("never", 0.0, False),
    ):
        got = measured(metrics, name)
        assert (float(got[0]), bool(got[1])) == (value, defined)
    for name, message in (("other", "never measured"), ("each[2]", r"entries 0\.\.1"), ("each[x]", "entries")):
        with pytest.raises(ValueError, match=message):
            measured(metrics, name)


def test_a_trigger_does_not_fire_on_what_is_undefined(clockwork, make_policy, verbs):
    """A threshold below 0 would be reached by any number: but there is none."""
    game = clockwork()
    after = Schedule(((0, 0.0), (0, 1.0)), trigger=Trigger(metric="pulse/late", at_least=-1.0))
    rewards = Rewards((("pulse", Pulse((0.0, 0.0, 1.0, 1.0)), constant(0.0)), ("own", Extrinsic(), after)))
    experiment = Experiment(game=game, policy=make_policy(game, core="none"), config=SMALL, rewards=rewards)
    learner, reports = verbs.run(experiment, 4)
    assert learner.fired.tolist() == [3 * SMALL.steps_per_update]
    assert [float(report.metrics["pulse/late"].times) for report in reports] == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("returns", ["lambda", "n-step"])
def test_action_targets_do_not_hear_of_message_rewards(returns):
    trajectory, other = a_trajectory(1), a_trajectory(2)
    config = LearnerConfig(returns=returns, n=2, environments=B, minibatches=1)
    paid = advantages(config, trajectory, {"action": trajectory.rewards, "message": trajectory.rewards})
    changed = advantages(config, trajectory, {"action": trajectory.rewards, "message": other.rewards * 100})
    for x, y in zip(paid["action"], changed["action"], strict=True):
        np.testing.assert_array_equal(x, y)
    assert (np.asarray(paid["message"].advantage) != np.asarray(changed["message"].advantage)).all()
    for head, target in paid.items():
        np.testing.assert_allclose(target.value - target.advantage, trajectory.values[head], atol=1e-5)
