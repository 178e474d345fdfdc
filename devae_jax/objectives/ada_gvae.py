"""Learning from pairs of images that share most factors: Ada-GVAE and Ada-ML-VAE."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from devae_jax.names import lookup
from devae_jax.objectives.elbo import evidence
from devae_jax.types import (
    Array,
    Context,
    Metrics,
    Model,
    Objective,
    Positive,
    Posterior,
    Scalar,
    Term,
)


def gvae(posterior: Posterior) -> Posterior:
    """The mean of both means and of both variances: leaves [K, 2, b, D] -> [K, 1, b, D]."""
    log_sum = jnp.logaddexp(posterior.logvar[:, :1], posterior.logvar[:, 1:])
    return Posterior(mean=posterior.mean.mean(axis=1, keepdims=True), logvar=log_sum - jnp.log(2.0))


def ml_vae(posterior: Posterior) -> Posterior:
    """The product of both Gaussians, variances doubled: leaves [K, 2, b, D] -> [K, 1, b, D].

    Variance v = 2 v1 v2 / (v1 + v2), mean (m1 / v1 + m2 / v2) v / 2.
    """
    precision = jax.nn.softmax(-posterior.logvar, axis=1)  # relative to the sum of both
    return Posterior(
        mean=(precision * posterior.mean).sum(axis=1, keepdims=True),
        logvar=jnp.log(2.0) - jax.nn.logsumexp(-posterior.logvar, axis=1, keepdims=True),
    )


AGGREGATIONS: Mapping[str, Callable[[Posterior], Posterior]] = {"gvae": gvae, "ml_vae": ml_vae}


def distance(posterior: Posterior) -> Array:
    """2 KL(q1 || q2) of each latent of a pair, nats: leaves [K, 2, b, D] -> [K, b, D]."""
    (mean_1, mean_2), (logvar_1, logvar_2) = (
        jnp.moveaxis(x, 1, 0) for x in (posterior.mean, posterior.logvar)
    )
    difference = logvar_1 - logvar_2
    # exp(88.8) is infinite in float32, and 0 times it is no distance at all.
    far = jnp.square(mean_2 - mean_1) * jnp.exp(jnp.minimum(-logvar_2, 87.0))
    return jnp.exp(difference) + far - 1.0 - difference


def shared(posterior: Posterior) -> Array:
    """Which latents of a pair say the same, bool [K, b, D] from leaves [K, 2, b, D].

    Those nearer than the middle between the smallest and the largest distance of the pair.
    """
    distances = distance(posterior)
    smallest, largest = (f(distances, axis=-1, keepdims=True) for f in (jnp.min, jnp.max))
    return distances < 0.5 * (smallest + largest)


def ada_gvae(
    context: Context,
    model: Model,
    terms: Mapping[str, Term],
    *,
    likelihood: str = "bernoulli",
    layers: str = "sum",
    scale: Scalar = 1.0,
    reconstruction_weight: Positive = 1.0,
    aggregation: str = "gvae",
) -> Objective:
    """Negative ELBO of both images of a pair, of which some latents have one posterior in common.

    Locatello et al. 2020, "Weakly-supervised disentanglement without compromises", Section 4. The
    batch has the images' "pair", which differ in a few factors; which ones is not known. For
    each pair, the latents with near posteriors, see `shared`, are given their aggregate in
    both images; the others stay as encoded. The gradient does not see the choice. The loss
    is the mean over both images, with samples and KL of what was aggregated. Every layer of a
    model chooses for itself. After training, images are encoded without a pair.

    Args:
      context, model, terms, likelihood, layers, scale, reconstruction_weight: see `elbo`; with
        {"kl": pressure(beta)} for terms it is the paper's
      aggregation: "gvae", the mean of means and of variances (Ada-GVAE), or "ml_vae", the
        product of both Gaussians (Ada-ML-VAE)

    Raises:
      ValueError: unknown aggregation, or as for `elbo`.
    """
    aggregate = lookup(AGGREGATIONS, aggregation, "objective.aggregation")

    def couple(posterior: Posterior) -> tuple[Posterior, Metrics]:
        same = shared(posterior)  # a comparison: no gradient passes
        coupled = jax.tree.map(
            lambda one, alone: jnp.where(same[:, None], one, alone), aggregate(posterior), posterior
        )
        return coupled, {"shared": same.sum(axis=-1).mean(axis=-1)}

    return evidence(
        context,
        model,
        terms,
        likelihood=likelihood,
        layers=layers,
        scale=scale,
        reconstruction_weight=reconstruction_weight,
        views=("image", "pair"),
        couple=couple,
    )
