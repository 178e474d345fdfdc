"""How well linear predictors read the factors off the codes: explicitness."""

from typing import Any

import numpy as np

from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.inputs import check_split, label, spread


def explicitness(
    codes: Any, factors: Any, codes_test: Any, factors_test: Any, *, protocol: str = "dlib"
) -> dict[str, Any]:
    """Explicitness: area under the ROC curve of logistic regression on standardised codes.

    One value of a factor against the rest, averaged over values, then factors. Under "dlib"
    chance is .5; "exact" rescales it to 0, as in the paper, and a score under chance is 0.

    Returns:
      explicitness (test), explicitness_train, per_factor [F] (NaN for a one-valued factor).

    Source: Ridgeway & Mozer 2018, "Learning deep disentangled embeddings with the F-statistic
    loss", section 3.
    """
    from sklearn.linear_model import LogisticRegression

    name = label(protocol, "dlib")
    split = check_split(codes, factors, codes_test, factors_test)
    varying, areas = split.labels.varying, []
    with small_fits():
        for k in varying:
            model = LogisticRegression().fit(split.scaled, split.labels.values[:, k])
            train = model.predict_proba(split.scaled), split.labels.values[:, k]
            test = model.predict_proba(split.scaled_test), split.labels_test[:, k]
            areas.append((macro_area(*train), macro_area(*test)))
    area_train, area_test = np.transpose(areas)
    if protocol == "exact":
        area_train, area_test = 2 * area_train - 1, 2 * area_test - 1
    return {
        "explicitness": max(float(area_test.mean()), 0.0),
        "explicitness_train": max(float(area_train.mean()), 0.0),
        "per_factor": spread(area_test, varying, len(split.labels.sizes)),
        "protocol": name,
        "num_samples": len(split.codes),
    }


def macro_area(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve of scores [N, V] for each value against the rest, averaged."""
    from scipy.stats import rankdata

    ranks, areas = rankdata(scores, axis=0), []
    for value in range(scores.shape[1]):
        inside = labels == value
        number, rest = int(inside.sum()), int((~inside).sum())
        if number and rest:  # else the split lacks the value, or has nothing else
            above = ranks[inside, value].sum() - number * (number + 1) / 2
            areas.append(above / (number * rest))
    return float(np.mean(areas)) if areas else 0.5
