"""Reward terms in words: what is read is written, defaults are filled in, and what cannot be is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.influence import Exchange, Inequity, Orientation, Prosocial
from suasion.records import read_metrics
from suasion.runs import ConfigError, RunConfig, build, configure, on_the_clock, train

COMPLETE = "inequity(envy=5.0,guilt=0.05,decay=0.96525)"
EVERYTHING = (
    "extrinsic=1",
    "inequity(envy=5/2, guilt=0.1)=1",
    "orientation(angle=0/90)=0@0,0.2@40",
    "prosocial=0.85/0",
    "exchange=0.25",
)


def test_parameters_reach_the_terms() -> None:
    terms = [term for _, term, _ in build(configure("stag-hunt", rewards=EVERYTHING)).rewards.terms]
    assert terms[1:] == [
        Inequity(agents=2, envy=(5.0, 2.0), guilt=0.1),
        Orientation(agents=2, angle=(0.0, 90.0)),
        Prosocial(agents=2),
        Exchange(agents=2),
    ]


def test_a_file_is_complete_whatever_was_given() -> None:
    """A later default must not change what a run was."""
    for text in (
        "inequity",
        "inequity()",
        " inequity ( envy = 5 ) ".replace(" (", "("),
        "inequity(decay=0.96525,guilt=5e-2)",
    ):
        config = configure("stag-hunt", rewards=(f"{text}=1",))
        assert config.rewards == ((COMPLETE, "1"),)
        assert config.to_json()["rewards"] == [[COMPLETE, "1"]]
        assert config.slug == "stag-hunt-inequity"
    assert configure("stag-hunt", rewards=EVERYTHING).slug == (
        "stag-hunt-extrinsic-inequity-envy5.0_2.0-guilt0.1-orientation-angle0.0_90.0-0_0_0.2_40-prosocial0.85_0-exchange0.25"
    )


numbers = st.floats(0, 1e6, allow_nan=False)
each = st.one_of(numbers.map(repr), st.tuples(numbers, numbers).map(lambda two: f"{two[0]!r}/{two[1]!r}"))


@given(each, each, st.floats(0, 0.999))
def test_reads_back_equal(envy: str, guilt: str, decay: float) -> None:
    config = configure("chicken", rewards=("extrinsic=1", f"inequity(guilt={guilt},envy={envy},decay={decay!r})=0.5/1"))
    again = RunConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert again.digest == config.digest
    assert build(again).rewards == build(config).rewards


def test_files_without_parameters_stay_as_they_are() -> None:
    """Checkpoints belong to a digest: files from before there were parameters must keep theirs."""
    plain = configure("prisoners-dilemma", rewards=("extrinsic=1", "shared=0.5")).to_json()
    assert plain["rewards"] == [["extrinsic", "1"], ["shared", "0.5"]]
    assert RunConfig.from_json(plain).to_json() == plain


def test_schedules_on_the_clock_keep_parameters() -> None:
    waits = "inequity(envy=1)=when(reward/extrinsic>=1,2):0@0,1@0"
    config = on_the_clock(configure("stag-hunt", rewards=("extrinsic=1", waits)), (64,))
    assert config.rewards[1] == ("inequity(envy=1.0,guilt=0.05,decay=0.96525)", "0.0@0,0.0@64,1.0@64")


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("inequty=1", r"unknown reward 'inequty' \(did you mean 'inequity'\?\); rewards are extrinsic, "),
        ("inequity(evny=3)=1", r"inequity: unknown parameter 'evny' \(did you mean 'envy'\?\); .* envy, guilt, decay"),
        ("inequity(envy=3,envy=2)=1", "inequity: envy is given twice"),
        ("inequity(envy=much)=1", "inequity: envy is 'much', not a number or one for each agent"),
        ("inequity(envy=1//2)=1", "inequity: envy is '1//2', not a number"),
        ("inequity(envy=-1)=1", "inequity: envy is -1.0, must be 0 or more"),
        ("inequity(guilt=nan)=1", "inequity: guilt is nan"),
        ("inequity(envy=1/2/3)=1", "inequity: envy has 3 numbers for 2 agents"),
        ("inequity(decay=1/2)=1", "decay is '1/2': one number for all agents is wanted"),
        ("inequity(envy=1/2,guilt=1/2/3)=1", "envy has 2 numbers for 3 agents"),
        ("inequity(agents=3)=1", "unknown parameter 'agents'"),
        ("inequity(envy)=1", "'envy' is no PARAMETER=VALUE"),
        ("inequity(envy=1=1", "write NAME=WEIGHT, such as"),
        ("inequity(envy=1)", "write NAME=WEIGHT, such as"),
        ("inequity)=1", "write a name, or NAME"),
        ("shared(agents=1)=1", "unknown parameter 'agents'; shared has none"),
        ("influence(samples=1)=1", "influence has none"),
        ("orientation(angle=200)=1", "angle is 200.0, must be -180 to 180"),
    ],
)
def test_terms_that_cannot_be(reward: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure("stag-hunt", rewards=(reward,))


def test_one_name_is_one_term() -> None:
    with pytest.raises(ConfigError, match="reward inequity is given 2 times"):
        configure("stag-hunt", rewards=("inequity(envy=1)=1", "inequity=1"))


@pytest.mark.parametrize("name", ["inequity", "prosocial", "orientation", "exchange"])
def test_one_agent_alone_has_nobody_to_look_at(name: str) -> None:
    with pytest.raises(ConfigError, match=f"reward {name}: agents is 1, must be at least 2"):
        configure("harvest", agents=1, rewards=(f"{name}=1",))


def test_a_run_with_all_of_them(tiny: Any, tmp_path: Path, documented: Any) -> None:
    """In the prisoner's dilemma; every number that it logs is explained, and they add up."""
    given = configure("prisoners-dilemma", rewards=EVERYTHING).rewards
    config = tiny(rewards=given, steps=16)
    train(config, tmp_path / "run")
    for row in read_metrics(tmp_path / "run" / "metrics.jsonl").rows:
        assert [key for key in row if not documented(key)] == []
        paid = {
            name: row[f"reward/{name}"] for name in ("extrinsic", "inequity", "orientation", "prosocial", "exchange")
        }
        share = [0.2 * (row["step"] - 8) / 40] * 2
        total = [
            paid["extrinsic"][i]
            + paid["inequity"][i]
            + share[i] * paid["orientation"][i]
            + (0.85, 0.0)[i] * paid["prosocial"][i]
            + 0.25 * paid["exchange"][i]
            for i in range(2)
        ]
        assert row["reward/total"] == pytest.approx(total, rel=1e-4, abs=1e-5)
        assert sum(paid["exchange"]) == pytest.approx(0, abs=1e-5)
        assert paid["prosocial"] == pytest.approx(paid["extrinsic"][::-1])
        less, more = row["inequity/less"], row["inequity/more"]
        for i, (envy, guilt) in enumerate(((5.0, 0.1), (2.0, 0.1))):
            assert paid["inequity"][i] == pytest.approx(-envy * less[i] - guilt * more[i], rel=1e-4)
