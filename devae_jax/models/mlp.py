"""Fully connected networks, two or three hidden layers of 1,200 units (disentanglement_lib)."""

import math

import flax.linen as nn

from devae_jax.models.layers import Dense, Style
from devae_jax.types import Array


class MlpEncoder(nn.Module):
    """Two hidden layers."""

    width: int = 1200
    style: Style = Style()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, H, W, C] -> [B, width]."""
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            x = nn.relu(Dense(self.width, self.style)(x))
        return x


class MlpDecoder(nn.Module):
    """Three hidden layers; ReLU as in the DeVAE code, tanh as in disentanglement_lib."""

    image_shape: tuple[int, int, int]
    width: int = 1200
    style: Style = Style()
    activation: str = "relu"

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """[N, D] -> logits [N, H, W, C]."""
        for _ in range(3):
            z = getattr(nn, self.activation)(Dense(self.width, self.style)(z))
        return Dense(math.prod(self.image_shape), self.style)(z).reshape(-1, *self.image_shape)
