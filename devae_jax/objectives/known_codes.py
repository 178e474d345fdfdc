"""Codes whose total correlation is known, for the terms that estimate it."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.names import lookup
from devae_jax.objectives import gaussian
from devae_jax.objectives.likelihood import LIKELIHOODS
from devae_jax.types import (
    Array,
    Context,
    Hyper,
    Latents,
    Metrics,
    Number,
    Objective,
    Posterior,
    Term,
)

Correlation = Annotated[Number, Hyper(lower=-1.0, above=True, upper=1.0, below=True)]


def total_correlation(dim: int, rho: float) -> float:
    """Of D / 2 pairs of standard normals with correlation rho: -D / 4 ln(1 - rho^2) nats."""
    return -dim / 4 * math.log(1 - rho**2)


def pairs(key: Array, shape: tuple[int, ...], rho: Number) -> Array:
    """Standard normals [..., D], D even; latents 2 i and 2 i + 1 have correlation `rho`."""
    noise = jax.random.normal(key, (*shape[:-1], shape[-1] // 2, 2))
    first, other = noise[..., 0], noise[..., 1]
    second = rho * first + jnp.sqrt(1 - jnp.square(rho)) * other
    return jnp.stack([first, second], axis=-1).reshape(shape)


def known_codes(
    context: Context,
    model: Any,
    terms: Mapping[str, Term],
    *,
    rho: Correlation = 0.0,
    likelihood: str = "bernoulli",
) -> Objective:
    """The terms, on fresh Gaussian codes of D / 2 correlated pairs at every step.

    Wu et al. 2022 (arXiv:2303.12959), Table 1: how well FactorVAE's discriminator tells the total
    correlation, which is `total_correlation(D, rho)` here. What the terms train is trained; there
    are no networks beside. No image has a say in the codes: the posterior of every image is the
    prior, and every code decodes to the same grey.

    Args:
      context: D is even, and K is 1; with an axis name, codes are drawn for the global batch.
      model: not used.
      terms: one or more, each given z [1, B, D] and posteriors N(0, I).
      rho: correlation of a pair.
      likelihood: name in LIKELIHOODS, of the error of that grey.

    Raises:
      ValueError: an odd D, several latent layers, no terms, or an unknown likelihood.
    """
    del model
    error = lookup(LIKELIHOODS, likelihood, "objective.likelihood")
    dim = context.latent_dim
    if dim % 2 or context.num_layers > 1 or not terms:
        raise ValueError(
            f"got model.latent_dim={dim}, {context.num_layers} layers and {len(terms)} terms, "
            "expected an even number of latents, one layer and a term for codes of known "
            "correlation; fix them"
        )

    def prior(rows: int) -> Posterior:
        return Posterior(mean=jnp.zeros((1, rows, dim)), logvar=jnp.zeros((1, rows, dim)))

    def init(key):
        params, carry = {}, {}
        for name, term in terms.items():
            params[name], carry[name] = term.init(rng.stream(key, name))
        return (
            {name: p for name, p in params.items() if p},
            {name: c for name, c in carry.items() if c},
        )

    def loss(params, carry, batch, key, step):
        axis = context.axis_name
        rows = len(batch["image"]) * (1 if axis is None else jax.lax.axis_size(axis))
        posterior = prior(rows)
        z = pairs(rng.stream(key, "codes"), posterior.mean.shape, rho)
        latents = Latents(posterior=posterior, z=z, kl=gaussian.kl(posterior).mean(axis=1))
        total, new_carry = jnp.float32(0.0), {}
        metrics: Metrics = {}
        for name, term in terms.items():
            value, (term_carry, term_metrics) = term.apply(
                params.get(name, {}), carry.get(name, {}), latents, rng.stream(key, name), step
            )
            total += value.sum()
            metrics |= {f"loss/{name}": value.sum()}
            metrics |= {f"{name}/{metric}": v for metric, v in term_metrics.items()}
            if name in carry:
                new_carry[name] = term_carry
        return total, (new_carry, metrics | {"loss": total})

    def encode(params, carry, images, step):
        return prior(images.shape[0])  # no `len`: exported, it is of any number of images

    def logits(params, z, layer):
        return jnp.zeros((z.shape[0], *context.image_shape))

    return Objective(init, loss, encode, logits, error)
