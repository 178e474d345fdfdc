"""The evidence lower bound over K latent layers, plus any sum of penalties.

    loss = sum_i w_i * (v reconstruction_i + sum over terms of penalty_i),   v = 1 of published runs

A classical VAE has K = 1 and w = 1. DeVAE (Wu et al., arXiv:2303.12959) has K > 1
and one pressure a layer.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.names import lookup
from devae_jax.objectives import gaussian
from devae_jax.objectives.batch import gather, local, micro_rows
from devae_jax.objectives.likelihood import LIKELIHOODS
from devae_jax.types import (
    Array,
    Context,
    Latents,
    Metrics,
    Model,
    Objective,
    Positive,
    Posterior,
    Scalar,
    Term,
)

LAYER_SELECTIONS = ("sum", "sampled")


def layer_weights(scale: Scalar, num_layers: int) -> Array:
    """[K] weights s^i of the layers. Paper, Section 3.3; `scale` s = 1 is uniform."""
    return jnp.power(jnp.asarray(scale, float), jnp.arange(num_layers, dtype=float))


def elbo(
    context: Context,
    model: Model,
    terms: Mapping[str, Term],
    *,
    likelihood: str = "bernoulli",
    layers: str = "sum",
    scale: Scalar = 1.0,
    reconstruction_weight: Positive = 1.0,
) -> Objective:
    """Negative ELBO: reconstruction error plus `terms`, in nats, mean over the batch.

    Args:
      context: with an axis name, the batch is split over it. Latents are gathered, so that
        every term sees the global batch.
      model: encoder and decoder with K latent layers.
      terms: penalties by name, each with a value a layer.
      likelihood: name in LIKELIHOODS, of the reconstruction error.
      layers: "sum" adds s^i L_i over all layers, each with fresh noise (the author's
        code); "sampled" draws one layer with p(i) = s^i / sum_j s^j and decodes that
        one (paper, Algorithm 1). For s = 1 the gradient of the former is K times
        the expectation of the latter's.
      scale: s, weights reconstruction and penalties of a layer alike.
      reconstruction_weight: v. The error is a sum over pixels, penalties are not: an image of a
        quarter of the pixels leaves them four times the say, unless v = 4. For that reason
        Higgins et al. 2017 compare pressures by β D / N, of N pixels.

    Raises:
      ValueError: unknown `likelihood` or `layers`, or a model of another kind.
    """
    return evidence(
        context,
        model,
        terms,
        likelihood=likelihood,
        layers=layers,
        scale=scale,
        reconstruction_weight=reconstruction_weight,
    )


def apart(posterior: Posterior) -> tuple[Posterior, Metrics]:
    """Every view keeps its posterior."""
    return posterior, {}


def evidence(
    context: Context,
    model: Model,
    terms: Mapping[str, Term],
    *,
    likelihood: str,
    layers: str,
    scale: Scalar,
    reconstruction_weight: Positive,
    views: tuple[str, ...] = ("image",),
    couple: Callable[[Posterior], tuple[Posterior, Metrics]] = apart,
    noise: Callable[[Array, tuple[int, ...]], Array] = jax.random.normal,
) -> Objective:
    """`elbo` with the hooks of the objectives that are built on it.

    Args:
      context, model, terms, likelihood, layers, scale, reconstruction_weight: see `elbo`
      views: keys of the batch, V of them, whose images [B, H, W, C] are encoded and decoded;
        the loss is the mean over all V B of them. What the terms see has V B rows, view by
        view
      couple: how the posteriors of an image's views depend on each other, leaves
        [K, V, b, D] -> (leaves of that shape, metrics); b rows are this device's
      noise: sampler (key, shape [K, V B, D]) -> N(0, 1); a recorded one repeats a loss

    Raises:
      ValueError: unknown `likelihood` or `layers`, or a model of another kind.
    """
    if not isinstance(model, Model):
        raise ValueError(
            f"got a {type(model).__name__} as the model, expected a Model with an encoder and a "
            "decoder; fix model.name or objective.name"
        )
    if "model" in terms:
        raise ValueError(
            "got a term called 'model', expected another name: players, their parameters and "
            "their optimisers are told apart by these names; rename the term"
        )
    lookup(dict.fromkeys(LAYER_SELECTIONS), layers, "objective.layers")
    error = lookup(LIKELIHOODS, likelihood, "objective.likelihood")
    num_layers, axis_name = context.num_layers, context.axis_name

    def init(key):
        inits = {"model": model.init} | {name: term.init for name, term in terms.items()}
        params, carry = {}, {}
        for name, init_one in inits.items():
            params[name], carry[name] = init_one(rng.stream(key, name))
        return (
            {name: p for name, p in params.items() if p},
            {name: c for name, c in carry.items() if c},
        )

    def loss(params, carry, batch, key, step):
        images = jnp.concatenate([batch[view] for view in views])
        posterior, model_carry = model.encode(
            params["model"], carry.get("model", {}), images, step=step, train=True
        )
        coupled, coupling = couple(jax.tree.map(_split_views, posterior))
        gathered = gather(coupled, axis_name, axis=2)  # [K, V, B, D]
        everything = jax.tree.map(_join_views, gathered)  # [K, V B, D]
        count, rows, dim = everything.mean.shape
        drawn = noise(rng.stream(key, "noise"), (count, rows * context.micro.parts, dim))
        drawn = micro_rows(drawn, context.micro, axis_name, views=len(views))
        z = gaussian.sample(everything, drawn)
        latents = Latents(posterior=everything, z=z, kl=gaussian.kl(everything).mean(axis=1))

        weights = layer_weights(scale, num_layers)
        z = _join_views(local(_split_views(z), axis_name, axis=2))  # [K, V b, D]
        if layers == "sampled":
            layer = jax.random.categorical(rng.stream(key, "layer"), jnp.log(weights))
            chosen = jnp.arange(num_layers) == layer
            weights = chosen.astype(weights.dtype)
            one = reconstruct(params, z[layer][None], layer[None], images)
            reconstruction = jnp.where(chosen, one, 0.0)
            measured = jnp.where(chosen, one, jnp.nan)
        else:
            reconstruction = reconstruct(params, z, jnp.arange(num_layers), images)
            measured = reconstruction

        total = reconstruction_weight * jnp.sum(weights * reconstruction)
        metrics = coupling | {
            "reconstruction": measured,
            "kl": latents.kl.sum(axis=-1),
            "loss/reconstruction": total,
        }
        new_carry = {"model": model_carry} if "model" in carry else {}
        for name, term in terms.items():
            value, (term_carry, term_metrics) = term.apply(
                params.get(name, {}), carry.get(name, {}), latents, rng.stream(key, name), step
            )
            penalty = jnp.sum(weights * value)
            total += penalty
            metrics[f"loss/{name}"] = penalty
            metrics |= {f"{name}/{metric}": v for metric, v in term_metrics.items()}
            if name in carry:
                new_carry[name] = term_carry
        return total, (new_carry, metrics | {"loss": total})

    def _split_views(rows):
        """[K, V b, D] -> [K, V, b, D]."""
        return rows.reshape(rows.shape[0], len(views), -1, rows.shape[-1])

    def _join_views(rows):
        """[K, V, b, D] -> [K, V b, D]."""
        return rows.reshape(rows.shape[0], -1, rows.shape[-1])

    def reconstruct(params, z, layer, images):
        """[L] reconstruction errors of samples z [L, B, D] of layers [L]: one decoder call."""
        num, batch, _ = z.shape
        decoded = logits(params, z.reshape(num * batch, -1), jnp.repeat(layer, batch))
        tiled = jnp.broadcast_to(images[None], (num, *images.shape)).reshape(decoded.shape)
        return error(decoded, tiled).reshape(num, batch).mean(axis=1)

    def encode(params, carry, images, step):
        model_carry = carry.get("model", {})
        return model.encode(params["model"], model_carry, images, step=step, train=False)[0]

    def logits(params, z, layer):
        return model.logits(params["model"], z, layer)

    def trainable(params, step):
        return dict.fromkeys(params, 1.0) | {"model": model.trainable(params["model"], step)}

    whole = tuple(f"terms.{name}" for name, term in terms.items() if not term.per_image)
    return Objective(init, loss, encode, logits, error, trainable, views, whole)
