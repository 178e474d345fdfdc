"""A method of your own: a price for latents whose squares go together.

The library does not know this file; `config.py` beside it names it.
"""

import jax.numpy as jnp

from devae_jax.types import Context, Latents, Scalar, Term


def dependence(context: Context, *, weight: Scalar = 1.0) -> Term:
    """weight * mean over latents d != e of corr(z_d^2, z_e^2)^2, one number a layer.

    `weight` is a traced number, as its annotation says: it may be a sweep's axis, and
    changing it compiles nothing. `context` is what a term may know of its surroundings.
    """
    pairs = max(context.latent_dim * (context.latent_dim - 1), 1)

    def init(key):
        return {}, {}  # no parameters, no state

    def apply(params, carry, latents: Latents, key, step):
        squares = latents.z**2  # [K, B, D], the global batch on any number of devices
        squares = squares - squares.mean(axis=1, keepdims=True)
        squares = squares / (jnp.sqrt((squares**2).mean(axis=1, keepdims=True)) + 1e-6)
        corr = jnp.einsum("kbd,kbe->kde", squares, squares) / squares.shape[1]
        others = 1.0 - jnp.eye(context.latent_dim)[None]
        value = (others * corr**2).sum(axis=(1, 2)) / pairs
        return weight * value, (carry, {"dependence": value})

    return Term(init=init, apply=apply)
