"""Influence as a part of learning: one real update of Box Trapped in every mode, and no gradient through the reward."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion import agents
from suasion.agents import Experiment, LearnerConfig, Optimiser, Paid, Ratio, Rewards, constant
from suasion.influence import InfluenceConfig, ModelConfig

MODES = ("basic", "communication", "model", "simulator")
T, B = 8, 4
SEED = 10  # with which the box is opened
BESIDE = (2, 4)  # the box, seen from the north
LEARNER = LearnerConfig(
    algorithm="a2c",
    environments=B,
    steps=T,
    entropy_weight=constant(0.0),
    staggered=True,
    optimiser=Optimiser(learning_rate=constant(0.01), clip=float("inf")),
)
MODEL = ModelConfig(encoder="classes", hidden=(4,), width=4)


class Film:
    """A reward term that pays what another pays, or what its memory was handed; and keeps what it paid."""

    def __init__(self, term):
        self.term = term

    def initial(self, environments):
        nothing = jnp.zeros((environments, T, 2))
        return {"stream": nothing, "handed": jnp.zeros(environments, bool), "term": self.term.initial(environments)}

    def __call__(self, memory, params, policy, trajectory):
        paid = self.term(memory["term"], params, policy, trajectory)
        handed = jnp.moveaxis(memory["stream"], 0, 1)
        (head, stream), *_ = paid.streams.items()
        stream = jnp.where(memory["handed"][None, :, None], handed, stream)
        memory = memory | {"stream": jnp.moveaxis(stream, 1, 0), "term": paid.memory}
        return Paid(memory, {head: stream}, paid.metrics)


@pytest.fixture(scope="module")
def updated(quick, games, make_policy, at_random):
    """An update: the learner before and after, and what was measured; `run` does it with other memories of terms."""
    found = {}

    def of(mode, shards=1):
        key = (mode, shards)
        if key not in found:
            game, config = games.box(5), InfluenceConfig(mode=mode, model=MODEL)
            term = config.term(game)
            if shards == 1 and mode != "simulator":
                term = Film(term)
            terms = (*Rewards().terms, ("influence", term, constant(2.0)))
            experiment = Experiment(
                game=game,
                policy=make_policy(game, config.stages(game.spec), vocabulary=3 if mode == "communication" else 0),
                config=dataclasses.replace(LEARNER, shards=shards),
                rewards=Rewards(terms),
                auxiliary=config.auxiliary(),
                states=mode == "simulator",
            )
            run, memory = compiled(experiment), experiment.rewards.initial(B)
            before, after, report = run(memory)
            found[key] = types.SimpleNamespace(
                run=run, memory=memory, before=before, after=after, metrics=report.metrics
            )
        return found[key]

    def compiled(experiment):
        """One update of agents with random parameters, the free agent before the box, as a function of the terms'
        memory."""

        def run(params, key, memory):
            learner = agents.init(experiment, key)
            state = learner.actors.state
            position = state.position.at[:, 0].set(jnp.array(BESIDE, jnp.int32)[None])
            actors = learner.actors._replace(state=state._replace(position=position))
            learner = learner._replace(params=params, actors=actors, term_memory=memory)
            learner = agents.placed(experiment, learner)
            return learner, *agents.update(experiment, learner)

        shapes = jax.eval_shape(lambda key: agents.init(experiment, key).params, jax.random.key(0))
        once = quick(run)
        return lambda memory: once(at_random(shapes, 3), jax.random.key(SEED), memory)

    return of


@pytest.mark.parametrize("mode", MODES)
def test_metrics_of_an_update(mode, updated):
    metrics = updated(mode).metrics
    reward = "reward/influence/message" if mode == "communication" else "reward/influence"
    names = {"influence/on_agent_1", "influence/on_agent_2", reward}
    names |= {f"influence/{when}_opened" for when in ("before", "at", "after")}
    if mode == "model":
        names |= {"model/loss", "gradient/model"} | {
            f"model/cross_entropy{which}" for which in ("", "_visible", "_invisible")
        }
    assert names <= set(metrics)
    for leaf in jax.tree.leaves(metrics):
        assert np.isfinite(leaf).all()
    assert np.asarray(metrics[reward])[0] > 1e-4
    for j in range(2):  # with two agents, all influence on one is the other's
        on = np.asarray(metrics[f"influence/on_agent_{j + 1}"])
        np.testing.assert_allclose(on[1 - j], metrics[reward][1 - j], rtol=1e-4, atol=1e-8)
        assert on[j] == 0


@pytest.mark.parametrize("mode", MODES)
def test_landmarks_add_up(mode, updated):
    """The sums before, at and after the opening are all the influence; every step is in one of them."""
    metrics = updated(mode).metrics
    phases = [metrics[f"influence/{when}_opened"] for when in ("before", "at", "after")]
    assert all(isinstance(phase, Ratio) for phase in phases)
    np.testing.assert_array_equal(sum(np.asarray(phase.times) for phase in phases), [T * B, T * B])
    total = sum(np.asarray(phase.total) for phase in phases)
    reward = metrics["reward/influence/message" if mode == "communication" else "reward/influence"]
    np.testing.assert_allclose(total / (T * B), reward, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
def test_the_box_is_opened_in_the_middle(mode, updated):
    """Otherwise there would be no phases to add up."""
    metrics = updated(mode).metrics
    for when in ("before", "at", "after"):
        assert np.asarray(metrics[f"influence/{when}_opened"].times)[0] > 0


def test_influence_is_part_of_the_total_by_its_weight(updated):
    metrics = updated("basic").metrics
    np.testing.assert_allclose(
        metrics["reward/total"], metrics["reward/extrinsic"] + 2 * metrics["reward/influence"], rtol=1e-5, atol=1e-6
    )


def test_the_model_has_learned_and_remembers(updated):
    u = updated("model")
    before, after = (each.params.auxiliary["model"] for each in (u.before, u.after))
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert not np.array_equal(x, y)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(u.after.auxiliary_memory["model"]))


def test_two_shards_know_the_same_names_and_count_every_step(updated):
    metrics = updated("model", shards=2).metrics
    assert jax.tree.structure(metrics) == jax.tree.structure(updated("model").metrics)
    for leaf in jax.tree.leaves(metrics):
        assert np.isfinite(leaf).all()
    phases = [metrics[f"influence/{when}_opened"] for when in ("before", "at", "after")]
    # Averaged over shards: each of two counts its half.
    np.testing.assert_array_equal(sum(np.asarray(phase.times) for phase in phases), [T * B / 2] * 2)
    total = sum(np.asarray(phase.total) for phase in phases)
    np.testing.assert_allclose(total / (T * B / 2), metrics["reward/influence"], rtol=1e-4, atol=1e-7)


def _gradient(learner):
    """From zero moments Adam's first moment is a tenth of the gradient."""
    return {name: jax.tree.map(lambda m: 10 * np.asarray(m), state.mu) for name, state in learner.optimisers.items()}


def _handed(u, stream):
    """The update with a reward for influence that is given as numbers."""
    memory = u.memory["influence"] | {"stream": stream, "handed": jnp.ones(B, bool)}
    return u.run(u.memory | {"influence": memory})[1]


@pytest.mark.parametrize("mode", ["basic", "communication", "model"])
def test_no_gradient_through_the_influence_reward(mode, updated):
    """The policy's and the model's gradients are those of the same rewards handed in as a constant array.

    That the same trajectory has another influence under other parameters, so that a leak would be noticed, is shown
    by the test of those who do not listen.
    """
    u, head = updated(mode), "message" if mode == "communication" else "action"
    paid, stream = _gradient(u.after), u.after.term_memory["influence"]["stream"]
    assert np.abs(stream).max() > 1e-3
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(paid["policy"])) > 1e-3
    again = _handed(u, stream)
    np.testing.assert_array_equal(stream, again.term_memory["influence"]["stream"])
    jax.tree.map(np.testing.assert_array_equal, paid, _gradient(again))
    otherwise = _gradient(_handed(u, jnp.zeros_like(stream)))
    assert not np.allclose(paid["policy"].heads[head].weight, otherwise["policy"].heads[head].weight)


def test_influence_by_messages_moves_the_message_policy_alone(updated):
    """The action head's gradient does not know of c, to the last bit; the message head's does."""
    u = updated("communication")
    stream = u.after.term_memory["influence"]["stream"]
    paid, otherwise = (_gradient(learner)["policy"] for learner in (u.after, _handed(u, 7 * stream + 1)))
    jax.tree.map(np.testing.assert_array_equal, paid.heads["action"], otherwise.heads["action"])
    assert not np.allclose(paid.heads["message"].weight, otherwise.heads["message"].weight)
    metrics = u.metrics
    np.testing.assert_array_equal(metrics["reward/total"], metrics["reward/extrinsic"])
    np.testing.assert_allclose(
        metrics["reward/total/message"],
        metrics["reward/extrinsic/message"] + 2 * metrics["reward/influence/message"],
        rtol=1e-5,
        atol=1e-6,
    )
