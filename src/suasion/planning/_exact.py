"""Rational arithmetic: values of small models without any error, and the check of bounds of larger ones.

The model meant by `MDP` has rational numbers: floats are, and each row is divided by its exact sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from suasion.markov import MDP

FEW = 40  # states up to which policies are evaluated in rational numbers: their digits grow with the states


class Choice(NamedTuple):
    """One choice.

    Attributes:
        reward: r(s, a), to be maximised.
        outcomes: (s', p(s' | s, a)).
    """

    reward: Fraction
    outcomes: tuple[tuple[int, Fraction], ...]


Model = list[list[Choice]]


def rational(mdp: MDP, *, maximise: bool = True) -> Model:
    """The model meant: choices of each state, costs negated."""
    sign = 1 if maximise else -1
    model = []
    for s in range(mdp.n_states):
        choices = []
        for c in mdp.choices(s):
            branches = range(int(mdp.branch_start[c]), int(mdp.branch_start[c + 1]))
            weights = [Fraction(float(mdp.probability[b])) for b in branches]
            total = sum(weights)
            reward = Fraction(float(mdp.choice_reward[c]))
            found: dict[int, Fraction] = {}
            for b, weight in zip(branches, weights, strict=True):
                p = weight / total
                j = int(mdp.target[b])
                found[j] = found.get(j, Fraction(0)) + p
                if mdp.branch_reward is not None:
                    reward += p * Fraction(float(mdp.branch_reward[b]))
            choices.append(Choice(sign * reward, tuple(found.items())))
        model.append(choices)
    return model


def action_value(choice: Choice, discount: Fraction, value: Sequence[Fraction]) -> Fraction:
    """r + gamma sum p v."""
    return choice.reward + discount * sum((p * value[j] for j, p in choice.outcomes), Fraction(0))


def policy_value(model: Model, discount: Fraction, policy: Sequence[int]) -> list[Fraction]:
    """v_pi by elimination; `policy` is the place of a choice within its state.

    Without a discount, recurrent classes have a value of 0, their rewards being 0.

    Raises:
        ArithmeticError: a recurrent class has rewards, and the discount is 1.
    """
    states = len(model)
    ended = _recurrent(model, policy) if discount == 1 else set()
    model = [[] if s in ended else choices for s, choices in enumerate(model)]
    rows: list[dict[int, Fraction]] = []
    right = []
    for s in range(states):
        row = {s: Fraction(1)}
        right.append(Fraction(0))
        if model[s]:
            choice = model[s][policy[s]]
            right[s] = choice.reward
            for j, p in choice.outcomes:
                row[j] = row.get(j, Fraction(0)) - discount * p
        rows.append(row)
    return _solved(rows, right)


def _recurrent(model: Model, policy: Sequence[int]) -> set[int]:
    """States that are never left for good under the policy."""
    taken = [choices[policy[s]] if choices else None for s, choices in enumerate(model)]
    after = [set() if choice is None else {j for j, _ in choice.outcomes} for choice in taken]
    reach = []
    for s in range(len(model)):
        seen, todo = {s}, [s]
        while todo:
            fresh = after[todo.pop()] - seen
            seen |= fresh
            todo += fresh
        reach.append(seen)
    found = {s for s, seen in enumerate(reach) if taken[s] and all(s in reach[j] for j in seen)}
    if any(choice is not None and choice.reward for s, choice in enumerate(taken) if s in found):
        raise ArithmeticError("under this policy rewards go on for ever")
    return found


def _solved(rows: list[dict[int, Fraction]], right: list[Fraction]) -> list[Fraction]:
    """Gauss's elimination of sparse rows, the diagonal as pivots (I - gamma P needs no others)."""
    states = len(rows)
    for k in range(states):
        pivot = rows[k].get(k, Fraction(0))
        if pivot == 0:
            raise ArithmeticError("under this policy the process does not end")
        for i in range(k + 1, states):
            if not (factor := rows[i].pop(k, Fraction(0))):
                continue
            factor /= pivot
            for j, weight in rows[k].items():
                if j > k:
                    rows[i][j] = rows[i].get(j, Fraction(0)) - factor * weight
            right[i] -= factor * right[k]
    value = [Fraction(0)] * states
    for k in reversed(range(states)):
        rest = sum((weight * value[j] for j, weight in rows[k].items() if j > k), Fraction(0))
        value[k] = (right[k] - rest) / rows[k][k]
    return value


def policy_iteration(model: Model, discount: Fraction, policy: list[int]) -> tuple[list[Fraction], list[int], int]:
    """Optimal values, an optimal policy and the number of policies, from a policy that is nearly so."""
    iteration = 0
    while True:
        iteration += 1
        value = policy_value(model, discount, policy)
        stable = True
        for s, choices in enumerate(model):
            for a, choice in enumerate(choices):
                if action_value(choice, discount, value) > value[s]:
                    # one better action a state is enough: v rises there and falls nowhere (N1.3.4-g)
                    policy[s], stable = a, False
                    break
        if stable:
            return value, policy, iteration


def enclosed(value: Sequence[Fraction]) -> tuple[ndarray, ndarray]:
    """The nearest floats below and above, equal where a float is exact."""
    middle = np.array([float(v) for v in value])
    below = np.array([Fraction(float(x)) > v for x, v in zip(middle, value, strict=True)], bool)
    above = np.array([Fraction(float(x)) < v for x, v in zip(middle, value, strict=True)], bool)
    lower = np.where(below, np.nextafter(middle, -np.inf), middle)
    upper = np.where(above, np.nextafter(middle, np.inf), middle)
    return lower, upper


def unproven(
    model: Model, discount: Fraction, lower: ndarray, upper: ndarray, policy: Sequence[int], worthless: ndarray
) -> int | None:
    r"""The first state in which $T_\pi L \ge L$ or $T U \le U$ does not hold; None where they prove the bounds.

    Args:
        model: rewards to be maximised.
        discount: gamma.
        lower: L.
        upper: U.
        policy: place of the choice within each state.
        worthless: states in which rewards of 0 can be had for ever, bool[S]; there U >= 0 is needed too.
    """
    L = [Fraction(float(x)) for x in lower]
    U = [Fraction(float(x)) for x in upper]
    for s, choices in enumerate(model):
        if (not choices and (L[s] > 0 or U[s] < 0)) or (worthless[s] and U[s] < 0):
            return s
        if choices and action_value(choices[policy[s]], discount, L) < L[s]:
            return s
        if any(action_value(choice, discount, U) > U[s] for choice in choices):
            return s
    return None
