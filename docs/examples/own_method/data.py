"""A data set of your own: a bar of some width, angle and distance from the middle."""

import jax.numpy as jnp

from devae_jax.data import Request
from devae_jax.types import Dataset, FactorGrid

GRID = FactorGrid(names=("width", "angle", "offset"), sizes=(3, 16, 8))


def bars(request: Request) -> Dataset:
    """384 images of `data.image_size` pixels a side, drawn by formula."""
    size = request.image_size or 16
    line = (jnp.arange(size) + 0.5) / size - 0.5
    x, y = line[None, None, :], line[None, :, None]

    def observe(arrays, factors):  # int32 [N, 3] -> images [N, H, W, 1] in [0, 1], inside jit
        width, angle, offset = (factors[:, i, None, None] for i in range(3))
        angle = jnp.pi / 16 * angle
        distance = jnp.abs(x * jnp.sin(angle) - y * jnp.cos(angle) - 0.04 * (offset - 3.5))
        return jnp.clip((0.04 + 0.04 * width - distance) * size + 0.5, 0.0, 1.0)[..., None]

    return Dataset(
        name="bars",
        image_shape=(size, size, 1),
        size=3 * 16 * 8,
        identity={"name": "bars", "version": 1, "image_size": size},
        arrays=(),
        observe=observe,
        grid=GRID,
    )
