"""Total correlation by a discriminator between codes and codes with shuffled latents."""

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.models.discriminator import discriminator
from devae_jax.objectives.batch import local
from devae_jax.types import Array, Context, Depth, Scalar, Term, Width


def permute(key: Array, z: Array) -> Array:
    """Samples of prod_d q(z_d): each latent of z [..., B, D] shuffled over the batch by itself."""
    return jax.random.permutation(key, z, axis=-2, independent=True)


def tc(logits: Array) -> Array:
    """Mean log density ratio log q(z) / prod_d q(z_d) from logits [B, 2]: TC in nats."""
    return (logits[:, 0] - logits[:, 1]).mean()


def cross_entropy(logits: Array, permuted_logits: Array) -> Array:
    """Of the discriminator: codes are class 0, permuted codes class 1; log 2 at chance."""
    joint = jax.nn.log_softmax(logits)[:, 0].mean()
    product = jax.nn.log_softmax(permuted_logits)[:, 1].mean()
    return -0.5 * (joint + product)


def density_ratio(
    context: Context,
    *,
    gamma: Scalar = 35.0,
    width: Width = 1000,
    depth: Depth = 6,
    slope: Scalar = 0.2,
    second_batch: bool = False,
) -> Term:
    """gamma TC(z_i) by the density-ratio trick; with `pressure(betas=1)`, FactorVAE.

    Kim & Mnih 2018, Eq. 3 and Algorithm 2. One gradient serves both players:

        value = gamma tc(sg(phi), z) + d(phi, sg(z)) - sg(d(phi, sg(z))),

    sg = stop_gradient, d the discriminator's cross-entropy. The last two cancel, so the
    loss reports the model's part alone. Players move simultaneously; the DeVAE code moves
    the discriminator first. There is one discriminator a latent layer; the weight of a
    layer also scales its discriminator's gradient, which Adam ignores up to its epsilon.
    Where the batch is split, codes are permuted over the global one, and each device's
    discriminator sees an equal part of them.

    Args:
      context: gives D and K.
      gamma: weight of TC.
      width, depth, slope: of the discriminator's hidden layers, see `models.discriminator`.
      second_batch: split the batch (of even size) in two and permute the second half, the
        paper's second batch; otherwise permute the same batch, as public code does.

    Raises:
      ValueError: a second batch from an odd one, or devices that do not divide the batch, or
        its half (all when traced).
    """
    init_one, apply_one = discriminator(context.latent_dim, width=width, depth=depth, slope=slope)

    def init(key):
        keys = jax.random.split(rng.stream(key, "discriminator"), context.num_layers)
        return jax.vmap(init_one)(keys), {}

    def apply(params, carry, latents, key, step):
        z, other = latents.z, latents.z
        if second_batch:
            z, other = _halves(latents.z)
        permuted = permute(rng.stream(key, "permute"), other)
        z, permuted = local((z, permuted), context.axis_name, axis=1)
        fixed = jax.lax.stop_gradient(params)
        ratio = jax.vmap(lambda p, z: tc(apply_one(p, z)))(fixed, z)
        loss = jax.vmap(lambda p, z, y: cross_entropy(apply_one(p, z), apply_one(p, y)))(
            params, jax.lax.stop_gradient(z), jax.lax.stop_gradient(permuted)
        )
        value = gamma * ratio + loss - jax.lax.stop_gradient(loss)
        return value, (carry, {"tc": ratio, "loss": loss})

    return Term(init=init, apply=apply)


def _halves(z: Array) -> tuple[Array, Array]:
    """The two halves of the batch, each [K, B / 2, D]."""
    if z.shape[1] % 2:
        raise ValueError(
            f"got a batch of {z.shape[1]} images, expected an even number for second_batch=True; "
            "fix batch_size"
        )
    first, second = jnp.split(z, 2, axis=1)
    return first, second
