"""ResNet encoders with batch normalisation (He et al. 2016)."""

import flax.linen as nn
import jax.numpy as jnp

from devae_jax.models.layers import Conv, Style, block
from devae_jax.types import Array

SIZES = (32, 64, 128, 224)
RESNET50 = (3, 4, 6, 3)
RESNET14 = (1, 1, 1, 1)


class Normalise(nn.Module):
    """Batch normalisation over the global batch; running statistics in "batch_stats"."""

    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            dtype=self.style.dtype,
            axis_name=self.style.axis_name,
        )(x)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the stride is in the 3x3 one."""

    features: int
    stride: int
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        def unit(x: Array, features: int, size: int, stride: int = 1) -> Array:
            x = Conv(features, self.style, size, stride, biased=False)(x)
            return Normalise(self.style)(x, train)

        y = nn.relu(unit(x, self.features, 1))
        y = nn.relu(unit(y, self.features, 3, self.stride))
        y = unit(y, 4 * self.features, 1)
        if x.shape != y.shape:
            x = unit(x, 4 * self.features, 1, self.stride)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Four stages of bottleneck blocks, then the mean over the map.

    depths: blocks of each stage; RESNET50 has 23,508,032 parameters for three channels
    """

    width: int = 64
    style: Style = Style()
    depths: tuple[int, ...] = RESNET50

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, H, W, C] -> [B, 32 width]: 2,048 features."""
        style = self.style._replace(convolution="native")
        x = Conv(self.width, style, size=7, stride=2, biased=False)(x)
        x = nn.relu(Normalise(style)(x, train))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        unit = block(Bottleneck, style, static=(2,))
        for stage, depth in enumerate(self.depths):
            for number in range(depth):
                stride = 2 if stage > 0 and number == 0 else 1
                x = unit(self.width * 2**stage, stride, style)(x, train)
        return jnp.mean(x, axis=(1, 2))
