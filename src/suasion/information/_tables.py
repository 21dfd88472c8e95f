r"""Entropies, divergences and mutual information of tables of probabilities.

Letters of the shapes: *b any leading axes; a, x, y, z the values of random variables. Two tables may differ in
leading axes of length 1, which are stretched, but not in the number of axes. Every function refuses (ValueError)
tables that are no distributions, see `check_distribution`, and shapes that do not agree.
"""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float

from suasion.information._array import (
    Unit,
    check_distribution,
    check_shapes,
    expectation,
    half_divergence,
    in_unit,
    log,
    namespace,
)


def entropy(p: Float[Any, "*b a"], *, unit: Unit = "nats") -> Float[Any, "*b"]:
    r"""Shannon entropy, $H(p) = -\sum_a p(a) \log p(a)$, from 0 to $\log |A|$.

    Args:
        p: a distribution over the last axis.
        unit: of the result.

    Raises:
        ValueError: p is no distribution, another unit.

    References:
        Cover & Thomas (2006), section 2.1.
    """
    check_distribution(p)
    xp = namespace(p)
    return in_unit(expectation(xp, p, -log(xp, p, at_zero=0.0)), unit)


def cross_entropy(p: Float[Any, "*#b a"], q: Float[Any, "*#b a"], *, unit: Unit = "nats") -> Float[Any, "*#b"]:
    r"""Cross-entropy, $-\sum_a p(a) \log q(a) = H(p) + D_{KL}[p \| q]$; infinite where q excludes what p allows.

    Args:
        p: the distribution that is averaged over.
        q: the distribution that is scored.
        unit: of the result.

    Raises:
        ValueError: p or q is no distribution, shapes that do not agree, another unit.
    """
    xp = _pair(p, q)
    return in_unit(expectation(xp, p, -log(xp, q, at_zero=-math.inf)), unit)


def kl_divergence(p: Float[Any, "*#b a"], q: Float[Any, "*#b a"], *, unit: Unit = "nats") -> Float[Any, "*#b"]:
    r"""Kullback-Leibler divergence, $D_{KL}[p \| q] = \sum_a p(a) (\log p(a) - \log q(a))$ (N-KL of the notes).

    From 0, which only p = q attains (up to rounding), to infinity where p > 0 and q = 0.

    Args:
        p: the distribution that is averaged over.
        q: the distribution it is compared with.
        unit: of the result.

    Raises:
        ValueError: p or q is no distribution, shapes that do not agree, another unit.

    References:
        Cover & Thomas (2006), section 2.3.
    """
    xp = _pair(p, q)
    return in_unit(expectation(xp, p, log(xp, p, at_zero=0.0) - log(xp, q, at_zero=-math.inf)), unit)


def jensen_shannon(p: Float[Any, "*#b a"], q: Float[Any, "*#b a"], *, unit: Unit = "nats") -> Float[Any, "*#b"]:
    r"""Jensen-Shannon divergence, $\frac12 D_{KL}[p \| m] + \frac12 D_{KL}[q \| m]$ with $m = \frac12 (p + q)$.

    Symmetric; from 0 for p = q to log 2 (1 bit) for distributions that share nothing. It is the divergence itself,
    not its square root, which is a metric.

    Args:
        p: one distribution.
        q: the other.
        unit: of the result.

    Raises:
        ValueError: p or q is no distribution, shapes that do not agree, another unit.

    References:
        Lin (1991), section IV, with equal weights.
    """
    xp = _pair(p, q)
    log_p, log_q = log(xp, p, at_zero=0.0), log(xp, q, at_zero=0.0)
    return in_unit(half_divergence(xp, p, q, log_p) + half_divergence(xp, q, p, log_q), unit)


def joint_from_conditional(policy: Float[Any, "*#b x"], conditional: Float[Any, "*#b x y"]) -> Float[Any, "*#b x y"]:
    """Joint table p(x, y) = p(x) p(y | x).

    Args:
        policy: p(x), such as what one agent does.
        conditional: p(y | x), a distribution over y for every x, such as what another does then.

    Raises:
        ValueError: either is no distribution, shapes that do not agree.
    """
    check_shapes("policy", policy.shape, "the conditional without y", conditional.shape[:-1], same=-1)
    check_distribution(policy, "policy")
    check_distribution(conditional, "conditional")
    return policy[..., None] * conditional


def conditional_entropy(p: Float[Any, "*b x y"], *, unit: Unit = "nats") -> Float[Any, "*b"]:
    r"""Conditional entropy of y given x, $H(Y|X) = -\sum_{x,y} p(x,y) \log p(y|x)$, from 0 to $H(Y)$.

    Args:
        p: joint table; swap its axes for H(X|Y).
        unit: of the result.

    Raises:
        ValueError: p is no distribution, another unit.

    References:
        Cover & Thomas (2006), section 2.2.
    """
    check_distribution(p, axis=(-2, -1))
    xp = namespace(p)
    log_x = _log_marginal(xp, p, -1)
    return in_unit(expectation(xp, p, log_x - log(xp, p, at_zero=0.0), axis=(-2, -1)), unit)


def mutual_information(p: Float[Any, "*b x y"], *, unit: Unit = "nats") -> Float[Any, "*b"]:
    r"""Mutual information, from 0 (independent, up to rounding) to the smaller of H(X) and H(Y).

    $I(X;Y) = \sum_{x,y} p(x,y) (\log p(x,y) - \log p(x) - \log p(y))$, which is $D_{KL}[p(x,y) \| p(x) p(y)]$, the
    average of $D_{KL}[p(y|x) \| p(y)]$ over x, and $H(X) + H(Y) - H(X,Y)$ (N(16)-N(18) of the notes, at one z).

    Args:
        p: joint table.
        unit: of the result.

    Raises:
        ValueError: p is no distribution, another unit.

    References:
        Cover & Thomas (2006), section 2.3.
    """
    check_distribution(p, axis=(-2, -1))
    xp = namespace(p)
    log_product = _log_marginal(xp, p, -1) + _log_marginal(xp, p, -2)
    return in_unit(expectation(xp, p, log(xp, p, at_zero=0.0) - log_product, axis=(-2, -1)), unit)


def pointwise_mutual_information(p: Float[Any, "*b x y"], *, unit: Unit = "nats") -> Float[Any, "*b x y"]:
    r"""Pointwise mutual information, $\log p(x,y) - \log p(x) - \log p(y)$ (N-PMI of the notes).

    Its expectation under p is the mutual information. It is $-\infty$ where x and y each occur but never together,
    and NaN, undefined, where x or y never occurs: leave out entries with p = 0 before averaging.

    Args:
        p: joint table.
        unit: of the result.

    Raises:
        ValueError: p is no distribution, another unit.

    References:
        Church & Hanks (1990).
    """
    check_distribution(p, axis=(-2, -1))
    xp = namespace(p)
    never = (xp.sum(p, axis=-1, keepdims=True) == 0) | (xp.sum(p, axis=-2, keepdims=True) == 0)
    pointwise = log(xp, p, at_zero=-math.inf) - _log_marginal(xp, p, -1) - _log_marginal(xp, p, -2)
    return in_unit(xp.where(never, math.nan, pointwise), unit)


def conditional_mutual_information(p: Float[Any, "*b x y z"], *, unit: Unit = "nats") -> Float[Any, "*b"]:
    r"""Conditional mutual information, $I(X;Y|Z) = \sum_z p(z) I(X;Y|Z=z)$.

    Args:
        p: joint table of all three.
        unit: of the result.

    Raises:
        ValueError: p is no distribution, another unit.

    References:
        Cover & Thomas (2006), section 2.5.
    """
    check_distribution(p, axis=(-3, -2, -1))
    xp = namespace(p)
    return in_unit(xp.sum(_information_by_z(xp, p), axis=-1), unit)


def conditional_mutual_information_at(p: Float[Any, "*b x y z"], *, unit: Unit = "nats") -> Float[Any, "*b z"]:
    r"""Mutual information given each single z, $I(X;Y|Z=z) = \sum_{x,y} p(x,y|z) \log \frac{p(x,y|z)}{p(x|z) p(y|z)}$.

    This is what the notes' N-CMI states: written with one sum over x and y, it is the value at a fixed z. What bears
    the name conditional mutual information averages it over z, see `conditional_mutual_information`.

    Args:
        p: joint table of all three.
        unit: of the result.

    Returns:
        One number for each z; NaN, undefined, where p(z) = 0.

    Raises:
        ValueError: p is no distribution, another unit.
    """
    check_distribution(p, axis=(-3, -2, -1))
    xp = namespace(p)
    p_z = xp.sum(p, axis=(-3, -2))
    never = p_z == 0
    at = _information_by_z(xp, p) / xp.where(never, 1.0, p_z)
    return in_unit(xp.where(never, math.nan, at), unit)


def _pair(p: Any, q: Any) -> Any:
    """The library of two distributions, which are checked."""
    check_shapes("p", p.shape, "q", q.shape, same=-1)
    check_distribution(p, "p")
    check_distribution(q, "q")
    return namespace(p, q)


def _log_marginal(xp: Any, p: Any, summed: int | tuple[int, ...]) -> Any:
    """Logarithm of the sums over some axes, which are kept with length 1; 0 for the logarithm of 0."""
    return log(xp, xp.sum(p, axis=summed, keepdims=True), at_zero=0.0)


def _information_by_z(xp: Any, p: Any) -> Any:
    """p(z) I(X;Y|Z=z) for every z, which bears p(z) = 0."""
    log_xz, log_yz, log_z = (_log_marginal(xp, p, summed) for summed in (-2, -3, (-3, -2)))
    return expectation(xp, p, log(xp, p, at_zero=0.0) + log_z - log_xz - log_yz, axis=(-3, -2))
