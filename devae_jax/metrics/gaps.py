"""Scores read off the mutual information matrix: MIG, MIG-sup, JEMMIG, information diffusion."""

from typing import Any

import numpy as np

from devae_jax.metrics.information import measure


def _top_two(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest and second largest of each column; the second of one latent alone is 0."""
    ordered = np.sort(np.concatenate([matrix, np.zeros((1, matrix.shape[1]))]), axis=0)
    return ordered[-1], ordered[-2]


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
    info, labels, told = measure(codes, factors, protocol, bins)
    first, second = _top_two(info.mi)
    per_factor = np.full(len(labels.sizes), np.nan)
    some = labels.varying
    per_factor[some] = (first - second)[some] / info.factors[some]
    return {
        "mig": float(per_factor[some].mean()),
        "per_factor": per_factor,
        "mi": info.mi,
        "factor_entropy": info.factors,
        "main_latent": info.mi.argmax(0),
        **told,
    }


def diffusion(
    codes: Any, factors: Any, *, protocol: str = "dlib", bins: int | None = None
) -> dict[str, Any]:
    """Information diffusion: the part of a factor's information held outside its main latent.

    diffusion = mean_k 1 - I(z_1; y_k) / sum_j I(z_j; y_k), from mutual information less the
    bias of its estimate; 0 when each factor is known by one latent only. Information under
    1 % of a factor's entropy is noise; a factor that no latent knows diffuses nothing.

    Returns:
      diffusion, per_factor [F], outside [F] and mi [D, F] in nats (mi less bias).

    Source: Wu et al. 2022, "Variational autoencoders with decremental information
    bottleneck for disentanglement", figure 4, as one number.
    """
    info, labels, told = measure(codes, factors, protocol, bins)
    known = info.known()
    total = known.sum(0)
    outside = total - known.max(0)
    per_factor = np.full(len(labels.sizes), np.nan)
    some = labels.varying
    per_factor[some] = outside[some] / np.where(total > 0, total, 1.0)[some]
    return {
        "diffusion": float(per_factor[some].mean()),
        "per_factor": per_factor,
        "outside": outside,
        "mi": known,
        **told,
    }
