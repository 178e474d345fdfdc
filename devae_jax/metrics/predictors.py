"""How well simple predictors read the factors off the codes: SAP, explicitness, downstream."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from devae_jax.metrics.gaps import top_two
from devae_jax.metrics.inputs import (
    Split,
    check_protocol,
    check_split,
    numpy_rng,
    small_fits,
    spread,
)
from devae_jax.metrics.svm import fit_lines
from devae_jax.names import unknown


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
    some, shape = split.labels.varying, (split.codes.shape[1], len(split.labels.sizes))
    accuracy = np.zeros(shape)
    for j in range(shape[0]):
        for k in some:
            lines = fit_lines(
                split.codes[:, j], split.labels.values[:, k], int(split.labels.sizes[k])
            )
            accuracy[j, k] = np.mean(
                lines.predict(split.codes_test[:, j]) == split.labels_test[:, k]
            )
    raw = split.labels.raw[:, some].astype(np.float64)
    raw = (raw - raw.mean(0)) / raw.std(0)
    alive = split.codes.var(0, ddof=1, dtype=np.float64) > 1e-12
    squared = np.zeros(shape)
    squared[:, some] = np.square(split.scaled.T @ raw / len(raw)) * alive[:, None]
    if shape[0] == 1:  # the second best is to guess the most frequent value
        guesses = [
            np.mean(split.labels_test[:, k] == np.bincount(v).argmax())
            for k, v in enumerate(split.labels.values.T)
        ]
        gaps = accuracy[0, some] - np.array(guesses)[some]
    else:
        gaps = np.subtract(*top_two(accuracy[:, some]))
    gaps_continuous = np.subtract(*top_two(squared[:, some]))
    return {
        "sap": float(gaps.mean()),
        "per_factor": spread(gaps, some, shape[1]),
        "score_matrix": accuracy,
        "sap_continuous": float(gaps_continuous.mean()),
        "per_factor_continuous": spread(gaps_continuous, some, shape[1]),
        "score_matrix_continuous": squared,
        "protocol": "dlib",
        "num_samples": len(split.codes),
    }


def explicitness(
    codes: Any, factors: Any, codes_test: Any, factors_test: Any, *, protocol: str = "dlib"
) -> dict[str, Any]:
    """Explicitness: area under the ROC curve of logistic regression on standardised codes.

    One value of a factor against the rest, averaged over values, then factors. Under "dlib"
    chance is .5; "exact" rescales it to 0, as in the paper.

    Returns:
      explicitness (test), explicitness_train, per_factor [F] (NaN for a one-valued factor).

    Source: Ridgeway & Mozer 2018, "Learning deep disentangled embeddings with the F-statistic
    loss", section 3.
    """
    from sklearn.linear_model import LogisticRegression

    check_protocol(protocol)
    split = check_split(codes, factors, codes_test, factors_test)
    some, areas = split.labels.varying, []
    with small_fits():
        for k in some:
            model = LogisticRegression().fit(split.scaled, split.labels.values[:, k])
            train = model.predict_proba(split.scaled), split.labels.values[:, k]
            test = model.predict_proba(split.scaled_test), split.labels_test[:, k]
            areas.append((_macro_area(*train), _macro_area(*test)))
    area_train, area_test = np.transpose(areas)
    if protocol == "exact":
        area_train, area_test = 2 * area_train - 1, 2 * area_test - 1
    return {
        "explicitness": float(area_test.mean()),
        "explicitness_train": float(area_train.mean()),
        "per_factor": spread(area_test, some, len(split.labels.sizes)),
        "protocol": protocol,
        "num_samples": len(split.codes),
    }


def _macro_area(scores: np.ndarray, labels: np.ndarray) -> float:
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


def _logistic(key: int):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(random_state=key)


def _logistic_cv(key: int):
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import KFold

    return LogisticRegressionCV(Cs=10, cv=KFold(n_splits=10), random_state=key)


def _boosted(key: int):
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(random_state=key)


def _hist_boosted(key: int):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_leaf_nodes=8, max_depth=3, min_samples_leaf=1, random_state=key
    )


DOWNSTREAM = {
    "logistic": _logistic,
    "logistic_cv": _logistic_cv,
    "boosted": _boosted,
    "hist_boosted": _hist_boosted,
}


def downstream(
    codes: Any,
    factors: Any,
    codes_test: Any,
    factors_test: Any,
    key: int | jax.Array = 0,
    *,
    model: str = "logistic",
    sizes: Sequence[int] = (10, 100, 1_000, 10_000),
) -> dict[str, Any]:
    """Test accuracy of predicting each factor from the code with few and many labels.

    Args:
      model: "logistic" regression; "logistic_cv" with the strength of its penalty chosen by
        10-fold cross-validation, and "boosted" trees, as published; "hist_boosted" trees
        of binned features, many times faster.
      sizes: numbers of labels; those above the training set's size are left out. A fresh
        subset is drawn for each.

    Returns:
      downstream (mean accuracy with most labels), accuracy [S, F] (NaN for a one-valued
      factor), sizes [S], efficiency: mean accuracy with 100 labels over that with most
      (None without 100).

    Source: Locatello et al. 2019, "Challenging common assumptions in the unsupervised learning
    of disentangled representations", section 5.5.
    """
    if model not in DOWNSTREAM:
        raise unknown("model", model, DOWNSTREAM)
    split = check_split(codes, factors, codes_test, factors_test)
    rng, labels = numpy_rng(key), split.labels
    sizes = sorted(size for size in set(sizes) if 0 < size <= len(split.codes))
    if not sizes:
        raise ValueError(f"got {len(split.codes)} samples, expected more than the smallest size")
    accuracy = np.full((len(sizes), len(labels.sizes)), np.nan)
    with small_fits():
        for s, size in enumerate(sizes):
            rows = rng.permutation(len(split.codes))[:size]
            for k in labels.varying:
                predictor = DOWNSTREAM[model](int(rng.randint(2**31)))
                guess = _predict(predictor, split.scaled[rows], labels.values[rows, k], split)
                accuracy[s, k] = np.mean(guess == split.labels_test[:, k])
    mean = accuracy[:, labels.varying].mean(1)
    return {
        "downstream": float(mean[-1]),
        "accuracy": accuracy,
        "sizes": sizes,
        "efficiency": float(mean[sizes.index(100)] / mean[-1]) if 100 in sizes else None,
        "model": model,
        "protocol": "dlib",
        "num_samples": sizes[-1],
    }


def _predict(predictor: Any, codes: np.ndarray, labels: np.ndarray, split: Split) -> Any:
    if (labels == labels[0]).all():
        return labels[0]  # one value is all these labels show
    return predictor.fit(codes, labels).predict(split.scaled_test)
