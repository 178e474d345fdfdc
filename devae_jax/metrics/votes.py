"""Batches in which one factor is held, as codes: what FactorVAE and beta-VAE scores vote on."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from devae_jax.metrics.draws import Votes
from devae_jax.metrics.table import CodeTable, Represent, grid_of, tabulate

VOTES, VOTES_TEST, BATCH = 10_000, 5_000, 64  # of the published study
_BYTES = 1 << 28  # of codes looked up at once, whatever D is


def check_votes(votes: int, votes_test: int, batch: int) -> None:
    """Raises ValueError for too few votes, or batches of a single point."""
    if min(votes, votes_test) < 1 or batch < 2:
        raise ValueError(
            f"got votes={votes}, votes_test={votes_test}, batch={batch}, expected at least one "
            "vote of each and two points a batch; raise them"
        )


def varying_factors(source: Any) -> tuple[np.ndarray, list[int], np.ndarray]:
    """The factors with two values or more, and their sizes; the others do not move the index.

    Also which of them, counted from 0, may be held: all but the nuisance of the source.
    Raises ValueError where there is none.
    """
    grid = grid_of(source)
    varying = np.flatnonzero(np.asarray(grid.sizes) > 1)
    ignored = getattr(source, "nuisance", ())
    held = np.flatnonzero([grid.names[k] not in ignored for k in varying])
    if not held.size:
        raise ValueError(
            f"got a grid of sizes {grid.sizes}, expected a factor with two values; "
            "evaluate on more of the data set"
        )
    return varying, [grid.sizes[k] for k in varying], held


def split_votes(drawn: Votes, votes: int) -> tuple[Votes, Votes]:
    """The first `votes` to learn from, and the others to test on."""
    return Votes(*(leaf[:votes] for leaf in drawn)), Votes(*(leaf[votes:] for leaf in drawn))


def look_up(
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
