"""Lobes: shapes with continuous factors, one or two in an image.

A shape is all points within r(θ) = s (1 + cos(k (θ - φ)) / 4) of its centre, at the angle θ,
counter-clockwise on screen: k = 2, 3, 4 or 5 lobes (discrete), s from 0.08 to 0.16 of the image's
side, φ from 0 to 2π / k, given as a part of it from 0 to 1, and the centre from 0.25 to 0.75 of the
side in x (to the right) and y (down). Every factor is uniform and independent. A pixel is the mean
of 4 x 4 points. One shape is white; of two, in the colours (1, .4, .3) and (.3, .6, 1), the second
lies in front.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from devae_jax.data.request import Request, refuse
from devae_jax.types import Array, Dataset, FactorTable

SIZE = 50_000  # images
FACTORS = ("lobes", "scale", "orientation", "x_position", "y_position")
COLOURS = ((1.0, 0.4, 0.3), (0.3, 0.6, 1.0))
POINTS = 4  # a pixel's side


def load(request: Request, *, objects: int = 1) -> Dataset:
    """50,000 images, [64, 64, 1] of one shape or [64, 64, 3] of two, or of `image_size`.

    The factors of all images are drawn once from a fixed seed; images are drawn by formula.
    Raises ValueError for an image size below 1 and for options that the set has no use for.
    """
    name = "lobes" if objects == 1 else "lobes_two"
    refuse(request, name, "factors", "path", "channels", "continuous")
    side = 64 if request.image_size is None else request.image_size
    if side < 1:
        raise ValueError(f"got data.image_size={side}, expected 1 pixel or more; fix it")
    values = np.random.RandomState(0).uniform(size=(SIZE, objects * len(FACTORS)))
    kinds = np.arange(values.shape[1]) % len(FACTORS) == 0
    values[:, kinds] = np.floor(4 * values[:, kinds])
    shape = (side, side, 1 if objects == 1 else 3)

    def observe(arrays: Any, numbers: Array) -> Array:
        return render(arrays[numbers], side)

    names = FACTORS if objects == 1 else tuple(f"{f}_{i + 1}" for i in range(2) for f in FACTORS)
    return Dataset(
        name=name,
        image_shape=shape,
        size=SIZE,
        identity={"name": name, "version": 1, "image_shape": list(shape)},
        arrays=jnp.asarray(values, jnp.float32),
        observe=observe,
        table=FactorTable(names, values, tuple((~kinds).tolist())),
    )


def render(values: Array, side: int) -> Array:
    """Factors [N, 5] of one shape, or [N, 10] of two, as images [N, side, side, 1 or 3]."""
    masks = [_inside(values[:, i : i + 5], side) for i in range(0, values.shape[1], 5)]
    if len(masks) == 1:
        return masks[0].mean((2, 4))[..., None]
    image = jnp.zeros((*masks[0].shape, 3))
    for mask, colour in zip(masks, COLOURS, strict=True):
        paint = jnp.asarray(colour)[None, None, None, None, None]
        image = jnp.where(mask[..., None], paint, image)
    return image.mean((2, 4))


def _inside(values: Array, side: int) -> Array:
    """Whether each point of each pixel is in the shape: bool [N, side, 4, side, 4]."""
    kind, scale, turn, x, y = (column[:, None, None] for column in values.T)
    points = (jnp.arange(side * POINTS) + 0.5) / (side * POINTS)
    right = points[None, None, :] - (0.25 + 0.5 * x)
    up = (0.25 + 0.5 * y) - points[None, :, None]
    lobes = 2 + kind
    angle = lobes * jnp.arctan2(up, right) - 2 * jnp.pi * turn
    reach = (0.08 + 0.08 * scale) * (1 + jnp.cos(angle) / 4)
    inside = right**2 + up**2 <= reach**2
    return inside.reshape(len(values), side, POINTS, side, POINTS)
