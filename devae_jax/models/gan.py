"""Generator and critic of InfoGAN; the critic's trunk also infers the codes."""

import math

import flax.linen as nn
import jax.numpy as jnp

from devae_jax.models.layers import Collapse, Dense, Down, Expand, Style, Up, relu
from devae_jax.models.vae import check_shape, make_style
from devae_jax.rng import stream
from devae_jax.types import Array, Carry, Context, Gan, Params, Posterior

SIZES = (8, 16, 32, 64, 128)
_LOGVAR_FLOOR = -6.0  # a perfectly inferred code would gain from ever smaller variances


class Generator(nn.Module):
    """Two dense layers to 4 x 4 pixels, then transposed convolutions. No normalisation."""

    image_shape: tuple[int, int, int]
    channels: tuple[int, ...]  # from 4 pixels up
    style: Style

    @nn.compact
    def __call__(self, z: Array) -> Array:
        first, *rest = self.channels
        x = relu(Dense(4 * first, self.style)(z), self.style)
        x = relu(Expand(first, self.style)(x), self.style)
        for features in rest:
            x = relu(Up(features, self.style)(x), self.style)
        return Up(self.image_shape[-1], self.style)(x)


class Critic(nn.Module):
    """Strided convolutions to 4 x 4 pixels, then a score and a Gaussian over the codes.

    No batch normalisation, so that the gradient penalty is one of each image by itself.
    """

    latent_dim: int
    channels: tuple[int, ...]  # down to 4 pixels
    style: Style

    @nn.compact
    def __call__(self, images: Array) -> tuple[Array, Posterior]:
        x = images
        for features in self.channels:
            x = nn.leaky_relu(Down(features, self.style)(x), 0.2)
        x = nn.leaky_relu(Collapse(4 * self.channels[-1], self.style)(x), 0.2)
        score = Dense(1, self.style)(x)
        hidden = nn.leaky_relu(Dense(2 * self.channels[-1], self.style)(x), 0.2)
        mean, raw = jnp.split(Dense(2 * self.latent_dim, self.style)(hidden), 2, axis=-1)
        logvar = _LOGVAR_FLOOR + nn.softplus(raw - _LOGVAR_FLOOR)
        return score[:, 0], Posterior(mean=mean[None], logvar=logvar[None])


def gan(
    context: Context,
    *,
    noise_dim: int = 5,
    width: int | None = None,
    init: str = "torch",
) -> Gan:
    """Generator and critic on images of 8 to 128 pixels, with 4 x 4 kernels throughout.

    Evaluated as a model with one latent layer: `encode` is the critic's posterior over
    the codes, `logits` generates with the incompressible noise at zero. Convolutions are
    native ones, which the gradient penalty differentiates twice.

    Args (all static):
      context: gives the images' shape (1 or 3 channels) and D, the number of codes; has one
        layer.
      noise_dim: Z, number of incompressible noise variables.
      width: channels of the largest feature maps, default 32; doubled, up to 4 times, towards
        4 pixels.
      init: see `layers.Style`.

    Raises:
      ValueError: unknown `init`, an image size other than SIZES, more than one layer, D, Z or
        width < 1.
    """
    check_shape(context, noise_dim=noise_dim, width=width)
    image_shape, latent_dim, num_layers = context[:3]
    if image_shape[0] != image_shape[1] or image_shape[0] not in SIZES:
        raise ValueError(
            f"got images of {image_shape[0]} x {image_shape[1]} pixels, expected square images "
            f"of {', '.join(map(str, SIZES))} pixels; fix image_size"
        )
    if num_layers != 1:
        raise ValueError(f"got num_layers={num_layers}, expected 1: a GAN has one; fix num_layers")
    halvings = int(math.log2(image_shape[0])) - 2
    channels = tuple((width or 32) * min(2**i, 4) for i in range(halvings))
    style = make_style(context, init, "native", "float32")
    generator = Generator(image_shape, channels[::-1], style)
    critic = Critic(latent_dim, channels, style)

    def init_fn(key: Array) -> tuple[Params, Carry]:
        images = jnp.zeros((1, *image_shape))
        z = jnp.zeros((1, latent_dim + noise_dim))
        return {
            "generator": generator.init(stream(key, "generator"), z)["params"],
            "critic": critic.init(stream(key, "critic"), images)["params"],
        }, {}

    def generate(params, codes, noise):
        z = jnp.concatenate([codes, noise], axis=-1)
        return generator.apply({"params": params}, z)

    def criticise(params, images):
        return critic.apply({"params": params}, images)

    def encode(params, carry, images, *, step, train):
        return criticise(params["critic"], images)[1], carry

    def logits(params, z, layer):
        return generate(params["generator"], z, jnp.zeros((z.shape[0], noise_dim)))

    return Gan(init_fn, encode, logits, generate, criticise, latent_dim, noise_dim)
