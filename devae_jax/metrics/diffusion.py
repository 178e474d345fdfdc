"""Information diffusion: a factor's information outside its main latent."""

from typing import Any

import numpy as np

from devae_jax.metrics.information import measure
from devae_jax.metrics.inputs import spread


def diffusion(
    codes: Any, factors: Any, *, protocol: str = "dlib", bins: int | None = None
) -> dict[str, Any]:
    """Information diffusion: the part of a factor's information held outside its main latent.

    diffusion = mean_k 1 - I(z_1; y_k) / sum_j I(z_j; y_k), from mutual information less the
    bias of its estimate, over the factors that some latent knows; 0 when each is known by one
    latent only, or none at all. Information under 1 % of a factor's entropy is noise.

    Returns:
      diffusion, per_factor [F], outside [F] and mi [D, F] in nats (mi less bias).

    Source: Wu et al. 2022, "Variational autoencoders with decremental information
    bottleneck for disentanglement", figure 4, as one number.
    """
    info, labels, facts = measure(codes, factors, protocol, bins, "binned")
    known = info.known()
    total = known.sum(0)
    outside = total - known.max(0)
    varying = labels.varying
    parts = outside[varying] / np.where(total > 0, total, 1.0)[varying]
    return {
        "diffusion": float(parts[total[varying] > 0].mean()) if total[varying].any() else 0.0,
        "per_factor": spread(parts, varying, len(labels.sizes)),
        "outside": outside,
        "mi": known,
        **facts,
    }
