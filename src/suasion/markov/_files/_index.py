"""The index of a UMB file: what it declares, checked against the standard before anything else is read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from suasion.markov._files._source import FormatError, short, strict_json
from suasion.markov._question import Question

INDEX = "index.json"
TOOL = "suasion"
_HIGHEST = 2**64 - 1


@dataclasses.dataclass(frozen=True)
class Node:
    """A value of JSON and where it stands, for messages."""

    value: Any
    place: str

    def error(self, wanted: str) -> FormatError:
        """What this value should be."""
        return FormatError(f"{self.place} is {short(self.value)}; it must be {wanted}")

    def fields(self) -> dict[str, Node]:
        """The entries of an object."""
        return {key: Node(value, f"{self.place}.{key[:80]}") for key, value in self._object().items()}

    def __contains__(self, key: str) -> bool:
        return key in self._object()

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.error("an object")
        return self.value

    def __getitem__(self, key: Any) -> Node:
        if key not in self._object():
            raise FormatError(f"{self.place}.{key} is missing")
        return Node(self.value[key], f"{self.place}.{key}")

    def get(self, key: str, default: Any) -> Node:
        """An entry that may be absent."""
        return Node(self._object().get(key, default), f"{self.place}.{key}")

    def whole(self, low: int = 0, high: int = _HIGHEST) -> int:
        """A whole number."""
        if type(self.value) is not int or not low <= self.value <= high:
            raise self.error(f"a whole number from {low} to {high}")
        return self.value

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self.error("a string")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """A list of strings."""
        if not isinstance(self.value, list) or not all(isinstance(entry, str) for entry in self.value):
            raise self.error("a list of strings")
        return tuple(self.value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index:
    """What `index.json` declares.

    Attributes:
        states, choices, branches, players, initial_states, choice_actions, observations: the counts.
        stochastic: whether observations have probabilities.
        rewards: alias -> (identifier, what it applies to).
        labels: alias -> identifier.
        own: identifiers of annotations that we add to the standard.
        question: what is asked of the model, from our own parameters.
        state_names, observation_names: likewise.
        seen_actions: likewise, actions that observations are given for; 0 if as many as there are.
        sizes: bytes that members take.
    """

    states: int
    choices: int
    branches: int
    players: int
    initial_states: int
    choice_actions: int
    observations: int
    stochastic: bool
    rewards: dict[str, tuple[str, tuple[str, ...]]]
    labels: dict[str, str]
    own: frozenset[str]
    question: Question
    state_names: tuple[str, ...]
    observation_names: tuple[str, ...]
    seen_actions: int

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the members whose sizes follow from the counts."""
        return {
            "state-to-choices.bin": 8 * (self.states + 1),
            "choice-to-branches.bin": 8 * (self.choices + 1),
            "branch-to-target.bin": 8 * self.branches,
            "branch-to-probability.bin": 8 * self.branches,
            "state-is-initial.bin": -(-self.states // 64) * 8,
            "actions/choices/values.bin": 4 * self.choices,
        }


def read_index(content: bytes, path: Path) -> Index:
    """Parse and check.

    Raises:
        FormatError: not as the standard says, or of a kind that is not read here.
    """
    top = Node(strict_json(content, f"{path}: {INDEX}"), f"{path}: {INDEX}: index")
    if (version := top["format-version"].whole()) != 1:
        raise FormatError(f"{path}: {INDEX}: format version {version}; this program reads 1")
    system = top["transition-system"]
    if (time := system["time"]).value != "discrete":
        raise time.error("'discrete': models of continuous time are not read")
    _double(system["branch-probability-type"])
    observations = system.get("#observations", 0).whole()
    if observations and (place := system["observations-apply-to"]).value != "states":
        raise place.error("'states': observations of branches are not read")
    stochastic = "observation-probability-type" in system
    if stochastic:
        _double(system["observation-probability-type"])
    annotations = top.get("annotations", {})
    file = top.get("file-data", {})
    ours = file.get("tool", "").value == TOOL
    parameters = file.get("parameters", {}) if ours else Node({}, "")
    return Index(
        states=system["#states"].whole(1),
        choices=system["#choices"].whole(),
        branches=system["#branches"].whole(),
        players=system["#players"].whole(0, 1),
        initial_states=system["#initial-states"].whole(),
        choice_actions=system.get("#choice-actions", 0).whole(0, 2**31 - 1),
        observations=observations,
        stochastic=stochastic,
        rewards=_rewards(annotations.get("rewards", {})),
        labels=_labels(annotations.get("aps", {})),
        own=frozenset(annotations.get(TOOL, {}).fields()) if ours else frozenset(),
        question=question(parameters),
        state_names=parameters.get("states", []).texts(),
        seen_actions=parameters.get("n_actions", 0).whole(0, 2**31 - 1),
        observation_names=parameters.get("observations", []).texts(),
    )


def question(parameters: Node) -> Question:
    """The question in an object of `discount` and `maximise`, both optional."""
    discount = parameters.get("discount", None)
    if discount.value is not None and type(discount.value) not in (int, float):
        raise discount.error("a number from 0 to 1")
    maximise = parameters.get("maximise", True)
    if type(maximise.value) is not bool:
        raise maximise.error("true or false")
    try:
        held = None if discount.value is None else float(discount.value)
        return Question(discount=held, maximise=maximise.value)
    except (ValueError, OverflowError) as error:
        raise discount.error("a number from 0 to 1") from error


def _double(kind: Node) -> None:
    name = kind["type"]
    if name.value != "double":
        raise name.error("'double': intervals and exact fractions are not read")
    if (size := kind.get("size", 64)).value != 64:
        raise size.error("64")


def _rewards(group: Node) -> dict[str, tuple[str, tuple[str, ...]]]:
    held: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name, entry in group.fields().items():
        alias = entry.get("alias", name).text()
        where = entry["applies-to"].texts()
        if not where or set(where) - {"states", "choices", "branches"}:
            raise entry["applies-to"].error("a list of states, choices, branches")
        if "probability-type" in entry:
            raise entry["probability-type"].error("absent: random rewards are not read")
        if alias in held:
            raise entry.get("alias", name).error("distinct among rewards")
        held[alias] = (name, where if _is_double(entry) else ())
    return held


def _is_double(entry: Node) -> bool:
    """Whether a reward can be read; others are refused only if asked for."""
    return entry["type"]["type"].value == "double" and entry["type"].get("size", 64).value == 64


def _labels(group: Node) -> dict[str, str]:
    held: dict[str, str] = {}
    for name, entry in group.fields().items():
        alias = entry.get("alias", name).text()
        if entry["applies-to"].texts() != ("states",):
            raise entry["applies-to"].error("['states']")
        if (kind := entry["type"]["type"]).value != "bool":
            raise kind.error("'bool'")
        if alias in held:
            raise entry.get("alias", name).error("distinct among atomic propositions")
        held[alias] = name
    return held
