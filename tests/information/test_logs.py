"""Log-probabilities against tables, in NumPy and in JAX, where probabilities underflow and where they are 0."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suasion.information import (
    entropy,
    entropy_from_logs,
    jensen_shannon,
    jensen_shannon_from_logs,
    kl_divergence,
    kl_divergence_from_logs,
    mixture_from_logs,
)


def logs(*shape):
    """Log-probabilities down to -400, and minus infinity."""

    def normal(logits):
        logits[..., 0] = np.where(np.isfinite(logits).any(-1), logits[..., 0], 0.0)
        return scipy.special.log_softmax(logits, axis=-1)

    elements = st.just(-math.inf) | st.floats(-400.0, 0.0) | st.floats(-3.0, 0.0)
    return hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing()).map(normal)


def close(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


PAIRS = {
    "entropy": (lambda p, q, **k: entropy_from_logs(p, **k), lambda p, q: entropy(p)),
    "kl_divergence": (kl_divergence_from_logs, kl_divergence),
    "jensen_shannon": (jensen_shannon_from_logs, jensen_shannon),
}
_jitted = {name: jax.jit(ours) for name, (ours, _) in PAIRS.items()}
_gradients = {name: jax.jit(jax.grad(lambda p, q, f=f: f(p, q).sum(), (0, 1))) for name, (f, _) in PAIRS.items()}
_mixture = jax.jit(mixture_from_logs)
_mixture_gradient = jax.jit(
    jax.grad(lambda log_p, w: jnp.where(jnp.isfinite(m := mixture_from_logs(log_p, w)), m, 0.0).sum(), (0, 1))
)


@pytest.mark.parametrize("name", PAIRS)
@given(logs(2, 5), logs(2, 5))
def test_logs_and_tables_agree(name, log_p, log_q):
    of_logs, of_tables = PAIRS[name]
    ours = of_logs(log_p, log_q)
    close(ours, of_tables(np.exp(log_p), np.exp(log_q)))
    close(of_logs(log_p, log_q, unit="bits"), ours / math.log(2))


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=15)
@given(logs(2, 5), logs(2, 5))
def test_numpy_is_jitted_jax(name, log_p, log_q):
    log_p, log_q = log_p.astype(np.float32), log_q.astype(np.float32)
    ours = PAIRS[name][0](log_p, log_q)
    compiled = _jitted[name](log_p, log_q)
    assert ours.dtype == compiled.dtype == np.float32
    # An excluded action that p allows with less than the smallest number: infinity in one, nothing in the other.
    rare = (np.isneginf(log_q) & (log_p > -110) & (log_p < -80)).any(-1)
    close(compiled[~rare], ours[~rare], 2e-5)
    for gradient in _gradients[name](log_p, log_q):
        assert np.isfinite(gradient[np.isfinite(compiled)]).all()


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_are_central_differences(name):
    rng = np.random.default_rng(2)
    logits, directions = rng.normal(size=(2, 3, 5)), rng.normal(size=(5, 2, 3, 5))
    of_logs = PAIRS[name][0]
    gradient = jax.jit(jax.grad(lambda x: of_logs(*jax.nn.log_softmax(x)).sum()))(logits.astype(np.float32))
    for direction in directions:
        above, below = (of_logs(*scipy.special.log_softmax(logits + h * direction, -1)) for h in (1e-5, -1e-5))
        close((np.asarray(gradient, np.float64) * direction).sum(), (above - below).sum() / 2e-5, 1e-4)


def test_masked_actions_have_gradients():
    """Through log_softmax, as a policy with forbidden actions has it: logits of minus infinity and of -1e9."""

    def influence(logits):
        log_p = jax.nn.log_softmax(logits)
        marginal = mixture_from_logs(log_p, jnp.array([0.25, 0.75]))
        return kl_divergence_from_logs(log_p, marginal[None]).sum() + jensen_shannon_from_logs(log_p, marginal[None])[0]

    logits = jnp.array([[1.0, -jnp.inf, -1e9, 0.5], [-1.0, -jnp.inf, 2.0, -1e9]])
    value, gradient = jax.jit(jax.value_and_grad(influence))(logits)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0.01


def test_what_underflows_in_a_table_is_finite_in_logs():
    log_p, log_q = np.log(np.array([0.5, 0.5], np.float32)), np.array([0.0, -300.0], np.float32)
    close(kl_divergence_from_logs(log_p, log_q), 150 - math.log(2), 1e-6)
    close(jax.jit(kl_divergence_from_logs)(log_p, log_q), 150 - math.log(2), 1e-6)
    assert kl_divergence(np.exp(log_p), np.exp(log_q)) == math.inf
    assert kl_divergence_from_logs(log_p, np.array([0.0, -np.inf], np.float32)) == math.inf


@given(logs(3, 2, 4), logs(2, 3))
def test_a_mixture_is_logsumexp(log_p, log_weights):
    weights = np.exp(log_weights).T
    ours = mixture_from_logs(log_p, weights)
    with np.errstate(divide="ignore"):
        theirs = scipy.special.logsumexp(log_p, axis=0, b=weights[..., None])
        through_logs = scipy.special.logsumexp(np.log(weights)[..., None] + log_p, axis=0)
    close(ours, through_logs)
    np.testing.assert_allclose(np.exp(ours), np.exp(theirs), atol=1e-12)
    np.testing.assert_array_equal(mixture_from_logs(log_p[:1], weights[:1] * 0 + 1), log_p[0])
    for gradient in _mixture_gradient(log_p.astype(np.float32), weights.astype(np.float32)):
        assert np.isfinite(gradient).all()


def test_a_mixture_in_float32():
    log_p = np.array([[0.0, -300.0, -np.inf, -np.inf], [-310.0, -310.0, -np.inf, 0.0]], np.float32)
    weights = np.array([0.25, 0.75], np.float32)
    expected = [math.log(0.25), math.log(0.25) - 300, -math.inf, math.log(0.75)]
    close(mixture_from_logs(log_p, weights), expected, 1e-6)
    close(_mixture(log_p, weights), expected, 1e-6)
    # A part without weight does not drown the others, and has a gradient.
    sampled = np.array([0.0, 1.0], np.float32)
    close(_mixture(log_p, sampled), log_p[1], 1e-6)
    _, gradient = _mixture_gradient(np.log(np.array([[0.5, 0.5], [0.25, 0.75]], np.float32)), sampled)
    close(gradient, [0.5 / 0.75 + 1, 2], 1e-6)


def test_mixtures_stretch():
    rng = np.random.default_rng(0)
    log_p, weights = np.log(rng.dirichlet(np.ones(4), (3, 2, 5))), rng.dirichlet(np.ones(3), (2, 1)).transpose(2, 0, 1)
    mixture = mixture_from_logs(log_p, weights)
    close(np.exp(mixture), np.einsum("kbna,kb->bna", np.exp(log_p), weights[..., 0]))
    close(_mixture(log_p, weights), mixture, 1e-5)
    close(jax.vmap(mixture_from_logs, (1, 1))(log_p, weights), mixture, 1e-5)


def test_nan_stays_nan_where_it_cannot_be_refused():
    broken, whole = np.array([[np.nan, 0.0]], np.float32), np.log(np.array([[0.5, 0.5]], np.float32))
    for name, compiled in _jitted.items():
        assert np.isnan(compiled(broken, whole)).all(), name
    assert np.isnan(_mixture(broken, np.ones(1, np.float32))[0])


@pytest.mark.usefixtures("unchecked")
def test_refusals():
    good, logits = np.log(np.array([0.5, 0.5])), np.array([1.0, 0.0])
    with pytest.raises(ValueError, match=r"^exp\(log_p\) sums to 3\.718"):
        entropy_from_logs(logits)
    with pytest.raises(ValueError, match="unit is 'bit'"):
        entropy_from_logs(good, unit="bit")
    for pair in (kl_divergence_from_logs, jensen_shannon_from_logs):
        with pytest.raises(ValueError, match=r"^exp\(log_p\) sums to 3\.718"):
            pair(logits, good)
        with pytest.raises(ValueError, match=r"^exp\(log_q\)\[1\] is nan"):
            pair(good, np.array([0.0, np.nan]))
        with pytest.raises(ValueError, match=r"log_p is \[2\], log_q \[1, 2\]: their shapes do not agree"):
            pair(good, good[None])
    parts = np.stack([good, good])
    with pytest.raises(ValueError, match=r"^exp\(log_p\)\[1\] sums to 3\.718"):
        mixture_from_logs(np.stack([good, logits]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"^weights sums to 0\.9"):
        mixture_from_logs(parts, np.array([0.5, 0.4]))
    with pytest.raises(ValueError, match=r"^weights\[:, 1\] sums to 0\.9"):
        mixture_from_logs(np.stack([parts, parts], 1), np.array([[0.5, 0.5], [0.5, 0.4]]))
    for weights in (np.ones(1), np.ones((2, 1)) / 2, np.ones(3) / 3):
        with pytest.raises(ValueError, match=r"log_p without a is \[2\], weights"):
            mixture_from_logs(parts, weights)
