"""DCI: disentanglement, completeness and informativeness of trees that predict the factors."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from devae_jax.metrics.draws import numpy_rng
from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.inputs import Split, check_split, spread
from devae_jax.metrics.matrices import completeness, disentanglement
from devae_jax.metrics.trees import TREES, boosting_seconds, importance_of
from devae_jax.names import lookup


class Fitted(NamedTuple):
    """One factor's classifier: importance of the latents [D], training and test accuracy."""

    importance: np.ndarray
    train: float
    test: float


def _fit(name: str, seed: int, split: Split, factor: int) -> Fitted:
    from threadpoolctl import threadpool_limits

    labels, labels_test = split.labels.values[:, factor], split.labels_test[:, factor]
    with threadpool_limits(1, user_api="openmp"):  # a limit of this thread alone
        model = TREES[name](seed).fit(split.codes, labels)
        train, test = model.score(split.codes, labels), model.score(split.codes_test, labels_test)
    return Fitted(importance_of(name, model, split.codes.shape[1]), train, test)


def dci_seconds(num_samples: int, dim: int, sizes: Sequence[int], jobs: int | None = None) -> float:
    """About how many seconds boosted trees take on `jobs` threads, by default all cores.

    Right within a factor of two on a core of 2024. One factor runs on one thread.
    """
    seconds = boosting_seconds(num_samples, dim, list(sizes))
    return max(max(seconds), sum(seconds) / min(jobs or _cores(), len(seconds)))


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
      announce: called with the expected cost before the trees grow.

    Returns:
      disentanglement, completeness, informativeness (test accuracy), informativeness_train,
      per_latent [D], per_factor (completeness) [F], accuracy [F], importance [D, F]; NaN
      for a one-valued factor. The protocol is "dlib" for boosted trees, else the model.

    Source: Eastwood & Williams 2018, "A framework for the quantitative evaluation of
    disentangled representations", with the trees and weights of disentanglement_lib.
    """
    from joblib import Parallel, delayed

    lookup(TREES, model, "model")
    split = check_split(codes, factors, codes_test, factors_test)
    varying, sizes = split.labels.varying, split.labels.sizes
    jobs = min(jobs or _cores(), len(varying))
    if announce and model == "boosted":
        num_samples, dim = split.codes.shape
        seconds = dci_seconds(num_samples, dim, sizes.tolist(), jobs)
        announce(f"DCI, boosted trees: about {seconds:.0f} s on {jobs} thread(s)")
    seeds = numpy_rng(key).randint(2**31, size=len(varying))
    longest_first = np.argsort(-sizes[varying], kind="stable")
    tasks = [delayed(_fit)(model, int(seeds[i]), split, int(varying[i])) for i in longest_first]
    with small_fits():
        done = Parallel(n_jobs=jobs, prefer="threads")(tasks)  # trees grow outside the GIL
    fitted = [done[i] for i in np.argsort(longest_first)]
    used = np.stack([one.importance for one in fitted], axis=1)
    score, per_latent = disentanglement(used)
    complete, per_factor = completeness(used)
    importance = np.zeros((len(used), len(sizes)))
    importance[:, varying] = used
    return {
        "disentanglement": score,
        "completeness": complete,
        "informativeness": float(np.mean([one.test for one in fitted])),
        "informativeness_train": float(np.mean([one.train for one in fitted])),
        "per_latent": per_latent,
        "per_factor": spread(per_factor, varying, len(sizes)),
        "accuracy": spread([one.test for one in fitted], varying, len(sizes)),
        "importance": importance,
        "model": model,
        "protocol": "dlib" if model == "boosted" else model,
        "num_samples": len(split.codes),
    }
