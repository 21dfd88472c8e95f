"""Encoders against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.networks import ClassEncoder, ConvolutionEncoder, Dense


def dense(layer, x, g):
    return np.maximum(x @ np.asarray(layer.weight[g], float) + np.asarray(layer.bias[g], float), 0)


@pytest.mark.parametrize("groups", [1, 3])
def test_convolution_encoder_sees_colours_between_0_and_1(quick, at_random, groups):
    rng = np.random.default_rng(groups)
    colours = rng.integers(0, 256, (7, 3)).astype(np.uint8)
    codes = rng.integers(0, 7, (groups, 6, 5, 4)).astype(np.uint8)
    init = quick(lambda key: ConvolutionEncoder.init(key, groups, (5, 4), 3, (5, 4)))
    encoder = at_random(init(jax.random.key(0)), 1)
    got = quick(lambda e, c: e(c, colours))(encoder, jnp.asarray(codes))
    windows = np.lib.stride_tricks.sliding_window_view(colours[codes] / 255.0, (3, 3), (2, 3))
    for g in range(groups):
        x = np.einsum("myxcij,ijcf->myxf", windows[g], np.asarray(encoder.kernel[g], float))
        x = np.maximum(x + np.asarray(encoder.kernel_bias[g], float), 0).reshape(6, -1)
        for layer in encoder.layers:
            x = dense(layer, x, g)
        np.testing.assert_allclose(got[g], x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("view", [(1, 1), (1, 3), (2, 2)])
def test_class_encoder_reads_every_cell(quick, at_random, view):
    rng = np.random.default_rng(2)
    colours = np.zeros((4, 3), np.uint8)  # colours that coincide do not hide classes
    codes = rng.integers(0, 4, (2, 5, *view)).astype(np.uint8)
    encoder = at_random(quick(lambda key: ClassEncoder.init(key, 2, view, 4, (6, 3)))(jax.random.key(0)), 3)
    got = quick(lambda e, c: e(c, colours))(encoder, jnp.asarray(codes))
    for g in range(2):
        x = np.eye(4)[codes[g]].reshape(5, -1)
        for layer in encoder.layers:
            x = dense(layer, x, g)
        np.testing.assert_allclose(got[g], x, rtol=1e-4, atol=1e-5)


def test_dense_takes_any_batch_axes(at_random):
    layer = at_random(Dense(weight=jnp.zeros((2, 3, 4)), bias=jnp.zeros((2, 4))), 0)
    x = np.random.default_rng(1).normal(size=(2, 5, 6, 3)).astype(np.float32)
    expected = np.einsum("gabi,gio->gabo", x, layer.weight) + np.asarray(layer.bias)[:, None, None]
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)


def test_fresh_parameters_have_the_variance_of_their_initialisation(quick):
    """Each of the four deviations lies within 5 standard errors: a false alarm in 1e6 (and the seed is fixed)."""
    encoder = quick(lambda k: ConvolutionEncoder.init(k, 4, (9, 9), 12, (40, 30)))(jax.random.key(5))
    classes = quick(lambda k: ClassEncoder.init(k, 4, (3, 3), 8, (40,)))(jax.random.key(6))
    for weight, variance in (
        (encoder.kernel, 2 / 27),
        (encoder.layers[0].weight, 2 / (7 * 7 * 12)),
        (encoder.layers[1].weight, 2 / 40),
        (classes.layers[0].weight, 2 / 9),  # of 72 inputs 9 are 1
    ):
        x = np.asarray(weight, float).ravel()
        assert abs(np.mean(x**2) / variance - 1) < 5 * np.sqrt(2 / x.size)
        assert abs(np.mean(x)) < 5 * np.sqrt(variance / x.size)
    assert not np.array_equal(encoder.kernel[0], encoder.kernel[1])
