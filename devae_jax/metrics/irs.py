"""Interventional robustness: does a latent stay put when other factors move?"""

from typing import Any

import numpy as np

from devae_jax.metrics.binning import BINS, bin_codes
from devae_jax.metrics.inputs import check, label

_QUANTILE = 0.99  # of the published study


def irs(
    codes: Any, factors: Any, *, protocol: str = "dlib", quantile: float = _QUANTILE
) -> dict[str, Any]:
    """Interventional robustness score.

    For latent j and factor k: 1 - E_v[q-quantile of |z_j - E[z_j | y_k = v]| given y_k = v]
    / max |z_j - E[z_j]|; the best factor of each latent, averaged with the largest deviations
    as weights; below 0 where a latent moves more within groups than around its own mean. "dlib"
    first bins the factors to 20 values, "exact" leaves them. Constant latents are left out; 0 if
    all are constant.

    Args:
      quantile: 0.99 in the published study, 1.0 in the paper.

    Returns:
      irs, per_latent [D], irs_matrix [D, F], parents [D] (the best factor, -1 if constant),
      max_deviations [D], num_active_dims: latents that are not constant.

    Source: Suter et al. 2019, "Robustly disentangled causal mechanisms", section 4.
    """
    codes, labels = check(codes, factors)
    name = label(protocol, "dlib" if quantile == _QUANTILE else "custom")
    groups = bin_codes(labels.raw, BINS) if protocol == "dlib" else labels.values
    active = np.ptp(codes, axis=0) > 0
    moving = codes.T[active].astype(np.float64)  # a latent a row: its samples lie together
    furthest = np.abs(moving - moving.mean(1, keepdims=True)).max(1)
    matrix = np.zeros((codes.shape[1], len(labels.sizes)))
    for k in labels.varying:
        order = np.argsort(groups[:, k], kind="stable")
        starts = np.flatnonzero(np.diff(groups[order, k], prepend=-1))
        deviations = [
            np.percentile(np.abs(part - part.mean(1, keepdims=True)), 100 * quantile, axis=1)
            for part in np.split(moving[:, order], starts[1:], axis=1)
        ]
        matrix[active, k] = 1 - np.mean(deviations, axis=0) / furthest
    varying = labels.varying
    per_latent = matrix[:, varying].max(1)
    weights = np.zeros(len(active))
    weights[active] = furthest
    return {
        "irs": float(np.average(per_latent, weights=weights)) if active.any() else 0.0,
        "per_latent": per_latent,
        "irs_matrix": matrix,
        "parents": np.where(active, varying[matrix[:, varying].argmax(1)], -1),
        "max_deviations": weights,
        "num_active_dims": int(active.sum()),
        "protocol": name,
        "num_samples": len(codes),
    }
