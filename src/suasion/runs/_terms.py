"""Reward terms in words: `extrinsic`, `inequity(envy=5,guilt=0.05)`, `orientation(angle=0/45/90)`.

A term's parameters are those of its fields that are numbers; where it takes one for each agent, they stand between
slashes. The complete form names all of them, so that a run's file says what the run was, whatever later defaults are.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Sequence
from typing import Any, NamedTuple

from suasion import agents, influence
from suasion.agents import RewardTerm
from suasion.games import Game
from suasion.influence import PerAgent
from suasion.records import nearest
from suasion.runs._plain import ConfigError

INFLUENCE = "influence"  # the reward whose parameters are those of `InfluenceConfig`
NAMES = (*agents.TERMS, *influence.TERMS, INFLUENCE)

_TERM = re.compile(r"([^()=,\s]+)(?:\(([^()]*)\))?")
_REWARD = re.compile(r"([^=(]*(?:\([^()]*\))?)\s*=(.*)", re.DOTALL)


class Term(NamedTuple):
    """A reward term by its name, with all its parameters.

    Attributes:
        name: in `NAMES`.
        parameters: name and value of each, in the order of the term's fields.
    """

    name: str
    parameters: tuple[tuple[str, PerAgent], ...]

    def __str__(self) -> str:
        """The complete form."""
        return self._written(self.parameters)

    @property
    def brief(self) -> str:
        """The same without parameters that have their default."""
        defaults = {name: value for name, (value, _) in _parameters(self.name).items()}
        return self._written(tuple(one for one in self.parameters if one[1] != defaults[one[0]]))

    def make(self, game: Game) -> RewardTerm:
        """The term, for a game; not for `INFLUENCE`.

        Raises:
            ConfigError: numbers that the term refuses, a game of one agent where it looks at others.
        """
        return self._made(game.spec.agents)

    def check(self) -> None:
        """Refuse, before there is a game, numbers that no game can make good."""
        counts = {len(value) for _, value in self.parameters if isinstance(value, tuple)}
        if self.name != INFLUENCE:
            self._made(max(counts, default=2))

    def _made(self, count: int) -> RewardTerm:
        given: dict[str, Any] = dict(self.parameters)
        if self.name in agents.TERMS:
            return agents.TERMS[self.name](**given)
        try:
            return influence.TERMS[self.name](agents=count, **given)
        except ValueError as error:
            raise ConfigError(f"reward {self.name}: {error}") from error

    def _written(self, parameters: Sequence[tuple[str, PerAgent]]) -> str:
        if not parameters:
            return self.name
        inside = ",".join(f"{name}={_write(value)}" for name, value in parameters)
        return f"{self.name}({inside})"


def split_reward(text: str) -> tuple[str, str]:
    """Term and weight of NAME=WEIGHT or NAME(PARAMETER=VALUE,...)=WEIGHT.

    Raises:
        ConfigError: it is neither.
    """
    found = _REWARD.fullmatch(text)
    if found is None or not found[1].strip() or not found[2].strip():
        raise ConfigError(
            f"reward {text!r}: write NAME=WEIGHT, such as extrinsic=1, or NAME(PARAMETER=VALUE,...)=WEIGHT; names are "
            f"{', '.join(NAMES)}"
        )
    return found[1].strip(), found[2].strip()


def read_term(text: str) -> Term:
    """A term from its written form, complete or not.

    Raises:
        ConfigError: an unknown term or parameter (the nearest name is offered), one given twice, a value that is no
            number or out of range.
    """
    found = _TERM.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"reward {text!r}: write a name, or NAME(PARAMETER=VALUE,...)")
    name, inside = found.groups()
    if name not in NAMES:
        raise ConfigError(f"unknown reward {name!r}{nearest(name, NAMES)}; rewards are {', '.join(NAMES)}")
    known = _parameters(name)
    given: dict[str, PerAgent] = {}
    for part in (inside or "").split(",") if (inside or "").strip() else ():
        parameter, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ConfigError(f"reward {name}: {part.strip()!r} is no PARAMETER=VALUE")
        if parameter not in known:
            told = f"parameters are {', '.join(known)}" if known else f"{name} has none"
            raise ConfigError(
                f"reward {name}: unknown parameter {parameter!r}{nearest(parameter, tuple(known))}; {told}"
            )
        if parameter in given:
            raise ConfigError(f"reward {name}: {parameter} is given twice")
        given[parameter] = _read(f"reward {name}: {parameter}", value, each=known[parameter][1])
    for parameter, (default, _) in known.items():
        if default is dataclasses.MISSING and parameter not in given:
            raise ConfigError(f"reward {name}: {parameter} must be given, such as {name}({parameter}=1)")
    term = Term(name, tuple((one, given.get(one, default)) for one, (default, _) in known.items()))
    term.check()
    return term


def _parameters(name: str) -> dict[str, tuple[Any, bool]]:
    """Default of each parameter of a term (`dataclasses.MISSING`: none), and whether each agent may have its own."""
    kind = (agents.TERMS | influence.TERMS).get(name)
    if kind is None:
        return {}
    hints = typing.get_type_hints(kind)
    return {
        field.name: (field.default, hints[field.name] == PerAgent)
        for field in dataclasses.fields(kind)
        if hints[field.name] in (float, PerAgent)
    }


def _read(place: str, text: str, *, each: bool) -> PerAgent:
    try:
        numbers = tuple(float(part) for part in text.split("/"))
    except ValueError:
        raise ConfigError(f"{place} is {text!r}, not a number{' or one for each agent' if each else ''}") from None
    if len(numbers) == 1:
        return numbers[0]
    if not each:
        raise ConfigError(f"{place} is {text!r}: one number for all agents is wanted, without /")
    return numbers


def _write(value: PerAgent) -> str:
    return "/".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
