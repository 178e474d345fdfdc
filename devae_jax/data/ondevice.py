"""Training batches drawn on the device, as a pure function of (key, step).

Points are drawn for the global batch, which costs a few integers, and this shard's rows
are turned into images: every device count sees the same batches.
"""

import math

import jax
import jax.numpy as jnp

from devae_jax.data.batches import check_size, draw_points, local_rows, observer
from devae_jax.data.images import points_of
from devae_jax.names import unknown
from devae_jax.types import Array, Batch, Dataset, Shard, Source

ROUNDS = 6  # of the Feistel network below; 4 already mix well


def source(dataset: Dataset, batch_size: int, *, sampling: str = "replacement") -> Source:
    """Batches {"image"} of a data set whose images are made on the device.

    sampling: "replacement" draws every batch afresh from the training distribution;
        "epoch" visits the images in a new random order each epoch, without
        repetition (the last size % batch_size of an order are skipped).
    Raises ValueError if the images are read on the host, if the batch is larger than
    the data, or if `sampling` is unknown or does not fit the training distribution.
    """
    observe = observer(dataset, "ondevice")
    check_size(dataset, batch_size)

    def replacement(arrays, key: Array, step: Array) -> Array:
        return draw_points(dataset, arrays, jax.random.fold_in(key, step), batch_size)

    def epoch(arrays, key: Array, step: Array) -> Array:
        epoch, place = jnp.divmod(jnp.asarray(step, jnp.int32), dataset.size // batch_size)
        rows = place * batch_size + jnp.arange(batch_size)
        return points_of(dataset, permute(jax.random.fold_in(key, epoch), rows, dataset.size))

    samplers = {"replacement": replacement, "epoch": epoch}
    if sampling not in samplers:
        raise unknown("data.source.sampling", sampling, samplers)
    if sampling == "epoch" and dataset.draw is not None:
        raise ValueError(
            f"got data.source.sampling='epoch' for {dataset.name!r}, whose training distribution "
            "is not uniform over the images, expected 'replacement'; fix data.source.sampling"
        )

    def take(arrays, key: Array, step: Array, shard: Shard = Shard()) -> Batch:  # noqa: B008
        points = samplers[sampling](arrays, key, step)
        return {"image": observe(arrays, local_rows(points, shard))}

    return Source(arrays=dataset.arrays, take=take, size=dataset.size, batch_size=batch_size)


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
