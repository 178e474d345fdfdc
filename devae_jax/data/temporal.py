"""Two frames of a scene that moves: weak supervision from time, drawn on the device.

Klindt et al. 2021, "Towards nonlinear disentanglement in natural data with temporal sparse
coding", arXiv:2007.10930, section 4: most factors stay, or change little, from frame to frame.
"""

import jax
import jax.numpy as jnp

from devae_jax import rng
from devae_jax.data.batches import grid_of
from devae_jax.data.pairs import paired
from devae_jax.types import Array, Dataset, Source


def source(dataset: Dataset, batch_size: int, *, rate: float = 1.0) -> Source:
    """Batches {"image", "pair" [B, H, W, C], "shared" bool [B, F]} of `batch_size` pairs of frames.

    "image" is drawn from the training distribution. In "pair" each factor takes its value b
    with probability proportional to exp(-rate |b - a|), a its value in "image": a discrete
    Laplace distribution within the factor's range. "shared" is True where it stayed.
    Raises ValueError for a rate that is not positive, images read on the host, a data set
    without a full grid of factors or with held-out images, and a batch larger than the data.
    """
    grid = grid_of(dataset, "data.source.kind='temporal'")
    if not rate > 0:
        raise ValueError(f"got data.source.rate={rate}, expected more than 0; fix the rate")

    def move(key: Array, values: Array, size: int) -> Array:
        distance = jnp.abs(jnp.arange(size)[None] - values[:, None])
        return jax.random.categorical(key, -rate * distance.astype(jnp.float32))

    def change(key: Array, step: Array, first: Array) -> tuple[Array, Array]:
        keys = jax.random.split(rng.stream(key, "frame", step), len(grid.sizes))
        moved = [move(k, v, n) for k, v, n in zip(keys, first.T, grid.sizes, strict=True)]
        second = jnp.stack(moved, 1).astype(first.dtype)
        return second, first == second

    return paired(dataset, batch_size, "temporal", change)
