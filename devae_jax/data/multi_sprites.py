"""Two sprites of dSprites in one image, a red one and a blue one in front of it.

Sprites are those of `dsprites_regen`, pixel by pixel, upright: shapes square, ellipse and heart,
scales 0.6, 0.8 and 1, and in x and y 8 positions from end to end of dSprites' 32. A pixel has the
colour of the second sprite (.3, .6, 1) where that is white, else that of the first (1, .4, .3),
else it is black. All combinations occur: a full grid of eight factors, in which the second sprite
hides parts of the first, or all of it.
"""

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np

from devae_jax.data import dsprites_regen, table
from devae_jax.data import factors as fg
from devae_jax.data.lobes import COLOURS
from devae_jax.data.request import Request, refuse
from devae_jax.types import Array, Dataset, FactorGrid

FACTORS = ("shape", "scale", "x_position", "y_position")
SIZES = (3, 3, 8, 8)
PLACES = np.linspace(0, 31, 8).round().astype(int)
VALUES = (np.arange(3), np.array([1, 3, 5]), np.array([0]), PLACES, PLACES)  # of dSprites' factors
GRID = FactorGrid(
    tuple(f"{name}_{i}" for i, name in itertools.product((1, 2), FACTORS)), (*SIZES, *SIZES)
)


def load(request: Request) -> Dataset:
    """331,776 images [64, 64, 3]; the 576 sprites are drawn when it is loaded, in 0.3 MB.

    Raises ValueError for an unknown factor, value or image size.
    """
    refuse(request, "multi_sprites", "path", "channels", "continuous")
    kept = fg.subset(GRID, request.factors)
    side = dsprites_regen.SIZE
    shape = table.resized((side, side, 3), request.image_size)
    one = FactorGrid(FACTORS, SIZES)

    def observe(sprites: Any, factors: Array) -> Array:
        points = kept.native(factors)
        images = jnp.zeros((len(points), side, side, 3))
        for number, colour in enumerate(COLOURS):
            rows = fg.to_index(one, points[:, 4 * number : 4 * number + 4])
            inside = table.unpack(sprites[rows], side)
            images = jnp.where(inside > 0, jnp.asarray(colour)[None, None, None], images)
        return table.block_mean(images, shape[0])

    return Dataset(
        name="multi_sprites",
        image_shape=shape,
        size=fg.num_images(kept.grid),
        identity=table.identity("multi_sprites", kept, shape, sha256=""),
        arrays=jnp.asarray(dsprites_regen.render(VALUES)),
        observe=observe,
        grid=kept.grid,
    )
