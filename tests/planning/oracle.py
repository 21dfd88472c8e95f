"""Optimal values of tiny models by looking at every policy, in rational numbers: slow, short, and independent.

The model meant has rows divided by their exact sums. A policy is one choice of each state that has any.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from suasion.markov import MDP

Row = dict[int, Fraction]
Policy = tuple[int, ...]


def policies(mdp: MDP) -> Iterator[Policy]:
    return itertools.product(*[list(mdp.choices(s)) or [-1] for s in range(mdp.n_states)])


def chain(mdp: MDP, policy: Policy, sign: int = 1) -> tuple[list[Row], list[Fraction]]:
    """Rows and expected rewards under a policy; in a terminal state the row is empty."""
    rows, rewards = [], []
    for c in policy:
        row: Row = {}
        reward = Fraction(0)
        if c >= 0:
            branches = range(int(mdp.branch_start[c]), int(mdp.branch_start[c + 1]))
            total = sum(Fraction(float(mdp.probability[b])) for b in branches)
            reward = Fraction(float(mdp.choice_reward[c]))
            for b in branches:
                p = Fraction(float(mdp.probability[b])) / total
                row[int(mdp.target[b])] = row.get(int(mdp.target[b]), Fraction(0)) + p
                if mdp.branch_reward is not None:
                    reward += p * Fraction(float(mdp.branch_reward[b]))
        rows.append(row)
        rewards.append(sign * reward)
    return rows, rewards


def solve(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """Gauss and Jordan."""
    n = len(right)
    m = [[*row, r] for row, r in zip(matrix, right, strict=True)]
    for k in range(n):
        pivot = next(i for i in range(k, n) if m[i][k] != 0)
        m[k], m[pivot] = m[pivot], m[k]
        m[k] = [x / m[k][k] for x in m[k]]
        for i in range(n):
            if i != k and m[i][k] != 0:
                m[i] = [x - m[i][k] * y for x, y in zip(m[i], m[k], strict=True)]
    return [row[n] for row in m]


def linear(rows: list[Row], rewards: list[Fraction], discount: Fraction) -> list[Fraction]:
    """v = r + gamma P v."""
    n = len(rows)
    matrix = [[Fraction(i == j) - discount * rows[i].get(j, Fraction(0)) for j in range(n)] for i in range(n)]
    return solve(matrix, rewards)


def reachable(rows: list[Row]) -> list[set[int]]:
    """States that can follow each state, itself among them."""
    found = [{s} | set(row) for s, row in enumerate(rows)]
    for _ in rows:
        found = [set().union(*(found[j] for j in reach)) for reach in found]
    return found


def classes(rows: list[Row]) -> list[list[int]]:
    """Recurrent classes; a terminal state is one."""
    reach = reachable(rows)
    closed = {tuple(sorted(r)) for r in reach if all(reach[j] == r for j in r)}
    return [list(members) for members in sorted(closed)]


def gains(rows: list[Row], rewards: list[Fraction]) -> list[Fraction]:
    """Average reward of each recurrent class."""
    found = []
    for members in classes(rows):
        n = len(members)
        # pi P = pi, its first equation replaced by sum pi = 1
        matrix = [
            [rows[members[i]].get(members[j], Fraction(0)) - Fraction(i == j) for i in range(n)] for j in range(n)
        ]
        matrix[0] = [Fraction(1)] * n
        pi = [Fraction(1)] if n == 1 else solve(matrix, [Fraction(1)] + [Fraction(0)] * (n - 1))
        found.append(sum((p * rewards[s] for p, s in zip(pi, members, strict=True)), Fraction(0)))
    return found


def absorbed(rows: list[Row], worth: list[Fraction], rewards: list[Fraction]) -> list[Fraction]:
    """Expected reward before, and worth of, the recurrent class in which a walk ends."""
    inside = {s: w for members, w in zip(classes(rows), worth, strict=True) for s in members}
    kept = [{} if s in inside else row for s, row in enumerate(rows)]
    return linear(kept, [inside.get(s, r) for s, r in enumerate(rewards)], Fraction(1))


def discounted(mdp: MDP, policy: Policy, discount: float, sign: int = 1) -> list[Fraction]:
    return linear(*chain(mdp, policy, sign), Fraction(discount))


def average(mdp: MDP, policy: Policy, sign: int = 1) -> list[Fraction]:
    rows, rewards = chain(mdp, policy, sign)
    return absorbed(rows, gains(rows, rewards), [Fraction(0)] * len(rows))


class Unlimited(Exception):
    """A total that grows without bound, or goes to and fro."""


def total(mdp: MDP, policy: Policy, sign: int = 1, may_stay: bool = True) -> list[Fraction | None]:
    """Expected total reward; None for minus infinity, and where the end may be missed and must not.

    Raises:
        Unlimited: it is infinite, or has no limit.
    """
    rows, rewards = chain(mdp, policy, sign)
    found, reach = classes(rows), reachable(rows)
    gain = gains(rows, rewards)
    if any(g > 0 for g in gain):
        raise Unlimited
    if any(g == 0 and any(rewards[s] for s in members) for g, members in zip(gain, found, strict=True)):
        raise Unlimited
    live = [bool(rows[members[0]]) for members in found]
    sinking = [c for g, c, goes_on in zip(gain, found, live, strict=True) if g < 0 or (goes_on and not may_stay)]
    lost = {s for s, r in enumerate(reach) if any(set(members) & r for members in sinking)}
    kept = [{} if s in lost else row for s, row in enumerate(rows)]
    paid = [Fraction(0) if s in lost else r for s, r in enumerate(rewards)]
    value = absorbed(kept, [Fraction(0)] * len(classes(kept)), paid)
    return [None if s in lost else v for s, v in enumerate(value)]


def best(found: Iterable[Sequence[Fraction | None]]) -> list[Fraction | None]:
    """Of each state the greatest over policies; None where all are None."""
    result: list[Fraction | None] = []
    for values in zip(*found, strict=True):
        there = [v for v in values if v is not None]
        result.append(max(there) if there else None)
    return result


def contains(lower: np.ndarray, upper: np.ndarray, exact: Sequence[Fraction | None]) -> bool:
    """Whether L <= v <= U in every state; nothing is finite enough for a value that is infinite."""
    return None not in exact and all(
        Fraction(float(a)) <= v <= Fraction(float(b)) for a, v, b in zip(lower, exact, upper, strict=True)
    )
