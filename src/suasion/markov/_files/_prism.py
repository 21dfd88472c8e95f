"""Explicit files of PRISM, and Storm's dialect of them: .tra with its neighbours of the same stem; reading.

| | PRISM | Storm |
|---|---|---|
| transitions | `.tra`: counts, then `s [choice] s' p [action]` | `.tra`: perhaps `mdp` or `dtmc`, then the same |
| labels | `.lab`: `0="init" ...`, then `s: 0 2` | `.lab`: between `#DECLARATION` and `#END`, then `s name name` |
| rewards | `.srew`, `.trew`, after counts | `.state.rew`, `.trans.rew`, perhaps `.NAME.state.rew`; no counts |
| states | `.sta`: `(x,y)`, then `s:(1,2)` | none |

References:
    https://www.prismmodelchecker.org/manual/Appendices/ExplicitModelFiles
"""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
from numpy import ndarray

from suasion.markov._files._actions import Actions
from suasion.markov._files._lines import Lines
from suasion.markov._files._parts import (
    INITIAL,
    Parts,
    assemble,
    chosen,
    lift,
    marked,
    offsets,
    reward_states,
    set_initial,
)
from suasion.markov._files._prism_more import Kept, read_labels, read_numbers, read_states, reward_files
from suasion.markov._files._source import FormatError, short
from suasion.markov._mdp import MDP
from suasion.markov._question import Question

_MOST = 2**62
_HINTS = {b"mdp": True, b"dtmc": False}


def read_prism(path: Path, rewards: str | None = None) -> tuple[MDP, Question]:
    """Read a .tra file and the files of labels, states and rewards beside it.

    Raises:
        FormatError: with file and line.
    """
    table = _Transitions(path)
    table.read()
    labels = read_labels(path.with_suffix(".lab")) if path.with_suffix(".lab").exists() else Kept({}, 0, -1)
    states = _count_states(table, labels, path)
    parts = _parts(table, states, path)
    parts.labels = marked(labels.sets, states, path.with_suffix(".lab"))
    set_initial(parts, parts.labels.pop(INITIAL, None))
    if path.with_suffix(".sta").exists():
        parts.states = read_states(path.with_suffix(".sta"), states)
    files = reward_files(path)
    name = chosen(files, rewards, path)
    if name is not None:
        _reward(parts, table, files[name])
    return assemble(parts, path), Question()


class _Transitions:
    """Lines of a .tra file, still as they stand there."""

    def __init__(self, path: Path) -> None:
        self.lines = Lines(path)
        self.decides = False  # whether there is a column of choices
        self.declared: list[int] = []
        self.source = array("q")  # of each choice
        self.branches = array("q")
        self.target = array("q")
        self.probability = array("d")
        self.number = array("q")  # line of each branch
        self.actions = Actions(unnamed="")
        self.named = False

    def read(self) -> None:
        """All lines; the first two tell the dialect."""
        first = self._fields()
        if not first:
            raise self.lines.error("there are no transitions")
        hinted = not first[0][:1].isdigit()
        if hinted and (len(first) != 1 or first[0].lower() not in _HINTS):
            raise self.lines.error(f"{short(self.lines.text(b' '.join(first)))} is neither counts, mdp nor dtmc")
        second = self._fields()
        if hinted:
            self.decides = _HINTS[first[0].lower()]
            self._line(second)
        elif len(first) == 2 or (len(first) == 3 and len(second) > 3):
            self.declared = [self.lines.whole(word) for word in first]
            self.decides = len(first) == 3
            self._line(second)
        else:
            self.decides = len(first) == 4
            self._line(first)
            self._line(second)
        while words := self._fields():
            self._line(words)
        found = [len(self.branches), len(self.target)] if self.decides else [len(self.target)]
        if self.declared and self.declared[1:] != found:
            raise self.lines.error(f"{self.declared[1:]} choices and transitions are declared, {found} are there")

    def _fields(self) -> list[bytes]:
        """The next line with words in it; empty at the end."""
        for line in self.lines:
            if line and not line.startswith(b"#"):
                return line.split()
        return []

    def _line(self, words: list[bytes]) -> None:
        if not words:
            return
        width = 4 if self.decides else 3
        if not width <= len(words) <= width + 1:
            raise self.lines.error(f"{len(words)} columns; a transition has {width}, perhaps an action after them")
        try:
            s, to, p = int(words[0]), int(words[width - 2]), float(words[width - 1])
            k = int(words[1]) if self.decides else 0
        except ValueError:
            s, to, k = (self.lines.whole(word) for word in (words[0], words[width - 2], words[1]))
            p = self.lines.real(words[width - 1])
        if not (0.0 <= p <= 2.0 and 0 <= min(s, k, to) <= max(s, k, to) < _MOST) or b"_" in b"".join(words[:width]):
            raise self.lines.error(f"{short(self.lines.text(b' '.join(words)))} is no transition")
        if self.declared and max(s, to) >= self.declared[0]:
            raise self.lines.error(f"state {max(s, to)}; states are 0 to {self.declared[0] - 1}")
        self._place(s, k, self.lines.text(words[width]) if self.decides and len(words) > width else "")
        self.target.append(to)
        self.probability.append(p)
        self.number.append(self.lines.number)
        self.branches[-1] += 1

    def _place(self, s: int, k: int, action: str) -> None:
        """Open the choice, if it is a new one."""
        last = self.source[-1] if self.source else -1
        if s < last:
            raise self.lines.error(f"state {s} after state {last}")
        self._choice = self._choice if s == last else -1
        if s == last and k == self._choice:
            if action != self._action:
                raise self.lines.error(f"action {short(action)} of a choice whose action is {short(self._action)}")
            return
        if k != self._choice + 1:
            raise self.lines.error(f"choice {k} of state {s} where choice {self._choice + 1} comes")
        self._choice, self._action = k, action
        self.actions.append(action)
        self.source.append(s)
        self.branches.append(0)

    _choice = -1
    _action = ""


def _count_states(table: _Transitions, labels: Kept, path: Path) -> int:
    """As declared, or up to the last one met; every state has its line somewhere, or the model is refused unbuilt."""
    states = max([*table.source[-1:], max(table.target, default=-1), labels.highest]) + 1
    if table.declared:
        if labels.highest >= table.declared[0]:
            raise FormatError(f"{path.with_suffix('.lab')}: state {labels.highest}; there are {table.declared[0]}")
        states = table.declared[0]
    if states > len(table.target) + labels.lines:
        raise FormatError(
            f"{path}: {states} states, and only {len(table.target)} transitions and {labels.lines} labels"
        )
    return states


def _parts(table: _Transitions, states: int, path: Path) -> Parts:
    counts = np.bincount(np.array(table.source, np.int64), minlength=states)
    branch_start = offsets(np.array(table.branches, np.int64))
    target = np.array(table.target, np.int64)
    key = np.repeat(np.arange(len(table.branches)), np.diff(branch_start)) * states + target
    order = np.argsort(key, kind="stable")
    twice = np.flatnonzero(key[order][1:] == key[order][:-1])
    if len(twice):
        raise FormatError(f"{path}: line {table.number[int(order[twice[0] + 1])]}: this transition comes twice")
    return Parts(
        choice_start=offsets(counts),
        branch_start=branch_start,
        target=target[order].astype(np.int32),
        probability=np.array(table.probability)[order],
        choice_reward=np.zeros(len(table.branches)),
        action=table.actions.indices(),
        actions=table.actions.names(),
    )


def _reward(parts: Parts, table: _Transitions, files: tuple[Path | None, Path | None]) -> None:
    """Rewards of states go to their choices; those of transitions stay apart unless they are equal in each choice."""
    of_states, of_transitions = files
    states = len(parts.choice_start) - 1
    counts = bool(of_states and of_states.suffix == ".srew")
    if of_states is not None:
        index, values, numbers = read_numbers(of_states, 1, counts=1 + counts if counts else 0)
        s = index[:, 0]
        _check(s >= states, s, numbers, of_states, f"there are {states} states")
        reward = np.zeros(states)
        reward[s] = values
        reward_states(parts, reward, str(of_states))
    if of_transitions is None:
        return
    columns = 3 if table.decides else 2
    counts = of_transitions.suffix == ".trew"
    index, values, numbers = read_numbers(of_transitions, columns, counts=columns if counts else 0)
    s, to = index[:, 0], index[:, -1]
    _check((s >= states) | (to >= states), np.maximum(s, to), numbers, of_transitions, f"there are {states} states")
    k = index[:, 1] if table.decides else np.zeros(len(s), np.int64)
    _check(k >= np.diff(parts.choice_start)[s], k, numbers, of_transitions, "the state has no such choice")
    wanted = (parts.choice_start[s] + k) * states + to
    key = np.repeat(np.arange(len(parts.choice_reward)), np.diff(parts.branch_start)) * states + parts.target
    place = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
    _check(key[place] != wanted, to, numbers, of_transitions, "there is no such transition")
    parts.branch_reward = np.zeros(len(key))
    parts.branch_reward[place] = values
    lift(parts)


def _check(bad: ndarray, value: ndarray, numbers: ndarray, path: Path, message: str) -> None:
    if bad.any():
        i = int(np.argmax(bad))
        raise FormatError(f"{path}: line {numbers[i]}: {value[i]}, but {message}")
