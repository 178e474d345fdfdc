"""Residual networks for realistic images (Dittadi et al. 2021, Appendix A)."""

import functools

import flax.linen as nn
import jax

from devae_jax.models.layers import Conv, Dense, Style, block
from devae_jax.types import Array

SIZES = (64, 128)
leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.02)


def _channels(size: int, width: int) -> list[int]:
    """Channels of the maps from size/2 down to 4 pixels: 64, 128, 128, 256, 256 for 128 pixels."""
    return [width, 2 * width, 2 * width, 4 * width, 4 * width][: {64: 4, 128: 5}[size]]


class Block(nn.Module):
    """x + gate f(x), f two 3x3 convolutions; the gate is a number that starts at 0 (ReZero)."""

    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        gate = self.param("gate", nn.initializers.zeros, ()).astype(x.dtype)
        y = x
        for _ in range(2):
            y = Conv(x.shape[-1], self.style)(leaky_relu(y))
        return x + gate * y


class ResidualEncoder(nn.Module):
    """A strided convolution, then two blocks at each size from H/2 to 4 pixels."""

    width: int = 64
    style: Style = Style()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, H, W, C] -> [B, 8 width]."""
        style = self.style._replace(convolution="native")
        first, *rest = _channels(x.shape[1], self.width)
        x = leaky_relu(Conv(first, style, size=5, stride=2)(x))
        x = _two_blocks(x, style)
        for features in rest:
            if features != x.shape[-1]:
                x = Conv(features, style, size=1)(x)
            x = nn.avg_pool(x, (2, 2), (2, 2))
            x = _two_blocks(x, style)
        x = leaky_relu(x.reshape(x.shape[0], -1))
        x = leaky_relu(Dense(8 * self.width, style)(x))
        return nn.LayerNorm(dtype=style.dtype)(x)


class ResidualDecoder(nn.Module):
    """The mirror image of `ResidualEncoder`; maps are doubled by bilinear interpolation."""

    image_shape: tuple[int, int, int]
    width: int = 64
    style: Style = Style()

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """[N, D] -> logits [N, H, W, C]."""
        style = self.style._replace(convolution="native")
        first, *rest = reversed(_channels(self.image_shape[0], self.width))
        x = leaky_relu(Dense(4 * self.width, style)(z))
        x = leaky_relu(Dense(8 * self.width, style)(x))
        x = Dense(16 * first, style)(x).reshape(-1, 4, 4, first)
        x = _two_blocks(x, style)
        for features in rest:
            if features != x.shape[-1]:
                x = Conv(features, style, size=1)(x)
            x = _two_blocks(_double(x), style)
        return Conv(self.image_shape[-1], style, size=5)(leaky_relu(_double(x)))


def _two_blocks(x: Array, style: Style) -> Array:
    unit = block(Block, style)
    return unit(style)(unit(style)(x))


def _double(x: Array) -> Array:
    n, h, w, c = x.shape
    return jax.image.resize(x, (n, 2 * h, 2 * w, c), "bilinear")
