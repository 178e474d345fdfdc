"""Diagonal Gaussians: divergence, samples, densities. All in nats."""

import math

import jax.numpy as jnp

from devae_jax.types import Array, Posterior


def kl(posterior: Posterior) -> Array:
    """KL(q || N(0, I)) of each latent, [K, B, D], nats.

    1/2 (mean^2 + variance - 1 - log variance); Kingma & Welling 2014, Appendix B.
    """
    mean, logvar = posterior.mean, posterior.logvar
    return 0.5 * (jnp.square(mean) + jnp.exp(logvar) - 1.0 - logvar)


def sample(posterior: Posterior, noise: Array) -> Array:
    """mean + deviation * noise, [K, B, D]: differentiable in the posterior."""
    return posterior.mean + jnp.exp(0.5 * posterior.logvar) * noise


def log_density(z: Array, mean: Array, logvar: Array) -> Array:
    """log N(z; mean, exp(logvar)) of each entry, nats; arguments broadcast."""
    squared = jnp.square(z - mean) * jnp.exp(-logvar)
    return -0.5 * (squared + logvar + math.log(2.0 * math.pi))
