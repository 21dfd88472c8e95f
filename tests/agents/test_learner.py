"""The learner around its gradient: auxiliary losses, entropy, repetition, and what an experiment refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import (
    Experiment,
    Extrinsic,
    LearnerConfig,
    Optimiser,
    Paid,
    Rewards,
    Schedule,
    Trigger,
    constant,
)

SMALL = LearnerConfig(
    algorithm="a2c", environments=8, steps=6, staggered=False, optimiser=Optimiser(learning_rate=constant(0.02))
)


@dataclasses.dataclass(frozen=True)
class Guess:
    """Every agent guesses what the next agent does, from the clock and from what that agent did last.

    The memory is what it did last in the trajectory before: without it the first step would not replay.
    """

    optimiser: Optimiser = Optimiser(learning_rate=constant(0.1), clip=float("inf"))
    meddles: bool = False

    def init(self, key, policy):
        return {"table": 0.1 * jax.random.normal(key, (policy.spec.agents, len(policy.spec.classes), 4, 3))}

    def initial(self, policy, environments):
        return jnp.full((environments, policy.spec.agents), 3, jnp.int32)

    def _surprise(self, auxiliary, memory, trajectory):
        neighbour = jnp.roll(trajectory.symbols["action"], -1, -1)
        before = jnp.concatenate([memory[None], neighbour[:-1]])
        before = jnp.where(trajectory.start[..., None], 3, before)
        clock = trajectory.observation.codes[:, :, :, 0, 0]
        agent = jnp.broadcast_to(jnp.arange(clock.shape[-1])[None, None, :], clock.shape)
        logs = jax.nn.log_softmax(auxiliary["table"][agent, clock, before])
        return neighbour[-1], -jnp.take_along_axis(logs, neighbour[..., None], -1)[..., 0]

    def observe(self, auxiliary, memory, params, policy, trajectory):
        return self._surprise(auxiliary, memory, trajectory)

    def loss(self, auxiliary, memory, params, policy, trajectory, features):
        _, surprise = self._surprise(auxiliary, memory, trajectory)
        meddling = sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(params)) if self.meddles else 0.0
        return jnp.mean(surprise) + meddling, {"surprise": jnp.mean(surprise, (0, 1))}


@dataclasses.dataclass(frozen=True)
class Surprise:
    """A reward that reads what an auxiliary loss saw."""

    def initial(self, environments):
        return ()

    def __call__(self, memory, params, policy, trajectory):
        return Paid(memory, {"action": trajectory.auxiliary["guess"]}, {})


def distance(x, y):
    """The largest difference of any two numbers."""
    pairs = zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)
    return max(float(np.max(np.abs(np.asarray(a, float) - np.asarray(b, float)), initial=0.0)) for a, b in pairs)


@pytest.fixture(scope="module")
def guessing(clockwork, make_policy):
    """Experiments that differ in one thing."""
    game = clockwork(agents=3)
    policy = make_policy(game, core="none")
    rewards = Rewards((("own", Extrinsic(), constant(1.0)), ("surprise", Surprise(), constant(0.0))))

    def make(guess=Guess(), rewards=rewards, config=SMALL):
        return Experiment(game=game, policy=policy, config=config, rewards=rewards, auxiliary=(("guess", guess),))

    return make


def test_an_auxiliary_loss_learns_and_reaches_the_rewards(guessing, verbs):
    learner, reports = verbs.run(guessing(), 30)
    losses = [float(report.metrics["guess/loss"]) for report in reports]
    assert 1.0 < losses[0] < 1.3  # about log 3
    assert np.mean(losses[-5:]) < 0.8  # one of three actions is never available: at most log 2 is left
    for report in reports:  # seen before learning, with the same memory as in the loss
        np.testing.assert_allclose(report.metrics["reward/surprise"], report.metrics["guess/surprise"], atol=1e-5)
        assert report.metrics["guess/surprise"].shape == (3,)
    assert learner.auxiliary_memory["guess"].shape == (8, 3)
    assert (np.asarray(learner.auxiliary_memory["guess"]) == np.roll(learner.actors.last_actions, -1, -1))[
        ~np.asarray(learner.actors.start)
    ].all()


def test_an_auxiliary_loss_has_an_optimiser_of_its_own(guessing, verbs):
    start = verbs.init(guessing(), jax.random.key(0))
    own, _ = verbs.update(guessing(), start)
    step = np.abs(own.params.auxiliary["guess"]["table"] - start.params.auxiliary["guess"]["table"])
    assert step.max() == pytest.approx(0.1, rel=0.02)  # Adam's first step is as long as its rate, not the policy's
    still = guessing(Guess(optimiser=Optimiser(learning_rate=constant(0.0))))
    after, _ = verbs.update(still, start)
    jax.tree.map(np.testing.assert_array_equal, after.params.auxiliary, start.params.auxiliary)
    assert distance(after.params.policy, start.params.policy) > 0.01


def test_an_auxiliary_loss_leaves_the_policy_alone_unless_it_reaches_for_it(guessing, verbs):
    with_it = guessing()
    without = dataclasses.replace(with_it, auxiliary=(), rewards=Rewards((("own", Extrinsic(), constant(1.0)),)))
    x, _ = verbs.run(with_it, 2)
    y, _ = verbs.run(without, 2)
    assert distance(x.params.policy, y.params.policy) < 1e-6  # two programs, rounded differently
    z, _ = verbs.run(guessing(Guess(meddles=True)), 2)
    assert distance(x.params.policy, z.params.policy) > 1e-3


def test_more_weight_on_entropy_is_more_entropy(clockwork, make_policy, verbs, at_random):
    """Two runs of one program that differ in the clock, and so in the weight, alone."""
    game = clockwork()
    config = dataclasses.replace(SMALL, entropy_weight=Schedule(((0, 0.0), (48_000, 0.0), (48_000, 10.0))))
    experiment = Experiment(game=game, policy=make_policy(game, core="none"), config=config)
    learner = verbs.init(experiment, jax.random.key(0))
    skewed = learner.params._replace(policy=at_random(learner.params.policy, 1, 2.0))
    entropies = []
    for updates in (0, 1000):
        begun = learner._replace(params=skewed, updates=jnp.int32(updates))
        _, reports = verbs.run(experiment, 12, begun)
        entropies.append([float(jnp.mean(report.metrics["action/entropy"])) for report in reports])
    assert entropies[0][0] == entropies[1][0] < 0.5
    assert entropies[1][-1] > entropies[1][0] + 0.05
    assert entropies[1][-1] > entropies[0][-1] + 0.05


def test_updates_repeat(guessing, verbs):
    x, _ = verbs.run(guessing(), 2, seed=3)
    y, _ = verbs.run(guessing(), 2, seed=3)
    z, _ = verbs.run(guessing(), 2, seed=4)
    assert distance((x.params, x.actors), (y.params, y.actors)) == 0
    assert (jax.random.key_data(x.key) == jax.random.key_data(y.key)).all()
    assert distance(x.params, z.params) > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"algorithm": "a3c"}, "algorithm|Type"),
        ({"returns": "mc"}, "returns|Type"),
        ({"environments": 0}, "environments is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"minibatches": 0}, "minibatches is 0"),
        ({"shards": 0}, "shards is 0"),
        ({"discount": 1.01}, "discount is 1.01"),
        ({"discount": float("nan")}, "discount is nan"),
        ({"lambda_": -0.1}, "lambda_ is -0.1"),
        ({"n": -1}, "n is -1"),
        ({"chunk": -1}, "chunk is -1"),
        ({"value_weight": float("inf")}, "value_weight is inf"),
        ({"floor": -1.0}, "floor is -1"),
        ({"clip": 0.0}, "clip is 0"),
        ({"environments": 9, "minibatches": 2}, "9 environments do not divide"),
        ({"environments": 8, "minibatches": 2, "chunk": 3}, "does not divide"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        LearnerConfig(**wrong)


def test_a_weight_without_a_trigger_of_its_own_may_not_wait_for_one():
    """Only rewards know triggers: elsewhere the clock would start at once, in silence."""
    waiting = Schedule(((0, 0.0), (9, 1.0)), trigger=Trigger(metric="reward/total", at_least=1.0))
    with pytest.raises(ValueError, match="trigger"):
        Optimiser(learning_rate=waiting)
    for name in ("entropy_weight", "message_entropy_weight"):
        with pytest.raises(ValueError, match="trigger"):
            LearnerConfig(**{name: waiting})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": constant(-1.0)}, "learning rate -1"),
        ({"clip": 0.0}, "clip is 0"),
        ({"clip": float("nan")}, "clip is nan"),
        ({"epsilon": 0.0}, "epsilon is 0"),
        ({"epsilon": float("inf")}, "epsilon is inf"),
    ],
)
def test_optimisers_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Optimiser(**wrong)


def test_experiments_that_do_not_fit_are_refused(clockwork, make_policy):
    game = clockwork()
    with pytest.raises(ValueError, match="policy is for clockwork"):
        Experiment(game=game, policy=make_policy(clockwork(agents=3)))
    with pytest.raises(ValueError, match="distinct names"):
        Experiment(game=game, policy=make_policy(game), auxiliary=(("a", Guess()), ("a", Guess())))


def test_an_auxiliary_loss_may_not_be_called_policy(clockwork, make_policy):
    """The learner keeps the policy's moments under that name."""
    game = clockwork()
    with pytest.raises(ValueError, match="policy"):
        Experiment(game=game, policy=make_policy(game), auxiliary=(("policy", Guess()),))
    with pytest.raises(ValueError, match="both called a"):
        Experiment(
            game=game,
            policy=make_policy(game),
            rewards=Rewards((("a", Extrinsic(), constant(1.0)),)),
            auxiliary=(("a", Guess()),),
        )
    with pytest.raises(ValueError, match="reward term cannot be called gradient"):
        Experiment(game=game, policy=make_policy(game), rewards=Rewards((("gradient", Extrinsic(), constant(1.0)),)))
