"""The first two layers of a view against the ordinary convolution, written out in NumPy with float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion._foreign import suits
from suasion.networks import convolve_then_dense
from suasion.networks._lookup import _ordinary


def by_definition(codes, colours, kernel, bias, dense, above):
    """The layer and its gradient: windows of 3 x 3, one product each; `above` is the cotangent."""
    image = colours[codes]
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), (2, 3))  # g m y x channel row column
    x = np.einsum("gmyxcij,gijcf->gmyxf", windows, kernel) + bias[:, None, None, None, :]
    flat = np.maximum(x, 0).reshape(*x.shape[:2], -1)
    d_x = np.where(x > 0, np.einsum("gmd,gkd->gmk", above, dense).reshape(x.shape), 0.0)
    gradient = (
        np.einsum("gmyxcij,gmyxf->gijcf", windows, d_x),
        d_x.sum((1, 2, 3)),
        np.einsum("gmk,gmd->gkd", flat, above),
    )
    return np.einsum("gmk,gkd->gmd", flat, dense), gradient


def problem(seed, g, m, v, w, classes, filters, outputs):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, classes, (g, m, v, w)).astype(np.uint8)
    codes[0, 0, 0, 0] = classes - 1  # the last class takes part
    return (
        codes,
        rng.random((classes, 3)),
        rng.normal(size=(g, 3, 3, 3, filters)) * 0.3,
        rng.normal(size=(g, filters)) * 0.3,
        rng.normal(size=(g, (v - 2) * (w - 2) * filters, outputs)) * 0.3,
        rng.normal(size=(g, m, outputs)),
    )


@jax.jit
def ours(codes, colours, kernel, bias, dense, above):
    def f(kernel, bias, dense):
        return convolve_then_dense(codes, colours, kernel, bias, dense)

    value, back = jax.vjp(f, kernel, bias, dense)
    return value, back(above)


def close(x, y, tolerance=1e-5):
    scale = max(1.0, float(np.abs(y).max()))
    np.testing.assert_allclose(np.asarray(x) / scale, y / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "sizes",
    [
        # g, m, v, w, classes, filters, outputs
        (1, 1, 3, 3, 2, 1, 1),  # the smallest view
        (2, 5, 5, 5, 4, 3, 4),
        (3, 64, 4, 7, 6, 6, 5),  # not square
        (1, 256, 3, 5, 7, 2, 3),  # several chunks
        (2, 131, 4, 3, 5, 2, 2),  # a prime number of observations, more than a chunk
        (1, 202, 3, 3, 5, 2, 2),  # twice a prime
        (2, 96, 15, 15, 11, 6, 4),  # the view of the publications
        (1, 4, 3, 4, 255, 1, 2),  # many classes
        (2, 6, 4, 5, 3, 8, 2),  # a register full of filters
        (2, 5, 5, 4, 3, 9, 3),  # one more
        (1, 3, 4, 6, 3, 19, 2),  # three of them
    ],
    ids=str,
)
def test_lookup_is_the_convolution(sizes):
    arrays = problem(sum(sizes), *sizes)
    value, gradient = by_definition(*arrays)
    floats = [jnp.asarray(x, jnp.float32) for x in arrays[1:]]
    got, got_gradient = ours(jnp.asarray(arrays[0]), *floats)
    close(got, value)
    for x, y in zip(got_gradient, gradient, strict=True):
        assert x.shape == y.shape
        close(x, y)


def test_the_ordinary_form_agrees():
    """What runs where there are no loops."""
    codes, *floats = problem(3, 2, 9, 5, 6, 4, 6, 3)
    floats = [jnp.asarray(x, jnp.float32) for x in floats[:-1]]
    close(_ordinary(jnp.asarray(codes), *floats), np.asarray(convolve_then_dense(jnp.asarray(codes), *floats)))


def test_what_is_no_class_is_not_read():
    """A code beyond the palette makes its own view NaN, and no other."""
    codes, *floats = problem(4, 2, 3, 4, 4, 5, 2, 2)
    floats = [jnp.asarray(x, jnp.float32) for x in floats[:-1]]
    if not suits(*floats):
        pytest.skip("only the loops")
    codes[0, 1, 0, 0], codes[1, 2, 3, 3] = 5, 255
    found = np.isnan(np.asarray(convolve_then_dense(jnp.asarray(codes), *floats))).all(-1)
    np.testing.assert_array_equal(found, [[False, True, False], [False, False, True]])


def test_sets_of_parameters_do_not_mix():
    arrays = problem(0, 2, 40, 5, 5, 6, 3, 4)
    codes, colours, kernel, bias, dense, above = (
        jnp.asarray(x, x.dtype if x.dtype == np.uint8 else jnp.float32) for x in arrays
    )
    _, both = ours(codes, colours, kernel, bias, dense, above)
    _, first = ours(codes, colours, kernel, bias, dense, above.at[1].set(0.0))
    for x, y in zip(both, first, strict=True):
        np.testing.assert_array_equal(y[1], 0.0)
        close(x[0], np.asarray(y[0]), 1e-6)


def test_dead_filters_give_nothing_and_no_gradient():
    codes, colours, kernel, bias, dense, above = problem(1, 1, 7, 4, 4, 3, 2, 2)
    floats = [jnp.asarray(x, jnp.float32) for x in (colours, kernel, bias - 100.0, dense, above)]
    value, gradient = ours(jnp.asarray(codes), *floats)
    for x in (value, *gradient):
        np.testing.assert_array_equal(x, 0.0)
