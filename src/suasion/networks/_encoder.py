"""Encoders: from the class codes of a view to features, with the axis g of independent parameters written out.

Letters of the shapes: g sets of parameters, m observations, v rows and w columns of a view, c classes,
f filters, d features.
"""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from suasion.networks._lookup import convolve_then_dense
from suasion.networks._observation import one_hot


class Dense(eqx.Module):
    """y = x W + b, one per set of parameters."""

    weight: Float[Array, "g i o"]
    bias: Float[Array, "g o"]

    @staticmethod
    def init(key: Key[Array, ""], groups: int, inputs: int, outputs: int, scale: float = 1.0) -> Dense:
        """Weights normal with deviation scale/sqrt(inputs), biases zero."""
        weight = jax.random.normal(key, (groups, inputs, outputs)) * (scale / np.sqrt(inputs))
        return Dense(weight=weight, bias=jnp.zeros((groups, outputs)))

    def __call__(self, x: Float[Array, "g *m i"]) -> Float[Array, "g *m o"]:
        """The layer, over any number of batch axes."""
        bias = self.bias.reshape(self.bias.shape[0], *(1,) * (x.ndim - 2), -1)
        return jnp.einsum("g...i,gio->g...o", x, self.weight) + bias


class Encoder(eqx.Module):
    """From views to features; final classes only say how."""

    @abc.abstractmethod
    def __call__(self, codes: UInt8[Array, "g m v w"], colours: np.ndarray) -> Float[Array, "g m d"]:
        """Features of every view.

        Args:
            codes: class codes, each below the number of colours.
            colours: the palette, uint8[c, 3].
        """


class ConvolutionEncoder(Encoder):
    """A 3 x 3 convolution of the colours / 255, without padding, then dense layers, all with relu.

    References:
        Jaques et al. (2019), appendix: 6 filters, then 32 and 32 units.
    """

    kernel: Float[Array, "g 3 3 3 f"]
    kernel_bias: Float[Array, "g f"]
    layers: tuple[Dense, ...]

    @staticmethod
    def init(
        key: Key[Array, ""], groups: int, view: tuple[int, int], filters: int, hidden: tuple[int, ...]
    ) -> ConvolutionEncoder:
        """Fresh parameters with variance 2/inputs, as relu asks."""
        key_kernel, *keys = jax.random.split(key, 1 + len(hidden))
        widths = ((view[0] - 2) * (view[1] - 2) * filters, *hidden)
        return ConvolutionEncoder(
            kernel=jax.random.normal(key_kernel, (groups, 3, 3, 3, filters)) * np.sqrt(2 / 27),
            kernel_bias=jnp.zeros((groups, filters)),
            layers=tuple(
                Dense.init(k, groups, i, o, np.sqrt(2)) for k, i, o in zip(keys, widths[:-1], widths[1:], strict=True)
            ),
        )

    def __call__(self, codes: UInt8[Array, "g m v w"], colours: np.ndarray) -> Float[Array, "g m d"]:
        """Features of every view."""
        first, *rest = self.layers
        rgb = jnp.asarray(colours, jnp.float32) / 255
        x = convolve_then_dense(codes, rgb, self.kernel, self.kernel_bias, first.weight)
        x = jax.nn.relu(x + first.bias[:, None, :])
        for layer in rest:
            x = jax.nn.relu(layer(x))
        return x


class ClassEncoder(Encoder):
    """Dense layers with relu on the one-hot codes of the whole view: for small views, and for those below 3 x 3."""

    layers: tuple[Dense, ...]

    @staticmethod
    def init(
        key: Key[Array, ""], groups: int, view: tuple[int, int], classes: int, hidden: tuple[int, ...]
    ) -> ClassEncoder:
        """Fresh parameters with variance 2/inputs; of each cell's one-hot vector one entry is an input."""
        widths = (view[0] * view[1] * classes, *hidden)
        scales = (np.sqrt(2 * classes), *(np.sqrt(2.0),) * (len(hidden) - 1))
        keys = jax.random.split(key, len(hidden))
        return ClassEncoder(
            layers=tuple(
                Dense.init(k, groups, i, o, s) for k, i, o, s in zip(keys, widths[:-1], widths[1:], scales, strict=True)
            )
        )

    def __call__(self, codes: UInt8[Array, "g m v w"], colours: np.ndarray) -> Float[Array, "g m d"]:
        """Features of every view."""
        x = one_hot(codes, len(colours)).reshape(*codes.shape[:2], -1)
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x
