"""The density-ratio discriminator of FactorVAE."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from devae_jax.models.layers import Dense, Style
from devae_jax.types import Array, Params, Scalar


class Discriminator(NamedTuple):
    """A classifier of codes.

    init(key) -> params
    apply(params, z [B, D]) -> logits [B, 2], classes (joint, product of marginals)
    """

    init: Callable[[Array], Params]
    apply: Callable[[Params, Array], Array]


class Mlp(nn.Module):
    """`depth` hidden layers of `width` leaky rectified units, in the precision of the codes."""

    width: int
    depth: int

    @nn.compact
    def __call__(self, z: Array, slope: Scalar) -> Array:
        style = Style(dtype=z.dtype.name)
        for _ in range(self.depth):
            z = nn.leaky_relu(Dense(self.width, style)(z), slope)
        return Dense(2, style)(z)


def discriminator(
    latent_dim: int, *, width: int = 1000, depth: int = 6, slope: Scalar = 0.2
) -> Discriminator:
    """Six hidden layers of 1,000 leaky rectified units: Kim & Mnih 2018, Appendix A.

    `slope` is that of the negative side: 0.2 in disentanglement_lib, 0.01 in the DeVAE code.
    """
    network = Mlp(width, depth)
    return Discriminator(
        init=lambda key: network.init(key, jnp.zeros((1, latent_dim)), slope)["params"],
        apply=lambda params, z: jnp.asarray(network.apply({"params": params}, z, slope)),
    )
