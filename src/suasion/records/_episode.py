"""An episode on disk: enough to draw it again, to measure it, and to see who influenced whom.

Letters of the shapes: t steps, frames t + 1 states, n agents, h and w rows and columns of the map, v and u of
a view, m moments, a actions, c actions or messages of which it is asked what they would have changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suasion.records._disk import RecordError
from suasion.records._envelope import read_envelope, write_envelope

_KIND = "episode"
_FORMAT = 2  # with `varied` and `marginal`; 1, without them, is still what is written where both have their default
_VARIED = ("action", "message")
_MARGINAL = ("policy", "average")
_MOST_SYMBOLS = 2**15  # of messages
_TEXTS = ("game", "note")
_NAMES = ("classes", "actions_names", "agents")
_NUMBERS = ("seed", "step")
_TOLD = ("varied", "marginal")
_REQUIRED = ("boards", "views", "actions", "rewards")
_OPTIONAL = ("influence", "simulated", "messages", "headings", "moments", "conditionals", "marginals")
_EVENT = "events/"


@dataclass(frozen=True, kw_only=True, eq=False)
class Episode:
    """One episode, validated at birth. State i is followed by step i, which gives state i + 1.

    Attributes:
        game: name of the game.
        classes: names of the class codes 0, 1, ... of maps and views.
        palette: RGB of each class, 0 to 255.
        actions_names: names of the actions 0, 1, ...
        boards: uint8[t+1, h, w], class codes of the whole map in each state.
        views: uint8[t+1, n, v, u], class codes of each agent's view in each state.
        actions: int16[t, n], of each agent in each step.
        rewards: float32[t, n], what each agent received from the game in each step, in the game's unit.
        events: float32[t] or float32[t, n], counts or levels of each step, of the society or of each agent,
            by name.
        influence: float32[t, n, n], at [t, k, j] the influence of agent k on agent j in step t, in nats.
            None: not measured.
        simulated: float32[t, n, n], the same as the game itself says, each step played again for every action.
            None: not measured.
        messages: int16[t, n], the symbol each agent sent in each step; -1: none. None: no channel.
        agents: name of each agent.
        seed: of the episode.
        step: environment steps that the agents had been trained for.
        note: free text.
        agent_codes: the class code by which each agent is drawn on the map. None: not known.
        headings: int8[t+1, n], of each agent in each state: 0 up, 1 right, 2 down, 3 left. None: the game has
            none.
        moments: int32[m, 4], moments (t, k, j, s) of which it is recorded what agent j would have done in step s, the
            same or a later one, for each action (or message) of agent k in step t. None: not recorded.
        conditionals: uint8[m, c, a], at [i, x, y] the probability that j does y given that k does (or says) x, in
            255ths, rounded. None where `moments` is.
        marginals: uint8[m, a], the same on average over what k might have done. None where `moments` is.
        varied: what of k is varied in these tables: its `action`, then c = a; or its `message`, then c is the number of
            symbols, at most 32,768.
        marginal: over what `marginals` average: what k's `policy` might have chosen in its state; or what it chooses on
            `average` in episodes played together, as somebody expects who does not see that state.

    Raises:
        RecordError: shapes that do not fit each other, codes or actions out of range, numbers that are not
            finite.
    """

    # Shapes are checked below, not by annotations: a file's may be wrong, and then the error must be ours.
    game: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    actions_names: tuple[str, ...]
    boards: np.ndarray
    views: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    events: dict[str, np.ndarray]
    influence: np.ndarray | None = None
    simulated: np.ndarray | None = None
    messages: np.ndarray | None = None
    agents: tuple[str, ...]
    seed: int
    step: int
    note: str = ""
    agent_codes: tuple[int, ...] | None = None
    headings: np.ndarray | None = None
    moments: np.ndarray | None = None
    conditionals: np.ndarray | None = None
    marginals: np.ndarray | None = None
    varied: str = "action"
    marginal: str = "policy"

    def __post_init__(self) -> None:
        _check_names(self)
        for name, axes in {"boards": 3, "views": 4, "actions": 2}.items():
            shape = getattr(self, name).shape
            if len(shape) != axes:
                raise RecordError(f"{name} has shape {shape}: {len(shape)} axes, not {axes}")
        if 0 in self.boards.shape + self.views.shape:
            raise RecordError(f"boards {self.boards.shape} or views {self.views.shape} are empty")
        steps, agents = len(self.actions), len(self.agents)
        board, view = self.boards.shape[1:], self.views.shape[2:]
        _check_array("boards", self.boards, np.uint8, (steps + 1, *board), (0, len(self.classes)))
        _check_array("views", self.views, np.uint8, (steps + 1, agents, *view), (0, len(self.classes)))
        _check_array("actions", self.actions, np.int16, (steps, agents), (0, len(self.actions_names)))
        _check_array("rewards", self.rewards, np.float32, (steps, agents))
        for name, event in self.events.items():
            shape = (steps,) if event.ndim == 1 else (steps, agents)
            _check_array(f"events[{name!r}]", event, np.float32, shape)
        for name in ("influence", "simulated"):
            if (pairs := getattr(self, name)) is not None:
                _check_array(name, pairs, np.float32, (steps, agents, agents))
        if self.messages is not None:
            _check_array("messages", self.messages, np.int16, (steps, agents), (-1, 2**15))
        if self.headings is not None:
            _check_array("headings", self.headings, np.int8, (steps + 1, agents), (0, 4))
        _check_moments(self, steps, agents)


def most_influential(influence: np.ndarray, most: int) -> np.ndarray:
    """Places (t, k, j) of the largest influences, int64[m, 3], the largest first, the earlier first among equals.

    Args:
        influence: [t, k, j], see `Episode`.
        most: m at most; only influences above 0 count.
    """
    flat = influence.ravel()
    order = np.argsort(-flat, kind="stable")[:most]
    return np.stack(np.unravel_index(order[flat[order] > 0], influence.shape), -1)


def write_episode(path: str | Path, episode: Episode) -> None:
    """Write an episode as an envelope of kind "episode"; equal episodes give equal bytes.

    Raises:
        RecordError: a text that is no Unicode.
        OSError: the disk refused.
    """
    arrays = {name: getattr(episode, name) for name in _REQUIRED}
    arrays |= {name: array for name in _OPTIONAL if (array := getattr(episode, name)) is not None}
    arrays |= {_EVENT + name: event for name, event in episode.events.items()}
    header = {name: getattr(episode, name) for name in (*_TEXTS, *_NAMES, *_NUMBERS, "palette", "agent_codes")}
    write_envelope(path, _KIND, arrays, header | kinds_written(episode.varied, episode.marginal))


def read_episode(path: str | Path) -> Episode:
    """Read what `write_episode` wrote; the arrays are read-only.

    Raises:
        RecordError: missing, foreign, damaged, newer, or not an episode that could have been written. No
            other.
    """
    envelope = read_envelope(path, _KIND)
    fields = _fields(envelope.header, str(path))
    arrays = dict(envelope.arrays)
    fields |= {name: arrays.pop(name, None) for name in (*_REQUIRED, *_OPTIONAL)}
    for name in _REQUIRED:
        if fields[name] is None:
            raise RecordError(f"{path}: the array {name!r} is missing")
    for name in arrays:
        if not name.startswith(_EVENT):
            raise RecordError(f"{path}: the array {name[:80]!r} is not part of an episode")
    fields["events"] = {name.removeprefix(_EVENT): array for name, array in arrays.items()}
    try:
        return Episode(**fields)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error


def _check_names(episode: Episode) -> None:
    if not 1 <= len(episode.classes) <= 256:
        raise RecordError(f"{len(episode.classes)} classes; must be within 1 and 256")
    if len(episode.palette) != len(episode.classes):
        raise RecordError(f"{len(episode.palette)} colours for {len(episode.classes)} classes")
    for code, colour in enumerate(episode.palette):
        if len(colour) != 3 or not all(0 <= part <= 255 for part in colour):
            raise RecordError(f"palette[{code}] is {colour}; must be three numbers within 0 and 255")
    if not episode.actions_names or not episode.agents:
        raise RecordError(f"{len(episode.actions_names)} actions, {len(episode.agents)} agents; at least 1 each")
    for name in _NUMBERS:
        if not 0 <= getattr(episode, name) < 2**64:
            raise RecordError(f"{name} is {getattr(episode, name)}; must be within 0 and 2^64 - 1")
    codes = episode.agent_codes
    if codes is not None:
        if len(codes) != len(episode.agents):
            raise RecordError(f"{len(codes)} agent codes for {len(episode.agents)} agents")
        if not all(0 <= code < len(episode.classes) for code in codes):
            raise RecordError(f"agent_codes is {codes}; must be within 0 and {len(episode.classes) - 1}")


def kinds_written(varied: str, marginal: str) -> dict[str, Any]:
    """What a header says of tables: their format, and what is varied and averaged over if not the default."""
    if (varied, marginal) == (_VARIED[0], _MARGINAL[0]):
        return {"format": 1}
    return {"format": _FORMAT, "varied": varied, "marginal": marginal}


def kinds_read(header: dict[str, Any], place: str) -> dict[str, str]:
    """Takes out of a header what `kinds_written` wrote.

    Args:
        header: loses it.
        place: of what, in errors.

    Raises:
        RecordError: another format, or what that format does not have.
    """
    number = header.pop("format", None)
    if type(number) is not int or not 1 <= number <= _FORMAT:
        age = "newer than" if type(number) is int and number > _FORMAT else "unknown to"
        raise RecordError(f"{place} format {str(number)[:40]}, {age} this program (it reads 1 to {_FORMAT})")
    if number == 1:
        return dict(zip(_TOLD, (_VARIED[0], _MARGINAL[0]), strict=True))
    kinds = {name: header.pop(name, None) for name in _TOLD}
    for name, kind in kinds.items():
        if not isinstance(kind, str):
            raise RecordError(f"{place} format {_FORMAT}: header.{name} must be a string")
    return kinds


def check_kinds(varied: str, marginal: str, alternatives: int, actions: int) -> None:
    """Refuse kinds of tables that there are not, or that have another number of rows.

    Args:
        varied: see `Episode`.
        marginal: see `Episode`.
        alternatives: rows of a table.
        actions: how many there are.
    """
    for name, kind, known in (("varied", varied, _VARIED), ("marginal", marginal, _MARGINAL)):
        if kind not in known:
            raise RecordError(f"{name} is {kind[:40]!r}; must be {' or '.join(known)}")
    if varied == "action" and alternatives != actions:
        raise RecordError(f"conditionals of {alternatives} alternatives, not of the {actions} actions")
    if varied == "message" and not 1 <= alternatives <= _MOST_SYMBOLS:
        raise RecordError(f"conditionals of {alternatives} symbols; must be within 1 and {_MOST_SYMBOLS}")


def _check_moments(episode: Episode, steps: int, agents: int) -> None:
    moments, conditionals, marginals = episode.moments, episode.conditionals, episode.marginals
    actions = len(episode.actions_names)
    check_kinds(episode.varied, episode.marginal, _rows(episode), actions)
    if moments is None or conditionals is None or marginals is None:
        if not (moments is None and conditionals is None and marginals is None):
            raise RecordError("moments, conditionals and marginals belong together; some are missing")
        if kinds_written(episode.varied, episode.marginal)["format"] > 1:
            raise RecordError(f"varied is {episode.varied!r}, marginal {episode.marginal!r}, but there are no moments")
        return
    count = len(moments) if moments.ndim else 0
    _check_array("moments", moments, np.int32, (count, 4), (0, 2**31 - 1))
    for column, (name, limit) in enumerate((("step", steps), ("agent", agents), ("agent", agents), ("step", steps))):
        if (bad := np.flatnonzero(moments[:, column] >= limit)).size:
            place = int(bad[0])
            raise RecordError(f"moments[{place}, {column}] is {name} {moments[place, column]} of {limit}")
    if (bad := np.flatnonzero((moments[:, 3] < moments[:, 0]) | (moments[:, 1] == moments[:, 2]))).size:
        raise RecordError(f"moments[{int(bad[0])}] is {moments[bad[0]].tolist()}: not of two agents, in order of time")
    _check_array("conditionals", conditionals, np.uint8, (count, _rows(episode), actions), (0, 256))
    _check_array("marginals", marginals, np.uint8, (count, actions), (0, 256))
    if episode.varied == "message":
        _check_said(episode, moments, _rows(episode))


def _rows(episode: Episode) -> int:
    """Of a table; of tables that are not there, or of no table's shape, as many as there are actions."""
    tables = episode.conditionals
    return len(episode.actions_names) if tables is None or tables.ndim != 3 else tables.shape[1]


def _check_said(episode: Episode, moments: np.ndarray, symbols: int) -> None:
    """What was said is one of the symbols, and in the moments of tables something was said."""
    if episode.messages is None:
        raise RecordError("varied is 'message', but there are no messages")
    if (unknown := np.argwhere(episode.messages >= symbols)).size:
        t, k = (int(index) for index in unknown[0])
        raise RecordError(f"messages[{t}, {k}] is {episode.messages[t, k]} of {symbols} symbols")
    if (silent := np.flatnonzero(episode.messages[moments[:, 0], moments[:, 1]] < 0)).size:
        place = int(silent[0])
        raise RecordError(f"moments[{place}] is {moments[place].tolist()}: agent {moments[place, 1]} said nothing")


def _check_array(
    name: str, array: np.ndarray, dtype: type, shape: tuple[int, ...], within: tuple[int, int] | None = None
) -> None:
    if array.dtype != dtype:
        raise RecordError(f"{name} is of {array.dtype}, not {np.dtype(dtype)}")
    if array.shape != shape:
        raise RecordError(f"{name} has shape {array.shape}, not {shape}")
    if within is None:
        bad = ~np.isfinite(array)
        rule = "must be finite"
    else:
        bad = (array < within[0]) | (array >= within[1])
        rule = f"must be within {within[0]} and {within[1] - 1}"
    if bad.any():
        place = tuple(int(index) for index in np.argwhere(bad)[0])
        raise RecordError(f"{name}{list(place)} is {array[place]}; {rule}")


def _fields(header: dict[str, Any], place: str) -> dict[str, Any]:
    """The header's part of an episode, each value of the type that the record has."""
    header = dict(header)
    kinds = kinds_read(header, f"{place}: episode")
    readers: dict[str, Callable[[Any], Any]] = dict.fromkeys(_TEXTS, _text)
    readers |= dict.fromkeys(_NAMES, _texts) | dict.fromkeys(_NUMBERS, _number)
    readers |= {"palette": _palette, "agent_codes": _codes}
    if header.keys() != readers.keys():
        wrong = sorted(header.keys() ^ readers.keys())
        raise RecordError(f"{place}: header: missing or unknown: {', '.join(wrong)[:200]}")
    fields: dict[str, Any] = dict(kinds)
    for name, reader in readers.items():
        try:
            fields[name] = reader(header[name])
        except TypeError as error:
            raise RecordError(f"{place}: header.{name} must be {error}") from error
    return fields


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise TypeError("a list of strings")
    return tuple(value)


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("an integer")
    return value


def _codes(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(entry) is int for entry in value):
        raise TypeError("null or a list of integers")
    return tuple(value)


def _palette(value: Any) -> tuple[tuple[int, int, int], ...]:
    if not isinstance(value, list):
        raise TypeError("a list of colours")
    for colour in value:
        if not isinstance(colour, list) or len(colour) != 3 or not all(type(part) is int for part in colour):
            raise TypeError("a list of three integers each")
    return tuple((colour[0], colour[1], colour[2]) for colour in value)
