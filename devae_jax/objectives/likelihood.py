"""Reconstruction errors: (logits, images) -> [N], summed over pixels, nats.

Images lie in [0, 1]. Shapes [N, H, W, C].
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from devae_jax.types import Array


@jax.custom_jvp
def _softplus(x: Array) -> Array:
    return jax.nn.softplus(x)


# Autodiff's derivative is exp(x - softplus(x)), which keeps the slow softplus for the way back.
_softplus.defjvps(lambda tangent, _, x: tangent * jax.nn.sigmoid(x))


def bernoulli(logits: Array, images: Array) -> Array:
    """Cross-entropy of pixels under Bernoulli(sigmoid(logits)).

    Real-valued images are read as probabilities, so the least error is their entropy and
    not zero: see `bernoulli_excess`.
    """
    return _sum(_softplus(logits) - images * logits)


def bernoulli_excess(logits: Array, images: Array, *, floor: float = 0.0) -> Array:
    """`bernoulli` minus the images' entropy: zero for a perfect reconstruction.

    Gradients equal those of `bernoulli`. `floor` keeps the pixels of the entropy in
    [floor, 1 - floor] (1e-6 in disentanglement_lib, 1e-3 in the DeVAE code).
    """
    pixels = jnp.clip(images, floor, 1.0 - floor)
    entropy = -xlogy(pixels, pixels) - xlogy(1.0 - pixels, 1.0 - pixels)
    return bernoulli(logits, images) - _sum(entropy)


def squared_error(logits: Array, images: Array) -> Array:
    """Squared error of sigmoid(logits), without factor 1/2: the "l2" of disentanglement_lib."""
    return _sum(jnp.square(images - jax.nn.sigmoid(logits)))


def gaussian(logits: Array, images: Array) -> Array:
    """-log N(images; sigmoid(logits), 1): half the squared error plus a constant."""
    constant = 0.5 * math.log(2.0 * math.pi) * math.prod(images.shape[1:])
    return 0.5 * squared_error(logits, images) + constant


LIKELIHOODS = {
    "bernoulli": bernoulli,
    "bernoulli_excess": bernoulli_excess,
    "squared_error": squared_error,
    "gaussian": gaussian,
}


def _sum(errors: Array) -> Array:
    """[N, ...] -> [N], as a product with ones: XLA:CPU vectorises `errors` in it, not in a sum."""
    ones = jnp.ones_like(errors, shape=errors.shape[1:])
    return jnp.tensordot(errors, ones, ones.ndim, precision=jax.lax.Precision.HIGHEST)
