r"""Entropies and divergences from log-probabilities, such as `jax.nn.log_softmax` gives.

Letters of the shapes: *b any leading axes; a the values of a random variable, k the parts of a mixture. Entries may
be hugely negative, or $-\infty$ for what is impossible; what is too unlikely for the dtype (below e^-87 in float32)
counts as impossible in an average. Shapes agree as in `_tables`. Outside of JAX transformations every function
refuses (ValueError) what are no log-probabilities, such as logits.
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


def entropy_from_logs(log_p: Float[Any, "*b a"], *, unit: Unit = "nats") -> Float[Any, "*b"]:
    r"""Shannon entropy, $H(p) = -\sum_a p(a) \log p(a)$; see `entropy`.

    Args:
        log_p: $\log p$, natural.
        unit: of the result.

    Raises:
        ValueError: exp(log_p) is no distribution, another unit.
    """
    xp = namespace(log_p)
    return in_unit(expectation(xp, _probabilities(xp, log_p, "log_p"), -log_p), unit)


def kl_divergence_from_logs(
    log_p: Float[Any, "*#b a"], log_q: Float[Any, "*#b a"], *, unit: Unit = "nats"
) -> Float[Any, "*#b"]:
    r"""Kullback-Leibler divergence, $D_{KL}[p \| q]$; see `kl_divergence`.

    Unlike there, q may be smaller than the dtype can say: the result is finite where both logarithms are.

    Args:
        log_p: $\log p$, natural, of the distribution that is averaged over.
        log_q: $\log q$, natural.
        unit: of the result.

    Raises:
        ValueError: exp(log_p) or exp(log_q) is no distribution, shapes that do not agree, another unit.
    """
    xp, p, _ = _pair(log_p, log_q)
    # Before the difference: both may be minus infinity.
    return in_unit(expectation(xp, p, xp.where(p == 0, 0.0, log_p) - log_q), unit)


def jensen_shannon_from_logs(
    log_p: Float[Any, "*#b a"], log_q: Float[Any, "*#b a"], *, unit: Unit = "nats"
) -> Float[Any, "*#b"]:
    """Jensen-Shannon divergence; see `jensen_shannon`.

    Args:
        log_p: log p, natural, of one distribution.
        log_q: log q, natural, of the other.
        unit: of the result.

    Raises:
        ValueError: exp(log_p) or exp(log_q) is no distribution, shapes that do not agree, another unit.
    """
    xp, p, q = _pair(log_p, log_q)
    return in_unit(half_divergence(xp, p, q, log_p) + half_divergence(xp, q, p, log_q), unit)


def mixture_from_logs(log_p: Float[Any, "k *#b a"], weights: Float[Any, "k *#b"]) -> Float[Any, "*#b a"]:
    r"""Logarithm of a mixture, $\log \sum_k w_k p_k(a)$.

    The largest logarithm that has weight is taken out of the sum, so that nothing underflows: a mixture of
    e^-300 and e^-310 is right in float32. Parts without weight add nothing, whatever they hold.

    Args:
        log_p: $\log p_k$, natural; the parts are the first axis.
        weights: $w_k$, from 0, sums of 1 over the first axis. To the gradient of a weight of exactly 0 its part
            counts as no likelier than the likeliest part with weight, lest it overflow.

    Returns:
        Natural logarithms; $-\infty$ where every part with weight has $-\infty$.

    Raises:
        ValueError: exp(log_p) or the weights are no distributions, shapes that do not agree.
    """
    check_shapes("log_p without a", log_p.shape[:-1], "weights", weights.shape, same=0)
    xp = namespace(log_p, weights)
    _probabilities(xp, log_p, "log_p")
    check_distribution(weights, "weights", axis=0)
    w = weights[..., None]
    top = xp.max(xp.where(w > 0, log_p, -math.inf), axis=0, keepdims=True)
    top = xp.where(top == -math.inf, 0.0, top)
    below = log_p - top
    below = xp.where(w > 0, below, xp.minimum(below, 0.0))  # parts without weight may lie above the top
    return log(xp, xp.sum(w * xp.exp(below), axis=0), at_zero=-math.inf) + top[0]


def _pair(log_p: Any, log_q: Any) -> tuple[Any, Any, Any]:
    """The library of two arrays of log-probabilities, which are checked, and the probabilities."""
    check_shapes("log_p", log_p.shape, "log_q", log_q.shape, same=-1)
    xp = namespace(log_p, log_q)
    return xp, _probabilities(xp, log_p, "log_p"), _probabilities(xp, log_q, "log_q")


def _probabilities(xp: Any, log_p: Any, name: str) -> Any:
    p = xp.exp(log_p)
    check_distribution(p, f"exp({name})")
    return p
