"""Layers with named initialisers, shared by all architectures."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from devae_jax.models import cells, strided
from devae_jax.types import Array

INITIALISERS = {
    # name: (fan_in, fan_out) -> bounds of U(-bound, bound) for kernel and bias
    "torch": lambda fan_in, fan_out: (1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in)),
    "glorot": lambda fan_in, fan_out: (math.sqrt(6 / (fan_in + fan_out)), 0.0),
}


class Style(NamedTuple):
    """How the layers of a network are made; the same for all of them.

    init: name in INITIALISERS. "torch" is U(+-1/sqrt(fan_in)) for kernels and biases,
        where a transposed convolution counts its *output* channels as fan-in, as
        PyTorch does; "glorot" is Glorot uniform with zero biases (disentanglement_lib).
    convolution: implementation, see `strided.choose`
    dtype: of the computation; parameters are made in float32. "float64" is for comparisons
        under `jax_enable_x64`
    axis_name: mapped axis over which batch statistics are averaged
    remat: blocks are computed again on the way back instead of kept, see `block`
    """

    init: str = "torch"
    convolution: str = "native"
    dtype: str = "float32"
    axis_name: str | None = None
    remat: bool = False


def relu(x: Array, style: Style) -> Array:
    """max(x, 0)."""
    return nn.relu(x) if style.convolution == "fast" else _relu(x)


@jax.custom_jvp
def _relu(x: Array) -> Array:
    return jnp.maximum(x, 0)


@_relu.defjvp
def _relu_derivative(primals, tangents):
    # Of the result alone: then x itself is not kept, and on a GPU the convolution before ends in
    # the maximum, in place of a pass over its maps. XLA reads "result > 0" as "x > 0".
    result = _relu(*primals)
    return result, jnp.where(result != 0, tangents[0], 0)


def _uniform(bound: float):
    def init(key, shape):
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

    return init if bound else lambda key, shape: jnp.zeros(shape, jnp.float32)


def block(module: type[nn.Module], style: Style, static: tuple[int, ...] = ()) -> Any:
    """A module's class, or the same that keeps its input alone if the style says so.

    static: numbers of the arguments of its call that are Python values; self is 0
    """
    if not style.remat:
        return module
    made = nn.remat(module, static_argnums=static)
    made.__name__ = module.__name__  # names of parameters begin with it
    return made


class Affine(nn.Module):
    """Kernel and bias of a layer, in the dtype of the computation; then x -> kernel x + bias."""

    features: int
    style: Style

    def weights(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> tuple[Array, Array]:
        return self.kernel(shape, fan_in, fan_out), self.bias(fan_in, fan_out)

    def kernel(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
        bound, _ = INITIALISERS[self.style.init](fan_in, fan_out)
        return self.param("kernel", _uniform(bound), shape).astype(self.style.dtype)

    def bias(self, fan_in: int, fan_out: int) -> Array:
        _, bound = INITIALISERS[self.style.init](fan_in, fan_out)
        return self.param("bias", _uniform(bound), (self.features,)).astype(self.style.dtype)

    def add_bias(self, maps: Array, bias: Array) -> Array:
        shape = [1] * maps.ndim
        shape[strided.channel_axis(self.style.convolution)] = self.features
        return maps + bias.reshape(shape)


class Dense(Affine):
    """[B, I] -> [B, features]."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel, bias = self.weights((x.shape[-1], self.features), x.shape[-1], self.features)
        return x.astype(self.style.dtype) @ kernel + bias[None]


class Down(Affine):
    """Convolution of stride 2 with an even kernel: maps of size H -> size H/2."""

    size: int = 4

    def __call__(self, x: Array) -> Array:
        kernel, bias = self.parameters(x.shape[strided.channel_axis(self.style.convolution)])
        x = strided.down(x.astype(self.style.dtype), kernel, self.style.convolution)
        return self.add_bias(x, bias)

    @nn.compact
    def parameters(self, channels: int) -> tuple[Array, Array]:
        """Kernel [k, k, channels, features] and bias [features]."""
        area = self.size**2
        shape = (self.size, self.size, channels, self.features)
        return self.weights(shape, area * channels, area * self.features)


class Up(Affine):
    """Transposed convolution of stride 2: maps of size H -> size 2H."""

    size: int = 4

    def __call__(self, x: Array) -> Array:
        kernel, bias = self.parameters(x.shape[strided.channel_axis(self.style.convolution)])
        x = strided.up(x.astype(self.style.dtype), kernel, self.style.convolution)
        return self.add_bias(x, bias)

    @nn.compact
    def parameters(self, channels: int) -> tuple[Array, Array]:
        """Kernel [k, k, channels, features] and bias [features]."""
        area = self.size**2
        fans = (area * channels, area * self.features)
        if self.style.init == "torch":
            fans = fans[::-1]
        shape = (self.size, self.size, channels, self.features)
        return self.weights(shape, *fans)


def from_pixels(
    images: Array, features: tuple[int, int], style: Style, sizes: tuple[int, int] = (4, 4)
) -> Array:
    """The first two layers of an encoder, ReLUs too: images [N, 4H, 4H, C] -> maps of size H.

    sizes: of their kernels
    """
    made = [Down(*one) for one in zip(features, (style, style), sizes, strict=True)]
    if style.convolution == "fused":
        from devae_jax.models import fused  # here: Triton takes a quarter of a second to import

        channels = images.shape[-1], features[0]
        if fused.fits(images.shape[1] // 4, features[1], features[0], sizes):
            first, second = (
                layer.parameters(count) for layer, count in zip(made, channels, strict=True)
            )
            return fused.first_layers(images.astype(style.dtype), *first, *second)
    x = strided.to_maps(images, style.convolution)
    for layer in made:
        x = relu(layer(x), style)
    return x


def to_pixels(x: Array, features: tuple[int, int], channels: int, style: Style) -> Array:
    """The last three layers of a decoder: maps of size H -> logits [N, 8H, 8H, channels]."""
    before, middle, last = (Up(count, style) for count in (*features, channels))
    if style.convolution == "fused":
        from devae_jax.models import fused

        if fused.fits(2 * x.shape[1], *features):
            x = x.astype(style.dtype)
            kernel, shift = before.parameters(x.shape[-1])
            x = strided.up(x, kernel, style.convolution)
            weights = middle.parameters(features[0]), last.parameters(features[1])
            return fused.last_layers(x, shift, *weights[0], *weights[1])
    x = relu(before(x), style)
    if style.convolution in ("cells", "fused"):
        kernel, bias = middle.parameters(features[0])
        return cells.last_layers(x, kernel, bias, *last.parameters(features[1]))
    return strided.to_images(last(relu(middle(x), style)), style.convolution)


class Conv(Affine):
    """Convolution with an odd kernel on maps [B, H, W, C], size H -> H / stride."""

    size: int = 3
    stride: int = 1
    biased: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        area, channels = self.size**2, x.shape[-1]
        shape = (self.size, self.size, channels, self.features)
        fans = (area * channels, area * self.features)
        kernel = self.kernel(shape, *fans)
        padding = [(self.size // 2, self.size // 2)] * 2
        x = jax.lax.conv_general_dilated(
            x.astype(self.style.dtype),
            kernel,
            (self.stride, self.stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return x + self.bias(*fans).reshape(1, 1, 1, -1) if self.biased else x


class Collapse(Affine):
    """A convolution over the whole map, maps -> [B, features]: one matrix product."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = strided.to_images(x, self.style.convolution).astype(self.style.dtype)
        h, w, channels = x.shape[1:]
        shape = (h, w, channels, self.features)
        kernel, bias = self.weights(shape, h * w * channels, h * w * self.features)
        return x.reshape(x.shape[0], -1) @ kernel.reshape(-1, self.features) + bias[None]


class Expand(Affine):
    """A transposed convolution of one pixel, [B, C] -> maps of `size`."""

    size: int = 4

    @nn.compact
    def __call__(self, x: Array) -> Array:
        area, channels = self.size**2, x.shape[-1]
        fans = (area * channels, area * self.features)
        if self.style.init == "torch":
            fans = fans[::-1]
        shape = (self.size, self.size, channels, self.features)
        kernel, bias = self.weights(shape, *fans)
        matrix = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
        x = x.astype(self.style.dtype) @ matrix
        x = x.reshape(-1, self.size, self.size, self.features)
        return self.add_bias(strided.to_maps(x, self.style.convolution), bias)
