"""The model of others: its loss by hand, where gradients go, memory over rollouts, and that it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import Optimiser, Ratio, Schedule, Trajectory
from suasion.games import MatrixGame, Spec
from suasion.influence import ModelConfig, ModelOfOthers
from suasion.networks import Observation, Policy, PolicyConfig, in_slots, pairs_by_agent

WORLDS = ("model harvest", "model box", "model three shared")


@pytest.fixture(scope="module")
def losses(quick):
    """Loss, metrics and the gradients for (model, policy's network) of a world; no gradients of another config."""
    found = {}

    def of(w, **config):
        key = (id(w), *sorted(config.items()))
        if key not in found:
            model = dataclasses.replace(w.model, config=dataclasses.replace(w.model.config, **config))
            if not config:
                assert model == w.model

            def loss(parameters, network):
                features = w.policy.features(network, w.trajectory.observation)
                trajectory = w.trajectory._replace(features=None, states=None)
                return model.loss(parameters, w.model_memory, network, w.policy, trajectory, features)

            verb = loss if config else jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
            found[key] = quick(verb)(w.params.auxiliary["model"], w.params.policy)
        return found[key]

    return of


def surprises(w):
    """Minus the oracle's log-probability of what every other did next, per pair; NaN where nobody knows."""
    steps, environments, agents = w.actions.shape
    found = np.full((steps, environments, agents, agents), np.nan)
    for t, b, k, j in np.ndindex(*found.shape):
        if t < steps - 1 and not w.ended[t, b] and j != k:
            found[t, b, k, j] = -np.log(w.table[t, b, k, j, w.actions[t, b, k], w.actions[t + 1, b, j]])
    return found


@pytest.mark.parametrize(("name", "visible_only"), [*((name, False) for name in WORLDS), ("model harvest", True)])
def test_loss_and_metrics_by_hand(name, visible_only, world, losses):
    """Summed over independent agents, averaged over those that share; every step of the rollout counts in the mean."""
    w = world(name)
    loss, metrics = losses(w, visible_only=True) if visible_only else losses(w)[0]
    surprise, sees = surprises(w), np.asarray(pairs_by_agent(w.trajectory.observation.visible))
    known = ~np.isnan(surprise)
    steps, environments, agents = w.actions.shape
    each = np.nansum(np.where(sees, surprise, 0.0) if visible_only else surprise, (0, 1, 3))
    each = each / (steps * environments * (agents - 1))
    assert loss == pytest.approx(each.mean() if w.policy.config.shared else each.sum(), rel=1e-4)
    sets = {"": known & sees if visible_only else known, "_visible": known & sees, "_invisible": known & ~sees}
    for suffix, where in sets.items():
        ratio = metrics[f"cross_entropy{suffix}"]
        assert isinstance(ratio, Ratio)
        np.testing.assert_allclose(ratio.total, np.where(where, surprise, 0.0).sum((0, 1, 3)), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(ratio.times, where.sum((0, 1, 3)))


@pytest.mark.parametrize("visible_only", [False, True])
@pytest.mark.parametrize("name", ["model harvest", "model three shared"])
def test_the_loss_is_the_cross_entropy_times_the_share_that_counts(name, visible_only, world, losses):
    """Steps without a known next action, and others out of view where so asked, are 0 in the mean and not left out."""
    w = world(name)
    loss, metrics = losses(w, visible_only=True) if visible_only else losses(w)[0]
    steps, environments, agents = w.actions.shape
    total, times = (np.asarray(part, float) for part in metrics["cross_entropy"])
    share = times / (steps * environments * (agents - 1))
    assert (share < 1).all()
    each = share * total / times
    assert loss == pytest.approx(each.mean() if w.policy.config.shared else each.sum(), rel=1e-5)
    seen = metrics["cross_entropy_visible"]
    np.testing.assert_array_equal((times == seen.times).all(), visible_only or name != "model harvest")


def test_some_pairs_are_visible_and_some_are_not(world):
    """Otherwise the sums above would be empty."""
    sees = np.asarray(world("model harvest").trajectory.observation.visible[..., 1:])
    assert 0 < sees.mean() < 1


@pytest.mark.parametrize("name", WORLDS)
def test_every_tensor_of_the_model_learns(name, world, losses):
    w = world(name)
    _, (gradient, _) = losses(w)
    leaves = jax.tree.leaves_with_path(gradient)
    assert len(leaves) >= 8
    for path, leaf in leaves:
        norms = np.sqrt(np.square(leaf).sum(tuple(range(1, leaf.ndim))))
        assert np.isfinite(norms).all()
        assert (norms > 1e-6).all(), path


def test_a_model_with_an_encoder_of_its_own_leaves_the_policy_alone(world, losses):
    """Its gradient for the policy's network is exactly zero."""
    _, (_, gradient) = losses(world("model harvest"))
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, 0.0)


@pytest.mark.parametrize("name", ["model box", "model three shared"])
def test_a_model_that_shares_the_encoder_shapes_it_and_nothing_else(name, world, losses):
    _, (_, gradient) = losses(world(name))
    assert all(np.abs(leaf).max() > 1e-6 for leaf in jax.tree.leaves(gradient.encoder))
    for leaf in jax.tree.leaves((gradient.core, gradient.heads)):
        np.testing.assert_array_equal(leaf, 0.0)


@pytest.mark.parametrize("name", ["model harvest", "model three shared"])
def test_memory_carried_over_two_rollouts_is_that_of_one(name, world, quick):
    w = world(name)
    late = w.trajectory._replace(memory=(), bootstrap={})

    def part(begin, end):
        return jax.tree.map(lambda x: x[begin:end], late)

    @quick
    def both(parameters, memory):
        def observe(memory, trajectory):
            return w.model.observe(parameters, memory, w.params.policy, w.policy, trajectory)

        whole = observe(memory, late)
        middle, first = observe(memory, part(0, 5))
        end, second = observe(middle, part(5, None))
        return whole, (end, jax.tree.map(lambda x, y: jnp.concatenate([x, y]), first, second))

    whole, halves = both(w.params.auxiliary["model"], w.model_memory)
    for x, y in zip(jax.tree.leaves(whole), jax.tree.leaves(halves), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-5)


def test_fresh_models_foresee_nothing(world, quick):
    """The head starts almost uniform, so that no influence is paid before anything is learned."""
    w = world("model box")
    fresh = quick(lambda key: w.model.init(key, w.policy))(jax.random.key(3))
    imagined = w.imagined(params=w.params._replace(auxiliary={"model": fresh}))
    off = ~np.eye(2, dtype=bool)
    for part in imagined:
        np.testing.assert_allclose(np.asarray(part)[:, :, off], -np.log(6), atol=0.1)
    assert np.abs(w.masked("kl", imagined)).max() < 1e-3


def test_a_model_needs_somebody_else():
    alone = MatrixGame(payoffs=((0.0,), (1.0,)))
    with pytest.raises(ValueError, match="needs another agent"):
        ModelOfOthers().init(jax.random.key(0), Policy(spec=alone.spec, config=PolicyConfig(encoder="classes")))


def test_shared_features_are_asked_for(world):
    w = world("model box")
    with pytest.raises(ValueError, match="needs them"):
        w.model.observe(
            w.params.auxiliary["model"],
            w.model_memory,
            w.params.policy,
            w.policy,
            w.trajectory._replace(features=None),
        )


# Learning, from scripted partners: agent 1's next action depends on what agent 0 can know.
STEPS, ENVIRONMENTS, ACTIONS, UPDATES = 12, 16, 3, 300
WHERE = (0.6, 0.3, 0.1)
SPEC = Spec(
    name="scripted",
    agents=2,
    actions=("a", "b", "c"),
    classes=("nothing", "a", "b", "c"),
    palette=((0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)),
    view=(1, 1),
    board=(1, 1),
    horizon=None,
)
LEARNS = ModelOfOthers(
    config=ModelConfig(
        encoder="classes",
        hidden=(16,),
        width=16,
        optimiser=Optimiser(learning_rate=Schedule(((0, 1e-2), (200, 1e-2), (300, 3e-4))), clip=5.0),
    )
)
SCRIPTED = Policy(spec=SPEC, config=PolicyConfig(encoder="classes", hidden=(4,), width=4))


def deterministic(rng, shape):
    """The partner answers the last joint action."""
    actions = rng.integers(0, ACTIONS, (*shape, 2))
    for t in range(1, shape[0]):
        actions[t, :, 1] = (actions[t - 1, :, 0] + 2 * actions[t - 1, :, 1]) % ACTIONS
    return actions, np.ones(shape, bool), np.zeros(shape, int)


def random(rng, shape):
    """The partner draws from a distribution that is not uniform."""
    actions = rng.integers(0, ACTIONS, (*shape, 2))
    actions[..., 1] = rng.choice(ACTIONS, shape, p=WHERE)
    return actions, np.ones(shape, bool), np.zeros(shape, int)


def announced(rng, shape):
    """The view shows what the partner will do next, if it is visible."""
    actions = rng.integers(0, ACTIONS, (*shape, 2))
    visible = rng.random(shape) < 0.5
    following = np.roll(actions[..., 1], -1, 0)
    return actions, visible, np.where(visible, 1 + following, 0)


def scripted(partner, seed, updates, environments):
    """Trajectories [updates, t, b, ...] of what a partner does; only what a model reads."""
    rng = np.random.default_rng(seed)
    actions, visible, codes = partner(rng, (STEPS, updates * environments))
    shape = (STEPS, updates * environments)
    actions = actions.astype(np.int32)
    seen = np.ones((*shape, 2, 2), bool)
    seen[..., 0, 1] = seen[..., 1, 0] = visible
    start = np.zeros(shape, bool)
    start[0] = True
    ended = np.roll(start, -1, 0)
    nothing = dict.fromkeys(Trajectory._fields)
    observation = Observation(
        codes=np.broadcast_to(codes[:, :, None, None, None], (*shape, 2, 1, 1)).astype(np.uint8),
        last_actions=np.asarray(in_slots(jnp.asarray(actions))),
        visible=np.stack([seen[..., 0, :], seen[..., 1, ::-1]], -2),
        current_actions=None,
        messages=None,
        available=np.ones((*shape, 2, ACTIONS), bool),
    )
    trajectory = Trajectory(
        **nothing
        | {
            "observation": observation,
            "symbols": {"action": actions},
            "start": start,
            "terminated": ended,
            "truncated": np.zeros(shape, bool),
        }
    )
    return jax.tree.map(lambda x: np.moveaxis(x.reshape(STEPS, updates, environments, *x.shape[2:]), 1, 0), trajectory)


@pytest.fixture(scope="module")
def learned(quick):
    """The metrics on fresh data of a model that has watched a partner; compiled once."""

    network = quick(SCRIPTED.init)(jax.random.key(0))

    def loss(parameters, trajectory):
        memory = LEARNS.initial(SCRIPTED, trajectory.start.shape[1])
        features = SCRIPTED.features(network, trajectory.observation)
        return LEARNS.loss(parameters, memory, network, SCRIPTED, trajectory, features)

    @quick
    def train(key, data):
        parameters = LEARNS.init(key, SCRIPTED)

        def update(carry, now):
            parameters, moments = carry
            step, trajectory = now
            gradient = jax.grad(loss, has_aux=True)(parameters, trajectory)[0]
            parameters, moments, _ = LEARNS.optimiser(gradient, moments, parameters, step)
            return (parameters, moments), None

        carry = (parameters, LEARNS.optimiser.init(parameters))
        return jax.lax.scan(update, carry, (jnp.arange(UPDATES, dtype=jnp.float32), data))[0][0]

    evaluate = quick(loss)

    def learn(partner):
        parameters = train(jax.random.key(1), scripted(partner, 1, UPDATES, ENVIRONMENTS))
        fresh = jax.tree.map(lambda x: x[0], scripted(partner, 2, 1, 4096))
        _, metrics = evaluate(parameters, fresh)
        return {name: np.asarray(ratio.total / ratio.times) for name, ratio in metrics.items()}

    return learn


def test_a_deterministic_partner_is_foreseen(learned):
    """Of agent 0, whose partner obeys a rule: 0.2 nats at most, of ln 3 = 1.1 at the start."""
    assert learned(deterministic)["cross_entropy"][0] <= 0.2


def test_a_random_partner_is_foreseen_as_well_as_can_be(learned):
    """45,000 actions with a deviation of 0.56 nats: 0.02 is 7 deviations of their mean; false alarm below 1e-9."""
    entropy = -sum(p * np.log(p) for p in WHERE)
    assert learned(random)["cross_entropy"][0] == pytest.approx(entropy, abs=0.02)


def test_a_partner_in_view_is_foreseen_better(learned):
    """What the view announces is learned; out of view ln 3 remains."""
    metrics = learned(announced)
    assert metrics["cross_entropy_visible"][0] <= 0.2
    assert metrics["cross_entropy_invisible"][0] == pytest.approx(np.log(3), abs=0.05)
