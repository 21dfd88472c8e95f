r"""End components: sets of states, with choices, which the process need never leave.

Within a maximal end component every state can be reached from every other with probability 1, and the optimal average
reward is the same everywhere (de Alfaro 1997, Formal verification of probabilistic systems, chapter 3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from suasion.planning._rows import Rows, gathered


class Graph:
    """Branches of a model by where they come from and where they lead to.

    Attributes:
        state: of each choice, int[C].
        into: choices that lead to each state, as offsets and indices.
    """

    def __init__(self, rows: Rows) -> None:
        from scipy.sparse import csr_array

        self.rows = rows
        choices, states = len(rows.reward), rows.n_states
        self.state = np.repeat(np.arange(states), np.diff(rows.choice_start))
        shape = (choices, states)
        edges = csr_array((rows.probability, rows.target, rows.start), shape=shape).tocsc()
        self.offsets, self.choices = edges.indptr, edges.indices

    def into(self, states: Int[ndarray, "_"]) -> Int[ndarray, "_"]:
        """Choices that may lead to these states, some perhaps twice."""
        return self.choices[gathered(self.offsets, states)]

    def reaching(self, goal: Bool[ndarray, "S"], allowed: Bool[ndarray, "C"] | None = None) -> Int[ndarray, "S"]:
        """Least number of steps from each state to the goal by allowed choices; -1 where there is no way."""
        distance = np.where(goal, 0, -1)
        frontier = np.flatnonzero(goal)
        steps = 0
        while len(frontier):
            steps += 1
            choices = self.into(frontier)
            if allowed is not None:
                choices = choices[allowed[choices]]
            states = np.unique(self.state[choices])
            frontier = states[distance[states] < 0]
            distance[frontier] = steps
        return distance

    def surely(self, goal: Bool[ndarray, "S"]) -> Bool[ndarray, "S"]:
        """States from which some policy reaches the goal with probability 1."""
        inside = np.ones(self.rows.n_states, bool)
        while True:
            found = self.reaching(goal, self.staying(inside)) >= 0
            if (found == inside).all():
                return inside
            inside = found

    def staying(self, inside: Bool[ndarray, "S"]) -> Bool[ndarray, "C"]:
        """Choices of which all branches lead into the set."""
        staying = np.ones(len(self.rows.reward), bool)
        staying[self.into(np.flatnonzero(~inside))] = False
        return staying

    def end_components(self, allowed: Bool[ndarray, "C"]) -> tuple[Int[ndarray, "S"], Bool[ndarray, "C"]]:
        """Maximal end components of the allowed choices.

        Returns:
            The component of each state, -1 outside; and the choices that stay in the component of their state.
        """
        kept = allowed.copy()
        while True:
            self._drop_dead(kept)
            label = self._strong(kept)
            leaving = kept & ~self._internal(label)
            if not leaving.any():
                break
            kept &= ~leaving
        some = np.zeros(self.rows.n_states, bool)
        some[self.state[kept]] = True
        result = np.full(self.rows.n_states, -1)
        result[some] = np.unique(label[some], return_inverse=True)[1]
        return result, kept

    def _drop_dead(self, kept: Bool[ndarray, "C"]) -> None:
        """Take away choices that may lead to a state without kept choices, again and again."""
        counts = np.bincount(self.state[kept], minlength=self.rows.n_states)
        frontier = np.flatnonzero(counts == 0)
        while len(frontier):
            gone = np.unique(self.into(frontier))
            gone = gone[kept[gone]]
            kept[gone] = False
            states = np.unique(self.state[gone])
            counts[states] -= np.bincount(np.searchsorted(states, self.state[gone]), minlength=len(states))
            frontier = states[counts[states] == 0]

    def _strong(self, kept: Bool[ndarray, "C"]) -> Int[ndarray, "S"]:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        rows = self.rows
        branch = np.repeat(kept, np.diff(rows.start)) & (rows.probability > 0)
        source = np.repeat(self.state, np.diff(rows.start))[branch]
        shape = (rows.n_states, rows.n_states)
        edges = csr_array((np.ones(len(source), np.int8), (source, rows.target[branch])), shape=shape)
        label: Any = connected_components(edges, connection="strong")[1]
        return np.asarray(label, np.int64)

    def _internal(self, label: Int[ndarray, "S"]) -> Bool[ndarray, "C"]:
        rows = self.rows
        if not len(rows.reward):
            return np.zeros(0, bool)
        same = label[rows.target] == np.repeat(label[self.state], np.diff(rows.start))
        return np.logical_and.reduceat(same | (rows.probability == 0), rows.start[:-1])
