"""Test accuracy of predictors of the factors, with few and many labels."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from devae_jax.metrics.draws import numpy_rng
from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.inputs import check_split
from devae_jax.metrics.trees import TREES, boosting_seconds
from devae_jax.names import lookup

SIZES = (10, 100, 1_000, 10_000)  # of the published study
_FOLDS = 5


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(random_state=seed)


def _logistic_cv(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import KFold

    return LogisticRegressionCV(
        Cs=10, cv=KFold(n_splits=_FOLDS), scoring="accuracy", random_state=seed
    )


PREDICTORS: dict[str, Callable[[int], Any]] = {
    "logistic": _logistic,
    "logistic_cv": _logistic_cv,
    "boosted": TREES["boosted"],
    "hist_boosted": TREES["hist_boosted"],
}
PUBLISHED = ("logistic_cv", "boosted")


def downstream(
    codes: Any,
    factors: Any,
    codes_test: Any,
    factors_test: Any,
    key: int | jax.Array = 0,
    *,
    model: str = "logistic",
    sizes: Sequence[int] = SIZES,
) -> dict[str, Any]:
    """Test accuracy of predicting each factor from the code with few and many labels.

    Args:
      model: "logistic_cv", logistic regression with the strength of its penalty chosen of ten
        by 5-fold cross-validation, and "boosted" trees, as published; or, many times faster and
        with other numbers, "logistic" regression of standardised codes with a fixed penalty,
        and "hist_boosted" trees of binned features.
      sizes: numbers of labels; those above the training set's size are left out. A fresh
        subset is drawn for each.

    Returns:
      downstream (mean accuracy with most labels), accuracy [S, F] (NaN for a one-valued
      factor), sizes [S], efficiency: mean accuracy with 100 labels over that with most
      (None without 100). The protocol is "dlib" for the published models, else the model.

    Source: Locatello et al. 2019, "Challenging common assumptions in the unsupervised learning
    of disentangled representations", section 5.5.
    """
    lookup(PREDICTORS, model, "model")
    split = check_split(codes, factors, codes_test, factors_test)
    rng, labels = numpy_rng(key), split.labels
    name = model if model not in PUBLISHED else "dlib" if tuple(sizes) == SIZES else "custom"
    sizes = sorted(size for size in set(sizes) if 0 < size <= len(split.codes))
    if not sizes:
        raise ValueError(
            f"got {len(split.codes)} samples, expected more than the smallest size; encode more "
            "images or ask for smaller sizes"
        )
    # Published predictors see the codes as they are.
    scaled = model not in PUBLISHED
    train, test = (split.scaled, split.scaled_test) if scaled else (split.codes, split.codes_test)
    accuracy = np.full((len(sizes), len(labels.sizes)), np.nan)
    with small_fits():
        for s, size in enumerate(sizes):
            rows = rng.permutation(len(split.codes))[:size]
            for k in labels.varying:
                values = labels.values[rows, k]
                guess = _predict(model, int(rng.randint(2**31)), train[rows], values, test)
                accuracy[s, k] = np.mean(guess == split.labels_test[:, k])
    mean = accuracy[:, labels.varying].mean(1)
    return {
        "downstream": float(mean[-1]),
        "accuracy": accuracy,
        "sizes": sizes,
        "efficiency": float(mean[sizes.index(100)] / mean[-1]) if 100 in sizes else None,
        "model": model,
        "protocol": name,
        "num_samples": sizes[-1],
    }


def _predict(
    model: str, seed: int, codes: np.ndarray, labels: np.ndarray, codes_test: np.ndarray
) -> Any:
    """The values that a predictor of these labels gives the test codes."""
    if (labels == labels[0]).all():
        return labels[0]  # one value is all these labels show
    if model == "logistic_cv" and not _folds_vary(labels):
        model = "logistic"  # no strength can be told from another
    return PREDICTORS[model](seed).fit(codes, labels).predict(codes_test)


def _folds_vary(labels: np.ndarray) -> bool:
    """Whether cross-validation trains on two values or more in every fold."""
    if len(labels) < _FOLDS:
        return False
    folds = np.array_split(np.arange(len(labels)), _FOLDS)  # as KFold cuts them
    return all(np.ptp(np.delete(labels, fold)) > 0 for fold in folds)


def downstream_seconds(model: str, num_samples: int, dim: int, sizes: Sequence[int]) -> float:
    """About how many CPU seconds a published model takes with `SIZES` labels, on a core of 2024.

    sizes: of the factors.
    """
    labels = [size for size in SIZES if size <= num_samples]
    if model == "boosted":
        return sum(sum(boosting_seconds(number, dim, list(sizes))) for number in labels)
    return sum(labels) * sum(sizes) * (2.5e-5 + 3e-7 * dim)
