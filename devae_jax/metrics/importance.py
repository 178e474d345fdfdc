"""Disentanglement and completeness of an importance matrix [latent, factor]; MED."""

from typing import Any

import numpy as np

from devae_jax.metrics.information import measure
from devae_jax.metrics.inputs import check_split, small_fits, spread

_TINY = 1e-11  # inside the logarithms, as published


def concentration(matrix: np.ndarray) -> np.ndarray:
    """1 - entropy of each row over its columns, in units of the largest: [R, C] -> [R].

    1 where a row has one entry, 0 where all are equal, or none; 1 if there is one column.
    """
    if matrix.shape[1] == 1:
        return np.ones(len(matrix))
    share = matrix + _TINY
    share = share / share.sum(1, keepdims=True)
    return 1 + (share * np.log(share)).sum(1) / np.log(matrix.shape[1])


def weighted(scores: np.ndarray, matrix: np.ndarray) -> float:
    """Mean of row scores, weighted by the rows' part of the whole matrix."""
    weights = matrix.sum(1)
    return float(np.average(scores, weights=weights if weights.sum() > 0 else None))


def disentanglement(importance: np.ndarray) -> tuple[float, np.ndarray]:
    """Is each latent important to one factor only? The score and its parts [D]."""
    per_latent = concentration(importance)
    return weighted(per_latent, importance), per_latent


def completeness(importance: np.ndarray) -> tuple[float, np.ndarray]:
    """Is each factor told by one latent only? The score and its parts [F]."""
    per_factor = concentration(importance.T)
    return weighted(per_factor, importance.T), per_factor


def top_latents(importance: np.ndarray, most: int) -> np.ndarray:
    """At most `most` latents for each factor, the most disentangled first; sorted."""
    owner, picked = importance.argmax(1), []
    for k in range(importance.shape[1]):
        own = np.flatnonzero(owner == k)
        best = np.argsort(-concentration(importance[own]), kind="stable")
        picked.extend(own[best[:most]].tolist())
    return np.sort(np.array(picked, np.int64))


def med(
    codes: Any,
    factors: Any,
    codes_test: Any = None,
    factors_test: Any = None,
    *,
    protocol: str = "dlib",
    bins: int | None = None,
) -> dict[str, Any]:
    """MED: DCI's disentanglement with mutual information for importance; no model is trained.

    Importance is I(z_j; y_k) / sum_j I(z_j; y_k). Top-k MED keeps at most k latents a factor,
    so that large codes compare with small ones.

    Args:
      codes_test, factors_test: if given, informativeness is the accuracy of logistic
        regression on standardised codes.

    Returns:
      med (the disentanglement), completeness, per_latent [D], per_factor [F],
      importance [D, F], top1, top2, top3: {disentanglement, completeness, latents}; with a
      test split informativeness and informativeness_train.

    Source: Cao et al. 2022, "An empirical study on disentanglement of negative-free contrastive
    learning", section 3.
    """
    info, labels, told = measure(codes, factors, protocol, bins)
    some = labels.varying
    total = info.mi[:, some].sum(0)
    importance = info.mi[:, some] / np.where(total > 0, total, 1.0)
    score, per_latent = disentanglement(importance)
    complete, per_factor = completeness(importance)
    result: dict[str, Any] = {
        "med": score,
        "completeness": complete,
        "per_latent": per_latent,
        "per_factor": spread(per_factor, some, len(labels.sizes)),
        "importance": np.zeros_like(info.mi),
        **told,
    }
    result["importance"][:, some] = importance
    for most in (1, 2, 3):
        latents = top_latents(importance, most)
        result[f"top{most}"] = {
            "disentanglement": disentanglement(importance[latents])[0],
            "completeness": completeness(importance[latents])[0],
            "latents": latents,
        }
    if codes_test is not None:
        result |= _logistic_accuracy(codes, factors, codes_test, factors_test)
    return result


def _logistic_accuracy(*arrays: Any) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression

    split = check_split(*arrays)
    train, test = [], []
    with small_fits():
        for k in split.labels.varying:
            model = LogisticRegression().fit(split.scaled, split.labels.values[:, k])
            train.append(model.score(split.scaled, split.labels.values[:, k]))
            test.append(model.score(split.scaled_test, split.labels_test[:, k]))
    return {
        "informativeness": float(np.mean(test)),
        "informativeness_train": float(np.mean(train)),
    }
