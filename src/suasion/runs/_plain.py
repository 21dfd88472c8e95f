"""Configurations as plain JSON values and back: strict in both directions, so that a run can be told by its file."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from suasion.agents import Schedule, Weight, parse_weight, write_weight

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be: the message names the place and the value."""


def to_plain(value: Any, place: str = "configuration") -> Any:
    """JSON values for a tree of dataclasses, tuples, schedules, numbers and texts.

    Schedules become their written form, infinity the text `inf`.

    Raises:
        ConfigError: a value that has no such form.
    """
    if isinstance(value, Schedule) or (value and isinstance(value, tuple) and isinstance(value[0], Schedule)):
        return write_weight(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name), f"{place}.{field.name}")
            for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return [to_plain(entry, f"{place}[{index}]") for index, entry in enumerate(value)]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"{place} is a {type(value).__name__}, which has no written form")


def from_plain(kind: type[T], value: Any, place: str = "configuration") -> T:
    """The inverse of `to_plain` for a dataclass: every field must be there, and nothing else.

    Raises:
        ConfigError: a key that is unknown or missing, or a value of the wrong type; all are named. What the
            dataclass itself refuses is reported with its place.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{place} is a {type(value).__name__}, not an object")
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(str(key)[:80] for key in value.keys() - set(names))
    if unknown:
        raise ConfigError(f"{place}: unknown keys {', '.join(unknown)}; known are {', '.join(names)}")
    missing = [name for name in names if name not in value]
    if missing:
        raise ConfigError(f"{place}: keys are missing: {', '.join(missing)}")
    kinds = typing.get_type_hints(kind)
    fields = {name: _read(kinds[name], value[name], f"{place}.{name}") for name in names}
    try:
        return kind(**fields)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error


def _read(kind: Any, value: Any, place: str) -> Any:
    """A value of an annotated type."""
    if kind == Weight:
        return read_weight(value, place)
    origin = typing.get_origin(kind)
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        (kind,) = [each for each in typing.get_args(kind) if each is not type(None)]
        return _read(kind, value, place)
    if origin is Literal:
        if not isinstance(value, str) or value not in typing.get_args(kind):
            raise ConfigError(f"{place} is {_short(value)}, not one of {', '.join(typing.get_args(kind))}")
        return value
    if origin is tuple:
        return _read_tuple(kind, value, place)
    if kind is Schedule:
        return read_schedule(value, place)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return from_plain(kind, value, place)
    return _read_plain(kind, value, place)


def _read_tuple(kind: Any, value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{place} is {_short(value)}, not a list")
    parts = typing.get_args(kind)
    if len(parts) == 2 and parts[1] is Ellipsis:
        parts = (parts[0],) * len(value)
    if len(parts) != len(value):
        raise ConfigError(f"{place} has {len(value)} entries, not {len(parts)}")
    return tuple(
        _read(part, entry, f"{place}[{index}]") for index, (part, entry) in enumerate(zip(parts, value, strict=True))
    )


def _read_plain(kind: Any, value: Any, place: str) -> Any:
    if kind is float:
        if value in ("inf", "-inf"):
            return float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        raise ConfigError(f"{place} is {_short(value)}, not a number")
    if type(value) is not kind:
        wanted = {int: "a whole number", str: "a text", bool: "true or false"}[kind]
        raise ConfigError(f"{place} is {_short(value)}, not {wanted}")
    return value


def read_weight(text: Any, place: str) -> Weight:
    """A schedule, or one for each agent, from its written form.

    Raises:
        ConfigError: it cannot be read.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{place} is {_short(text)}, not the text of a schedule")
    try:
        return parse_weight(text)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error


def read_schedule(text: Any, place: str) -> Schedule:
    """One schedule for all agents from its written form.

    Raises:
        ConfigError: it cannot be read, or differs between agents.
    """
    schedule = read_weight(text, place)
    if not isinstance(schedule, Schedule):
        raise ConfigError(f"{place} is {text!r}: one schedule for all agents is wanted, without /")
    return schedule


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
