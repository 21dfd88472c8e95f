"""Minari datasets: there and back, with the probabilities; what has none is refused."""

import numpy as np
import pytest

from suasion.markov import Policy, from_gymnasium
from suasion.td import collect, from_minari, importance_sampling, to_minari
from suasion.td._log import COLUMNS


@pytest.fixture(scope="module")
def lake():
    import gymnasium

    env = gymnasium.make("FrozenLake-v1").unwrapped
    return from_gymnasium(env.P, initial=env.initial_state_distrib)


@pytest.fixture
def minari(tmp_path, monkeypatch):
    found = pytest.importorskip("minari", reason="Minari is not installed")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_round_trip(lake, minari):
    log = collect(lake, Policy.uniform(lake), episodes=40, time_limit=6, seed=1)
    to_minari(log, "lake/uniform-v0", states=lake.n_states, actions=4, description="by a test")
    dataset = minari.load_dataset("lake/uniform-v0")
    assert dataset.total_steps == len(log)
    back = from_minari(dataset)
    for name in COLUMNS:
        assert np.array_equal(getattr(back, name), getattr(log, name)), name
    given = {"discount": 0.9, "horizon": 6, "accepted": 0.1}
    ours, theirs = (importance_sampling(x, Policy.uniform(lake), lake, **given).value for x in (log, back))
    assert ours == theirs


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_what_is_no_log_is_refused(lake, minari):
    from gymnasium.spaces import Box, Discrete
    from minari.data_collector import EpisodeBuffer

    log = collect(lake, Policy.uniform(lake), episodes=3, time_limit=6, seed=1)
    with pytest.raises(ValueError, match=r"row .* of the log: next_state is 16, and the space has 2"):
        to_minari(log, "lake/small-v0", states=2)

    def dataset(name, space=None, **changes):
        episode = {"observations": [0, 1, 2], "actions": [1, 0], "rewards": [0.0, 1.0]}
        episode |= {"terminations": [False, True], "truncations": [False, False], "infos": None}
        held = [EpisodeBuffer(**(episode | changes))]
        spaces = {"observation_space": space or Discrete(3), "action_space": Discrete(2)}
        return minari.create_dataset_from_buffers(f"lake/{name}-v0", held, **spaces)

    with pytest.raises(ValueError, match="episode 0 has no info 'behaviour_probability'"):
        from_minari(dataset("bare"))
    with pytest.raises(ValueError, match=r"row 1 of the log: behaviour is 0.0"):
        from_minari(dataset("zero", infos={"behaviour_probability": np.array([np.nan, 0.5, 0.0])}))
    with pytest.raises(ValueError, match="5 probabilities for 2 steps"):
        from_minari(dataset("long", infos={"behaviour_probability": np.ones(5)}))
    with pytest.raises(ValueError, match="not discrete"):
        from_minari(
            dataset("box", Box(0.0, 9.0, (1,)), observations=np.zeros((3, 1), np.float32), infos={"x": np.ones(3)})
        )
    other = from_minari(dataset("key", infos={"b": np.array([0.5, 0.25])}), key="b", end=9)
    assert other.behaviour.tolist() == [0.5, 0.25]
    assert other.next_state.tolist() == [1, 9]
    shifted = dataset("shift", Discrete(3, start=5), observations=[5, 6, 7], infos={"b": np.ones(2)})
    assert from_minari(shifted, key="b").state.tolist() == [0, 1]


def test_without_minari_it_says_what_to_install(lake, monkeypatch):
    import importlib

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    log = collect(lake, Policy.uniform(lake), episodes=3, time_limit=6, seed=1)
    with pytest.raises(ImportError, match=r"install suasion\[interop\]"):
        to_minari(log, "lake/none-v0")
