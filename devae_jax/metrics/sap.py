"""Separated attribute predictability: SAP."""

from typing import Any

import numpy as np

from devae_jax.metrics.inputs import check_split, spread
from devae_jax.metrics.matrices import top_two
from devae_jax.metrics.svm import fit_lines


def sap(codes: Any, factors: Any, codes_test: Any, factors_test: Any) -> dict[str, Any]:
    """Separated attribute predictability: how much better the best latent predicts a factor.

    For each factor, accuracy of a linear SVM (C = 0.01, balanced classes) on one latent, the
    best latent's less the second best's; the test split scores it. Chance is the same for both,
    so a perfect code reads about .25.

    Returns:
      sap, per_factor [F] (NaN for a one-valued factor), score_matrix [D, F];
      sap_continuous, per_factor_continuous and score_matrix_continuous: the same of squared
      correlation in training, which takes factor values as numbers.

    Source: Kumar et al. 2018, "Variational inference of disentangled latent concepts",
    section 3.
    """
    split = check_split(codes, factors, codes_test, factors_test)
    varying, shape = split.labels.varying, (split.codes.shape[1], len(split.labels.sizes))
    accuracy = np.zeros(shape)
    for j in range(shape[0]):
        for k in varying:
            lines = fit_lines(
                split.codes[:, j], split.labels.values[:, k], int(split.labels.sizes[k])
            )
            accuracy[j, k] = np.mean(
                lines.predict(split.codes_test[:, j]) == split.labels_test[:, k]
            )
    raw = split.labels.raw[:, varying].astype(np.float64)
    raw = (raw - raw.mean(0)) / raw.std(0)
    alive = split.codes.var(0, ddof=1, dtype=np.float64) > 1e-12
    squared = np.zeros(shape)
    squared[:, varying] = np.square(split.scaled.T @ raw / len(raw)) * alive[:, None]
    if shape[0] == 1:  # the second best is to guess the most frequent value
        guesses = [
            np.mean(split.labels_test[:, k] == np.bincount(v).argmax())
            for k, v in enumerate(split.labels.values.T)
        ]
        gaps = np.maximum(accuracy[0, varying] - np.array(guesses)[varying], 0.0)
    else:
        gaps = np.subtract(*top_two(accuracy[:, varying]))
    gaps_continuous = np.subtract(*top_two(squared[:, varying]))
    return {
        "sap": float(gaps.mean()),
        "per_factor": spread(gaps, varying, shape[1]),
        "score_matrix": accuracy,
        "sap_continuous": float(gaps_continuous.mean()),
        "per_factor_continuous": spread(gaps_continuous, varying, shape[1]),
        "score_matrix_continuous": squared,
        "protocol": "dlib",
        "num_samples": len(split.codes),
    }
