r"""The first two layers of a view: a 3 x 3 convolution on class codes, and the dense layer after it.

A view is class codes, and the network sees colours:

$$x = \mathrm{relu}(\mathrm{conv}_{3\times3}(\mathrm{rgb}[codes]) + b) \, D.$$

On a CPU the convolution and its kernel's gradient are compiled loops (`_lookup_kernels`), many times faster than XLA's
convolution with so few filters, and exact up to rounding; on other backends the ordinary convolution runs. The dense
layer is XLA's own.

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

from suasion._foreign import Shape, call, suits

_CALLS = "suasion.networks._lookup_calls"
_CHUNK = 128  # observations whose activations stay in a core's second-level cache


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
    if suits(colours, kernel, bias, dense):
        return _in_loops(codes, colours, kernel, bias, dense)
    return _ordinary(codes, colours, kernel, bias, dense)


def _ordinary(codes: Array, colours: Array, kernel: Array, bias: Array, dense: Array) -> Array:
    def one(codes: Array, kernel: Array, bias: Array, dense: Array) -> Array:
        x = jax.lax.conv_general_dilated(
            colours[codes], kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(x + bias[None, None, None, :]).reshape(codes.shape[0], -1) @ dense

    return jax.vmap(one)(codes, kernel, bias, dense)


@jax.custom_vjp
def _in_loops(codes: Array, colours: Array, kernel: Array, bias: Array, dense: Array) -> Array:
    def chunk(codes: Array) -> Array:
        return jnp.einsum("gmk,gkd->gmd", _convolve(codes, colours, kernel, bias), dense)

    return _over_chunks(chunk, codes)


def _forward(codes: Array, colours: Array, kernel: Array, bias: Array, dense: Array) -> tuple[Array, Any]:
    return _in_loops(codes, colours, kernel, bias, dense), (codes, colours, kernel, bias, dense)


def _backward(saved: Any, cotangent: Array) -> tuple[None, None, Array, Array, Array]:
    codes, colours, *parameters = saved

    def of_set(each: tuple[Array, ...]) -> tuple[Array, ...]:
        """One set of parameters after the other: the gradient of its dense layer stays in cache too."""
        codes, above, kernel, bias, dense = each
        size = _chunk(len(codes))

        def chunk(i: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
            here, d_y = (jax.lax.dynamic_slice_in_dim(x, i * size, size) for x in (codes, above))
            x = _convolve(here[None], colours, kernel[None], bias[None])[0]
            d_kernel, d_bias = _correlate(here, colours, x, jnp.einsum("md,kd->mk", d_y, dense), len(bias))
            d_dense = jnp.einsum("mk,md->kd", x, d_y)
            return sums[0] + d_kernel, sums[1] + d_bias, sums[2] + d_dense

        zeros = tuple(jnp.zeros_like(x) for x in (kernel, bias, dense))
        return jax.lax.fori_loop(0, len(codes) // size, chunk, zeros)

    return None, None, *jax.lax.map(of_set, (codes, cotangent, *parameters))


_in_loops.defvjp(_forward, _backward)


def _convolve(codes: Array, colours: Array, kernel: Array, bias: Array) -> Float[Array, "g m k"]:
    """relu(convolution) of a chunk."""
    g, m, v, w = codes.shape
    filters = bias.shape[-1]
    shape = Shape((g * m, (v - 2) * (w - 2) * filters), jnp.float32)
    flat = kernel.reshape(g, -1, filters)
    (x,) = call(_CALLS, "convolve", (shape,), codes.reshape(g * m, v, w), colours, flat, bias)
    return x.reshape(g, m, -1)


def _correlate(codes: Array, colours: Array, x: Array, d_x: Array, filters: int) -> tuple[Array, Array]:
    """The gradients of the kernel and of the bias of one set from a chunk, its outputs [m, k] and their cotangent."""
    shapes = Shape((27, filters), jnp.float32), Shape((filters,), jnp.float32)
    d_kernel, d_bias = call(_CALLS, "correlate", shapes, codes, colours, x, d_x)
    return d_kernel.reshape(3, 3, 3, filters), d_bias


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
