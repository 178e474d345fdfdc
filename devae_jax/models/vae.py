"""Every variational autoencoder of the library: encoder, latent layers, decoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from devae_jax.models import strided
from devae_jax.models.latents import LATENTS
from devae_jax.models.layers import INITIALISERS, Dense, Style
from devae_jax.models.networks import BLOCKS, DECODERS, ENCODERS
from devae_jax.names import lookup
from devae_jax.rng import stream
from devae_jax.types import Array, Context, Model, Posterior

DTYPES = ("float32", "bfloat16", "float64")


class Encoder(nn.Module):
    """A trunk and one head: images -> Gaussians, mean and log-variance [heads, B, D]."""

    trunk: nn.Module
    latent_dim: int
    heads: int
    style: Style

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Posterior:
        features = self.trunk(images, train)
        out = Dense(self.heads * 2 * self.latent_dim, self.style, name="head")(features)
        out = widen(out).reshape(-1, self.heads, 2, self.latent_dim)
        mean, logvar = (out[:, :, i].swapaxes(0, 1) for i in range(2))
        return Posterior(mean=mean, logvar=logvar)


def widen(x: Array) -> Array:
    """What leaves a network: float32 if it computed in bfloat16, else as it is."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def make_style(context: Context, init: str, convolution: str, dtype: str) -> Style:
    """The checked `Style`; "auto" becomes the implementation for the context's platform."""
    lookup(INITIALISERS, init, "init")
    lookup(dict.fromkeys(DTYPES), dtype, "dtype")
    if dtype == "float64" and jnp.result_type(float) != jnp.float64:
        raise ValueError(
            "got dtype='float64' without jax_enable_x64, expected float32 or bfloat16; fix dtype, "
            "or enable it for a comparison with numbers of double precision"
        )
    convolution = strided.choose(convolution, context.platform)
    return Style(init, convolution, dtype, context.axis_name)


def check_shape(context: Context, **positive: int | None) -> None:
    """Images have 1 or 3 channels; D, K and the named numbers are positive integers."""
    image_shape = context.image_shape
    positive |= {"latent_dim": context.latent_dim, "num_layers": context.num_layers}
    if len(image_shape) != 3 or image_shape[-1] not in (1, 3):
        raise ValueError(
            f"got image_shape={tuple(image_shape)}, expected (height, width, channels) with 1 or "
            "3 channels; fix image_shape"
        )
    for name, value in positive.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"got {name}={value!r}, expected an integer >= 1; fix {name}")


def vae(
    context: Context,
    *,
    encoder: str = "conv",
    decoder: str = "conv",
    latents: str = "dit",
    init: str = "torch",
    convolution: str = "auto",
    dtype: str = "float32",
    width: int | None = None,
    remat: bool = False,
) -> Model:
    """Encoder, K latent layers and one decoder for all of them (DeVAE; K = 1: a classical VAE).

    Args (all static):
      context: gives the images' shape (1 or 3 channels), D and K
      encoder, decoder: names in ENCODERS, DECODERS
      latents: name in LATENTS; all but "single" tell the decoder the layer by a learned
        e_i ~ N(0, 1) in R^D, concatenated after z
      init, convolution, dtype: see `Style`; convolution "auto" follows the platform
      width: channels of the first layer (units of "mlp"), None for the published number
      remat: blocks of a network in BLOCKS are computed again on the way back, not kept

    Returns:
      Model with params {"encoder", "latents", "decoder"} and carry {} or {"batch_stats"}.
      A DeVAE with three layers, D = 10 and one channel has 765,915 parameters.

    Raises:
      ValueError: unknown name, image size the network cannot take, D or K < 1.
    """
    check_shape(context, width=width)
    image_shape, latent_dim, num_layers = context[:3]
    style = make_style(context, init, convolution, dtype)._replace(remat=remat)
    if remat and not {encoder, decoder} & {*BLOCKS}:
        raise ValueError(
            f"got model.remat=True with encoder={encoder!r} and decoder={decoder!r}, expected "
            f"a network of blocks, {', '.join(BLOCKS)}; choose one, or use micro_batches"
        )
    layers = lookup(LATENTS, latents, "latents")(num_layers, latent_dim)
    trunk = lookup(ENCODERS, encoder, "encoder")(image_shape, width, style)
    encoder_net = Encoder(trunk, latent_dim, layers.heads, style)
    decoder_net = lookup(DECODERS, decoder, "decoder")(image_shape, width, style)

    def init_fn(key):
        variables = encoder_net.init(stream(key, "encoder"), jnp.zeros((1, *image_shape)))
        params = {
            "encoder": variables.pop("params"),
            "latents": layers.init(stream(key, "latents")),
        }
        size = latent_dim
        if layers.embedded:
            shape = (num_layers, latent_dim)
            params["latents"]["embedding"] = jax.random.normal(stream(key, "embedding"), shape)
            size += latent_dim
        z = jnp.zeros((1, size))
        params["decoder"] = decoder_net.init(stream(key, "decoder"), z)["params"]
        return params, dict(variables)

    def encode(params, carry, images, *, step, train):
        variables = {"params": params["encoder"], **carry}
        if carry and train:
            posterior, carry = encoder_net.apply(variables, images, train, mutable=list(carry))
        else:
            posterior = encoder_net.apply(variables, images)
        return layers.apply(params["latents"], posterior), carry

    def logits(params, z, layer):
        if layers.embedded:
            # A product, not a look-up: on a GPU the gradient of that is a sum in random order.
            chosen = jax.nn.one_hot(layer, num_layers)
            embedding = jnp.matmul(chosen, params["latents"]["embedding"], precision="float32")
            z = jnp.concatenate([z, embedding], axis=-1)
        return widen(decoder_net.apply({"params": params["decoder"]}, z))

    return Model(init_fn, encode, logits)
