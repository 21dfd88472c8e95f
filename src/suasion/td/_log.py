r"""A log: what was seen and done, step after step, and how probable each action was (n steps, C choices).

Everything that learns or judges from history reads this record. Rows are in order: runs, their episodes, the steps of
each from its first. $R_{t+1}$ stands in the row of $S_t$ and $A_t$.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from numpy import ndarray

COLUMNS: Mapping[str, str] = {
    "run": "<i4",
    "episode": "<i4",
    "time": "<i4",
    "state": "<i4",
    "action": "<i4",
    "reward": "<f8",
    "next_state": "<i4",
    "terminated": "|b1",
    "truncated": "|b1",
    "behaviour": "<f8",
}
_COUNTED = ("run", "episode", "time", "state", "action", "next_state")
_HIGHEST = int(np.iinfo(np.int32).max)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Transitions:
    r"""A log of n steps $(S_t, A_t, R_{t+1}, S_{t+1})$, with the probability $b(A_t \mid S_t)$ of what was done.

    Each episode begins at time 0 and its last row, and no other, says how it ended: in a terminal state, which is worth
    0, or cut off, by a limit or because the log ends.

    Attributes:
        run: which run, int[n], >= 0, never falling.
        episode: of the run, int[n], >= 0, never falling within it.
        time: t, int[n]; 0, 1, 2, ... within an episode.
        state: $S_t$, int[n], >= 0.
        action: $A_t$ as the model numbers actions, int[n], >= 0.
        reward: $R_{t+1}$, float64[n], in reward units.
        next_state: $S_{t+1}$, int[n]; within an episode the state of the next row.
        terminated: whether the episode ended by itself, bool[n].
        truncated: whether it was cut off, bool[n].
        behaviour: $b(A_t \mid S_t)$ at the time of choosing, float64[n], in (0, 1].
        about: further facts, by name, such as seed, discount, versions: what JSON can hold.

    Raises:
        ValueError: any of these is not so; the row, with the number.
    """

    run: Int[ndarray, "_"]
    episode: Int[ndarray, "_"]
    time: Int[ndarray, "_"]
    state: Int[ndarray, "_"]
    action: Int[ndarray, "_"]
    reward: Float64[ndarray, "_"]
    next_state: Int[ndarray, "_"]
    terminated: Bool[ndarray, "_"]
    truncated: Bool[ndarray, "_"]
    behaviour: Float64[ndarray, "_"]
    about: Mapping[str, str | int | float | None] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.state):
            raise ValueError("the log has no steps")
        for name in COLUMNS:
            if len(getattr(self, name)) != len(self.state):
                raise ValueError(f"{name} has {len(getattr(self, name))} rows, state has {len(self.state)}")
        for name in _COUNTED:
            held = getattr(self, name)
            refuse_row((held < 0) | (held > _HIGHEST), f"{name} is {{}}, not from 0 to {_HIGHEST}", held)
        refuse_row(~np.isfinite(self.reward), "reward is {}", self.reward)
        outside = ~((self.behaviour > 0) & (self.behaviour <= 1))
        refuse_row(outside, "behaviour is {}, not a probability in (0, 1]", self.behaviour)
        self._check_order()

    def __len__(self) -> int:
        return len(self.state)

    def __repr__(self) -> str:
        return f"Transitions({len(self)} steps, {len(self.starts)} episodes)"

    @property
    def starts(self) -> Int64[ndarray, "_"]:
        """The first row of each episode, int64[e]."""
        return np.flatnonzero(self.time == 0)

    @property
    def lengths(self) -> Int64[ndarray, "_"]:
        """Steps of each episode, int64[e]."""
        return np.diff(np.append(self.starts, len(self)))

    def returns(self, discount: float) -> Float64[ndarray, "_"]:
        r"""$\sum_t \gamma^t R_{t+1}$ of each episode, as far as the log goes, float64[e].

        Args:
            discount: $\gamma$ in [0, 1].

        Raises:
            ValueError: `discount` outside [0, 1].
        """
        check_discount(discount)
        return np.add.reduceat(float(discount) ** self.time * self.reward, self.starts)

    def part(self, *, run: int | None = None, steps: int | None = None) -> Transitions:
        """One run, or the first steps; an episode that goes on beyond them is cut off there.

        Args:
            run: which; all, if not given.
            steps: how many rows at most, >= 1; all, if not given.

        Raises:
            ValueError: there is no such run, or `steps` is below 1.
        """
        rows = np.arange(len(self)) if run is None else np.flatnonzero(self.run == run)
        if not len(rows):
            raise ValueError(f"the log has no run {run}")
        if steps is not None:
            if steps < 1:
                raise ValueError(f"steps is {steps}, below 1")
            rows = rows[:steps]
        held = {name: getattr(self, name)[rows] for name in COLUMNS}
        held["truncated"][-1] |= not held["terminated"][-1]
        return Transitions(**held, about=self.about)

    def _check_order(self) -> None:
        """An episode's rows follow each other, and episodes do."""
        run, episode, time = (x.astype(np.int64) for x in (self.run, self.episode, self.time))
        over = self.terminated | self.truncated
        same = np.append((run[1:] == run[:-1]) & (episode[1:] == episode[:-1]), False)  # whether the next row goes on
        first = np.append(True, ~same[:-1])
        before = np.append(-1, time[:-1])
        refuse_row(first & (time != 0), "an episode begins at time {}, not at 0", time)
        refuse_row(~first & (time != before + 1), "time is {} after {}, within one episode", time, before)
        refuse_row(same & over, "the episode ended here, and its next row goes on")
        refuse_row(~same & ~over, "the last of its episode: it neither terminated nor was truncated")
        after = np.append(self.state[1:], 0)
        differs = same & (self.next_state != after)
        refuse_row(differs, "next_state is {}, and the next row's state is {}", self.next_state, after)
        falls = (run[1:] < run[:-1]) | ((run[1:] == run[:-1]) & (episode[1:] < episode[:-1]))
        refuse_row(np.append(False, falls), "run {}, episode {} comes after a later one", run, episode)


def refuse_row(bad: Bool[ndarray, "_"], words: str, *columns: ndarray) -> None:
    """Refuse the first row that is bad, with its numbers."""
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"row {row} of the log: {words.format(*(column[row].item() for column in columns))}")


def check_discount(discount: float) -> None:
    """Refuse one outside [0, 1]."""
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is {discount!r}, outside [0, 1]")
