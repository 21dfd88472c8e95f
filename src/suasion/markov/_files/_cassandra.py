"""The text format of Cassandra's POMDP programs (.POMDP, .MDP): reading.

Every action is there in every state. Numbers stay as in the file: `values: cost` is told by the question. A reward that
depends on the observation becomes its mean given action and next state, which is all that planning needs.

References:
    https://www.pomdp.org/code/pomdp-file-spec.html
"""

from __future__ import annotations

import io
import math
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from suasion.markov._files._cassandra_tables import MOST_CHOICES, MOST_SEEN, MOST_WORK, Rewards, Transitions
from suasion.markov._files._parts import Parts, assemble, lift
from suasion.markov._files._source import FormatError, read_bytes, short
from suasion.markov._mdp import MDP, check_distribution
from suasion.markov._pomdp import POMDP
from suasion.markov._question import Question

_SETS = ("states", "actions", "observations")
_HEADS = {*_SETS, "discount", "values", "start", "T", "O", "R"}


def read_cassandra(path: Path, rewards: str | None = None) -> tuple[MDP | POMDP, Question]:
    """Read a .POMDP or .MDP file.

    Raises:
        FormatError: with the line.
    """
    if rewards is not None:
        raise FormatError(f"{path}: this format has one reward model, without a name; rewards={short(rewards)}")
    return _Reader(path, read_bytes(path)).read()


class _Words:
    """Words and colons of a text, comments left out, with the line of the word given last."""

    def __init__(self, path: Path, content: bytearray) -> None:
        self.path = path
        self.line = 0
        self._source = self._read(content)
        self._ahead: deque[tuple[int, str]] = deque()

    def _read(self, content: bytearray) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(io.BytesIO(content), 1):
            try:
                text = line.partition(b"#")[0].decode()
            except UnicodeDecodeError as error:
                raise FormatError(f"{self.path}: line {number}: not UTF-8") from error
            for word in text.replace(":", " : ").split():
                yield number, word

    def peek(self, place: int = 0) -> str:
        """A word ahead; empty after the end."""
        while len(self._ahead) <= place:
            found = next(self._source, None)
            if found is None:
                return ""
            self._ahead.append(found)
        return self._ahead[place][1]

    def next(self) -> str:
        if not self.peek():
            raise self.error("the file ends in the middle of a statement")
        self.line, word = self._ahead.popleft()
        return word

    def colon(self) -> None:
        if (word := self.next()) != ":":
            raise self.error(f"{short(word)} where a colon comes")

    def head(self) -> bool:
        """Whether a new statement starts here, or the file ends."""
        word = self.peek()
        ahead = self.peek(1) == ":" or (word == "start" and self.peek(2) == ":")
        return not word or (word in _HEADS and ahead)

    def after_one(self) -> bool:
        """Whether a statement starts, or the file ends, after the next word."""
        first = self._ahead.popleft()
        found = self.head()
        self._ahead.appendleft(first)
        return found

    def number(self) -> float:
        word = self.next()
        try:
            value = math.nan if "_" in word else float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"{short(word)} is not a finite number")
        return value

    def numbers(self, count: int) -> ndarray:
        """A row; its length is known only when it has been read, so nothing is allocated by `count`."""
        return np.array([self.number() for _ in range(count)])

    def error(self, message: str) -> FormatError:
        return FormatError(f"{self.path}: line {self.line}: {message}")


class _Set:
    """States, actions or observations: how many, and their names."""

    def __init__(self, kind: str, words: _Words) -> None:
        self.kind = kind
        names = []
        while not words.head():
            names.append(words.next())
        if len(names) == 1 and names[0].isascii() and names[0].isdigit():
            self.names: tuple[str, ...] = ()
            self.count = int(names[0]) if len(names[0]) < 19 else 10**18
        else:
            self.names, self.count = tuple(names), len(names)
        self.index = {name: number for number, name in enumerate(self.names)}
        if not self.count or len(self.index) != len(self.names):
            raise words.error(f"there are no {kind}, or one name comes twice")
        for name in self.names:
            if not (name[0].isalpha() or name[0] == "_"):
                raise words.error(f"{short(name)} among the {kind}: a name starts with a letter")

    def find(self, words: _Words) -> int | None:
        """The index that the next word means; None for *."""
        word = words.next()
        if word == "*":
            return None
        if (index := self.index.get(word)) is not None:
            return index
        if word.isascii() and word.isdigit() and len(word) < 19 and int(word) < self.count:
            return int(word)
        raise words.error(f"{short(word)} is none of the {self.count} {self.kind}")


class _Reader:
    """One statement after the other: first all but rewards, then rewards, which are kept for what can happen."""

    def __init__(self, path: Path, content: bytearray) -> None:
        self.path = path
        self.content = content
        self.discount: float | None = None
        self.maximise = True
        self.sets: dict[str, _Set] = {}
        self.start: ndarray | None = None
        self.transitions: Transitions | None = None
        self.observation: ndarray | None = None
        self._known: set[str] = set()
        self._seen_work = 0

    def read(self) -> tuple[MDP | POMDP, Question]:
        """The model and its question."""
        words = _Words(self.path, self.content)
        self._each(words, lambda head: self._statement(words, head))
        transitions = self._begin(words)
        start, target, probability = transitions.result()
        empty = np.diff(start) == 0
        if empty.any():
            s, a = divmod(int(np.argmax(empty)), transitions.actions)
            raise FormatError(f"{self.path}: no probabilities are given for state {s}, action {a}")
        symbols = self.sets["observations"].count if "observations" in self.sets else 0
        rewards = Rewards((start, target, probability), transitions.states, transitions.actions, symbols)
        words = _Words(self.path, self.content)
        self._each(words, lambda head: self._reward(words, head, rewards))
        count = len(transitions.rows(None, None))
        parts = Parts(
            choice_start=np.arange(0, count + 1, transitions.actions),
            branch_start=start,
            target=target,
            probability=probability,
            choice_reward=np.zeros(count),
            branch_reward=rewards.expected(self.observation),
            initial=self.start,
            states=self.sets["states"].names,
            actions=self.sets["actions"].names,
        )
        lift(parts)
        model = assemble(parts, self.path)
        asked = Question(discount=self.discount, maximise=self.maximise)
        if self.observation is None:
            return model, asked
        try:
            names = self.sets["observations"].names
            return POMDP(mdp=model, observation=self.observation, observations=names), asked
        except ValueError as error:
            raise FormatError(f"{self.path}: {error}") from error

    def _each(self, words: _Words, read: Callable[[str], None]) -> None:
        """Call `read` after the first word of each statement."""
        try:
            while words.peek():
                if not words.head():
                    raise words.error(f"{short(words.next())} belongs to no statement")
                read(words.next())
        except FormatError:
            raise
        except ValueError as error:  # limits of the tables
            raise words.error(str(error)) from error

    def _statement(self, words: _Words, head: str) -> None:
        if head == "R":
            _skip(words)
        elif head == "start":
            self._start(words)
        elif head == "T":
            words.colon()
            self._transition(words, self._begin(words))
        elif head == "O":
            words.colon()
            self._observe(words, self._begin(words))
        else:
            words.colon()
            self._preamble(words, head)

    def _preamble(self, words: _Words, head: str) -> None:
        if self.transitions is not None or head in self._known:
            raise words.error(f"{head} twice, or after the first probabilities")
        self._known.add(head)
        if head in _SETS:
            self.sets[head] = _Set(head, words)
        elif head == "discount":
            self.discount = words.number()
            Question(discount=self.discount)
        else:
            if (word := words.next()) not in ("reward", "cost"):
                raise words.error(f"values are {short(word)}, neither reward nor cost")
            self.maximise = word == "reward"

    def _states(self, words: _Words) -> _Set:
        for kind in ("states", "actions"):
            if kind not in self.sets:
                raise words.error(f"before this, `{kind}:` is missing")
        if self.sets["states"].count * self.sets["actions"].count > MOST_CHOICES:
            raise words.error(
                f"{self.sets['states'].count} states x {self.sets['actions'].count} actions; limit {MOST_CHOICES}"
            )
        return self.sets["states"]

    def _start(self, words: _Words) -> None:
        states = self._states(words)
        kind = words.next() if words.peek() != ":" else ""
        words.colon()
        if kind in ("include", "exclude"):
            chosen = np.zeros(states.count, bool)
            while not words.head():
                chosen[states.find(words)] = True
            chosen ^= kind == "exclude"
            if not chosen.any():
                raise words.error("no state is left to start from")
            self.start = chosen / chosen.sum()
        elif words.peek() == "uniform":
            words.next()
            self.start = np.full(states.count, 1 / states.count)
        elif kind:
            raise words.error(f"start {short(kind)} is neither include nor exclude")
        else:
            first = states.find(words) if _alone(words) else None
            self.start = words.numbers(states.count) if first is None else np.arange(states.count) == first
            self.start = self.start.astype(np.float64)
            check_distribution("start", self.start)

    def _begin(self, words: _Words) -> Transitions:
        """The tables, when all sizes are known."""
        if self.transitions is None:
            states, actions = self._states(words).count, self.sets["actions"].count
            self.transitions = Transitions(states, actions, len(self.content))
            if "observations" in self.sets:
                if (size := states * actions * self.sets["observations"].count) > MOST_SEEN:
                    raise words.error(f"{size} probabilities of observations; limit {MOST_SEEN}")
                self.observation = np.zeros((actions, states, self.sets["observations"].count))
        return self.transitions

    def _transition(self, words: _Words, table: Transitions) -> None:
        a = self.sets["actions"].find(words)
        if words.peek() != ":":
            if (word := words.peek()) in ("identity", "uniform"):
                words.next()
                table.identity(a) if word == "identity" else table.row(a, None, _even(table.states))
            else:
                for state in range(table.states):
                    table.row(a, state, _probabilities(words, table.states))
            return
        words.colon()
        s = self.sets["states"].find(words)
        if words.peek() == ":":
            words.colon()
            to = self.sets["states"].find(words)
            table.entry(a, s, to, float(_probabilities(words, 1)[0]))
        elif words.peek() == "reset":
            words.next()
            table.row(a, s, _even(table.states) if self.start is None else self.start)
        else:
            table.row(a, s, _row(words, table.states))

    def _observe(self, words: _Words, table: Transitions) -> None:
        if self.observation is None:
            raise words.error("O without `observations:` before it")
        held = self.observation
        symbols = held.shape[2]
        a = self.sets["actions"].find(words)
        where: list[int | slice] = [_all(a), slice(None), slice(None)]
        if words.peek() == ":":
            words.colon()
            where[1] = _all(self.sets["states"].find(words))
            if words.peek() == ":":
                words.colon()
                where[2] = _all(self.sets["observations"].find(words))
                values: ndarray | float = float(_probabilities(words, 1)[0])
            else:
                values = _row(words, symbols)
        elif words.peek() == "uniform":
            values = _row(words, symbols)
        else:
            for s in range(table.states):
                held[_all(a), s] = _probabilities(words, symbols)
            return
        self._seen_work += held[tuple(where)].size
        if self._seen_work > MOST_WORK:
            raise words.error(f"more than {MOST_WORK} assignments of observations by wildcards")
        held[tuple(where)] = values

    def _reward(self, words: _Words, head: str, table: Rewards) -> None:
        if head != "R":
            _skip(words)
            return
        words.colon()
        states, symbols = self.sets["states"], self.sets.get("observations")
        at: list[int | None] = [self.sets["actions"].find(words)]
        kinds = [states, states, *([symbols] if symbols else [])]
        while words.peek() == ":":
            words.colon()
            if len(at) <= len(kinds):
                at.append(kinds[len(at) - 1].find(words))
            elif symbols is not None or words.next() != "*":
                raise words.error("a reward has at most action, state, next state and observation")
        a, s = at[0], at[1] if len(at) > 1 else None
        if len(at) == 4 or (len(at) == 3 and symbols is None):
            table.entry(a, s, at[2], at[3] if len(at) == 4 else None, words.number())
        elif len(at) == 3 and symbols:
            table.over_symbols(a, s, at[2], words.numbers(symbols.count))
        elif symbols and len(at) == 2:
            rows = [words.numbers(symbols.count) for _ in range(states.count)]
            table.over_both(a, s, np.array(rows))
        elif symbols:
            raise words.error("a reward needs at least action and state")
        else:
            for state in range(states.count) if len(at) == 1 else [s]:
                table.over_targets(a, state, words.numbers(states.count))


def _skip(words: _Words) -> None:
    while not words.head():
        words.next()


def _alone(words: _Words) -> bool:
    """Whether one word is left before the next statement."""
    if words.head():
        raise words.error("start of nothing")
    return words.after_one()


def _all(index: int | None) -> int | slice:
    return slice(None) if index is None else index


def _even(count: int) -> ndarray:
    return np.full(count, 1 / count)


def _row(words: _Words, count: int) -> ndarray:
    if words.peek() == "uniform":
        words.next()
        return _even(count)
    return _probabilities(words, count)


def _probabilities(words: _Words, count: int) -> ndarray:
    values = words.numbers(count)
    if (values < 0).any():
        raise words.error(f"a probability of {values.min()}")
    return values
