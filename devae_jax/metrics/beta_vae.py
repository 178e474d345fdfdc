"""beta-VAE score."""

from typing import Any

import jax
import numpy as np

from devae_jax.metrics.draws import draw_votes, numpy_rng
from devae_jax.metrics.fits import small_fits
from devae_jax.metrics.inputs import spread
from devae_jax.metrics.table import CodeTable, Represent, grid_of
from devae_jax.metrics.votes import (
    BATCH,
    VOTES,
    VOTES_TEST,
    check_votes,
    look_up,
    split_votes,
    varying_factors,
)


def beta_vae(
    represent: Represent | CodeTable,
    source: Any,
    key: int | jax.Array,
    *,
    votes: int = VOTES,
    votes_test: int = VOTES_TEST,
    batch: int = BATCH,
) -> dict[str, Any]:
    """beta-VAE score: a linear classifier tells which factor two batches share.

    Its input is the mean absolute difference of the codes of paired points that share one
    factor, drawn from the whole grid: votes from a small fixed pool read high.

    Args: as `factor_vae`.

    Returns:
      beta_vae (accuracy on the test votes), train_accuracy, per_factor [F] (NaN for a
      one-valued or nuisance factor). The protocol is "dlib" with the options' defaults.

    Raises:
      ValueError: for a grid with a single factor that varies.

    Source: Higgins et al. 2017, "beta-VAE", appendix A.4 (as in disentanglement_lib, with
    scikit-learn's logistic regression).
    """
    from sklearn.linear_model import LogisticRegression

    check_votes(votes, votes_test, batch)
    published = (votes, votes_test, batch) == (VOTES, VOTES_TEST, BATCH)
    rng, grid = numpy_rng(key), grid_of(source)
    varying, sizes, held = varying_factors(source)
    counted = varying[held]
    if len(counted) == 1:
        raise ValueError(
            f"got a grid of sizes {grid.sizes}, expected two factors that vary: there is nothing "
            "to tell apart"
        )
    inputs, labels = [], []
    drawn_votes = draw_votes(rng, sizes, votes + votes_test, batch, groups=2, held=held)
    for drawn in split_votes(drawn_votes, votes):
        distances = [_distances(batches) for _, batches in look_up(represent, source, drawn)]
        inputs.append(np.concatenate(distances).astype(np.float64))
        labels.append(varying[drawn.fixed])
    if (labels[0] == labels[0][0]).all():
        raise ValueError(f"got votes={votes} that hold one factor alone; raise votes")
    with small_fits():
        model = LogisticRegression(random_state=rng).fit(inputs[0], labels[0])
    right = model.predict(inputs[1]) == labels[1]
    asked = [labels[1] == k for k in counted]
    per_factor = [right[rows].mean() if rows.any() else np.nan for rows in asked]
    return {
        "beta_vae": float(right.mean()),
        "train_accuracy": float(model.score(inputs[0], labels[0])),
        "per_factor": spread(per_factor, counted, len(grid.sizes)),
        "protocol": "dlib" if published else "custom",
        "num_samples": votes,
    }


def _distances(codes: np.ndarray) -> np.ndarray:
    """Mean absolute difference of paired points: [v, 2, batch, D] -> [v, D]. Changes `codes`."""
    codes[:, 0] -= codes[:, 1]
    return np.abs(codes[:, 0], out=codes[:, 0]).mean(1)
