"""The evidence lower bound over K latent layers, plus any sum of penalties.

    loss = sum_i w_i * (reconstruction_i + sum over terms of penalty_i)

A classical VAE has K = 1 and w = 1. DeVAE (Wu et al., arXiv:2303.12959) has K > 1
and one pressure a layer; its layers differ only through `posterior` and `w`.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.names import lookup
from devae_jax.objectives import gaussian
from devae_jax.types import Array, Latents, Model, Objective, Posterior, Scalar, Term

LAYER_SELECTIONS = ("sum", "sampled")


def layer_weights(scale: Array, num_layers: int) -> Array:
    """[K] weights s^i of the layers. Paper, Section 3.3; `scale` s = 1 is uniform."""
    return jnp.power(jnp.asarray(scale, jnp.float32), jnp.arange(num_layers, dtype=jnp.float32))


def elbo(
    model: Model,
    terms: Mapping[str, Term],
    likelihood: Callable[[Array, Array], Array],
    *,
    latent_dim: int,
    num_layers: int = 1,
    layers: str = "sum",
    scale: Scalar = 1.0,  # type: ignore[assignment]
    axis_name: str | None = None,
    noise: Callable[..., Array] = jax.random.normal,
) -> Objective:
    """Negative ELBO: reconstruction error plus `terms`, in nats, mean over the batch.

    Args:
      model: encoder and decoder with K latent layers.
      terms: penalties by name, each with a value a layer.
      likelihood: (logits, images) -> [N] summed over pixels.
      layers: "sum" adds s^i L_i over all layers, each with fresh noise (the author's
        code); "sampled" draws one layer with p(i) = s^i / sum_j s^j and decodes only
        that one (paper, Algorithm 1). For s = 1 the gradient of the former is K times
        the expectation of the latter's.
      scale: s, weights reconstruction and penalties of a layer alike.
      axis_name: mapped axis over which the batch is split. Latents are gathered over
        it, so that every term sees the global batch.
      noise: sampler (key, shape) -> N(0, 1); a recorded one makes the loss repeatable.

    Raises:
      ValueError: unknown `layers`.
    """
    lookup(dict.fromkeys(LAYER_SELECTIONS), layers, "objective.layers")

    def init(key, images):
        params, carry = {}, {}
        inits = {"model": lambda k: model.init(k, images)} | {
            name: lambda k, term=term: term.init(k, latent_dim, num_layers)
            for name, term in terms.items()
        }
        for name, init_one in inits.items():
            params[name], carry[name] = init_one(rng.stream(key, name))
        return (
            {name: p for name, p in params.items() if p},
            {name: c for name, c in carry.items() if c},
        )

    def loss(params, carry, images, key, step):
        posterior, model_carry = model.encode(
            params["model"], carry.get("model", {}), images, step=step, train=True
        )
        gathered = gather(posterior, axis_name)
        z = gaussian.sample(gathered, noise(rng.stream(key, "noise"), gathered.mean.shape))
        latents = Latents(posterior=gathered, z=z, kl=gaussian.kl(gathered).mean(axis=1))

        weights = layer_weights(scale, num_layers)
        own = local(z, images.shape[0], axis_name)
        if layers == "sampled":
            layer = jax.random.categorical(rng.stream(key, "layer"), jnp.log(weights))
            chosen = jnp.arange(num_layers) == layer
            weights = chosen.astype(jnp.float32)
            one = _reconstruct(params, own[layer][None], layer[None], images)
            reconstruction = jnp.where(chosen, one, 0.0)
            measured = jnp.where(chosen, one, jnp.nan)
        else:
            reconstruction = _reconstruct(params, own, jnp.arange(num_layers), images)
            measured = reconstruction

        total = jnp.sum(weights * reconstruction)
        metrics = {
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

    def _reconstruct(params, z, layer, images):
        """[L] reconstruction errors of samples z [L, B, D] of layers [L]: one decoder call."""
        num, batch, _ = z.shape
        logits = model.decode(params["model"], z.reshape(num * batch, -1), jnp.repeat(layer, batch))
        tiled = jnp.broadcast_to(images[None], (num, *images.shape)).reshape(logits.shape)
        return likelihood(logits, tiled).reshape(num, batch).mean(axis=1)

    def encode(params, carry, images, step):
        model_carry = carry.get("model", {})
        return model.encode(params["model"], model_carry, images, step=step, train=False)[0]

    def decode(params, z, layer):
        return model.decode(params["model"], z, layer)

    def trainable(params, step):
        return dict.fromkeys(params, 1.0) | {"model": model.trainable(params["model"], step)}

    return Objective(init, loss, encode, decode, trainable)


def gather(posterior: Posterior, axis_name: str | None) -> Posterior:
    """The posterior of the global batch: leaves [K, B, D] from each device's [K, b, D]."""
    if axis_name is None:
        return posterior
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name, axis=1, tiled=True), posterior)


def local(z: Array, size: int, axis_name: str | None) -> Array:
    """This device's [K, size, D] part of samples [K, B, D] of the global batch."""
    if axis_name is None:
        return z
    start = jax.lax.axis_index(axis_name) * size
    return jax.lax.dynamic_slice_in_dim(z, start, size, axis=1)
