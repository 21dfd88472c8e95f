"""Rollouts of a scripted game against what one computes in the head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.agents import rollout
from suasion.games import make
from suasion.networks import Observation, in_slots

T, B, N, HORIZON = 17, 5, 2, 6
FULL = {"last_actions": True, "vocabulary": 3}


class Scene:
    """Two rollouts in a row of one policy."""

    def __init__(self, game, policy, verbs, at_random, quick, staggered):
        self.game, self.policy = game, policy
        self.params = at_random(quick(policy.init)(jax.random.key(0)), 1, 1.0)
        self.first = verbs.begin(game, policy, self.params, jax.random.key(2), B, staggered=staggered)
        self.middle, first, one = verbs.rollout(game, policy, self.params, self.first, jax.random.key(3), T)
        self.last, second, two = verbs.rollout(game, policy, self.params, self.middle, jax.random.key(4), T)
        self.trajectories, self.finished = [first, second], [one, two]
        join = lambda x, y: np.concatenate([x, y])  # noqa: E731
        late = [t._replace(memory=(), bootstrap={}, key=None) for t in self.trajectories]
        self.both = jax.tree.map(join, *late)
        self.clock, self.length, self.mortal = (
            np.asarray(self.both.observation.codes[:, :, 0, 0, k]) for k in range(3)
        )
        self.ended = self.both.terminated | self.both.truncated
        self.step = quick(policy.step)


@pytest.fixture(scope="module", params=[False, True], ids=["together", "staggered"])
def scene(request, clockwork, make_policy, verbs, at_random, quick):
    game = clockwork()
    return Scene(game, make_policy(game, **FULL), verbs, at_random, quick, request.param)


def test_the_script_was_played(scene):
    """All four kinds of end occur, and the observations are those of the states."""
    time = scene.clock + 1
    np.testing.assert_array_equal(scene.both.terminated, (scene.mortal == 1) & (time >= scene.length))
    np.testing.assert_array_equal(scene.both.truncated, time >= HORIZON)
    terminated, truncated = scene.both.terminated, scene.both.truncated
    for kind in (terminated & ~truncated, truncated & ~terminated, terminated & truncated, ~scene.ended):
        assert kind[:-1].any()
    for i in range(N):
        unavailable = (scene.clock + i) % 3
        assert (np.argmin(scene.both.observation.available[:, :, i], -1) == unavailable).all()
        assert (scene.both.symbols["action"][:, :, i] != unavailable).all()
        for d in range(N):
            seen = scene.both.observation.visible[:, :, i, d]
            np.testing.assert_array_equal(seen, (d == 0) | ((scene.clock + i + (i + d) % N) % 2 == 0))


def test_starts_follow_ends(scene):
    start = np.asarray(scene.both.start)
    np.testing.assert_array_equal(start[0], True)
    np.testing.assert_array_equal(start[1:], scene.ended[:-1])
    np.testing.assert_array_equal(scene.last.start, scene.ended[-1])
    after = start[1:]
    np.testing.assert_array_equal(scene.clock[1:][after], 0)
    np.testing.assert_array_equal(scene.clock[1:][~after], scene.clock[:-1][~after] + 1)
    for kept in (scene.length, scene.mortal):
        np.testing.assert_array_equal(kept[1:][~after], kept[:-1][~after])
    assert len({*scene.length[start].tolist()}) > 2  # episodes begin anew, not again


def test_rewards_and_events_are_stored_where_the_action_was_taken(scene):
    action, time = np.asarray(scene.both.symbols["action"]), scene.clock + 1
    for i in range(N):
        np.testing.assert_allclose(scene.both.rewards[:, :, i], (i + 1) * time + action[:, :, i] / 10, rtol=1e-6)
    np.testing.assert_array_equal(scene.both.events["chosen"], action)
    np.testing.assert_array_equal(scene.both.events["hand"], time)


@pytest.mark.parametrize(("head", "field", "none"), [("action", "last_actions", 3), ("message", "messages", 3)])
def test_what_was_done_before_is_seen_in_slots_and_forgotten_at_a_start(scene, head, field, none):
    done, seen = np.asarray(scene.both.symbols[head]), np.asarray(getattr(scene.both.observation, field))
    for t, b in np.ndindex(2 * T, B):
        for i in range(N):
            for d in range(N):
                expected = none if scene.both.start[t, b] else done[t - 1, b, (i + d) % N]
                assert seen[t, b, i, d] == expected
    assert scene.both.observation.current_actions is None


def final_observation(scene, t):
    """What would be seen after step t if no environment were reset."""
    time = scene.clock[t] + 1
    codes = np.stack([time, scene.length[t], scene.mortal[t]], -1).astype(np.uint8)
    i = np.arange(N)
    return Observation(
        codes=jnp.asarray(np.broadcast_to(codes[:, None, None, :], (B, N, 1, 3))),
        last_actions=in_slots(jnp.asarray(scene.both.symbols["action"][t])),
        visible=jnp.ones((B, N, N), bool),
        current_actions=None,
        messages=in_slots(jnp.asarray(scene.both.symbols["message"][t])),
        available=jnp.asarray(np.arange(3)[None, None, :] != ((time[:, None] + i[None, :]) % 3)[:, :, None]),
    )


def test_values_before_the_reset_and_memories(scene):
    """Step by step: acting's values, the value at a truncation, 0 elsewhere, the bootstrap, the memory kept."""
    never = jnp.zeros(B, bool)
    memory = scene.first.memory
    for t in range(2 * T):
        here = jax.tree.map(lambda x, t=t: jnp.asarray(x[t]), scene.both.observation)
        memory, outputs = scene.step(scene.params, memory, here, jnp.asarray(scene.both.start[t]))
        _, reached = scene.step(scene.params, memory, final_observation(scene, t), never)
        bootstrap = (scene.both.truncated & ~scene.both.terminated)[t]
        for head in ("action", "message"):
            np.testing.assert_allclose(scene.both.values[head][t], outputs[head].value, atol=2e-6)
            expected = np.where(bootstrap[:, None], reached[head].value, 0.0)
            np.testing.assert_allclose(scene.both.value_at_truncation[head][t], expected, atol=2e-6)
            np.testing.assert_array_equal(scene.both.value_at_truncation[head][t][~bootstrap], 0.0)
            if t in (T - 1, 2 * T - 1):  # where nothing ended the bootstrap is the value of what is reached
                got = scene.trajectories[t // T].bootstrap[head]
                goes_on = ~scene.ended[t]
                np.testing.assert_allclose(got[goes_on], reached[head].value[goes_on], atol=2e-6)
        if t == T - 1:
            for got, expected in ((scene.middle.memory, memory), (scene.trajectories[1].memory, memory)):
                jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6), got, expected)
    assert np.abs(scene.both.value_at_truncation["action"]).max() > 0.01
    np.testing.assert_array_equal(scene.trajectories[0].memory, scene.first.memory)


def test_the_bootstrap_is_the_next_rollouts_first_value(scene):
    for head in ("action", "message"):
        np.testing.assert_allclose(
            scene.trajectories[0].bootstrap[head], scene.trajectories[1].values[head][0], atol=2e-6
        )


def test_finished_episodes_are_summed_exactly(scene):
    """Whole episodes only: what a staggered clock cut short is not reported."""
    whole = scene.clock[0] == 0
    tally = [{"returns": np.zeros(N), "chosen": np.zeros(N), "hand": 0.0, "steps": 0} for _ in range(B)]
    for half in range(2):
        expected = {"returns": np.zeros(N), "chosen": np.zeros(N), "hand": 0.0, "steps": 0}
        episodes = 0
        for t in range(half * T, (half + 1) * T):
            for b in range(B):
                tally[b]["returns"] = tally[b]["returns"] + scene.both.rewards[t, b]
                tally[b]["chosen"] = tally[b]["chosen"] + scene.both.events["chosen"][t, b]
                tally[b]["hand"] += scene.both.events["hand"][t, b]
                tally[b]["steps"] += 1
                if scene.ended[t, b]:
                    if whole[b]:
                        episodes += 1
                        expected = {name: value + tally[b][name] for name, value in expected.items()}
                    tally[b] = {name: 0 * value for name, value in tally[b].items()}
                    whole[b] = True
        finished = scene.finished[half]
        assert float(finished.episodes) == episodes > 3
        assert float(finished.steps) == expected["steps"]
        np.testing.assert_allclose(finished.returns, expected["returns"], rtol=1e-5)
        np.testing.assert_allclose(finished.events["chosen"], expected["chosen"], rtol=1e-5)
        np.testing.assert_allclose(finished.events["hand"], expected["hand"], rtol=1e-5)
    np.testing.assert_allclose(scene.last.tally.steps, [running["steps"] for running in tally])
    np.testing.assert_allclose(scene.last.tally.returns, np.stack([r["returns"] for r in tally]), rtol=1e-5)


def test_clocks_are_staggered_only_when_asked(scene, request):
    first = scene.clock[0]
    assert (first < HORIZON).all()
    assert (len({*first.tolist()}) > 1) == ("staggered" in request.node.callspec.id)
    np.testing.assert_array_equal(scene.first.tally.whole, first == 0)


def test_a_game_without_a_time_limit_is_never_truncated(clockwork, make_policy, verbs, at_random, quick):
    game = clockwork(horizon=None)
    policy = make_policy(game, core="none")
    params = quick(policy.init)(jax.random.key(0))
    actors = verbs.begin(game, policy, params, jax.random.key(1), 3, staggered=True)
    np.testing.assert_array_equal(actors.state.time, 0)
    _, trajectory, _ = verbs.rollout(game, policy, params, actors, jax.random.key(2), 12)
    assert not trajectory.truncated.any()
    np.testing.assert_array_equal(trajectory.value_at_truncation["action"], 0.0)


def test_rollouts_repeat(scene, verbs):
    _, again, _ = verbs.rollout(scene.game, scene.policy, scene.params, scene.first, jax.random.key(3), T)
    data = [t._replace(key=jax.random.key_data(t.key)) for t in (again, scene.trajectories[0])]
    jax.tree.map(np.testing.assert_array_equal, *data)
    _, other, _ = verbs.rollout(scene.game, scene.policy, scene.params, scene.first, jax.random.key(5), T)
    assert (np.asarray(other.symbols["action"]) != np.asarray(again.symbols["action"])).any()


def test_states_and_keys_play_every_step_again(make_policy, verbs, at_random, quick):
    """What counterfactual steps start from: the same state, key and actions give the recorded reward and next view."""
    game = make("box-trapped", horizon=HORIZON)
    policy = make_policy(game)
    params = at_random(quick(policy.init)(jax.random.key(0)), 1, 1.0)
    actors = verbs.begin(game, policy, params, jax.random.key(2), B, staggered=True)
    assert verbs.rollout(game, policy, params, actors, jax.random.key(3), T)[1].states is None
    roll = quick(rollout, static_argnums=(0, 1, 5), static_argnames="states")
    _, t, _ = roll(game, policy, params, actors, jax.random.key(3), T, states=True)
    after, step = quick(jax.vmap(jax.vmap(game.step)))(t.key, t.states, t.symbols["action"])
    np.testing.assert_array_equal(step.reward, t.rewards)
    seen = quick(jax.vmap(jax.vmap(lambda state: game.observe(state).codes)))(after)
    goes_on = ~np.asarray(t.truncated)[:-1]
    assert goes_on.any()
    assert not goes_on.all()
    np.testing.assert_array_equal(np.asarray(seen)[:-1][goes_on], np.asarray(t.observation.codes)[1:][goes_on])


def test_logits_and_features_are_those_of_the_policy(scene, quick):
    t = scene.trajectories[0]
    features = quick(scene.policy.features)(scene.params, t.observation)
    np.testing.assert_allclose(scene.policy.trunk.by_environment(features), t.features, atol=1e-5)
    for head, logits in t.logits.items():
        log = jax.nn.log_softmax(logits)
        chosen = np.take_along_axis(np.asarray(log), np.asarray(t.symbols[head])[..., None], -1)[..., 0]
        np.testing.assert_allclose(chosen, t.log_probabilities[head], atol=1e-5)
