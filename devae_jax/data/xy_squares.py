"""XYSquares: a red, a green and a blue square of 8 pixels, each at one of 8 x 8 places.

64 x 64 pixels; square i fills rows 8 y_i to 8 y_i + 7 and columns 8 x_i to 8 x_i + 7 of channel i,
so that squares in one place add to another colour. All images are equally far from each other
in pixels but where a square stays, which makes the set hard for pixel errors. Factors and order
are those of the data set of that name in disent (Michlo, https://github.com/nmichlo/disent).
"""

from typing import Any

import jax.numpy as jnp

from devae_jax.data import factors as fg
from devae_jax.data import table
from devae_jax.data.request import Request, refuse
from devae_jax.types import Array, Dataset, FactorGrid

PLACES, SQUARE = 8, 8
GRID = FactorGrid(("x_R", "y_R", "x_G", "y_G", "x_B", "y_B"), (PLACES,) * 6)


def load(request: Request) -> Dataset:
    """262,144 images [64, 64, 3] of {0, 1}, drawn by formula, nothing stored.

    Raises ValueError for an unknown factor, value or image size.
    """
    refuse(request, "xy_squares", "path", "channels", "continuous")
    kept = fg.subset(GRID, request.factors)
    native = (PLACES * SQUARE, PLACES * SQUARE, 3)
    shape = table.resized(native, request.image_size)
    places = jnp.repeat(jnp.arange(PLACES), SQUARE)

    def observe(arrays: Any, factors: Array) -> Array:
        del arrays
        points = kept.native(factors)
        across = points[:, None, None, 0::2] == places[None, None, :, None]
        down = points[:, None, None, 1::2] == places[None, :, None, None]
        return table.block_mean((across & down).astype(jnp.float32), shape[0])

    return Dataset(
        name="xy_squares",
        image_shape=shape,
        size=fg.num_images(kept.grid),
        identity=table.identity("xy_squares", kept, shape, sha256=""),
        arrays=(),
        observe=observe,
        grid=kept.grid,
    )
