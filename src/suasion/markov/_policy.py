r"""Policies of a finite decision process: $\pi(a \mid s)$ over its choices.

S states, C choices (state-action pairs that are there), A actions.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Float64, Int, Int64
from numpy import ndarray

from suasion.markov._mdp import MDP, ROW_TOLERANCE


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Policy:
    r"""$\pi(a \mid s)$ (N1.3.2-d), one number for each choice of the model.

    Attributes:
        choice_start: the model's, int64[S + 1]: state s has the choices `choice_start[s] : choice_start[s + 1]`.
        probability: float64[C], >= 0; the choices of each state that has any sum to 1 within 1e-9.

    Raises:
        ValueError: a number is negative or not finite, or a state's do not sum to 1; the state, with the number.
    """

    choice_start: Int64[ndarray, "_"]
    probability: Float64[ndarray, "_"]

    def __post_init__(self) -> None:
        if len(self.choice_start) == 0 or self.choice_start[-1] != len(self.probability):
            wanted = int(self.choice_start[-1]) if len(self.choice_start) else 0
            raise ValueError(f"probability has {len(self.probability)} entries, not one for each of {wanted} choices")
        bad = ~(self.probability >= 0) | ~np.isfinite(self.probability)
        if bad.any():
            choice = int(np.argmax(bad))
            state = int(np.searchsorted(self.choice_start, choice, side="right")) - 1
            place = f"state {state}, choice {choice - int(self.choice_start[state])}"
            raise ValueError(f"a probability of {place} is {float(self.probability[choice])!r}")
        live = np.flatnonzero(np.diff(self.choice_start))
        sums = np.add.reduceat(self.probability, self.choice_start[live]) if len(live) else np.zeros(0)
        if (off := np.abs(sums - 1) > ROW_TOLERANCE).any():
            first = int(np.argmax(off))
            raise ValueError(f"probabilities of state {live[first]} sum to {float(sums[first])!r}, not 1")

    def __repr__(self) -> str:
        return f"Policy({len(self.choice_start) - 1} states, {len(self.probability)} choices)"

    @classmethod
    def deterministic(cls, mdp: MDP, choice: Int[ndarray, "_"]) -> Policy:
        """One choice for each state.

        Args:
            mdp: the model.
            choice: index among all C choices for each state, int[S]; -1 in terminal states.

        Raises:
            ValueError: a choice is not its state's; the state, with the number.
        """
        if len(choice) != mdp.n_states:
            raise ValueError(f"choice has {len(choice)} entries, not one for each of {mdp.n_states} states")
        start, end = mdp.choice_start[:-1], mdp.choice_start[1:]
        right = np.where(mdp.terminal, choice == -1, (start <= choice) & (choice < end))
        if not right.all():
            s = int(np.argmin(right))
            held = "none, which is -1" if mdp.terminal[s] else f"{start[s]} to {end[s] - 1}"
            raise ValueError(f"choice of state {s} is {choice[s]}; it has {held}")
        probability = np.zeros(mdp.n_choices)
        probability[choice[~mdp.terminal]] = 1.0
        return cls(choice_start=mdp.choice_start, probability=probability)

    @classmethod
    def uniform(cls, mdp: MDP) -> Policy:
        """The same probability for each choice of a state."""
        counts = np.diff(mdp.choice_start)
        return cls(choice_start=mdp.choice_start, probability=np.repeat(1.0 / np.maximum(counts, 1), counts))

    @classmethod
    def from_table(cls, mdp: MDP, table: Float[ndarray, "_ _"]) -> Policy:
        r"""From a table $\pi(a \mid s)$ over all actions; rows of terminal states are not read.

        Args:
            mdp: the model; within a state its actions must be distinct.
            table: float[S, A].

        Raises:
            ValueError: sizes disagree, an action that is not there has a probability other than 0, a state has two
                choices with one action, or a row does not sum to 1; the state, with the number.
        """
        highest = int(mdp.action.max(initial=-1))
        if table.shape[0] != mdp.n_states or table.shape[1] <= highest:
            raise ValueError(
                f"table is {table.shape[0]} by {table.shape[1]}; the model has {mdp.n_states} states and "
                f"{highest + 1} actions"
            )
        state = np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))
        seen = np.zeros(table.shape, np.int64)
        np.add.at(seen, (state, mdp.action), 1)
        if (seen > 1).any():
            s, a = (int(i) for i in np.argwhere(seen > 1)[0])
            raise ValueError(f"state {s} has {seen[s, a]} choices with action {a}: a table cannot tell them apart")
        extra = (seen == 0) & (table != 0) & ~mdp.terminal[:, None]
        if extra.any():
            s, a = (int(i) for i in np.argwhere(extra)[0])
            raise ValueError(f"table[{s}, {a}] is {float(table[s, a])!r}, and state {s} has no action {a}")
        return cls(choice_start=mdp.choice_start, probability=table[state, mdp.action].astype(np.float64))

    def check_fits(self, mdp: MDP) -> None:
        """Refuse a model with other choices.

        Raises:
            ValueError: the number of states or of some state's choices is another.
        """
        if len(self.choice_start) != len(mdp.choice_start):
            raise ValueError(f"the policy is for {len(self.choice_start) - 1} states, the model has {mdp.n_states}")
        if self.choice_start is not mdp.choice_start and (off := self.choice_start != mdp.choice_start).any():
            s = int(np.argmax(off)) - 1
            held = int(self.choice_start[s + 1] - self.choice_start[s])
            raise ValueError(f"the policy has {held} choices in state {s}, the model {len(mdp.choices(s))}")
