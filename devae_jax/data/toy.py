"""A tiny data set for tests and first steps: one bright rectangle, drawn by formula."""

from typing import Any

import jax.numpy as jnp

from devae_jax.data import factors as fg
from devae_jax.data import table
from devae_jax.data.request import Request, refuse
from devae_jax.types import Array, Dataset, FactorGrid

GRID = FactorGrid(names=("shape", "scale", "x_position", "y_position"), sizes=(2, 3, 8, 8))


def load(request: Request, *, channels: int = 1) -> Dataset:
    """Squares and wide rectangles of 3 sizes at 8 x 8 places: 384 images, nothing stored.

    Images [image_size, image_size, channels], 16 pixels wide unless told otherwise.
    Raises ValueError for an unknown factor or value.
    """
    name = "toy" if channels == 1 else "toy_rgb"
    refuse(request, name, "path", "channels", "continuous")
    kept = fg.subset(GRID, request.factors)
    size = 16 if request.image_size is None else request.image_size
    if size < 1:
        raise ValueError(f"got data.image_size={size}, expected 1 pixel or more; fix it")
    centres = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size

    def inside(centre: Array, half: Array) -> Array:
        """Share of each pixel, [N, size], covered by an interval of the unit line."""
        reach = half[:, None] - jnp.abs(centres[None] - centre[:, None])
        return jnp.clip(reach * size + 0.5, 0, 1)

    def observe(arrays: Any, factors: Array) -> Array:
        shape, scale, x, y = kept.native(factors).astype(jnp.float32).T
        half = 0.08 + 0.04 * scale
        across = inside(0.2 + 0.6 / 7 * x, half)
        down = inside(0.2 + 0.6 / 7 * y, half * (1 - 0.5 * shape))
        images = down[:, :, None, None] * across[:, None, :, None]
        return jnp.tile(images, (1, 1, 1, channels))

    shape = (size, size, channels)
    return Dataset(
        name=name,
        image_shape=shape,
        size=fg.num_images(kept.grid),
        identity=table.identity(name, kept, shape, sha256=""),
        arrays=(),
        observe=observe,
        grid=kept.grid,
    )
