"""DEFT's model: sub-encoders that learn one after another, each in its stage of training."""

import jax
import jax.numpy as jnp

from devae_jax.models.networks import DECODERS, ENCODERS
from devae_jax.models.vae import Encoder, check_shape, make_style, widen
from devae_jax.names import lookup
from devae_jax.rng import stream
from devae_jax.types import Array, Context, Interval, Model, Posterior


def staged(
    context: Context,
    *,
    groups: int = 5,
    stage_steps: Interval = 10_000.0,
    encoder: str = "conv",
    decoder: str = "conv",
    init: str = "torch",
    convolution: str = "auto",
    dtype: str = "float32",
    group_width: int = 8,
    width: int | None = None,
) -> Model:
    """G narrow encoders of D / G latents each, of which one learns at a time: DEFT.

    Wu et al. 2022 ("DEFT: Distilling Entangled Factors by Preventing Information
    Diffusion"). In stage g = min(step // stage_steps, G - 1) group g learns. Later groups
    say mean = logvar = 0, the prior. Earlier ones are frozen, their gradient cut and their
    optimiser at rest, and pass through a learned scaling of each axis, mean exp(w1) and
    logvar + w2, so that they follow the falling pressure. The paper lowers the rate of
    earlier groups; it is 0 here, as in the authors' code. There the last stage freezes
    nothing new and a restart forgets the stage; here it is a function of the step.

    Args (all static but stage_steps):
      context: has one layer
      groups: G, a divisor of D
      stage_steps: length of a stage, to be that of the `deft_pressure` beside it
      encoder, group_width: the network of each group, and its first layer's channels
      others: see `vae`

    Returns:
      Model with params {"encoder": {"group_0", ...}, "projections", "decoder"}, no carry.

    Raises:
      ValueError: G does not divide D, more than one layer, or as for `vae`.
    """
    check_shape(context, groups=groups, group_width=group_width, width=width)
    image_shape, latent_dim, num_layers = context[:3]
    if num_layers != 1:
        raise ValueError(
            f"got num_layers={num_layers}, expected 1: the staged model has one latent layer; "
            "fix num_layers"
        )
    if latent_dim % groups:
        raise ValueError(
            f"got groups={groups} for latent_dim={latent_dim}, expected a divisor: every group "
            "has as many latents; fix one of the two"
        )
    style = make_style(context, init, convolution, dtype)
    share = latent_dim // groups
    names = [f"group_{i}" for i in range(groups)]
    trunk = lookup(ENCODERS, encoder, "encoder")(image_shape, group_width, style)
    encoder_net = Encoder(trunk, share, 1, style)
    decoder_net = lookup(DECODERS, decoder, "decoder")(image_shape, width, style)

    def stage_of(step: Array) -> Array:
        length = jnp.maximum(jnp.round(jnp.asarray(stage_steps)).astype(jnp.int32), 1)
        return jnp.minimum(jnp.asarray(step, jnp.int32) // length, groups - 1)

    def init_fn(key):
        images = jnp.zeros((1, *image_shape))
        sub_encoders = {}
        for name in names:
            variables = encoder_net.init(stream(key, name), images)
            if set(variables) != {"params"}:
                raise ValueError(
                    f"got encoder={encoder!r}, expected one without batch statistics, which a "
                    "frozen group could not keep; fix encoder"
                )
            sub_encoders[name] = variables["params"]
        zeros = jnp.zeros((groups - 1, share))
        z = jnp.zeros((1, latent_dim))
        return {
            "encoder": sub_encoders,
            "projections": {"w1": zeros, "w2": zeros},
            "decoder": decoder_net.init(stream(key, "decoder"), z)["params"],
        }, {}

    def of_group(params, images):
        return encoder_net.apply({"params": params}, images)

    def encode(params, carry, images, *, step, train):
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *[params["encoder"][n] for n in names])
        learning = jax.vmap(of_group, (0, None))(stacked, images)
        mean, logvar = jax.lax.stop_gradient((learning.mean, learning.logvar))
        w1, w2 = (  # [G, 1, 1, d]; the last group is not frozen
            jnp.pad(params["projections"][name], ((0, 1), (0, 0)))[:, None, None]
            for name in ("w1", "w2")
        )
        frozen = Posterior(mean=mean * jnp.exp(w1), logvar=logvar + w2)
        group = jnp.arange(groups).reshape(-1, 1, 1, 1)
        stage = stage_of(step)

        def select(current, past):  # [G, 1, B, d] -> [1, B, D]
            parts = jnp.where(group == stage, current, jnp.where(group < stage, past, 0.0))
            return parts[:, 0].transpose(1, 0, 2).reshape(1, -1, latent_dim)

        return jax.tree.map(select, learning, frozen), carry

    def logits(params, z, layer):
        return widen(decoder_net.apply({"params": params["decoder"]}, z))

    def trainable(params, step):
        learns = jnp.arange(groups) == stage_of(step)
        moves = dict(zip(names, learns.astype(jnp.float32), strict=True))
        return {"encoder": moves, "projections": 1.0, "decoder": 1.0}

    return Model(init_fn, encode, logits, trainable)
