"""Actions named in a text: names become indices by what is known of them, or in the order in which they come."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

_MOST = 2**31


class Actions:
    """Action of each choice, by its name in the file.

    Where the file holds only numbers, they are the indices and there are no names; where it says that no action has a
    name, an action is its choice's place within the state.
    """

    def __init__(self, names: Sequence[str] = (), unnamed: str | None = None) -> None:
        self._known = tuple(names)
        self._unnamed = unnamed
        self._index = {token: number for number, token in enumerate(tokens(self._known))}
        self._held = array("q")

    def append(self, token: str) -> None:
        """The action of the next choice.

        Raises:
            ValueError: the names are known, and it is not among them.
        """
        index = self._index.get(token)
        if index is None:
            if self._known:
                raise ValueError(f"action {token[:80]!r} is not among the names that the file declares")
            index = self._index.setdefault(token, len(self._index))
        self._held.append(index)

    def _numbers(self) -> list[int] | None:
        """The names as indices, if all are numbers."""
        found = list(self._index)
        if self._known or not all(t.isascii() and t.isdigit() and len(t) < 11 and str(int(t)) == t for t in found):
            return None
        numbers = [int(token) for token in found]
        return numbers if max(numbers, default=0) < _MOST else None

    def indices(self) -> ndarray | None:
        """int32, or None where no action has a name."""
        if not self._known and list(self._index) == [self._unnamed]:
            return None
        held = np.array(self._held, np.int64)
        numbers = self._numbers()
        return (held if numbers is None else np.array(numbers, np.int64)[held]).astype(np.int32)

    def names(self) -> tuple[str, ...]:
        """By index; empty where there are none."""
        if self._known or self._numbers() is not None or list(self._index) == [self._unnamed]:
            return self._known
        return tuple(self._index)


def tokens(names: Sequence[str]) -> list[str]:
    """What stands for these names in a text of words: they themselves, if each is a word, else their indices."""
    plain = all(name and name.isprintable() and not set(name) & set(' "[]{}:') for name in names)
    return list(names) if plain and len(set(names)) == len(names) else [str(index) for index in range(len(names))]
