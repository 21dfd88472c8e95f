r"""Tests of hypotheses about chains: of which order, the same everywhere, one independent of the other.

Letters: S states, k the order. Statistics are likelihood ratios $G^2 = 2 \sum n \log(n / \hat n)$.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from scipy import special

from suasion.markov._estimation import Paths, check_paths

_AT_ONCE = 1 << 20
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Significance:
    r"""What a test found.

    Attributes:
        statistic: $G^2$, in twice nats.
        p_value: probability of so large a statistic, or a larger one, if the hypothesis holds.
        degrees_of_freedom: of the chi-square that the statistic tends to.
    """

    statistic: float
    p_value: float
    degrees_of_freedom: int


def order_test(paths: Paths, n_states: int, order: int = 1) -> Significance:
    r"""Is a process a Markov chain of this order, against one more?

    $G^2 = 2 \sum n_{c s'} \log \frac{\hat p(s' \mid c)}{\hat p(s' \mid c^-)}$ over contexts c of `order` + 1 states;
    $c^-$ leaves the oldest out. Order 0 means independent steps. Degrees of freedom count what occurs: for each
    $c^-$, (states seen before it - 1)(states seen after it - 1). The p-value is asymptotic: of little worth where
    most counts are below 5.

    Args:
        paths: as in `MarkovChain.estimate`.
        n_states: S.
        order: k of the hypothesis, >= 0.

    Raises:
        ValueError: `order` negative, a path holds what is no state, no path is long enough, or S^(k + 2) > 2^62.

    References:
        Hoel (1954); Anderson & Goodman (1957), section 3.
    """
    if order < 0:
        raise ValueError(f"order is {order}, below 0")
    if n_states ** (order + 2) > 1 << 62:
        raise ValueError(f"{n_states} states to the power {order + 2} are too many to number")
    check_paths(paths, n_states)
    oldest, middle, newest = [], [], []
    for path in paths:
        code = np.zeros(max(len(path) - order - 1, 0), np.int64)
        for lag in range(order):
            code = code * n_states + path[1 + lag : 1 + lag + len(code)]
        middle.append(code)
        oldest.append(path[: len(code)])
        newest.append(path[order + 1 :])
    if not sum(map(len, middle)):
        raise ValueError(f"no path has more than {order + 1} states: nothing to test order {order} on")
    return _conditional(*(np.concatenate(x).astype(np.int64) for x in (oldest, middle, newest)))


def homogeneity_test(paths: Paths, n_states: int) -> Significance:
    r"""Do all paths come from chains with the same transition matrix?

    $G^2 = 2 \sum_{g, s, s'} n_{g s s'} \log \frac{\hat p_g(s' \mid s)}{\hat p(s' \mid s)}$ over paths g. Cut one path
    into pieces to ask whether it stays the same in time. Degrees of freedom count what occurs, as in `order_test`.

    Args:
        paths: as in `MarkovChain.estimate`; at least two.
        n_states: S.

    Raises:
        ValueError: fewer than two paths, a path holds what is no state, or no path has two states.

    References:
        Anderson & Goodman (1957), section 3.
    """
    if len(paths) < 2:
        raise ValueError(f"there are {len(paths)} paths: at least 2 are compared")
    check_paths(paths, n_states)
    if max(map(len, paths)) < 2:
        raise ValueError("no path has two states: there is no transition")
    group = np.repeat(np.arange(len(paths)), [max(len(path) - 1, 0) for path in paths])
    before = np.concatenate([path[:-1] for path in paths]).astype(np.int64)
    after = np.concatenate([path[1:] for path in paths]).astype(np.int64)
    return _conditional(group, before, after)


def independence_test(
    x: Int[ndarray, "_"], y: Int[ndarray, "_"], rng: np.random.Generator, permutations: int = 999
) -> Significance:
    r"""Are X and Y independent, $p(x, y) = p(x) p(y)$ (N1.3.1)? By permutation.

    $G^2 = 2 \sum n_{xy} \log \frac{n_{xy} n}{n_x n_y}$, which is $2 n$ times the mutual information. y is put in random
    order, again and again; the p-value is (1 + orders that reach the statistic) / (1 + orders), exact for
    exchangeable pairs. Consecutive states of a path are not exchangeable: for them it is too small.

    Args:
        x: symbols, any integers; at least one.
        y: as many.
        rng: generator of the orders.
        permutations: how many, >= 1.

    Raises:
        ValueError: no pairs, not as many of x as of y, or no permutation.

    References:
        Phipson & Smyth (2010), on the p-value.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}: at least 1")
    if len(x) != len(y) or not len(x):
        raise ValueError(f"there are {len(x)} of x and {len(y)} of y: as many, and at least one")
    rows, columns = (np.unique(v, return_inverse=True)[1].astype(np.int64) for v in (x, y))
    shape = int(rows.max()) + 1, int(columns.max()) + 1
    held = _table_statistic(rows * shape[1] + columns[None], shape)[0]
    reached, block = 0, max(1, _AT_ONCE // len(x))
    for done in range(0, permutations, block):
        orders = np.broadcast_to(columns, (min(block, permutations - done), len(columns)))
        null = _table_statistic(rows * shape[1] + rng.permuted(orders, axis=1), shape)
        reached += int(np.count_nonzero(null >= held - _ROUNDING * max(1.0, held)))
    return Significance(
        statistic=float(held),
        p_value=(1 + reached) / (1 + permutations),
        degrees_of_freedom=(shape[0] - 1) * (shape[1] - 1),
    )


def _table_statistic(codes: ndarray, shape: tuple[int, int]) -> ndarray:
    r"""$G^2$ of each row of codes, as a table of the shape."""
    size = shape[0] * shape[1]
    shifted = codes + size * np.arange(len(codes))[:, None]
    counts = np.bincount(shifted.ravel(), minlength=size * len(codes)).reshape(len(codes), *shape)
    inner = special.xlogy(counts, counts).sum(axis=(1, 2)) + special.xlogy(codes.shape[1], codes.shape[1])
    rows, columns = counts.sum(axis=2), counts.sum(axis=1)
    outer = special.xlogy(rows, rows).sum(axis=1) + special.xlogy(columns, columns).sum(axis=1)
    return np.maximum(2 * (inner - outer), 0.0)  # a sum of divergences: only rounding makes it negative


def _conditional(first: ndarray, given: ndarray, last: ndarray) -> Significance:
    """Are the first and the last independent, given what is between?"""
    n = _counted(first, given, last)[1]
    pairs = [_counted(given, last), _counted(first, given), _counted(given)]
    entropy = [special.xlogy(m, m).sum() for m in (n, *(held for _, held in pairs))]
    statistic = max(2 * float(entropy[0] - entropy[1] - entropy[2] + entropy[3]), 0.0)
    after = np.bincount(np.searchsorted(pairs[2][0][0], pairs[0][0][0]))
    before = np.bincount(np.searchsorted(pairs[2][0][0], pairs[1][0][1]))
    freedom = int(((after - 1) * (before - 1)).sum())
    p_value = float(special.chdtrc(freedom, statistic)) if freedom else 1.0
    return Significance(statistic=statistic, p_value=p_value, degrees_of_freedom=freedom)


def _counted(*columns: ndarray) -> tuple[ndarray, ndarray]:
    """Distinct rows, one column each, and how often they occur."""
    return np.unique(np.stack(columns), axis=1, return_counts=True)
