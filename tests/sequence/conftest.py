"""What the tests of this room share: random inputs of a scan, and trees compared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def scan_inputs():
    """x, delta, A, B, C, state and start in NumPy, channels last; a start in every twelfth step or so.

    Numbers of float32 in arrays of float64: one truth for both.
    """

    def make(steps, batch, channels, states, seed=0):
        rng = np.random.default_rng(seed)
        sizes = {"t": steps, "b": batch, "d": channels, "n": states}
        x, delta, A, B, C, state = (
            rng.normal(size=[sizes[axis] for axis in axes]) for axes in ("tbd", "tbd", "nd", "tbn", "tbn", "bnd")
        )
        real = (x, np.logaddexp(0, delta - 1), -np.exp(A), B, C, state)
        return *(v.astype("float32").astype(float) for v in real), rng.random((steps, batch)) < 0.08

    return make


@pytest.fixture(scope="session")
def assert_close():
    """Trees equal within a tolerance times the largest entry of each expected leaf (at least 1)."""

    def check(found, expected, tolerance):
        found, expected = jax.tree.leaves(found), jax.tree.leaves(expected)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(np.abs(b).max(initial=0.0))))

    return check


@pytest.fixture(scope="session")
def perturbed():
    """A tree with normal numbers added to its real leaves: parameters in the middle, memories that are not zero."""

    def make(tree, seed, scale=0.3):
        rng = np.random.default_rng(seed)
        return jax.tree.map(lambda x: x + jnp.asarray(rng.normal(size=x.shape) * scale, x.dtype), tree)

    return make
