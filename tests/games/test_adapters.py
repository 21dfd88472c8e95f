"""The adapters, for every game: the other libraries' own checks, and stricter ones of ours."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, render_test, seed_test
from pettingzoo.utils import parallel_to_aec

from suasion.games import (
    GameError,
    MatrixGame,
    Recall,
    SingleAgentEnv,
    catalogue,
    make,
    parallel_env,
    prisoners_dilemma,
)

MORE = {"t-maze": {"agents": 8}}  # all its chance is one bit of each agent
GAMES = [make(name, horizon=12, **MORE.get(name, {})) for name in catalogue() if name != "matrix"]
every_game = pytest.mark.parametrize("game", GAMES, ids=lambda game: game.spec.name)


def same(first, second):
    """Equality of nested dictionaries of arrays, types and dtypes included."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second)
    return type(first) is type(second) and first == second


@every_game
@pytest.mark.parametrize("observation", ["codes", "rgb"])
def test_parallel_api(game, observation):
    parallel_api_test(parallel_env(game, observation=observation), num_cycles=30)


# Class code 0 is what `none` and the first symbol look like: a view of zeros is right.
@pytest.mark.filterwarnings("ignore:Observation numpy array is all zeros")
@every_game
def test_aec_conversion_passes_the_api_seed_and_render_tests(game):
    api_test(parallel_to_aec(parallel_env(game)), num_cycles=40)
    seed_test(lambda: parallel_to_aec(parallel_env(game)), num_cycles=40)
    # render_test asks for `human` only to read the declared modes, which are `rgb_array` alone.
    modes = {"human": None, "rgb_array": "rgb_array"}
    render_test(lambda render_mode: parallel_to_aec(parallel_env(game, render_mode=modes[render_mode])))


@every_game
def test_equal_seeds_give_equal_episodes_and_other_seeds_others(game):
    """Unlike pettingzoo's parallel_seed_test (1.27), which stops after one step: two whole episodes."""

    def record(seed):
        env, trace = parallel_env(game), []
        rng = np.random.default_rng(0)
        for start in (seed, None):
            trace.append(env.reset(seed=start))
            while env.agents:
                actions = {name: int(rng.integers(len(game.spec.actions))) for name in env.agents}
                trace.append(env.step(actions))
        return trace

    first, second = record(5), record(5)
    assert len(first) == 2 * (game.spec.horizon + 1)
    for one, other in zip(first, second, strict=True):
        assert len(one) == len(other)
        assert all(same(a, b) for a, b in zip(one, other, strict=True))
    if not isinstance(game, MatrixGame):  # nothing in a matrix game is random
        third = record(6)
        assert not all(same(a[0], b[0]) for a, b in zip(first, third, strict=True))
        half = len(first) // 2
        assert not all(same(a[0], b[0]) for a, b in zip(first[:half], first[half:], strict=True))


@every_game
def test_an_episode_ends_by_truncation_for_all_and_observations_are_in_their_space(game):
    env = parallel_env(game, render_mode="rgb_array")
    env.reset(seed=1)
    names = env.possible_agents
    assert names == [f"agent_{i}" for i in range(game.spec.agents)]
    for t in range(game.spec.horizon):
        actions = {name: env.action_space(name).sample() for name in env.agents}
        observations, rewards, terminated, truncated, infos = env.step(actions)
        end = t + 1 == game.spec.horizon
        assert truncated == dict.fromkeys(names, end)
        assert terminated == dict.fromkeys(names, False)
        for i, name in enumerate(names):
            assert env.observation_space(name).contains(observations[name])
            assert isinstance(rewards[name], float)
            assert infos[name]["visible"].shape == (len(names),)
            assert infos[name]["visible"][i]
            assert infos[name]["action_mask"].sum() >= 1
            assert set(infos[name]["events"]) == {event.name for event in game.spec.events}
        assert env.state_space.contains(env.state())
        assert env.render().shape == (16 * game.spec.board[0], 16 * game.spec.board[1], 3)
    assert env.agents == []
    with pytest.raises(GameError, match="call reset"):
        env.step({})


@every_game
def test_gymnasium_check_env(game):
    for observation in ("codes", "rgb"):
        name = f"suasion-{observation}-v0"
        options = {"game": game, "agent": game.spec.agents - 1, "observation": observation}
        gymnasium.register(name, entry_point=SingleAgentEnv, kwargs=options, disable_env_checker=True)
        try:
            check_env(gymnasium.make(name, render_mode="rgb_array").unwrapped)
        finally:
            del gymnasium.registry[name]


@every_game
def test_one_agent_s_view_is_its_share_of_the_parallel_game(game):
    """With the same generator and the others' actions replayed, both adapters tell the agent the same."""
    many, agent = parallel_env(game), game.spec.agents - 1
    script = np.random.default_rng(2).integers(len(game.spec.actions), size=(game.spec.horizon, game.spec.agents))
    clock = iter(script)
    one = SingleAgentEnv(game, agent, lambda codes, generator: next(clock))
    name = f"agent_{agent}"
    observations, infos = many.reset(seed=3)
    observation, info = one.reset(seed=3)
    assert same(observation, observations[name])
    assert same(info, infos[name])
    for joint in script:
        everybody = many.step(dict(zip(many.agents, joint.tolist(), strict=True)))
        alone = one.step(joint[agent])
        assert all(same(own, every[name]) for own, every in zip(alone, everybody, strict=True))


def test_infos_carry_the_agent_s_own_events():
    env = parallel_env(prisoners_dilemma())
    _, infos = env.reset()
    assert infos["agent_0"]["events"] == {}
    *_, infos = env.step({"agent_0": 0, "agent_1": 1})
    assert infos["agent_0"]["events"] == {"cooperate": 1.0, "defect": 0.0}
    assert infos["agent_1"]["events"] == {"cooperate": 0.0, "defect": 1.0}


def test_random_others_take_every_action():
    seen = set()
    env = SingleAgentEnv(prisoners_dilemma(horizon=40), agent=0)
    observation, _ = env.reset(seed=0)
    for _ in range(40):  # P(some action never taken by a uniform other) = 2^-39
        observation, *_ = env.step(0)
        seen.add(int(observation[0, 1]))
    assert seen == {1, 2}


def test_rgb_is_the_palette_of_the_codes():
    game = Recall(agents=2)
    coded, coloured = parallel_env(game), parallel_env(game, observation="rgb")
    codes, _ = coded.reset(seed=0)
    colours, _ = coloured.reset(seed=0)
    for name in codes:
        np.testing.assert_array_equal(colours[name], game.spec.colours[codes[name]])


def test_misuse_is_refused_by_name():
    game = prisoners_dilemma()
    env = parallel_env(game)
    with pytest.raises(GameError, match="call reset"):
        env.step({})
    env.reset()
    with pytest.raises(GameError, match=r"missing or surplus: \['agent_1'\]"):
        env.step({"agent_0": 0})
    with pytest.raises(GameError, match="agent 1: action 2 is not 0 to 1"):
        env.step({"agent_0": 0, "agent_1": 2})
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        env.step({"agent_0": 0, "agent_1": 0.7})
    with pytest.raises(GameError, match="render_mode is 'human'"):
        parallel_env(game, render_mode="human")
    with pytest.raises(GameError, match="agent is 2; prisoners-dilemma has agents 0 to 1"):
        SingleAgentEnv(game, agent=2)
    alone = SingleAgentEnv(game, others=lambda codes, generator: np.zeros(3, np.int64))
    with pytest.raises(GameError, match="call reset"):
        alone.step(0)
    alone.reset()
    with pytest.raises(GameError, match=r"others gave int64\[3\], not integers of shape \[2\]"):
        alone.step(0)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_the_room_is_imported_without_the_libraries_it_adapts_to():
    code = "import sys, suasion.games; print({'pettingzoo', 'gymnasium'} & set(sys.modules))"
    assert run(code).stdout.strip() == "set()"


def test_a_missing_pettingzoo_is_explained():
    code = "import sys; sys.modules['pettingzoo'] = None\nfrom suasion.games import parallel_env"
    error = run(code).stderr.strip().splitlines()[-1]
    assert "parallel_env needs pettingzoo" in error
    assert "pip install 'suasion[interop]'" in error
