"""Mutual information gap: MIG."""

from typing import Any

from devae_jax.metrics.information import measure
from devae_jax.metrics.inputs import spread
from devae_jax.metrics.matrices import top_two


def mig(
    codes: Any, factors: Any, *, protocol: str = "dlib", bins: int | None = None
) -> dict[str, Any]:
    """Mutual information gap: how much one latent alone knows about each factor.

    mig = mean_k (I(z_1; y_k) - I(z_2; y_k)) / H(y_k), with z_1 and z_2 the two latents
    that know most. Its ceiling is below 1 where 20 bins cannot tell a factor's values apart.

    Args:
      codes: [N, D], real.
      factors: [N, F], integers.
      protocol: "dlib" has 20 bins, "exact" enough bins for the factor with most values
        and means codes of the whole grid.

    Returns:
      mig, per_factor [F] (NaN for a one-valued factor), mi [D, F] and factor_entropy [F]
      in nats, main_latent [F].

    Raises:
      ValueError: for NaN codes, float factors, mismatched lengths, fewer samples than bins.

    Source: Chen et al. 2018, "Isolating sources of disentanglement in VAEs", eq. 6.
    """
    info, labels, facts = measure(codes, factors, protocol, bins, "dlib")
    first, second = top_two(info.mi)
    varying = labels.varying
    gaps = (first - second)[varying] / info.factors[varying]
    return {
        "mig": float(gaps.mean()),
        "per_factor": spread(gaps, varying, len(labels.sizes)),
        "mi": info.mi,
        "factor_entropy": info.factors,
        "main_latent": info.mi.argmax(0),
        **facts,
    }
