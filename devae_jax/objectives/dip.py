"""Penalties on the covariance of the aggregate posterior: DIP-VAE-I and -II.

Kumar et al. 2018, "Variational inference of disentangled latent concepts from unlabeled
observations", Eqs. 6 and 7: lambda_od sum_{i != j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2.
"""

import jax.numpy as jnp

from devae_jax.objectives.kl import stateless
from devae_jax.types import Array, Context, Latents, Number, Scalar, Term


def dip_i(context: Context, *, lambda_od: Scalar = 10.0, lambda_d: Scalar = 100.0) -> Term:
    """DIP-VAE-I: C = Cov_x[mean(x)], the covariance of the posterior means over the batch."""

    def value(latents: Latents, step: Array):
        return _penalty(mean_covariance(latents), lambda_od, lambda_d), {}

    return stateless(value)


def dip_ii(context: Context, *, lambda_od: Scalar = 10.0, lambda_d: Scalar = 10.0) -> Term:
    """DIP-VAE-II: C = Cov_q[z] = Cov_x[mean(x)] + E_x[diag variance(x)].

    As published: the mean variance of each latent goes onto the diagonal. The DeVAE code
    adds one number, averaged over the first samples, to every entry instead.
    """

    def value(latents: Latents, step: Array):
        variance = jnp.exp(latents.posterior.logvar).mean(axis=1)
        dim = variance.shape[-1]
        covariance = mean_covariance(latents) + variance[:, :, None] * jnp.eye(dim)[None]
        return _penalty(covariance, lambda_od, lambda_d), {}

    return stateless(value)


def mean_covariance(latents: Latents) -> Array:
    """Covariance [K, D, D] of the posterior means over the batch (divided by B)."""
    mean = latents.posterior.mean
    centred = mean - mean.mean(axis=1, keepdims=True)
    return jnp.einsum("kbi,kbj->kij", centred, centred) / mean.shape[1]


def _penalty(covariance: Array, lambda_od: Number, lambda_d: Number) -> Array:
    diagonal = jnp.diagonal(covariance, axis1=1, axis2=2)
    total = jnp.square(covariance).sum(axis=(1, 2))
    off_diagonal = total - jnp.square(diagonal).sum(axis=-1)
    return lambda_od * off_diagonal + lambda_d * jnp.square(diagonal - 1.0).sum(axis=-1)
