"""From the encoder's Gaussian to K latent layers: the transformation of DeVAE and its ablations.

Each entry of LATENTS is a factory (num_layers K, latent_dim D) -> `Layers`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from devae_jax.types import Array, Params, Posterior


class Layers(NamedTuple):
    """How latent layers are made.

    heads: number of Gaussians the encoder must give, 1 or K
    embedded: the decoder is told the layer by a learned vector e_i, concatenated after z
    init(key) -> params
    apply(params, posterior [heads, B, D]) -> posterior [K, B, D], float32
    """

    heads: int
    embedded: bool
    init: Callable[[Array], Params]
    apply: Callable[[Params, Posterior], Posterior]


def single(num_layers: int, latent_dim: int) -> Layers:
    """A classical VAE: one latent layer.

    Raises:
      ValueError: num_layers is not 1.
    """
    if num_layers != 1:
        raise ValueError(
            f"got num_layers={num_layers}, expected 1 for latents='single'; "
            "fix num_layers or choose 'dit', 'linear' or 'parallel'"
        )
    return Layers(1, False, lambda key: {}, lambda params, posterior: posterior)


def dit(num_layers: int, latent_dim: int) -> Layers:
    """Disentanglement-invariant transformation: a positive scaling of every axis, chained.

    mean_{i+1} = exp(w1_i) mean_i and logvar_{i+1} = logvar_i + w2_i, with w1, w2 = 0 at init
    (Wu et al. 2023, eq. 6; the paper's sigma exp(w2) is w2 / 2 here). Scaling the axes keeps
    a disentangled code disentangled, so all layers share the encoder's axes.
    """

    def init(key):
        zeros = jnp.zeros((num_layers - 1, latent_dim))
        return {"w1": zeros, "w2": zeros}

    def apply(params, posterior):
        w1, w2 = (
            jnp.concatenate([jnp.zeros((1, latent_dim)), jnp.cumsum(params[name], 0)])[:, None]
            for name in ("w1", "w2")
        )  # [K, 1, D]
        return Posterior(mean=posterior.mean * jnp.exp(w1), logvar=posterior.logvar + w2)

    return Layers(1, True, init, apply)


def linear(num_layers: int, latent_dim: int) -> Layers:
    """Ablation: an arbitrary affine map of mean and of log-variance instead of the DiT, chained.

    The maps start at the identity plus N(0, 0.01^2), so that axes may mix from the first step.
    """

    def init(key):
        shape = (num_layers - 1, latent_dim, latent_dim)
        keys = dict(zip(("mean", "logvar"), jax.random.split(key), strict=True))
        return {
            name: {
                "kernel": jnp.eye(latent_dim)[None] + 0.01 * jax.random.normal(keys[name], shape),
                "bias": jnp.zeros((num_layers - 1, latent_dim)),
            }
            for name in keys
        }

    def chain(params, x):
        layers = [x[0]]
        for kernel, bias in zip(params["kernel"], params["bias"], strict=True):
            layers.append(layers[-1] @ kernel + bias[None])
        return jnp.stack(layers)

    def apply(params, posterior):
        return Posterior(
            mean=chain(params["mean"], posterior.mean),
            logvar=chain(params["logvar"], posterior.logvar),
        )

    return Layers(1, True, init, apply)


def parallel(num_layers: int, latent_dim: int) -> Layers:
    """Ablation: every layer has its own head on the shared encoder, no chain."""
    return Layers(num_layers, True, lambda key: {}, lambda params, posterior: posterior)


LATENTS: dict[str, Callable[[int, int], Layers]] = {
    "single": single,
    "dit": dit,
    "linear": linear,
    "parallel": parallel,
}
