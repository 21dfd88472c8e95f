"""What the statements of a Cassandra file add up to: later ones override earlier ones, and * stands for every index.

Indices: action a, state s, next state s', observation o. `None` stands for *.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy import ndarray

MOST_CHOICES = 2**22  # states x actions
MOST_SEEN = 2**24  # actions x states x observations
_EXPANDED = 2**22  # transitions that wildcards may stand for beyond those written out
MOST_WORK = 2**26  # assignments by all statements of a kind

Index = int | None


class Transitions:
    """p(s' | s, a) as assignments in their order; a statement on a whole row clears it first."""

    def __init__(self, states: int, actions: int, written: int) -> None:
        self.states = states
        self.actions = actions
        self._budget = _EXPANDED + written
        self._key = array("q")  # (s A + a) S + s'
        self._value = array("d")
        self._cleared = np.zeros(states * actions, np.int64)  # assignments before this one are void, by s A + a
        self._work = 0

    def rows(self, a: Index, s: Index) -> ndarray:
        """Numbers of the rows s A + a."""
        self._work += (self.states if s is None else 1) * (self.actions if a is None else 1)
        if self._work > MOST_WORK:
            raise ValueError(f"more than {MOST_WORK} assignments of transitions by wildcards")
        states = np.arange(self.states) if s is None else np.array([s])
        actions = np.arange(self.actions) if a is None else np.array([a])
        return (states[:, None] * self.actions + actions).ravel()

    def entry(self, a: Index, s: Index, to: Index, value: float) -> None:
        """One probability, perhaps at many places."""
        if to is None:
            self._cleared[self.rows(a, s)] = len(self._key)
            if value:
                self.row(a, s, np.full(self.states, value))
        elif a is None or s is None:
            self._extend(self.rows(a, s) * self.states + to, np.float64(value))
        else:
            self._key.append((s * self.actions + a) * self.states + to)
            self._value.append(value)

    def row(self, a: Index, s: Index, values: ndarray) -> None:
        """A row over s'."""
        rows = self.rows(a, s)
        self._cleared[rows] = len(self._key)
        to = np.flatnonzero(values)
        self._check(len(rows) * len(to))
        self._extend((rows[:, None] * self.states + to).ravel(), np.tile(values[to], len(rows)))

    def identity(self, a: Index) -> None:
        """Every state stays."""
        rows = self.rows(a, None)
        self._cleared[rows] = len(self._key)
        self._extend(rows * self.states + rows // self.actions, np.float64(1.0))

    def _check(self, count: int) -> None:
        if len(self._key) + count > self._budget:
            raise ValueError(f"more than {self._budget} transitions by wildcards and uniform rows")

    def _extend(self, keys: ndarray, values: ndarray | np.float64) -> None:
        self._check(len(keys))
        self._key.frombytes(keys.astype(np.int64).tobytes())
        self._value.frombytes(np.broadcast_to(values, keys.shape).astype(np.float64).tobytes())

    def result(self) -> tuple[ndarray, ndarray, ndarray]:
        """Offsets of rows, s' and probability, zeros left out."""
        key, value = np.array(self._key, np.int64), np.array(self._value)
        live = np.arange(len(key)) >= self._cleared[key // self.states]
        key, value = key[live], value[live]
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        last = np.ones(len(key), bool)
        last[:-1] = key[1:] != key[:-1]
        last &= value != 0
        key, value = key[last], value[last]
        counts = np.bincount(key // self.states, minlength=len(self._cleared))
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return start, (key % self.states).astype(np.int32), value


class Rewards:
    """Reward of each transition that there is, and where a statement asks for it of each observation after it."""

    def __init__(self, transitions: tuple[ndarray, ndarray, ndarray], states: int, actions: int, symbols: int) -> None:
        start, target, _ = transitions
        self._target = target
        row = np.repeat(np.arange(states * actions), np.diff(start))
        self._action = (row % actions).astype(np.int32)
        self._by_state = start[::actions]
        self._by_target = np.argsort(target, kind="stable")
        pair = self._action.astype(np.int64) * states + target
        self._by_action = np.argsort(pair, kind="stable")
        self._targets, self._pairs = target[self._by_target], pair[self._by_action]
        self._states = states
        self._symbols = symbols
        self.value = np.zeros(len(target))
        self.seen: ndarray | None = None
        self._work = 0

    def _places(self, a: Index, s: Index, to: Index) -> ndarray | slice:
        """The transitions meant, found without a look at the others where that is possible."""
        if s is not None:
            near = slice(int(self._by_state[s]), int(self._by_state[s + 1]))
            keep = np.ones(near.stop - near.start, bool)
            if a is not None:
                keep &= self._action[near] == a
            if to is not None:
                keep &= self._target[near] == to
            self._work += len(keep)
            return near.start + np.flatnonzero(keep)
        if a is not None:
            first = a * self._states + (to or 0)
            ends = np.searchsorted(self._pairs, [first, first + (self._states if to is None else 1)])
            return self._by_action[ends[0] : ends[1]]
        if to is not None:
            ends = np.searchsorted(self._targets, [to, to + 1])
            return self._by_target[ends[0] : ends[1]]
        return slice(0, len(self._target))

    def entry(self, a: Index, s: Index, to: Index, o: Index, value: float) -> None:
        """One reward, perhaps at many places."""
        places = self._places(a, s, to)
        self._spend(places, self._symbols if self.seen is not None and o is None else 1)
        if o is not None and self.seen is None:
            self._split()
        if self.seen is None:
            self.value[places] = value
        elif o is None:
            self.seen[places] = value
        else:
            self.seen[places, o] = value

    def over_targets(self, a: Index, s: Index, values: ndarray) -> None:
        """Rewards by s'."""
        places = self._places(a, s, None)
        self._spend(places, 1)
        self.value[places] = values[self._target[places]]

    def over_symbols(self, a: Index, s: Index, to: Index, values: ndarray) -> None:
        """Rewards by o."""
        places = self._places(a, s, to)
        self._spend(places, self._symbols)
        self._split()[places] = values

    def over_both(self, a: Index, s: Index, values: ndarray) -> None:
        """Rewards by s' and o."""
        places = self._places(a, s, None)
        self._spend(places, self._symbols)
        self._split()[places] = values[self._target[places]]

    def _spend(self, places: ndarray | slice, each: int) -> None:
        count = places.stop if isinstance(places, slice) else len(places)
        self._work += 1 + count * each
        if self._work > MOST_WORK:
            raise ValueError(f"more than {MOST_WORK} assignments of rewards by wildcards")

    def _split(self) -> ndarray:
        if self.seen is None:
            if len(self.value) * self._symbols > MOST_SEEN:
                raise ValueError(f"more than {MOST_SEEN} rewards by transition and observation")
            self.seen = np.repeat(self.value[:, None], self._symbols, 1)
        return self.seen

    def expected(self, observation: ndarray | None) -> ndarray:
        """Reward of each transition: over observations, the mean by p(o | a, s')."""
        if self.seen is None or observation is None:
            return self.value
        even = (self.seen == self.seen[:, :1]).all(1)  # a mean of equal numbers may miss them by a rounding
        mean = (self.seen * observation[self._action, self._target]).sum(1)
        return np.where(even, self.seen[:, 0], mean)
