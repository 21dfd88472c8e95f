"""Models without what an undiscounted iteration cannot tell apart: end components are made one state.

Where a reward of 0 can be collected for ever, any value not below is a fixed point of T (Haddad & Monmege 2018); where
the average reward can be above 0, none is finite.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Int, Int64
from numpy import ndarray

from suasion.markov import MDP
from suasion.planning._components import Graph
from suasion.planning._rows import Rows, gathered

STAY = -2  # origin of the choice to remain in a component for ever


class InfiniteValueError(ValueError):
    """No finite value is optimal.

    Attributes:
        states: the reason: an end component, or the states that cannot reach the end.
    """

    def __init__(self, message: str, states: Sequence[int]) -> None:
        super().__init__(message)
        self.states = tuple(states)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Quotient:
    """A model with some end components made one state each.

    Attributes:
        rows: the model that is left; `origin` leads to choices of the model it came from, `STAY` for "stay for ever".
        label: state of `rows` for each state before, int64[S].
        component: whether a state was in an end component, bool[S].
        inside: whether a choice stays in its component, bool[C].
    """

    rows: Rows
    label: Int64[ndarray, "_"]
    component: Bool[ndarray, "_"]
    inside: Bool[ndarray, "_"]


def whole(rows: Rows) -> Quotient:
    """Nothing to collapse."""
    states = np.arange(rows.n_states)
    return Quotient(
        rows=rows,
        label=states,
        component=np.zeros(rows.n_states, bool),
        inside=np.zeros(len(rows.reward), bool),
    )


def collapsed(
    rows: Rows,
    component: Int[ndarray, "S"],
    inside: Bool[ndarray, "C"],
    stay: ndarray | None,
) -> Quotient:
    """Each component one state, with the choices that leave it.

    Args:
        rows: the model.
        component: of each state, -1 outside.
        inside: choices that stay in the component of their state.
        stay: reward of staying in each component for ever, float64[N]; None if that is not allowed.
    """
    states, count = rows.n_states, int(component.max(initial=-1)) + 1
    outside = component < 0
    label = np.empty(states, np.int64)
    label[outside] = np.arange(int(outside.sum()))
    label[~outside] = int(outside.sum()) + component[~outside]
    total = int(outside.sum()) + count
    source = np.repeat(label, np.diff(rows.choice_start))
    kept = np.flatnonzero(~inside)
    order = kept[np.argsort(source[kept], kind="stable")]
    lengths = np.diff(rows.start)[order]
    branch = gathered(rows.start, order)
    target, probability, reward = label[rows.target[branch]], rows.probability[branch], rows.reward[order]
    origin = order if rows.origin is None else rows.origin[order]
    places = source[order]
    if stay is not None:  # one more state, the end, and one more choice in each component, its last
        first = total - count
        at = np.searchsorted(places, np.arange(first, total), side="right")
        ahead = np.concatenate([[0], np.cumsum(lengths)])[at]
        places = np.insert(places, at, np.arange(first, total))
        target = np.insert(target, ahead, total)
        probability = np.insert(probability, ahead, 1.0)
        lengths = np.insert(lengths, at, 1)
        reward = np.insert(reward, at, stay)
        origin = np.insert(origin, at, STAY)
        total += 1
    counts = np.bincount(places, minlength=total)
    found = dataclasses.replace(
        rows,
        choice_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        target=target.astype(np.int32),
        probability=probability,
        reward=reward,
        A=0,
        K=0,
        terminal=bool((counts == 0).any()),
        origin=origin,
    )
    return Quotient(rows=found, label=label, component=~outside, inside=inside)


def policy(
    before: Rows,
    graph: Graph,
    quotient: Quotient,
    choice: Int64[ndarray, "_"],
    within: Int64[ndarray, "S"] | None = None,
) -> Int64[ndarray, "S"]:
    """A policy of the model from the choices (of the model) made in the quotient: components lead to where they leave.

    Args:
        before: the model that was collapsed.
        graph: of it.
        quotient: what it became.
        choice: for each state of the quotient the choice taken, as an index into `before`; -1 for none, `STAY` to stay.
        within: choices to stay with; the first that stay if not given.

    Returns:
        The choice of each state, -1 where there is none.
    """
    states = np.arange(before.n_states)
    wanted = choice[quotient.label]
    exits = np.where(wanted >= 0, np.append(graph.state, -1)[np.maximum(wanted, -1)], -1)
    result = np.where(quotient.component, -1, wanted)
    here = quotient.component & (exits == states)
    result[here] = wanted[here]
    staying = quotient.component & (wanted < 0)
    within = _first_choice(before, quotient.inside) if within is None else within
    result[staying] = within[staying]
    todo = quotient.component & ~here & ~staying
    if todo.any():
        distance = graph.reaching(here, quotient.inside)
        result[todo] = _nearing(before, graph, quotient.inside, distance)[todo]
    return result


def _first_choice(rows: Rows, among: Bool[ndarray, "C"]) -> Int64[ndarray, "S"]:
    """First of these choices in each state, -1 if none."""
    result = np.full(rows.n_states, -1)
    found = np.flatnonzero(among)[::-1]
    result[np.repeat(np.arange(rows.n_states), np.diff(rows.choice_start))[found]] = found
    return result


def _nearing(rows: Rows, graph: Graph, among: Bool[ndarray, "C"], distance: ndarray) -> Int64[ndarray, "S"]:
    """In each state the first of these choices that may lead one step nearer to the goal, -1 if none."""
    branches = np.repeat(distance[graph.state], np.diff(rows.start))
    nearer = (distance[rows.target] >= 0) & (distance[rows.target] < branches) & (rows.probability > 0)
    helps = np.logical_or.reduceat(nearer, rows.start[:-1]) & among
    return _first_choice(rows, helps)


def nearing(rows: Rows, graph: Graph, distance: ndarray) -> Int64[ndarray, "S"]:
    """The policy that in each state takes a choice that may lead nearer to the goal; it reaches it for certain."""
    return _nearing(rows, graph, np.ones(len(rows.reward), bool), distance)


def free(mdp: MDP, rows: Rows) -> Bool[ndarray, "C"]:
    """Choices with an expected reward of exactly 0; where rounding hides it, rational numbers tell."""
    zero = rows.reward == 0
    if mdp.branch_reward is None:
        return zero
    own = np.maximum.reduceat(np.abs(mdp.branch_reward), mdp.branch_start[:-1]) if mdp.n_choices else np.zeros(0)
    for c in np.flatnonzero((own > 0) & (np.abs(rows.reward) <= rows.reward_error)):
        branches = slice(int(mdp.branch_start[c]), int(mdp.branch_start[c + 1]))
        p = [Fraction(float(x)) for x in mdp.probability[branches]]
        r = [Fraction(float(x)) for x in mdp.branch_reward[branches]]
        mean = sum((x * y for x, y in zip(p, r, strict=True)), Fraction(0)) / sum(p)
        zero[c] = mean + Fraction(float(mdp.choice_reward[c])) == 0
    return zero
