"""Pairs of images that share most factors: weak supervision, drawn on the device.

Locatello et al., "Weakly-supervised disentanglement without compromises", arXiv:2002.02886.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.data import factors as fg
from devae_jax.data.batches import check_size, draw_points, grid_of, local_rows, observer
from devae_jax.names import lookup
from devae_jax.types import Array, Batch, Dataset, Shard, Source

CHANGED: dict[str, Callable[[Array, tuple[int, int]], Array]] = {
    "one": lambda key, shape: jnp.ones((shape[0],), jnp.int32),
    "any": lambda key, shape: jax.random.randint(key, (shape[0],), 1, shape[1]),
}


def source(dataset: Dataset, batch_size: int, *, changed: str = "one") -> Source:
    """Batches {"image", "pair" [B, H, W, C], "shared" bool [B, F]} of `batch_size` pairs.

    "image" is drawn from the training distribution, as "ondevice" with replacement draws
    it. "pair" shares all of its factors but k, chosen at random and drawn anew uniformly,
    so that they may come out the same; "shared" is True where a factor was not drawn anew.
    changed: "one" for k = 1, "any" for a k of each pair, uniform in 1 .. F - 1.
    Raises ValueError for images read on the host, a data set without factors, with one
    factor or with held-out images, a batch larger than the data, or an unknown `changed`.
    """
    grid = grid_of(dataset, "data.source.kind='pairs'")
    number = lookup(CHANGED, changed, "data.source.changed")
    shape = (batch_size, len(grid.names))
    if shape[1] < 2:
        raise ValueError(
            f"got data.source.kind='pairs' for {dataset.name!r} with the factor {grid.names[0]!r} "
            "alone, expected two factors or more; keep more in data.factors"
        )

    def change(key: Array, step: Array, first: Array) -> tuple[list[Array], Array]:
        anew = fg.sample(grid, rng.stream(key, "pair", step), batch_size)
        order, count = jax.random.split(rng.stream(key, "changed", step))
        rank = jax.random.uniform(order, shape).argsort(axis=1)  # a random order of the factors
        shared = rank >= number(count, shape)[:, None]
        return [jnp.where(shared, first, anew)], shared[:, None]

    return paired(dataset, batch_size, "pairs", change)


def paired(
    dataset: Dataset,
    batch_size: int,
    kind: str,
    change: Callable[[Array, Array, Array], tuple[list[Array], Array]],
) -> Source:
    """Batches {"image", "pair", "shared"}, "image" from the training distribution.

    change: (key, step, points of the images [B, F]) -> (points of what follows them, first
        those of their pairs, [B, F] each; which factors each shares with the one before, bool
        [B, T - 1, F]), of the global batch. If more than pairs follow, there are also "frames"
        [B, T, H, W, C] and "stayed" [B, T - 1, F].
    Raises ValueError, naming the source's `kind`, for images read on the host, held-out images
    and a batch larger than the data.
    """
    observe = observer(dataset, kind)
    check_size(dataset, batch_size)
    if "held_out" in dataset.identity:
        raise ValueError(
            f"got data.source.kind={kind!r} with data.held_out, whose images a factor that changes "
            "would bring back, expected one of the two; remove one"
        )

    def take(arrays, key: Array, step: Array, shard: Shard = Shard()) -> Batch:  # noqa: B008
        first = draw_points(dataset, arrays, jax.random.fold_in(key, step), batch_size)
        following, stayed = change(key, step, first)
        kept = local_rows(stayed, shard)
        if len(following) == 1:
            return {
                "image": observe(arrays, local_rows(first, shard)),
                "pair": observe(arrays, local_rows(following[0], shard)),
                "shared": kept[:, 0],
            }
        points = local_rows(jnp.stack([first, *following], 1), shard)
        images = observe(arrays, points.reshape(-1, points.shape[-1]))
        frames = images.reshape(*points.shape[:2], *images.shape[1:])
        pair = {"image": frames[:, 0], "pair": frames[:, 1], "shared": kept[:, 0]}
        return pair | {"frames": frames, "stayed": kept}

    return Source(arrays=dataset.arrays, take=take, size=dataset.size, batch_size=batch_size)
