"""Experiments with influence: what is refused and why, who influences whom, and runs that are made of them."""

import re

import numpy as np
import pytest

from suasion import runs
from suasion.games import MatrixGame
from suasion.influence import Basic, Foreseen, InfluenceConfig, ModelConfig, ModelOfOthers, Simulated
from suasion.runs import ConfigError, RunConfig

MODES = ("basic", "communication", "model", "simulator")


def refuses(**fields):
    """The reason; annotations, which are checked in tests alone, are taken off."""
    config = object.__new__(InfluenceConfig)
    defaults = {f: getattr(InfluenceConfig, f) for f in InfluenceConfig.__dataclass_fields__ if f != "mode"}
    for name, value in (defaults | fields).items():
        object.__setattr__(config, name, value)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the caller reads the reason
        config.__post_init__()
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"mode": "bsaic"}, "mode is 'bsaic', must be one of basic, communication, model, simulator"),
        ({"mode": "model", "influencers": (0, 0)}, "influencers (0, 0) name an agent twice"),
        ({"mode": "simulator", "influenced": (1, 2, 1)}, "influenced (1, 2, 1) name an agent twice"),
        ({"mode": "basic", "samples": -1}, "samples is -1, must be 0 (exact) or more"),
        ({"mode": "model", "samples": 10}, "a model's marginals are exact"),
        ({"mode": "communication", "marginal": "mean"}, "marginal is 'mean', must be one of policy, average"),
        ({"mode": "model", "marginal": "average"}, "marginal must be policy"),
        ({"mode": "basic", "divergence": "tv"}, "divergence is 'tv', must be one of kl, jsd, pmi"),
    ],
)
def test_refused_without_a_game(fields, reason):
    assert reason in refuses(**fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"mode": "basic", "influencers": (0, 1), "influenced": (1, 2)}, "agents [1] are influencers and influenced"),
        ({"mode": "basic", "influencers": (0, 1, 2)}, "nobody is left to see them act"),
        ({"mode": "model", "influencers": (3,)}, "influencers: there is no agent 3; matrix has 0..2"),
        ({"mode": "simulator", "influenced": (-1,)}, "influenced: there is no agent -1; matrix has 0..2"),
    ],
)
def test_refused_in_a_game_of_three(fields, reason, games):
    with pytest.raises(ValueError, match=re.escape(reason)):
        InfluenceConfig(**fields).sets(games.three().spec)


@pytest.mark.parametrize("mode", MODES)
def test_one_agent_alone_is_refused(mode):
    with pytest.raises(ValueError, match="nobody to influence"):
        InfluenceConfig(mode=mode).sets(MatrixGame(payoffs=((0.0,), (1.0,))).spec)


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "basic", "influenced": (0,)},
        {"mode": "simulator", "influencers": (0,), "influenced": (0,)},
        {"mode": "model", "influencers": (1,), "influenced": (1,)},
    ],
)
def test_sets_that_leave_no_pair_are_refused(fields, games):
    """Their influence would be 0 for ever."""
    with pytest.raises(ValueError, match=r"influencers|nobody"):
        InfluenceConfig(**fields).sets(games.box().spec)


def test_sets_that_are_given_replace_both_of_the_preset():
    """Box Trapped's preset says who influences whom; another influencer influences everybody else."""
    config = runs.configure("box-trapped", influence={"mode": "model", "influencers": (1,)}).influence
    assert (config.influencers, config.influenced) == ((1,), ())


def test_overlapping_sets_are_allowed_where_nobody_acts_first(games):
    config = InfluenceConfig(mode="model", influencers=(0, 1), influenced=(1, 2))
    assert config.sets(games.three().spec) == ((0, 1), (1, 2))


@pytest.mark.parametrize(
    ("fields", "first", "then", "stages"),
    [
        ({"mode": "basic"}, (0,), (1, 2), ((0,), (1, 2))),
        ({"mode": "basic", "influencers": (2, 0)}, (2, 0), (1,), ((2, 0), (1,))),
        ({"mode": "basic", "influencers": (1,), "influenced": (2,)}, (1,), (2,), ((1,), (0, 2))),
        ({"mode": "model"}, (0, 1, 2), (0, 1, 2), ()),
        ({"mode": "model", "influencers": (1,)}, (1,), (0, 1, 2), ()),
        ({"mode": "simulator", "influenced": (0,)}, (0, 1, 2), (0,), ()),
    ],
)
def test_sets_and_stages(fields, first, then, stages, games):
    config, game = InfluenceConfig(**fields), games.three()
    assert config.sets(game.spec) == (first, then)
    assert config.stages(game.spec) == stages
    term = config.term(game)
    assert (term.influencers, term.influenced) == (first, then)


def test_the_term_is_what_was_asked_for(games):
    game = games.box()
    fields = {"divergence": "jsd", "visible_only": True, "to_influenced": True, "samples": 5}
    term = InfluenceConfig(mode="simulator", influencers=(0,), influenced=(1,), **fields).term(game)
    assert {name: getattr(term, name) for name in fields} == fields
    assert term.counterfactual == Simulated(game, (0,))
    assert term.landmarks == ("opened",)
    assert InfluenceConfig(mode="basic").term(game).counterfactual == Basic()
    assert InfluenceConfig(mode="model").term(game).counterfactual == Foreseen("model")
    assert InfluenceConfig(mode="model").term(games.three()).landmarks == ()
    assert hash(term) == hash(InfluenceConfig(mode="simulator", influencers=(0,), influenced=(1,), **fields).term(game))


def test_only_models_need_a_loss():
    sizes = ModelConfig(width=3)
    assert InfluenceConfig(mode="model", model=sizes).auxiliary() == (("model", ModelOfOthers(config=sizes)),)
    assert InfluenceConfig(mode="basic").auxiliary() == InfluenceConfig(mode="simulator").auxiliary() == ()


SMALL = {"policy": {"hidden": (4,), "width": 4}, "horizon": 6, "steps": 96_000}


def configured(mode, game="box-trapped", **changes):
    fields = {"influence": None if mode is None else {"mode": mode}} | SMALL | changes
    return runs.configure(game, **fields)


@pytest.mark.parametrize("game", ["box-trapped", "harvest", "prisoners-dilemma"])
@pytest.mark.parametrize("mode", MODES)
def test_experiments_of_every_mode(mode, game):
    experiment = runs.build(configured(mode, game))
    assert [name for name, _, _ in experiment.rewards.terms] == ["extrinsic", "influence"]
    assert len(experiment.policy.stages) == (2 if mode == "basic" else 1)
    assert [name for name, _ in experiment.auxiliary] == (["model"] if mode == "model" else [])
    assert experiment.states == (mode == "simulator")


@pytest.mark.parametrize(
    "weight", ["-0.5", "1@0,-1@100", "1/-2", "when(influence/on_agent_2>=0.1,2):-1@0,1@0"], ids=str
)
def test_a_negative_weight_is_meant_or_refused(weight):
    with pytest.raises(ConfigError, match=r"reward influence: weight -\S+ at step \d+ is negative"):
        configured("model", rewards=("extrinsic=1", f"influence={weight}"))
    meant = configured(
        None, influence={"mode": "model", "negative": True}, rewards=("extrinsic=1", f"influence={weight}")
    )
    assert dict(meant.rewards)["influence"] == weight


def test_influence_without_a_mode_is_refused():
    with pytest.raises(ConfigError, match="reward influence needs a mode"):
        configured(None, rewards=("extrinsic=1", "influence=1"))
    with pytest.raises(ConfigError, match="influence needs a mode"):
        configured(None, influence={"divergence": "jsd"})
    with pytest.raises(ConfigError, match="give its mode"):
        configured(None, model={"width": 3})


@pytest.mark.parametrize(
    ("trigger", "reason"),
    [
        ("when(influence/on_agent_9>=0.1,2)", "waits for influence/on_agent_9, which is never measured"),
        ("when(model/cross_entropy[2]>=0.1,2)", r"model/cross_entropy has the entries 0..1"),
        ("when(reward/influence>=0.1,61)", "waits for 61 updates .* the run has 60: it can never fire"),
    ],
)
def test_a_trigger_that_cannot_fire_is_refused(trigger, reason):
    with pytest.raises(ValueError, match=reason):
        configured("model", rewards=(f"extrinsic={trigger}:0@0,1@0", "influence=10/0"))


WAITS = ("extrinsic=when(reward/influence[0]>=0.1,{}):0@0,1@0/1", "influence=10/0")


def waiting(trigger, updates):
    """A run of whole updates in which apples wait for a trigger."""
    learner = {"environments": 32, "steps": 50, "shards": 1}
    rewards = tuple(text.format(trigger) for text in WAITS)
    return configured("basic", rewards=rewards, learner=learner, steps=updates * 32 * 50)


def test_a_deadline_after_the_end_is_that_of_a_preset_cut_short():
    """It is no mistake: the preset's apples come after 560,000 steps at the latest, a trial run may end before."""
    config = configured("model")
    assert config.steps < 560_000
    assert [trigger.latest for trigger in runs.build(config).triggers] == [560_000]
    assert waiting("9,160001", 8).updates == 8
    with pytest.raises(ConfigError, match=r"waits for 9 updates .* the run has 8: it can never fire"):
        waiting("9", 8)
    assert waiting("8", 8).updates == 8


def test_a_trigger_in_a_run_of_more_steps_than_it_can_hold_is_refused():
    """It would have fired at a step below 0. Without a trigger a run may be as long as it likes."""
    most = (2**31 - 1) // (32 * 50)
    assert waiting("2", most).updates == most
    with pytest.raises(ConfigError, match=r"reward/influence\[0\], and the run has 2147484800 steps: .* 2147483647"):
        waiting("2", most + 1)
    assert configured("basic", rewards=("extrinsic=1", "influence=10/0"), steps=2**40).steps == 2**40


def test_configurations_survive_json():
    config = configured(
        None,
        influence={"mode": "model", "divergence": "pmi", "influencers": (0,), "visible_only": True},
        model={"width": 7, "learning_rate": "0.01@0,0.001@5000"},
        rewards=("extrinsic=when(reward/influence[0]>=0.02,3):0@0,1@0/1", "influence=10/0"),
    )
    assert config.influence.model.width == 7
    assert [value for _, value in config.influence.model.optimiser.learning_rate.points] == [0.01, 0.001]
    assert RunConfig.from_json(config.to_json()) == config
    assert [trigger.metric for trigger in runs.build(config).triggers] == ["reward/influence[0]"]


@pytest.mark.parametrize("mode", MODES)
def test_presets_survive_json(mode):
    config = configured(mode)
    assert RunConfig.from_json(config.to_json()) == config
    assert config.digest != configured(None).digest
    assert mode in config.label
    assert np.isfinite(config.updates)
