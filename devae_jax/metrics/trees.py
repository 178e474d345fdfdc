"""DCI: disentanglement, completeness and informativeness of trees that predict the factors."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from devae_jax.data.factors import unknown
from devae_jax.metrics.importance import completeness, disentanglement
from devae_jax.metrics.inputs import check_split, numpy_rng, spread

Fitted = tuple[np.ndarray, float, float]  # importance [D], accuracy in training and in test


def _boosted(seed: int, *split: np.ndarray) -> Fitted:
    from sklearn.ensemble import GradientBoostingClassifier

    train, labels, test, labels_test = split
    model = GradientBoostingClassifier(random_state=seed).fit(train, labels)
    return model.feature_importances_, model.score(train, labels), model.score(test, labels_test)


def _random_forest(seed: int, *split: np.ndarray) -> Fitted:
    from sklearn.ensemble import RandomForestClassifier

    train, labels, test, labels_test = split
    model = RandomForestClassifier(random_state=seed).fit(train, labels)
    return model.feature_importances_, model.score(train, labels), model.score(test, labels_test)


def _hist_boosted(seed: int, *split: np.ndarray) -> Fitted:
    """Importance as in boosted trees: the loss that the splits on each latent removed."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    train, labels, test, labels_test = split
    model = HistGradientBoostingClassifier(
        max_leaf_nodes=8, max_depth=3, early_stopping=False, random_state=seed
    ).fit(train, labels)
    importance = np.zeros(train.shape[1])
    for trees in model._predictors:
        for tree in trees:
            splits = tree.nodes[tree.nodes["is_leaf"] == 0]
            importance += np.bincount(
                splits["feature_idx"], splits["gain"], minlength=len(importance)
            )
    importance /= max(importance.sum(), 1e-30)
    return importance, model.score(train, labels), model.score(test, labels_test)


MODELS: dict[str, Callable[..., Fitted]] = {
    "boosted": _boosted,
    "hist_boosted": _hist_boosted,
    "random_forest": _random_forest,
}


def dci_seconds(num_samples: int, dim: int, sizes: Sequence[int], jobs: int | None = None) -> float:
    """About how many seconds boosted trees take: right within a factor of two on a core of 2024.

    One factor needs 100 rounds of a tree for each of its values, and runs on one process.
    """
    trees = [100 * (size if size > 2 else 1) for size in sizes if size > 1]
    longest = max(max(trees), sum(trees) / min(jobs or _cores(), len(trees)))
    return longest * 2.1e-8 * dim * num_samples * math.log2(max(num_samples, 2))


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def dci(
    codes: Any,
    factors: Any,
    codes_test: Any,
    factors_test: Any,
    key: int | jax.Array = 0,
    *,
    model: str = "boosted",
    jobs: int | None = None,
    announce: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """DCI: is each latent used for one factor, each factor read from one latent, and how well.

    A classifier a factor predicts it from the whole code. The importance matrix of its latents
    gives disentanglement (entropy of each latent's row, in units of log F) and completeness (of
    each factor's column, in log D), weighted by importance. Scores move with the number of
    samples: compare at equal N.

    Args:
      model: "boosted" trees as published (100 rounds, depth 3: minutes), or, several times
        faster and with other numbers, "hist_boosted" (the same on binned features) or
        "random_forest".
      jobs: processes, one factor each; default all cores.
      announce: is told the expected cost before it runs.

    Returns:
      disentanglement, completeness, informativeness (test accuracy), informativeness_train,
      per_latent [D], per_factor (completeness) [F], accuracy [F], importance [D, F]; NaN
      for a one-valued factor.

    Source: Eastwood & Williams 2018, "A framework for the quantitative evaluation of
    disentangled representations", with the trees and weights of disentanglement_lib.
    """
    from joblib import Parallel, delayed

    if model not in MODELS:
        raise unknown("model", model, MODELS)
    split = check_split(codes, factors, codes_test, factors_test)
    some, sizes = split.labels.varying, split.labels.sizes
    jobs = min(jobs or _cores(), len(some))
    if announce and model == "boosted":
        num_samples, dim = split.codes.shape
        seconds = dci_seconds(num_samples, dim, sizes.tolist(), jobs)
        announce(f"DCI, boosted trees: about {seconds:.0f} s on {jobs} process(es)")
    seeds = numpy_rng(key).randint(2**31, size=len(some))
    longest_first = np.argsort(-sizes[some], kind="stable")
    tasks = [
        delayed(MODELS[model])(
            int(seeds[i]),
            split.codes,
            split.labels.values[:, some[i]],
            split.codes_test,
            split.labels_test[:, some[i]],
        )
        for i in longest_first
    ]
    fitted = Parallel(n_jobs=jobs)(tasks)
    columns, train, test = zip(*(fitted[i] for i in np.argsort(longest_first)), strict=True)
    used = np.abs(np.stack(columns, axis=1))
    importance = np.zeros((len(used), len(sizes)))
    importance[:, some] = used
    score, per_latent = disentanglement(used)
    complete, per_factor = completeness(used)
    return {
        "disentanglement": score,
        "completeness": complete,
        "informativeness": float(np.mean(test)),
        "informativeness_train": float(np.mean(train)),
        "per_latent": per_latent,
        "per_factor": spread(per_factor, some, len(sizes)),
        "accuracy": spread(test, some, len(sizes)),
        "importance": importance,
        "model": model,
        "protocol": "dlib",
        "num_samples": len(split.codes),
    }
