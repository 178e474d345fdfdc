"""MIG's supplement: MIG-sup."""

from typing import Any

import numpy as np

from devae_jax.metrics.information import measure
from devae_jax.metrics.matrices import top_two
from devae_jax.names import unknown


def mig_sup(
    codes: Any,
    factors: Any,
    *,
    protocol: str = "dlib",
    bins: int | None = None,
    normaliser: str = "factor",
) -> dict[str, Any]:
    """MIG's supplement: how much each latent knows about one factor alone.

    mig_sup = mean_j I(z_j; y_1) / H(y_1) - I(z_j; y_2) / H(y_2), y_1 and y_2 the two factors
    that latent j knows best. Dead latents count 0.

    Args:
      normaliser: "factor" as published; "code" divides by H(z_j), as some libraries do.

    Returns:
      mig_sup, per_latent [D], mi [D, F] in nats.

    Source: Li et al. 2020, "Progressive learning and disentanglement of hierarchical
    representations", eq. 10.
    """
    if normaliser not in ("factor", "code"):
        raise unknown("normaliser", normaliser, ("factor", "code"))
    info, labels, facts = measure(codes, factors, protocol, bins, "binned")
    mi = info.mi[:, labels.varying]
    if normaliser == "factor":
        mi = mi / info.factors[labels.varying]
    else:
        mi = mi / np.where(info.codes > 0, info.codes, 1.0)[:, None]
    first, second = top_two(mi.T)
    gaps = first - second
    return {"mig_sup": float(gaps.mean()), "per_latent": gaps, "mi": info.mi, **facts}
