"""MED: disentanglement with mutual information for importance."""

from typing import Any

import numpy as np

from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.information import measure
from devae_jax.metrics.inputs import check_split, spread
from devae_jax.metrics.matrices import completeness, disentanglement, top_latents


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
    info, labels, facts = measure(codes, factors, protocol, bins, "paper")
    varying = labels.varying
    total = info.mi[:, varying].sum(0)
    importance = info.mi[:, varying] / np.where(total > 0, total, 1.0)
    score, per_latent = disentanglement(importance)
    complete, per_factor = completeness(importance)
    result: dict[str, Any] = {
        "med": score,
        "completeness": complete,
        "per_latent": per_latent,
        "per_factor": spread(per_factor, varying, len(labels.sizes)),
        "importance": np.zeros_like(info.mi),
        **facts,
    }
    result["importance"][:, varying] = importance
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
