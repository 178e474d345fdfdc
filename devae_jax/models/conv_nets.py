"""The convolutional networks of β-VAE (Higgins 2017) and of disentanglement_lib."""

import flax.linen as nn

from devae_jax.models.layers import (
    Collapse,
    Dense,
    Down,
    Expand,
    Style,
    Up,
    from_pixels,
    relu,
    to_pixels,
)
from devae_jax.models.strided import to_images, to_maps
from devae_jax.types import Array

SIZES = (32, 64, 128)


def _channels(size: int, width: int) -> list[int]:
    """Channels of the maps from size/2 down to 4 pixels: 32, 32, 64, 64 for 64 pixels."""
    last = [width, width, width, 2 * width, 2 * width]
    return last[-{32: 3, 64: 4, 128: 5}[size] :]


class ConvEncoder(nn.Module):
    """4x4 kernels everywhere: stride-2 layers down to 4x4 pixels, then one over the whole map."""

    width: int = 32
    style: Style = Style()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, H, W, C] -> [B, 8 width]."""
        first, second, *rest = _channels(x.shape[1], self.width)
        x = from_pixels(x, (first, second), self.style)
        for features in rest:
            x = relu(Down(features, self.style)(x), self.style)
        return relu(Collapse(8 * self.width, self.style)(x), self.style)


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`."""

    image_shape: tuple[int, int, int]
    width: int = 32
    style: Style = Style()

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """[N, D] -> logits [N, H, W, C]."""
        first, *rest, before, middle = reversed(_channels(self.image_shape[0], self.width))
        x = relu(Dense(8 * self.width, self.style)(z), self.style)
        x = relu(Expand(first, self.style)(x), self.style)
        for features in rest:
            x = relu(Up(features, self.style)(x), self.style)
        return to_pixels(x, (before, middle), self.image_shape[-1], self.style)


class DlibEncoder(nn.Module):
    """As in disentanglement_lib: 2x2 kernels in the last two strided layers."""

    width: int = 32
    style: Style = Style()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, H, W, C] -> [B, 8 width]."""
        first, second, *rest = _channels(x.shape[1], self.width)
        sizes = [4] * len(rest) + [2, 2]
        x = from_pixels(x, (first, second), self.style, (sizes[0], sizes[1]))
        for features, size in zip(rest, sizes[2:], strict=True):
            x = relu(Down(features, self.style, size)(x), self.style)
        x = to_images(x, self.style.convolution)
        return relu(Dense(8 * self.width, self.style)(x.reshape(x.shape[0], -1)), self.style)


class DlibDecoder(nn.Module):
    """As in disentanglement_lib: two dense layers, then 4x4 transposed convolutions."""

    image_shape: tuple[int, int, int]
    width: int = 32
    style: Style = Style()

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """[N, D] -> logits [N, H, W, C]."""
        first, *rest, before, middle = reversed(_channels(self.image_shape[0], self.width))
        x = relu(Dense(8 * self.width, self.style)(z), self.style)
        x = relu(Dense(16 * first, self.style)(x), self.style).reshape(-1, 4, 4, first)
        x = to_maps(x, self.style.convolution)
        for features in rest:
            x = relu(Up(features, self.style)(x), self.style)
        return to_pixels(x, (before, middle), self.image_shape[-1], self.style)
