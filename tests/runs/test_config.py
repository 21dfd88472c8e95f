"""A configuration says all, reads back equal, and refuses what cannot be."""

import dataclasses
import json
from typing import Any

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.agents import LearnerConfig, Optimiser, Schedule, Trigger, constant
from suasion.games import GameError, catalogue
from suasion.networks import PolicyConfig
from suasion.runs import SIZED, ConfigError, RunConfig, build, configure, preset

# Drawn as plain values and built in the test: the type checks inside constructors draw random numbers of their own,
# which hypothesis forbids while it draws.
numbers = st.floats(0, 1e6, allow_nan=False)
schedules = st.lists(st.tuples(st.integers(0, 10**9), numbers), min_size=1, max_size=4).map(
    lambda points: tuple(sorted(points))
)
policies = st.fixed_dictionaries(
    {
        "encoder": st.sampled_from(["convolution", "classes"]),
        "hidden": st.lists(st.integers(1, 64), min_size=1, max_size=3).map(tuple),
        "core": st.sampled_from(["lstm", "gru", "diagonal", "s4d", "mamba", "none"]),
        "width": st.integers(1, 256),
        "shared": st.booleans(),
        "vocabulary": st.sampled_from([0, 2, 5]),
    }
)
learners = st.fixed_dictionaries(
    {
        "algorithm": st.sampled_from(["a2c", "ppo"]),
        "returns": st.sampled_from(["lambda", "n-step", "v-trace"]),
        "discount": st.floats(0, 1),
        "normalise": st.booleans(),
    }
)
rest = st.fixed_dictionaries(
    {
        "game": st.sampled_from(sorted(catalogue())),
        "map": st.one_of(st.none(), st.text().map("\n{}".format)),
        "agents": st.one_of(st.none(), st.integers(1, 9)),
        "options": st.sampled_from([(), (("hit_cost", 50.0),), (("delay", 2.0), ("symbols", 4.0))]),
        "rewards": st.sampled_from([(("extrinsic", "1"),), (("extrinsic", "0.5/1"), ("shared", "0@0,1@500"))]),
        "steps": st.integers(1, 10**9),
        "log_every": st.integers(1, 100),
        "seed": st.integers(0, 2**31 - 1),
    }
)
clips = st.one_of(st.just(float("inf")), st.floats(1e-3, 1e3))
parts = st.tuples(rest, policies, learners, schedules, schedules, clips)


def built(parts: tuple[Any, ...]) -> RunConfig:
    fields, policy, learner, rate, entropy, clip = parts
    optimiser = Optimiser(learning_rate=Schedule(rate), clip=clip)
    return RunConfig(
        **fields,
        policy=PolicyConfig(**policy),
        learner=LearnerConfig(**learner, entropy_weight=Schedule(entropy), optimiser=optimiser),
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, entry in inner for place in places(entry, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@given(parts)
def test_reads_back_equal(parts: tuple[Any, ...]) -> None:
    config = built(parts)
    text = json.dumps(config.to_json(), allow_nan=False)
    again = RunConfig.from_json(json.loads(text))
    assert again == config
    assert again.digest == config.digest


junk = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    *(st.just([]), st.just({}), st.just([[]]), st.just("inf")),
)


@given(parts, st.integers(0, 10**6), junk)
def test_a_changed_file_is_refused_or_a_configuration(parts: tuple[Any, ...], place: int, junk: Any) -> None:
    plain = built(parts).to_json()
    inside = places(plain)
    try:
        config = RunConfig.from_json(replaced(plain, inside[place % len(inside)], junk))
    except ConfigError:
        return
    assert RunConfig.from_json(config.to_json()) == config


def test_unknown_and_missing_keys_are_named() -> None:
    plain = configure("recall").to_json()
    with pytest.raises(ConfigError, match=r"configuration\.learner\.optimiser: unknown keys momentum; known are"):
        RunConfig.from_json(replaced(plain, ("learner", "optimiser"), {"momentum": 1}))
    plain["policy"].pop("width")
    with pytest.raises(ConfigError, match=r"configuration\.policy: keys are missing: width"):
        RunConfig.from_json(plain)
    with pytest.raises(ConfigError, match="list, not an object"):
        RunConfig.from_json([])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("steps",), 1.5, "steps is 1.5, not a whole number"),
        (("steps",), True, "steps is True, not a whole number"),
        (("steps",), 0, "steps is 0, must be at least 1"),
        (("seed",), -1, "seed is -1"),
        (("policy", "core"), "lsmt", "core is 'lsmt', not one of lstm, gru, diagonal, s4d, mamba, none"),
        (("policy", "width"), 0, "policy: width is 0"),
        (("policy", "hidden"), [32, "a"], r"hidden\[1\] is 'a'"),
        (("learner", "discount"), "high", "discount is 'high', not a number"),
        (("learner", "optimiser", "learning_rate"), "1e-3@", "cannot read"),
        (("learner", "optimiser", "learning_rate"), "1/2", "one schedule for all agents"),
        (("rewards",), [["extrinsic", "1", "2"]], "3 entries, not 2"),
        (("rewards",), [], "no reward term"),
        (("rewards",), [["shard", "1"]], r"unknown reward 'shard' \(did you mean 'shared'\?\)"),
        (("options",), [["agents", 3.0]], "agents is not a further number"),
    ],
)
def test_wrong_values_are_named(path: tuple[str, ...], value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_json(replaced(configure("recall").to_json(), path, value))


def test_a_weight_that_waits_is_part_of_the_file() -> None:
    weight = "when(reward/extrinsic[1]>=0.5,3):0@0,1@100/1"
    config = configure("prisoners-dilemma", rewards=(f"extrinsic={weight}",))
    again = RunConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert build(again).triggers == (Trigger(metric="reward/extrinsic[1]", at_least=0.5, updates=3),)


@pytest.mark.parametrize("mode", ["basic", "communication", "model", "simulator"])
@pytest.mark.parametrize("game", ["harvest", "cleanup", "box-trapped", "stag-hunt"])
def test_every_preset_with_influence_builds_and_reads_back(game: str, mode: str) -> None:
    model = {"learning_rate": "0.02", "width": 8} if mode == "model" else None
    config = configure(game, influence={"mode": mode}, model=model)
    again = RunConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    experiment = build(again)
    assert [name for name, _, _ in experiment.rewards.terms] == ["extrinsic", "influence"]
    assert [name for name, _ in experiment.auxiliary] == (["model"] if mode == "model" else [])
    assert len(experiment.policy.stages) == (2 if mode == "basic" else 1)
    assert experiment.states == (mode == "simulator")
    assert mode in config.slug
    assert config.influence is not None
    if model:
        assert config.influence.model.width == 8
        assert config.influence.model.optimiser.learning_rate == constant(0.02)


def test_influence_that_is_not_named_is_measured_and_not_paid() -> None:
    config = configure("stag-hunt", influence={"mode": "basic"}, rewards=("extrinsic=1",))
    assert config.rewards == (("extrinsic", "1"), ("influence", "0"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": ("influence=1",)}, "needs a mode of influence"),
        ({"model": {"width": 3}}, "give its mode"),
        ({"influence": {"mode": "basic"}, "model": {"width": 3}}, "width of a model of others, in mode basic"),
        ({"influence": {"divergence": "kl"}}, "influence needs a mode"),
        ({"influence": {"mode": "model"}, "rewards": ("influence=1@0,-2@10",)}, "weight -2 at step 10 is negative"),
        ({"influence": {"mode": "basic", "influencers": (0, 1)}}, "nobody is left"),
        ({"influence": {"mode": "basic", "influencers": (0,), "influenced": (0, 1)}}, "disjoint"),
        ({"influence": {"mode": "model", "influencers": (2,)}}, "there is no agent 2"),
        ({"influence": {"mode": "model", "samples": 3}}, "exact"),
        ({"influence": {"mode": "model"}, "model": {"wdith": 3}}, "did you mean 'width'"),
        ({"rewards": ("extrinsic=when(reward/joy>=1,2):0@0,1@0",)}, "reward/joy, which is never measured"),
        ({"rewards": ("extrinsic=when(reward/total>=1,999999):0@0,1@0",)}, "it can never fire"),
        ({"rewards": ("extrinsic=when(reward/total>=inf,2):0@0,1@0",)}, "must be finite"),
    ],
)
def test_influence_that_cannot_be_configured(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configure("prisoners-dilemma", **changes)


def test_one_agent_alone_influences_nobody() -> None:
    with pytest.raises(ValueError, match="nobody to influence"):
        configure("harvest", agents=1, influence={"mode": "model"})


def test_a_negative_weight_may_be_asked_for() -> None:
    config = configure("stag-hunt", influence={"mode": "basic", "negative": True}, rewards=("influence=-1",))
    assert config.rewards == (("influence", "-1"),)


@pytest.mark.parametrize(
    ("game", "size"), [*((game, "small") for game in sorted(catalogue())), *((game, "paper") for game in SIZED)]
)
def test_every_preset_builds_and_reads_back(game: str, size: str) -> None:
    config = configure(game, size=size)
    experiment = build(RunConfig.from_json(config.to_json()))
    assert experiment == build(config)
    assert hash(experiment) == hash(build(config))
    # On a CPU with two devices environments are spread over both.
    assert experiment.config == dataclasses.replace(preset(game, size).learner, shards=min(2, jax.device_count()))
    spec = experiment.game.spec
    assert config.horizon == spec.horizon
    assert config.agents in (None, spec.agents)


def test_given_values_replace_the_presets() -> None:
    config = configure(
        "harvest",
        agents=2,
        view=5,
        options={"hit_cost": 7},
        rewards=("extrinsic=1/0.5", "shared=0@0,1@1000"),
        policy={"core": "gru"},
        learner={"environments": 8, "entropy_weight": "0.02"},
        optimiser={"learning_rate": "0.01@0,0@1000"},
    )
    game = build(config).game
    assert (game.agents, game.view, game.hit_cost) == (2, 5, 7)
    assert config.options == (("fire_cost", 1.0), ("hit_cost", 7.0))
    assert config.policy == dataclasses.replace(preset("harvest").policy, core="gru")
    assert config.learner.optimiser.learning_rate == Schedule(((0, 0.01), (1000, 0.0)))
    assert config.learner.entropy_weight == constant(0.02)
    assert config.slug == "harvest-small-extrinsic1_0.5-shared0_0_1_1000"


def test_an_own_map_is_part_of_the_configuration(tmp_path: Any) -> None:
    file = tmp_path / "pond.txt"
    file.write_text("game: harvest\n@@@@@@\n@P  A@\n@P AA@\n@@@@@@\n")
    config = configure(str(file), agents=2)
    file.unlink()
    assert (config.game, config.agents) == ("harvest", 2)
    assert build(RunConfig.from_json(config.to_json())).game.spec.board == (4, 6)


def test_an_own_payoff_table_is_part_of_the_configuration(tmp_path: Any) -> None:
    file = tmp_path / "table.json"
    file.write_text(json.dumps({"payoffs": [[[1, 2], [0, 0]], [[0, 0], [2, 1]]], "actions": ["opera", "football"]}))
    config = configure(str(file))
    file.unlink()
    game = build(RunConfig.from_json(config.to_json())).game
    assert game.payoffs == (((1.0, 2.0), (0.0, 0.0)), ((0.0, 0.0), (2.0, 1.0)))
    assert game.spec.actions == ("opera", "football")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": ("extrinsic",)}, "write NAME=WEIGHT"),
        ({"rewards": ("extrinsic=1", "extrinsic=2")}, "given 2 times"),
        ({"rewards": ("extrinsic=1/1/1",)}, "3 weights for 2 agents"),
        ({"rewards": ("extrinsic=much",)}, "reward extrinsic: cannot read 'much'"),
        ({"policy": {"wdith": 3}}, r"no field 'wdith' \(did you mean 'width'\?\)"),
        ({"learner": {"entropy_weight": "x"}}, "entropy-weight: cannot read 'x'"),
        ({"options": {"horizon": 3}}, "horizon is not a further number"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_what_cannot_be_configured(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure("prisoners-dilemma", **changes)


def test_what_the_game_refuses() -> None:
    with pytest.raises(GameError, match="did you mean harvest"):
        configure("harvets")
    with pytest.raises(GameError, match="does not take 'agents'"):
        configure("chicken", agents=3)


def test_updates_are_whole_rows(tiny: Any) -> None:
    assert tiny(steps=48).updates == 6
    assert tiny(steps=49).updates == 7
    assert tiny(steps=49, log_every=3).updates == 9


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "map.txt", "harvest.json", ""])
def test_a_run_does_not_lead_to_other_files(name: str) -> None:
    """What a run's file holds is text, never the path of another file."""
    plain = configure("harvest").to_json()
    with pytest.raises(ConfigError, match="the text of a map has several lines, and a path is none"):
        RunConfig.from_json(plain | {"map": name})
    with pytest.raises(ConfigError, match=f"game is {name!r}, not one of harvest, cleanup"):
        RunConfig.from_json(plain | {"game": name})
