"""Two frames of a scene that moves: weak supervision from time, drawn on the device.

Klindt et al. 2021, "Towards nonlinear disentanglement in natural data with temporal sparse
coding", arXiv:2007.10930, section 4: most factors stay, or change little, from frame to frame.
"""

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.data.batches import check_size, draw_points, grid_of, local_rows, observer
from devae_jax.types import Array, Batch, Dataset, Shard, Source


def source(dataset: Dataset, batch_size: int, *, rate: float = 1.0) -> Source:
    """Batches {"image", "pair" [B, H, W, C], "shared" bool [B, F]} of `batch_size` pairs of frames.

    "image" is drawn from the training distribution. In "pair" each factor takes its value b
    with probability proportional to exp(-rate |b - a|), a its value in "image": a discrete
    Laplace distribution within the factor's range. "shared" is True where it stayed.
    Raises ValueError for a rate that is not positive, images read on the host, a data set
    without a full grid of factors or with held-out images, and a batch larger than the data.
    """
    grid = grid_of(dataset, "data.source.kind='temporal'")
    observe = observer(dataset, "temporal")
    check_size(dataset, batch_size)
    if not rate > 0:
        raise ValueError(f"got data.source.rate={rate}, expected more than 0; fix the rate")
    if "held_out" in dataset.identity:
        raise ValueError(
            "got data.source.kind='temporal' with data.held_out, whose images a moving factor "
            "would bring back, expected one of the two; remove one"
        )

    def move(key: Array, values: Array, size: int) -> Array:
        distance = jnp.abs(jnp.arange(size)[None] - values[:, None])
        return jax.random.categorical(key, -rate * distance.astype(jnp.float32))

    def take(arrays, key: Array, step: Array, shard: Shard = Shard()) -> Batch:  # noqa: B008
        first = draw_points(dataset, arrays, jax.random.fold_in(key, step), batch_size)
        keys = jax.random.split(rng.stream(key, "frame", step), len(grid.sizes))
        moved = [move(k, v, n) for k, v, n in zip(keys, first.T, grid.sizes, strict=True)]
        second = jnp.stack(moved, 1).astype(first.dtype)
        return {
            "image": observe(arrays, local_rows(first, shard)),
            "pair": observe(arrays, local_rows(second, shard)),
            "shared": local_rows(first == second, shard),
        }

    return Source(arrays=dataset.arrays, take=take, size=dataset.size, batch_size=batch_size)
