"""The noise of the policy gradient: enumerated games against loops and closed forms, samples against enumeration."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import (
    Experiment,
    Extrinsic,
    LearnerConfig,
    Optimiser,
    Rewards,
    _team_game,
    advantages,
    begin,
    constant,
    rollout,
)
from suasion.agents._baselines import alternative_returns, central_value, explained, fit_values, own_values
from suasion.agents._gradient_noise import BATCHES, BLOCK, Blocks, alignment, blocks_of, noise
from suasion.agents._policy_gradient import episode_gradients, returns_to_go
from suasion.agents._team_game import (
    BASELINES,
    TeamGame,
    baseline,
    exact_noise,
    sample_gradients,
    sum_of_parts,
    threshold,
    unanimity,
)
from suasion.games import Harvest, MatrixGame
from suasion.networks import Policy, PolicyConfig

# Statistical tests allow 4.5 standard errors: a false alarm in 150,000 comparisons (two-sided, normal).
ERRORS = 4.5


def random_game(seed, agents=3, signals=2, actions=3):
    rng = np.random.default_rng(seed)
    return TeamGame(
        signal=rng.dirichlet(np.ones(signals)),
        logits=rng.normal(size=(agents, signals, actions)),
        reward=rng.normal(size=(signals * actions,) * agents) + 0.5,
    )


def cells(game):
    """Every joint (x, a) with its probability and reward, by loops."""
    agents, signals, actions = game.logits.shape
    policy = game.policy
    for joint in itertools.product(itertools.product(range(signals), range(actions)), repeat=agents):
        p = math.prod(game.signal[x] * policy[j, x, a] for j, (x, a) in enumerate(joint))
        yield joint, p, game.reward[tuple(x * actions + a for x, a in joint)]


def expected(game, given):
    """E[R | what `given` reads off a joint cell], as a function of the cell."""
    mass, paid = {}, {}
    for joint, p, r in cells(game):
        seen = given(joint)
        mass[seen] = mass.get(seen, 0.0) + p
        paid[seen] = paid.get(seen, 0.0) + p * r
    return lambda joint: paid[given(joint)] / mass[given(joint)]


def naive(game, kind, i):
    """Mean and trace by the definition of every baseline as a conditional expectation."""
    signals, actions = game.logits.shape[1:]
    policy = game.policy
    given = {
        "none": lambda joint: None,
        "own value": lambda joint: joint[i][0],
        "central value": lambda joint: tuple(x for x, _ in joint),
        "counterfactual": lambda joint: tuple(cell if j != i else cell[0] for j, cell in enumerate(joint)),
    }[kind]
    b = expected(game, given) if kind != "none" else lambda joint: 0.0
    mean, power = np.zeros((signals, actions)), 0.0
    for joint, p, r in cells(game):
        x, a = joint[i]
        score = np.zeros((signals, actions))
        score[x] = -policy[i, x]
        score[x, a] += 1
        g = score * (r - b(joint))
        mean += p * g
        power += p * np.square(g).sum()
    return mean, power - np.square(mean).sum()


# Enumeration


@pytest.mark.parametrize("kind", BASELINES)
def test_enumeration_is_the_definition(kind):
    game = random_game(1)
    for i in range(3):
        found = exact_noise(game, kind, i)
        mean, trace = naive(game, kind, i)
        np.testing.assert_allclose(found.mean, mean, atol=1e-13)
        assert found.trace == pytest.approx(trace, rel=1e-12)
        assert found.ratio == pytest.approx(np.square(mean).sum() / trace, rel=1e-10)


def test_no_baseline_moves_the_expected_gradient():
    game = random_game(2, agents=4)

    def worth(logits):
        moved = TeamGame(signal=game.signal, logits=logits, reward=game.reward)
        return float((functools.reduce(np.multiply.outer, moved.cells) * game.reward).sum())

    step = 1e-5
    for i in (0, 2):
        slope = np.zeros(game.logits.shape[1:])
        for x, a in np.ndindex(slope.shape):
            up, down = game.logits.copy(), game.logits.copy()
            up[i, x, a] += step
            down[i, x, a] -= step
            slope[x, a] = (worth(up) - worth(down)) / (2 * step)
        for kind in BASELINES:
            np.testing.assert_allclose(exact_noise(game, kind, i).mean, slope, atol=1e-9)


@pytest.mark.parametrize("agents", [2, 3, 5, 7])
def test_growth_of_a_sum_in_closed_form(agents):
    """docs/variance.md: R = Y_1 + ... + Y_n, equal agents; m and v are mean and variance of one part."""
    rng = np.random.default_rng(3)
    parts, logits = rng.normal(size=(2, 3)) + 1, rng.normal(size=(2, 3))
    game = sum_of_parts(parts, np.repeat(logits[None], agents, 0))
    policy = game.policy[0]
    p = policy / 2
    score = 1 - 2 * policy + np.square(policy).sum(1, keepdims=True)  # |s|^2
    fisher = (p * score).sum()
    m, inner = (p * parts).sum(), (policy * parts).sum(1, keepdims=True)  # E Y, E[Y | x]
    v = (p * np.square(parts - m)).sum()
    noise_of_actions = (p * np.square(parts - inner)).sum()  # E Var(Y | X)
    signal = np.square(exact_noise(game, "none", 0).mean).sum()
    others = agents - 1
    own = (p * score * np.square(parts - inner)).sum()
    wanted = {
        "none": (p * score * np.square(parts + others * m)).sum() + fisher * others * v,
        "own value": own + fisher * others * v,
        "central value": own + fisher * others * noise_of_actions,
        "counterfactual": own,
    }
    for kind, power in wanted.items():
        assert exact_noise(game, kind, 0).trace == pytest.approx(power - signal, rel=1e-11), kind
    # The signal does not know how many there are.
    alone = exact_noise(sum_of_parts(parts, logits[None]), "none", 0)
    np.testing.assert_allclose(exact_noise(game, "none", 0).mean, alone.mean, atol=1e-13)


def test_the_growth_is_quadratic_linear_or_none():
    parts = np.array([[1.0, 0.0], [1.0, 2.0]])
    traces = {
        kind: np.array([exact_noise(sum_of_parts(parts, np.zeros((n, 2, 2))), kind, 0).trace for n in range(2, 9)])
        for kind in BASELINES
    }
    second = {kind: np.diff(trace, 2) for kind, trace in traces.items()}
    np.testing.assert_allclose(second["none"], 1.0)  # 2 F m^2 with F = 1/2, m = 1
    for kind in BASELINES[1:]:
        np.testing.assert_allclose(second[kind], 0.0, atol=1e-12)
    np.testing.assert_allclose(np.diff(traces["own value"]), 0.25)  # F v
    np.testing.assert_allclose(np.diff(traces["central value"]), 0.125)  # F E Var(Y | X)
    np.testing.assert_allclose(np.diff(traces["counterfactual"]), 0.0, atol=1e-12)


@pytest.mark.parametrize("agents", [2, 4, 9])
def test_unanimity_is_the_proposition_of_lowe(agents):
    """One signal, two equally likely actions: a gradient points uphill with probability 2^-n, and is 0 otherwise."""
    p = 0.5**agents
    game = unanimity(np.zeros((agents, 1, 2)))
    found = exact_noise(game, "none", 0)
    np.testing.assert_allclose(found.mean, [[agents * p / 2, -agents * p / 2]])
    assert found.ratio == pytest.approx(p / (1 - p))
    assert exact_noise(game, "counterfactual", 0).ratio == pytest.approx(2 * p / (1 - 2 * p))  # one agent less


@pytest.mark.parametrize(("agents", "least"), [(3, 2), (4, 3), (10, 6)])
def test_a_counterfactual_counts_only_where_one_decides(agents, least):
    q = math.comb(agents - 1, least - 1) / 2 ** (agents - 1)
    found = exact_noise(threshold(np.zeros((agents, 2, 2)), least), "counterfactual", 0)
    assert found.ratio == pytest.approx(q / (2 - q))


def test_baselines_of_an_unknown_kind_and_games_that_do_not_fit(monkeypatch):
    game = random_game(4)
    with pytest.raises(ValueError, match="'critics', must be one of none, own value"):
        baseline(game, "critics", 0)
    with pytest.raises(ValueError, match=r"reward has shape \(6, 6\)"):
        TeamGame(signal=game.signal, logits=game.logits, reward=np.zeros((6, 6)))
    with pytest.raises(ValueError, match="sum to 1"):
        TeamGame(signal=np.array([0.5, 0.4]), logits=game.logits, reward=game.reward)
    with pytest.raises(ValueError, match="not finite"):
        TeamGame(signal=game.signal, logits=game.logits, reward=np.where(game.reward > 0, np.inf, 0.0))
    monkeypatch.setattr(_team_game, "MOST_CELLS", 215)
    with pytest.raises(ValueError, match="216 joint cells; at most 215"):
        exact_noise(game, "none", 0)


# Samples


@pytest.mark.parametrize("kind", BASELINES)
def test_samples_agree_with_enumeration(kind):
    game, episodes = random_game(5), 30_000
    gradients = sample_gradients(game, kind, episodes, np.random.default_rng(6))
    for i in range(3):
        exact = exact_noise(game, kind, i)
        deviation = (gradients[:, i].mean(0) - exact.mean.reshape(-1)) / gradients[:, i].std(0) * np.sqrt(episodes)
        assert np.abs(deviation).max() < ERRORS
        power = np.square(gradients[:, i]).sum(1)
        off = power.mean() - exact.trace - np.square(exact.mean).sum()
        assert abs(off) < ERRORS * power.std() / np.sqrt(episodes)


def test_the_estimates_have_no_bias_and_the_intervals_cover():
    """400 studies of 32 blocks. 95 % intervals of Student's kind cover 92 to 97.5 % here; bounds of 4.5 errors more."""
    rng = np.random.default_rng(7)
    studies, d, trace, signal = 400, 6, 6.0, 0.3
    mean = np.sqrt(signal / d)
    found = [noise([blocks_of(rng.normal(mean, 1, (512, d)))], resamples=300) for _ in range(studies)]
    for name, truth in (("trace", trace), ("signal", signal), ("ratio", signal / trace)):
        values = np.array([getattr(one, name).value for one in found])
        if name != "ratio":  # a quotient has a bias of the order of its variance
            assert abs(values.mean() - truth) < ERRORS * values.std() / np.sqrt(studies)
        covered = np.mean([getattr(one, name).low <= truth <= getattr(one, name).high for one in found])
        assert 0.87 < covered < 0.99, name


def test_without_a_signal_it_is_not_invented():
    """The mean's squared length would be tr Cov / M = 12 errors off."""
    rng = np.random.default_rng(8)
    found = [noise([blocks_of(rng.normal(size=(128, 20)))], resamples=200) for _ in range(200)]
    values = np.array([one.signal.value for one in found])
    assert abs(values.mean()) < ERRORS * values.std() / np.sqrt(200)
    assert 2 * ERRORS * values.std() / np.sqrt(200) < 20 / 128
    assert np.mean([one.ratio.low <= 0 <= one.ratio.high for one in found]) > 0.95  # wide, as the docstring says


def test_batches_by_their_definition():
    rng = np.random.default_rng(9)
    gradients = rng.normal(0.3, 1, (96, 5))
    found = blocks_of(gradients)
    for batch in BATCHES:
        means = gradients.reshape(-1, batch, 5).mean(1)
        power = np.square(means).sum(1).mean()
        between = [a @ b for a, b in itertools.permutations(gradients.reshape(-1, BLOCK, 5).mean(1), 2)]
        one = noise([found], batch, resamples=50)
        assert one.signal.value == pytest.approx(np.mean(between))
        assert one.trace.value == pytest.approx(power - np.mean(between))
    # Two halves of the parameters, two groups.
    both = blocks_of(gradients[:, :2]) + blocks_of(gradients[:, 2:])
    np.testing.assert_allclose(both.gram, found.gram, atol=1e-14)
    assert noise([both]).trace.value == pytest.approx(noise([found]).trace.value)
    other = blocks_of(rng.normal(size=(64, 5)))
    apart, together = (noise([one]).trace.value for one in (found, other)), noise([found, other])
    assert together.trace.value == pytest.approx(np.mean(list(apart)))
    assert noise([found], seed=1) == noise([found], seed=1)


def test_rare_successes_that_never_came_and_estimates_without_noise():
    nothing = noise([blocks_of(np.zeros((64, 2)))]).ratio
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    certain = noise([blocks_of(np.ones((64, 2)))])
    assert certain.trace.value == 0
    assert certain.signal.value == 2
    assert certain.ratio.value == np.inf


def test_alignment():
    rng = np.random.default_rng(10)
    right, up = np.eye(3)[:2]

    def cosine(g, h):
        means, others = (x.reshape(-1, BLOCK, 3).mean(1) for x in (g, h))
        return alignment([blocks_of(g)], [blocks_of(h)], [means @ others.T], resamples=300)

    def cosines(mean, same):
        for _ in range(100):
            shared = rng.normal(size=(512, 3))
            yield cosine(shared + right[None], (shared if same else rng.normal(size=(512, 3))) + mean[None])

    g = rng.normal(size=(512, 3)) + right[None]
    assert cosine(g, -2 * g).value == pytest.approx(-1)
    assert cosine(g, rng.normal(size=(512, 3))) is None
    # The same noise in both, and means at right angles: what they share must not count.
    for mean, same, truth in ((up, True, 0.0), (up + right, False, np.sqrt(0.5))):
        found = list(cosines(mean, same))
        values = np.array([one.value for one in found])
        assert abs(values.mean() - truth) < ERRORS * values.std() / 10 + 0.002  # a quotient's bias
        assert np.mean([one.low <= truth <= one.high for one in found]) > 0.84  # 95 % less 4.5 errors


def test_what_makes_no_estimate_is_refused():
    blocks = blocks_of(np.ones((48, 2)))
    with pytest.raises(ValueError, match="50 estimates do not divide into blocks of 16"):
        blocks_of(np.ones((50, 2)))
    with pytest.raises(ValueError, match=r"gradients\[3\] is not finite"):
        blocks_of(np.where(np.arange(16)[:, None] == 3, np.nan, np.ones((16, 2))))
    with pytest.raises(ValueError, match="group 0 has 3 blocks"):
        noise([blocks])
    with pytest.raises(ValueError, match="batch is 2"):
        noise([blocks_of(np.ones((64, 2)))], 2)
    for verb in (lambda: noise([]), lambda: alignment([], [], [])):
        with pytest.raises(ValueError, match="0 groups"):
            verb()


# The house's agents


def test_the_mean_over_episodes_is_what_the_learner_descends(clockwork, make_policy, verbs, camera, at_random):
    """The learner's gradient is read off Adam's first moment."""
    game = clockwork(horizon=6, immortal=True)
    policy = make_policy(game)
    config = LearnerConfig(
        algorithm="a2c",
        environments=4,
        steps=6,
        value_weight=0.0,
        entropy_weight=constant(0.0),
        normalise=False,
        staggered=False,
        optimiser=Optimiser(clip=float("inf")),
    )
    experiment = Experiment(
        game=game,
        policy=policy,
        config=config,
        rewards=Rewards((("own", Extrinsic(), constant(1.0)),)),
        auxiliary=(("camera", camera),),
    )
    before = verbs.init(experiment, jax.random.key(1))
    params = at_random(before.params.policy, 2, 0.7)
    after, _ = verbs.update(experiment, before._replace(params=before.params._replace(policy=params)))
    film = jax.tree.map(jnp.asarray, verbs.developed(after.auxiliary_memory["camera"]))
    advantage = advantages(config, film, {"action": film.rewards})["action"].advantage
    found = jax.jit(lambda: episode_gradients(policy, params, film, advantage[None], jnp.arange(4)))()
    wanted = jnp.concatenate([10 * x.reshape(len(x), -1) for x in jax.tree.leaves(after.optimisers["policy"].mu)], -1)
    assert found.shape == (1, 4, *wanted.shape)
    np.testing.assert_allclose(found[0].mean(0), wanted, rtol=2e-4, atol=1e-5)
    assert np.abs(wanted).max() > 0.1


@pytest.fixture(scope="module")
def meeting(quick):
    """One round of three agents with networks, every joint action once, and its probability."""
    rng = np.random.default_rng(11)
    payoffs = rng.normal(size=(2, 2, 2)).round(2)
    table = np.repeat(payoffs[..., None], 3, -1)
    game = MatrixGame(payoffs=table.tolist(), horizon=1)
    policy = Policy(spec=game.spec, config=PolicyConfig(encoder="classes", hidden=(4,), width=3, core="gru"))

    def play(key):
        params = jax.tree.map(lambda x: x + 0.3, policy.init(key))
        actors = begin(game, policy, params, key, 8, staggered=False)
        return params, rollout(game, policy, params, actors, key, 1, states=True)[1]

    params, played = quick(play)(jax.random.key(12))
    joint = np.array(list(itertools.product(range(2), repeat=3)), np.int32)
    paid = payoffs[tuple(joint.T)].astype(np.float32)
    trajectory = played._replace(
        symbols={"action": jnp.asarray(joint[None])},
        rewards=jnp.broadcast_to(paid[None, :, None], (1, 8, 3)),
    )
    policies = np.asarray(jax.nn.softmax(trajectory.logits["action"]))[0, 0]
    mass = np.prod([policies[j, joint[:, j]] for j in range(3)], axis=0)
    return game, policy, params, trajectory, policies, mass, payoffs, joint


def test_baselines_leave_the_gradient_of_networks_as_it_is(meeting, quick):
    """Weighted with the probabilities of the joint actions, all estimators have the gradient of E R for a mean."""
    game, policy, params, trajectory, policies, mass, payoffs, joint = meeting
    nothing = fit_values(np.zeros((1, 8, 3, 1, 3), np.uint8), np.zeros((1, 8)), game.spec.classes)[1]
    q = quick(lambda: alternative_returns(game, nothing, trajectory, discount=0.5))()[0]
    for e, actions in enumerate(joint):
        for i, a in itertools.product(range(3), range(2)):
            tried = tuple(a if j == i else actions[j] for j in range(3))
            assert q[e, i, a] == pytest.approx(3 * payoffs[tried], rel=1e-6)  # the team's: three times the same
    value = mass @ payoffs[tuple(joint.T)]
    counterfactual = (policies[None] * np.asarray(q)).sum(-1) / 3
    paid = np.asarray(trajectory.rewards)[0]
    advantage = np.stack([paid, paid - value, paid - counterfactual])[:, None]
    gradients = quick(lambda: episode_gradients(policy, params, trajectory, jnp.asarray(advantage), jnp.arange(8)))()
    gradients = np.asarray(gradients, np.float64)
    means = np.einsum("b,ebgd->egd", mass, gradients)

    def worth(params):
        _, outputs = policy.unroll(params, trajectory.memory, trajectory.observation, trajectory.start)
        p = jax.nn.softmax(outputs["action"].logits)[0, 0]
        return -jnp.einsum("i,j,k,ijk->", p[0], p[1], p[2], jnp.asarray(payoffs, jnp.float32))

    slope = quick(jax.grad(worth))(params)
    wanted = np.concatenate([np.asarray(x).reshape(3, -1) for x in jax.tree.leaves(slope)], -1)
    for mean in means:
        np.testing.assert_allclose(mean, wanted, atol=2e-6)
    assert np.abs(wanted).max() > 0.01
    # Here, too, what is sampled is what is enumerated: exact traces, and 40,000 episodes.
    drawn = np.random.default_rng(13).choice(8, 40_000, p=mass / mass.sum())
    for e in range(3):
        flat = gradients[e].reshape(8, -1)
        exact = mass @ np.square(flat).sum(1) - np.square(mass @ flat).sum()
        found = noise([blocks_of(flat[drawn])], resamples=200)
        error = (found.trace.high - found.trace.low) / 3.92
        assert abs(found.trace.value - exact) < ERRORS * error


def test_messages_have_no_gradient_here(meeting):
    game, _, params, trajectory, *_ = meeting
    talking = Policy(
        spec=game.spec, config=PolicyConfig(encoder="classes", hidden=(4,), width=3, core="gru", vocabulary=2)
    )
    with pytest.raises(ValueError, match="heads action, message"):
        episode_gradients(talking, params, trajectory, trajectory.rewards[None], jnp.arange(1))


def test_returns_to_go():
    rewards = np.random.default_rng(14).normal(size=(5, 2, 3)).astype(np.float32)
    wanted = [sum(0.9**k * rewards[t + k] for k in range(5 - t)) for t in range(5)]
    np.testing.assert_allclose(returns_to_go(jnp.asarray(rewards), 0.9), wanted, rtol=1e-5, atol=1e-6)


def test_values_that_are_tables_are_found():
    """Without noise the penalty is the only error; the central value adds all views up; agents' numbers are one."""
    rng = np.random.default_rng(15)
    classes = ("floor", "wall", "agent 1", "agent 2")
    codes = rng.integers(0, 4, (3, 400, 2, 2, 2)).astype(np.uint8)
    table = rng.normal(size=(4, 3)) * 5
    each = table[np.arange(4), np.array([0, 1, 2, 2])[codes.reshape(3, 400, 2, 4)]].sum(-1)
    clock = jnp.broadcast_to(jnp.arange(3)[:, None], (3, 400))
    own, central = fit_values(codes, each.sum(-1) + np.array([7.0, 1.0, -2.0])[:, None], classes)
    found = central_value(central, jnp.asarray(codes), clock)
    np.testing.assert_allclose(found, each.sum(-1) + np.array([7.0, 1.0, -2.0])[:, None], atol=0.2)
    np.testing.assert_array_equal(central.weight[..., 2], central.weight[..., 3])
    assert central_value(central, jnp.asarray(codes[0]), jnp.full(400, 3)).tolist() == [0.0] * 400  # after the end
    single, _ = fit_values(codes, each[..., 1], classes)
    values = own_values(single, jnp.asarray(codes), clock)
    np.testing.assert_allclose(values[..., 1], each[..., 1], atol=0.2)
    assert explained(np.repeat(each[..., 1:], 2, -1), np.asarray(values)) == pytest.approx(0.5, abs=0.05)
    assert own.weight.shape == (2, 4, 4)
    with pytest.raises(ValueError, match="3 episodes to fit"):
        fit_values(codes[:, :3], each[:, :3, 0], classes)


def test_alternatives_are_the_steps_played_again(quick):
    game = Harvest(agents=2, view=3, horizon=4)
    policy = Policy(spec=game.spec, config=PolicyConfig(encoder="classes", hidden=(2,), width=2, core="none"))
    rng = np.random.default_rng(16)
    codes = rng.integers(0, len(game.spec.classes), (4, 40, 2, 3, 3)).astype(np.uint8)
    _, critic = fit_values(codes, rng.normal(size=(4, 40)), game.spec.classes)

    def play(key):
        params = policy.init(key)
        actors = begin(game, policy, params, key, 3, staggered=False)
        return rollout(game, policy, params, actors, key, 4, states=True)[1]

    trajectory = quick(play)(jax.random.key(17))
    found = np.asarray(quick(lambda: alternative_returns(game, critic, trajectory, discount=0.7))())
    step = quick(lambda key, state, actions: game.step(key, state, actions))
    look = quick(lambda state, clock: central_value(critic, game.observe(state).codes, clock))
    for t, b, i, a in [(0, 0, 0, 7), (1, 2, 1, 0), (2, 1, 0, 5), (3, 0, 1, 2)]:
        state = jax.tree.map(lambda x: x[t, b], trajectory.states)  # noqa: B023
        actions = trajectory.symbols["action"][t, b].at[i].set(a)
        after, result = step(trajectory.key[t, b], state, actions)
        follows = 0.0 if t == 3 else float(look(after, jnp.asarray(t + 1)))
        assert found[t, b, i, a] == pytest.approx(float(result.reward.sum()) + 0.7 * follows, abs=1e-4)
    taken = np.take_along_axis(found, np.asarray(trajectory.symbols["action"])[..., None], -1)[..., 0]
    np.testing.assert_allclose(taken[..., 0], taken[..., 1], atol=1e-5)  # what happened is no alternative
    with pytest.raises(ValueError, match="needs the game's states"):
        alternative_returns(game, critic, trajectory._replace(states=None), discount=0.7)


def test_blocks_count():
    assert len(Blocks(squares={}, gram=np.zeros((3, 3)))) == 3
