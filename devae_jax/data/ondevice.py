"""Training batches drawn on the device, as a pure function of (key, step).

Factors are drawn for the global batch, which costs a few integers, and only this
shard's rows are turned into images: every device count sees the same batches.
"""

import math

import jax
import jax.numpy as jnp

from devae_jax.data import factors as fg
from devae_jax.names import unknown
from devae_jax.types import Array, Dataset, Shard, Source

ROUNDS = 6  # of the Feistel network below; 4 already mix well


def source(dataset: Dataset, batch_size: int, sampling: str = "replacement") -> Source:
    """Mini-batches of a data set.

    sampling: "replacement" draws every batch afresh from the training distribution;
        "epoch" visits the images in a new random order each epoch, without
        repetition (the last num_images % batch_size of an order are skipped).
    `take(arrays, key, step, shard)` wants the key of the run's data stream, the same
    at every step, and gives float32 [batch_size / shard.count, H, W, C] in [0, 1].
    Raises ValueError if the batch is larger than the data or `sampling` is unknown.
    """
    grid, size = dataset.grid, fg.num_images(dataset.grid)
    if not 1 <= batch_size <= size:
        raise ValueError(
            f"got batch_size={batch_size}, expected 1 to {size}, the number of images of "
            f"{dataset.name!r}; fix batch_size or keep more factor values"
        )

    def replacement(arrays, key, step) -> Array:
        key = jax.random.fold_in(key, step)
        if dataset.draw is not None:
            return dataset.draw(arrays, key, batch_size)
        return fg.sample(grid, key, batch_size)

    def epoch(arrays, key, step) -> Array:
        epoch, place = jnp.divmod(jnp.asarray(step, jnp.int32), size // batch_size)
        rows = place * batch_size + jnp.arange(batch_size)
        return fg.from_index(grid, permute(jax.random.fold_in(key, epoch), rows, size))

    samplers = {"replacement": replacement, "epoch": epoch}
    if sampling not in samplers:
        raise unknown("sampling", sampling, samplers)
    if sampling == "epoch" and dataset.draw is not None:
        raise ValueError(
            f"got sampling='epoch' for {dataset.name!r}, whose training distribution is not "
            "uniform over the grid; use sampling='replacement'"
        )

    def take(arrays, key: Array, step: Array, shard: Shard = Shard()) -> Array:  # noqa: B008
        rows = samplers[sampling](arrays, key, step)
        return dataset.observe(arrays, local_rows(rows, shard))

    return Source(
        arrays=dataset.arrays,
        take=take,
        size=size,
        batch_size=batch_size,
        image_shape=dataset.image_shape,
    )


def local_rows(rows: Array, shard: Shard) -> Array:
    """This shard's part of [B, ...]. Raises ValueError if the shards do not divide B."""
    if rows.shape[0] % shard.count:
        raise ValueError(
            f"got batch_size={rows.shape[0]} on {shard.count} devices, expected a multiple; "
            "fix batch_size"
        )
    n = rows.shape[0] // shard.count
    return jax.lax.dynamic_slice_in_dim(rows, shard.index * n, n)


def permute(key: Array, index: Array, n: int) -> Array:
    """Places `index` [B] of a random permutation of range(n), without storing it.

    A Feistel network on Z_a x Z_b with a * b just above n; a result outside
    range(n) goes through the network again (cycle walking; Black & Rogaway 2002).
    """
    a = math.isqrt(n - 1) + 1
    b = -(-n // a)
    salts = jax.random.bits(key, (ROUNDS,))

    def network(x: Array) -> Array:
        left, right = jnp.divmod(x, jnp.uint32(b))  # left < a, right < b
        for i in range(0, ROUNDS, 2):
            left = (left + mix(right ^ salts[i]) % a) % a
            right = (right + mix(left ^ salts[i + 1]) % b) % b
        return left * b + right

    def walk(x: Array) -> Array:
        return jnp.where(x >= n, network(x), x)

    start = network(jnp.asarray(index, jnp.uint32))
    return jax.lax.while_loop(lambda x: (x >= n).any(), walk, start).astype(jnp.int32)


def mix(x: Array) -> Array:
    """A bijection of uint32 whose output bits each depend on all input bits (MurmurHash3)."""
    for shift, multiplier in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> shift)) * jnp.uint32(multiplier)
    return x ^ (x >> 16)
