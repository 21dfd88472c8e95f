r"""The first two layers of a view: a 3 x 3 convolution on class codes, and the dense layer after it.

A view is class codes, and the network sees colours:

$$x = \mathrm{relu}(\mathrm{conv}_{3\times3}(\mathrm{rgb}[codes]) + b) \, D.$$

Since colours are a function of the code, the convolution of three neighbours in a row is a lookup in a table of all
triples of classes, built once per call: three additions per output instead of 27 products, exact up to rounding. On
a CPU that, and the gradient below, is many times faster than XLA's convolution with so few filters; on other
backends the ordinary convolution runs.

The gradient recomputes the convolution by chunks that stay in cache, and knows that codes have none.

Letters of the shapes: g sets of parameters, m observations, v rows and w columns of a view, c classes,
f filters, d outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from suasion.games import alone

_CHUNK = 64  # observations whose activations stay in a core's second-level cache
_LARGEST_TABLE = 32  # classes up to which triples are tabulated (32^3 rows)


def convolve_then_dense(
    codes: UInt8[Array, "g m v w"],
    colours: Float[Array, "c 3"],
    kernel: Float[Array, "g 3 3 3 f"],
    bias: Float[Array, "g f"],
    dense: Float[Array, "g k d"],
) -> Float[Array, "g m d"]:
    """relu(convolution of the colours of `codes`, without padding, + bias), flattened, times `dense`.

    Args:
        codes: class codes, each below c.
        colours: RGB of each class in [0, 1]; constant, not differentiated.
        kernel: rows, columns, colour channels, filters.
        bias: of each filter.
        dense: k = (v - 2)(w - 2) f inputs, row-major over (row, column, filter).
    """
    if jax.default_backend() == "cpu" and colours.shape[0] <= _LARGEST_TABLE:
        return _tabulated(codes, colours, kernel, bias, dense)
    return _ordinary(codes, colours, kernel, bias, dense)


def _ordinary(codes: Array, colours: Array, kernel: Array, bias: Array, dense: Array) -> Array:
    def one(codes: Array, kernel: Array, bias: Array, dense: Array) -> Array:
        x = jax.lax.conv_general_dilated(
            colours[codes], kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(x + bias[None, None, None, :]).reshape(codes.shape[0], -1) @ dense

    return jax.vmap(one)(codes, kernel, bias, dense)


@jax.custom_vjp
def _tabulated(codes: Array, colours: Array, kernel: Array, bias: Array, dense: Array) -> Array:
    table = _triples(colours, kernel, bias)

    def chunk(codes: Array) -> Array:
        x = _look_up(codes, table, colours.shape[0])
        return jnp.einsum("gmk,gkd->gmd", x.reshape(*x.shape[:2], -1), dense)

    return _over_chunks(chunk, codes)


def _forward(codes: Array, colours: Array, kernel: Array, bias: Array, dense: Array) -> tuple[Array, Any]:
    return _tabulated(codes, colours, kernel, bias, dense), (codes, colours, kernel, bias, dense)


def _backward(saved: Any, cotangent: Array) -> tuple[None, None, Array, Array, Array]:
    codes, colours, kernel, bias, dense = saved
    table = _triples(colours, kernel, bias)
    size = _chunk(codes.shape[1])

    def chunk(i: Array, sums: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        here = jax.lax.dynamic_slice_in_dim(codes, i * size, size, 1)
        above = jax.lax.dynamic_slice_in_dim(cotangent, i * size, size, 1)
        x = _look_up(here, table, colours.shape[0])
        flat = x.reshape(*x.shape[:2], -1)
        d_dense = jnp.einsum("gmk,gmd->gkd", flat, above)
        d_x = jnp.einsum("gmd,gkd->gmk", above, dense).reshape(x.shape)
        d_x = jnp.where(x > 0, d_x, 0.0)
        d_kernel = _correlate(colours[here], d_x)
        d_bias = jnp.sum(d_x, (1, 2, 3))
        return sums[0] + d_kernel, sums[1] + d_bias, sums[2] + d_dense

    zeros = (jnp.zeros_like(kernel), jnp.zeros_like(bias), jnp.zeros_like(dense))
    d_kernel, d_bias, d_dense = jax.lax.fori_loop(0, codes.shape[1] // size, chunk, zeros)
    return None, None, d_kernel, d_bias, d_dense


_tabulated.defvjp(_forward, _backward)


def _triples(colours: Array, kernel: Array, bias: Array) -> Float[Array, "g 3 ccc f"]:
    """The contribution of three neighbours in a row, for each row of the kernel and every triple of classes."""

    def build(colours: Array, kernel: Array, bias: Array) -> Array:
        taps = jnp.einsum("cr,gyxrf->gyxcf", colours, kernel)
        taps = taps.at[:, 0, 0].add(bias[:, None, :])
        left, middle, right = taps[:, :, 0], taps[:, :, 1], taps[:, :, 2]
        return left[:, :, :, None, None] + middle[:, :, None, :, None] + right[:, :, None, None, :]

    table = alone(build, colours, kernel, bias)
    return table.reshape(*table.shape[:2], -1, table.shape[-1])


def _look_up(codes: Array, table: Array, classes: int) -> Float[Array, "g m y x f"]:
    """relu(convolution) of the chunk, from the table of triples."""

    def look(codes: Array, table: Array) -> Array:
        rows = codes.shape[1] - 2
        c = codes.astype(jnp.int32)
        triple = (c[:, :, :-2] * classes + c[:, :, 1:-1]) * classes + c[:, :, 2:]
        return jax.nn.relu(sum(table[y][triple[:, y : y + rows]] for y in range(3)))

    # XLA would fuse the reshape that follows into this loop and pay index arithmetic in every element (measured: 5
    # microseconds an observation, twice the rest of the layer).
    return alone(jax.vmap(look), codes, table)


def _correlate(rgb: Float[Array, "g m v w 3"], d_x: Float[Array, "g m y x f"]) -> Float[Array, "g 3 3 3 f"]:
    """The kernel's gradient: for each kernel row one product of whole image rows, then its diagonals.

    The product has more terms than needed, but it is a matrix product of contiguous rows: no patches are copied.
    """
    g, m, v, w, _ = rgb.shape
    rows, columns, filters = d_x.shape[2:]
    lines = rgb.reshape(g, m, v, w * 3)
    above = d_x.reshape(g, m, rows, columns * filters)
    products = jnp.stack([jnp.einsum("gmya,gmyb->gab", lines[:, :, y : y + rows], above) for y in range(3)], 1)
    products = products.reshape(g, 3, w, 3, columns, filters)
    diagonals = [sum(products[:, :, x + dx, :, x] for x in range(columns)) for dx in range(3)]
    return jnp.stack(diagonals, 2)


def _over_chunks(f: Callable[[Array], Array], codes: Array) -> Array:
    g, m, v, w = codes.shape
    size = _chunk(m)
    if size == m:
        return f(codes)
    parts = jnp.moveaxis(codes.reshape(g, m // size, size, v, w), 1, 0)
    out = jax.lax.map(f, parts)
    return jnp.moveaxis(out, 0, 1).reshape(g, m, -1)


def _chunk(m: int) -> int:
    """The largest divisor of m up to `_CHUNK`; all of m where only slivers divide it."""
    best = max(k for k in range(1, min(m, _CHUNK) + 1) if m % k == 0)
    return best if best >= 32 else m
