"""What a run is: everything that its result depends on, in one record."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from suasion.agents import (
    Experiment,
    LearnerConfig,
    Rewards,
    RewardTerm,
    Schedule,
    Weight,
    constant,
    init,
    parse_weight,
    triggers,
    update,
    write_weight,
)
from suasion.games import Game, catalogue, make
from suasion.influence import MODES, InfluenceConfig
from suasion.networks import Policy, PolicyConfig
from suasion.records import nearest
from suasion.runs._plain import ConfigError, from_plain, read_schedule, read_weight, to_plain
from suasion.runs._presets import preset
from suasion.runs._terms import INFLUENCE, Term, read_term, split_reward

LARGEST_SEED = 2**31 - 1
_LARGEST_CLOCK = 2**31 - 1  # steps, in int32, at which a trigger may have fired
_COMMON = ("name", "size", "variant", "agents", "view", "horizon", "map")
_OPTIONS = ("fire_cost", "hit_cost", "symbols", "delay")  # numbers that some games take beyond the common ones


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run of one seed. Two runs of one configuration, on one machine with the same versions, end in equal bytes.

    Attributes:
        game: name in the catalogue of games.
        map: text of an own map, or of a payoff table as JSON; None for the catalogue's.
        size: `small` or `paper`; of Harvest and Cleanup, the other games have one size.
        variant: `paper` or `ssd`, of Harvest and Cleanup.
        agents: how many play; None where the game fixes it.
        view: side of the square view in cells, odd; None where the game fixes it.
        horizon: steps of an episode; None where the game fixes it.
        options: further numbers of the game by name, such as ("hit_cost", 5.0).
        policy: the network.
        learner: how the agents learn.
        influence: how influence is measured; None for not at all. Its reward term is called `influence`.
        rewards: each reward term and its weight in their written forms (see `_terms`, `parse_weight`); the parameters
            of terms are filled in.
        steps: environment steps to train for, over all environments; rounded up to whole rows of metrics.
        log_every: updates in one row of metrics.
        seed: of all chance, 0 to 2^31 - 1.

    Raises:
        ConfigError: a number out of range, a game that is not in the catalogue, a map of one line (a path), an unknown
            reward term or parameter (the nearest name is offered), a weight that cannot be read, a trigger that
            waits for more updates than there are, or any in a run of more than 2^31 - 1 steps.
    """

    game: str
    map: str | None = None
    size: str = "small"
    variant: str = "paper"
    agents: int | None = None
    view: int | None = None
    horizon: int | None = None
    options: tuple[tuple[str, float], ...] = ()
    policy: PolicyConfig = PolicyConfig()
    learner: LearnerConfig = LearnerConfig()
    influence: InfluenceConfig | None = None
    rewards: tuple[tuple[str, str], ...] = (("extrinsic", "1"),)
    steps: int
    log_every: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers out of range and rewards that are none."""
        for name in ("steps", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least 1")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ConfigError(f"seed is {self.seed}, must lie in 0..{LARGEST_SEED}")
        # A file tells what a run is; it must not lead to other files.
        if self.game not in catalogue():
            raise ConfigError(f"game is {self.game[:80]!r}, not one of {', '.join(catalogue())}")
        if self.map is not None and "\n" not in self.map:
            raise ConfigError(f"map is {self.map[:80]!r}: the text of a map has several lines, and a path is none")
        _check_options(tuple(name for name, _ in self.options))
        object.__setattr__(self, "rewards", tuple((str(read_term(term)), weight) for term, weight in self.rewards))
        _check_triggers(_reward_terms(self.rewards, self.influence), self.updates, self.learner.steps_per_update)

    @property
    def updates(self) -> int:
        """Updates of the whole run: whole rows of metrics."""
        per_row = self.learner.steps_per_update * self.log_every
        return -(-self.steps // per_row) * self.log_every

    @property
    def label(self) -> str:
        """Short words for people: `harvest small extrinsic`."""
        sized = f" {self.size}" if self.game in SIZED else ""
        mode = "" if self.influence is None else f" {self.influence.mode}"
        return f"{self.game}{sized}{mode} {_slug(self.rewards)}"

    @property
    def slug(self) -> str:
        """The label as the name of a folder."""
        return self.label.replace(" ", "-")

    @property
    def digest(self) -> str:
        """SHA-256 of the written form: which configuration a checkpoint belongs to."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """JSON values, complete: `from_json` gives the same configuration back."""
        return to_plain(self)

    @staticmethod
    def from_json(value: Any) -> RunConfig:
        """The configuration of `to_json`.

        Raises:
            ConfigError: unknown or missing keys, by name; values of a wrong type or out of range.
        """
        return from_plain(RunConfig, value)


def on_the_clock(config: RunConfig, fired: Sequence[int]) -> RunConfig:
    """The same configuration with weights that waited for a trigger following the clock instead.

    A control without influence would wait for ever: it is given the very schedule that a run with influence had.

    Args:
        config: of a run.
        fired: for each of its triggers, in the order of `Experiment.triggers`, the environment step at which it fired;
            -1 if it never did.
    """
    terms = _reward_terms(config.rewards, config.influence)
    when = dict(zip(triggers(tuple(weight for _, weight in terms)), fired, strict=True))

    def clocked(schedule: Schedule) -> Schedule:
        if schedule.trigger is None:
            return schedule
        begin, first = when[schedule.trigger], schedule.points[0][1]
        if begin < 0:
            return constant(first)
        return Schedule(((0, first), *((begin + step, value) for step, value in schedule.points)))

    rewards = []
    for term, weight in terms:
        each = tuple(clocked(one) for one in weight) if isinstance(weight, tuple) else clocked(weight)
        rewards.append((str(term), write_weight(each)))
    return dataclasses.replace(config, rewards=tuple(rewards))


SIZED = ("harvest", "cleanup")
MESSAGE = "extrinsic-message"  # of the one that pays messages alone


def configure(
    game: str,
    *,
    size: str = "small",
    variant: str = "paper",
    agents: int | None = None,
    view: int | None = None,
    horizon: int | None = None,
    options: Mapping[str, float | int] | None = None,
    rewards: Sequence[str] = (),
    steps: int | None = None,
    log_every: int | None = None,
    seed: int = 0,
    influence: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    learner: Mapping[str, Any] | None = None,
    optimiser: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration of a run: the game's preset with what is given here instead.

    Args:
        game: name in the catalogue of games, or the path of a map or payoff file.
        size: `small` or `paper`.
        variant: `paper` or `ssd`.
        agents: how many play.
        view: side of the square view in cells, odd.
        horizon: steps of an episode.
        options: further numbers that the game takes, by name.
        rewards: `term=weight` each, such as `extrinsic=1` or `inequity(envy=5)=1`; none for the preset's.
        steps: environment steps to train for.
        log_every: updates in one row of metrics.
        seed: of all chance.
        influence: fields of `InfluenceConfig`, at least the mode; None for no influence at all. Rewards that do not
            name `influence` give it the weight 0: it is measured and not paid.
        model: fields of `ModelConfig` and of its optimiser that differ from the preset.
        policy: fields of `PolicyConfig` that differ from the preset.
        learner: fields of `LearnerConfig`; schedules may be given in their written form.
        optimiser: fields of `Optimiser`, likewise.

    Returns:
        The configuration, tried: a game and a policy can be built from it.

    Raises:
        GameError: the game, its map or an option cannot be.
        ConfigError: anything else that cannot be.
        ValueError: a field that the network or the learner refuses.
    """
    given = {name: float(value) for name, value in (options or {}).items()}
    _check_options(tuple(given))
    common: dict[str, Any] = {"size": size, "variant": variant, "agents": agents, "view": view, "horizon": horizon}
    made = make(game, **common, **_whole(given.items()))
    name, text = _identity(game, made)
    mode = dict(influence or {}).get("mode")
    start = preset(name, size, mode)
    learner = _shards(start.learner) | dict(learner or {})
    config = RunConfig(
        game=name,
        map=text,
        size=size if name in SIZED else "small",
        variant=getattr(made, "variant", "paper"),
        agents=getattr(made, "agents", None),
        view=getattr(made, "view", None),
        horizon=getattr(made, "horizon", None),
        options=_resolved(made, given),
        policy=_replaced(start.policy, policy or {}),
        learner=_replaced(start.learner, {**learner, **_optimiser(start.learner, optimiser or {})}),
        influence=_influence(start.influence, influence, model),
        rewards=_rewards(rewards, start.rewards, mode is not None),
        steps=start.steps if steps is None else steps,
        log_every=start.log_every if log_every is None else log_every,
        seed=seed,
    )
    _check_metrics(build(config))
    return config


def _shards(learner: LearnerConfig) -> dict[str, Any]:
    """Two shards on a CPU that offers two devices: the figure is fixed, so that equal seeds mean equal runs."""
    two = jax.default_backend() == "cpu" and jax.device_count() >= 2
    return {"shards": 2} if two and learner.shards == 1 else {}


def build(config: RunConfig) -> Experiment:
    """The experiment that a configuration describes.

    Raises:
        GameError: the game cannot be.
        ConfigError: a weight for another number of agents.
        ValueError: a policy that does not fit the game.
    """
    game, influence = build_game(config), config.influence
    _check_messages(config)
    terms: list[tuple[str, RewardTerm, Weight]] = []
    for term, weight in _reward_terms(config.rewards, influence):
        if isinstance(weight, tuple) and len(weight) != game.spec.agents:
            raise ConfigError(f"reward {term.name}: {len(weight)} weights for {game.spec.agents} agents")
        made = influence.term(game) if influence and term.name == INFLUENCE else term.make(game)
        terms.append((term.name, made, weight))
    return Experiment(
        game=game,
        policy=Policy(spec=game.spec, config=config.policy, stages=influence.stages(game.spec) if influence else ()),
        config=config.learner,
        rewards=Rewards(tuple(terms)),
        auxiliary=influence.auxiliary() if influence else (),
        states=influence is not None and influence.mode == "simulator",
    )


def _check_messages(config: RunConfig) -> None:
    """Messages are paid only where there are any."""
    if config.policy.vocabulary:
        return
    if config.influence is not None and config.influence.mode == "communication":
        raise ConfigError("influence by communication needs messages: vocabulary is 0, must be 2 or more")
    if any(name == MESSAGE for name, _ in config.rewards):
        raise ConfigError(f"reward {MESSAGE} pays messages, but there are none: vocabulary is 0")


def _check_metrics(experiment: Experiment) -> None:
    """Triggers wait for metrics that are measured: known once an update has been traced, which takes a while."""
    if experiment.triggers:
        learner = jax.eval_shape(functools.partial(init, experiment), jax.eval_shape(lambda: jax.random.key(0)))
        jax.eval_shape(functools.partial(update, experiment), learner)


def build_game(config: RunConfig) -> Game:
    """The game alone."""
    return make(
        config.game,
        size=config.size,
        variant=config.variant,
        agents=config.agents,
        view=config.view,
        horizon=config.horizon,
        map=config.map,
        **_whole(config.options),
    )


def _whole(options: Iterable[tuple[str, float]]) -> dict[str, Any]:
    """Whole numbers as such: some games take no others."""
    return {name: int(value) if value.is_integer() else value for name, value in options}


def _check_options(names: Sequence[str]) -> None:
    for name in names:
        if name in _COMMON:
            raise ConfigError(f"{name} is not a further number of the game: it has an option of its own")
        if names.count(name) > 1:
            raise ConfigError(f"option {name} is given {names.count(name)} times")


def _identity(name: str, game: Any) -> tuple[str, str | None]:
    """The catalogue's name of a game, and the text of its own map or table if it came from a file."""
    if name in catalogue():
        return name, None
    if hasattr(game, "payoffs"):
        # On several lines, lest it be taken for the path of a file.
        return "matrix", json.dumps({"payoffs": game.payoffs, "actions": list(game.actions)}, indent=0)
    return game.spec.name, game.map


def _resolved(game: Any, given: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """The further options of a game with their values, given or default."""
    values = {option: getattr(game, option) for option in _OPTIONS if hasattr(game, option)} | dict(given)
    return tuple((option, float(value)) for option, value in sorted(values.items()))


def _replaced(start: Any, changes: Mapping[str, Any]) -> Any:
    """A dataclass with some fields changed; schedules may come as text."""
    fields = {}
    known = [field.name for field in dataclasses.fields(start)]
    hints = typing.get_type_hints(type(start))
    for name, value in changes.items():
        if name not in known:
            raise ConfigError(f"{type(start).__name__} has no field {name!r}{nearest(name, known)}")
        reader = {Schedule: read_schedule, Weight: read_weight}.get(hints[name]) if isinstance(value, str) else None
        fields[name] = value if reader is None else reader(value, name.replace("_", "-"))
    return dataclasses.replace(start, **fields)


def _optimiser(start: LearnerConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {"optimiser": _replaced(start.optimiser, changes)}


def _influence(
    start: InfluenceConfig | None, changes: Mapping[str, Any] | None, model: Mapping[str, Any] | None
) -> InfluenceConfig | None:
    if changes is None:
        if model:
            raise ConfigError("a model of others is part of an experiment with influence: give its mode")
        return None
    if "mode" not in changes:
        raise ConfigError(f"influence needs a mode: {', '.join(MODES)}")
    if model and changes["mode"] != "model":
        raise ConfigError(f"{', '.join(model)} of a model of others, in mode {changes['mode']}, which has none")
    first = start or InfluenceConfig(mode=changes["mode"])
    given = dict(model or {})
    known = {field.name for field in dataclasses.fields(first.model.optimiser)}
    rate = {name: given.pop(name) for name in known & given.keys()}
    changed = _replaced(first.model, given | {"optimiser": _replaced(first.model.optimiser, rate)})
    # Who influences and who is influenced go together: of the preset's sets both stay or none.
    sets = {"influencers": (), "influenced": ()} if {"influencers", "influenced"} & changes.keys() else {}
    return _replaced(first, {**sets, **changes, "model": changed})


def _rewards(given: Sequence[str], start: tuple[tuple[str, str], ...], influence: bool) -> tuple[tuple[str, str], ...]:
    """What was given or the preset's; influence that nobody named is measured and not paid."""
    rewards = tuple(split_reward(reward) for reward in given) or start
    if influence and all(name != INFLUENCE for name, _ in rewards):
        rewards += ((INFLUENCE, "0"),)
    return rewards


def _check_triggers(terms: tuple[tuple[Term, Weight], ...], updates: int, steps: int) -> None:
    """Triggers can fire, and the step is a number that they can hold; `steps` are those of an update.

    A deadline after the end is allowed: a preset's run, cut short, has one.
    """
    for trigger in triggers(tuple(weight for _, weight in terms)):
        if trigger.updates > updates and trigger.latest is None:
            raise ConfigError(
                f"a trigger waits for {trigger.updates} updates with {trigger.metric} >= {trigger.at_least:g}, "
                f"the run has {updates}: it can never fire"
            )
        if updates * steps > _LARGEST_CLOCK:
            raise ConfigError(
                f"a trigger waits for {trigger.metric}, and the run has {updates * steps} steps: with a trigger it may "
                f"have {_LARGEST_CLOCK} at most"
            )


def _reward_terms(
    rewards: tuple[tuple[str, str], ...], influence: InfluenceConfig | None
) -> tuple[tuple[Term, Weight], ...]:
    """Terms and weights, read."""
    if not rewards:
        raise ConfigError("no reward term: agents without a reward learn nothing")
    read = [(read_term(term), weight) for term, weight in rewards]
    names = [term.name for term, _ in read]
    terms = []
    for term, text in read:
        name = term.name
        if name == INFLUENCE and influence is None:
            raise ConfigError(f"reward influence needs a mode of influence: {', '.join(MODES)}")
        if names.count(name) > 1:
            raise ConfigError(f"reward {name} is given {names.count(name)} times")
        try:
            terms.append((term, parse_weight(text)))
        except ValueError as error:
            raise ConfigError(f"reward {name}: {error}") from error
        if name == INFLUENCE and influence is not None and not influence.negative:
            _check_not_negative(terms[-1][1])
    return tuple(terms)


def _check_not_negative(weight: Weight) -> None:
    for schedule in weight if isinstance(weight, tuple) else (weight,):
        for step, value in schedule.points:
            if value < 0:
                raise ConfigError(
                    f"reward {INFLUENCE}: weight {value:g} at step {step} is negative, which pays agents for not "
                    f"influencing; say so (negative) if it is meant"
                )


def _slug(rewards: tuple[tuple[str, str], ...]) -> str:
    """`extrinsic`, `extrinsic0.5-shared0.5` where weights are not 1, `inequity-envy0.0` where parameters are given."""
    parts = []
    for term, text in rewards:
        brief = read_term(term).brief
        words = re.sub(r"[(,]", "-", brief).replace("=", "").removesuffix(")")
        text = re.sub(r"when\([^()]*\):", "-when-", text)  # what is waited for would fill a line
        between = "-" if words != brief else ""
        parts.append(words if text.strip() in ("1", "1.0") else f"{words}{between}{text}")
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "-".join(parts))
