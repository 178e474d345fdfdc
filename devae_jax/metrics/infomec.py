"""InfoMEC: modularity, explicitness and compactness, all from information."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from devae_jax.metrics.declaration import Score
from devae_jax.metrics.draws import numpy_rng
from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.information import entropy, measure
from devae_jax.metrics.inputs import Labels, check, check_codes, check_split, spread

_NEIGHBOURS = 10  # of the authors' code


def infomec_scores(suffix: str, words: str) -> tuple[Score, ...]:
    """The rows of an estimate of InfoMEC, by what follows their names and labels."""
    return (
        Score(f"infom{suffix}", "infom", f"InfoM{words}"),
        Score(f"infoe{suffix}", "infoe", f"InfoE{words}", details=("per_factor",)),
        Score(f"infoc{suffix}", "infoc", f"InfoC{words}"),
    )


def infomec(
    codes: Any,
    factors: Any,
    *,
    protocol: str = "dlib",
    bins: int | None = None,
) -> dict[str, Any]:
    """InfoMEC from information in bins: fast, with other numbers than published, see `infomec_knn`.

    infom is the mean over active latents of max_k R_jk / sum_k R_jk, rescaled from chance to
    [0, 1], with R = I(z_j; y_k) / H(y_k); infoc likewise over factors. infoe is the part of a
    factor's entropy that a linear classifier of the codes removes. Latents that span less than
    1/20 of the widest are pruned.

    Returns:
      infom, infoe, infoc, per_latent (infom before rescaling) [D] (NaN if pruned),
      per_factor (infoe) [F], nmi (R) [D, F], active [D].

    Source: Hsu et al. 2023, "Disentanglement via latent quantization", section 4.
    """
    info, labels, facts = measure(codes, factors, protocol, bins, "binned")
    codes = check_codes(codes)
    return _answers(codes, labels, info.mi, active_latents(codes)) | facts


def infomec_knn(
    codes: Any, factors: Any, key: int | jax.Array = 0, *, neighbours: int = _NEIGHBOURS
) -> dict[str, Any]:
    """InfoMEC as published: information of continuous latents from nearest neighbours.

    As `infomec` in all else. Unlike bins, the estimate does not depend on how a latent is
    spread over its range.

    Args:
      key: of the noise, 1e-10 of a latent's deviation, that breaks ties.
      neighbours: of each sample among those of its factor value; values with fewer samples
        are measured with fewer.

    Returns:
      As `infomec`; nmi is 0 for pruned latents.

    Source: Hsu et al. 2023, "Disentanglement via latent quantization", section 4, with the
    estimator of Ross 2014, "Mutual information between discrete and continuous data sets".
    """
    from sklearn.feature_selection import mutual_info_classif

    codes, labels = check(codes, factors)
    active, rng = active_latents(codes), numpy_rng(key)
    mi = np.zeros((codes.shape[1], len(labels.sizes)))
    with small_fits():
        for k in labels.varying if active.any() else ():
            mi[active, k] = mutual_info_classif(
                codes[:, active].astype(np.float64),
                labels.values[:, k],
                discrete_features=False,
                n_neighbors=neighbours,
                random_state=rng,
            )
    return _answers(codes, labels, mi, active) | {
        "protocol": "paper" if neighbours == _NEIGHBOURS else "custom",
        "num_samples": len(codes),
    }


def infomec_knn_seconds(num_samples: int, dim: int, sizes: Sequence[int]) -> float:
    """About how many CPU seconds `infomec_knn` takes if no latent is pruned, on a core of 2024."""
    return num_samples * dim * (4.5e-6 * len(sizes) + 1.7e-8 * sum(sizes))


def active_latents(codes: np.ndarray) -> np.ndarray:
    """Latents that span at least 1/20 of the widest one's range, bool [D]."""
    span = np.ptp(codes, axis=0)
    return span > span.max() / 20


def _answers(
    codes: np.ndarray, labels: Labels, mi: np.ndarray, active: np.ndarray
) -> dict[str, Any]:
    """What both estimates of the information `mi` [D, F] are read for."""
    varying = labels.varying
    known = np.array([entropy(np.bincount(labels.values[:, k])) for k in varying])
    nmi = np.zeros_like(mi)
    nmi[:, varying] = mi[:, varying] / known
    pruned = nmi[np.ix_(active, varying)]
    per_latent = np.full(len(active), np.nan)
    per_latent[active] = share(pruned)
    explicit = _linear_part(codes, labels)
    return {
        "infom": above_chance(share(pruned), len(varying)),
        "infoe": float(np.mean(explicit)),
        "infoc": above_chance(share(pruned.T), int(active.sum())),
        "per_latent": per_latent,
        "per_factor": spread(explicit, varying, len(labels.sizes)),
        "nmi": nmi,
        "active": active,
    }


def _linear_part(codes: np.ndarray, labels: Labels) -> list[float]:
    """The part of each varying factor's entropy that logistic regression removes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    scaled, parts = check_split(codes, labels.raw, codes, labels.raw).scaled, []
    with small_fits():
        for k in labels.varying:
            # C = inf and balanced classes as published: chance then costs log(values) nats
            model = LogisticRegression(C=np.inf, class_weight="balanced")
            model.fit(scaled, labels.values[:, k])
            loss = log_loss(labels.values[:, k], model.predict_proba(scaled))
            parts.append(1 - loss / np.log(labels.sizes[k]))
    return parts


def share(matrix: np.ndarray) -> np.ndarray:
    """The largest entry's part of each row's sum; rows of zeros are spread evenly."""
    total = matrix.sum(1)
    part = matrix.max(1, initial=0.0) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, part, 1 / max(matrix.shape[1], 1))


def above_chance(shares: np.ndarray, number: int) -> float:
    """The mean share between 1 / number (0) and 1 (1); one alone, or none, is trivially 1 or 0."""
    if not shares.size or number < 2:
        return float(number == 1 and shares.size > 0)
    return float((shares.mean() - 1 / number) / (1 - 1 / number))
