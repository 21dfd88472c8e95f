"""What acting computed, learning recomputes: every ratio before the first update is 1. And stages.

XLA's optimisations are what could make the two differ, but they take long to compile: one case always runs with them,
the others without, and with them in the slow tests.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import rollout
from suasion.games import SMALL_CLEANUP_MAP, SMALL_HARVEST_MAP, Cleanup, Harvest, Recall
from suasion.networks import log_probability

T, B = 16, 3
EVERYTHING = {"last_actions": True, "vocabulary": 3}
HARVEST = Harvest(map=SMALL_HARVEST_MAP, agents=3, view=7, horizon=7)
CLEANUP = Cleanup(map=SMALL_CLEANUP_MAP, agents=3, view=7, horizon=7)
RECALL = Recall(symbols=4, delay=2, agents=2, horizon=7)
CASES = {
    "harvest lstm": (HARVEST, ((1,), (0, 2)), {"core": "lstm", "encoder": "convolution", **EVERYTHING}),
    "harvest none": (HARVEST, (), {"core": "none", "encoder": "convolution"}),
    "cleanup gru shared": (
        CLEANUP,
        ((2,), (0, 1)),
        {"core": "gru", "encoder": "convolution", "shared": True, **EVERYTHING},
    ),
    "recall lstm shared": (RECALL, (), {"core": "lstm", "shared": True}),
    "recall gru": (RECALL, ((0,), (1,)), {"core": "gru", **EVERYTHING}),
    "recall diagonal": (RECALL, ((0,), (1,)), {"core": "diagonal", **EVERYTHING}),
    "recall s4d shared": (RECALL, (), {"core": "s4d", "shared": True}),
    "recall mamba": (RECALL, ((0,), (1,)), {"core": "mamba", **EVERYTHING}),
}
ALWAYS = [(case, case == "recall gru") for case in CASES]
SLOW = [pytest.param(case, True, marks=pytest.mark.slow) for case in CASES if case != "recall gru"]
_rollout = jax.jit(rollout, static_argnums=(0, 1, 5))


@pytest.fixture(scope="module")
def acted(make_policy, at_random, quick, verbs):
    """Policy, parameters and the second of two rollouts: its memory is in the middle of episodes."""

    @functools.cache
    def act(case, optimised=False):
        game, stages, config = CASES[case]
        optimised = optimised or case == "recall gru"  # one rollout serves all tests of a case
        policy = make_policy(game, stages=stages, **config)
        params = at_random(quick(policy.init)(jax.random.key(0)), 1, 0.5)
        roll = _rollout if optimised else verbs.rollout
        actors = verbs.begin(game, policy, params, jax.random.key(2), B, staggered=True)
        actors, _, _ = roll(game, policy, params, actors, jax.random.key(3), T)
        _, trajectory, _ = roll(game, policy, params, actors, jax.random.key(4), T)
        return policy, params, trajectory

    return act


@pytest.mark.parametrize(("case", "optimised"), [*ALWAYS, *SLOW])
def test_every_ratio_is_1_before_learning(case, optimised, acted, quick):
    policy, params, trajectory = acted(case, optimised)

    def recompute(params, trajectory):
        _, outputs = policy.unroll(params, trajectory.memory, trajectory.observation, trajectory.start)
        return log_probability(outputs, trajectory.symbols), {head: out.value for head, out in outputs.items()}

    logs, values = (jax.jit if optimised else quick)(recompute)(params, trajectory)
    assert bool(trajectory.start[1:].any(0).all())  # in every environment an episode ended in the middle
    assert set(logs) == set(policy.heads)
    for head, log in logs.items():
        ratio = np.exp(np.asarray(log, float) - np.asarray(trajectory.log_probabilities[head], float))
        assert np.abs(ratio - 1).max() <= 1e-5
        assert float(jnp.abs(values[head] - trajectory.values[head]).max()) <= 1e-5
        assert float(jnp.std(trajectory.log_probabilities[head])) > 0.1  # not a uniform policy, which could hide it


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1]])
def test_later_stages_see_what_earlier_ones_just_did(case, acted):
    policy, _, trajectory = acted(case)
    agents, none = policy.spec.agents, len(policy.spec.actions)
    stage = {agent: index for index, those in enumerate(policy.stages) for agent in those}
    seen, actions = np.asarray(trajectory.observation.current_actions), np.asarray(trajectory.symbols["action"])
    for i in range(agents):
        for d in range(agents):
            j = (i + d) % agents
            expected = actions[:, :, j] if stage[j] < stage[i] else none
            np.testing.assert_array_equal(seen[:, :, i, d], np.broadcast_to(expected, actions.shape[:2]))


@pytest.mark.parametrize("case", ["recall gru", "harvest lstm"])
def test_what_later_stages_see_changes_what_they_do(case, acted, quick):
    policy, params, trajectory = acted(case)
    blind = jnp.full_like(trajectory.observation.current_actions, len(policy.spec.actions))
    observation = trajectory.observation._replace(current_actions=blind)
    _, outputs = quick(policy.unroll)(params, trajectory.memory, observation, trajectory.start)
    difference = jnp.abs(outputs["action"].value - trajectory.values["action"]).max((0, 1))
    first = list(policy.stages[0])
    later = [agent for those in policy.stages[1:] for agent in those]
    assert float(difference[np.array(first)].max()) <= 1e-5
    assert float(difference[np.array(later)].min()) > 1e-3
