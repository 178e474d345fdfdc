"""A metric of your own: the share of latents that know nothing of any factor."""

from devae_jax.metrics import mi_matrix
from devae_jax.metrics.declaration import Metric, Score


def unused(codes, factors):
    """Codes [N, D], factors [N, F] -> the share of latents with less than 0.05 nats of each."""
    most = mi_matrix(codes, factors).max(axis=1)  # [D]
    return {"unused": float((most < 0.05).mean()), "per_latent": most, "protocol": "own"}


METRIC = Metric(
    run=lambda inputs: unused(inputs.codes, inputs.factors),
    scores=(Score("unused", "unused", "Unused latents", better=None),),
    group="extra",
    needs=("factors",),
    protocol="own",
)
