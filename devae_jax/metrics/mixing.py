"""Does each latent hold one factor? Modularity, and InfoMEC's three answers."""

from typing import Any

import numpy as np

from devae_jax.metrics.information import measure
from devae_jax.metrics.inputs import check_codes, check_split, small_fits, spread


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
    info, labels, told = measure(codes, factors, protocol, bins)
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
        **told,
    }


def infomec(
    codes: Any,
    factors: Any,
    *,
    protocol: str = "dlib",
    bins: int | None = None,
) -> dict[str, Any]:
    """InfoMEC: modularity, explicitness and compactness, all from information.

    infom is the mean over active latents of max_k R_jk / sum_k R_jk, rescaled from chance to
    [0, 1], with R = I(z_j; y_k) / H(y_k); infoc likewise over factors. infoe is the part of a
    factor's entropy that a linear classifier of the codes removes. Latents that span less than
    1/20 of the widest are pruned. Information is measured in bins here (the authors' code
    estimates it from nearest neighbours).

    Returns:
      infom, infoe, infoc, per_latent (infom before rescaling) [D] (NaN if pruned),
      per_factor (infoe) [F], nmi [D, F], active [D].

    Source: Hsu et al. 2023, "Disentanglement via latent quantization", section 4.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    info, labels, told = measure(codes, factors, protocol, bins)
    codes, some = check_codes(codes), labels.varying
    nmi = np.zeros_like(info.mi)
    nmi[:, some] = info.mi[:, some] / info.factors[some]
    span = np.ptp(codes, axis=0)
    active = span > span.max() / 20
    pruned = nmi[np.ix_(active, some)]
    scaled = check_split(codes, factors, codes, factors).scaled
    explicit = []
    with small_fits():
        for k in some:
            # C = inf and balanced classes as published: chance then costs log(values) nats
            model = LogisticRegression(C=np.inf, class_weight="balanced")
            model.fit(scaled, labels.values[:, k])
            loss = log_loss(labels.values[:, k], model.predict_proba(scaled))
            explicit.append(1 - loss / np.log(labels.sizes[k]))
    per_latent = np.full(len(active), np.nan)
    per_latent[active] = _share(pruned)
    return {
        "infom": _above_chance(_share(pruned), len(some)),
        "infoe": float(np.mean(explicit)),
        "infoc": _above_chance(_share(pruned.T), int(active.sum())),
        "per_latent": per_latent,
        "per_factor": spread(explicit, some, len(labels.sizes)),
        "nmi": nmi,
        "active": active,
        **told,
    }


def _share(matrix: np.ndarray) -> np.ndarray:
    """The largest entry's part of each row's sum; rows of zeros are spread evenly."""
    total = matrix.sum(1)
    part = matrix.max(1, initial=0.0) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, part, 1 / max(matrix.shape[1], 1))


def _above_chance(shares: np.ndarray, number: int) -> float:
    """The mean share between 1 / number (0) and 1 (1); one alone, or none, is trivially 1 or 0."""
    if not shares.size or number < 2:
        return float(number == 1 and shares.size > 0)
    return float((shares.mean() - 1 / number) / (1 - 1 / number))
