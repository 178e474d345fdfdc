"""Scores by majority vote over batches in which one factor is held: FactorVAE and beta-VAE."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from devae_jax.metrics.draws import Votes, draw_votes, sample_factors
from devae_jax.metrics.inputs import numpy_rng, small_fits, spread
from devae_jax.metrics.table import CodeTable, Represent, grid_of, tabulate
from devae_jax.types import FactorGrid

_BYTES = 1 << 28  # of codes looked up at once, whatever D is


def factor_vae(
    represent: Represent | CodeTable,
    source: Any,
    key: int | jax.Array,
    *,
    votes: int = 10_000,
    votes_test: int = 5_000,
    batch: int = 64,
    num_variance: int = 10_000,
    threshold: float = 0.05,
) -> dict[str, Any]:
    """FactorVAE score: the latent that varies least tells which factor was held.

    Each vote holds a random factor in a batch and names the latent of least variance relative
    to its variance over the data; a majority table on `votes` is scored on `votes_test`.

    Args:
      represent: images [B, H, W, C] -> codes [B, D], or a `CodeTable`.
      source: the `Dataset` (or anything with grid, arrays and observe).
      key: an int seed reproduces the draws of disentanglement_lib; or a jax key.
      threshold: latents with a smaller standard deviation are dead and cannot win; the
        published study has 0.05. Constant latents are dead at any threshold.

    Returns:
      factor_vae (accuracy on the test votes; 0 if all latents are dead), train_accuracy,
      per_factor [F] (NaN for a one-valued factor), votes_train and votes_test [D, F] counts,
      variance [D], active [D].

    Source: Kim & Mnih 2018, "Disentangling by factorising", section 4.
    """
    _check_votes(votes, votes_test, batch)
    rng, grid = numpy_rng(key), grid_of(source)
    varying, sizes = _varying(grid)
    points = np.ravel_multi_index(tuple(sample_factors(rng, sizes, num_variance).T), sizes)
    codes = tabulate(represent, source, points).lookup(points)
    variance = codes.var(0, ddof=1, dtype=np.float64)
    active = (np.sqrt(variance) >= threshold) & (np.ptp(codes, axis=0) > 0)
    tables = []
    for drawn in _split(draw_votes(rng, sizes, votes + votes_test, batch), votes):
        table = np.zeros((len(active), len(grid.sizes)), np.int64)
        for fixed, batches in _lookups(represent, source, drawn):
            if active.any():
                relative = _variances(batches[:, 0])[:, active] / variance[active]
                winner = np.flatnonzero(active)[relative.argmin(1)]
                np.add.at(table, (winner, varying[fixed]), 1)
        tables.append(table)
    train, test = tables
    guess = train.argmax(1)  # the factor that each latent stands for
    right = np.where(np.arange(len(grid.sizes)) == guess[:, None], test, 0).sum(0)
    held = np.maximum(test.sum(0), 1)
    return {
        "factor_vae": float(right.sum() / max(test.sum(), 1)),
        "train_accuracy": float(train.max(1).sum() / max(train.sum(), 1)),
        "per_factor": spread((right / held)[varying], varying, len(grid.sizes)),
        "votes_train": train,
        "votes_test": test,
        "variance": variance,
        "active": active,
        "protocol": "dlib",
        "num_samples": votes,
    }


def beta_vae(
    represent: Represent | CodeTable,
    source: Any,
    key: int | jax.Array,
    *,
    votes: int = 10_000,
    votes_test: int = 5_000,
    batch: int = 64,
) -> dict[str, Any]:
    """beta-VAE score: a linear classifier tells which factor two batches share.

    Its input is the mean absolute difference of the codes of paired points that share one
    factor, drawn from the whole grid: votes from a small fixed pool read high.

    Args: as `factor_vae`.

    Returns:
      beta_vae (accuracy on the test votes), train_accuracy, per_factor [F] (NaN for a
      one-valued factor).

    Raises:
      ValueError: for a grid with a single factor that varies.

    Source: Higgins et al. 2017, "beta-VAE", appendix A.4 (as in disentanglement_lib, with
    scikit-learn's logistic regression).
    """
    from sklearn.linear_model import LogisticRegression

    _check_votes(votes, votes_test, batch)
    rng, grid = numpy_rng(key), grid_of(source)
    varying, sizes = _varying(grid)
    if len(varying) == 1:
        raise ValueError(
            f"got a grid of sizes {grid.sizes}, expected two factors that vary: there is nothing "
            "to tell apart"
        )
    inputs, labels = [], []
    for drawn in _split(draw_votes(rng, sizes, votes + votes_test, batch, groups=2), votes):
        distances = [_distances(batches) for _, batches in _lookups(represent, source, drawn)]
        inputs.append(np.concatenate(distances).astype(np.float64))
        labels.append(varying[drawn.fixed])
    if (labels[0] == labels[0][0]).all():
        raise ValueError(f"got votes={votes} that hold one factor alone; raise votes")
    with small_fits():
        model = LogisticRegression(random_state=rng).fit(inputs[0], labels[0])
    right = model.predict(inputs[1]) == labels[1]
    held = [labels[1] == k for k in varying]
    per_factor = [right[own].mean() if own.any() else np.nan for own in held]
    return {
        "beta_vae": float(right.mean()),
        "train_accuracy": float(model.score(inputs[0], labels[0])),
        "per_factor": spread(per_factor, varying, len(grid.sizes)),
        "protocol": "dlib",
        "num_samples": votes,
    }


def _check_votes(votes: int, votes_test: int, batch: int) -> None:
    if min(votes, votes_test) < 1 or batch < 2:
        raise ValueError(
            f"got votes={votes}, votes_test={votes_test}, batch={batch}, expected at least one "
            "vote of each and two points a batch; raise them"
        )


def _varying(grid: FactorGrid) -> tuple[np.ndarray, list[int]]:
    """The factors with two values or more, and their sizes; the others do not move the index."""
    varying = np.flatnonzero(np.asarray(grid.sizes) > 1)
    if not varying.size:
        raise ValueError(f"got a grid of sizes {grid.sizes}, expected a factor with two values")
    return varying, [grid.sizes[k] for k in varying]


def _split(drawn: Votes, votes: int) -> tuple[Votes, Votes]:
    return Votes(*(leaf[:votes] for leaf in drawn)), Votes(*(leaf[votes:] for leaf in drawn))


def _lookups(
    represent: Represent | CodeTable, source: Any, drawn: Votes
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Held factors [v] and codes [v, groups, batch, D], a bounded number of votes at a time."""
    dim = tabulate(represent, source, drawn.points[0]).codes.shape[1]
    step = max(1, _BYTES // (4 * dim * drawn.points[0].size))
    if isinstance(represent, CodeTable):
        step = min(step, 256)  # what fits the cache
    for start in range(0, len(drawn.fixed), step):
        points = drawn.points[start : start + step]
        codes = tabulate(represent, source, points).lookup(points.ravel())
        yield drawn.fixed[start : start + step], codes.reshape(*points.shape, dim)


def _variances(codes: np.ndarray) -> np.ndarray:
    """Unbiased variance over the batch: [v, batch, D] -> [v, D]. Changes `codes`."""
    codes -= codes[:, :1].copy()  # what is constant becomes 0 exactly
    total = codes.sum(1)
    np.multiply(codes, codes, out=codes)
    number = codes.shape[1]
    return (codes.sum(1) - total * total / number) / (number - 1)


def _distances(codes: np.ndarray) -> np.ndarray:
    """Mean absolute difference of paired points: [v, 2, batch, D] -> [v, D]. Changes `codes`."""
    codes[:, 0] -= codes[:, 1]
    return np.abs(codes[:, 0], out=codes[:, 0]).mean(1)
