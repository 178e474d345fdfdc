"""FactorVAE score."""

from typing import Any

import jax
import numpy as np

from devae_jax.metrics.draws import draw_votes, numpy_rng, sample_factors
from devae_jax.metrics.inputs import spread
from devae_jax.metrics.table import CodeTable, Represent, grid_of, tabulate
from devae_jax.metrics.votes import (
    BATCH,
    VOTES,
    VOTES_TEST,
    check_votes,
    look_up,
    split_votes,
    varying_factors,
)

NUM_VARIANCE, THRESHOLD = 10_000, 0.05  # of the published study
_PUBLISHED = (VOTES, VOTES_TEST, BATCH, NUM_VARIANCE, THRESHOLD)


def factor_vae(
    represent: Represent | CodeTable,
    source: Any,
    key: int | jax.Array,
    *,
    votes: int = VOTES,
    votes_test: int = VOTES_TEST,
    batch: int = BATCH,
    num_variance: int = NUM_VARIANCE,
    threshold: float = THRESHOLD,
) -> dict[str, Any]:
    """FactorVAE score: the latent that varies least tells which factor was held.

    Each vote holds a random factor in a batch and names the latent of least variance relative
    to its variance over the data; a majority table on `votes` is scored on `votes_test`.

    Args:
      represent: images [B, H, W, C] -> codes [B, D], or a `CodeTable`.
      source: the `Dataset` (or anything with grid, arrays and observe); its nuisance is not held.
      key: an int seed reproduces the draws of disentanglement_lib; or a jax key.
      threshold: latents with a smaller standard deviation are dead and cannot win; the
        published study has 0.05. Constant latents are dead at any threshold.

    Returns:
      factor_vae (accuracy on the test votes; 0 if all latents are dead), train_accuracy,
      per_factor [F] (NaN for a one-valued or nuisance factor), votes_train and votes_test [D, F]
      counts, variance [D], active [D]. The protocol is "dlib" with the options' defaults.

    Source: Kim & Mnih 2018, "Disentangling by factorising", section 4.
    """
    check_votes(votes, votes_test, batch)
    published = (votes, votes_test, batch, num_variance, threshold) == _PUBLISHED
    rng, grid = numpy_rng(key), grid_of(source)
    varying, sizes, held = varying_factors(source)
    points = np.ravel_multi_index(tuple(sample_factors(rng, sizes, num_variance).T), sizes)
    codes = tabulate(represent, source, points).lookup(points)
    variance = codes.var(0, ddof=1, dtype=np.float64)
    active = (np.sqrt(variance) >= threshold) & (np.ptp(codes, axis=0) > 0)
    tables = []
    counted = varying[held]
    drawn_votes = draw_votes(rng, sizes, votes + votes_test, batch, held=held)
    for drawn in split_votes(drawn_votes, votes):
        table = np.zeros((len(active), len(grid.sizes)), np.int64)
        for fixed, batches in look_up(represent, source, drawn):
            if active.any():
                relative = _variances(batches[:, 0])[:, active] / variance[active]
                winner = np.flatnonzero(active)[relative.argmin(1)]
                np.add.at(table, (winner, varying[fixed]), 1)
        tables.append(table)
    train, test = tables
    guess = train.argmax(1)  # the factor that each latent stands for
    right = np.where(np.arange(len(grid.sizes)) == guess[:, None], test, 0).sum(0)
    asked = np.maximum(test.sum(0), 1)
    return {
        "factor_vae": float(right.sum() / max(test.sum(), 1)),
        "train_accuracy": float(train.max(1).sum() / max(train.sum(), 1)),
        "per_factor": spread((right / asked)[counted], counted, len(grid.sizes)),
        "votes_train": train,
        "votes_test": test,
        "variance": variance,
        "active": active,
        "protocol": "dlib" if published else "custom",
        "num_samples": votes,
    }


def _variances(codes: np.ndarray) -> np.ndarray:
    """Unbiased variance over the batch: [v, batch, D] -> [v, D]. Changes `codes`."""
    codes -= codes[:, :1].copy()  # what is constant becomes 0 exactly
    total = codes.sum(1)
    np.multiply(codes, codes, out=codes)
    number = codes.shape[1]
    return (codes.sum(1) - total * total / number) / (number - 1)
