"""Encoder-decoder models: bundles of pure functions, see `types.Model`."""

from collections.abc import Callable
from typing import Any

from devae_jax.models.gan import gan
from devae_jax.models.latents import LATENTS
from devae_jax.models.networks import DECODERS, ENCODERS
from devae_jax.models.staged import staged
from devae_jax.models.vae import vae

MODELS: dict[str, Callable[..., Any]] = {"vae": vae, "staged": staged, "gan": gan}

__all__ = ["DECODERS", "ENCODERS", "LATENTS", "MODELS", "staged", "vae"]
