"""Classifiers of trees: the published ones, and others that take less time."""

from collections.abc import Callable
from typing import Any

import numpy as np


def _boosted(seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(random_state=seed)


def _hist_boosted(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_leaf_nodes=8,
        max_depth=3,
        min_samples_leaf=1,
        early_stopping=False,
        random_state=seed,
    )


def _random_forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed)


TREES: dict[str, Callable[[int], Any]] = {
    "boosted": _boosted,
    "hist_boosted": _hist_boosted,
    "random_forest": _random_forest,
}


def importance_of(name: str, model: Any, dim: int) -> np.ndarray:
    """How much a fitted model of `TREES` uses each of `dim` latents: sums to 1, [D]."""
    if name != "hist_boosted":
        return np.abs(model.feature_importances_)
    # As in boosted trees: the part of the loss that splits on each latent removed.
    importance = np.zeros(dim)
    for trees in model._predictors:
        for tree in trees:
            splits = tree.nodes[tree.nodes["is_leaf"] == 0]
            importance += np.bincount(splits["feature_idx"], splits["gain"], minlength=dim)
    return importance / max(importance.sum(), 1e-30)


def boosting_seconds(num_samples: int, dim: int, sizes: list[int]) -> list[float]:
    """CPU seconds of boosted trees for factors of `sizes` values, within a factor of two.

    100 rounds of a tree for each value (one of two values), measured on a core of 2024.
    """
    trees = [100 * (size if size > 2 else 1) for size in sizes if size > 1]
    each = 2.1e-8 * dim * num_samples * float(np.log2(max(num_samples, 2)))
    return [number * each for number in trees]
