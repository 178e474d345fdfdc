"""Gaps of mutual information: MIG, MIG-sup, JEMMIG, information diffusion."""

from typing import Any

import numpy as np

from devae_jax.metrics.information import measure
from devae_jax.metrics.inputs import spread
from devae_jax.names import unknown


def top_two(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    first, second = top_two(info.mi)
    some = labels.varying
    gaps = (first - second)[some] / info.factors[some]
    return {
        "mig": float(gaps.mean()),
        "per_factor": spread(gaps, some, len(labels.sizes)),
        "mi": info.mi,
        "factor_entropy": info.factors,
        "main_latent": info.mi.argmax(0),
        **told,
    }


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
    info, labels, told = measure(codes, factors, protocol, bins)
    mi = info.mi[:, labels.varying]
    if normaliser == "factor":
        mi = mi / info.factors[labels.varying]
    else:
        mi = mi / np.where(info.codes > 0, info.codes, 1.0)[:, None]
    first, second = top_two(mi.T)
    gaps = first - second
    return {"mig_sup": float(gaps.mean()), "per_latent": gaps, "mi": info.mi, **told}


def jemmig(
    codes: Any, factors: Any, *, protocol: str = "dlib", bins: int | None = None
) -> dict[str, Any]:
    """Joint entropy minus mutual information gap, on binned codes, as a score in [0, 1].

    jemmig = mean_k 1 - (H(z_1, y_k) - I(z_1; y_k) + I(z_2; y_k)) / (H(y_k) + log bins): besides
    MIG's gap it asks that z_1 hold nothing but factor k. See `rmig` for the form on posteriors.

    Returns:
      jemmig, per_factor [F] (NaN for a one-valued factor), mi [D, F] in nats.

    Source: Do & Tran 2020, "Theory and evaluation metrics for learning disentangled
    representations", section 4.3.
    """
    info, labels, told = measure(codes, factors, protocol, bins)
    first, second = top_two(info.mi)
    joint = info.codes[info.mi.argmax(0)] + info.factors - first
    scores = 1 - (joint - first + second) / (info.factors + np.log(told["bins"]))
    some = labels.varying
    return {
        "jemmig": float(scores[some].mean()),
        "per_factor": spread(scores[some], some, len(scores)),
        "mi": info.mi,
        **told,
    }


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
    info, labels, told = measure(codes, factors, protocol, bins)
    known = info.known()
    total = known.sum(0)
    outside = total - known.max(0)
    some = labels.varying
    parts = outside[some] / np.where(total > 0, total, 1.0)[some]
    return {
        "diffusion": float(parts[total[some] > 0].mean()) if total[some].any() else 0.0,
        "per_factor": spread(parts, some, len(labels.sizes)),
        "outside": outside,
        "mi": known,
        **told,
    }
