"""Learning rules, step sizes and rates as words of a command line.

The rules are those of `suasion.td` that act, by name: `QLearning` is q-learning, and what follows a colon are its
numbers: n-step-sarsa:n=8,step-size=0.2.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

Ties = Literal["uniform", "first"]
_SCHEDULES = "a number, polynomial:EXPONENT or linear:FIRST:LAST:OVER"


def known_rules() -> dict[str, type]:
    """Every rule of `suasion.td` that acts, by its name in kebab case."""
    from suasion import td

    classes = [held for held in vars(td).values() if isinstance(held, type) and dataclasses.is_dataclass(held)]
    return {kebab(c.__name__): c for c in classes if "exploration" in _fields(c)}


def kebab(name: str) -> str:
    """QLearning as q-learning."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def rule_of(text: str, step_size: str | None, exploration: Any) -> Any:
    """A rule from words such as q-learning or n-step-sarsa:n=8,step-size=polynomial:0.7.

    Args:
        text: the name, and after a colon numbers that are this rule's own.
        step_size: of rules that are not given their own; None leaves the rule's default.
        exploration: how all of them explore; None leaves the rule's default.

    Raises:
        ValueError: there is no such rule, or no such number of it, or the number is out of range.
    """
    name, _, rest = text.partition(":")
    known = known_rules()
    if name not in known:
        from suasion.records import nearest

        raise ValueError(f"unknown algorithm {name!r}{nearest(name, known)}; algorithms are {', '.join(known)}")
    fields = _fields(known[name])
    given: dict[str, Any] = {} if exploration is None else {"exploration": exploration}
    if step_size is not None and "step_size" in fields:
        given["step_size"] = schedule_of("--step-size", step_size)
    own = {kebab_field(field): field for field in fields if field != "exploration"}
    for part in rest.split(",") if rest else []:
        option, equals, value = part.partition("=")
        if not equals or option not in own:
            raise ValueError(f"{text}: {part!r} is none of {', '.join(f'{o}=' for o in own)} after {name}:")
        given[own[option]] = _number(f"{text}: {option}", fields[own[option]], value)
    try:
        return known[name](**given)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from error


def kebab_field(field: str) -> str:
    """step_size as step-size, lambda_ as lambda."""
    return field.strip("_").replace("_", "-")


def schedule_of(option: str, text: str) -> Any:
    """A number, polynomial:EXPONENT[:FIRST[:DELAY]] or linear:FIRST:LAST:OVER as what `suasion.td` reads.

    Args:
        option: its name, for messages.
        text: the words.

    Raises:
        ValueError: it is none of these, or a number is out of its range.
    """
    from suasion.td import Linear, Polynomial

    kind, *rest = text.split(":")
    try:
        if not rest:
            return float(kind)
        numbers = [float(part) for part in rest]
    except ValueError:
        raise ValueError(f"{option} {text}: write {_SCHEDULES}") from None
    try:
        if kind == "polynomial" and len(numbers) <= 3:
            return Polynomial(**dict(zip(("exponent", "first", "delay"), numbers, strict=False)))
        if kind == "linear" and len(numbers) == 3 and numbers[2].is_integer():
            return Linear(first=numbers[0], last=numbers[1], over=int(numbers[2]))
    except ValueError as error:
        raise ValueError(f"{option} {text}: {error}") from error
    raise ValueError(f"{option} {text}: write {_SCHEDULES}")


def exploration_of(epsilon: str | None, temperature: str | None, ucb: float | None, ties: Ties) -> Any:
    """How all rules explore, or None for each rule's default.

    Raises:
        ValueError: two ways at once, or a number is out of its range.
    """
    from suasion.td import UCB, EpsilonGreedy, Softmax

    greedy = epsilon is not None or ties != "uniform"
    if greedy + (temperature is not None) + (ucb is not None) > 1:
        raise ValueError("--temperature, --ucb, and --epsilon with --ties are three ways to explore: give one")
    if temperature is not None:
        return Softmax(temperature=schedule_of("--temperature", temperature))
    if ucb is not None:
        return UCB(c=ucb)
    if not greedy:
        return None
    level: dict[str, Any] = {} if epsilon is None else {"epsilon": schedule_of("--epsilon", epsilon)}
    return EpsilonGreedy(ties=ties, **level)


def _fields(rule: type) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(rule)}


def _number(option: str, field: dataclasses.Field[Any], text: str) -> Any:
    """As the kind that the field's default is of."""
    if field.name == "step_size":
        return schedule_of(option, text)
    kind = type(field.default)
    if kind not in (int, float, bool):
        return text
    try:
        return {"yes": True, "no": False}[text] if kind is bool else kind(text)
    except (ValueError, KeyError):
        word = {int: "a whole number", float: "a number", bool: "yes or no"}[kind]
        raise ValueError(f"{option} is {text!r}, not {word}") from None
