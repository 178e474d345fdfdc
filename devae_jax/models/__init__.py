"""Encoder-decoder models: bundles of pure functions, see `types.Model`."""

from devae_jax.models.latents import LATENTS
from devae_jax.models.networks import DECODERS, ENCODERS
from devae_jax.models.vae import vae

MODELS = {"vae": vae}

__all__ = ["DECODERS", "ENCODERS", "LATENTS", "MODELS", "vae"]
