"""Metrics of disentanglement: pure functions of codes [N, D] and factors [N, F].

Each returns a dict in which the metric's own name holds the score; matrices are
[latent, factor], information is in nats.
"""

from devae_jax.metrics.bottleneck import active_units, kl
from devae_jax.metrics.gaps import diffusion, mig
from devae_jax.metrics.information import mi_matrix
from devae_jax.metrics.inputs import bin_factors, numpy_rng

__all__ = ["active_units", "bin_factors", "diffusion", "kl", "mi_matrix", "mig", "numpy_rng"]
