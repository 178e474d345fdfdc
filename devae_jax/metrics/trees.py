"""DCI: disentanglement, completeness and informativeness of trees that predict the factors."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from devae_jax.metrics.importance import completeness, disentanglement
from devae_jax.metrics.inputs import Split, check_split, numpy_rng, small_fits, spread
from devae_jax.names import unknown


class Fitted(NamedTuple):
    """One factor's classifier: importance of the latents [D], training and test accuracy."""

    importance: np.ndarray
    train: float
    test: float


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


MODELS: dict[str, Callable[[int], Any]] = {
    "boosted": _boosted,
    "hist_boosted": _hist_boosted,
    "random_forest": _random_forest,
}


def _fit(name: str, seed: int, split: Split, factor: int) -> Fitted:
    from threadpoolctl import threadpool_limits

    labels, labels_test = split.labels.values[:, factor], split.labels_test[:, factor]
    with threadpool_limits(1, user_api="openmp"):  # a limit of this thread alone
        model = MODELS[name](seed).fit(split.codes, labels)
        train, test = model.score(split.codes, labels), model.score(split.codes_test, labels_test)
    if name == "hist_boosted":
        return Fitted(_split_gains(model, split.codes.shape[1]), train, test)
    return Fitted(np.abs(model.feature_importances_), train, test)


def _split_gains(model: Any, dim: int) -> np.ndarray:
    """Importance as in boosted trees: the part of the loss that splits on each latent removed."""
    importance = np.zeros(dim)
    for trees in model._predictors:
        for tree in trees:
            splits = tree.nodes[tree.nodes["is_leaf"] == 0]
            importance += np.bincount(splits["feature_idx"], splits["gain"], minlength=dim)
    return importance / max(importance.sum(), 1e-30)


def dci_seconds(num_samples: int, dim: int, sizes: Sequence[int], jobs: int | None = None) -> float:
    """About how many seconds boosted trees take: right within a factor of two on a core of 2024.

    One factor needs 100 rounds of a tree for each of its values, and runs on one thread.
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
        faster and with other numbers, "hist_boosted" (the same on binned features; of identical
        latents it uses the first alone) or "random_forest".
      jobs: threads, one factor each; default all cores.
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
        announce(f"DCI, boosted trees: about {seconds:.0f} s on {jobs} thread(s)")
    seeds = numpy_rng(key).randint(2**31, size=len(some))
    longest_first = np.argsort(-sizes[some], kind="stable")
    tasks = [delayed(_fit)(model, int(seeds[i]), split, int(some[i])) for i in longest_first]
    with small_fits():
        done = Parallel(n_jobs=jobs, prefer="threads")(tasks)  # trees grow outside the GIL
    fitted = [done[i] for i in np.argsort(longest_first)]
    used = np.stack([one.importance for one in fitted], axis=1)
    score, per_latent = disentanglement(used)
    complete, per_factor = completeness(used)
    importance = np.zeros((len(used), len(sizes)))
    importance[:, some] = used
    return {
        "disentanglement": score,
        "completeness": complete,
        "informativeness": float(np.mean([one.test for one in fitted])),
        "informativeness_train": float(np.mean([one.train for one in fitted])),
        "per_latent": per_latent,
        "per_factor": spread(per_factor, some, len(sizes)),
        "accuracy": spread([one.test for one in fitted], some, len(sizes)),
        "importance": importance,
        "model": model,
        "protocol": "dlib",
        "num_samples": len(split.codes),
    }
