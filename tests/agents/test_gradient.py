"""The learner's gradient against a loss written out in NumPy, float64, and differentiated numerically.

The gradient is read from outside: after Adam's first step from zero moments the first moment is a tenth of it.
"""

import dataclasses
import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from suasion.agents import (
    Experiment,
    Extrinsic,
    LearnerConfig,
    Optimiser,
    Rewards,
    Schedule,
    Shared,
    constant,
    group_norms,
    normalised,
)

T, B, N = 9, 4, 2
SHARDS = "SUASION_TEST_SHARDS"  # set by the test that runs one of the others on several devices
PLAIN = LearnerConfig(
    algorithm="a2c",
    environments=B,
    steps=T,
    discount=0.9,
    lambda_=0.8,
    entropy_weight=constant(0.3),
    message_entropy_weight=constant(0.2),
    value_weight=0.7,
    shards=int(os.environ.get(SHARDS, "1")),
    optimiser=Optimiser(learning_rate=constant(0.05), clip=float("inf")),
)
PPO = dataclasses.replace(PLAIN, algorithm="ppo", epochs=1, minibatches=1, clip=0.05)
REWARDS = Rewards(
    (("own", Extrinsic(heads=("action",)), constant(1.0)), ("all", Shared(heads=("message",)), constant(0.5)))
)


class Bench:
    """An experiment whose trajectory is filmed, so that the loss of an update can be computed by hand."""

    def __init__(self, game, policy, config, verbs, camera, at_random, rewards=REWARDS):
        self.experiment = Experiment(
            game=game, policy=policy, config=config, rewards=rewards, auxiliary=(("camera", camera),)
        )
        self.verbs, self.policy = verbs, policy
        learner = verbs.init(self.experiment, jax.random.key(7))
        network = at_random(learner.params.policy, 8, 0.7)
        self.before = learner._replace(params=learner.params._replace(policy=network))
        self.params = jax.tree.map(lambda x: np.asarray(x, float), network)

    @functools.cache  # noqa: B019
    def after(self, **changes):
        experiment = dataclasses.replace(self.experiment, config=dataclasses.replace(self.experiment.config, **changes))
        return self.verbs.update(experiment, self.before)

    def gradient(self, **changes):
        return jax.tree.map(lambda m: np.asarray(m, float) * 10, self.after(**changes)[0].optimisers["policy"].mu)

    @functools.cached_property
    def film(self):
        return self.verbs.developed(self.after()[0].auxiliary_memory["camera"])


@pytest.fixture(scope="module")
def bench(clockwork, make_policy, verbs, camera, at_random):
    game = clockwork()

    @functools.cache
    def make(shared):
        stages = ((1,), (0,)) if shared else ()
        policy = make_policy(
            game, stages=stages, core="lstm", last_actions=True, vocabulary=3, shared=shared, hidden=(4,), width=3
        )
        return Bench(game, policy, dataclasses.replace(PLAIN, normalise=not shared), verbs, camera, at_random)

    return make


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(policy, params, film):
    """Logits and values of every head, [t, b, n, ...], from one-hot codes to heads, one agent at a time."""
    actions, symbols = len(policy.spec.actions), policy.config.vocabulary
    observation = film.observation
    fields = [(observation.last_actions, actions)]
    fields += [(observation.current_actions, actions)] if len(policy.stages) > 1 else []
    fields += [(observation.messages, symbols)]
    core, width = params.core, policy.config.width
    out = {"action": np.zeros((T, B, N, actions + 1)), "message": np.zeros((T, B, N, symbols + 1))}
    for i in range(N):
        g = 0 if policy.config.shared else i
        h, c = (np.asarray(m[:, i], float) for m in film.memory)
        for t in range(T):
            x = np.eye(len(policy.spec.classes))[observation.codes[t, :, i]].reshape(B, -1)
            for layer in params.encoder.layers:
                x = np.maximum(x @ layer.weight[g] + layer.bias[g], 0)
            drive = x @ core.product.features[g] + core.product.bias[g]
            row = 0
            for values, size in fields:
                for slot in range(N):
                    one_hot = np.eye(size + 1)[values[t, :, i, slot]][:, :size]  # the last code is: not known
                    drive = drive + one_hot @ core.product.table[g, row : row + size]
                    row += size
            begins = film.start[t][:, None]
            h, c = np.where(begins, 0, h), np.where(begins, 0, c)
            gates = drive + h @ core.recurrent[g]
            a, f, n, o = (gates[:, k * width : (k + 1) * width] for k in range(4))
            c = sigmoid(f) * c + sigmoid(a) * np.tanh(n)
            h = sigmoid(o) * np.tanh(c)
            for head, layer in params.heads.items():
                out[head][t, :, i] = h @ layer.weight[g] + layer.bias[g]
    return {head: (x[..., :-1], x[..., -1]) for head, x in out.items()}


def streams(film):
    everybody = film.rewards.mean(-1, keepdims=True)
    return {"action": film.rewards, "message": 0.5 * np.broadcast_to(everybody, film.rewards.shape)}


def advantage(film, head, config):
    """The advantage by its definition, sum over the rest of the episode of (gamma lambda)^k delta."""
    value = np.asarray(film.values[head], float)
    following = np.concatenate([value[1:], film.bootstrap[head][None]])
    following = np.where(film.truncated[:, :, None], film.value_at_truncation[head], following)
    following = np.where(film.terminated[:, :, None], 0.0, following)
    delta = streams(film)[head] + config.discount * following - value
    total = np.zeros_like(delta)
    for t, b in np.ndindex(T, B):
        for k in range(t, T):
            total[t, b] += (config.discount * config.lambda_) ** (k - t) * delta[k, b]
            if film.terminated[k, b] or film.truncated[k, b]:
                break
    return total, total + value


def probabilities(film, head, logits):
    """Of all symbols, and of the one chosen."""
    allowed = film.observation.available if head == "action" else np.ones(logits.shape, bool)
    e = np.where(allowed, np.exp(logits), 0.0)
    p = e / e.sum(-1, keepdims=True)
    return p, np.take_along_axis(p, film.symbols[head][..., None], -1)[..., 0]


def acting(film, head):
    return np.exp(np.asarray(film.log_probabilities[head], float))


def v_trace(film, head, config, value, ratio):
    """Advantage without its own ratio, and target, by definition: sums over the rest of the episode."""
    following = np.concatenate([value[1:], film.bootstrap[head][None]])
    following = np.where(film.truncated[:, :, None], film.value_at_truncation[head], following)
    following = np.where(film.terminated[:, :, None], 0.0, following)
    delta = streams(film)[head] + config.discount * following - value
    ended, rho, target = film.terminated | film.truncated, np.minimum(1, ratio), value.copy()
    for t, b in np.ndindex(T, B):
        for k in range(t, T):
            trace = np.prod(config.lambda_ * rho[t:k, b], axis=0)
            target[t, b] += config.discount ** (k - t) * trace * rho[k, b] * delta[k, b]
            if ended[k, b]:
                break
    after = np.where(ended[:-1, :, None], following[:-1], target[1:])
    after = np.concatenate([after, following[-1:]])
    return streams(film)[head] + config.discount * after - value, target


def aims(film, config, policy=None, present=None):
    """(advantage on its scale, target, variance of the first targets) by head; with v-trace under `present`."""
    found = {}
    for head in film.values:
        value = np.asarray(film.values[head], float)
        acted = v_trace(film, head, config, value, np.ones_like(value))
        gain, target = acted if config.returns == "v-trace" else advantage(film, head, config)
        mean, deviation, variance = gain.mean((0, 1)), gain.std((0, 1)), target.var((0, 1))
        if present is not None:
            logits, value = forward(policy, present, film)[head]
            ratio = probabilities(film, head, logits)[1] / acting(film, head)
            gain, target = v_trace(film, head, config, value, ratio)
        if config.normalise:
            gain = (gain - mean) / (deviation + config.floor)
        found[head] = gain, target, variance
    return found


def loss(policy, params, film, config, towards=None):
    """The sum over agents (the mean, where they share parameters) of policy, value and entropy losses."""
    towards = aims(film, config) if towards is None else towards
    weights = {"action": config.entropy_weight, "message": config.message_entropy_weight}
    total = 0.0
    for head, (logits, value) in forward(policy, params, film).items():
        p, chosen = probabilities(film, head, logits)
        gain, target, variance = towards[head]
        for i in range(N):
            each = gain[..., i]
            if config.algorithm == "a2c":
                surrogate = each * np.log(chosen[..., i])
            else:
                ratio = chosen[..., i] / acting(film, head)[..., i]
                clipped = np.minimum(np.maximum(ratio, 1 - config.clip), 1 + config.clip)
                surrogate = np.minimum(ratio * each, clipped * each)
            error = 0.5 * ((value[..., i] - target[..., i]) ** 2).mean() / (1 + variance[i])
            entropy = -(p * np.log(np.where(p > 0, p, 1)))[:, :, i].sum(-1).mean()
            agent = -surrogate.mean() + config.value_weight * error - weights[head].points[0][1] * entropy
            total += agent / (N if policy.config.shared else 1)
    return total


def assert_is_the_slope(gradient, policy, params, film, config, towards=None, seed=0):
    """Along random directions, one for each array and some for all, the loss rises as the gradient says."""
    rng = np.random.default_rng(seed)
    leaves, structure = jax.tree.flatten(params)
    scale = np.sqrt(sum(np.sum(g**2) for g in jax.tree.leaves(gradient)))
    for k in range(len(leaves) + 1):
        chosen = [k in (i, len(leaves)) for i in range(len(leaves))]
        step = [rng.normal(size=x.shape) * one for x, one in zip(leaves, chosen, strict=True)]

        def along(distance, step=step):
            moved = [x + distance * d for x, d in zip(leaves, step, strict=True)]
            return loss(policy, jax.tree.unflatten(structure, moved), film, config, towards)

        slope = sum(np.sum(g * d) for g, d in zip(jax.tree.leaves(gradient), step, strict=True))
        assert slope == pytest.approx((along(1e-6) - along(-1e-6)) / 2e-6, rel=1e-3, abs=2e-5 * scale + 1e-7)
    assert scale > 1e-2


@pytest.mark.parametrize("shared", [False, True], ids=["independent, normalised", "shared, two stages, not normalised"])
def test_a2c_descends_the_loss_written_by_hand(bench, shared):
    subject = bench(shared)
    film = subject.film
    assert film.start[1:].any()
    assert film.truncated.any()
    assert film.terminated.any()
    for head, (logits, value) in forward(subject.policy, subject.params, film).items():
        np.testing.assert_allclose(film.values[head], value, atol=1e-5)
        assert np.isfinite(logits).all()
    assert_is_the_slope(subject.gradient(), subject.policy, subject.params, film, subject.experiment.config)


def test_two_devices_descend_the_same_loss():
    """The environments spread over two devices: normalisation, value scale and gradient are those of all of them."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    case = f"{__file__}::test_a2c_descends_the_loss_written_by_hand[independent, normalised]"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", case],
        env=os.environ | {SHARDS: "2", "XLA_FLAGS": flags.strip()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    assert "1 passed" in run.stdout


def assert_trees_close(x, y, tolerance=1e-5):
    scale = max(1.0, *(float(np.abs(a).max()) for a in jax.tree.leaves(y)))
    for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def test_the_first_step_of_ppo_is_that_of_a2c(bench):
    subject = bench(False)
    ppo = {"algorithm": "ppo", "epochs": 1, "minibatches": 1, "clip": 0.05}
    assert_trees_close(subject.gradient(**ppo), subject.gradient())


def second_step(subject, **changes):
    """Two passes over one rollout: parameters before the second step, its gradient, and the update's report."""
    ppo = {"algorithm": "ppo", "epochs": 1, "minibatches": 1, "clip": 0.05} | changes
    first, _ = subject.after(**ppo)
    second, report = subject.after(**(ppo | {"epochs": 2}))
    gradient = jax.tree.map(
        lambda m, n: (np.asarray(n, float) - 0.9 * np.asarray(m, float)) * 10,
        first.optimisers["policy"].mu,
        second.optimisers["policy"].mu,
    )
    return jax.tree.map(lambda x: np.asarray(x, float), first.params.policy), gradient, report


def test_the_second_step_of_ppo_is_clipped(bench):
    """The second gradient, where ratios are no longer 1, is that of the clipped loss."""
    subject = bench(False)
    params, gradient, report = second_step(subject)
    assert_is_the_slope(gradient, subject.policy, params, subject.film, dataclasses.replace(PPO, epochs=2))
    assert (2 * np.asarray(report.metrics["action/clipped"]) > 0.05).all()  # a mean over a step without and one with


def test_ppo_with_v_trace_weighs_an_advantage_by_its_ratio_once(bench):
    """Off the policy the surrogate has the ratio, the advantage has not; its scale is that of the acting policy."""
    subject, changes = bench(False), {"returns": "v-trace", "clip": 0.5}
    config = dataclasses.replace(PPO, epochs=2, **changes)
    params, gradient, _ = second_step(subject, **changes)
    present = forward(subject.policy, params, subject.film)
    for head, (logits, _) in present.items():
        ratio = probabilities(subject.film, head, logits)[1] / acting(subject.film, head)
        assert ratio.min() < 0.8
    towards = aims(subject.film, config, subject.policy, params)
    assert_is_the_slope(gradient, subject.policy, params, subject.film, config, towards)


@pytest.mark.parametrize("algorithm", ["a2c", "ppo"])
def test_the_first_step_with_v_trace_normalises_its_own_advantages(bench, algorithm):
    """With lambda below 1 they are not the generalised ones, nor is their spread."""
    subject = bench(False)
    changes = {"returns": "v-trace", "algorithm": algorithm, "epochs": 1, "minibatches": 1}
    config = dataclasses.replace(PLAIN, **changes)
    towards = aims(subject.film, config)
    generalised = aims(subject.film, PLAIN)
    assert np.abs(towards["action"][0] - generalised["action"][0]).max() > 0.1
    assert_is_the_slope(subject.gradient(**changes), subject.policy, subject.params, subject.film, config, towards)


ON_THE_POLICY = {"returns": "v-trace", "lambda_": 1.0}


@pytest.mark.parametrize("changes", [{}, ON_THE_POLICY], ids=["lambda", "v-trace"])
def test_chunks_add_up_to_the_whole(bench, changes):
    """Also where advantages are computed while fitting: normalisation is over the batch, not over a chunk."""
    subject = bench(False)
    assert_trees_close(subject.gradient(chunk=1, **changes), subject.gradient(**changes))


def test_v_trace_on_the_policy_is_n_step_over_the_whole_rollout(bench):
    subject = bench(False)
    assert_trees_close(subject.gradient(**ON_THE_POLICY), subject.gradient(returns="n-step", n=0), 2e-5)


def test_an_agent_of_great_rewards_does_not_disturb_the_others(clockwork, make_policy, verbs, camera, at_random):
    """Gradients are clipped per agent: 1000 times the reward of agent 0 leaves the update of agent 1 as it was."""
    game = clockwork()
    config = dataclasses.replace(PLAIN, normalise=False, optimiser=Optimiser(clip=0.01))
    later = Schedule(((T * B - 1, 1.0), (T * B, 1000.0)))  # the same program for both: only the clock differs
    rewards = Rewards((("own", Extrinsic(), (later, constant(1.0))),))
    subject = Bench(game, make_policy(game, core="none"), config, verbs, camera, at_random, rewards)
    x, x_report = verbs.update(subject.experiment, subject.before)
    y, y_report = verbs.update(subject.experiment, subject.before._replace(updates=jnp.ones((), jnp.int32)))
    for a, b in zip(jax.tree.leaves(x.params.policy), jax.tree.leaves(y.params.policy), strict=True):
        np.testing.assert_array_equal(a[1], b[1])
    for moments in (x, y):
        assert float(group_norms(moments.optimisers["policy"].mu).max()) <= 0.1 * 0.01 * (1 + 1e-5)
    norms = np.asarray(x_report.metrics["gradient/policy"]), np.asarray(y_report.metrics["gradient/policy"])
    assert norms[1][0] > 10 * norms[0][0]
    assert norms[1][1] == norms[0][1]
    assert (norms[0] > 0.01).all()  # the clip was at work


def test_normalised_by_hand():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4, 3)) * [1, 10, 0] + [5, 0, 2]
    got = normalised(jnp.asarray(x, jnp.float32), 0.5)
    for i in range(3):
        expected = (x[..., i] - x[..., i].mean()) / (x[..., i].std() + 0.5)
        np.testing.assert_allclose(got[..., i], expected, atol=1e-5)
    np.testing.assert_array_equal(normalised(jnp.ones((3, 2, 1)), 0.0), 0.0)


def test_the_optimiser_is_adam_with_a_clip_for_each_set(quick):
    rng = np.random.default_rng(0)
    f = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    params = {"w": f(3, 2, 4), "b": f(3, 4)}
    optimiser = Optimiser(learning_rate=constant(0.02), clip=1.5, epsilon=1e-4)
    reference = optax.chain(optax.clip_by_global_norm(1.5), optax.adam(0.02, eps=1e-4))
    one = lambda tree, g: jax.tree.map(lambda x: x[g], tree)  # noqa: E731
    expected, states = [one(params, g) for g in range(3)], [reference.init(one(params, g)) for g in range(3)]
    step, follow = quick(optimiser.__call__), quick(reference.update)
    state, sizes = optimiser.init(params), jnp.asarray([0.1, 1.0, 100.0])
    for k in range(4):
        gradient = {"w": f(3, 2, 4) * sizes[:, None, None], "b": f(3, 4) * sizes[:, None]}
        params, state, norms = step(gradient, state, params, jnp.float32(k))
        for g in range(3):
            norm = np.sqrt(sum(np.sum(np.asarray(x[g], float) ** 2) for x in gradient.values()))
            assert float(norms[g]) == pytest.approx(norm, rel=1e-5)
            updates, states[g] = follow(one(gradient, g), states[g])
            expected[g] = optax.apply_updates(expected[g], updates)
    for g in range(3):
        assert_trees_close(one(params, g), expected[g], 1e-6)


def test_the_learning_rate_follows_its_schedule(quick):
    optimiser = Optimiser(learning_rate=Schedule(((0, 0.1), (100, 0.0))))
    descend = quick(optimiser.__call__)
    params, gradient = {"w": jnp.ones((1, 2))}, {"w": jnp.ones((1, 2))}
    for step, rate in ((0, 0.1), (50, 0.05), (100, 0.0), (1000, 0.0)):
        after, _, _ = descend(gradient, optimiser.init(params), params, jnp.float32(step))
        np.testing.assert_allclose(params["w"] - after["w"], rate, rtol=1e-3, atol=1e-7)
    still, _, norms = descend({"w": jnp.zeros((1, 2))}, optimiser.init(params), params, jnp.float32(0))
    np.testing.assert_array_equal(still["w"], params["w"])
    assert float(norms[0]) == 0.0
