"""Policies: shared and independent, acting and learning, alternatives, masks, and what they refuse."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.networks import Output, Policy, PolicyConfig, clear, log_probability

T, B, N = 5, 2, 3
EVERYTHING = {"last_actions": True, "vocabulary": 3}
STAGES = ((2,), (0, 1))
CASES = {
    "lstm": {"core": "lstm", "stages": STAGES, **EVERYTHING},
    "gru": {"core": "gru", "encoder": "classes", "stages": STAGES, **EVERYTHING},
    "none": {"core": "none"},
    "diagonal": {"core": "diagonal", "encoder": "classes", "stages": STAGES, **EVERYTHING},
    "mamba": {"core": "mamba", "encoder": "classes", "stages": STAGES, **EVERYTHING},
    "s4d shared": {"core": "s4d", "encoder": "classes", "shared": True, "stages": STAGES, **EVERYTHING},
    "lstm shared": {"core": "lstm", "shared": True, "encoder": "classes"},
    "gru shared": {"core": "gru", "shared": True, "stages": STAGES, **EVERYTHING},
}


class Subject:
    """A policy with random parameters and its verbs, compiled once."""

    def __init__(self, policy, quick, at_random, observe_at_random):
        self.policy = policy
        self.fresh, shapes = quick(lambda key: (policy.init(key), policy.initial(policy.init(key), B)))(
            jax.random.key(0)
        )
        self.params = at_random(self.fresh, 1)
        self.memory = at_random(shapes, 2)
        self.observation = observe_at_random(policy, 3, T, B)
        self.start = jnp.asarray(np.random.default_rng(4).random((T, B)) < 0.4).at[0].set(jnp.array([False, True]))
        self.step = quick(policy.step)
        self.unroll = quick(policy.unroll)

    def at(self, t):
        return jax.tree.map(lambda x: x[t], self.observation)


@pytest.fixture(scope="module")
def subjects(make_policy, quick, at_random, observe_at_random):
    """The subject of a case, made once."""

    @functools.cache
    def make(case):
        return Subject(make_policy(**CASES[case]), quick, at_random, observe_at_random)

    return make


@pytest.fixture(params=CASES)
def subject(request, subjects):
    return subjects(request.param)


@pytest.fixture
def rich(subjects):
    """Independent agents that read everything."""
    return subjects("gru")


def assert_trees_close(x, y, tolerance=1e-6):
    assert jax.tree.structure(x) == jax.tree.structure(y)
    for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=tolerance)


def test_shapes(subject):
    policy = subject.policy
    assert {x.shape[0] for x in jax.tree.leaves(subject.params)} == {policy.groups}
    assert policy.groups == (1 if policy.config.shared else N)
    assert all(leaf.shape[:2] == (B, N) for leaf in jax.tree.leaves(subject.memory))
    _, outputs = subject.unroll(subject.params, subject.memory, subject.observation, subject.start)
    assert {name: out.logits.shape for name, out in outputs.items()} == {
        name: (T, B, N, size) for name, size in policy.heads.items()
    }
    assert all(out.value.shape == (T, B, N) for out in outputs.values())
    assert policy.heads == {"action": 4} | ({"message": 3} if policy.config.vocabulary else {})


def test_unroll_is_step_repeated(subject):
    memory, each = subject.memory, []
    for t in range(T):
        memory, outputs = subject.step(subject.params, memory, subject.at(t), subject.start[t])
        each.append(outputs)
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *each)
    got = subject.unroll(subject.params, subject.memory, subject.observation, subject.start)
    assert_trees_close(got, (memory, stacked), 2e-6)


def test_a_start_forgets(subject):
    """Where an episode starts the memory before it makes no difference; elsewhere it does."""
    other = jax.tree.map(lambda m: m + 1.0, subject.memory)
    _, x = subject.step(subject.params, subject.memory, subject.at(0), subject.start[0])
    _, y = subject.step(subject.params, other, subject.at(0), subject.start[0])
    same = np.asarray(x["action"].value == y["action"].value)
    assert same[1].all()
    assert same[0].all() == (subject.policy.config.core == "none")


def test_fresh_policies_act_almost_uniformly_speak_and_value_nothing(subject):
    """Messages that say nothing at first would never be listened to."""
    _, outputs = subject.step(subject.fresh, subject.memory, subject.at(0), subject.start[0])
    for name, output in outputs.items():
        np.testing.assert_array_equal(output.value, 0.0)
        probabilities = np.asarray(jax.nn.softmax(output.logits))
        allowed = np.asarray(subject.observation.available[0]) if name == "action" else np.ones(probabilities.shape)
        uniform = np.broadcast_to(1 / allowed.sum(-1, keepdims=True), allowed.shape)
        if name == "action":
            np.testing.assert_allclose(probabilities[allowed > 0], uniform[allowed > 0], rtol=0.1)
        else:
            assert np.abs(probabilities / uniform - 1).max() > 0.1


def test_unavailable_actions_have_probability_zero(subject):
    _, outputs = subject.unroll(subject.params, subject.memory, subject.observation, subject.start)
    probabilities = np.asarray(jax.nn.softmax(outputs["action"].logits))
    available = np.asarray(subject.observation.available)
    assert (~available).any()
    np.testing.assert_array_equal(probabilities[~available], 0.0)
    assert (probabilities[available] > 0).all()
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("case", ["gru", "mamba", "lstm shared"])
def test_agents_do_not_share_gradients_unless_they_share_parameters(case, subjects, quick):
    """With masks in force the gradient of agent i's outputs is finite, and exactly 0 for the parameters of others."""
    s = subjects(case)

    def scalar(params, weight):
        _, outputs = s.policy.step(params, s.memory, s.at(0), s.start[0])
        logs = {name: jax.nn.log_softmax(out.logits) for name, out in outputs.items()}
        logs["action"] = jnp.where(s.observation.available[0], logs["action"], 0.0)
        terms = sum(jnp.sum(x, -1) for x in logs.values()) + sum(out.value for out in outputs.values())
        return jnp.sum(terms * weight[None, :])

    gradient = quick(jax.grad(scalar))
    for i in range(N):
        for leaf in jax.tree.leaves(gradient(s.params, jnp.eye(N)[i])):
            assert bool(jnp.isfinite(leaf).all())
            norms = np.asarray(jnp.sum(jnp.abs(leaf), tuple(range(1, leaf.ndim))))
            if s.policy.config.shared:
                assert norms.shape == (1,)
            else:
                np.testing.assert_array_equal(np.delete(norms, i), 0.0)
                assert norms[i] > 0


@pytest.mark.parametrize("case", ["lstm shared", "gru shared"])
def test_shared_parameters_are_independent_ones_that_agree(case, subjects, quick):
    s = subjects(case)
    apart = dataclasses.replace(s.policy, config=dataclasses.replace(s.policy.config, shared=False))
    copies = jax.tree.map(lambda x: jnp.repeat(x, N, 0), s.params)
    arguments = (s.memory, s.observation, s.start)
    assert_trees_close(s.unroll(s.params, *arguments), quick(apart.unroll)(copies, *arguments), 2e-6)


def test_shared_parameters_do_not_know_who_they_are(subjects):
    """Agents that change places in what they see change places in what they say."""
    s = subjects("gru shared")
    order = np.array([2, 0, 1])
    swapped = jax.tree.map(lambda x: x[:, order], s.at(0)), jax.tree.map(lambda x: x[:, order], s.memory)
    _, x = s.step(s.params, s.memory, s.at(0), s.start[0])
    _, y = s.step(s.params, swapped[1], swapped[0], s.start[0])
    assert_trees_close(jax.tree.map(lambda v: v[:, order], x), y)


def test_agents_see_only_their_own_observation(rich):
    """Changing what agent 1 reads changes nothing for the others."""

    def changed(x):
        return x.at[:, 1].set(jnp.flip(x[:, 1], -1)) if x.dtype != bool else x

    edited = jax.tree.map(changed, rich.at(0))
    _, x = rich.step(rich.params, rich.memory, rich.at(0), rich.start[0])
    _, y = rich.step(rich.params, rich.memory, edited, rich.start[0])
    for head in x:
        same = np.asarray(x[head].value == y[head].value)
        assert same[:, [0, 2]].all()
        assert not same[:, 1].any()


@pytest.mark.parametrize("case", ["lstm", "gru shared", "diagonal", "mamba", "s4d shared"])
def test_alternatives_are_the_naive_pass_with_the_observation_edited(case, subjects, quick):
    s = subjects(case)
    observation, start = s.at(1), s.start[0]
    for (
        name,
        size,
    ) in s.policy.alphabets.items():  # one agent knows nothing, and can imagine all the same
        observation = observation._replace(**{name: getattr(observation, name).at[0, 1].set(size)})
    questions = [("last_actions", 1), ("last_actions", 2), ("current_actions", 0), ("current_actions", 1)]
    questions += [("messages", 0), ("messages", 2)]

    def all_at_once(params, memory, observation):
        features = s.policy.features(params, observation)
        memory = clear(start, memory, lambda batch: jax.tree.map(jnp.zeros_like, memory))
        return [s.policy.alternatives(params, memory, features, observation, field=f, slot=d) for f, d in questions]

    for (field, slot), got in zip(questions, quick(all_at_once)(s.params, s.memory, observation), strict=True):
        symbols, size = getattr(observation, field), s.policy.alphabets[field]
        for symbol in range(size):
            edited = observation._replace(**{field: symbols.at[..., slot].set(symbol)})
            _, naive = s.step(s.params, s.memory, edited, start)
            assert_trees_close({h: x[symbol] for h, x in got.items()}, {h: out.logits for h, out in naive.items()})
        assert float(jnp.max(jnp.std(got["message"], 0))) > 1e-3


def test_memories_are_those_of_step_repeated(subject, quick):
    """Before every step, cleared where an episode starts; and after the last one."""

    def all_at_once(params, memory, observation, start):
        return subject.policy.memories(params, memory, subject.policy.features(params, observation), observation, start)

    last, before = quick(all_at_once)(subject.params, subject.memory, subject.observation, subject.start)
    memory = subject.memory
    for t in range(T):
        cleared = clear(subject.start[t], memory, lambda batch: jax.tree.map(jnp.zeros_like, memory))  # noqa: B023
        assert_trees_close(jax.tree.map(lambda x: x[t], before), cleared, 2e-6)  # noqa: B023
        memory, _ = subject.step(subject.params, memory, subject.at(t), subject.start[t])
    assert_trees_close(last, memory, 2e-6)


@pytest.mark.parametrize("case", ["lstm", "gru shared"])
def test_alternatives_of_a_trajectory_are_those_of_its_steps(case, subjects, quick):
    s = subjects(case)

    def whole(params, memory, observation, start):
        features = s.policy.features(params, observation)
        _, before = s.policy.memories(params, memory, features, observation, start)
        return before, s.policy.alternatives(params, before, features, observation, field="last_actions", slot=1)

    def one(params, before, observation):
        features = s.policy.features(params, observation)
        return s.policy.alternatives(params, before, features, observation, field="last_actions", slot=1)

    before, got = quick(whole)(s.params, s.memory, s.observation, s.start)
    one = quick(one)
    for t in range(T):
        each = one(s.params, jax.tree.map(lambda x: x[t], before), s.at(t))  # noqa: B023
        assert_trees_close({h: x[:, t] for h, x in got.items()}, each, 2e-6)


def test_rows_name_every_discrete_input_once(rich):
    policy = rich.policy
    assert policy.alphabets == {"last_actions": 4, "current_actions": 4, "messages": 3}
    rows = [
        policy.row(field, slot, symbol)
        for field, size in policy.alphabets.items()
        for slot in range(N)
        for symbol in range(size)
    ]
    assert sorted(rows) == list(range(rich.params.core.product.table.shape[1]))


@pytest.mark.parametrize(("field", "slot"), [("last_actions", N), ("last_actions", -1), ("visible", 0)])
def test_an_alternative_that_does_not_exist_is_refused(rich, field, slot):
    """A slot beyond the agents is another input's row: the answer would be about somebody else."""
    with pytest.raises(ValueError, match=r"slot|does not read"):
        rich.policy.row(field, slot, 0)
    features = rich.policy.features(rich.params, rich.at(0))
    with pytest.raises(ValueError, match=r"slot|does not read"):
        rich.policy.alternatives(rich.params, rich.memory, features, rich.at(0), field=field, slot=slot)


@pytest.mark.parametrize("symbol", [-1, 4])
def test_a_symbol_that_does_not_exist_has_no_row(rich, symbol):
    with pytest.raises(ValueError, match="symbol"):
        rich.policy.row("last_actions", 0, symbol)


def test_an_observation_without_what_the_policy_reads_is_refused(rich):
    for field in ("current_actions", "messages"):
        with pytest.raises(ValueError, match=field):
            rich.policy.step(rich.params, rich.memory, rich.at(0)._replace(**{field: None}), rich.start[0])


def test_log_probability_by_hand():
    rng = np.random.default_rng(0)
    logits, symbols = rng.normal(size=(4, 2, 3, 5)) * 3, rng.integers(0, 5, (4, 2, 3))
    output = Output(jnp.asarray(logits, jnp.float32), jnp.zeros((4, 2, 3)))
    got = log_probability({"action": output}, {"action": jnp.asarray(symbols, jnp.int32)})["action"]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for index in np.ndindex(symbols.shape):
        assert float(got[index]) == pytest.approx(np.log(p[index][symbols[index]]), abs=1e-5)


def test_stages_name_every_agent_once(make_policy):
    assert make_policy().stages == ((0, 1, 2),)
    policy = make_policy(stages=((1,), (2, 0)))
    assert policy.stage_of.tolist() == [1, 0, 1]
    assert "current_actions" not in make_policy().alphabets
    for stages in (((0, 1),), ((0, 1, 2, 2),), ((0, 1), (1, 2)), ((0, 1, 2), ()), ((0, 1, 3),), ((0, 1, 2, 3),)):
        with pytest.raises(ValueError, match="exactly once"):
            make_policy(stages=stages)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"filters": 0}, "filters is 0"),
        ({"width": 0}, "width is 0"),
        ({"width": -3}, "width is -3"),
        ({"hidden": ()}, "hidden"),
        ({"hidden": (4, 0)}, "hidden"),
        ({"vocabulary": 1}, "vocabulary is 1"),
        ({"vocabulary": -1}, "vocabulary is -1"),
    ],
)
def test_sizes_that_make_no_network_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PolicyConfig(**wrong)


def test_views_too_small_for_a_convolution_are_refused(make_spec):
    with pytest.raises(ValueError, match="use classes"):
        Policy(spec=make_spec(view=(2, 5)))
    Policy(spec=make_spec(view=(2, 5)), config=PolicyConfig(encoder="classes"))
    Policy(spec=make_spec(view=(3, 3)))


def test_a_single_agent_needs_no_more_than_one_set_of_parameters(
    make_spec, make_policy, quick, at_random, observe_at_random
):
    """Shared or not is the same for one agent, also where the core reads no discrete input."""
    spec = make_spec(agents=1)
    subjects = [
        Subject(make_policy(spec=spec, encoder="classes", shared=shared), quick, at_random, observe_at_random)
        for shared in (False, True)
    ]
    x, y = (s.unroll(s.params, s.memory, s.observation, s.start) for s in subjects)
    assert_trees_close(x, y, 0.0)
