"""Does each latent hold one factor? Modularity."""

from typing import Any

import numpy as np

from devae_jax.metrics.information import measure


def modularity_of(mi: np.ndarray) -> np.ndarray:
    """Modularity of each latent from mutual information [D, F]: [D], 0 for an empty latent.

    1 where a latent knows a single factor, 0 where it knows all alike.
    """
    squared = np.square(mi)
    best = squared.max(1)
    rest = (squared.sum(1) - best) / (np.where(best > 0, best, 1.0) * max(mi.shape[1] - 1, 1))
    return np.where(best > 0, 1.0 - rest, 0.0)


def modularity(
    codes: Any, factors: Any, *, protocol: str = "dlib", bins: int | None = None
) -> dict[str, Any]:
    """Modularity: how far each latent is from knowing more than one factor.

    1 - sum_{k != k*} I(z_j; y_k)^2 / (I(z_j; y_k*)^2 (F - 1)), averaged over latents. Under
    "dlib" latents of pure noise count, with an arbitrary score (about .66); "exact" averages
    over the latents that know at least 1 % of a factor, and is 0 if none does.

    Returns:
      modularity, per_latent [D], mi [D, F] in nats, informative [D].

    Source: Ridgeway & Mozer 2018, "Learning deep disentangled embeddings with the F-statistic
    loss", section 3.
    """
    info, labels, facts = measure(codes, factors, protocol, bins, "dlib")
    informative = (info.known()[:, labels.varying] > 0).any(1)
    counted = informative if protocol == "exact" else np.ones_like(informative)
    per_latent = modularity_of(
        (info.known() if protocol == "exact" else info.mi)[:, labels.varying]
    )
    return {
        "modularity": float(per_latent[counted].mean()) if counted.any() else 0.0,
        "per_latent": per_latent,
        "mi": info.mi,
        "informative": informative,
        **facts,
    }
