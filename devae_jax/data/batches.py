"""What the sources of batches share: checks, the training distribution, a device's rows."""

from collections.abc import Callable

import jax

from devae_jax.data.images import points_of
from devae_jax.types import Array, Dataset, FactorGrid, Shard


def check_size(dataset: Dataset, batch_size: int) -> None:
    """Raises ValueError if the batch is larger than the data set."""
    if not 1 <= batch_size <= dataset.size:
        raise ValueError(
            f"got batch_size={batch_size}, expected 1 to {dataset.size}, the number of images of "
            f"{dataset.name!r}; fix batch_size or keep more images"
        )


def observer(dataset: Dataset, kind: str) -> Callable[..., Array]:
    """`dataset.observe`. Raises ValueError if its images are read on the host instead."""
    if dataset.observe is None:
        raise ValueError(
            f"got data.source.kind={kind!r} for {dataset.name!r}, whose images are read from "
            "disk, expected 'stream'; fix data.source.kind"
        )
    return dataset.observe


def grid_of(dataset: Dataset, wanted: str) -> FactorGrid:
    """`dataset.grid`. Raises ValueError if there is none; `wanted` says what needs it."""
    if dataset.grid is None:
        lacks = "factors" if dataset.table is None else "a full grid of factors"
        raise ValueError(
            f"got {wanted} for {dataset.name!r}, a data set without {lacks}, expected one with a "
            "factor grid; remove it or take another data set"
        )
    return dataset.grid


def draw_points(dataset: Dataset, arrays: object, key: Array, n: int) -> Array:
    """`n` independent points of the training distribution."""
    if dataset.draw is not None:
        return dataset.draw(arrays, key, n)
    return points_of(dataset, jax.random.randint(key, (n,), 0, dataset.size))


def local_rows(rows: Array, shard: Shard) -> Array:
    """This shard's part of [B, ...]. Raises ValueError if the shards do not divide B."""
    if rows.shape[0] % shard.parts:
        raise ValueError(
            f"got batch_size={rows.shape[0]} on {shard.parts} devices, expected a multiple; "
            "fix batch_size"
        )
    n = rows.shape[0] // shard.parts
    return jax.lax.dynamic_slice_in_dim(rows, shard.position * n, n)
